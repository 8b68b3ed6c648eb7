"""Real pairs with one thing about the camera taken away: what blur, noise, colour and place each cost.

A camera's picture is taken apart: what the best linear kernel makes of HR (its blur and its place), slow
differences from that (colour), and the rest (noise, and what no kernel explains). Each oracle puts it
together again with one part as in pairs that know nothing of it. With the rest from elsewhere in the picture
there is noise of the right kind, but nothing of the content that the kernel leaves.
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
"""Deviation of the Gaussian blur that leaves colour and takes noise, in LR pixels."""


@dataclass(frozen=True)
class Parts:
    """``lr = blurred + colour + noise``, float32 (h, w, 3); ``moved`` is right and down, in LR pixels."""

    bicubic: np.ndarray
    blurred: np.ndarray
    colour: np.ndarray
    noise: np.ndarray
    moved: np.ndarray

    @classmethod
    def of(cls, hr: np.ndarray, lr: np.ndarray) -> "Parts":
        """Of an aligned pair, by the kernel that fits it best."""
        kernel = fit_kernel([(hr, lr)])
        blurred = apply_kernel(kernel, hr)
        rest = lr.astype(np.float32) - blurred
        colour = ndimage.gaussian_filter(rest, (SLOW, SLOW, 0))
        bicubic = BicubicDegrader(kernel.scale).degrade(hr, [0], 0).lr[0]
        return cls(bicubic, blurred, colour, rest - colour, kernel.shift)


ORACLES: dict[str, Callable[[Parts], np.ndarray]] = {
    "real pairs": lambda p: p.blurred + p.colour + p.noise,
    "real, without blur": lambda p: _move(p.bicubic, p.moved) + p.colour + p.noise,
    "real, without noise": lambda p: p.blurred + p.colour,
    "real, noise from elsewhere": lambda p: p.blurred + p.colour + _roll_half(p.noise),
    "real, colours of HR": lambda p: p.blurred + p.noise,
    "real, in place": lambda p: _move(p.blurred, -p.moved) + p.colour + p.noise,
}
"""By name: LR levels of the parts of a pair. The first has all as it is."""


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
    """What a kernel makes of a picture: float32 (h, w, 3). Its taps are made to sum to 1: colours stay."""
    side = len(kernel.taps)
    before = (side - kernel.scale) // 2
    padding = [(before, side - kernel.scale - before)] * 2 + [(0, 0)]
    padded = torch.from_numpy(np.pad(hr.astype(np.float32), padding, mode="reflect")).permute(2, 0, 1)
    taps = torch.from_numpy((kernel.taps / kernel.taps.sum()).astype(np.float32))[None, None]
    return F.conv2d(padded[:, None], taps, stride=kernel.scale)[:, 0].permute(1, 2, 0).numpy()


def _move(picture: np.ndarray, moved: np.ndarray) -> np.ndarray:
    right, down = moved
    return ndimage.shift(picture, (down, right, 0), order=5, mode="reflect")


def _roll_half(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return np.roll(picture, (height // 2, width // 2), (0, 1))


def _tiles(picture: np.ndarray, size: int) -> np.ndarray:
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    cut = picture[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    return cut.swapaxes(1, 2).reshape(-1, size, size, 3)
