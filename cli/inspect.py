"""``sdflow inspect``: measures the degradations of a dataset or of photographs."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import (
    FiniteRange,
    existing_folder,
    max_pixels_option,
    new_file,
    scale_option,
    workers_option,
)
from .wording import say, show

if TYPE_CHECKING:
    from sdflow_data.inspection.inspection import Inspection

_COLOURS = {True: "green", False: "red", None: "yellow"}


@click.command("inspect")
@click.argument("folder", metavar="FOLDER", type=existing_folder, required=False)
@click.option(
    "--real",
    type=existing_folder,
    help="Real LR photographs, or a dataset of real pairs, to compare the dataset with.",
)
@click.option(
    "--hr",
    "hr_folders",
    type=existing_folder,
    multiple=True,
    help="In place of FOLDER, with --lr: sharp photographs for a training (may be given again).",
)
@click.option(
    "--lr",
    "lr_folders",
    type=existing_folder,
    multiple=True,
    help="Real low-quality photographs for that training (may be given again).",
)
@scale_option("For photographs: the ratio of HR to LR size, used by --hr, --lr and --otf.", default="4")
@click.option(
    "--otf",
    type=new_file,
    metavar="FILE",
    help="For photographs: write their blur, noise and JPEG as options of Real-ESRGAN and traiNNer-redux.",
)
@click.option("--report", type=new_file, help="Write an HTML report.")
@click.option("--json", "json_", type=new_file, help="Write everything as JSON.")
@click.option(
    "--fail-under",
    type=FiniteRange(0, 100),
    metavar="SCORE",
    help="Exit with status 1 if the dataset's score is lower: 100 is ideal, 50 passes every verdict.",
)
@click.option(
    "--thorough",
    is_flag=True,
    help="With --real: train the classifiers to their end; takes minutes to an hour.",
)
@click.option("--no-classifier", is_flag=True, help="Train no classifiers.")
@click.option(
    "--model",
    metavar="M",
    help="The model that made the dataset, for its measured camera in the report [default: a built-in one].",
)
@workers_option
@max_pixels_option
def command(
    folder: Path | None,
    real: Path | None,
    hr_folders: tuple[Path, ...],
    lr_folders: tuple[Path, ...],
    scale: int,
    otf: Path | None,
    report: Path | None,
    json_: Path | None,
    fail_under: float | None,
    thorough: bool,
    no_classifier: bool,
    model: str | None,
    workers: int | None,
) -> int:
    """Measure the degradations of FOLDER, a dataset or photographs.

    A dataset: noise, blur, colour, alignment, compression, diversity. --real also compares every statistic
    with real photographs. The distance (Wasserstein-1, in the statistic's unit) is shown between a floor,
    real photographs from one another, and a ceiling, bicubic LR from real photographs.

    Photographs, or the two sides of a training in --hr and --lr: sizes, formats, JPEG, noise, blur,
    enlargement, duplicates, and warnings of what would spoil a training, each with a remedy.

    \b
    Example:
      sdflow inspect pairs --real photos --report report.html --fail-under 50
      sdflow inspect photos --otf otf.yml
      sdflow inspect --hr sharp --lr camera --scale 4
    """
    from .photographs import holds_photographs, inspect_photographs, photographs_html, photographs_json

    if bool(hr_folders) != bool(lr_folders):
        raise click.UsageError("--hr, --lr: expected both or neither, got one")
    if (folder is None) == (not hr_folders):
        raise click.UsageError("expected FOLDER, or --hr and --lr, got both or neither")
    inputs = [each for each in (folder, real, *hr_folders, *lr_folders) if each is not None]
    _keep_inputs([each for each in (report, json_, otf) if each is not None], inputs)
    if folder is not None and not holds_photographs(folder):
        if otf is not None:
            raise click.UsageError("--otf: expected photographs, found a dataset")
        return _inspect_dataset(
            folder, real, report, json_, fail_under, thorough, no_classifier, model, workers
        )
    if real is not None or fail_under is not None or model is not None:
        raise click.UsageError("--real, --fail-under, --model: expected a dataset, found photographs")
    sides: dict[str, tuple[Path, ...]] = (
        {"HR": hr_folders, "LR": lr_folders} if folder is None else {"": (folder,)}
    )
    surveys, warnings = inspect_photographs(sides, scale, otf, workers)
    _write(
        json_,
        lambda: photographs_json(surveys, warnings),
        report,
        lambda: photographs_html(surveys, warnings),
    )
    return 0


def _keep_inputs(outputs: list[Path], inputs: list[Path]) -> None:
    """Refuse an output that would replace a picture, or a file of a dataset, of an input."""
    from sdflow.errors import SDFlowError
    from sdflow_data.dataset.manifest import FAILURES, INFO, MANIFEST
    from sdflow_data.dataset.plan import PLAN
    from sdflow_data.dataset.provenance import DESCRIPTION
    from sdflow_data.images.formats import read_suffixes
    from sdflow_data.system.folders import resolved

    own = {INFO, MANIFEST, FAILURES, PLAN, DESCRIPTION}
    for output in (each for each in outputs if each.exists()):
        is_own = output.name in own or output.suffix.lower() in (".h5", *read_suffixes())
        for folder in inputs:
            if is_own and resolved(output).is_relative_to(resolved(folder)):
                raise SDFlowError(f"{output}: expected a new file, found one of the input {folder}")


def _inspect_dataset(
    folder: Path,
    real: Path | None,
    report: Path | None,
    json_: Path | None,
    fail_under: float | None,
    thorough: bool,
    no_classifier: bool,
    model: str | None,
    workers: int | None,
) -> int:
    from sdflow_data.dataset.manifest import read_dataset
    from sdflow_data.inspection.classifier import QUICK, THOROUGH
    from sdflow_data.inspection.inspection import inspect_dataset
    from sdflow_data.inspection.report import report_html
    from sdflow_data.inspection.tables import component_table

    if thorough and (no_classifier or real is None):
        raise click.UsageError("--thorough: expected --real, and not --no-classifier")
    classifier = None if no_classifier else THOROUGH if thorough else QUICK
    inspection = inspect_dataset(read_dataset(folder), real, classifier, workers, model)
    for skipped in [] if inspection.real is None else inspection.real.skipped:
        say(f"skipped {skipped}", err=True)
    if inspection.classified is not None:
        effort, seconds = inspection.classified.effort, inspection.classified.seconds
        budget = f"{effort.splits} splits of at most {effort.steps:,} steps"
        show(f"classifiers: {budget}, {seconds:.0f} s", err=True)
    show(_table(inspection))
    if components := component_table(inspection.components, inspection.cameras):
        show(components)
    for measure in inspection.noise:
        value = (
            "not measurable" if math.isnan(measure.value) else f"{measure.value:.3g} {measure.unit}".strip()
        )
        show(f"{measure.name}: {value} ({measure.definition})")
    show(_verdicts(inspection))
    hints = list(_hints(inspection, thorough))
    for hint in hints:
        show(hint)
    _write(json_, inspection.to_json, report, lambda: report_html(inspection))
    if fail_under is None:
        return 0
    if inspection.unanswered:
        reasons = "; ".join(f"{verdict.question} {verdict.unanswered}" for verdict in inspection.unanswered)
        expected = f"Error: --fail-under: expected an answer to every question, but {reasons}."
        show(" ".join([expected, *hints]), err=True)
        return 1
    if not inspection.score >= fail_under:
        show(
            f"Error: --fail-under: expected a score of at least {fail_under:g}, got {inspection.score:.0f}",
            err=True,
        )
        return 1
    return 0


def _write(
    json_: Path | None, values: Callable[[], Any], report: Path | None, page: Callable[[], str]
) -> None:
    """Write the requested files."""
    import json

    from sdflow.files import write_file

    if json_ is not None:
        write_file(json_, _utf8(json.dumps(values(), indent=2, ensure_ascii=False) + "\n"))
        say(f"{json_}: everything as JSON")
    if report is not None:
        write_file(report, _utf8(page()))
        say(f"{report}: the report, for a browser")


def _utf8(text: str) -> bytes:
    """UTF-8. Bytes of file names that are not UTF-8 become escapes, which JSON reads and HTML shows."""
    return text.encode("utf-8", "backslashreplace")


def _table(inspection: "Inspection") -> str:
    from sdflow_data.inspection.tables import text_table
    from sdflow_data.statistics import STATISTICS

    headline = [name for name in inspection.table.index if STATISTICS[name].headline]
    return text_table(inspection.table.loc[headline], with_real=inspection.real is not None)


def _verdicts(inspection: "Inspection") -> str:
    lines = []
    for verdict in inspection.verdicts:
        answer = click.style(f"{verdict.answer:<14}", fg=_COLOURS[verdict.passed])
        reasons = [f"{m.text} ({m.threshold})" for m in verdict.measures] or [verdict.unanswered]
        lines.append(f"{verdict.question:<12} {answer} {reasons[0]}")
        lines += [" " * 28 + reason for reason in (*reasons[1:], *verdict.notes)]
    score = f"{inspection.score:.0f} of 100, that of the worst verdict; 50 passes."
    if inspection.unanswered:
        total = len(inspection.verdicts)
        answered = total - len(inspection.unanswered)
        score = f"{inspection.score:.0f} of 100, that of the worst verdict; {answered} of {total} answered."
    lines.append(f"\n{inspection.conclusion}\nScore {score}")
    return "\n".join(lines)


def _hints(inspection: "Inspection", thorough: bool) -> Iterator[str]:
    """The options that answer more questions, or answer them better."""
    classified = inspection.classified
    if inspection.real is None:
        yield "--real compares the dataset with real photographs."
    elif classified is not None and not thorough and (inspection.passed or classified.at_the_bound):
        yield "--thorough trains the classifiers to their end."
