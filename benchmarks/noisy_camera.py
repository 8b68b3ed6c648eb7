"""Folders for a training with a known truth: a noisy simulated camera at scale 4.

    python benchmarks/noisy_camera.py --hr PHOTOGRAPHS --val-hr OTHERS --out data/noisy
    sdflow train --hr data/noisy/hr --lr data/noisy/lr --out runs/noisy --scale 4 --preset small --minutes 60
    python benchmarks/camera.py --hr data/noisy/val_hr --lr data/noisy/val_lr --clean data/noisy/val_clean \
        --again data/noisy/val_again --scale 4 --model bicubic --model runs/noisy

Half of PHOTOGRAPHS become HR. The other half become LR by the camera: blur, noise of 6 grey levels in black
to 12 in white, JPEG of quality 70 to 90. OTHERS become aligned pairs: with noise, without noise, and as
second exposures. Two exposures differ only in their noise.
"""

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from sdflow_data.images.finding import find_pictures
from sdflow_data.images.reading import read_picture
from sdflow_data.images.writing import encode_png
from sdflow_data.models.simulated_camera import SimulatedCamera

SCALE, MULTIPLE = 4, 8
CAMERA = SimulatedCamera(
    scale=SCALE, blur_sigma=2.0, poisson_gain=(12**2 - 6**2) / 255, read_noise=6.0, strength=(1.0, 1.0)
)
QUALITY = (70, 90)


@click.command()
@click.option("--hr", required=True, type=click.Path(exists=True, path_type=Path), help="For training.")
@click.option("--val-hr", required=True, type=click.Path(exists=True, path_type=Path), help="For testing.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder for the results.")
def main(hr: Path, val_hr: Path, out: Path) -> None:
    """Write hr/, lr/, val_hr/, val_lr/, val_clean/ and val_again/."""
    names = find_pictures(hr)
    half = len(names) // 2
    for name in names[:half]:
        write(out / "hr" / name, scene(hr / name))
    for number, name in enumerate(names[half:]):
        write(out / "lr" / name, photograph(scene(hr / name), number))
    for number, name in enumerate(find_pictures(val_hr), len(names)):
        picture = scene(val_hr / name)
        write(out / "val_hr" / name, picture)
        write(out / "val_lr" / name, photograph(picture, number))
        write(out / "val_clean" / name, CAMERA.noise_free(picture))
        write(out / "val_again" / name, photograph(picture, number, exposure=1))


def scene(path: Path) -> np.ndarray:
    """A picture, cropped to a multiple of 8 pixels."""
    picture = read_picture(path)
    height, width = (side // MULTIPLE * MULTIPLE for side in picture.shape[:2])
    return picture[:height, :width]


def photograph(picture: np.ndarray, number: int, exposure: int = 0) -> np.ndarray:
    """The camera's picture of a scene, with its own JPEG quality. Exposures differ in their noise."""
    quality = int(np.random.default_rng(number).integers(QUALITY[0], QUALITY[1] + 1))
    return replace(CAMERA, jpeg_quality=quality)(picture, number + 1_000_000 * exposure)


def write(path: Path, picture: np.ndarray) -> None:
    """Write a PNG file, with the suffix .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".png").write_bytes(encode_png(picture))


if __name__ == "__main__":
    main()
