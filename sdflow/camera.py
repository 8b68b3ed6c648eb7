"""The measured camera: what is known of a camera before anything is trained, and what it does to pictures.

The model is stationary and Gaussian in opponent colours o (brightness, R - B, R - 2G + B, orthonormal):

    x_o = K_o * c'_o + X_o * c'_1 + g_o(brightness, detail) (N * e)_o,    e ~ N(0, I)

with c' the content (the HR picture at LR size), K_o a zero-phase response, X_o what detail of brightness adds
to the colours (X_1 = 0), N a root of the noise's 3 x 3 cross-spectrum, and g_o the deviation of the noise at
a brightness and at a strength of the content's fine detail. `sdflow.measurement` finds K, X, N and g.

c' is the content c after one step that all cameras share: a pixel adds up light, and sRGB values are not
linear in light. The mean of light over a pixel is brighter than the mean of the values (`integrated`).
"""

import math
from dataclasses import dataclass, field, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import gaussian_blur
from .spectra import SIZE

TAPS = SIZE + 1
"""Side of the kernels."""
KNOTS = 17
"""Brightnesses at which the strength of the noise is kept, evenly from 0 to 255."""
_DETAIL_BLUR, _DETAIL_REACH = 0.7, 2.0
"""Standard deviations in pixels: of the blur whose loss is fine detail, and of the place it belongs to."""
APERTURE = 1 / 24
"""The share of a pixel's light from each neighbour along an axis: as spread out as a pixel's own square."""
ROUNDING = 1 / 12
"""Variance that rounding to 8 bits adds; a sample is rounded again."""


@dataclass(frozen=True)
class Camera:
    """A measured camera, on the CPU in fp32. Spectra are of opponent colours.

    Attributes:
        response: K, (3, 33, 33), kernels in LR pixels; each has the sum 1.
        noise: N, (3, 3, 33, 33), kernels that colour white noise; ``noise[a, b]`` is what colour b's white
            noise adds to colour a. Symmetric under flips, so that mirrored borders keep it exact.
        strength: g, (3, 17), deviation of the noise of each colour in grey levels (0 to 255), at the
            brightnesses ``linspace(0, 255, 17)``.
        aperture: (), the share of a pixel's light that is from each of its neighbours along an axis; 0 for a
            camera whose response applies to sRGB values alone.
        crosstalk: X, (2, 33, 33), kernels of sum 0: what detail of the content's brightness adds to R - B and
            to R - 2G + B, as demosaicing and lenses do.
        texture: (3,), deviation of each colour's noise in textured places, as a share of the root of
            `fine_detail` there. Its variance adds to that of ``strength``.
    """

    response: Tensor
    noise: Tensor
    strength: Tensor
    aperture: Tensor = field(default_factory=lambda: torch.zeros(()))
    crosstalk: Tensor = field(default_factory=lambda: torch.zeros(2, TAPS, TAPS))
    texture: Tensor = field(default_factory=lambda: torch.zeros(3))

    def __post_init__(self) -> None:
        shapes = {
            "response": (3, TAPS, TAPS),
            "noise": (3, 3, TAPS, TAPS),
            "strength": (3, KNOTS),
            "aperture": (),
            "crosstalk": (2, TAPS, TAPS),
            "texture": (3,),
        }
        for name in (one.name for one in fields(self)):
            found = tuple(getattr(self, name).shape)
            if found != shapes[name]:
                raise ValueError(f"{name}: expected the shape {shapes[name]}, got {found}")

    @classmethod
    def identity(cls) -> "Camera":
        """A camera that changes nothing but for white noise of one grey level."""
        response = torch.zeros(3, TAPS, TAPS)
        response[:, TAPS // 2, TAPS // 2] = 1
        return cls(response, diagonal(response), torch.ones(3, KNOTS))


def integrated(images: Tensor, aperture: Tensor) -> Tensor:
    """Images after their pixels have averaged light instead of sRGB values: brighter at edges and in texture.

    ``c + s(A * l(c)) - A * c``, with l from sRGB values to light (IEC 61966-2-1), s its inverse and A the
    aperture. The blur of the values by A is part of the camera's response, which is measured with it.

    Args:
        images: (B, C, H, W) in [-1, 1]; borders are mirrored.
        aperture: the share of a pixel's light from each neighbour along an axis, () or (B,).
    """
    if not bool((aperture > 0).any()):
        return images
    values, share = (images + 1) / 2, aperture.view(-1, 1, 1, 1)
    light = torch.where(values <= 0.04045, values / 12.92, ((values.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)
    light = _over_neighbours(light, share)
    seen = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.003) ** (1 / 2.4) - 0.055)
    return images + 2 * (seen - _over_neighbours(values, share))


def _over_neighbours(images: Tensor, share: Tensor) -> Tensor:
    padded = F.pad(images, (1,) * 4, mode="replicate")
    rows = (1 - 2 * share) * padded[..., 1:-1, :] + share * (padded[..., :-2, :] + padded[..., 2:, :])
    return (1 - 2 * share) * rows[..., 1:-1] + share * (rows[..., :-2] + rows[..., 2:])


def fine_detail(brightness: Tensor) -> Tensor:
    """Local power of fine detail, (B, 1, H, W) -> the same, in the square of its units."""
    margin = math.ceil(2 * _DETAIL_BLUR) + math.ceil(2 * _DETAIL_REACH)
    padded = F.pad(brightness, (margin,) * 4, mode="replicate")  # pictures may be smaller than the blurs
    power = gaussian_blur((padded - gaussian_blur(padded, _DETAIL_BLUR)).square(), _DETAIL_REACH)
    return power[..., margin:-margin, margin:-margin]


def detail_response() -> Tensor:
    """The response of the detail in `fine_detail`: (32, 17)."""
    impulse = F.pad(torch.ones(1, 1, 1, 1), (SIZE // 2,) * 4)
    return transfer((impulse - gaussian_blur(impulse, _DETAIL_BLUR))[0, 0], SIZE, SIZE)


def strength_at(strength: Tensor, brightness: Tensor) -> Tensor:
    """g at each pixel: (3, 17) or (B, 3, 17) and brightness (B, 1, H, W) in levels -> (B, 3, H, W)."""
    place = (brightness[:, 0] * ((KNOTS - 1) / 255)).clamp(0, KNOTS - 1)
    below = place.detach().nan_to_num(0.0).floor().clamp(max=KNOTS - 2).long()  # NaN stays in ``share``
    share = place - below
    knots = strength.expand(len(place), -1, -1)
    index = below.flatten(1)[:, None].expand(-1, knots.shape[1], -1)
    low, high = (knots.gather(2, at).unflatten(2, below.shape[1:]) for at in (index, index + 1))
    return torch.lerp(low, high, share[:, None])


def transfer(kernels: Tensor, height: int, width: int) -> Tensor:
    """The real response of zero-phase kernels (..., n, n) on a torus: (..., height, width // 2 + 1).

    Kernels larger than the torus are wrapped around it.
    """
    size, radius = kernels.shape[-1], kernels.shape[-1] // 2
    rows = (torch.arange(size, device=kernels.device) - radius) % height
    columns = (torch.arange(size, device=kernels.device) - radius) % width
    torus = kernels.new_zeros(*kernels.shape[:-2], height, width)
    flat = torus.flatten(-2).index_add(-1, (rows[:, None] * width + columns).flatten(), kernels.flatten(-2))
    return torch.fft.rfft2(flat.unflatten(-1, (height, width))).real


def along_rows(kernel: Tensor, frequency: Tensor) -> Tensor:
    """The response (m,) of a zero-phase kernel (n, n) to waves along the rows, float64.

    Args:
        kernel: on the CPU.
        frequency: (m,), cycles per pixel.
    """
    line = kernel.sum(0).double()
    taps = torch.arange(len(line)) - len(line) // 2
    return (2 * math.pi * frequency.double()[:, None] * taps).cos() @ line


def filtered(images: Tensor, kernels: Tensor, inverse: bool = False) -> Tensor:
    """Images under matrices of kernels, with mirrored borders.

    Args:
        images: (B, C, H, W).
        kernels: (C, C, n, n), or (B, C, C, n, n) for those of each image; zero-phase.
        inverse: divide by the response. It undoes the filter exactly if the kernels are symmetric under
            flips of either axis.
    """
    height, width = images.shape[-2:]
    mirrored = torch.cat([images, images.flip(-1)], -1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2)
    response = transfer(kernels, 2 * height, 2 * width).movedim((-4, -3), (-2, -1))  # (..., 2H, W + 1, C, C)
    if inverse:
        response = torch.linalg.inv(response)
    spectrum = torch.fft.rfft2(mirrored)
    batch = "b" if kernels.ndim == 5 else ""
    mixed = torch.einsum(f"{batch}yxij,bjyx->biyx", response.to(spectrum.dtype), spectrum)
    return torch.fft.irfft2(mixed, s=mirrored.shape[-2:])[..., :height, :width]


def filter_log_det(kernels: Tensor, height: int, width: int) -> Tensor:
    """log |det| of ``filtered`` as a map of H x W pictures, (...) of kernels (..., C, C, n, n) that are
    symmetric under flips.

    Pictures with mirrored borders are sums of cosines (the discrete cosine transform, type II), and a
    symmetric filter scales each of them by its response at that frequency.
    """
    response = transfer(kernels, 2 * height, 2 * width)[..., :height, :width]
    matrices = response.movedim((-4, -3), (-2, -1)).double()
    return torch.linalg.slogdet(matrices).logabsdet.sum((-2, -1)).to(kernels.dtype)


def response_matrix(response: Tensor, crosstalk: Tensor) -> Tensor:
    """K and X as one matrix of kernels: (..., 3, n, n) and (..., 2, n, n) -> (..., 3, 3, n, n)."""
    matrix = diagonal(response).clone()
    matrix[..., 1:, 0, :, :] = crosstalk
    return matrix


def diagonal(kernels: Tensor) -> Tensor:
    """A kernel a channel, as a matrix of kernels: (..., C, n, n) -> (..., C, C, n, n)."""
    return torch.diag_embed(kernels.movedim(-3, -1)).movedim((-2, -1), (-4, -3))


def response_kernels(response: Tensor) -> Tensor:
    """The kernels of a response (32, 17, 3), each of sum 1: (3, 33, 33)."""
    kernels = zero_phase_kernels(response.movedim(-1, 0), torch.hann_window(TAPS, periodic=False))
    return kernels / kernels.sum((-2, -1), keepdim=True)


def crosstalk_kernels(crosstalk: Tensor) -> Tensor:
    """The kernels of a crosstalk (32, 17, 2), each of sum 0: (2, 33, 33)."""
    kernels = zero_phase_kernels(crosstalk.movedim(-1, 0), torch.hann_window(TAPS, periodic=False))
    kernels[:, TAPS // 2, TAPS // 2] -= kernels.sum((-2, -1))
    return kernels


def zero_phase_kernels(responses: Tensor, fade: Tensor) -> Tensor:
    """Zero-phase kernels of real responses (..., 32, 17), faded out towards their ends: (..., 33, 33)."""
    torus = torch.fft.irfft2(responses.to(torch.complex128), s=(SIZE, SIZE))  # its rounding is below fp32's
    torus = torch.fft.fftshift(torus, dim=(-2, -1))
    wrapped = torch.cat([torus, torus[..., :1]], -1)
    wrapped = torch.cat([wrapped, wrapped[..., :1, :]], -2)
    return (wrapped * torch.outer(fade, fade)).float()
