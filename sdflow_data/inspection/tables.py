"""The table of headline statistics as text."""

import math

import pandas as pd

_PLAIN = ("generated", "bicubic")
_COMPARED = ("generated", "real", "bicubic", "distance", "interval", "floor", "ceiling")


def text_table(table: pd.DataFrame, with_real: bool) -> str:
    """A table of `compare` as aligned text: medians, and with a real set also distances."""
    columns = _COMPARED if with_real else _PLAIN
    rows = [("statistic", "unit", *columns)]
    for name, row in table.iterrows():
        rows.append((str(name), row["unit"], *(cell(row, column) for column in columns)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if i < 2 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths))
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
