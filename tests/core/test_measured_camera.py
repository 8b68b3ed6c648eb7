"""The measured camera: known cameras are found again, from other scenes, and doubts are told."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sdflow.camera import (
    APERTURE,
    KNOTS,
    TAPS,
    Camera,
    diagonal,
    filter_log_det,
    filtered,
    fine_detail,
    integrated,
    response_matrix,
    strength_at,
    transfer,
)
from sdflow.filters import gaussian_blur
from sdflow.measurement import CameraMeasurement, Measured
from sdflow.spectra import opponent_colours

SIDE, PICTURES = 192, 24


def scene(seed: int, levels: tuple[float, float] = (28, 228)) -> Tensor:
    """A picture with the spectrum of natural scenes, its upper third flat, at a level within a range:
    (3, 192, 192) grey levels."""
    return textured(seed, flat_rows=SIDE // 3, levels=levels)


def textured(seed: int, flat_rows: int = 0, levels: tuple[float, float] = (28, 228)) -> Tensor:
    """The same with so many flat rows."""
    draw = torch.Generator().manual_seed(seed)
    radius = torch.hypot(torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)[None])
    white = torch.fft.rfft2(torch.randn(3, SIDE, SIDE, generator=draw))
    texture = torch.fft.irfft2(white / radius.clamp(min=1 / SIDE), s=(SIDE, SIDE))
    texture = 28 * texture / texture.std()
    texture = texture.mean(0, keepdim=True) + 0.3 * (texture - texture.mean(0, keepdim=True))
    flat = levels[0] + torch.rand(1, generator=draw) * (levels[1] - levels[0])
    texture[:, :flat_rows] = 0
    return (texture + flat).clamp(3, 252)


@dataclass(frozen=True)
class Known:
    """A known camera: a blur (deviations in LR pixels along rows and columns), an unsharp mask, an end
    of the response (frequency where a lens of that kind passes a third), noise."""

    blur: tuple[float, float] = (0.0, 0.0)
    sharpening: float = 0.0
    end: float = 0.0
    read_noise: float = 2.0
    gain: float = 0.0
    noise_blur: float = 0.0

    def response(self) -> Tensor:
        """K, (192, 97)."""
        fy, fx = torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)[None]
        low = torch.exp(-2 * np.pi**2 * ((self.blur[1] * fy) ** 2 + (self.blur[0] * fx) ** 2))
        mask = torch.exp(-2 * np.pi**2 * (fy**2 + fx**2))
        end = torch.exp(-(((fy**2 + fx**2) / self.end**2) ** 2)) if self.end else 1.0
        return low * (1 + self.sharpening * (1 - mask)) * end

    def photograph(self, picture: Tensor, seed: int) -> Tensor:
        clean = torch.fft.irfft2(torch.fft.rfft2(picture) * self.response(), s=(SIDE, SIDE))
        noise = torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(9000 + seed))
        if self.noise_blur:
            fy, fx = torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)[None]
            low = torch.exp(-2 * np.pi**2 * self.noise_blur**2 * (fy**2 + fx**2))
            noise = torch.fft.irfft2(torch.fft.rfft2(noise) * low, s=(SIDE, SIDE))
            noise = noise / noise.std()
        return (clean + (self.read_noise**2 + self.gain * clean.clamp(min=0)).sqrt() * noise).round()

    def measured(self, levels: tuple[float, float] = (28, 228)) -> Measured:
        """From photographs of scenes that no content is of, with flat places within these grey levels."""
        measurement = CameraMeasurement(PICTURES, PICTURES)
        for number in range(PICTURES):
            measurement.add_lr(self.photograph(scene(number, levels), number).clamp(0, 255))
            measurement.add_content(scene(1000 + number))
        return measurement.result()


CAMERAS = {
    "sharp": Known(),
    "blurred": Known(blur=(1.0, 1.0)),
    "blurred by half a pixel": Known(blur=(0.5, 0.5)),
    "much blurred": Known(blur=(3.0, 3.0), read_noise=1.0),
    "blurred along rows": Known(blur=(1.5, 0.5)),
    "sharpened": Known(blur=(0.5, 0.5), sharpening=0.8),
    "noisy": Known(blur=(0.7, 0.7), read_noise=8.0),
    "photons": Known(blur=(0.7, 0.7), read_noise=1.0, gain=0.15),
    "coloured noise": Known(blur=(0.7, 0.7), read_noise=4.0, noise_blur=0.7),
}


@pytest.fixture(scope="module", params=CAMERAS)
def known(request: pytest.FixtureRequest) -> tuple[Known, Measured]:
    camera = CAMERAS[request.param]
    return camera, camera.measured()


def test_the_response_is_found_again(known: tuple[Known, Measured]) -> None:
    camera, measured = known
    found = transfer(measured.camera.response[0], SIDE, SIDE)
    frequency = torch.hypot(torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)[None])
    told = (frequency > 0.04) & (frequency < 0.3)
    assert float((found - camera.response())[told].abs().mean()) < 0.08


def test_directions_that_scenes_have_are_not_taken_for_the_camera_s() -> None:
    """Every scene runs along one axis, and chance has made more of them lie than stand."""
    measurement = CameraMeasurement(PICTURES, PICTURES)
    for number in range(PICTURES):
        lying, content = number % 3 > 0, scene(1000 + number)
        picture = scene(number)
        picture = picture + 0.5 * (picture.roll(1, -1 if lying else -2) - picture)
        measurement.add_lr(Known(blur=(1.0, 1.0)).photograph(picture, number).clamp(0, 255))
        measurement.add_content(content + 0.5 * (content.roll(1, -1 if number % 2 else -2) - content))
    found = transfer(measurement.result().camera.response[0], 32, 32)
    assert found[0, 1:10].numpy() == pytest.approx(found[1:10, 0].numpy(), abs=0.02)


def test_the_noise_is_found_at_every_brightness(known: tuple[Known, Measured]) -> None:
    camera, measured = known
    for level, deviation in measured.noise:
        true = (camera.read_noise**2 + camera.gain * level) ** 0.5
        assert deviation == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("name", ["photons", "noisy"])
@pytest.mark.parametrize("level", [16, 240])
def test_noise_goes_on_at_brightnesses_without_flat_places(name: str, level: int) -> None:
    camera = CAMERAS[name]

    def deviation(level: float) -> float:
        return float((camera.read_noise**2 + camera.gain * level) ** 0.5)

    strength = camera.measured(levels=(80, 170)).camera.strength[0]
    found = float(strength[round(level / 255 * (KNOTS - 1))])
    assert found == pytest.approx(deviation(level), abs=0.2 * deviation(125))


def test_drawings_in_black_and_white_give_a_finite_camera() -> None:
    """Their flat windows are at 0 and at 255 exactly, where no noise goes on."""
    measurement, draw = CameraMeasurement(6, 6), torch.Generator().manual_seed(0)
    for _ in range(6):
        drawing = torch.zeros(3, SIDE, SIDE)
        drawing[:, :, 128:] = 255
        drawing[:, :96, 64:128] = 255 * (torch.rand(96, 64, generator=draw) > 0.5)
        drawing[:, 96:, 64:128] = 255 * (torch.rand(64, generator=draw) > 0.5)
        measurement.add_lr(drawing)
        measurement.add_content(drawing)
    camera = measurement.result().camera
    assert all(values.isfinite().all() for values in vars(camera).values())


def test_the_noise_is_found_in_small_flat_places() -> None:
    """Flat places of 24 pixels in texture, too small for a window of 32."""
    camera, measurement = Known(blur=(0.7, 0.7), read_noise=3.0), CameraMeasurement(PICTURES, PICTURES)

    def with_small_places(seed: int) -> Tensor:
        return small_places * scene(seed).mean() + (1 - small_places) * textured(seed)

    places = torch.zeros(SIDE // 48, 48)
    places[:, :24] = 1
    small_places = torch.outer(places.flatten(), places.flatten())
    for number in range(PICTURES):
        measurement.add_lr(camera.photograph(with_small_places(number), number).clamp(0, 255))
        measurement.add_content(with_small_places(1000 + number))
    for _, deviation in measurement.result().noise:
        assert deviation == pytest.approx(camera.read_noise, rel=0.15)


def test_coloured_noise_has_its_colour() -> None:
    noise = CAMERAS["coloured noise"].measured().camera.noise
    response = transfer(noise[0, 0], 32, 32)
    assert float(response[0, 12] / response[0, 6]) == pytest.approx(
        np.exp(-2 * (np.pi * 0.7) ** 2 * ((12 / 32) ** 2 - (6 / 32) ** 2)), rel=0.2
    )


def detail_of(picture: Tensor) -> Tensor:
    return fine_detail(opponent_colours(picture[None])[:, :1])[0]


def test_detail_that_no_smooth_response_passes_is_noise_in_textured_places() -> None:
    camera, measurement = Known(end=0.3, read_noise=1.0), CameraMeasurement(PICTURES, PICTURES)
    photographs, contents = [], [scene(1000 + number) for number in range(PICTURES)]
    for number in range(PICTURES):
        picture = scene(number)
        white = torch.randn(1, SIDE, SIDE, generator=torch.Generator().manual_seed(5000 + number))
        added = 0.3 * (detail_of(picture) / 3).sqrt() * white  # of R, G and B alike: 0.3 of brightness
        photographs.append((camera.photograph(picture, number) + added).round().clamp(0, 255))
        measurement.add_lr(photographs[-1])
        measurement.add_content(contents[number])
    found = measurement.result().camera
    assert 0.15 < float(found.texture[0]) < 0.32  # as much as is told, and no more than there is
    high = slice(round(0.35 * SIDE), SIDE // 2)
    power = [
        torch.fft.rfft2(opponent_colours(torch.stack(side))[:, 0])[:, 0, high].abs().square().mean(0)
        for side in (photographs, contents)
    ]
    as_if_all_were_the_picture = (power[0] / power[1]).sqrt()
    true = camera.response()[0, high]
    error = transfer(found.response[0], SIDE, SIDE)[0, high] - true
    assert float(error.abs().mean()) < 0.5 * float((as_if_all_were_the_picture - true).mean())


def test_a_smooth_camera_has_hardly_any_noise_of_texture(known: tuple[Known, Measured]) -> None:
    """Less than a tenth of the noise's variance."""
    camera = known[1].camera
    detail = torch.stack([detail_of(scene(2000 + number)) for number in range(PICTURES)]).mean()
    of_texture, of_flat = camera.texture.square() * detail, camera.strength.square().mean(1)
    assert (of_texture < 0.1 * of_flat).all()


def coherence(pictures: list[Tensor]) -> Tensor:
    """Of brightness with each difference of colours, from 0.15 to 0.35 cycles per pixel: (2,)."""
    frequency = torch.hypot(torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)[None])
    band = (frequency > 0.15) & (frequency < 0.35)
    spectra = torch.fft.rfft2(opponent_colours(torch.stack(pictures)))[..., band]
    cross = torch.einsum("bif,bjf->ij", spectra, spectra.conj()).real
    return cross[0, 1:] / (cross[0, 0] * cross.diagonal()[1:]).sqrt()


def seen(camera: Camera, contents: list[Tensor]) -> list[Tensor]:
    """Contents as a camera sees them, without its noise."""
    matrix = response_matrix(camera.response, camera.crosstalk)
    colours = filtered(opponent_colours(torch.stack(contents)), matrix)
    return list(opponent_colours(colours, inverse=True))


def test_brightness_adds_to_the_colours_what_it_adds_in_the_photographs() -> None:
    camera, measurement = Known(blur=(0.5, 0.5), read_noise=1.0), CameraMeasurement(PICTURES, PICTURES)
    leak = torch.tensor([0.0, 0.15, -0.1]).view(3, 1, 1)

    def leaking(picture: Tensor) -> Tensor:
        brightness = opponent_colours(picture[None])[0, :1]
        detail = brightness - gaussian_blur(brightness[None], 1.0)[0]
        return picture + opponent_colours((leak * detail)[None], inverse=True)[0]

    for number in range(PICTURES):
        measurement.add_lr(camera.photograph(leaking(scene(number)), number).clamp(0, 255))
        measurement.add_content(scene(1000 + number))
    found = measurement.result().camera
    others = [scene(2000 + number) for number in range(PICTURES)]
    true = coherence([leaking(other) for other in others])
    assert float((coherence(others) - true).abs().min()) > 0.2
    torch.testing.assert_close(coherence(seen(found, others)), true, atol=0.1, rtol=0)


def test_a_camera_without_crosstalk_leaves_the_coherence_of_colours(known: tuple[Known, Measured]) -> None:
    """What chance makes of it is small."""
    camera = known[1].camera
    others = [scene(2000 + number) for number in range(PICTURES)]
    torch.testing.assert_close(coherence(seen(camera, others)), coherence(others), atol=0.1, rtol=0)


def test_a_sound_measurement_has_no_doubts() -> None:
    assert not CAMERAS["blurred"].measured().doubts


def test_scenes_of_other_contrast_are_doubted() -> None:
    measurement = CameraMeasurement(PICTURES, PICTURES)
    for number in range(PICTURES):
        measurement.add_lr(scene(number))
        measurement.add_content(128 + (scene(1000 + number) - 128) / 3)
    (doubt,) = (doubt for doubt in measurement.result().doubts if "scenes differ" in doubt)
    assert 2.5 < float(re.findall(r"LR photographs have ([\d.]+) times the contrast", doubt)[0]) < 3.5


@pytest.mark.parametrize("plain", [("LR",), ("HR",), ("LR", "HR")])
@pytest.mark.parametrize("level", [0.0, 77.0, 255.0])
def test_photographs_without_detail_are_named_and_no_ratio_is_told(
    plain: tuple[str, ...], level: float
) -> None:
    measurement = CameraMeasurement(2, 2)
    for number in range(2):
        grey = torch.full((3, 96, 96), level)
        measurement.add_lr(grey if "LR" in plain else scene(number))
        measurement.add_content(grey if "HR" in plain else scene(1000 + number))
    doubts = measurement.result().doubts
    assert any(doubt.startswith(f"the {' and '.join(plain)} photographs show nothing") for doubt in doubts)
    assert not any("times the contrast" in doubt for doubt in doubts)


def test_enlarged_photographs_are_doubted() -> None:
    measurement = CameraMeasurement(PICTURES, PICTURES)
    for number in range(PICTURES):
        small = Known(read_noise=3.0).photograph(scene(number), number)[None]
        enlarged = torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic")
        measurement.add_lr(enlarged[0].round().clamp(0, 255))
        measurement.add_content(scene(1000 + number))
    assert any("enlarged" in doubt for doubt in measurement.result().doubts)


@pytest.mark.parametrize("side", ["lr", "content"])
def test_nothing_to_measure_is_named(side: str) -> None:
    measurement = CameraMeasurement(1, 1)
    (measurement.add_content if side == "lr" else measurement.add_lr)(scene(0))
    with pytest.raises(ValueError, match=f"{side}: expected"):
        measurement.result()


def test_clipped_photographs_are_doubted() -> None:
    measurement = CameraMeasurement(1, 1)
    measurement.add_lr(torch.full((3, 64, 64), 255.0))
    measurement.add_content(scene(0))
    assert any("flat places" in doubt for doubt in measurement.result().doubts)


def symmetric_kernels(seed: int) -> Tensor:
    noise = torch.randn(3, 3, 7, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise = noise + noise.transpose(0, 1)
    noise = noise + noise.flip(-1)
    return 0.02 * (noise + noise.flip(-2)) + diagonal(
        torch.nn.functional.pad(torch.ones(3, 1, 1, dtype=torch.float64), (3, 3, 3, 3))
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (4, 3), (16, 9)])
def test_a_filter_is_undone_by_its_inverse(size: tuple[int, int]) -> None:
    images, kernels = torch.randn(2, 3, *size, dtype=torch.float64), symmetric_kernels(0)
    back = filtered(filtered(images, kernels), kernels, inverse=True)
    torch.testing.assert_close(back, images)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 3)])
def test_the_log_determinant_of_a_filter_is_that_of_its_matrix(size: tuple[int, int]) -> None:
    kernels = symmetric_kernels(1)
    basis = torch.eye(3 * size[0] * size[1], dtype=torch.float64).view(-1, 3, *size)
    matrix = filtered(basis, kernels).flatten(1)
    expected = torch.linalg.slogdet(matrix).logabsdet
    torch.testing.assert_close(filter_log_det(kernels, *size), expected)


def test_strength_is_interpolated_between_the_knots() -> None:
    strength = torch.arange(float(KNOTS)).expand(3, KNOTS)
    brightness = torch.tensor([-5.0, 0.0, 127.5, 135.46875, 255.0, 300.0]).view(1, 1, 1, -1)
    found = strength_at(strength, brightness)[0, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 8.0, 8.5, 16.0, 16.0]))


def test_the_identity_leaves_pictures_alone() -> None:
    images = opponent_colours(torch.rand(1, 3, 20, 24))
    torch.testing.assert_close(filtered(images, diagonal(Camera.identity().response)), images)


def test_shapes_are_checked_by_name() -> None:
    camera = Camera.identity()
    with pytest.raises(ValueError, match=r"strength: expected the shape \(3, 17\)"):
        Camera(camera.response, camera.noise, torch.ones(3, KNOTS + 1))
    assert camera.response.shape == (3, TAPS, TAPS)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (16, 9)])
def test_flat_places_have_no_fine_detail(size: tuple[int, int]) -> None:
    flat = torch.full((2, 1, *size), 0.7, dtype=torch.float64)
    torch.testing.assert_close(fine_detail(flat), torch.zeros_like(flat))


@given(seed=st.integers(0, 99))
def test_fine_detail_is_that_of_its_place(seed: int) -> None:
    """A change is felt up to 6 pixels away, less than a kernel's 16: tiles agree."""
    image = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(seed))
    changed = image.clone()
    changed[..., 12] += 1
    differs = (fine_detail(changed) - fine_detail(image)).abs()[0, 0].amax(0) > 1e-6
    assert differs[12] and not differs[:6].any() and not differs[19:].any()


@given(value=st.floats(-1.5, 1.5))
def test_flat_places_take_in_what_they_show(value: float) -> None:
    flat = torch.full((1, 3, 8, 8), value)
    torch.testing.assert_close(integrated(flat, torch.tensor(APERTURE)), flat)


@given(seed=st.integers(0, 99))
def test_a_mean_of_light_is_no_darker_than_that_of_values(seed: int) -> None:
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    assert float((integrated(images, torch.tensor(APERTURE)) - images).min()) > -1e-5


def test_a_fine_grid_looks_as_bright_as_its_light() -> None:
    """Half black and half white look like 188 of 255, not 128: pixels see a share of their neighbours."""
    grid = torch.tensor([-1.0, 1.0]).repeat(8).expand(1, 3, 16, 16)
    seen = integrated(grid, torch.tensor(0.25))  # both neighbours together as much as the pixel itself
    assert float((seen - grid).mean()) * 127.5 == pytest.approx(187.5 - 127.5, abs=1)


def test_each_image_has_the_aperture_of_its_camera() -> None:
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    seen = integrated(images, torch.tensor([0.0, APERTURE]))
    torch.testing.assert_close(seen[:1], images[:1])
    torch.testing.assert_close(seen[1:], integrated(images[1:], torch.tensor(APERTURE)))
