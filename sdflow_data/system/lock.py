"""Locks on output folders. The system releases the locks of a killed process."""

import os
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkstemp

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from sdflow.errors import SDFlowError
from sdflow.files import NOT_SUPPORTED

from .folders import is_junk

LOCK = ".lock"
NO_LOCK_VARIABLE = "SDFLOW_NO_LOCK"


def check_new_or_empty(folder: Path, ours: Collection[str] = ()) -> None:
    """Refuse to write into a folder with other files.

    Args:
        folder: the folder. It need not exist.
        ours: the names that are allowed. Hidden files (such as the lock), files of the operating system and
            temporary files of a killed process are allowed too.

    Raises:
        SDFlowError: the folder is a file, or contains anything else.
    """
    _refuse_file(folder)
    allowed = {*ours, *(f".{name}.tmp" for name in ours)}
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    strangers = {name for name in there - allowed if name.endswith(".tmp") or not is_junk(name)}
    if strangers:
        raise SDFlowError(f"{folder}: expected a new or empty folder, found {min(strangers)} in it")


def _refuse_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SDFlowError(f"{folder}: expected a folder, found a file")


class OutputLock:
    """A context manager that locks an output folder.

    It creates a missing folder, and removes it again if it stays empty. A run locks ``.lock-A-B`` for the
    shards from A up to B - 1, or ``.lock-all``. While it changes shared files, it also locks ``.lock``. A run
    of all shards therefore excludes other runs, and runs of different shards work side by side. If the file
    system refuses locks, the existence of the files is the lock.

    The environment variable SDFLOW_NO_LOCK disables locks. Nothing prevents two runs on one folder then.

    Args:
        folder: the output folder.
        shards: the shards that the run makes; None for all.

    Raises:
        SDFlowError: another run has locked the folder or some of the shards, or the folder is a file.
    """

    def __init__(self, folder: Path, shards: range | None) -> None:
        self._folder, self._shards = folder, shards
        self._path = folder / f"{LOCK}-{'all' if shards is None else f'{shards.start}-{shards.stop}'}"
        self._is_off = bool(os.environ.get(NO_LOCK_VARIABLE))
        self._held: BaseFileLock | None = None
        self._made = False

    def __enter__(self) -> "OutputLock":
        _refuse_file(self._folder)
        while self._held is None:
            self._made |= not self._folder.exists()
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._is_off:
                return self
            with suppress(FileNotFoundError):  # another run has removed its empty folder meanwhile
                self._held = _acquire(self._path, wait=False)
        if any(self._excludes(other) and _is_held(other) for other in self._others()):
            self.__exit__()
            raise _in_use(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            if not self._others():
                with suppress(OSError):  # missing, or (on Windows) open in another process
                    (self._folder / LOCK).unlink()
            _release(self._held)
        if self._made:
            with suppress(OSError):  # not empty
                self._folder.rmdir()

    @contextmanager
    def plan(self) -> Iterator[None]:
        """Lock the files that all shards share. Waits for other runs."""
        if self._is_off or self._shards is None:
            yield
            return
        lock = _acquire(self._folder / LOCK, wait=True)
        try:
            yield
        finally:
            lock.release()

    def _others(self) -> list[Path]:
        """The lock files of other runs, including killed ones."""
        return [path for path in self._folder.glob(f"{LOCK}-*") if path.name != self._path.name]

    def _excludes(self, other: Path) -> bool:
        start, dash, stop = other.name.removeprefix(f"{LOCK}-").partition("-")
        if self._shards is None or not (dash and start.isdecimal() and stop.isdecimal()):
            return True
        return int(start) < self._shards.stop and self._shards.start < int(stop)


@contextmanager
def machine_lock(name: str) -> Iterator[None]:
    """A lock for one process of this user on this machine. It has no effect if the system refuses locks."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    lock = FileLock(Path(gettempdir()) / f"sdflow-{user}-{name}.lock")
    with suppress(OSError, NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _acquire(path: Path, *, wait: bool) -> BaseFileLock:
    """Create and lock a file.

    Raises:
        SDFlowError: another process has locked it and ``wait`` is false, or the file system refuses locks.
        FileNotFoundError: its folder is missing.
    """
    while True:
        try:
            lock = _kind_of_lock(path.parent)(path)
            lock.acquire(timeout=-1 if wait else 0)
        except Timeout as error:
            raise _in_use(path.parent) from error
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise SDFlowError(
                f"{path}: cannot be locked ({reason}); without a lock, two runs could write at the same time"
            ) from error
        if path.exists():
            return lock
        lock.release()  # its last owner removed it before we locked it


def _kind_of_lock(folder: Path) -> type[BaseFileLock]:
    """Locks of the system; the existence of files as locks if the file system refuses them."""
    descriptor, name = mkstemp(dir=folder, prefix=LOCK + ".")
    os.close(descriptor)  # Windows does not lock open files
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of filelock, about its own fallback
            FileLock(name).acquire(timeout=0).lock.release()
        return FileLock
    except (OSError, NotImplementedError, Timeout) as error:  # a Timeout is that of a failed fallback
        if isinstance(error, OSError) and error.errno not in NOT_SUPPORTED and not isinstance(error, Timeout):
            raise
        return SoftFileLock
    finally:
        with suppress(OSError):  # the lock may have removed it
            Path(name).unlink()


def _in_use(folder: Path) -> SDFlowError:
    return SDFlowError(f"{folder}: another run is working in this output folder")


def _is_held(path: Path) -> bool:
    """Whether a run has this lock. The lock file of a killed run is removed."""
    try:
        lock = _acquire(path, wait=False)
    except FileNotFoundError:
        return False
    except SDFlowError:
        return True
    _release(lock)
    return False


def _release(lock: BaseFileLock) -> None:
    with suppress(OSError):  # Windows does not remove open files
        Path(lock.lock_file).unlink()
    lock.release()
