"""Folders of several cameras: they are found, measured and drawn as often as they are there."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from sdflow.camera import transfer
from sdflow.checkpoint import save_checkpoint
from sdflow.errors import SDFlowError
from sdflow.model import SDFlow
from sdflow.resample import quantise, to_levels
from sdflow_data.images.writing import encode_png
from sdflow_data.inspection.photographs import survey
from sdflow_data.models.cameras import CAMERAS_KEY, ModelCamera
from sdflow_data.models.likeness import likeness
from sdflow_data.models.measured import in_words as words_of_model
from sdflow_data.models.measured import load_cameras
from sdflow_data.models.simulated_camera import SimulatedCamera
from sdflow_data.training.before_codec import before_codec
from sdflow_data.training.camera import FolderCameras, GroupCamera, measure_cameras
from sdflow_data.training.camera_sheet import draw_cameras, in_words
from sdflow_data.training.presets import preset_architecture

SHARP = SimulatedCamera(blur_sigma=1.0, poisson_gain=0, read_noise=1.5, strength=(1.0, 1.0), jpeg_quality=90)
CAMERAS = {
    "sharp": SHARP,
    "soft": replace(SHARP, blur_sigma=4.0, read_noise=3, jpeg_quality=None),
    "noisy": replace(SHARP, read_noise=9, jpeg_quality=None),
}
COUNTS = {"sharp": 10, "soft": 6, "noisy": 4}


def scene(number: int) -> np.ndarray:
    """Half of it a plain surface of one of six brightnesses."""
    whole = (skimage.data.astronaut, skimage.data.coffee, skimage.data.chelsea)[number % 3]()
    top, left = 4 * (number // 3), 10 * (number // 3)
    cut = np.ascontiguousarray(whole[top : top + 256, left : left + 256])
    cut[:, :128] = 40 + 30 * (number % 6)
    return cut


def photograph(folder: Path, name: str, numbers: range) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        (folder / f"{name}{number}.png").write_bytes(encode_png(CAMERAS[name](scene(number), number)))


def grey_noise(levels: np.ndarray) -> float:
    return float(levels.mean(axis=2).std())


@pytest.fixture(scope="module")
def hr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hr")
    for number in range(40, 52):
        Image.fromarray(scene(number)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def model() -> SDFlow:
    return SDFlow(preset_architecture("tiny", 2)).eval()


@pytest.fixture(scope="module")
def measured(hr: Path, model: SDFlow, tmp_path_factory: pytest.TempPathFactory) -> list[GroupCamera]:
    """The sharp, the soft and the noisy camera."""
    folder = tmp_path_factory.mktemp("several")
    for name, count in COUNTS.items():
        photograph(folder, name, range(count))
    found = measure_cameras([hr], [folder], model, seed=0, shown=False)
    assert (len(found.cameras), found.merged, found.measured, found.photographs) == (3, 0, 20, 20)
    return found.cameras


def test_shares_and_codecs_are_those_of_the_folder(measured: list[GroupCamera]) -> None:
    assert [camera.look.share for camera in measured] == pytest.approx([0.5, 0.3, 0.2], abs=0.1)
    sharp, *others = measured
    assert str(sharp.codec).startswith("JPEG of quality 90, 4:2:0")
    assert all(camera.codec.lossless for camera in others)


def test_each_camera_has_its_own_blur(measured: list[GroupCamera]) -> None:
    left = [float(transfer(camera.measured.camera.response[0], 64, 64)[0, 12]) for camera in measured]
    assert left[1] < 0.3 < 0.6 < min(left[0], left[2])


def test_samples_of_a_component_have_its_camera_s_noise(measured: list[GroupCamera], model: SDFlow) -> None:
    assert model.degradation_flow.camera is not None
    cameras = [before_codec(camera.measured, camera.codec, 0) for camera in measured]
    model.degradation_flow.camera.load(cameras, [camera.look.share for camera in measured])
    content, noise = torch.zeros(1, 3, 128, 128), torch.randn(1, *model.latent_shape_lr(128, 128))
    flat = np.full((256, 256, 3), 128, np.uint8)
    for k, (name, camera) in enumerate(zip(CAMERAS, measured)):
        with torch.no_grad():
            sample = quantise(to_levels(model.decode_lr(content, noise, k)))[0].permute(1, 2, 0).numpy()
        jpeg = camera.codec.draw(0)
        coded = sample if jpeg is None else jpeg.apply(sample)
        assert grey_noise(coded) == pytest.approx(grey_noise(CAMERAS[name](flat, 7)), rel=0.25)


def save(folder: Path, measured: list[GroupCamera], model: SDFlow) -> None:
    told = [ModelCamera(camera.look, camera.codec).to_json() for camera in measured]
    save_checkpoint(folder, model, {CAMERAS_KEY: told})


def test_a_folder_is_like_the_camera_that_took_it(
    measured: list[GroupCamera], model: SDFlow, tmp_path: Path
) -> None:
    save(tmp_path / "model", measured, model)
    photograph(tmp_path / "soft", "soft", range(20, 24))
    photograph(tmp_path / "mixed", "sharp", range(20, 23))
    photograph(tmp_path / "mixed", "noisy", range(20, 21))
    assert likeness(str(tmp_path / "model"), tmp_path / "soft") == ((0.0, 1.0, 0.0), [])
    assert likeness(str(tmp_path / "model"), tmp_path / "mixed")[0] == pytest.approx((0.75, 0, 0.25))


def test_every_camera_is_told_and_drawn(measured: list[GroupCamera]) -> None:
    found = FolderCameras(measured, merged=2, measured=20, photographs=500, skipped={})
    sampled, count, merged, *lines = in_words(found)
    assert sampled.startswith("Measured 20 of 500 LR photographs") and merged.startswith("2 LR photographs")
    assert "3 cameras" in count and sum(line.startswith("Camera ") for line in lines) == 3
    assert draw_cameras(measured).shape[0] == 3 * draw_cameras(measured[:1]).shape[0] + 3 * 24


def test_a_checkpoint_tells_its_cameras_as_the_training_told_them(
    measured: list[GroupCamera], model: SDFlow, tmp_path: Path
) -> None:
    model = copy.deepcopy(model)
    assert model.degradation_flow.camera is not None
    shares = [camera.look.share for camera in measured]
    model.degradation_flow.camera.load([camera.measured.camera for camera in measured], shares)
    save(tmp_path / "model", measured, model)
    told = list(in_words(FolderCameras(measured, 0, 20, 20, {})))[1:]
    found = list(words_of_model(load_cameras(tmp_path / "model")))
    assert len(found) == len(told)
    for one, other in zip(told, found):
        if "grey levels at a brightness" in one:  # the model tells it at other brightnesses
            assert noise_in(other) == pytest.approx(noise_in(one), rel=0.2)
        else:
            assert one == other


def noise_in(line: str) -> float:
    return float(np.median([float(deviation) for deviation in re.findall(r"(\S+) at \d", line)]))


def test_too_few_photographs_of_a_camera_join_another_and_damaged_ones_are_named(
    hr: Path, model: SDFlow, tmp_path: Path
) -> None:
    photograph(tmp_path, "sharp", range(8))
    photograph(tmp_path, "noisy", range(8, 10))
    whole = (tmp_path / "sharp0.png").read_bytes()
    (tmp_path / "damaged.png").write_bytes(whole[: len(whole) // 2])
    found = measure_cameras([hr], [tmp_path], model, seed=0, shown=False)
    assert (len(found.cameras), found.merged) == (1, 2)
    assert found.cameras[0].look.share == 1
    assert list(found.skipped) == [tmp_path / "damaged.png"] and found.measured == 10


def test_a_side_without_a_photograph_of_use_is_refused_with_the_reason(
    hr: Path, model: SDFlow, tmp_path: Path
) -> None:
    Image.new("RGB", (500, 20)).save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes((hr / "40.png").read_bytes()[:999])
    with pytest.raises(
        SDFlowError, match=r"LR photographs, found none of use among 2 .*32x32 .* found 500x20"
    ):
        measure_cameras([hr], [tmp_path], model, seed=0, shown=False)
    with pytest.raises(SDFlowError, match=r"HR photographs, found none of use among 2 .*64x64"):
        measure_cameras([tmp_path], [hr], model, seed=0, shown=False)


def fine_texture(number: int) -> np.ndarray:
    """Much rougher than natural scenes, next to a plain surface."""
    random = np.random.default_rng(number)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None]).clip(1 / 256)
    texture = np.fft.irfft2(np.fft.rfft2(random.normal(size=(256, 256))) / frequency**0.6, s=(256, 256))
    texture *= 35 / texture.std()
    texture[:, :96] = 0
    levels = np.clip(60 + 30 * (number % 5) + texture, 0, 255)
    return levels.astype(np.uint8)[..., None].repeat(3, axis=2)


def test_scenes_of_other_texture_are_no_other_camera(hr: Path, model: SDFlow, tmp_path: Path) -> None:
    camera = SimulatedCamera(jpeg_quality=None)
    for number in range(16):
        of_scene = camera(scene(number), number)
        (tmp_path / f"scene{number}.png").write_bytes(encode_png(of_scene))
        (tmp_path / f"texture{number}.png").write_bytes(encode_png(camera(fine_texture(number), 99 + number)))
    assert len(survey([tmp_path], workers=1).cameras) > 1  # by blur and noise of each photograph alone
    found = measure_cameras([hr], [tmp_path], model, seed=0, shown=False)
    assert len(found.cameras) == 1


@pytest.mark.parametrize("name", ["city100", "city100_native"])
def test_the_photographs_of_one_real_camera_stay_together(
    name: str, hr: Path, model: SDFlow, shared_path: Callable[[str], Path]
) -> None:
    folder = shared_path(f"data/{name}/val_lr")
    found = measure_cameras([hr], [folder], model, seed=0, shown=False)
    assert len(found.cameras) == 1
