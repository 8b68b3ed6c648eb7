"""Flows with fixed weights, simplified for sampling.

A folded flow is a list of stages. Couplings and injectors that are the identity are left out. Adjacent
ActNorms and 1x1 convolutions are merged into one 1x1 convolution, in float64, which is left out if it is the
identity. The factor ``exp(3 * log_gain)`` of a coupling is merged into its last convolution. ``prepare``
computes everything that depends only on the condition, once for all runs.

The flow's state stays fp32, channels first. The networks run in fp32 or bf16, channels last, the fastest
layout for convolutions.
"""

import copy
from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .bijection import Bijection, Chain
from .layers import (
    LOG_SCALE_BOUND,
    LOG_SCALE_SLOPE,
    ActNorm,
    AffineCoupling,
    AffineInjector,
    InvertibleConv1x1,
    Lifting,
    ScaleShiftNet,
    Squeeze,
    Unsqueeze,
)

Fields = tuple[Tensor, ...]
"""The features of a condition that a stage uses, each (1, C, H, W)."""


class FoldedFlow:
    """One direction of a flow, without log-determinants.

    Args:
        layers: the bijections of the flow, in the order of the forward direction. They are not modified.
        inverse: whether to run the inverse direction.
        dtype: type of the networks, float32 or bfloat16.
        device: the device to run on.
        keep: leading channels of the result to compute.
    """

    def __init__(
        self,
        layers: Iterable[Bijection],
        inverse: bool,
        dtype: torch.dtype,
        device: torch.device,
        keep: int | None = None,
    ) -> None:
        leaves = [copy.deepcopy(leaf).cpu().double() for layer in layers for leaf in leaves_of(layer)]
        self._stages: list[_Stage] = []
        self._keep = keep
        affine: _Affine | None = None
        for leaf in reversed(leaves) if inverse else leaves:
            if _is_identity_layer(leaf):
                continue
            if isinstance(leaf, (ActNorm, InvertibleConv1x1)):
                following = _affine(leaf, inverse)
                affine = following if affine is None else _compose(following, affine)
                continue
            if affine is not None and not _is_identity(affine):
                self._stages.append(_Mixing(*affine, device))
            affine = None
            self._stages.append(_stage(leaf, inverse, dtype, device))
        if affine is not None and (keep is not None or not _is_identity(affine)):
            self._stages.append(_Mixing(affine[0][:keep], affine[1][:keep], device))

    @property
    def conditional(self) -> bool:
        """Whether any stage depends on the condition."""
        return any(stage.conditional for stage in self._stages)

    def prepare(self, condition: Tensor) -> list[Fields]:
        """The features of a condition (1, C', H, W) for runs of the flow."""
        return [stage.prepare(condition) for stage in self._stages]

    def __call__(self, z: Tensor, prepared: list[Fields] | None = None) -> Tensor:
        """Run the flow on z (B, C, H, W) in fp32, which it may overwrite.

        A conditional flow needs the result of ``prepare``.
        """
        z = z.contiguous()  # another layout would round differently
        for stage, fields in zip(self._stages, prepared or [()] * len(self._stages)):
            z = stage(z, *fields)
        return z[:, : self._keep]


def leaves_of(bijection: Bijection) -> Iterator[Bijection]:
    """The layers of a bijection in order, with chains flattened."""
    if isinstance(bijection, Chain):
        for inner in bijection.maps:
            assert isinstance(inner, Bijection)
            yield from leaves_of(inner)
    else:
        yield bijection


_Affine = tuple[Tensor, Tensor]
"""Weight (C, C) and bias (C,) of z -> Wz + b at each pixel."""


def _affine(layer: ActNorm | InvertibleConv1x1, inverse: bool) -> _Affine:
    with torch.no_grad():
        if isinstance(layer, InvertibleConv1x1):
            weight = layer.inverse_weight() if inverse else layer.weight()
            return weight, weight.new_zeros(len(weight))
        scale, loc = layer.log_scale.flatten().exp(), layer.loc.flatten()
        return (torch.diag(1 / scale), -loc) if inverse else (torch.diag(scale), scale * loc)


def _is_identity_layer(layer: Bijection) -> bool:
    """Whether a coupling or an injector is the identity: its last convolution is zero."""
    if not isinstance(layer, (AffineCoupling, AffineInjector)):
        return False
    return not any(bool(value.any()) for value in layer.net.conv_out.parameters())


def _is_identity(affine: _Affine) -> bool:
    weight, bias = affine
    return torch.equal(weight, torch.eye(len(weight)).to(weight)) and not bool(bias.any())


def _compose(outer: _Affine, inner: _Affine) -> _Affine:
    return outer[0] @ inner[0], outer[0] @ inner[1] + outer[1]


class _Stage:
    """A step of a folded flow: maps z and the features of its condition to z."""

    conditional = False

    def prepare(self, condition: Tensor) -> Fields:
        return ()

    def __call__(self, z: Tensor, *fields: Tensor) -> Tensor:
        raise NotImplementedError


def _stage(layer: Bijection, inverse: bool, dtype: torch.dtype, device: torch.device) -> _Stage:
    if isinstance(layer, AffineCoupling):
        return _Coupling(layer, inverse, dtype, device)
    if isinstance(layer, AffineInjector):
        return _Injector(layer, inverse, dtype, device)
    if isinstance(layer, Lifting):
        return _Lifting(layer, inverse, device)
    assert isinstance(layer, (Squeeze, Unsqueeze))
    return _SpaceToDepth() if isinstance(layer, Squeeze) != inverse else _DepthToSpace()


class _SpaceToDepth(_Stage):
    def __call__(self, z: Tensor, *fields: Tensor) -> Tensor:
        return F.pixel_unshuffle(z, 2)


class _DepthToSpace(_Stage):
    def __call__(self, z: Tensor, *fields: Tensor) -> Tensor:
        return F.pixel_shuffle(z, 2)


class _Lifting(_Stage):
    def __init__(self, layer: Lifting, inverse: bool, device: torch.device) -> None:
        layer = copy.deepcopy(layer).float().to(device)
        self.lift = layer.inverse if inverse else layer.forward

    def __call__(self, z: Tensor, *fields: Tensor) -> Tensor:
        return self.lift(z)[0]


class _Mixing(_Stage):
    """z -> Wz + b."""

    def __init__(self, weight: Tensor, bias: Tensor, device: torch.device) -> None:
        self.weight = weight[:, :, None, None].float().to(device)
        self.bias = bias.float().to(device)

    def __call__(self, z: Tensor, *fields: Tensor) -> Tensor:
        return F.conv2d(z, self.weight, self.bias)


class _Coupling(_Stage):
    def __init__(
        self, layer: AffineCoupling, inverse: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.split = layer.split
        self.net = _Net(layer.net, inverse, dtype, device, state_channels=layer.split)
        self.conditional = self.net.conv_condition is not None

    def prepare(self, condition: Tensor) -> Fields:
        return self.net.prepare(condition)

    def __call__(self, z: Tensor, *fields: Tensor) -> Tensor:
        gain, offset = self.net(z[:, : self.split], *fields)
        z[:, self.split :].mul_(gain).add_(offset)  # in place: the stage before made z
        return z


class _Injector(_Stage):
    conditional = True

    def __init__(
        self, layer: AffineInjector, inverse: bool, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.net = _Net(layer.net, inverse, dtype, device)

    def prepare(self, condition: Tensor) -> Fields:
        return self.net(condition)

    def __call__(self, z: Tensor, *fields: Tensor) -> Tensor:
        gain, offset = fields
        return torch.addcmul(offset, z, gain)


class _Net:
    """A ``ScaleShiftNet`` that returns the factor of z and the offset to add then.

    Args:
        net: the network in float64.
        inverse: whether the layer runs in its inverse direction.
        state_channels: leading input channels that are the flow's state; the others are the condition, whose
            share of the first convolution ``prepare`` computes. None if all inputs come with each call.
    """

    def __init__(
        self,
        net: ScaleShiftNet,
        inverse: bool,
        dtype: torch.dtype,
        device: torch.device,
        state_channels: int | None = None,
    ) -> None:
        def convolution(weight: Tensor, bias: Tensor | None, padding: str) -> _Convolution:
            return _Convolution(weight, bias, padding, dtype, device)

        self.inverse = inverse
        split = net.conv_in.in_channels if state_channels is None else state_channels
        of_state, of_condition = net.conv_in.weight[:, :split], net.conv_in.weight[:, split:]
        self.conv_condition = None
        if of_condition.shape[1]:
            self.conv_condition = convolution(of_condition, net.conv_in.bias, "reflect")
        self.conv_in = convolution(of_state, None if self.conv_condition else net.conv_in.bias, "reflect")
        self.conv_mid = convolution(net.conv_mid.weight, net.conv_mid.bias, "none")
        assert net.conv_out.bias is not None
        gain = torch.exp(3 * net.log_gain).flatten()
        gain[0::2] *= LOG_SCALE_SLOPE
        gain[1::2] *= -1 if inverse else 1
        weight, bias = net.conv_out.weight * gain[:, None, None, None], net.conv_out.bias * gain
        scales_then_shifts = [*range(0, len(gain), 2), *range(1, len(gain), 2)]
        self.conv_out = convolution(weight[scales_then_shifts], bias[scales_then_shifts], "zeros")

    def prepare(self, condition: Tensor) -> Fields:
        return () if self.conv_condition is None else (self.conv_condition(condition),)

    def __call__(self, inputs: Tensor, *fields: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.conv_in(inputs)
        for field in fields:
            hidden += field
        hidden = self.conv_mid(F.leaky_relu_(hidden, 0.01))
        out = self.conv_out(F.leaky_relu_(hidden, 0.01))
        out = out.to(torch.float32, memory_format=torch.contiguous_format)  # slices of it are contiguous
        scale, shift = out.chunk(2, 1)
        bound = -LOG_SCALE_BOUND if self.inverse else LOG_SCALE_BOUND
        gain = scale.atan_().mul_(bound).exp_()
        return gain, shift if self.inverse else shift.mul_(gain)


class _Convolution:
    """A convolution with stride 1 that keeps the size.

    Args:
        weight: (C_out, C_in, k, k); bias: (C_out,).
        padding: "reflect", "zeros" or, for k = 1, "none".
        dtype: type of the arithmetic and of the output.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, padding: str, dtype: torch.dtype, device: torch.device
    ) -> None:
        weight = weight.detach().to(device, dtype)
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.detach().to(device, dtype)
        self.reflects = padding == "reflect"
        self.padding = (1, 1) if padding == "zeros" else (0, 0)
        # F.conv2d dispatches small and 1x1 convolutions in fp32 to code that is half as fast
        self.direct = device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available()

    def __call__(self, x: Tensor) -> Tensor:
        if self.reflects:
            x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        x = x.to(self.weight.dtype, memory_format=torch.channels_last)
        if self.direct:
            return torch.mkldnn_convolution(x, self.weight, self.bias, self.padding, (1, 1), (1, 1), 1)
        return F.conv2d(x, self.weight, self.bias, padding=self.padding)
