"""Files appear whole or not at all."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdflow.files import replacing, sha256_file, write_file


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


@given(content=st.binary(), start=st.integers(0, 40), prefix=st.binary(max_size=4))
def test_the_hash_of_a_file_is_that_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, start: int, prefix: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hashed.bin"
    path.write_bytes(content)
    assert sha256_file(path, start, prefix=prefix) == hashlib.sha256(prefix + content[start:]).hexdigest()
