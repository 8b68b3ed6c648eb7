"""Batches of patches, the input of statistics."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch

from sdflow.resample import bicubic_downscale

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of R, G and B in grey (JFIF)."""

T = TypeVar("T")


class Batch:
    """Patches in grey levels 0 to 255, and views of them that several statistics share.

    Args:
        lr: (N, K, p, p, 3), uint8 or float: K LR variants of each of N patches.
        hr: (N, s*p, s*p, 3), uint8: their HR patches; None for LR alone.

    Raises:
        ValueError: the shapes do not fit.
    """

    def __init__(self, lr: np.ndarray, hr: np.ndarray | None = None) -> None:
        if lr.ndim != 5 or lr.shape[2] != lr.shape[3] or lr.shape[4] != 3:
            raise ValueError(f"lr: expected shape (N, K, p, p, 3), got {lr.shape}")
        if hr is not None and (hr.ndim != 4 or len(hr) != len(lr) or hr.shape[1] % lr.shape[2]):
            raise ValueError(f"hr: expected shape ({len(lr)}, s*p, s*p, 3) for lr {lr.shape}, got {hr.shape}")
        self.variants = lr.astype(np.float32)
        self.patches, self.variants_per_patch, self.size = lr.shape[:3]
        self._hr = hr
        self._shared: dict[Callable[[Batch], Any], Any] = {}

    @property
    def hr(self) -> np.ndarray:
        """(N, s*p, s*p, 3) uint8."""
        if self._hr is None:
            raise ValueError("hr: a statistic of pairs needs the HR patches, got None")
        return self._hr

    @cached_property
    def lr(self) -> np.ndarray:
        """(M, p, p, 3) with M = N*K: the samples; the variants of a patch are consecutive."""
        return self.variants.reshape(-1, self.size, self.size, 3)

    @cached_property
    def grey(self) -> np.ndarray:
        """(M, p, p): luma of the samples."""
        return self.lr @ LUMA

    @cached_property
    def bicubic(self) -> np.ndarray:
        """(M, p, p, 3): the bicubic LR of each sample's HR, clipped to the range and not rounded."""
        return self.of_samples(bicubic_lr(self.hr, self.size))

    @cached_property
    def residual(self) -> np.ndarray:
        """(M, p, p, 3): LR minus bicubic."""
        return self.lr - self.bicubic

    def of_samples(self, of_patches: np.ndarray) -> np.ndarray:
        """(N, ...) to (M, ...): repeats the values of a patch for its samples."""
        return np.repeat(of_patches, self.variants_per_patch, axis=0)

    def shared(self, function: "Callable[[Batch], T]") -> T:
        """``function(self)``, computed once for all statistics that use it."""
        if function not in self._shared:
            self._shared[function] = function(self)
        return self._shared[function]


def at_limits(images: np.ndarray) -> np.ndarray:
    """Whether grey levels are clipped, at 0 or 255; bool, of the same shape."""
    return np.logical_or(images <= 0, images >= 255)


def bicubic_lr(hr: np.ndarray, size: int) -> np.ndarray:
    """Bicubic LR patches of side p = ``size``, (N, s*p, s*p, 3) to float32 (N, p, p, 3) in [0, 255]."""
    planes = torch.from_numpy(np.ascontiguousarray(hr)).permute(0, 3, 1, 2).to(torch.float32)
    return bicubic_downscale(planes, hr.shape[1] // size).clamp(0, 255).permute(0, 2, 3, 1).numpy()
