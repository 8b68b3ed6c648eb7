"""Worker processes on this machine."""

import contextlib
import threading
import traceback
from collections import Counter, deque
from collections.abc import Generator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from sdflow.errors import ArgumentError

from ...system.processes import cores, die_with_parent, starting_workers, worker_context
from ..shard_maker import GenerationJob, ShardMaker, ShardTask
from . import ATTEMPTS, Made, worker_died


class LocalEngine:
    """Runs tasks in processes of this machine, and replaces processes that die.

    Args:
        workers: the number of processes; None for one per core, or one if the model is not on the CPU.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise ArgumentError("workers", f"expected at least 1, found {workers}")
        self._workers = workers

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        """See `Engine.run`."""
        count = self._workers or (cores() if job.sampling.device == "cpu" else 1)
        waiting, unfinished = deque(tasks), len(tasks)
        deaths: Counter[int | None] = Counter()
        workers: list[_Worker] = []
        try:
            while unfinished:
                while len(workers) < min(count, unfinished):
                    workers.append(_Worker(job))
                for worker in _with_news(workers):
                    message = worker.receive()
                    if message is None:
                        status = worker.stop()
                        workers.remove(worker)
                        number = worker.task.number if worker.task else None
                        deaths[number] += 1
                        if deaths[number] == ATTEMPTS:
                            raise worker_died(number, f"exit status {status}")
                        if worker.task:
                            waiting.appendleft(worker.task)
                    elif isinstance(message, _Problem):
                        raise message.error from RuntimeError(message.trace)
                    elif isinstance(message, Made):
                        unfinished -= message.whole
                        yield message
                for worker in workers:
                    if waiting and worker.idle:
                        worker.give(waiting.popleft())
        finally:
            for worker in workers:
                worker.stop()


class _Ready(NamedTuple):
    """A worker has loaded the degrader and waits for its first task."""


class _Problem(NamedTuple):
    """An exception in a worker, with its traceback."""

    error: Exception
    trace: str


class _Worker:
    """A worker process, in its parent."""

    def __init__(self, job: GenerationJob) -> None:
        self.task: ShardTask | None = None
        self.idle = False
        context = worker_context()
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, job), daemon=True)
        with starting_workers():
            self._process.start()
        theirs.close()

    def give(self, task: ShardTask) -> None:
        self.task, self.idle = task, False
        with contextlib.suppress(ConnectionError):  # the worker has died; the next receive() reports it
            self.connection.send(task)

    def receive(self) -> _Ready | _Problem | Made | None:
        """The next message; None if the worker is dead."""
        try:
            message: _Ready | _Problem | Made = self.connection.recv()
        except (EOFError, ConnectionError):
            return None
        if isinstance(message, _Ready) or (isinstance(message, Made) and message.whole):
            self.task, self.idle = None, True
        return message

    def stop(self) -> int | None:
        """Kill the process; returns its exit status."""
        self._process.kill()
        self._process.join()
        self.connection.close()
        return self._process.exitcode


def _with_news(workers: Sequence[_Worker]) -> list[_Worker]:
    """Wait until at least one worker has sent a message or died; returns these workers."""
    ready = wait([worker.connection for worker in workers])
    return [worker for worker in workers if worker.connection in ready]


def _serve(connection: Connection, job: GenerationJob) -> None:
    """The worker process: load the degrader, then make shards until it is stopped."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    try:
        maker = ShardMaker(job)
        connection.send(_Ready())
        while True:
            task = connection.recv()
            maker.make(task, partial(connection.send, Made(task.number, False)))
            connection.send(Made(task.number, True))
    except Exception as error:
        with contextlib.suppress(ConnectionError):  # the parent is dead, and this process ends soon
            connection.send(_Problem(error, traceback.format_exc()))
