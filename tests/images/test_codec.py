"""JPEG as the last step of a camera: settings read from files, distributions, windows that agree."""

import io
from collections import Counter
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdflow_data.images.codec import (
    MAX_ENTRIES,
    BandCoder,
    Codec,
    Jpeg,
    parse_codec,
    read_jpeg,
    standard_tables,
)
from sdflow_data.images.picture import PictureError
from sdflow_data.images.reading import read_picture

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


def photograph(seed: int, height: int, width: int) -> np.ndarray:
    """A picture with colour, texture and noise, uint8 (H, W, 3)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


jpegs = st.builds(
    lambda quality, way, down, right, transposed: Jpeg(
        tables=standard_tables(quality), subsampling=way, phase=(down, right), transposed=transposed
    ),
    st.integers(1, 100),
    st.sampled_from(SUBSAMPLINGS),
    st.integers(0, 15),
    st.integers(0, 15),
    st.booleans(),
)


@given(quality=st.integers(1, 100), way=st.sampled_from(SUBSAMPLINGS), order=st.sampled_from([False, True]))
def test_settings_of_a_file_make_the_picture_that_is_in_it(
    quality: int, way: str, order: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    picture = photograph(quality, 45, 70)
    path = tmp_path_factory.mktemp("file") / "photo.jpg"
    Image.fromarray(picture).save(path, quality=quality, subsampling=way, progressive=order)
    jpeg = read_jpeg(path)
    assert jpeg == Jpeg.of_quality(quality, way)  # type: ignore[arg-type]
    assert np.array_equal(jpeg.apply(picture), read_picture(path))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("way", SUBSAMPLINGS)
def test_a_turned_photograph_passes_through_its_codec_again_all_but_unchanged(
    tmp_path: Path, orientation: int, way: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    Image.fromarray(photograph(1, 84, 121)).save(path, quality=60, subsampling=way, exif=exif)
    upright, jpeg = read_picture(path), read_jpeg(path)
    assert jpeg is not None

    def change(settings: Jpeg) -> float:
        inside = slice(16, -16)
        again = settings.apply(upright)[inside, inside].astype(float)
        return float(np.abs(again - upright[inside, inside]).mean())

    down, right = jpeg.phase
    elsewhere = Jpeg(tables=jpeg.tables, subsampling=jpeg.subsampling, phase=((down + 3) % 16, right))
    assert change(jpeg) < 0.4 * change(elsewhere)


@settings(max_examples=40)
@given(
    jpeg=jpegs,
    top=st.integers(0, 60),
    left=st.integers(0, 80),
    height=st.integers(40, 70),
    width=st.integers(40, 70),
)
def test_the_inside_of_a_window_is_that_of_the_whole_picture(
    jpeg: Jpeg, top: int, left: int, height: int, width: int
) -> None:
    picture = photograph(0, 131, 157)
    window = jpeg.apply(picture[top : top + height, left : left + width], top, left)
    assert np.array_equal(
        window[16:-16, 16:-16], jpeg.apply(picture)[top : top + height, left : left + width][16:-16, 16:-16]
    )


@settings(max_examples=40)
@given(
    jpeg=st.one_of(st.none(), jpegs),
    rows=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    height=st.integers(1, 90),
)
def test_bands_are_coded_as_the_whole_picture(jpeg: Jpeg | None, rows: list[int], height: int) -> None:
    picture = photograph(2, 8 * 40, 50)
    ends = np.cumsum([0, *rows, 320 - sum(rows)])
    coder = BandCoder(jpeg, height, 45)
    bands = [coder.code(picture[start:end]) for start, end in pairwise(ends) if end > start]
    whole = picture[:height, :45]
    assert np.array_equal(np.concatenate(bands), whole if jpeg is None else jpeg.apply(whole))


def test_the_settings_of_a_photograph_are_drawn_by_what_it_is_and_as_often_as_their_share() -> None:
    codec = Codec(((Jpeg.of_quality(70), 0.3), (None, 0.2), (Jpeg.of_quality(90), 0.5)))
    drawn = [codec.draw(7, number) for number in range(2000)]
    assert drawn == [codec.draw(7, number) for number in range(2000)]
    for jpeg, share in codec.entries:
        assert drawn.count(jpeg) / 2000 == pytest.approx(share, abs=0.04)


@settings(max_examples=40)
@given(st.lists(st.one_of(st.none(), jpegs), min_size=1, max_size=30))
def test_a_distribution_is_that_of_what_was_found_in_any_order_and_survives_json(
    found: list[Jpeg | None],
) -> None:
    codec = Codec.of(found)
    assert codec == Codec.of(found[::-1]) == Codec.from_json(codec.to_json())
    assert {jpeg: round(share * len(found)) for jpeg, share in codec.entries} == Counter(found)


def test_of_many_settings_a_bounded_number_is_kept_with_their_range_of_qualities() -> None:
    found = [
        Jpeg.of_quality(quality, phase=(down, right))
        for quality in range(50, 90)
        for down in range(8)
        for right in range(8)
    ]
    codec = Codec.of(found)
    qualities = [(jpeg.quality, share) for jpeg, share in codec.entries if jpeg is not None]
    assert len(codec.entries) <= MAX_ENTRIES
    assert sum(quality * share for quality, share in qualities) == pytest.approx(69.5, abs=0.5)
    assert min(qualities)[0] <= 51 and max(qualities)[0] >= 88


@pytest.mark.parametrize("mode", ["CMYK", "rgb", "4:1:1"])
def test_jpeg_that_cannot_be_made_again_is_refused_by_name(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "odd.jpg"
    picture = Image.fromarray(photograph(3, 40, 40))
    if mode == "CMYK":
        picture.convert("CMYK").save(path)
    elif mode == "rgb":
        picture.save(path, keep_rgb=True)
    else:
        factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411
        cv2.imwrite(str(path), np.asarray(picture), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
    with pytest.raises(PictureError, match=r"odd\.jpg: expected"):
        read_jpeg(path)


def test_16_bit_tables_and_grey_ones_are_read(tmp_path: Path) -> None:
    picture = Image.fromarray(photograph(4, 40, 40))
    picture.save(tmp_path / "wide.jpg", qtables=[[9] * 63 + [300]] * 2)
    picture.convert("L").save(tmp_path / "grey.jpg", quality=80)
    wide_jpeg, grey = read_jpeg(tmp_path / "wide.jpg"), read_jpeg(tmp_path / "grey.jpg")
    assert wide_jpeg is not None and wide_jpeg.tables[0] == (9,) * 63 + (255,)
    assert grey is not None and grey.tables == (standard_tables(80)[0],) * 2


def test_files_that_are_no_jpeg_and_files_without_tables_are_told_apart(tmp_path: Path) -> None:
    picture = Image.fromarray(photograph(5, 40, 40))
    picture.save(tmp_path / "photo.png")
    assert read_jpeg(tmp_path / "photo.png") is None
    file = io.BytesIO()
    picture.save(file, "JPEG")
    data = bytearray(file.getvalue())
    while (start := data.find(b"\xff\xdb")) >= 0:
        del data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")]
    (tmp_path / "bare.jpg").write_bytes(data)
    with pytest.raises(PictureError, match="quantisation tables"):
        read_jpeg(tmp_path / "bare.jpg")


@pytest.mark.parametrize(
    "text", ["jpeg", "jpeg:0", "jpeg:101", "jpeg:x", "jpeg:80:411", "webp:80", "", "jpeg:²"]
)
def test_a_codec_by_another_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected camera, none or jpeg:Q"):
        parse_codec(text)


def test_codecs_by_name() -> None:
    assert parse_codec("camera") is None
    assert parse_codec("none") == Codec()
    assert parse_codec("jpeg:80") == parse_codec("jpeg:80:420")
    assert parse_codec("jpeg:80:444") == Codec(((Jpeg.of_quality(80, "4:4:4"), 1.0),))
