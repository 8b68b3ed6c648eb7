"""Curves for TensorBoard: there where it is installed, and without what an interrupted run got wrong."""

import sys
from pathlib import Path

import numpy as np
import pytest

from sdflow_data.training.curves import Curves


def test_without_tensorboard_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    curves = Curves(tmp_path / "tensorboard", 0)
    curves.add({"step": 10, "cycle": 1.0})
    curves.show(np.zeros((4, 4, 3), np.uint8), 10)
    curves.close()
    assert not (tmp_path / "tensorboard").exists()


def test_a_resumed_run_replaces_the_steps_after_the_one_that_it_goes_on_from(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, steps, value in ((0, (10, 20, 30), 1.0), (15, (20, 30, 40), 2.0)):
        curves = Curves(tmp_path, start)
        for step in steps:
            curves.add({"step": step, "cycle": value})
        curves.add({"step": steps[-1] + 1, "cycle": 9.0})  # between two tenths
        curves.show(np.zeros((4, 4, 3), np.uint8), steps[-1])
        curves.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("cycle")] == [(10, 1), (20, 2), (30, 2), (40, 2)]
    assert [e.step for e in events.Images("samples")] == [40]
