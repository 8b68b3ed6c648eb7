"""``sdflow export``: writes a dataset in the formats of other trainers."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdflow.wording import counted
from sdflow_data.export import FORMATS
from sdflow_data.export.trainers import TRAINERS

from .options import (
    existing_file,
    existing_folder,
    new_folder,
    no_lock_option,
    patches_per_shard_option,
    provenance_options,
    workers_option,
)
from .wording import say

if TYPE_CHECKING:
    from sdflow_data.dataset.provenance import Provenance


@click.command("export")
@click.argument("dataset", type=existing_folder)
@click.argument("out", type=new_folder)
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="folder: PNG files in hr/ and lr/; lmdb: the layout of BasicSR; webdataset: tar files; parquet: "
    "tables that hold the pictures; hdf5: a dataset of this toolkit with other shards, filtered or split.",
)
@click.option(
    "--for",
    "trainer",
    type=click.Choice(list(TRAINERS)),
    help="Choose the format that this trainer reads best, and write its configuration beside the data.",
)
@click.option(
    "--template",
    type=existing_file,
    help="A configuration of that trainer. A copy is written beside the data; its settings of data and "
    "scale fit the pairs, and everything else stays.",
)
@click.option(
    "--root",
    metavar="PATH",
    help="Where the trainer will find OUT, for its configuration.  [default: the absolute path of OUT]",
)
@provenance_options
@click.option(
    "--where",
    metavar="CONDITION",
    help="Samples to export: comparisons, arithmetic, and/or/not on columns of the manifest, "
    'such as "noise_sigma < 12 and component != 3".',
)
@click.option(
    "--split",
    metavar="NAME=FRACTION,...",
    help="Split into sub-folders, such as train=0.9,val=0.1; all samples of a photograph stay together.",
)
@patches_per_shard_option(256, "per shard, tar file or table")
@workers_option
@no_lock_option
def command(
    dataset: Path,
    out: Path,
    format_: str | None,
    trainer: str | None,
    template: Path | None,
    root: str | None,
    provenance: "Provenance",
    where: str | None,
    split: str | None,
    patches_per_shard: int,
    workers: int | None,
) -> None:
    """Write DATASET to OUT in a format that other trainers read.

    OUT is a new or empty folder. After an interruption the same command continues; the result is the same
    as without the interruption. Files are named after the sample_id.

    \b
    Example:
      sdflow export pairs out --format lmdb --where "noise_sigma < 12"
      sdflow export pairs out --for basicsr --split train=0.95,val=0.05
    """
    if format_ is None and trainer is None:
        raise click.UsageError("expected --format or --for")
    if trainer is None and (template or root):
        raise click.UsageError("expected --for with --template and --root")
    from sdflow_data.dataset.manifest import read_dataset
    from sdflow_data.export.run import ExportRequest, export

    request = ExportRequest(format_, trainer, where, split, patches_per_shard, template, root, provenance)
    summary = export(read_dataset(dataset), out, request, workers)
    for name, samples in summary.samples.items():
        say(f"{out / name}: {counted(samples, 'pair')}, {summary.format}")
    if summary.config:
        say(f"{summary.config}: configuration for {TRAINERS[trainer or ''].title}")
