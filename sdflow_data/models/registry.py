"""Models by name or path: a checkpoint, a run of training, or a built-in model."""

from dataclasses import dataclass
from pathlib import Path

from sdflow.checkpoint import DESCRIPTION, is_checkpoint, read_description
from sdflow.errors import ArgumentError, SDFlowError
from sdflow.wording import counted

HAND_MADE = {
    "bicubic": "antialiased bicubic downscaling, no degradation",
    "classical": "hand-made degradation: random blur, resizing, noise and JPEG",
}
"""Degraders without weights, for every scale."""

PACKAGED = Path(__file__).parent / "weights"
"""The checkpoints of the package, one folder each."""


@dataclass(frozen=True)
class NamedModel:
    """A model: its name, the scales that it supports, and a description of one line."""

    name: str
    scales: tuple[int, ...]
    description: str


def built_in_models() -> list[NamedModel]:
    """The built-in models, hand-made ones first.

    Raises:
        SDFlowError: a packaged checkpoint is unreadable.
    """
    models = [NamedModel(name, (2, 4, 8), text) for name, text in HAND_MADE.items()]
    return models + [described(folder, folder.name) for folder in _packaged()]


def described(checkpoint: Path, name: str) -> NamedModel:
    """A checkpoint, with the description that it contains.

    Args:
        checkpoint: the folder of the checkpoint.
        name: its name or path for the user.

    Raises:
        SDFlowError: the checkpoint is unreadable.
    """
    description = read_description(checkpoint)
    training = description["training"]
    steps = f", {counted(steps, 'training step')}" if type(steps := training.get("steps")) is int else ""
    return NamedModel(name, (description["scale"],), str(training.get("description", f"SDFlow{steps}")))


def find_checkpoint(model: str, argument: str = "model") -> Path:
    """The checkpoint folder of a model.

    Args:
        model: a checkpoint folder, a run of training (which has a folder ``model``), or the name of a
            packaged model. A folder has priority over a packaged model of the same name.
        argument: the name of the argument, for the error.

    Raises:
        SDFlowError: there is no such checkpoint.
    """
    if not model:
        raise ArgumentError(argument, "expected the name of a model, found an empty one")
    folder = Path(model)
    for candidate in (folder / "model", folder):
        if is_checkpoint(candidate):
            return candidate
    packaged = {path.name: path for path in _packaged()}
    if model not in packaged:
        if model in HAND_MADE:
            raise ArgumentError(argument, f"expected a trained model, found {model}, which has no weights")
        if folder.is_dir():
            raise SDFlowError(
                f"{model}: expected a checkpoint or a run of training, found no {DESCRIPTION} in it"
            )
        names = ", ".join([*HAND_MADE, *packaged])
        raise ArgumentError(
            argument, f"expected a checkpoint, a run of training or one of {names}; found {model}"
        )
    return packaged[model]


def anywhere(model: str) -> str:
    """A name of the model that is valid in other processes and on other machines.

    A path becomes absolute. A built-in name stays, because every installation has the model.

    Raises:
        SDFlowError: there is no such model.
    """
    if model in HAND_MADE or (folder := find_checkpoint(model)).parent == PACKAGED:
        return model
    return str(folder.absolute())


def is_packaged(name: str) -> bool:
    """Whether the package contains a checkpoint of this name."""
    return name in {path.name for path in _packaged()}


def _packaged() -> list[Path]:
    return sorted(path.parent for path in PACKAGED.glob(f"*/{DESCRIPTION}"))
