"""Training in several processes. Each has a replica of the model and a share of the global batch.

Random numbers are drawn for the global batch and split by rank, and averages are over all ranks, so that N
processes compute the same as one process with the whole batch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .errors import SDFlowError

T = TypeVar("T")


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """The process group that ``torchrun`` has started; without torchrun, this process alone.

    With CUDA, each process of a machine uses the GPU of its local rank. If a process fails, the others cannot
    continue: the first failure raises its error, and the other processes exit silently.

    Args:
        device: the device of the model: "auto", "cpu", "cuda" or "mps".

    Raises:
        SDFlowError: there are more processes than GPUs.
        SystemExit: another process has failed before; status 1.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    on_gpus = device in ("auto", "cuda") and torch.cuda.is_available()
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    store, rank, size = next(dist.rendezvous("env://"))
    try:
        if on_gpus:
            _take_gpu(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group(backend, store=store, rank=rank, world_size=size)
        yield
        dist.barrier()  # a process that exits early would close its connections
    except BaseException as error:
        # The group ends with the process. Closing it here could wait forever for failed processes.
        if store.add("failures", 1) > 1:
            raise SystemExit(1) from error
        raise
    dist.destroy_process_group()


def _take_gpu(number: int) -> None:
    found = torch.cuda.device_count()
    if number >= found:
        raise SDFlowError(f"expected at most one process per GPU, found process {number} for {found} GPUs")
    torch.cuda.set_device(number)


def world() -> tuple[int, int]:
    """(rank, number of processes): (0, 1) unless torch.distributed is in use."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def all_gather_object(value: T) -> list[T]:
    """The values of all processes, in the order of ranks. Every process must call it."""
    _, size = world()
    if size == 1:
        return [value]
    values: list[T] = [value] * size
    dist.all_gather_object(values, value)
    return values


def average_gradients(parameters: list[nn.Parameter]) -> None:
    """Replace all gradients by their averages over all processes, in one communication."""
    _, size = world()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if size == 1 or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= size
    for gradient, average in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
        gradient.copy_(average.view_as(gradient))


class ReplicaGroup:
    """The replicas in one step: the share of this replica of random numbers, and averages over all replicas.

    Args:
        seed: the seed of the step.
        device: the device that draws; a seed gives the same numbers on every device of one type.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.rank, self.size = world()
        self._device = device
        self._generator = torch.Generator(device).manual_seed(seed)

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Uniform in [0, 1), shape (B, ...) with B the share of this process."""
        whole = (self.size * shape[0], *shape[1:])
        return self._split(torch.rand(whole, generator=self._generator, device=self._device))

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Standard normal, shape (B, ...) with B the share of this process."""
        whole = (self.size * shape[0], *shape[1:])
        return self._split(torch.randn(whole, generator=self._generator, device=self._device))

    def components(self, shares: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Indices k with probability ``shares[k]``, shape (B, ...) with B the share of this process."""
        ends = shares.cumsum(0)
        drawn = torch.bucketize(self.uniform(shape) * ends[-1], ends, right=True)
        return drawn.minimum((ends < ends[-1]).sum())  # rounding must not give an unused component

    def _split(self, drawn: Tensor) -> Tensor:
        return drawn.chunk(self.size)[self.rank]

    def mean(self, value: Tensor) -> Tensor:
        """The average over all processes, which have equal shares, with the gradient of the global average.

        Gradients that are averaged over all processes then equal those of one process with the whole batch.
        """
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return value + (total / self.size - value.detach())
