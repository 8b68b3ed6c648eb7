"""Calls of the program and of pairs of processes, with few new processes: each loads torch, for seconds."""

import io
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout

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


def call_by_two(program: Sequence[str]) -> list[subprocess.CompletedProcess[str]]:
    """Two processes of a program that find each other as those of torchrun do, without its own start."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [sys.executable, *program],
            env=os.environ | meeting | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        with ThreadPoolExecutor() as pool:
            said = list(pool.map(lambda process: process.communicate(timeout=PATIENCE), started))
    finally:
        for process in started:
            process.kill()
    return [subprocess.CompletedProcess(p.args, p.returncode, *texts) for p, texts in zip(started, said)]


def run_by_two(function: Callable[..., None], *arguments: object) -> None:
    """Run ``function(rank, *arguments)`` in two processes: forks of one that has torch loaded."""
    worker_context()
    torch.multiprocessing.start_processes(function, arguments, nprocs=2, start_method="forkserver")
