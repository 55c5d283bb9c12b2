"""Credentials in a storage's URI: they open the store, and nothing else ever holds them."""

import json
import os

import pytest
from simulated import Killed, make_plan, simulate
from typer.testing import CliRunner

from ire.invalid_input import InvalidInput
from ire.storage.credentials import VARIABLE, with_credentials, without_credentials
from ire.storage.storage import below, open_storage
from ire.sweeps.command.app import app
from ire.sweeps.experiments.experiment import open_experiment
from ire.sweeps.experiments.planning import _absolute
from ire.sweeps.records.open_home import home_at, new_home
from ire.sweeps.records.store_home import StoreHome
from ire.sweeps.report import as_json, as_markdown
from ire.sweeps.report.formats.data import write_facts

KEY, SECRET = "AKIAEXAMPLE", "SECRET%2FSECRET"


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch):
    monkeypatch.setenv(VARIABLE, "{}")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("s3://AKIA:SE%2FC@bucket/x?region=eu", "s3://bucket/x?region=eu"),
        ("s3://AKIA:SEC@bucket/x?endpoint_override=http://h:9000&scheme=http", None),
        ("abfs://:SEC@account/x", "abfs://account/x"),
        ("abfss://container@account/x?sig=SEC&sv=2&account_key=SEC", "abfss://container@account/x?sv=2"),
    ],
)
def test_they_are_taken_out_and_put_back_to_open_the_store(given, kept):
    clean = without_credentials(given)
    assert "SEC" not in clean
    assert "AKIA" not in clean
    assert clean == (kept or given.replace("AKIA:SEC@", ""))
    opened = with_credentials(clean)
    assert sorted(opened.replace("?", "&").split("&")) == sorted(given.replace("?", "&").split("&"))
    assert with_credentials(below(clean, "a")) == below(opened, "a")
    assert without_credentials(clean) == clean
    assert with_credentials("s3://other/x") == "s3://other/x"


@pytest.mark.parametrize(
    "location",
    [
        "s3://bucket/x",
        "gs://anonymous@bucket/x",
        "/a/b@c:d",
        "s3://bucket/a@b",
        "file:///x@y",
        "s3://b:9000/a@b",
    ],
)
def test_what_holds_none_stays_as_it_is(location):
    assert without_credentials(location) == location == with_credentials(location)


def test_a_key_with_a_slash_is_refused_without_showing_it():
    with pytest.raises(InvalidInput, match="contains a slash: write it as %2F") as raised:
        open_storage("s3://AKIA:SEC/RET@bucket/x")
    assert "SEC" not in str(raised.value)


@pytest.mark.parametrize(
    "storage", ["s3://", "s3:///", "s3://AKIA:SEC@", "nowhere://AKIA:SEC@x", "s3://A:SEC@b?x=1"]
)
def test_a_storage_that_cannot_be_opened_is_one_line_without_them(storage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for use in (lambda: open_storage(storage), lambda: new_home(storage, "x")):
        with pytest.raises(InvalidInput) as raised:
            use()
        assert "SEC" not in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_sweep_runs_with_them_and_no_file_and_no_screen_holds_them(s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    uri = below(s3.replace("s3://", f"s3://{KEY}:{SECRET}@"), "secret")
    plan = make_plan(methods=("sgd",), trials=3, confirm_seeds=1, curve=())
    home = StoreHome(uri)
    (home.folder / "sweep.toml").write_text(plan.to_toml())
    with home.locked():
        with pytest.raises(Killed):
            simulate(plan, home.folder, kill_after=40, publish=home.publish_records)
        home.publish()
    again = home_at(uri)
    with again.locked():
        simulate(plan, again.folder, publish=again.publish_records)
    experiment = open_experiment(again)
    shown = CliRunner().invoke(app, ["status", uri])
    assert shown.exit_code == 0, shown.output
    assert "secret" in shown.output
    store = open_storage(again.location)
    everything = [
        *(store.read(name) for name in store.names()),
        *(path.read_bytes() for path in again.folder.rglob("*") if path.is_file()),
        *(text.encode() for text in (shown.output, as_markdown(experiment), again.argument, again.location)),
        json.dumps(as_json(experiment)).encode(),
        _absolute(f"{uri}/sgd-0000").encode(),
    ]
    assert not any(secret in text for secret in (KEY.encode(), b"SECRET") for text in everything)
    assert "SECRET" in os.environ[VARIABLE], "workers have them from there"


def test_a_location_that_holds_them_nevertheless_is_shown_without(tmp_path):
    plan = make_plan(methods=("sgd", "sgd-ire"), trials=3, confirm_seeds=1, curve=())
    (tmp_path / "sweep.toml").write_text(plan.to_toml())
    simulate(plan, tmp_path)
    experiment = open_experiment(tmp_path)
    experiment.home.location = "s3://AKIA:SECRET@bucket/x"
    assert "s3://***@bucket/x --curve" in as_markdown(experiment)
    assert "SECRET" not in as_markdown(experiment)


def test_a_report_as_data_hides_them_whatever_it_is_about(tmp_path):
    write_facts({"headline": f"s3://{KEY}:{SECRET}@bucket/sweeps: no verdict"}, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "headline": "s3://***@bucket/sweeps: no verdict"
    }
