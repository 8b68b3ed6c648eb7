"""``sdflow models``: lists the built-in models."""

import click

from .wording import show


@click.command("models")
def command() -> None:
    """List the built-in models and their scales.

    The option --model accepts one of these names, the folder of a checkpoint, or the RUN folder of
    `sdflow train`.

    \b
    Example:
      sdflow models
    """
    from sdflow_data.models.registry import built_in_models

    models = built_in_models()
    width = max(len(model.name) for model in models)
    for model in models:
        scales = "/".join(map(str, model.scales))
        show(f"{model.name:<{width}}  x{scales:<6} {model.description}")
