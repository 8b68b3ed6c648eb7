"""``sdflow upscale``: pictures of any size to SR pictures."""

from pathlib import Path

import click

from .options import (
    any_path,
    device_options,
    max_pixels_option,
    model_option,
    seed_option,
    temperature_option,
)
from .pictures import convert, existing_option, tile_option


@click.command("upscale")
@click.argument("source", metavar="INPUT", type=any_path)
@click.argument("output", type=any_path)
@model_option
@temperature_option(0.8)
@seed_option
@tile_option(256)
@existing_option
@device_options
@max_pixels_option
def command(
    source: Path,
    output: Path,
    model: str,
    temperature: float,
    seed: int,
    tile: int,
    existing: str,
    device: str,
    precision: str,
) -> None:
    """Turn INPUT, a picture or a folder of pictures of any size, into SR pictures.

    OUTPUT is a folder for PNG files of the same names and subfolders. For a single picture it may be a file
    that ends in .png. Sizes are multiplied by the model's scale. --existing skip continues
    after an interruption.

    \b
    Example:
      sdflow upscale --model runs/phone photos large
      sdflow upscale --model runs/phone --temperature 0 photo.jpg photo_large.png
    """
    from sdflow_data.models.tiles import plan_pictures, upscale_picture
    from sdflow_data.models.upscaler import load_upscaler

    jobs = plan_pictures(source, output)
    upscaler = load_upscaler(model, device, precision)
    convert(
        jobs,
        output,
        existing,
        "upscaling",
        lambda job: upscale_picture(job, upscaler, temperature=temperature, seed=seed, tile=tile),
    )
