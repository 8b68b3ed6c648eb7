"""Frames: pandas tables with one row per sample and one column per statistic."""

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from sdflow.noise import derive_seed

from .batch import Batch, bicubic_lr
from .registry import STATISTICS, measure

_SAMPLES_AT_ONCE = 64

LR_COLUMNS = tuple(s.name for s in STATISTICS.values() if s.needs == "lr")
"""The statistics that need no HR."""


def frame_of_pairs(hr: np.ndarray, lr: np.ndarray, groups: Sequence[Hashable] | None = None) -> pd.DataFrame:
    """All statistics of LR/HR pairs.

    Args:
        hr: (N, s*p, s*p, 3) uint8.
        lr: (N, K, p, p, 3) uint8 (or grey levels as float): K variants of each patch.
        groups: N names of the photographs of the patches. Samples of one photograph are not independent, and
            comparisons respect that. None for patches of different photographs.

    Returns:
        N*K rows, with consecutive variants of a patch; columns ``group``, ``patch``, ``variant`` and the
        statistics. Statistics of ``variants`` are equal in all rows of a patch.
    """
    return _frame(lr, hr, groups, tuple(STATISTICS))


def frame_of_patches(lr: np.ndarray, groups: Sequence[Hashable] | None = None) -> pd.DataFrame:
    """The statistics that need no HR, of (N, p, p, 3) uint8 patches; otherwise as `frame_of_pairs`."""
    return _frame(lr[:, None], None, groups, LR_COLUMNS)


def frame_of_images(images: Sequence[np.ndarray], size: int = 64, most: int = 2000) -> pd.DataFrame:
    """The statistics that need no HR, of patches cut from whole photographs (H, W, 3) uint8.

    Compare only sets of the same ``size``. At most ``most`` patches are cut, equally from all photographs.
    """
    each = -(-most // max(1, len(images)))
    cut = [cut_patches(image, size, each) for image in images]
    groups = [number for number, patches in enumerate(cut) for _ in patches]
    if not groups:
        raise ValueError(f"images: expected some of at least {size}x{size} pixels, got none")
    return frame_of_patches(np.concatenate(cut), groups)


def bicubic_frame(hr: np.ndarray, size: int, groups: Sequence[Hashable] | None = None) -> pd.DataFrame:
    """`frame_of_pairs` of the bicubic LR, 8 bits, of size ``size``."""
    return frame_of_pairs(hr, bicubic_patches(hr, size)[:, None], groups)


def bicubic_patches(hr: np.ndarray, size: int) -> np.ndarray:
    """(N, s*p, s*p, 3) to bicubic LR, rounded to uint8 (N, p, p, 3)."""
    return np.rint(bicubic_lr(hr, size)).astype(np.uint8)


def cut_patches(image: np.ndarray, size: int, most: int, seed: int = 0) -> np.ndarray:
    """Up to ``most`` disjoint patches of a photograph, (M, size, size, 3).

    They lie on a grid from the corner in multiples of 8, so that JPEG blocks of a photograph begin at their
    corners. The choice depends on the seed and the photograph's size.
    """
    step = -(-size // 8) * 8
    places = [
        (top, left)
        for top in range(0, image.shape[0] - size + 1, step)
        for left in range(0, image.shape[1] - size + 1, step)
    ]
    draw = np.random.default_rng(derive_seed(seed, *image.shape[:2]))
    chosen = sorted(draw.permutation(len(places))[:most])
    patches = [image[top : top + size, left : left + size] for top, left in (places[i] for i in chosen)]
    return np.stack(patches) if patches else np.empty((0, size, size, 3), np.uint8)


def _frame(
    lr: np.ndarray, hr: np.ndarray | None, groups: Sequence[Hashable] | None, names: Sequence[str]
) -> pd.DataFrame:
    patches, variants = lr.shape[:2]
    if groups is not None and len(groups) != patches:
        raise ValueError(f"groups: expected {patches}, one per patch, got {len(groups)}")
    step = max(1, _SAMPLES_AT_ONCE // variants)
    parts = [
        measure(Batch(lr[start : start + step], None if hr is None else hr[start : start + step]), names)
        for start in range(0, patches, step)
    ]
    places = {
        "group": np.repeat(np.asarray(range(patches) if groups is None else groups), variants),
        "patch": np.repeat(np.arange(patches), variants),
        "variant": np.tile(np.arange(variants), patches),
    }
    return pd.DataFrame(places | {name: np.concatenate([part[name] for part in parts]) for name in names})
