"""Files appear whole or not at all."""

import errno
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdflow.errors import SDFlowError
from sdflow.files import WriteError, read_json, replacing, sha256_file, to_json, write_file


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


class Refusing:
    """What the system says to a call, whatever is asked."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, *_: object, **__: object) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP])
def test_where_fsync_is_not_supported_files_are_written_without(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", Refusing(number))
    write_file(tmp_path / "a.bin", b"abc")
    assert (tmp_path / "a.bin").read_bytes() == b"abc"


@pytest.mark.parametrize("call", [(os, "fsync"), (Path, "replace"), (Path, "write_bytes")])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_an_error_in_writing_names_the_file(
    call: tuple[object, str], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(WriteError) as error:
        patch.setattr(*call, Refusing(number))
        write_file(tmp_path / "a.bin", b"abc")
    assert (error.value.errno, error.value.filename) == (number, str(tmp_path / "a.bin"))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_stays_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, replacing(tmp_path / "a.bin"):
        (tmp_path / "other.bin").read_bytes()
    assert str(error.value.filename) == str(tmp_path / "other.bin")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_is_no_file_to_read_and_is_not_waited_for(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "a")
    with pytest.raises(OSError, match=f"{tmp_path}/a"):
        sha256_file(tmp_path / "a")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "Expecting value"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b"[1]", "no object but a list"),
        (b"null", "no object but a NoneType"),
        (b'{"a": "\xff"}', "no UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", ""),
        (b'{"a": 1}' + b" " * (1 << 26), "more than"),
    ],
)
def test_json_of_anybody_is_an_object_or_refused_in_a_line(
    content: bytes, found: str, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    if not found and sys.version_info < (3, 11):
        return  # where numbers have no longest
    with pytest.raises(SDFlowError, match=found) as error:
        read_json(tmp_path / "a.json", "settings")
    assert str(error.value).startswith(f"{tmp_path / 'a.json'}: expected settings, found ")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_json_that_is_written_is_read_again_with_any_name_in_it(tmp_path: Path) -> None:
    values = {"name": "n\udcffme é", "numbers": [1, 2.5, None, True]}
    write_file(tmp_path / "a.json", to_json(values))
    assert read_json(tmp_path / "a.json", "it") == values
