"""The training objective: terms with a name, a weight and a phase, on one forward pass.

The measured camera (``sdflow.camera``) sets blur, noise and colours before training. Training learns the
other half of the model: f_HF as a density of high frequencies, and E and the upscaling branch on pairs of the
measured camera. The structure is that of Sun & Chen (arXiv 2310.04964). ``docs/training.md`` lists the terms,
``docs/experiments/`` the effect of each.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .distributed import ReplicaGroup
from .model import SDFlow
from .perceptual import PerceptualDistance
from .resample import as_stored, to_unit

StoredBy = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Samples (B, 3, H, W) in [-1, 1] at whole grey levels, their components (B,), and uniform numbers (B, 3)
that determine the settings of files, to the samples after storage in files, (B, 3, H, W)."""


class Step:
    """The forward pass of one step on unpaired crops. Tensors are computed when a term first needs them.

    Args:
        model: the model in training.
        hr: (B, 3, sP, sP) uint8.
        lr: (B, 3, P, P) uint8, of other scenes.
        replicas: draws all random numbers of the step in the constructor, so that they do not depend on the
            terms.
        perceptual: the distance of two pictures in VGG-19 features; None without its weights.
        stored_by: the effect of the camera's files on samples; None for no effect.
    """

    def __init__(
        self,
        model: SDFlow,
        hr: Tensor,
        lr: Tensor,
        replicas: ReplicaGroup,
        perceptual: PerceptualDistance | None = None,
        stored_by: StoredBy | None = None,
    ) -> None:
        self.model, self.perceptual, self.replicas, self.stored_by = model, perceptual, replicas, stored_by
        self.y = _dequantise(hr, replicas)  # (B, 3, sP, sP) in [-1, 1]
        self.x = _dequantise(lr, replicas)  # (B, 3, P, P) in [-1, 1]
        shape = (len(hr), *model.latent_shape_lr(*lr.shape[-2:]))
        # Two samples of each content, with one component. Each is drawn separately, because replicas split
        # them.
        self.components = replicas.components(model.shares, model.prior.places(shape))
        latents = [model.latent_lr(self.components, replicas.normal(shape)) for _ in range(2)]
        self.latents = torch.cat(latents)  # (2B, 12, P/2, P/2), z'_d
        self.files = torch.cat([replicas.uniform((len(hr), 3)) for _ in range(2)])  # (2B, 3), for `stored_by`

    @cached_property
    def _encoded(self) -> tuple[Tensor, Tensor]:
        return self.model.hr_flow(self.y)

    @property
    def content(self) -> Tensor:
        """z_c of the HR crops, (B, 3, P, P)."""
        return self._encoded[0][:, :3]

    @property
    def high_frequencies(self) -> Tensor:
        """z_h of the HR crops, (B, 3(s^2 - 1), P, P)."""
        return self._encoded[0][:, 3:]

    @property
    def hr_log_det(self) -> Tensor:
        """log |det f_HR|, (B,)."""
        return self._encoded[1]

    @cached_property
    @torch.no_grad()
    def samples(self) -> Tensor:
        """Two samples of each HR crop after storage, (2B, 3, P, P), first the first samples of all crops."""
        content, components = self.content.repeat(2, 1, 1, 1), self.components.flatten().repeat(2)
        stored = as_stored(self.model.decode_lr(content, self.latents, components))
        return stored if self.stored_by is None else self.stored_by(stored, components, self.files)

    @cached_property
    def recovered(self) -> Tensor:
        """E of both samples, (2B, 3, P, P)."""
        return self.model.encode_lr(self.samples)

    @cached_property
    @torch.no_grad()
    def content_lr(self) -> Tensor:
        """E of the LR crops, (B, 3, P, P), without gradient. Otherwise E would learn to keep the noise."""
        return self.model.encode_lr(self.x)

    @cached_property
    def restored(self) -> Tensor:
        """The super-resolution of the first samples with z'_h = 0, (B, 3, sP, sP)."""
        content = self.recovered[: len(self.y)]
        return self.model.decode_hr(content, torch.zeros_like(self.high_frequencies))


@dataclass(frozen=True)
class Phase:
    """The phase of a term: its weight rises from 0 at ``start`` to 1 at ``full``, as shares of the progress.

    Raises:
        ValueError: not 0 <= start <= full <= 1.
    """

    start: float = 0.0
    full: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.full <= 1:
            raise ValueError(f"phase: expected 0 <= start <= full <= 1, got {self.start}, {self.full}")

    def factor(self, progress: float) -> float:
        """The factor of the weight, 0 to 1."""
        if progress >= self.full:
            return 1.0
        return 0.0 if progress <= self.start else (progress - self.start) / (self.full - self.start)


@dataclass(frozen=True)
class Term:
    """A term of the loss: its function, its default weight and its phase."""

    name: str
    weight: float
    phase: Phase
    value: Callable[[Step], Tensor]
    needs_perceptual: bool = False


TERMS: dict[str, Term] = {}
"""All terms by name, in the order of summation."""


def term(
    weight: float, phase: Phase | None = None, needs_perceptual: bool = False
) -> Callable[[Callable[[Step], Tensor]], Callable[[Step], Tensor]]:
    """Register a function of a step, which returns a scalar, as the term of its name."""

    def register(value: Callable[[Step], Tensor]) -> Callable[[Step], Tensor]:
        name = value.__name__
        TERMS[name] = Term(name, weight, phase or Phase(), value, needs_perceptual)
        return value

    return register


@term(weight=0.3)
def likelihood_hr(step: Step) -> Tensor:
    """Bits per dimension of HR crops given their content, under f_HR and f_HF (the paper's L_y)."""
    log_prob = step.hr_log_det + step.model.log_prob_hf(step.high_frequencies, step.content)
    return _bits_per_dimension(log_prob, step.y)


@term(weight=0.0)
def likelihood_lr(step: Step) -> Tensor:
    """Bits per dimension of real LR crops under f_LR and f_Deg, given E's content (the paper's L_x). The
    default weight is 0: the term reduces a measured camera's noise, which makes samples easier to detect."""
    return _bits_per_dimension(step.model.log_prob_lr(step.x, step.content_lr), step.x)


@term(weight=10.0)
def cycle(step: Step) -> Tensor:
    """|E(x^) - z_c|_1: E inverts the blur and noise of the camera."""
    return F.l1_loss(step.recovered, step.content.detach().repeat(2, 1, 1, 1))


@term(weight=0.0, phase=Phase(0.0, 0.1))
def super_resolution(step: Step) -> Tensor:
    """|f_HR^-1(E(x^), z'_h = 0) - y|_1: the super-resolution of the paper's backward terms. The default
    weight is 0: beside the other terms it changes nothing measured, and steps take 1.4 times as long.
    """
    return F.l1_loss(step.restored, step.y)


@term(weight=0.5, phase=Phase(0.0, 0.1), needs_perceptual=True)
def perceptual_super_resolution(step: Step) -> Tensor:
    """The distance of the pictures of ``super_resolution`` in VGG-19 features, if its weights are given."""
    assert step.perceptual is not None
    return step.perceptual(step.restored, step.y)


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """The weights of the terms.

    Raises:
        ValueError: a term is unknown, or a weight is negative or not finite.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    """Weights that replace the defaults, by name. A term of weight 0 is not computed."""

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in TERMS:
                raise ValueError(f"weights: expected terms out of {', '.join(TERMS)}, got {name!r}")
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name}: expected a weight from 0 up, got {weight!r}")
        object.__setattr__(self, "weights", dict(self.weights))

    def to_dict(self) -> dict[str, float]:
        """The weight of every term."""
        return {name: self.weights.get(name, term.weight) for name, term in TERMS.items()}


class Objective:
    """The weighted sum of the terms.

    Args:
        config: the weights.
    """

    def __init__(self, config: ObjectiveConfig) -> None:
        self.weights = config.to_dict()

    def __call__(self, step: Step, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step, and the terms with a weight above 0 by name, detached.

        Args:
            step: the forward pass.
            progress: the progress of the training, 0 to 1.
        """
        loss, values = step.y.new_zeros(()), {}
        for name, weight in self.weights.items():
            factor = weight * TERMS[name].phase.factor(progress)
            if not factor or (TERMS[name].needs_perceptual and step.perceptual is None):
                continue
            value = TERMS[name].value(step)
            loss = loss + factor * value
            values[name] = value.detach()
        return loss, values


@torch.no_grad()
def observe(step: Step) -> dict[str, Tensor]:
    """Metrics besides the terms: ``noise``, the standard deviation between samples, in grey levels."""
    first, second = step.samples.chunk(2)
    variance = step.replicas.mean((first - second).square().mean()) / 2
    return {"noise": 127.5 * variance.sqrt()}


def _dequantise(pixels: Tensor, replicas: ReplicaGroup) -> Tensor:
    """Uniform dequantisation: uint8 to [-1, 1], each level spread over its width (Theis et al., 2016)."""
    return to_unit(pixels.float() + replicas.uniform(pixels.shape) - 0.5)


def _bits_per_dimension(log_prob: Tensor, images: Tensor) -> Tensor:
    """Mean negative log2-likelihood of a sub-pixel in 8-bit levels."""
    return math.log2(127.5) - log_prob.mean() / (images[0].numel() * math.log(2))
