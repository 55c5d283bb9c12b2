"""Everything that defines a sweep, as data: checked before anything starts, written to `sweep.toml`."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.foreign import find_in
from ire.methods.method import Method, check_different
from ire.methods.of_task import BATCH_SIZE
from ire.methods.own_arm import OPTIMIZER, OwnArm
from ire.sweeps.plan.imported import Imported
from ire.sweeps.plan.options import MIN_STUDIES, PLANNED, PlannedOptions
from ire.sweeps.plan.provenance import versions
from ire.sweeps.plan.toml_text import toml_text
from ire.sweeps.plan.trust import check_trusted, classes_in_plan, remember
from ire.sweeps.records.recorded_norms import recorded_norms
from ire.sweeps.records.records import SEARCH, SELECT
from ire.trial.schedule import check_schedule
from ire.trial.seeds import derive_seed
from ire.trial.spec import TrialSpec
from search_spaces.dimensions import ends
from search_spaces.space import Space, parse_space

SCHEMA = 1
MARGIN = 1.05
"""A method is called faster only if it is shown to be faster than this."""
RULES = 2
"""The rules of a sweep that starts now."""
SELECTION_SEEDS = 3
"""Number of seeds on which candidates compete; none of them is used for measuring."""


@dataclass(frozen=True, kw_only=True)
class Plan(PlannedOptions):
    """A sweep before it runs. Equal plans on equal machines make equal sweeps."""

    import_path: tuple[str, ...] = ()
    """Folders where a task from outside the package is found, on every machine."""
    rules: int = 1
    """The rules of judgement: 1 before there were studies, 2 since."""
    data: str | None = None
    """What the task is trained on (`Task.data_identity`); None if the task does not say, or in older sweeps."""
    imported: Imported | None = None
    """What `warm_start` brought."""
    paired: bool | None = None
    """Whether a training function's first losses follow from its seed, so that runs are compared in pairs; None for a
    task, whose losses do."""
    seeded: bool | None = None
    """Whether another seed changes the first losses of a training function; None for a task."""
    space: Space

    def method(self, name: str, *, where: str = "") -> Method:
        """The arm of that name: one of the space's own, or a method; raises `InvalidInput`."""
        return self.space.method(name, where=where)

    @property
    def named_methods(self) -> tuple[str, ...]:
        """Every name that a trial's method may have: the arms, and what they build their optimizer of."""
        built = [arm.dimensions[OPTIMIZER] for arm in self.space.arms.values() if OPTIMIZER in arm.dimensions]
        return (*self.methods, *(str(value) for dimension in built for value in ends(dimension)))

    @property
    def study_number(self) -> int:
        """Which of the sweep's studies this is the plan of: see `study`."""
        return 0

    def study(self, number: int) -> "Plan":
        """The plan of one study, counted from 0: the same, with a seed and a data split of its own.

        The first study has the seed of the sweep.
        """
        if number == 0:
            return self
        own = {field.name: getattr(self, field.name) for field in fields(Plan)}
        own["seed"] = derive_seed(self.seed, "study", number) % 2**31
        return StudyPlan(**own, of_study=number)

    def is_baseline(self, method: Method) -> bool:
        """Whether the method is part of the yardstick: by name, or of ours and without IRE where none is named.

        Where every arm comes from outside the package, those without IRE are the yardstick.
        """
        if self.baselines:
            return method.name in self.baselines or method.label in self.baselines
        ours = [name for name in self.methods if (arm := self.method(name)).is_ours and not arm.ire]
        return not method.ire and (method.is_ours or not ours)

    @property
    def prefix(self) -> str:
        """What the names of this study's trials begin with."""
        return f"study{self.study_number + 1}-" if self.study_number else ""

    @property
    def budget(self) -> int:
        """Gradient evaluations that each method may spend on its search, pruned work included.

        A grid is tried whole: its budget is what the largest of the methods' grids may cost.
        """
        if self.space.search.grid:
            methods = map(self.method, self.methods)
            return max(self.search_trials(method) * self.most_expensive_trial(method) for method in methods)
        return round(self.trials * self.space.search.budget_per_trial * self.space.horizon)

    def check(self) -> None:
        """Raise `InvalidInput` for anything that would make the sweep fail or be meaningless."""
        self.check_options()
        if self.until_decided is not None and self.until_decided < self.studies:
            raise InvalidInput(
                f"--until-decided {self.until_decided}: must be at least the {self.studies} of --studies, with which "
                "the sweep begins"
            )
        asking = [name for name in self.methods if self._takes_norms(name)]
        if asking and self.external is None:
            raise InvalidInput(
                f"{asking[0]} takes its gradient norms from a trial of an earlier sweep: name it with --external, "
                "as in --external experiments/NAME/sgd-small-0000"
            )
        if self.external is not None:
            if not asking:
                raise InvalidInput(
                    f"--external {self.external}: no method of the sweep takes norms from another run"
                )
            self._norms  # noqa: B018 - raises
        if self.share_prefix and not any(self.method(name).ire for name in self.methods):
            raise InvalidInput(
                "--share-prefix: no method of the sweep is an IRE, and only their trials share steps"
            )
        if self.share_prefix and not (self.space.search.grid or self.controls):
            raise InvalidInput(
                "--share-prefix: no two trials of the search share their base settings and seed, and there are no "
                "--controls; it is for grids ([search] grid = true, as in the presets) and for controls"
            )
        check_schedule(self.schedule or self.space.schedule, where="--schedule")
        if not self.methods:
            raise InvalidInput("--methods is empty: name at least one, `ire methods` lists them")
        check_different(self.methods, self.method)
        labels = {label for name in self.methods for label in (name, self.method(name).label)}
        for name in self.baselines:
            if name not in labels:
                raise unknown("method", name, self.methods, where="--baselines: it must be among --methods")
        for name in self.methods:
            method = self.method(name, where="--methods")
            if self.compile and method.differentiates_twice:
                raise InvalidInput(f"--compile: {name} differentiates twice, which a compiled model cannot")
            if self.curve_lr and (why := self._lr_cannot_vary(method)):
                raise InvalidInput(
                    f"--curve-lr {','.join(f'{factor:g}' for factor in self.curve_lr)}: the learning rate of {name} "
                    f"cannot be multiplied: {why}; leave the option out"
                )
            self.space.check_rungs(method)
            method.resolve(self.space.published(method), where=self.space.source)
            cost = self.most_expensive_trial(method)
            if cost > self.budget:
                raise InvalidInput(
                    f"--trials {self.trials}: the budget of {self.budget} gradient evaluations a method "
                    f"({self.trials} trials x {self.space.search.budget_per_trial:g} x horizon {self.space.horizon}) "
                    f"does not cover one full trial of {name}, {cost}; raise --trials to "
                    f"{-(-cost // round(self.space.search.budget_per_trial * self.space.horizon))} or more"
                )

    def _lr_cannot_vary(self, method: Method) -> str | None:
        """Why `--curve-lr` cannot multiply the learning rate of `method`; None if it can."""
        lr = self.space.dimensions(method).get("lr")
        if lr is None:
            return "it has no setting lr"
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in ends(lr)):
            return f"its lr is {lr}, not a number"
        default = method.settings.get("lr")
        if lr.when is not None and (default is None or default.default is None):
            return f"its trials have an lr only when {lr.when}"
        return None

    @property
    def looks(self) -> int:
        """How often the verdict is looked at: after each study from the third on, with --until-decided."""
        return max(1, (self.until_decided or 0) - max(self.studies, MIN_STUDIES) + 1)

    @property
    def registered(self) -> dict[str, Any]:
        """What was fixed about the verdict before anything ran; a later change is told in the report."""
        return {
            "margin": MARGIN,
            "clock": self.clock or "wall",
            **{
                name: getattr(self, name)
                for name in ("studies", "until_decided", "trials", "candidates", "confirm_seeds")
            },
            "methods": list(self.methods),
            "curve": list(self.curve),
        }

    def shares_prefix(self, stage: str) -> bool:
        """Whether a trial of that stage may find another one with its first steps."""
        return self.share_prefix and (self.space.search.grid if stage in (SEARCH, SELECT) else self.controls)

    def search_cost(self, method: Method, spent: int) -> int | None:
        """What finding the settings of `method` cost, of which `spent` in this sweep; None if nobody knows.

        Trials of a warm start count. Of a method that is not searched it is what its space file says.
        """
        if self.space.is_searched(method):
            return spent + (self.imported.spent.get(method.name, 0) if self.imported else 0)
        known = self.space.fixed.get(method.name)
        return None if known is None or known.search_cost is None else known.search_cost + spent

    def search_trials(self, method: Method) -> int:
        """Cap on the search trials of `method`: in a grid, its points; one where nothing is searched."""
        if self.space.search.grid:
            return len(self.space.grid(method))
        return self.trials if self.space.is_searched(method) else 1

    def most_expensive_trial(self, method: Method) -> int:
        """Gradient evaluations of a full trial of `method` with the earliest start and smallest interval."""
        if isinstance(method, OwnArm):
            return max(
                method.gradient_evaluations(settings, self.space.horizon)
                for settings in self._dearest(method)
            )
        settings = {"kappa": 1.0, "gamma": 0.5, "start_fraction": 0.0, "interval": 1, "lambda": 1.0}
        if method.ire:
            dimensions = self.space.dimensions(method)
            for name in ("start_fraction", "interval"):
                d = dimensions[name]
                settings[name] = min(ends(d))
            settings["start_loss"] = dimensions["start_loss"].published
        if method.base.curvature_interval:
            settings[method.base.curvature_interval] = 1
        batches = max(
            (self.space.full_batches({BATCH_SIZE: size}) for size in self.space.batches(method)), default=1.0
        )
        return math.ceil(method.gradient_evaluations(settings, self.space.horizon) * batches)

    def cost(self, method: Method, settings: Mapping[str, Any], horizon: int) -> int:
        """Gradient evaluations of a full trial of `method` with these settings."""
        return round(method.gradient_evaluations(settings, horizon) * self.space.full_batches(settings))

    def _dearest(self, arm: Method) -> Iterator[dict[str, Any]]:
        """Settings of an arm of a training function, one of which costs most: with each optimizer that it may have, and
        with IRE's boost at each end, its masks as early and as often as the space allows.
        """
        dimensions = self.space.dimensions(arm)
        varied = [name for name in (OPTIMIZER, "kappa", "gamma") if name in dimensions]
        for values in product(*(ends(dimensions[name]) for name in varied)):
            settings = self.space.complete(arm, dict(zip(varied, values, strict=True)))
            for name in settings.keys() & {"start_fraction", "interval"}:
                settings[name] = min(ends(dimensions[name]))
            yield settings

    def search_trial(self, method: str, number: int, settings: dict[str, Any]) -> TrialSpec:
        """A trial of the search. Trials of equal number share their seed, whatever the method; in a grid all do."""
        return TrialSpec(
            task=self.task,
            method=method,
            settings=self.method(method).resolve(settings),
            seed=self._seed("search", 0 if self.space.search.grid else number),
            horizon=self.space.horizon,
            eval_interval=self.space.eval_interval,
            rungs=self.space.search.rungs,
            test=self.space.search.measured,
            flatness=self.space.flatness_batches if self.space.search.measured else 0,
            external_norms=self._norms if self._takes_norms(method) else (),
            **self._execution,
            name=f"{self.prefix}{self.method(method).slug}-{number:04d}",
        )

    def later_trial(
        self,
        name: str,
        method: str,
        number: int,
        settings: dict[str, Any],
        *,
        selects: bool,
        horizon_factor: float = 1.0,
        flatness: bool = False,
    ) -> TrialSpec:
        """A trial after the search, never pruned. Trials of equal number share their seed, whatever stage and method.

        A trial that `selects` has one of the seeds that are kept for choosing, and does not see the test split.
        """
        return TrialSpec(
            task=self.task,
            method=method,
            settings=self.method(method).resolve(settings),
            seed=self._seed("select" if selects else "confirm", number),
            horizon=max(1, round(self.space.horizon * horizon_factor)),
            eval_interval=max(1, round(self.space.eval_interval * horizon_factor)),
            test=not selects,
            flatness=self.space.flatness_batches if flatness else 0,
            flatness_points=self.space.flatness_points if flatness and self.space.flatness_batches else 1,
            external_norms=self._norms if self._takes_norms(method) else (),
            **self._execution,
            name=self.prefix + name,
        )

    def probe_trials(self, *, steps: int, eval_interval: int) -> list[TrialSpec]:
        """Short trials of a training function before the sweep: its first arm, again, with another seed; all others.

        The second one is also tested, and its values are thrown away.
        """
        first, *others = self.methods
        tries = [
            (first, 0, False),
            (first, 0, True),
            (first, 1, False),
            *((name, 0, False) for name in others),
        ]
        return [
            TrialSpec(
                task=self.task,
                method=name,
                settings=self.method(name).resolve(self.space.published(self.method(name))),
                seed=self._seed("probe", seed),
                horizon=min(steps, self.space.horizon),
                eval_interval=min(eval_interval, self.space.eval_interval),
                test=test,
                **self._execution,
                name=f"{self.method(name).slug}-probe",
            )
            for name, seed, test in tries
        ]

    def timing_trial(self, name: str, method: str, settings: Mapping[str, Any], steps: int) -> TrialSpec:
        """A turn of the quiet pass: `steps` steps at most, with the whole schedule laid over them."""
        steps = min(steps, self.space.horizon)
        return TrialSpec(
            task=self.task,
            method=method,
            settings=self.method(method).resolve(settings),
            seed=self._seed("timing", 0),
            horizon=steps,
            eval_interval=steps,
            timing=True,
            external_norms=self._norms if self._takes_norms(method) else (),
            **self._execution,
            name=self.prefix + name,
        )

    @property
    def _execution(self) -> dict[str, Any]:
        """What all trials of the sweep have in common of how they are run."""
        return {
            "study": self.study_number,
            "threads": self.cpus_per_worker,
            "precision": self.precision,
            "compile": self.compile,
            "deterministic": self.deterministic,
            "micro_batches": self.micro_batches,
            "schedule": self.schedule or self.space.schedule,
            "data": self.data,
            "metric": self.space.metric.name,
            "batch_unit": self.space.batch_unit,
        }

    @cached_property
    def _norms(self) -> tuple[tuple[int, float], ...]:
        return () if self.external is None else recorded_norms(self.external)

    def _takes_norms(self, method: str) -> bool:
        return self.method(method).update == "external"

    def _seed(self, purpose: str, number: int) -> int:
        return derive_seed(self.seed, purpose, number) % 2**31

    # sweep.toml

    def to_toml(self) -> str:
        """The plan as the text of `sweep.toml`, with the versions it was made with and its space file whole."""
        table = {"schema": SCHEMA} | asdict(self)
        table["imported"] = self.imported.to_dict() if self.imported else None
        table["versions"] = versions(self.task, self.import_path)
        table["space"] = {"source": self.space.source, "text": self.space.text}
        return "# Everything needed to run this sweep again: `ire resume` reads it.\n" + toml_text(table)

    @classmethod
    def from_toml(cls, text: str, *, source: str) -> "Plan":
        """The inverse of `to_toml`; raises `InvalidInput` on anything else."""
        try:
            table = tomllib.loads(text)
            schema = table.pop("schema")
            if schema != SCHEMA:
                raise InvalidInput(
                    f"{source}: schema {schema!r}, and this version of ire reads {SCHEMA}: a newer one has written it; "
                    "upgrade to read this experiment"
                )
            space = table.pop("space")
            _check_texts(table.pop("versions"), where=f"{source}, [versions]")
            _check_texts(space, where=f"{source}, [space]")
            lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
            values = _checked(table | lists, cls, source=source)
            if "imported" in table:
                values["imported"] = Imported.from_dict(table["imported"], where=f"{source}, [imported]")
            return cls(**values, space=parse_space(space["text"], task=table["task"], source=space["source"]))
        except InvalidInput:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{source}: not the sweep.toml of an experiment folder ({error!r})") from error


@dataclass(frozen=True, kw_only=True)
class StudyPlan(Plan):
    """What a plan says of one of its studies."""

    of_study: int

    @property
    def study_number(self) -> int:
        return self.of_study


def read_plan(folder: Path, *, trust: bool = False) -> Plan:
    """The plan of an experiment folder; raises `InvalidInput` if it is none.

    Methods from outside the package are imported to read it, so they must be trusted (`ire.sweeps.plan.trust`).
    """
    path = folder / "sweep.toml"
    if not path.is_file():
        raise InvalidInput(f"{str(folder)!r} is not an experiment folder: it has no sweep.toml")
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: it is not UTF-8 ({error}): put it back from a copy") from error
    text = text.replace("\r\n", "\n")
    classes, import_path = classes_in_plan(text)
    if trust:
        remember(classes, import_path)
    else:
        check_trusted(classes, import_path, source=str(path))
    find_in(import_path)
    return Plan.from_toml(text, source=str(path))


def _checked(values: dict[str, Any], plan: type, *, source: str) -> dict[str, Any]:
    """The fields of a plan with their types checked; raises `InvalidInput`, also for an unknown field."""
    known = {field.name for field in fields(plan)}
    for name, value in values.items():
        if name not in known:
            raise InvalidInput(
                f"{source}: unknown key {name!r}: a newer version of ire has written it; upgrade to read this "
                "experiment"
            )
        if name in PLANNED:
            try:
                PLANNED[name].check(PLANNED[name].taken(value))
            except InvalidInput as error:
                raise InvalidInput(f"{source}: {error}") from error
    if not isinstance(values["task"], str):
        raise InvalidInput(f"{source}: task = {values['task']!r}: must be a text")
    folders, rules = values.get("import_path", ()), values.get("rules", 1)
    if not isinstance(folders, tuple) or not all(isinstance(folder, str) for folder in folders):
        raise InvalidInput(f"{source}: import_path = {folders!r}: must be a list of folders")
    for name in ("paired", "seeded"):
        if not isinstance(values.get(name), bool | None):
            raise InvalidInput(f"{source}: {name} = {values[name]!r}: must be true or false")
    if not isinstance(rules, int) or not 1 <= rules <= RULES:
        raise InvalidInput(
            f"{source}: rules = {rules!r}: must be at most {RULES}, or a newer version of ire reads it"
        )
    return values


def _check_texts(table: Any, *, where: str) -> None:
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise InvalidInput(f"{where}: must be a table of texts")
