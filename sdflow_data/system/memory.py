"""Limits of the memory of this process."""

from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def memory_limit() -> int:
    """Bytes that this process may use: the smallest limit of machine, container and process, at first call.

    Later calls cost nothing, because the header of every picture is checked against the limit.
    """
    limits = [psutil.virtual_memory().total]
    for path in _CGROUPS:
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            limits.append(int(Path(path).read_text()))
    with suppress(AttributeError):  # not on every system
        limit = psutil.Process().rlimit(psutil.RLIMIT_AS)[0]
        if limit != psutil.RLIM_INFINITY:
            limits.append(limit)
    return min(limits)
