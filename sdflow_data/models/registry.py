"""What ``--model M`` names: a checkpoint, a run of training, or a model that comes with the package."""

from dataclasses import dataclass
from pathlib import Path

from sdflow.checkpoint import DESCRIPTION, is_checkpoint, read_description
from sdflow.errors import ArgumentError, SDFlowError

HAND_MADE = {
    "bicubic": "antialiased bicubic downscaling, no degradation",
    "classical": "hand-made degradation: random blur, resizing, noise and JPEG",
}
"""Degraders that are code: they need no weights and know every scale."""

PACKAGED = Path(__file__).parent / "weights"
"""Checkpoints that are installed with the package, a folder each."""


@dataclass(frozen=True)
class BuiltInModel:
    """One line of ``sdflow models``: ``scales`` are those it can be used at."""

    name: str
    scales: tuple[int, ...]
    description: str


def built_in_models() -> list[BuiltInModel]:
    """All models that need no training, the hand-made ones first.

    Raises:
        SDFlowError: a packaged checkpoint that cannot be read.
    """
    models = [BuiltInModel(name, (2, 4, 8), text) for name, text in HAND_MADE.items()]
    for folder in _packaged():
        description = read_description(folder)
        text = description["training"].get("description", "SDFlow")
        models.append(BuiltInModel(folder.name, (description["scale"],), text))
    return models


def find_checkpoint(model: str, argument: str = "model") -> Path:
    """The checkpoint folder that a name or a path stands for.

    Args:
        model: a checkpoint folder, a run of training (with ``model/`` in it), or a packaged model's name. A
            folder comes before a packaged model of the same name.
        argument: that named it, for the error.

    Raises:
        SDFlowError: none of these.
    """
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
    """What the model is called in another process, wherever that runs: a path is made absolute, a name stays,
    since every machine finds it in its own installation.

    Raises:
        SDFlowError: there is no such model.
    """
    if model in HAND_MADE or (folder := find_checkpoint(model)).parent == PACKAGED:
        return model
    return str(folder.absolute())


def _packaged() -> list[Path]:
    return sorted(path.parent for path in PACKAGED.glob(f"*/{DESCRIPTION}"))
