"""Conversion of stored pixels to upright 8-bit sRGB, the only kind of picture in all other code."""

from functools import lru_cache

import cv2
import imagecodecs
import numpy as np
from PIL import Image

from .picture import StoredPixels

_BAND = 1 << 22  # pixels that are converted at once
_GRID = np.stack(np.meshgrid(*[np.arange(0, 256, 15, np.uint8)] * 3), axis=-1).reshape(1, -1, 3)
_EXACT = 0x0100  # lcms's NOOPTIMIZE: for 16 bits its tables are up to 15 levels off

_ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def to_srgb(samples: StoredPixels) -> np.ndarray:
    """Convert stored pixels to an upright picture in sRGB, uint8 (H, W, 3).

    Colours with an ICC profile are converted, others count as sRGB. A profile that is damaged or has other
    channels is ignored, as in browsers. 16 bits are rounded to 8. Transparent pixels are composited on white.
    """
    height, width = samples.pixels.shape[:2]
    profile = samples.profile and _usable(samples.profile, samples.colours)
    picture = np.empty((height, width, 3), np.uint8)
    rows = max(_BAND // width, 1)
    for top in range(0, height, rows):
        band = samples.pixels[top : top + rows]
        colours = np.ascontiguousarray(band[..., :-1] if samples.alpha else band)
        rgb = _convert(colours, samples.colours, profile) if profile else _as_srgb(colours, samples.colours)
        if samples.alpha:
            alpha = band[..., -1:]
            rgb = _on_white(rgb, alpha if rgb.dtype == alpha.dtype else to_8_bit(alpha))
        picture[top : top + rows] = to_8_bit(rgb)
    return np.ascontiguousarray(_ORIENTED[samples.orientation](picture))


def to_8_bit(samples: np.ndarray) -> np.ndarray:
    """Round 16-bit samples of any shape to 8 bits (v / 257). 8-bit samples stay unchanged."""
    if samples.dtype == np.uint8:
        return samples
    # rounds, and needs no wider copy of the picture
    return cv2.convertScaleAbs(np.ascontiguousarray(samples), alpha=1 / 257).reshape(samples.shape)


def _as_srgb(pixels: np.ndarray, colours: str) -> np.ndarray:
    """Colours without a profile, as grey or RGB: (H, W, 1 or 3)."""
    if colours == "cmyk":
        return np.asarray(Image.fromarray(to_8_bit(pixels), "CMYK").convert("RGB"))
    return pixels


def _convert(pixels: np.ndarray, colours: str, profile: bytes) -> np.ndarray:
    space = {"grey": "gray"}.get(colours, colours)
    data = pixels[..., 0] if colours == "grey" else pixels
    flags = _EXACT if pixels.dtype == np.uint16 else None
    converted: np.ndarray = imagecodecs.cms_transform(
        data, profile, _srgb(), colorspace=space, outcolorspace="rgb", outdtype="uint8", flags=flags
    )
    return converted


@lru_cache(maxsize=1)
def _srgb() -> bytes:
    profile: bytes = imagecodecs.cms_profile("srgb")
    return profile


@lru_cache(maxsize=16)
def _usable(profile: bytes, colours: str) -> bytes | None:
    """The profile; None if it is unusable or changes no colour by more than rounding."""
    grid = {"grey": _GRID[..., :1], "rgb": _GRID, "cmyk": np.zeros((1, 1, 4), np.uint8)}[colours]
    try:
        converted = _convert(np.ascontiguousarray(grid), colours, profile)
    except imagecodecs.CmsError:
        return None
    if colours == "cmyk":
        return profile
    return profile if np.abs(converted.astype(int) - grid).max() > 1 else None


def _on_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    top = int(np.iinfo(colours.dtype).max)
    opaque = alpha.astype(np.uint32)  # holds 65535 * 65535 and its rounding
    return ((colours * opaque + top * (top - opaque) + top // 2) // top).astype(colours.dtype)
