"""The memory that this process may use."""

from contextlib import suppress
from pathlib import Path

import psutil

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit() -> int:
    """Bytes that this process may use: the least limit of the machine, the container and the process."""
    limits = [psutil.virtual_memory().total]
    for path in _CGROUPS:
        with suppress(OSError, ValueError):  # none there, or "max"
            limits.append(int(Path(path).read_text()))
    with suppress(AttributeError):  # not on every system
        limit = psutil.Process().rlimit(psutil.RLIMIT_AS)[0]
        if limit != psutil.RLIM_INFINITY:
            limits.append(limit)
    return min(limits)
