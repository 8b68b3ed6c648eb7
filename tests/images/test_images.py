"""Finding, measuring, decoding and encoding pictures: every kind of file that people have."""

import io
import pickle
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdflow.errors import SDFlowError
from sdflow_data.images.finding import find_pictures
from sdflow_data.images.picture import PictureError
from sdflow_data.images.reading import MAX_PIXELS, read_header, read_picture
from sdflow_data.images.writing import PngWriter, encode_png, writing_png

HEIGHT, WIDTH = 21, 34


@pytest.fixture
def photograph() -> np.ndarray:
    """Smooth colours: uint8 (21, 34, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([5 * y + 40, 6 * x + 10, 3 * x + 4 * y], axis=2).astype(np.uint8)


@pytest.fixture
def deep() -> np.ndarray:
    """Random 16-bit colour: uint16 (21, 34, 3)."""
    return np.random.default_rng(0).integers(0, 2**16, (HEIGHT, WIDTH, 3), dtype=np.uint16)


def nearest_8_bit(deep: np.ndarray) -> np.ndarray:
    return np.round(deep / 257).astype(np.uint8)


def turned(picture: np.ndarray, orientation: int) -> np.ndarray:
    """The array that a file with this EXIF orientation holds, if it shows ``picture`` upright."""
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    return np.ascontiguousarray(undo[orientation](picture))


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


class TestKindsOfPictures:
    def test_lossless_rgb_comes_back_as_it_was(self, photograph: np.ndarray, tmp_path: Path) -> None:
        for name in ("a.png", "a.bmp", "a.tif"):
            Image.fromarray(photograph).save(tmp_path / name)
            assert np.array_equal(read_picture(tmp_path / name), photograph), name

    @pytest.mark.parametrize("name", ["a.jpg", "a.webp"])
    def test_lossy_rgb_comes_back_nearly(self, name: str, photograph: np.ndarray, tmp_path: Path) -> None:
        Image.fromarray(photograph).save(tmp_path / name, quality=95)
        assert np.abs(read_picture(tmp_path / name).astype(int) - photograph).mean() < 4

    def test_the_result_is_an_own_writable_rgb_array(self, photograph: np.ndarray, tmp_path: Path) -> None:
        Image.fromarray(photograph).save(tmp_path / "a.png")
        picture = read_picture(tmp_path / "a.png")
        assert picture.dtype == np.uint8 and picture.flags.writeable and picture.flags.c_contiguous

    def test_grey_becomes_three_equal_channels(self, photograph: np.ndarray, tmp_path: Path) -> None:
        Image.fromarray(photograph[..., 0]).save(tmp_path / "a.png")
        assert np.array_equal(read_picture(tmp_path / "a.png"), np.repeat(photograph[..., :1], 3, axis=2))

    def test_black_and_white_becomes_0_and_255(self, tmp_path: Path) -> None:
        Image.fromarray(np.eye(5, dtype=bool)).save(tmp_path / "a.png")
        assert np.array_equal(read_picture(tmp_path / "a.png")[..., 1], np.eye(5, dtype=np.uint8) * 255)

    def test_a_palette_is_looked_up(self, tmp_path: Path) -> None:
        picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3), "L").convert("P")
        colours = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
        picture.putpalette(colours.tobytes())
        picture.save(tmp_path / "a.png")
        expected = colours[np.asarray(picture)]
        assert np.array_equal(read_picture(tmp_path / "a.png"), expected)

    def test_a_transparent_palette_colour_becomes_white(self, tmp_path: Path) -> None:
        picture = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
        picture.putpalette([10, 20, 30, 40, 50, 60])
        picture.save(tmp_path / "a.png", transparency=1)
        assert read_picture(tmp_path / "a.png").tolist() == [[[10, 20, 30], [255, 255, 255]]]

    def test_alpha_is_laid_on_white(self, tmp_path: Path) -> None:
        pixels = np.array([[[100, 0, 200, 255], [100, 0, 200, 0], [100, 0, 200, 51]]], np.uint8)
        Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
        assert read_picture(tmp_path / "a.png")[0].tolist() == [
            [100, 0, 200],
            [255, 255, 255],
            [224, 204, 244],  # a fifth of the colour, four fifths of white
        ]

    def test_grey_with_alpha_is_laid_on_white(self, tmp_path: Path) -> None:
        Image.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8), "LA").save(tmp_path / "a.png")
        assert read_picture(tmp_path / "a.png")[0, :, 0].tolist() == [10, 255]

    def test_cmyk_jpeg_becomes_rgb(self, photograph: np.ndarray, tmp_path: Path) -> None:
        Image.fromarray(photograph).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
        assert np.abs(read_picture(tmp_path / "a.jpg").astype(int) - photograph).mean() < 4

    def test_only_the_first_frame_counts(self, photograph: np.ndarray, tmp_path: Path) -> None:
        first, second = Image.fromarray(photograph), Image.fromarray(255 - photograph)
        first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
        first.save(tmp_path / "a.png", save_all=True, append_images=[second])
        assert np.array_equal(read_picture(tmp_path / "a.tif"), photograph)
        assert np.array_equal(read_picture(tmp_path / "a.png"), photograph)

    @pytest.mark.parametrize("name", ["bild mit lücken.png", "写真 1.jpg", "a'b\"c.webp", "Ω.tiff"])
    def test_spaces_and_non_ascii_letters_in_names(
        self, name: str, photograph: np.ndarray, tmp_path: Path
    ) -> None:
        path = tmp_path / "mañana и вечер" / name
        path.parent.mkdir()
        Image.fromarray(photograph).save(path)
        assert read_picture(path).shape == (HEIGHT, WIDTH, 3)


class TestSixteenBits:
    def test_every_16_bit_value_is_rounded_to_the_nearest_8_bit_one(self, tmp_path: Path) -> None:
        values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
        cv2.imwrite(str(tmp_path / "a.png"), values)
        assert np.array_equal(read_picture(tmp_path / "a.png")[..., 2], nearest_8_bit(values))

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bit_colour(self, suffix: str, deep: np.ndarray, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / f"ü.{suffix}"), deep[..., ::-1])
        assert np.array_equal(read_picture(tmp_path / f"ü.{suffix}"), nearest_8_bit(deep))

    @pytest.mark.parametrize("suffix", ["png", "tif"])
    def test_16_bit_grey(self, suffix: str, deep: np.ndarray, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / f"a.{suffix}"), deep[..., 0])
        assert np.array_equal(read_picture(tmp_path / f"a.{suffix}")[..., 0], nearest_8_bit(deep[..., 0]))

    def test_16_bit_colour_with_alpha_is_laid_on_white(self, deep: np.ndarray, tmp_path: Path) -> None:
        alpha = np.where(np.arange(WIDTH) % 2, 65535, 0).astype(np.uint16)
        cv2.imwrite(
            str(tmp_path / "a.png"),
            np.dstack([deep[..., ::-1], np.broadcast_to(alpha, (HEIGHT, WIDTH))]),
        )
        picture = read_picture(tmp_path / "a.png")
        assert np.array_equal(picture[:, 1::2], nearest_8_bit(deep)[:, 1::2])
        assert (picture[:, ::2] == 255).all()

    def test_16_bit_grey_with_alpha(self, tmp_path: Path) -> None:
        samples = np.array([[[1000, 65535], [40000, 65535], [40000, 0]]], ">u2")
        (tmp_path / "a.png").write_bytes(png_file(samples, colour_type=4))
        assert read_picture(tmp_path / "a.png")[0, :, 1].tolist() == [4, 156, 255]

    def test_a_truncated_16_bit_picture_is_refused(self, deep: np.ndarray, tmp_path: Path) -> None:
        data = cv2.imencode(".png", deep)[1].tobytes()
        (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
        with pytest.raises(PictureError):
            read_picture(tmp_path / "a.png")

    @pytest.mark.parametrize("dtype", [np.float32, np.int32])
    def test_pixels_without_a_fixed_range_are_refused(self, dtype: type, tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 5), dtype))
        with pytest.raises(PictureError, match="expected 8 or 16 bits"):
            read_picture(tmp_path / "a.tif")


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
    def test_the_picture_stands_upright_and_the_header_agrees(
        self, suffix: str, orientation: int, photograph: np.ndarray, tmp_path: Path
    ) -> None:
        path = tmp_path / f"a.{suffix}"
        stored = Image.fromarray(turned(photograph, orientation))
        stored.save(path, exif=with_orientation(orientation), quality=95)
        picture, header = read_picture(path), read_header(path)
        assert picture.shape == photograph.shape == (header.height, header.width, 3)
        assert np.abs(picture.astype(int) - photograph).mean() < 4

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_16_bit_tiff(self, orientation: int, deep: np.ndarray, tmp_path: Path) -> None:
        path = tmp_path / "a.tif"
        tag = (274, "H", 1, orientation, False)
        tifffile.imwrite(path, turned(deep, orientation), photometric="rgb", extratags=[tag])
        assert np.array_equal(read_picture(path), nearest_8_bit(deep))
        assert read_header(path).height == HEIGHT

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_16_bit_png(self, orientation: int, deep: np.ndarray, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        data = cv2.imencode(".png", turned(deep, orientation)[..., ::-1])[1].tobytes()
        exif = with_orientation(orientation).tobytes().removeprefix(b"Exif\0\0")
        header_end = 8 + 25
        path.write_bytes(data[:header_end] + chunk(b"eXIf", exif) + data[header_end:])
        assert np.array_equal(read_picture(path), nearest_8_bit(deep))
        assert read_header(path).height == HEIGHT

    @pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the EXIF data
    @pytest.mark.parametrize(
        "exif",
        [
            b"Exif\0\0garbage",
            b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
            with_orientation(0).tobytes(),
            with_orientation(17).tobytes(),
        ],
    )
    def test_broken_exif_does_not_spoil_a_picture(
        self, exif: bytes, photograph: np.ndarray, tmp_path: Path
    ) -> None:
        Image.fromarray(photograph).save(tmp_path / "a.jpg", exif=exif)
        assert read_picture(tmp_path / "a.jpg").shape == photograph.shape
        assert read_header(tmp_path / "a.jpg").height == HEIGHT


class TestBadFiles:
    def test_a_truncated_jpeg_is_refused_though_its_header_reads(
        self, photograph: np.ndarray, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.jpg"
        Image.fromarray(np.tile(photograph, (8, 8, 1))).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert read_header(path).height == 8 * HEIGHT
        with pytest.raises(PictureError, match="truncated"):
            read_picture(path)

    def test_a_text_file_named_png_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_text("not a picture")
        for read in (read_header, read_picture):
            with pytest.raises(PictureError, match=r"a\.png: expected a picture"):
                read(tmp_path / "a.png")

    def test_an_empty_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").touch()
        with pytest.raises(PictureError):
            read_picture(tmp_path / "a.jpg")

    def test_a_missing_file_is_a_picture_error_with_the_systems_reason(self, tmp_path: Path) -> None:
        with pytest.raises(PictureError, match="No such file"):
            read_picture(tmp_path / "a.jpg")

    @pytest.mark.filterwarnings("ignore:Image size")
    def test_a_picture_with_absurdly_many_pixels_is_refused_by_its_header(self, tmp_path: Path) -> None:
        side = int(MAX_PIXELS**0.5) + 1
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(file)
        with pytest.raises(PictureError, match="more than"):
            read_header(tmp_path / "a.png")

    def test_200_megapixels_pass_without_a_warning(
        self, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")
        assert read_header(tmp_path / "a.png").width == 20_000
        assert not recwarn.list

    def test_the_error_survives_the_way_between_processes(self) -> None:
        error = pickle.loads(pickle.dumps(PictureError(Path("a.png"), "why")))  # noqa: S301
        assert (error.path, error.reason, str(error)) == (Path("a.png"), "why", "a.png: why")

    @pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, about the damage
    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_damage_anywhere_gives_a_picture_or_a_picture_error(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "damaged"
        file = bytearray(data.draw(st.sampled_from(intact_files())))
        start = data.draw(st.integers(0, len(file) - 1))
        if data.draw(st.booleans()):
            del file[start:]
        else:
            file[start : start + 4] = data.draw(st.binary(min_size=1, max_size=4))
        path.write_bytes(file)
        try:
            header, picture = read_header(path), read_picture(path)
        except PictureError:
            return
        assert picture.shape == (header.height, header.width, 3) and picture.dtype == np.uint8


def intact_files() -> list[bytes]:
    picture = Image.fromarray(np.random.default_rng(2).integers(0, 256, (9, 12, 3), dtype=np.uint8))
    files = []
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF"):
        file = io.BytesIO()
        picture.save(file, kind, exif=with_orientation(6))
        files.append(file.getvalue())
    deep = np.random.default_rng(3).integers(0, 2**16, (9, 12, 3), dtype=np.uint16)
    return files + [cv2.imencode(suffix, deep)[1].tobytes() for suffix in (".png", ".tif")]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(samples: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG file of big-endian samples (H, W, C)."""
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


class TestFindPictures:
    def test_all_suffixes_in_any_case_at_any_depth_in_order(self, tmp_path: Path) -> None:
        names = ["b.PNG", "a/b/c.Jpg", "a/z.jpeg", "a.webp", "c d.bmp", "ü/1.tif", "2.TIFF"]
        for name in [*names, "notes.txt", "png", "a/x.npy"]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = find_pictures(tmp_path)
        assert found == sorted(Path(name) for name in names)

    def test_hidden_files_and_folders_are_left_out(self, tmp_path: Path) -> None:
        for name in ("a.png", "._a.png", ".thumbnails/a.png"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        assert find_pictures(tmp_path) == [Path("a.png")]

    def test_links_are_followed_but_not_in_circles(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "a.png").touch()
        (tmp_path / "hr").mkdir()
        (tmp_path / "hr" / "linked").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "hr" / "again").symlink_to(tmp_path / "hr")
        assert find_pictures(tmp_path / "hr") == [Path("linked/a.png")]

    @pytest.mark.parametrize("name, found", [("missing", "nothing"), ("file", "a file"), ("empty", "none")])
    def test_no_pictures_is_one_clear_error(self, name: str, found: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "empty").mkdir()
        with pytest.raises(SDFlowError, match=f"{name}: expected .*found {found}"):
            find_pictures(tmp_path / name)


class TestWritingPng:
    @settings(max_examples=40, deadline=None)
    @given(
        height=st.integers(1, 40),
        width=st.integers(1, 40),
        cuts=st.lists(st.integers(0, 40), max_size=4),
        smooth=st.booleans(),
        seed=st.integers(0, 99),
    )
    def test_what_is_written_in_any_bands_is_read(
        self,
        height: int,
        width: int,
        cuts: list[int],
        smooth: bool,
        seed: int,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        random = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = np.cumsum(random // 200, axis=1, dtype=np.uint8) if smooth else random
        path = tmp_path_factory.getbasetemp() / "banded.png"
        with writing_png(path, height, width) as writer:
            for band in np.split(picture, sorted(min(cut, height) for cut in cuts)):
                writer.write(band)
        assert np.array_equal(read_picture(path), picture)
        assert np.array_equal(cv2.imread(str(path))[..., ::-1], picture)  # another decoder agrees

    def test_a_band_larger_than_a_strip_is_filtered_across_its_strips(self, tmp_path: Path) -> None:
        picture = np.random.default_rng(0).integers(0, 256, (500, 3000, 3), dtype=np.uint8)
        with writing_png(tmp_path / "a.png", 500, 3000) as writer:
            writer.write(picture)
        assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], picture)

    def test_a_photograph_comes_out_no_larger_than_opencvs(self) -> None:
        photograph = skimage.data.astronaut()
        assert len(encode_png(photograph)) < len(cv2.imencode(".png", photograph[..., ::-1])[1])

    def test_encoded_bytes_are_those_of_the_file(self, photograph: np.ndarray, tmp_path: Path) -> None:
        with writing_png(tmp_path / "a.png", HEIGHT, WIDTH) as writer:
            writer.write(photograph)
        assert (tmp_path / "a.png").read_bytes() == encode_png(photograph)

    def test_a_picture_that_was_not_finished_leaves_no_file(
        self, photograph: np.ndarray, tmp_path: Path
    ) -> None:
        with (
            pytest.raises(ValueError, match="1 more rows"),
            writing_png(tmp_path / "a.png", 22, WIDTH) as png,
        ):
            png.write(photograph)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        "band",
        [
            np.zeros((2, 5, 3), np.float32),
            np.zeros((2, 5), np.uint8),
            np.zeros((2, 4, 3), np.uint8),
            np.zeros((4, 5, 3), np.uint8),
        ],
    )
    def test_only_rgb_bytes_of_the_pictures_size_are_taken(self, band: np.ndarray) -> None:
        with pytest.raises(ValueError, match="expected uint8"):
            PngWriter(io.BytesIO(), 3, 5).write(band)
