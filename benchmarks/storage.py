"""Size and speed of a dataset under each compression that all HDF5 readers support.

    python benchmarks/storage.py --hr FOLDER_OF_PHOTOGRAPHS

Prints a Markdown table. A shard of HR patches, with LR variants of the `classical` degrader, is built in
memory and read through the page cache, so that the processor is measured and not the disk. Each repeat runs
all filters. The figures are medians.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from results import json_option, record  # type: ignore[import-not-found]

from sdflow_data.dataset import shards
from sdflow_data.dataset.shards import ShardReader, ShardWriter
from sdflow_data.images.finding import find_pictures
from sdflow_data.images.patches import grid
from sdflow_data.images.reading import read_header, read_picture
from sdflow_data.models.degraders import ClassicalDegrader

SIZE, SCALE, VARIANTS = 256, 4, 4

FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "lzf": {"compression": "lzf"},
    "lzf, shuffle": {"compression": "lzf", "shuffle": True},
    **{f"gzip {level}": {"compression": "gzip", "compression_opts": level} for level in (1, 2, 4, 6, 9)},
    "gzip 1, shuffle": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
}

Patches = list[tuple[np.ndarray, np.ndarray]]


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="Photographs.")
@click.option("--patches", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@json_option
def main(hr: Path, patches: int, repeats: int) -> None:
    """Measure every filter on patches of some photographs."""
    pairs = make_pairs(hr, patches)
    raw = sum(hr.nbytes + lr.nbytes for hr, lr in pairs)
    sizes: dict[str, int] = {}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in FILTERS}
    for _ in range(repeats):
        for name, options in FILTERS.items():
            content, written = timed(write, pairs, options)
            sizes[name] = len(content)
            times[name].append((written, timed_reading(content, len(pairs))))
    print(f"{len(pairs)} patches of {SIZE} x {SIZE} with {VARIANTS} variants at scale {SCALE}\n")
    print("| filter | bytes per pair | of raw | write, patches/s | read, pairs/s |")
    print("|---|---|---|---|---|")
    results = []
    for name, measured in times.items():
        written, read = (statistics.median(column) for column in zip(*measured))
        size = sizes[name] / len(pairs) / VARIANTS
        results.append(
            {"filter": name, "bytes_per_pair": size, "write_seconds": written, "read_seconds": read}
        )
        print(
            f"| {name} | {size:,.0f} | {sizes[name] / raw:.0%} "
            f"| {len(pairs) / written:,.0f} | {VARIANTS * len(pairs) / read:,.0f} |"
        )
    record(results)


def make_pairs(folder: Path, count: int) -> Patches:
    """HR patches of photographs, first the first of each photograph and so on, with LR variants."""
    degrader = ClassicalDegrader(SCALE)
    cells = [
        (cell, path)
        for path in find_pictures(folder)
        for cell in enumerate(grid(*size_of(folder / path), SIZE, SIZE))
    ]
    pairs: Patches = []
    for (_, (top, left)), path in sorted(cells)[:count]:
        patch = read_picture(folder / path)[top : top + SIZE, left : left + SIZE]
        lr = degrader.degrade(patch, range(VARIANTS), 1.0).lr
        pairs.append((patch, np.clip(np.rint(lr), 0, 255).astype(np.uint8)))
    return pairs


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of a picture."""
    header = read_header(path)
    return header.height, header.width


def write(pairs: Patches, options: dict[str, Any]) -> bytes:
    """The bytes of a shard under a filter."""
    shards.CHUNK_FILTER = options
    writer = ShardWriter(SIZE, SCALE, VARIANTS)
    for hr, lr in pairs:
        writer.add(hr, lr, {})
    return bytes(writer.finish({}))


def timed_reading(content: bytes, patches: int) -> float:
    """Seconds to read all pairs in random order, each with its HR patch."""
    order = np.random.default_rng(0).permutation(patches * VARIANTS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.h5"
        path.write_bytes(content)
        begun = time.perf_counter()
        with ShardReader(path) as shard:
            for sample in order:
                row, variant = divmod(int(sample), VARIANTS)
                _ = shard.hr[row], shard.lr[row, variant]
        return time.perf_counter() - begun


def timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    """The result of a call, and its duration in seconds."""
    begun = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - begun


if __name__ == "__main__":
    main()
