"""Estimates that are shrunk by their error, which the jackknife gives (Efron & Stein, Ann. Statist. 9, 1981;
James & Stein, Proc. 4th Berkeley Symp. 1, 1961)."""

import torch
from torch import Tensor

ABOVE_CHANCE = 2.0
"""An estimate whose square is below so many times its variance is shrunk to 0."""


def above_chance(square: Tensor, variance: Tensor) -> Tensor:
    """The factor (0 to 1) that shrinks an estimate, from its square and its variance."""
    return (1 - ABOVE_CHANCE * variance / square.clamp(min=1e-12)).clamp(min=0)


def jackknife_variance(without: list[Tensor]) -> Tensor:
    """The jackknife's variance of an estimate, summed over the two sides.

    Args:
        without: the estimates without one part of a side's photographs, (n, ...) for each side. A side of a
            single part has none, and adds nothing.
    """
    sides = [
        (part - part.mean(0)).square().sum(0) * (len(part) - 1) / len(part) for part in without if len(part)
    ]
    return torch.stack(sides).sum(0) if sides else without[0].sum(0)
