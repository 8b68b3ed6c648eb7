"""Sampling weights of the mixture components that match a set of photographs."""

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

_ComponentPosterior = Callable[[Path, np.ndarray], np.ndarray]
"""A photograph's path and pixels to the probabilities (N,) of the components, with sum 1."""


def component_posterior(model: SDFlow, patches: np.ndarray) -> np.ndarray:
    """The posterior probability of each mixture component, given patches of one photograph.

    All patches of a photograph have one component. Their log odds are averaged. The sum would be too certain,
    because neighbouring pixels are dependent.

    Args:
        model: a model with all parts of downscaling and the LR content extractor.
        patches: uint8 (M, p, p, 3), real LR.

    Returns:
        (N,), with sum 1.
    """
    with torch.no_grad():
        x = to_unit(torch.from_numpy(patches).permute(0, 3, 1, 2))
        content = model.encode_lr(x)
        z_d = model.lr_flow(x)[0] - content
        latents = model.degradation_flow(z_d, content)[0]
        log_odds = torch.log(model.prior.responsibilities(latents.double()).clamp_min(1e-300)).mean(0)
        return torch.softmax(log_odds, 0).numpy()


def likeness(model: str, folder: Path) -> tuple[tuple[float, ...], list[str]]:
    """Weights of a model's components that match the photographs in a folder.

    The components of a measured model are cameras. A photograph counts for the camera that is nearest in
    blur, noise and compression. With any other model, a photograph counts for the components in proportion to
    their posterior probabilities.

    Args:
        model: a checkpoint, a run, or a built-in name.
        folder: real LR photographs, searched to any depth; every photograph has the same weight.

    Returns:
        The weights, rounded to four digits, with sum 1; and a line for each skipped file.

    Raises:
        SDFlowError: the model has no components or only one direction, or no photograph is usable.
    """
    if model in HAND_MADE:
        raise ArgumentError("model", f"expected a trained model with mixture components, found {model}")
    checkpoint = find_checkpoint(model)
    looks = [camera.look for camera in cameras_of(checkpoint)]
    posterior = _nearest_camera(looks) if looks else _by_network(checkpoint)
    listing = search(folder)
    found, skipped = [], [f"{error.path.relative_to(folder)}: {error.reason}" for error in listing.skipped]
    for name in listing.pictures:
        try:
            picture = read_picture(folder / name)
            if min(picture.shape[:2]) < _SIZE:
                raise PictureError(folder / name, f"smaller than {_SIZE}x{_SIZE} pixels")
            found.append(posterior(folder / name, picture))
        except PictureError as error:
            skipped.append(f"{name}: {error.reason}")
    if not found:
        raise SDFlowError(f"{folder}: expected photographs of at least {_SIZE}x{_SIZE} pixels, found none")
    weights = np.round(np.stack(found).mean(0), _DIGITS)
    weights[weights.argmax()] += 1 - weights.sum()
    return tuple(float(round(weight, _DIGITS)) for weight in weights), skipped


def _nearest_camera(looks: Sequence[CameraLook]) -> _ComponentPosterior:
    def posterior(path: Path, picture: np.ndarray) -> np.ndarray:
        frame = photograph_frame([measure_photograph(path, picture=picture)])
        return np.eye(len(looks))[nearest(looks, frame)[0]]

    return posterior


def _by_network(checkpoint: Path) -> _ComponentPosterior:
    # The content extractor belongs to one direction, the mixture to the other.
    network = load_checkpoint(checkpoint, needs=["upscale", "downscale"])
    if network.config.measured:
        return lambda path, picture: np.ones(1)  # a single camera without a description
    return lambda path, picture: component_posterior(network, cut_patches(picture, _SIZE, _PATCHES))
