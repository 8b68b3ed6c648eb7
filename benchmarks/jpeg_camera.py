"""Photographs of a camera as JPEG files, to test whether samples match them as well as PNG files.

    python benchmarks/jpeg_camera.py --lr city100/train_lr --val-lr city100/val_lr --out data/jpeg
    for lr in city100/train_lr data/jpeg/lr; do
        sdflow train --hr city100/train_hr --lr $lr --out runs/$(basename $(dirname $lr)) --scale 2 --steps 0
    done
    python benchmarks/camera.py --hr city100/val_hr --lr city100/val_lr --scale 2 --model runs/city100
    python benchmarks/camera.py --hr city100/val_hr --lr data/jpeg/val_lr --scale 2 --model runs/jpeg

The LR photographs for training become JPEG files, from which training reads the codec. Those for testing are
decoded again to PNG files of the same names.
"""

from pathlib import Path

import click

from sdflow_data.images.codec import parse_codec
from sdflow_data.images.finding import find_pictures
from sdflow_data.images.reading import read_picture
from sdflow_data.images.writing import encode_png


@click.command()
@click.option("--lr", required=True, type=click.Path(exists=True, path_type=Path), help="LR for training.")
@click.option("--val-lr", required=True, type=click.Path(exists=True, path_type=Path), help="LR for testing.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder for the results.")
@click.option("--codec", default="jpeg:75:420", show_default=True, help="As for `sdflow downscale`.")
def main(lr: Path, val_lr: Path, out: Path, codec: str) -> None:
    """Write lr/ of JPEG files and val_lr/ of PNG files."""
    parsed = parse_codec(codec)
    jpeg = parsed.draw() if parsed else None
    if jpeg is None:
        raise click.UsageError(f"--codec: expected jpeg:Q[:444|422|420], found {codec}")
    for name in find_pictures(lr):
        write((out / "lr" / name).with_suffix(".jpg"), jpeg.encoded(read_picture(lr / name)))
    for name in find_pictures(val_lr):
        write(out / "val_lr" / name, encode_png(jpeg.apply(read_picture(val_lr / name))))


def write(path: Path, content: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    main()
