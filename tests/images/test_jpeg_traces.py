"""The JPEG past of decoded pictures is found, with its place, and where there is none, none is."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from sdflow_data.images.codec import Jpeg, Subsampling, standard_tables
from sdflow_data.images.jpeg_traces import QUALITIES, estimate_jpeg, lattice_evidence


def photograph() -> np.ndarray:
    """A real photograph with a little noise, so that nothing of its own past is left."""
    noise = np.random.default_rng(0).normal(0, 2, (320, 320, 3))
    return np.clip(data.coffee()[:320, 100:420] + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [30, 60, 75, 90])
@pytest.mark.parametrize("way", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("cut", [(0, 0), (3, 13)])
def test_quality_chroma_and_place_are_found(quality: int, way: Subsampling, cut: tuple[int, int]) -> None:
    coded = Jpeg.of_quality(quality, way).apply(photograph())[cut[0] :, cut[1] :]
    found = estimate_jpeg(coded)
    assert found is not None
    assert (found.quality, found.subsampling) == (quality, way)
    assert tuple(start % 8 for start in found.phase) == tuple(-start % 8 for start in cut)


@pytest.mark.parametrize("kind", ["never", "resized", "noisy again", "flat", "tiny"])
def test_pictures_without_a_grid_show_none(kind: str) -> None:
    coded = Jpeg.of_quality(60).apply(photograph())
    picture = {
        "never": photograph(),
        "resized": np.asarray(Image.fromarray(coded).resize((270, 270), Image.Resampling.BICUBIC)),
        "noisy again": np.clip(coded + np.random.default_rng(1).normal(0, 4, coded.shape), 0, 255).astype(
            "u1"
        ),
        "flat": np.full((200, 200, 3), 90, np.uint8),
        "tiny": coded[:20, :20],
    }[kind]
    assert estimate_jpeg(picture) is None


@pytest.mark.parametrize("quality", [20, 60, 90, 98])
def test_whole_steps_speak_for_their_quality(quality: int) -> None:
    """Coefficients of whole steps, a few of zero and a few of many, against such as lie anywhere."""
    steps = np.array(standard_tables(quality)[0][1:], np.float32)
    random = np.random.default_rng(0)
    drawn = random.laplace(0, 12, (2, 64, 63)).astype(np.float32)
    drawn[0] = np.rint(drawn[0] / steps) * steps
    evidence = lattice_evidence(drawn, np.ones((2, 64), bool))
    assert QUALITIES[int(evidence[0].argmax())] == quality
    assert evidence[0].max() > 100
    assert evidence[1].max() < 10


def test_the_evidence_of_blocks_adds_up_and_those_that_do_not_count_have_none() -> None:
    drawn = np.random.default_rng(0).normal(0, 20, (3, 16, 63)).astype(np.float32)
    first = np.arange(16) < 5
    parts = [lattice_evidence(drawn, np.tile(usable, (3, 1))) for usable in (first, ~first)]
    together = lattice_evidence(drawn, np.ones((3, 16), bool))
    np.testing.assert_allclose(parts[0] + parts[1], together, rtol=1e-4, atol=1e-2)
    assert not lattice_evidence(drawn, np.zeros((3, 16), bool)).any()
    np.testing.assert_allclose(lattice_evidence(-drawn, np.ones((3, 16), bool)), together)


@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_of_clipped_pixels_alone_tells_nothing(level: int) -> None:
    assert estimate_jpeg(np.full((96, 96, 3), level, np.uint8)) is None
