"""The page on photographs: what would spoil a training, and what they are like."""

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from .page import file_text


def photographs_page(
    title: str, subtitle: str, tables: Mapping[str, Mapping[str, str]], warnings: Sequence[str]
) -> str:
    """A self-contained page: no network, no other file, names escaped.

    Args:
        title, subtitle: of the page.
        tables: by the names of the sets, facts and what is known of them.
        warnings: what would spoil a training, a line each.
    """
    lines = "".join(f"<li>{escape(line)}</li>" for line in warnings)
    told = f"<ul>{lines}</ul>" if lines else "<p>Nothing here would spoil a training.</p>"
    sets = "".join(
        f"<section><h2>{escape(name)}</h2><table>"
        + "".join(f"<tr><th>{escape(fact)}</th><td>{escape(text)}</td></tr>" for fact, text in facts.items())
        + "</table></section>"
        for name, facts in tables.items()
    )
    return Template(file_text("page.html")).substitute(
        title=escape(f"{title}: photographs"),
        style=file_text("report.css"),
        script="",
        data="{}",
        body=f"""
<header><div>
  <p class="kicker">A look at photographs</p>
  <h1>{escape(title)}</h1>
  <p class="facts">{escape(subtitle)}</p>
</div></header>
<section><h2>What would spoil a training</h2>{told}</section>
{sets}""",
    )
