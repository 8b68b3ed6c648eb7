"""The settings of a dataset: all but the pictures that decides which samples it holds."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.errors import ArgumentError

from ..system.settings import check_same


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How samples are made of pictures. With a picture's bytes it fixes every byte of its samples.

    Attributes:
        model, model_hash: the degrader's name, for people, and its fingerprint.
        scale: s, the ratio of HR to LR size.
        patch_size: P, the side of an HR patch.
        stride: between patches, in HR pixels.
        variants: K, LR samples per patch.
        temperature: of the latent noise.
        components: the mixture components to draw from, all equally likely; empty for all there are.
        weights: how likely each component of the model is; empty where ``components`` says it.
        seed: of the run.
        device, precision: "cpu", "cuda" or "mps"; "fp32" or "bf16". Others round differently.
        patches_per_shard: the most a shard holds.

    Raises:
        ArgumentError: a setting out of its range.
    """

    model: str
    model_hash: str
    scale: int
    patch_size: int
    stride: int
    variants: int
    temperature: float
    components: tuple[int, ...]
    weights: tuple[float, ...]
    seed: int
    device: str
    precision: str
    patches_per_shard: int

    def __post_init__(self) -> None:
        for name in ("patch_size", "stride", "variants", "patches_per_shard"):
            if getattr(self, name) < 1:
                raise ArgumentError(name, f"expected at least 1, found {getattr(self, name)}")
        if self.seed < 0:
            raise ArgumentError("seed", f"expected at least 0, found {self.seed}")
        if not 0 <= self.temperature < float("inf"):
            raise ArgumentError("temperature", f"expected a number from 0 up, found {self.temperature}")
        shard_bytes = self.patches_per_shard * self.patch_size**2 * 3 * (1 + self.variants / self.scale**2)
        if shard_bytes > 2**31:
            raise ArgumentError(
                "patches_per_shard",
                f"expected shards of at most 2 GiB, found {shard_bytes / 2**30:.1f} GiB "
                f"({self.patches_per_shard} patches of {self.patch_size} with {self.variants} variants)",
            )

    def check_same(self, folder: Path, asked: "Recipe") -> None:
        """Refuse to go on in ``folder``, which was begun with this recipe, with another one."""
        check_same(folder, self._told(asked), asked._told(self))

    def _told(self, other: "Recipe") -> dict[str, Any]:
        """As JSON. A model is known by its hash, whatever its name."""
        values = self.to_json()
        digest = values.pop("model_hash")
        values["model"] = "" if digest == other.model_hash else f"{self.model} ({digest[:12]})"
        values["components"] = values["components"] or "all"
        return values

    def to_json(self) -> dict[str, Any]:
        """As plain values, in the order of the fields."""
        return {
            **dataclasses.asdict(self),
            "components": list(self.components),
            "weights": list(self.weights),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Recipe":
        """Of what :meth:`to_json` gave; other keys are passed over."""
        known = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        return cls(**{**known, "components": tuple(known["components"]), "weights": tuple(known["weights"])})
