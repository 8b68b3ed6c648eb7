"""The ``sdflow`` program: it runs commands and converts errors to messages and exit codes."""

import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from .wording import of_system, one_line

_COMMANDS = {
    "demo": ("demo", "Train, generate and inspect on photographs that come with scikit-image."),
    "train": ("train", "Train SDFlow on a folder of HR and a folder of real LR photographs."),
    "generate": ("generate", "Make a dataset of LR/HR pairs from folders of HR photographs."),
    "inspect": (
        "inspect",
        "Measure the degradations of a dataset or of photographs.",
    ),
    "export": ("export", "Write a dataset in a format that other trainers read."),
    "verify": ("verify", "Read a whole dataset and check every checksum and count."),
    "downscale": ("downscale", "Turn pictures of any size into LR pictures."),
    "upscale": ("upscale", "Turn pictures of any size into SR pictures."),
    "import-published": ("import_published", "Convert the authors' four .pth files into a checkpoint."),
    "import-pairs": ("import_pairs", "Make a dataset from aligned pairs of pictures."),
    "models": ("models", "List the built-in models."),
}

_SAME_AGAIN = "Finished work is kept; the same command continues from there."
_ON_INTERRUPTION = {
    "train": "--resume continues the run from its newest checkpoint.",
    "generate": _SAME_AGAIN,
    "export": _SAME_AGAIN,
    "import-pairs": _SAME_AGAIN,
    "downscale": "Finished pictures are kept; with --existing skip the same command makes the others.",
    "upscale": "Finished pictures are kept; with --existing skip the same command makes the others.",
}
"""How to continue after an interruption. The other commands start again."""

_GIVEN_BY = {
    ("generate", "sample_id"): "only",
    ("generate", "weights"): "like",
    ("export", "format"): "format_",
    ("export", "for"): "trainer",
}
"""Arguments of the library whose parameter in the command has another name."""

_INTERRUPTED, _TERMINATED = 130, 143
"""Exit codes: 128 and the number of the signal."""

_OUT_OF_MEMORY = (
    "the memory is full; fewer --workers or a smaller --tile, --batch-size or --patch-size need less"
)


class _Terminated(BaseException):
    """SIGTERM, as the schedulers of clusters and containers send it before they kill."""


class _LazyGroup(click.Group):
    """Imports a command's module when it is called, so that ``sdflow --help`` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{_COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="sdflow-data", prog_name="sdflow")
def program(debug: bool) -> None:
    """Learn how a real camera degrades photographs, and mass-produce LR/HR pairs that look like its own."""


def main(arguments: list[str] | None = None) -> None:
    """Run the program.

    It exits with 0 (success), 1 (failure), 2 (wrong call), 130 (interrupted) or 143 (terminated).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names may have characters that it cannot encode
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in arguments  # works before and after the command's name
    arguments = [a for a in arguments if a != "--debug"]
    with _raising_on_termination():
        sys.exit(_run(arguments, debug))


@contextmanager
def _raising_on_termination() -> Iterator[None]:
    """SIGTERM raises `_Terminated` in this process, and ends forks of it as usual."""
    process = os.getpid()

    def terminate(number: int, frame: object) -> None:
        if os.getpid() != process:
            os._exit(_TERMINATED)
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not in the main thread, where there are no handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _open_closed_streams() -> None:
    """Give streams that the caller closed to the null device, or the next file that is opened becomes one."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115  # until the process ends


def _run(arguments: list[str], debug: bool) -> int:
    try:
        result: Any = program.main(arguments, prog_name="sdflow", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _stopped("Interrupted.", arguments, _INTERRUPTED)
    except _Terminated:
        return _stopped("Terminated.", arguments, _TERMINATED)
    except Exception as error:
        if debug:
            traceback.print_exc()
        elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            click.echo(f"Error: {_OUT_OF_MEMORY}", err=True)
        elif _is_users(error):
            click.echo(f"Error: {_one_line(error, arguments)}", err=True)
        else:
            click.echo(
                f"Error: {type(error).__name__}: {_one_line(error, arguments)} (a bug; --debug shows where)",
                err=True,
            )
        return 1


def _stopped(what: str, arguments: list[str], code: int) -> int:
    hint = _ON_INTERRUPTION.get(arguments[0], "") if arguments else ""
    click.echo(f"{what} {hint}".rstrip(), err=True)
    return code


def _is_users(error: Exception) -> bool:
    from sdflow.errors import SDFlowError

    return isinstance(error, (SDFlowError, OSError))


def _one_line(error: Exception, arguments: list[str]) -> str:
    from sdflow.errors import ArgumentError

    if isinstance(error, ArgumentError):
        return one_line(f"{_option(error.argument, arguments[0])}: {error.problem}")
    return of_system(error) if isinstance(error, OSError) else one_line(str(error))


def _option(argument: str, command: str) -> str:
    """The option for an argument of the library; the argument itself if there is no option."""
    argument = _GIVEN_BY.get((command, argument), argument)
    module = importlib.import_module(f".{_COMMANDS[command][0]}", __package__)
    options = {parameter.name: parameter.opts[0] for parameter in module.command.params}
    return options.get(argument, argument)
