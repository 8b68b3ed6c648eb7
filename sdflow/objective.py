"""The joint training objective: likelihood, content, domain, and what ties the samples to the camera.

The paper (Sun & Chen, arXiv 2310.04964) gives its structure; its weights and half of its terms were never
released. Terms that are ours are marked so; ``docs/training.md`` tells what was tried and what it brought.
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .discriminators import TextureDiscriminator, lsgan_discriminator_loss, lsgan_generator_loss
from .distributed import ReplicaGroup
from .filters import gaussian_blur
from .model import SDFlow
from .perceptual import PerceptualDistance
from .priors import standard_normal_log_prob
from .resample import bicubic_downscale, quantise, to_levels, to_unit
from .spectra import (
    RunningMean,
    coherence_loss,
    cross_spectrum,
    cyclic_power,
    grid_loss,
    log_spectrum_loss,
    opponent_colours,
    per_stratum,
    powers_of,
    radial_frequency,
    windows,
)

_CONTENT_STD = 0.5
_SPECTRUM_SIZE, _FLAT_SIZE = 32, 16
# Above these the noise of brightness, and of colours, is compared. Of brightness lower frequencies are mostly
# the picture's; blotches of colour are a camera's.
_NOISE_BANDS = (0.15, 1 / _FLAT_SIZE)
_BRIGHTNESSES, _LEAST_WINDOWS = 4, 0.5
# Quantiles that part the camera's windows of a brightness by roughness; those below the first are flat.
_ROUGHNESSES = (0.1, 0.4, 0.7)
_LPF_SIGMA = 1.2
# Early, all that the spectra compare counts alike; late, brightness and low frequencies count more.
_LATE_COLOURS, _LATE_SLOPE = 0.25, -0.7
# Early, the anchor teaches that samples show the picture; late, it looks below what the camera blurs.
_ANCHOR_SIGMAS, _ANCHOR_BLOCKS = (1.2, 2.4), (8, 16)
_LATE_ALONE = {"evenness", "coherence"}
_FROM_THE_START = {"likelihood_hr", "likelihood_lr", "content_hr", "content_lr", "perceptual_content"}


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The weight of each term; 0 leaves it out."""

    likelihood_lr: float = 1.0
    """Negative log-likelihood of LR images given their content, in bits per dimension."""
    likelihood_hr: float = 0.3
    """Negative log-likelihood of HR images, in bits per dimension."""
    content_hr: float = 5.0
    """|f_LR^-1(z_c^HR) - down(y)|_1 at full band: HR content shows the picture and nothing else."""
    content_lr: float = 5.0
    """The same for E(x) against x, low-passed only: E must not keep the noise."""
    domain: float = 0.1
    """E against a discriminator that tells E(x) from z_c^HR."""
    cycle: float = 10.0
    """|E(x^) - z_c^HR|_1: E removes what a degradation added and nothing can predict (ours)."""
    spectrum: float = 3.0
    """Log power spectrum of samples against that of real LR images (ours)."""
    noise: float = 3.0
    """In flat places of each brightness, log power spectrum of the noise (the difference of two samples) and
    of the HR picture's texture together, against that of real LR images. The noise has to be random: neither
    texture that looks like noise, nor the HR picture's own noise (ours)."""
    evenness: float = 3.0
    """Late, log power spectrum of the difference of two samples in textured places against that in flat ones
    of the same brightness: noise depends on brightness, not on what is shown (ours)."""
    coherence: float = 10.0
    """Late, how colours go together and lag behind each other, everywhere and in flat places, against real LR
    images; the difference of two samples is held against real flat places (ours)."""
    grid: float = 10.0
    """Coherence, in the noise and in what two samples share, of frequencies half a cycle per pixel apart. A
    camera's pictures have none; the flows squeeze 2x2 pixels into channels, and the four places must not
    differ (ours)."""
    anchor: float = 500.0
    """Low frequencies of the samples' mean against those of down(y): no colour drift (ours)."""
    gan_lr: float = 0.5
    """Samples against real LR images, by texture."""
    super_resolution: float = 1.0
    """|f_HR^-1(E(x^), z'_h = 0) - y|_1."""
    gan_hr: float = 0.05
    """Super-resolved real LR images against HR images, by texture."""
    perceptual_content: float = 0.05
    """VGG-19 features of the two decoded contents; only where the user gives the network's weights."""
    perceptual_downscaling: float = 0.5
    """VGG-19 features of the mean of two samples against down(y), both low-passed."""
    perceptual_super_resolution: float = 0.5
    """VGG-19 features of the super-resolved samples against y."""
    content_noise: float = 0.01
    """Standard deviation of the noise on E(x) where the LR likelihood is taken, in [-1, 1] units."""
    detach_content: bool = True
    """The LR likelihood sends no gradient into E, which would learn to keep the noise."""
    full_band: bool = True
    """``content_hr`` is taken at full band; the paper low-passes it."""
    late: float = 0.7
    """The progress at which the second of two phases begins, see ``Objective.generator_loss``."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{field.name}: expected a weight from 0 up, got {value!r}")


@dataclass(frozen=True)
class DiscriminatorInputs:
    """What the discriminators see of a step, without gradient: (real, fake) of each."""

    lr: tuple[Tensor, Tensor]
    content: tuple[Tensor, Tensor]
    hr: tuple[Tensor, Tensor] | None


class Objective(nn.Module):
    """The terms of a training step, the discriminators, and the spectra they have seen.

    Args:
        config: the weights.
        scale: of the model.
        lr_patch: side of the LR crops.
        width: hidden channels of the discriminators.
    """

    thresholds: Tensor
    spectrum_weights: Tensor
    noise_weights: Tensor
    coherence_weights: Tensor

    def __init__(self, config: ObjectiveConfig, scale: int, lr_patch: int, width: int) -> None:
        super().__init__()
        if lr_patch < 16:
            raise ValueError(f"patch size: expected LR crops of at least 16 pixels, got {lr_patch}")
        self.config = config
        self.discriminator_lr = TextureDiscriminator(width)
        self.discriminator_content = TextureDiscriminator(width)
        self.discriminator_hr = TextureDiscriminator(width, strides=(1, 2, 2))
        self.spectrum_size = min(_SPECTRUM_SIZE, lr_patch)
        spectra, noise = (radial_frequency(size).shape for size in (self.spectrum_size, _FLAT_SIZE))
        self.real_spectrum, self.fake_spectrum = (RunningMean(1, (*spectra, 3)) for _ in range(2))
        self.real_noise, self.fake_noise = (RunningMean(_BRIGHTNESSES, (*noise, 3)) for _ in range(2))
        self.random = RunningMean((len(_ROUGHNESSES) + 1) * _BRIGHTNESSES, (*noise, 3))
        self.real_colours, self.fake_colours = (RunningMean(3, (*noise, 3, 3, 2)) for _ in range(2))
        self.all_places = RunningMean(2, noise)
        self.fake_grid = RunningMean(2, (4, 3, _FLAT_SIZE, _FLAT_SIZE, 2))
        self.register_buffer("thresholds", torch.zeros(len(_ROUGHNESSES), _BRIGHTNESSES))
        self.register_buffer("spectrum_weights", _spectrum_weights(self.spectrum_size), persistent=False)
        self.register_buffer("noise_weights", _noise_weights(), persistent=False)
        anywhere = (radial_frequency(_FLAT_SIZE) > 0).float()
        self.register_buffer("coherence_weights", anywhere / anywhere.sum() / 3, persistent=False)

    @property
    def discriminators(self) -> list[nn.Module]:
        """The discriminators."""
        return [self.discriminator_lr, self.discriminator_content, self.discriminator_hr]

    def generator_loss(
        self,
        model: SDFlow,
        hr: Tensor,
        lr: Tensor,
        progress: float,
        group: ReplicaGroup,
        perceptual: PerceptualDistance | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], DiscriminatorInputs]:
        """The model's loss on one batch of unpaired crops.

        Args:
            hr: (B, 3, sP, sP) uint8; lr: (B, 3, P, P) uint8.
            progress: of the training, 0 to 1: the likelihood and content terms begin alone, samples and
                adversaries come in over the first tenth; late, brightness and low frequencies count more,
                the anchor looks at lower frequencies, texture counts behind the camera's blur alone, noise
                has to be even, and colours have to go together as the camera's.
            group: draws the step's random numbers.
            perceptual: switches the perceptual terms on.

        Returns:
            The loss, the terms to be watched (detached), and the inputs of the discriminators.
        """
        weights = self.config
        ramp, late = min(1.0, progress / 0.1), int(progress >= weights.late)
        y, x = _dequantise(hr, group), _dequantise(lr, group)
        terms: dict[str, Tensor] = {}

        # Contents and likelihoods. What runs twice through a network runs as one batch.
        z, log_det = model.hr_flow(y)
        content, z_h = z[:, :3], z[:, 3:]
        density = standard_normal_log_prob(content / _CONTENT_STD) - content[0].numel() * math.log(
            _CONTENT_STD
        )
        log_prob = log_det + density + model.log_prob_hf(z_h, content)
        terms["likelihood_hr"] = _bits_per_dimension(log_prob, y)
        content_lr = model.encode_lr(x)
        given = content_lr.detach() if weights.detach_content else content_lr
        noisy = given + weights.content_noise * group.normal(content_lr.shape)
        terms["likelihood_lr"] = _bits_per_dimension(model.log_prob_lr(x, noisy), x)
        terms["domain"] = lsgan_generator_loss(self.discriminator_content(content_lr))

        # Contents as pictures, and two samples of each HR content.
        twice = content.detach().repeat(2, 1, 1, 1)
        features = model.degradation_flow.features(content.detach())
        shape = (len(y), *model.latent_shape_lr(*x.shape[-2:]))
        latents = torch.cat([group.prior(model.prior, shape) for _ in range(2)])
        z_d, _ = model.degradation_flow.inverse_given(latents, features.repeat(2, 1, 1, 1))
        decoded, _ = model.lr_flow.inverse(torch.cat([content, content_lr, twice + z_d]))
        shown, shown_lr, samples = decoded.split([len(y), len(x), 2 * len(y)])
        target = bicubic_downscale(y, model.scale)
        band = (shown, target) if weights.full_band else (_low(shown), _low(target))
        terms["content_hr"] = F.l1_loss(*band)
        terms["content_lr"] = F.l1_loss(_low(shown_lr), _low(x))
        first, second = samples.chunk(2)
        if perceptual:
            terms["perceptual_content"] = perceptual(*band) + perceptual(_low(shown_lr), _low(x))
            terms["perceptual_downscaling"] = perceptual(_low((first + second) / 2), _low(target))
        terms["anchor"] = _bias(first, second, target, late)
        distances: dict[str, Tensor] = {}  # shown in place of losses whose values say nothing
        seen, real = _as_stored(samples), to_unit(lr)
        terms["spectrum"], distances["spectrum"] = self._spectrum(seen, real, late, group)
        first_seen, second_seen = seen.chunk(2)
        for name, pair in self._places(first_seen, second_seen, real, target, late, group).items():
            terms[name], distances[name] = pair
        terms["grid"], distances["grid"] = self._grid(first_seen, second_seen, group)
        terms["gan_lr"] = lsgan_generator_loss(self.discriminator_lr(seen))

        # Back from the samples: E and the SR direction learn from pairs that the model made itself.
        recovered = model.encode_lr(seen.detach())
        terms["cycle"] = F.l1_loss(recovered, twice)
        hr_inputs = None
        if weights.super_resolution or weights.gan_hr:
            noise = 0.8 * group.normal((len(x), *model.latent_shape_hr(*x.shape[-2:])))
            mean = torch.zeros_like(noise[:1]).expand(len(y), -1, -1, -1)
            enlarged = model.decode_hr(torch.cat([recovered[: len(y)], content_lr]), torch.cat([mean, noise]))
            restored, resolved = enlarged.split([len(y), len(x)])
            terms["super_resolution"] = F.l1_loss(restored, y)
            if perceptual:
                terms["perceptual_super_resolution"] = perceptual(restored, y)
            terms["gan_hr"] = lsgan_generator_loss(self.discriminator_hr(resolved))
            hr_inputs = (y, resolved.detach())

        begun = (
            dict.fromkeys(terms, ramp)
            | dict.fromkeys(_FROM_THE_START, 1.0)
            | dict.fromkeys(_LATE_ALONE, late)
        )
        weighted = [getattr(weights, name) * begun[name] * value for name, value in terms.items()]
        loss = torch.stack(weighted).sum()
        difference = (to_levels(first) - to_levels(second)).detach()
        spread = (group.mean(difference.square().mean()) / 2).sqrt()
        watched = {name: value.detach() for name, value in terms.items()} | distances | {"spread": spread}
        inputs = DiscriminatorInputs(
            (real, seen.detach()), (content.detach(), content_lr.detach()), hr_inputs
        )
        return loss, watched, inputs

    def discriminator_loss(self, inputs: DiscriminatorInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminators' loss on what ``generator_loss`` gave them."""
        losses = {
            "discriminator_lr": _real_against_fake(self.discriminator_lr, *inputs.lr),
            "discriminator_content": _real_against_fake(self.discriminator_content, *inputs.content),
        }
        if inputs.hr is not None:
            losses["discriminator_hr"] = _real_against_fake(self.discriminator_hr, *inputs.hr)
        return torch.stack(list(losses.values())).sum(), {k: v.detach() for k, v in losses.items()}

    def _spectrum(self, samples: Tensor, x: Tensor, late: int, group: ReplicaGroup) -> tuple[Tensor, Tensor]:
        size, one = self.spectrum_size, x.new_ones(1)
        fake = group.mean(powers_of(_spectra(samples, size)).mean((0, 1)))[None]
        with torch.no_grad():
            real = group.mean(powers_of(_spectra(x, size)).mean((0, 1)))[None]
        means = self.fake_spectrum.update(fake, one), self.real_spectrum.update(real, one)
        return log_spectrum_loss(fake, *means, self.spectrum_weights[late, None])

    def _places(
        self, first: Tensor, second: Tensor, x: Tensor, target: Tensor, late: int, group: ReplicaGroup
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """The terms that look at windows by brightness and roughness: each one's loss and distance."""
        mean = (first + second) / 2
        with torch.no_grad():
            brightness, roughness = _brightness(x), _roughness(x)
            self._update_thresholds(group.all_gather(brightness), group.all_gather(roughness))
            of_real, of_bicubic = _spectra(x, _FLAT_SIZE), powers_of(_spectra(target, _FLAT_SIZE))
            real, real_counts = group.stratum_sums(self._strata(brightness, roughness).flatten(0, 1), of_real)
            transfer = self._transfer(of_real, of_bicubic, group)
            strata = self._strata(_brightness(mean), _roughness(mean))
            bicubic, _ = group.stratum_sums(strata[0], of_bicubic)
        pictures = [_spectra(picture, _FLAT_SIZE) for picture in (first - second, mean)]
        sums, counts = group.stratum_sums(strata.flatten(0, 1), torch.stack(pictures, 2))
        by_stratum = strata.shape[:2]
        counts, real_counts = counts.view(by_stratum), real_counts.view(by_stratum)
        real, sums = real.unflatten(0, by_stratum), sums.unflatten(0, by_stratum)
        of_difference, of_mean = sums.unbind(2)
        random, samples = of_difference / 2, of_mean + of_difference / 4
        # No more than bicubic's texture counts: what is painted beyond that has to become random. Late, no
        # more than the camera's blur leaves of it; asked from the beginning, blur itself is learned later.
        limit = transfer.unsqueeze(-1) * bicubic if late else bicubic
        powers = powers_of(random)
        texture = torch.minimum(powers_of(of_mean[0].detach()) - powers[0].detach() / 2, limit)
        return {
            "noise": self._noise(powers[0], texture, counts[0], powers_of(real[0]), real_counts[0]),
            "evenness": self._evenness(powers, counts),
            "coherence": self._coherence(random, samples, counts, real, real_counts),
        }

    def _noise(
        self, noise: Tensor, texture: Tensor, counts: Tensor, real: Tensor, real_counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        mean = self.fake_noise.update(noise + texture, counts)
        real_mean = self.real_noise.update(real, real_counts)
        return self._noise_loss(noise, self.fake_noise.counts, mean, self.real_noise.counts, real_mean)

    def _evenness(self, random: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        means = self.random.update(random.flatten(0, 1), counts.flatten()).view_as(random)
        running = self.random.counts.view_as(counts)
        flat = means[:1].expand_as(means[1:])
        return self._noise_loss(random[1:], running[1:], means[1:], running[:1], flat)

    def _noise_loss(
        self, fake: Tensor, fake_counts: Tensor, fake_mean: Tensor, real_counts: Tensor, real_mean: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``log_spectrum_loss`` of a batch's sums, over the strata of windows that both sides have."""
        known = (fake_counts > _LEAST_WINDOWS) & (real_counts > _LEAST_WINDOWS)
        # Those that are known count the same, however few windows have them: dark places are rare.
        weights = per_stratum(known / known.sum().clamp(min=1), fake) * self.noise_weights
        batch = fake / per_stratum(fake_counts.clamp(min=_LEAST_WINDOWS), fake)
        return log_spectrum_loss(batch, fake_mean, real_mean, weights)

    def _coherence(
        self, random: Tensor, samples: Tensor, counts: Tensor, real: Tensor, real_counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        fake = torch.stack([samples.sum((0, 1)), samples[0].sum(0), random.sum((0, 1))])
        real = torch.stack([real.sum((0, 1)), real[0].sum(0), real[0].sum(0)])
        fake_counts = torch.stack([counts.sum(), counts[0].sum(), counts.sum()])
        real_counts = torch.stack([real_counts.sum(), real_counts[0].sum(), real_counts[0].sum()])
        means = self.fake_colours.update(fake, fake_counts), self.real_colours.update(real, real_counts)
        batch = fake / per_stratum(self.fake_colours.counts.clamp(min=_LEAST_WINDOWS), fake)
        return coherence_loss(batch, *means, self.coherence_weights)

    def _grid(self, first: Tensor, second: Tensor, group: ReplicaGroup) -> tuple[Tensor, Tensor]:
        pictures = opponent_colours(torch.cat([first - second, first + second]))
        powers = cyclic_power(windows(pictures, _FLAT_SIZE))
        batch = group.mean(torch.stack([part.mean((0, 1)) for part in powers.chunk(2)]))
        return grid_loss(batch, self.fake_grid.update(batch, batch.new_ones(2)))

    def _transfer(self, real: Tensor, bicubic: Tensor, group: ReplicaGroup) -> Tensor:
        """What the camera leaves of bicubic's power, up to 1, from all windows of pictures of other scenes:
        that of brightness, whose pictures are far above the noise, for colours too."""
        brightness = torch.stack([power[..., 0].mean((0, 1)) for power in (powers_of(real), bicubic)])
        means = self.all_places.update(group.mean(brightness), brightness.new_ones(2))
        return (means[0] / means[1].clamp(min=1e-12)).clamp(max=1)

    def _update_thresholds(self, brightness: Tensor, roughness: Tensor) -> None:
        """What parts the camera's windows by roughness: as smooth as their smoothest tenth is flat."""
        # Of each brightness, since the camera's own noise makes the bright ones rougher.
        roughness = torch.where(_ranges(brightness) > 0, roughness, torch.nan).flatten(1)
        quantiles = roughness.nanquantile(roughness.new_tensor(_ROUGHNESSES), 1)
        step = torch.where(self.thresholds == 0, 1.0, 0.05)
        self.thresholds.copy_(
            torch.where(quantiles.isnan(), self.thresholds, self.thresholds.lerp(quantiles, step))
        )

    def _strata(self, brightness: Tensor, roughness: Tensor) -> Tensor:
        """How rough and how bright each window is, as 0 and 1: (roughnesses, brightnesses, B, N)."""
        rough = (roughness > self.thresholds[:, brightness]).sum(0)
        strata = F.one_hot(rough, len(_ROUGHNESSES) + 1).movedim(-1, 0).float()
        return strata[:, None] * _ranges(brightness)


def _dequantise(pixels: Tensor, group: ReplicaGroup) -> Tensor:
    """uint8 to [-1, 1], each level spread evenly over its width (Theis et al., 2016)."""
    return to_unit(pixels.float() + group.uniform(pixels.shape) - 0.5)


def _as_stored(samples: Tensor) -> Tensor:
    """Rounded to 8 bits and cut to their range, as real images are; the gradient is that of the samples."""
    stored = to_unit(quantise(to_levels(samples.detach())))
    return samples + (stored - samples).detach()


def _spectrum_weights(size: int) -> Tensor:
    """Of the two phases, each frequency, and brightness and colours: (2, n, n//2 + 1, 3).

    A log power pulls at faint things hardest, and colours are faint. With less weight they are never learned;
    with as much in the end, brightness stays up to 40 % too strong at middle frequencies.
    """
    frequency = radial_frequency(size)
    falling = frequency.clamp(min=1 / size) ** _LATE_SLOPE
    early = torch.full_like(frequency, 1 / frequency.numel())
    late = falling / falling.sum()
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, _LATE_COLOURS, _LATE_COLOURS]])
    return torch.stack([early, late]).unsqueeze(-1) * colours[:, None, None]


def _noise_weights() -> Tensor:
    """Of each frequency, and brightness and colours: (n, n//2 + 1, 3)."""
    bands = [(radial_frequency(_FLAT_SIZE) >= lowest).float() for lowest in _NOISE_BANDS]
    brightness, colours = (band / band.sum() for band in bands)
    return torch.stack([brightness, colours, colours], -1)


def _bits_per_dimension(log_prob: Tensor, images: Tensor) -> Tensor:
    """Mean negative log2-likelihood of a sub-pixel in 8-bit levels."""
    return math.log2(127.5) - log_prob.mean() / (images[0].numel() * math.log(2))


def _real_against_fake(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """A discriminator's loss on real and fake images, which run as one batch."""
    scores = discriminator(torch.cat([real, fake]))
    return lsgan_discriminator_loss(*scores.split([len(real), len(fake)]))


def _spectra(images: Tensor, size: int) -> Tensor:
    """Cross-spectra of the opponent colours, of all windows: (B, N, size, size // 2 + 1, 3, 3, 2)."""
    return cross_spectrum(windows(opponent_colours(images), size))


def _brightness(images: Tensor) -> Tensor:
    """In which of the equal ranges of brightness each flat-sized window is, (B, N)."""
    level = windows(images.mean(1, keepdim=True), _FLAT_SIZE).flatten(2).mean(2)
    return ((level + 1) / 2 * _BRIGHTNESSES).long().clamp(0, _BRIGHTNESSES - 1)


def _ranges(brightness: Tensor) -> Tensor:
    """The range of each window as 0 and 1, (B, N) -> (ranges, B, N)."""
    return F.one_hot(brightness, _BRIGHTNESSES).movedim(-1, 0).float()


def _low(images: Tensor) -> Tensor:
    return gaussian_blur(images, _LPF_SIGMA, 2)


def _bias(first: Tensor, second: Tensor, target: Tensor, late: int) -> Tensor:
    """Squared low-frequency bias of two samples' common mean, unbiased: their noise does not enter it.

    Args:
        late: 1 where it is to look below what the camera blurs, else 0.
    """
    errors = [gaussian_blur(sample - target, _ANCHOR_SIGMAS[late]) for sample in (first, second)]
    fine = (errors[0] * errors[1]).mean()
    block = _ANCHOR_BLOCKS[late]
    coarse = (F.avg_pool2d(errors[0], block) * F.avg_pool2d(errors[1], block)).mean()
    return fine + coarse


def _roughness(images: Tensor) -> Tensor:
    """How much the low-passed brightness varies in each flat-sized window, (B, N)."""
    low = gaussian_blur(images.mean(1, keepdim=True), 2.0)
    return windows(low, _FLAT_SIZE).flatten(2).std(2)
