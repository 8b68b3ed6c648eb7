"""Common types of the decoders: their result, and their errors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sdflow.errors import SDFlowError


class PictureError(SDFlowError):
    """An unusable picture file. ``path`` is the file; ``reason`` is the reason, without its name."""

    def __init__(self, path: Path, reason: str):
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class UndecodableError(Exception):
    """A decoder's reason for refusing a file, in words, without the file's name."""


@dataclass(frozen=True)
class Header:
    """Size of a picture in pixels, after the EXIF orientation."""

    height: int
    width: int


@dataclass(frozen=True)
class StoredPixels:
    """A picture as its file holds it.

    Attributes:
        pixels: uint8 or uint16, over the whole range of the type, (H, W, C). Larger is brighter; in CMYK
            larger is more ink.
        colours: the colour model of the channels.
        alpha: whether there is another channel with the opacity, not multiplied into the colours.
        profile: the ICC profile of the colours, if the file embeds one.
        orientation: the EXIF orientation, 1 to 8, that is not applied yet.
    """

    pixels: np.ndarray
    colours: Literal["grey", "rgb", "cmyk"]
    alpha: bool = False
    profile: bytes | None = None
    orientation: int = 1


SWAPS_SIDES = (5, 6, 7, 8)
"""EXIF orientations whose pixels lie on their side."""
