"""``sdflow demo``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import WholeRange, new_folder, seed_option
from .wording import say, show

if TYPE_CHECKING:
    from pandas import DataFrame

    from sdflow_data.demo import Demo


@click.command("demo")
@click.option(
    "--out", type=new_folder, default="sdflow-demo", show_default=True, help="A new or empty folder."
)
@click.option(
    "--steps",
    type=WholeRange(1),
    default=60,
    show_default=True,
    help="How long to train, after the camera was measured.",
)
@seed_option
def command(out: Path, steps: int, seed: int) -> None:
    """Train, generate, inspect and export on photographs that come with scikit-image; downloads nothing.

    HR are photographs as they are, LR are others of them through a simulated camera with known blur, noise
    and JPEG. Ends with a table: what the camera does to a picture, and how near the generated LR come.

    \b
    Example:
      sdflow demo --out demo
    """
    from sdflow_data.demo import run_demo

    demo = run_demo(out, steps, seed, say)
    show(_table(demo))
    for name, path in demo.paths.items():
        say(f"{name:<24}{path}")


def _table(demo: "Demo") -> str:
    from sdflow_data.demo import KEPT

    table = demo.table
    changed = table.index.difference(KEPT, sort=False)
    spread = table.attrs["spread"]
    return "\n".join(
        [
            *_rows("What the camera changes", table.loc[changed]),
            *_rows("What it leaves alone", table.loc[list(KEPT)]),
            f"\nVariants of one patch differ by {spread:.1f} grey levels, "
            f"{demo.spread_share:.0%} of the camera's noise level.\n",
        ]
    )


def _rows(title: str, table: "DataFrame") -> list[str]:
    from sdflow_data.inspection.tables import number

    lines = [f"\n{title:<44}{'bicubic':>9}{'generated':>11}{'camera':>9}   nearer to the camera"]
    for name, row in table.iterrows():
        values = f"{number(row['bicubic']):>9}{number(row['generated']):>11}{number(row['real']):>9}"
        nearer = "generated" if row["nearer"] else "bicubic"
        lines.append(f"  {name!s:<24}{row['unit']:<18}{values}   {nearer}")
    return lines
