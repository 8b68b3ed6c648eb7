"""Bounds before decoding, and kinds of files that are known only by their content."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sdflow_data.images.picture import PictureError
from sdflow_data.images.reading import MAX_SIDE, max_pixels, read_header, read_picture


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header says so, with hardly any data."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("width, height", [(1, 2**30), (2**30, 1), (MAX_SIDE + 1, 1), (2**31 - 1, 2**31 - 1)])
def test_long_sides_are_refused_by_the_header(width: int, height: int, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(width, height))
    for read in (read_header, read_picture):
        with pytest.raises(PictureError, match=f"{width}x{height} pixels are more than"):
            read(tmp_path / "a.png")


def test_max_pixels_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 11)).save(tmp_path / "a.png")
    monkeypatch.setenv("SDFLOW_MAX_PIXELS", "220")
    assert read_picture(tmp_path / "a.png").shape == (11, 20, 3)
    monkeypatch.setenv("SDFLOW_MAX_PIXELS", "219")
    with pytest.raises(PictureError, match="20x11 pixels are more than the 219"):
        read_picture(tmp_path / "a.png")


def test_without_it_the_machines_memory_bounds_them() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30));"
        "from sdflow_data.images.reading import max_pixels; print(max_pixels())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= (3 << 30) / 32 < max_pixels() or max_pixels() == int(done.stdout)


def test_a_lack_of_memory_is_the_pictures_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 11)).save(tmp_path / "a.png")

    def full(data: bytes) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr("sdflow_data.images.reading.decode_png", full)
    with pytest.raises(PictureError, match="20x11 pixels do not fit in memory"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "avif"])
def test_a_file_far_larger_than_its_picture_is_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    Image.new("RGB", (20, 11)).save(path)
    os.truncate(path, 10**11)  # sparse: it takes no disk
    with pytest.raises(PictureError, match=r"expected a file of at most .* found 100000000000"):
        read_picture(path)


def test_large_metadata_do_not_spoil_a_png(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * 3_000_000, zip=True)
    profile = np.random.default_rng(1).bytes(2_500_000)
    Image.fromarray(pixels).save(tmp_path / "a.png", pnginfo=text, icc_profile=profile)
    assert np.array_equal(read_picture(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_kind_that_is_not_read_is_named_whatever_the_ending(name: str, tmp_path: Path) -> None:
    Image.new("P", (9, 9)).save(tmp_path / name, "GIF")
    with pytest.raises(PictureError, match="GIF, of 256 colours, is not read"):
        read_picture(tmp_path / name)


def test_avif_is_read(tmp_path: Path) -> None:
    y, x = np.mgrid[0:40, 0:56]
    pixels = np.stack([5 * y + 40, 4 * x + 10, 3 * x], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.avif", quality=95)
    assert np.abs(read_picture(tmp_path / "a.avif").astype(int) - pixels).mean() < 3


def test_heic_is_read_where_its_library_is(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[:, None, None], (1, 48, 3))
    heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "a.heic", quality=95)
    assert np.abs(read_picture(tmp_path / "a.heic").astype(int) - pixels).mean() < 3


class TestBmp:
    def bitmap(self, masks: tuple[int, int, int], bits: int, pixels: bytes) -> bytes:
        info = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, bits, 3, len(pixels), 0, 0, 0, 0)
        head = struct.pack("<2sIHHI", b"BM", 66 + len(pixels), 0, 0, 66)
        return head + info + struct.pack("<III", *masks) + pixels

    @pytest.mark.parametrize("masks", [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)])
    def test_16_bits(self, masks: tuple[int, int, int], tmp_path: Path) -> None:
        (tmp_path / "a.bmp").write_bytes(self.bitmap(masks, 16, struct.pack("<HH", masks[0], masks[1])))
        assert read_picture(tmp_path / "a.bmp").tolist() == [[[255, 0, 0], [0, 255, 0]]]

    def test_an_alpha_of_nothing_but_zeros_is_none(self, tmp_path: Path) -> None:
        header = struct.pack("<IiiHHIIiiII", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0)
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(108 - 40 - 16)
        head = struct.pack("<2sIHHI", b"BM", 122 + 8, 0, 0, 122)
        (tmp_path / "a.bmp").write_bytes(head + header + masks + bytes([1, 2, 3, 0, 4, 5, 6, 0]))
        assert read_picture(tmp_path / "a.bmp").tolist() == [[[3, 2, 1], [6, 5, 4]]]


class TestTransparentColours:
    @pytest.mark.parametrize(
        "bits, colour_type, key, row, grey",
        [
            (2, 0, struct.pack(">H", 1), b"\0\x1b", [0, 255, 170, 255]),
            (4, 0, struct.pack(">H", 5), b"\0\x50\x0f", [255, 0, 0, 255]),
            (16, 0, struct.pack(">H", 0x506), b"\0" + struct.pack(">HH", 0x506, 0x507), [255, 5]),
        ],
    )
    def test_of_grey(
        self, bits: int, colour_type: int, key: bytes, row: bytes, grey: list[int], tmp_path: Path
    ) -> None:
        header = struct.pack(">IIBBBBB", len(grey), 1, bits, colour_type, 0, 0, 0)
        parts = (b"IHDR", header), (b"tRNS", key), (b"IDAT", zlib.compress(row)), (b"IEND", b"")
        data = io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
        (tmp_path / "a.png").write_bytes(data.getvalue())
        assert read_picture(tmp_path / "a.png")[0, :, 0].tolist() == grey
