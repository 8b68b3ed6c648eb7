"""The terms of the objective: what each must see and what it must not."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdflow.discriminators import TextureDiscriminator
from sdflow.distributed import ReplicaGroup
from sdflow.filters import gaussian_blur
from sdflow.objective import Objective, ObjectiveConfig, _as_stored, _bias
from sdflow.resample import to_levels, to_unit
from sdflow.spectra import (
    RunningMean,
    coherence_loss,
    cross_spectrum,
    cyclic_power,
    grid_loss,
    log_spectrum_loss,
    opponent_colours,
    powers_of,
    windows,
)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
def test_white_noise_has_the_power_of_its_variance_at_every_frequency(seed: int, sigma: float) -> None:
    noise = sigma * torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    power = powers_of(cross_spectrum(noise)).mean((0, -1))[4:-4, 4:-4]
    assert power.mean().item() == pytest.approx(sigma**2, rel=0.05)


def test_opponent_colours_keep_the_power_of_all_channels_together() -> None:
    images = torch.randn(4, 3, 16, 16)
    assert opponent_colours(images).square().sum(1).allclose(images.square().sum(1), atol=1e-5)


def test_a_grey_picture_has_brightness_alone() -> None:
    colours = opponent_colours(torch.randn(4, 1, 16, 16).expand(-1, 3, -1, -1))[:, 1:]
    assert colours.abs().max() < 1e-6


@pytest.mark.parametrize(
    "measured",
    [
        opponent_colours,
        lambda images: gaussian_blur(images, 1.0),
        lambda images: ReplicaGroup(0, torch.device("cpu")).stratum_sums(torch.ones(1, 2, 3), images)[0],
    ],
)
def test_what_is_measured_is_not_rounded_to_bf16(measured: Callable[[torch.Tensor], torch.Tensor]) -> None:
    images = torch.rand(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = measured(images)
    assert torch.allclose(rounded, measured(images), rtol=0, atol=1e-6)


def test_windows_overlap_by_half_and_cover_the_image() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8)
    cut = windows(image, 4)
    assert cut.shape == (1, 9, 1, 4, 4)
    assert set(cut.flatten().tolist()) == set(range(64))


def test_a_blur_keeps_the_mean_of_a_constant_and_takes_noise_away() -> None:
    noise = torch.randn(2, 3, 64, 64)
    assert torch.allclose(gaussian_blur(torch.full((1, 3, 16, 16), 0.3), 2.0), torch.tensor(0.3))
    assert gaussian_blur(noise, 2.0).std() < 0.2


def test_a_running_mean_is_that_of_the_windows_of_its_first_batches() -> None:
    running = RunningMean(1, (3, 4, 3))
    for value, windows_of_it in ((1.0, 1.0), (2.0, 3.0), (0.0, 0.0)):
        mean = running.update(torch.full((1, 3, 4, 3), value * windows_of_it), torch.tensor([windows_of_it]))
    assert torch.allclose(mean, torch.tensor(7 / 4))


def _grid_of(noise: Tensor) -> tuple[Tensor, Tensor]:
    powers = cyclic_power(windows(noise, 16)).mean((0, 1))[None]
    return grid_loss(powers, powers.detach())


def test_noise_that_is_alike_everywhere_shows_no_grid() -> None:
    noise = gaussian_blur(torch.randn(64, 3, 64, 64), sigma=0.7)
    assert _grid_of(noise)[1] < 0.003


@pytest.mark.parametrize("place", [(0, 1), (1, 0), (1, 1)])
def test_noise_that_is_stronger_at_one_place_of_four_is_asked_to_become_alike(place: tuple[int, int]) -> None:
    strength = torch.ones(64, 64)
    strength[place[0] :: 2, place[1] :: 2] = 1.5
    strength.requires_grad_()
    loss, coherence = _grid_of(strength * torch.randn(64, 3, 64, 64))
    (gradient,) = torch.autograd.grad(loss, strength)
    here = gradient[place[0] :: 2, place[1] :: 2].mean()
    assert coherence > 0.01
    assert here > (gradient.mean() - here / 4) / 0.75


def test_the_spectrum_term_pulls_each_frequency_towards_the_real_one() -> None:
    fake = torch.ones(1, 3, 1, 3, requires_grad=True)
    real = torch.tensor([0.1, 1.0, 10.0]).expand(1, 3, 1, 3)
    loss, distance = log_spectrum_loss(fake, fake.detach().clone(), real, torch.ones_like(real))
    loss.backward()
    assert fake.grad is not None
    assert fake.grad[0, 0, 0].sign().tolist() == [1, 0, -1]
    assert distance.item() == pytest.approx(2 / 3 * torch.log(torch.tensor(10.0)).item(), rel=1e-5)


def _lagging(shift: float, faint: float = 1.0) -> Tensor:
    """Noise whose third colour follows its second one ``shift`` pixels later; both faint beside the first."""
    draw = torch.Generator().manual_seed(0)
    bright, first, own = (torch.randn(256, 16, 16, generator=draw) for _ in range(3))
    phase = torch.exp(-2j * torch.pi * shift * torch.fft.rfftfreq(16))
    second = torch.fft.irfft2(torch.fft.rfft2(first) * phase, s=(16, 16))
    return torch.stack([bright, faint * first, faint * (second + own)], 1)


def _coherence(fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    ours, theirs = (cross_spectrum(images).mean(0) for images in (fake, real))
    return coherence_loss(ours, ours.detach(), theirs, torch.full((16, 9), 1 / 144))


@pytest.mark.parametrize("faint", [1.0, 0.03])
def test_colours_that_lag_behind_each_other_are_seen_however_faint_they_are(faint: float) -> None:
    _, distance = _coherence(_lagging(-1, faint), _lagging(1, faint))
    assert distance > 0.3


def test_colours_of_any_strength_may_lag_alike() -> None:
    stronger = _lagging(1) * torch.tensor([1.0, 2.0, 0.5]).view(3, 1, 1)
    assert _coherence(stronger, _lagging(1))[1] < 1e-6


@pytest.mark.parametrize("shift", [-1.0, 0.5, 1.0])
def test_samples_whose_colours_lag_are_asked_not_to(shift: float) -> None:
    undone = torch.zeros((), requires_grad=True)
    lagging, still = _lagging(shift), _lagging(0)
    _coherence(lagging + undone * (still - lagging), still)[0].backward()
    assert undone.grad is not None
    assert undone.grad < 0


@pytest.mark.parametrize("where", ["random", "shared"])
def test_noise_and_pictures_have_to_show_colours_that_go_together_as_the_camera_s(where: str) -> None:
    lagging, still, own = _lagging(1), _lagging(0), torch.randn(3, 256, 3, 16, 16)
    undone = torch.zeros((), requires_grad=True)
    coloured = (lagging + undone * (still - lagging)).repeat(1, 1, 2, 2)
    white = own.repeat(1, 1, 1, 2, 2)
    first, second = (
        (coloured, -coloured) if where == "random" else (white[0] + 3 * coloured, white[1] + 3 * coloured)
    )
    target = white[2] if where == "random" else still.repeat(1, 1, 2, 2)
    objective = Objective(ObjectiveConfig(), 2, 32, 8)
    images = (0.05 * first, 0.05 * second, 0.05 * still.repeat(1, 1, 2, 2), 0.05 * target)
    _terms(objective, *images)["coherence"].backward()
    assert undone.grad is not None
    assert undone.grad < 0


@pytest.mark.parametrize("late", [0, 1])
def test_the_anchor_does_not_see_noise_that_two_samples_do_not_share(late: int) -> None:
    target = torch.zeros(1024, 3, 32, 32)
    first, second = (0.1 * torch.randn(1024, 3, 32, 32) for _ in range(2))
    assert abs(_bias(first, second, target, late).item()) < 0.02 * _bias(first, first, target, late).item()


def test_the_anchor_leaves_a_camera_s_blur_alone_in_the_end() -> None:
    target = torch.randn(16, 3, 32, 32)
    blurred = gaussian_blur(target, 1.0)
    assert _bias(blurred, blurred, target, 1).item() < 0.05 * _bias(0 * target, 0 * target, target, 1).item()


@pytest.mark.parametrize("late", [0, 1])
def test_the_anchor_sees_a_shift_of_colour(late: int) -> None:
    target = torch.zeros(1, 3, 32, 32)
    shifted = target + 0.05
    assert _bias(shifted, shifted, target, late).item() == pytest.approx(2 * 0.05**2, rel=1e-4)


def test_the_texture_discriminator_gives_no_gradient_to_colour() -> None:
    discriminator = TextureDiscriminator(8)
    shift = torch.zeros(1, 3, 1, 1, requires_grad=True)
    images = torch.rand(2, 3, 24, 24)
    discriminator(images + shift).sum().backward()
    assert shift.grad is not None
    assert shift.grad.abs().max() < 1e-4


def _terms(objective: Objective, *images: Tensor, late: int = 1) -> dict[str, Tensor]:
    """The losses of first and second samples, real images and bicubic ones."""
    terms = objective._places(*images, late, ReplicaGroup(0, torch.device("cpu")))
    return {name: loss for name, (loss, _) in terms.items()}


def _pull_on_noise(painted: float, textured: float, random: float) -> float:
    """How the noise term changes as samples get noisier, beside a camera with noise of 0.05.

    Args:
        painted, textured: deviation of patterns that both samples share; the HR picture has the second alone.
        random: deviation of what differs between the samples.
    """
    draw = torch.Generator().manual_seed(0)
    camera, paint, texture, first, second = (torch.randn(32, 3, 32, 32, generator=draw) for _ in range(5))
    strength = torch.tensor(random, requires_grad=True)
    target = textured * texture
    shared = target + painted * paint
    objective = Objective(ObjectiveConfig(), 2, 32, 8)
    samples = (shared + strength * noise for noise in (first, second))
    _terms(objective, *samples, 0.05 * camera, target)["noise"].backward()
    assert strength.grad is not None
    return strength.grad.item()


def test_noise_that_is_painted_on_the_content_has_to_become_random() -> None:
    assert _pull_on_noise(painted=0.05, textured=0, random=0.01) < 0


def test_texture_of_the_picture_is_not_asked_for_twice_as_noise() -> None:
    assert _pull_on_noise(painted=0, textured=0.05, random=0.03) > 0


def test_noise_weaker_than_the_camera_s_is_asked_to_grow() -> None:
    assert _pull_on_noise(painted=0, textured=0.01, random=0.03) < 0


def test_of_the_picture_s_texture_counts_what_passes_the_camera_s_blur() -> None:
    sharp, other = (torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    camera, picture = (cross_spectrum(windows(x, 16)) for x in (gaussian_blur(other, sigma=1.0), sharp))
    transfer = Objective(ObjectiveConfig(), 2, 32, 8)._transfer(
        camera, powers_of(picture), ReplicaGroup(0, torch.device("cpu"))
    )
    assert transfer[8, 8] < 0.01
    assert transfer[0, 1] > 0.5


@pytest.mark.parametrize(("late", "sign"), [(0, 1), (1, -1)])
def test_texture_that_the_camera_blurs_away_stands_for_noise_until_late(late: int, sign: int) -> None:
    draw = torch.Generator().manual_seed(0)
    other, camera, detail, first, second = (torch.randn(64, 3, 32, 32, generator=draw) for _ in range(5))
    flat = (torch.arange(64) % 2).view(-1, 1, 1, 1)
    target = torch.where(flat == 1, 0.05, 0.5) * detail
    real = torch.where(flat == 1, 0.05 * camera, 0.5 * gaussian_blur(other, 1.0))
    strength = torch.tensor(0.03, requires_grad=True)
    samples = (target + strength * noise for noise in (first, second))
    objective = Objective(ObjectiveConfig(), 2, 32, 8)
    _terms(objective, *samples, real, target, late=late)["noise"].backward()
    assert strength.grad is not None
    assert strength.grad.sign().item() == sign


@pytest.mark.parametrize(("textured", "pull"), [(0.01, -1), (0.2, 1)])
def test_noise_has_to_be_as_strong_in_textured_places_as_in_flat_ones(textured: float, pull: int) -> None:
    draw = torch.Generator().manual_seed(0)
    detail, camera, first, second = (torch.randn(64, 3, 32, 32, generator=draw) for _ in range(4))
    flat = (torch.arange(64) % 2).bool()
    target = torch.where(flat.view(-1, 1, 1, 1), 0, 0.5) * detail
    noise = torch.tensor(textured, requires_grad=True)
    strength = torch.where(flat, 0.05, noise).view(-1, 1, 1, 1)
    samples = (target + strength * drawn for drawn in (first, second))
    objective = Objective(ObjectiveConfig(), 2, 32, 8)
    _terms(objective, *samples, target + 0.05 * camera, target)["evenness"].backward()
    assert noise.grad is not None
    assert noise.grad.sign().item() == pull


def _pull_by_brightness(level: Tensor) -> Tensor:
    """How the noise term changes with the noise of dark pictures and of bright ones, (2,): the camera has
    less in the dark than the samples, and more in the light."""
    draw = torch.Generator().manual_seed(0)
    camera, first, second = (torch.randn(len(level), 3, 32, 32, generator=draw) for _ in range(3))
    objective = Objective(ObjectiveConfig(), 2, 32, 8)
    strength = torch.full((2,), 0.05, requires_grad=True)
    noise = strength[(level > 0).long()]
    samples = (level + noise * drawn for drawn in (first, second))
    real = level + torch.where(level > 0, 0.1, 0.04) * camera
    _terms(objective, *samples, real, level.expand_as(real))["noise"].backward()
    assert strength.grad is not None
    return strength.grad


def test_noise_has_to_grow_with_brightness_as_the_camera_s_does() -> None:
    level = torch.tensor([-0.75, 0.75]).repeat(16).view(-1, 1, 1, 1)
    assert _pull_by_brightness(level).sign().tolist() == [1, -1]


def test_noise_of_a_rare_brightness_counts_as_much_as_that_of_a_common_one() -> None:
    level = torch.where(torch.arange(512) < 32, -0.75, 0.75).view(-1, 1, 1, 1)
    dark, bright = _pull_by_brightness(level).abs().tolist()
    assert dark == pytest.approx(bright, rel=0.3)


def test_samples_are_compared_as_the_8_bit_pictures_they_become_and_learn_everywhere() -> None:
    levels = torch.tensor([-60.0, 100.2, 100.7, 300.0])
    samples = to_unit(levels).requires_grad_()
    seen = _as_stored(samples)
    seen.sum().backward()
    assert torch.allclose(to_levels(seen.detach()), torch.tensor([0.0, 100, 101, 255]), atol=1e-4)
    assert samples.grad is not None
    assert samples.grad.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_weight_out_of_range_is_refused_by_name(value: float) -> None:
    with pytest.raises(ValueError, match="cycle"):
        ObjectiveConfig(cycle=value)
