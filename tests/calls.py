"""Calls of the program and of pairs of processes, with few new processes: each loads torch, for seconds."""

import io
import multiprocessing
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType

import pytest
import torch.multiprocessing
from sdflow_cli.main import main

from sdflow_data.system.processes import worker_context

PATIENCE = 300  # seconds for what takes ten, so that processes that wait for each other fail the test


def call(
    *arguments: object, encodings: tuple[str, str] = ("utf-8", "utf-8")
) -> subprocess.CompletedProcess[str]:
    """What ``sdflow ARGUMENTS`` prints, and its exit status. It runs in this process.

    Args:
        arguments: the words of the command line.
        encodings: the encodings of stdout and stderr.
    """
    words = list(map(str, arguments))
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for encoding in encodings)
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int)
    printed = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(words, ended.value.code, *printed)


def output_of(*arguments: object, status: int = 0, encodings: tuple[str, str] = ("utf-8", "utf-8")) -> str:
    """What ``sdflow ARGUMENTS`` prints, errors last. It must exit with this status and without a bug."""
    done = call(*arguments, encodings=encodings)
    assert done.returncode == status, done.stdout + done.stderr
    assert "(a bug" not in done.stderr and "Traceback" not in done.stderr
    return done.stdout + done.stderr


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """A TimeoutError interrupts what takes longer: CPU time, or ten times as much wall clock time.

    Other work on the machine may need the rest of it. A process has one such block at a time.
    """

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"over {seconds} s")

    timers = {signal.ITIMER_PROF: seconds, signal.ITIMER_REAL: 10 * seconds}
    signal.signal(signal.SIGPROF, late)
    signal.signal(signal.SIGALRM, late)
    for timer, limit in timers.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)


def call_by_two(*arguments: object) -> list[subprocess.CompletedProcess[str]]:
    """What ``sdflow ARGUMENTS`` prints in each of two processes, which find each other like torchrun's."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    context = worker_context()
    queues, processes = [context.Queue(), context.Queue()], []
    for rank, queue in enumerate(queues):
        environment = meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        processes.append(context.Process(target=_call_there, args=(queue, environment, arguments)))
    try:
        for process in processes:
            process.start()
        return [queue.get(timeout=PATIENCE) for queue in queues]
    finally:
        for process in processes:
            process.kill()


def _call_there(
    queue: "multiprocessing.Queue[subprocess.CompletedProcess[str]]",
    environment: dict[str, str],
    arguments: Sequence[object],
) -> None:
    os.environ |= environment
    queue.put(call(*arguments))


def run_by_two(function: Callable[..., None], *arguments: object) -> None:
    """Run ``function(rank, *arguments)`` in two processes: forks of one that has torch loaded."""
    worker_context()
    torch.multiprocessing.start_processes(function, arguments, nprocs=2, start_method="forkserver")
