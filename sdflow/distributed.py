"""Training over several processes: each takes its share of one global batch, and they agree on the rest.

Random numbers are drawn for the global batch and cut by rank, and averages go over all ranks, so that N
processes compute what one process with the whole batch would.
"""

import torch
import torch.distributed as dist
from torch import Tensor

from .priors import GaussianMixture


def world() -> tuple[int, int]:
    """(rank, number of processes): (0, 1) unless torch.distributed is in use."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class Shares:
    """This process's share of a step's random numbers, and averages over all processes.

    Args:
        seed: of the step.
    """

    def __init__(self, seed: int) -> None:
        self.rank, self.size = world()
        self._generator = torch.Generator().manual_seed(seed)

    def _cut(self, drawn: Tensor) -> Tensor:
        return drawn.chunk(self.size)[self.rank]

    def uniform(self, shape: torch.Size | tuple[int, ...], device: torch.device) -> Tensor:
        """[0, 1), shape (B, ...) with B the share of this process."""
        drawn = torch.rand(self.size * shape[0], *shape[1:], generator=self._generator)
        return self._cut(drawn).to(device)

    def normal(self, shape: torch.Size | tuple[int, ...], device: torch.device) -> Tensor:
        """Standard normal, shape (B, ...) with B the share of this process."""
        drawn = torch.randn(self.size * shape[0], *shape[1:], generator=self._generator)
        return self._cut(drawn).to(device)

    def prior(self, prior: GaussianMixture, shape: tuple[int, ...]) -> Tensor:
        """Latents of the mixture, shape (B, ...), with gradient to its parameters."""
        k = torch.randint(prior.components, (self.size * shape[0],), generator=self._generator)
        noise = self.normal(shape, prior.means.device)
        k = self._cut(k).to(noise.device).view(-1, *(1 for _ in shape[1:]))
        return prior.latent(k, noise, temperature=1.0)

    def mean(self, value: Tensor) -> Tensor:
        """The average over processes of equal shares, with the gradient of the global average.

        Averaged gradients of all processes are then those of one process with the whole batch.
        """
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return value + (total / self.size - value.detach())

    def gathered(self, values: Tensor) -> Tensor:
        """The values of all processes, (B, ...) -> (size * B, ...), without gradient."""
        if self.size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def masked_mean(self, values: Tensor, mask: Tensor) -> Tensor | None:
        """The mean of ``values[mask]`` over all processes, gradient as in ``mean``; None if none is left."""
        count = mask.sum().to(values.dtype)
        if self.size > 1:
            dist.all_reduce(count)
        if count == 0:
            return None
        return self.mean(values[mask].sum(0) * (self.size / count))
