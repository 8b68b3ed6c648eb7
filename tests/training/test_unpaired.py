"""Training crops: a batch depends on files, seed and step alone, and every usable picture is used."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sdflow.errors import SDFlowError
from sdflow_data.images.reading import read_picture
from sdflow_data.training.crops import UnpairedCrops

SCALE, PATCH, BATCH = 2, 16, 6


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """HR pictures of 40x56 in greens up to 127, LR pictures of 24x30 from 128 up."""
    generator = np.random.default_rng(0)
    hr, lr = tmp_path / "hr", tmp_path / "lr"
    for folder, size, low in ((hr, (40, 56, 3), 0), (lr, (24, 30, 3), 128)):
        folder.mkdir()
        for name in ("a.png", "b.png", "c.png"):
            Image.fromarray(generator.integers(low, low + 128, size, dtype=np.uint8)).save(folder / name)
    return hr, lr


def crops(folders: tuple[Path, Path], **changes: int) -> UnpairedCrops:
    settings = {"scale": SCALE, "patch_size": PATCH, "batch_size": BATCH, "seed": 7, **changes}
    return UnpairedCrops([folders[0]], [folders[1]], **settings)


def equal(a: tuple[torch.Tensor, torch.Tensor], b: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_a_batch_holds_crops_of_both_sides_in_the_stated_shapes(folders: tuple[Path, Path]) -> None:
    hr, lr = crops(folders).batch(0)
    assert hr.shape == (BATCH, 3, PATCH, PATCH) and lr.shape == (BATCH, 3, PATCH // SCALE, PATCH // SCALE)
    assert hr.dtype == lr.dtype == torch.uint8
    assert hr.max() < 128 <= lr.min()


def test_a_batch_does_not_depend_on_what_was_read_before(folders: tuple[Path, Path]) -> None:
    source = crops(folders)
    straight = [source.batch(step) for step in range(5)]
    assert all(equal(crops(folders).batch(step), straight[step]) for step in (4, 0, 2))


def test_other_steps_and_other_seeds_give_other_batches(folders: tuple[Path, Path]) -> None:
    first = crops(folders).batch(0)
    assert not equal(crops(folders).batch(1), first)
    assert not equal(crops(folders, seed=8).batch(0), first)


def test_the_ranks_together_hold_the_batch_of_one_process(folders: tuple[Path, Path]) -> None:
    alone = crops(folders).batch(3)
    shares = [crops(folders, rank=rank, world_size=3).batch(3) for rank in range(3)]
    together = tuple(torch.cat([share[side] for share in shares]) for side in (0, 1))
    assert equal(alone, (together[0], together[1]))


def test_batches_made_ahead_by_threads_are_the_same(folders: tuple[Path, Path]) -> None:
    source = crops(folders)
    ahead = list(islice(source.batches(start=2, ahead=3, workers=4), 12))
    assert all(equal(made, source.batch(2 + n)) for n, made in enumerate(ahead))


ALL_BYTES = 3 * 3 * (40 * 56 + 24 * 30)
"""Of the decoded pictures of both folders."""


def test_crops_of_pictures_that_fit_in_memory_are_those_they_have_always_been(
    folders: tuple[Path, Path],
) -> None:
    """A training that was begun earlier goes on with the crops that it would have had."""
    batch = crops(folders, cache_bytes=ALL_BYTES).batch(5)
    assert [int(side.sum()) for side in batch] == [295304, 220136]


def test_a_cache_too_small_for_one_picture_works_and_depends_on_nothing_before(
    folders: tuple[Path, Path],
) -> None:
    source = crops(folders, cache_bytes=1000)
    straight = [source.batch(step) for step in range(20)]
    assert all(equal(crops(folders, cache_bytes=1000).batch(step), straight[step]) for step in (19, 0, 7))


def test_beyond_memory_the_ranks_still_hold_the_batch_of_one_process(folders: tuple[Path, Path]) -> None:
    alone = crops(folders, cache_bytes=1000).batch(3)
    shares = [crops(folders, cache_bytes=1000, rank=rank, world_size=3).batch(3) for rank in range(3)]
    together = tuple(torch.cat([share[side] for share in shares]) for side in (0, 1))
    assert equal(alone, (together[0], together[1]))


def test_beyond_memory_few_pictures_are_decoded_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side, size in (("hr", PATCH), ("lr", PATCH // SCALE)):
        (tmp_path / side).mkdir()
        for level in range(60):
            Image.new("RGB", (size, size), (level, level, level)).save(tmp_path / side / f"{level}.png")
    budget = BATCH * 3 * (PATCH**2 + (PATCH // SCALE) ** 2)
    source = crops((tmp_path / "hr", tmp_path / "lr"), cache_bytes=budget)
    decoded: list[Path] = []
    monkeypatch.setattr(
        "sdflow_data.training.crops.read_picture", lambda path: decoded.append(path) or read_picture(path)
    )
    source.batch(0)
    a_step, seen = [], set()
    for step in range(1, 161):
        decoded.clear()
        seen.update(source.batch(step)[0][:, 0, 0, 0].tolist())
        a_step.append(len(decoded))
    assert sum(a_step) <= 2 * BATCH * 160 / 16
    assert max(a_step) <= 2
    assert len(seen) > 30


def test_the_cache_keeps_to_its_budget(folders: tuple[Path, Path]) -> None:
    budget = 2 * 40 * 56 * 3
    source = crops(folders, cache_bytes=budget)
    for step in range(40):
        source.batch(step)
        held = source._sides[0]._cache._pictures.values()
        assert 0 < sum(picture.nbytes for picture in held) <= budget


def test_every_crop_is_a_window_of_its_picture_upright_turned_by_half_or_mirrored(tmp_path: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    for side in ("hr", "lr"):
        (tmp_path / side).mkdir()
        Image.fromarray(picture).save(tmp_path / side / "a.png")
    source = crops((tmp_path / "hr", tmp_path / "lr"), batch_size=64)
    windows = {
        picture[::up, ::left][y : y + PATCH, x : x + PATCH].tobytes(): (up, left)
        for up in (1, -1)
        for left in (1, -1)
        for y in range(5)
        for x in range(5)
    }
    taken = [windows[crop.tobytes()] for crop in source.batch(0)[0].permute(0, 2, 3, 1).numpy()]
    assert set(taken) == {(1, 1), (1, -1), (-1, 1), (-1, -1)}


def test_all_pictures_are_drawn_about_equally_often(tmp_path: Path) -> None:
    for side, size in (("hr", (40, 40)), ("lr", (20, 20))):
        (tmp_path / side).mkdir()
        for level in range(5):
            Image.new("RGB", size, (level, level, level)).save(tmp_path / side / f"{level}.png")
    hr, lr = crops((tmp_path / "hr", tmp_path / "lr"), batch_size=500).batch(0)
    for drawn in (hr[:, 0, 0, 0], lr[:, 0, 0, 0]):
        counts = torch.bincount(drawn.long(), minlength=5)
        assert counts.min() > 70 and counts.max() < 130
    assert not torch.equal(hr[:, 0, 0, 0], lr[:, 0, 0, 0])


def test_unusable_pictures_are_listed_and_the_rest_goes_on(folders: tuple[Path, Path]) -> None:
    (folders[0] / "text.png").write_text("no picture")
    Image.new("RGB", (PATCH - 1, 100)).save(folders[0] / "narrow.png")
    source = crops(folders)
    reasons = {path.name: reason for path, reason in source.skipped}
    assert reasons.keys() == {"text.png", "narrow.png"}
    assert reasons["narrow.png"] == "expected at least 16x16 pixels, found 15x100"
    assert source.hr_pictures == source.lr_pictures == 3
    source.batch(0)


def test_a_picture_that_cannot_be_decoded_is_listed_and_drawn_around(folders: tuple[Path, Path]) -> None:
    data = (folders[0] / "b.png").read_bytes()
    (folders[0] / "b.png").write_bytes(data[: len(data) // 2])
    source = crops(folders)
    met_early = [source.batch(step) for step in range(6)]
    assert [path.name for path, _ in source.skipped] == ["b.png"] and source.hr_pictures == 2
    assert all(equal(crops(folders).batch(step), met_early[step]) for step in (5, 3, 1))


def test_pictures_of_several_folders_are_drawn(folders: tuple[Path, Path]) -> None:
    both = UnpairedCrops(folders, [folders[1]], scale=SCALE, patch_size=PATCH, batch_size=32, seed=0)
    assert both.hr_pictures == 6
    hr, _ = both.batch(0)
    assert hr.amax((1, 2, 3)).lt(128).any() and hr.amax((1, 2, 3)).ge(128).any()


@pytest.mark.parametrize("side, size", [(0, PATCH), (1, PATCH // SCALE)])
def test_no_picture_large_enough_names_the_folder_and_the_size(
    side: int, size: int, folders: tuple[Path, Path]
) -> None:
    for path in folders[side].iterdir():
        Image.new("RGB", (size - 1, size)).save(path)
    with pytest.raises(SDFlowError, match=rf"{folders[side].name}: expected .*at least {size}x{size}"):
        crops(folders)


def test_all_pictures_damaged_is_one_clear_error(folders: tuple[Path, Path]) -> None:
    for path in folders[1].iterdir():
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SDFlowError, match=r"lr: expected pictures .*found none among 3"):
        crops(folders).batch(0)


@pytest.mark.parametrize("wrong", [{"patch_size": 15}, {"batch_size": 5, "world_size": 2}])
def test_sizes_that_do_not_divide_are_named(wrong: dict[str, int], folders: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        crops(folders, **wrong)
