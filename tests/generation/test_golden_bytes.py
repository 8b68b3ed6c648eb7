"""What must never change: the bytes of samples, and the seeds, names and keys that they are stored under."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from factory import make, write_picture
from small_recipe import RECIPE

from sdflow.noise import noise_field
from sdflow_data.dataset.identity import PatchId, sample_id, sample_seed
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.plan import Cut, PlannedPicture, shard_key
from sdflow_data.generation.run import GenerationRequest
from sdflow_data.images.reading import read_picture
from sdflow_data.models.degraders import load_degrader

SHA256 = "0123456789abcdef" * 4


def digest(lr: np.ndarray) -> str:
    return hashlib.sha256(lr.tobytes()).hexdigest()


def by_hand(picture: Path, model: str, top: int, left: int, variant: int) -> np.ndarray:
    """A sample, uint8, made alone: no plan, no shard, its seed worked out here."""
    sha256 = int(hashlib.sha256(picture.read_bytes()).hexdigest(), 16)
    seed, photograph = (
        int.from_bytes(hashlib.sha256(",".join(map(str, identity)).encode()).digest()[:8], "big") >> 1
        for identity in ([5, sha256, top, left, variant, 0], [5, sha256, variant])
    )
    hr = np.ascontiguousarray(read_picture(picture)[top : top + 32, left : left + 32])
    lr = load_degrader(model, 2, "cpu", "fp32").degrade(hr, [seed], 0.7, photographs=[photograph]).lr[0]
    return np.clip(np.rint(lr), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["classical", "bicubic", "a trained model"])
def test_a_shard_holds_the_bytes_that_each_sample_has_alone(
    name: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = str(tiny_checkpoint) if name == "a trained model" else name
    write_picture(tmp_path / "hr" / "a.png", 3, 36, 48)
    settings = {"patch_size": 32, "variants": 2, "seed": 5, "temperature": 0.7, "precision": "fp32"}
    request = GenerationRequest(model=model, scale=2, device="cpu", **settings)  # type: ignore[arg-type]
    make(tmp_path / "hr", tmp_path / "out", request)
    stored = [
        (int(row["top"]), int(row["left"]), int(row["variant"]), lr)
        for patch in read_dataset(tmp_path / "out").patches()
        for lr, (_, row) in zip(patch.lr, patch.rows.iterrows())
    ]
    alone = [by_hand(tmp_path / "hr" / "a.png", model, *place) for *place, _ in reversed(stored)]
    assert len(stored) == 8
    assert [digest(lr) for *_, lr in stored] == [digest(lr) for lr in reversed(alone)]


def test_names_and_seeds_are_those_that_were_recorded() -> None:
    patch = PatchId(SHA256, 256, 32)
    assert sample_id(patch, 3) == "0123456789abcdef-000256-000032-v03"
    assert sample_seed(5, patch, 3, 1) == 1775513592754725372


def test_latent_noise_is_that_which_was_recorded() -> None:
    field = noise_field(7, 2, 70, 3, top=60, left=0)
    np.testing.assert_allclose(field[0, 0], [0.17453948, 0.15876232, 1.3690273], rtol=1e-6)


def test_a_shard_is_asked_for_by_the_key_that_was_recorded() -> None:
    cuts = [Cut(PlannedPicture("a.png", SHA256, 600, 800, 12, 0), 2, 9)]
    key = shard_key(RECIPE, cuts, ["noise_sigma", "sharpness"])
    assert key == "6b6c6e5d15a088af395fad47e3b496c1c6bcab192440f9e1e451c2b879605f34"


@pytest.mark.parametrize(
    "change",
    [
        lambda cut: Cut(cut.picture, cut.first + 1, cut.end),
        lambda cut: Cut(cut.picture, cut.first, cut.end - 1),
        lambda cut: Cut(PlannedPicture("a.png", SHA256[::-1], 600, 800, 12, 0), cut.first, cut.end),
    ],
)
def test_the_key_tells_what_patches_are_asked_for(change: Callable[[Cut], Cut]) -> None:
    cut = Cut(PlannedPicture("a.png", SHA256, 600, 800, 12, 0), 2, 9)
    assert shard_key(RECIPE, [change(cut)], []) != shard_key(RECIPE, [cut], [])
