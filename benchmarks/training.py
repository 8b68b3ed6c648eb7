"""Milliseconds of a training step: memory formats, precisions and a term without weight, side by side.

    python benchmarks/training.py [--preset small] [--scale 2] [--batch-size 8] [--repeats 7] [--device cpu]

Prints a Markdown table. All variants run in alternation, step by step, so that other load affects them
equally.
"""

import statistics
import sys
import time

import click
import torch
from results import json_option, record  # type: ignore[import-not-found]
from torch import Tensor

from sdflow.objective import ObjectiveConfig
from sdflow.training import Trainer, TrainingConfig
from sdflow_data.training.presets import PresetName, preset_architecture

WAYS = {
    "fp32, contiguous": ("fp32", torch.contiguous_format, {}),
    "fp32, channels last": ("fp32", torch.channels_last, {}),
    "bf16, contiguous": ("bf16", torch.contiguous_format, {}),
    "bf16, channels last": ("bf16", torch.channels_last, {}),
    "fp32, contiguous, with super_resolution": ("fp32", torch.contiguous_format, {"super_resolution": 1.0}),
}
"""The first is the plain way."""

LR_PATCH, WARM_UP = 32, 2


@click.command()
@click.option("--preset", type=click.Choice(["tiny", "small", "paper"]), default="small", show_default=True)
@click.option("--scale", type=click.Choice(["2", "4", "8"]), default="2", show_default=True)
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=7, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda", "mps"]), default="cpu", show_default=True)
@json_option
def main(preset: PresetName, scale: str, batch_size: int, repeats: int, threads: int, device: str) -> None:
    """Measure whole steps: forward, backward, optimizer, moving average."""
    torch.set_num_threads(threads)
    patch = LR_PATCH * int(scale)
    trainers = {}
    for name, (precision, memory_format, weights) in WAYS.items():
        config = TrainingConfig(
            patch_size=patch, precision=precision, objective=ObjectiveConfig(weights=weights)
        )
        trainers[name] = Trainer(preset_architecture(preset, int(scale)), config, device)
        for parameter in trainers[name].model.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=memory_format)
    draw = torch.Generator().manual_seed(0)
    sides = ((batch_size, 3, side, side) for side in (patch, LR_PATCH))
    hr, lr = (torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8) for shape in sides)
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for repeat in range(WARM_UP + repeats):
        for name, trainer in trainers.items():
            times[name].append(seconds_of_step(trainer, hr, lr))
        print(f"round {repeat + 1} of {WARM_UP + repeats} done", file=sys.stderr)
    medians = {name: statistics.median(values[WARM_UP:]) for name, values in times.items()}

    print(f"{preset} preset, scale {scale}, {batch_size} crops of {patch} x {patch}, {device}, ", end="")
    print(f"{threads} thread(s), torch {torch.__version__}, medians of {repeats}\n")
    print("| step | ms | times plain |\n|---|---|---|")
    plain = next(iter(medians.values()))
    for name, seconds in medians.items():
        print(f"| {name} | {1e3 * seconds:.0f} | {plain / seconds:.2f} |")
    record({"seconds per step": medians})


def seconds_of_step(trainer: Trainer, hr: Tensor, lr: Tensor) -> float:
    """Wall time of one step; reading its metrics waits for the device."""
    begun = time.perf_counter()
    trainer.step(hr, lr, progress=0.5)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
