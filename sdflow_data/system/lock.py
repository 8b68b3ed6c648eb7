"""Output folders, and locks on them that a killed process gives back."""

import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sdflow.errors import SDFlowError

LOCK = ".lock"
_WHOLE = (0, 0)  # from byte 0 on, without end


def check_new_or_empty(folder: Path, ours: Collection[str] = ()) -> None:
    """Refuse to write into a folder that holds the files of others.

    Args:
        folder: it need not exist.
        ours: names that may be there. So may the lock, and what a killed process left of writing one of them.

    Raises:
        SDFlowError: it is a file, or holds anything else.
    """
    _refuse_file(folder)
    allowed = {LOCK, *ours, *(f".{name}.tmp" for name in ours)}
    strangers = {path.name for path in folder.iterdir()} - allowed if folder.exists() else set()
    if strangers:
        raise SDFlowError(f"{folder}: expected a new or empty folder, found {min(strangers)} in it")


def _refuse_file(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SDFlowError(f"{folder}: expected a folder, found a file")


class OutputLock:
    """An output folder, made where it is missing and removed again if nothing came into it, and locked.

    Byte-range locks on a file in it are used: byte 0 stands for the plan, byte n + 1 for shard n.

    So a run that makes everything excludes all others, while runs that make different shards go side by side
    and exclude each other only where they touch the plan. POSIX locks are used, since they work on network
    file systems too. They belong to a process: two runs inside one process are not kept apart.
    """

    def __init__(self, folder: Path, shards: range | None) -> None:
        self._folder, self._path = folder, folder / LOCK
        self._mine = _WHOLE if shards is None else (shards.start + 1, len(shards))
        self._made = False

    def __enter__(self) -> "OutputLock":
        while True:
            self._made |= not self._folder.exists()
            _refuse_file(self._folder)
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            except FileNotFoundError:  # whoever made the folder had no use for it
                continue
            if not self._lock(self._mine, wait=False):
                os.close(self._descriptor)
                raise SDFlowError(f"{self._folder}: another run is at work on this output folder")
            if self._is_current():
                return self
            os.close(self._descriptor)  # the last user removed it between our opening and locking it

    def __exit__(self, *_: object) -> None:
        if self._lock(_WHOLE, wait=False):  # nobody else is here
            self._path.unlink(missing_ok=True)
            if self._made:
                with suppress(OSError):  # not empty
                    self._folder.rmdir()
        os.close(self._descriptor)

    @contextmanager
    def plan(self) -> Iterator[None]:
        """Wait until nobody else changes what all shards have in common, and keep others from it."""
        if self._mine == _WHOLE:
            yield
            return
        self._lock((0, 1), wait=True)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, 0)

    def _lock(self, region: tuple[int, int], wait: bool) -> bool:
        start, length = region
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), length, start)
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as the system likes
            return False
        return True

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False
