"""The measured cameras for people: a description in a few lines, and a drawing."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch

from sdflow.camera import Camera, along_rows
from sdflow.measurement import Measured
from sdflow.wording import counted

from ..models.cameras import ModelCamera
from ..models.measured import camera_in_words
from .camera import FolderCameras, GroupCamera

_COLOURS = ("brightness", "R - B", "R - 2G + B")
_INKS = ((30, 30, 30), (200, 60, 30), (40, 130, 60))
_WIDTH, _HEIGHT, _MARGIN = 420, 300, 48


def in_words(found: FolderCameras) -> Iterator[str]:
    """A description of the cameras, a few lines each."""
    cameras = found.cameras
    if found.measured < found.photographs:
        yield f"Measured {found.measured:,} of {counted(found.photographs, 'LR photograph')}"
    if len(cameras) > 1:
        yield f"The LR photographs are from {len(cameras)} cameras, or from one with as many settings"
    if found.merged:
        others = counted(found.merged, "LR photograph")
        yield f"{others} in groups too small or too plain to measure, and counted to the likeliest camera"
    for number, camera in enumerate(cameras):
        if len(cameras) > 1:
            yield f"Camera {number}: {camera.look}"
        measured = camera.measured
        yield from camera_in_words(measured.camera, measured.noise, camera.codec)
        yield from (f"Warning: {doubt}" for doubt in measured.doubts)


def draw_cameras(cameras: Sequence[GroupCamera]) -> np.ndarray:
    """Draw the cameras, uint8 (H, W, 3): a row of three panels for each."""
    rows = []
    for number, camera in enumerate(cameras):
        row = _draw_camera(camera.measured)
        if len(cameras) > 1:
            heading = np.full((24, row.shape[1], 3), 235, np.uint8)
            _text(heading, f"camera {number}: {ModelCamera(camera.look, camera.codec)}", (8, 16))
            rows.append(heading)
        rows.append(row)
    return np.concatenate(rows)


def _draw_camera(measured: Measured) -> np.ndarray:
    """Three panels, uint8 (H, W, 3): response against frequency, noise against brightness, luma kernel."""
    camera = measured.camera
    frequency, levels = np.linspace(0, 0.5, 101), np.linspace(0, 255, camera.strength.shape[1])
    response = [along_rows(kernel, torch.from_numpy(frequency)).numpy() for kernel in camera.response]
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
