"""The speed of pairs that are made during training, against pairs that are read.

    OMP_NUM_THREADS=1 python benchmarks/on_the_fly.py --hr FOLDER_OF_PHOTOGRAPHS --model city100-nikon-x2

Prints a Markdown table of LR samples per second: `OnTheFly` with each model, `Degradation` on loaded batches,
and `PairedShards` on shards of the same samples. On a CPU, the processor time of this process is measured;
on a GPU, the elapsed time. Before that, an epoch of `OnTheFly` is compared with the samples of `generate`.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import torch
from results import json_option, record  # type: ignore[import-not-found]
from torch import Tensor
from torch.utils.data import DataLoader

from sdflow_data import Degradation, OnTheFly, PairedShards
from sdflow_data.generation.engines.local import LocalEngine
from sdflow_data.generation.run import GenerationRequest, generate
from sdflow_data.images.finding import find_pictures
from sdflow_data.models.degraders import load_degrader
from sdflow_data.system.devices import choose_device

BATCH = 16

Batches = Iterable[tuple[Tensor, Tensor]]


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="Photographs.")
@click.option("--model", required=True, help="As for `sdflow generate`. `classical` is measured too.")
@click.option(
    "--photographs", type=click.IntRange(min=1), default=2, show_default=True, help="Number of photographs."
)
@click.option("--patch-size", default=192, show_default=True)
@click.option("--variants", type=int, multiple=True, default=(1, 4, 16), show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--device", default="auto", show_default=True)
@json_option
def main(
    hr: Path,
    model: str,
    photographs: int,
    patch_size: int,
    variants: tuple[int, ...],
    repeats: int,
    device: str,
) -> None:
    """Measure every way with every number of variants."""
    device = choose_device(device)
    scale = load_degrader(model, device=device).scale
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        few = Path(place) / "hr"
        few.mkdir()
        for name in find_pictures(hr)[:photographs]:
            shutil.copy(hr / name, few / f"{len(list(few.iterdir()))}{name.suffix}")
        for k in variants:
            request = GenerationRequest(
                model=model, scale=scale, patch_size=patch_size, variants=k, device=device
            )
            shards = Path(place) / f"pairs-{k}"
            generate(request, [few], shards, LocalEngine(1))
            for way, batches in _ways(model, scale, few, shards, patch_size, k, device).items():
                times = [_samples_per_second(batches, device) for _ in range(repeats)]
                rates.setdefault(way, []).append(statistics.median(times))
    print(f"{Path(model).name}, scale {scale}, {patch_size} x {patch_size} HR patches, {device}\n")
    print(f"| samples/s | {' | '.join(f'K = {k}' for k in variants)} |\n|---|{'---|' * len(variants)}")
    for way, found in rates.items():
        print(f"| {way} | {' | '.join(f'{rate:.3g}' for rate in found)} |")
    record({"variants": variants, "samples_per_second": rates})


def _ways(
    model: str, scale: int, hr: Path, shards: Path, patch_size: int, k: int, device: str
) -> dict[str, Callable[[], Batches]]:
    """Sources of batches of pairs. Each call is an epoch."""

    def on_the_fly(model: str, device: str) -> Batches:
        return OnTheFly(
            model, hr, batch_size=BATCH, scale=scale, patch_size=patch_size, variants=k, device=device
        )

    stored = PairedShards(shards)
    made, classical = on_the_fly(model, device), on_the_fly("classical", "cpu")
    layer = Degradation(model, device=device)
    loaded = [hr for hr, _ in DataLoader(stored, BATCH)]
    assert _sums(made) == _sums(DataLoader(stored, BATCH)), "on the fly: expected the samples of generate"

    def degraded() -> Iterator[tuple[Tensor, Tensor]]:
        for number, batch in enumerate(loaded):
            yield batch, layer(batch.to(device), seed=number)

    return {
        "read from shards": lambda: DataLoader(stored, BATCH, shuffle=True),
        "on the fly, `classical`": lambda: classical,
        "on the fly, the model": lambda: made,
        "the model as a layer": degraded,
    }


def _sums(batches: Batches) -> list[tuple[float, float]]:
    """Sums over the pictures of an epoch, independent of their order."""
    return sorted(
        (float(a.double().sum()), float(b.double().sum())) for hr, lr in batches for a, b in zip(hr, lr)
    )


def _samples_per_second(batches: Callable[[], Batches], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    begun, count = clock(), 0
    for _, lr in batches():
        count += len(lr)
    if device == "cuda":
        torch.cuda.synchronize()
    return count / (clock() - begun)


if __name__ == "__main__":
    main()
