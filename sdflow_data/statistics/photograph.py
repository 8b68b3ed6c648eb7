"""One photograph: its codec, noise, blur, enlargement, colours and fingerprint, from its pixels alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..images.codec import Jpeg, read_jpeg
from ..images.jpeg_traces import estimate_jpeg
from ..images.picture import PictureError
from ..images.reading import read_picture
from .batch import LUMA, Batch
from .frames import cut_patches
from .registry import measure

_PATCH, _PATCHES = 128, 12
"""Side of the patches that are measured, in pixels, and their number."""

_FREQUENCIES = np.arange(_PATCH // 2 + 1) / _PATCH
_THUMBNAIL = 32
_LEAST_COLOUR = 1.5
"""Mean range of R, G and B in a thumbnail, in grey levels, under which a photograph counts as grey."""

_STATISTICS = ("noise_sigma", "noise_grain", "flat_level")


@dataclass(frozen=True)
class Photograph:
    """Properties of one photograph, measured on its pixels.

    Attributes:
        name: the path under its folder.
        size: height and width in pixels.
        codec: the JPEG compression that was applied last; None for none.
        noise: standard deviation of the noise in flat areas, in grey levels; NaN if it is not measurable.
        grain: correlation of the noise between neighbouring pixels.
        blur: standard deviation in pixels of the Gaussian blur that takes the spectrum of natural scenes to
            this one; NaN if noise hides it.
        enlargement: the factor by which the sides could shrink without loss of detail; 1 for a sharp
            photograph, NaN for one that is too small or has no detail.
        flat: share of blocks of 8 x 8 pixels with a single colour; photographs have none.
        grey: whether it has no colour.
        colour: means of R, G and B, in grey levels.
        contrast: standard deviation of the luma, in grey levels.
        fingerprint: 64 bits (a difference hash) that hardly depend on the size and format of a picture.
    """

    name: str
    size: tuple[int, int]
    codec: Jpeg | None
    noise: float
    grain: float
    blur: float
    enlargement: float
    flat: float
    grey: bool
    colour: tuple[float, float, float]
    contrast: float
    fingerprint: int


def photograph_frame(photographs: Sequence[Photograph]) -> pd.DataFrame:
    """One row per photograph, with its properties and ``quality``, which is 100 without JPEG."""
    columns = ("name", "noise", "grain", "blur", "enlargement", "flat", "grey", "contrast")
    rows = [{name: getattr(photo, name) for name in columns} for photo in photographs]
    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.assign(quality=[photo.codec.quality if photo.codec else 100 for photo in photographs])


def measure_photograph(path: Path, name: str | None = None, picture: np.ndarray | None = None) -> Photograph:
    """Measure a photograph.

    Args:
        path: the file.
        name: the name in the result; None for the name of the file.
        picture: the decoded pixels, uint8 (H, W, 3); None to read them from the file.

    Raises:
        PictureError: the file cannot be decoded.
    """
    picture = read_picture(path) if picture is None else picture
    try:
        codec = read_jpeg(path) or estimate_jpeg(picture)
    except PictureError:  # a kind of JPEG that cannot be reproduced: take the nearest that can
        codec = estimate_jpeg(picture)
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    red, green, blue = small.mean(axis=(0, 1))
    patches = cut_patches(picture, min(_PATCH, height, width), _PATCHES)
    noise, grain = _noise(patches)
    blur, enlargement = _detail(patches)
    return Photograph(
        name=path.name if name is None else name,
        size=(height, width),
        codec=codec,
        noise=noise,
        grain=grain,
        blur=blur,
        enlargement=enlargement,
        flat=_flat(patches),
        grey=bool(np.ptp(small, axis=2).mean() < _LEAST_COLOUR),
        colour=(float(red), float(green), float(blue)),
        contrast=float((small @ LUMA).std()),
        fingerprint=_fingerprint(small),
    )


def _noise(patches: np.ndarray) -> tuple[float, float]:
    """Noise and grain: the medians over the flatter half of the patches (M, p, p, 3)."""
    if patches.shape[1] < 32:
        return np.nan, np.nan
    found = measure(Batch(patches[:, None]), _STATISTICS)
    sigma, grain = found["noise_sigma"], found["noise_grain"]
    if np.isnan(sigma).all():
        return np.nan, np.nan
    flatter = sigma <= np.nanmedian(sigma)
    return float(np.nanmedian(sigma[flatter])), float(np.median(grain[flatter]))


def _flat(patches: np.ndarray) -> float:
    side = patches.shape[1] // 8 * 8
    blocks = patches[:, :side, :side].reshape(len(patches), side // 8, 8, side // 8, 8, 3)
    return float((np.ptp(blocks, axis=(2, 4)).max(axis=-1) == 0).mean()) if blocks.size else 0.0


def _detail(patches: np.ndarray) -> tuple[float, float]:
    """Blur and enlargement, from the spectrum of brightness along rows and columns.

    The power of natural scenes is proportional to 1 / f^2 (Field, JOSA A 1987). A steeper spectrum above the
    noise means blur. A spectrum without high frequencies means enlargement, or an equivalent loss of detail.
    """
    if patches.shape[1] < _PATCH:
        return np.nan, np.nan
    grey = patches @ LUMA
    window = np.hanning(_PATCH).astype(np.float32)
    lines = np.concatenate([grey, grey.swapaxes(1, 2)]).reshape(-1, _PATCH)
    lines = (lines - lines.mean(axis=1, keepdims=True)) * window
    power = np.square(np.abs(np.fft.rfft(lines, axis=1))).mean(axis=0) / np.square(window).sum()
    floor = np.convolve(power, np.ones(5) / 5, "valid").min()
    scene = np.clip(power - 1.5 * floor, 0, None) * _FREQUENCIES**2
    scene[:3] = 0  # shading
    total = scene.sum()
    if total == 0:
        return np.nan, np.nan
    last = float(np.interp(0.9, np.cumsum(scene) / total, _FREQUENCIES))
    return _blur(power - floor, floor), max(1.0, _SHARP / last)


_SHARP = 0.42
"""Cycles per pixel below which a sharp photograph has 90 % of its whitened power."""


def _blur(scene: np.ndarray, floor: float) -> float:
    """sigma in log P(f) = c - 2 log f - 4 pi^2 sigma^2 f^2, fitted where P is well above the noise."""
    above = scene > 2 * floor
    above[:4] = False
    ends = np.flatnonzero(~above[4:])
    above[4 + (ends[0] if len(ends) else len(above)) :] = False
    if above.sum() < 6:
        return np.nan
    f = _FREQUENCIES[above]
    slope = np.polyfit(f**2, np.log(scene[above]) + 2 * np.log(f), 1)[0]
    return float(np.sqrt(max(0.0, -slope) / (4 * np.pi**2)))


def _fingerprint(small: np.ndarray) -> int:
    """The difference hash of a thumbnail: where the brightness grows from one column to the next."""
    grey = cv2.resize(small @ LUMA, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(np.diff(grey, axis=1) > 0).tobytes(), "big")
