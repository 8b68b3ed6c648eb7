"""A disk that fills up during an export: told as such, with the place, whatever the format."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pairs import write_dataset

from sdflow.files import WriteError
from sdflow_data.dataset.manifest import Dataset
from sdflow_data.export import FORMATS
from sdflow_data.export.run import ExportRequest, export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """1.2 MB of noise, which nothing compresses."""
    return write_dataset(tmp_path_factory.mktemp("disk") / "pairs", 4, 12, 1, patch_size=96)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Half a megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_told_as_one(format: str, dataset: Dataset, small_disk: Path) -> None:
    with pytest.raises(WriteError) as error:
        export(dataset, small_disk / "out", ExportRequest(format), workers=1)
    assert error.value.errno == errno.ENOSPC
    assert str(error.value.filename).startswith(str(small_disk))


def test_a_full_disk_under_lmdb_alone_is_told_as_one(dataset: Dataset, small_disk: Path) -> None:
    """The pictures are put aside on another disk here, so that it is LMDB that meets the end."""
    (small_disk / "out" / ".partial").mkdir(parents=True)
    (small_disk.parent / "scratch").mkdir()
    (small_disk / "out" / ".partial" / "scratch").symlink_to(small_disk.parent / "scratch")
    with pytest.raises(WriteError, match=r"No space left on device: .*\.lmdb"):
        export(dataset, small_disk / "out", ExportRequest("lmdb"), workers=1)
