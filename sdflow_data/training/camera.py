"""The cameras of a folder of LR photographs: measurement, description in words, drawing."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sdflow.camera import SIZE, Camera, CameraMeasurement, Measured
from sdflow.model import SDFlow
from sdflow.noise import derive_seed
from sdflow.resample import to_levels, to_unit

from ..images.codec import Codec
from ..images.finding import find_pictures
from ..images.picture import PictureError
from ..images.reading import read_picture
from ..models.cameras import (
    LEAST_MEMBERS,
    CameraGroup,
    CameraLook,
    group_photographs,
    merged_into_nearest,
    united,
)
from ..statistics.photograph import Photograph, measure_photograph, photograph_frame
from ..system.progress import progress

_SAME_NOISE, _SAME_QUALITY, _SAME_BLUR = 0.25, 5.0, 1.0
"""Largest differences within a camera: log of the noise in flat areas, JPEG quality, blur in pixels."""

_BLOCK = 448
"""Side of the blocks of a photograph, in LR pixels."""

_BLOCKS, _OF_A_PHOTOGRAPH = 400, 6
"""The most blocks of a side (HR or LR), and of one photograph."""


@dataclass(frozen=True)
class GroupCamera:
    """A camera of the LR photographs.

    Attributes:
        look: the properties of its photographs.
        measured: the measured camera.
        codec: the compression of its photographs.
    """

    look: CameraLook
    measured: Measured
    codec: Codec


def measure_cameras(
    hr_folders: Sequence[Path], lr_folders: Sequence[Path], model: SDFlow, seed: int, shown: bool = True
) -> tuple[list[GroupCamera], int]:
    """Measure the cameras of the LR photographs: one, unless the photographs fall into groups.

    Up to 400 photographs of each side are measured, spread evenly; of large ones, random blocks. Unusable
    pictures are ignored, because the crops of the training list them.

    Args:
        hr_folders, lr_folders: the folders. They are searched to any depth.
        model: the model. Its f_HR computes the content of HR photographs, and its configuration limits the
            number of cameras.
        seed: the seed of the blocks.
        shown: whether progress is shown.

    Returns:
        The cameras, the most frequent first; and the number of photographs that were merged into other
        groups, because theirs had fewer than `LEAST_MEMBERS`, or flat areas at a single brightness.

    Raises:
        ValueError: no photograph of a side is large enough, or no area is flat.
    """
    lr, hr = (
        _chosen([folder / path for folder in folders for path in find_pictures(folder)])
        for folders in (lr_folders, hr_folders)
    )
    whole = CameraMeasurement(len(lr), len(hr))
    cut_lr, cut_hr = _Blocks(len(lr), 1, 1, seed), _Blocks(len(hr), model.scale, model.multiple, seed)
    device = next(model.parameters()).device
    photographs: list[tuple[int, Photograph]] = []
    with progress(len(lr) + len(hr), "Measuring the camera", "photographs", shown=shown) as bar:
        for number, path in enumerate(lr):
            if (picture := cut_lr.read(path)) is not None:
                photographs.append((number, measure_photograph(path, picture=picture)))
                for block in cut_lr.of(picture, number):
                    whole.add_lr(block, number)
            bar.update(1)
        for number, path in enumerate(hr):
            if (picture := cut_hr.read(path)) is not None:
                for block in cut_hr.of(picture, number):
                    with torch.no_grad():
                        content = model.encode_hr(to_unit(block[None]).to(device))
                    whole.add_content(to_levels(content[0]).cpu(), number)
            bar.update(1)

    def measured(members: np.ndarray) -> Measured:
        if len(members) == len(photographs):
            return whole.result()
        part = whole.another(len(members))
        for number, _ in (photographs[row] for row in members):
            if (picture := cut_lr.read(lr[number])) is not None:
                for block in cut_lr.of(picture, number):
                    part.add_lr(block, number)
        return part.result()

    frame = photograph_frame([photograph for _, photograph in photographs])
    found, merged = _measured_groups(frame, measured, model.config.components)
    codecs = [Codec.of(photographs[row][1].codec for row in group.members) for group, _ in found]
    return [GroupCamera(group.look, camera, codec) for (group, camera), codec in zip(found, codecs)], merged


def _measured_groups(
    frame: pd.DataFrame, measure: Callable[[np.ndarray], Measured], most: int
) -> tuple[list[tuple[CameraGroup, Measured]], int]:
    """The measurable groups, with their cameras; and the number of photographs merged into others."""
    known: dict[bytes, Measured] = {}
    groups, merged = group_photographs(frame, most), 0
    while len(groups) > 1:
        small = [number for number, group in enumerate(groups) if len(group.members) < LEAST_MEMBERS]
        for group in () if small else groups:
            key = group.members.tobytes()
            known[key] = known.get(key) or measure(group.members)
        unclear = [
            k for k, group in enumerate(groups) if not small and _too_plain(known[group.members.tobytes()])
        ]
        if small or unclear:
            number = (small or unclear)[-1]
            merged += len(groups[number].members)
            groups = merged_into_nearest(frame, groups, number)
            continue
        found = [(group, known[group.members.tobytes()]) for group in groups]
        same = next((pair for pair in combinations(found, 2) if _of_one_camera(*pair)), None)
        if same is None:
            return found, merged
        (first, _), (second, _) = same
        groups = united(frame, groups, first, second)
    return [(group, measure(np.arange(len(frame)))) for group in groups], merged


def _too_plain(measured: Measured) -> bool:
    return len(measured.noise) < 2


def _of_one_camera(first: tuple[CameraGroup, Measured], second: tuple[CameraGroup, Measured]) -> bool:
    """Whether two groups may be of one camera, with different scenes.

    Textures resemble noise, and smooth scenes resemble blur. In flat areas, noise is the camera's. Groups
    with the same noise in flat areas and a similar JPEG quality count as one, unless they differ strongly in
    blur.
    """
    (one, camera), (other, camera_of_other) = first, second
    levels, noise = np.array(camera.noise).T
    noise_of_other = np.interp(levels, *np.array(camera_of_other.noise).T)
    return (
        abs(float(np.log(noise / noise_of_other).mean())) < _SAME_NOISE
        and abs(one.look.quality - other.look.quality) < _SAME_QUALITY
        and abs(one.look.blur - other.look.blur) < _SAME_BLUR
    )


def _chosen(paths: list[Path]) -> list[Path]:
    """At most `_BLOCKS` of the paths, spread evenly."""
    if len(paths) <= _BLOCKS:
        return paths
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, _BLOCKS)]


class _Blocks:
    """Cuts blocks from photographs. Repeated calls give the same blocks.

    Args:
        photographs: the number of photographs.
        scale: the ratio of their size to LR size.
        multiple: sides and positions of blocks are multiples of this.
        seed: the seed of the choice of blocks.
    """

    def __init__(self, photographs: int, scale: int, multiple: int, seed: int) -> None:
        self._side, self._least = _BLOCK * scale, SIZE * scale
        self._multiple, self._seed = multiple, seed
        self._share = min(_OF_A_PHOTOGRAPH, max(1, _BLOCKS // max(1, photographs)))

    def read(self, path: Path) -> np.ndarray | None:
        """Read a photograph, cropped to multiples; None if it is too small or cannot be decoded."""
        try:
            picture = read_picture(path)
        except PictureError:
            return None
        height, width = (length - length % self._multiple for length in picture.shape[:2])
        return picture[:height, :width] if min(height, width) >= self._least else None

    def of(self, picture: np.ndarray, number: int) -> Iterator[Tensor]:
        """Blocks (3, h, w) uint8 of a photograph, by its number."""
        height, width = picture.shape[:2]
        random = np.random.default_rng(derive_seed(self._seed, number))
        rows, columns = math.ceil(height / self._side), math.ceil(width / self._side)
        size = (min(self._side, height), min(self._side, width))
        places = [(row, column) for row in range(rows) for column in range(columns)]
        for index in random.permutation(len(places))[: self._share]:
            corner = [
                round(place * (length - extent) / max(1, count - 1)) if count > 1 else (length - extent) // 2
                for place, length, extent, count in zip(places[index], (height, width), size, (rows, columns))
            ]
            top, left = (start - start % self._multiple for start in corner)
            block = picture[top : top + size[0], left : left + size[1]]
            yield torch.from_numpy(np.ascontiguousarray(block)).permute(2, 0, 1)


def in_words(cameras: Sequence[GroupCamera], merged: int) -> Iterator[str]:
    """A description of the cameras, a few lines each; see `measure_cameras` for the arguments."""
    if len(cameras) > 1:
        yield f"The LR photographs are from {len(cameras)} cameras, or from one with as many settings"
    if merged:
        yield f"{merged} LR photographs, in groups too small or plain to measure, count to the likeliest"
    for number, camera in enumerate(cameras):
        if len(cameras) > 1:
            yield f"Camera {number}: {camera.look}"
        yield from _one_in_words(camera.measured)
        yield f"  compression: {camera.codec}"


def _one_in_words(measured: Measured) -> list[str]:
    """A description of a camera in a few lines, doubts last."""
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
    """The response of a zero-phase kernel (n, n) along the rows, at frequencies in cycles per pixel."""
    line = kernel.sum(0).double().numpy()
    taps = np.arange(len(line)) - len(line) // 2
    return np.cos(2 * np.pi * frequency[:, None] * taps) @ line


_COLOURS = ("brightness", "R - B", "R - 2G + B")
_INKS = ((30, 30, 30), (200, 60, 30), (40, 130, 60))
_WIDTH, _HEIGHT, _MARGIN = 420, 300, 48


def draw_cameras(cameras: Sequence[GroupCamera]) -> np.ndarray:
    """Draw the cameras, uint8 (H, W, 3): a row of three panels for each."""
    rows = []
    for number, camera in enumerate(cameras):
        row = _draw_camera(camera.measured)
        if len(cameras) > 1:
            heading = np.full((24, row.shape[1], 3), 235, np.uint8)
            _text(heading, f"camera {number}: {camera.look}; {camera.codec}", (8, 16))
            rows.append(heading)
        rows.append(row)
    return np.concatenate(rows)


def _draw_camera(measured: Measured) -> np.ndarray:
    """Three panels, uint8 (H, W, 3): response against frequency, noise against brightness, luma kernel."""
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
