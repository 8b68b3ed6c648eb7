"""The documents say what the code does: every command, option and default, and how the tests are run."""

import re
from pathlib import Path

import click
import pytest
from sdflow_cli.main import program

import sdflow

ROOT = Path(__file__).parents[1]
CONTEXT = click.Context(program)
COMMANDS = program.list_commands(CONTEXT)


def command_named(name: str) -> click.Command:
    command = program.get_command(CONTEXT, name)
    assert command is not None
    return command


def sections() -> dict[str, str]:
    """The sections of the reference by their headings."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    _before, *rest = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(rest[::2], rest[1::2]))


def section_of(name: str) -> str:
    return next(body for heading, body in sections().items() if heading.split()[:2] == ["sdflow", name])


def documented(name: str) -> dict[str, tuple[str, str]]:
    """What the reference's table says of each option of a command: its argument and its default."""
    rows = re.findall(r"^\| `(--\S+) ?(.*?)` \| (.*?) ?\| .+ \|$", section_of(name), flags=re.MULTILINE)
    return {option: (argument.replace("\\|", "|"), default) for option, argument, default in rows}


def options(command: click.Command) -> dict[str, click.Option]:
    found = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {"/".join([*option.opts, *option.secondary_opts]): option for option in found}


def test_every_command_has_a_section_that_names_its_arguments() -> None:
    expected = []
    for name in COMMANDS:
        arguments = [p for p in command_named(name).params if isinstance(p, click.Argument)]
        expected.append(" ".join(["sdflow", name, *(p.make_metavar(CONTEXT) for p in arguments)]))
    assert [heading for heading in sections() if heading.startswith("sdflow ")] == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_are_those_of_the_command(name: str) -> None:
    assert list(documented(name)) == list(options(command_named(name)))


@pytest.mark.parametrize("name", COMMANDS)
def test_the_defaults_are_those_of_the_command(name: str) -> None:
    table = documented(name)
    for text, option in options(command_named(name)).items():
        default = option.to_info_dict()["default"]
        if option.required:
            assert table[text][1] == "required", text
        elif option.is_flag:
            assert table[text][1] == ("on" if default else "off"), text
        elif default not in (None, ()):
            assert table[text][1] == f"`{default}`", text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_choices_are_those_of_the_command(name: str) -> None:
    table = documented(name)
    for text, option in options(command_named(name)).items():
        if isinstance(option.type, click.Choice):
            assert table[text][0] == "|".join(option.type.choices), text


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_calls_of_the_command(name: str) -> None:
    blocks = re.findall(r"^```\n(.*?)^```$", section_of(name), flags=re.MULTILINE | re.DOTALL)
    calls = [line.removeprefix("$ ") for line in "".join(blocks).splitlines() if line.startswith("$ ")]
    assert any(call.startswith(f"sdflow {name}") for call in calls)
    for call in calls:
        _, called, *words = call.split()
        known = {part for text in options(command_named(called)) for part in text.split("/")}
        assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_fits_a_terminal_of_80_columns_and_explains_every_option(name: str) -> None:
    command = command_named(name)
    shown = command.get_help(click.Context(command, info_name=f"sdflow {name}", terminal_width=80))
    assert [line for line in shown.splitlines() if len(line) > 80] == []
    assert [option for option, parameter in options(command).items() if not parameter.help] == []


def test_the_options_of_the_program_itself_are_told() -> None:
    told = sections()["Every command"]
    for option in options(program):
        assert f"`{option}`" in told


def test_the_readme_runs_the_tests_as_the_integration_does() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.endswith("-m pytest")]
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sdflow.__version__}\n" in citation
    assert f"\n## {sdflow.__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


ROOMS = [path.name for path in sorted((ROOT / "sdflow_data").iterdir()) if (path / "__init__.py").exists()]


def files_named_in(text: str) -> list[Path]:
    """Files and folders of the project that a text names, from the root or from ``sdflow_data``."""
    named = re.findall(r"`((?:sdflow|sdflow_data|cli|tests|benchmarks|docs)/[\w/]+\.\w+)`", text)
    named += re.findall(r"\b(docs/\w+\.md)\b", text)
    inside = re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w/]*(?:\.py)?)`", text)
    return [ROOT / name for name in [*named, *(f"sdflow_data/{name}" for name in inside)]]


def test_the_files_that_contributing_names_are_there() -> None:
    named = files_named_in((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(named) > 15
    assert [path for path in named if not path.exists()] == []


@pytest.mark.parametrize(
    ("title", "first", "last"),
    [
        ("A picture, from `generate` to a shard.", "cli/generate.py", "sdflow_data/dataset/manifest.py"),
        ("A crop, from folder to loss.", "cli/train.py", "sdflow_data/training/run_folder.py"),
        ("A stored pair, to an export.", "cli/export.py", "sdflow_data/export/trainers.py"),
    ],
)
def test_contributing_tells_three_walks_by_their_files(title: str, first: str, last: str) -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    walk = contributing.split(f"**{title}**")[1].split("\n\n")[0]
    order = sorted(files_named_in(walk), key=lambda path: walk.index(path.name))
    assert len(order) >= 6
    assert (order[0], order[-1]) == (ROOT / first, ROOT / last)


def test_every_package_says_that_it_has_types() -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in ("sdflow", "sdflow_data", "cli"))
