"""How near a degrader comes to a real camera, on aligned pairs that nothing was trained on.

    python benchmarks/camera.py --hr VAL_HR --lr VAL_LR --scale 2 --model bicubic --model runs/camera

A column a degrader. Grey PSNR and SSIM, border cropped, are means over the scenes; levels are 8-bit levels.
The classifier learns on some scenes and is asked on others; 0.5 is that it cannot tell.
"""

import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd
from skimage.metrics import structural_similarity

from sdflow_data.degraders import Degrader, load_degrader
from sdflow_data.images import find_pictures, read_picture
from sdflow_data.pictures import downscale_picture, plan_pictures
from sdflow_data.statistics import compare, frame_of_patches
from sdflow_data.statistics.classifier import c2st_auc
from sdflow_data.statistics.frames import cut_patches

BORDER, PATCH, PATCHES, SAMPLES = 12, 64, 60, 16
WATCHED = ("noise_sigma", "spectrum_8", "spectrum_12", "spectrum_16", "sharpness")


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="HR of the pairs.")
@click.option("--lr", required=True, type=click.Path(exists=True, path_type=Path), help="LR, the same names.")
@click.option("--model", "models", multiple=True, required=True, help="Degraders, as for `sdflow generate`.")
@click.option("--scale", type=int, default=2, show_default=True)
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Of the samples.")
@click.option("--device", default="auto", show_default=True)
@click.option("--precision", default="auto", show_default=True)
def main(
    hr: Path,
    lr: Path,
    models: tuple[str, ...],
    scale: int,
    temperature: float,
    device: str,
    precision: str,
) -> None:
    """Print the table."""
    scenes = find_pictures(hr)
    real = [read_picture(lr / scene) for scene in scenes]
    columns = {}
    for model in models:
        degrader = load_degrader(model, scale, device, precision)
        columns[model] = measure(degrader, [hr / scene for scene in scenes], real, temperature)
    table = pd.DataFrame(columns)
    print("| | " + " | ".join(table.columns) + " |\n|---|" + "---|" * len(table.columns))
    for row, values in table.iterrows():
        print(f"| {row} | " + " | ".join(f"{value:.3g}" for value in values) + " |")


def measure(
    degrader: Degrader, hr: list[Path], real: list[np.ndarray], temperature: float
) -> dict[str, float]:
    """All rows of a degrader's column."""
    scores: dict[str, list[float]] = {}
    samples, shifts = [], []
    for path, camera in zip(hr, real):
        (mode,) = sample(path, degrader, 1, 0)
        drawn = sample(path, degrader, SAMPLES, temperature)
        mean = drawn.astype(np.float32).mean(0)
        scene = {
            "PSNR at temperature 0, dB": psnr(mode, camera),
            "PSNR of the mean of 16, dB": psnr(mean, camera),
            "PSNR of a sample, dB": psnr(drawn[0], camera),
            "SSIM at temperature 0": ssim(mode, camera),
            "SSIM of the mean of 16": ssim(mean, camera),
            "spread between samples, levels": float(drawn.std(0, dtype=np.float32).mean()),
        }
        for name, value in scene.items():
            scores.setdefault(name, []).append(value)
        shifts.append((drawn[0].astype(np.float32) - camera).mean((0, 1)))
        samples.append(np.stack([drawn[0], np.rint(mean).astype(np.uint8)]))
    rows = {name: float(np.mean(values)) for name, values in scores.items()}
    rows["colour shift, largest of R, G, B, levels"] = float(np.abs(np.mean(shifts, 0)).max())
    return rows | realism([sample[0] for sample in samples], [sample[1] for sample in samples], real)


def sample(path: Path, degrader: Degrader, variants: int, temperature: float) -> np.ndarray:
    """LR samples of a picture, uint8 (K, H/s, W/s, 3)."""
    with tempfile.TemporaryDirectory() as folder:
        (job,) = plan_pictures(path, Path(folder), variants)
        downscale_picture(job, degrader, temperature=temperature)
        return np.stack([read_picture(target) for target in job.targets])


def realism(samples: list[np.ndarray], means: list[np.ndarray], real: list[np.ndarray]) -> dict[str, float]:
    """Distances of samples from the camera's pictures, and whether a classifier can tell them apart."""
    (patches, groups), (of_mean, _), (true, _) = (_patches(pictures) for pictures in (samples, means, real))
    frames = [frame_of_patches(images, list(groups)) for images in (patches, true)]
    table = compare(frames[0], frames[1])
    noise_of_mean = frame_of_patches(of_mean, list(groups))["noise_sigma"].median()
    rows = {
        "noise level, levels": table.loc["noise_sigma", "generated"],
        "the camera's, levels": table.loc["noise_sigma", "real"],
        "noise level of the mean of 16, levels": noise_of_mean,
    }
    rows |= {f"distance of {name}": table.loc[name, "distance"] for name in WATCHED}
    rows["classifier's AUC"] = c2st_auc(patches, groups, true, groups).auc
    return {name: float(value) for name, value in rows.items()}


def _patches(pictures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Patches of all pictures at the same places, and the number of each one's scene."""
    cut = [cut_patches(picture, PATCH, PATCHES) for picture in pictures]
    return np.concatenate(cut), np.repeat(np.arange(len(cut)), [len(patches) for patches in cut])


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


if __name__ == "__main__":
    main()
