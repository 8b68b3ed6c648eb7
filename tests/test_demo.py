"""``sdflow demo``, with hardly any training: it goes the whole way and leaves what it names."""

import re
from pathlib import Path

import pytest
from calls import call
from factory import InProcess

from sdflow_data.demo import take_photographs
from sdflow_data.images.reading import read_picture


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder, and what was printed, of two photographs a side, not five, and pairs from this process."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sdflow_data.demo._HR", ("chelsea.png", "coins.png"))
        patch.setattr("sdflow_data.demo._LR", ("coffee.png", "rocket.jpg"))
        patch.setattr("sdflow_data.demo.LocalEngine", lambda workers: InProcess())
        done = call("demo", "--out", out, "--steps", "2")
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_everything_that_the_demo_names_is_there(demo: tuple[Path, str]) -> None:
    out, text = demo
    named = {Path(path) for path in re.findall(rf"{re.escape(str(out))}\S*", text)}
    assert {"grid.png", "report.html", "pairs", "export"} <= {path.name for path in named}
    assert all(path.exists() for path in named)


def test_the_demo_compares_every_statistic_with_bicubic_and_the_camera(demo: tuple[Path, str]) -> None:
    rows = re.findall(r"^  (\w+) .* (generated|bicubic)$", demo[1], re.MULTILINE)
    assert {"noise_sigma", "residual_std", "residual_correlation", "sharpness", "blur_width"} <= {
        name for name, _ in rows
    }


def test_a_folder_with_files_in_it_is_refused(demo: tuple[Path, str]) -> None:
    done = call("demo", "--out", demo[0])
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {demo[0]}: expected a new or empty folder")


def test_photographs_of_the_camera_show_other_scenes_than_the_hr_pictures(tmp_path: Path) -> None:
    hr, lr = take_photographs(tmp_path, 0)
    assert not {path.name for path in hr.iterdir()} & {path.name for path in lr.iterdir()}


def test_one_seed_takes_the_same_photographs(tmp_path: Path) -> None:
    folders = [take_photographs(tmp_path / name, 3)[1] for name in ("a", "b")]
    first, second = ([read_picture(path) for path in sorted(folder.iterdir())] for folder in folders)
    assert all((one == other).all() for one, other in zip(first, second))
