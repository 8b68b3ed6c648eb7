"""Tasks on worker processes: all are done once, errors come back, and no worker outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdflow.errors import SDFlowError
from sdflow_data.system.processes import in_processes, worker_context


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise SDFlowError("three")
    return number


def die(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


@pytest.mark.parametrize("workers", [1, 3])
def test_every_task_is_done_once(workers: int) -> None:
    assert sorted(in_processes(square, range(10), workers)) == [n * n for n in range(10)]


def test_where_a_fork_is_not_safe_workers_are_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert worker_context().get_start_method() == "spawn"
    assert sorted(in_processes(square, range(3), 2)) == [0, 1, 4]


def test_no_task_needs_no_process() -> None:
    assert list(in_processes(square, [], None)) == []


def test_a_single_task_is_done_here() -> None:
    here: list[int] = []
    assert list(in_processes(here.append, [7], 8)) == [None]
    assert here == [7]


def threads_asked_for(_: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OPENBLAS_NUM_THREADS")


def test_workers_do_arithmetic_on_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    asked = dict(in_processes(threads_asked_for, range(4), 2))
    assert os.getpid() not in asked
    assert set(asked.values()) == {"1"}
    assert threads_asked_for(0)[1] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_task_is_raised_here(workers: int) -> None:
    with pytest.raises(SDFlowError, match="three"):
        list(in_processes(refuse, range(10), workers))


def test_the_death_of_a_worker_is_told() -> None:
    with pytest.raises(SDFlowError, match="a worker process died"):
        list(in_processes(die, range(10), 2))


SLEEPER = """
import os, sys, time
from pathlib import Path
from sdflow_data.system.processes import in_processes

def work(number):
    (Path(sys.argv[1]) / str(os.getpid())).touch()
    time.sleep(float(sys.argv[2]))

if __name__ == "__main__":
    try:
        list(in_processes(work, range(100), 2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def start_sleeper(folder: Path, seconds: float) -> tuple[subprocess.Popen[str], list[int]]:
    """A process whose two workers are at work, and the numbers of these."""
    script = folder / "sleeper.py"
    script.write_text(SLEEPER)
    seen = folder / "seen"
    seen.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(seen), str(seconds)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while len(workers := [int(path.name) for path in seen.iterdir()]) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, workers


def are_gone(processes: list[int]) -> bool:
    """Whether all end within some seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{number}").exists() for number in processes):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process, workers = start_sleeper(tmp_path, 1000)
    process.kill()
    process.wait()
    assert len(workers) == 2
    assert are_gone(workers)


def test_ctrl_c_is_answered_by_the_parent_alone(tmp_path: Path) -> None:
    process, workers = start_sleeper(tmp_path, 1)
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (130, "")
