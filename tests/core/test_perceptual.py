"""The perceptual terms: whose weights they take, where their gradient goes, and what they leave alone."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_training import ARCHITECTURE, CONFIG, batch
from torch import Tensor

from sdflow.errors import SDFlowError
from sdflow.networks import kaiming_init
from sdflow.perceptual import PerceptualDistance, _vgg19
from sdflow.training import Trainer


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = _vgg19()
    kaiming_init(network, slope=0)  # torch's own beginning lets nothing of the image arrive
    return {f"features.{name}": value for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file(weights | {"classifier.0.bias": torch.zeros(3)}, path)
    return path


def test_the_network_has_the_sixteen_convolutions_of_vgg_19_as_torchvision_numbers_them() -> None:
    shapes = {name: tuple(value.shape) for name, value in _vgg19().state_dict().items()}
    assert len(shapes) == 32
    assert shapes["0.weight"] == (64, 3, 3, 3)
    assert shapes["19.weight"] == (512, 256, 3, 3)
    assert shapes["34.weight"] == (512, 512, 3, 3)


def test_a_pth_and_a_safetensors_file_give_the_same_distance(
    weights: dict[str, Tensor], file: Path, tmp_path: Path
) -> None:
    torch.save(weights, tmp_path / "vgg19.pth")
    images = torch.rand(2, 1, 3, 32, 32)
    distances = [PerceptualDistance(path)(*images) for path in (file, tmp_path / "vgg19.pth")]
    assert distances[0] == distances[1] > 0


def test_an_image_has_no_distance_to_itself(file: Path) -> None:
    image = torch.rand(1, 3, 16, 16)
    assert PerceptualDistance(file)(image, image) == 0


def test_a_step_learns_from_them_and_leaves_the_network_and_the_state_alone(file: Path) -> None:
    distance = PerceptualDistance(file)
    before = {name: value.clone() for name, value in distance.state_dict().items()}
    with_it, without = Trainer(ARCHITECTURE, CONFIG, perceptual=distance), Trainer(ARCHITECTURE, CONFIG)
    metrics = with_it.step(*batch(0, 2), 0.5)
    without.step(*batch(0, 2), 0.5)
    assert metrics is not None
    assert "perceptual_super_resolution" in metrics
    ours, others = with_it.state_dict().tensors, without.state_dict().tensors
    assert ours.keys() == others.keys()
    assert any(not torch.equal(ours[name], others[name]) for name in ours if name.startswith("model.encoder"))
    assert all(torch.equal(before[name], value) for name, value in distance.state_dict().items())
    assert all(parameter.grad is None for parameter in distance.parameters())


def test_the_gradient_goes_to_the_image_and_not_to_the_target(file: Path) -> None:
    image, target = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    PerceptualDistance(file)(image, target).backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert target.grad is None


def test_missing_weights_are_named(weights: dict[str, Tensor], tmp_path: Path) -> None:
    some = {name: value for name, value in weights.items() if name != "features.5.bias"}
    save_file(some, tmp_path / "some.safetensors")
    with pytest.raises(SDFlowError, match=r"some.safetensors: .*VGG-19, found no features.5.bias"):
        PerceptualDistance(tmp_path / "some.safetensors")


@pytest.mark.parametrize("value", [torch.zeros(3), torch.zeros(64, dtype=torch.int64)])
def test_weights_of_another_shape_or_type_are_named(
    weights: dict[str, Tensor], tmp_path: Path, value: Tensor
) -> None:
    save_file(weights | {"features.0.bias": value}, tmp_path / "other.safetensors")
    with pytest.raises(SDFlowError, match=r"features.0.bias: expected floats of shape \(64,\)"):
        PerceptualDistance(tmp_path / "other.safetensors")


@pytest.mark.parametrize("name", ["notes.pth", "notes.safetensors"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("no weights")
    with pytest.raises(SDFlowError, match=name):
        PerceptualDistance(tmp_path / name)


def test_a_run_goes_on_with_the_same_weights_alone(file: Path, tmp_path: Path) -> None:
    from sdflow_data.training.presets import preset_settings

    other = tmp_path / "other.safetensors"
    other.write_bytes(file.read_bytes() + b" ")
    identities = [
        preset_settings(
            "tiny",
            hr=(),
            lr=(),
            out=tmp_path,
            scale=2,
            device="cpu",
            precision="fp32",
            perceptual_weights=path,
        ).identity()["perceptual_weights"]
        for path in (file, other, None)
    ]
    assert identities[2] is None
    assert len(set(identities)) == 3
