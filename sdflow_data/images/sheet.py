"""Sample sheets: tables of patches for visual inspection."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from sdflow.model import SDFlow
from sdflow.resample import bicubic_downscale, quantise, to_levels, to_unit

_CELL, _GAP, _HEADER = 160, 4, 24


def sheet(rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str]) -> np.ndarray:
    """A table of patches under titles, enlarged to one size by nearest-neighbour interpolation.

    Args:
        rows: rows of patches, uint8 (h, w, 3) RGB, one for each title.
        titles: the titles of the columns.

    Returns:
        uint8 (H, W, 3).
    """
    step = _CELL + _GAP
    page = np.full((_HEADER + step * len(rows), step * len(titles), 3), 255, np.uint8)
    for column, title in enumerate(titles):
        place = (column * step + 2, _HEADER - 8)
        cv2.putText(page, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    for y, row in enumerate(rows):
        for x, patch in enumerate(row):
            cell = cv2.resize(patch, (_CELL, _CELL), interpolation=cv2.INTER_NEAREST)
            top, left = _HEADER + y * step, x * step
            page[top : top + _CELL, left : left + _CELL] = cell
    return page


@torch.no_grad()
def sample_sheet(model: SDFlow, hr: Tensor, lr: Tensor, device: str) -> tuple[np.ndarray, float, float]:
    """A sheet of samples of a model: HR, bicubic, four samples, the mean of the samples, real LR.

    Args:
        model: the model.
        hr: uint8 (B, 3, P, P).
        lr: uint8 (B, 3, P/s, P/s), real LR patches of other scenes.
        device: the device of the model.

    Returns:
        The sheet, uint8 (H, W, 3); the largest difference of a channel's mean between samples and bicubic, in
        grey levels; the root mean square difference between samples and bicubic, in grey levels.
    """
    y = to_unit(hr.to(device))
    content = model.encode_hr(y)
    generator = torch.Generator(device).manual_seed(0)
    samples = to_levels(model.sample_lr(content.repeat(4, 1, 1, 1), generator)).unflatten(0, (4, len(y)))
    bicubic = to_levels(bicubic_downscale(y, model.scale))
    drift = (samples.mean((0, 1, 3, 4)) - bicubic.mean((0, 2, 3))).abs().max()
    difference = (samples - bicubic).square().mean().sqrt()
    columns = [hr, bicubic, *samples, samples.mean(0), lr]
    titles = ["HR", "bicubic", "sample 1", "sample 2", "sample 3", "sample 4", "mean of 4", "real LR"]
    pictures = [quantise(column.float().nan_to_num()).cpu().permute(0, 2, 3, 1).numpy() for column in columns]
    return sheet(list(zip(*pictures)), titles), float(drift), float(difference)
