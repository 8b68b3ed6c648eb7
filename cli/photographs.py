"""``sdflow inspect`` on photographs: one folder, or the two sides of a training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdflow.wording import counted

from .wording import one_line, say, show

if TYPE_CHECKING:
    from sdflow_data.inspection.photographs import Survey


_MEASURED_BEFORE_TRAINING = 40
"""The number of photographs of each side, which takes some seconds."""


def holds_photographs(folder: Path) -> bool:
    """Whether a folder contains pictures, at any depth, and is not a dataset, whole or begun.

    Raises:
        SDFlowError: it is neither.
    """
    from sdflow.errors import SDFlowError
    from sdflow_data.dataset.manifest import INFO
    from sdflow_data.dataset.plan import PLAN
    from sdflow_data.images.finding import first_picture

    if (folder / INFO).exists() or (folder / PLAN).exists():
        return False
    first = first_picture(folder)
    if not isinstance(first, Path):
        others = f"; {first}" if first else ""
        raise SDFlowError(
            f"{folder}: expected a dataset or photographs, found no {INFO} and no picture in it{others}"
        )
    return True


def inspect_photographs(
    sides: dict[str, tuple[Path, ...]], scale: int, otf: Path | None, workers: int | None
) -> "tuple[dict[str, Survey], list[str]]":
    """Measure photographs, print a description and warnings of what would spoil a training.

    Args:
        sides: the folders of the sides "HR" and "LR", or of the single side "".
        scale: the ratio of HR to LR size.
        otf: a file for the degradations of the LR photographs as options of other pipelines; None for none.
        workers: processes; None for one per core.

    Returns:
        The surveys by side, and the warnings.
    """
    from sdflow.files import write_file
    from sdflow_data.inspection.advice import advice, advice_for_training
    from sdflow_data.inspection.otf import otf_yaml
    from sdflow_data.inspection.photographs import survey

    surveys = {side: survey(folders, workers=workers) for side, folders in sides.items()}
    warnings = (
        advice_for_training(surveys["HR"], surveys["LR"], scale) if "HR" in surveys else advice(surveys[""])
    )
    show(_table(surveys))
    for warning in warnings:
        show(f"{click.style('Warning:', fg='yellow')} {one_line(warning)}")
    if not warnings:
        show("Nothing here would spoil a training.")
    if otf is not None:
        write_file(otf, otf_yaml(surveys.get("LR") or surveys[""], scale).encode())
        say(f"{otf}: options for Real-ESRGAN and traiNNer-redux")
    return surveys, warnings


def warn_before_training(hr: tuple[Path, ...], lr: tuple[Path, ...], scale: int, patch_size: int) -> None:
    """Print warnings of what would spoil a training to stderr. The training itself reports errors."""
    from sdflow.errors import SDFlowError
    from sdflow_data.images.finding import search
    from sdflow_data.inspection.advice import advice_for_training
    from sdflow_data.inspection.photographs import survey

    try:
        for folder in (*hr, *lr):
            search(folder)  # an empty folder is an error before the survey begins
        sharp, low = (survey(folders, _MEASURED_BEFORE_TRAINING) for folders in (hr, lr))
    except SDFlowError:
        return
    for warning in advice_for_training(sharp, low, scale, patch_size):
        say(f"Warning: {warning}", err=True)


def properties(photographs: "Survey") -> dict[str, str]:
    """The properties of a set of photographs in words, by name."""
    from sdflow_data.models.cameras import in_words

    sizes = photographs.sizes
    smallest, largest = (sizes[i] for i in (sizes.prod(axis=1).argmin(), sizes.prod(axis=1).argmax()))
    rows = {
        "photographs": f"{len(sizes):,}, {_size(photographs.bytes)}",
        "sizes": f"{smallest[1]}x{smallest[0]} to {largest[1]}x{largest[0]}",
        "formats": _counts(photographs.formats),
        "JPEG files": _counts(photographs.codecs) or "none",
        "rotated by EXIF": str(photographs.rotated),
        "duplicates": str(len(photographs.duplicates)),
        "unreadable": str(len(photographs.unreadable)),
        "measured": str(len(photographs.measured)),
    }
    frame = photographs.frame
    coded = frame.loc[frame["quality"] < 100, "quality"]
    rows["JPEG quality"] = (
        f"{_spread(coded)}, on {len(coded) / len(frame):.0%}" if len(coded) else "none was JPEG"
    )
    rows["noise, levels"] = _spread(frame["noise"])
    rows["blur, pixels"] = _spread(frame["blur"])
    rows["enlargement"] = _spread(frame["enlargement"])
    groups = photographs.cameras
    most = f"at most {len(groups)}, as train merges any that its measurement does not tell apart: "
    rows["cameras"] = most * (len(groups) > 1) + in_words(groups)
    rows["without colour"] = str(int(frame["grey"].sum()))
    return rows


def _counts(counts: dict[str, int], most: int = 4) -> str:
    shown = [f"{count} {name}" for name, count in list(counts.items())[:most]]
    others = sum(list(counts.values())[most:])
    return ", ".join([*shown, counted(others, "other")] if others else shown)


def _spread(values: Any) -> str:
    """The median, and the 5 % and 95 % quantiles."""
    from sdflow_data.inspection.tables import number

    if values.isna().all():
        return "not measurable"
    low, middle, high = (number(value) for value in values.astype(float).quantile([0.05, 0.5, 0.95]))
    return f"{middle} ({low} to {high})"


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _table(surveys: "dict[str, Survey]") -> str:
    columns = [properties(photographs) for photographs in surveys.values()]
    rows = [["", *surveys], *([name, *(column[name] for column in columns)] for name in columns[0])]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    return "\n".join(lines if len(surveys) > 1 else lines[1:]) + "\n"


def photographs_json(surveys: "dict[str, Survey]", warnings: list[str]) -> dict[str, Any]:
    """Surveys and warnings as plain values."""
    named = {side.lower() or "photographs": found.to_json() for side, found in surveys.items()}
    return {**named, "warnings": warnings}


def photographs_html(surveys: "dict[str, Survey]", warnings: list[str]) -> str:
    """Surveys and warnings as an HTML page; paths without what is above the folders, for it is passed on."""
    from sdflow_data.inspection.report import photographs_page

    titles = {side: ", ".join(folder.name for folder in found.folders) for side, found in surveys.items()}
    counts = [counted(len(found.sizes), "photograph") for found in surveys.values()]
    tables = {f"{side} {titles[side]}".strip(): properties(found) for side, found in surveys.items()}
    folders = {str(folder): folder.name for found in surveys.values() for folder in found.folders}
    for path in sorted(folders, key=len, reverse=True):  # a folder in another one first
        if Path(path).is_absolute() and folders[path]:
            warnings = [line.replace(path, folders[path]) for line in warnings]
    return photographs_page(" and ".join(titles.values()), " and ".join(counts), tables, warnings)
