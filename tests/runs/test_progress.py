"""Plain lines of progress: how far, and from the second report on how long it still takes."""

import pytest

from twinsplit.runs import progress as module
from twinsplit.runs.progress import progress


def test_the_time_left_is_said_from_the_second_report_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([100.0, 160.0, 220.0, 300.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress("train", 10) as report:
        report(2, "training loss 1.5")
        report(4, "training loss 1.4")
        report(9)
        report(10)
    assert capsys.readouterr().err.splitlines() == [
        "train: started",
        "train: 2/10  training loss 1.5",
        "train: 4/10  training loss 1.4, about 3 minutes left",  # 30 s each since the first report
        "train: 9/10  about 17 seconds left",
        "train: 10/10",
    ]


def test_a_stage_that_goes_back_says_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("generate", 10) as report:
        report(9)
        report(2)
    assert "left" not in capsys.readouterr().err
