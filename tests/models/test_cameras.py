"""Photographs of several cameras are parted as the cameras do, and those of one are not."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdflow_data.inspection.photographs import survey
from sdflow_data.models.cameras import LEAST_MEMBERS, CameraLook, group_photographs, nearest
from sdflow_data.models.simulated_camera import SimulatedCamera

SAME = (1.0, 1.0)  # the noise of all photographs of a camera alike
CAMERAS = {
    "sharp": SimulatedCamera(blur_sigma=1.0, poisson_gain=0, read_noise=1.5, strength=SAME, jpeg_quality=90),
    "soft": SimulatedCamera(blur_sigma=4.0, poisson_gain=0, read_noise=3, strength=SAME, jpeg_quality=None),
    "noisy": SimulatedCamera(blur_sigma=1.0, poisson_gain=0, read_noise=9, strength=SAME, jpeg_quality=None),
}
COUNTS = {"sharp": 10, "soft": 6, "noisy": 4}


def scene(number: int) -> np.ndarray:
    whole = (skimage.data.astronaut, skimage.data.coffee, skimage.data.chelsea)[number % 3]()
    top, left = 4 * (number // 3), 10 * (number // 3)
    return np.ascontiguousarray(whole[top : top + 256, left : left + 256])


def test_three_cameras_in_one_folder_are_told_apart_with_their_shares_and_noise(tmp_path: Path) -> None:
    for name, count in COUNTS.items():
        for number in range(count):
            Image.fromarray(CAMERAS[name](scene(number), number)).save(tmp_path / f"{name}{number}.png")
    found = survey([tmp_path], workers=1)
    names = np.array([photo.name.rstrip("0123456789.png") for photo in found.measured])
    groups = found.cameras
    assert len(groups) == 3
    for group, name in zip(groups, ["sharp", "soft", "noisy"]):
        assert group.look.share == pytest.approx(COUNTS[name] / 20, abs=0.1)
        assert pd.Series(names[group.members]).mode()[0][:3] == name[:3]
    sharp, soft, noisy = groups
    assert noisy.look.noise == pytest.approx(9, rel=0.2)
    assert soft.look.noise == pytest.approx(3, rel=0.25)
    assert soft.look.blur > sharp.look.blur + 0.7
    assert (sharp.look.quality, soft.look.quality) == (90, 100)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), count=st.integers(1, 60))
def test_photographs_of_one_camera_stay_together(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "blur": random.normal(1, 0.08, count),
            "noise": 3 * np.exp(random.normal(0, 0.08, count)),
            "quality": random.normal(80, 1, count),
        }
    )
    groups, _ = group_photographs(frame)
    assert groups[0].look.share >= 0.9
    assert sorted(row for group in groups for row in group.members) == list(range(count))


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), counts=st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_a_group_has_enough_photographs_to_measure_or_is_the_only_one(seed: int, counts: list[int]) -> None:
    random = np.random.default_rng(seed)
    cameras = np.repeat(np.arange(len(counts)), counts)
    frame = pd.DataFrame(
        {"blur": 0.5 + 2 * cameras, "noise": 2.0 + cameras, "quality": random.normal(80, 1, len(cameras))}
    )
    groups, merged = group_photographs(frame)
    assert sorted(row for group in groups for row in group.members) == list(range(len(cameras)))
    assert len(groups) == 1 or min(len(group.members) for group in groups) >= LEAST_MEMBERS
    assert merged <= sum(count for count in counts if count < LEAST_MEMBERS)


def test_what_could_not_be_measured_parts_nothing() -> None:
    frame = pd.DataFrame({"blur": [np.nan, 1.0, 1.0], "noise": [2.0, np.nan, 2.0], "quality": [100.0] * 3})
    assert len(group_photographs(frame)[0]) == 1
    assert len(group_photographs(frame.assign(blur=np.nan))[0]) == 1
    assert group_photographs(frame.iloc[:0]) == ([], 0)


def test_what_no_photograph_of_a_camera_tells_is_unknown_and_not_zero(tmp_path: Path) -> None:
    for number in range(5):
        small = scene(number)[:96, :96]
        Image.fromarray(CAMERAS["sharp"](small, number)).save(tmp_path / f"{number}.png")
    found = survey([tmp_path], workers=1)
    (group,) = found.cameras
    assert np.isnan(group.look.blur)
    assert "blur" not in str(group.look)
    stored = json.dumps(group.look.to_json(), allow_nan=False)
    assert str(CameraLook.from_json(json.loads(stored))) == str(group.look)
    assert nearest([group.look], found.frame).tolist() == [0] * 5
