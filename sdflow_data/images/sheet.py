"""Sample sheets: tables of patches for visual inspection."""

from collections.abc import Sequence

import cv2
import numpy as np

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
