"""The report of photographs as an HTML page: warnings and properties."""

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from .page import file_text


def photographs_page(
    title: str, subtitle: str, tables: Mapping[str, Mapping[str, str]], warnings: Sequence[str]
) -> str:
    """A self-contained page: no network, no other file, all names escaped.

    Args:
        title, subtitle: the title and subtitle of the page.
        tables: for each set of photographs by name, its properties in words.
        warnings: what would spoil a training, one line each.
    """
    lines = "".join(f"<li>{escape(line)}</li>" for line in warnings)
    warned = f"<ul>{lines}</ul>" if lines else "<p>Nothing here would spoil a training.</p>"
    sets = "".join(
        f"<section><h2>{escape(set_name)}</h2><table>"
        + "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in table.items())
        + "</table></section>"
        for set_name, table in tables.items()
    )
    return Template(file_text("page.html")).substitute(
        title=escape(f"{title}: photographs"),
        style=file_text("report.css"),
        script="",
        data="{}",
        body=f"""
<header><div>
  <p class="kicker">Photographs</p>
  <h1>{escape(title)}</h1>
  <p class="properties">{escape(subtitle)}</p>
</div></header>
<section><h2>What would spoil a training</h2>{warned}</section>
{sets}""",
    )
