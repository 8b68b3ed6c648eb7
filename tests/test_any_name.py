"""Every command takes names of files that are no text, and prints them on any stream."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from calls import output_of
from factory import QUICK, make, write_picture

pytestmark = pytest.mark.usefixtures("in_process")

BYTES = b"n\xffme \xe9\x1b[31m"
"""No UTF-8, and what turns a terminal red."""

if sys.platform in ("darwin", "win32"):
    pytest.skip("these systems have no such names", allow_module_level=True)

NAME = os.fsdecode(BYTES)


def run(*arguments: object, status: int = 0) -> str:
    """What the program prints to streams that cannot encode the names."""
    told = output_of(*arguments, status=status, encodings=("latin-1", "ascii"))
    assert "\x1b" not in told
    return told


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """HR and LR pictures of the same names, three of each, and one that is none."""
    root = tmp_path_factory.mktemp("pictures") / NAME
    hr, lr = root / "hr" / NAME, root / "lr" / NAME
    for number in range(3):
        write_picture(hr / "x.png", number, 96, 96)
        write_picture(lr / "x.png", number, 48, 48)
        for folder in (hr, lr):
            (folder / "x.png").rename(folder / f"{NAME}{number}.png")
    (hr / f"{NAME} none.png").write_bytes(b"no picture")
    return hr.parent, lr.parent


def generation(hr: Path, out: Path, model: str | Path = "bicubic", size: int = 32) -> list[str | Path]:
    scale = ["--scale", "2"] if model == "bicubic" else []
    settings = ["--patch-size", str(size), "--variants", "1", "--workers", "1", "--patches-per-shard", "9"]
    return ["generate", "--model", model, *scale, "--hr", hr, "--out", out, *settings]


@pytest.fixture(scope="module")
def dataset(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dataset") / NAME
    make(folders[0], out, replace(QUICK, model="bicubic", patch_size=32, variants=1))
    return out


def test_generate_finds_its_pictures_again(folders: tuple[Path, Path], tmp_path: Path) -> None:
    command = generation(folders[0], tmp_path / NAME)
    for number in range(3):
        run(*command, "--shards", f"{number}:{number + 1}")
    dataset = tmp_path / NAME
    assert "27 samples" in run(*command)
    listed = (dataset / "failures.csv").read_text("utf-8")
    assert r"n\udcffme \udce9\x1b[31m/n\udcffme" in listed and "the file is gone" not in listed
    sample = pd.read_parquet(io.BytesIO((dataset / "manifest.parquet").read_bytes()))["sample_id"][20]
    assert "the same bytes" in run(*command, "--only", sample)


def test_verify_and_inspect(folders: tuple[Path, Path], dataset: Path, tmp_path: Path) -> None:
    assert "all decoded; checksums and counts agree" in run("verify", dataset)
    report, values, otf = (tmp_path / f"{NAME}.{ending}" for ending in ("html", "json", "yml"))
    run("inspect", dataset, "--no-classifier", "--workers", "1", "--report", report, "--json", values)
    assert report.exists() and values.exists()
    run("inspect", folders[1], "--workers", "1", "--report", report, "--json", values, "--otf", otf)
    run("inspect", "--hr", folders[0], "--lr", folders[1], "--scale", "2", "--workers", "1")


@pytest.mark.parametrize("format", ["folder", "lmdb", "webdataset", "hdf5", "parquet"])
def test_export(dataset: Path, tmp_path: Path, format: str) -> None:
    out = tmp_path / f"{NAME} out"
    run("export", dataset, out, "--format", format, "--workers", "1", "--license", NAME, "--source-url", NAME)
    run("export", dataset, out, "--format", format, "--workers", "1", "--license", NAME, "--source-url", NAME)
    if format == "hdf5":
        run("verify", out)


@pytest.mark.parametrize("trainer", ["basicsr", "trainner"])
def test_a_configuration_names_the_folder_as_text(dataset: Path, tmp_path: Path, trainer: str) -> None:
    out = tmp_path / f"{NAME} out"
    command = ["export", dataset, out, "--for", trainer, "--workers", "1"]
    assert "--root: expected a path in UTF-8" in run(*command, status=1)
    run(*command, "--root", "/pairs")


def test_import_pairs(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / NAME
    run("import-pairs", "--hr", folders[0], "--lr", folders[1], "--out", out, "--patch-size", "32")
    run("verify", out)


def test_downscale_and_upscale(folders: tuple[Path, Path], tiny_checkpoint: Path, tmp_path: Path) -> None:
    low, high, model = (tmp_path / f"{NAME}{number}" for number in range(3))
    model.symlink_to(tiny_checkpoint, target_is_directory=True)
    told = run("downscale", "--model", model, folders[0], low, status=1)
    assert r"Failed: " in told and r"n\udcffme \udce9\x1b[31m none.png" in told
    run("upscale", "--model", model, low, high)
    assert sorted(path.name for path in (high / NAME).iterdir()) == [f"{NAME}{n}.png" for n in range(3)]
    run(*generation(folders[0], tmp_path / "pairs", model))


def test_train_and_resume(folders: tuple[Path, Path], tmp_path: Path) -> None:
    hr, lr = folders
    out = tmp_path / NAME
    sizes = ["--preset", "tiny", "--scale", "2", "--batch-size", "2", "--patch-size", "32"]
    command = ["train", "--hr", hr, "--lr", lr, "--out", out, *sizes, "--precision", "fp32"]
    told = run(*command, "--steps", "0")
    assert r"Skipped " in told and r"n\udcffme \udce9\x1b[31m none.png" in told
    assert "Going on from step 0" in run(*command, "--steps", "1", "--resume")
    run(*generation(hr, tmp_path / "pairs", out))
    assert np.isfinite(pd.read_csv(io.BytesIO((out / "metrics.csv").read_bytes()))["step"]).all()
