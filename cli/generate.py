"""``sdflow generate``: HR folders in, a dataset of LR/HR pairs out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdflow.wording import counted

from .options import (
    WholeRange,
    codec_option,
    degrader_scale_option,
    device_options,
    existing_folder,
    max_pixels_option,
    model_option,
    new_folder,
    no_lock_option,
    patch_options,
    patches_per_shard_option,
    provenance_options,
    sampling_options,
    workers_option,
)
from .wording import say

if TYPE_CHECKING:
    from sdflow_data.generation.engines import Engine
    from sdflow_data.generation.folder import Outcome
    from sdflow_data.generation.run import GenerationRequest


_DIGITS = 7  # of 10^6, the end of the largest range


class _ShardRange(click.ParamType):
    """``A:B``: the shards from A up to B - 1."""

    name = "A:B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        first, colon, end = str(value).partition(":")
        is_range = colon and all(n.isdecimal() and len(n) <= _DIGITS for n in (first, end))
        if not (is_range and int(first) < int(end)):
            self.fail(f"expected A:B, two shard numbers with A < B, found {value!r}", param, ctx)
        return range(int(first), int(end))


@click.command("generate")
@model_option
@click.option(
    "--hr",
    "hr_folders",
    type=existing_folder,
    required=True,
    multiple=True,
    help="Folder of HR photographs, searched to any depth; may be given again.",
)
@click.option(
    "--out", type=new_folder, required=True, help="The dataset: a new folder, or a dataset to continue."
)
@click.option(
    "--variants",
    type=WholeRange(1),
    default=4,
    show_default=True,
    help="LR samples per HR patch.",
)
@patch_options(256)
@degrader_scale_option
@sampling_options
@codec_option
@click.option(
    "--like",
    type=existing_folder,
    help="Real LR photographs: draw each component as often as it explains them; for `classical`, draw the "
    "strengths that they show.",
)
@device_options
@patches_per_shard_option(128, "in one shard: the unit of work, and the most that a crash can cost")
@workers_option(without="one per core; one if the model runs on a GPU")
@provenance_options
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Workers on this machine, or on a Ray cluster that shares the file system.",
)
@click.option(
    "--address", help="Address of a running Ray cluster, with --engine ray.  [default: a new cluster]"
)
@click.option(
    "--shards",
    type=_ShardRange(),
    help="Make shards A to B - 1 alone, for array jobs that share one output folder.",
)
@click.option(
    "--only", metavar="SAMPLE_ID", help="Make this one sample again and compare it with the stored one."
)
@max_pixels_option
@no_lock_option
def command(
    hr_folders: tuple[Path, ...],
    out: Path,
    like: Path | None,
    workers: int | None,
    engine: str,
    address: str | None,
    shards: range | None,
    only: str | None,
    **settings: Any,
) -> None:
    """Make a dataset of LR/HR pairs from folders of HR photographs.

    After an interruption the same command continues the dataset; it also adds pictures that are new in the
    folders. Files that give no pairs are skipped, counted and listed in OUT/failures.csv.

    \b
    Example:
      sdflow generate --model runs/city --hr photos/sharp --out pairs --variants 4
    """
    from sdflow_data.generation.run import GenerationRequest, generate
    from sdflow_data.system.folders import check_outside

    if address is not None and engine != "ray":
        raise click.UsageError("--address: expected with --engine ray, found --engine local")
    settings["components"] = tuple(settings["components"])
    if like is not None:
        check_outside(out, [like])
        if settings["model"] == "classical":
            settings["ranges"] = _ranges_like(like)
        else:
            settings["weights"] = _weights_like(like, settings)
    request = GenerationRequest(**settings)
    if only is not None:
        _compare(request, hr_folders, out, only)
        return
    outcome = generate(request, hr_folders, out, _engine(engine, address, workers), shards)
    _report(out, outcome)


def _ranges_like(folder: Path) -> tuple[float, ...]:
    from sdflow_data.inspection.otf import ranges_of
    from sdflow_data.inspection.photographs import survey

    photographs = survey([folder])
    for name, reason in photographs.unreadable.items():
        say(f"{folder}: left out {name}: {reason}", err=True)
    ranges = ranges_of(photographs)
    say(
        f"{folder} shows blur of {ranges.blur_low:g} to {ranges.blur_high:g} pixels, noise of "
        f"{ranges.noise_low:g} to {ranges.noise_high:g} levels, and on {ranges.jpeg_share:.0%} JPEG of "
        f"quality {ranges.jpeg_low:g} to {ranges.jpeg_high:g}"
    )
    return ranges


def _weights_like(folder: Path, settings: dict[str, Any]) -> tuple[float, ...]:
    from sdflow_data.models.likeness import likeness

    if settings["components"]:
        raise click.UsageError("--like, --component: expected one of the two, got both")
    weights, skipped = likeness(settings["model"], folder)
    for line in skipped:
        say(f"{folder}: left out {line}", err=True)
    used = ", ".join(f"{k} ({weight:.0%})" for k, weight in enumerate(weights) if weight >= 0.01)
    say(f"{folder} is explained by components {used}")
    return weights


def _engine(name: str, address: str | None, workers: int | None) -> "Engine":
    if name == "ray":
        from sdflow_data.generation.engines.ray import RayEngine

        return RayEngine(address, workers)
    from sdflow_data.generation.engines.local import LocalEngine

    return LocalEngine(workers)


def _report(out: Path, outcome: "Outcome") -> None:
    from sdflow.errors import SDFlowError

    if outcome.skipped:
        reasons = "says" if outcome.info else "will say, once the dataset is finished,"
        say(f"{counted(outcome.skipped, 'file')} left out; {out / 'failures.csv'} {reasons} why")
    if outcome.info is None:
        if outcome.missing:
            raise SDFlowError(
                f"{out}: expected {counted(outcome.planned, 'patch', 'patches')} in these shards, "
                f"{outcome.missing:,} of them could not be made; {out / 'failures.csv'} will say why, "
                "once the dataset is finished"
            )
        say(f"{out}: these shards are in place; the call that makes the last one finishes the dataset")
        return
    counts = outcome.info["counts"]
    say(
        f"{out}: {counted(counts['samples'], 'sample')} of {counted(counts['patches'], 'patch', 'patches')} "
        f"from {counted(counts['sources'], 'picture')}, in {counted(counts['shards'], 'shard')}; "
        f"{outcome.info['model']} ran on {outcome.info['device']} in {outcome.info['precision']}"
    )
    if counts["redraws"]:
        say(f"{counted(counts['redraws'], 'draw')} not finite and made again")
    if outcome.missing:
        raise SDFlowError(
            f"{out}: expected {counted(outcome.planned, 'patch', 'patches')}, {outcome.missing:,} of them "
            f"could not be made; {out / 'failures.csv'} says why"
        )


def _compare(request: "GenerationRequest", hr_folders: tuple[Path, ...], out: Path, sample_id: str) -> None:
    from sdflow.errors import SDFlowError
    from sdflow_data.generation.remake import remake

    difference = remake(request, hr_folders, out, sample_id)
    if difference.values:
        raise SDFlowError(
            f"{out}: {sample_id}: expected the stored bytes, found {difference.values} of them different, "
            f"by up to {difference.largest}"
        )
    say(f"{sample_id}: made again, the same bytes")
