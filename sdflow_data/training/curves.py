"""A training's curves and sample pictures for TensorBoard, where that is installed."""

from pathlib import Path

import numpy as np

_STEPS_BETWEEN = 10
"""Between two values of a curve: ``metrics.csv`` has every step."""


class Curves:
    """Writes event files; does nothing without a folder, or without TensorBoard.

    Args:
        folder: of the event files.
        step: that a run goes on from: what an interrupted one wrote of later steps is not shown any more.
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
        """A row of ``metrics.csv``: every tenth, and those with a validation number."""
        step = int(row["step"])
        if self._writer is None or (step % _STEPS_BETWEEN and "val_psnr" not in row):
            return
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, step)

    def show(self, picture: np.ndarray, step: int) -> None:
        """A sample picture, uint8 (H, W, 3)."""
        if self._writer is not None:
            self._writer.add_image("samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still waiting."""
        if self._writer is not None:
            self._writer.close()
