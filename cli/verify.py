"""``sdflow verify``: checks that a dataset is unchanged."""

from pathlib import Path

import click

from sdflow.wording import counted

from .options import existing_folder
from .wording import say


@click.command("verify")
@click.argument("dataset", type=existing_folder)
def command(dataset: Path) -> None:
    """Read and decode a whole dataset, and check every checksum and count.

    Prints a line for each fault, and exits with status 1 if there is one. Checksums show damage; they do not
    show who wrote a file.

    \b
    Example:
      sdflow verify pairs
    """
    from sdflow.errors import SDFlowError
    from sdflow_data.dataset.manifest import read_dataset
    from sdflow_data.dataset.verify import verify

    problems = verify(dataset)
    for problem in problems:
        say(problem)
    if problems:
        raise SDFlowError(
            f"{dataset}: expected a sound dataset, found {counted(len(problems), 'thing')} wrong with it; "
            "damaged shards that are deleted are made again by the command that made the dataset"
        )
    counts = read_dataset(dataset).info["counts"]
    samples, shards = counted(counts["samples"], "sample"), counted(counts["shards"], "shard")
    say(f"{dataset}: {samples} in {shards}, all decoded; checksums and counts agree")
