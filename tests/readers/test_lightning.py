"""The example for Lightning trains."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pairs import write_dataset

pytest.importorskip("lightning")

ROOT = Path(__file__).parents[2]


def test_the_example_trains(tmp_path: Path) -> None:
    source = (ROOT / "examples" / "train_sr_lightning.py").read_text()
    (tmp_path / "short.py").write_text(source.replace("= 2, 16, 64,", "= 2, 4, 16,"))
    dataset = write_dataset(tmp_path / "pairs", photographs=3, patch_size=32)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "short.py"), str(dataset.folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^L1 0\.\d+$", done.stdout, re.MULTILINE)
