"""Engines: where the shards of a run are made. Which one it is never shows in a sample."""

from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol

from sdflow.errors import SDFlowError

from ..shard_maker import GenerationJob, ShardTask

ATTEMPTS = 2
"""How many workers may die over one shard before the run ends."""


class Made(NamedTuple):
    """Something is done: one patch of shard ``number``, or (``whole``) the shard, which is in its place."""

    number: int
    whole: bool


class Engine(Protocol):
    """Does tasks on workers: processes with the degrader loaded once.

    A task whose worker dies is given to another one, until ``ATTEMPTS`` have died over it; an exception in a
    worker is raised here. When the generator ends or is closed, no worker goes on.
    """

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        """Do all tasks. Yields what is done as it is done, in no particular order."""
        ...


def worker_died(shard: int | None, how: str) -> SDFlowError:
    """The error that ends a run whose workers keep dying over ``shard`` (None: before they got one)."""
    over = "while they started" if shard is None else f"over shard {shard}"
    return SDFlowError(
        f"{ATTEMPTS} workers died {over} ({how}; was the memory full?); finished shards are kept, "
        "and the same command goes on from there"
    )
