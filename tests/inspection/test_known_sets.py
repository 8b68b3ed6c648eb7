"""Sets that are known to be good, or bad in one way, through the command line: what is said of each."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "verdicts.py"

pytestmark = pytest.mark.slow


def photographs() -> Iterator[np.ndarray]:
    """256x256 pieces of photographs, each counting as one."""
    left, _, _ = skimage.data.stereo_motorcycle()
    whole = (skimage.data.astronaut(), skimage.data.rocket(), left, skimage.data.coffee())
    for photo in (*whole, skimage.data.chelsea(), skimage.data.immunohistochemistry()):
        for top in range(0, photo.shape[0] - 255, 256):
            for column in range(0, photo.shape[1] - 255, 256):
                yield photo[top : top + 256, column : column + 256]


def results_of(*arguments: object) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, BENCHMARK, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(Path(str(arguments[-1])).read_text("utf-8"))["results"]
    return found


def test_each_set_of_a_known_camera_gets_the_expected_verdicts(tmp_path: Path) -> None:
    (tmp_path / "hr").mkdir()
    for number, photo in enumerate(photographs()):
        Image.fromarray(photo).save(tmp_path / "hr" / f"{number:02d}.png")
    found = results_of(
        "--hr", tmp_path / "hr", "--work", tmp_path / "sets", "--json", tmp_path / "results.json"
    )
    assert {name: result["answers"] for name, result in found.items() if not result["expected"]} == {}
    assert set(found) >= {"the camera itself", "collapsed", "misaligned", "noise at the wrong places"}
