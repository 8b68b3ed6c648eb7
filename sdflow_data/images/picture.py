"""What decoders of pictures have in common: what they give, and how they refuse a file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sdflow.errors import SDFlowError


class PictureError(SDFlowError):
    """One file that gives no picture. ``path`` is the file, ``reason`` says why, without its name."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class UndecodableError(Exception):
    """A decoder's reason for giving no picture, in words for people and without the file's name."""


@dataclass(frozen=True)
class Header:
    """Size of a picture in pixels, as it stands upright."""

    height: int
    width: int


@dataclass(frozen=True)
class StoredPixels:
    """A picture as its file holds it.

    Attributes:
        pixels: uint8 or uint16, over the whole range of the type, (H, W, C). Larger is brighter, but for
            CMYK, where larger is more ink.
        colours: what the channels are.
        alpha: whether one more channel is the opacity, not multiplied into the colours.
        profile: the ICC profile of the colours, if the file embeds one.
        orientation: as in EXIF, 1 to 8: how to turn the pixels upright.
    """

    pixels: np.ndarray
    colours: Literal["grey", "rgb", "cmyk"]
    alpha: bool = False
    profile: bytes | None = None
    orientation: int = 1


SWAPS_SIDES = (5, 6, 7, 8)
"""EXIF orientations whose pixels lie on their side."""
