"""Devices and precisions of models."""

import torch

from sdflow.errors import ArgumentError
from sdflow.inference import native_precision


def choose_device(device: str) -> str:
    """Choose the device of a model.

    Args:
        device: "auto" (CUDA, else MPS, else the CPU), "cpu", "cuda" or "mps".

    Raises:
        ArgumentError: this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if not there[device]:
        raise ArgumentError("device", f"expected a device of this machine, found {device}")
    return device


def choose_precision(precision: str, device: str) -> str:
    """Choose the precision of the networks, "fp32" or "bf16"; "auto" chooses by the device."""
    return native_precision(device) if precision == "auto" else precision
