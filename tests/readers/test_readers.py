"""Exports, read by the programs that they are for: every pair, pixel by pixel, in RGB, with 8 workers.

These need an environment of their own, made by setup.sh beside this file; elsewhere they are skipped.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pairs import write_dataset

datasets = pytest.importorskip("datasets")
webdataset = pytest.importorskip("webdataset")

from torch.utils.data import DataLoader, Dataset  # noqa: E402

from sdflow_data.dataset.manifest import Dataset as Pairs  # noqa: E402
from sdflow_data.export.run import ExportRequest, export  # noqa: E402

WORKERS = 8
SPLIT = "train=0.6,val=0.4"

Sample = tuple[str, np.ndarray, np.ndarray]
"""Its sample_id, HR and LR."""

Samples = dict[str, tuple[np.ndarray, np.ndarray]]
"""HR and LR, uint8 RGB, by sample_id."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return write_dataset(tmp_path_factory.mktemp("dataset"), scale=4, patch_size=32)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where to export to: below names that want quoting and that mean something to readers."""
    return tmp_path / "val" / 'photos "test" é: #{x}' / "train"


def expected(dataset: Pairs, sources: Iterable[str] | None = None) -> Samples:
    return {
        row["sample_id"]: (patch.hr, lr)
        for patch in dataset.patches()
        for row, lr in zip(patch.rows.to_dict("records"), patch.lr)
        if sources is None or row["source_sha256"] in set(sources)
    }


def photographs(dataset: Pairs) -> tuple[list[str], list[str]]:
    """Those in the two parts of ``SPLIT``."""
    hashes = sorted(dataset.manifest["source_sha256"].unique())
    return hashes[:3], hashes[3:]


def assert_same(samples: Iterable[Sample], wanted: Samples) -> None:
    found = list(samples)
    assert sorted(name for name, _, _ in found) == sorted(wanted)
    for name, hr, lr in found:
        assert np.array_equal(np.asarray(hr), wanted[name][0])
        assert np.array_equal(np.asarray(lr), wanted[name][1])


# BasicSR


Reader = Callable[..., Iterator[Sample]]


@pytest.fixture
def basicsr(build_dataset: Callable[[dict[str, Any]], Any]) -> Reader:
    """Reads every sample with BasicSR, by the settings of our file but for flips, turns and ``changes``."""

    def read(config: Path, section: str = "train", **changes: Any) -> Iterator[Sample]:
        options = yaml.safe_load(config.read_text(encoding="utf-8"))
        settings = options["datasets"][section] | {"phase": section, "scale": options["scale"]}
        settings |= {"use_hflip": False, "use_rot": False} | changes
        reader = build_dataset({name: value for name, value in settings.items() if value is not None})
        for sample in DataLoader(reader, num_workers=WORKERS, batch_size=None):
            hr, lr = ((sample[side] * 255).round().numpy().astype(np.uint8) for side in ("gt", "lq"))
            yield Path(sample["gt_path"]).stem, hr.transpose(1, 2, 0), lr.transpose(1, 2, 0)

    return read


@pytest.mark.parametrize("format", ["folder", "lmdb"])
def test_basicsr_trains_on_our_configuration(basicsr: Reader, dataset: Pairs, out: Path, format: str) -> None:
    config = export(dataset, out, ExportRequest(format, "basicsr"), workers=1).config
    assert_same(basicsr(config), expected(dataset))


def test_basicsr_reads_the_folders_without_the_list(basicsr: Reader, dataset: Pairs, out: Path) -> None:
    config = export(dataset, out, ExportRequest("folder", "basicsr"), workers=1).config
    assert_same(basicsr(config, meta_info_file=None), expected(dataset))


@pytest.mark.parametrize("format", ["folder", "lmdb"])
def test_basicsr_trains_and_validates_on_different_photographs(
    basicsr: Reader, dataset: Pairs, out: Path, format: str
) -> None:
    config = export(dataset, out, ExportRequest(format, "basicsr", split=SPLIT), workers=1).config
    for section, sources in zip(("train", "val"), photographs(dataset)):
        assert_same(basicsr(config, section), expected(dataset, sources))


def test_real_esrgans_pair_reader_finds_both_files_in_its_list(
    basicsr: Reader, dataset: Pairs, out: Path
) -> None:
    config = export(dataset, out, ExportRequest("folder", "basicsr"), workers=1).config
    changes = {"type": "RealESRGANPairedDataset", "meta_info": str(out / "meta_info_realesrgan.txt")}
    roots = {"dataroot_gt": str(out), "dataroot_lq": str(out)}
    assert_same(basicsr(config, **changes, **roots), expected(dataset))


def test_basicsr_crops_both_sides_at_the_same_place(basicsr: Reader, dataset: Pairs, out: Path) -> None:
    config = export(dataset, out, ExportRequest("lmdb", "basicsr"), workers=1).config
    wanted = expected(dataset)
    for name, hr, lr in basicsr(config, gt_size=16):
        places = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(wanted[name][1][top : top + 4, left : left + 4], lr)
        ]
        assert any(
            np.array_equal(wanted[name][0][4 * y : 4 * y + 16, 4 * x : 4 * x + 16], hr) for y, x in places
        )


# WebDataset


def read_tars(folder: Path, workers: int) -> Iterator[Sample]:
    """Every sample in the order of the stream. Paths are URLs to WebDataset, and braces in them patterns."""
    urls = sorted(map(str, folder.glob("pairs-*.tar")))
    stream = (
        webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("hr.png", "lr.png", "json")
    )
    for hr, lr, row in webdataset.WebLoader(stream, num_workers=workers, batch_size=None):
        yield row["sample_id"], hr, lr


def test_webdataset_streams_every_pair_once(dataset: Pairs, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("webdataset", patches_per_shard=1), workers=1)
    assert_same(read_tars(tmp_path, WORKERS), expected(dataset))


def test_webdataset_streams_the_parts_of_a_split(dataset: Pairs, tmp_path: Path) -> None:
    export(dataset, tmp_path, ExportRequest("webdataset", patches_per_shard=1, split=SPLIT), workers=1)
    for name, sources in zip(("train", "val"), photographs(dataset)):
        # With fewer files than workers WebDataset stops and says so.
        assert_same(read_tars(tmp_path / name, workers=4), expected(dataset, sources))


# Hugging Face datasets


class _Indexed(Dataset):
    """A table of `datasets` with PIL pictures, for a DataLoader."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[str, np.ndarray, np.ndarray]:
        row = self.table[index]
        hr, lr = (row[name] for name in (("hr", "lr") if "hr" in row else ("hr.png", "lr.png")))
        assert hr.mode == lr.mode == "RGB"
        return row.get("sample_id") or row["json"]["sample_id"], np.asarray(hr), np.asarray(lr)


def load_as_the_card_says(out: Path) -> Any:
    """Run the Python of README.md."""
    code = re.search(r"```python\n(.*)```", (out / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code[1].replace('"path/to/this/folder"', repr(str(out))), names)
    return names["pairs"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("format", ["folder", "parquet", "webdataset"])
def test_hugging_face_loads_what_the_card_says(dataset: Pairs, out: Path, format: str) -> None:
    export(dataset, out, ExportRequest(format, "huggingface", patches_per_shard=3), workers=1)
    tables = load_as_the_card_says(out)
    assert list(tables) == ["train"]
    assert_same(
        DataLoader(_Indexed(tables["train"]), num_workers=WORKERS, batch_size=None), expected(dataset)
    )


@pytest.mark.parametrize("format", ["folder", "parquet", "webdataset"])
def test_hugging_face_tells_the_parts_of_a_split_apart(dataset: Pairs, out: Path, format: str) -> None:
    export(dataset, out, ExportRequest(format, "huggingface", split=SPLIT, patches_per_shard=3), workers=1)
    tables = load_as_the_card_says(out)
    assert list(tables) == ["train", "val"]
    for name, sources in zip(tables, photographs(dataset)):
        assert_same(iter(_Indexed(tables[name])), expected(dataset, sources))


def test_hugging_face_reads_tar_files_whose_first_samples_lack_a_statistic(
    dataset: Pairs, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = dataset.manifest.copy()
    rows.loc[:9, "noise_sigma"] = np.nan
    monkeypatch.setitem(vars(dataset), "manifest", rows)
    export(dataset, out, ExportRequest("webdataset", "huggingface"), workers=1)
    table = load_as_the_card_says(out)["train"]
    sigmas = np.float32([row["noise_sigma"] for row in table["json"]])
    assert np.array_equal(sigmas, rows["noise_sigma"].to_numpy(), equal_nan=True)


def test_pandas_reads_the_tables_as_one(dataset: Pairs, out: Path) -> None:
    export(dataset, out, ExportRequest("parquet", "huggingface", patches_per_shard=3), workers=1)
    table = pd.read_parquet(out / "data")
    assert table[dataset.manifest.columns].equals(dataset.manifest)


def test_hugging_face_keeps_the_columns_of_the_manifest(dataset: Pairs, out: Path) -> None:
    export(dataset, out, ExportRequest("parquet", "huggingface"), workers=1)
    table = load_as_the_card_says(out)["train"].remove_columns(["hr", "lr"]).to_pandas()
    assert table.equals(dataset.manifest)


def test_hugging_face_reads_our_manifest_itself(dataset: Pairs) -> None:
    table = datasets.load_dataset("parquet", data_files=str(dataset.folder / "manifest.parquet"))["train"]
    assert table.to_pandas().equals(dataset.manifest)
