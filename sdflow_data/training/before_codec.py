"""The measured camera before its codec, so that compressed samples match the measurement."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sdflow.camera import (
    ROUNDING,
    Camera,
    filtered,
    fine_detail,
    response_kernels,
    response_matrix,
    transfer,
)
from sdflow.measurement import Measured
from sdflow.noise import derive_seed
from sdflow.resample import quantise
from sdflow.spectra import SIZE, opponent_colours, power_spectrum

from ..images.codec import Codec

_SIDE, _PICTURES, _BRIGHTNESS = 96, 24, 128.0
_NOISE_ROUNDS, _COLOUR_ROUNDS = 8, 2
_STEP = (0.5, 2.0)
"""Limits of the change of a power in one round, as factors."""


def before_codec(measured: Measured, codec: Codec, seed: int) -> Camera:
    """Correct a camera that was measured on compressed photographs for the effects of the codec.

    A codec removes noise and adds its own. Subsampling and coarse quantisation remove detail of colours,
    which the measured camera followed by the codec would lose twice. Both are corrected iteratively:
    pictures are simulated, compressed and measured.

    Args:
        measured: the camera as measured on compressed photographs.
        codec: the codec of the photographs.
        seed: the seed of the simulation.
    """
    if codec.lossless:
        return measured.camera
    generator = torch.Generator().manual_seed(derive_seed(seed, 0))
    noisy = replace(measured.camera, strength=_strength(measured.camera, codec, generator))
    contents = _contents(measured, generator)
    noisy = replace(noisy, texture=_texture(noisy, contents, codec, generator))
    return replace(noisy, response=_response(measured.camera, noisy, contents, codec, generator))


def _contents(measured: Measured, generator: torch.Generator) -> Tensor:
    """Pictures around 0 with the spectrum of the contents, opponent colours (B, 3, H, W)."""
    amplitude = _at_size(measured.contents, _SIDE).clamp(min=0).sqrt().movedim(-1, 0)
    white = torch.randn(_PICTURES, 3, _SIDE, _SIDE, generator=generator)
    return torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(_SIDE, _SIDE))


def _strength(camera: Camera, codec: Codec, generator: torch.Generator) -> Tensor:
    """The strength g (3, 17) for which flat pictures have the measured noise after the codec."""
    strength = camera.strength.clone()
    levels = torch.linspace(0, 255, strength.shape[1]).view(-1, 1, 1, 1)
    wanted = camera.strength.square()
    for _ in range(_NOISE_ROUNDS):
        white = torch.randn(len(levels), 3, _SIDE, _SIDE, generator=generator)
        noise = strength.T[:, :, None, None] * filtered(white, camera.noise)
        found = _mean([(share, colours.var((2, 3)).T) for share, colours in _coded(noise, levels, codec)])
        strength *= (wanted / (found - ROUNDING).clamp(min=1e-3)).clamp(0.25, 4).sqrt()
    strength[:, 0], strength[:, -1] = strength[:, 1], strength[:, -2]  # clipped to half
    return strength


def _texture(camera: Camera, contents: Tensor, codec: Codec, generator: torch.Generator) -> Tensor:
    """The noise in textured places (3,) without the part that the codec adds there, unlike in flat places."""
    if not camera.texture.any():
        return camera.texture
    white = torch.randn(contents.shape, generator=generator)
    grain = filtered(white, camera.noise) * _at_medium(camera.strength)
    added = []
    for seen in (filtered(contents, response_matrix(camera.response, camera.crosstalk)) + grain, grain):
        coded = _coded(seen, _BRIGHTNESS, codec)
        errors = [(share, (colours - seen).var((0, 2, 3))) for share, colours in coded]
        added.append(_mean(errors))
    detail = fine_detail(contents[:, :1]).mean()
    return (camera.texture.square() - (added[0] - added[1]).clamp(min=0) / detail).clamp(min=0).sqrt()


def _at_medium(strength: Tensor) -> Tensor:
    """Of g (3, 17), the strength at medium brightness, (1, 3, 1, 1)."""
    return strength[:, strength.shape[1] // 2].view(1, 3, 1, 1)


def _response(
    camera: Camera, before: Camera, contents: Tensor, codec: Codec, generator: torch.Generator
) -> Tensor:
    """The response K (3, 33, 33) for which pictures have the measured power spectrum after the codec.

    The response of brightness stays unchanged, because a codec hardly affects it. The response of colours is
    limited to 1, or to that of the measured camera if it is higher.
    """
    grain = filtered(torch.randn(contents.shape, generator=generator), camera.noise)
    noise, noise_before = (grain * _at_medium(one.strength) for one in (camera, before))
    matrix = response_matrix(camera.response, camera.crosstalk)
    wanted = power_spectrum(filtered(contents, matrix) + noise) + ROUNDING
    first = transfer(camera.response, SIZE, SIZE).movedim(0, -1).clamp(min=0)  # (32, 17, 3)
    limit, response = first.clamp(min=1), first
    for _ in range(_COLOUR_ROUNDS):
        matrix = response_matrix(response_kernels(response), camera.crosstalk)
        seen = filtered(contents, matrix) + noise_before
        coded = _coded(seen, _BRIGHTNESS, codec)
        found = _mean([(share, power_spectrum(colours)) for share, colours in coded])
        change = (wanted / found).clamp(*_STEP).sqrt()
        change = (change + change.roll(-1, 0).flip(0)) / 2  # mirrored borders need a symmetric response
        response = torch.minimum(response * change, limit)
        response[..., 0] = first[..., 0]
    return torch.cat([camera.response[:1], response_kernels(response)[1:]])


def _coded(colours: Tensor, level: Tensor | float, codec: Codec) -> list[tuple[float, Tensor]]:
    """Compress pictures (B, 3, H, W) of opponent colours around a grey level, with each setting of a codec.

    Returns:
        The share of each setting, with the compressed pictures.
    """
    pictures = quantise(level + opponent_colours(colours, inverse=True)).permute(0, 2, 3, 1).contiguous()
    coded = []
    for jpeg, share in codec.entries:
        decoded = [
            picture if jpeg is None else torch.from_numpy(jpeg.apply(picture.numpy()).copy())
            for picture in pictures
        ]
        coded.append((share, opponent_colours(torch.stack(decoded).permute(0, 3, 1, 2).float())))
    return coded


def _mean(parts: list[tuple[float, Tensor]]) -> Tensor:
    return torch.stack([share * value for share, value in parts]).sum(0)


def _at_size(spectrum: Tensor, side: int) -> Tensor:
    """Interpolate a spectrum (32, 17, 3) to the frequencies of larger pictures, (side, side // 2 + 1, 3)."""
    centred = torch.cat([spectrum.roll(SIZE // 2, 0), spectrum[SIZE // 2][None]])  # -1/2 to 1/2: (33, 17, 3)
    size = (side + 1, side // 2 + 1)
    finer = F.interpolate(centred.movedim(-1, 0)[None], size=size, mode="bilinear", align_corners=True)
    return finer[0].movedim(0, -1)[:-1].roll(-side // 2, 0)
