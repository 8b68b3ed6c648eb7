"""How the commands word what they tell."""

import os
import re

import click


def one_line(text: str) -> str:
    """Text that names files, for a terminal: on one line, and without what the terminal would obey."""
    from sdflow_data.system.names import printable

    return printable(re.sub(r"\s*\n\s*", " ", text.strip()))


def show(text: str, *, err: bool = False) -> None:
    """Print a result, or with ``err`` a remark.

    Raises:
        WriteError: the stream takes no more, such as a file on a full disk.
    """
    from sdflow.files import WriteError

    try:
        click.echo(text, err=err)
    except OSError as error:
        raise WriteError(
            error.errno, error.strerror, "standard error" if err else "standard output"
        ) from error


def say(text: str, *, err: bool = False) -> None:
    """Print a line that names files."""
    show(one_line(text), err=err)


def of_system(error: OSError, path: object = None) -> str:
    """What the system refused: which file, what was tried, and why.

    Args:
        error: the system's.
        path: of the file, where the error does not name it.
    """
    from sdflow.files import WriteError

    named = path if error.filename is None else os.fsdecode(error.filename)
    tried = "cannot be written" if isinstance(error, WriteError) else "cannot be opened, made or read"
    if error.filename2 is not None:
        tried = f"cannot be moved to {os.fsdecode(error.filename2)}"
    reason = error.strerror or str(error)
    return one_line(f"{named}: {tried}: {reason}" if named else f"a file {tried}: {reason}")


def counted(number: int, one: str, several: str | None = None) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{number} {one if number == 1 else several or one + 's'}"
