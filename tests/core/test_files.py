"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from sdflow.files import replacing, write_file


def test_a_written_file_holds_its_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_file(tmp_path / "a.bin", b"abc")
    assert (tmp_path / "a.bin").read_bytes() == b"abc"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_failure_leaves_the_old_file_and_nothing_aside(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_file(path, b"old")
    with pytest.raises(RuntimeError), replacing(path) as aside:
        aside.write_bytes(b"ne")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_the_file_has_no_final_name_before_the_block_ends(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.bin") as aside:
        aside.write_bytes(b"abc")
        assert not (tmp_path / "a.bin").exists()


def test_what_a_killed_writer_left_aside_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".a.bin.tmp").write_bytes(b"half of something longer")
    write_file(tmp_path / "a.bin", b"abc")
    assert (tmp_path / "a.bin").read_bytes() == b"abc"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
