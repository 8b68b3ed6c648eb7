"""The model that made a dataset, and its measured cameras."""

from dataclasses import dataclass

from sdflow.camera import Camera
from sdflow.checkpoint import load_checkpoint
from sdflow.errors import ArgumentError

from ..dataset.manifest import Dataset
from ..models.cameras import cameras_of
from ..models.degraders import fingerprint_of
from ..models.registry import PACKAGED, find_checkpoint, is_packaged


@dataclass(frozen=True)
class CameraOfModel:
    """A measured camera of a model.

    Attributes:
        measured: response and noise.
        look: share, blur, noise and codec in words; empty if the model has no such description.
    """

    measured: Camera
    look: str = ""


def measured_cameras(dataset: Dataset, model: str | None = None) -> list[CameraOfModel]:
    """The measured cameras of the model that made a dataset.

    The name of the model in a dataset is untrusted, so no path in it is followed. Without ``model``, only
    packaged models are found.

    Args:
        dataset: names the model that made it, with its hash.
        model: the model: a checkpoint, a run of training or the name of a packaged model.

    Returns:
        The cameras; empty if the model has none or is not found.

    Raises:
        SDFlowError: ``model`` is not the model that made the dataset, or cannot be read.
    """
    named, made = dataset.info["model"], dataset.info.get("model_hash")
    if model is not None:
        checkpoint = find_checkpoint(model)
        if fingerprint_of(checkpoint) != made:
            raise ArgumentError(
                "model", f"expected the model that made {dataset.folder}, {named}, found another: {model}"
            )
    elif is_packaged(named) and fingerprint_of(PACKAGED / named) == made:
        checkpoint = PACKAGED / named
    else:
        return []
    layer = load_checkpoint(checkpoint).degradation_flow.camera
    measured = [] if layer is None else layer.in_use
    looks = [f"{camera.look}; {camera.codec}" for camera in cameras_of(checkpoint)]
    return [CameraOfModel(*pair) for pair in zip(measured, looks or [""] * len(measured))]
