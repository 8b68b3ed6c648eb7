"""The linear kernel between HR and LR, by least squares over many patches."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .batch import LUMA

_PIXELS_PER_PATCH = 512
_RIDGE = 0.01
"""Of the mean energy of a tap: holds down what natural images hardly show, frequencies near HR's limit."""


@dataclass(frozen=True)
class Kernel:
    """How LR is made of HR: ``lr[y, x] = sum taps[i, j] * hr[s*y + top + i, s*x + top + j]``.

    Attributes:
        taps: (n, n), in HR pixels, around the centre of the LR pixel; they sum to about 1.
        scale: s.
    """

    taps: np.ndarray
    scale: int

    @property
    def centre(self) -> np.ndarray:
        """Where its weight lies, (right, down) of the LR pixel's centre, in LR pixels."""
        return self._moments()[0] / self.scale

    @property
    def widths(self) -> np.ndarray:
        """Standard deviations along its longest and its shortest axis, in LR pixels.

        That of bicubic downscaling is 0: its negative lobes make up for its width. What remains is blur;
        negative values mean sharpening.
        """
        variances = np.linalg.eigvalsh(self._moments()[1])[::-1]
        return np.sign(variances) * np.sqrt(np.abs(variances)) / self.scale

    @property
    def angle(self) -> float:
        """Of the longest axis, in degrees from right towards down, in [0, 180)."""
        right, down = np.linalg.eigh(self._moments()[1])[1][:, -1]
        return float(np.degrees(np.arctan2(down, right)) % 180)

    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (2,) and covariance (2, 2), (right, down), in HR pixels."""
        side = np.arange(len(self.taps)) - (len(self.taps) - 1) / 2
        weights = self.taps / self.taps.sum()
        mean = np.array([weights.sum(axis=0) @ side, weights.sum(axis=1) @ side])
        x, y = side - mean[0], side - mean[1]
        xx, yy, xy = weights.sum(axis=0) @ x**2, weights.sum(axis=1) @ y**2, y @ weights @ x
        return mean, np.array([[xx, xy], [xy, yy]])


@dataclass(frozen=True)
class KernelSums:
    """What the least squares needs of any number of patches. Sums of parts are the sums of the whole."""

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
        ridge[-1] = 0  # the constant term is no tap
        solution = np.linalg.solve(self.normal + np.diag(ridge), self.right)
        side = kernel_side(self.scale)
        return Kernel(solution[:-1].reshape(side, side), self.scale)


def kernel_side(scale: int) -> int:
    """Taps along a side: bicubic's own 4 * scale, and room for blur of a few HR pixels."""
    return 4 * scale + 8


def least_kernel_size(scale: int) -> int:
    """The smallest LR patch that has pixels whose whole kernel lies inside its HR patch."""
    return 2 * _margin(scale) + 1


def kernel_sums(hr: np.ndarray, lr: np.ndarray) -> KernelSums:
    """The sums of some patches, from up to 512 pixels of each.

    Args:
        hr: (N, s*p, s*p, 3) grey levels.
        lr: (N, K, p, p, 3); the mean of the variants counts, which has the same kernel and less noise.
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
