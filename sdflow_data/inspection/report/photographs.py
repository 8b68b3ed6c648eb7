"""The report of photographs as an HTML page: warnings and properties."""

from collections.abc import Mapping, Sequence
from html import escape

from .markup import properties, whole_page


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
        f"<section><h2>{escape(set_name)}</h2>{properties(table)}</section>"
        for set_name, table in tables.items()
    )
    return whole_page(
        f"{title}: photographs",
        f"""
<header><div>
  <p class="kicker">Photographs</p>
  <h1>{escape(title)}</h1>
  <p class="properties">{escape(subtitle)}</p>
</div></header>
<main><section><h2>What would spoil a training</h2>{warned}</section>
{sets}</main>""",
    )
