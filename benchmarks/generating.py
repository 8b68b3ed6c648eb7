"""The processor time of the steps of `sdflow generate` on a CPU.

    OPENBLAS_NUM_THREADS=1 python benchmarks/generating.py --hr FOLDER_OF_PHOTOGRAPHS [--preset paper]

Prints a Markdown table. A worker with one arithmetic thread, as in a run, makes two shards, and the second is
measured. Processor time is measured, because workers compete for it. The weights of the model are random.
"""

import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from results import json_option, record  # type: ignore[import-not-found]

from sdflow.checkpoint import save_checkpoint
from sdflow.model import SDFlow
from sdflow_data.dataset.plan import Plan, scan
from sdflow_data.dataset.shards import ShardWriter
from sdflow_data.generation import shard_maker as worker
from sdflow_data.generation.run import GenerationRequest
from sdflow_data.generation.shard_maker import GenerationJob, ShardMaker, ShardTask
from sdflow_data.training.presets import PresetName, preset_architecture

STEPS = ("decode", "model", "statistics", "store")


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="Photographs.")
@click.option("--preset", type=click.Choice(["tiny", "small", "paper"]), default="paper", show_default=True)
@click.option("--scale", type=click.Choice(["2", "4", "8"]), default="4", show_default=True)
@click.option("--variants", type=int, multiple=True, default=(1, 4, 8), show_default=True)
@click.option("--patches", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@json_option
def main(
    hr: Path, preset: PresetName, scale: str, variants: tuple[int, ...], patches: int, precision: str
) -> None:
    """Measure the steps of making a shard."""
    seconds: dict[str, float] = defaultdict(float)
    count_time(seconds)
    print(f"{preset} preset, scale {scale}, 256 x 256 patches, precision {precision}, a worker on one core\n")
    print(f"| K | {' | '.join(f'{step}, ms/patch' for step in STEPS)} | all but the model | samples/s |")
    print("|---|" + "---|" * (len(STEPS) + 2))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / preset
        save_checkpoint(checkpoint, SDFlow(preset_architecture(preset, int(scale))), {})
        for k in variants:
            request = GenerationRequest(
                model=str(checkpoint),
                variants=k,
                device="cpu",
                precision=precision,
                patches_per_shard=patches,
            )
            total, made = measure(request, hr, Path(folder), seconds)
            results.append({"variants": k, "seconds": total, "patches": made, "of_steps": dict(seconds)})
            steps = " | ".join(f"{1000 * seconds[step] / made:.1f}" for step in STEPS)
            print(f"| {k} | {steps} | {1 - seconds['model'] / total:.1%} | {k * made / total:.1f} |")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\nPeak memory of the worker: {peak:.2f} GiB")
    record({"rows": results, "peak_gib": peak})


def measure(
    request: GenerationRequest, hr: Path, folder: Path, seconds: dict[str, float]
) -> tuple[float, int]:
    """Make a shard twice and measure the second time.

    Args:
        request, hr: the settings and the photographs.
        folder: a folder for the shard.
        seconds: gets the processor time of each step.

    Returns:
        The processor time of the whole shard, and the number of its patches.
    """
    (folder / "shards").mkdir(exist_ok=True)
    found, failures = scan([hr])
    plan = Plan(request.recipe(None)).extended(found, failures)
    task = ShardTask(0, plan.shard(0), {picture.sha256: picture.path for picture in found})
    maker = ShardMaker(GenerationJob(folder, request.model, plan.recipe))
    maker.make(task)
    seconds.clear()
    begun = time.process_time()
    maker.make(task)
    return time.process_time() - begun, sum(map(len, task.cuts))


def count_time(seconds: dict[str, float]) -> None:
    """Wrap the steps of a worker so that they add their processor time to ``seconds``."""

    def counted(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            begun = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                seconds[step] += time.thread_time() - begun

        return call

    for step, owner, name in (
        ("decode", worker, "read_planned"),
        ("model", ShardMaker, "draw"),
        ("statistics", worker, "cheap_statistics"),
        ("store", ShardWriter, "add"),
        ("store", ShardWriter, "finish"),
        ("store", worker, "write_file"),
    ):
        setattr(owner, name, counted(step, getattr(owner, name)))


if __name__ == "__main__":
    main()
