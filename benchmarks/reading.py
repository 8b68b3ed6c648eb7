"""The speed of reading pairs: shards through PairedShards, PNG files in folders, PNG in LMDB.

    python benchmarks/reading.py --hr FOLDER_OF_PHOTOGRAPHS [--patches 256]

Prints a Markdown table. A dataset of the `classical` degrader at scale 4 is exported to the other two
formats. All give the same float tensors, in random order, in batches of 16 through a DataLoader, from a warm
page cache. Each repeat runs all formats. The figures are medians.
"""

import statistics
import tempfile
import time
from pathlib import Path

import click
import cv2
import lmdb
import numpy as np
import torch
from results import json_option, record  # type: ignore[import-not-found]
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sdflow_data import PairedShards
from sdflow_data.dataset.manifest import finish_dataset, read_dataset
from sdflow_data.export.run import ExportRequest, export
from sdflow_data.generation.engines.local import LocalEngine
from sdflow_data.generation.run import GenerationRequest, generate

WORKERS = (0, 1, 2)

Pair = tuple[Tensor, Tensor]


class PNGFolder(Dataset[Pair]):
    """Pairs of PNG files of the same name in ``hr`` and ``lr``."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Pair:
        hr, lr = (self._folder / kind / f"{self._names[index]}.png" for kind in ("hr", "lr"))
        return decode(hr.read_bytes()), decode(lr.read_bytes())


class PNGDatabase(Dataset[Pair]):
    """Pairs of PNG files under the same key in ``hr.lmdb`` and ``lr.lmdb``, opened in each worker."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self._folder, self._names = folder, names
        self._open: list[lmdb.Transaction] = []

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Pair:
        if not self._open:
            for kind in ("hr.lmdb", "lr.lmdb"):
                database = lmdb.open(str(self._folder / kind), readonly=True, lock=False, readahead=False)
                self._open.append(database.begin(buffers=True))
        hr, lr = (transaction.get(self._names[index].encode()) for transaction in self._open)
        return decode(hr), decode(lr)


def decode(data: bytes | memoryview) -> Tensor:
    """A PNG file as float32 (3, H, W) in [0, 1]."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return (
        torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        .permute(2, 0, 1)
        .contiguous()
        .to(torch.float32)
        / 255
    )


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="Photographs.")
@click.option("--patches", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--variants", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@json_option
def main(hr: Path, patches: int, variants: int, repeats: int) -> None:
    """Measure every way with every number of workers."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as place:
        shards, folder, database = (Path(place) / name for name in ("shards", "folder", "lmdb"))
        make_dataset(hr, shards, patches, variants)
        for out, kind in ((folder, "folder"), (database, "lmdb")):
            export(read_dataset(shards), out, ExportRequest(format=kind), workers=1)
        names = read_dataset(shards).manifest["sample_id"].tolist()
        ways: dict[str, tuple[Dataset[Pair], Path]] = {
            "PairedShards": (PairedShards(shards), shards / "shards"),
            "PNG folders": (PNGFolder(folder, names), folder),
            "LMDB of PNG": (PNGDatabase(database, names), database),
        }
        for index in range(0, len(names), 97):
            expected, *others = (way[index] for way, _ in ways.values())
            assert all(map(torch.equal, expected * len(others), sum(others, ())))
        seconds: dict[tuple[str, int], list[float]] = {(way, n): [] for way in ways for n in WORKERS}
        for _ in range(repeats):
            for (way, workers), times in seconds.items():
                times.append(read_all(ways[way][0], workers))
        count = len(names)
        sizes = {way: disk_bytes(path) / count for way, (_, path) in ways.items()}
    print(f"{count} pairs of 256 x 256 and 64 x 64, {variants} to a patch\n")
    print(f"| | bytes per pair | {' | '.join(f'pairs/s, {n} workers' for n in WORKERS)} |")
    print("|---|---|" + "---|" * len(WORKERS))
    for way in ways:
        rates = (count / statistics.median(seconds[way, workers]) for workers in WORKERS)
        print(f"| {way} | {sizes[way]:,.0f} | {' | '.join(f'{rate:,.0f}' for rate in rates)} |")
    record(
        [
            {"way": way, "workers": n, "pairs_per_second": count / statistics.median(times)}
            for (way, n), times in seconds.items()
        ]
    )


def make_dataset(hr: Path, out: Path, patches: int, variants: int) -> None:
    """Make a dataset of a single shard."""
    request = GenerationRequest(model="classical", variants=variants, patches_per_shard=patches)
    generate(request, [hr], out, LocalEngine(1), range(0, 1))
    finish_dataset(out, 1, request.recipe(None).to_json())


def read_all(pairs: Dataset[Pair], workers: int) -> float:
    """Seconds from the first batch to the last, so that the start of workers does not count."""
    batches = iter(DataLoader(pairs, batch_size=16, shuffle=True, num_workers=workers))
    next(batches)
    begun = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - begun


def disk_bytes(folder: Path) -> int:
    """The size of the files in a folder. Hard links count once."""
    return sum(
        {path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}.values()
    )


if __name__ == "__main__":
    main()
