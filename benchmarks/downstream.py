"""The effect of degradations on SR models: one small network, one budget, several models_by_name of pairs.

    python benchmarks/downstream.py --data CITY100 --model city100-nikon-x2 --out downstream

CITY100 contains train_hr, and val_hr and val_lr (aligned). The network is trained at scale 2 on pairs of
train_hr by `sdflow generate` (bicubic, `classical` and each model), and by the best linear kernel, fitted on
the first half of the validation pairs. Oracles are trained on these real pairs, and on the modified real
pairs of oracles.py. All networks are tested on real LR of the other half.

The same command continues after an interruption. With ``--minutes`` it stops by itself, with exit status 1 if
there is more to do:

    until python benchmarks/downstream.py --minutes 9 ...; do :; done
"""

import json
import re
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from camera import BORDER, grey, psnr, ssim  # type: ignore[import-not-found]
from oracles import ORACLES, PATCH, apply_kernel, fit_kernel, oracle_lr  # type: ignore[import-not-found]
from results import commit, json_option, machine, record  # type: ignore[import-not-found]
from scipy import ndimage
from torch import Tensor, nn

from sdflow.files import replacing, write_file
from sdflow.resample import quantise
from sdflow_data import PairedShards
from sdflow_data.generation.engines.local import LocalEngine
from sdflow_data.generation.import_pairs import ImportRequest, import_pairs
from sdflow_data.generation.run import GenerationRequest, generate
from sdflow_data.images.finding import find_pictures
from sdflow_data.images.reading import read_picture
from sdflow_data.images.sheet import sheet
from sdflow_data.images.writing import encode_png
from sdflow_data.models.degraders import load_degrader
from sdflow_data.system.devices import choose_device
from sdflow_data.system.progress import progress

SCALE, STRIDE, VARIANTS, CROP, BATCH = 2, 192, 2, 64, 16
WIDTH, BLOCKS = 32, 8
BICUBIC, LINEAR, REAL = "bicubic", "best linear kernel", next(iter(ORACLES))
SAVED_EVERY = 100

Scene = tuple[np.ndarray, np.ndarray]
"""HR and LR of an aligned pair, uint8."""


class SmallSR(nn.Module):
    """Bicubic enlargement plus the output of eight residual blocks at LR size; 0.16 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            )
            for _ in range(BLOCKS)
        )
        self.last = nn.Conv2d(WIDTH, 3 * SCALE**2, 3, padding=1)
        nn.init.zeros_(self.last.weight)

    def forward(self, lr: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 3, sH, sW), in [0, 1]."""
        enlarged = F.interpolate(lr, scale_factor=SCALE, mode="bicubic")
        features = self.first(lr)
        for block in self.blocks:
            features = features + block(features)
        return enlarged + F.pixel_shuffle(self.last(features), SCALE)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="CITY100.")
@click.option(
    "--model", "models", multiple=True, required=True, help="SDFlow of scale 2: built in, or a run."
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder of pairs, networks and the table.",
)
@click.option("--steps", default=1500, show_default=True)
@click.option("--batch-size", default=BATCH, show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--stride", default=STRIDE, show_default=True, help="Distance between HR patches.")
@click.option("--temperature", default=1.0, show_default=True)
@click.option("--minutes", type=float, help="Stop after so long, with exit status 1 if there is more to do.")
@click.option("--device", default="cpu", show_default=True, help="Device of the networks and the models.")
@json_option
def main(
    data: Path,
    models: tuple[str, ...],
    out: Path,
    steps: int,
    batch_size: int,
    seeds: int,
    stride: int,
    temperature: float,
    minutes: float | None,
    device: str,
) -> bool:
    """Train, test, print the table and write it to OUT; True if all is done."""
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
    request = partial(
        GenerationRequest,
        scale=SCALE,
        patch_size=PATCH,
        stride=stride,
        variants=VARIANTS,
        temperature=temperature,
        device=device,
        patches_per_shard=64,
    )
    scenes = [
        (read_picture(data / "val_hr" / n), read_picture(data / "val_lr" / n))
        for n in find_pictures(data / "val_hr")
    ]
    half = len(scenes) // 2
    models_by_name = {Path(model).name: model for model in (BICUBIC, "classical", *models)}
    settings: dict[str, Any] = {"data": data.name, "steps": steps, "batch_size": batch_size}
    settings |= {"stride": stride, "temperature": temperature}
    settings |= {name: load_degrader(model, SCALE).fingerprint for name, model in models_by_name.items()}
    _claim(out, settings)
    names = [*models_by_name, LINEAR, *ORACLES]
    for name in names:
        todo = [seed for seed in range(seeds) if not _part(out, name, seed, ".json").exists()]
        if not todo or time.monotonic() > deadline:
            continue
        folder = out / "pairs" / _file_name(name)
        if name in models_by_name:
            generate(request(model=models_by_name[name]), [data / "train_hr"], folder, LocalEngine(1))
        elif name == LINEAR:
            kernel = fit_kernel(scenes[:half])
            sharp = [read_picture(data / "train_hr" / n) for n in find_pictures(data / "train_hr")]
            blurred = (quantise(torch.from_numpy(apply_kernel(kernel, hr))).numpy() for hr in sharp)
            _import(folder, list(zip(sharp, blurred)), stride)
        else:
            _import(folder, [(hr, oracle_lr(name, hr, lr)) for hr, lr in scenes[:half]], PATCH)
        pairs = PairedShards(folder, crop=CROP, augment=True)
        for seed in todo:
            network = train(pairs, steps, batch_size, seed, device, _part(out, name, seed, ".pt"), deadline)
            if network is not None:
                scores = _scores([upscale(network, lr) for _, lr in scenes[half:]], scenes[half:])
                found = {"pairs": name, "seed": seed, **scores, "commit": commit(), "machine": machine()}
                write_file(_part(out, name, seed, ".json"), json.dumps(found).encode())
    return _report(out, names, seeds, scenes[half:])


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Create OUT, or check that it was created with these settings."""
    (out / "networks").mkdir(parents=True, exist_ok=True)
    (out / "pairs").mkdir(exist_ok=True)
    path = out / "settings.json"
    if not path.exists():
        write_file(path, json.dumps(settings, indent=2).encode())
    if (begun := json.loads(path.read_text(encoding="utf-8"))) != settings:
        raise click.UsageError(f"--out: {out} was begun with other settings: {begun}")


def _file_name(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", name)


def _part(out: Path, name: str, seed: int, ending: str) -> Path:
    return out / "networks" / f"{_file_name(name)}-{seed}{ending}"


def _import(folder: Path, pictures: list[Scene], stride: int) -> None:
    """Write aligned pictures, and import them as a dataset."""
    hr_folder, lr_folder = (folder.with_name(f"{folder.name}-{side}") for side in ("hr", "lr"))
    for side, number in ((hr_folder, 0), (lr_folder, 1)):
        side.mkdir(exist_ok=True)
        for scene, pair in enumerate(pictures):
            write_file(side / f"{scene:03d}.png", encode_png(pair[number]))
    request = ImportRequest(patch_size=PATCH, stride=stride, patches_per_shard=64)
    import_pairs(request, hr_folder, lr_folder, folder, 1)


def train(
    pairs: PairedShards, steps: int, batch_size: int, seed: int, device: str, kept: Path, deadline: float
) -> SmallSR | None:
    """Train the network on random crops of the pairs, mirrored and rotated (L1, Adam, cosine schedule).

    Interruptions do not change the result, because each step is a function of the seed and its number.

    Args:
        pairs: the pairs, with crops and symmetries.
        steps: the number of steps.
        batch_size: the number of crops in a step.
        seed: the seed of weights and batches.
        device: the device of the network; "auto" for the best one.
        kept: the file of the state.
        deadline: a time of the monotonic clock.

    Returns:
        The network; None if the deadline passed before the last step.
    """
    device = choose_device(device)
    torch.manual_seed(seed)
    pairs.seed = seed
    network = SmallSR().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-5)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    begin = 0
    if kept.exists():
        state = torch.load(kept, map_location=device, weights_only=True)
        begin = state.pop("step")
        for key, value in state.items():
            parts[key].load_state_dict(value)
    for step in progress(range(begin, steps), kept.stem, "steps"):
        if time.monotonic() > deadline:
            return None
        hr, lr = (side.to(device) for side in _batch(pairs, batch_size, seed, step))
        loss = F.l1_loss(network(lr), hr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % SAVED_EVERY == 0 or step + 1 == steps:
            with replacing(kept) as aside:
                torch.save({**{k: v.state_dict() for k, v in parts.items()}, "step": step + 1}, aside)
    return network


def _batch(pairs: PairedShards, size: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    pairs.set_epoch(step)
    drawn = [pairs[int(n)] for n in np.random.default_rng((seed, step)).integers(len(pairs), size=size)]
    hr, lr = (torch.stack(side) for side in zip(*drawn))
    return hr, lr


@torch.no_grad()
def upscale(network: SmallSR, lr: np.ndarray) -> np.ndarray:
    """Super-resolve a picture: uint8 (H, W, 3) to uint8 (sH, sW, 3)."""
    device = next(network.parameters()).device
    levels = torch.from_numpy(lr.transpose(2, 0, 1)[None].copy()).to(device).float() / 255
    return quantise(255 * network(levels)[0].permute(1, 2, 0)).cpu().numpy()


def gmsd(picture: np.ndarray, truth: np.ndarray) -> float:
    """Gradient magnitude similarity deviation (Xue et al., IEEE TIP 2014); 0 for equal pictures."""
    magnitudes = []
    for levels in (grey(picture), grey(truth)):
        small = ndimage.uniform_filter(levels, 2)[::2, ::2]
        magnitudes.append(np.hypot(ndimage.prewitt(small, 0), ndimage.prewitt(small, 1)) / 3)
    first, second = magnitudes
    similarity = (2 * first * second + 170) / (first**2 + second**2 + 170)
    return float(similarity.std())


def _scores(results: list[np.ndarray], scenes: list[Scene]) -> dict[str, float]:
    pairs = [(result, hr) for result, (hr, _) in zip(results, scenes)]
    measures = {"PSNR, dB": psnr, "SSIM": ssim, "GMSD": gmsd}
    return {name: float(np.mean([measure(a, b) for a, b in pairs])) for name, measure in measures.items()}


def _report(out: Path, names: list[str], seeds: int, scenes: list[Scene]) -> bool:
    """Print and write the results so far; True if all networks are trained."""
    paths = [_part(out, name, seed, ".json") for name in names for seed in range(seeds)]
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]
    done = [name for name in names if any(row["pairs"] == name for row in rows)]
    print(
        f"{len(rows)} of {len(paths)} networks are trained" + ("" if len(rows) == len(paths) else "; go on")
    )
    if {BICUBIC, REAL} <= set(done):
        table = _table(pd.DataFrame(rows).drop(columns=["seed", "commit", "machine"]), done)
        print(table)
        write_file(out / "downstream.md", table.encode())
    record(rows)
    if len(rows) < len(paths):
        return False
    enlarged = {}
    for name in [name for name in names if name == REAL or name not in ORACLES]:
        network = SmallSR()
        kept = torch.load(_part(out, name, 0, ".pt"), map_location="cpu", weights_only=True)
        network.load_state_dict(kept["network"])
        enlarged[name] = [upscale(network, lr) for _, lr in scenes[:4]]
    write_file(out / "downstream.png", encode_png(_pictures(scenes[:4], enlarged)))
    return True


def _table(scores: pd.DataFrame, order: list[str]) -> str:
    """One row per kind of pairs: mean, deviation over seeds, and position from bicubic to real pairs."""
    groups = scores.groupby("pairs")
    mean, spread = groups.mean().loc[order], groups.std(ddof=1).loc[order]
    gap = (mean - mean.loc[BICUBIC]) / (mean.loc[REAL] - mean.loc[BICUBIC])
    lines = [
        "| pairs | seeds | " + " | ".join(mean.columns) + " |",
        "|---|" + "---|" * (1 + len(mean.columns)),
    ]
    for name in order:
        cells = [
            f"{mean.loc[name, c]:.4g} {_plus_minus(spread.loc[name, c])}({gap.loc[name, c]:.0%})"
            for c in mean.columns
        ]
        lines.append(f"| {name} | {groups.size()[name]} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _plus_minus(deviation: float) -> str:
    return f"± {deviation:.2g} " if deviation == deviation else ""  # one seed has no deviation


def _pictures(scenes: list[Scene], enlarged: dict[str, list[np.ndarray]]) -> np.ndarray:
    rows, side = [], 128
    for number, (truth, lr) in enumerate(scenes):
        contrast = ndimage.uniform_filter(np.hypot(*np.gradient(grey(truth))), side)
        inner = contrast[side // 2 : -side // 2, side // 2 : -side // 2]
        top, left = (int(v) // SCALE * SCALE + BORDER for v in np.unravel_index(inner.argmax(), inner.shape))
        window = np.s_[top : top + side, left : left + side]
        small = np.s_[top // SCALE : (top + side) // SCALE, left // SCALE : (left + side) // SCALE]
        rows.append([lr[small], *(results[number][window] for results in enlarged.values()), truth[window]])
    return sheet(rows, ["real LR", *enlarged, "HR"])


if __name__ == "__main__":
    sys.exit(0 if main(standalone_mode=False) else 1)
