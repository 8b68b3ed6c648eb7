"""A camera before its codec: behind the codec, samples are what was measured."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sdflow.camera import (
    KNOTS,
    TAPS,
    Camera,
    diagonal,
    filtered,
    response_kernels,
)
from sdflow.measurement import Measured
from sdflow.resample import quantise
from sdflow.spectra import SIZE, opponent_colours, power_spectrum, radial_frequency
from sdflow_data.images.codec import NO_CODEC, Codec, Jpeg
from sdflow_data.training.before_codec import before_codec

JPEG = Jpeg.of_quality(80)
CODEC = Codec.of([JPEG] * 4)
FREQUENCY = radial_frequency(SIZE)


@pytest.fixture(scope="module")
def measured() -> Measured:
    """A camera that blurs colours, of contents with the spectrum of natural scenes."""
    blur = torch.exp(-8 * FREQUENCY[..., None] ** 2 * torch.tensor([1.0, 3.0, 3.0]))
    white = torch.zeros(3, TAPS, TAPS)
    white[:, TAPS // 2, TAPS // 2] = 1
    camera = Camera(
        response_kernels(blur), diagonal(white), torch.tensor([[4.0], [1.5], [1.5]]).expand(3, KNOTS)
    )
    contents = torch.tensor([40.0, 4.0, 4.0]) / FREQUENCY[..., None].clamp(min=1 / SIZE) ** 2
    return Measured(camera, [(64.0, 4.0), (192.0, 4.0)], [], contents)


def content(measured: Measured) -> Tensor:
    """Pictures around 0 of that spectrum, opponent colours (8, 3, 64, 64)."""
    white = torch.fft.rfft2(torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    frequency = torch.hypot(torch.fft.fftfreq(64)[:, None], torch.fft.rfftfreq(64)[None])
    scale = measured.contents[0, 4].sqrt() * FREQUENCY[0, 4]
    return torch.fft.irfft2(white * scale[:, None, None] / frequency.clamp(min=1 / SIZE), s=(64, 64))


def behind(camera: Camera, colours: Tensor) -> Tensor:
    """Samples of a camera around grey 128, coded: opponent colours."""
    noise = filtered(torch.randn(colours.shape, generator=torch.Generator().manual_seed(2)), camera.noise)
    seen = filtered(colours, diagonal(camera.response)) + camera.strength[:, 8].view(1, 3, 1, 1) * noise
    pictures = quantise(128 + opponent_colours(seen, inverse=True)).permute(0, 2, 3, 1).contiguous()
    coded = torch.stack([torch.from_numpy(JPEG.apply(picture.numpy())) for picture in pictures])
    return opponent_colours(coded.permute(0, 3, 1, 2).float())


def test_a_camera_without_a_codec_stays(measured: Measured) -> None:
    assert before_codec(measured, NO_CODEC, 0) is measured.camera


def test_flat_places_have_the_measured_noise(measured: Measured) -> None:
    flat = behind(before_codec(measured, CODEC, 0), torch.zeros(8, 3, 64, 64))
    assert flat.std((0, 2, 3)).tolist() == pytest.approx([4, 1.5, 1.5], rel=0.15)


def test_noise_in_texture_is_less_what_the_codec_adds(measured: Measured) -> None:
    """Weak noise in texture is all the codec's; strong noise stays nearly what it is."""
    found = [
        before_codec(replace(measured, camera=replace(measured.camera, texture=wanted)), CODEC, 0).texture
        for wanted in (torch.full((3,), 0.05), torch.full((3,), 1.0))
    ]
    assert not found[0].any()
    assert ((found[1] > 0.7) & (found[1] < 1)).all()


def test_colours_have_the_measured_power(measured: Measured) -> None:
    colours = content(measured)
    noise = measured.camera.strength[:, 8].square()
    wanted = power_spectrum(filtered(colours, diagonal(measured.camera.response))) + noise
    middle = (FREQUENCY > 0.06) & (FREQUENCY < 0.16)
    off = [
        (power_spectrum(behind(camera, colours)) / wanted)[middle][:, 1:].mean().log2().abs()
        for camera in (measured.camera, before_codec(measured, CODEC, 0))
    ]
    assert off[1] < 0.5 < off[0]


def test_brightness_is_as_sharp_as_measured(measured: Measured) -> None:
    assert torch.equal(before_codec(measured, CODEC, 0).response[0], measured.camera.response[0])
