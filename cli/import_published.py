"""``sdflow import-published``: converts the authors' weights into a checkpoint."""

from pathlib import Path

import click

from .options import existing_folder, new_folder
from .wording import say


@click.command("import-published")
@click.argument("folder", type=existing_folder)
@click.argument("out", type=new_folder)
def command(folder: Path, out: Path) -> None:
    """Convert the authors' released weights in FOLDER into the checkpoint OUT.

    FOLDER holds hrnet.pth. Downscaling also needs contentnet.pth and degnet.pth; upscaling needs
    lrencoder.pth. No code in the files is executed, and every tensor in them is checked.

    \b
    Example:
      sdflow import-published downloads/sdflow checkpoints/published
      sdflow downscale --model checkpoints/published photo.png photo_lr.png
    """
    from sdflow.checkpoint import save_checkpoint
    from sdflow.files import sha256_file
    from sdflow.published import files_of, read_published

    model = read_published(folder)
    files = files_of(model.parts)
    digests = {name: sha256_file(folder / name) for name in files}
    save_checkpoint(out, model, training={"published_files": digests})
    parameters = sum(parameter.numel() for parameter in model.parameters())
    say(f"{out}: {parameters:,} parameters from {', '.join(files)}, scale {model.scale}")
    for direction in ("downscale", "upscale"):
        missing = files_of(model.missing(direction))
        say(f"{direction}: " + (f"no, it needs {' and '.join(missing)}" if missing else "yes"))
