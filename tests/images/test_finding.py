"""Folders of pictures: what is found, what is listed, what is passed over, and what pairs by name."""

import errno
import os
import unicodedata
from pathlib import Path

import pytest

from sdflow.errors import SDFlowError
from sdflow_data.images.finding import pair_by_name, search
from sdflow_data.system.folders import check_apart, check_outside


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "name, said",
    [
        ("a.gif", "GIF"),
        ("IMG_1.CR2", "camera raw"),
        ("b.dng", "camera raw"),
        ("c.jxl", "JPEG XL"),
        ("d.exr", "high dynamic range"),
        ("e.psd", "PSD"),
    ],
)
def test_kinds_that_are_not_read_are_listed_with_what_to_do(name: str, said: str, tmp_path: Path) -> None:
    found = search(touch(tmp_path, "x.jpg", name, "notes.txt"))
    assert found.pictures == [Path("x.jpg")]
    assert [error.path.name for error in found.skipped] == [name]
    assert said in found.skipped[0].reason


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.avif", "a.dib"])
def test_other_endings_of_kinds_that_are_read(name: str, tmp_path: Path) -> None:
    assert search(touch(tmp_path, name)).pictures == [Path(name)]


@pytest.mark.parametrize(
    "name",
    [
        *(
            ".DS_Store",
            "._a.jpg",
            "Thumbs.db",
            "lost+found/a.png",
            "@eaDir/a.jpg/THUMB_M.jpg",
            "__MACOSX/._a.png",
        ),
        *("#recycle/a.png", "$RECYCLE.BIN/a.png", "System Volume Information/a.png", ".thumbnails/a.png"),
    ],
)
def test_what_is_the_systems_own_is_passed_over(name: str, tmp_path: Path) -> None:
    found = search(touch(tmp_path, "x.png", name))
    assert found.pictures == [Path("x.png")] and not found.skipped


def test_a_pipe_and_a_link_that_leads_nowhere_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "x.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    found = search(tmp_path)
    assert found.pictures == [Path("x.png")]
    assert [error.path.name for error in found.skipped] == ["link.png", "pipe.png"]


def test_a_folder_that_cannot_be_looked_into_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "x.png", "closed/y.png")
    whole = Path.iterdir

    def iterdir(self: Path) -> object:
        if self.name == "closed":
            raise PermissionError(13, "Permission denied", str(self))
        return whole(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = search(tmp_path)
    assert found.pictures == [Path("x.png")]
    assert "Permission denied" in str(found.skipped[0])


def test_a_folder_deeper_than_any_path_is_listed(tmp_path: Path) -> None:
    touch(tmp_path, "x.png")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):  # a path would be too long, a step at a time is not
        os.mkdir("d" * 200, dir_fd=descriptor)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    found = search(tmp_path)
    assert found.pictures == [Path("x.png")]
    assert [os.strerror(errno.ENAMETOOLONG) in error.reason for error in found.skipped] == [True]


@pytest.mark.parametrize("markers", [("run.json", "metrics.csv"), ("export.json",)])
def test_our_own_outputs_below_are_no_inputs(markers: tuple[str, ...], tmp_path: Path) -> None:
    touch(tmp_path, "x.png", "out/samples/0000500.png", *(f"out/{marker}" for marker in markers))
    found = search(tmp_path)
    assert found.pictures == [Path("x.png")]
    assert [error.path.name for error in found.skipped] == ["out"]
    assert search(tmp_path / "out").pictures  # asked for by name, they are


class TestPairs:
    def test_the_same_name_comes_before_the_same_stem(self, tmp_path: Path) -> None:
        hr, lr = touch(tmp_path / "hr", "x.jpg", "x.png"), touch(tmp_path / "lr", "x.png", "x.jpg")
        assert pair_by_name(hr, lr) == [(hr / name, lr / name) for name in ("x.jpg", "x.png")]

    def test_another_ending_pairs_where_it_is_the_only_one(self, tmp_path: Path) -> None:
        hr, lr = touch(tmp_path / "hr", "a/x.png"), touch(tmp_path / "lr", "a/x.jpg")
        assert pair_by_name(hr, lr) == [(hr / "a/x.png", lr / "a/x.jpg")]

    def test_a_second_file_of_a_name_is_refused(self, tmp_path: Path) -> None:
        hr, lr = touch(tmp_path / "hr", "x.jpg", "x.png"), touch(tmp_path / "lr", "x.png")
        with pytest.raises(SDFlowError, match="found none of the name x"):
            pair_by_name(hr, lr)

    @pytest.mark.parametrize("other", ["CAFÉ.png", unicodedata.normalize("NFD", "café.png")])
    def test_names_that_look_alike_are_told(self, other: str, tmp_path: Path) -> None:
        hr, lr = touch(tmp_path / "hr", "café.png"), touch(tmp_path / "lr", other)
        with pytest.raises(SDFlowError, match="upper and lower case, or in how accents are stored"):
            pair_by_name(hr, lr)


class TestFolders:
    @pytest.mark.parametrize("output", ["in", "in/out", "in/../in/a/b"])
    def test_an_output_inside_an_input_is_refused(self, output: str, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        with pytest.raises(SDFlowError, match="outside of the input"):
            check_outside(tmp_path / output, [tmp_path / "in"])

    def test_through_a_link_too(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "in")
        with pytest.raises(SDFlowError):
            check_outside(tmp_path / "link" / "out", [tmp_path / "in"])

    def test_a_neighbour_whose_name_begins_alike_is_no_inside(self, tmp_path: Path) -> None:
        check_outside(tmp_path / "in2", [tmp_path / "in"])

    @pytest.mark.parametrize("hr, lr", [("a", "a"), ("a", "a/b"), ("a/b", "a")])
    def test_hr_and_lr_are_apart(self, hr: str, lr: str, tmp_path: Path) -> None:
        with pytest.raises(SDFlowError, match="expected separate HR and LR folders"):
            check_apart([tmp_path / hr], [tmp_path / lr])
