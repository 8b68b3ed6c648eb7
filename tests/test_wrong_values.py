"""Every option and argument of every command against wrong values: one line that says so, and no work.

The commands are walked, so that a new option is tried too; one that takes any text has to be listed here.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from factory import make, write_pictures
from sdflow_cli.main import main, program

NUMBERS = ["x", "", "nan", "inf", "-1", "1.5.1", "1e999", "-" + "9" * 30]
WHOLE = [*NUMBERS, "0.5", "9" * 30, "1" + "0" * 400]
MODELS = ["", "x" * 5000, "\udcff", "no such model", "{file}", "{empty}", "{pipe}", "bicubic/"]
TEXTS = {
    "model": MODELS,
    "init": [*MODELS, "bicubic"],
    "codec": ["", "x", "jpeg", "jpeg:", "jpeg:0", "jpeg:101", "jpeg:x", "jpeg:90:411", "jpeg:" + "9" * 5000],
    "where": ["", "x", "(" * 3000, "no_column < 1", "'a' * 2000000000 < 'b'", "\udcff", "a" * 5000, "1 < 2"],
    "split": ["", "x", "a=0", "a=nan", "a=1,a=1", "a=0.5,A=0.5", "con=1", "../a=1", "a=0.5", "a=1e999"],
    "shards": [
        "",
        "x",
        "1",
        "1:0",
        "-1:2",
        "0:0",
        "0:x",
        "9" * 24 + ":" + "9" * 25,
        "1:2:3",
        "0:" + "9" * 5000,
    ],
    "only": ["", "x", "x" * 180, "0123456789abcdef-000256-000000-v03", "\udcff"],
    "hr_name": ["", "x", "{}{}", "{", "no{}such"],
    "lr_name": ["", "x", "{}{}", "{", "no{}such"],
}
ANY_TEXT = {"licenses", "source_urls", "root", "address"}

COMPANIONS = {
    ("export", "template"): {"format_": [], "trainer": ["--for", "basicsr"]},
    ("export", "root"): {"format_": [], "trainer": ["--for", "basicsr"]},
    ("inspect", "hr_folders"): {"folder": [], "lr_folders": ["--lr", "{lr}"]},
    ("inspect", "lr_folders"): {"folder": [], "hr_folders": ["--hr", "{hr}"]},
    ("train", "val_hr"): {"val_lr": ["--val-lr", "{lr}"]},
    ("train", "val_lr"): {"val_hr": ["--val-hr", "{hr}"]},
}
"""What a sound call has in place of other parameters, where an option does not go with all."""

SOUND: dict[str, dict[str, list[str]]] = {
    "demo": {"out": ["--out", "{new}"]},
    "train": {
        "hr": ["--hr", "{hr}"],
        "lr": ["--lr", "{lr}"],
        "out": ["--out", "{new}"],
        "preset": ["--preset", "tiny"],
    },
    "generate": {
        "model": ["--model", "bicubic"],
        "scale": ["--scale", "2"],
        "hr_folders": ["--hr", "{hr}"],
        "out": ["--out", "{new}"],
        "patch_size": ["--patch-size", "16"],
        "workers": ["--workers", "1"],
    },
    "inspect": {"folder": ["{dataset}"], "no_classifier": ["--no-classifier"], "workers": ["--workers", "1"]},
    "export": {
        "dataset": ["{dataset}"],
        "out": ["{new}"],
        "format_": ["--format", "folder"],
        "workers": ["--workers", "1"],
    },
    "verify": {"dataset": ["{dataset}"]},
    "downscale": {"model": ["--model", "bicubic"], "source": ["{hr}"], "output": ["{new}"]},
    "upscale": {"model": ["--model", "{model}"], "source": ["{lr}"], "output": ["{new}"]},
    "import-published": {"folder": ["{empty}"], "out": ["{new}"]},
    "import-pairs": {"hr_folder": ["--hr", "{hr}"], "lr_folder": ["--lr", "{lr}"], "out": ["--out", "{new}"]},
    "models": {"model": ["{model}"]},
}


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    context = click.Context(program)
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        yield from (
            (name, parameter) for parameter in command.params if not getattr(parameter, "is_flag", False)
        )


def wrong(parameter: click.Parameter) -> list[str]:
    """Values of which none is sound, with ``{NAME}`` for places of the fixture."""
    kind, name = parameter.type, parameter.name or ""
    if isinstance(kind, click.Choice):
        return ["", "nothing", "\udcff"]
    if isinstance(kind, click.types.IntParamType):
        return WHOLE
    if isinstance(kind, click.types.FloatParamType):
        return NUMBERS
    if isinstance(kind, click.Path):
        values = ["", "{none}/" + 300 * "a" if kind.exists else 300 * "a"]
        values += ["{none}", "{none}/\udcff"] if kind.exists else []
        values += ["{file}", "{pipe}"] if not kind.file_okay else ["{empty}"] if not kind.dir_okay else []
        return values + (["{empty}"] if kind.exists and kind.dir_okay else [])
    return TEXTS[name]


CASES = [
    pytest.param(command, parameter.name, value, id=f"{command}-{parameter.name}-{number}")
    for command, parameter in parameters()
    if parameter.name not in ANY_TEXT
    for number, value in enumerate(wrong(parameter))
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> dict[str, str]:
    root = tmp_path_factory.mktemp("places")
    hr, lr = write_pictures(root / "hr"), write_pictures(root / "lr", range(3, 6))
    make(hr, root / "dataset")
    (root / "empty").mkdir()
    (root / "file").write_text("no picture, no checkpoint, no configuration")
    os.mkfifo(root / "pipe")
    named = {name: str(root / name) for name in ("dataset", "empty", "file", "pipe", "none")}
    return named | {"hr": str(hr), "lr": str(lr), "model": str(tiny_checkpoint)}


def call(command: str, name: str, value: str, new: Path, places: dict[str, str]) -> list[str]:
    """A sound call but for one value."""
    found = program.get_command(click.Context(program), command)
    assert found is not None
    given = SOUND[command] | COMPANIONS.get((command, name), {})
    options: list[str] = []
    arguments: list[str] = []
    for parameter in found.params:
        is_argument = isinstance(parameter, click.Argument)
        values = given.get(parameter.name or "", [])
        if parameter.name == name:
            values = [value] if is_argument else [parameter.opts[0], value]
        (arguments if is_argument else options).extend(values)
    put = {f"{{{name}}}": path for name, path in (*places.items(), ("new", str(new)))}
    return [command, *(_placed(text, put) for text in (*options, *arguments))]


def _placed(text: str, put: dict[str, str]) -> str:
    for name, path in put.items():
        text = text.replace(name, path)
    return text


@pytest.mark.parametrize(("command", "name", "value"), CASES)
def test_a_wrong_value_is_told_in_a_line(
    command: str,
    name: str,
    value: str,
    places: dict[str, str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit:
        main(call(command, name, value, tmp_path / "new", places))
    told = capfd.readouterr().err
    assert exit.value.code in (1, 2), told
    errors = [line for line in told.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and "(a bug" not in errors[0] and "Traceback" not in told, told
    assert len(errors[0]) < 6000
    assert exit.value.code == 2 or told.splitlines()[-1] == errors[0]
    assert not (tmp_path / "new").exists()


def test_every_parameter_is_tried() -> None:
    assert len(CASES) > 500
    assert {name for case in CASES for name in [case.values[0]]} == set(SOUND)
    texts: set[Any] = {p.name for _, p in parameters() if isinstance(p.type, click.types.StringParamType)}
    assert texts - {"engine"} <= TEXTS.keys() | ANY_TEXT
