"""JPEG files of every kind in one folder: each is measured, or told in one line; none is lost."""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sdflow_data.inspection.advice import advice
from sdflow_data.inspection.photographs import Survey, survey
from sdflow_data.training.crops import UnpairedCrops

PICTURE = Image.fromarray(np.ascontiguousarray(skimage.data.astronaut()[:192, :192]))


def jpeg(**options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, "JPEG", **options)  # type: ignore[arg-type]
    return file.getvalue()


def inks() -> bytes:
    file = io.BytesIO()
    PICTURE.convert("CMYK").save(file, "JPEG")
    return file.getvalue()


WIDE = [300 + step for step in range(64)]  # steps of 16 bits
READ = {
    "plain.jpg": jpeg(quality=80),
    "progressive.jpg": jpeg(progressive=True),
    "tables_of_16_bits.jpg": jpeg(qtables=[WIDE, WIDE]),
    "inks.jpg": inks(),
}
NOT_READ = {
    "without_tables.jpg": (jpeg(streamtype=2), "Quantization table"),
    "tables_alone.jpg": (jpeg(streamtype=1), "tables alone"),
    "truncated.jpg": (jpeg()[:4000], "truncated"),
    "in_its_header.jpg": (jpeg()[:100], "Truncated"),
    "arithmetic.jpg": (jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1), "damaged"),  # by its header
    "bits.jpg": (
        jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c", 1),
        "8 bits per sample, found 12",
    ),
    "empty.jpg": (b"", "an empty file"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    for name, content in READ.items():
        (folder / name).write_bytes(content)
    for name, (content, _) in NOT_READ.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Survey:
    return survey([folder], workers=1)


def test_every_file_is_measured_or_named(found: Survey) -> None:
    assert {photo.name for photo in found.measured} == set(READ)
    assert set(found.unreadable) == set(NOT_READ)
    assert found.files == len(READ) + len(NOT_READ)


@pytest.mark.parametrize("name", NOT_READ)
def test_the_reason_is_one_line_that_says_what_is_wrong(found: Survey, name: str) -> None:
    assert NOT_READ[name][1] in found.unreadable[name]
    assert "\n" not in found.unreadable[name]


def test_a_file_is_warned_of_once(found: Survey) -> None:
    assert list(found.unusual) == ["inks.jpg"]
    unread, of_unusual = (
        [line for line in advice(found) if word in line]
        for word in ("cannot be read", "cannot be reproduced")
    )
    assert len(unread) == len(of_unusual) == 1
    assert unread[0].startswith(f"{len(NOT_READ)} photographs")


def test_training_skips_what_cannot_be_read_and_names_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "hr").mkdir()
    PICTURE.save(tmp_path / "hr" / "a.png")
    crops = UnpairedCrops(
        (tmp_path / "hr",), (folder,), scale=2, patch_size=64, batch_size=4, seed=0, rank=0, world_size=1
    )
    batches = crops.batches(0)
    for _ in range(8):
        next(batches)
    assert {path.name for path, _ in crops.skipped} == set(NOT_READ)


def test_files_of_two_folders_with_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "truncated.jpg")
    sound, damaged = tmp_path / "truncated.jpg", folder / "truncated.jpg"
    found = survey([tmp_path, folder], workers=1)
    assert str(damaged) in found.unreadable and str(sound) not in found.unreadable
    assert str(sound) in [photo.name for photo in found.measured]
    assert len(found.measured) == len(READ) + 1 and len(found.unreadable) == len(NOT_READ)


def test_a_link_in_a_circle_is_named_as_its_folder_names_it(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "sound.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    assert survey([tmp_path], workers=1).unreadable == {
        "circle.jpg": "cannot be read: Too many levels of symbolic links"
    }


def test_a_folder_of_one_photograph_is_one_camera(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "alone.jpg")
    found = survey([tmp_path], workers=1)
    assert [group.look.share for group in found.cameras] == [1]


BOUNDED = """
import resource, sys
from pathlib import Path
from sdflow_data.inspection.photographs import survey
folder = Path(sys.argv[1])
files = survey([folder], most=4, workers=1).files
print(files, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no resource module")
def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    used = {}
    for count in (100, 8_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        PICTURE.resize((32, 32)).save(folder / "0.jpg")
        for number in range(1, count):
            os.link(folder / "0.jpg", folder / f"{number}.jpg")
        done = subprocess.run(
            [sys.executable, "-c", BOUNDED, str(folder)], capture_output=True, text=True, check=True
        )
        files, kilobytes = map(int, done.stdout.split())
        assert files == count
        used[count] = kilobytes
    assert used[8_000] - used[100] < 24_000  # names and sizes: 3 kB a file at most
