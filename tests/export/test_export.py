"""Exports hold every pair pixel by pixel, are made again byte by byte, and are there whole or not at all."""

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
import pandas as pd
import pytest
from pairs import write_dataset

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import Dataset, Patch, read_dataset
from sdflow_data.dataset.shards import Sizes
from sdflow_data.dataset.verify import verify
from sdflow_data.export import FORMATS, run
from sdflow_data.export import lmdb as lmdb_module
from sdflow_data.export.folder import FolderWriter
from sdflow_data.export.parts import Part
from sdflow_data.export.run import ExportRequest, export
from sdflow_data.export.webdataset import to_json

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("Datensatz é"))


def decode(png: bytes) -> np.ndarray:
    """RGB, read as other programs read it."""
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def read_folder(out: Path) -> Iterator[tuple[str, bytes, bytes]]:
    for hr in sorted((out / "hr").iterdir()):
        yield hr.stem, hr.read_bytes(), (out / "lr" / hr.name).read_bytes()


def read_lmdb(out: Path) -> Iterator[tuple[str, bytes, bytes]]:
    with (
        lmdb.open(str(out / "hr.lmdb"), readonly=True) as hr,
        lmdb.open(str(out / "lr.lmdb"), readonly=True) as lr,
        hr.begin() as hr_transaction,
        lr.begin() as lr_transaction,
    ):
        assert hr_transaction.stat()["entries"] == lr_transaction.stat()["entries"]
        for key, png in hr_transaction.cursor():
            yield key.decode("ascii"), png, lr_transaction.get(key)


def read_webdataset(out: Path) -> Iterator[tuple[str, bytes, bytes]]:
    for path in sorted(out.glob("pairs-*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            for hr, lr, row in zip(members[::3], members[1::3], members[2::3]):
                key = hr.name.split(".")[0]
                assert (hr.name, lr.name, row.name) == (f"{key}.hr.png", f"{key}.lr.png", f"{key}.json")
                yield key, tar.extractfile(hr).read(), tar.extractfile(lr).read()


def read_parquet(out: Path) -> Iterator[tuple[str, bytes, bytes]]:
    for path in sorted((out / "data").glob("pairs-*.parquet")):
        for row in pd.read_parquet(path).to_dict("records"):
            yield row["sample_id"], row["hr"]["bytes"], row["lr"]["bytes"]


def read_export(out: Path, format: str) -> Pairs:
    if format == "hdf5":
        return pairs_of(read_dataset(out))
    read = {"folder": read_folder, "lmdb": read_lmdb, "webdataset": read_webdataset, "parquet": read_parquet}
    return {name: (decode(hr), decode(lr)) for name, hr, lr in read[format](out)}


def pairs_of(dataset: Dataset) -> Pairs:
    return {
        sample_id: (patch.hr, lr)
        for patch in dataset.patches()
        for sample_id, lr in zip(patch.rows["sample_id"], patch.lr)
    }


def assert_same(found: Pairs, expected: Pairs) -> None:
    assert found.keys() == expected.keys()
    for name, pictures in expected.items():
        assert all(np.array_equal(a, b) for a, b in zip(found[name], pictures)), name


def files(out: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder."""
    paths = [path for path in out.rglob("*") if path.is_file()]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.mark.parametrize("format", FORMATS)
def test_every_pair_is_exported_pixel_by_pixel(dataset: Dataset, tmp_path: Path, format: str) -> None:
    summary = export(dataset, tmp_path / "out", ExportRequest(format, patches_per_shard=3), workers=1)
    assert_same(read_export(tmp_path / "out", format), pairs_of(dataset))
    assert summary.samples == {"": 30}


@pytest.mark.parametrize("format", FORMATS)
def test_a_filter_and_a_split_take_what_they_say(dataset: Dataset, tmp_path: Path, format: str) -> None:
    request = ExportRequest(format, where="noise_sigma < 14", split="train=0.6,val=0.4", patches_per_shard=2)
    export(dataset, tmp_path / "out", request, workers=1)
    found = [read_export(tmp_path / "out" / name, format) for name in ("train", "val")]
    rows = dataset.manifest.query("noise_sigma < 14").set_index("sample_id")
    expected = pairs_of(dataset)
    assert_same(found[0] | found[1], {name: expected[name] for name in rows.index})
    sources = [set(rows.loc[list(pairs), "source_sha256"]) for pairs in found]
    assert not sources[0] & sources[1]


def test_the_bytes_depend_on_nothing_but_the_dataset(dataset: Dataset, tmp_path: Path) -> None:
    requests = [ExportRequest(format, where="component != 2", patches_per_shard=3) for format in FORMATS]
    for request in requests:
        export(dataset, tmp_path / "one" / str(request.format), request, workers=1)
    time.sleep(1.1)  # a time stamp of whole seconds would differ
    for request in requests:
        workers = 2 if request.format == "parquet" else 1  # one is enough: a part is made alike anywhere
        export(dataset, tmp_path / "two" / str(request.format), request, workers)
    assert files(tmp_path / "one") == files(tmp_path / "two")


class Stop(BaseException):
    """What Ctrl-C or a crash would be."""


@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_shows_nothing_and_goes_on_where_it_stopped(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    request = ExportRequest(format, split="train=0.6,val=0.4", patches_per_shard=2)
    export(dataset, tmp_path / "whole", request, workers=1)

    read: list[int] = []

    def counted(folder: Path, sizes: Sizes, part: Part) -> Iterator[Patch]:
        read.append(part.number)
        for patch in original(folder, sizes, part):
            yield patch
            if len(read) == 3:  # in the middle of the third part
                raise Stop

    original = run.read_patches
    monkeypatch.setattr(run, "read_patches", counted)
    with pytest.raises(Stop):
        export(dataset, tmp_path / "out", request, workers=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".partial"]
    export(dataset, tmp_path / "out", request, workers=1)
    assert sorted(read) == sorted([*range(5), read[2]])  # the two finished parts were not made again
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_interrupted_while_it_is_published_goes_on(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    request = ExportRequest(format, split="train=0.6,val=0.4")
    export(dataset, tmp_path / "whole", request, workers=1)
    rename = Path.rename

    def stop(self: Path, target: Path) -> Path:
        if self.name == "val":
            raise Stop
        return rename(self, target)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(Path, "rename", stop)
        export(dataset, tmp_path / "out", request, workers=1)
    assert not (tmp_path / "out" / "export.json").exists()
    export(dataset, tmp_path / "out", request, workers=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_killed_export_with_workers_is_completed_by_the_same_command(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", photographs=12, patches=8)
    command = [sys.executable, "-c", "from sdflow_cli.main import main; main()"]
    command += ["export", str(dataset.folder), str(tmp_path / "out"), "--format", "folder"]
    command += ["--workers", "2", "--patches-per-shard", "1"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    done = tmp_path / "out" / ".partial" / "done"
    while process.poll() is None and not (done.is_dir() and len(list(done.iterdir())) > 3):
        time.sleep(0.005)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".lock-all", ".partial"}
    for out in (tmp_path / "out", tmp_path / "whole"):
        export(dataset, out, ExportRequest("folder", patches_per_shard=1), workers=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_takes_no_more_is_told_by_name_and_the_export_goes_on_later(
    dataset: Dataset, tmp_path: Path, format: str
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # it looks like a full disk for larger files
    try:
        with pytest.raises((OSError, SDFlowError)) as caught:
            export(dataset, tmp_path / "out", ExportRequest(format), workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(tmp_path / "out" / ".partial") in str(caught.value)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".partial"]
    for out in (tmp_path / "out", tmp_path / "whole"):
        export(dataset, out, ExportRequest(format), workers=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_the_same_export_again_touches_nothing(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert export(dataset, tmp_path, ExportRequest("folder"), workers=1).samples == {"": 30}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_folder_that_holds_something_else_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(SDFlowError, match=r"expected a new or empty folder, found holiday.jpg in it"):
        export(dataset, tmp_path, ExportRequest("folder"))
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_folder_that_holds_another_export_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    with pytest.raises(SDFlowError, match=r"format: .* was begun with folder, found lmdb now"):
        export(dataset, tmp_path, ExportRequest("lmdb"))


def test_an_unfinished_export_is_not_continued_as_another(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(FolderWriter, "finish", lambda *_: (_ for _ in ()).throw(Stop()))
        export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    with pytest.raises(SDFlowError, match=r"where: .* was begun with none, found component == 1 now"):
        export(dataset, tmp_path, ExportRequest("folder", where="component == 1"), workers=1)


def test_a_filter_that_leaves_nothing_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(SDFlowError, match="where: expected a condition that some samples"):
        export(dataset, tmp_path / "out", ExportRequest("folder", where="noise_sigma < 0"))
    assert not (tmp_path / "out").exists()


def test_a_filter_that_empties_a_part_of_the_split_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    first = min(dataset.manifest["source_sha256"])
    request = ExportRequest("folder", where=f"source_sha256 == '{first}'", split="train=0.6,val=0.4")
    with pytest.raises(SDFlowError, match="no sample of the part 'val' fulfils"):
        export(dataset, tmp_path / "out", request)


# Layouts


def test_the_folders_hold_the_same_safe_names_and_nothing_else(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    hr, lr = (sorted(path.name for path in (tmp_path / kind).iterdir()) for kind in ("hr", "lr"))
    assert hr == lr == sorted(dataset.manifest["sample_id"] + ".png")
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+\.png", name) for name in hr)


def test_pictures_are_plain_8_bit_rgb_without_profile_or_metadata(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    for path in [*(tmp_path / "hr").iterdir(), *(tmp_path / "lr").iterdir()]:
        png = path.read_bytes()
        assert png[24:26] == b"\x08\x02"  # bit depth 8, colour type RGB
        chunks, place = set(), 8
        while place < len(png):
            chunks.add(png[place + 4 : place + 8])
            place += 12 + int.from_bytes(png[place : place + 4], "big")
        assert chunks == {b"IHDR", b"IDAT", b"IEND"}


def test_variants_share_the_file_of_their_hr_patch(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    assert len({path.stat().st_ino for path in (tmp_path / "hr").iterdir()}) == 10
    assert len({path.stat().st_ino for path in (tmp_path / "lr").iterdir()}) == 30


def test_a_file_system_without_links_gets_copies(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(dataset, tmp_path / "links", ExportRequest("folder"), workers=1)

    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    export(dataset, tmp_path / "copies", ExportRequest("folder"), workers=1)
    assert files(tmp_path / "copies") == files(tmp_path / "links")
    assert len({path.stat().st_ino for path in (tmp_path / "copies" / "hr").iterdir()}) == 30


def test_meta_info_lists_name_and_size_of_every_file(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    names = dataset.manifest["sample_id"]
    lines = (tmp_path / "meta_info.txt").read_text().splitlines()
    assert lines == [f"{name}.png (16,16,3)" for name in names]
    pairs = (tmp_path / "meta_info_realesrgan.txt").read_text().splitlines()
    assert pairs == [f"hr/{name}.png, lr/{name}.png" for name in names]


def test_metadata_holds_the_manifest_and_the_paths(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("folder"), workers=1)
    metadata = pd.read_parquet(tmp_path / "metadata.parquet")
    assert metadata[dataset.manifest.columns].equals(dataset.manifest)
    assert all((tmp_path / name).is_file() for name in [*metadata["hr_file_name"], *metadata["lr_file_name"]])


def test_databases_are_laid_out_as_basicsr_reads_them(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("lmdb", patches_per_shard=3), workers=1)
    for kind, size in (("hr", 16), ("lr", 8)):
        folder = tmp_path / f"{kind}.lmdb"
        assert {path.name for path in folder.iterdir()} == {"data.mdb", "lock.mdb", "meta_info.txt"}
        lines = (folder / "meta_info.txt").read_text().splitlines()
        assert lines == [f"{name}.png ({size},{size},3) 1" for name in dataset.manifest["sample_id"]]


def test_a_database_grows_with_its_content(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmdb_module, "_FIRST_MAP_SIZE", 1 << 14)
    monkeypatch.setattr(lmdb_module, "_SAMPLES_PER_TRANSACTION", 4)
    export(dataset, tmp_path, ExportRequest("lmdb"), workers=1)
    assert_same(read_export(tmp_path, "lmdb"), pairs_of(dataset))


def test_tar_files_name_no_time_and_no_person(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("webdataset", patches_per_shard=4), workers=1)
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == [f"pairs-{n:06d}.tar" for n in range(3)]
    with tarfile.open(tmp_path / "pairs-000000.tar") as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "", "", 0o644)}


def test_the_json_of_a_sample_is_its_row_of_the_manifest(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("webdataset"), workers=1)
    with tarfile.open(tmp_path / "pairs-000000.tar") as tar:
        rows = [json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")]
    assert rows == dataset.manifest.to_dict("records")


def test_a_statistic_that_is_not_a_number_is_null_in_json() -> None:
    text = to_json({"a": float("nan"), "b": 1})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": None, "b": 1}


def test_new_shards_have_the_size_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("hdf5", patches_per_shard=4), workers=1)
    sizes = []
    for path in sorted((tmp_path / "shards").iterdir()):
        with h5py.File(path) as file:
            sizes.append(file["hr"].shape[0])
    assert sizes == [4, 4, 2]
    made = read_dataset(tmp_path)
    assert made.info["variants"] == 3
    assert made.info["counts"] == dataset.info["counts"] | {"shards": 3}
    assert (tmp_path / "failures.csv").read_bytes() == (dataset.folder / "failures.csv").read_bytes()
    unmoved = [name for name in dataset.manifest if name not in ("shard", "row")]
    assert made.manifest[unmoved].equals(dataset.manifest[unmoved])


def test_where_a_filter_leaves_different_numbers_of_variants_each_sample_becomes_a_patch(
    dataset: Dataset, tmp_path: Path
) -> None:
    kept = dataset.manifest.query("component > 0")
    assert kept.groupby(["shard", "row"]).size().nunique() > 1
    export(dataset, tmp_path, ExportRequest("hdf5", where="component > 0"), workers=1)
    made = read_dataset(tmp_path)
    assert made.info["variants"] == 1
    assert made.info["counts"]["patches"] == len(made.manifest) == len(kept)
    assert (made.manifest["variant"] == 0).all()


@pytest.mark.parametrize("condition", [None, "component > 0"])
def test_new_shards_verify(dataset: Dataset, tmp_path: Path, condition: str | None) -> None:
    request = ExportRequest("hdf5", where=condition, split="train=0.6,val=0.4", patches_per_shard=3)
    export(dataset, tmp_path, request, workers=1)
    assert verify(tmp_path / "train") == verify(tmp_path / "val") == []


def test_a_table_says_which_columns_are_pictures(dataset: Dataset, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    export(dataset, tmp_path, ExportRequest("parquet"), workers=1)
    schema = pq.read_schema(tmp_path / "data" / "pairs-000000.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names == ["hr", "lr", *dataset.manifest.columns]
    assert [name for name, feature in features.items() if feature["_type"] == "Image"] == ["hr", "lr"]
    assert features["noise_sigma"] == {"dtype": "float32", "_type": "Value"}
