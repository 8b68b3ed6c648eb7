"""The tables of headline statistics and of mixture components as text."""

import math
from collections.abc import Collection, Sequence

import pandas as pd

from ..models.measured import CameraOfModel
from .components import ComponentShare

_PLAIN = ("generated", "bicubic")
_COMPARED = ("generated", "real", "bicubic", "distance", "interval", "floor", "ceiling")


def text_table(table: pd.DataFrame, with_real: bool) -> str:
    """A table of `compare` as aligned text: medians, and with a real set also distances."""
    columns = _COMPARED if with_real else _PLAIN
    rows = [("statistic", "unit", *columns)]
    for name, row in table.iterrows():
        rows.append((str(name), row["unit"], *(cell(row, column) for column in columns)))
    return _aligned(rows, to_the_left=("statistic", "unit"))


def component_table(components: Sequence[ComponentShare], cameras: Sequence[CameraOfModel]) -> str:
    """A table of the components of a dataset and of their cameras; empty if there is nothing to tell apart.

    Args:
        components: the components.
        cameras: the measured cameras of the model, by component.
    """
    described = {number: camera.described for number, camera in enumerate(cameras) if camera.described}
    if len(components) < 2 and not described:
        return ""
    rows = [("component", "samples", "share", "weight", "noise, levels", "sharpness, 1/pixel", "camera")]
    for one in components:
        weight = "—" if one.weight is None else f"{one.weight:.1%}"
        figures = (f"{one.samples:,}", f"{one.share:.1%}", weight, number(one.noise), number(one.sharpness))
        camera = described.get(one.component)
        rows.append((str(one.component), *figures, str(camera) if camera else "—"))
    told = [i for i in range(len(rows[0])) if any(row[i] != "—" for row in rows[1:])]
    return _aligned([[row[i] for i in told] for row in rows], to_the_left=("component", "camera"))


def _aligned(rows: Sequence[Sequence[str]], to_the_left: Collection[str]) -> str:
    """Rows under the first of them, the head, with their columns aligned to the left or to the right."""
    head = rows[0]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join(
            text.ljust(width) if name in to_the_left else text.rjust(width)
            for name, text, width in zip(head, row, widths)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]]) + "\n"


def number(value: float) -> str:
    """A number with three digits or less; a dash for NaN."""
    if math.isnan(value):
        return "—"
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{round(value, digits) + 0.0:.{digits}f}"  # + 0.0: no "-0.00"


def cell(row: pd.Series, column: str) -> str:
    """A number of a row of `compare`, or "interval": that of its distance; a dash for NaN."""
    if column != "interval":
        return number(row[column])
    low, high = row["low"], row["high"]
    return "—" if math.isnan(low) else f"{number(low)} to {number(high)}"
