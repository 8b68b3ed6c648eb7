"""The linear blur kernel from HR to LR, by least squares over many patches."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .batch import LUMA
from .transfer import fit_transfer, frequencies

_PIXELS_PER_PATCH = 512
_RIDGE = 0.01
"""Ridge penalty as a share of the mean energy of a tap; damps frequencies near HR's limit."""

_RESPONSE_SIZE, _AMPLITUDE = 32, 1e3
"""Size of the spectrum that is fitted, and an amplitude against which the prior of the fit is negligible."""


@dataclass(frozen=True)
class Kernel:
    """The blur kernel: ``lr[y, x] = sum taps[i, j] * hr[s*y + top + i, s*x + top + j]``.

    Attributes:
        taps: (n, n), in HR pixels, around the centre of the LR pixel; they sum to about 1.
        scale: s.
    """

    taps: np.ndarray
    scale: int

    @property
    def shift(self) -> np.ndarray:
        """The shift of LR, (right, down), in LR pixels."""
        return self._transfer[1:3]

    @property
    def widths(self) -> np.ndarray:
        """Standard deviations of the blur along the longest and the shortest axis, in LR pixels.

        The blur is relative to bicubic downscaling; negative values mean sharpening.
        """
        variances = np.linalg.eigvalsh(self._blur)[::-1]
        return np.sign(variances) * np.sqrt(np.abs(variances))

    @property
    def angle(self) -> float:
        """Angle of the longest axis, in degrees from right towards down, in [0, 180)."""
        right, down = np.linalg.eigh(self._blur)[1][:, -1]
        return float(np.degrees(np.arctan2(down, right)) % 180)

    @property
    def _blur(self) -> np.ndarray:
        xx, xy, yy = self._transfer[3:]
        return np.array([[xx, xy], [xy, yy]])

    @cached_property
    def _transfer(self) -> np.ndarray:
        """The parameters of `transfer`, fitted to its frequency response at the weights of natural images."""
        _, _, terms = frequencies(_RESPONSE_SIZE)
        x, y = (terms[:, 1] / (-2j * np.pi)).real, (terms[:, 2] / (-2j * np.pi)).real
        side = (np.arange(len(self.taps)) - (len(self.taps) - 1) / 2) / self.scale
        right, down = (np.exp(2j * np.pi * np.outer(f, side)) for f in (x, y))
        weights = _AMPLITUDE / np.hypot(x, y)  # amplitudes of natural images fall as 1/f
        line = _bicubic(side)
        response = np.einsum("fi,ij,fj->f", down, self.taps / self.taps.sum(), right) * weights
        bicubic = (down @ line) * (right @ line) * weights
        return fit_transfer(bicubic[None], response[None], terms, np.zeros((1, terms.shape[1])))[0]


@dataclass(frozen=True)
class KernelSums:
    """The normal equations of the least squares over any number of patches; those of parts add up.

    Attributes:
        normal: (n*n + 1, n*n + 1), for the taps and a constant term.
        right: (n*n + 1,), the right side.
        scale: ratio of HR to LR size.
    """

    normal: np.ndarray
    right: np.ndarray
    scale: int

    def __add__(self, other: "KernelSums") -> "KernelSums":
        if self.scale != other.scale:
            raise ValueError(f"scale: expected {self.scale} in both parts, got {other.scale}")
        return KernelSums(self.normal + other.normal, self.right + other.right, self.scale)

    def solve(self) -> Kernel:
        """The kernel that fits all patches best."""
        ridge = np.full(len(self.right), _RIDGE * self.normal.diagonal()[:-1].mean() + 1e-6)
        ridge[-1] = 0  # the constant term is not a tap
        solution = np.linalg.solve(self.normal + np.diag(ridge), self.right)
        side = kernel_side(self.scale)
        return Kernel(solution[:-1].reshape(side, side), self.scale)


def kernel_side(scale: int) -> int:
    """Taps along a side: 4 * scale for bicubic, and room for a blur of a few HR pixels."""
    return 4 * scale + 8


def least_kernel_size(scale: int) -> int:
    """The smallest LR patch with pixels whose whole kernel lies inside the HR patch."""
    return 2 * _margin(scale) + 1


def kernel_sums(hr: np.ndarray, lr: np.ndarray) -> KernelSums:
    """The normal equations of some patches, from up to 512 pixels of each.

    Args:
        hr: (N, s*p, s*p, 3) grey levels.
        lr: (N, K, p, p, 3); the mean of the variants is used, which has the same kernel and less noise.
    """
    size = lr.shape[2]
    scale = hr.shape[1] // size
    side, margin = kernel_side(scale), _margin(scale)
    inner = np.arange(margin, size - margin)
    chosen = np.random.default_rng(0).permutation(len(inner) ** 2)[:_PIXELS_PER_PATCH]
    rows, columns = inner[chosen // len(inner)], inner[chosen % len(inner)]
    first = (scale - side) // 2
    count = side * side + 1
    normal, right = np.zeros((count, count)), np.zeros(count)
    for high, low in zip(hr @ LUMA, lr.mean(axis=1, dtype=np.float32) @ LUMA):
        windows = sliding_window_view(high - high.mean(), (side, side))
        seen = windows[rows * scale + first, columns * scale + first].reshape(len(rows), -1)
        terms = np.concatenate([seen, np.ones((len(rows), 1), np.float32)], axis=1)
        normal += terms.T @ terms
        right += terms.T @ (low - high.mean())[rows, columns]
    return KernelSums(normal, right, scale)


def _margin(scale: int) -> int:
    return -(-(kernel_side(scale) - scale) // (2 * scale))


def _bicubic(distances: np.ndarray) -> np.ndarray:
    """Keys' cubic kernel (a = -0.5) at distances in LR pixels, with sum 1."""
    x = np.abs(distances)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum()
