"""Selection of samples and their assignment to the parts of a split: pure functions of the manifest."""

import ast
import re

import pandas as pd

from sdflow.errors import ArgumentError
from sdflow.wording import counted

from ..system.names import is_reserved

_ALLOWED = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.UAdd,
    ast.Invert,
    ast.BinOp,
    ast.BitAnd,
    ast.BitOr,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Mod,
    ast.Compare,
    ast.cmpop,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
)
"""Allowed syntax: columns, constants, comparisons, arithmetic and logic; no calls, indices or attributes."""


_LONGEST = 4096


def where(manifest: pd.DataFrame, condition: str) -> pd.DataFrame:
    """The rows for which a condition on the columns holds, such as ``noise_sigma < 12 and component != 3``.

    Raises:
        ArgumentError: the expression has other syntax than comparisons, arithmetic and logic on columns and
            constants, names an unknown column, or is not a condition.
    """
    if len(condition) > _LONGEST:
        raise ArgumentError("where", f"expected a condition of up to {_LONGEST} characters")
    tree = _parse(condition)
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            found = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
            raise ArgumentError(
                "where", f"expected comparisons, arithmetic and and/or/not on columns, found {found!r}"
            )
        if isinstance(node, ast.BinOp) and not (
            isinstance(node.op, (ast.BitAnd, ast.BitOr))
            or all(_is_number(side, manifest) for side in (node.left, node.right))
        ):
            raise ArgumentError("where", f"expected arithmetic on numbers, found {ast.unparse(node)!r}")
        if isinstance(node, ast.Name) and node.id not in manifest.columns:
            raise ArgumentError("where", f"no column {node.id!r}; there are {', '.join(manifest.columns)}")
    try:
        mask = manifest.eval(condition.strip(), engine="python")
    except Exception as error:  # pandas raises almost anything
        raise ArgumentError("where", f"cannot evaluate {condition!r}: {error}") from error
    if not isinstance(mask, pd.Series) or mask.dtype != bool:
        raise ArgumentError("where", f"expected a condition that is true or false, found {condition!r}")
    return manifest[mask]


def _is_number(node: ast.expr, manifest: pd.DataFrame) -> bool:
    """Whether an operand is a number. Text or a list times a large factor would fill the memory."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float))
    if isinstance(node, ast.Name):
        return node.id in manifest and pd.api.types.is_numeric_dtype(manifest[node.id])
    if isinstance(node, ast.UnaryOp):
        return _is_number(node.operand, manifest)
    return isinstance(node, (ast.BinOp, ast.Compare))  # whose operands are checked themselves


def _parse(condition: str) -> ast.Expression:
    try:
        return ast.parse(condition.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ArgumentError("where", f"expected a condition on columns, found {condition!r}") from error


def parse_split(text: str) -> dict[str, float]:
    """Parse ``train=0.9,val=0.1`` to fractions by name, in the given order.

    Raises:
        ArgumentError: a name is not a plain file name or appears twice, a fraction is not in (0, 1], or their
            sum is not 1.
    """
    fractions: dict[str, float] = {}
    for item in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z0-9_-]+)\s*=\s*([0-9.]+)\s*", item)
        try:
            name, fraction = match[1], float(match[2])  # type: ignore[index]  # the TypeError is caught
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                "split", f"expected a list such as train=0.9,val=0.1, found {text!r}"
            ) from error
        if is_reserved(name):
            raise ArgumentError(
                "split", f"expected names that are valid folders on every system, found {name!r}"
            )
        if name.lower() in map(str.lower, fractions):
            raise ArgumentError("split", f"{name!r} is given twice")
        if not 0 < fraction <= 1:
            raise ArgumentError("split", f"expected fractions above 0 and up to 1, found {item.strip()!r}")
        fractions[name] = fraction
    total = sum(fractions.values())
    if abs(total - 1) > 1e-6:
        raise ArgumentError("split", f"expected fractions that sum to 1, found a sum of {total:g}")
    return fractions


def split_by_source(sources: pd.Series, fractions: dict[str, float]) -> pd.Series:
    """Assign samples to the parts of a split. All samples of a photograph are in one part.

    Photographs are ordered by their hashes. This order is effectively random, and equal for all datasets.
    Each part gets its fraction of the photographs, rounded, and at least one.

    Args:
        sources: the SHA-256 of the source photograph of each sample.
        fractions: the result of `parse_split`.

    Returns:
        The name of the part of each sample.

    Raises:
        ArgumentError: there are fewer photographs than parts.
    """
    photographs = sorted(sources.unique())
    if len(photographs) < len(fractions):
        raise ArgumentError(
            "split",
            f"expected at least {counted(len(fractions), 'source photograph')} for as many parts, "
            f"found {len(photographs)}",
        )
    part_of: dict[str, str] = {}
    for name, count in zip(fractions, _apportion(len(photographs), list(fractions.values()))):
        part_of |= dict.fromkeys(photographs[len(part_of) : len(part_of) + count], name)
    return sources.map(part_of)


def _apportion(total: int, fractions: list[float]) -> list[int]:
    """Whole numbers >= 1 with sum ``total``, close to ``fractions * total``."""
    counts = [1] * len(fractions)
    for _ in range(total - len(fractions)):  # to the part with the largest shortfall
        shortfalls = [fraction * total - count for fraction, count in zip(fractions, counts)]
        counts[shortfalls.index(max(shortfalls))] += 1
    return counts
