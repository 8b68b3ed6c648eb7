"""The measured camera of two folders: what is looked at, and what is told and drawn of it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from sdflow.camera import ROUNDING, SIZE, Camera, CameraMeasurement, Measured, filtered
from sdflow.model import SDFlow
from sdflow.noise import derive_seed
from sdflow.resample import quantise, to_levels, to_unit
from sdflow.spectra import opponent_colours

from ..images.codec import Codec
from ..images.finding import find_pictures
from ..images.picture import PictureError
from ..images.reading import read_picture
from ..system.progress import progress

_BLOCK = 448
"""Side of the blocks of a photograph, in LR pixels."""
_BLOCKS, _OF_A_PHOTOGRAPH = 400, 6
"""How many blocks of a side are looked at in all, and of one photograph, at most."""


def measure_camera(
    hr_folders: Sequence[Path], lr_folders: Sequence[Path], model: SDFlow, seed: int, shown: bool = True
) -> Measured:
    """Measure the camera of the LR photographs, for a model.

    All photographs are looked at, up to 400 of a side, evenly chosen; of large ones, random blocks.
    Pictures that cannot be used are passed over: the training's crops list them.

    Args:
        hr_folders, lr_folders: searched to any depth.
        model: its f_HR says what the content of an HR photograph is. On any device.
        seed: of the blocks.
        shown: whether progress is shown.

    Raises:
        ValueError: no photograph of a side is large enough, or no place is flat.
    """
    sides = [
        _chosen([folder / path for folder in folders for path in find_pictures(folder)])
        for folders in (lr_folders, hr_folders)
    ]
    measurement = CameraMeasurement(*map(len, sides))
    device = next(model.parameters()).device
    with progress(sum(map(len, sides)), "Measuring the camera", "photographs", shown=shown) as bar:
        for block in _blocks(sides[0], 1, 1, seed, bar.update):
            measurement.add_lr(block)
        for block in _blocks(sides[1], model.scale, model.multiple, seed, bar.update):
            with torch.no_grad():
                content = model.hr_flow.pyramid(to_unit(block[None]).to(device))
            measurement.add_content(to_levels(content[0]).cpu())
    return measurement.result()


def _chosen(paths: list[Path]) -> list[Path]:
    """At most as many as there are blocks, evenly chosen."""
    if len(paths) <= _BLOCKS:
        return paths
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, _BLOCKS)]


def _blocks(
    paths: list[Path], scale: int, multiple: int, seed: int, tick: Callable[[int], None]
) -> Iterator[Tensor]:
    """Blocks (3, h, w) uint8 of photographs, sides multiples of ``multiple``."""
    side, least = _BLOCK * scale, SIZE * scale
    share = min(_OF_A_PHOTOGRAPH, max(1, _BLOCKS // max(1, len(paths))))
    for number, path in enumerate(paths):
        try:
            picture = read_picture(path)
        except PictureError:
            picture = np.empty((0, 0, 3), np.uint8)
        tick(1)
        height, width = (length - length % multiple for length in picture.shape[:2])
        if min(height, width) < least:
            continue
        random = np.random.default_rng(derive_seed(seed, number))
        rows, columns = math.ceil(height / side), math.ceil(width / side)
        size = (min(side, height), min(side, width))
        places = [(row, column) for row in range(rows) for column in range(columns)]
        for index in random.permutation(len(places))[:share]:
            corner = [
                round(place * (length - extent) / max(1, count - 1)) if count > 1 else (length - extent) // 2
                for place, length, extent, count in zip(places[index], (height, width), size, (rows, columns))
            ]
            top, left = (start - start % multiple for start in corner)
            block = picture[top : top + size[0], left : left + size[1]]
            yield torch.from_numpy(np.ascontiguousarray(block)).permute(2, 0, 1)


def in_words(measured: Measured) -> list[str]:
    """The camera in a few lines, its doubts last."""
    frequency = np.linspace(0, 0.5, 129)
    brightness = along_rows(measured.camera.response[0], frequency)
    below = np.flatnonzero(brightness < 0.5)
    half = f"half of the contrast is left at {frequency[below[0]]:.2f}" if len(below) else "no blur up to 0.5"
    peak = int(brightness.argmax())
    sharpened = (
        f", sharpened by {100 * (brightness[peak] - 1):.0f} % at {frequency[peak]:.2f}"
        if brightness[peak] > 1.05
        else ""
    )
    levels = ", ".join(f"{noise:.1f} at {level:.0f}" for level, noise in measured.noise)
    return [
        f"Measured camera: {half} cycles per LR pixel{sharpened}",
        f"  noise, grey levels at a brightness: {levels}",
        *(f"Warning: {doubt}" for doubt in measured.doubts),
    ]


def along_rows(kernel: Tensor, frequency: np.ndarray) -> np.ndarray:
    """The response of a zero-phase kernel (n, n) to waves along the rows, frequencies in cycles per pixel."""
    line = kernel.sum(0).double().numpy()
    taps = np.arange(len(line)) - len(line) // 2
    return np.cos(2 * np.pi * frequency[:, None] * taps) @ line


_COLOURS = ("brightness", "R - B", "R - 2G + B")
_INKS = ((30, 30, 30), (200, 60, 30), (40, 130, 60))
_WIDTH, _HEIGHT, _MARGIN = 420, 300, 48


def draw_camera(measured: Measured) -> np.ndarray:
    """Three panels: response of each colour against frequency, noise of each against brightness, and the
    kernel of brightness. uint8 (H, W, 3)."""
    camera = measured.camera
    frequency, levels = np.linspace(0, 0.5, 101), np.linspace(0, 255, camera.strength.shape[1])
    response = [along_rows(kernel, frequency) for kernel in camera.response]
    noise = list(camera.strength.numpy())
    panels = [
        _plot("response", "cycles per LR pixel", frequency, response, "%.1f"),
        _plot("noise, grey levels", "brightness", levels, noise, "%.0f"),
        _kernel_picture(camera),
    ]
    return np.concatenate(panels, 1)


def _plot(title: str, axis: str, x: np.ndarray, curves: list[np.ndarray], ticks: str) -> np.ndarray:
    panel = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    top = 1.1 * max(float(curve.max()) for curve in curves)
    wide, high = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def place(a: float, b: float) -> tuple[int, int]:
        return (
            round(_MARGIN + wide * (a - x[0]) / (x[-1] - x[0])),
            round(_HEIGHT - _MARGIN - high * max(0.0, b) / top),
        )

    for share in (0, 0.25, 0.5, 0.75, 1):
        left, right = place(x[0], share * top), place(x[-1], share * top)
        cv2.line(panel, left, right, (225, 225, 225), 1)
        _text(panel, f"{share * top:.2g}", (8, left[1] + 4))
        at = x[0] + share * (x[-1] - x[0])
        _text(panel, ticks % at if ticks != "%.1f" else f"{at:.2f}", (place(at, 0)[0] - 12, _HEIGHT - 28))
    for number, (curve, ink) in enumerate(zip(curves, _INKS)):
        points = np.array([place(a, b) for a, b in zip(x, curve)], np.int32)
        cv2.polylines(panel, [points], False, ink, 2, cv2.LINE_AA)
        _text(panel, _COLOURS[number], (_WIDTH - 150, 16 + 14 * number), ink)
    _text(panel, title, (_MARGIN, 16))
    _text(panel, axis, (_MARGIN + wide // 2 - 50, _HEIGHT - 10))
    return panel


def _kernel_picture(camera: Camera) -> np.ndarray:
    kernel = camera.response[0].numpy()
    middle = len(kernel) // 2
    inner = kernel[middle - 6 : middle + 7, middle - 6 : middle + 7]
    most = float(np.abs(inner).max())
    grey = np.clip(128 + 127 * inner / most, 0, 255).astype(np.uint8)
    side = _HEIGHT - 2 * _MARGIN
    panel = np.full((_HEIGHT, _HEIGHT, 3), 255, np.uint8)
    enlarged = cv2.resize(grey, (side, side), interpolation=cv2.INTER_NEAREST)
    panel[_MARGIN : _MARGIN + side, _MARGIN : _MARGIN + side] = enlarged[..., None]
    _text(panel, "kernel of brightness, 13 x 13 LR pixels", (16, 16))
    _text(panel, f"grey is 0, white {most:.2f}", (_MARGIN, _HEIGHT - 20))
    return panel


def _text(
    panel: np.ndarray, text: str, place: tuple[int, int], ink: tuple[int, int, int] = (90, 90, 90)
) -> None:
    cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1, cv2.LINE_AA)


_FLAT_SIDE, _ROUNDS = 128, 3


def before_codec(camera: Camera, codec: Codec, seed: int) -> Camera:
    """The camera as it is before its codec: behind it, its noise is what was measured.

    A codec takes noise away, and adds its own. Flat pictures of every brightness are photographed, compressed
    and measured, and the strength of each colour is corrected by what comes out, three times.
    """
    if codec.lossless:
        return camera
    generator = torch.Generator().manual_seed(derive_seed(seed, 0))
    strength = camera.strength.clone()
    levels = torch.linspace(0, 255, strength.shape[1]).view(-1, 1, 1, 1)
    wanted = camera.strength.square()
    for _ in range(_ROUNDS):
        white = torch.randn(len(levels), 3, _FLAT_SIDE, _FLAT_SIDE, generator=generator)
        noise = strength.T[:, :, None, None] * filtered(white, camera.noise)
        flat = quantise(levels + opponent_colours(noise, inverse=True)).permute(0, 2, 3, 1).numpy()
        found = torch.zeros_like(strength)
        for jpeg, share in codec.entries:
            coded = np.stack([picture if jpeg is None else jpeg.apply(picture) for picture in flat])
            colours = opponent_colours(torch.from_numpy(coded).permute(0, 3, 1, 2).float())
            found += share * colours.var((2, 3)).T
        strength *= (wanted / (found - ROUNDING).clamp(min=1e-3)).clamp(0.25, 4).sqrt()
    strength[:, 0], strength[:, -1] = strength[:, 1], strength[:, -2]  # black and white cut half of it off
    return replace(camera, strength=strength)
