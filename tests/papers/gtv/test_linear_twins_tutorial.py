"""The tutorial runs, and says what it claims."""

import runpy
from pathlib import Path

import pytest

TUTORIAL = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "tutorials" / "linear_twins.py"))


def test_divergences_are_predicted() -> None:
    """Within 60% by the cavity at every P, and within 30% by both at the largest."""
    rows = TUTORIAL["divergence_against_P"]()
    for _, measured, cavity, _ in rows:
        assert cavity == pytest.approx(measured, rel=0.6)
    assert rows[-1][2:] == pytest.approx((rows[-1][1],) * 2, rel=0.3)


def test_the_onset_is_near_the_exact_one(capsys: pytest.CaptureFixture[str]) -> None:
    TUTORIAL["main"]()
    exact, found, _ = TUTORIAL["onset_of_twins"]()
    assert found == pytest.approx(exact, rel=2.0)
    assert f"exact {exact:.3f}" in capsys.readouterr().out
