"""The degradations of a model that a set of photographs shows, for ``sdflow generate --like``."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from sdflow.checkpoint import load_checkpoint
from sdflow.errors import ArgumentError, SDFlowError
from sdflow.model import SDFlow
from sdflow.resample import to_unit

from ..images.finding import search
from ..images.picture import PictureError
from ..images.reading import read_picture
from ..statistics.frames import cut_patches
from ..statistics.photograph import measure_photograph, photograph_frame
from .cameras import CameraLook, cameras_of, nearest
from .registry import HAND_MADE, find_checkpoint

_SIZE, _PATCHES = 48, 32
_DIGITS = 4

_Use = Callable[[Path, np.ndarray], np.ndarray]
"""A photograph's path and pixels -> the probability of each component, with sum 1."""


def component_use(model: SDFlow, patches: np.ndarray) -> np.ndarray:
    """The posterior probability of each mixture component, given patches of one photograph.

    A degradation belongs to the whole photograph. The patches are therefore of one component, and their
    evidence is averaged: neighbouring pixels are dependent, so the sum would be too certain.

    Args:
        model: a model with all parts of downscaling and the LR content extractor.
        patches: uint8 (M, p, p, 3), real LR.

    Returns:
        (N,), sum 1.
    """
    with torch.no_grad():
        x = to_unit(torch.from_numpy(patches).permute(0, 3, 1, 2))
        content = model.encode_lr(x)
        z_d = model.lr_flow(x)[0] - content
        latents = model.degradation_flow(z_d, content)[0]
        log_odds = torch.log(model.prior.responsibilities(latents.double()).clamp_min(1e-300)).mean(0)
        return torch.softmax(log_odds, 0).numpy()


def likeness(model: str, folder: Path) -> tuple[tuple[float, ...], list[str]]:
    """Sampling weights of a model's components that give the degradations of the photographs in a folder.

    A measured model's components are cameras: its photographs were told apart by blur, noise and compression,
    and so are these. Of any other model, a component is as likely as it explains the photograph.

    Args:
        model: a checkpoint, a run, or a built-in name.
        folder: real LR photographs, searched to any depth; every photograph has the same weight.

    Returns:
        The weights, rounded to four digits, with sum 1; and a line for each skipped file.

    Raises:
        SDFlowError: a model without components, one of a single direction, or no usable photograph.
    """
    if model in HAND_MADE:
        raise ArgumentError("model", f"expected a trained model with mixture components, found {model}")
    checkpoint = find_checkpoint(model)
    looks = [camera.look for camera in cameras_of(checkpoint)]
    use = _nearest_camera(looks) if looks else _explaining(checkpoint)
    listing = search(folder)
    uses, skipped = [], [f"{error.path.relative_to(folder)}: {error.reason}" for error in listing.skipped]
    for name in listing.pictures:
        try:
            picture = read_picture(folder / name)
            if min(picture.shape[:2]) < _SIZE:
                raise PictureError(folder / name, f"smaller than {_SIZE}x{_SIZE} pixels")
            uses.append(use(folder / name, picture))
        except PictureError as error:
            skipped.append(f"{name}: {error.reason}")
    if not uses:
        raise SDFlowError(f"{folder}: expected photographs of at least {_SIZE}x{_SIZE} pixels, found none")
    weights = np.round(np.stack(uses).mean(0), _DIGITS)
    weights[weights.argmax()] += 1 - weights.sum()
    return tuple(float(round(weight, _DIGITS)) for weight in weights), skipped


def _nearest_camera(looks: Sequence[CameraLook]) -> _Use:
    def use(path: Path, picture: np.ndarray) -> np.ndarray:
        frame = photograph_frame([measure_photograph(path, picture=picture)])
        return np.eye(len(looks))[nearest(looks, frame)[0]]

    return use


def _explaining(checkpoint: Path) -> _Use:
    # The content extractor belongs to one direction, the mixture to the other.
    network = load_checkpoint(checkpoint, needs=["upscale", "downscale"])
    if network.config.measured:
        return lambda path, picture: np.ones(1)  # of one camera, of which nothing more is told
    return lambda path, picture: component_use(network, cut_patches(picture, _SIZE, _PATCHES))
