"""What there is to say of an export to those who read it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """An export, as a configuration or a dataset card describes it.

    Attributes:
        root: the path of the export where it will be read.
        format: of the export.
        patch_size, scale: HR patches are ``patch_size`` pixels wide, LR ones ``scale`` times less.
        samples: their number by the part of the split, under ``train`` without one.
        is_split: whether each part has a folder of its own.
        columns: the types of the manifest's columns, as pyarrow names them.
        info: what dataset.json says of the dataset that is exported.
    """

    root: str
    format: str
    patch_size: int
    scale: int
    samples: Mapping[str, int]
    is_split: bool
    columns: Mapping[str, str]
    info: Mapping[str, object]

    @property
    def roles(self) -> tuple[str, ...]:
        """What to train on and, if the split has such a part, to validate on."""
        return tuple(role for role in ("train", "val") if role in self.samples)

    def path(self, role: str, *names: str) -> str:
        """A path in the folder of a part, where the export will be read."""
        folder = [role] if self.is_split else []
        return "/".join([self.root.rstrip("/") or self.root, *folder, *names])
