"""The model that made a dataset, and its measured cameras."""

from sdflow.errors import ArgumentError

from ..dataset.manifest import Dataset
from ..models.degraders import fingerprint_of
from ..models.measured import CameraOfModel, load_cameras
from ..models.registry import PACKAGED, find_checkpoint, is_packaged


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
    return load_cameras(checkpoint)
