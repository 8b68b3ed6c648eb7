"""Options that several commands share."""

import functools
import math
import os
from pathlib import Path
from typing import Any

import click


class _NonEmptyPath(click.Path):
    """A path that need not exist. An empty path, which would be the working directory, is refused."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("expected a path, found an empty one", param, ctx)
        return super().convert(value, param, ctx)


existing_folder = click.Path(exists=True, file_okay=False, path_type=Path)
existing_file = click.Path(exists=True, dir_okay=False, path_type=Path)
new_folder = _NonEmptyPath(file_okay=False, path_type=Path)
new_file = _NonEmptyPath(dir_okay=False, path_type=Path)
any_path = _NonEmptyPath(path_type=Path)


class WholeRange(click.IntRange):
    """A range of whole numbers with an upper limit, far above useful values, that prevents overflows."""

    def __init__(self, min: int, most: int = 2**31 - 1) -> None:
        super().__init__(min)
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number: int = super().convert(value, param, ctx)
        if number > self.most:
            self.fail(f"{number} is not in the range {self.min}<=x<={self.most}.", param, ctx)
        return number


def _into_environment(variable: str) -> Any:
    """A callback that sets an environment variable during a command, for the library and its workers."""

    def callback(ctx: click.Context, param: click.Parameter, value: int | bool | None) -> None:
        if value:
            before = os.environ.get(variable)
            os.environ[variable] = str(int(value))
            ctx.call_on_close(lambda: _set_environment(variable, before))

    return callback


def _set_environment(variable: str, value: str | None) -> None:
    if value is None:
        del os.environ[variable]
    else:
        os.environ[variable] = value


max_pixels_option = click.option(
    "--max-pixels",
    type=click.IntRange(1, 2**30),
    expose_value=False,
    callback=_into_environment("SDFLOW_MAX_PIXELS"),
    metavar="N",
    help="Larger pictures are left out and listed.  [default: what fits the memory, at 32 bytes a pixel]",
)

no_lock_option = click.option(
    "--no-lock",
    is_flag=True,
    expose_value=False,
    callback=_into_environment("SDFLOW_NO_LOCK"),
    help="Take no lock, on file systems that refuse locks. Nothing prevents two runs on one output then.",
)


def device_options(command: Any) -> Any:
    """``--device`` and ``--precision``, for commands that run a model."""
    command = click.option(
        "--precision",
        type=click.Choice(["auto", "fp32", "bf16"]),
        default="auto",
        show_default=True,
        help="Precision of the networks; auto follows the processor. The flow's state is always fp32.",
    )(command)
    return click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda", "mps"]),
        default="auto",
        show_default=True,
        help="Where the model runs.",
    )(command)


def model_option(command: Any) -> Any:
    """``--model M``: a checkpoint, a RUN of ``sdflow train``, or a built-in name."""
    return click.option(
        "--model",
        "model",
        required=True,
        metavar="M",
        help="A checkpoint folder, a RUN of `sdflow train`, or a name from `sdflow models`.",
    )(command)


class FiniteRange(click.FloatRange):
    """A range of floats without ``inf`` and ``nan``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def temperature_option(default: float) -> Any:
    """``--temperature``."""
    return click.option(
        "--temperature",
        type=FiniteRange(min=0),
        default=default,
        show_default=True,
        help="Temperature of the latent noise; 0 gives the mean, which no seed changes.",
    )


seed_option = click.option(
    "--seed",
    type=WholeRange(0, most=2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of all random numbers.",
)


def workers_option(command: Any = None, *, without: str = "one per core") -> Any:
    """``--workers``: the number of processes; ``without`` describes the default."""
    option = click.option("--workers", type=WholeRange(1), help=f"Processes.  [default: {without}]")
    return option if command is None else option(command)


def scale_option(help: str, default: str | None = None) -> Any:
    """``--scale``: 2, 4 or 8, as an integer."""
    return click.option(
        "--scale",
        type=click.Choice(("2", "4", "8")),
        default=default,
        show_default=default is not None,
        callback=lambda ctx, param, value: value and int(value),
        help=help,
    )


degrader_scale_option = scale_option(
    "Scale of the models `bicubic` and `classical`.  [default: 4; a trained model has its own]"
)


def patch_options(patch_size: int | None, of_scale: str = "") -> Any:
    """``--patch-size`` and ``--stride``.

    Args:
        patch_size: the default; None for about 256.
        of_scale: a condition on both, for the help.
    """

    def add(command: Any) -> Any:
        stride = click.option(
            "--stride",
            type=WholeRange(1),
            help=f"Distance between patches, in HR pixels{of_scale}.  [default: the patch size]",
        )
        size = click.option(
            "--patch-size",
            type=WholeRange(1),
            default=patch_size,
            show_default=patch_size is not None,
            help=f"Side of the HR patches{of_scale}." + ("" if patch_size else "  [default: about 256]"),
        )
        return size(stride(command))

    return add


def patches_per_shard_option(default: int, unit: str) -> Any:
    """``--patches-per-shard``; ``unit`` names what holds the patches."""
    return click.option(
        "--patches-per-shard",
        type=WholeRange(1),
        default=default,
        show_default=True,
        help=f"HR patches {unit}.",
    )


class _Codec(click.ParamType):
    """The values that `codec.parse_codec` accepts."""

    name = "codec"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in ("camera", "none"):
            from sdflow_data.images.codec import parse_codec

            try:
                parse_codec(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return str(value)


codec_option = click.option(
    "--codec",
    type=_Codec(),
    default="camera",
    show_default=True,
    metavar="CODEC",
    help="Compression of the LR pictures: camera, that of the photographs the model learned from; none; or "
    "jpeg:Q[:444|422|420].",
)


def sampling_options(command: Any) -> Any:
    """``--temperature``, ``--component`` and ``--seed``."""
    component_option = click.option(
        "--component",
        "components",
        type=WholeRange(0),
        multiple=True,
        metavar="K",
        help="Sample from mixture component K alone, counted from 0 (may be given again).",
    )
    return temperature_option(1.0)(component_option(seed_option(command)))


def provenance_options(command: Any) -> Any:
    """``--license`` and ``--source-url``, as one keyword ``provenance``."""

    @functools.wraps(command)
    def with_provenance(*, licenses: tuple[str, ...], source_urls: tuple[str, ...], **others: Any) -> Any:
        from sdflow_data.dataset.provenance import Provenance

        return command(provenance=Provenance(licenses=licenses, source_urls=source_urls), **others)

    with_urls = click.option(
        "--source-url",
        "source_urls",
        multiple=True,
        metavar="URL",
        help="Source of the HR photographs, for the same files (may be given again).",
    )(with_provenance)
    return click.option(
        "--license",
        "licenses",
        multiple=True,
        metavar="NAME",
        help="Licence of the photographs, such as cc-by-4.0, for croissant.json and dataset cards (may be "
        "given again).",
    )(with_urls)
