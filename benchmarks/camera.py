"""The distance of degraders from a real camera, on aligned pairs that no training has used.

    python benchmarks/camera.py --hr VAL_HR --lr VAL_LR --scale 2 --model bicubic --model runs/camera

The table has one column per degrader, and for trained models one per temperature. The last column compares
the camera with itself. Grey PSNR and SSIM, border cropped, are means over the scenes. Levels are 8-bit
levels. A classifier is trained on some scenes and tested on others; an AUC of 0.5 means that it detects
nothing. For a simulated camera, ``--clean`` are its pictures without noise, and ``--again`` second exposures
of the same scenes. Without these, the distances and AUC of the camera compare one half of its scenes with
the other half, which also differ in content.
"""

import math
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import cv2
import numpy as np
import pandas as pd
import torch
from results import json_option, record  # type: ignore[import-not-found]
from scipy.stats import wasserstein_distance
from skimage.metrics import structural_similarity

from sdflow.checkpoint import load_checkpoint
from sdflow.filters import gaussian_blur
from sdflow.resample import to_unit
from sdflow.training import bits_at_noise_floor
from sdflow_data.images.finding import find_pictures
from sdflow_data.images.reading import read_picture
from sdflow_data.inspection.classifier import c2st_auc
from sdflow_data.models.degraders import BicubicDegrader, Degrader, load_degrader
from sdflow_data.models.registry import HAND_MADE, find_checkpoint
from sdflow_data.models.tiles import downscale_picture, plan_pictures, upscale_picture
from sdflow_data.models.upscaler import load_upscaler
from sdflow_data.statistics import compare, frame_of_patches
from sdflow_data.statistics.frames import cut_patches
from sdflow_data.system.devices import choose_device

Rows = dict[str, float]
BORDER, PATCH, PATCHES, SAMPLES = 12, 48, 100, 16
WATCHED = (
    "noise_sigma",
    "noise_channels",
    "spectrum_8",
    "spectrum_12",
    "spectrum_16",
    "sharpness",
    "colour_grid",
    "modulation_x",
    "blockiness",
    "jpeg_quality",
)
BRIGHTNESS = (0, 64, 128, 192, 256)
LEAST_IN_STEP = 20
SPREADS = tuple(
    f"standard deviation between samples{where}, levels"
    for where in ("", " in the flattest tenth", " in the roughest tenth")
)


@dataclass(frozen=True)
class Scenes:
    """Aligned pairs.

    Attributes:
        hr, lr: the files.
        real, bicubic: the LR pictures of the camera, and bicubic LR.
        clean, again: the camera's pictures without noise, and second exposures; None if unknown.
    """

    hr: list[Path]
    lr: list[Path]
    real: list[np.ndarray]
    bicubic: list[np.ndarray]
    clean: list[np.ndarray] | None
    again: list[np.ndarray] | None

    @classmethod
    def read(
        cls, hr: Path, lr: Path, scale: int, clean: Path | None = None, again: Path | None = None
    ) -> "Scenes":
        """Read all pictures of a folder, and those of the same names in the others."""
        names = find_pictures(hr)
        bicubic = BicubicDegrader(scale)

        def optional(folder: Path | None) -> list[np.ndarray] | None:
            return None if folder is None else [read_picture(folder / name) for name in names]

        return cls(
            [hr / name for name in names],
            [lr / name for name in names],
            [read_picture(lr / name) for name in names],
            [sample(hr / name, bicubic, 1, 0)[0] for name in names],
            optional(clean),
            optional(again),
        )


@dataclass(frozen=True)
class Classifier:
    """The training of classifiers.

    Attributes:
        steps: the most steps, for each classifier.
        splits: the number of splits of the scenes.
        patience: the number of steps without a lower validation loss after which training ends; None for no
            such limit.
    """

    steps: tuple[int, ...] = (1000, 2500)
    splits: int = 3
    patience: int | None = None

    def areas(
        self, fake: np.ndarray, fake_groups: np.ndarray, real: np.ndarray, real_groups: np.ndarray
    ) -> Rows:
        """Mean and range of the AUC over the splits, for each number of steps."""
        rows = {}
        for steps in self.steps:
            found = [
                c2st_auc(fake, fake_groups, real, real_groups, seed, steps, self.patience).auc
                for seed in range(self.splits)
            ]
            rows[f"AUC after {steps:,} steps"] = float(np.mean(found))
            rows[f"AUC after {steps:,} steps, lowest split"] = min(found)
            rows[f"AUC after {steps:,} steps, highest split"] = max(found)
        return rows


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="HR of the pairs.")
@click.option("--lr", required=True, type=click.Path(exists=True, path_type=Path), help="LR, the same names.")
@click.option("--clean", type=click.Path(exists=True, path_type=Path), help="LR without the camera's noise.")
@click.option("--again", type=click.Path(exists=True, path_type=Path), help="LR, exposed once more.")
@click.option("--model", "models", multiple=True, required=True, help="Degraders, as for `sdflow generate`.")
@click.option("--scale", type=int, default=2, show_default=True)
@click.option(
    "--temperature",
    "temperatures",
    type=float,
    multiple=True,
    default=(1.0, 0.8),
    show_default=True,
    help="Temperature of samples of trained models.",
)
@click.option("--classifier-steps", type=int, multiple=True, default=Classifier.steps, show_default=True)
@click.option(
    "--splits", type=int, default=Classifier.splits, show_default=True, help="Splits of the scenes."
)
@click.option("--patience", type=int, help="End classifiers so many steps after their lowest loss.")
@click.option("--bound-steps", default=700, show_default=True, help="Steps of the CNN on pairs; 0 for none.")
@click.option("--device", default="auto", show_default=True)
@click.option("--precision", default="auto", show_default=True)
@json_option
def main(
    hr: Path,
    lr: Path,
    clean: Path | None,
    again: Path | None,
    models: tuple[str, ...],
    scale: int,
    temperatures: tuple[float, ...],
    classifier_steps: tuple[int, ...],
    splits: int,
    patience: int | None,
    bound_steps: int,
    device: str,
    precision: str,
) -> None:
    """Print the table."""
    scenes, classifier = (
        Scenes.read(hr, lr, scale, clean, again),
        Classifier(classifier_steps, splits, patience),
    )
    columns = {}
    for model in models:
        degrader = load_degrader(model, scale, device, precision)
        name = Path(model).name
        if name in {Path(other).name for other in models if other != model}:
            name = model
        if model in HAND_MADE:
            columns[name] = measure(degrader, scenes, 1.0, classifier)
            if model == "bicubic":
                columns[name] |= super_resolution(scenes, bicubic_upscaled(scenes, scale))
        else:
            resolved = upscaled(scenes, model, device, precision)
            shared = super_resolution(scenes, resolved) | likelihood(scenes, model, device)
            for temperature in temperatures:
                measured = measure(degrader, scenes, temperature, classifier)
                columns[f"{name}, T = {temperature:g}"] = measured | shared
    if bound_steps:
        columns["a CNN on the pairs (a bound)"] = bound(scenes, bound_steps)
    columns["the camera itself"] = camera_itself(scenes, classifier)
    table = pd.DataFrame(columns)
    print("| | " + " | ".join(table.columns) + " |\n|---|" + "---|" * len(table.columns))
    for row, values in table.iterrows():
        print(f"| {row} | " + " | ".join("" if math.isnan(v) else f"{v:.3g}" for v in values) + " |")
    record(table)


def measure(
    degrader: Degrader, scenes: Scenes, temperature: float, classifier: Classifier
) -> dict[str, float]:
    """The rows about LR for one degrader."""
    scores: dict[str, list[float]] = {}
    samples, means, shifts, spreads = [], [], [], []
    for number, (path, camera) in enumerate(zip(scenes.hr, scenes.real)):
        (mode,) = sample(path, degrader, 1, 0)
        drawn = sample(path, degrader, SAMPLES, temperature)
        mean = drawn.astype(np.float32).mean(0)
        scene = {
            "PSNR at temperature 0, dB": psnr(mode, camera),
            "PSNR of the mean of 16, dB": psnr(mean, camera),
            "PSNR of a sample, dB": psnr(drawn[0], camera),
            "SSIM at temperature 0": ssim(mode, camera),
            "SSIM of the mean of 16": ssim(mean, camera),
        }
        if scenes.clean is not None:
            clean = scenes.clean[number]
            scene["PSNR of a sample to the noise-free, dB"] = psnr(drawn[0], clean)
            scene["best of 16 samples to the noise-free, dB"] = max(psnr(one, clean) for one in drawn)
            scene["PSNR of the mean of 16 to the noise-free, dB"] = psnr(mean, clean)
        for name, value in scene.items():
            scores.setdefault(name, []).append(value)
        spreads.append(spread(drawn.var(0, ddof=1, dtype=np.float32), scenes.bicubic[number]))
        shifts.append((drawn[0].astype(np.float32) - camera).mean((0, 1)))
        samples.append(drawn[0])
        means.append(np.rint(mean).astype(np.uint8))
    rows = {name: float(np.mean(values)) for name, values in scores.items()}
    rows |= dict(zip(SPREADS, np.sqrt(np.mean(spreads, 0)).tolist()))
    rows["colour shift, largest of R, G, B, levels"] = float(np.abs(np.mean(shifts, 0)).max())
    return rows | realism(samples, means, scenes, classifier)


def spread(variances: np.ndarray, bicubic: np.ndarray) -> tuple[float, float, float]:
    """Mean variance between samples: over all pixels, over the flattest tenth, over the roughest tenth."""
    brightness = bicubic.astype(np.float32).mean(2)
    detail = np.abs(brightness - cv2.GaussianBlur(brightness, (0, 0), 2))
    order = np.argsort(cv2.GaussianBlur(detail, (0, 0), 4).ravel())
    tenth, of_pixel = len(order) // 10, variances.mean(2).ravel()
    return of_pixel.mean(), of_pixel[order[:tenth]].mean(), of_pixel[order[-tenth:]].mean()


def sample(path: Path, degrader: Degrader, variants: int, temperature: float) -> np.ndarray:
    """LR samples of a picture, uint8 (K, H/s, W/s, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        (job,) = plan_pictures(path, Path(folder), variants)
        downscale_picture(job, degrader, temperature=temperature)
        return np.stack([read_picture(target) for target in job.targets])


def realism(
    samples: list[np.ndarray], means: list[np.ndarray], scenes: Scenes, classifier: Classifier
) -> dict[str, float]:
    """Distances of samples from the camera's pictures, and the AUC of classifiers."""
    frame, real = (_frame(pictures, scenes) for pictures in (samples, scenes.real))
    table = compare(frame, real)
    of_mean = _frame(means, scenes)["noise_sigma"].median()
    rows = _noise(frame) | {"noise level of the mean of 16, levels": of_mean}
    rows |= {f"distance of {name}": table.loc[name, "distance"] for name in WATCHED}
    rows["distance of residual_std"] = wasserstein_distance(frame["residual_std"], real["residual_std"])
    rows["energy of the residual to bicubic, levels"] = frame["residual_std"].median()
    (patches, groups), (true, _) = _patches(samples), _patches(scenes.real)
    rows |= classifier.areas(patches, groups, true, groups)
    return {name: float(value) for name, value in rows.items()}


def camera_itself(scenes: Scenes, classifier: Classifier) -> dict[str, float]:
    """The values of the camera itself, and the distances of its scenes from one another: the floor."""
    frame = _frame(scenes.real, scenes)
    table = compare(frame, frame)
    rows = _noise(frame) | {f"distance of {name}": table.loc[name, "floor"] for name in WATCHED}
    rows["energy of the residual to bicubic, levels"] = frame["residual_std"].median()
    patches, groups = _patches(scenes.real)
    first = np.isin(groups, np.random.default_rng(0).permutation(len(scenes.real))[::2])
    rows |= classifier.areas(patches[first], groups[first], patches[~first], groups[~first])
    rows["LR bits per dimension (its noise alone: the floor)"] = bits_at_noise_floor(
        rows["noise level, levels"]
    )
    if scenes.clean is not None:
        rows["PSNR of a sample to the noise-free, dB"] = np.mean(
            [psnr(real, clean) for real, clean in zip(scenes.real, scenes.clean)]
        )
    if scenes.again is not None:
        spreads = [
            spread(np.square(real.astype(np.float32) - again) / 2, bicubic)
            for real, again, bicubic in zip(scenes.real, scenes.again, scenes.bicubic)
        ]
        rows |= dict(zip(SPREADS, np.sqrt(np.mean(spreads, 0))))
        of_again = realism(scenes.again, scenes.again, scenes, classifier)
        rows |= {name: of_again[name] for name in of_again if name.startswith(("distance of", "AUC"))}
    return {name: float(value) for name, value in rows.items()}


def bound(scenes: Scenes, steps: int) -> Rows:
    """What a small CNN reaches that learns from one half of the aligned pairs, on the other half."""
    pairs = [
        [torch.from_numpy(picture).permute(2, 0, 1)[None].float() for picture in pair]
        for pair in zip(scenes.bicubic, scenes.real)
    ]
    found = []
    for half in (0, 1):
        network = _trained_on([pair for number, pair in enumerate(pairs) if number % 2 != half], steps)
        for number in range(half, len(pairs), 2):
            with torch.no_grad():
                output = network(pairs[number][0]).clamp(0, 255)[0].permute(1, 2, 0).numpy()
            found.append(psnr(output, scenes.real[number]))
    return {"PSNR of the mean of 16, dB": float(np.mean(found))}


class _Residual(torch.nn.Module):
    """Three hidden layers that add to the picture what is finer than a blur of 4 pixels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[torch.nn.Module] = []
        for inside, outside, size in ((3, width, 9), (width, width, 3), (width, width, 3)):
            layers += [
                torch.nn.Conv2d(inside, outside, size, padding=size // 2, padding_mode="reflect"),
                torch.nn.LeakyReLU(0.1),
            ]
        last = torch.nn.Conv2d(width, 3, 3, padding=1, padding_mode="reflect")
        torch.nn.init.zeros_(last.weight)
        self.layers = torch.nn.Sequential(*layers, last)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        added = 16 * self.layers((picture - 128) / 64)
        return picture + added - gaussian_blur(added, 4.0)


def _trained_on(pairs: list[list[torch.Tensor]], steps: int) -> _Residual:
    torch.manual_seed(0)
    random, network = np.random.default_rng(0), _Residual()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(steps):
        crops = []
        for _ in range(8):
            pair = pairs[random.integers(len(pairs))]
            top, left = (random.integers(side - PATCH + 1) for side in pair[0].shape[2:])
            crops.append([side[..., top : top + PATCH, left : left + PATCH] for side in pair])
        given, wanted = (torch.cat(side) for side in zip(*crops))
        loss = (network(given) - wanted)[..., 8:-8, 8:-8].abs().mean()
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


def likelihood(scenes: Scenes, model: str, device: str) -> dict[str, float]:
    """Bits per dimension of the camera's pictures, given their content."""
    device = choose_device(device)
    network = load_checkpoint(find_checkpoint(model), device).eval()
    patches = torch.from_numpy(_patches(scenes.real)[0][::8]).permute(0, 3, 1, 2)
    uniform = torch.rand(patches.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parts = to_unit(patches + uniform - 0.5).split(16)
        nats = [float(network.log_prob_lr(part.to(device)).mean()) for part in parts]
    bits = math.log2(127.5) - float(np.mean(nats)) / (patches[0].numel() * math.log(2))
    return {"LR bits per dimension (its noise alone: the floor)": bits}


def upscaled(scenes: Scenes, model: str, device: str, precision: str) -> list[np.ndarray]:
    """The camera's pictures, super-resolved at temperature 0."""
    upscaler = load_upscaler(model, device, precision)
    pictures = []
    for path in scenes.lr:
        with tempfile.TemporaryDirectory() as folder:
            (job,) = plan_pictures(path, Path(folder))
            upscale_picture(job, upscaler, temperature=0)
            pictures.append(read_picture(job.targets[0]))
    return pictures


def bicubic_upscaled(scenes: Scenes, scale: int) -> list[np.ndarray]:
    """The camera's pictures, interpolated."""
    return [cv2.resize(real, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) for real in scenes.real]


def super_resolution(scenes: Scenes, resolved: list[np.ndarray]) -> dict[str, float]:
    """The rows about super-resolution: SR of the camera's pictures against the true HR."""
    pairs = [(picture, read_picture(path)) for picture, path in zip(resolved, scenes.hr)]
    return {
        "SR: PSNR at temperature 0, dB": float(np.mean([psnr(*pair) for pair in pairs])),
        "SR: SSIM at temperature 0": float(np.mean([ssim(*pair) for pair in pairs])),
    }


def grey(picture: np.ndarray) -> np.ndarray:
    """Brightness (ITU-R BT.601), border cropped."""
    inner = picture[BORDER:-BORDER, BORDER:-BORDER].astype(np.float64)
    return inner @ np.array([0.299, 0.587, 0.114])


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """Grey PSNR in dB, border cropped."""
    error = np.square(grey(picture) - grey(truth)).mean()
    return float(10 * np.log10(255**2 / error))


def ssim(picture: np.ndarray, truth: np.ndarray) -> float:
    """Grey SSIM, border cropped."""
    return float(structural_similarity(grey(picture), grey(truth), data_range=255))


def _noise(frame: pd.DataFrame) -> dict[str, float]:
    """Noise in flat areas: over all patches, and at each brightness of enough patches."""
    rows = {"noise level, levels": frame["noise_sigma"].median()}
    for low, high in pairwise(BRIGHTNESS):
        at = frame.loc[frame["flat_level"].between(low, high, inclusive="left"), "noise_sigma"].dropna()
        rows[f"noise level at brightness {low} to {high - 1}"] = (
            at.median() if len(at) >= LEAST_IN_STEP else math.nan
        )
    return rows


def _frame(pictures: list[np.ndarray], scenes: Scenes) -> pd.DataFrame:
    """Statistics of the patches of pictures, with ``residual_std``."""
    patches, groups = _patches(pictures)
    residual = patches.astype(np.float32) - _patches(scenes.bicubic)[0]
    spread = np.sqrt(residual.var((1, 2)).mean(1))
    return frame_of_patches(patches, list(groups)).assign(residual_std=spread)


def _patches(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Patches of all pictures at the same positions, and the number of the scene of each."""
    cut = [cut_patches(picture, PATCH, PATCHES) for picture in pictures]
    return np.concatenate(cut), np.repeat(np.arange(len(cut)), [len(patches) for patches in cut])


if __name__ == "__main__":
    main()
