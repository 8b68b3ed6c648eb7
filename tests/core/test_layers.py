"""Every layer and part keeps the laws of a bijection, in float64, at odd sizes and channel counts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from calls import run_by_two
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import antisymmetry_error, log_det_error, randomise, round_trip_error
from torch import Tensor

from sdflow.bijection import Bijection, Chain
from sdflow.camera import Camera
from sdflow.flows import DegradationFlow, HFFlow, HRFlow, LRFlow, flow_steps, transition
from sdflow.layers import (
    ActNorm,
    AffineCoupling,
    AffineInjector,
    InvertibleConv1x1,
    Lifting,
    MeasuredCamera,
    ScaleShiftNet,
    Squeeze,
    Unsqueeze,
)

WIDTH, CONDITION = 5, 3


@dataclass(frozen=True)
class Case:
    """How to build a map of so many channels, and what it takes."""

    build: Callable[[int], Bijection]
    condition_channels: int = 0
    channels: int = 0  # of z where the map fixes them
    multiple: int = 1  # of z's channels
    side: int = 1  # z's sides are multiples of it
    smallest: int = 2  # of those multiples


def mixing(channels: int) -> InvertibleConv1x1:
    return InvertibleConv1x1(
        torch.randn(channels, channels, generator=torch.Generator().manual_seed(channels))
    )


def a_camera(cameras: int = 1) -> MeasuredCamera:
    """Of random kernels, with more noise where it is brighter."""
    layer, draw = MeasuredCamera(cameras), torch.Generator().manual_seed(0)
    noise = torch.randn(cameras, 3, 3, 33, 33, generator=draw)
    noise = noise + noise.transpose(1, 2)
    noise = noise + noise.flip(-1)
    noise = noise + noise.flip(-2)
    response = torch.randn(cameras, 3, 33, 33, generator=draw)
    layer.noise += 5e-4 * noise
    layer.response += 5e-3 * (response + response.flip(-2, -1))
    layer.strength += torch.linspace(0, 8, 17)
    layer.aperture += 1 / 24
    layer.texture += 0.3
    return layer


CASES = {
    "squeeze": Case(lambda c: Squeeze(), side=2, smallest=1),
    "unsqueeze": Case(lambda c: Unsqueeze(), multiple=4, smallest=1),
    "actnorm": Case(ActNorm, smallest=1),
    "invertible 1x1": Case(mixing, smallest=1),
    "coupling": Case(lambda c: AffineCoupling(c, WIDTH)),
    "conditional coupling": Case(lambda c: AffineCoupling(c, WIDTH, CONDITION), CONDITION),
    "injector": Case(lambda c: AffineInjector(c, WIDTH, CONDITION), CONDITION),
    "chain": Case(lambda c: Chain(mixing(c), ActNorm(c), AffineCoupling(c, WIDTH))),
    "transition": Case(lambda c: transition(c, from_data=True), smallest=1),
    "flow steps": Case(lambda c: flow_steps(c, 2, WIDTH)),
    "conditional flow steps": Case(lambda c: flow_steps(c, 3, WIDTH, CONDITION), CONDITION),
    "f_HR at scale 2": Case(lambda c: HRFlow(1, 3, WIDTH), channels=3, side=2),
    "f_HR at scale 4": Case(lambda c: HRFlow(2, 1, WIDTH), channels=3, side=4),
    "f_HF": Case(lambda c: HFFlow(c, 2, WIDTH, CONDITION, 2, 1), 3),
    "f_LR": Case(lambda c: LRFlow(2, WIDTH), channels=3, side=2),
    "lifting": Case(lambda c: Lifting(12), channels=12, smallest=1),
    "measured camera": Case(lambda c: a_camera(), 3, channels=3, smallest=1),
    "f_HR as a fixed pyramid": Case(lambda c: HRFlow(2, 0, WIDTH), channels=3, side=4),
    "measured f_Deg": Case(
        lambda c: DegradationFlow(3, WIDTH, CONDITION, 2, 1, cameras=2), 3, channels=3, side=2
    ),
    "f_Deg": Case(lambda c: DegradationFlow(3, WIDTH, CONDITION, 2, 1), 3, channels=3, side=2),
}


@st.composite
def settings_of(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Batch, channels, height and width above the smallest, seed."""
    return draw(
        st.tuples(st.integers(1, 2), st.integers(2, 5), *[st.integers(0, 2)] * 2, st.integers(0, 999))
    )


def build(case: Case, numbers: tuple[int, int, int, int, int]) -> tuple[Bijection, Tensor, Tensor | None]:
    batch, channels, taller, wider, seed = numbers
    channels = case.channels or channels * case.multiple
    height, width = ((case.smallest + more) * case.side for more in (taller, wider))
    bijection = randomise(case.build(channels), seed).double().eval()
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, channels, height, width, generator=generator, dtype=torch.float64)
    condition = torch.randn(
        batch, case.condition_channels, height, width, generator=generator, dtype=torch.float64
    )
    return bijection, z, condition if case.condition_channels else None


every_layer = pytest.mark.parametrize("name", CASES)
any_numbers = given(numbers=settings_of())


@every_layer
@settings(max_examples=8, deadline=None)
@any_numbers
def test_a_round_trip_gives_back_what_went_in(name: str, numbers: tuple[int, int, int, int, int]) -> None:
    assert round_trip_error(*build(CASES[name], numbers)) < 1e-9


@every_layer
@settings(max_examples=4, deadline=None)
@any_numbers
def test_log_det_is_that_of_the_autograd_jacobian(name: str, numbers: tuple[int, int, int, int, int]) -> None:
    assert log_det_error(*build(CASES[name], numbers)) < 1e-6


@every_layer
@settings(max_examples=8, deadline=None)
@any_numbers
def test_the_log_dets_of_a_round_trip_cancel(name: str, numbers: tuple[int, int, int, int, int]) -> None:
    assert antisymmetry_error(*build(CASES[name], numbers)) < 1e-9


@every_layer
@settings(max_examples=4, deadline=None)
@any_numbers
def test_the_elements_of_z_are_kept_and_finite(name: str, numbers: tuple[int, int, int, int, int]) -> None:
    bijection, z, condition = build(CASES[name], numbers)
    there, _ = bijection(z, condition)
    assert there.numel() == z.numel()
    assert there.isfinite().all()


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
def test_each_image_is_of_its_own_camera(inverse: bool) -> None:
    layer = a_camera(3).double()
    layer.strength[1] *= 2
    z, content = torch.randn(2, 4, 3, 4, 6, dtype=torch.float64)
    numbers = [2, 0, 1, 2]
    run = layer.inverse if inverse else layer.forward
    together, log_dets = run(z, content, torch.tensor(numbers))
    alone = [run(z[k : k + 1], content[k : k + 1], number) for k, number in enumerate(numbers)]
    torch.testing.assert_close(together, torch.cat([there for there, _ in alone]))
    torch.testing.assert_close(log_dets, torch.cat([log_det for _, log_det in alone]))
    assert log_dets[0] != log_dets[2]


def test_there_is_room_for_so_many_cameras() -> None:
    layer, camera = MeasuredCamera(2), Camera.identity()
    layer.load([camera], [3.0])
    assert layer.shares.tolist() == [1, 0]
    with pytest.raises(ValueError, match="cameras: expected at most 2, got 3"):
        layer.load([camera] * 3, [1.0] * 3)
    with pytest.raises(ValueError, match="shares: expected"):
        layer.load([camera] * 2, [1.0, 0.0])


@every_layer
def test_an_image_does_not_depend_on_the_others_of_its_batch(name: str) -> None:
    bijection, z, condition = build(CASES[name], (2, 4, 1, 0, 5))
    together, log_dets = bijection(z, condition)
    alone, log_det = bijection(z[:1], None if condition is None else condition[:1])
    torch.testing.assert_close(together[:1], alone)
    torch.testing.assert_close(log_dets[:1], log_det)


@every_layer
def test_a_random_layer_is_not_the_identity(name: str) -> None:
    bijection, z, condition = build(CASES[name], (1, 4, 1, 0, 5))
    there, _ = bijection(z, condition)
    assert there.shape != z.shape or (there - z).abs().max() > 1e-3


def condition_gradient(name: str, inverse: bool) -> float:
    bijection, z, condition = build(CASES[name], (1, 4, 1, 1, 3))
    assert condition is not None
    condition.requires_grad_()
    there, log_det = bijection(z, condition)
    out, log_det = bijection.inverse(there.detach(), condition) if inverse else (there, log_det)
    (out.square().sum() + log_det.sum()).backward()
    return 0.0 if condition.grad is None else float(condition.grad.abs().max())


conditional = [name for name, case in CASES.items() if case.condition_channels and name != "f_HF"]


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
@pytest.mark.parametrize("name", conditional)
def test_the_gradient_reaches_the_condition(name: str, inverse: bool) -> None:
    assert condition_gradient(name, inverse) > 0


@pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
def test_no_gradient_reaches_the_content_through_f_hf(inverse: bool) -> None:
    assert condition_gradient("f_HF", inverse) == 0


@pytest.mark.parametrize("name", ["f_HF", "f_Deg"])
def test_the_content_changes_what_a_conditional_flow_does(name: str) -> None:
    bijection, z, content = build(CASES[name], (1, 4, 1, 1, 3))
    assert content is not None
    assert (bijection(z, content)[0] - bijection(z, content.flip(3))[0]).abs().max() > 1e-6


def test_a_new_flow_step_only_reorders_channels() -> None:
    z = torch.randn(1, 6, 3, 4)
    out, log_det = flow_steps(6, 1, WIDTH).eval()(z)
    torch.testing.assert_close(out, z)
    assert log_det == 0


def test_an_extreme_coupling_stays_within_its_bound() -> None:
    net = ScaleShiftNet(2, 3, WIDTH)
    randomise(net, 1, spread=1e4)
    log_scale, _ = net(torch.randn(1, 2, 4, 4))
    assert log_scale.abs().max() <= 0.5


def test_a_1x1_convolution_begins_as_the_weight_it_is_given() -> None:
    weight = torch.randn(7, 7, dtype=torch.float64)
    layer = InvertibleConv1x1(weight)
    torch.testing.assert_close(layer.weight(), weight)
    torch.testing.assert_close(layer.inverse_weight() @ weight, torch.eye(7, dtype=torch.float64))


def test_a_singular_1x1_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight"):
        InvertibleConv1x1(torch.ones(3, 3))


def batch_with_a_constant_channel(size: int) -> Tensor:
    batch = torch.randn(size, 3, 4, 5) * torch.tensor([0.3, 2.0, 1.0]).view(1, 3, 1, 1) + 0.7
    batch[:, 2] = 0.25
    return batch


def test_the_first_training_batch_leaves_actnorm_with_zero_mean_and_unit_deviation() -> None:
    layer = ActNorm(3).train()
    out, _ = layer(batch_with_a_constant_channel(4))
    torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(out[:, :2].std((0, 2, 3), correction=0), torch.ones(2), atol=1e-4, rtol=0)


def test_a_constant_channel_keeps_scale_one() -> None:
    layer = ActNorm(3).train()
    layer(batch_with_a_constant_channel(4))
    assert layer.log_scale[0, 2] == 0
    assert layer.loc[0, 2] == -0.25


def test_actnorm_initialises_once() -> None:
    layer = ActNorm(3).train()
    layer(batch_with_a_constant_channel(4))
    first = layer.loc.clone()
    layer(batch_with_a_constant_channel(4))
    assert torch.equal(layer.loc, first)


def test_actnorm_does_not_initialise_in_evaluation() -> None:
    layer = ActNorm(3).eval()
    layer(batch_with_a_constant_channel(4))
    assert not layer.initialised
    assert not layer.loc.any()


def test_an_actnorm_that_begins_as_the_identity_ignores_the_first_batch() -> None:
    layer = ActNorm(3, from_data=False).train()
    batch = batch_with_a_constant_channel(4)
    assert torch.equal(layer(batch)[0], batch)


def test_a_stored_actnorm_is_not_initialised_again() -> None:
    layer, restored = ActNorm(3).train(), ActNorm(3).train()
    layer(batch_with_a_constant_channel(4))
    restored.load_state_dict(layer.state_dict())
    restored(10 * batch_with_a_constant_channel(4))
    assert torch.equal(restored.loc, layer.loc)


def test_an_actnorm_that_gets_the_state_of_a_new_one_begins_anew() -> None:
    layer, other = ActNorm(3).train(), ActNorm(3).train()
    layer(batch_with_a_constant_channel(4))
    layer.load_state_dict(ActNorm(3).state_dict())
    batch = 10 * batch_with_a_constant_channel(4)
    layer(batch)
    other(batch)
    assert torch.equal(layer.loc, other.loc)


def test_the_buffer_is_asked_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, asked = ActNorm(3).train(), []
    truth = torch.Tensor.__bool__
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda self: asked.append(1) or truth(self))
    for _ in range(3):
        layer(batch_with_a_constant_channel(4))
    assert len(asked) == 1


def initialise_a_share(rank: int, folder: str) -> None:
    """One process of two, with one image or with three of the batch."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    batch = torch.load(Path(folder) / "batch.pt", weights_only=True)
    layer = ActNorm(3).train()
    layer(batch[:1] if rank == 0 else batch[1:])
    torch.save(layer.state_dict(), Path(folder) / f"rank{rank}.pt")
    dist.barrier()  # whoever ends first takes its connections away from the other
    dist.destroy_process_group()


def test_actnorm_initialises_over_the_global_batch(tmp_path: Path) -> None:
    batch = batch_with_a_constant_channel(4)
    torch.save(batch, tmp_path / "batch.pt")
    run_by_two(initialise_a_share, str(tmp_path))
    alone = ActNorm(3).train()
    alone(batch)
    for rank in range(2):
        share = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        torch.testing.assert_close(share["loc"], alone.loc.data)
        torch.testing.assert_close(share["log_scale"], alone.log_scale.data)
        assert share["initialised"]
