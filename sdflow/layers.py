"""The invertible layers of SDFlow (Sun & Chen, arXiv 2310.04964) and the networks inside them."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from .bijection import Bijection
from .camera import (
    Camera,
    filter_log_det,
    filtered,
    fine_detail,
    integrated,
    response_matrix,
    strength_at,
)
from .networks import kaiming_init
from .spectra import opponent_colours
from .wording import counted

_LEVELS = 127.5
"""Grey levels per unit of [-1, 1]."""

LOG_SCALE_BOUND, LOG_SCALE_SLOPE = 0.318, 2.0
"""The log-scale of a coupling is ``0.318 * atan(2 * raw)``, within +-0.5, so that no layer diverges."""


def _image_log_det(z: Tensor, per_pixel: Tensor) -> Tensor:
    """The log-determinant (B,) of a map that is the same for each of the H*W pixels of z."""
    return (per_pixel * (z.shape[2] * z.shape[3])).expand(z.shape[0])


class Squeeze(Bijection):
    """Space to depth: (B, C, H, W) -> (B, 4C, H/2, W/2), channels in the order of ``pixel_unshuffle(2)``.

    >>> z, log_det = Squeeze()(torch.arange(16.0).reshape(1, 1, 4, 4))
    >>> z.shape, log_det
    (torch.Size([1, 4, 2, 2]), tensor([0.]))
    >>> z[0, :, 0, 0]
    tensor([0., 1., 4., 5.])
    """

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(z, 2), z.new_zeros(z.shape[0])

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_shuffle(z, 2), z.new_zeros(z.shape[0])


class Unsqueeze(Bijection):
    """The inverse of ``Squeeze`` as a separate layer."""

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_shuffle(z, 2), z.new_zeros(z.shape[0])

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(z, 2), z.new_zeros(z.shape[0])


class ActNorm(Bijection):
    """A scale and an offset per channel: ``exp(log_scale) * (z + loc)`` (Kingma & Dhariwal, Glow, 2018).

    The first batch seen in training mode sets ``loc = -mean`` and ``log_scale = -log(std + 1e-6)``, over the
    global batch when distributed; a channel whose variance is under 1e-4 keeps scale 1.

    >>> layer = ActNorm(3)
    >>> z, log_det = layer(100 + 10 * torch.randn(8, 3, 16, 16))
    >>> z.mean().round().abs().item(), z.std().round().item(), log_det.shape
    (0.0, 1.0, torch.Size([8]))

    Args:
        channels: C.
        from_data: if False, the layer starts as the identity instead of taking the first batch's moments.
    """

    initialised: Tensor

    def __init__(self, channels: int, from_data: bool = True) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.register_buffer("initialised", torch.tensor(not from_data))
        self._is_known = False  # a bool: reading the buffer at every call would wait for the GPU

    def extra_repr(self) -> str:
        return str(self.loc.shape[1])

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._is_known = False

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.training and not self._is_known:
            if not self.initialised:
                self._initialise(z.detach())
            self._is_known = True
        return torch.exp(self.log_scale) * (z + self.loc), _image_log_det(z, self.log_scale.sum())

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * torch.exp(-self.log_scale) - self.loc, _image_log_det(z, -self.log_scale.sum())

    @torch.no_grad()
    def _initialise(self, z: Tensor) -> None:
        pixels = z.transpose(0, 1).flatten(1)  # (C, B H W)
        if z.device.type != "mps":  # which has no double precision
            pixels = pixels.double()
        moments = torch.stack(
            [pixels.sum(1), pixels.square().sum(1), torch.full_like(pixels[:, 0], pixels.shape[1])]
        )
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(moments)
        total, total_square, count = moments
        mean = total / count
        variance = (total_square / count - mean.square()).clamp_min(0)
        log_scale = torch.where(variance < 1e-4, 0.0, -torch.log(variance.sqrt() + 1e-6))
        self.loc.copy_(-mean.view_as(self.loc))
        self.log_scale.copy_(log_scale.view_as(self.log_scale))
        self.initialised.fill_(True)


class InvertibleConv1x1(Bijection):
    """A learned mixing of channels, ``W = P (L * mask + I) (U * mask + diag(sign * exp(log_diagonal)))``.

    P and the signs are fixed; the triangular factors are learned (Glow, 2018, section 3.2).

    Args:
        weight: the initial W, (C, C), invertible.
    """

    permutation: Tensor
    sign: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        channels = weight.shape[0]
        if weight.shape != (channels, channels):
            raise ValueError(f"weight: expected a square matrix, got {tuple(weight.shape)}")
        permutation, lower, upper = torch.linalg.lu(weight.double())
        diagonal = upper.diagonal()
        if diagonal.abs().min() < 1e-9:
            raise ValueError("weight: expected an invertible matrix, got a singular one")
        dtype = weight.dtype
        self.register_buffer("permutation", permutation.to(dtype))
        self.register_buffer("sign", diagonal.sign().to(dtype))
        self.lower = nn.Parameter(lower.tril(-1).to(dtype))
        self.upper = nn.Parameter(upper.triu(1).to(dtype))
        self.log_diagonal = nn.Parameter(diagonal.abs().log().to(dtype))

    def extra_repr(self) -> str:
        return str(len(self.sign))

    def _factors(self) -> tuple[Tensor, Tensor]:
        identity = torch.eye(len(self.sign), dtype=self.lower.dtype, device=self.lower.device)
        lower = self.lower.tril(-1) + identity
        upper = self.upper.triu(1) + torch.diag(self.sign * torch.exp(self.log_diagonal))
        return lower, upper

    def weight(self) -> Tensor:
        """W, (C, C)."""
        with torch.autocast(self.sign.device.type, enabled=False):
            lower, upper = self._factors()
            return self.permutation @ lower @ upper

    def inverse_weight(self) -> Tensor:
        """W^-1, (C, C), from its triangular factors."""
        lower, upper = self._factors()  # triangular solves are never autocast
        inner = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, inner, upper=True)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _mix(z, self.weight()), _image_log_det(z, self.log_diagonal.sum())

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _mix(z, self.inverse_weight()), _image_log_det(z, -self.log_diagonal.sum())


def _mix(z: Tensor, weight: Tensor) -> Tensor:
    # The flow's state is rounded neither to bf16 nor, on a GPU, to TF32.
    cudnn = torch.backends.cudnn
    kept = {"benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    with torch.autocast(z.device.type, enabled=False), cudnn.flags(enabled=True, allow_tf32=False, **kept):
        return F.conv2d(z, weight[:, :, None, None])


class ScaleShiftNet(nn.Module):
    """The network of a coupling or an injector: maps an image to log-scale and shift.

    3x3 conv (reflection) -> LeakyReLU 0.01 -> 1x1 conv -> LeakyReLU 0.01 -> 3x3 conv (zeros), its output
    times ``exp(3 * log_gain)`` per channel and initialised to zero, so that a new layer is the identity.

    Args:
        in_channels: of the input.
        out_channels: C of the two outputs (log_scale, shift), each (B, C, H, W) in fp32.
        width: hidden channels.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, width, 3, padding=1, padding_mode="reflect")
        self.conv_mid = nn.Conv2d(width, width, 1)
        self.conv_out = nn.Conv2d(width, 2 * out_channels, 3, padding=1)
        self.log_gain = nn.Parameter(torch.zeros(1, 2 * out_channels, 1, 1))
        kaiming_init(self.conv_in, slope=0.01)
        kaiming_init(self.conv_mid, slope=0.01)
        nn.init.zeros_(self.conv_out.weight)
        if self.conv_out.bias is not None:
            nn.init.zeros_(self.conv_out.bias)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = F.leaky_relu(self.conv_in(inputs), 0.01)
        hidden = F.leaky_relu(self.conv_mid(hidden), 0.01)
        out = self.conv_out(hidden).to(inputs.dtype) * torch.exp(3 * self.log_gain)
        log_scale = LOG_SCALE_BOUND * torch.atan(LOG_SCALE_SLOPE * out[:, 0::2])
        return log_scale, out[:, 1::2]


class MeasuredCamera(Bijection):
    """Measured cameras as affine maps of the degradation, given the content: z_d <-> white noise.

    In opponent colours ``z_d = K z' - z_c + g(K z', z_c) * (N n)``: the change by a camera's response (with
    its crosstalk from brightness to the colours), plus its noise, whose deviation g depends on the brightness
    of K z' and on the fine detail of z_c. z' is the content z_c whose pixels have taken in light
    (`sdflow.camera.integrated`). ``forward`` maps z_d (B, 3, H, W), given the content (B, 3, H, W), both in
    [-1, 1] units, to n; ``inverse`` samples. The number of an image's camera, from 0, is one for all images
    or (B,). The initial cameras have K = 1 and white noise of one grey level, and only the first is in use.
    ``load`` sets the cameras; they have no gradient. All computations are in fp32.

    Args:
        cameras: the largest number of cameras.
    """

    response: Tensor
    noise: Tensor
    strength: Tensor
    aperture: Tensor
    crosstalk: Tensor
    texture: Tensor
    shares: Tensor
    """(cameras,), the probability of each camera, with sum 1; 0 for unused ones."""

    def __init__(self, cameras: int = 1) -> None:
        super().__init__()
        for name, value in vars(Camera.identity()).items():
            self.register_buffer(name, torch.stack([value] * cameras))
        self.register_buffer("shares", torch.eye(cameras)[0])

    def extra_repr(self) -> str:
        return str(len(self.shares))

    @torch.no_grad()
    def load(self, cameras: Sequence[Camera], shares: Sequence[float]) -> None:
        """Set the cameras, with probabilities in proportion to their shares.

        Raises:
            ValueError: there are too many cameras, or the shares are not above 0.
        """
        if len(cameras) > len(self.shares):
            raise ValueError(f"cameras: expected at most {len(self.shares)}, got {len(cameras)}")
        if len(shares) != len(cameras) or not min(shares, default=0) > 0:
            raise ValueError(
                f"shares: expected one above 0 for each of {counted(len(cameras), 'camera')}, got {shares}"
            )
        free = len(self.shares) - len(cameras)
        for name, value in vars(Camera.identity()).items():
            getattr(self, name).copy_(torch.stack([getattr(c, name) for c in cameras] + [value] * free))
        self.shares.copy_(torch.tensor([*shares, *([0.0] * free)]) / sum(shares))

    @property
    def in_use(self) -> list[Camera]:
        """The cameras with a share above 0, on the CPU."""
        count = int((self.shares > 0).sum())
        names = [field.name for field in fields(Camera)]
        parts = (getattr(self, name)[:count].cpu() for name in names)
        return [Camera(*of_one) for of_one in zip(*parts)]

    def moments(self, content: Tensor, camera: int | Tensor = 0) -> tuple[Tensor, Tensor]:
        """Mean and deviation of z_d given the content, each (B, 3, H, W), in opponent colours."""
        with torch.autocast(content.device.type, enabled=False):
            colours = opponent_colours(content)
            light = opponent_colours(integrated(content, self.aperture[camera]))
            seen = filtered(light, response_matrix(self.response[camera], self.crosstalk[camera]))
            brightness = (seen[:, :1] / math.sqrt(3) + 1) * _LEVELS
            deviation = strength_at(self.strength[camera], brightness) / _LEVELS
            texture = self.texture[camera].view(-1, 3, 1, 1)
            if bool((texture > 0).any()):
                deviation = (deviation.square() + texture.square() * fine_detail(colours[:, :1])).sqrt()
            return seen - colours, deviation

    def sample(self, white: Tensor, mean: Tensor, deviation: Tensor, camera: int | Tensor = 0) -> Tensor:
        """z_d for white noise (B, 3, H, W) and the result of ``moments``."""
        with torch.autocast(white.device.type, enabled=False):
            noise = filtered(white, self.noise[camera])
            return opponent_colours(mean + deviation * noise, inverse=True)

    def _log_det(self, deviation: Tensor, camera: int | Tensor) -> Tensor:
        of_noise = filter_log_det(self.noise[camera], *deviation.shape[-2:])
        return deviation.log().sum((1, 2, 3)) + of_noise

    def forward(
        self, z: Tensor, condition: Tensor | None = None, camera: int | Tensor = 0
    ) -> tuple[Tensor, Tensor]:
        assert condition is not None, "a measured camera is conditional"
        mean, deviation = self.moments(condition, camera)
        with torch.autocast(z.device.type, enabled=False):
            normal = (opponent_colours(z) - mean) / deviation
            white = filtered(normal, self.noise[camera], inverse=True)
        return white, -self._log_det(deviation, camera)

    def inverse(
        self, z: Tensor, condition: Tensor | None = None, camera: int | Tensor = 0
    ) -> tuple[Tensor, Tensor]:
        assert condition is not None, "a measured camera is conditional"
        mean, deviation = self.moments(condition, camera)
        return self.sample(z, mean, deviation, camera), self._log_det(deviation, camera)


class Lifting(Bijection):
    """An additive step of the HR flow that removes the aliases from the mean of each 2x2 block.

    Given the mean s and the differences of a Haar pyramid in the leading 12 channels, ``s + Q_x s_x + Q_y s_y
    + Q_x Q_y s_xy`` is Keys' antialiased bicubic downscaling by 2 (a = -0.5) up to a gain: bicubic is
    ``A s + B d`` along an axis, and Q = B / A (the lifting scheme; Sweldens, 1996). It has no parameters.

    Args:
        channels: C, at least 12: three means (R, G, B), then the three differences along columns, along rows
            and along both.
    """

    kernels: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels < 12:
            raise ValueError(f"channels: expected at least 12, got {channels}")
        self.channels = channels
        self.register_buffer("kernels", _lifting_kernels(), persistent=False)

    def extra_repr(self) -> str:
        return str(self.channels)

    def _update(self, z: Tensor) -> Tensor:
        differences = z[:, 3:12].unflatten(1, (3, 3)).transpose(1, 2).flatten(0, 1)  # (3B, 3, H, W)
        padded = F.pad(differences, (2, 2, 2, 2), mode="replicate")
        with torch.autocast(z.device.type, enabled=False):
            return F.conv2d(padded, self.kernels.to(z.dtype)).view(len(z), 3, *z.shape[2:])

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.cat([z[:, :3] + self._update(z), z[:, 3:]], 1), z.new_zeros(z.shape[0])

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.cat([z[:, :3] - self._update(z), z[:, 3:]], 1), z.new_zeros(z.shape[0])


def _lifting_kernels() -> Tensor:
    """Weights of the three differences, (1, 3, 5, 5)."""
    taps = torch.tensor([-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5], dtype=torch.float64)
    half = (taps / 2).abs()
    near = 1.5 * half**3 - 2.5 * half**2 + 1
    far = -0.5 * half**3 + 2.5 * half**2 - 4 * half + 2
    weights = F.pad(torch.where(half < 1, near, far) / 2, (1, 1)).view(5, 2)  # of five blocks of two pixels
    of_mean, of_difference = weights.sum(1), weights[:, 0] - weights[:, 1]
    period = 64
    spectra = [torch.fft.fft(F.pad(values, (0, period - 5)).roll(-2)) for values in (of_mean, of_difference)]
    quotient = torch.fft.ifft(spectra[1] / spectra[0]).real.roll(2)[:5]
    centre = F.one_hot(torch.tensor(2), 5).double()
    along_x, along_y = torch.outer(centre, quotient), torch.outer(quotient, centre)
    return torch.stack([along_x, along_y, torch.outer(quotient, quotient)])[None]


class AffineCoupling(Bijection):
    """Affine coupling: the first channels (and the condition) scale and shift the others.

    ``b' = (b + shift) * exp(log_scale)`` with both from ``net(a [, condition])``, a = the first int(C/2)
    channels (Dinh et al., Real NVP, 2017).
    """

    def __init__(self, channels: int, width: int, condition_channels: int = 0) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"channels: expected at least 2 to couple, got {channels}")
        self.split = channels // 2
        self.net = ScaleShiftNet(self.split + condition_channels, channels - self.split, width)

    def extra_repr(self) -> str:
        return f"split={self.split}"

    def _parts(self, z: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a, b = z[:, : self.split], z[:, self.split :]
        log_scale, shift = self.net(a if condition is None else torch.cat([a, condition], 1))
        return a, b, log_scale, shift

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        a, b, log_scale, shift = self._parts(z, condition)
        return torch.cat([a, (b + shift) * torch.exp(log_scale)], 1), log_scale.sum((1, 2, 3))

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        a, b, log_scale, shift = self._parts(z, condition)
        return torch.cat([a, b * torch.exp(-log_scale) - shift], 1), -log_scale.sum((1, 2, 3))


class AffineInjector(Bijection):
    """Affine injector: the condition alone scales and shifts all channels (Lugmayr et al., SRFlow, 2020)."""

    def __init__(self, channels: int, width: int, condition_channels: int) -> None:
        super().__init__()
        self.net = ScaleShiftNet(condition_channels, channels, width)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(condition)
        return (z + shift) * torch.exp(log_scale), log_scale.sum((1, 2, 3))

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(condition)
        return z * torch.exp(-log_scale) - shift, -log_scale.sum((1, 2, 3))
