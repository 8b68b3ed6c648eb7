"""Progress away from a terminal: plain lines, and silence for short work."""

import pytest

from sdflow_data.system import progress as module
from sdflow_data.system.progress import progress


def test_iterating_gives_every_item_once() -> None:
    assert list(progress([3, 1, 2], "counting", "numbers")) == [3, 1, 2]


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    list(progress(range(3), "counting", "numbers"))
    assert capsys.readouterr().err == ""


def test_long_work_prints_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress(4, "making", "patches") as bar:
        bar.update(2)
        bar.note("1 redrawn")
        bar.update(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "making: 2 of 4 patches, 0 s"
    assert lines[-1] == "making: 4 of 4 patches, 0 s, 1 redrawn"
    assert not any("\r" in line for line in lines)
