"""Licences and sources of the photographs of a dataset, as users state them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.files import read_json

DESCRIPTION = "croissant.json"
"""The file name of a Croissant description, in our datasets and in folders of photographs."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Statements about the photographs of a dataset.

    Attributes:
        licenses: the licences, such as ``cc-by-4.0``; empty if not stated.
        source_urls: the URLs of the HR photographs; empty if not stated.
    """

    licenses: tuple[str, ...] = ()
    source_urls: tuple[str, ...] = ()

    @classmethod
    def beside(cls, folders: Iterable[Path]) -> "Provenance":
        """The statements of the ``croissant.json`` files in folders. Folders without one are ignored.

        Raises:
            SDFlowError: a file cannot be read.
        """
        found = [_read(path) for folder in folders if (path := folder / DESCRIPTION).is_file()]
        return cls(
            licenses=tuple(dict.fromkeys(text for each in found for text in each.licenses)),
            source_urls=tuple(dict.fromkeys(text for each in found for text in each.source_urls)),
        )

    @classmethod
    def of_dataset(cls, info: Mapping[str, Any]) -> "Provenance":
        """The statements in dataset.json."""
        return cls(licenses=_texts(info.get("licenses")), source_urls=_texts(info.get("source_urls")))

    def or_else(self, other: "Provenance") -> "Provenance":
        """These statements, with missing ones from ``other``."""
        return Provenance(
            licenses=self.licenses or other.licenses, source_urls=self.source_urls or other.source_urls
        )

    def to_json(self) -> dict[str, list[str]]:
        """The statements for dataset.json, without missing ones."""
        values = {"licenses": list(self.licenses), "source_urls": list(self.source_urls)}
        return {name: stated for name, stated in values.items() if stated}


UNSAID = Provenance()
"""No statements."""


def _read(path: Path) -> Provenance:
    """The statements of a Croissant description."""
    described = read_json(path, "a Croissant description (JSON-LD)")
    return Provenance(licenses=_texts(described.get("license")), source_urls=_texts(described.get("url")))


def _texts(value: object) -> tuple[str, ...]:
    """The texts of a JSON-LD value: strings, or objects with ``@id``, ``url`` or ``name``; one or a list."""
    texts = [_text(each) for each in (value if isinstance(value, list) else [value])]
    return tuple(text for text in texts if isinstance(text, str) and text)


def _text(value: object) -> object:
    if isinstance(value, dict):
        return next((value[key] for key in ("@id", "url", "name") if key in value), None)
    return value
