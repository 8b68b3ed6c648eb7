"""Densities of the latents: a standard normal, and the mixture of degradations."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

MixtureLaw = Literal["image", "element", "published"]
_VARIANCE_FLOOR = 1e-6


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I) in nats, (B, ...) -> (B,)."""
    return -0.5 * (z.square().flatten(1).sum(1) + math.log(2 * math.pi) * z[0].numel())


class GaussianMixture(nn.Module):
    """The prior of z'_d: N equally likely Gaussians with a scalar mean and deviation each (paper, Eq. 9).

    Args:
        components: N.
        law: "image" draws one component for a whole image, as a degradation belongs to the whole photograph:
            ``log (1/N) sum_k prod_i N(z_i; mu_k, sigma_k)``. "element" draws one for every element.
            "published" is the law of the authors' code, with the density of "element" and the sampler of
            "image". They contradict each other, so it is for the published weights only.
    """

    def __init__(self, components: int, law: MixtureLaw) -> None:
        super().__init__()
        if law not in get_args(MixtureLaw):
            raise ValueError(f"law: expected one of {get_args(MixtureLaw)}, got {law!r}")
        self.law = law
        begun = torch.linspace(-1, 1, components) if components > 1 else torch.zeros(components)
        self.means = nn.Parameter(0.05 * begun)
        self.log_stds = nn.Parameter(0.5 * begun)

    def extra_repr(self) -> str:
        return f"{self.components}, law={self.law}"

    @property
    def components(self) -> int:
        """N, the number of components."""
        return len(self.means)

    def _log_normal(self, z: Tensor) -> Tensor:
        """log N(z_i; mu_k, sigma_k), (B, ...) -> (B, N, elements)."""
        variance = (torch.exp(2 * self.log_stds) + _VARIANCE_FLOOR)[:, None]
        error = z.flatten(1)[:, None] - self.means[:, None]
        return -0.5 * (error.square() / variance + torch.log(2 * math.pi * variance))

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats, (B, ...) -> (B,)."""
        each = self._log_normal(z)
        if self.law == "image":
            return torch.logsumexp(each.sum(2), 1) - math.log(self.components)
        return (torch.logsumexp(each, 1) - math.log(self.components)).sum(1)

    def responsibilities(self, z: Tensor) -> Tensor:
        """p(component k | the image z), (B, ...) -> (B, N); rows sum to 1."""
        return torch.softmax(self._log_normal(z).sum(2), 1)

    def latent(self, component: int | Tensor | None, noise: Tensor, temperature: float) -> Tensor:
        """A latent of given components: ``mu_k + temperature * sigma_k * noise``, in the shape of ``noise``.

        Args:
            component: k from 0, one for all elements or a tensor of them that broadcasts to ``noise``; None
                is the mean of the mixture, at any temperature. The caller checks a tensor on a GPU, because
                reading it here would wait for the GPU.
            noise: standard normal.
            temperature: >= 0.
        """
        if component is None:
            return self.means.mean().expand_as(noise)
        k = torch.as_tensor(component)
        if k.device.type == "cpu" and (k.min() < 0 or k.max() >= self.components):
            raise ValueError(f"component: expected 0 to {self.components - 1}, got {component}")
        return self.means[k] + temperature * (torch.exp(self.log_stds[k]) + _VARIANCE_FLOOR) * noise

    def places(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the drawn components for latents of ``shape``; broadcasts to it."""
        return shape if self.law == "element" else (shape[0], *(1 for _ in shape[1:]))

    def sample(
        self, shape: tuple[int, ...], temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents (B, ...), with components drawn by the law; the noise is reparametrised.

        Raises:
            ValueError: the shape has no batch dimension.
        """
        if len(shape) < 2:
            raise ValueError(f"shape: expected (B, ...), got {shape}")
        device = self.means.device
        k = torch.randint(self.components, self.places(shape), generator=generator, device=device)
        noise = torch.randn(shape, generator=generator, device=device, dtype=self.means.dtype)
        return self.latent(k, noise, temperature)
