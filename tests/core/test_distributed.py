"""Processes of torchrun: what they agree on, and that the failure of one is the end of all."""

import subprocess
import sys

SCRIPT = """
import sys
from sdflow.distributed import all_gather_object, process_group, world
from sdflow.errors import SDFlowError
with process_group("cpu"):
    rank, size = world()
    sys.stdout.write(f"ranks {{all_gather_object(rank)}} of {{size}}\\n")  # whole lines, which do not mix
    if rank == 1 and {fails}:
        raise SDFlowError("one of us")
    all_gather_object("done")
"""


def by_two(script: str) -> subprocess.CompletedProcess[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    call = [sys.executable, *torchrun, sys.executable, "-c", script]
    return subprocess.run(call, capture_output=True, text=True, timeout=120)


def test_processes_see_each_other_s_values_in_the_order_of_ranks() -> None:
    done = by_two(SCRIPT.format(fails=False))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["ranks [0, 1] of 2"] * 2


def test_the_failure_of_one_process_ends_all_and_is_told_once() -> None:
    done = by_two(SCRIPT.format(fails=True))
    assert done.returncode == 1
    assert done.stderr.count("SDFlowError: one of us") == 1
    assert "RuntimeError" not in done.stderr
    assert "DistBackendError" not in done.stderr


def test_without_torchrun_a_process_works_alone() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(fails=False)], capture_output=True, text=True)
    assert done.stdout == "ranks [0] of 1\n", done.stderr
