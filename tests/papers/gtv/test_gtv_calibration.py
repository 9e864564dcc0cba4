"""`find_onset` where the onset is known exactly: its intervals hold it as often as they say."""

import pytest
import torch

from twinsplit.noise.reference import Noise
from twinsplit.papers.gtv.twins import Calibration, calibrate, exact_curves


@pytest.mark.slow
def test_nominal_90_percent_intervals_cover_85_to_95_percent() -> None:
    """200 repetitions, 16 twins each; a coverage of 90% has a standard error of 2.1 points."""
    setting = Calibration()
    _, rows = calibrate(setting)
    assert len(rows) == 200
    for name in ("onset_covered", "test_minimum_covered", "gap_covered"):
        share = sum(rows[name].to_pylist()) / len(rows)
        assert 0.85 <= share <= 0.95, f"{name}: {share:.3f}"


def test_a_few_repetitions_find_the_exact_onset() -> None:
    setting = Calibration(repetitions=8, draws=200)
    truth, rows = calibrate(setting)
    found = torch.tensor([step for step in rows["onset"].to_pylist() if step is not None])
    assert 0.5 < float(found.median()) / truth.onset < 2
    assert sum(rows["onset_covered"].to_pylist()) >= 5
    assert truth.onset == exact_curves(setting.twins(Noise(0, "calibration")), truth.steps).onset
