"""The whole model: its directions undo each other, its likelihoods are what the change of variables says."""

import dataclasses
import math

import pytest
import torch
from laws import SMALLEST, randomise
from torch import Tensor

from sdflow.camera import KNOTS, Camera
from sdflow.model import SDFlow, SDFlowConfig
from sdflow_data.training.presets import PresetName, preset_architecture


def model_at(scale: int) -> SDFlow:
    model = randomise(SDFlow(dataclasses.replace(SMALLEST, scale=scale)), scale).double().eval()
    return model


def picture(height: int, width: int, seed: int = 1) -> Tensor:
    return (
        torch.rand(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        * 2
        - 1
    )


scales = pytest.mark.parametrize("scale", [2, 4, 8])


@pytest.mark.parametrize(
    ("part", "millions"),
    [("hr_flow", 1.06), ("hf_flow", 7.21), ("lr_flow", 0.24), ("degradation_flow", 3.81), ("encoder", 1.78)],
)
def test_the_default_architecture_has_the_published_number_of_parameters(part: str, millions: float) -> None:
    module = getattr(SDFlow(SDFlowConfig()), part)
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == millions


@scales
@pytest.mark.parametrize("name", ["tiny", "small", "paper"])
def test_every_preset_builds_at_every_scale(name: PresetName, scale: int) -> None:
    config = preset_architecture(name, scale)
    assert SDFlowConfig.from_dict(config.to_dict()) == config
    assert SDFlow(config).scale == scale


@scales
@torch.no_grad()
def test_super_resolution_undoes_the_encoding_of_a_picture(scale: int) -> None:
    model, y = model_at(scale), picture(4 * scale, 6 * scale)
    latents, _ = model.hr_flow(y)
    content, z_h = latents[:, :3], latents[:, 3:]
    z_h_prime, _ = model.hf_flow(z_h, content)
    assert z_h_prime.shape[1:] == model.latent_shape_hr(4, 6)
    torch.testing.assert_close(model.decode_hr(model.encode_hr(y), z_h_prime), y, atol=1e-9, rtol=0)


@scales
@torch.no_grad()
def test_downscaling_undoes_the_encoding_of_a_real_picture(scale: int) -> None:
    model, x, content = model_at(scale), picture(4, 6), picture(4, 6, seed=2)
    z_d_prime, _ = model.degradation_flow(model.lr_flow(x)[0] - content, content)
    assert z_d_prime.shape[1:] == model.latent_shape_lr(4, 6)
    torch.testing.assert_close(model.decode_lr(content, z_d_prime), x, atol=1e-9, rtol=0)


@scales
@torch.no_grad()
def test_both_contents_have_the_size_of_the_lr_picture(scale: int) -> None:
    model = model_at(scale)
    assert model.encode_hr(picture(4 * scale, 6 * scale)).shape == (2, 3, 4, 6)
    assert model.encode_lr(picture(4, 6)).shape == (2, 3, 4, 6)


@torch.no_grad()
def test_the_likelihood_of_an_hr_picture_is_the_change_of_variables() -> None:
    model, y = model_at(2), picture(8, 8)[:1]

    def latents(values: Tensor) -> tuple[Tensor, Tensor]:
        z, _ = model.hr_flow(values.view_as(y))
        return z[:, :3], model.hf_flow(z[:, 3:], z[:, :3])[0]

    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(
            lambda values: torch.cat([part.flatten() for part in latents(values)]),
            y.flatten(),
            vectorize=True,
        )
    z_h_prime = latents(y.flatten())[1]
    gaussian = -0.5 * (z_h_prime.square().sum() + math.log(2 * math.pi) * z_h_prime.numel())
    # f_HF sees a detached content: that block is missing here, but the Jacobian is block triangular anyway
    expected = gaussian + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(model.log_prob_hr(y), expected.expand(1), atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_likelihood_of_an_lr_picture_is_the_change_of_variables() -> None:
    model, x, content = model_at(2), picture(4, 4)[:1], picture(4, 4, seed=2)[:1]

    def latent(values: Tensor) -> Tensor:
        return model.degradation_flow(model.lr_flow(values.view_as(x))[0] - content, content)[0].flatten()

    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(latent, x.flatten(), vectorize=True)
    expected = model.prior.log_prob(latent(x.flatten())[None]) + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(model.log_prob_lr(x, content), expected, atol=1e-6, rtol=0)


def a_measured_model() -> SDFlow:
    """Of three cameras out of four that there is room for, in float64."""
    config = dataclasses.replace(SMALLEST, scale=2, hr_steps=0, components=4, measured=True)
    model = randomise(SDFlow(config), 2, 0.05).double().eval()
    cameras = [
        dataclasses.replace(Camera.identity(), strength=torch.full((3, KNOTS), level))
        for level in (2.0, 5.0, 9.0)
    ]
    assert model.degradation_flow.camera is not None
    model.degradation_flow.camera.load(cameras, [0.5, 0.3, 0.2])
    return model


@torch.no_grad()
def test_the_density_of_several_cameras_is_that_of_their_samples() -> None:
    # The mean over samples of p_k / p is the integral of p_k, which is 1, for the density p_k of any camera.
    model, content = a_measured_model(), picture(4, 4)[:1].expand(1000, -1, -1, -1)
    x, _ = model.sample_lr(content)
    z_d = model.lr_flow(x)[0] - content
    whole = model.log_prob_degradation(z_d, content)
    for component, share in enumerate((0.5, 0.3, 0.2)):
        z, log_det = model.degradation_flow(z_d, content, component)
        ratio = (model.prior.log_prob(z) + log_det - whole).exp()
        assert float(ratio.max()) <= 1 / share + 1e-9
        assert float(ratio.mean()) == pytest.approx(1, abs=0.1)


@torch.no_grad()
def test_samples_of_a_component_have_the_noise_of_its_camera() -> None:
    model, content = a_measured_model(), torch.zeros(64, 3, 8, 8, dtype=torch.float64)
    noise = torch.randn(64, *model.latent_shape_lr(8, 8), dtype=torch.float64)
    spread = [float(model.decode_lr(content, noise, k).std(0).mean()) for k in range(3)]
    assert spread[1] / spread[0] == pytest.approx(2.5, rel=0.1)
    assert spread[2] / spread[0] == pytest.approx(4.5, rel=0.1)


@torch.no_grad()
def test_an_lr_likelihood_takes_its_content_from_the_encoder() -> None:
    model, x = model_at(2), picture(4, 4)
    assert torch.equal(model.log_prob_lr(x), model.log_prob_lr(x, model.encode_lr(x)))


def content_gradient(model: SDFlow, density: str) -> Tensor | None:
    content = picture(4, 4).requires_grad_()
    if density == "hf":
        model.log_prob_hf(torch.randn(2, model.hf_channels, 4, 4).double(), content).sum().backward()
    else:
        model.log_prob_degradation(picture(4, 4, seed=3), content).sum().backward()
    return content.grad


def test_no_gradient_reaches_the_content_through_the_high_frequencies() -> None:
    assert content_gradient(model_at(2), "hf") is None


def test_the_gradient_of_the_degradation_reaches_the_content() -> None:
    gradient = content_gradient(model_at(2), "degradation")
    assert gradient is not None
    assert gradient.abs().max() > 0


@scales
@torch.no_grad()
def test_a_new_model_begins_with_the_mean_of_each_block_as_content(scale: int) -> None:
    model, y = (
        SDFlow(dataclasses.replace(SMALLEST, scale=scale)).double().eval(),
        picture(4 * scale, 6 * scale),
    )
    torch.testing.assert_close(model.encode_hr(y), torch.nn.functional.avg_pool2d(y, scale))


@torch.no_grad()
def test_a_new_model_begins_with_a_blurred_copy_as_the_content_of_a_real_picture() -> None:
    model, x = SDFlow(SMALLEST).double().eval(), picture(12, 12)
    row = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
    kernel = torch.outer(row, row).expand(3, 1, 3, 3)
    blurred = torch.nn.functional.conv2d(
        torch.nn.functional.pad(x, (1, 1, 1, 1), "reflect"), kernel, groups=3
    )
    twice = torch.nn.functional.conv2d(
        torch.nn.functional.pad(blurred, (1, 1, 1, 1), "reflect"), kernel, groups=3
    )
    torch.testing.assert_close(model.encode_lr(x), twice, atol=0.15, rtol=0)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"scale": 3}, "scale"),
        ({"width": 0}, "width"),
        ({"mixture": "all"}, "mixture"),
        ({"hr_steps": 1.5}, "hr_steps"),
    ],
)
def test_an_impossible_architecture_is_refused_by_name(change: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SDFlowConfig.from_dict({**SMALLEST.to_dict(), **change})


def test_an_unknown_architecture_setting_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="depth"):
        SDFlowConfig.from_dict({**SMALLEST.to_dict(), "depth": 3})
