"""Worker processes for pure functions of tasks."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, TypeVar

from sdflow.errors import SDFlowError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

_PACKAGES = ("sdflow", "sdflow_data")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

T = TypeVar("T")
R = TypeVar("R")


def in_processes(function: Callable[[T], R], tasks: Sequence[T], workers: int | None) -> Iterator[R]:
    """Call ``function`` on every task; yields the results in the order of completion.

    Args:
        function, tasks: picklable, like the results.
        workers: the number of processes; None for one per core; 1 for this process.

    Raises:
        SDFlowError: a worker died. Exceptions of ``function`` are raised here. In both cases no further task
            starts, and the generator waits for running tasks.
    """
    workers = min(workers or cores(), len(tasks))
    if workers <= 1:
        yield from map(function, tasks)
        return
    pool = ProcessPoolExecutor(workers, worker_context(), _start_worker)
    try:
        with starting_workers():
            pending = [pool.submit(function, task) for task in tasks]
        for done in as_completed(pending):
            yield done.result()
    except BrokenProcessPool as error:
        raise SDFlowError(
            "a worker process died (was the memory full?); finished work is kept, "
            "and the same command continues from there"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """The number of cores that this process may use; all cores if the system does not report it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_context() -> "SpawnContext | ForkServerContext":
    """The start method of worker processes.

    On Linux they are forks of a helper process, which is new and has imported what this process has of the
    project: to load torch in each of many workers takes seconds and memory. That is Python's own default
    from 3.14 on. Elsewhere they are new processes; on macOS system libraries do not survive a fork.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([name for name in list(sys.modules) if name.split(".")[0] in _PACKAGES])
    with starting_workers():
        forkserver.ensure_running()
    return context


@contextmanager
def starting_workers() -> Iterator[None]:
    """Processes that start in this block use one arithmetic thread each and do not receive Ctrl-C.

    A terminal sends Ctrl-C to all its processes, but only the parent must react. A child inherits blocked
    signals. Libraries read their number of threads when they are loaded.
    """
    resource_tracker.ensure_running()  # a helper process, whose start unblocks the signal
    threads = {name: os.environ.get(name) for name in _THREADS}
    can_block = hasattr(signal, "pthread_sigmask")  # not on Windows, where workers receive Ctrl-C and end
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_block else set()
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in threads.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if can_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _start_worker() -> None:
    threading.Thread(target=die_with_parent, daemon=True).start()


def die_with_parent() -> None:
    """Wait for the end of the parent process, for any reason, and then exit."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
