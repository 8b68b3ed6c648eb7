"""Licences and origins of the photographs of a dataset: what no program can know, and people say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.files import read_json

DESCRIPTION = "croissant.json"
"""The description of a data set for machines, in Croissant: ours, and that of others beside photographs."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is said of the photographs that pairs are made of.

    Attributes:
        licenses: such as ``cc-by-4.0``; empty if it was not said.
        source_urls: where the HR photographs are from; empty if it was not said.
    """

    licenses: tuple[str, ...] = ()
    source_urls: tuple[str, ...] = ()

    @classmethod
    def beside(cls, folders: Iterable[Path]) -> "Provenance":
        """What the ``croissant.json`` in each of the folders says, if there is one.

        Raises:
            SDFlowError: one that cannot be read.
        """
        found = [_read(path) for folder in folders if (path := folder / DESCRIPTION).is_file()]
        return cls(
            licenses=tuple(dict.fromkeys(text for said in found for text in said.licenses)),
            source_urls=tuple(dict.fromkeys(text for said in found for text in said.source_urls)),
        )

    @classmethod
    def of_dataset(cls, info: Mapping[str, Any]) -> "Provenance":
        """What dataset.json says."""
        return cls(licenses=_texts(info.get("licenses")), source_urls=_texts(info.get("source_urls")))

    def or_else(self, other: "Provenance") -> "Provenance":
        """What this says; of what it does not say, what the other says."""
        return Provenance(
            licenses=self.licenses or other.licenses, source_urls=self.source_urls or other.source_urls
        )

    def to_json(self) -> dict[str, list[str]]:
        """Of what was said, for dataset.json."""
        values = {"licenses": list(self.licenses), "source_urls": list(self.source_urls)}
        return {name: said for name, said in values.items() if said}


UNSAID = Provenance()
"""Nothing was said."""


def _read(path: Path) -> Provenance:
    """What a Croissant description says."""
    described = read_json(path, "a Croissant description (JSON-LD)")
    return Provenance(licenses=_texts(described.get("license")), source_urls=_texts(described.get("url")))


def _texts(value: object) -> tuple[str, ...]:
    """One text or several, each itself or by its ``@id``, ``url`` or ``name``, as JSON-LD writes them."""
    texts = [_text(each) for each in (value if isinstance(value, list) else [value])]
    return tuple(text for text in texts if isinstance(text, str) and text)


def _text(value: object) -> object:
    if isinstance(value, dict):
        return next((value[key] for key in ("@id", "url", "name") if key in value), None)
    return value
