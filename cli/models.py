"""``sdflow models``: lists the built-in models, or describes one model."""

from typing import TYPE_CHECKING

import click

from .wording import say

if TYPE_CHECKING:
    from sdflow_data.models.registry import NamedModel


@click.command("models")
@click.argument("model", metavar="MODEL", required=False)
def command(model: str | None) -> None:
    """List the built-in models and their scales; or describe MODEL, with the cameras that it holds.

    MODEL and the option --model of other commands accept one of these names, the folder of a checkpoint, or
    the RUN folder of `sdflow train`.

    \b
    Example:
      sdflow models
      sdflow models runs/camera
    """
    from sdflow_data.models.registry import built_in_models, described, find_checkpoint

    if model is None:
        _show(built_in_models())
        return
    from sdflow_data.models.measured import in_words, load_cameras

    checkpoint = find_checkpoint(model)
    cameras = load_cameras(checkpoint)
    _show([described(checkpoint, model)])
    for line in in_words(cameras) if cameras else ["No measured camera"]:
        say(line)


def _show(models: "list[NamedModel]") -> None:
    width = max(len(model.name) for model in models)
    for model in models:
        scales = "/".join(map(str, model.scales))
        say(f"{model.name:<{width}}  x{scales:<6} {model.description}")
