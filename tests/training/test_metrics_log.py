"""metrics.csv: every step once, with the values that only some steps have."""

import csv
from pathlib import Path

import pytest

from sdflow.errors import SDFlowError
from sdflow_data.training.metrics_log import MetricsLog


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def log(folder: Path, step: int = 0, writable: bool = True) -> MetricsLog:
    return MetricsLog(folder / "metrics.csv", folder / "tensorboard", step, writable)


def test_a_resumed_log_holds_each_step_once(tmp_path: Path) -> None:
    for start, stop in ((0, 5), (3, 6)):  # the first was killed after a state at step 3
        with log(tmp_path, start) as metrics:
            for step in range(start, stop):
                metrics.add(step + 1, float(step), {"cycle": 0.5})
            metrics.write()
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == ["1", "2", "3", "4", "5", "6"]


def test_a_value_of_some_steps_is_empty_in_the_others(tmp_path: Path) -> None:
    with log(tmp_path) as metrics:
        metrics.add(1, 0.1, {"cycle": 0.5, "val_psnr": 30.0})
        metrics.add(2, 0.2, {"cycle": 0.5})
        metrics.add(3, 0.3, {"cycle": 0.5})
        metrics.amend({"val_psnr": 31.0})
        metrics.write()
    assert [row["val_psnr"] for row in rows(tmp_path / "metrics.csv")] == ["30", "", "31"]


def test_a_log_without_steps_writes_no_file(tmp_path: Path) -> None:
    with log(tmp_path) as metrics:
        metrics.amend({"val_psnr": 31.0})
        metrics.write()
    assert not (tmp_path / "metrics.csv").exists()


@pytest.mark.parametrize(
    "content",
    [
        "step,cycle\n1,high\n",
        "cycle\n1\n",
        "step,cycle\n1,2,3\n",
        *(f"step,cycle\n{step},1\n" for step in ("nan", "inf", "-1", "0.5")),
    ],
)
def test_a_file_that_holds_no_metrics_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.csv").write_text(content, encoding="utf-8")
    with pytest.raises(SDFlowError, match=r"metrics\.csv: expected the metrics"):
        log(tmp_path)
