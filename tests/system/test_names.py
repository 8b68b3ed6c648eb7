"""Names of files for people, and for other systems."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdflow_data.models.tiles import plan_pictures
from sdflow_data.system import names
from sdflow_data.system.folders import folds_case
from sdflow_data.system.names import as_displayed, displayed, is_reserved, printable

file_names = (
    st.binary(min_size=1, max_size=40)
    .filter(lambda name: not {0, ord("/")} & set(name) and name not in (b".", b".."))
    .map(os.fsdecode)
)


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="they have no such names")
@given(name=file_names)
def test_a_file_of_any_name_is_found_by_its_displayed_name(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / name
    path.touch()
    shown = displayed(Path(name))
    shown.encode()
    assert path in as_displayed(path.parent, shown)


@pytest.mark.parametrize("name", ["gone.png", "a" * 300, "nul\0.png"])
def test_what_is_not_there_is_not_found(name: str, tmp_path: Path) -> None:
    assert as_displayed(tmp_path, name) == []


@given(text=st.text(st.characters(categories=["Cc", "Cs", "L", "S", "Zs"])))
def test_printable_text_is_one_line_that_can_be_encoded_and_is_itself_already(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert shown.isprintable() or any(c.isspace() for c in shown)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert printable(shown) == shown


@pytest.mark.parametrize("name", ["CON", "aux.png", "Com1.tar.gz", "lpt9", "a.", "a ", "nul .txt"])
def test_names_that_windows_reserves(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["CONSOLE", "com", "com10.png", "a.con", ".nul", "x"])
def test_names_that_only_look_like_it(name: str) -> None:
    assert not is_reserved(name)


def test_whether_a_folder_tells_upper_from_lower_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "Photos"
    there.mkdir()
    tells = not (tmp_path / "pHOTOS").exists()
    assert folds_case(there) == folds_case(there / "new" / "er") == (not tells)
    if tells:  # the other name as the same folder, as a disk has it that does not tell
        (tmp_path / "pHOTOS").symlink_to(there)
        assert folds_case(there) and folds_case(there / "12")


def test_on_windows_a_reserved_name_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aux.jpg", "x.png"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    monkeypatch.setattr(names, "ON_WINDOWS", True)
    jobs = {job.source.name: job for job in plan_pictures(tmp_path / "in", tmp_path / "out")}
    assert "no file of the name aux.png" in str(jobs["aux.jpg"].problem)
    assert jobs["x.png"].problem is None
