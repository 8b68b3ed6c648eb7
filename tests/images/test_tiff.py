"""TIFF: every layout of every kind of samples is read right, or refused with one line."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sdflow_data.images.picture import PictureError
from sdflow_data.images.reading import read_header, read_picture

HEIGHT, WIDTH = 37, 22
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"rowsperstrip": 5},
    {"tile": (16, 32)},
    {"compression": "zlib", "rowsperstrip": 7},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw", "tile": (32, 16)},
    {"compression": "lzw", "predictor": True, "tile": (16, 16)},
    {"compression": "packbits", "rowsperstrip": 3},
    {"compression": "zstd"},
    {"compression": "lzma"},
]
ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


def samples(bits: int, channels: int) -> np.ndarray:
    """Random samples over the whole range, (H, W, C)."""
    dtype = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH, channels), dtype=dtype)


def expected(stored: np.ndarray, photometric: str, alpha: str | None) -> np.ndarray:
    """What a picture of these samples looks like on white, in exact arithmetic: floats (H, W, 3)."""
    unit = stored / np.iinfo(stored.dtype).max
    if photometric == "separated":
        inks, black = unit[..., :3], unit[..., 3:4]
        return 255 * (1 - inks) * (1 - black)
    colours = unit[..., : 3 if photometric == "rgb" else 1]
    opacity = unit[..., colours.shape[2], None] if alpha else np.ones((HEIGHT, WIDTH, 1))
    if photometric == "miniswhite":
        colours = 1 - colours
    light = colours if alpha == "assocalpha" else colours * opacity
    return np.broadcast_to(255 * np.minimum(light + 1 - opacity, 1), (HEIGHT, WIDTH, 3))


def kinds() -> Iterator[tuple[int, str, str | None]]:
    for bits, photometric in itertools.product((8, 16), ("rgb", "minisblack", "miniswhite", "separated")):
        yield bits, photometric, None
        if photometric in ("rgb", "minisblack"):
            for extra in ("unassalpha", "assocalpha", "unspecified"):
                yield bits, photometric, extra


@pytest.mark.parametrize("bits, photometric, extra", kinds())
def test_all_layouts_of_a_kind_show_the_same_picture(
    bits: int, photometric: str, extra: str | None, tmp_path: Path
) -> None:
    colours = {"rgb": 3, "separated": 4}.get(photometric, 1)
    stored = samples(bits, colours + (extra is not None))
    if extra == "assocalpha":  # no colour is stronger than its opacity
        stored[..., :colours] = np.minimum(stored[..., :colours], stored[..., colours:])
    alpha = extra if extra != "unspecified" else None
    wanted = expected(stored, photometric, alpha)
    tolerance = 2 if photometric == "separated" else 1.01
    for number, (layout, planar, order) in enumerate(itertools.product(LAYOUTS, (False, True), "<>")):
        orientation = 1 + number % 8
        data = np.moveaxis(stored, 2, 0) if planar else stored
        data = np.ascontiguousarray(data if data.shape[2 if not planar else 0] > 1 else stored[..., 0])
        options: dict[str, Any] = dict(layout)
        if stored.shape[2] > 1:
            options["planarconfig"] = "separate" if planar else "contig"
        tifffile.imwrite(
            tmp_path / "a.tif",
            data,
            photometric=photometric,
            extrasamples=None if extra is None else [extra],
            extratags=[(274, "H", 1, orientation, False)],
            byteorder=order,
            metadata=None,
            **options,
        )
        picture = read_picture(tmp_path / "a.tif")
        header = read_header(tmp_path / "a.tif")
        upright = ORIENTED[orientation](wanted)
        assert picture.shape == upright.shape == (header.height, header.width, 3)
        assert np.abs(picture - upright).max() < tolerance, (options, planar, order, orientation)


@pytest.mark.parametrize("compression", [None, "zlib", "packbits", "lzw", "zstd"])
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "f2", "f4", "f8", "c8"])
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_without_a_fixed_range_are_refused(
    dtype: str, channels: int, compression: str | None, tmp_path: Path
) -> None:
    data = np.ones((HEIGHT, WIDTH, channels), dtype)
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(
        tmp_path / "a.tif",
        data if channels == 3 else data[..., 0],
        photometric=photometric,
        compression=compression,
    )
    with pytest.raises(PictureError, match="expected 8 or 16 bits per sample"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize(
    "name", ["none", "tiff_lzw", "tiff_adobe_deflate", "packbits", "group3", "group4", "tiff_ccitt"]
)
def test_black_and_white(name: str, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH)).astype(bool)
    options = {} if name == "none" else {"compression": name}
    Image.fromarray(picture).save(tmp_path / "a.tif", **options)
    assert np.array_equal(read_picture(tmp_path / "a.tif")[..., 0], picture * np.uint8(255))


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
def test_packed_bits_come_over_the_whole_range(bits: int, tmp_path: Path) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (HEIGHT, WIDTH))
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
    packed = b"".join(
        int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8), "big") for row in rows
    )
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter([packed]),
        shape=(HEIGHT, WIDTH),
        dtype=np.uint8 if bits < 8 else np.uint16,
        bitspersample=bits,
        rowsperstrip=HEIGHT,
        photometric="minisblack",
    )
    assert np.array_equal(
        read_picture(tmp_path / "a.tif")[..., 0], np.round(values * 255 / (2**bits - 1)).astype(np.uint8)
    )


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    colours = np.random.default_rng(1).integers(0, 2**16, (3, 256), dtype=np.uint16)
    indices = samples(8, 1)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    assert np.array_equal(
        read_picture(tmp_path / "a.tif"), np.round(colours.T[indices] / 257).astype(np.uint8)
    )


@pytest.mark.parametrize("photometric, channels", [("minisblack", 1), ("rgb", 3), ("separated", 4)])
@pytest.mark.parametrize("tile", [None, (16, 32)])
def test_jpeg_in_tiff(photometric: str, channels: int, tile: tuple[int, int] | None, tmp_path: Path) -> None:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    stored = np.stack([5 * y + 40, 6 * x + 10, 3 * x + 4 * y, 2 * y], axis=2).astype(np.uint8)[..., :channels]
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored if channels > 1 else stored[..., 0],
        photometric=photometric,
        compression="jpeg",
        compressionargs={"level": 95},
        tile=tile,
    )
    wanted = expected(stored, "rgb" if channels == 3 else photometric, None)
    assert np.abs(read_picture(tmp_path / "a.tif") - wanted).mean() < 3


def test_jpeg_in_tiff_with_colour_differences(tmp_path: Path) -> None:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    stored = np.stack([5 * y + 40, 6 * x + 10, 3 * x + 4 * y], axis=2).astype(np.uint8)
    Image.fromarray(stored).convert("YCbCr").save(tmp_path / "a.tif", compression="jpeg", quality=95)
    assert np.abs(read_picture(tmp_path / "a.tif") - stored.astype(int)).mean() < 3


@pytest.mark.parametrize("layout", [*LAYOUTS, {"compression": "jpeg"}])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, -1])
def test_a_file_cut_off_is_refused(layout: dict[str, Any], kept: float, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, samples(8, 3), photometric="rgb", metadata=None, **layout)
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        place = int(kept * (len(page.dataoffsets) - 1)) if kept >= 0 else len(page.dataoffsets) - 1
        end = page.dataoffsets[place] + (page.databytecounts[place] // 2)
        tags = max(tag.offset + 20 for tag in page.tags.values())
    assert end > tags  # what is lost is pixels alone
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(PictureError):
        read_picture(path)


@pytest.mark.parametrize(
    "options, found",
    [
        ({"photometric": "cielab"}, "CIELAB"),
        ({"photometric": "rgb", "compression": "jpeg2000"}, "JPEG_2000|JPEG2000"),
        ({"photometric": "rgb", "extratags": [(50706, "B", 4, b"\1\4\0\0", False)]}, "DNG"),
        ({"photometric": "rgb", "subfiletype": 1}, "thumbnail"),
    ],
)
def test_what_is_not_read_is_said(options: dict[str, Any], found: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", samples(8, 3), **options)
    with pytest.raises(PictureError, match=found):
        read_picture(tmp_path / "a.tif")
