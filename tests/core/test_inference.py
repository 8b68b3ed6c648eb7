"""Fast sampling gives the plain model's numbers, and every sample is on its own."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import SMALLEST, randomise
from torch import Tensor

from sdflow import folding, inference
from sdflow.bijection import Bijection
from sdflow.folding import FoldedFlow, leaves_of
from sdflow.inference import Downscaler, Upscaler, native_precision
from sdflow.layers import AffineCoupling
from sdflow.model import SDFlow, SDFlowConfig


def model_at(scale: int, seed: int = 1) -> SDFlow:
    return randomise(SDFlow(dataclasses.replace(SMALLEST, scale=scale)), seed, spread=0.1).eval()


def picture(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * width)) * 2 - 1


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(shape[0]))


sizes = st.tuples(st.integers(2, 5), st.integers(2, 5)).map(lambda size: (2 * size[0], 2 * size[1]))


@settings(max_examples=10, deadline=None)
@given(scale=st.sampled_from([2, 4, 8]), size=sizes, seed=st.integers(0, 99))
@torch.no_grad()
def test_fast_downscaling_is_within_1e_4_of_the_plain_model(
    scale: int, size: tuple[int, int], seed: int
) -> None:
    model, hr = model_at(scale, seed), picture(scale * size[0], scale * size[1])
    latents = noise(3, *model.latent_shape_lr(*size))
    downscaler = Downscaler(model)
    encoded = downscaler.encode(hr)
    content = model.encode_hr(hr)
    expected = model.decode_lr(content.expand(3, -1, -1, -1), latents)
    torch.testing.assert_close(encoded.content, content, atol=1e-4, rtol=0)
    torch.testing.assert_close(downscaler.sample(encoded, latents), expected, atol=1e-4, rtol=0)


@settings(max_examples=10, deadline=None)
@given(scale=st.sampled_from([2, 4, 8]), size=sizes, seed=st.integers(0, 99))
@torch.no_grad()
def test_fast_super_resolution_is_within_1e_4_of_the_plain_model(
    scale: int, size: tuple[int, int], seed: int
) -> None:
    model, lr = model_at(scale, seed), picture(*size)
    latents = noise(2, *model.latent_shape_hr(*size))
    upscaler = Upscaler(model)
    encoded = upscaler.encode(lr)
    content = model.encode_lr(lr)
    expected = model.decode_hr(content.expand(2, -1, -1, -1), latents)
    torch.testing.assert_close(encoded.content, content, atol=1e-4, rtol=0)
    torch.testing.assert_close(upscaler.sample(encoded, latents), expected, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def paper() -> SDFlow:
    return randomise(SDFlow(SDFlowConfig()), 3, spread=0.03).eval()


@torch.no_grad()
def test_the_paper_model_is_within_1e_4_too(paper: SDFlow) -> None:
    hr, latents = picture(48, 64), noise(2, 12, 6, 8)
    downscaler = Downscaler(paper)
    expected = paper.decode_lr(paper.encode_hr(hr).expand(2, -1, -1, -1), latents)
    torch.testing.assert_close(downscaler.sample(downscaler.encode(hr), latents), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_sample_has_the_same_bits_in_every_company(paper: SDFlow, precision: str) -> None:
    downscaler, latents = Downscaler(paper, precision), noise(5, 12, 5, 3)
    encoded = downscaler.encode(picture(40, 24))
    together = downscaler.sample(encoded, latents)
    for count in range(1, 5):
        assert torch.equal(downscaler.sample(encoded, latents[:count]), together[:count])
    order = [3, 0, 4, 1, 2]
    assert torch.equal(downscaler.sample(encoded, latents[order]), together[order])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_super_resolution_has_the_same_bits_in_every_company(paper: SDFlow, precision: str) -> None:
    upscaler, latents = Upscaler(paper, precision), noise(3, 45, 6, 4)
    encoded = upscaler.encode(picture(6, 4))
    together = upscaler.sample(encoded, latents)
    assert torch.equal(upscaler.sample(encoded, latents[2:]), together[2:])
    assert torch.equal(upscaler.sample(encoded, latents[[1, 0, 2]]), together[[1, 0, 2]])


def test_the_memory_layout_of_the_input_changes_no_bit(paper: SDFlow) -> None:
    downscaler, hr, latents = Downscaler(paper), picture(32, 48), noise(1, 12, 4, 6)
    expected = downscaler.sample(downscaler.encode(hr), latents)
    encoded = downscaler.encode(hr.to(memory_format=torch.channels_last))
    assert torch.equal(downscaler.sample(encoded, latents.to(memory_format=torch.channels_last)), expected)


def test_two_downscalers_of_a_model_give_the_same_bits(paper: SDFlow) -> None:
    hr, latents = picture(32, 32), noise(2, 12, 4, 4)
    first, second = Downscaler(paper), Downscaler(paper)
    first.sample(first.encode(picture(16, 48)), noise(1, 12, 2, 6))  # what it did before does not matter
    samples = [downscaler.sample(downscaler.encode(hr), latents) for downscaler in (first, second)]
    assert torch.equal(*samples)


@torch.no_grad()
def test_bf16_networks_stay_near_fp32_and_the_result_is_fp32(paper: SDFlow) -> None:
    hr, latents, samples = picture(64, 64), noise(2, 12, 8, 8), {}
    for precision in ("fp32", "bf16"):
        downscaler = Downscaler(paper, precision)
        samples[precision] = downscaler.sample(downscaler.encode(hr), latents)
        assert samples[precision].dtype == torch.float32
    levels = 127.5 * (samples["fp32"] - samples["bf16"]).abs()
    assert 0 < levels.mean() < 0.5
    assert levels.max() < 4


@torch.no_grad()
def test_folding_leaves_the_model_as_it_was() -> None:
    model = model_at(2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Downscaler(model, "bf16")
    Upscaler(model, "bf16")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_training_on_does_not_change_a_downscaler() -> None:
    model, hr, latents = model_at(2), picture(8, 8), noise(1, 12, 2, 2)
    downscaler = Downscaler(model)
    before = downscaler.sample(downscaler.encode(hr), latents)
    randomise(model, 9)
    assert torch.equal(downscaler.sample(downscaler.encode(hr), latents), before)


def test_no_gradient_is_kept() -> None:
    downscaler = Downscaler(model_at(2))
    encoded = downscaler.encode(picture(8, 8).requires_grad_())
    assert not encoded.content.requires_grad
    assert not downscaler.sample(encoded, noise(1, 12, 2, 2).requires_grad_()).requires_grad


FLOWS: dict[str, Callable[[SDFlow], tuple[Bijection, Tensor]]] = {
    "f_HR": lambda model: (model.hr_flow.chain, picture(16, 24)),
    "f_LR": lambda model: (model.lr_flow.chain, picture(6, 8)),
}


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("name", FLOWS)
@torch.no_grad()
def test_a_folded_flow_is_the_flow(name: str, inverse: bool) -> None:
    flow, z = FLOWS[name](model_at(4))
    z = flow(z)[0] if inverse else z
    expected = (flow.inverse if inverse else flow)(z)[0]
    folded = FoldedFlow([flow], inverse, torch.float32, torch.device("cpu"))
    torch.testing.assert_close(folded(z.clone()), expected, atol=1e-5, rtol=0)


def test_neighbouring_actnorms_and_1x1_convolutions_become_one() -> None:
    flow = model_at(2).lr_flow.chain
    stages = FoldedFlow([flow], False, torch.float32, torch.device("cpu"))._stages
    couplings = sum(isinstance(leaf, AffineCoupling) for leaf in leaves_of(flow))
    assert sum(isinstance(stage, folding._Mixing) for stage in stages) == couplings + 1


def test_other_devices_always_see_groups_of_one_size() -> None:
    groups: list[tuple[int, int]] = []

    def decode(latents: Tensor, first: int) -> Tensor:
        groups.append((len(latents), first))
        return latents

    assert inference._in_groups(decode, torch.empty(11, 12, 2, 2, device="meta"), 8).shape[0] == 11
    assert groups == [(8, 0), (8, 8)]


@pytest.mark.parametrize(
    ("flags", "expected"), [("sse avx512_bf16", "bf16"), ("sse avx2", "fp32"), ("", "fp32")]
)
def test_the_precision_follows_the_processor_s_instructions(
    flags: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "_cpu_flags", lambda: set(flags.split()))
    assert native_precision("cpu") == expected
