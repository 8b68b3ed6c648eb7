"""The laws of invertible maps, and weights to hold them to."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from sdflow.bijection import Bijection
from sdflow.model import SDFlowConfig

SMALLEST = SDFlowConfig(
    hr_steps=2,
    lr_steps=2,
    hf_steps=2,
    degradation_steps=2,
    width=5,
    condition_channels=4,
    growth=2,
    hf_blocks=1,
    degradation_blocks=1,
    encoder_channels=6,
    encoder_blocks=1,
    encoder_modulation=1,
    components=3,
)
"""All layers that there are, in the smallest sizes."""

Module = TypeVar("Module", bound=nn.Module)


def randomise(module: Module, seed: int, spread: float = 0.2) -> Module:
    """Gives convolutions random kernels and moves all else by ``spread``; ActNorms count as begun."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.dim() == 4 and len(parameter) > 1:  # convolutions, whatever they began as
                parameter.copy_(0.4 * noise / parameter[0].numel() ** 0.5)
            else:
                fan_in = parameter.shape[1] if parameter.dim() == 2 else 1
                parameter.add_(spread * noise / fan_in**0.5)
        for name, buffer in module.named_buffers():
            if name.endswith("initialised"):
                buffer.fill_(True)
    return module


def round_trip_error(bijection: Bijection, z: Tensor, condition: Tensor | None) -> float:
    """The largest of both round trips' absolute errors."""
    with torch.no_grad():
        there, _ = bijection(z, condition)
        back, _ = bijection.inverse(there, condition)
        again, _ = bijection(back, condition)
    return max(float((back - z).abs().max()), float((again - there).abs().max()))


def antisymmetry_error(bijection: Bijection, z: Tensor, condition: Tensor | None) -> float:
    """How far the log-determinants of a round trip are from cancelling."""
    with torch.no_grad():
        there, forward = bijection(z, condition)
        _, inverse = bijection.inverse(there, condition)
    assert forward.shape == inverse.shape == (len(z),)
    return float((forward + inverse).abs().max())


def log_det_error(bijection: Bijection, z: Tensor, condition: Tensor | None) -> float:
    """The largest difference between log_det and the autograd Jacobian's, over the images of a batch."""
    with torch.no_grad():
        _, claimed = bijection(z, condition)
    errors = []
    for i in range(len(z)):
        alone = None if condition is None else condition[i : i + 1]
        errors.append(abs(float(claimed[i]) - _jacobian_log_det(bijection, z[i : i + 1], alone)))
    return max(errors)


def _jacobian_log_det(bijection: Bijection, z: Tensor, condition: Tensor | None) -> float:
    def flat(values: Tensor) -> Tensor:
        return bijection(values.view_as(z), condition)[0].flatten()

    jacobian = torch.autograd.functional.jacobian(flat, z.flatten(), vectorize=True)
    return float(torch.linalg.slogdet(jacobian).logabsdet)
