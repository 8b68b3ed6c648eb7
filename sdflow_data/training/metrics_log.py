"""The metrics of a training: one row per step in ``metrics.csv``, and TensorBoard's curves."""

import csv
import io
from pathlib import Path

import numpy as np

from sdflow.errors import SDFlowError
from sdflow.files import reading, write_file

from .curves import Curves


class MetricsLog:
    """Rows of named values by step.

    Rows that a killed run wrote after its last state are dropped, because the resumed run repeats these
    steps.

    Args:
        path: the path of the CSV file.
        events: the folder of TensorBoard's event files.
        step: the step that the run continues from.
        writable: if False, nothing is kept or written, because one of several processes writes.

    Raises:
        SDFlowError: the file exists, but does not contain metrics.
    """

    def __init__(self, path: Path, events: Path, step: int, writable: bool = True) -> None:
        self._path, self._writable = path, writable
        self._curves = Curves(events if writable else None, step)
        self._rows = _read(path) if writable and path.exists() else []
        self._names = dict.fromkeys(name for row in self._rows for name in row)
        self.forget_after(step)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._curves.close()

    def add(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """Add the values of a step, with the seconds of training so far."""
        if self._writable:
            self._rows.append({"step": step, "seconds": round(seconds, 1), **values})
            self._names |= dict.fromkeys(self._rows[-1])
            self._curves.add(self._rows[-1])

    def amend(self, values: dict[str, float]) -> None:
        """Add further values to the newest step, if there is one."""
        if self._rows and values:
            self._rows[-1] |= values
            self._names |= dict.fromkeys(values)
            self._curves.add({"step": self._rows[-1]["step"], **values})

    def show(self, sheet: np.ndarray, step: int) -> None:
        """Add a sample sheet, uint8 (H, W, 3), to the curves."""
        self._curves.show(sheet, step)

    def forget_after(self, step: int) -> None:
        """Drop the rows of later steps."""
        self._rows = [row for row in self._rows if row["step"] <= step]

    def write(self) -> None:
        """Replace the file. A cell is empty if the step has no such value."""
        if not self._rows:
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self._names), restval="")
        writer.writeheader()
        for row in self._rows:
            writer.writerow({name: int(v) if name == "step" else f"{v:.6g}" for name, v in row.items()})
        write_file(self._path, text.getvalue().encode())


def _read(path: Path) -> list[dict[str, float]]:
    try:
        with reading(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as stream:
            rows = [{name: float(v) for name, v in row.items() if v} for row in csv.DictReader(stream)]
        if any(not row.get("step", -1) >= 0 or not row["step"].is_integer() for row in rows):
            raise ValueError("a row without a step")
    except (OSError, ValueError, AttributeError, TypeError, csv.Error) as error:
        raise SDFlowError(f"{path}: expected the metrics of this run, found {error}") from error
    return rows
