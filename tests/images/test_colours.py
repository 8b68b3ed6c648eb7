"""Colours: profiles are applied, at any depth, whatever else has to be done to a picture."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from sdflow_data.images.reading import read_picture

D65 = (0.3127, 0.3290, 1.0)
GAMUTS = {
    "Display P3": (0.680, 0.320, 1, 0.265, 0.690, 1, 0.150, 0.060, 1),
    "Adobe RGB": (0.640, 0.330, 1, 0.210, 0.710, 1, 0.150, 0.060, 1),
}


def profile(gamut: str, gamma: float = 2.2) -> bytes:
    made: bytes = imagecodecs.cms_profile("rgb", whitepoint=D65, primaries=GAMUTS[gamut], gamma=gamma)
    return made


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def reference(pixels: np.ndarray, source: bytes) -> np.ndarray:
    """Pillow's conversion to sRGB."""
    profiles = [ImageCms.ImageCmsProfile(io.BytesIO(data)) for data in (source, srgb())]
    mode = "L" if pixels.ndim == 2 else "RGB"
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels, mode), *profiles, outputMode="RGB"))


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("gamut", GAMUTS)
@pytest.mark.parametrize(
    "name, options",
    [
        ("a.png", {}),
        ("a.tif", {}),
        ("a.webp", {"lossless": True}),
        ("a.jpg", {"quality": 95}),
        ("a.avif", {}),
    ],
)
def test_an_embedded_profile_is_applied(
    name: str, options: dict[str, Any], gamut: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    source = profile(gamut)
    Image.fromarray(pixels).save(tmp_path / name, icc_profile=source, **options)
    with Image.open(tmp_path / name) as image:
        wanted = reference(np.asarray(image.convert("RGB")), source)
    assert np.abs(read_picture(tmp_path / name).astype(int) - wanted).max() <= 1
    assert np.abs(wanted.astype(int) - pixels).max() > 20  # it does matter


def test_an_srgb_profile_changes_nothing(pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=srgb())
    assert np.array_equal(read_picture(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("bad", [b"junk", bytes(200), srgb()[:100]], ids=["junk", "zeros", "cut"])
def test_a_damaged_profile_is_passed_over(bad: bytes, pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=bad)
    assert np.array_equal(read_picture(tmp_path / "a.png"), pixels)


def test_a_profile_of_other_channels_is_passed_over(pixels: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png", icc_profile=profile("Display P3"))
    assert np.array_equal(read_picture(tmp_path / "a.png")[..., 1], pixels[..., 0])


def test_16_bits_are_converted_before_they_are_rounded(tmp_path: Path) -> None:
    linear = profile("Adobe RGB", gamma=1.0)
    ramp = np.repeat(np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16, 1), 3, axis=2)  # the shadows
    tifffile.imwrite(tmp_path / "a.tif", ramp, photometric="rgb", iccprofile=linear)
    unit = ramp / 65535
    wanted = 255 * np.where(
        unit <= 0.0031308, 12.92 * unit, 1.055 * np.maximum(unit, 1e-9) ** (1 / 2.4) - 0.055
    )
    assert np.abs(read_picture(tmp_path / "a.tif") - wanted).max() < 1.5


def test_grey_with_a_profile(pixels: np.ndarray, tmp_path: Path) -> None:
    source = imagecodecs.cms_profile("gray", whitepoint=D65, gamma=1.0)
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png", icc_profile=source)
    assert np.abs(read_picture(tmp_path / "a.png").astype(int) - reference(pixels[..., 0], source)).max() <= 1


def test_what_is_half_transparent_is_converted_before_it_is_laid_on_white(
    pixels: np.ndarray, tmp_path: Path
) -> None:
    source = profile("Display P3")
    alpha = np.full((40, 50, 1), 128, np.uint8)
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "a.png", icc_profile=source)
    wanted = reference(pixels, source) * (128 / 255) + 255 * (127 / 255)
    assert np.abs(read_picture(tmp_path / "a.png") - wanted).max() < 1.5
