"""The validation number of a training: what it is, and pairs that are none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sdflow.checkpoint import load_checkpoint
from sdflow.errors import SDFlowError
from sdflow.resample import bicubic_downscale, quantise, to_levels, to_unit
from sdflow_data.images.codec import Codec, Jpeg
from sdflow_data.images.reading import read_picture
from sdflow_data.images.writing import encode_png
from sdflow_data.models.degraders import load_degrader
from sdflow_data.training.validation import PICTURES, ValidationPairs, grey_psnr


def write(folder: Path, name: str, side: int, seed: int = 0) -> None:
    folder.mkdir(exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (side // 4, side // 4, 3))
    (folder / name).write_bytes(encode_png(np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for number in range(2):
        write(tmp_path / "hr", f"{number}.png", 96, number)
        write(tmp_path / "lr", f"{number}.png", 48, 10 + number)
    return tmp_path / "hr", tmp_path / "lr"


def test_one_level_of_difference_is_48_decibels() -> None:
    image = torch.full((1, 3, 40, 40), 100, dtype=torch.uint8)
    assert grey_psnr(image, image + 1) == pytest.approx(20 * np.log10(255))


def test_the_border_does_not_count() -> None:
    image = torch.full((1, 3, 40, 40), 100, dtype=torch.uint8)
    other = image.clone()
    other[..., :12, :] = 0
    assert grey_psnr(image, other) > 100


def test_bicubic_is_measured_on_the_whole_of_small_pictures(folders: tuple[Path, Path]) -> None:
    psnrs = []
    for number in range(2):
        hr, lr = (torch.from_numpy(read_picture(f / f"{number}.png")).permute(2, 0, 1)[None] for f in folders)
        psnrs.append(grey_psnr(quantise(to_levels(bicubic_downscale(to_unit(hr), 2))), lr))
    assert ValidationPairs(*folders, 2).bicubic == pytest.approx(np.mean(psnrs))


def test_a_model_is_compared_by_its_output_at_temperature_0(
    tmp_path: Path, folders: tuple[Path, Path], tiny_checkpoint: Path
) -> None:
    degrader = load_degrader(str(tiny_checkpoint), 2, "cpu", "fp32")
    weights = np.eye(len(degrader.shares))[0]  # of cameras that are all as frequent, the first
    for number in range(2):
        levels = degrader.degrade(read_picture(folders[0] / f"{number}.png"), [0], 0.0, weights).lr[0]
        output = quantise(torch.from_numpy(levels)).numpy()
        (folders[1] / f"{number}.png").write_bytes(encode_png(output))
    pairs = ValidationPairs(*folders, 2)
    assert pairs.psnr(load_checkpoint(tiny_checkpoint), "cpu", degrader.codecs) > 50 > pairs.bicubic


def test_a_model_is_compared_as_its_camera_stores_pictures(tmp_path: Path, tiny_checkpoint: Path) -> None:
    write(tmp_path / "hr", "0.png", 364)  # the crop begins at row 10 of the LR picture, off the JPEG grid
    jpeg, degrader = Jpeg.of_quality(30), load_degrader(str(tiny_checkpoint), 2, "cpu", "fp32")
    levels = degrader.degrade(read_picture(tmp_path / "hr/0.png"), [0], 0.0, np.eye(5)[0]).lr[0]
    (tmp_path / "lr").mkdir()
    (tmp_path / "lr/0.jpg").write_bytes(jpeg.encoded(quantise(torch.from_numpy(levels)).numpy()))
    pairs, model = ValidationPairs(tmp_path / "hr", tmp_path / "lr", 2), load_checkpoint(tiny_checkpoint)
    right, shifted = (
        pairs.psnr(model, "cpu", [Codec(((each, 1.0),))] * 5) for each in (jpeg, replace(jpeg, phase=(4, 4)))
    )
    assert right > 45 > max(shifted, pairs.psnr(model, "cpu", degrader.codecs))


def test_many_pairs_cost_no_more_than_a_few(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / "hr", f"{number}.png", 80)
        write(tmp_path / "lr", f"{number}.png", 40)
    assert len(ValidationPairs(tmp_path / "hr", tmp_path / "lr", 2)) == PICTURES


@pytest.mark.parametrize("side", [0, 1])
def test_a_picture_without_a_partner_is_named(folders: tuple[Path, Path], side: int) -> None:
    (folders[side] / "1.png").unlink()
    with pytest.raises(SDFlowError, match="name 1 "):
        ValidationPairs(*folders, 2)


def test_sizes_that_do_not_fit_are_told_with_the_file(folders: tuple[Path, Path]) -> None:
    with pytest.raises(SDFlowError, match=r"0.png: expected 192x192 pixels, 4 times .* found 96x96"):
        ValidationPairs(*folders, 4)
