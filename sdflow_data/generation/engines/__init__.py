"""Engines: the workers that make the shards of a run. Samples do not depend on the engine."""

from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol

from sdflow.errors import SDFlowError

from ..shard_maker import GenerationJob, ShardTask

ATTEMPTS = 2
"""Number of workers that may die over one shard before the run ends."""


class Made(NamedTuple):
    """Progress: one patch of shard ``number`` is made, or (``whole``) the shard is written."""

    number: int
    whole: bool


class Engine(Protocol):
    """Runs tasks on workers, processes that load the degrader once.

    If a worker dies, another one gets its task, until ``ATTEMPTS`` workers have died over it. An exception in
    a worker is raised here. All workers end when the generator ends or is closed.
    """

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        """Run all tasks. Yields progress in no particular order."""
        ...


def worker_died(shard: int | None, how: str) -> SDFlowError:
    """The error that ends a run whose workers keep dying over ``shard`` (None: before they got one)."""
    over = "while they started" if shard is None else f"over shard {shard}"
    return SDFlowError(
        f"{ATTEMPTS} workers died {over} ({how}; was the memory full?); finished shards are kept, "
        "and the same command goes on from there"
    )
