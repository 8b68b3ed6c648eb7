"""``sdflow import-pairs``: makes a dataset of aligned pairs of pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdflow.wording import counted

from .options import (
    existing_folder,
    max_pixels_option,
    new_folder,
    no_lock_option,
    patch_options,
    patches_per_shard_option,
    provenance_options,
    workers_option,
)
from .wording import say

if TYPE_CHECKING:
    from sdflow_data.dataset.provenance import Provenance


@click.command("import-pairs")
@click.option("--hr", "hr_folder", type=existing_folder, required=True, help="HR pictures, to any depth.")
@click.option(
    "--lr", "lr_folder", type=existing_folder, required=True, help="LR pictures of the same scenes."
)
@click.option("--out", type=new_folder, required=True, help="The dataset's folder.")
@patch_options(None, ", a multiple of the pairs' scale")
@patches_per_shard_option(128, "in one shard")
@click.option(
    "--hr-name",
    default="{}",
    show_default=True,
    metavar="PATTERN",
    help="Pattern of HR names without endings; {} stands for the part that both names share.",
)
@click.option(
    "--lr-name",
    default="{}",
    show_default=True,
    metavar="PATTERN",
    help='The same for LR names, such as "{}x4".',
)
@provenance_options
@workers_option
@max_pixels_option
@no_lock_option
def command(
    hr_folder: Path,
    lr_folder: Path,
    out: Path,
    patch_size: int | None,
    stride: int | None,
    patches_per_shard: int,
    hr_name: str,
    lr_name: str,
    provenance: "Provenance",
    workers: int | None,
) -> None:
    """Make a dataset of aligned pairs of pictures, real or synthetic.

    The pictures of a pair have the same path under --hr and --lr, except for the ending. HR sizes are the
    same whole number (2 to 8) times LR sizes in every pair. Pictures that do not fit are listed in
    failures.csv.

    \b
    Example:
      sdflow import-pairs --hr city/hr --lr city/lr --out pairs
      sdflow import-pairs --hr HR --lr LR_x4 --lr-name "{}x4" --out pairs
    """
    from sdflow.errors import SDFlowError
    from sdflow_data.generation.import_pairs import ImportRequest, import_pairs

    request = ImportRequest(
        patch_size=patch_size,
        stride=stride,
        patches_per_shard=patches_per_shard,
        hr_name=hr_name,
        lr_name=lr_name,
        provenance=provenance,
    )
    outcome = import_pairs(request, hr_folder, lr_folder, out, workers)
    assert outcome.info is not None
    counts = outcome.info["counts"]
    say(
        f"{out}: {counted(counts['samples'], 'pair')} of patches from "
        f"{counted(counts['sources'], 'pair')} of pictures, "
        f"scale {outcome.info['scale']}"
    )
    if outcome.skipped:
        say(f"{counted(outcome.skipped, 'file')} left out; {out / 'failures.csv'} says why")
    if outcome.missing:
        raise SDFlowError(
            f"{outcome.missing:,} of {counted(outcome.planned, 'patch', 'patches')} missing; "
            f"{out / 'failures.csv'} says why"
        )
