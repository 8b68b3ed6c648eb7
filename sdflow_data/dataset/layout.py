"""What there is to say of pairs on a disk to those who read them."""

from collections.abc import Mapping
from dataclasses import dataclass

import sdflow

from .provenance import UNSAID, Provenance
from .recipe import PAIRS


@dataclass(frozen=True)
class Layout:
    """An export or a dataset, as a configuration, a card or a description describes it.

    Attributes:
        root: its path where it will be read.
        format: one of `export.FORMATS`; a dataset is ``hdf5``.
        patch_size, scale: HR patches are ``patch_size`` pixels wide, LR ones ``scale`` times less.
        samples: their number by the part of the split, under ``train`` without one.
        is_split: whether each part has a folder of its own.
        columns: the types of the manifest's columns, as pyarrow names them.
        info: what dataset.json says of the dataset.
        provenance: of the photographs.
    """

    root: str
    format: str
    patch_size: int
    scale: int
    samples: Mapping[str, int]
    is_split: bool
    columns: Mapping[str, str]
    info: Mapping[str, object]
    provenance: Provenance = UNSAID

    @property
    def is_synthetic(self) -> bool:
        """Whether LR patches were made, not cut out of LR pictures that were there."""
        return self.info.get("model") != PAIRS

    @property
    def origin(self) -> str:
        """How LR patches came about."""
        tool = f"SDFlow's data toolkit {sdflow.__version__}"
        if not self.is_synthetic:
            return f"LR patches are cut out of LR pictures of the same scenes, with {tool}."
        model, digest = (self.info.get(name, "unknown") for name in ("model", "model_hash"))
        made = f"the model {model} (sha256 {digest}) made them of HR patches"
        return f"LR patches are synthetic: {made}, with {tool}."

    @property
    def limits(self) -> str:
        """What whoever trains on the pairs should know."""
        if not self.is_synthetic:
            return "The pairs are as well aligned as the pictures that they are cut from."
        return (
            "The degradation is that of the model; a model that was trained on photographs of a camera has "
            "that of the camera, at the settings of the photographs."
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """What to train on and, if the split has such a part, to validate on."""
        return tuple(role for role in ("train", "val") if role in self.samples)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of the parts within the export, each with a ``/`` behind; ``""`` without a split."""
        return tuple(f"{name}/" for name in self.samples) if self.is_split else ("",)

    def path(self, role: str, *names: str) -> str:
        """A path in the folder of a part, where the export will be read."""
        folder = [role] if self.is_split else []
        return "/".join([self.root.rstrip("/") or self.root, *folder, *names])
