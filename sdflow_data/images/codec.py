"""JPEG as the last step of a camera: the settings of files, their distribution, and the effect on pixels.

JPEG has a grid of blocks of 8 x 8 pixels (16 x 16 if chroma is subsampled), which a convolution cannot
reproduce. The effect of a codec with known settings need not be learned, because the codec itself computes
it.

A block depends on no pixel outside of it, except for chroma: its upsampling uses the adjacent samples. A
window with a margin of 16 pixels is therefore coded as in the whole picture. The bytes are those of
libjpeg-turbo with its defaults: integer DCT, smooth upsampling of chroma. `CODEC_LIBRARY` names the installed
version.
"""

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image, JpegImagePlugin, features

from sdflow.noise import derive_seed, draw_component

from .picture import UndecodableError
from .reading import opened, orientation_of

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]

UNIT = 16
"""Side of the largest minimum coded unit (MCU) in pixels: two blocks, if chroma has half the size."""

MAX_ENTRIES = 128
"""The most settings of a distribution."""

CODEC_LIBRARY = (
    f"libjpeg-turbo {features.version_feature('libjpeg_turbo')}"
    if features.check_feature("libjpeg_turbo")
    else f"libjpeg {features.version('jpg')}"
)
"""The JPEG library, with its version."""

_CODEC_STREAM = 0x4A504547  # "JPEG": no other seed is derived with it
_LONGEST_SIDE = 65_500  # of a JPEG file
_SAMPLING: dict[int, Subsampling] = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}

_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 32),
)


@cache
def standard_tables(quality: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The quantisation tables of luma and chroma, 64 steps each, in row-major order.

    They are those of the JPEG standard (ITU-T T.81, annex K), which libjpeg scales to a quality.

    Args:
        quality: 1 to 100.

    Raises:
        ValueError: another quality.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality: expected 1 to 100, got {quality}")
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    luma, chroma = (
        tuple(min(max((step * scale + 50) // 100, 1), 255) for step in table) for table in (_LUMA, _CHROMA)
    )
    return luma, chroma


_MEANS = np.array([np.mean(standard_tables(quality)[0]) for quality in range(1, 101)])


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """The settings of one JPEG compression, with the position of its grid in the picture.

    Attributes:
        tables: quantisation tables of 64 steps (1 to 255) in row-major order, for luma and chroma, or for
            luma, Cb and Cr.
        subsampling: the chroma subsampling.
        phase: row and column of the picture at which an MCU begins, 0 to 15.
        transposed: whether the picture was coded with rows as columns, and transposed afterwards.

    Raises:
        ValueError: a value is out of its range.
    """

    tables: tuple[tuple[int, ...], ...]
    subsampling: Subsampling = "4:2:0"
    phase: tuple[int, int] = (0, 0)
    transposed: bool = False

    def __post_init__(self) -> None:
        if len(self.tables) not in (2, 3) or any(len(table) != 64 for table in self.tables):
            found = [len(table) for table in self.tables]
            raise ValueError(f"tables: expected 2 or 3 of 64 steps each, got tables of {found}")
        if not all(1 <= step <= 255 for table in self.tables for step in table):
            raise ValueError("tables: expected steps of 1 to 255, got others")
        if self.subsampling not in get_args(Subsampling):
            expected = ", ".join(get_args(Subsampling))
            raise ValueError(f"subsampling: expected {expected}, got {self.subsampling!r}")
        if len(self.phase) != 2 or not all(0 <= start < UNIT for start in self.phase):
            raise ValueError(f"phase: expected two numbers of 0 to {UNIT - 1}, got {self.phase}")

    @classmethod
    def of_quality(
        cls, quality: int, subsampling: Subsampling = "4:2:0", phase: tuple[int, int] = (0, 0)
    ) -> "Jpeg":
        """The settings of libjpeg for a quality from 1 to 100."""
        return cls(tables=standard_tables(quality), subsampling=subsampling, phase=phase)

    @cached_property
    def quality(self) -> int:
        """The quality, 1 to 100, whose standard luma table is nearest in its mean step."""
        return 1 + int(np.abs(_MEANS - np.mean(self.tables[0])).argmin())

    def __str__(self) -> str:
        """For example ``jpeg:85:420``; ``jpeg:~85:420`` if the tables are not those of the quality."""
        about = "" if self.tables == standard_tables(self.quality) else "~"
        return f"jpeg:{about}{self.quality}:{self.subsampling.replace(':', '')}"

    def apply(self, levels: np.ndarray, top: int = 0, left: int = 0) -> np.ndarray:
        """Encode and decode a picture, or a window of one.

        Args:
            levels: uint8 (H, W, 3), RGB.
            top, left: the position of the window in the whole picture, >= 0.

        Returns:
            uint8 (H, W, 3). Within 16 pixels of the border of a window, pixels may differ from those of the
            whole picture.
        """
        height, width = levels.shape[:2]
        above, before = ((position - start) % UNIT for position, start in zip((top, left), self.phase))
        padded = np.pad(levels, ((above, 0), (before, 0), (0, 0)), mode="edge") if above or before else levels
        if self.transposed:
            coded = self._code(padded.swapaxes(0, 1)).swapaxes(0, 1)
        else:
            coded = self._code(padded)
        return coded[above : above + height, before : before + width]

    def encoded(self, levels: np.ndarray) -> bytes:
        """Encode a picture as a JPEG file. Its grid begins at the corner, so ``phase`` has no effect.

        Args:
            levels: uint8 (H, W, 3), RGB, with sides up to 65,500.
        """
        if max(levels.shape[:2]) > _LONGEST_SIDE:
            raise ValueError(f"levels: expected sides of at most {_LONGEST_SIDE}, got {levels.shape[:2]}")
        file = io.BytesIO()
        tables = [list(table) for table in self.tables]
        picture = Image.fromarray(np.ascontiguousarray(levels))
        picture.save(file, "JPEG", qtables=tables, subsampling=self.subsampling)
        return file.getvalue()

    def _code(self, levels: np.ndarray) -> np.ndarray:
        with Image.open(io.BytesIO(self.encoded(levels)), formats=["JPEG"]) as decoded:
            return np.asarray(decoded)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `from_json`."""
        return {
            "tables": [list(table) for table in self.tables],
            "subsampling": self.subsampling,
            "phase": list(self.phase),
            "transposed": self.transposed,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Jpeg":
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the value is anything else.
        """
        return cls(
            tables=tuple(tuple(int(step) for step in table) for table in value["tables"]),
            subsampling=value["subsampling"],
            phase=(int(value["phase"][0]), int(value["phase"][1])),
            transposed=bool(value["transposed"]),
        )


@dataclass(frozen=True)
class Codec:
    """The distribution of the compressions of a camera's pictures.

    Attributes:
        entries: settings with their shares, which sum to 1. None stands for no compression.

    Raises:
        ValueError: there are no entries, or the shares are not above 0 with sum 1.
    """

    entries: tuple[tuple[Jpeg | None, float], ...] = ((None, 1.0),)

    def __post_init__(self) -> None:
        shares = [share for _, share in self.entries]
        if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"entries: expected shares above 0 with sum 1, got {shares}")

    @classmethod
    def of(cls, found: Iterable[Jpeg | None]) -> "Codec":
        """The empirical distribution of the settings of photographs; no compression for an empty set.

        If there are more than `MAX_ENTRIES` settings, this number is kept, spread evenly over the photographs
        in the order of their quality.
        """
        counts = Counter(found)
        if not counts:
            return cls()
        ordered = sorted(counts, key=_order)
        if len(ordered) > MAX_ENTRIES:
            ends = np.cumsum([counts[jpeg] for jpeg in ordered])
            middles = (np.arange(MAX_ENTRIES) + 0.5) / MAX_ENTRIES * ends[-1]
            counts = Counter(ordered[index] for index in np.searchsorted(ends, middles, side="right"))
            ordered = sorted(counts, key=_order)
        total = sum(counts.values())
        return cls(tuple((jpeg, counts[jpeg] / total) for jpeg in ordered))

    @property
    def lossless(self) -> bool:
        """Whether no picture is compressed."""
        return all(jpeg is None for jpeg, _ in self.entries)

    def draw(self, *identity: int) -> Jpeg | None:
        """Draw the settings of one photograph. Equal integers give equal settings."""
        shares = np.array([share for _, share in self.entries])
        return self.entries[draw_component(derive_seed(_CODEC_STREAM, *identity), shares)][0]

    def __str__(self) -> str:
        """The range of qualities, the subsamplings, and the share without compression."""
        qualities = [jpeg.quality for jpeg, _ in self.entries if jpeg is not None]
        if not qualities:
            return "no JPEG"
        low, high = min(qualities), max(qualities)
        none = sum(share for jpeg, share in self.entries if jpeg is None)
        ways = sorted({jpeg.subsampling for jpeg, _ in self.entries if jpeg is not None})
        span = str(low) if low == high else f"{low} to {high}"
        return f"JPEG of quality {span}, {' and '.join(ways)}" + (f" ({none:.0%} without)" if none else "")

    def to_json(self) -> list[dict[str, Any]]:
        """Plain values, for `from_json`."""
        return [
            {"share": share, "jpeg": None if jpeg is None else jpeg.to_json()} for jpeg, share in self.entries
        ]

    @classmethod
    def from_json(cls, value: list[dict[str, Any]]) -> "Codec":
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the value is anything else.
        """
        return cls(
            tuple(
                (None if entry["jpeg"] is None else Jpeg.from_json(entry["jpeg"]), float(entry["share"]))
                for entry in value
            )
        )


NO_CODEC = Codec()
"""The codec of a camera that does not compress."""


def _order(jpeg: Jpeg | None) -> tuple[Any, ...]:
    """A total order of settings, by quality first."""
    if jpeg is None:
        return (101,)
    return (jpeg.quality, jpeg.subsampling, jpeg.tables, jpeg.phase, jpeg.transposed)


def read_jpeg(path: Path) -> Jpeg | None:
    """The settings of a JPEG file, from its header, for its upright picture; None for other formats.

    Grey pictures get the luma table for chroma. Steps over 255, which tables of 16 bits may have, count as
    255. Progressive order and arithmetic coding are lossless, so they are ignored.

    Raises:
        PictureError: the file is not a picture, or a kind of JPEG that cannot be reproduced: CMYK, stored as
            RGB, without tables, or with another subsampling.
    """
    with opened(path) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            return None
        if image.mode not in ("RGB", "L"):
            raise UndecodableError(f"expected JPEG in YCbCr or grey, found {image.mode}")
        if image.mode == "RGB" and _stored_as_rgb(image):
            raise UndecodableError("expected JPEG in YCbCr or grey, found colours that are stored as RGB")
        found = image.quantization
        used = [component[3] for component in image.layer]
        if not set(used) <= set(found):
            raise UndecodableError("expected quantisation tables in the JPEG file, found none")
        tables = [tuple(min(max(int(step), 1), 255) for step in found[index]) for index in used]
        if len(tables) == 1:
            tables *= 2
        elif tables[1] == tables[2]:
            tables.pop()
        sampling = 0 if image.mode == "L" else JpegImagePlugin.get_sampling(image)
        if sampling not in _SAMPLING:
            sizes = ", ".join(f"{across}x{down}" for _, across, down, _ in image.layer)
            raise UndecodableError(f"expected chroma as 4:4:4, 4:2:2 or 4:2:0, found components of {sizes}")
        jpeg = Jpeg(tables=tuple(tables), subsampling=_SAMPLING[sampling])
        return _upright(jpeg, orientation_of(image), image.height, image.width)


def _stored_as_rgb(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether a file stores RGB. libjpeg has the same rule: Adobe's marker, else the component names."""
    if "jfif" in image.info:
        return False
    if "adobe_transform" in image.info:
        return image.info["adobe_transform"] == 0
    return [component[0] for component in image.layer] == [ord("R"), ord("G"), ord("B")]


def _upright(jpeg: Jpeg, orientation: int, height: int, width: int) -> Jpeg:
    """The settings of a file of size ``height`` x ``width`` after rotation to EXIF's upright position."""
    from_below, from_right = height % UNIT, width % UNIT
    phase = {
        2: (0, from_right),
        3: (from_below, from_right),
        4: (from_below, 0),
        6: (0, from_below),
        7: (from_right, from_below),
        8: (from_right, 0),
    }.get(orientation, (0, 0))
    return replace(jpeg, phase=phase, transposed=orientation >= 5)


def parse_codec(text: str) -> Codec | None:
    """Parse the name of a codec.

    Args:
        text: ``camera`` (the codec of the model), ``none``, or ``jpeg:Q[:444|422|420]`` with Q from 1 to 100.

    Returns:
        The codec; None for ``camera``.

    Raises:
        ValueError: the text is anything else.
    """
    if text == "camera":
        return None
    if text == "none":
        return NO_CODEC
    name, _, settings = text.partition(":")
    quality, _, chroma = settings.partition(":")
    ways: dict[str, Subsampling] = {way.replace(":", ""): way for way in get_args(Subsampling)}
    ways[""] = "4:2:0"
    known = name == "jpeg" and quality.isascii() and quality.isdecimal() and chroma in ways
    if not known or not 1 <= int(quality) <= 100:
        raise ValueError(
            f"expected camera, none or jpeg:Q[:444|422|420] with Q from 1 to 100, found {text!r}"
        )
    return Codec(((Jpeg.of_quality(int(quality), ways[chroma]), 1.0),))


class BandCoder:
    """Encodes and decodes a picture in bands of rows, with the same result as for the whole picture.

    Args:
        jpeg: the settings; None for no compression.
        height, width: the size of the picture. Bands are cropped to it.
    """

    def __init__(self, jpeg: Jpeg | None, height: int, width: int) -> None:
        self._jpeg, self._height, self._width = jpeg, height, width
        self._held: np.ndarray = np.empty((0, width, 3), np.uint8)
        self._top = self._done = 0  # the first row in `_held`, and the first row that is not returned yet

    def code(self, band: np.ndarray) -> np.ndarray:
        """Add a band.

        Args:
            band: uint8 (rows, W, 3).

        Returns:
            uint8: the next rows of the result that no further band changes; all others with the last band.
        """
        held = np.concatenate([self._held, band[: self._height - self._top - len(self._held), : self._width]])
        end = self._top + len(held)
        if self._jpeg is None:
            self._held, self._top = held[:0], end
            return held
        # A block needs all of its rows, and the upsampling of chroma also one row of the next block.
        start = self._unit(end) if end < self._height else end + UNIT
        ready = min(start - UNIT, self._height)
        if ready <= self._done:
            self._held = held
            return held[:0]
        rows = _coded_across(held, self._jpeg, self._top)[self._done - self._top : ready - self._top]
        self._done = ready
        first = max(self._unit(ready) - UNIT, self._top)
        self._held, self._top = held[first - self._top :], first
        return rows

    def _unit(self, row: int) -> int:
        """The first row of the MCU that contains a row."""
        phase = 0 if self._jpeg is None else self._jpeg.phase[0]
        return (row - phase) // UNIT * UNIT + phase


def _coded_across(rows: np.ndarray, jpeg: Jpeg, top: int) -> np.ndarray:
    """`Jpeg.apply` in overlapping pieces, because JPEG files have a maximum width."""
    step = _LONGEST_SIDE // UNIT * UNIT - 4 * UNIT
    pieces = []
    for left in range(0, rows.shape[1], step):
        start, end = max(left - 2 * UNIT, 0), left + step + 2 * UNIT
        piece = jpeg.apply(rows[:, start:end], top, start)
        pieces.append(piece[:, left - start : left - start + step])
    return np.concatenate(pieces, axis=1)
