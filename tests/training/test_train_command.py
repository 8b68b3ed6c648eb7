"""``sdflow train``: what it leaves behind, killed, resumed and shared, and what it refuses."""

import csv
import json
import re
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from calls import PATIENCE, call, call_by_two
from safetensors.torch import load_file

from sdflow.checkpoint import fingerprint
from sdflow_data.images.writing import encode_png
from sdflow_data.system.lock import OutputLock
from sdflow_data.system.processes import worker_context
from sdflow_data.training.presets import preset_settings
from sdflow_data.training.run import train


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    random = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("photographs ü")
    for kind, size in (("hr", 96), ("lr", 48)):
        (root / kind).mkdir()
        for number in range(2):
            picture = np.kron(random.integers(0, 256, (size // 8, size // 8, 3)), np.ones((8, 8, 1)))
            (root / kind / f"{number}.png").write_bytes(encode_png(picture.astype(np.uint8)))
    return root / "hr", root / "lr"


def arguments(folders: tuple[Path, Path], out: Path, steps: int, *more: str) -> list[str]:
    hr, lr = folders
    common = [
        "--scale",
        "2",
        "--preset",
        "tiny",
        "--patch-size",
        "32",
        "--batch-size",
        "2",
        "--precision",
        "fp32",
    ]
    return [
        "train",
        *("--hr", str(hr), "--lr", str(lr), "--out", str(out), "--steps", str(steps)),
        *common,
        *more,
    ]


@pytest.fixture(scope="module")
def trained(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    pairs = ["--val-hr", str(folders[0]), "--val-lr", str(folders[1])]
    done = call(*arguments(folders, out, 12, *pairs))
    assert done.returncode == 0, done.stderr
    assert "On 2 aligned pairs, grey PSNR at temperature 0: validation" in done.stdout
    return out


def test_a_run_leaves_a_checkpoint_its_curves_and_a_picture(trained: Path) -> None:
    from sdflow.checkpoint import load_checkpoint

    assert load_checkpoint(trained / "model").scale == 2
    assert [row["step"] for row in csv.DictReader((trained / "metrics.csv").open())][-1] == "12"
    assert list((trained / "samples").glob("*.png"))
    assert not list(trained.rglob("*.tmp"))


def test_the_validation_number_stands_in_the_curves_where_it_was_measured(trained: Path) -> None:
    *others, last = csv.DictReader((trained / "metrics.csv").open())
    assert float(last["val_psnr"]) > 0
    assert float(last["val_psnr_bicubic"]) > 0
    assert {row["val_psnr"] for row in others} == {""}


def test_validation_needs_both_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = call(*arguments(folders, tmp_path / "run", 2, "--val-hr", str(folders[0])))
    assert done.returncode == 2
    assert "expected both or neither" in done.stderr


def train_and_save_each_step(hr: Path, lr: Path, out: Path) -> None:
    folders = {"hr": (hr,), "lr": (lr,), "out": out}
    sizes = {"scale": 2, "steps": 12, "batch_size": 2, "patch_size": 32}
    settings = preset_settings("tiny", **folders, **sizes, precision="fp32", resume=True)
    train(replace(settings, save_seconds=0))


def test_a_run_killed_between_its_saves_resumes_to_the_same_weights(
    trained: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = worker_context().Process(target=train_and_save_each_step, args=(*folders, out))
    process.start()
    deadline = time.monotonic() + PATIENCE
    while not (out / "metrics.csv").exists():
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    done = call(*arguments(folders, out, 12, "--resume"))
    assert done.returncode == 0, done.stderr
    assert "Going on from step" in done.stdout
    whole, resumed = (load_file(path / "model" / "model.safetensors") for path in (trained, out))
    assert [name for name, value in whole.items() if not (resumed[name] == value).all()] == []


def test_a_run_of_no_steps_saves_the_model_as_it_begins_and_can_be_resumed(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    done = call(*arguments(folders, tmp_path / "run", 0))
    assert done.returncode == 0, done.stderr
    description = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert description["training"]["steps"] == 0
    done = call(*arguments(folders, tmp_path / "run", 1, "--resume"))
    assert "Going on from step 0" in done.stdout
    assert len(curve(tmp_path / "run")) == 1


def test_more_steps_go_on_from_a_finished_run(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert call(*arguments(folders, tmp_path / "run", 2)).returncode == 0
    done = call(*arguments(folders, tmp_path / "run", 3, "--resume"))
    assert "Going on from step 2" in done.stdout


def test_a_run_can_begin_with_a_trained_model_s_weights(
    trained: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    words = arguments(folders, tmp_path / "run", 1, "--init", str(trained))
    assert call(*words).returncode == 0
    begun, drawn = (curve(out)[0]["likelihood_hr"] for out in (tmp_path / "run", trained))
    assert begun < drawn
    description = json.loads((tmp_path / "run" / "model" / "model.json").read_text())
    assert description["training"]["init"] == fingerprint(trained / "model")
    assert call(*words, "--resume").returncode == 0


def test_a_run_that_begins_with_a_trained_model_learns_slower(trained: Path, tmp_path: Path) -> None:
    ours, drawn = (
        preset_settings("tiny", hr=(), lr=(), out=tmp_path, scale=2, init=init).training
        for init in (trained / "model", None)
    )
    assert ours.learning_rate == drawn.learning_rate / 4


def test_another_model_to_begin_with_is_no_resumption(
    trained: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    done = call(*arguments(folders, trained, 12, "--resume", "--init", str(trained)))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: --init: ")
    assert "was begun with none" in done.stderr


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("city100-nikon-x2", "lr_steps = 4, found one with 6"),
        ("nowhere", "--init: expected a checkpoint"),
        ("bicubic", "no weights"),
    ],
)
def test_a_model_that_cannot_be_begun_with_is_refused_in_a_line(
    model: str, told: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    done = call(*arguments(folders, tmp_path / "run", 1, "--init", model))
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten(trained: Path, folders: tuple[Path, Path]) -> None:
    done = call(*arguments(folders, trained, 12))
    assert done.returncode == 1
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr


def test_resuming_with_other_settings_names_the_setting(trained: Path, folders: tuple[Path, Path]) -> None:
    done = call(*arguments(folders, trained, 12, "--resume", "--seed", "5"))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: training.seed: ")


def test_an_empty_folder_is_refused_by_name(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = call(*arguments((folders[0], tmp_path / "none"), tmp_path / "run", 2))
    assert done.returncode == 1
    assert done.stderr.startswith("Error:")
    assert "none" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_at_work_is_not_joined(folders: tuple[Path, Path], tmp_path: Path) -> None:
    with OutputLock(tmp_path, None):
        done = call(*arguments(folders, tmp_path, 2, "--resume"))
    assert done.returncode == 1
    assert "another run is working" in done.stderr


def test_what_a_run_that_was_killed_at_once_leaves_is_in_nobody_s_way(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for name in (".lock", ".run.json.tmp"):
        (tmp_path / name).write_bytes(b"")
    done = call(*arguments(folders, tmp_path, 1))
    assert done.returncode == 0, done.stderr


def test_a_picture_that_cannot_be_used_is_named_before_the_training(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[0], tmp_path / "hr")
    (tmp_path / "hr" / "small.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    done = call(*arguments((tmp_path / "hr", folders[1]), tmp_path / "run", 1))
    assert done.stdout.index("small.png") < done.stdout.index("Trained.")
    assert done.stdout.count("small.png") == 1


def test_every_file_that_the_last_line_names_is_there(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for steps, verb, files in ((0, "Nothing trained", 2), (1, "Trained", 3)):
        last = call(*arguments(folders, tmp_path / verb, steps)).stdout.splitlines()[-1]
        named = re.findall(r": ([^;]+)", last)
        assert last.startswith(f"{verb}. ") and len(named) == files
        assert all(Path(name).exists() for name in named)


def test_steps_and_minutes_together_are_a_wrong_call(folders: tuple[Path, Path], tmp_path: Path) -> None:
    done = call(*arguments(folders, tmp_path / "run", 2, "--minutes", "1"))
    assert done.returncode == 2


def curve(out: Path) -> list[dict[str, float]]:
    rows = csv.DictReader((out / "metrics.csv").open())
    unlike = ("seconds", "val_psnr", "val_psnr_bicubic")
    return [{name: float(value) for name, value in row.items() if name not in unlike} for row in rows]


def test_two_processes_train_as_one_would_and_go_on_with_resume(
    trained: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = call_by_two(*arguments(folders, tmp_path / "run", 12))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.count("Measured camera") == first.stdout.count("Trained.") == 1
    assert second.stdout == ""
    ours, theirs = curve(tmp_path / "run"), curve(trained)
    assert len(ours) == 12
    for shared, alone in zip(ours, theirs):
        assert shared == pytest.approx(alone, rel=5e-3, abs=1e-3)
    first, second = call_by_two(*arguments(folders, tmp_path / "run", 13, "--resume"))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert (first.stdout + second.stdout).count("Going on from step 12") == 1
    assert len(curve(tmp_path / "run")) == 13


def test_an_error_of_all_processes_is_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    wrong = arguments(folders, tmp_path / "run", 2, "--batch-size", "3")
    first, second = call_by_two(*wrong)
    assert first.returncode == second.returncode == 1
    errors = [line for line in (first.stderr + second.stderr).splitlines() if line.startswith("Error:")]
    assert errors == ["Error: --batch-size: expected a multiple of the 2 processes, got 3"]
    assert not (tmp_path / "run").exists()
