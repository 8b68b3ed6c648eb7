"""Comparison of the stored settings of an output folder with those of a later call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdflow.errors import ArgumentError

_LONGEST = 200


def check_same(folder: Path, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse to continue ``folder``, which was begun with ``stored`` settings, with other settings.

    Args:
        folder: the folder, for the message.
        stored, given: JSON values by argument names, possibly in nested mappings.

    Raises:
        ArgumentError: names the first setting that differs, and both of its values.
    """
    for name in [*given, *(name for name in stored if name not in given)]:
        before, now = stored.get(name), given.get(name)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            prefix = f"{name}."
            check_same(
                folder,
                {prefix + key: value for key, value in before.items()},
                {prefix + key: value for key, value in now.items()},
            )
        raise ArgumentError(
            name,
            f"{folder} was begun with {_text(before)}, found {_text(now)} now; give the same value, or name "
            "another output folder",
        )


def _text(value: Any) -> str:
    if value in (None, [], ()):
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
