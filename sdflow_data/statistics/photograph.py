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
_FREQUENCIES = np.arange(_PATCH // 2 + 1) / _PATCH
_THUMBNAIL = 32
_LEAST_COLOUR = 1.5
_STATISTICS = ("noise_sigma", "noise_grain", "flat_level")


@dataclass(frozen=True)
class Photograph:
    """What the pixels of one photograph are like.

    Attributes:
        name: its path under its folder.
        size: height and width.
        codec: the compression that it went through last; None for none.
        noise: standard deviation in flat areas, in grey levels; NaN where it cannot be told.
        grain: correlation of the noise between neighbours.
        blur: deviation, in pixels, of the Gaussian blur that a spectrum of natural scenes would need to fall
            off as this one does; NaN where noise hides it.
        enlargement: how many times fewer pixels a side would hold its detail; 1 for a sharp photograph.
        flat: share of blocks of 8 x 8 pixels of a single colour; photographs have none.
        grey: whether it has no colour.
        colour: mean of R, G and B.
        contrast: standard deviation of the brightness.
        fingerprint: 64 bits that the same picture has in other sizes and formats too.
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
    """A row per photograph: its numbers, and ``quality``, 100 where there is no JPEG."""
    columns = ("name", "noise", "grain", "blur", "enlargement", "flat", "grey", "contrast")
    rows = [{name: getattr(photo, name) for name in columns} for photo in photographs]
    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.assign(quality=[photo.codec.quality if photo.codec else 100 for photo in photographs])


def measure_photograph(path: Path, name: str | None = None, picture: np.ndarray | None = None) -> Photograph:
    """Look at a photograph's pixels.

    Args:
        path: the file.
        name: to know it by; None for that of the file.
        picture: its pixels, where they were read before.

    Raises:
        PictureError: the file gives no picture.
    """
    picture = read_picture(path) if picture is None else picture
    try:
        codec = read_jpeg(path) or estimate_jpeg(picture)
    except PictureError:  # JPEG of a kind that cannot be made again: the nearest that can
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
    """Of the flatter half of the patches."""
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

    Natural scenes have power in proportion to 1 / f^2 (Field, 1987). What is above the noise and falls off
    more steeply is blurred; a spectrum that ends early has been enlarged, or might as well have been.
    """
    if patches.shape[1] < _PATCH:
        return np.nan, 1.0
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
        return np.nan, 1.0
    last = float(np.interp(0.9, np.cumsum(scene) / total, _FREQUENCIES))
    return _blur(power - floor, floor), max(1.0, _SHARP / last)


_SHARP = 0.42
"""Cycles per pixel under which a sharp photograph has nine tenths of its whitened power."""


def _blur(scene: np.ndarray, floor: float) -> float:
    """From log P(f) = c - 2 log f - 4 pi^2 sigma^2 f^2, fitted where the scene is well above the noise."""
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
