"""``sdflow downscale``: pictures of any size to LR pictures."""

from pathlib import Path

import click

from .options import (
    WholeRange,
    any_path,
    codec_option,
    degrader_scale_option,
    device_options,
    max_pixels_option,
    model_option,
    sampling_options,
)
from .pictures import convert, existing_option, tile_option


@click.command("downscale")
@click.argument("source", metavar="INPUT", type=any_path)
@click.argument("output", type=any_path)
@model_option
@degrader_scale_option
@click.option(
    "--variants",
    type=WholeRange(1),
    default=1,
    show_default=True,
    metavar="V",
    help="LR pictures of each picture; with more than one they are named NAME_v0.png, NAME_v1.png, ...",
)
@sampling_options
@codec_option
@tile_option(1024)
@existing_option
@device_options
@max_pixels_option
def command(
    source: Path,
    output: Path,
    model: str,
    scale: int | None,
    variants: int,
    temperature: float,
    components: tuple[int, ...],
    seed: int,
    codec: str,
    tile: int,
    existing: str,
    device: str,
    precision: str,
) -> None:
    """Turn INPUT, a picture or a folder of pictures of any size, into LR pictures.

    OUTPUT is a folder for PNG files of the same names and subfolders. For a single picture it may be a file
    that ends in .png. Sizes are divided by the model's scale and rounded up. --existing skip
    continues after an interruption.

    \b
    Example:
      sdflow downscale --model runs/phone photos lr --variants 3
      sdflow downscale --model bicubic --scale 2 photo.jpg photo_small.png
    """
    from sdflow_data.images.codec import parse_codec
    from sdflow_data.models.degraders import component_weights, load_degrader
    from sdflow_data.models.tiles import downscale_picture, plan_pictures

    jobs = plan_pictures(source, output, variants)
    degrader = load_degrader(model, scale, device, precision)
    weights = component_weights(degrader, components)
    convert(
        jobs,
        output,
        existing,
        "downscaling",
        lambda job: downscale_picture(
            job,
            degrader,
            temperature=temperature,
            weights=weights,
            codec=parse_codec(codec),
            seed=seed,
            tile=tile,
        ),
    )
