"""``sdflow train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from .options import (
    FiniteRange,
    WholeRange,
    device_options,
    existing_file,
    existing_folder,
    max_pixels_option,
    new_folder,
    no_lock_option,
    scale_option,
    seed_option,
)
from .wording import say

if TYPE_CHECKING:
    from sdflow_data.training.presets import PresetName


@click.command("train")
@click.option(
    "--hr", multiple=True, required=True, type=existing_folder, help="Sharp photographs (may be given again)."
)
@click.option(
    "--lr",
    multiple=True,
    required=True,
    type=existing_folder,
    help="Real low-quality photographs of any scenes.",
)
@click.option("--out", required=True, type=new_folder, metavar="RUN", help="The folder of the run.")
@scale_option("The ratio of HR to LR size.", default="4")
@click.option(
    "--preset",
    type=click.Choice(["tiny", "small", "paper"]),
    default="small",
    show_default=True,
    help="tiny: minutes on a laptop; small: an hour on 2 cores; paper: the published sizes, for a GPU.",
)
@click.option(
    "--steps",
    type=WholeRange(0),
    help="Training steps; 0 measures the camera alone.",
)
@click.option(
    "--minutes",
    type=FiniteRange(min=0, min_open=True),
    help="Training time in minutes, over all resumptions.",
)
@click.option(
    "--batch-size",
    type=WholeRange(1, most=2**16),
    help="HR crops, and as many LR crops, in a step, summed over all processes  [default: by preset]",
)
@click.option("--patch-size", type=WholeRange(1), help="Side of the HR crops in pixels  [default: by preset]")
@click.option(
    "--val-hr",
    type=existing_folder,
    help="Photographs of other scenes, with aligned partners in --val-lr, for validation alone.",
)
@click.option(
    "--val-lr",
    type=existing_folder,
    help="Their LR partners, of the same names. Validation every 500 steps: grey PSNR of the output at "
    "temperature 0, border cropped, on the centre of 8 pairs.",
)
@click.option(
    "--perceptual-weights",
    type=existing_file,
    metavar="FILE",
    help="torchvision's weights of VGG-19 (.pth or .safetensors): switches the perceptual terms on.",
)
@click.option(
    "--init",
    metavar="MODEL",
    help="Start from the weights of a trained model of the same preset and scale: a built-in model, a run or "
    "a checkpoint.",
)
@seed_option
@click.option("--resume", is_flag=True, help="Continue the run in RUN.")
@device_options
@max_pixels_option
@no_lock_option
def command(
    preset: str,
    val_hr: Path | None,
    val_lr: Path | None,
    init: str | None,
    steps: int | None,
    minutes: float | None,
    device: str,
    **options: Any,
) -> None:
    """Measure the camera of real low-quality photographs (LR), then train SDFlow on sharp photographs (HR)
    degraded by that camera. The two folders may show different scenes.

    --steps 0 measures the camera alone, within a minute; that is enough to generate pairs. RUN holds model/
    (the newest complete checkpoint), camera.png, metrics.csv and samples/, and tensorboard/ if TensorBoard is
    installed. --resume continues a run after any interruption. Under torchrun, processes share each batch and
    train as one.

    \b
    Example:
      sdflow train --hr sharp --lr camera --out runs/camera --minutes 60
    """
    from sdflow.distributed import process_group, world
    from sdflow_data.models.registry import find_checkpoint
    from sdflow_data.training.presets import preset_settings
    from sdflow_data.training.run import train
    from sdflow_data.training.run_folder import RunFolder

    from .photographs import warn_before_training

    if steps is not None and minutes is not None:
        raise click.UsageError("--steps, --minutes: expected one of the two, got both")
    if (val_hr is None) != (val_lr is None):
        raise click.UsageError("--val-hr, --val-lr: expected both or neither, got one")
    with process_group(device):
        settings = preset_settings(
            cast("PresetName", preset),
            validation=(val_hr, val_lr) if val_hr and val_lr else None,
            init=find_checkpoint(init, "init") if init else None,
            steps=steps,
            minutes=minutes,
            device=device,
            **options,
        )
        is_first = world()[0] == 0
        if is_first and not settings.resume:
            patch_size = settings.training.patch_size
            warn_before_training(settings.hr, settings.lr, settings.architecture.scale, patch_size)
        train(settings, say=say)
        if is_first:
            run = RunFolder(settings.out)
            places = {"Checkpoint": run.model, "curves": run.metrics, "pictures": run.samples}
            written = "; ".join(f"{what}: {path}" for what, path in places.items() if path.exists())
            say(f"{'Nothing trained' if steps == 0 else 'Trained'}. {written}")
