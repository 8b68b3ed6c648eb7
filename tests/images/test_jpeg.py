"""JPEG: all rows or none, whatever befell the file."""

import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdflow_data.images.jpeg import decode_jpeg
from sdflow_data.images.picture import PictureError, UndecodableError
from sdflow_data.images.reading import read_picture

END = b"\xff\xd9"
MODES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "444": {"subsampling": 0},
    "restarts": {"restart_marker_rows": 1},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 2},
}


def encoded(kind: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()[:200, :312]).convert(mode).save(
        file, "JPEG", quality=85, **KINDS[kind]
    )
    return file.getvalue()


def scan_start(data: bytes) -> int:
    return data.index(b"\xff\xda") + 20


DAMAGE = {
    "the last two fifths are zeros": lambda d: d[: len(d) * 3 // 5] + bytes(len(d) * 2 // 5),
    "the last tenth is zeros": lambda d: d[: len(d) * 9 // 10] + bytes(len(d) // 10),
    "cut in half": lambda d: d[: len(d) // 2],
    "cut in half and closed": lambda d: d[: len(d) // 2] + END,
    "cut near the end and closed": lambda d: d[: len(d) * 49 // 50] + END,
    "nothing behind the header": lambda d: d[: scan_start(d)] + END,
    "a hole": lambda d: d[: len(d) // 3] + d[len(d) // 3 + 500 :],
    "a hole of zeros": lambda d: d[: len(d) // 2] + bytes(2000) + d[len(d) // 2 + 2000 :],
    "60 bytes overwritten": lambda d: d[: len(d) // 2] + b"\xff\xd0" * 30 + d[len(d) // 2 + 60 :],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES.values())
def test_rows_that_are_missing_are_refused(mode: str, kind: str, damage: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(DAMAGE[damage](encoded(kind, mode)))
    with pytest.raises(PictureError, match=r"truncated or damaged|scans are missing"):
        read_picture(tmp_path / "a.jpg")


WHOLE = {
    "as it is": lambda d: d,
    "without its end marker": lambda d: d.removesuffix(END),
    "with half of its end marker": lambda d: d[:-1],
    "with something behind its end": lambda d: d + b"a motion photograph's film" * 99,
    "with zeros behind its end": lambda d: d + bytes(5000),
    "with zeros for its end marker": lambda d: d.removesuffix(END) + bytes(5000),
    "with zeros before its end marker": lambda d: d.removesuffix(END) + bytes(77) + END,
    "with another JPEG behind": lambda d: d + d,
}


@pytest.mark.parametrize("change", WHOLE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_all_rows_is_taken(kind: str, change: str, tmp_path: Path) -> None:
    data = encoded(kind)
    (tmp_path / "a.jpg").write_bytes(WHOLE[change](data))
    assert np.array_equal(read_picture(tmp_path / "a.jpg"), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("mode", MODES.values())
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_another_decoder(kind: str, mode: str, tmp_path: Path) -> None:
    data = encoded(kind, mode)
    (tmp_path / "a.jfif").write_bytes(data)
    other = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.abs(read_picture(tmp_path / "a.jfif").astype(int) - other).max() <= 1


def test_a_progressive_file_without_its_last_scan_is_refused() -> None:
    data = encoded("progressive")
    with pytest.raises(UndecodableError, match="scans are missing"):
        decode_jpeg(data[: data.rindex(b"\xff\xda")] + END, 3)


def test_most_of_what_is_overwritten_is_seen() -> None:
    """JPEG has no checksums: now and then other bytes fill as many blocks, which nobody can see."""
    data, taken = encoded("baseline"), 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        place = int(random.integers(len(data) // 10, len(data) * 9 // 10))
        noise = random.integers(0, 256, 60, dtype=np.uint8).tobytes()
        try:
            decode_jpeg(data[:place] + noise + data[place + 60 :], 3)
            taken += 1
        except UndecodableError:
            pass
    assert taken < 20


@settings(max_examples=60, deadline=None)
@given(kept=st.floats(0.02, 0.99), kind=st.sampled_from(sorted(KINDS)), closed=st.booleans())
def test_no_cut_passes(kept: float, kind: str, closed: bool) -> None:
    data = encoded(kind)
    start = scan_start(data)
    cut = data[: start + int(kept * (len(data) - start - 8))]
    with pytest.raises(UndecodableError):
        decode_jpeg(cut + END * closed, 3)


def test_what_the_pixels_do_not_depend_on_is_passed_over() -> None:
    data = encoded("baseline")
    place = data.index(b"JFIF\0") + 5
    odd = data[:place] + b"\x07" + data[place + 1 :]  # a JFIF of the future
    with pytest.raises(ValueError, match="JFIF"):
        simplejpeg.decode_jpeg(odd)
    assert np.array_equal(decode_jpeg(odd, 3), decode_jpeg(data, 3))
