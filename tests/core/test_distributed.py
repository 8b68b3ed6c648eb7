"""Processes of torchrun: what they agree on, and that the failure of one is the end of all."""

import subprocess
import sys

import pytest

from sdflow.distributed import all_gather_object, process_group, world

SCRIPT = """
import sys
from sdflow.distributed import all_gather_object, process_group, world
from sdflow.errors import SDFlowError
with process_group("cpu"):
    rank, size = world()
    sys.stdout.write(f"ranks {all_gather_object(rank)} of {size}\\n")  # whole lines, which do not mix
    if rank == 1:
        raise SDFlowError("one of us")
    all_gather_object("done")
"""


@pytest.fixture(scope="module")
def failed() -> "subprocess.CompletedProcess[str]":
    """Two processes, of which the second fails after they have seen each other's ranks."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    words = [sys.executable, *torchrun, sys.executable, "-c", SCRIPT]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def test_processes_see_each_other_s_values_in_the_order_of_ranks(
    failed: "subprocess.CompletedProcess[str]",
) -> None:
    assert failed.stdout.splitlines() == ["ranks [0, 1] of 2"] * 2


def test_the_failure_of_one_process_ends_all_and_is_told_once(
    failed: "subprocess.CompletedProcess[str]",
) -> None:
    assert failed.returncode == 1
    assert failed.stderr.count("SDFlowError: one of us") == 1
    assert "RuntimeError" not in failed.stderr
    assert "DistBackendError" not in failed.stderr


def test_without_torchrun_a_process_works_alone() -> None:
    with process_group("cpu"):
        assert (all_gather_object("one"), world()) == (["one"], (0, 1))
