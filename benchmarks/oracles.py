"""Real pairs without one property of the camera: the effects of blur, noise, colour and shift.

A picture of the camera is a sum of three parts: HR under the best linear kernel (blur and shift), slow
differences from it (colour), and the rest (noise, and content that no kernel explains). Each oracle adds them
up with one part replaced by that of pairs without the property. If the rest is moved within the picture, its
noise is of the right kind, but content is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from sdflow.resample import quantise
from sdflow_data.models.degraders import BicubicDegrader
from sdflow_data.statistics.kernel import Kernel, kernel_sums

PATCH = 128
SLOW = 8.0
"""Standard deviation, in LR pixels, of the Gaussian blur that separates colour from noise."""


@dataclass(frozen=True)
class Parts:
    """``lr = blurred + colour + noise``, float32 (h, w, 3); ``shift`` is (right, down) in LR pixels."""

    bicubic: np.ndarray
    blurred: np.ndarray
    colour: np.ndarray
    noise: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, hr: np.ndarray, lr: np.ndarray) -> "Parts":
        """The parts of an aligned pair, by its best linear kernel."""
        kernel = fit_kernel([(hr, lr)])
        blurred = apply_kernel(kernel, hr)
        rest = lr.astype(np.float32) - blurred
        colour = ndimage.gaussian_filter(rest, (SLOW, SLOW, 0))
        bicubic = BicubicDegrader(kernel.scale).degrade(hr, [0], 0).lr[0]
        return cls(bicubic, blurred, colour, rest - colour, kernel.shift)


ORACLES: dict[str, Callable[[Parts], np.ndarray]] = {
    "real pairs": lambda p: p.blurred + p.colour + p.noise,
    "real, without blur": lambda p: _moved(p.bicubic, p.shift) + p.colour + p.noise,
    "real, without noise": lambda p: p.blurred + p.colour,
    "real, noise from elsewhere": lambda p: p.blurred + p.colour + _roll_half(p.noise),
    "real, colours of HR": lambda p: p.blurred + p.noise,
    "real, in place": lambda p: _moved(p.blurred, -p.shift) + p.colour + p.noise,
}
"""The oracles by name: functions from parts to LR levels. The first changes nothing."""


def oracle_lr(name: str, hr: np.ndarray, lr: np.ndarray) -> np.ndarray:
    """The LR picture of an oracle, uint8 (h, w, 3)."""
    return quantise(torch.from_numpy(ORACLES[name](Parts.of(hr, lr)))).numpy()


def fit_kernel(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Kernel:
    """The best linear kernel of aligned pictures: uint8 (sh, sw, 3) and (h, w, 3)."""
    scale = pairs[0][0].shape[0] // pairs[0][1].shape[0]
    hr = np.concatenate([_tiles(pair[0], PATCH) for pair in pairs])
    lr = np.concatenate([_tiles(pair[1], PATCH // scale) for pair in pairs])
    return kernel_sums(hr.astype(np.float32), lr[:, None].astype(np.float32)).solve()


def apply_kernel(kernel: Kernel, hr: np.ndarray) -> np.ndarray:
    """Apply a kernel to a picture: float32 (h, w, 3). Taps are normalised to sum 1 to keep colours."""
    side = len(kernel.taps)
    before = (side - kernel.scale) // 2
    padding = [(before, side - kernel.scale - before)] * 2 + [(0, 0)]
    padded = torch.from_numpy(np.pad(hr.astype(np.float32), padding, mode="reflect")).permute(2, 0, 1)
    taps = torch.from_numpy((kernel.taps / kernel.taps.sum()).astype(np.float32))[None, None]
    return F.conv2d(padded[:, None], taps, stride=kernel.scale)[:, 0].permute(1, 2, 0).numpy()


def _moved(picture: np.ndarray, shift: np.ndarray) -> np.ndarray:
    right, down = shift
    return ndimage.shift(picture, (down, right, 0), order=5, mode="reflect")


def _roll_half(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return np.roll(picture, (height // 2, width // 2), (0, 1))


def _tiles(picture: np.ndarray, size: int) -> np.ndarray:
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    cut = picture[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    return cut.swapaxes(1, 2).reshape(-1, size, size, 3)
