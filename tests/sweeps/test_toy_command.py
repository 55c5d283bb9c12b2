"""`ire toy`: the law holds as the paper says, and would not for another one."""

import dataclasses

from typer.testing import CliRunner

from ire.sweeps.command.app import app
from ire.toy.figure import laws


def test_the_figure_is_drawn_and_the_law_holds(tmp_path):
    done = CliRunner().invoke(app, ["toy", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "is unaffected: yes" in done.output
    assert b"<svg" in (tmp_path / "toy.svg").read_bytes()
    kappas = {law.kappa for law in laws()}
    assert {10.0, 20.0} <= kappas  # 1/rho, the bound of the theorems


def test_a_law_that_is_off_is_found_out():
    law = laws()[1]
    for change in (
        {"predicted": law.predicted / 2},
        {"acceleration": law.acceleration * 1.2},
        {"width": 1.2},
    ):
        assert law.holds
        assert not dataclasses.replace(law, **change).holds
