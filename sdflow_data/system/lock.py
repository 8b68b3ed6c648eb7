"""Output folders, and locks on them that a killed process releases."""

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
    """Refuse to write into a folder that holds other files.

    Args:
        folder: the folder; it need not exist.
        ours: names that may be there. Hidden files (such as the lock), files of the operating system and
            temporary files of a killed process are allowed too.

    Raises:
        SDFlowError: the folder is a file, or holds anything else.
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
    """A locked output folder. It is created if it is missing, and removed again if it stays empty.

    A run locks ``.lock-A-B`` for the shards from A up to B - 1, or ``.lock-all``. It changes shared files
    under ``.lock``. A run of all shards therefore excludes other runs, while runs of different shards work
    side by side. The system releases the locks of a killed run. If the file system refuses locks, the
    existence of the files is the lock.

    SDFLOW_NO_LOCK in the environment disables locks; nothing then keeps two runs apart.
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
            with suppress(FileNotFoundError):  # the folder was created and not used
                self._held = _acquire(self._path, wait=False)
        if any(self._excludes(other) and _is_held(other) for other in self._others()):
            self.__exit__()
            raise _in_use(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            if not self._others():
                with suppress(OSError):  # not there, or on Windows: open elsewhere
                    (self._folder / LOCK).unlink()
            _give_back(self._held)
        if self._made:
            with suppress(OSError):  # not empty
                self._folder.rmdir()

    @contextmanager
    def plan(self) -> Iterator[None]:
        """Lock the shared files of all shards; waits for other runs."""
        if self._is_off or self._shards is None:
            yield
            return
        lock = _acquire(self._folder / LOCK, wait=True)
        try:
            yield
        finally:
            lock.release()

    def _others(self) -> list[Path]:
        """The locks of other runs, including killed ones."""
        return [path for path in self._folder.glob(f"{LOCK}-*") if path.name != self._path.name]

    def _excludes(self, other: Path) -> bool:
        start, dash, stop = other.name.removeprefix(f"{LOCK}-").partition("-")
        if self._shards is None or not (dash and start.isdecimal() and stop.isdecimal()):
            return True
        return int(start) < self._shards.stop and self._shards.start < int(stop)


@contextmanager
def machine_lock(name: str) -> Iterator[None]:
    """Let one process of this user work at a time, if the system supports it; elsewhere all at once."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    lock = FileLock(Path(gettempdir()) / f"sdflow-{user}-{name}.lock")
    with suppress(OSError, NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _acquire(path: Path, *, wait: bool) -> BaseFileLock:
    """A lock on a file, made for it.

    Raises:
        SDFlowError: another process holds it and ``wait`` is false, or the file system refuses it.
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
                f"{path}: cannot be locked ({reason}); without locks nothing keeps two runs apart"
            ) from error
        if path.exists():
            return lock
        lock.release()  # its last holder removed it between our opening and locking it


def _kind_of_lock(folder: Path) -> type[BaseFileLock]:
    """The system's locks, or files as locks where the file system refuses them."""
    descriptor, name = mkstemp(dir=folder, prefix=LOCK + ".")
    os.close(descriptor)  # Windows locks no file that is open elsewhere
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # filelock's, that it falls back itself
            FileLock(name).acquire(timeout=0).lock.release()
        return FileLock
    except (OSError, NotImplementedError, Timeout) as error:  # nobody else holds it: a fallback's
        if isinstance(error, OSError) and error.errno not in NOT_SUPPORTED and not isinstance(error, Timeout):
            raise
        return SoftFileLock
    finally:
        with suppress(OSError):  # the lock may have removed it
            Path(name).unlink()


def _in_use(folder: Path) -> SDFlowError:
    return SDFlowError(f"{folder}: another run is at work on this output folder")


def _is_held(path: Path) -> bool:
    """Whether a run holds this lock; the file of a killed run is removed."""
    try:
        lock = _acquire(path, wait=False)
    except FileNotFoundError:
        return False
    except SDFlowError:
        return True
    _give_back(lock)
    return False


def _give_back(lock: BaseFileLock) -> None:
    with suppress(OSError):  # Windows removes no open file
        Path(lock.lock_file).unlink()
    lock.release()
