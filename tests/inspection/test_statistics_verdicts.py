"""Verdicts on sets that are known to be good, or bad in one way."""

import math
from functools import cached_property

import cv2
import numpy as np
import pandas as pd
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from sdflow_data.inspection.classifier import Areas, Classification, Effort, auc, c2st_auc, classify
from sdflow_data.inspection.single_statistics import TRACES, SingleStatistic, single_statistics
from sdflow_data.inspection.verdicts import Verdict, conclusion, overall, passed, verdicts
from sdflow_data.statistics import (
    STATISTICS,
    MMDComparison,
    bicubic_frame,
    compare_features,
    frame_of_pairs,
    frame_of_patches,
)
from sdflow_data.statistics.batch import bicubic_lr
from sdflow_data.statistics.frames import cut_patches

SIZE = 64
EMPTY = pd.DataFrame({"group": [], **{name: [] for name in STATISTICS}}, dtype=float)


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

    @cached_property
    def itself(self) -> pd.DataFrame:
        """What is measured of samples of the camera itself."""
        return frame_of_pairs(self.hr, self.samples(), self.groups)

    def answers(
        self, lr: np.ndarray | None = None, classified: Classification | None = None
    ) -> dict[str, Verdict]:
        """The verdicts on samples, or on those of the camera itself."""
        frame = self.itself if lr is None else frame_of_pairs(self.hr, lr, self.groups)
        features = compare_features(frame, self.real, self.bicubic)
        found = single_statistics(frame, self.real)
        return {v.question: v for v in verdicts(frame, self.bicubic, self.real, features, classified, found)}


@pytest.fixture(scope="module")
def sets() -> Sets:
    return Sets()


def failed(found: dict[str, Verdict]) -> set[str]:
    return {question for question, verdict in found.items() if verdict.passed is False}


def test_the_camera_itself_passes_every_verdict(sets: Sets) -> None:
    found = sets.answers()
    assert failed(found) == set()
    assert all(verdict.measures for verdict in found.values())
    assert overall(list(found.values())) >= 50
    assert {verdict.answer for verdict in found.values()} == {"yes"}
    assert passed(list(found.values())) is True


def test_bicubic_is_neither_realistic_nor_random_nor_diverse_nor_degraded(sets: Sets) -> None:
    bicubic = np.repeat(to_8_bits(bicubic_lr(sets.hr, SIZE))[:, None], 3, axis=1)
    found = sets.answers(bicubic)
    assert failed(found) == {"realistic?", "random?", "diverse?", "degraded?"}
    assert "collapsed" in conclusion(list(found.values()))


def test_noise_that_all_variants_share_is_caught(sets: Sets) -> None:
    same = np.repeat(sets.samples(variants=1), 3, axis=1)
    assert failed(sets.answers(same)) == {"random?", "diverse?"}


def test_texture_with_a_little_randomness_is_caught(sets: Sets) -> None:
    def mostly_fixed(photo: np.ndarray, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed).normal(0, 1, (128, 128, 3))
        return camera(photo, seed % 1000) + random

    assert failed(sets.answers(sets.samples(mostly_fixed))) == {"random?"}


def test_a_colour_shift_is_caught(sets: Sets) -> None:
    shifted = sets.samples(lambda photo, seed: camera(photo, seed) + np.float32([4, 0, -4]))
    assert failed(sets.answers(shifted)) == {"colour-true?"}


@pytest.mark.parametrize("off", [0.5, 1.0])
def test_a_shift_of_hr_pixels_is_caught(sets: Sets, off: float) -> None:
    move = np.array([[1, 0, off], [0, 1, 0]])

    def moved(photo: np.ndarray, seed: int) -> np.ndarray:
        cubic = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}
        return camera(cv2.warpAffine(photo.astype(np.float32), move, photo.shape[:2], **cubic), seed)

    assert failed(sets.answers(sets.samples(moved))) == {"aligned?"}


def test_too_much_noise_is_not_realistic(sets: Sets) -> None:
    assert "realistic?" in failed(sets.answers(sets.samples(lambda p, s: camera(p, s, noise=14))))


def in_colours_alone(image: np.ndarray, seed: int) -> np.ndarray:
    """A 2x2 grid: the second colour difference follows the first on even rows and opposes it on odd ones."""
    first = np.random.default_rng(seed).normal(0, 3, (*image.shape[:2], 1))
    sign = np.where(np.arange(len(image)) % 2 == 0, 1, -1)[:, None, None]
    return image + first * [1, 0, -1] + sign * first * [0.5, -1, 0.5]


def test_a_grid_of_2x2_in_colours_alone_is_caught_and_named(sets: Sets) -> None:
    found = sets.answers(sets.samples(lambda p, s: in_colours_alone(camera(p, s, noise=5), s)))
    assert failed(found) == {"realistic?"}
    assert "colour_grid" in found["realistic?"].sentence


def test_noise_at_the_wrong_places_is_caught_and_named() -> None:
    """A camera whose noise follows texture, and a generator whose noise has the same strength at other
    places."""
    sets = Sets()

    def strength(photo: np.ndarray) -> np.ndarray:
        low = bicubic_lr(photo[None].astype(np.float32), len(photo) // 2)[0].mean(axis=2)
        rough = ndimage.gaussian_filter(np.abs(low - ndimage.gaussian_filter(low, 2)), 4)
        return (0.5 + 8 * rough / (rough + 4))[..., None]

    def noisy(photo: np.ndarray, seed: int, moved: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed).normal(0, 1, (len(photo) // 2, len(photo) // 2, 3))
        return camera(photo, seed, noise=0) + np.roll(strength(photo), moved, (0, 1)) * random

    lr = [cut_patches(to_8_bits(noisy(photo, 500 + n)), SIZE, 4) for n, photo in enumerate(sets.photographs)]
    sets.real = frame_of_patches(np.concatenate(lr), sets.groups)
    assert "noise_on_texture" not in sets.answers(sets.samples(noisy))["realistic?"].sentence
    found = sets.answers(sets.samples(lambda photo, seed: noisy(photo, seed, 37)))["realistic?"]
    assert found.passed is False
    assert "noise_on_texture" in found.sentence


def test_without_real_photographs_the_rest_is_answered_and_nothing_passed(sets: Sets) -> None:
    frame = sets.itself
    answers = verdicts(frame, sets.bicubic, None)
    found = {v.question: v for v in answers}
    for question in ("realistic?", "random?"):
        assert found[question].passed is None
        assert "needs real photographs" in found[question].sentence
    assert found["aligned?"].passed
    assert passed(answers) is None
    assert "needs real photographs" in conclusion(answers)


def test_a_single_variant_leaves_randomness_open_and_is_named(sets: Sets) -> None:
    found = sets.answers(sets.samples(variants=1))
    assert found["random?"].answer == "cannot be told"
    assert math.isnan(found["random?"].score)
    assert "single" in found["random?"].sentence
    assert passed(list(found.values())) is not True


def test_photographs_without_noise_ask_for_none(sets: Sets) -> None:
    frame = frame_of_pairs(sets.hr, sets.samples(lambda p, s: camera(p, s, noise=0.3)), sets.groups)
    random = next(v for v in verdicts(frame, sets.bicubic, sets.bicubic) if v.question == "random?")
    assert random.passed


def test_what_comes_to_no_number_cannot_be_told(sets: Sets) -> None:
    frame = sets.itself
    one = sets.real.iloc[:1]
    found = verdicts(frame, sets.bicubic, one, compare_features(frame, one, sets.bicubic))
    assert (found[0].answer, found[0].measures) == ("cannot be told", ())
    assert not math.isnan(overall(found))


def classification(generated: float, bicubic: float, real: float) -> Classification:
    return Classification(*(Areas.of([area]) for area in (generated, bicubic, real)))


@pytest.mark.parametrize("area", [0.97, 0.03])
def test_an_area_below_a_half_tells_as_surely_as_one_above(sets: Sets, area: float) -> None:
    found = sets.answers(classified=classification(generated=area, bicubic=1.0, real=0.55))
    assert failed(found) == {"realistic?"}
    assert "0.97" in found["realistic?"].sentence


def test_a_classifier_that_tells_not_even_bicubic_has_no_power_and_says_so(sets: Sets) -> None:
    with_power = sets.answers(classified=classification(0.55, bicubic=0.98, real=0.55))["realistic?"]
    without = sets.answers(classified=classification(0.55, bicubic=0.56, real=0.55))["realistic?"]
    assert len(with_power.measures) == len(without.measures) + 1
    assert "no power" in without.sentence
    assert "no power" not in with_power.sentence


def test_what_no_test_has_the_power_to_tell_is_not_passed(sets: Sets) -> None:
    """Bicubic pairs against bicubic photographs: nothing is far from anything."""
    features = MMDComparison(distance=0.001, floor=0.001, ceiling=0.001)
    frame = sets.itself
    nothing = classification(0.55, 0.56, 0.55)
    single = single_statistics(sets.real, sets.real)
    answers = verdicts(frame, sets.bicubic, sets.real, features, nothing, single)
    assert answers[0].answer == "cannot be told"
    assert "power" in answers[0].sentence


def test_what_is_far_from_photographs_is_told_even_where_bicubic_is_near() -> None:
    features = MMDComparison(distance=0.5, floor=0.001, ceiling=0.001)
    assert verdicts(EMPTY, EMPTY, EMPTY, features)[0].answer == "no"


def test_a_classifier_without_the_control_decides_nothing_and_says_so(sets: Sets) -> None:
    found = sets.answers(classified=classification(0.97, bicubic=1.0, real=math.nan))["realistic?"]
    assert found.passed
    assert "AUC 0.97, which decides nothing" in found.sentence


def test_a_classifier_without_enough_photographs_has_none(sets: Sets) -> None:
    nothing = classification(math.nan, math.nan, math.nan)
    assert "classifier" not in sets.answers(classified=nothing)["realistic?"].sentence


def test_the_score_of_a_dataset_is_that_of_its_worst_verdict(sets: Sets) -> None:
    found = list(sets.answers().values())
    assert overall(found) == min(measure.score for verdict in found for measure in verdict.measures)


# Single statistics


@settings(max_examples=10)
@given(st.floats(-3, 3), st.booleans())
def test_a_number_tells_as_surely_when_samples_have_less_of_it(shift: float, more: bool) -> None:
    random = np.random.default_rng(0)
    real = pd.DataFrame({name: random.normal(size=60) for name in TRACES} | {"group": np.arange(60) // 3})
    ours = real.assign(colour_grid=real["colour_grid"] + (shift if more else -shift))
    one, other = (
        next(found for found in single_statistics(frame, real) if found.name == "colour_grid")
        for frame in (ours, real.assign(colour_grid=2 * real["colour_grid"] - ours["colour_grid"]))
    )
    assert one.auc == pytest.approx(other.auc, abs=0.02)
    assert 0.5 <= one.auc <= 1


@pytest.mark.parametrize("more", [100, -100])
def test_more_and_less_of_a_trace_than_photographs_have_are_told_alike(sets: Sets, more: float) -> None:
    real = sets.real.assign(modulation_x=sets.real["modulation_x"] + more)
    frame = sets.itself
    features = compare_features(frame, sets.real, sets.bicubic)
    answers = verdicts(frame, sets.bicubic, real, features, None, single_statistics(frame, real))
    assert answers[0].passed is False
    assert "modulation_x" in answers[0].sentence


@settings(max_examples=20)
@given(st.floats(0.5, 0.99), st.floats(0, 1))
def test_an_area_passes_half_of_the_way_to_certainty_or_to_the_floor(floor: float, way: float) -> None:
    found = SingleStatistic("colour_grid", 0.5 + way / 2, floor, more=True)
    features = MMDComparison(distance=0.1, floor=0.1, ceiling=1.0)
    answer = verdicts(EMPTY, EMPTY, EMPTY, features, None, [found])[0]
    assert answer.passed == (found.auc <= max(0.75, floor) + 1e-9)
    assert found.excess <= 1 + 1e-9 if answer.passed else found.excess > 1


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
    assert not found.at_the_bound


def test_the_mean_colour_is_hidden_from_the_classifier() -> None:
    fake, groups = noise(8, 10, 0)
    real, _ = noise(8, 10, 1)
    assert c2st_auc((fake + 30).astype(np.uint8), groups, real, groups, steps=100).auc < 0.7


def test_training_ends_when_it_learns_nothing_more() -> None:
    found = c2st_auc(*noise(8, 10, 0), *noise(8, 10, 1), steps=2000, patience=50)
    assert found.steps < 1000
    assert not found.at_the_bound


def test_the_parts_say_by_what_samples_are_told() -> None:
    """Two sets that differ in the noise of their colours between 0.3 and 0.5 cycles per pixel alone."""

    def coloured(photographs: int, seed: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        waves = np.fft.rfft2(random.normal(0, 12, (8 * photographs, 48, 48)))
        radius = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(48))
        fine = np.fft.irfft2(waves * (radius > 0.32))[..., None] * np.array(
            [0.38, 0, -1]
        )  # none of it is brightness
        grey = 128 + random.normal(0, 8, (8 * photographs, 48, 48, 3))
        return to_8_bits(grey + strength * fine), np.repeat(np.arange(photographs), 8)

    parts = c2st_auc(*coloured(10, 0, 1.5), *coloured(10, 1, 0.2), steps=100).parts
    assert max(parts, key=lambda part: parts[part]).startswith("colours, 0.3")
    assert all(abs(area - 0.5) < 0.25 for part, area in parts.items() if part.startswith("brightness"))


def test_bands_that_tell_samples_only_together_are_found() -> None:
    """Fine detail of brightness and colours has one sign in one set and opposite signs in the other."""

    def detailed(photographs: int, seed: int, sign: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        waves = np.fft.rfft2(random.normal(0, 12, (8 * photographs, 48, 48)))
        radius = np.hypot(np.fft.fftfreq(48)[:, None], np.fft.rfftfreq(48))
        fine = np.fft.irfft2(waves * (radius > 0.32))[..., None]
        grey = 128 + random.normal(0, 2, (8 * photographs, 48, 48, 3))
        of_colours = np.array([0.38, 0, -1])  # none of it is brightness
        return to_8_bits(grey + fine * (1 + sign * of_colours)), np.repeat(np.arange(photographs), 8)

    found = c2st_auc(*detailed(10, 0, 1), *detailed(10, 1, -1), steps=100)
    fine = [f"{what}, 0.3 and more cycles per pixel" for what in ("brightness", "colours")]
    assert found.auc > 0.9
    assert all(found.without[band] < 0.7 for band in fine)
    assert all(area > 0.9 for band, area in found.without.items() if band not in fine)


def test_each_split_has_its_say() -> None:
    found = classify(noise(8, 10, 0), noise(16, 10, 1), noise(8, 10, 2), Effort(25, 2, 25), workers=1)
    assert len(found.generated.values) == len(found.real.values) == 2
    assert found.generated.low <= found.generated.mean <= found.generated.high
    assert found.bicubic.mean > found.generated.mean


def test_a_test_can_be_made_again() -> None:
    sets = (*noise(8, 4, 0), *noise(9, 4, 1))
    assert c2st_auc(*sets, seed=3, steps=25) == c2st_auc(*sets, seed=3, steps=25)


def test_too_few_photographs_give_no_area() -> None:
    assert math.isnan(c2st_auc(*noise(8, 2, 0), *noise(8, 5, 1)).auc)
