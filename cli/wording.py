"""The wording of messages."""

import os
import re

import click


def one_line(text: str) -> str:
    """Text on one line, with control characters as escapes, so that file names are safe for a terminal."""
    from sdflow_data.system.names import printable

    return printable(re.sub(r"\s*\n\s*", " ", text.strip("\n").rstrip()))


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
    """Print a line that may contain file names."""
    show(one_line(text), err=err)


def of_system(error: OSError, path: object = None) -> str:
    """The message of an error of the system: the file, the operation and the reason.

    Args:
        error: the error.
        path: the file, in case that the error does not name it.
    """
    from sdflow.files import WriteError

    named = path if error.filename is None else os.fsdecode(error.filename)
    tried = "cannot be written" if isinstance(error, WriteError) else "cannot be opened, made or read"
    if error.filename2 is not None:
        tried = f"cannot be moved to {os.fsdecode(error.filename2)}"
    reason = error.strerror or str(error)
    return one_line(f"{named}: {tried}: {reason}" if named else f"a file {tried}: {reason}")
