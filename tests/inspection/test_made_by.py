"""The cameras of the model that made a dataset: shown where they are surely that model's."""

from pathlib import Path

import pytest
import torch

from sdflow.checkpoint import load_checkpoint
from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import Dataset
from sdflow_data.inspection.made_by import measured_cameras
from sdflow_data.models.degraders import fingerprint_of
from sdflow_data.models.registry import PACKAGED

MODEL = "city100-nikon-x2"
HASH = fingerprint_of(PACKAGED / MODEL)


def made_by(model: str, model_hash: str) -> Dataset:
    return Dataset(Path("pairs"), {"model": model, "model_hash": model_hash})


def test_a_packaged_model_is_found_by_its_name() -> None:
    (camera,) = measured_cameras(made_by(MODEL, HASH))
    layer = load_checkpoint(PACKAGED / MODEL).degradation_flow.camera
    assert layer is not None
    torch.testing.assert_close(camera.measured.response, layer.response[0])


@pytest.mark.parametrize("model", ["bicubic", MODEL, str(PACKAGED / MODEL), "../model"])
def test_a_model_of_another_hash_and_a_path_show_nothing(model: str) -> None:
    assert measured_cameras(made_by(model, "0" * 64)) == []
    assert (measured_cameras(made_by(model, HASH)) == []) == (model != MODEL)


def test_a_model_that_is_named_must_be_the_one() -> None:
    path = str(PACKAGED / MODEL)
    assert len(measured_cameras(made_by("model", HASH), path)) == 1
    with pytest.raises(SDFlowError, match="expected the model that made pairs, model, found another"):
        measured_cameras(made_by("model", "0" * 64), path)
