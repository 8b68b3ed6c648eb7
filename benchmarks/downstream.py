"""Do learned degradations make better SR models? One small network, one budget, several kinds of pairs.

    python benchmarks/downstream.py --data CITY100 --model runs/city --out downstream

CITY100 holds train_hr, val_hr and val_lr (aligned). The network is trained at scale 2 on pairs whose HR are
crops of train_hr and whose LR are made by bicubic, by `classical`, by a trained SDFlow, by both mixed, and by
the best linear kernel, fitted on the first half of the validation pairs. The oracle is trained on these real
pairs themselves. All are tested on real LR of the other half.
"""

import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from camera import BORDER, grey, psnr, ssim  # type: ignore[import-not-found]
from results import json_option, record  # type: ignore[import-not-found]
from scipy import ndimage
from torch import Tensor, nn

from sdflow.noise import derive_seed
from sdflow.resample import quantise
from sdflow_data.images.finding import find_pictures
from sdflow_data.images.reading import read_picture
from sdflow_data.images.sheet import sheet
from sdflow_data.images.writing import encode_png
from sdflow_data.models.degraders import Degrader, load_degrader
from sdflow_data.statistics.frames import cut_patches
from sdflow_data.statistics.kernel import Kernel, kernel_sums
from sdflow_data.system.progress import progress

SCALE, PATCH, VARIANTS, CROP, BATCH = 2, 128, 2, 64, 16
WIDTH, BLOCKS = 32, 8
ORACLE = "real pairs"

Pairs = tuple[np.ndarray, np.ndarray]
"""HR uint8 (N, P, P, 3) and LR uint8 (N, K, P/s, P/s, 3)."""


class SmallSR(nn.Module):
    """Bicubic enlargement, and what eight residual blocks at LR size add to it: 0.16 M parameters."""

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
        enlarged = F.interpolate(lr, scale_factor=SCALE, mode="bicubic")
        features = self.first(lr)
        for block in self.blocks:
            features = features + block(features)
        return enlarged + F.pixel_shuffle(self.last(features), SCALE)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="CITY100.")
@click.option("--model", required=True, help="A trained SDFlow of scale 2.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="For the table and the pictures.")
@click.option("--steps", default=1500, show_default=True)
@click.option("--seeds", default=3, show_default=True)
@click.option("--per-scene", default=20, show_default=True, help="HR patches of each scene.")
@click.option("--temperature", default=1.0, show_default=True)
@json_option
def main(
    data: Path, model: str, out: Path, steps: int, seeds: int, per_scene: int, temperature: float
) -> None:
    """Train, test, print the table and write it to OUT."""
    out.mkdir(parents=True, exist_ok=True)
    scenes = [
        (read_picture(data / "val_hr" / n), read_picture(data / "val_lr" / n))
        for n in find_pictures(data / "val_hr")
    ]
    half = len(scenes) // 2
    hr = np.concatenate(
        [
            cut_patches(read_picture(data / "train_hr" / n), PATCH, per_scene)
            for n in find_pictures(data / "train_hr")
        ]
    )
    kinds = _kinds(hr, model, temperature, scenes[:half])
    rows: list[dict[str, object]] = []
    enlarged: dict[str, list[np.ndarray]] = {}
    for name, pairs in kinds.items():
        for seed in range(seeds):
            network = train(pairs, steps, seed, f"{name}, seed {seed}")
            results = [upscale(network, lr) for _, lr in scenes[half:]]
            enlarged.setdefault(name, results)
            rows.append({"pairs": name, **_scores(results, [truth for truth, _ in scenes[half:]])})
    table = _table(pd.DataFrame(rows), list(kinds))
    print(table)
    record(rows)
    (out / "downstream.md").write_text(table, encoding="utf-8")
    (out / "downstream.png").write_bytes(encode_png(_pictures(scenes[half:], enlarged)))


def _kinds(
    hr: np.ndarray, model: str, temperature: float, real: list[tuple[np.ndarray, np.ndarray]]
) -> dict[str, Pairs]:
    def made_by(degrader: Degrader, variants: int) -> Pairs:
        lr = []
        for number, patch in enumerate(progress(list(hr), f"Degrading, {degrader.name}", "patches")):
            seeds = [derive_seed(number, variant) for variant in range(variants)]
            levels = torch.from_numpy(degrader.degrade(patch, seeds, temperature, None).lr)
            lr.append(quantise(levels).numpy())
        return hr, np.stack(lr)

    size = PATCH // SCALE
    true = tuple(np.concatenate([_tiles(pair[i], (PATCH, size)[i]) for pair in real]) for i in (0, 1))
    kernel = kernel_sums(true[0].astype(np.float32), true[1][:, None].astype(np.float32)).solve()
    sdflow = made_by(load_degrader(model, SCALE), VARIANTS)
    classical = made_by(load_degrader("classical", SCALE), VARIANTS)
    return {
        "bicubic": made_by(load_degrader("bicubic", SCALE), 1),
        "classical": classical,
        "SDFlow": sdflow,
        "SDFlow + classical": (hr, np.concatenate([sdflow[1][:, :1], classical[1][:, :1]], 1)),
        "best linear kernel": (hr, np.stack([_apply(kernel, patch) for patch in hr])[:, None]),
        ORACLE: (true[0], true[1][:, None]),
    }


def _tiles(picture: np.ndarray, size: int) -> np.ndarray:
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    cut = picture[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    return cut.swapaxes(1, 2).reshape(-1, size, size, 3)


def _apply(kernel: Kernel, patch: np.ndarray) -> np.ndarray:
    side = len(kernel.taps)
    before = (side - SCALE) // 2
    padding = [(before, side - SCALE - before)] * 2 + [(0, 0)]
    padded = torch.from_numpy(np.pad(patch.astype(np.float32), padding, mode="reflect")).permute(2, 0, 1)[
        :, None
    ]
    taps = torch.from_numpy((kernel.taps / kernel.taps.sum()).astype(np.float32))[None, None]
    return quantise(F.conv2d(padded, taps, stride=SCALE)[:, 0].permute(1, 2, 0)).numpy()


def train(pairs: Pairs, steps: int, seed: int, title: str) -> SmallSR:
    """The network, trained on random crops of the pairs, flipped and turned; L1, Adam, cosine rate."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = SmallSR().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-5)
    for _ in progress(range(steps), title, "steps"):
        hr, lr = _batch(pairs, random)
        loss = F.l1_loss(network(lr), hr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network


def _batch(pairs: Pairs, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    high: list[np.ndarray] = []
    low: list[np.ndarray] = []
    size = CROP // SCALE
    for _ in range(BATCH):
        n, k = random.integers(len(pairs[0])), random.integers(pairs[1].shape[1])
        y, x = random.integers(0, PATCH // SCALE - size + 1, 2)
        hr = pairs[0][n, y * SCALE : y * SCALE + CROP, x * SCALE : x * SCALE + CROP]
        lr = pairs[1][n, k, y : y + size, x : x + size]
        turns, flip = random.integers(4), random.integers(2)
        for side, crop in ((high, hr), (low, lr)):
            turned = np.rot90(crop, int(turns))
            side.append(turned[:, ::-1] if flip else turned)
    return _to_tensor(np.stack(high)), _to_tensor(np.stack(low))


def _to_tensor(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255


@torch.no_grad()
def upscale(network: SmallSR, lr: np.ndarray) -> np.ndarray:
    """A picture, enlarged: uint8 (H, W, 3) -> uint8 (sH, sW, 3)."""
    return quantise(255 * network(_to_tensor(lr[None]))[0].permute(1, 2, 0)).numpy()


def gmsd(picture: np.ndarray, truth: np.ndarray) -> float:
    """Gradient magnitude similarity deviation (Xue et al., 2014): 0 is the same; needs no weights."""
    magnitudes = []
    for levels in (grey(picture), grey(truth)):
        small = ndimage.uniform_filter(levels, 2)[::2, ::2]
        magnitudes.append(np.hypot(ndimage.prewitt(small, 0), ndimage.prewitt(small, 1)) / 3)
    first, second = magnitudes
    similarity = (2 * first * second + 170) / (first**2 + second**2 + 170)
    return float(similarity.std())


def _scores(results: list[np.ndarray], truths: list[np.ndarray]) -> dict[str, float]:
    pairs = list(zip(results, truths))
    measures = {"PSNR, dB": psnr, "SSIM": ssim, "GMSD": gmsd}
    return {name: float(np.mean([measure(a, b) for a, b in pairs])) for name, measure in measures.items()}


def _table(scores: pd.DataFrame, order: list[str]) -> str:
    """A row per kind of pairs: mean and spread over seeds, and the share of the gap to the oracle closed."""
    groups = scores.groupby("pairs")
    mean, spread = groups.mean().loc[order], groups.std(ddof=0).loc[order]
    gap = (mean - mean.loc["bicubic"]) / (mean.loc[ORACLE] - mean.loc["bicubic"])
    lines = ["| pairs | " + " | ".join(mean.columns) + " |", "|---|" + "---|" * len(mean.columns)]
    for name in order:
        cells = [
            f"{mean.loc[name, c]:.4g} ± {spread.loc[name, c]:.2g} ({gap.loc[name, c]:.0%})"
            for c in mean.columns
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _pictures(
    scenes: list[tuple[np.ndarray, np.ndarray]], enlarged: dict[str, list[np.ndarray]]
) -> np.ndarray:
    rows, side = [], 128
    for number, (truth, lr) in enumerate(scenes[:4]):
        contrast = ndimage.uniform_filter(np.hypot(*np.gradient(grey(truth))), side)
        inner = contrast[side // 2 : -side // 2, side // 2 : -side // 2]
        top, left = (int(v) // SCALE * SCALE + BORDER for v in np.unravel_index(inner.argmax(), inner.shape))
        window = np.s_[top : top + side, left : left + side]
        small = np.s_[top // SCALE : (top + side) // SCALE, left // SCALE : (left + side) // SCALE]
        rows.append([lr[small], *(results[number][window] for results in enlarged.values()), truth[window]])
    return sheet(rows, ["real LR", *enlarged, "HR"])


if __name__ == "__main__":
    begun = time.monotonic()
    main(standalone_mode=False)
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes")
