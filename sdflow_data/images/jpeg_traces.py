"""Estimation of the last JPEG compression of a decoded picture.

On the right grid, the DCT coefficients of a decoded JPEG picture are close to multiples of the quantisation
steps (Fan and de Queiroz, IEEE TIP 2003). Pictures that were resized or changed after JPEG have no such grid.
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
"""Probability of a coefficient with another value."""

_WINDOW, _WINDOWS = 128, 6
"""Side of the windows that are examined, in pixels, and their number."""

_TEXTURED = 256
"""Number of blocks that are compared with quantisation steps."""

_DCT = dct(np.eye(_SIDE, dtype=np.float32), axis=0, norm="ortho")
_FINE = 94
"""The quality from which on subsampling changes chroma more than quantisation does."""

_HALF_SIZE = 0.91
"""Ratio of third differences below which chroma counts as subsampled; see `_half_size`."""

_CHROMA_OF_RGB = np.array([[-0.169, 0.5], [-0.331, -0.419], [0.5, -0.081]], np.float32)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_LEAST_EVIDENCE = 100.0
"""Threshold of the log likelihood ratio over all windows. Pictures without JPEG reached up to 20."""

_STEPS = np.array([standard_tables(quality)[0][1:] for quality in QUALITIES], np.float32)
"""(qualities, 63): quantisation steps of luma."""

_PER_LEVEL, _MOST = 16, 128
"""Resolution of the tabulated coefficients (values per grey level), and their largest size in grey levels.
Larger coefficients are rare and are left out."""


def lattice_evidence(coefficients: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Log likelihood ratio of "multiples of the quantisation steps, plus rounding" against "any value".

    Coefficients of zero count against a quality, but never for it.

    Args:
        coefficients: (M, n, 63), the AC coefficients of n luma blocks of each of M pictures.
        usable: bool (M, n): the blocks that count.

    Returns:
        (M, qualities): the ratio of each picture for each of `QUALITIES`, in nats; 0 without usable blocks.
    """
    if not usable.size:
        return np.zeros((len(usable), len(QUALITIES)), np.float32)
    sizes = np.rint(np.abs(coefficients) * _PER_LEVEL).astype(np.int64)
    counted = usable[:, :, None] & (sizes < _MOST * _PER_LEVEL)
    rows = np.where(counted, sizes, 0) + _MOST * _PER_LEVEL * np.arange(_STEPS.shape[1])
    # In the order of the frequencies, because the table of one frequency fits the cache.
    indices, weights = (
        torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, 2, 0)).reshape(-1, values.shape[1]))
        for values in (rows, counted.astype(np.float32))
    )
    sums = functional.embedding_bag(indices, _evidence_by_size(), mode="sum", per_sample_weights=weights)
    evidence: np.ndarray = sums.numpy().reshape(_STEPS.shape[1], len(rows), len(QUALITIES)).sum(axis=0)
    return evidence


@lru_cache(maxsize=1)
def _evidence_by_size() -> torch.Tensor:
    """(63 * sizes, qualities): the ratio of one coefficient, for each frequency and size up to `_MOST`."""
    sizes = np.arange(_MOST * _PER_LEVEL, dtype=np.float32)[:, None] / _PER_LEVEL
    steps, indices = np.unique(_STEPS, return_inverse=True)
    whole = np.rint(sizes / steps)
    off = (sizes - whole * steps) / _ROUNDING
    peak = (1 - _OUTLIERS) * steps / (_ROUNDING * math.sqrt(2 * math.pi))
    ratio = np.log(peak * np.exp(-0.5 * off * off) + _OUTLIERS)
    ratio = np.where(whole == 0, np.minimum(ratio, 0), ratio)
    ratio *= steps > 1  # steps of 1 are indistinguishable from no compression
    by_frequency = indices.reshape(_STEPS.shape).T
    return torch.from_numpy(np.concatenate([np.take(ratio, of_steps, axis=1) for of_steps in by_frequency]))


def estimate_jpeg(picture: np.ndarray) -> Jpeg | None:
    """The last JPEG compression of a decoded picture; None if there is no trace.

    The grid may begin anywhere, as in cropped pictures. The tables are those of libjpeg for the nearest
    quality.

    Args:
        picture: uint8 (H, W, 3), RGB, at least 32 x 32.
    """
    windows = _windows(picture)
    if not windows:
        return None
    greys = [window @ _GREY for window in windows]
    clipped = [np.any((window <= 0) | (window >= 255), axis=2, keepdims=True)[..., 0] for window in windows]
    best, quality, phase = _LEAST_EVIDENCE, 0, (0, 0)
    for candidate in _likely_phases(greys):
        found = _coefficients(greys, clipped, candidate)
        (evidence,) = lattice_evidence(found[None], np.ones((1, len(found)), bool))
        if evidence.max() > best:
            best, quality, phase = evidence.max(), QUALITIES[int(evidence.argmax())], candidate
    if not quality:
        return None
    if quality < _FINE:
        return min(_candidates(quality, phase), key=lambda jpeg: _change(windows, jpeg))
    across, down = (
        _half_size(w, start)
        for w, start in ((windows, phase[1]), ([window.swapaxes(0, 1) for window in windows], phase[0]))
    )
    subsampling: Subsampling = "4:4:4" if not across else "4:2:2" if not down else "4:2:0"
    return Jpeg.of_quality(quality, subsampling, phase)


def _windows(picture: np.ndarray) -> list[np.ndarray]:
    """Windows of a picture that begin at multiples of 16 pixels, spread evenly over it."""
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
    """(n, 63): the AC coefficients of the blocks with the most texture and without clipped pixels."""
    whole = ~np.concatenate([_blocks(mask, phase).any(axis=(1, 2)) for mask in clipped])
    blocks = np.concatenate([_blocks(grey, phase) for grey in greys])[whole]
    found = _transform(blocks).reshape(-1, _SIDE * _SIDE)[:, 1:]
    return found[np.argsort(-np.square(found).sum(axis=1), kind="stable")[:_TEXTURED]]


def _transform(blocks: np.ndarray) -> np.ndarray:
    """The orthonormal DCT of blocks (n, 8, 8)."""
    return _DCT @ blocks @ _DCT.T


def _likely_phases(greys: list[np.ndarray]) -> list[tuple[int, int]]:
    """Candidate phases of the grid: those with the most zero coefficients, and the corner."""
    vanishing = np.zeros((_SIDE, _SIDE))
    for down in range(_SIDE):
        for right in range(_SIDE):
            blocks = np.concatenate([_blocks(grey, (down, right)) for grey in greys[::2]])
            vanishing[down, right] = (np.abs(_transform(blocks)) < 2 * _ROUNDING).mean()
    order = np.argsort(-vanishing, axis=None, kind="stable")[:2]
    return list(dict.fromkeys([(int(i) // _SIDE, int(i) % _SIDE) for i in order] + [(0, 0)]))


def _candidates(quality: int, phase: tuple[int, int]) -> list[Jpeg]:
    """The possible subsamplings, each with the possible phases of its MCUs."""
    down, right = phase
    offsets: dict[Subsampling, list[tuple[int, int]]] = {
        "4:4:4": [(0, 0)],
        "4:2:2": [(0, 0), (0, _SIDE)],
        "4:2:0": [(0, 0), (0, _SIDE), (_SIDE, 0), (_SIDE, _SIDE)],
    }
    return [
        Jpeg.of_quality(quality, subsampling, (down + below, right + beside))
        for subsampling, places in offsets.items()
        for below, beside in places
    ]


def _change(windows: list[np.ndarray], jpeg: Jpeg) -> float:
    """The squared change of the inner part of windows by a compression; small for the one that they had."""
    inside = slice(UNIT, -UNIT)
    coded = [jpeg.apply(window)[inside, inside].astype(np.float32) for window in windows]
    return sum(
        float(np.square(pixels - window[inside, inside]).sum()) for pixels, window in zip(coded, windows)
    )


def _half_size(windows: list[np.ndarray], phase: int) -> bool:
    """Whether chroma was stored at half the size along the second axis.

    libjpeg upsamples chroma with the weights 3/4 and 1/4. Every second third difference (1, -3, 3, -1) is
    therefore zero, apart from rounding. Differences across block borders are left out.
    """
    roughness = np.zeros((2, 2))  # for even and odd positions: sum and count
    for window in windows:
        third = np.abs(np.diff(window @ _CHROMA_OF_RGB, n=3, axis=1)).sum(axis=(0, 2))
        positions = (np.arange(len(third)) - phase) % _SIDE
        for parity in (0, 1):
            chosen = (positions <= _SIDE - 4) & (positions % 2 == parity)
            roughness[parity] += third[chosen].sum(), chosen.sum()
    even, odd = roughness[:, 0] / np.maximum(roughness[:, 1], 1)
    return bool(odd < _HALF_SIZE * even)
