"""The layout of pairs on disk, for configurations, dataset cards and descriptions."""

from collections.abc import Mapping
from dataclasses import dataclass

import sdflow

from .provenance import UNSAID, Provenance
from .recipe import PAIRS


@dataclass(frozen=True)
class Layout:
    """The layout of an export or a dataset.

    Attributes:
        root: the path where the pairs will be read.
        format: one of `export.FORMATS`; ``hdf5`` for a dataset.
        patch_size: the side of HR patches in pixels.
        scale: the ratio of HR to LR size.
        samples: the number of samples of each part of the split; without a split, of ``train``.
        is_split: whether each part has its own folder.
        columns: the columns of the manifest, each with pyarrow's name of its type.
        info: the contents of dataset.json.
        provenance: licences and sources of the photographs.
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
        """Whether a model made the LR patches. Otherwise they are cut from LR pictures."""
        return self.info.get("model") != PAIRS

    @property
    def origin(self) -> str:
        """The origin of the LR patches, in a sentence."""
        tool = f"SDFlow's data toolkit {sdflow.__version__}"
        if not self.is_synthetic:
            return f"LR patches are cut from LR pictures of the same scenes, with {tool}."
        model, digest = (self.info.get(name, "unknown") for name in ("model", "model_hash"))
        made = f"the model {model} (sha256 {digest}) made them from HR patches"
        return f"LR patches are synthetic: {made}, with {tool}."

    @property
    def limits(self) -> str:
        """The limits of the pairs, in a sentence, for users who train on them."""
        if not self.is_synthetic:
            return "The pairs are as well aligned as the pictures that they are cut from."
        return (
            "The degradation is that of the model. A model that was trained on photographs of a camera "
            "reproduces this camera, at the settings of the photographs."
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """The parts for training and, if the split has it, for validation."""
        return tuple(role for role in ("train", "val") if role in self.samples)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of the parts within the export, each with a trailing ``/``; ``""`` without a split."""
        return tuple(f"{name}/" for name in self.samples) if self.is_split else ("",)

    def path(self, role: str, *names: str) -> str:
        """The path of a file in the folder of a part, where the export will be read."""
        folder = [role] if self.is_split else []
        return "/".join([self.root.rstrip("/") or self.root, *folder, *names])
