"""Samples as the files of the camera store them, for the training of E."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sdflow.resample import quantise, to_levels, to_unit

from ..images.codec import UNIT, Codec


class StoredByCodecs:
    """Compresses samples with the codecs of their cameras, at random phases of the JPEG grid.

    Crops of photographs have random phases, too.

    Args:
        codecs: the codec of each component.
    """

    def __init__(self, codecs: Sequence[Codec]) -> None:
        self._codecs = tuple(codecs)
        self._ends = [np.cumsum([share for _, share in codec.entries]) for codec in codecs]

    def __call__(self, samples: Tensor, components: Tensor, uniform: Tensor) -> Tensor:
        """See ``sdflow.objective.StoredBy``."""
        levels = quantise(to_levels(samples)).permute(0, 2, 3, 1).cpu().numpy()
        coded = [self._code(*each) for each in zip(levels, components.tolist(), uniform.tolist())]
        return to_unit(torch.from_numpy(np.stack(coded)).permute(0, 3, 1, 2).to(samples.device))

    def _code(self, levels: np.ndarray, component: int, uniform: Sequence[float]) -> np.ndarray:
        entries, ends = self._codecs[component].entries, self._ends[component]
        chosen = min(int(np.searchsorted(ends, uniform[0], side="right")), len(entries) - 1)
        jpeg, _ = entries[chosen]
        top, left = (int(UNIT * number) for number in uniform[1:])
        return levels if jpeg is None else jpeg.apply(levels, top, left)
