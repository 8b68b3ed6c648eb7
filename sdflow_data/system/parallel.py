"""Parallel work in processes with one thread each."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch

from .processes import in_processes
from .progress import progress

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    function: Callable[[T], R],
    tasks: Sequence[T],
    weights: Sequence[int],
    workers: int | None,
    description: str,
    unit: str,
) -> list[R]:
    """Call ``function`` on every task and return the results in the order of the tasks, with a progress bar.

    Args:
        function, tasks: picklable.
        weights: the units of progress of each task.
        workers: the number of processes; None for one per core; 1 for this process.
        description, unit: the label of the bar, and the name of its units.
    """
    results: dict[int, R] = {}
    with progress(sum(weights), description, unit) as bar:
        for number, result in in_processes(partial(_numbered, function), list(enumerate(tasks)), workers):
            results[number] = result
            bar.update(weights[number])
    return [results[number] for number in range(len(tasks))]


def _numbered(function: Callable[[T], R], task: tuple[int, T]) -> tuple[int, R]:
    with _one_thread():
        return task[0], function(task[1])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limit torch to one thread, because threads of parallel processes would compete."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
