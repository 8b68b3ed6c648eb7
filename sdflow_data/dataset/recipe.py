"""The settings of a dataset: all but the pictures that decides which samples it holds."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.errors import SDFlowError


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
        SDFlowError: a setting out of its range; the message names its option.
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
                raise SDFlowError(f"{_option(name)}: expected at least 1, found {getattr(self, name)}")
        if self.seed < 0:
            raise SDFlowError(f"--seed: expected at least 0, found {self.seed}")
        if not 0 <= self.temperature < float("inf"):
            raise SDFlowError(f"--temperature: expected a number from 0 up, found {self.temperature}")
        shard_bytes = self.patches_per_shard * self.patch_size**2 * 3 * (1 + self.variants / self.scale**2)
        if shard_bytes > 2**31:
            raise SDFlowError(
                f"--patches-per-shard: expected shards of at most 2 GiB, found {shard_bytes / 2**30:.1f} GiB "
                f"({self.patches_per_shard} patches of {self.patch_size} with {self.variants} variants)"
            )

    def check_same(self, folder: Path, asked: "Recipe") -> None:
        """Refuse to go on in ``folder``, which was begun with this recipe, with another one."""
        for field in dataclasses.fields(self):
            stored, given = getattr(self, field.name), getattr(asked, field.name)
            if stored == given or field.name == "model":  # a model is known by its hash
                continue
            if field.name == "model_hash":
                stored, given = f"{self.model} ({stored[:12]})", f"{asked.model} ({given[:12]})"
            raise SDFlowError(
                f"{folder}: was begun with {_option(field.name)} {_text(stored)}, found {_text(given)} now; "
                "ask for the same, or name another output folder"
            )

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


def _option(name: str) -> str:
    special = {"model_hash": "--model", "components": "--component", "weights": "--like"}
    return special.get(name, "--" + name.replace("_", "-"))


def _text(value: Any) -> str:
    return (", ".join(map(str, value)) or "all") if isinstance(value, tuple) else str(value)
