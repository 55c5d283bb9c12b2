"""The report of complete, partial and failed sweeps, from simulated records."""

import contextlib
import html
import json
import re
import shlex
import shutil
from dataclasses import replace
from statistics import fmean
from textwrap import wrap
from types import SimpleNamespace

import inline_sweep
import pytest
from rich.console import Console
from simulated import Killed, make_plan, simulate
from small_space import space_with

from ire.foreign_text import in_markdown
from ire.methods.ire import CONTROLS
from ire.methods.method import parse_method
from ire.sweeps.command.app import app
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.findings.boosted import boosted_parts, together
from ire.sweeps.findings.differences import Difference
from ire.sweeps.plan.plan import RULES
from ire.sweeps.ray.cluster import Node
from ire.sweeps.records.records import Fault
from ire.sweeps.report import as_json, as_markdown, headline, terminal_tables, write_report
from ire.sweeps.report.sentences.controls import control_findings
from ire.sweeps.report.sentences.further import further_findings
from ire.sweeps.report.tables import tables
from ire.sweeps.report.tables.masks import boosted_coordinates
from ire.sweeps.report.tables.table import gist
from ire.sweeps.search.range_ends import edges
from ire.sweeps.search.stages import KAPPA_0
from ire.trial.metric import LOSS, Metric
from ire.trial.report import FlatFraction
from search_spaces import find_space


@pytest.fixture
def run(tmp_path):
    tmp_path = tmp_path / "sweep"
    tmp_path.mkdir()

    def run(**options):
        fields = options.pop("plan", {})
        plan = make_plan(**fields)
        (tmp_path / "sweep.toml").write_text(plan.to_toml())
        with contextlib.suppress(Killed):
            simulate(plan, tmp_path, **options)
        return open_experiment(tmp_path)

    run.folder = tmp_path
    return run


FULL = {"curve": (0.5, 1.4142, 2.0), "controls": True, "candidates": 2, "confirm_seeds": 3}


def told_of(experiment):
    return json.loads(json.dumps(as_json(experiment), allow_nan=False))


def test_a_complete_sweep_names_its_baseline_and_every_number_once(run):
    experiment = run(plan=FULL)
    told = told_of(experiment)
    assert told["complete"]
    assert told["comparable"]
    assert told["baseline"] in ("sgd", "sam-sgd")
    assert [point["factor"] for point in told["baseline_curve"]] == [0.5, 1.0, 1.4142, 2.0]
    by_name = {row["method"]: row for row in told["methods"]}
    assert not by_name[told["baseline"]]["time_to_target"]
    (other,) = {"sgd", "sam-sgd"} - {told["baseline"]}
    assert {clock["against"] for clock in by_name[told["baseline"]]["by_clock"].values()} == {other}
    clocks = {"step", "gradient_evaluations", "wall"}
    for key in ("speed_up", "by_clock", "time_to_target", "best_run_ratio", "speed_up_by_validation_loss"):
        assert set(by_name["sgd-ire"][key]) == clocks, key
    controls = {control["control"]: control for control in by_name["sgd-ire"]["controls"]}
    assert {"random", "sharpest", "all", "mean", "kappa0"} <= set(controls)
    assert controls["random"]["loss_minus_control"]["units"] == 3
    for row in told["methods"]:
        assert row["gradient_evaluations"] <= told["budget_gradient_evaluations"]
        assert row["confirm_runs"] == 3
        (winner,) = row["winners"]
        assert winner["trial"].startswith(row["method"])
        assert winner["study"] == 1
        assert row["expected_best"]["mean"] == sorted(row["expected_best"]["mean"], reverse=True)


@pytest.mark.figures
def test_the_page_opens_offline_and_holds_every_figure_and_table(run):
    experiment = run(plan=FULL | {"studies": 3})
    page = experiment.report()
    text = page.read_text()
    assert any(table.title.startswith("Tuning effort") for table in tables(experiment))
    assert text.startswith("<!doctype html>")
    assert "://" not in text.split("<pre>")[0]
    assert not re.search(r"<link\b|\ssrc=\"(?!data:)", text)
    assert text.count("data:image/svg+xml;base64,") + text.count('class="live"') >= 10
    for name in (
        "verdict",
        "trials",
        "loss-curves",
        "baseline-curve",
        "tuning",
        "kappa-gamma",
        "slices",
        "parallel",
    ):
        for kind in ("svg", "png"):
            assert (page.parent / f"{name}.{kind}").stat().st_size > 1000, name
    markdown = (page.parent / "report.md").read_text()
    assert all(f"| {name}" in markdown for name in experiment.plan.methods)
    headings = [html.unescape(heading) for heading in re.findall(r"<h2 [^>]*>(.*?)</h2>", text)]
    assert {table.title for table in list(tables(experiment))[1:]} | {"How to run it again"} <= set(headings)
    assert set(re.findall(r'<a href="#([^"]+)"', text)) == set(re.findall(r'<h2 id="([^"]+)"', text))
    assert "ire sweep digits --methods sgd,sgd-ire,sam-sgd --trials 6" in text


@pytest.mark.figures("loss-curves", "parallel")
def test_a_report_is_the_same_from_the_results_and_the_plan_alone(run, tmp_path):
    experiment = run(plan=FULL, slots=3, fails=("sgd-0003", "sgd-ire-0001"))
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("results.jsonl", "sweep.toml"):
        shutil.copy(experiment.folder / name, alone)
    there = json.dumps(told_of(open_experiment(alone))).replace(str(alone), str(experiment.folder))
    assert there == json.dumps(told_of(experiment))
    for both in (experiment, open_experiment(alone)):
        both.report()
    for name in ("report.md", "report.json", "loss-curves.svg", "parallel.svg"):
        both = [(folder / "report" / name).read_text() for folder in (experiment.folder, alone)]
        assert both[0] == both[1].replace(str(alone), str(experiment.folder)), name


def test_without_a_curve_it_says_what_is_missing_and_how_to_get_it(run):
    experiment = run(plan={"confirm_seeds": 3})
    told = told_of(experiment)
    assert all(not row["by_clock"] for row in told["methods"])
    assert any(f"`ire resume {run.folder} --curve`" in finding for finding in told["findings"])
    assert any("--controls" in finding for finding in told["findings"])
    assert "This is about configurations, not methods" in told["headline"]


def test_a_broken_clause_makes_it_not_comparable_in_words(run):
    wider = {"methods": {"sgd-ire": {"lr": {"log": [0.001, 10.0], "published": 0.1}}}}
    space = space_with(wider, source="mine.toml")
    experiment = run(plan=FULL | {"space": space})
    told = told_of(experiment)
    assert not told["comparable"]
    assert "not comparable: searched in different ranges: lr of sgd-ire" in told["headline"]
    assert "| sgd-ire | not comparable |" in as_markdown(experiment)


def test_an_end_with_nothing_behind_it_is_no_edge():
    plan = make_plan(space=space_with({"shared": {"weight_decay": {"linear": [0, 0.1], "published": 5e-4}}}))
    settings = plan.space.published(parse_method("sgd"))
    assert [edge.setting for edge in edges(plan, "sgd", settings | {"weight_decay": 0.0})] == []
    assert [edge.setting for edge in edges(plan, "sgd", settings | {"weight_decay": 0.1})] == ["weight_decay"]


def test_a_winner_at_the_edge_of_its_space_is_named(run):
    narrow = {"sgd": {"lr": {"log": [0.045, 1.0], "published": 0.1}}}
    space = space_with(narrow, source="mine.toml")
    experiment = run(plan={"trials": 30, "space": space, "methods": ("sgd", "sgd-ire")})
    (finding,) = [f for f in told_of(experiment)["findings"] if f.startswith("Not finished")]
    assert "searched down to 0.045" in finding


def test_a_lost_confirm_run_makes_no_verdict(run):
    plan = FULL | {"candidates": 1}
    winner = run(plan=plan).comparison.row("sgd-ire").winner.number
    for name in ("results.jsonl", "trials.jsonl"):
        (run.folder / name).unlink()
    told = told_of(run(plan=plan, fails=(f"sgd-ire-confirm-{winner:04d}-1",)))
    row = next(row for row in told["methods"] if row["method"] == "sgd-ire")
    assert told["comparable"]
    assert row["lost_runs"] == 1
    assert {clock["verdict"] for clock in row["by_clock"].values()} == {None}
    assert "No verdict on methods whose confirm runs diverged or failed: sgd-ire 1." in told["findings"]
    assert any(finding.startswith("sgd-ire: its controls are not settled") for finding in told["findings"])


def test_frames_hold_every_trial_and_report(run):
    experiment = run()
    records = experiment.records.trials.values()
    assert len(experiment.trials) == len(records)
    assert len(experiment.curves) == sum(len(t.reports) for t in records)
    assert set(experiment.winners["method"]) == {"sgd", "sgd-ire", "sam-sgd"}
    assert (experiment.winners["confirm_seeds"] == 2).all()
    assert {"settings.lr", "settings.kappa", "val_loss", "status"} <= set(experiment.trials.columns)


@pytest.mark.figures
@pytest.mark.parametrize("events", [1, 20, 700, 1400, 2000])
def test_a_partial_sweep_says_what_is_missing(run, events):
    experiment = run(plan=FULL, kill_after=events)
    assert not experiment.is_complete
    told = json.loads((experiment.report().parent / "report.json").read_text())
    assert not told["complete"]
    assert "Incomplete" in (experiment.folder / "report" / "report.md").read_text()


@pytest.mark.figures("baseline-curve")
def test_the_baseline_curve_is_drawn_where_no_other_method_has_a_confirm_run(run):
    plan = {"methods": ("sgd", "sgd-ire"), "trials": 3, "curve": (0.5, 2.0), "confirm_seeds": 2}
    experiment = run(plan=plan, fails=tuple(f"sgd-ire-{i:04d}" for i in range(3)))
    assert experiment.comparison.curve
    assert (experiment.report().parent / "baseline-curve.svg").stat().st_size > 1000


def test_a_method_without_a_winner_is_shown_as_such(run):
    experiment = run(
        plan={"methods": ("sgd", "adamw"), "trials": 3}, fails=tuple(f"adamw-{i:04d}" for i in range(3))
    )
    assert experiment.is_complete
    row = next(r for r in experiment.comparison.rows if r.method == "adamw")
    assert row.statuses["failed"] == 3
    assert "none finished" in as_markdown(experiment)


def test_what_an_error_says_is_shown_as_it_is_on_every_page(run, capsys):
    cause = "Error: [/src/pair.cc:545] a|b <script>alert(1)</script> :warning: [bold]x[/]"
    experiment = run()
    trial = next(iter(experiment.records.trials.values()))
    trial.faults.append(Fault(kind="workers lost", cause=cause, time=0.0))
    for table in terminal_tables(experiment):
        Console(width=400).print(table)
    assert cause in capsys.readouterr().out
    assert in_markdown(cause) in as_markdown(experiment)
    page = write_report(experiment).read_text()
    assert html.escape(cause) in page
    assert "<script>alert" not in page


TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\n    ~^^\n'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{TRACEBACK}ValueError: the loss is nan", "ValueError: the loss is nan"),
        (f"{TRACEBACK}CompileError: no compiler\n\nFor more, set VERBOSE=1\n", "CompileError: no compiler"),
        (
            f"{TRACEBACK}RuntimeError: Errors in loading:\n\tsize mismatch",
            "RuntimeError: Errors in loading: size mismatch",
        ),
        (f"{TRACEBACK}KeyError: 1\n\nDuring handling:\n\n{TRACEBACK}OSError: 2", "OSError: 2"),
        (f"use smaller batches\n{TRACEBACK}OutOfMemoryError: 3", "OutOfMemoryError: 3"),
        ("no report for 60 s; the worker is at:\n  here", "here"),
        ("", ""),
    ],
)
def test_of_an_error_a_table_shows_the_line_that_says_most(text, shown):
    assert gist(text) == shown


def test_tables_break_no_number_and_no_name_on_a_terminal_of_any_usual_width(run, capsys):
    methods = ("sgd", "sam-sgd", "sam-sgd-ire")
    experiment = run(plan={"methods": methods, "confirm_seeds": 2, "studies": 3, "curve": (0.5, 2.0)})
    rows, clock = experiment.comparison.rows, experiment.comparison.clock
    whole = {word for row in rows for word in (row.method, *str(row.speed_ups[clock]).split())}
    whole |= {winner.trial.name for row in rows for winner in row.winners}
    for width in (60, 79, 80, 100, 200):
        for table in terminal_tables(experiment, width):
            Console(width=width).print(table)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width
        assert whole <= {word for line in lines for word in line.split()}, width


def test_a_long_title_fills_the_terminal_not_the_table_and_the_star_is_explained(run, capsys):
    experiment = run(plan={"methods": ("sgd", "sgd-ire"), "confirm_seeds": 2, "studies": 3})
    for width in (80, 200):
        Console(width=width).print(terminal_tables(experiment, width)[0])
        lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
        assert lines[0] == wrap(headline(experiment), width)[0]
        assert ("* baseline" in lines) == any("sgd *" in line for line in lines) == (width == 80)


def test_a_sweep_of_one_method_says_that_there_is_no_other(run):
    assert headline(run(plan={"methods": ("sgd",)})) == "digits: there is no other method to compare with"


def test_a_report_goes_to_a_folder_that_a_text_names(run, tmp_path):
    assert run().report(str(tmp_path / "elsewhere")) == tmp_path / "elsewhere" / "report.html"


def test_a_baseline_that_was_only_searched_is_not_called_missing(run):
    experiment = run(plan={"methods": ("sgd", "sgd-ire"), "confirm_seeds": 0, "curve": ()})
    assert headline(experiment).startswith("digits: no verdict: no baseline has confirm runs")


def test_no_baseline_is_said(run):
    experiment = run(plan={"methods": ("sgd-ire",)})
    assert "there is no baseline to compare with" in as_markdown(experiment)


def test_reading_a_folder_never_unpickles(run):
    experiment = run()
    trials = experiment.folder / "trials"
    trials.mkdir()
    for name in ("tuner.pkl", "searcher-state.pkl"):  # a pickle that fails loudly if it is loaded
        (trials / name).write_bytes(b"cbuiltins\nexec\n(S'raise SystemExit(99)'\ntR.")
    open_experiment(experiment.folder).report()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small sweep of sgd and sgd-ire that really trains, with flatness along the run."""
    folder, plan = tmp_path_factory.mktemp("trained"), inline_sweep.along_plan()
    (folder / "sweep.toml").write_text(plan.to_toml())
    inline_sweep.run(folder, plan)
    return open_experiment(folder)


@pytest.mark.figures("flatness-along")
def test_flatness_along_the_run_is_drawn_where_it_was_measured(trained):
    experiment = trained
    for row in experiment.comparison.rows:
        for run in row.runs:
            assert [r["step"] for r in run.reports if "hessian_trace" in r] == [16, 32, 48]
    page = write_report(experiment).read_text()
    assert "Flatness along the run" in page
    assert (experiment.folder / "report" / "flatness-along.svg").stat().st_size > 1000


def test_the_report_says_whether_masks_mean_something(trained):
    plain, boosted = as_json(trained)["methods"]
    assert plain["mask"] == {} and set(boosted["mask"]) == {"mask_overlap", "zero_curvature"}
    assert -1 < boosted["mask"]["mask_overlap"]["mean"] <= 1
    [table] = [table for table in tables(trained) if table.title.startswith("Masks")]
    assert [line[0] for line in table.lines] == ["sgd-ire"]


def test_the_report_says_which_coordinates_are_boosted(trained):
    plain, boosted = as_json(trained)["methods"]
    runs = trained.comparison.row("sgd-ire").runs
    [table] = [table for table in tables(trained) if table.title == "Coordinates boosted by sgd-ire"]
    assert plain["boosted"] == [] and len(boosted["boosted"]) == 8 == len(table.lines) - 1
    first = [run.flat_fractions["0.weight"].share for run in runs]
    entry = {"names": "0.weight", "tensors": 1, "coordinates": 144, "share": fmean(first)}
    assert boosted["boosted"][0] == entry | {"low": min(first), "high": max(first)}
    assert min(first) < max(first)
    overall = [run.reports[-1]["flat_fraction"] for run in runs]
    ends = f"{min(overall):.3f} to {max(overall):.3f}"
    assert table.lines[-1] == ["all", "8", "9,978", f"{fmean(overall):.3f}", ends]
    for text in (write_report(trained).read_text(), as_markdown(trained)):
        assert table.title in text and ends in text


def masked(shares):
    """A run that ended with these shares, by name; all tensors have ten coordinates but `wte`, which has 1,000."""
    sizes = {name: 1000 if name == "wte" else 10 for name in shares}
    return SimpleNamespace(
        flat_fractions={name: FlatFraction(it, sizes[name]) for name, it in shares.items()}
    )


def test_blocks_count_together_and_single_layers_apart():
    runs = [
        masked({"wte": 0.5, "h.0.attn.weight": low, "h.11.attn.weight": 0.6, "mlp.0.weight": 1.0})
        for low in (0.2, 0.4)
    ]
    wte, attention, layer = boosted_parts([masked({}), *runs])
    assert (attention.names, attention.tensors, attention.coordinates) == ("h.*.attn.weight", 2, 20)
    assert (attention.share, attention.low, attention.high) == pytest.approx((0.45, 0.4, 0.5))
    assert (wte.coordinates, layer.names) == (1000, "mlp.0.weight")
    whole = together([wte, layer], runs, "all")
    assert whole.share == pytest.approx(510 / 1010) and whole.coordinates == 1010
    assert boosted_parts([masked({})]) == []


def test_a_large_model_has_its_small_tensors_in_one_line(trained, monkeypatch):
    for run in trained.comparison.row("sgd-ire").runs:
        shares = {f"layer{i}.weight": 0.5 for i in range(30)} | {"wte": 0.25}
        monkeypatch.setattr(run, "flat_fractions", masked(shares).flat_fractions)
    [table] = boosted_coordinates(trained)
    assert [line[:4] for line in table.lines[-3:]] == [
        ["wte", "1", "1,000", "0.250"],
        ["16 others", "16", "160", "0.500"],
        ["all", "31", "1,300", f"{400 / 1300:.3f}"],
    ]
    assert len(table.lines) == 17


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mask_overlap": 0.3, "zero_curvature": 0.2}, []),
        ({"mask_overlap": 0.02}, ["The masks of sgd-ire are mostly noise"]),
        (
            {"zero_curvature": 0.4},
            ["The masks of sgd-ire are partly arbitrary: at the end, 40% of the curvatures"],
        ),
    ],
)
def test_a_mask_that_means_little_is_warned_of(trained, monkeypatch, values, told):
    for run in trained.comparison.row("sgd-ire").runs:
        last = {"flat_fraction": 0.6, "mask_overlap": 0.3, "zero_curvature": 0.0} | values
        monkeypatch.setattr(run, "reports", [run.reports[-1] | last])
    found = [finding for finding in further_findings(trained) if "masks" in finding]
    assert len(found) == len(told) and all(map(str.startswith, found, told))


@pytest.mark.parametrize(
    "fields",
    [
        FULL | {"curve_lr": (0.5, 2.0), "seed": 3, "max_concurrent": 2},
        {"methods": ("adamw", "adamw-ire"), "precision": "bf16", "compile": True, "micro_batches": 2},
        {"controls": True, "share_prefix": True, "schedule": "steps 0.5 / 10", "workers": 2},
    ],
)
def test_the_command_that_runs_it_again_makes_the_same_plan(run, monkeypatch, fields):
    experiment = run(
        plan={"confirm_seeds": 1, "rules": RULES, "space": find_space("digits"), **fields}, kill_after=1
    )
    plans = []

    def stop(plan, *_, **__):
        plans.append(plan)
        raise Killed

    monkeypatch.setattr("ire.sweeps.experiments.launch.run_plan", stop)
    monkeypatch.setattr("ire.sweeps.experiments.places.this_machine", lambda: [Node(cpus=8, gpus=0)])
    words = shlex.split(as_json(experiment)["reproduce"])
    assert words[0] == "ire"
    with pytest.raises(Killed):
        app(words[1:])
    before = experiment.plan  # of before data had an identity
    assert replace(plans[0], name=before.name, data=before.data) == before


@pytest.mark.parametrize(
    ("preset", "options", "chosen"),
    [
        ("table1-resnet56-cifar10", [], {"share_prefix": True, "precision": "fp32"}),
        ("table1-resnet56-cifar10", ["--no-share-prefix"], {"share_prefix": False}),
        ("table1-resnet56-cifar10", ["--methods", "sgd,sam-sgd"], {"share_prefix": False}),
        ("fig4-openwebtext", [], {"precision": "bf16"}),
        ("fig4-openwebtext", ["--precision", "fp32"], {"precision": "fp32"}),
    ],
)
def test_the_command_that_repeats_a_preset_does_so_with_its_choices(
    tmp_path, monkeypatch, preset, options, chosen
):
    plans = []

    def stop(plan, *_, **__):
        plans.append(plan)
        raise Killed

    monkeypatch.setattr("ire.sweeps.experiments.launch.run_plan", stop)
    monkeypatch.setattr("ire.sweeps.experiments.places.this_machine", lambda: [Node(cpus=8, gpus=0)])
    monkeypatch.setattr("trainables.task.Task.check_data", lambda self: None)
    monkeypatch.setattr("trainables.task.Task.data_identity", lambda self: None)
    monkeypatch.chdir(tmp_path)
    words = ["sweep", "--preset", preset, "--scale", "tiny", "--name", "again", *options]
    with pytest.raises(Killed):
        app(words)
    assert {name: getattr(plans[0], name) for name in chosen} == chosen
    (tmp_path / "sweep.toml").write_text(plans[0].to_toml())
    words = shlex.split(as_json(open_experiment(tmp_path))["reproduce"])
    with pytest.raises(Killed):
        app([*words[1:], "--name", "again"])
    assert plans[1] == plans[0]


LOWER, HIGHER, OPEN = (-0.2, -0.1), (0.1, 0.2), (-0.1, 0.1)
ALL_LOWER = dict.fromkeys((KAPPA_0, *CONTROLS), LOWER)


def control_of(name, ends, *, is_tuned=True):
    """One over which a method's loss, minus the control's, lies between two ends."""
    return SimpleNamespace(name=name, against_method=difference_of(ends), is_tuned=is_tuned)


def difference_of(ends):
    return Difference(value=sum(ends) / 2, low=ends[0], high=ends[1], units=5)


def told_of_controls(controls, *, unsettled=(), against_base=None, metric=LOSS):
    row = SimpleNamespace(
        method="sgd-ire",
        controls=controls,
        unsettled=list(unsettled),
        against_base=against_base,
        null_model=None,
    )
    return control_findings(SimpleNamespace(rows=[row], metric=metric))


@pytest.mark.parametrize(
    ("ends", "unsettled", "told"),
    [
        ({}, [], ["The choice of coordinates explains sgd-ire's gain: it beats all its controls"]),
        (
            {"random": OPEN},
            [],
            ["sgd-ire's gain cannot be attributed to curvature: it does not beat the control random, "],
        ),
        (
            {KAPPA_0: HIGHER},
            [],
            [
                "No evidence that the boost helps sgd-ire: with kappa = 0 the final loss is lower.",
                "The choice of coordinates matters: sgd-ire beats all its other controls.",
            ],
        ),
        (
            {KAPPA_0: OPEN, "random": HIGHER},
            [],
            [
                "No evidence that the boost helps sgd-ire: with kappa = 0 the final loss is not shown to be higher",
                "sgd-ire's gain cannot be attributed to curvature: it does not beat the control random, ",
            ],
        ),
        (
            {},
            ["all", "mean"],
            ["sgd-ire: its controls are not settled, because runs of it or of its controls all and mean"],
        ),
    ],
)
def test_what_controls_say_is_said_no_stronger(ends, unsettled, told):
    """Intervals of the method's loss minus that of each control."""
    controls = [control_of(name, of) for name, of in (ALL_LOWER | ends).items()]
    found = told_of_controls(controls, unsettled=unsettled)
    assert len(found) == len(told)
    for sentence, beginning in zip(found, told, strict=True):
        assert sentence.startswith(beginning)


def test_of_curvature_nothing_is_said_while_any_control_has_the_strength_of_the_method():
    tuned = [control_of(name, of) for name, of in ALL_LOWER.items() if name != "random"]
    (found,) = told_of_controls([*tuned, control_of("random", LOWER, is_tuned=False)])
    assert found.startswith("sgd-ire: its controls cannot show whether its gain comes from the curvature")


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (HIGHER, "The base optimizer, tuned on its own, reaches an even lower loss."),
        (LOWER, "Its base optimizer, tuned on its own, ends higher as well."),
        (OPEN, "Whether it also beats its own tuned base is not shown."),
    ],
)
def test_that_it_is_the_coordinates_is_not_said_without_what_its_base_does(ends, told):
    controls = [control_of(name, of) for name, of in ALL_LOWER.items()]
    (found,) = told_of_controls(controls, against_base=difference_of(ends))
    assert found == (
        "The choice of coordinates explains sgd-ire's gain: it beats all its controls, each at its own tuned "
        f"strength. {told}"
    )


def test_controls_with_a_run_missing_or_lost_settle_nothing(run):
    plan = FULL | {"candidates": 1}
    winner = run(plan=plan).comparison.row("sgd-ire").winner.number
    assert run(plan=plan).comparison.row("sgd-ire").unsettled == []
    for name in ("results.jsonl", "trials.jsonl"):
        (run.folder / name).unlink()
    lost = run(plan=plan, fails=(f"sgd-ire-control-mean-{winner:04d}-1",))
    assert lost.comparison.row("sgd-ire").unsettled == ["mean"]


def test_controls_of_a_metric_to_maximise_are_spoken_of_the_other_way_round():
    accuracy = Metric(name="val_accuracy", mode="max")

    def of(name, ends):
        found = Difference(value=sum(ends) / 2, low=ends[0], high=ends[1], units=5, is_better_above=True)
        return SimpleNamespace(name=name, against_method=found, is_tuned=True)

    worse = [
        of(name, LOWER) for name in (KAPPA_0, *CONTROLS)
    ]  # the method's accuracy is lower than each control's
    told = told_of_controls(worse, metric=accuracy)
    assert told[0] == "No evidence that the boost helps sgd-ire: with kappa = 0 the final accuracy is higher."
    better = [of(name, HIGHER) for name in (KAPPA_0, *CONTROLS)]
    (told,) = told_of_controls(better, metric=accuracy)
    assert told.startswith("The choice of coordinates explains sgd-ire's gain: it beats all its controls")


def test_a_single_run_has_no_deviation(run):
    experiment = run(plan=FULL | {"confirm_seeds": 1, "controls": False})
    loss = told_of(experiment)["methods"][0]["metrics"]["val_loss"]
    assert loss["std"] is None
    text = as_markdown(experiment)
    assert f"| {loss['mean']:.4f} |" in text
    assert " ±0" not in text
