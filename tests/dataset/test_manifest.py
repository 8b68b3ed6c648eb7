"""A dataset is finished from its shards alone, and is only read when it is whole."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file, write_file
from sdflow_data.dataset.manifest import finish_dataset, read_dataset
from sdflow_data.dataset.shards import Failure, ShardWriter, shard_path

METADATA = {"scale": 2, "patch_size": 16, "variants": 2, "model": "bicubic"}


def write_shard(folder: Path, number: int, patches: int, failures: list[Failure] | None = None) -> None:
    writer = ShardWriter(patch_size=16, scale=2, variants=2)
    for row in range(patches):
        name = f"{number}-{row}"
        hr, lr = np.full((16, 16, 3), 10 * number + row, np.uint8), np.full((2, 8, 8, 3), row, np.uint8)
        columns = {
            "source": f"picture {number}.png",
            "source_sha256": f"{number:064x}",
            "sample_id": [f"{name}-v0", f"{name}-v1"],
            "draw": [0, 1],
        }
        writer.add(hr, lr, columns)
    shard_path(folder, number).parent.mkdir(exist_ok=True)
    write_file(shard_path(folder, number), writer.finish(METADATA, "", failures or []))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shard(tmp_path, 0, 3)
    write_shard(tmp_path, 1, 0, [Failure("b.png", None, None, "truncated")])
    write_shard(tmp_path, 2, 2, [Failure("b.png", None, None, "truncated"), Failure("a,1.png", 0, 16, "x")])
    finish_dataset(tmp_path, 3, METADATA, [Failure("tiny.png", None, None, "8x8 pixels")])
    return tmp_path


def test_the_manifest_has_a_row_per_sample_in_the_order_of_the_shards(folder: Path) -> None:
    manifest = pd.read_parquet(folder / "manifest.parquet")
    places = list(manifest[["shard", "row", "variant"]].itertuples(index=False, name=None))
    assert places == [(s, r, v) for s, count in ((0, 3), (2, 2)) for r in range(count) for v in range(2)]
    assert manifest["sample_id"].tolist() == [f"{s}-{r}-v{v}" for s, r, v in places]
    assert manifest["source"].tolist() == [f"picture {s}.png" for s, _, _ in places]


def test_failures_are_listed_once_each(folder: Path) -> None:
    with (folder / "failures.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["source"], row["top"], row["left"], row["reason"]) for row in rows] == [
        ("a,1.png", "0", "16", "x"),
        ("b.png", "", "", "truncated"),
        ("tiny.png", "", "", "8x8 pixels"),
    ]


def test_the_description_holds_metadata_counts_and_checksums(folder: Path) -> None:
    info = json.loads((folder / "dataset.json").read_text())
    assert info.items() >= METADATA.items()
    assert info["counts"] == {
        "sources": 2,
        "patches": 5,
        "samples": 10,
        "shards": 3,
        "failures": 3,
        "redraws": 5,
    }
    assert info["files"]["manifest.parquet"] == sha256_file(folder / "manifest.parquet")


def test_patches_come_with_their_rows(folder: Path) -> None:
    seen = [
        (int(hr[0, 0, 0]), lr.shape, rows["variant"].tolist())
        for hr, lr, rows in read_dataset(folder).patches()
    ]
    assert seen == [(level, (2, 8, 8, 3), [0, 1]) for level in (0, 1, 2, 20, 21)]


def test_columns_can_be_read_alone(folder: Path) -> None:
    assert list(read_dataset(folder).columns(["row", "shard"]).columns) == ["row", "shard"]


def test_no_sample_at_all_is_refused_and_leaves_no_description(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, 0, [Failure("a.png", None, None, "truncated")])
    with pytest.raises(SDFlowError, match=r"no sample could be made; for instance a\.png: truncated"):
        finish_dataset(tmp_path, 1, METADATA)
    assert {path.name for path in tmp_path.iterdir()} == {"shards", "failures.csv"}


def test_a_folder_without_description_is_no_dataset(folder: Path) -> None:
    (folder / "dataset.json").unlink()
    with pytest.raises(SDFlowError, match=r"expected a dataset, found no dataset\.json"):
        read_dataset(folder)


@pytest.mark.parametrize("content", ["", "[1]", "{}", "\xff"])
def test_a_damaged_description_is_refused_by_name(folder: Path, content: str) -> None:
    (folder / "dataset.json").write_text(content, encoding="latin-1")
    with pytest.raises(SDFlowError, match=r"dataset\.json: expected the description of a dataset"):
        read_dataset(folder)


def test_another_format_version_is_refused(folder: Path) -> None:
    (folder / "dataset.json").write_text('{"format_version": 99}')
    with pytest.raises(SDFlowError, match="expected dataset format 1, found 99"):
        read_dataset(folder)


def test_a_damaged_manifest_is_refused_by_name(folder: Path) -> None:
    (folder / "manifest.parquet").write_bytes(b"no parquet")
    with pytest.raises(SDFlowError, match=r"manifest\.parquet: expected the manifest"):
        _ = read_dataset(folder).manifest
