"""Where and how a model runs."""

import torch

from sdflow.errors import ArgumentError
from sdflow.inference import native_precision


def choose_device(device: str) -> str:
    """The device for "auto", or the one that was asked for.

    Args:
        device: "auto", "cpu", "cuda" or "mps".

    Raises:
        SDFlowError: this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if not there[device]:
        raise ArgumentError("device", f"expected a device of this machine, found {device}, which it has not")
    return device


def choose_precision(precision: str, device: str) -> str:
    """The precision of the networks, "fp32" or "bf16": the device's own for "auto", or the one asked for."""
    return native_precision(device) if precision == "auto" else precision
