"""Parts that the pages share: the frame of a page, tables, lines with a dot."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any


def whole_page(title: str, body: str, data: Any = None) -> str:
    """A self-contained page: no network, no other file.

    Args:
        title: the title, as plain text.
        body: the body as HTML.
        data: the data of the plots; None for a page without a script.
    """
    return Template(_file_text("page.html")).substitute(
        title=escape(title),
        style=_file_text("report.css"),
        script="" if data is None else _file_text("report.js"),
        data=_json(data),
        body=body,
    )


def _file_text(name: str) -> str:
    """The text of a file beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that is safe inside a script element, whatever strings it has."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def data_table(label: str, heads: Sequence[str], rows: str, more: str = "", kind: str = "") -> str:
    """A table that scrolls sideways if it is too wide, also by keyboard. The script shows the hint then.

    Args:
        label: what the table shows, for screen readers.
        heads: the heads of the columns, plain text.
        rows: the rows as HTML.
        more: further rows, hidden until the script shows them.
        kind: the class of the table.
    """
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in heads)
    bodies = f"<tbody>{rows}</tbody>" + (f'<tbody class="more" hidden>{more}</tbody>' if more else "")
    table = f'<table class="{kind}"><thead><tr>{head}</tr></thead>{bodies}</table>'
    return (
        '<p class="hint note" hidden>The table continues to the right.</p>'
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">{table}</div>'
    )


def properties(rows: Mapping[str, str]) -> str:
    """A table of names and values, which are plain text."""
    cells = "".join(
        f"<tr><th scope='row'>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f'<table class="metadata"><tbody>{cells}</tbody></table>'


def track(position: float, of: str, good: bool) -> str:
    """A line with a dot at a position from 0 to 1; positions outside are clipped."""
    left = min(max(position, 0.0), 1.0) * 100
    label = f"{position:.0%} {of}"
    place = f'<i style="left:{left:.0f}%"></i>'
    return f'<span class="track {mood(good)}" role="img" aria-label="{label}">{place}</span>'


def mood(passed: bool | None) -> str:
    """The class of the colour of an answer."""
    return {True: "good", False: "bad", None: "open"}[passed]
