"""Datasets that say what is not so: refused in one line, before memory or time is asked for."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from pairs import write_dataset

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.reading import PairedShards
from sdflow_data.dataset.verify import verify


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


def of_floats(file: h5py.File) -> None:
    pixels = file["lr"][:].astype(np.float32)
    del file["lr"]
    file["lr"] = pixels


@pytest.mark.parametrize("edit", [resized, with_large_chunks, with_a_random_chunk, of_floats])
def test_shards_that_were_sealed_anew_are_seen_through(
    dataset: Path, edit: Callable[[h5py.File], None]
) -> None:
    seal_anew(dataset / "shards" / "000000.h5", edit)
    problems = verify(dataset)
    assert problems and all("\n" not in problem for problem in problems)


def test_the_systems_own_files_do_not_make_a_dataset_unsound(dataset: Path) -> None:
    for name in (".DS_Store", "shards/.DS_Store", "shards/Thumbs.db", "shards/._000000.h5"):
        (dataset / name).write_bytes(b"x")
    assert verify(dataset) == []


def test_negative_places_count_from_the_end(dataset: Path) -> None:
    pairs = PairedShards(dataset)
    assert all(np.array_equal(a, b) for a, b in zip(pairs[-1], pairs[len(pairs) - 1]))
    with pytest.raises(IndexError):
        pairs[-len(pairs) - 1]
