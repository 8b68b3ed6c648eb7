"""The one place where errors become lines and exit statuses."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from calls import call, output_of
from factory import write_picture, write_pictures

from sdflow.errors import ArgumentError, SDFlowError
from sdflow.files import WriteError
from sdflow_data.images.reading import read_picture

ROOT = Path(__file__).parents[1]

# A parameter of the library, and the option that gives it.
GIVEN = [
    ("generate", "patch_size", "--patch-size"),
    ("generate", "components", "--component"),
    ("generate", "model", "--model"),
    ("generate", "hr_folders", "--hr"),
    ("generate", "sample_id", "--only"),
    ("generate", "weights", "--like"),
    ("import-pairs", "hr_name", "--hr-name"),
    ("export", "format", "--format"),
    ("export", "for", "--for"),
    ("export", "where", "--where"),
    ("train", "init", "--init"),
    ("train", "crops.seed", "crops.seed"),
]


def told(command: str, error: Exception) -> tuple[int, str]:
    """The exit status and the message when a command raises an error."""
    from sdflow_cli.main import program

    def fail(*_: object, **__: object) -> None:
        raise error

    found = program.get_command(click.Context(program), command)
    assert found is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(found, "invoke", fail)
        patch.setattr(found, "parse_args", lambda *_: [])
        done = call(command)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("command", "argument", "option"), GIVEN)
def test_an_argument_of_the_library_is_told_as_the_option_that_gave_it(
    command: str, argument: str, option: str
) -> None:
    error = ArgumentError(argument, "expected one\n  thing, found another")
    assert told(command, error) == (1, f"Error: {option}: expected one thing, found another\n")


def test_an_error_of_a_file_is_told_as_it_is() -> None:
    assert told("verify", SDFlowError("a.png: damaged")) == (1, "Error: a.png: damaged\n")


def test_a_full_disk_is_told_with_the_file() -> None:
    error = WriteError(28, "No space left on device", "a.h5")
    assert told("generate", error) == (1, "Error: a.h5: cannot be written: No space left on device\n")


CALL = "from sdflow_cli.main import main; main({})"


def in_a_shell(arguments: list[str], redirections: str) -> subprocess.CompletedProcess[str]:
    shell = ["sh", "-c", f'exec "$0" "$@" {redirections}', sys.executable, "-c", CALL.format(arguments)]
    return subprocess.run(shell, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_disk_under_the_standard_output_is_told() -> None:
    done = in_a_shell(["models"], ">/dev/full")
    line = "Error: standard output: cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, line)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize("redirections", [">&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_files_of_others(redirections: str, tmp_path: Path) -> None:
    hr, out = write_pictures(tmp_path / "hr"), tmp_path / "lr"
    call = ["downscale", "--model", "bicubic", "--scale", "2", str(hr), str(out)]
    done = in_a_shell(call, redirections)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [read_picture(path).shape for path in sorted(out.iterdir())] == [(18, 20, 3)] * 3


def test_a_bug_is_told_to_be_one() -> None:
    status, message = told("verify", KeyError("x"))
    assert status == 1
    assert message.startswith("Error: KeyError: 'x' (a bug; --debug shows where)")


def test_no_text_of_the_library_names_an_option() -> None:
    named = [
        f"{path.relative_to(ROOT)}:{text.lineno}"
        for package in ("sdflow", "sdflow_data")
        for path in (ROOT / package).rglob("*.py")
        for text in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(text, ast.Constant) and re.search(r"(^|\W)--[a-z]", str(text.value))
    ]
    assert named == []


def test_one_of_a_kind_is_told_in_the_singular(in_process: None, tmp_path: Path) -> None:
    """Everything once: one picture, one patch, one sample, one shard, one damaged file of each."""
    hr, lr, pairs, page = (tmp_path / name for name in ("hr", "lr", "pairs", "page.html"))
    for folder, size in ((hr, 64), (lr, 32)):
        write_picture(folder / "a.png", 0, size, size)
        (folder / "broken.png").write_text("no picture")
    once = ("--patch-size", 64, "--variants", 1, "--workers", 1)
    told = [
        output_of("generate", "--model", "bicubic", "--scale", 2, "--hr", hr, "--out", pairs, *once),
        output_of("verify", pairs),
        output_of("inspect", pairs, "--real", pairs, "--report", page, "--no-classifier"),
        page.read_text("utf-8"),
        output_of("export", pairs, tmp_path / "export", "--format", "folder"),
        output_of("inspect", "--hr", hr, "--lr", lr, "--scale", 2, "--report", page),
        page.read_text("utf-8"),
        output_of(
            *("train", "--hr", hr, "--lr", lr, "--scale", 2, "--preset", "tiny"),
            *("--patch-size", 32, "--batch-size", 1, "--steps", 0, "--out", tmp_path / "run"),
        ),
        output_of("downscale", "--model", "bicubic", "--scale", 2, hr / "a.png", tmp_path / "low.png"),
        output_of("import-pairs", "--hr", hr, "--lr", lr, "--patch-size", 64, "--out", tmp_path / "real"),
    ]
    things = "photographs|pictures|samples|patches|shards|pairs|files|variants|steps|splits|others|cameras"
    assert re.findall(rf"(?<![\d.,])1 (?:\w+ )?(?:{things})\b.*", "\n".join(told)) == []
