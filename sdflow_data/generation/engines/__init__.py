"""Engines, which run the workers that make shards. Samples do not depend on the engine."""

from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol

from sdflow.errors import SDFlowError

from ..shard_maker import GenerationJob, ShardTask

ATTEMPTS = 2
"""The number of workers that die on one shard before the run ends with an error."""


class Made(NamedTuple):
    """A report of progress: a patch of shard ``number`` is made, or (``whole``) the shard is written."""

    number: int
    whole: bool


class Engine(Protocol):
    """Runs tasks on workers. A worker is a process that loads the degrader once.

    If a worker dies, another one gets its task, until ``ATTEMPTS`` workers have died on it. An exception in a
    worker is raised here. All workers end when the generator ends or is closed.
    """

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        """Run all tasks. Reports of progress come in no particular order."""
        ...


def worker_died(shard: int | None, how: str) -> SDFlowError:
    """The error for workers that repeatedly die on a shard; None for workers that die at their start."""
    over = "while they started" if shard is None else f"over shard {shard}"
    return SDFlowError(
        f"{ATTEMPTS} workers died {over} ({how}; was the memory full?); finished shards are kept, "
        "and the same command continues from there"
    )
