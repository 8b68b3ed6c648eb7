"""Which of a model's degradations a set of photographs shows: ``sdflow generate --like``."""

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
from .registry import HAND_MADE, find_checkpoint

_SIZE, _PATCHES = 48, 32
_DIGITS = 4


def component_use(model: SDFlow, patches: np.ndarray) -> np.ndarray:
    """The posterior probability of each mixture component, given patches of one photograph.

    A degradation belongs to the whole photograph: the patches are of one component, and their evidence adds
    up; it is tempered to that of one patch, since neighbouring pixels say the same.

    Args:
        model: with all of its downscaling parts and the LR content extractor.
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

    Args:
        model: a checkpoint, a run, or a built-in name.
        folder: of real LR photographs, searched to any depth; every photograph counts alike.

    Returns:
        The weights, rounded to four digits and summing to 1; and what was skipped, a line each.

    Raises:
        SDFlowError: a model without components, one of a single direction, or no usable photograph.
    """
    if model in HAND_MADE:
        raise ArgumentError("model", f"expected a trained model with mixture components, found {model}")
    # The content extractor is a part of the one direction, the mixture of the other.
    network = load_checkpoint(find_checkpoint(model), needs=["upscale", "downscale"])
    listing = search(folder)
    uses, skipped = [], [f"{error.path.relative_to(folder)}: {error.reason}" for error in listing.skipped]
    for name in listing.pictures:
        try:
            patches = cut_patches(read_picture(folder / name), _SIZE, _PATCHES)
        except PictureError as error:
            skipped.append(f"{name}: {error.reason}")
            continue
        if len(patches) == 0:
            skipped.append(f"{name}: smaller than {_SIZE}x{_SIZE} pixels")
            continue
        uses.append(component_use(network, patches))
    if not uses:
        raise SDFlowError(f"{folder}: expected photographs of at least {_SIZE}x{_SIZE} pixels, found none")
    weights = np.round(np.stack(uses).mean(0), _DIGITS)
    weights[weights.argmax()] += 1 - weights.sum()
    return tuple(float(round(weight, _DIGITS)) for weight in weights), skipped
