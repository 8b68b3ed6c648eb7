"""The page: verdicts first, then the statistics, pictures, and what made the dataset."""

import json
from html import escape
from importlib import resources
from string import Template
from typing import Any

import pandas as pd

from ...statistics import STATISTICS
from ..inspection import Inspection
from ..tables import number
from ..verdicts import Measure, Verdict
from . import gallery, plots


def report_html(inspection: Inspection) -> str:
    """The whole report, a self-contained page: no network, no other file, file names escaped."""
    sections = [
        _header(inspection),
        _verdicts(inspection),
        _statistics(inspection),
        _figures(inspection),
        gallery.patches(inspection),
        gallery.components(inspection),
        _provenance(inspection),
        _footer(),
    ]
    return Template(_file("page.html")).substitute(
        title=escape(f"{inspection.dataset.folder.name}: degradation report"),
        style=_file("report.css"),
        script=_file("report.js"),
        data=_json(plots.data(inspection)),
        body="\n".join(sections),
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that can stand in a script element, whatever strings are in it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _header(inspection: Inspection) -> str:
    info, counts = inspection.dataset.info, inspection.dataset.info["counts"]
    size = info["patch_size"]
    facts = [
        f"{counts['samples']:,} samples",
        f"{counts['patches']:,} patches of {size} px from {counts['sources']:,} photographs",
        f"scale {info['scale']}",
        f"model {info['model']}",
    ]
    if inspection.real is not None:
        frame = inspection.real.patches.frame
        facts.append(
            f"held against {len(frame):,} patches of {frame['group'].nunique():,} real photographs "
            f"in {inspection.real.folder.name}"
        )
    score = inspection.score
    shown = f"{score:.0f}" if score == score else "?"
    return f"""
<header>
  <div>
    <p class="kicker">Degradation report</p>
    <h1>{escape(inspection.dataset.folder.name)}</h1>
    <p class="facts">{" · ".join(map(escape, facts))}</p>
  </div>
  <div class="score {_mood(score >= 50 if score == score else None)}" title="The score of the worst verdict">
    <b>{shown}</b><span>of 100</span>
  </div>
</header>"""


def _verdicts(inspection: Inspection) -> str:
    cards = "".join(map(_card, inspection.verdicts))
    return f"""
<section id="verdicts">
  <h2>Verdicts</h2>
  <div class="cards">{cards}</div>
  <p class="note">Every measure is scored from 0 to 100: 100 is ideal, 50 is at its threshold. A question has
  the score of its worst measure, the dataset that of its worst question.</p>
</section>"""


def _card(verdict: Verdict) -> str:
    measures = "".join(map(_measure, verdict.measures)) or f"<p class='untold'>{escape(verdict.untold)}</p>"
    return f"""
<article class="card {_mood(verdict.passed)}">
  <h3>{escape(verdict.question)} <span class="answer">{escape(verdict.answer)}</span></h3>
  {measures}
</article>"""


def _measure(measure: Measure) -> str:
    mood, score = _mood(measure.score >= 50), f"{measure.score:.0f}"
    return f"""
<div class="measure">
  <p>{escape(measure.text)}</p>
  <div class="gauge {mood}" title="{score} of 100"><i style="width:{score}%"></i></div>
  <p class="threshold">{escape(measure.threshold)}</p>
</div>"""


def _mood(passed: bool | None) -> str:
    return {True: "good", False: "bad", None: "open"}[passed]


def _statistics(inspection: Inspection) -> str:
    compared = inspection.real is not None
    table = inspection.table
    headline = [name for name in table.index if STATISTICS[name].headline]
    others = [name for name in table.index if not STATISTICS[name].headline]
    heads = ["statistic", "unit", "generated", *(["real"] if compared else []), "bicubic"]
    heads += ["distance", "90 % interval", "floor", "ceiling", "floor to ceiling"] if compared else []
    head = "".join(f"<th>{name}</th>" for name in heads)
    rows = "".join(_row(name, table.loc[name], compared) for name in headline)
    more = "".join(_row(name, table.loc[name], compared) for name in others)
    legend = (
        "Medians, and the distance of the whole distribution from that of the real photographs "
        "(Wasserstein-1, in the statistic’s unit) with a bootstrap interval over photographs. Floor: real "
        "photographs from one another. Ceiling: bicubic LR from real photographs. The last column: where "
        "between the two the distance lies."
        if compared
        else "Medians of the dataset, and of the bicubic LR of the same HR patches."
    )
    return f"""
<section id="statistics">
  <h2>Statistic by statistic</h2>
  <div class="chosen">
    <div class="figure"><div class="plot" data-plot="histogram"></div></div>
    <div class="about" id="about"></div>
  </div>
  <p class="note">{legend} Choose a row to see its distribution.</p>
  <div class="scroll"><table class="statistics">
    <thead><tr>{head}</tr></thead>
    <tbody>{rows}</tbody>
    <tbody class="more" hidden>{more}</tbody>
  </table></div>
  <button type="button" id="more">Show all {len(table)} statistics</button>
</section>"""


def _row(name: str, row: pd.Series, compared: bool) -> str:
    cells = [row["generated"], *([row["real"]] if compared else []), row["bicubic"]]
    text = "".join(f"<td>{number(value)}</td>" for value in cells)
    if compared:
        low, high = number(row["low"]), number(row["high"])
        interval = "—" if low == "—" else f"{low} to {high}"
        text += f"<td>{number(row['distance'])}</td><td>{interval}</td>"
        text += f"<td>{number(row['floor'])}</td><td>{number(row['ceiling'])}</td>"
        text += f"<td>{_track(row['position'])}</td>"
    return (
        f'<tr data-statistic="{name}" tabindex="0" title="{escape(row["description"])}">'
        f"<th>{name}</th><td>{escape(row['unit'])}</td>{text}</tr>"
    )


def _track(position: float) -> str:
    """A line from floor to ceiling with a dot where the distance lies; beyond the ceiling at its end."""
    if position != position:
        return '<span class="track empty" title="floor and ceiling are alike"></span>'
    mood = _mood(position <= 0.5)
    left = min(position, 1.0) * 100
    return f'<span class="track {mood}" title="{position:.0%}"><i style="left:{left:.0f}%"></i></span>'


def _figures(inspection: Inspection) -> str:
    kernel = plots.kernel_figure(inspection.measured.kernel)
    return f"""
<section id="figures">
  <h2>Spectrum, noise, alignment, blur</h2>
  <div class="figures">
    <figure><figcaption>Radial power spectrum <small>median and middle 68 %</small></figcaption>
      <div class="plot" data-plot="spectrum"></div></figure>
    <figure><figcaption>Noise against brightness <small>medians, and variance = gain · level + dark²</small>
      </figcaption><div class="plot" data-plot="noise"></div></figure>
    <figure><figcaption>Shift of LR against bicubic <small>LR pixels</small></figcaption>
      <div class="plot" data-plot="shift"></div></figure>
    {kernel}
  </div>
  <p class="note">Drag across a plot to zoom, double-click to see all of it again; names switch their curves
  on and off.</p>
</section>"""


def _provenance(inspection: Inspection) -> str:
    info = inspection.dataset.info
    facts = {"folder": str(inspection.dataset.folder)} | {
        key: value for key, value in info.items() if key not in ("files", "counts")
    }
    facts |= {f"number of {key}": value for key, value in info["counts"].items()}
    rows = "".join(
        f"<tr><th>{escape(key.replace('_', ' '))}</th><td>{escape(_plain(value))}</td></tr>"
        for key, value in facts.items()
    )
    skipped = (
        "" if inspection.real is None else "".join(f"<li>{escape(s)}</li>" for s in inspection.real.skipped)
    )
    if skipped:
        skipped = f"<h3>Real photographs that gave no patch</h3><ul class='skipped'>{skipped}</ul>"
    return f"""
<section id="origin">
  <h2>What made this dataset</h2>
  <table class="facts-table">{rows}</table>
  {skipped}
</section>"""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _footer() -> str:
    return """
<footer>Grey levels run from 0 to 255; pixels are LR pixels. Made by <code>sdflow inspect</code>.</footer>
<dialog id="lightbox"><img alt=""><p></p></dialog>
<div id="tooltip" hidden></div>"""
