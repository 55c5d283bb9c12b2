"""Curves of another scheduler's runs get the comparison that a sweep's report would make of them."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from simulated import make_plan, simulate
from typer.testing import CliRunner

from ire import open_experiment, verdict
from ire.invalid_input import InvalidInput
from ire.sweeps.command.app import app
from ire.sweeps.findings.comparison import compare
from ire.sweeps.findings.curves.comparison import compare_curves
from ire.sweeps.findings.curves.runs import read_curves
from ire.sweeps.findings.statistics.horizon import ABOVE, BELOW
from ire.sweeps.plan.plan import RULES
from ire.sweeps.report.curves.sentences import curves_findings, curves_headline
from ire.sweeps.report.curves.tables import curves_tables
from ire.sweeps.report.formats.terminal import as_terminal, fitted

TRACK_3 = Path(__file__).parents[3] / "shared" / "data" / "track3-curves.csv.xz"


def table(*arms, horizon=1000, seeds=5, noise=0.001, gradients=None, seed=0) -> pd.DataFrame:
    """Reports of `seeds` runs of each arm: (name, final loss) or (name, final loss, horizon)."""
    generator = np.random.default_rng(seed)
    rows = []
    for name, loss, *own in arms:
        for number in range(seeds):
            end, steps = loss + noise * generator.standard_normal(), own[0] if own else horizon
            for step in (steps // 2, steps):
                row = {"arm": name, "run": f"{name}-{number}-{steps}", "step": step, "horizon": steps}
                row["val_loss"] = end + (steps - step) / steps
                if gradients:
                    row["gradients"] = step * gradients[name]
                rows.append(row)
    return pd.DataFrame(rows)


def judged(
    frame: pd.DataFrame,
    tmp_path,
    *,
    name="curves.csv",
    baselines=("baseline",),
    metric=None,
    mode=None,
    clock=None,
    **columns,
):
    frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_csv(
        tmp_path / name, index=False
    )
    read = read_curves([tmp_path / name], columns, metric=metric, mode=mode)
    return compare_curves(read, baselines=baselines, clock=clock)


def arm(comparison, name):
    return next(arm for arm in comparison.arms if arm.name == name)


CURVE_OF_THE_BASELINE = [("baseline", 3.10, 500), ("baseline", 3.00, 1000), ("baseline", 2.92, 2000)]


@pytest.mark.parametrize("studies", [1, 3])
def test_the_runs_of_a_sweep_get_the_speed_ups_and_verdicts_of_its_report(tmp_path, studies):
    plan = make_plan(
        methods=("sgd", "sgd-ire"), confirm_seeds=4, curve=(0.5, 2.0), studies=studies, rules=RULES, trials=4
    )
    records = simulate(plan, tmp_path).records
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    theirs = compare(plan, records).row("sgd-ire")
    curves = open_experiment(tmp_path).curves  # as `ire export` writes them, the search and all
    ours = judged(curves, tmp_path, baselines=["sgd"], val_loss="test_loss")
    assert ours.paired
    assert ours.judges_methods == (studies == 3)
    mine = arm(ours, "sgd-ire")
    for clock in ("step", "gradient_evaluations"):
        expected = theirs.over.speed_ups[clock]["sgd"]
        found = mine.speed_ups[clock]["sgd"]
        assert found.ratio.value == pytest.approx(expected.ratio.value, rel=1e-9)
        assert (found.ratio.censored, found.units) == (expected.ratio.censored, expected.units)
        assert found.low.value == pytest.approx(expected.low.value, rel=0.02), "other draws of the same means"
        assert found.high.value == pytest.approx(expected.high.value, rel=0.02)
        if studies == 3:
            assert mine.judgements[clock].verdict == theirs.verdicts[clock]


def test_a_speed_up_is_read_from_the_baselines_curve(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92), ("same", 3.00), noise=1e-6)
    comparison = judged(frame, tmp_path)
    assert arm(comparison, "mine").speed_ups["step"]["baseline"].ratio.value == pytest.approx(2.0, rel=1e-2)
    assert arm(comparison, "same").speed_ups["step"]["baseline"].ratio.value == pytest.approx(1.0, rel=1e-3)
    assert comparison.clock == "step"
    assert {clause.name: clause.kept for clause in comparison.contract}["curve"] is True


def test_what_a_step_costs_turns_steps_into_gradient_evaluations(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("sam", 2.92), noise=1e-4, gradients={"baseline": 1, "sam": 2})
    comparison = judged(frame, tmp_path)
    assert comparison.clock == "gradient_evaluations"
    by_clock = arm(comparison, "sam").speed_ups
    steps, gradients = (by_clock[c]["baseline"].ratio.value for c in ("step", "gradient_evaluations"))
    assert gradients == pytest.approx(steps / 2)


@pytest.mark.parametrize(
    ("loss", "horizon", "bound", "side", "verdict_"),
    [
        (2.9, 800, 1.25, ABOVE, "faster"),
        (3.1, 1250, 0.8, BELOW, "slower"),
        (2.9, 1250, 0.8, ABOVE, "not shown"),
        (3.1, 800, 1.25, BELOW, "not shown"),
    ],
)
def test_with_one_horizon_of_the_baseline_a_speed_up_is_a_bound(
    tmp_path, loss, horizon, bound, side, verdict_
):
    comparison = judged(table(("baseline", 3.0), ("mine", loss, horizon)), tmp_path)
    found = arm(comparison, "mine")
    ratio = found.speed_ups["step"]["baseline"].ratio
    assert (ratio.value, ratio.censored) == (pytest.approx(bound), side)
    assert found.judgements["step"].verdict == verdict_
    assert {clause.name: clause.kept for clause in comparison.contract}["curve"] is False


def test_runs_of_common_seeds_are_paired_and_others_are_not(tmp_path):
    generator = np.random.default_rng(1)
    common = 0.1 * generator.standard_normal(6)
    rows = [
        {
            "arm": name,
            "seed": number,
            "step": 100,
            "val_loss": 3 + luck - gain + 1e-3 * generator.standard_normal(),
        }
        for name, gain in (("baseline", 0.0), ("mine", 0.01))
        for number, luck in enumerate(common)
    ]
    paired = judged(pd.DataFrame(rows), tmp_path)
    alone = judged(pd.DataFrame(rows), tmp_path, seed="none", run="seed")
    assert paired.paired
    assert not alone.paired
    (_, low, high), (_, lower, higher) = (arm(c, "mine").differences["baseline"] for c in (paired, alone))
    assert high < 0 < higher
    assert high - low < 0.1 * (higher - lower)


def test_unpaired_intervals_are_those_of_welch(tmp_path):
    from scipy import stats

    frame = table(("baseline", 3.0), ("mine", 2.999), seeds=8, noise=0.002)
    comparison = judged(frame, tmp_path)
    ends = frame[frame.step == 1000].groupby("arm").val_loss.apply(list)
    expected = stats.ttest_ind(ends["mine"], ends["baseline"], equal_var=False).confidence_interval(0.95)
    _, low, high = arm(comparison, "mine").differences["baseline"]
    width = expected.high - expected.low
    assert (low, high) == (
        pytest.approx(expected.low, abs=0.05 * width),  # Behrens and Fisher's own is a little wider
        pytest.approx(expected.high, abs=0.05 * width),
    )
    assert width < high - low


def test_identical_arms_are_seldom_called_different(tmp_path):
    wrong = 0
    for seed in range(30):
        frame = table(("baseline", 3.0), ("mine", 3.0, 800), noise=0.01, seed=seed)
        wrong += arm(judged(frame, tmp_path), "mine").judgements["step"].verdict != "not shown"
    assert wrong <= 3


def test_a_loss_is_read_at_the_horizon_and_nowhere_else(tmp_path):
    """Some go on behind it, and some count their steps from 0."""
    frame = table(("baseline", 3.0), ("mine", 2.9))
    behind = frame[(frame.arm == "mine") & (frame.step == 1000)].assign(step=1500, val_loss=1.0)
    frame = pd.concat([frame, behind])
    frame.loc[(frame.arm == "baseline") & (frame.step == 1000), "step"] = 999
    comparison = judged(frame, tmp_path)
    assert arm(comparison, "mine").main.loss[0] == pytest.approx(2.9, abs=0.01)
    assert arm(comparison, "baseline").main.lost == 0
    assert arm(comparison, "mine").judgements


def test_seeds_and_studies_may_be_words_and_columns_may_be_separated_by_semicolons(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9), seeds=9)
    names = frame.run.str.split("-").str[1]
    frame = frame.assign(study=names.map(lambda n: "ABC"[int(n) % 3]), seed="s" + names).drop(columns="run")
    frame.to_csv(tmp_path / "c.csv", index=False, sep=";", encoding="utf-8-sig")
    comparison = compare_curves(read_curves([tmp_path / "c.csv"]))
    assert (comparison.studies, comparison.paired, comparison.judges_methods) == (3, True, True)
    assert list(arm(comparison, "mine").main.units) == ["A", "B", "C"]


@pytest.mark.parametrize("name", ["c.csv", "c.csv.xz", "c.csv.gz", "c.parquet"])
def test_compressed_and_columnar_files_say_the_same(tmp_path, name):
    frame = table(("baseline", 3.0), ("mine", 2.9, 800))
    found = arm(judged(frame, tmp_path, name=name), "mine")
    assert found.judgements["step"].verdict == "faster"


def test_a_log_that_begins_again_holds_several_runs_and_copies_count_once(tmp_path):
    """The form of modded-nanogpt's logs: several runs in one file, and the same file in two folders."""
    rows = []
    for result, end in (("baseline", 3.28), ("mine", 3.27)):
        for run in range(4):
            rows += [
                {
                    "result": result,
                    "run": "log",
                    "step": s,
                    "of": 300,
                    "val_loss": end + 0.001 * run + (300 - s) / 100,
                }
                for s in (0, 150, 300)
            ]
    rows += [row | {"run": "copy"} for row in rows if row["result"] == "mine"]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "logs.csv.xz", index=False)
    curves = read_curves([tmp_path / "logs.csv.xz"])
    assert curves.columns == {
        **{"arm": "result", "run": "run", "step": "step", "horizon": "of", "val_loss": "val_loss"}
    }
    assert [(run.arm, run.name) for run in curves.runs][:2] == [("baseline", "log"), ("baseline", "log (2)")]
    assert (len(curves.runs), curves.copies) == (8, 4)


def test_a_run_that_ends_early_or_diverges_keeps_its_arm_from_being_judged(tmp_path):
    frame = table(("baseline", 3.0), ("early", 2.9), ("diverged", 2.9))
    frame = frame.astype({"val_loss": object})
    frame.loc[(frame.run == "diverged-0-1000") & (frame.step == 1000), "val_loss"] = "nan"
    frame = frame[~((frame.run == "early-0-1000") & (frame.step == 1000))]
    comparison = judged(frame, tmp_path)
    assert not arm(comparison, "early").judgements
    assert not arm(comparison, "diverged").judgements
    (clause,) = [c for c in comparison.contract if c.name == "schedules"]
    assert clause.kept is False
    assert "early 1 of 5 at 1000; diverged 1 of 5 at 1000" in clause.text
    without = judged(frame.drop(columns="horizon"), tmp_path)
    assert not arm(without, "early").judgements, "a run that ends before its arm's others counts as lost"


def test_too_few_runs_show_nothing(tmp_path):
    comparison = judged(table(("baseline", 3.0), ("mine", 2.0, 500), seeds=2), tmp_path)
    assert not arm(comparison, "mine").judgements
    assert arm(comparison, "mine").speed_ups["step"]["baseline"].ratio.censored == ABOVE


def test_faster_means_faster_than_every_baseline(tmp_path):
    frame = table(("one", 3.0), ("other", 2.5, 820), ("mine", 2.9, 800))
    comparison = judged(frame, tmp_path, baselines=["one", "other"])
    found = arm(comparison, "mine")
    assert found.speed_ups["step"]["one"].p_faster < 0.001
    assert found.judgements["step"].verdict == "not shown"
    assert found.against("step") == "other"


def wandb_chart() -> pd.DataFrame:
    columns = {"Step": [100, 200]}
    for name, end in (("baseline", 3.0), ("adamw-ire", 2.9)):
        for seed in range(3):
            columns[f"{name}-seed{seed} - eval/loss"] = [4.0, end + 0.001 * seed]
            columns[f"{name}-seed{seed} - eval/loss__MIN"] = columns[
                f"{name}-seed{seed} - eval/loss__MAX"
            ] = [4.0, 3.5]
    return pd.DataFrame(columns)


def wandb_history() -> pd.DataFrame:
    rows = [
        {"group": name, "id": f"{name}{seed}", "_step": step, "_runtime": 2.0 * step, "eval/loss": loss}
        for name, end in (("baseline", 3.0), ("adamw-ire", 2.9))
        for seed in range(3)
        for step, loss in ((100, 4.0), (150, None), (200, end + 0.001 * seed))
    ]
    return pd.DataFrame(rows)


def tensorboard_scalars() -> pd.DataFrame:
    rows = [
        {"run": f"{name}_{seed}", "tag": tag, "step": step, "value": loss}
        for name, end in (("baseline", 3.0), ("adamw-ire", 2.9))
        for seed in range(3)
        for tag in ("loss/val_loss", "optimizer/lr")
        for step, loss in ((100, 4.0), (200, end + 0.001 * seed))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("form", [wandb_chart, wandb_history, tensorboard_scalars])
def test_exports_of_others_are_read_by_their_own_columns(tmp_path, form):
    comparison = judged(form(), tmp_path)
    assert [a.name for a in comparison.arms] == ["baseline", "adamw-ire"]
    value, low, high = arm(comparison, "adamw-ire").differences["baseline"]
    assert value == pytest.approx(-0.1)
    assert low < value < high < 0
    assert ("wall" in arm(comparison, "adamw-ire").speed_ups) == (form is wandb_history)
    assert "wall" not in arm(comparison, "adamw-ire").judgements


def test_the_files_of_tensorboards_page_are_runs(tmp_path):
    paths = []
    for name, end in (("baseline", 3.0), ("mine", 2.9)):
        for seed in range(3):
            rows = {"Wall time": [1.7e9, 1.7e9 + 50], "Step": [100, 200], "Value": [4.0, end + 0.001 * seed]}
            paths.append(tmp_path / f"run-{name}-{seed}-tag-val_loss.csv")
            pd.DataFrame(rows).to_csv(paths[-1], index=False)
    found = verdict(paths).comparison
    assert [(a.name, len(a.main.runs)) for a in found.arms] == [("baseline", 3), ("mine", 3)]
    assert found.arms[1].main.runs[0].step_seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "columns", "message"),
    [
        ({}, {"arm": "method"}, r"unknown column for --arm 'method' in .*c\.csv: .*allowed: .*arm"),
        (
            {"val_loss": "loss2"},
            {},
            r"unknown column for val_loss .*did you mean .*loss2.*name it with --val-loss",
        ),
        (
            {},
            {"arm": "none", "run": "horizon"},
            "two losses at step 500: name the column that distinguishes runs",
        ),
    ],
)
def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path, change, columns, message):
    frame = table(("baseline", 3.0), ("mine", 2.9)).sort_values("step").rename(columns=change)
    with pytest.raises(InvalidInput, match=message):
        judged(frame, tmp_path, name="c.csv", **columns)


def test_a_value_that_is_no_number_is_named_with_its_row(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9)).astype({"val_loss": object})
    frame.loc[3, "val_loss"] = "3,1"
    with pytest.raises(InvalidInput, match=r"column 'val_loss', row 5: '3,1' is not a number$"):
        judged(frame, tmp_path)
    with pytest.raises(
        InvalidInput, match=r"column 'arm', row 2: 'baseline' .*--seconds none leaves the column out"
    ):
        judged(table(("baseline", 3.0), ("mine", 2.9)), tmp_path, seconds="arm")


@pytest.mark.parametrize(
    ("baselines", "message"),
    [
        ([], "name one or more baselines with --baseline: one, two"),
        (["on"], "unknown arm for --baseline 'on': did you mean 'one'"),
        (["one", "two"], "every arm is a baseline"),
    ],
)
def test_a_yardstick_that_is_missing_is_asked_for(tmp_path, baselines, message):
    with pytest.raises(InvalidInput, match=message):
        judged(table(("one", 3.0), ("two", 2.9)), tmp_path, baselines=baselines)


def test_in_parquet_a_loss_that_is_no_number_is_divergence_and_a_missing_one_no_report(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9), ("missing", 2.9)).drop(columns="horizon")
    losses = frame.val_loss.tolist()
    rows = range(len(frame))
    first = {
        name: next(i for i in rows if frame.run.iloc[i] == f"{name}-0-1000") for name in ("mine", "missing")
    }
    losses[first["mine"] + 1] = float("nan")  # at its horizon
    losses[first["missing"]] = None  # on its way
    columns = {name: pa.array(frame[name].tolist()) for name in ("arm", "run", "step")}
    pq.write_table(pa.table(columns | {"val_loss": pa.array(losses)}), tmp_path / "c.parquet")
    comparison = compare_curves(read_curves([tmp_path / "c.parquet"]))
    assert (arm(comparison, "mine").main.lost, arm(comparison, "missing").main.lost) == (1, 0)


def test_an_arm_without_a_name_is_named_with_its_row(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9))
    frame.loc[2, "arm"] = None
    with pytest.raises(InvalidInput, match="column 'arm', row 4: the cell is empty; --arm none"):
        judged(frame, tmp_path)


@pytest.mark.parametrize("clock", ["hours", "wall"])
def test_a_clock_without_a_verdict_is_refused(tmp_path, clock):
    table(("baseline", 3.0), ("mine", 2.9)).to_csv(tmp_path / "c.csv")
    with pytest.raises(InvalidInput, match=rf"--clock {clock}: must be one of step, gradient_evaluations"):
        verdict(tmp_path / "c.csv", clock=clock)


@pytest.mark.parametrize(
    ("name", "content"),
    [("c.csv.xz", b"no xz"), ("c.parquet", b"PAR1"), ("c.csv", b""), ("c.csv", b"\xff\xfe\x00")],
)
def test_a_damaged_file_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=name):
        read_curves([tmp_path / name])


@pytest.mark.figures
def test_the_command_prints_the_verdict_and_writes_the_report(tmp_path, monkeypatch):
    frame = table(("baseline", 3.0), ("<b>mine</b>", 2.9, 800))
    frame.to_csv(tmp_path / "curves.csv", index=False)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["verdict", "curves.csv"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "faster (configuration)" in result.output
    assert "This is about configurations, not methods" in result.output
    assert "cannot be checked" in result.output
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert data["about"] == "configurations"
    assert data["arms"][1]["verdict"] == {"step": "faster"}
    assert {clause["clause"]: clause["kept"] for clause in data["contract"]}["budget"] is None
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<b>mine" not in page
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *("report.html", "report.md", "report.json", "ends.png", "ends.svg", "verdict.png", "verdict.svg")
    }


def test_the_command_breaks_no_interval_on_a_terminal_of_80_columns(tmp_path, monkeypatch, capsys):
    table(("baseline", 3.0), ("baseline", 2.9, 800), ("sam-mine", 2.9)).to_csv(tmp_path / "curves.csv")
    monkeypatch.chdir(tmp_path)
    (arms, *_) = curves_tables(verdict("curves.csv").comparison)
    Console(width=80).print(as_terminal(fitted(arms, 80)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    (mine,) = (line for line in lines if "sam-mine" in line)
    assert arms.lines[1][arms.heads.index("steps speed-up")] in mine


@pytest.mark.skipif(
    not TRACK_3.exists(),
    reason="the public curves of modded-nanogpt's track 3 lie beside a developer's checkout",
)
def test_public_logs_of_a_competition_are_told_apart(tmp_path):
    found = verdict(TRACK_3, baseline="20260610_tuned_baseline_3250").comparison
    assert sum(len(side.runs) for a in found.arms for side in a.sides) > 365
    clauses = {clause.name: clause.kept for clause in found.contract}
    assert clauses == {
        **{"runs": True, "schedules": False, "curve": False, "seeds": None, "studies": None},
        **{"cost of a step": None, "budget": None, "choice": None, "hardware": None},
    }
    same = arm(found, "20260611_muonh_tuned_aux_3250")
    assert same.judgements["step"].verdict == "not shown"
    faster = arm(found, "20260514_aurora_proj_pruned_extended_contra")
    assert faster.judgements["step"].verdict == "faster"
    assert str(faster.speed_up("step").ratio) == "≥1.08"
    assert not arm(found, "20260611_tailema_2720_submission").judgements, "its runs end before their schedule"
    ratio = arm(found, "20260430_adamh").speed_ups["step"]["20260610_tuned_baseline_3250"].ratio
    assert ratio.censored == ABOVE


def test_an_arm_of_a_single_study_is_no_method_however_many_studies_the_baseline_has(tmp_path):
    base = pd.concat(
        table(*CURVE_OF_THE_BASELINE).assign(study=study, run=lambda f, n=study: f["run"] + f"-{n}")
        for study in (1, 2, 3)
    )
    mine = table(("mine", 2.92))
    comparison = judged(pd.concat([base, mine[mine["arm"] == "mine"].assign(study=1)]), tmp_path)
    assert comparison.studies == 1
    assert not comparison.judges_methods


def test_a_loss_past_the_horizon_is_not_read(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92, 1000))
    frame["horizon"] = frame["step"].groupby([frame["arm"], frame["run"]]).transform("max")
    mine = frame["arm"] == "mine"
    frame.loc[mine & (frame["step"] == 1000), "step"] = 1010
    comparison = judged(frame, tmp_path)
    assert arm(comparison, "mine").main.lost == len(arm(comparison, "mine").main.runs)
    assert not arm(comparison, "mine").judgements


@pytest.mark.parametrize("who", ["baseline", "mine"])
def test_runs_that_ended_before_their_first_step_are_lost(tmp_path, who):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92))
    crashed = pd.DataFrame(
        {"arm": who, "run": ["x", "y", "z"], "seed": [7, 8, 9], "step": 0, "val_loss": 9.0}
    )
    comparison = judged(pd.concat([frame, crashed]), tmp_path)
    at_0 = arm(comparison, who).sides[0]
    assert (at_0.horizon, at_0.lost) == (0, 3)


def test_a_method_is_not_faster_than_every_baseline_if_one_of_them_lost_its_runs(tmp_path):
    other = [("other", loss, horizon) for _, loss, horizon in CURVE_OF_THE_BASELINE]
    frame = table(*CURVE_OF_THE_BASELINE, *other, ("mine", 2.92))
    both = ("baseline", "other")
    assert arm(judged(frame, tmp_path, baselines=both), "mine").judgements["step"].verdict == "faster"
    frame.loc[frame["arm"] == "other", "val_loss"] = np.inf
    comparison = judged(frame, tmp_path, baselines=both)
    assert arm(comparison, "mine").judgements["step"].verdict == "not shown"
    assert arm(comparison, "mine").against("step") == "other"


def of_studies(*arms, studies=(0, 1, 2), **options):
    """`table`, once a study."""
    parts = [table(*arms, seed=number, **options).assign(study=study) for number, study in enumerate(studies)]
    return pd.concat(part.assign(run=part["run"] + f" of {part['study'].iloc[0]}") for part in parts)


def test_a_horizon_with_a_single_study_is_not_on_the_curve_of_a_baseline_with_three(tmp_path):
    """Its seeds 0, 1 and 2 are not studies 0, 1 and 2."""
    at_t = of_studies(("baseline", 3.0), ("mine", 2.95), seeds=3)
    at_t["seed"] = at_t["run"].str.extract(r"-(\d)-")[0]
    longer = table(("baseline", 2.9, 2000), seeds=3).assign(study=0)
    longer["seed"] = longer["run"].str.extract(r"-(\d)-")[0]
    comparison = judged(pd.concat([at_t, longer]), tmp_path)
    assert [side.horizon for side in arm(comparison, "baseline").curve] == [1000]
    assert comparison.studies == 3
    assert "horizons with too few or lost runs are not on its curve: 3 at 2000" in str(
        curves_findings(comparison)
    )


def test_studies_at_different_horizons_are_not_three_of_one(tmp_path):
    parts = [
        table(("baseline", 3.1 - 0.1 * number, steps), ("mine", 2.95, steps)).assign(study=number)
        for number, steps in enumerate((500, 1000, 2000))
    ]
    comparison = judged(pd.concat(parts), tmp_path)
    assert not comparison.judges_methods
    assert not arm(comparison, "mine").judgements


def test_a_run_without_a_study_beside_runs_with_one_is_named(tmp_path):
    frame = of_studies(("baseline", 3.0), ("mine", 2.9), studies=("a", "b", ""))
    with pytest.raises(InvalidInput, match="run 'baseline-0-1000 of' of 'baseline' has no study"):
        judged(frame, tmp_path)


def test_one_run_under_the_names_of_three_studies_counts_once(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9))
    frame = pd.concat([frame, frame.assign(step=frame["step"] * 3 // 4, val_loss=frame["val_loss"] + 1)])
    comparison = judged(pd.concat(frame.assign(study=study) for study in (1, 2, 3)), tmp_path)
    assert (comparison.copies, comparison.studies) == (20, 1)


def test_slower_names_the_baseline_that_is_faster_and_no_other(tmp_path):
    worse = [("worse", loss + 0.3, horizon) for _, loss, horizon in CURVE_OF_THE_BASELINE]
    comparison = judged(
        table(*CURVE_OF_THE_BASELINE, *worse, ("mine", 3.05)), tmp_path, baselines=("baseline", "worse")
    )
    assert curves_headline(comparison).startswith(
        "the configuration of mine is slower than baseline, in steps: mine 0.7"
    )
    same = judged(
        table(*CURVE_OF_THE_BASELINE, *worse, ("mine", 3.0)), tmp_path, baselines=("baseline", "worse")
    )
    assert "faster than baseline and worse, or slower than one of them" in curves_headline(same)


def test_a_method_that_a_shorter_baseline_beats_is_not_faster(tmp_path):
    overfits = [("baseline", 2.9, 500), ("baseline", 3.0, 1000), ("baseline", 3.1, 2000)]
    comparison = judged(table(*overfits, ("mine", 2.95), ("better", 2.85)), tmp_path)
    assert arm(comparison, "mine").judgements["step"].verdict == "not shown"
    assert arm(comparison, "better").judgements["step"].verdict == "faster"
    assert any("baseline ends as well after fewer steps" in line for line in curves_findings(comparison))


def test_gradient_evaluations_between_the_losses_are_counted_and_unknown_ones_are_told(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9), gradients={"baseline": 1, "mine": 2})
    frame.loc[frame["step"] == 1000, "gradients"] = None
    assert judged(frame, tmp_path).clock == "gradient_evaluations"
    frame.loc[frame["run"] == "mine-0-1000", "gradients"] = None
    comparison = judged(frame, tmp_path)
    (clause,) = [clause for clause in comparison.contract if clause.name == "cost of a step"]
    assert (comparison.clock, clause.kept) == ("step", None)
    assert clause.text.endswith("some runs have no gradient evaluations")


def test_a_baseline_that_is_named_twice_is_one(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9))
    assert len(judged(frame, tmp_path, baselines=("baseline", "baseline")).baselines) == 1


def test_a_part_of_a_run_is_a_copy_of_it(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92))
    again = frame[(frame["arm"] == "mine") & (frame["step"] == 500)]
    comparison = judged(pd.concat([frame, again]), tmp_path)
    assert comparison.copies == 5
    assert not arm(comparison, "mine").main.lost


def test_a_seed_at_several_horizons_is_several_runs(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92))
    frame["seed"] = frame["run"].str.extract(r"-(\d)-")[0]
    comparison = judged(frame.drop(columns="run"), tmp_path)
    assert [len(side.whole) for side in arm(comparison, "baseline").sides] == [5, 5, 5]
    assert curves_headline(comparison) == curves_headline(judged(frame, tmp_path))


def test_names_of_runs_that_look_like_large_numbers_stay_apart(tmp_path):
    frame = table(("baseline", 3.0), ("mine", 2.9))
    frame["run"] = "12e" + (100 + frame["run"].astype("category").cat.codes).astype(str)
    assert len(arm(judged(frame, tmp_path), "mine").main.runs) == 5


def test_a_head_in_quotation_marks_is_read(tmp_path):
    table(("baseline", 3.0), ("mine", 2.9)).to_csv(
        tmp_path / "quoted.csv", index=False, quoting=csv.QUOTE_ALL
    )
    assert read_curves([tmp_path / "quoted.csv"]).arms == ["baseline", "mine"]


@pytest.mark.parametrize("form", ["lines", "records", "columns"])
def test_json_says_the_same(tmp_path, form):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92), ("lost", 2.92))
    frame.loc[(frame["arm"] == "lost") & (frame["step"] == 1000), "val_loss"] = float("nan")
    rows = frame.to_dict("records")
    path = tmp_path / ("curves.jsonl" if form == "lines" else "curves.json")
    if form == "lines":
        path.write_text(
            "\n".join([*map(json.dumps, rows), '{"arm": "mine", "step": 1, "val_loss": null}', ""])
        )
    else:
        path.write_text(json.dumps(rows if form == "records" else frame.to_dict("list")))
    comparison = compare_curves(read_curves([path]), baselines=["baseline"])
    frame["val_loss"] = frame["val_loss"].map(repr)
    assert curves_headline(comparison) == curves_headline(judged(frame, tmp_path))
    assert arm(comparison, "lost").main.lost == 5


def test_runs_that_diverge_or_saturate_at_once_are_no_copies(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92))
    frame["val_loss"] = frame["val_loss"].map(repr)
    more = frame[frame["step"] == 500].assign(step=250)
    frame = pd.concat([frame, more])
    frame.loc[(frame["arm"] == "mine") & frame["run"].str.contains("-[012]-"), "val_loss"] = "nan"
    comparison = judged(frame, tmp_path)
    assert (comparison.copies, arm(comparison, "mine").main.lost) == (0, 3)
    assert "mine 3 of 5" in {clause.name: clause.text for clause in comparison.contract}["schedules"]
    frame["val_loss"] = np.where(frame["arm"] == "mine", "0.0", frame["val_loss"].replace("nan", "9"))
    assert arm(judged(frame, tmp_path), "mine").judgements["step"].verdict == "faster"


def test_rows_may_be_doubled_and_in_no_order(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92))
    early = [frame[frame["step"] == 500].assign(step=step) for step in (1, 2)]
    frame = pd.concat([frame, *early])
    doubled = pd.concat([frame, frame]).sample(frac=1, random_state=3)
    assert [len(side.whole) for side in arm(judged(doubled, tmp_path), "baseline").sides] == [5, 5, 5]
    assert not arm(judged(doubled, tmp_path), "mine").main.lost


@pytest.mark.parametrize("studies", [1, 2])
def test_the_contract_says_why_there_is_no_verdict(tmp_path, studies):
    frame = pd.concat(
        table(*CURVE_OF_THE_BASELINE, ("mine", 2.92), seeds=2, seed=n).assign(study=n) for n in range(studies)
    )
    for arms, kept in (("baseline, mine", False), ("mine", True)):
        comparison = judged(frame, tmp_path)
        assert curves_headline(comparison).startswith("no verdict: too few whole runs or studies")
        (runs,) = (clause for clause in comparison.contract if clause.name == "runs")
        assert (runs.kept, runs.text.split(": ")[-1]) == (kept, arms)
        again = frame[frame["arm"] == "baseline"]
        more = [
            again.assign(run=again["run"] + word, study=again["study"] + 2 * (studies - 1)) for word in "ab"
        ]
        frame = pd.concat([frame, *(each.assign(val_loss=each["val_loss"] + 0.001) for each in more)])


def test_arms_with_some_common_seeds_are_not_said_to_share_none(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92))
    frame["seed"] = frame["run"].str.extract(r"-(\d)-")[0]
    comparison = judged(frame[(frame["arm"] != "mine") | (frame["seed"] != "0")], tmp_path)
    (seeds,) = (clause for clause in comparison.contract if clause.name == "seeds")
    assert (seeds.kept, comparison.paired) == (None, False)
    assert seeds.text.startswith("the arms do not all have runs of the same seeds")


@pytest.mark.parametrize(("loss", "words"), [(2.9, "better"), (3.1, "worse"), (3.0, None)])
def test_an_arm_that_is_better_than_a_baseline_with_one_horizon_is_told_what_to_run(tmp_path, loss, words):
    found = curves_findings(judged(table(("baseline", 3.0), ("mine", loss)), tmp_path))
    runs = {"better": "longer", "worse": "shorter", None: ""}[words]
    assert any(
        f"mine ends {words} than baseline" in each and f"{runs} runs" in each for each in found
    ) is bool(words)


def test_an_empty_file_of_json_is_one_line(tmp_path):
    (tmp_path / "curves.json").write_text("")
    with pytest.raises(InvalidInput, match=r"cannot be read as .*\.json.*: Expecting value"):
        read_curves([tmp_path / "curves.json"])


def test_the_studies_of_two_exported_sweeps_are_not_the_same(tmp_path):
    paths = [tmp_path / f"{n}.csv" for n in range(2)]
    for n, path in enumerate(paths):
        rows = [
            table(*CURVE_OF_THE_BASELINE, ("mine", 2.92), seeds=2, seed=10 * n + study).assign(study=study)
            for study in (1, 2, 3)
        ]
        exported = pd.concat(rows).assign(stage="confirm", variant="").rename(columns={"run": "trial"})
        exported.to_csv(path, index=False)
    comparison = compare_curves(read_curves(paths), baselines=["baseline"])
    assert (comparison.studies, comparison.paired) == (6, True)


def test_runs_without_a_horizon_are_not_known_to_be_whole_beside_runs_with_one(tmp_path):
    frame = table(*CURVE_OF_THE_BASELINE, ("mine", 2.92))
    frame.loc[frame["arm"] == "mine", "horizon"] = np.nan
    frame = frame[(frame["step"] < 1000) | ~frame["run"].str.contains("mine-[01]-")]
    comparison = judged(frame, tmp_path)
    assert arm(comparison, "mine").main.lost == 2
    (clause,) = (clause for clause in comparison.contract if clause.name == "schedules")
    assert (clause.kept, "5 runs have no horizon" in clause.text) == (False, True)
    three = judged(frame[(frame["step"] < 1000) | ~frame["run"].str.contains("mine-2-")], tmp_path)
    assert {clause.name: clause.kept for clause in three.contract}["schedules"] is None


def test_the_records_of_a_sweep_are_refused(tmp_path):
    (tmp_path / "sweep.toml").touch()
    table(("baseline", 3.0), ("mine", 2.9)).to_json(tmp_path / "results.jsonl", orient="records", lines=True)
    with pytest.raises(InvalidInput, match="is an experiment of ire"):
        read_curves([tmp_path / "results.jsonl"])


def test_of_several_charts_the_validation_loss_is_read(tmp_path):
    frame = pd.DataFrame({"Step": [1, 2], "a-1 - train/loss": [9, 9], "a-1 - eval/loss": [3, 2]})
    frame.to_csv(tmp_path / "chart.csv", index=False)
    (run,) = read_curves([tmp_path / "chart.csv"]).runs
    assert run.losses.tolist() == [3, 2]
    frame.rename(columns={"a-1 - eval/loss": "a-1 - score"}).to_csv(tmp_path / "chart.csv", index=False)
    with pytest.raises(
        InvalidInput, match=r"unknown metric for --val-loss 'val_loss' in .*train/loss, score"
    ):
        read_curves([tmp_path / "chart.csv"])
