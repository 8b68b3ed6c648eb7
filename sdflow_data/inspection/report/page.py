"""The report of a dataset as an HTML page: verdicts, statistics, pictures, provenance."""

import math
from html import escape
from pathlib import PurePath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from sdflow.wording import counted

from ...models.cameras import ModelCamera
from ...statistics import STATISTICS
from ..classifier import Classification
from ..inspection import Inspection
from ..tables import cell, number
from ..verdicts import MOST_POSITION, Measure, Verdict
from . import gallery, plots
from .markup import data_table, mood, properties, track, whole_page


def report_html(inspection: Inspection) -> str:
    """The whole report, a self-contained page: no network, no other file, all names escaped."""
    sections = {
        "verdicts": ("Verdicts", _verdicts(inspection)),
        "told": ("What tells samples from photographs", _single_statistics(inspection)),
        "statistics": ("Statistic by statistic", _statistics(inspection)),
        "noise": ("Noise, as papers measure it", _noise_measures(inspection)),
        "figures": ("Spectrum, noise, alignment, blur", _figures(inspection)),
        "cameras": ("What the model measured of the camera", _cameras(inspection)),
        "gallery": ("Gallery", gallery.patches(inspection)),
        "components": ("Mixture components", gallery.components(inspection)),
        "origin": ("Provenance", _provenance(inspection)),
    }
    shown = {key: (title, content) for key, (title, content) in sections.items() if content}
    contents = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, (title, _) in shown.items())
    main = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title">'
        f'<h2 id="{key}-title">{title}</h2>{content}</section>'
        for key, (title, content) in shown.items()
    )
    return whole_page(
        f"{inspection.dataset.folder.name}: degradation report",
        f"""{_header(inspection)}
<nav aria-label="Contents"><ol>{contents}</ol></nav>
<main>{main}</main>{_FOOTER}""",
        plots.data(inspection),
    )


def _header(inspection: Inspection) -> str:
    info, counts = inspection.dataset.info, inspection.dataset.info["counts"]
    size = info["patch_size"]
    parts = [
        counted(counts["samples"], "sample"),
        f"{counted(counts['patches'], 'patch', 'patches')} of {size} px "
        f"from {counted(counts['sources'], 'photograph')}",
        f"scale {info['scale']}",
        f"model {_plain(info.get('model', 'unknown'))}",
    ]
    if inspection.real is not None:
        frame = inspection.real.patches.frame
        parts.append(
            f"compared with {counted(len(frame), 'patch', 'patches')} "
            f"of {counted(frame['group'].nunique(), 'real photograph')} in {inspection.real.folder.name}"
        )
    total = len(inspection.verdicts)
    answered = total - len(inspection.unanswered)
    score, of = f"{inspection.score:.0f}", "of 100; 50 passes"
    if inspection.passed is None:
        score, of = str(answered), f"of {total} answered"
    return f"""
<header>
  <div>
    <p class="kicker">Degradation report</p>
    <h1>{escape(inspection.dataset.folder.name)}</h1>
    <p class="properties">{" · ".join(map(escape, parts))}</p>
    <p class="conclusion">{escape(inspection.conclusion)}</p>
  </div>
  <div class="score {mood(inspection.passed)}">
    <b>{score}</b><span>{of}</span>
  </div>
</header>"""


def _verdicts(inspection: Inspection) -> str:
    cards = "".join(map(_card, inspection.verdicts))
    return f"""
  <div class="cards">{cards}</div>
  <p class="note">Yes is the good answer to every question. A question without an answer does not pass. Every
  measure has a score from 0 to 100: 100 is ideal, 50 is its threshold. The score of a question is that of its
  worst measure. The score of the dataset is that of its worst question.</p>"""


def _card(verdict: Verdict) -> str:
    measures = "".join(map(_measure, verdict.measures))
    remarks = verdict.notes if measures else (verdict.unanswered, *verdict.notes)
    measures += "".join(f"<p class='remark'>{escape(remark)}</p>" for remark in remarks)
    return f"""
<article class="card {mood(verdict.passed)}">
  <h3>
    <span class="question">{escape(verdict.question)}</span>
    <span class="answer">{escape(verdict.answer)}</span>
  </h3>
  {measures}
</article>"""


def _measure(measure: Measure) -> str:
    score = f"{measure.score:.0f}"
    return f"""
<div class="measure">
  <p>{escape(measure.text)}</p>
  <div class="gauge {mood(measure.score >= 50)}" role="img" aria-label="{score} of 100">
    <i style="width:{score}%"></i>
  </div>
  <p class="threshold">{escape(measure.threshold)}</p>
</div>"""


def _single_statistics(inspection: Inspection) -> str:
    """How well single statistics and the classifier distinguish samples; empty without a real set."""
    if not inspection.single_statistics:
        return ""
    rows = ""
    for found in inspection.single_statistics:
        rows += (
            f"<tr><th scope='row'>{_name(found.name)}</th><td>{'more' if found.more else 'less'}</td>"
            f"<td>{found.auc:.2f}</td><td>{found.floor:.2f}</td>"
            f"<td>{track(2 * found.auc - 1, 'from 0.5 to 1', found.excess <= 1)}</td></tr>"
        )
    heads = ("statistic", "samples have", "AUC", "real from real", "0.5 to 1")
    return f"""
  <p class="note">The area under the ROC curve (AUC) is 0.5 if samples cannot be distinguished from
  photographs, and 1 if they always can. Real from real: 95 % of other sets of photographs stay below this
  AUC.</p>
  {data_table("Single statistics", heads, rows)}{_parts(inspection.classified)}"""


def _parts(classified: Classification | None) -> str:
    if classified is None or not classified.generated.values:
        return ""
    rows = ""
    for part, area in sorted(classified.parts.items(), key=lambda item: -abs(item[1] - 0.5)):
        off = 2 * abs(area - 0.5)
        place = track(off, "from 0.5 to 1", off <= MOST_POSITION)
        rows += (
            f"<tr><th scope='row'>{escape(part)}</th><td>{area:.2f}</td><td>{place}</td>"
            f"<td>{classified.without[part]:.2f}</td></tr>"
        )
    effort = classified.effort
    bound = (
        " Some still learned at their last step, so more steps may find more."
        if classified.at_the_bound
        else ""
    )
    return f"""
  <h3>The classifier</h3>
  <p class="note">One network for each of {effort.splits} splits by photograph, of at most {effort.steps:,}
  steps each; {classified.seconds:.0f} seconds in all. They distinguish the dataset with AUC
  {classified.generated.mean:.2f} ({classified.generated.low:.2f} to {classified.generated.high:.2f}).{bound}
  The table compares photographs with one band of a sample with photographs with this band of another
  photograph. Its last column is the AUC of samples if both sides lack the band: a band without which they are
  harder to distinguish matters, alone or together with others.</p>
  {data_table("Bands", ("band of the samples", "AUC", "0.5 to 1", "AUC without it"), rows)}"""


def _name(statistic: str) -> str:
    """The description of a statistic, with its name in frames and JSON."""
    return f"{escape(STATISTICS[statistic].description)} <code>{statistic}</code>"


def _statistics(inspection: Inspection) -> str:
    compared = inspection.real is not None
    table = inspection.table
    held = table["distance"].notna()
    parts = [("Against real photographs", table[held], True)] if compared else []
    alone = "Pairs and variants, which photographs do not have" if compared else "Medians"
    parts.append((alone, table[~held], False))
    legend = (
        "Medians, and the distance between the distributions of the dataset and the real photographs "
        "(Wasserstein-1, in the statistic’s unit) with a bootstrap interval over photographs. Floor: real "
        "photographs from one another. Ceiling: bicubic LR from real photographs. The last column is the "
        "position of the distance between the two. It cannot be told if the ceiling is hardly above the "
        "floor."
        if compared
        else "Medians of the dataset, and of the bicubic LR of the same HR patches."
    )
    return f"""
  <div class="chosen">
    <div class="figure"><div class="plot" data-plot="histogram"></div></div>
    <div class="about" id="about" aria-live="polite"></div>
  </div>
  <p class="note">{legend} Choose a row to see its distribution.</p>
  {"".join(_table(*part) for part in parts if len(part[1]))}
  <button type="button" id="more" aria-expanded="false">Show all {len(table)} statistics</button>"""


def _table(title: str, table: pd.DataFrame, compared: bool) -> str:
    heads = ["statistic", "unit", "generated", *(["real"] if compared else []), "bicubic"]
    heads += ["distance", "90 % interval", "floor", "ceiling", "floor to ceiling"] if compared else []
    short = [STATISTICS[str(name)].headline for name in table.index]
    rows, more = (
        "".join(_row(str(name), row, compared) for name, row in table[chosen].iterrows())
        for chosen in (np.array(short, bool), ~np.array(short, bool))
    )
    return f"<h3>{title}</h3>" + data_table(title, heads, rows, more, "statistics")


def _row(name: str, row: pd.Series, compared: bool) -> str:
    cells = [row["generated"], *([row["real"]] if compared else []), row["bicubic"]]
    text = "".join(f"<td>{number(value)}</td>" for value in cells)
    if compared:
        text += _distances(row)
    return (
        f'<tr data-statistic="{name}"><th scope="row">'
        f'<button type="button" aria-pressed="false">{name.replace("_", "_<wbr>")}</button> '
        f"<small>{escape(row['description'])}</small></th><td>{escape(row['unit'])}</td>{text}</tr>"
    )


def _distances(row: pd.Series) -> str:
    """The cells of the distance to the photographs, from its value to its position."""
    shown = [cell(row, column) for column in ("distance", "interval", "floor", "ceiling")]
    return "".join(f"<td>{text}</td>" for text in (*shown, _position(row)))


def _position(row: pd.Series) -> str:
    position = row["position"]
    if not math.isnan(position):
        return track(position, "of the way", position <= MOST_POSITION)
    beyond = row["low"] > max(row["floor"], row["ceiling"])
    return "<strong class='bad'>beyond both</strong>" if beyond else "cannot be told"


def _noise_measures(inspection: Inspection) -> str:
    if not inspection.noise:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{escape(found.name)}</th><td>{number(found.value)}</td>"
        f"<td>{escape(found.unit)}</td><td>{escape(found.definition)}</td></tr>"
        for found in inspection.noise
    )
    return f"""
  <p class="note">Samples against the real LR of the same HR patches. Noise is LR minus bicubic LR, as a
  fraction of the range, so blur counts as noise on both sides.</p>
  {data_table("Noise measures", ("measure", "value", "unit", "definition"), rows)}"""


def _figures(inspection: Inspection) -> str:
    kernel = plots.kernel_figure(inspection.measured.kernel)
    return f"""
  <div class="figures">
    <figure><figcaption>Radial power spectrum <small>median and middle 68 %</small></figcaption>
      <div class="plot" data-plot="spectrum"></div></figure>
    <figure><figcaption>Noise against brightness <small>medians, and variance = gain · level + dark²</small>
      </figcaption><div class="plot" data-plot="noise"></div></figure>
    <figure><figcaption>Shift of LR against bicubic <small>LR pixels</small></figcaption>
      <div class="plot" data-plot="shift"></div></figure>
    {kernel}
  </div>
  <p class="note">Drag across a plot to zoom; click a name to show or hide its curve.</p>"""


def _cameras(inspection: Inspection) -> str:
    figures = "".join(
        f"""
  {_heading(number, camera.described)}
  <div class="figures">
    <figure><figcaption>Response <small>along rows, content to LR</small></figcaption>
      <div class="plot" data-plot="response-{number}"></div></figure>
    <figure><figcaption>Noise of each colour <small>standard deviation</small></figcaption>
      <div class="plot" data-plot="noise-{number}"></div></figure>
    {plots.camera_figure(camera.measured)}
  </div>"""
        for number, camera in enumerate(inspection.cameras)
    )
    return (
        figures
        and f"""{figures}
  <p class="note">The response and the noise of luma and two colour differences, measured from the power
  spectra of the photographs before training. Training may have changed them since.</p>"""
    )


def _heading(number: int, camera: ModelCamera | None) -> str:
    return f"<h3>Camera {number}: {escape(str(camera))}</h3>" if camera else ""


def _provenance(inspection: Inspection) -> str:
    info = inspection.dataset.info
    metadata = {"folder": inspection.dataset.folder.name} | {
        key: value for key, value in info.items() if key not in ("files", "counts")
    }
    metadata |= {f"number of {key}": value for key, value in info["counts"].items()}
    skipped = ""
    if inspection.real is not None:
        within = f"{inspection.real.folder}/"
        names = [line.removeprefix(within) for line in inspection.real.skipped]
        skipped = "".join(f"<li>{escape(name)}</li>" for name in names)
    if skipped:
        skipped = f"<h3>Real photographs without a patch</h3><ul class='skipped'>{skipped}</ul>"
    return properties({key.replace("_", " "): _plain(value) for key, value in metadata.items()}) + skipped


def _plain(value: Any) -> str:
    """A value of ``dataset.json`` in words; paths without their folders, because reports are passed on."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')}: {_plain(part)}" for key, part in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return (
        PurePath(text).name if PurePath(text).is_absolute() or PureWindowsPath(text).is_absolute() else text
    )


_FOOTER = """
<footer>Grey levels run from 0 to 255; pixels are LR pixels. Made by <code>sdflow inspect</code>.</footer>
<dialog id="lightbox" aria-label="Pictures side by side"><div class="side"></div><p></p>
<small>← → other pictures, ↑ ↓ other patches</small>
<button type="button" data-step="-1">Previous</button> <button type="button" data-step="1">Next</button>
<button type="button">Close</button></dialog>
<div id="tooltip" hidden></div>"""
