"""`sdflow downscale`, `upscale` and `models` as a user meets them: files, messages and exit codes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from calls import call, output_of
from PIL import Image

from sdflow_data.images.reading import read_picture
from sdflow_data.models import tiles as pictures
from sdflow_data.models.tiles import Job, downscale_picture


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Three pictures of 21x30, one of them in a subfolder."""
    folder = tmp_path / "photos 写真"
    (folder / "sub").mkdir(parents=True)
    for n, name in enumerate(("a.png", "b.jpg", "sub/c.webp")):
        pixels = np.random.default_rng(n).integers(60, 200, (21, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_becomes_png_files_of_the_same_names(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    output_of("downscale", "--model", "bicubic", "--scale", "2", photographs, out)
    assert files(out) == ["a.png", "b.png", "sub/c.png"]
    assert read_picture(out / "sub" / "c.png").shape == (11, 15, 3)


def test_variants_are_numbered_and_differ(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    output_of("downscale", "--model", "classical", "--variants", "2", photographs / "a.png", out)
    assert files(out) == ["a_v0.png", "a_v1.png"]
    assert (out / "a_v0.png").read_bytes() != (out / "a_v1.png").read_bytes()


def test_the_last_line_says_how_many_pictures_were_written_where(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("downscale", "--model", "bicubic", "--variants", "2", photographs, out)
    assert done.stdout == f"{out}: 6 pictures written\n"
    done = call("downscale", "--model", "bicubic", photographs / "a.png", tmp_path / "a.png")
    assert done.stdout == f"{tmp_path / 'a.png'}: 1 picture written\n"


def test_a_model_goes_down_and_up_again(tiny_checkpoint: Path, photographs: Path, tmp_path: Path) -> None:
    lr, sr = tmp_path / "lr.png", tmp_path / "sr.png"
    run_folder = tiny_checkpoint.parent
    options = ("--component", "1", "--temperature", "0.5", "--seed", "3", "--device", "cpu")
    output_of("downscale", "--model", run_folder, *options, photographs / "a.png", lr)
    output_of("upscale", "--model", run_folder, "--device", "cpu", lr, sr)
    assert read_picture(lr).shape == (11, 15, 3) and read_picture(sr).shape == (22, 30, 3)


def test_the_same_command_makes_the_same_bytes(
    tiny_checkpoint: Path, photographs: Path, tmp_path: Path
) -> None:
    for out in ("one", "two"):
        output_of("downscale", "--model", tiny_checkpoint, photographs, tmp_path / out)
    for name in files(tmp_path / "one"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_picture_that_fails_is_told_and_the_rest_is_made(photographs: Path, tmp_path: Path) -> None:
    (photographs / "broken\n.png").write_text("no picture")
    out = tmp_path / "out"
    done = call("downscale", "--model", "bicubic", photographs, out)
    assert done.returncode == 1
    assert files(out) == ["a.png", "b.png", "sub/c.png"]
    told = done.stderr.splitlines()
    assert len(told) == 2
    assert "broken .png: expected a picture" in told[0]
    assert told[-1] == "Error: 1 of 4 pictures failed; see above"


def test_files_that_are_there_are_refused_skipped_or_replaced(photographs: Path, tmp_path: Path) -> None:
    command = ("downscale", "--model", "bicubic", photographs, tmp_path / "out")
    old = tmp_path / "out" / "a.png"
    old.parent.mkdir()
    old.write_bytes(b"old")
    assert "a.png: expected no such file yet, found 1" in output_of(*command, status=1)
    assert files(tmp_path / "out") == ["a.png"]
    done = call(*command, "--existing", "skip")
    assert done.stdout == f"{tmp_path / 'out'}: 2 pictures written, 1 kept\n"
    assert old.read_bytes() == b"old" and len(files(tmp_path / "out")) == 3
    output_of(*command, "--existing", "replace")
    assert read_picture(old).shape == (6, 8, 3)


def test_variants_that_are_there_are_kept_and_the_others_are_those_of_a_whole_call(
    photographs: Path, tmp_path: Path
) -> None:
    command = ("downscale", "--model", "classical", photographs / "a.png", "--variants", "3")
    output_of(*command, tmp_path / "whole")
    output_of(*command, tmp_path / "part")
    (tmp_path / "part" / "a_v0.png").write_bytes(b"old")
    (tmp_path / "part" / "a_v2.png").unlink()
    output_of(*command, tmp_path / "part", "--existing", "skip")
    assert (tmp_path / "part" / "a_v0.png").read_bytes() == b"old"
    whole, part = (tmp_path / name / "a_v2.png" for name in ("whole", "part"))
    assert whole.read_bytes() == part.read_bytes()


def test_an_interruption_tells_how_to_go_on_and_that_is_true(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("downscale", "--model", "bicubic", photographs, tmp_path / "out")

    def interrupted(job: Job, *rest: object, **options: object) -> int:
        if job.source.name == "b.jpg":
            raise KeyboardInterrupt
        return downscale_picture(job, *rest, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "downscale_picture", interrupted)
        told = output_of(*command, status=130)
    assert "Finished pictures are kept; with --existing skip" in told
    assert files(tmp_path / "out") == ["a.png"]
    done = call(*command, "--existing", "skip")
    assert done.stdout == f"{tmp_path / 'out'}: 2 pictures written, 1 kept\n"
    assert files(tmp_path / "out") == ["a.png", "b.png", "sub/c.png"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["downscale", "--model", "nothing"], "Error: --model: expected a checkpoint"),
        (
            ["downscale", "--model", "bicubic", "--component", "0"],
            "Error: --component: the model bicubic has",
        ),
        (["upscale", "--model", "classical"], "Error: --model: expected a trained model, found classical"),
    ],
)
def test_a_wrong_model_is_one_line_before_any_work(
    arguments: list[str], message: str, photographs: Path, tmp_path: Path
) -> None:
    told = output_of(*arguments, photographs, tmp_path / "out", status=1)
    assert told.startswith(message) and told.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--variants", "0"],
        ["--scale", "3"],
        ["--temperature", "-1"],
        ["--temperature", "nan"],
        ["--temperature", "inf"],
        ["--tile", "0"],
        ["--no"],
    ],
)
def test_a_wrong_call_ends_with_2(wrong: list[str], photographs: Path, tmp_path: Path) -> None:
    assert call("downscale", "--model", "bicubic", *wrong, photographs, tmp_path / "out").returncode == 2


def test_models_are_listed_with_scale_and_description() -> None:
    lines = output_of("models").splitlines()
    assert lines[0].startswith("bicubic") and "x2/4/8" in lines[0]
    assert lines[1].startswith("classical") and "JPEG" in lines[1]


def test_a_model_is_described_with_each_of_its_cameras(tiny_checkpoint: Path) -> None:
    first, *lines = output_of("models", tiny_checkpoint.parent).splitlines()
    assert first == f"{tiny_checkpoint.parent}  x2      SDFlow, 0 training steps"
    assert [line for line in lines if line.startswith("Camera ")] == [f"Camera {k}" for k in range(5)]
    noise = [line for line in lines if line.startswith("  noise, grey levels at a brightness: ")]
    assert [line.split()[-3] for line in noise] == ["1.0", "2.0", "3.0", "4.0", "5.0"]


def test_what_is_no_model_is_not_described(tmp_path: Path) -> None:
    for model, problem in (("bicubic", "no weights"), (tmp_path, "found no model.json"), ("", "empty")):
        done = call("models", model)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1) and problem in done.stderr


def test_the_program_itself_downscales(photographs: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from sdflow_cli.main import main; main()", "downscale"]
    done = subprocess.run(
        [*program, "--model", "bicubic", photographs, tmp_path / "out"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(files(tmp_path / "out")) == 3
