"""Every command against folders with what does not belong there: one bad thing stops nothing else."""

import os
from pathlib import Path

import pytest
from calls import output_of as run
from factory import write_picture, write_pictures

pytestmark = pytest.mark.usefixtures("in_process")

GENERATE = ["generate", "--model", "bicubic", "--scale", "2", "--patch-size", "16", "--variants", "1"]
LONG = "n" * 251


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


@pytest.fixture
def lr(tmp_path: Path) -> Path:
    for number in range(3):
        write_picture(tmp_path / "lr" / f"{number}.png", number, 18, 20)
    return tmp_path / "lr"


@pytest.mark.parametrize("inside", ["", "out", "deep/er"])
def test_no_output_lies_in_an_input(hr: Path, lr: Path, tmp_path: Path, inside: str) -> None:
    pairs, out = tmp_path / "pairs", hr / inside
    run(*GENERATE, "--hr", hr, "--out", pairs)
    for call in (
        [*GENERATE, "--hr", hr, "--out", out],
        [*GENERATE, "--hr", lr, "--like", hr, "--out", out],
        ["train", "--hr", hr, "--lr", lr, "--out", out],
        ["train", "--hr", lr, "--lr", hr, "--out", out],
        ["import-pairs", "--hr", hr, "--lr", lr, "--out", out],
        ["import-pairs", "--hr", lr, "--lr", hr, "--out", out],
        ["downscale", "--model", "bicubic", hr, out],
        ["export", pairs, pairs / inside, "--format", "folder"],
    ):
        assert "expected an output outside of the input" in run(*call, status=1)
    assert sorted(path.name for path in hr.iterdir()) == ["0.png", "1.png", "2.png"]


def test_hr_and_lr_are_apart(hr: Path, tmp_path: Path) -> None:
    write_pictures(hr / "low")
    for lr in (hr, hr / "low", hr.parent):
        told = run("train", "--hr", hr, "--lr", lr, "--out", tmp_path.parent / "run", status=1)
        assert "expected separate HR and LR folders" in told


def test_what_this_program_made_is_no_input(hr: Path, tmp_path: Path) -> None:
    run(*GENERATE, "--hr", hr, "--out", tmp_path / "pairs")
    run("export", tmp_path / "pairs", tmp_path / "exported", "--format", "folder", "--workers", "1")
    (tmp_path / "exported").rename(hr / "exported")
    told = run(*GENERATE, "--hr", hr, "--out", tmp_path / "again")
    assert "from 3 pictures" in told and "1 file left out" in told


@pytest.fixture
def strange(hr: Path) -> Path:
    """Three pictures, and what gives none."""
    (hr / "0.png").rename(hr / f"{LONG}.png")
    (hr / "IMG_1.heics.gif").write_bytes(b"GIF89a")
    (hr / "cut.png").write_bytes((hr / "1.png").read_bytes()[:100])
    (hr / "link.png").symlink_to("nowhere")
    (hr / "folder.png").mkdir()
    os.mkfifo(hr / "pipe.png")
    return hr


def test_downscale_makes_the_others(strange: Path, tmp_path: Path) -> None:
    out = tmp_path / "low"
    (out / "1.png").mkdir(parents=True)
    command = ["downscale", "--model", "bicubic", "--scale", "2", strange]
    told = run(*command, out, status=1)
    failed = [line for line in told.splitlines() if line.startswith("Failed: ")]
    assert len(failed) == 5 and all("/" in line for line in failed)
    assert {path.name for path in out.iterdir() if path.is_file()} == {f"{LONG}.png", "2.png"}
    told = run(
        "downscale",
        "--model",
        "bicubic",
        "--scale",
        "2",
        strange,
        tmp_path / "v",
        "--variants",
        "2",
        status=1,
    )
    assert f"{LONG}_v1.png: cannot be written: File name too long" in told
    assert len(list((tmp_path / "v").iterdir())) == 4


def test_generate_train_and_import_take_the_others(strange: Path, lr: Path, tmp_path: Path) -> None:
    told = run(*GENERATE, "--hr", strange, "--out", tmp_path / "pairs", status=1)
    assert "from 2 pictures" in told or "from 3 pictures" in told
    listed = (tmp_path / "pairs" / "failures.csv").read_text()
    assert all(name in listed for name in ("IMG_1.heics.gif", "cut.png", "link.png", "pipe.png"))
    (lr / "0.png").rename(lr / f"{LONG}.png")
    told = run("import-pairs", "--hr", strange, "--lr", lr, "--out", tmp_path / "real", "--patch-size", "8")
    assert "pairs of pictures, scale 2" in told


JUNK = [".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", "lost+found", "@eaDir"]


def test_the_systems_own_files_are_in_nobodys_way(hr: Path, tmp_path: Path) -> None:
    def litter(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name in JUNK:
            (folder / name).mkdir() if "." not in name else (folder / name).write_bytes(b"x")

    pairs, out = tmp_path / "pairs", tmp_path / "out"
    for folder in (pairs, out, hr):
        litter(folder)
    (hr / "@eaDir" / "0.png").write_bytes((hr / "0.png").read_bytes())
    assert "from 3 pictures" in run(*GENERATE, "--hr", hr, "--out", pairs)
    litter(pairs / "shards")
    run("verify", pairs)
    run("export", pairs, out, "--format", "folder", "--workers", "1")


@pytest.mark.parametrize("option", ["--report", "--json"])
def test_inspect_replaces_no_file_of_its_input(hr: Path, tmp_path: Path, option: str) -> None:
    pairs = tmp_path / "pairs"
    run(*GENERATE, "--hr", hr, "--out", pairs)
    for folder, name in ((hr, "0.png"), (pairs, "dataset.json"), (pairs, "shards/000000.h5")):
        before = (folder / name).read_bytes()
        assert "expected a new file, found one of the input" in run(
            "inspect", folder, option, folder / name, status=1
        )
        assert (folder / name).read_bytes() == before
