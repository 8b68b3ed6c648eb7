"""Verdicts on sets that are known to be good, or bad in one way."""

import math

import numpy as np
import pandas as pd
import pytest
import skimage.data
from scipy import ndimage

from sdflow_data.inspection.classifier import Classification, auc, c2st_auc
from sdflow_data.inspection.verdicts import Verdict, overall, verdicts
from sdflow_data.statistics import bicubic_frame, compare_features, frame_of_pairs
from sdflow_data.statistics.batch import bicubic_lr
from sdflow_data.statistics.frames import cut_patches

SIZE = 64


def camera(photo: np.ndarray, seed: int, blur: float = 1.6, noise: float = 6) -> np.ndarray:
    """Blur, bicubic downscaling by 2 and noise: float."""
    soft = ndimage.gaussian_filter(photo.astype(np.float32), (blur, blur, 0))
    low = bicubic_lr(soft[None], len(photo) // 2)[0]
    return low + np.random.default_rng(seed).normal(0, noise, low.shape)


def to_8_bits(image: np.ndarray) -> np.ndarray:
    return np.rint(image).clip(0, 255).astype(np.uint8)


def squares(photographs: list[np.ndarray]) -> list[np.ndarray]:
    """256x256 pieces, each counting as a photograph."""
    return [
        np.ascontiguousarray(photo[top : top + 256, left : left + 256])
        for photo in photographs
        for top in range(0, photo.shape[0] - 255, 256)
        for left in range(0, photo.shape[1] - 255, 256)
    ]


class Sets:
    """HR patches of some photographs, and LR of others through a camera."""

    def __init__(self) -> None:
        left, _, _ = skimage.data.stereo_motorcycle()
        self.photographs = squares([skimage.data.astronaut(), skimage.data.rocket(), left])
        others = squares([skimage.data.coffee(), skimage.data.chelsea(), skimage.data.immunohistochemistry()])
        self.hr = np.concatenate([cut_patches(photo, 2 * SIZE, 4) for photo in self.photographs])
        self.groups = np.repeat(np.arange(len(self.photographs)), 4)
        real = [cut_patches(to_8_bits(camera(photo, 100 + n)), SIZE, 4) for n, photo in enumerate(others)]
        self.real = pd.concat(
            [frame_of_pairs(np.zeros((4, 2 * SIZE, 2 * SIZE, 3), np.uint8), lr[:, None]) for lr in real]
        ).assign(group=np.repeat(np.arange(len(real)), 4))
        self.bicubic = bicubic_frame(self.hr, SIZE, self.groups)

    def samples(self, degrade=camera, variants: int = 3) -> np.ndarray:
        """(N, K, 64, 64, 3)."""
        return np.stack(
            [
                np.concatenate(
                    [
                        cut_patches(to_8_bits(degrade(photo, 1000 * k + n)), SIZE, 4)
                        for n, photo in enumerate(self.photographs)
                    ]
                )
                for k in range(variants)
            ],
            axis=1,
        )

    def judge(self, lr: np.ndarray, classified: Classification | None = None) -> dict[str, Verdict]:
        frame = frame_of_pairs(self.hr, lr, self.groups)
        features = compare_features(frame, self.real, self.bicubic)
        return {v.question: v for v in verdicts(frame, self.bicubic, self.real, features, classified)}


@pytest.fixture(scope="module")
def sets() -> Sets:
    return Sets()


def failed(found: dict[str, Verdict]) -> set[str]:
    return {question for question, verdict in found.items() if verdict.passed is False}


def test_the_camera_itself_passes_every_verdict(sets: Sets) -> None:
    found = sets.judge(sets.samples())
    assert failed(found) == set()
    assert all(verdict.measures for verdict in found.values())
    assert overall(list(found.values())) >= 50
    assert found["collapsed?"].answer == "no"
    assert found["realistic?"].answer == "yes"


def test_bicubic_is_neither_realistic_nor_random_nor_diverse_and_collapsed(sets: Sets) -> None:
    bicubic = np.repeat(to_8_bits(bicubic_lr(sets.hr, SIZE))[:, None], 3, axis=1)
    found = sets.judge(bicubic)
    assert failed(found) == {"realistic?", "random?", "diverse?", "collapsed?"}
    assert found["collapsed?"].answer == "yes"


def test_noise_that_all_variants_share_is_caught(sets: Sets) -> None:
    same = np.repeat(sets.samples(variants=1), 3, axis=1)
    assert failed(sets.judge(same)) == {"random?", "diverse?", "collapsed?"}


def test_texture_with_a_little_randomness_is_caught(sets: Sets) -> None:
    def mostly_fixed(photo: np.ndarray, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed).normal(0, 1, (128, 128, 3))
        return camera(photo, seed % 1000) + random

    assert failed(sets.judge(sets.samples(mostly_fixed))) == {"random?"}


def test_a_colour_shift_is_caught(sets: Sets) -> None:
    shifted = sets.samples(lambda photo, seed: camera(photo, seed) + np.float32([4, 0, -4]))
    assert failed(sets.judge(shifted)) == {"colour-true?"}


@pytest.mark.parametrize("off", [0.5, 1.0])
def test_a_shift_of_hr_pixels_is_caught(sets: Sets, off: float) -> None:
    moved = sets.samples(
        lambda photo, seed: camera(ndimage.shift(photo.astype(np.float32), (0, off, 0), mode="nearest"), seed)
    )
    assert failed(sets.judge(moved)) == {"aligned?"}


def test_too_much_noise_is_not_realistic(sets: Sets) -> None:
    assert "realistic?" in failed(sets.judge(sets.samples(lambda p, s: camera(p, s, noise=14))))


def test_without_real_photographs_the_rest_is_judged(sets: Sets) -> None:
    frame = frame_of_pairs(sets.hr, sets.samples(), sets.groups)
    found = {v.question: v for v in verdicts(frame, sets.bicubic, None)}
    assert found["realistic?"].passed is None
    assert "--real" in found["realistic?"].sentence
    assert found["random?"].passed
    assert found["aligned?"].passed


def test_a_single_variant_leaves_randomness_open(sets: Sets) -> None:
    found = sets.judge(sets.samples(variants=1))
    assert found["random?"].answer == "cannot be told"
    assert math.isnan(found["random?"].score)
    assert not math.isnan(overall(list(found.values())))


def test_what_comes_to_no_number_cannot_be_told(sets: Sets) -> None:
    frame = frame_of_pairs(sets.hr, sets.samples(), sets.groups)
    one = sets.real.iloc[:1]
    found = verdicts(frame, sets.bicubic, one, compare_features(frame, one, sets.bicubic))
    assert (found[0].answer, found[0].measures) == ("cannot be told", ())
    assert not math.isnan(overall(found))


def test_the_classifier_has_a_say(sets: Sets) -> None:
    found = sets.judge(sets.samples(), Classification(generated=0.97, bicubic=1.0, real=0.55))
    assert failed(found) == {"realistic?"}
    assert "0.97" in found["realistic?"].sentence


def test_a_classifier_without_enough_photographs_has_none(sets: Sets) -> None:
    nothing = Classification(generated=math.nan, bicubic=math.nan, real=math.nan)
    assert "classifier" not in sets.judge(sets.samples(), nothing)["realistic?"].sentence


def test_the_score_of_a_dataset_is_that_of_its_worst_verdict(sets: Sets) -> None:
    found = list(sets.judge(sets.samples()).values())
    assert overall(found) == min(measure.score for verdict in found for measure in verdict.measures)


# The classifier


def test_the_area_under_the_curve_counts_pairs() -> None:
    assert auc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == (1 + 1 + 0.5 + 0) / 4


def noise(sigma: float, photographs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    drawn = 128 + random.normal(0, sigma, (8 * photographs, 24, 24, 3))
    return to_8_bits(drawn), np.repeat(np.arange(photographs), 8)


def test_sets_of_one_law_cannot_be_told_apart() -> None:
    found = c2st_auc(*noise(8, 50, 0), *noise(8, 50, 1), steps=25)
    assert 0.35 < found.auc < 0.65


def scenes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Patches of ten scenes, each of its own contrast and grain; seeds differ in the patches alone."""
    random = np.random.default_rng(seed)
    patches = [
        np.kron(
            random.normal(0, 10 + 5 * scene, (12, 24 // size, 24 // size, 3)), np.ones((1, size, size, 1))
        )
        for scene, size in enumerate((1, 2, 3, 4, 6, 1, 2, 3, 4, 6))
    ]
    return to_8_bits(128 + np.concatenate(patches)), np.repeat(np.arange(10), 12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scenes_that_both_sets_show_do_not_make_the_classifier_wrong(seed: int) -> None:
    assert 0.35 < c2st_auc(*scenes(0), *scenes(1), seed=seed, steps=50).auc < 0.65


def test_sets_of_two_laws_are_told_apart_on_photographs_held_out() -> None:
    found = c2st_auc(*noise(8, 10, 0), *noise(16, 10, 1), steps=100)
    assert found.auc > 0.95
    assert found.tested == 2 * 2 * 8


def test_the_mean_colour_is_hidden_from_the_classifier() -> None:
    fake, groups = noise(8, 10, 0)
    real, _ = noise(8, 10, 1)
    assert c2st_auc((fake + 30).astype(np.uint8), groups, real, groups, steps=100).auc < 0.7


def test_a_test_can_be_made_again() -> None:
    sets = (*noise(8, 4, 0), *noise(9, 4, 1))
    assert c2st_auc(*sets, seed=3, steps=25) == c2st_auc(*sets, seed=3, steps=25)


def test_too_few_photographs_give_no_area() -> None:
    assert math.isnan(c2st_auc(*noise(8, 2, 0), *noise(8, 5, 1)).auc)
