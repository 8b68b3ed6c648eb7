"""LR samples per second: the published computation, ours in fp32 and bf16, and classical degradation.

    python benchmarks/downscaling.py [--preset paper] [--repeats 5] [--threads 1] [--device cpu]

Prints a Markdown table. The published computation evaluates all networks, including f_HF, for each sample.
Each repeat runs all methods, so that other load affects them equally. The figures are medians.
"""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import click
import cv2
import numpy as np
import torch
from results import json_option, record  # type: ignore[import-not-found]
from torch import Tensor

from sdflow.inference import Downscaler
from sdflow.model import SDFlow, SDFlowConfig
from sdflow_data.models.degraders import load_degrader
from sdflow_data.training.presets import PresetName, preset_architecture

VARIANTS = (1, 2, 4, 8, 16)
SIDE = 256
"""Side of the HR patches in pixels."""


@click.command()
@click.option("--preset", type=click.Choice(["tiny", "small", "paper"]), default="paper", show_default=True)
@click.option("--scale", type=click.Choice(["2", "4", "8"]), default="4", show_default=True)
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Arithmetic threads; workers have one.",
)
@click.option("--device", type=click.Choice(["cpu", "cuda", "mps"]), default="cpu", show_default=True)
@json_option
def main(preset: PresetName, scale: str, repeats: int, threads: int, device: str) -> None:
    """Measure how many LR samples a second come from 256 x 256 HR patches."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    generator = torch.Generator().manual_seed(0)
    model = random_model(preset_architecture(preset, int(scale)), generator).to(device)
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    hr = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1).to(device)
    shape = model.latent_shape_lr(SIDE // model.scale, SIDE // model.scale)
    latents = torch.randn((max(VARIANTS), *shape), generator=generator).to(device)

    ways = {precision: Downscaler(model, precision) for precision in ("fp32", "bf16")}
    classical = load_degrader("classical", model.scale)
    runs: dict[tuple[str, int], Callable[[], object]] = {("plain", 1): partial(plain, model, hr, latents[:1])}
    for k in VARIANTS:
        runs |= {(name, k): partial(ours, way, hr, latents[:k]) for name, way in ways.items()}
        runs["classical", k] = partial(classical.degrade, pixels, range(k), 1.0)
    seconds = measure(runs, repeats, device)
    seconds |= {("plain", k): k * seconds["plain", 1] for k in VARIANTS}

    print(
        f"{preset} preset, scale {scale}, {SIDE} x {SIDE} HR patches, {device}, {threads} thread(s), ", end=""
    )
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, medians of {repeats}\n")
    print_rates(seconds)
    exact = plain(model, hr, latents[:1])
    for name, way in ways.items():
        print_costs(name, seconds, ours(way, hr, latents[:1]) - exact)
    record([{"way": way, "variants": k, "seconds": median} for (way, k), median in seconds.items()])
    print(
        f"- peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"
    )


def random_model(config: SDFlowConfig, generator: torch.Generator) -> SDFlow:
    """A model in which no layer is the identity and no value explodes."""
    model = SDFlow(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 4 and len(parameter) > 1:  # convolutions
                parameter.copy_(0.4 * noise / parameter[0].numel() ** 0.5)
            else:
                parameter.add_(0.03 * noise)
    return model


@torch.no_grad()
def plain(model: SDFlow, hr: Tensor, latents: Tensor) -> Tensor:
    """LR samples (K, 3, H, W) as the published code computes them."""
    samples = []
    for latent in latents:
        z, _ = model.hr_flow(hr)
        model.hf_flow(z[:, 3:], z[:, :3])
        samples.append(model.decode_lr(z[:, :3], latent[None]))
    return torch.cat(samples)


def ours(way: Downscaler, hr: Tensor, latents: Tensor) -> Tensor:
    """The same, encoded once."""
    return way.sample(way.encode(hr), latents)


def measure(
    runs: dict[tuple[str, int], Callable[[], object]], repeats: int, device: str
) -> dict[tuple[str, int], float]:
    """The median seconds of each run, after one that does not count."""
    times: dict[tuple[str, int], list[float]] = {key: [] for key in runs}
    for repeat in range(repeats + 1):
        for key, run in runs.items():
            begun = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat:
                times[key].append(time.perf_counter() - begun)
        print(f"repeat {repeat} of {repeats} done", file=sys.stderr)
    return {key: statistics.median(values) for key, values in times.items()}


def print_rates(seconds: dict[tuple[str, int], float]) -> None:
    """Samples per second, and how many times those of the plain way that is."""
    print("| K | plain | ours, fp32 | times plain | ours, bf16 | times plain | classical |")
    print("|---|---|---|---|---|---|---|")
    for k in VARIANTS:
        rate = {name: k / seconds[name, k] for name in ("plain", "fp32", "bf16", "classical")}
        both = " | ".join(f"{rate[name]:.1f} | {rate[name] / rate['plain']:.1f}" for name in ("fp32", "bf16"))
        print(f"| {k} | {rate['plain']:.2f} | {both} | {rate['classical']:.1f} |")
    print()


def print_costs(name: str, seconds: dict[tuple[str, int], float], error: Tensor) -> None:
    """How the cost grows with K, and how far the result is from the plain one."""
    first, last = VARIANTS[0], VARIANTS[-1]
    each = (seconds[name, last] - seconds[name, first]) / (last - first)
    patch = seconds[name, first] - each
    levels = 127.5 * error.abs()
    print(
        f"- {name}: {1e3 * patch:.0f} ms for a patch and {1e3 * each:.1f} ms for each sample of it; differs "
        f"from plain by {levels.mean():.2g} grey levels in the mean, {levels.max():.2g} at most"
    )


if __name__ == "__main__":
    main()
