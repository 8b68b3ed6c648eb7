"""The measured cameras of a model, from its weights and its description, also in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from sdflow.camera import KNOTS, Camera, along_rows
from sdflow.checkpoint import load_checkpoint

from ..images.codec import Codec
from .cameras import ModelCamera, cameras_of

_SHOWN = range(2, KNOTS, 3)
"""Brightnesses, of those at which a camera keeps the strength of its noise, that are shown."""


@dataclass(frozen=True)
class CameraOfModel:
    """A measured camera of a model.

    Attributes:
        measured: response and noise, before compression.
        described: share, look and codec; None if the model has no such description.
    """

    measured: Camera
    described: ModelCamera | None = None


def load_cameras(checkpoint: Path) -> list[CameraOfModel]:
    """The measured cameras of a checkpoint; empty if it has none.

    Raises:
        SDFlowError: there is no checkpoint, or it is unusable.
    """
    model = load_checkpoint(checkpoint)
    layer = None if model.missing("downscale") else model.degradation_flow.camera
    measured = [] if layer is None else layer.in_use
    described = cameras_of(checkpoint, len(measured))
    return [CameraOfModel(*pair) for pair in zip_longest(measured, described)]


def in_words(cameras: Sequence[CameraOfModel]) -> Iterator[str]:
    """A description of a model's cameras, a few lines each, in the words of `camera_in_words`."""
    for number, camera in enumerate(cameras):
        described = camera.described
        if len(cameras) > 1:
            yield f"Camera {number}" + (f": {described.look}" if described else "")
        strength = camera.measured.strength.square().sum(0).div(3).sqrt().tolist()
        noise = [(255 * knot / (KNOTS - 1), strength[knot]) for knot in _SHOWN]
        codec = described.codec if described else None
        is_coded = codec is not None and not codec.lossless
        yield from camera_in_words(camera.measured, noise, codec, "noise before compression" * is_coded)


def camera_in_words(
    camera: Camera, noise: Sequence[tuple[float, float]], codec: Codec | None, of_noise: str = ""
) -> Iterator[str]:
    """A description of a camera in a few lines.

    Args:
        camera: its response and its noise in textured places.
        noise: brightnesses, and the standard deviation of the noise of R, G and B there, in grey levels.
        codec: its compression; None if it is not known.
        of_noise: what the noise is, in words; empty for the noise of the photographs.
    """
    frequency = np.linspace(0, 0.5, 129)
    brightness = along_rows(camera.response[0], torch.from_numpy(frequency)).numpy()
    below = np.flatnonzero(brightness < 0.5)
    half = f"half of the contrast is left at {frequency[below[0]]:.2f}" if len(below) else "no blur up to 0.5"
    peak = int(brightness.argmax())
    sharpened = (
        f", sharpened by {100 * (brightness[peak] - 1):.0f} % at {frequency[peak]:.2f}"
        if brightness[peak] > 1.05
        else ""
    )
    levels = ", ".join(f"{deviation:.1f} at {level:.0f}" for level, deviation in noise)
    yield f"Measured camera: {half} cycles per LR pixel{sharpened}"
    yield f"  {of_noise or 'noise'}, grey levels at a brightness: {levels}"
    if of_detail := float(camera.texture[0]):
        yield f"  noise in textured places: {100 * of_detail:.0f} % of their fine detail"
    if codec is not None:
        yield f"  compression: {codec}"
