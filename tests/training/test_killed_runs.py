"""The command, killed, interrupted or out of space: what is finished stays, and a new run completes it."""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from factory import QUICK, InProcess, files_of, make, write_picture, write_pictures
from sdflow_cli.main import main

from sdflow.errors import SDFlowError
from sdflow_data.dataset.shards import is_whole
from sdflow_data.generation.engines import Made, local
from sdflow_data.generation.run import generate
from sdflow_data.generation.shard_maker import GenerationJob, ShardTask
from sdflow_data.system.processes import worker_context

PATIENCE = 300  # seconds for what takes ten: other work on the machine must not fail a test

MANY = replace(QUICK, patches_per_shard=1)
"""A shard takes a few milliseconds, so that a random moment is often one of writing."""


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr", range(5))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a dataset of the same pictures that was made without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    make(write_pictures(folder / "hr", range(5)), folder / "out", MANY)
    return files_of(folder / "out")


def words(hr: Path, out: Path, workers: int) -> list[str]:
    settings = "--model classical --scale 2 --patch-size 16 --variants 2 --patches-per-shard 1"
    return ["generate", "--hr", str(hr), "--out", str(out), "--workers", str(workers), *settings.split()]


def start(hr: Path, out: Path) -> "subprocess.Popen[str]":
    program = "from sdflow_cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *words(hr, out, 1)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_of_forks(words: list[str]) -> None:
    """The command in a fork, whose workers are forks of it, so that none of them loads torch."""
    local.worker_context = lambda: multiprocessing.get_context("fork")
    main(words)


def wait_for_shards(out: Path, count: int, running: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while len(list((out / "shards").glob("*.h5"))) < count and running():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill_and_finish(hr: Path, out: Path, seed: int, kills: int, workers: int) -> None:
    """Kill a run, and those that go on from it, at random moments; what is left is made in this process."""
    moments = random.Random(seed)
    for _ in range(kills):
        run = worker_context().Process(target=run_of_forks, args=(words(hr, out, workers),))
        run.start()
        already = len(list((out / "shards").glob("*.h5")))
        wait_for_shards(out, already + moments.randrange(20), run.is_alive)
        time.sleep(moments.uniform(0, 0.02))
        run.kill()  # the parent alone, by SIGKILL: its workers must notice
        run.join()
    make(hr, out, MANY)


def test_a_killed_run_ends_in_the_same_files_as_an_uninterrupted_one(
    hr: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    kill_and_finish(hr, tmp_path / "out", seed=0, kills=1, workers=1)
    assert files_of(tmp_path / "out") == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 14))
def test_runs_killed_at_random_moments_end_in_the_same_files(
    hr: Path, tmp_path: Path, expected: dict[str, bytes], seed: int
) -> None:
    kill_and_finish(hr, tmp_path / "out", seed, kills=2, workers=2)
    assert files_of(tmp_path / "out") == expected


def test_an_interrupted_run_ends_in_seconds_with_one_line_and_whole_shards(hr: Path, tmp_path: Path) -> None:
    run = start(hr, tmp_path / "out")
    wait_for_shards(tmp_path / "out", 3, lambda: run.poll() is None)
    begin = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does it: to the run and its workers
    assert run.wait(timeout=60) == 130
    assert time.monotonic() - begin < 5
    _, errors = run.communicate(timeout=60)
    assert errors.splitlines()[-1].startswith("Interrupted. Finished work is kept")
    assert "Traceback" not in errors
    shards = sorted((tmp_path / "out" / "shards").glob("[0-9]*.h5"))
    assert len(shards) >= 3
    assert all(map(is_whole, shards))
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_terminated_run_says_how_to_go_on(hr: Path, tmp_path: Path, expected: dict[str, bytes]) -> None:
    run = start(hr, tmp_path / "out")
    wait_for_shards(tmp_path / "out", 3, lambda: run.poll() is None)
    run.terminate()
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 143
    assert errors.splitlines()[-1].startswith("Terminated. Finished work is kept")
    make(hr, tmp_path / "out", MANY)
    assert files_of(tmp_path / "out") == expected


def test_calls_at_the_same_time_share_the_shards_of_a_dataset(
    hr: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    call, context = words(hr, tmp_path / "out", 1), worker_context()
    parts = [
        context.Process(target=run_of_forks, args=([*call, "--shards", part],)) for part in ("0:25", "25:99")
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join(PATIENCE)
        assert part.exitcode == 0
    assert files_of(tmp_path / "out") == expected


class CallingAgain(InProcess):
    """Makes the same dataset once more before its first shard."""

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        with pytest.raises(SDFlowError, match="another run is working in this output folder"):
            make(job.folder.parent / "hr", job.folder, MANY)
        yield from super().run(job, tasks)


def test_a_second_call_on_the_same_shards_is_refused(
    hr: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    generate(MANY, [hr], tmp_path / "out", CallingAgain())
    assert files_of(tmp_path / "out") == expected


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writes beyond that size fail, as they do on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_write_names_the_file_and_finished_shards_stay(
    hr: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    make(hr, out, MANY, shards=range(0, 4))
    finished = files_of(out)
    smallest = min(len(finished[name]) for name in finished if name.endswith(".h5"))
    with pytest.raises(OSError, match=r"File too large.*shards/\d{6}\.h5"), files_of_at_most(smallest - 1):
        make(hr, out, MANY)
    assert files_of(out) == finished
    make(hr, out, MANY)
    assert files_of(out) == expected


def test_a_full_disk_while_the_plan_grows_leaves_the_old_one(hr: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(hr, out, MANY, shards=range(0, 4))
    before = files_of(out)
    write_picture(hr / "new.png", 77)
    with pytest.raises(OSError, match=r"plan\.parquet"), files_of_at_most(1000):
        make(hr, out, MANY)
    assert files_of(out) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for the superuser")
def test_a_read_only_folder_is_refused_by_its_name_and_left_alone(hr: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(hr, out, MANY, shards=range(0, 4))
    before = files_of(out)
    out.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="out"):
            make(hr, out, MANY)
        assert files_of(out) == before
    finally:
        out.chmod(0o755)
