"""The settings of a dataset. Together with the pictures they determine its samples."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.errors import ArgumentError
from sdflow.wording import counted

from ..images.patches import grid, grid_size, positions
from ..system.settings import check_same
from .shards import MAX_PATCH_BYTES, Sizes

PAIRS = "pairs"
"""The model name of a dataset whose LR patches are cut from LR pictures."""

_LARGEST_SHARD = 2**31


@dataclass(frozen=True, kw_only=True)
class PatchGrid:
    """The division of pictures into patches and of patches into shards.

    Attributes:
        scale: s, the ratio of HR to LR size.
        patch_size: P, the side of an HR patch.
        stride: the distance between patches, in HR pixels.
        variants: K, LR patches per HR patch.
        patches_per_shard: the most patches in a shard.

    Raises:
        ArgumentError: a setting is out of its range.
    """

    scale: int
    patch_size: int
    stride: int
    variants: int
    patches_per_shard: int

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if type(value) is not int or value < 1:
                raise ArgumentError(name, f"expected a whole number from 1 up, found {value!r:.40}")
        patch_bytes = Sizes(self.patch_size, self.scale, self.variants).nbytes
        if patch_bytes > MAX_PATCH_BYTES:
            raise ArgumentError(
                "patch_size",
                f"expected patches of at most {MAX_PATCH_BYTES >> 20} MiB with their variants, found "
                f"{patch_bytes >> 20} MiB ({counted(self.variants, 'variant')} of {self.patch_size})",
            )
        shard_bytes = self.patches_per_shard * patch_bytes
        if shard_bytes > _LARGEST_SHARD:
            raise ArgumentError(
                "patches_per_shard",
                f"expected shards of at most 2 GiB, found {shard_bytes / 2**30:.1f} GiB "
                f"({counted(self.patches_per_shard, 'patch', 'patches')} of {self.patch_size} with "
                f"{counted(self.variants, 'variant')})",
            )

    def places(
        self, height: int, width: int, first: int = 0, end: int | None = None
    ) -> list[tuple[int, int]]:
        """(top, left) of the patches of a picture, row by row, from index ``first`` up to ``end``."""
        return grid(height, width, self.patch_size, self.stride, first, end)

    def index(self, height: int, width: int, place: tuple[int, int]) -> int | None:
        """The index of the patch of a picture at (top, left); None if there is no patch."""
        tops, lefts = (positions(side, self.patch_size, self.stride) for side in (height, width))
        if place[0] not in tops or place[1] not in lefts:
            return None
        return tops.index(place[0]) * len(lefts) + lefts.index(place[1])

    def count(self, height: int, width: int) -> int:
        """The number of patches in a picture."""
        return grid_size(height, width, self.patch_size, self.stride)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The settings with which a model draws LR samples.

    Attributes:
        temperature: the temperature of the latent noise.
        components: the mixture components to draw from, by their shares; empty for all.
        weights: probabilities of the components instead of their shares; empty if ``components`` is used.
        seed: the seed of the run.
        device: "cpu", "cuda" or "mps". Like the precision, it has an effect on rounding.
        precision: "fp32" or "bf16".
        codec: the compression of samples: "camera", the model's own; "none"; or a JPEG compression.
        codec_library: the library of the codec, with its version; empty without a codec.
        ranges: strengths of the classical degrader; empty for the default.

    Raises:
        ArgumentError: a setting is out of its range.
    """

    temperature: float
    components: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    seed: int = 0
    device: str = "cpu"
    precision: str = "fp32"
    codec: str = "none"
    codec_library: str = ""
    ranges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if type(self.seed) is not int or self.seed < 0:
            raise ArgumentError("seed", f"expected a whole number from 0 up, found {self.seed!r:.40}")
        if type(self.temperature) not in (int, float) or not 0 <= self.temperature < float("inf"):
            raise ArgumentError("temperature", f"expected a number from 0 up, found {self.temperature!r:.40}")


_STORED = (
    *("model", "model_hash", "scale", "patch_size", "stride", "variants", "temperature", "components"),
    *("weights", "seed", "device", "precision", "patches_per_shard"),
)
"""The names in dataset.json, in their order."""

_STORED_IF_SET: dict[str, Any] = {"codec": "none", "codec_library": "", "ranges": ()}
"""Further names, with the defaults for which dataset.json omits them."""

_NOT_SAMPLED = Sampling(temperature=0.0)
"""The sampling settings of imported pairs in dataset.json, whose format requires them."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a dataset. Together with a picture's bytes they determine every byte of its samples.

    Attributes:
        model, model_hash: the name of the degrader and its fingerprint; ``PAIRS`` and a hash of the pictures
            for imported pairs.
        grid: the division into patches and shards.
        sampling: the settings of sampling; None for imported pairs.
    """

    model: str
    model_hash: str
    grid: PatchGrid
    sampling: Sampling | None

    def check_same(self, folder: Path, given: "Recipe") -> None:
        """Refuse to continue ``folder``, which was begun with this recipe, with another recipe.

        Raises:
            ArgumentError: names the first setting that differs.
        """
        check_same(folder, self._compared(given), given._compared(self))

    def _compared(self, other: "Recipe") -> dict[str, Any]:
        """The settings to compare, as plain values; without the name of the model if the hashes are equal."""
        values = self.to_json()
        digest = values.pop("model_hash")
        values["model"] = "" if digest == other.model_hash else f"{self.model} ({digest[:12]})"
        values["components"] = values["components"] or "all"
        return values | {name: values.get(name) or "none" for name in _STORED_IF_SET}

    def to_json(self) -> dict[str, Any]:
        """The recipe as one mapping of plain values, in the order of dataset.json."""
        values = {
            "model": self.model,
            "model_hash": self.model_hash,
            **dataclasses.asdict(self.grid),
            **dataclasses.asdict(self.sampling or _NOT_SAMPLED),
        }
        names = [*_STORED, *(name for name, unset in _STORED_IF_SET.items() if values[name] != unset)]
        return {name: list(v) if isinstance(v := values[name], tuple) else v for name in names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Recipe":
        """The inverse of :meth:`to_json`. Other keys are ignored.

        Raises:
            ArgumentError, KeyError: a setting is missing or out of its range.
        """
        known: dict[str, Any] = {
            name: tuple(v) if isinstance(v := values[name], list) else v
            for name in (*_STORED, *(_STORED_IF_SET.keys() & values.keys()))
        }
        grid = PatchGrid(**{field.name: known[field.name] for field in dataclasses.fields(PatchGrid)})
        sampling = Sampling(
            **{field.name: known[field.name] for field in dataclasses.fields(Sampling) if field.name in known}
        )
        was_sampled = known["model"] != PAIRS or sampling != _NOT_SAMPLED
        return cls(
            model=known["model"],
            model_hash=known["model_hash"],
            grid=grid,
            sampling=sampling if was_sampled else None,
        )
