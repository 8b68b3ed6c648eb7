"""Locks on an output folder, between real processes."""

import errno
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from sdflow.errors import SDFlowError
from sdflow_data.system.lock import LOCK, NO_LOCK_VARIABLE, OutputLock, check_new_or_empty


def _hold(folder: Path, shards: range | None, connection: Connection) -> None:
    with OutputLock(folder, shards):
        connection.send("locked")
        connection.recv()


@contextmanager
def held(folder: Path, shards: range | None = None) -> Iterator[BaseProcess]:
    """Another process that holds the lock until the block ends or it is killed."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(folder, shards, theirs))
    process.start()
    assert ours.recv() == "locked"
    yield process
    if process.is_alive():
        ours.send("go")
    process.join()


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with (
        held(tmp_path),
        pytest.raises(SDFlowError, match="another run is working"),
        OutputLock(tmp_path, None),
    ):
        pass
    with OutputLock(tmp_path, None):
        pass


def test_a_killed_run_gives_its_lock_back(tmp_path: Path) -> None:
    with held(tmp_path) as process:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with OutputLock(tmp_path, None):
            pass


def test_a_folder_that_nothing_came_into_is_removed_again(tmp_path: Path) -> None:
    with OutputLock(tmp_path / "new", None):
        pass
    assert not (tmp_path / "new").exists()


def test_a_folder_that_was_there_before_stays(tmp_path: Path) -> None:
    with OutputLock(tmp_path, None):
        pass
    assert tmp_path.exists()


def test_no_file_is_left(tmp_path: Path) -> None:
    with held(tmp_path, range(0, 2)), OutputLock(tmp_path, range(2, 4)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_file_stays_while_another_run_uses_it(tmp_path: Path) -> None:
    with held(tmp_path, range(0, 2)):
        with OutputLock(tmp_path, range(2, 4)):
            pass
        with pytest.raises(SDFlowError), OutputLock(tmp_path, range(1, 2)):
            pass


@pytest.mark.parametrize(
    ("theirs", "ours", "side_by_side"),
    [
        (range(0, 2), range(2, 4), True),
        (range(0, 3), range(2, 4), False),
        (range(0, 2), None, False),
        (None, range(7, 9), False),
    ],
)
def test_runs_go_side_by_side_where_their_shards_differ(
    tmp_path: Path, theirs: range | None, ours: range | None, side_by_side: bool
) -> None:
    with held(tmp_path, theirs):
        if side_by_side:
            with OutputLock(tmp_path, ours):
                pass
        else:
            with pytest.raises(SDFlowError), OutputLock(tmp_path, ours):
                pass


def test_a_folder_is_new_or_empty_whatever_a_killed_run_left_of_itself(tmp_path: Path) -> None:
    check_new_or_empty(tmp_path / "new")
    check_new_or_empty(tmp_path)
    for name in (LOCK, "plan", ".plan.tmp"):
        (tmp_path / name).write_bytes(b"")
    check_new_or_empty(tmp_path, ["plan"])


@pytest.mark.parametrize("name", ["thesis.txt", ".other.tmp", "deep"])
def test_the_files_of_others_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(SDFlowError, match=f"expected a new or empty folder, found {name} in it"):
        check_new_or_empty(tmp_path, ["plan"])


def test_a_file_is_no_output_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    for use in (check_new_or_empty, lambda folder: OutputLock(folder, None).__enter__()):
        with pytest.raises(SDFlowError, match="out: expected a folder, found a file"):
            use(tmp_path / "out")


@pytest.fixture(params=["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EINVAL"])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses locks, as some of clusters and network storage do."""
    fcntl = pytest.importorskip("fcntl")
    number = getattr(errno, request.param)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)


def test_where_locks_are_refused_files_keep_runs_apart(tmp_path: Path, without_locks: None) -> None:
    with OutputLock(tmp_path, range(0, 2)) as lock, lock.plan():
        with pytest.raises(SDFlowError, match="another run is working"), OutputLock(tmp_path, None):
            pass
        with OutputLock(tmp_path, range(2, 4)):
            pass
    with OutputLock(tmp_path, None):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_asked_for_is_told_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    with pytest.raises(SDFlowError, match=rf"{tmp_path}/\.lock-all: cannot be locked \(Input/output error\)"):
        OutputLock(tmp_path, None).__enter__()


def test_without_locks_at_all_nothing_is_asked_for(
    tmp_path: Path, without_locks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NO_LOCK_VARIABLE, "1")
    with OutputLock(tmp_path / "out", None) as lock, lock.plan(), OutputLock(tmp_path / "out", None):
        assert list((tmp_path / "out").iterdir()) == []
