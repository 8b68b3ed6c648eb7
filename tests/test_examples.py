"""The examples do what they show."""

import os
import re
import subprocess
import sys
from pathlib import Path

from pairs import write_dataset

ROOT = Path(__file__).parents[1]


def test_the_plain_example_trains_and_compares_in_under_60_lines(tmp_path: Path) -> None:
    source = (ROOT / "examples" / "train_sr.py").read_text()
    assert len(source.splitlines()) < 60
    (tmp_path / "short.py").write_text(source.replace("= 500, 16, 64,", "= 100, 2, 16,"))
    dataset = write_dataset(tmp_path / "pairs", photographs=3, patch_size=32)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "short.py"), str(dataset.folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"step 100: L1 0\.\d+\nPSNR \d+\.\d\d dB; bicubic \d+\.\d\d dB\n", done.stdout), (
        done.stdout
    )
