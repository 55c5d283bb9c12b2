"""Everything that defines a sweep, as data: checked before anything starts, written to `sweep.toml`."""

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ire.invalid_input import InvalidInput, unknown
from ire.methods.foreign import find_in
from ire.methods.method import Method, check_different
from ire.methods.schedule import check_schedule
from ire.plain_values import is_list, is_table, is_tuple
from ire.sweeps.plan.imported import Imported
from ire.sweeps.plan.options import MIN_STUDIES, PLANNED
from ire.sweeps.plan.planned_trials import PlannedTrials
from ire.sweeps.plan.provenance import versions
from ire.sweeps.plan.toml_text import toml_text
from ire.sweeps.plan.trust import check_trusted, classes_in_plan, outside, remember
from ire.trial.seeds import derive_seed
from search_spaces.dimensions import ends
from search_spaces.space import parse_space

SCHEMA = 1
MARGIN = 1.05
"""A method is called faster only if its speed-up is shown to exceed this factor."""
RULES = 2
"""The rules of a new sweep (`Plan.rules`)."""
SELECTION_SEEDS = 3
"""Number of seeds on which candidates compete; none of them is used for confirmation."""


@dataclass(frozen=True, kw_only=True)
class Plan(PlannedTrials):
    """A sweep before it runs. Equal plans on equal machines make equal sweeps."""

    def study(self, number: int) -> "Plan":
        """The plan of one study, counted from 0: the same, with a seed and a data split of its own.

        The first study has the seed of the sweep.
        """
        if number == 0:
            return self
        own = {field.name: getattr(self, field.name) for field in fields(Plan)}
        own["seed"] = derive_seed(self.seed, "study", number) % 2**31
        return StudyPlan(**own, of_study=number)

    def check(self) -> None:
        """Raise `InvalidInput` for anything that would make the sweep fail or be meaningless."""
        self.check_options()
        if self.until_decided is not None and self.until_decided < self.studies:
            raise InvalidInput(
                f"--until-decided {self.until_decided}: must be at least --studies ({self.studies}), with which the "
                "sweep begins"
            )
        asking = [name for name in self.methods if self._takes_norms(name)]
        if asking and self.external is None:
            raise InvalidInput(
                f"{asking[0]} takes its gradient norms from a trial of an earlier sweep: name that trial with "
                "--external, as in --external experiments/NAME/sgd-small-0000"
            )
        if self.external is not None:
            if not asking:
                raise InvalidInput(
                    f"--external {self.external}: no method of the sweep takes norms from another run"
                )
            self._norms  # noqa: B018 - raises
        if self.share_prefix and not any(self.method(name).ire for name in self.methods):
            raise InvalidInput(
                "--share-prefix: no method of the sweep has IRE, and only trials with IRE share steps"
            )
        if self.share_prefix and not (self.space.search.grid or self.controls):
            raise InvalidInput(
                "--share-prefix: no two search trials share their base settings and seed, and there are no "
                "--controls; the option is for grids ([search] grid = true, as in the presets) and for controls"
            )
        check_schedule(self.schedule or self.space.schedule, where="--schedule")
        if not self.methods:
            raise InvalidInput("--methods is empty: name at least one method; `ire methods` lists them")
        check_different(self.methods, self.method)
        labels = {label for name in self.methods for label in (name, self.method(name).label)}
        for name in self.baselines:
            if name not in labels:
                raise unknown("method", name, self.methods, where="--baselines: it must be among --methods")
        for name in self.methods:
            method = self.method(name, where="--methods")
            if self.compile and method.differentiates_twice:
                raise InvalidInput(
                    f"--compile: {name} needs second derivatives, which a compiled model does not support"
                )
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
        """Number of interim verdicts with --until-decided: one after each study from the third on; else 1."""
        return max(1, (self.until_decided or 0) - max(self.studies, MIN_STUDIES) + 1)

    @property
    def registered(self) -> dict[str, Any]:
        """What is fixed about the verdict before anything runs; the report lists later changes."""
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

    # sweep.toml

    def to_toml(self) -> str:
        """The plan as the text of `sweep.toml`, with the current versions and the whole space file."""
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
                    f"{source}: schema {schema!r}, but this version of ire reads {SCHEMA}: a newer version wrote the "
                    "file; upgrade to read this experiment"
                )
            space = table.pop("space")
            _check_texts(table.pop("versions"), where=f"{source}, [versions]")
            _check_texts(space, where=f"{source}, [space]")
            lists = {key: tuple(value) for key, value in table.items() if is_list(value)}
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
    """The plan of one study other than the first."""

    of_study: int

    @property
    def study_number(self) -> int:
        return self.of_study


def read_plan(folder: Path, *, trust: bool = False) -> Plan:
    """The plan of an experiment folder; raises `InvalidInput` if the folder has none."""
    return trusted_plan(plan_text(folder), folder, trust=trust)


def plan_text(folder: Path) -> str:
    """The text of a folder's `sweep.toml`; raises `InvalidInput` if the folder has none."""
    path = folder / "sweep.toml"
    if not path.is_file():
        raise InvalidInput(f"{str(folder)!r} is not an experiment folder: it has no sweep.toml")
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path}: the file is not UTF-8 ({error}): restore it from a copy") from error
    return text.replace("\r\n", "\n")


def trusted_plan(text: str, folder: Path, *, trust: bool = False) -> Plan:
    """The plan in the text of the folder's `sweep.toml`.

    Reading it imports methods from outside the package, so they must be trusted (`ire.sweeps.plan.trust`). Without such
    methods nothing is imported from the folders that the plan names.
    """
    source = str(folder / "sweep.toml")
    classes, import_path = classes_in_plan(text)
    if trust:
        remember(classes, import_path)
    else:
        check_trusted(classes, import_path, source=source)
    if outside(classes, import_path):  # else a package that is looked for in vain could be found there
        find_in(import_path)
    return Plan.from_toml(text, source=source)


def _checked(values: dict[str, Any], plan: type, *, source: str) -> dict[str, Any]:
    """The fields of a plan with their types checked; raises `InvalidInput`, also for an unknown field."""
    known = {field.name for field in fields(plan)}
    for name, value in values.items():
        if name not in known:
            raise InvalidInput(
                f"{source}: unknown key {name!r}: a newer version of ire wrote the file; upgrade to read this "
                "experiment"
            )
        if name in PLANNED:
            try:
                PLANNED[name].check(PLANNED[name].taken(value))
            except InvalidInput as error:
                raise InvalidInput(f"{source}: {error}") from error
    if not isinstance(values["task"], str):
        raise InvalidInput(f"{source}: task = {values['task']!r}: must be a string")
    folders, rules = values.get("import_path", ()), values.get("rules", 1)
    if not is_tuple(folders) or not all(isinstance(folder, str) and "\0" not in folder for folder in folders):
        raise InvalidInput(f"{source}: import_path = {folders!r}: must be a list of folders")
    for name in ("paired", "seeded"):
        if not isinstance(values.get(name), bool | None):
            raise InvalidInput(f"{source}: {name} = {values[name]!r}: must be true or false")
    if not isinstance(rules, int) or not 1 <= rules <= RULES:
        raise InvalidInput(
            f"{source}: rules = {rules!r}: must be from 1 to {RULES}; newer rules need a newer version of ire"
        )
    return values


def _check_texts(table: Any, *, where: str) -> None:
    if not is_table(table) or not all(isinstance(value, str) for value in table.values()):
        raise InvalidInput(f"{where}: must be a table of texts")
