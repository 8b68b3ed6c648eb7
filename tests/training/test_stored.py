"""In training, samples go through the codec of their camera before anything sees them."""

import numpy as np
import torch

from sdflow.resample import as_stored, quantise, to_levels
from sdflow_data.images.codec import Codec, Jpeg
from sdflow_data.training.stored import StoredByCodecs

COARSE, FINE = Jpeg.of_quality(30), Jpeg.of_quality(90, "4:4:4", (3, 5))
CODECS = (Codec(((COARSE, 1.0),)), Codec(((FINE, 0.25), (None, 0.75))))


def samples(count: int) -> torch.Tensor:
    return as_stored(torch.rand(count, 3, 32, 48) * 2 - 1)


def levels(pictures: torch.Tensor) -> np.ndarray:
    return quantise(to_levels(pictures)).permute(0, 2, 3, 1).numpy()


def test_each_sample_is_coded_as_its_camera_does_at_its_place() -> None:
    pictures = samples(4)
    uniform = torch.tensor([[0.9, 0.0, 0.0], [0.1, 0.5, 0.99], [0.2, 0.0, 0.0], [0.3, 0.0, 0.0]])
    coded = levels(StoredByCodecs(CODECS)(pictures, torch.tensor([0, 0, 1, 1]), uniform))
    before = levels(pictures)
    assert np.array_equal(coded[0], COARSE.apply(before[0]))
    assert np.array_equal(coded[1], COARSE.apply(before[1], 8, 15))
    assert np.array_equal(coded[2], FINE.apply(before[2]))
    assert np.array_equal(coded[3], before[3])


def test_settings_are_drawn_by_their_shares() -> None:
    pictures, count = samples(1).expand(200, -1, -1, -1), 200
    coded = StoredByCodecs(CODECS)(pictures, torch.ones(count, dtype=torch.long), torch.rand(count, 3))
    untouched = (coded == pictures).flatten(1).all(1).float().mean()
    assert abs(float(untouched) - 0.75) < 0.1
