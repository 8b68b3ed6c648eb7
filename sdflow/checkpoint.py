"""Checkpoints: a folder with ``model.safetensors`` and ``model.json``. No pickle is ever read from it."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from . import __version__
from .config import SDFlowConfig
from .errors import SDFlowError
from .files import flush, sha256_file
from .model import Direction, SDFlow
from .published import files_of

FORMAT_VERSION = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def save_checkpoint(folder: Path, model: SDFlow, training: dict[str, Any]) -> None:
    """Write a checkpoint. An older checkpoint of that name is replaced atomically.

    A model without some of its parts is stored without them; ``parts`` lists those it has.

    Args:
        folder: the checkpoint.
        model: the architecture and the weights.
        training: a description of its training, plain values.

    Raises:
        SDFlowError: the folder holds other files, which a replacement would delete.
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, aside / WEIGHTS)
        (aside / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        for path in (aside / WEIGHTS, aside / DESCRIPTION, aside):
            flush(path)
        aside.chmod(0o755)
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


def _replace_folder(new: Path, folder: Path) -> None:
    """Replace ``folder`` by ``new``. After a crash between the two renames the older checkpoint lies beside
    it, where ``_newest_complete`` finds it."""
    old = folder.with_name(f".{folder.name}.old")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _newest_complete(folder: Path) -> Path:
    old = folder.with_name(f".{folder.name}.old")
    return old if not folder.exists() and old.exists() else folder


def is_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint of that name exists, even if its replacement was interrupted."""
    return (_newest_complete(folder) / DESCRIPTION).is_file()


def read_description(folder: Path) -> dict[str, Any]:
    """The contents of a checkpoint's ``model.json``.

    Raises:
        SDFlowError: no checkpoint, or an unreadable one.
    """
    if not is_checkpoint(folder):
        raise SDFlowError(
            f"{folder}: expected a checkpoint ({WEIGHTS} and {DESCRIPTION}), found no {DESCRIPTION}"
        )
    path = _newest_complete(folder) / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        version = description["format_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SDFlowError(f"{path}: expected a checkpoint's description as JSON, found {error!r}") from error
    if version != FORMAT_VERSION:
        raise SDFlowError(f"{path}: expected checkpoint format {FORMAT_VERSION}, found {version}")
    return description


def load_checkpoint(
    folder: Path, device: str | torch.device = "cpu", needs: Sequence[Direction] = ()
) -> SDFlow:
    """The model of a checkpoint, in evaluation mode.

    Args:
        folder: the checkpoint.
        device: where the model is to run.
        needs: the directions ("downscale", "upscale") that the model must support.

    Raises:
        SDFlowError: no checkpoint, a truncated one, weights that do not fit the architecture, or a model that
            lacks the parts of a direction.
    """
    description = read_description(folder)
    folder = _newest_complete(folder)
    try:
        model = SDFlow(SDFlowConfig.from_dict(description["architecture"]))
        model.drop(set(model.parts) - set(description["parts"]))
    except (ValueError, TypeError, KeyError) as error:
        raise SDFlowError(f"{folder / DESCRIPTION}: unusable architecture: {error!r}") from error
    for direction in needs:
        if missing := files_of(model.missing(direction)):
            raise SDFlowError(
                f"{folder}: expected a checkpoint that can {direction}, found one that was imported without "
                f"{' and '.join(missing)}; `sdflow import-published` again, with that beside the others"
            )
    path = folder / WEIGHTS
    try:
        if not path.is_file() and path.exists():  # reading a named pipe would wait
            raise SDFlowError(f"{path}: expected a file, found something else")
        state = load_file(path)
    except FileNotFoundError as error:
        raise SDFlowError(f"{folder}: expected {WEIGHTS} beside {DESCRIPTION}, found none") from error
    except SafetensorError as error:
        raise SDFlowError(
            f"{path}: expected whole safetensors weights, found a damaged file ({error})"
        ) from error
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if expected != found:
        differing = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise SDFlowError(
            f"{path}: expected the weights of its own architecture, found {len(differing)} that are missing, "
            f"extra or of another shape (first: {differing[0]})"
        )
    for name, value in model.state_dict().items():
        if state[name].dtype != value.dtype or not torch.isfinite(state[name]).all():
            raise SDFlowError(f"{path}: expected finite weights of 32 bits, found others in {name}")
    model.load_state_dict(state)
    return model.eval().to(device)


def fingerprint(folder: Path) -> str:
    """sha256 (hex) of the weights and the architecture, which determine a checkpoint's output."""
    description = read_description(folder)
    folder = _newest_complete(folder)
    architecture = json.dumps(description["architecture"], sort_keys=True)
    return sha256_file(folder / WEIGHTS, prefix=architecture.encode())
