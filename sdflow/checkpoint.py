"""Checkpoints: a folder with ``model.safetensors`` and ``model.json``. No pickle is ever read from it."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from . import __version__
from .errors import SDFlowError
from .files import flush, read_json, sha256_file, to_json, write_file
from .model import Direction, SDFlow, SDFlowConfig
from .published import files_of
from .tensors import read_tensors
from .wording import counted

FORMAT_VERSION = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
_TYPES = {"scale": int, "parts": list, "architecture": dict, "training": dict}
"""The types of the entries of a description."""

_FEW_LAYERS, _BYTES_PER_LAYER, _SMALL = 256, 4096, 1 << 28
"""A model of so many layers, or so many bytes of weights, is made without a look at the file's size."""
_LATER = tuple(f"degradation_flow.camera.{name}" for name in ("aperture", "crosstalk", "texture"))
"""Buffers that older checkpoints lack; their initial values stand for what those do."""


def save_checkpoint(folder: Path, model: SDFlow, training: dict[str, Any]) -> None:
    """Write a checkpoint. An older checkpoint of that name is replaced atomically.

    A model without some of its parts is stored without them; ``parts`` lists those it has.

    Args:
        folder: the checkpoint.
        model: the architecture and the weights.
        training: a description of its training, plain values.

    Raises:
        SDFlowError: the folder contains other files, which a replacement would delete.
    """
    _refuse_strangers(folder)
    description = {
        "format_version": FORMAT_VERSION,
        "library_version": __version__,
        "scale": model.scale,
        "parts": list(model.parts),
        "architecture": model.config.to_dict(),
        "training": training,
    }
    aside = _beside(folder, "tmp")  # the remains of a killed save have the same name
    weights = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        write_file(aside / WEIGHTS, save(weights))
        write_file(aside / DESCRIPTION, to_json(description))
        _replace_folder(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _refuse_strangers(folder: Path) -> None:
    strangers = {p.name for p in folder.iterdir()} - {WEIGHTS, DESCRIPTION} if folder.exists() else set()
    if strangers:
        raise SDFlowError(
            f"{folder}: expected a new folder or a checkpoint to replace, found other files "
            f"({min(strangers)})"
        )


def _beside(folder: Path, ending: str) -> Path:
    folder = folder.absolute()  # "." has no name
    return folder.parent / f".{folder.name}.{ending}"


def _replace_folder(new: Path, folder: Path) -> None:
    """Replace ``folder`` by ``new``.

    After a crash between the two renames, ``_newest_complete`` finds the older one beside it.
    """
    old = _beside(folder, "old")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _newest_complete(folder: Path) -> Path:
    old = _beside(folder, "old")
    return old if not folder.exists() and old.exists() else folder


def is_checkpoint(folder: Path) -> bool:
    """Whether the folder is a checkpoint, even if its replacement was interrupted."""
    return (_newest_complete(folder) / DESCRIPTION).is_file()


def read_description(folder: Path) -> dict[str, Any]:
    """Read the ``model.json`` of a checkpoint.

    Raises:
        SDFlowError: there is no checkpoint, or it is unreadable.
    """
    if not is_checkpoint(folder):
        raise SDFlowError(
            f"{folder}: expected a checkpoint ({WEIGHTS} and {DESCRIPTION}), found no {DESCRIPTION}"
        )
    path = _newest_complete(folder) / DESCRIPTION
    description = read_json(path, "the description of a checkpoint as JSON")
    if (version := description.get("format_version")) != FORMAT_VERSION:
        raise SDFlowError(f"{path}: expected checkpoint format {FORMAT_VERSION}, found {version!r:.40}")
    for name, expected in _TYPES.items():
        if type(value := description.get(name)) is not expected:
            raise SDFlowError(f"{path}: expected {name} of the type {expected.__name__}, found {value!r:.40}")
    if description["scale"] != description["architecture"].get("scale", SDFlowConfig.scale):
        raise SDFlowError(f"{path}: expected the scale of its architecture, found {description['scale']}")
    return description


def load_checkpoint(
    folder: Path, device: str | torch.device = "cpu", needs: Sequence[Direction] = ()
) -> SDFlow:
    """Load the model of a checkpoint, in evaluation mode.

    Args:
        folder: the checkpoint.
        device: the device of the model.
        needs: the directions ("downscale", "upscale") that the model must support.

    Raises:
        SDFlowError: there is no checkpoint, it is damaged, its weights do not fit its architecture, or the
            model lacks the parts of a direction.
    """
    description = read_description(folder)
    folder = _newest_complete(folder)
    try:
        config, parts = SDFlowConfig.from_dict(description["architecture"]), set(description["parts"])
    except (ValueError, TypeError) as error:
        raise SDFlowError(f"{folder / DESCRIPTION}: unusable architecture: {error}") from error
    path = folder / WEIGHTS
    _check_size(path, config)
    model = SDFlow(config)
    model.drop(set(model.parts) - parts)
    state = _read_weights(path, model)
    for direction in needs:
        if missing := files_of(model.missing(direction)):
            raise SDFlowError(
                f"{folder}: expected a checkpoint that can {direction}, found one that was imported without "
                f"{' and '.join(missing)}; `sdflow import-published` again, with that beside the others"
            )
    model.load_state_dict(state)
    return model.eval().to(device)


def _check_size(path: Path, config: SDFlowConfig) -> None:
    """Compare an architecture with the size of the file of its weights, before memory is allocated.

    A description of one kilobyte can demand a model of terabytes.

    Raises:
        SDFlowError: the file is missing, or too small by far.
    """
    if not path.is_file():  # a named pipe would be waited for
        found = "something else" if path.exists() else "none"
        raise SDFlowError(f"{path.parent}: expected {WEIGHTS} beside {DESCRIPTION}, found {found}")
    size = path.stat().st_size
    if config.layers > max(size // _BYTES_PER_LAYER, _FEW_LAYERS) or config.least_weights * 4 > max(
        size, _SMALL
    ):
        raise SDFlowError(
            f"{path}: expected the {config.least_weights} and more weights of its own architecture, found "
            f"a file of {counted(size, 'byte')}"
        )


def _read_weights(path: Path, model: SDFlow) -> dict[str, Tensor]:
    """What is stored for each of a model's weights.

    Raises:
        SDFlowError: a damaged file, or weights of other names, shapes or types, or that are not finite.
    """
    expected = model.state_dict()
    try:
        state, _ = read_tensors(path, sum(value.nbytes for value in expected.values()))
    except ValueError as error:
        raise SDFlowError(f"{path}: expected whole weights, found a damaged file: {error}") from error
    for name in expected.keys() & set(_LATER):  # cameras that were stored before they had it
        state.setdefault(name, expected[name])
    if differing := sorted(
        name
        for name in expected.keys() | state.keys()
        if name not in expected or name not in state or expected[name].shape != state[name].shape
    ):
        raise SDFlowError(
            f"{path}: expected the weights of its own architecture, found {len(differing)} that are missing, "
            f"extra or of another shape (first: {differing[0]})"
        )
    for name, value in state.items():
        if value.dtype != expected[name].dtype or not torch.isfinite(value).all():
            raise SDFlowError(f"{path}: expected finite {expected[name].dtype}, found others in {name}")
    return state


def fingerprint(folder: Path) -> str:
    """The SHA-256 (hex) of weights and architecture, which determine the output of a checkpoint."""
    description = read_description(folder)
    folder = _newest_complete(folder)
    architecture = json.dumps(description["architecture"], sort_keys=True)
    return sha256_file(folder / WEIGHTS, prefix=architecture.encode())
