"""`sdflow train --steps 0` with its defaults, on cameras that no default was tuned on.

    python benchmarks/strangers.py [--photographs FOLDER] [--json FILE]

One half of the photographs (scikit-image's, or those of FOLDER) is HR. The other half goes through a
simulated camera and is LR. A few other photographs are for testing: PSNR of the mean LR against the camera's
picture without noise, and the noise of samples against that of two exposures, at four brightnesses. All
figures are of the model that the command makes, sampled by the code of `generate`.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click
import cv2
import numpy as np
import pandas as pd
import skimage
from camera import psnr, sample  # type: ignore[import-not-found]
from noisy_camera import write  # type: ignore[import-not-found]
from results import json_option, record  # type: ignore[import-not-found]

from sdflow_data.images.finding import find_pictures
from sdflow_data.images.reading import read_picture
from sdflow_data.models.degraders import BicubicDegrader, Degrader, load_degrader
from sdflow_data.models.simulated_camera import SimulatedCamera
from sdflow_data.training.presets import preset_settings
from sdflow_data.training.run import train

SAMPLES = 8
HR = ("astronaut.png", "coffee.png", "camera.png", "motorcycle_left.png", "brick.png", "moon.png")
LR = ("chelsea.png", "rocket.jpg", "retina.jpg", "ihc.png", "gravel.png", "coins.png", "grass.png")
TESTS = ("astronaut.png", "coffee.png", "motorcycle_right.png", "moon.png")

CAMERAS = {
    "sharp, little noise": SimulatedCamera(
        blur_sigma=0.8, poisson_gain=0.02, read_noise=0.7, jpeg_quality=None
    ),
    "blurred, noisy": SimulatedCamera(blur_sigma=2.5, poisson_gain=0.15, read_noise=5.0, jpeg_quality=None),
    "photons": SimulatedCamera(blur_sigma=1.2, poisson_gain=0.3, read_noise=0.5, jpeg_quality=None),
    "JPEG 95": SimulatedCamera(blur_sigma=1.2, poisson_gain=0.2, read_noise=3.0, jpeg_quality=95),
    "JPEG 75": SimulatedCamera(blur_sigma=1.5, poisson_gain=0.1, read_noise=2.0, jpeg_quality=75),
    "scale 4, JPEG 85": SimulatedCamera(scale=4, blur_sigma=3.0, poisson_gain=0.1, read_noise=2.0),
}


@click.command()
@click.option(
    "--photographs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Sharp photographs, instead of scikit-image's.",
)
@click.option(
    "--camera", "names", multiple=True, type=click.Choice(list(CAMERAS)), help="Only these cameras."
)
@json_option
def main(photographs: Path | None, names: tuple[str, ...]) -> None:
    """Print the table."""
    table = pd.DataFrame({name: measured(CAMERAS[name], photographs) for name in names or CAMERAS}).T
    print("| camera | " + " | ".join(table.columns) + " |\n|---|" + "---|" * len(table.columns))
    for name, values in table.iterrows():
        print(f"| {name} | " + " | ".join(map(str, values)) + " |")
    record(table)


def measured(camera: SimulatedCamera, photographs: Path | None) -> dict[str, object]:
    """A row of the table: measure a camera on its photographs, and test the model on others."""
    camera = replace(camera, strength=(1.0, 1.0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hr, lr, tests = scenes(photographs)
        for path in hr:
            write(folder / "hr" / path.name, scene(path, camera.scale))
        for number, path in enumerate(lr):
            write(folder / "lr" / path.name, camera(scene(path, camera.scale), number))
        for path in tests:
            write(folder / "tests" / path.name, scene(path, camera.scale))
        begun = time.perf_counter()
        settings = preset_settings(
            "small",
            hr=(folder / "hr",),
            lr=(folder / "lr",),
            out=folder / "run",
            scale=camera.scale,
            steps=0,
        )
        train(settings, say=lambda text: None)
        seconds = time.perf_counter() - begun
        degrader = load_degrader(str(folder / "run"))
        return {"seconds": f"{seconds:.0f}"} | tested(camera, degrader, sorted((folder / "tests").iterdir()))


def tested(camera: SimulatedCamera, degrader: Degrader, paths: list[Path]) -> dict[str, object]:
    """PSNR and noise on photographs that the measurement has not used."""
    found, levels, real, made = [], [], [], []
    for number, path in enumerate(paths):
        picture = read_picture(path)
        clean = camera.noise_free(picture)
        drawn = sample(path, degrader, SAMPLES, 1.0)
        (bicubic,) = sample(path, BicubicDegrader(camera.scale), 1, 0)
        found.append((psnr(bicubic, clean), psnr(drawn.astype(np.float32).mean(0), clean)))
        first, second = (camera(picture, 10_000 + 2 * number + again).astype(np.float32) for again in (0, 1))
        levels.append(clean.mean(2).ravel())
        real.append((np.square(first - second) / 2).mean(2).ravel())
        made.append(drawn.var(0, ddof=1, dtype=np.float32).mean(2).ravel())
    brightness, variances = np.concatenate(levels), (np.concatenate(real), np.concatenate(made))
    row: dict[str, object] = dict(
        zip(("bicubic, dB", f"mean of {SAMPLES}, dB"), (f"{value:.1f}" for value in np.mean(found, axis=0)))
    )
    for low in range(0, 256, 64):
        here = (brightness >= low) & (brightness < low + 64)
        of_camera, of_model = (float(np.sqrt(values[here].mean())) for values in variances)
        row[f"noise at {low} to {low + 63}"] = f"{of_model:.1f} for {of_camera:.1f}"
    return row


def scenes(photographs: Path | None) -> tuple[list[Path], list[Path], list[Path]]:
    """The photographs for HR, for LR and for testing."""
    if photographs is None:
        data = Path(skimage.__file__).parent / "data"
        hr, lr, tests = ([data / name for name in names] for names in (HR, LR, TESTS))
        return hr, lr, tests
    paths = [photographs / name for name in find_pictures(photographs)]
    some = max(2, len(paths) // 8)
    return paths[some::2], paths[some + 1 :: 2], paths[:some]


def scene(path: Path, scale: int) -> np.ndarray:
    """A picture, cropped to a multiple of twice the scale."""
    picture = read_picture(path)
    height, width = (side // (2 * scale) * 2 * scale for side in picture.shape[:2])
    return picture[:height, :width]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
