"""The examples do what they show."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from pairs import write_dataset

ROOT = Path(__file__).parents[1]


def test_the_plain_example_trains_and_compares_in_under_60_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = (ROOT / "examples" / "train_sr.py").read_text()
    assert len(source.splitlines()) < 60
    (tmp_path / "short.py").write_text(source.replace("= 500, 16, 64,", "= 100, 2, 16,"))
    dataset = write_dataset(tmp_path / "pairs", photographs=3, patch_size=32)
    monkeypatch.setattr(sys, "argv", ["short.py", str(dataset.folder)])
    runpy.run_path(str(tmp_path / "short.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert re.fullmatch(r"step 100: L1 0\.\d+\nPSNR \d+\.\d\d dB; bicubic \d+\.\d\d dB\n", printed), printed


def test_the_loader_of_the_readme_works_where_workers_are_spawned(tmp_path: Path) -> None:
    (source,) = re.findall(
        r"```python\n(.*?PairedShards.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL
    )
    source = source.replace("range(100)", "range(1)").replace("num_workers=4", "num_workers=1")
    spawn = 'import torch\ntorch.multiprocessing.set_start_method("spawn", force=True)\n'
    (tmp_path / "readme.py").write_text(
        spawn + source.replace("...", "print(tuple(hr.shape), tuple(lr.shape))")
    )
    write_dataset(tmp_path / "pairs", photographs=1, patch_size=192)
    done = subprocess.run(
        [sys.executable, "readme.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "(6, 3, 192, 192) (6, 3, 96, 96)\n", done.stderr
