"""Datasets that say what is not so: refused in one line, before memory or time is asked for."""

import hashlib
import io
import json
import os
import signal
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from factory import make, write_pictures
from pairs import write_dataset

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.reading import PairedShards
from sdflow_data.dataset.verify import verify
from sdflow_data.export.run import ExportRequest, export


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_dataset(tmp_path / "pairs")
    return tmp_path / "pairs"


def edit_info(dataset: Path, **values: Any) -> None:
    info = json.loads((dataset / "dataset.json").read_text())
    for name, value in values.items():
        where = info["counts"] if name in info["counts"] else info
        where[name] = value
    (dataset / "dataset.json").write_text(json.dumps(info))


def seal_anew(path: Path, edit: Callable[[h5py.File], None]) -> None:
    """Change a shard as somebody would who knows how it is sealed."""
    buffer = io.BytesIO(path.read_bytes())
    with h5py.File(buffer, "r+") as file:
        edit(file)
    content = buffer.getvalue()
    digest = hashlib.sha256(content[512:]).hexdigest()
    seal = f"SDFlow shard, HDF5 from byte 512 of {len(content)}; sha256 of those bytes: {digest}\n"
    path.write_bytes(seal.encode().ljust(512, b"\n") + content[512:])


@pytest.mark.parametrize(
    "values",
    [
        *({"shards": value} for value in (10**12, 0, -1, 1.5, "2", None)),
        *({"patch_size": value} for value in (0, -16, 2**31, 7, "16")),
        *({"scale": value} for value in (0, 3, 10**9, None)),
        *({"variants": value} for value in (0, 2**40, True)),
        *({"patch_size": 16384}, {"variants": 2**20, "patch_size": 64}),
        *({"weights": value} for value in (None, "1", [True], ["a"], [-1], [10**400], [float("nan")])),
    ],
)
def test_sizes_and_counts_that_no_dataset_has(dataset: Path, values: dict[str, Any]) -> None:
    edit_info(dataset, **values)
    for read in (read_dataset, verify, PairedShards):
        with pytest.raises(SDFlowError, match=r"dataset\.json: expected"):
            read(dataset)


@pytest.mark.parametrize("column", ["shard", "row", "variant"])
@pytest.mark.parametrize("value", [-1, 10**9, 0.5])
def test_places_that_are_in_no_shard(dataset: Path, column: str, value: float) -> None:
    path = dataset / "manifest.parquet"
    manifest = pd.read_parquet(path)
    manifest[column] = manifest[column].astype(type(value))
    manifest.loc[0, column] = value
    manifest.to_parquet(path, index=False)
    with pytest.raises(SDFlowError, match=column):
        list(read_dataset(dataset).patches())


def test_shards_that_are_not_there_take_a_line_for_each_gap(dataset: Path) -> None:
    edit_info(dataset, shards=10**6)
    (dataset / "shards" / "000002.h5").unlink()
    gaps = [line for line in verify(dataset) if line.endswith("found none")]
    shards = dataset / "shards"
    assert gaps == [
        f"{shards}/000002.h5: expected a shard, found none",
        f"{shards}/000005.h5 to 999999.h5: expected 999995 shards, found none",
    ]


def test_another_patch_size_than_the_shards_have(dataset: Path) -> None:
    size = read_dataset(dataset).info["patch_size"]
    edit_info(dataset, patch_size=2 * size)
    with pytest.raises(SDFlowError, match="expected pictures of"):
        list(read_dataset(dataset).patches())


@pytest.mark.parametrize("name", ["failures.csv", "manifest.parquet", "shards/000000.h5", "notes.txt"])
def test_no_link_leads_out(dataset: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of somebody else")
    (dataset / name).unlink(missing_ok=True)
    (dataset / name).symlink_to(tmp_path / "secret")
    with pytest.raises(SDFlowError, match="a link that leads out of it"):
        read_dataset(dataset)


def test_links_in_a_circle_lead_nowhere(dataset: Path) -> None:
    (dataset / "a").symlink_to("b")
    (dataset / "b").symlink_to("a")
    assert read_dataset(dataset).folder == dataset


def test_a_link_inside_is_followed(dataset: Path) -> None:
    (dataset / "failures.csv").rename(dataset / "listed.csv")
    (dataset / "failures.csv").symlink_to(dataset / "listed.csv")
    assert read_dataset(dataset)


def resized(file: h5py.File) -> None:
    file["hr"].resize(2**40, axis=0)
    file["lr"].resize(2**40, axis=0)


def with_large_chunks(file: h5py.File) -> None:
    pixels = file["hr"][:]
    del file["hr"]
    file.create_dataset("hr", data=pixels, chunks=pixels.shape, compression="gzip")


def with_a_random_chunk(file: h5py.File) -> None:
    file["hr"].id.write_direct_chunk((0, 0, 0, 0), np.random.default_rng(0).bytes(99))


def with_a_chunk_that_inflates_without_end(file: h5py.File) -> None:
    file["hr"].id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(1 << 19), 9))


def with_a_chunk_that_inflates_to_less(file: h5py.File) -> None:
    file["lr"].id.write_direct_chunk((0, 1, 0, 0, 0), zlib.compress(bytes(60)))


def with_compressed_columns(file: h5py.File) -> None:
    stored = file["columns/top"][:]
    del file["columns/top"]
    file.create_dataset("columns/top", data=stored, chunks=stored.shape, compression="gzip")


def of_floats(file: h5py.File) -> None:
    pixels = file["lr"][:].astype(np.float32)
    del file["lr"]
    file["lr"] = pixels


@pytest.mark.parametrize(
    "edit",
    [
        *(resized, with_large_chunks, with_a_random_chunk, of_floats, with_compressed_columns),
        *(with_a_chunk_that_inflates_without_end, with_a_chunk_that_inflates_to_less),
    ],
)
def test_shards_that_were_sealed_anew_are_seen_through(
    dataset: Path, edit: Callable[[h5py.File], None]
) -> None:
    seal_anew(dataset / "shards" / "000000.h5", edit)
    problems = verify(dataset)
    assert problems and all("\n" not in problem for problem in problems)


def test_what_does_not_deflate_is_stored_as_it_is(dataset: Path) -> None:
    patch = next(read_dataset(dataset).patches())

    def store(file: h5py.File) -> None:
        file["hr"].id.write_direct_chunk((0, 0, 0, 0), patch.hr.tobytes(), filter_mask=1)

    seal_anew(dataset / "shards" / "000000.h5", store)
    assert verify(dataset) == []
    assert np.array_equal(next(read_dataset(dataset).patches()).hr, patch.hr)


def with_an_unknown_filter(file: h5py.File) -> None:
    pixels = file["hr"][:]
    del file["hr"]
    images = file.create_dataset(
        "hr", pixels.shape, np.uint8, chunks=(1, *pixels.shape[1:]), compression="lzf"
    )
    for row in range(len(pixels)):
        images.id.write_direct_chunk((row, 0, 0, 0), pixels[row].tobytes())


def with_text_for_numbers(file: h5py.File) -> None:
    del file["columns/top"]
    file["columns/top"] = ["1"] * len(file["hr"])


def with_numbers_for_text(file: h5py.File) -> None:
    del file["columns/sample_id"]
    file["columns/sample_id"] = np.zeros(file["lr"].shape[:2], np.int64)


def with_a_column_that_is_not_stored(file: h5py.File) -> None:
    del file["columns/top"]
    file.create_dataset("columns/top", (len(file["hr"]),), np.int64, chunks=(1,))


def with_failures_without_end(file: h5py.File) -> None:
    del file["failures/top"]
    file.create_dataset("failures/top", (2**40,), np.int64, chunks=(1024,))


def with_deep_facts(file: h5py.File) -> None:
    file.attrs["facts"] = "[" * 60_000


def of_another_size(file: h5py.File) -> None:
    pixels = file["lr"][:, :, :4, :4]
    del file["lr"]
    file.create_dataset("lr", data=pixels, chunks=(1, 1, *pixels.shape[2:]))


@pytest.mark.parametrize(
    "edit",
    [
        *(with_an_unknown_filter, with_text_for_numbers, with_numbers_for_text, with_deep_facts),
        *(with_a_column_that_is_not_stored, with_failures_without_end, of_another_size),
    ],
)
def test_what_a_seal_cannot_prove_is_read_and_told(dataset: Path, edit: Callable[[h5py.File], None]) -> None:
    path = dataset / "shards" / "000000.h5"
    seal_anew(path, edit)
    problems = verify(dataset)
    assert problems and all(problem.startswith(f"{dataset}/") and "\n" not in problem for problem in problems)


@pytest.mark.parametrize("format", ["hdf5", "folder"])
@pytest.mark.parametrize("edit", [with_a_random_chunk, with_an_unknown_filter, of_another_size, resized])
def test_no_export_of_shards_that_lie(
    dataset: Path, tmp_path: Path, edit: Callable[[h5py.File], None], format: str
) -> None:
    seal_anew(dataset / "shards" / "000000.h5", edit)
    with pytest.raises(SDFlowError, match=r"000000\.h5: "):
        export(read_dataset(dataset), tmp_path / "out", ExportRequest(format), workers=1)
    assert not (tmp_path / "out" / "export.json").exists()


@pytest.mark.parametrize("values", [{"patch_size": 8}, {"variants": 1, "samples": 10}, {"scale": 4}])
def test_a_description_that_lies_of_the_shards_gives_no_pairs(
    dataset: Path, tmp_path: Path, values: dict[str, int]
) -> None:
    edit_info(dataset, **values)
    with pytest.raises(SDFlowError):
        export(read_dataset(dataset), tmp_path / "out", ExportRequest("folder"), workers=1)
    with pytest.raises(SDFlowError):
        PairedShards(dataset)[0]
    assert verify(dataset)


def with_rows(dataset: Path, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    path = dataset / "manifest.parquet"
    edit(pd.read_parquet(path)).to_parquet(path, index=False)


@pytest.mark.parametrize(
    "edit",
    [
        lambda rows: rows.iloc[:-1],
        lambda rows: pd.concat([rows, rows]),
        lambda rows: rows.drop(columns="source_sha256"),
        lambda rows: rows.assign(sample_id=None),
        lambda rows: rows.assign(sample_id=7),
        lambda rows: rows.assign(sample_id="x" * 180),
        lambda rows: rows.assign(sample_id=rows["sample_id"].str.slice(0, 3) + "/../x"),
        lambda rows: rows.assign(top="0"),
        lambda rows: rows.assign(noise_sigma="0"),
    ],
)
def test_a_manifest_that_is_none_of_these_samples(
    dataset: Path, tmp_path: Path, edit: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    with_rows(dataset, edit)
    with pytest.raises(SDFlowError, match="manifest"):
        export(read_dataset(dataset), tmp_path / "out", ExportRequest("folder"), workers=1)
    assert verify(dataset)


def test_a_manifest_of_more_rows_than_bytes_is_not_read(dataset: Path) -> None:
    path, rows = dataset / "manifest.parquet", 2 * 10**6
    table = pq.read_table(path).slice(0, 1)
    pq.write_table(table.take(np.zeros(rows, np.int64)), path)
    edit_info(dataset, samples=rows, patches=rows)
    with pytest.raises(SDFlowError, match=f"{rows:,} rows in"):
        read_dataset(dataset).columns(["shard"])


def test_a_value_that_is_repeated_without_end_is_not_read(dataset: Path) -> None:
    with_rows(dataset, lambda rows: rows.assign(source="a" * 2_000_000))
    path = dataset / "manifest.parquet"
    assert path.stat().st_size < 200_000
    with pytest.raises(SDFlowError, match="bytes of text in a file of"):
        read_dataset(dataset).columns(["source"])
    assert len(read_dataset(dataset).columns(["shard"])) == 30
    assert any("bytes of text in a file of" in problem for problem in verify(dataset))


@pytest.mark.parametrize(
    "text",
    [
        "source,top\na,1\n",
        "source,top,left,reason\na,x,,b\n",
        "source,top,left,reason\n\xff,,,\n",
        "source,top,left,reason\na\n",
    ],
)
def test_a_list_of_failures_that_is_none(dataset: Path, tmp_path: Path, text: str) -> None:
    (dataset / "failures.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(SDFlowError, match=r"failures\.csv: expected the columns"):
        export(read_dataset(dataset), tmp_path / "out", ExportRequest("hdf5"), workers=1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize(
    "name", ["dataset.json", "manifest.parquet", "failures.csv", "shards/000000.h5", "plan.parquet"]
)
def test_a_pipe_is_not_waited_for(dataset: Path, tmp_path: Path, name: str) -> None:
    (dataset / name).unlink(missing_ok=True)
    os.mkfifo(dataset / name)
    try:
        problems = verify(dataset)
    except (SDFlowError, OSError) as error:
        problems = [str(error)]
    assert any(name in problem for problem in problems)
    if name != "plan.parquet":
        with pytest.raises((SDFlowError, OSError), match=name.replace(".", r"\.")):
            export(read_dataset(dataset), tmp_path / "out", ExportRequest("hdf5"), workers=1)


@pytest.mark.parametrize("name", ["plan.parquet", "dataset.json", "shards"])
def test_no_link_leads_out_of_a_dataset_that_is_gone_on_with(tmp_path: Path, name: str) -> None:
    hr, out = write_pictures(tmp_path / "hr"), tmp_path / "out"
    make(hr, out)
    (out / name).rename(tmp_path / "elsewhere")
    (out / name).symlink_to(tmp_path / "elsewhere")
    for use in (lambda: make(hr, out), lambda: verify(out)):
        with pytest.raises(SDFlowError, match="a link that leads out of it"):
            use()


def test_threads_read_while_the_process_forks(dataset: Path) -> None:
    pairs = PairedShards(dataset, as_uint8=True)
    expected = [pairs[index] for index in range(len(pairs))]
    stop, wrong = threading.Event(), []

    def read(seed: int) -> None:
        random = np.random.default_rng(seed)
        while not stop.is_set():
            index = int(random.integers(len(pairs)))
            try:
                if not all(torch.equal(*both) for both in zip(pairs[index], expected[index])):
                    wrong.append(index)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                same = torch.equal(pairs[number % len(pairs)][1], expected[number % len(pairs)][1])
                os._exit(0 if same else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_the_systems_own_files_do_not_make_a_dataset_unsound(dataset: Path) -> None:
    for name in (".DS_Store", "shards/.DS_Store", "shards/Thumbs.db", "shards/._000000.h5"):
        (dataset / name).write_bytes(b"x")
    assert verify(dataset) == []


def test_negative_places_count_from_the_end(dataset: Path) -> None:
    pairs = PairedShards(dataset)
    assert all(np.array_equal(a, b) for a, b in zip(pairs[-1], pairs[len(pairs) - 1]))
    with pytest.raises(IndexError):
        pairs[-len(pairs) - 1]
