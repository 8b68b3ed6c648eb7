"""Curves and sample sheets of a training for TensorBoard, if it is installed."""

from pathlib import Path

import numpy as np

_STEPS_BETWEEN = 10
"""Steps between two values of a curve. ``metrics.csv`` has all steps."""


class Curves:
    """Writes event files. Without a folder, or without TensorBoard, it does nothing.

    Args:
        folder: the folder of the event files.
        step: the step that a run continues from. Later steps of an interrupted run are hidden.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        self._writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, row: dict[str, float]) -> None:
        """Write a row of ``metrics.csv``, if it is a tenth row or has a validation."""
        step = int(row["step"])
        if self._writer is None or (step % _STEPS_BETWEEN and "val_psnr" not in row):
            return
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, step)

    def show(self, picture: np.ndarray, step: int) -> None:
        """Write a sample sheet, uint8 (H, W, 3)."""
        if self._writer is not None:
            self._writer.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the files."""
        if self._writer is not None:
            self._writer.close()
