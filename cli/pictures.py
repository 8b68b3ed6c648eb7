"""Shared code of ``downscale`` and ``upscale``: picture in, PNG out, one after the other."""

import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdflow.wording import counted

from .options import WholeRange
from .wording import of_system, one_line, say, show

if TYPE_CHECKING:
    from sdflow_data.models.tiles import Job


_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the whole disk, which would repeat with the next picture."""


def existing_option(command: Any) -> Any:
    """``--existing``: how to treat output files that exist already."""
    return click.option(
        "--existing",
        type=click.Choice(["refuse", "skip", "replace"]),
        default="refuse",
        show_default=True,
        help="Output files that exist already: stop before any work, keep them, or write them anew.",
    )(command)


def tile_option(default: int) -> Any:
    """``--tile``: trades memory for speed on large pictures."""
    return click.option(
        "--tile",
        type=WholeRange(16),
        default=default,
        show_default=True,
        metavar="PIXELS",
        help="Side of the tiles that larger pictures are cut into, in pixels of the input.",
    )


def convert(
    jobs: "Sequence[Job]", output: Path, existing: str, description: str, write: "Callable[[Job], int]"
) -> None:
    """Make the pictures of all jobs and print their number. Failures are printed and do not stop the others.

    Args:
        jobs: the pictures to make.
        output: the output folder or file, for messages.
        existing: the choice of ``--existing``.
        description: the label of the progress bar.
        write: makes the files of one job and returns the number of discarded draws.

    Raises:
        SDFlowError: output files exist already, or pictures failed.
    """
    from tqdm import tqdm

    from sdflow.errors import SDFlowError
    from sdflow_data.system.progress import progress

    left = _left_to_do(jobs, existing)
    written = failed = redrawn = 0
    for job in progress(left, description, "pictures"):
        try:
            if job.problem:
                raise job.problem
            redrawn += write(job)
            written += len(job.targets)
        except (SDFlowError, OSError, MemoryError) as error:
            if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
                raise
            tqdm.write(f"Failed: {_reason(job, error)}", file=sys.stderr)
            failed += 1
    if redrawn:
        show(f"{counted(redrawn, 'draw')} not finite and made again")
    kept = sum(len(job.targets) for job in jobs) - sum(len(job.targets) for job in left)
    say(f"{output}: {counted(written, 'picture')} written" + (f", {kept} kept" if kept else ""))
    if failed:
        raise SDFlowError(f"{failed} of {counted(len(left), 'picture')} failed; see above")


def _reason(job: "Job", error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"{job.source}: it does not fit in memory; a smaller --tile needs less"
    return of_system(error, job.source) if isinstance(error, OSError) else one_line(str(error))


def _left_to_do(jobs: "Sequence[Job]", existing: str) -> "Sequence[Job]":
    from sdflow.errors import SDFlowError

    if existing == "replace":
        return jobs
    there = [target for job in jobs for target in job.targets if _is_there(target)]
    if there and existing == "refuse":
        raise SDFlowError(
            f"{there[0]}: expected no such file yet, found {len(there)} of them; see --existing"
        )
    left = []
    for job in jobs:
        missing = [number for number, target in enumerate(job.targets) if not _is_there(target)]
        if job.problem:
            left.append(job)
        elif missing:
            left.append(job._replace(targets=tuple(job.targets[n] for n in missing), variants=tuple(missing)))
    return left


def _is_there(target: Path) -> bool:
    """Whether the file exists. A folder in its place or a name too long fails when the picture is written."""
    try:
        return target.is_file()
    except OSError:
        return False
