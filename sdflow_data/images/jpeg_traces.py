"""Estimates the last JPEG compression of a decoded picture.

On the right grid, the DCT coefficients of a decoded JPEG picture lie near whole quantisation steps; those of
other pictures lie anywhere. A picture that was resized or changed after JPEG has no grid and shows no trace.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.fft import dct
from torch.nn import functional

from .codec import UNIT, Jpeg, Subsampling, standard_tables

QUALITIES = tuple(range(20, 100))
"""Candidate qualities. A quality of 100 has steps of 1, which leave no trace."""

_SIDE = 8
_ROUNDING = 0.4
"""Standard deviation of a DCT coefficient after rounding to 8-bit luma and again to 8-bit RGB."""

_OUTLIERS = 0.05
_WINDOW, _WINDOWS = 128, 6
_TEXTURED = 256
"""Number of blocks that are compared with quantisation steps."""

_DCT = dct(np.eye(_SIDE, dtype=np.float32), axis=0, norm="ortho")
_FINE = 94
"""From this quality on, chroma is changed less by quantisation than by subsampling."""

_HALF_SIZE = 0.91
_CHROMA_OF_RGB = np.array([[-0.169, 0.5], [-0.331, -0.419], [0.5, -0.081]], np.float32)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_LEAST_EVIDENCE = 100.0
"""Threshold of the log likelihood ratio over all windows; pictures without JPEG reached up to 20."""

_STEPS = np.array([standard_tables(quality)[0][1:] for quality in QUALITIES], np.float32)
"""(qualities, 63): quantisation steps of luma."""

_PER_LEVEL, _MOST = 16, 128
"""Coefficients are rounded to parts of a level, a sixth of what rounding to 8 bits does to them, and those
beyond so many levels have no say: there are few."""


def lattice_evidence(coefficients: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Log likelihood ratio of "whole steps of a quality, plus rounding" against "anywhere".

    Coefficients of zero can speak against a quality, but not for it.

    Args:
        coefficients: (M, n, 63), of n luma blocks of each of M pictures, without the means.
        usable: (M, n): which blocks count.

    Returns:
        (M, qualities): of each picture, for each of `QUALITIES`; zeros where there is no block.
    """
    if not usable.size:
        return np.zeros((len(usable), len(QUALITIES)), np.float32)
    sizes = np.rint(np.abs(coefficients) * _PER_LEVEL).astype(np.int64)
    told = usable[:, :, None] & (sizes < _MOST * _PER_LEVEL)
    rows = np.where(told, sizes, 0) + _MOST * _PER_LEVEL * np.arange(_STEPS.shape[1])
    # Place by place, since one place's part of the table stays in the cache.
    indices, weights = (
        torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, 2, 0)).reshape(-1, values.shape[1]))
        for values in (rows, told.astype(np.float32))
    )
    sums = functional.embedding_bag(indices, _evidence_by_size(), mode="sum", per_sample_weights=weights)
    evidence: np.ndarray = sums.numpy().reshape(_STEPS.shape[1], len(rows), len(QUALITIES)).sum(axis=0)
    return evidence


@lru_cache(maxsize=1)
def _evidence_by_size() -> torch.Tensor:
    """(63 * sizes, qualities): of one coefficient at each place of a block, of every size up to `_MOST`."""
    sizes = np.arange(_MOST * _PER_LEVEL, dtype=np.float32)[:, None] / _PER_LEVEL
    steps, numbers = np.unique(_STEPS, return_inverse=True)
    whole = np.rint(sizes / steps)
    off = (sizes - whole * steps) / _ROUNDING
    peak = (1 - _OUTLIERS) * steps / (_ROUNDING * math.sqrt(2 * math.pi))
    ratio = np.log(peak * np.exp(-0.5 * off * off) + _OUTLIERS)
    ratio = np.where(whole == 0, np.minimum(ratio, 0), ratio)
    ratio *= steps > 1  # steps of 1 look like no compression at all
    places = numbers.reshape(_STEPS.shape).T
    return torch.from_numpy(np.concatenate([np.take(ratio, place, axis=1) for place in places]))


def estimate_jpeg(picture: np.ndarray) -> Jpeg | None:
    """The last JPEG compression of a decoded picture; None if there is no trace.

    The grid may begin anywhere, as in cropped pictures. The tables are libjpeg's of the nearest quality.

    Args:
        picture: uint8 (H, W, 3), RGB, at least 32 x 32.
    """
    windows = _windows(picture)
    if not windows:
        return None
    greys = [window @ _GREY for window in windows]
    clipped = [np.any((window <= 0) | (window >= 255), axis=2, keepdims=True)[..., 0] for window in windows]
    best, quality, phase = _LEAST_EVIDENCE, 0, (0, 0)
    for place in _likely_phases(greys):
        found = _coefficients(greys, clipped, place)
        (evidence,) = lattice_evidence(found[None], np.ones((1, len(found)), bool))
        if evidence.max() > best:
            best, quality, phase = evidence.max(), QUALITIES[int(evidence.argmax())], place
    if not quality:
        return None
    if quality < _FINE:
        return min(_candidates(quality, phase), key=lambda jpeg: _change(windows, jpeg))
    across, down = (
        _half_size(w, start)
        for w, start in ((windows, phase[1]), ([window.swapaxes(0, 1) for window in windows], phase[0]))
    )
    way: Subsampling = "4:4:4" if not across else "4:2:2" if not down else "4:2:0"
    return Jpeg.of_quality(quality, way, phase)


def _windows(picture: np.ndarray) -> list[np.ndarray]:
    """Parts of a picture that begin at multiples of 16 pixels, spread evenly over it."""
    height, width = (min(side, _WINDOW) for side in picture.shape[:2])
    if min(height, width) < 4 * _SIDE:
        return []
    tops, lefts = (
        np.unique(np.linspace(0, side - part, count).astype(int) // UNIT * UNIT)
        for side, part, count in zip(picture.shape[:2], (height, width), (2, _WINDOWS // 2))
    )
    return [picture[top : top + height, left : left + width] for top in tops for left in lefts]


def _blocks(grey: np.ndarray, phase: tuple[int, int]) -> np.ndarray:
    """(n, 8, 8): the whole blocks of a grid."""
    part = grey[phase[0] :, phase[1] :]
    rows, columns = (side // _SIDE for side in part.shape)
    part = part[: rows * _SIDE, : columns * _SIDE]
    return part.reshape(rows, _SIDE, columns, _SIDE).swapaxes(1, 2).reshape(-1, _SIDE, _SIDE)


def _coefficients(greys: list[np.ndarray], clipped: list[np.ndarray], phase: tuple[int, int]) -> np.ndarray:
    """(n, 63): of the blocks with most texture, among those without clipped pixels."""
    whole = ~np.concatenate([_blocks(mask, phase).any(axis=(1, 2)) for mask in clipped])
    blocks = np.concatenate([_blocks(grey, phase) for grey in greys])[whole]
    found = _transform(blocks).reshape(-1, _SIDE * _SIDE)[:, 1:]
    return found[np.argsort(-np.square(found).sum(axis=1), kind="stable")[:_TEXTURED]]


def _transform(blocks: np.ndarray) -> np.ndarray:
    """The orthonormal DCT of blocks (n, 8, 8)."""
    return _DCT @ blocks @ _DCT.T


def _likely_phases(greys: list[np.ndarray]) -> list[tuple[int, int]]:
    """Candidate places of the grid: where most coefficients vanish, and the corner."""
    vanishing = np.zeros((_SIDE, _SIDE))
    for down in range(_SIDE):
        for right in range(_SIDE):
            blocks = np.concatenate([_blocks(grey, (down, right)) for grey in greys[::2]])
            vanishing[down, right] = (np.abs(_transform(blocks)) < 2 * _ROUNDING).mean()
    order = np.argsort(-vanishing, axis=None, kind="stable")[:2]
    return list(dict.fromkeys([(int(i) // _SIDE, int(i) % _SIDE) for i in order] + [(0, 0)]))


def _candidates(quality: int, phase: tuple[int, int]) -> list[Jpeg]:
    """The place of the units of two blocks, with chroma of half the size."""
    down, right = phase
    ways: dict[Subsampling, list[tuple[int, int]]] = {
        "4:4:4": [(0, 0)],
        "4:2:2": [(0, 0), (0, _SIDE)],
        "4:2:0": [(0, 0), (0, _SIDE), (_SIDE, 0), (_SIDE, _SIDE)],
    }
    return [
        Jpeg.of_quality(quality, way, (down + below, right + beside))
        for way, places in ways.items()
        for below, beside in places
    ]


def _change(windows: list[np.ndarray], jpeg: Jpeg) -> float:
    """The change of the inside of windows by a compression; it is small for their own compression."""
    inside = slice(UNIT, -UNIT)
    coded = [jpeg.apply(window)[inside, inside].astype(np.float32) for window in windows]
    return sum(
        float(np.square(pixels - window[inside, inside]).sum()) for pixels, window in zip(coded, windows)
    )


def _half_size(windows: list[np.ndarray], phase: int) -> bool:
    """Whether chroma was stored at half the size along the second axis.

    libjpeg enlarges chroma by weights of 3/4 and 1/4, so that every other third difference (1, -3, 3, -1)
    vanishes, apart from rounding. Those across borders of blocks are left out.
    """
    roughness = np.zeros((2, 2))  # by parity of the place: sums and counts
    for window in windows:
        third = np.abs(np.diff(window @ _CHROMA_OF_RGB, n=3, axis=1)).sum(axis=(0, 2))
        places = (np.arange(len(third)) - phase) % _SIDE
        for parity in (0, 1):
            chosen = (places <= _SIDE - 4) & (places % 2 == parity)
            roughness[parity] += third[chosen].sum(), chosen.sum()
    even, odd = roughness[:, 0] / np.maximum(roughness[:, 1], 1)
    return bool(odd < _HALF_SIZE * even)
