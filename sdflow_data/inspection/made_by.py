"""The model that made a dataset, and the cameras that it carries."""

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
    """A measured camera, and its share, blur, noise and codec in words; empty where the model has none."""

    measured: Camera
    look: str = ""


def measured_cameras(dataset: Dataset, model: str | None = None) -> list[CameraOfModel]:
    """The measured cameras of the model that made a dataset.

    What a dataset says of its model may come from anywhere, so that no path in it is followed: without
    ``model`` only those that come with the package are found.

    Args:
        dataset: it says which model made it.
        model: a checkpoint, a run of training or a packaged model's name: the model itself.

    Returns:
        None of them where the model has none, or is not at hand.

    Raises:
        SDFlowError: ``model`` is another one than made the dataset, or cannot be read.
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
