"""Degraders: an LR sample is a function of the HR picture and its own seed, and of nothing else."""

import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from laws import randomise
from PIL import Image

from sdflow.checkpoint import save_checkpoint
from sdflow.errors import SDFlowError
from sdflow.inference import Downscaler, Encoded
from sdflow.model import SDFlow
from sdflow.priors import MixtureLaw
from sdflow_data.models.degraders import (
    NO_COMPONENT,
    BicubicDegrader,
    ClassicalDegrader,
    Degrader,
    SDFlowDegrader,
    component_weights,
    load_degrader,
)
from sdflow_data.models.registry import built_in_models, find_checkpoint
from sdflow_data.training.presets import preset_architecture

SEEDS = [3, 2**62, 0, 11]


@pytest.fixture(scope="module")
def hr() -> np.ndarray:
    y, x = np.mgrid[0:32, 0:48]
    noise = np.random.default_rng(0).integers(0, 40, (32, 48, 3))
    return (np.stack([4 * y, 3 * x, y + x], axis=2) + noise).astype(np.uint8)


@pytest.fixture(scope="module", params=["bicubic", "classical", "sdflow"])
def degrader(request: pytest.FixtureRequest, tiny_checkpoint: Path) -> Degrader:
    return load_degrader(str(tiny_checkpoint) if request.param == "sdflow" else request.param, 2, "cpu")


class TestEveryDegrader:
    def test_the_samples_are_grey_levels_of_lr_size(self, degrader: Degrader, hr: np.ndarray) -> None:
        degraded = degrader.degrade(hr, SEEDS, 0.8)
        assert degraded.lr.shape == (4, 16, 24, 3) and degraded.lr.dtype == np.float32
        assert degraded.component.shape == (4,)
        assert np.ptp(degraded.lr) > 50

    def test_a_sample_does_not_depend_on_the_others(self, degrader: Degrader, hr: np.ndarray) -> None:
        together = degrader.degrade(hr, SEEDS, 0.8)
        for n, seed in enumerate(SEEDS):
            alone = degrader.degrade(hr, [seed], 0.8)
            assert np.array_equal(alone.lr[0], together.lr[n])
            assert alone.component[0] == together.component[n]

    def test_global_random_states_neither_matter_nor_move(self, degrader: Degrader, hr: np.ndarray) -> None:
        first = degrader.degrade(hr, SEEDS, 0.8).lr
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.manual_seed(1)
        before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
        assert np.array_equal(degrader.degrade(hr, SEEDS, 0.8).lr, first)
        after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
        assert before[:2] == after[:2] and torch.equal(before[2], after[2])

    def test_the_hr_picture_is_left_as_it_was(self, degrader: Degrader, hr: np.ndarray) -> None:
        given = hr.copy()
        degrader.degrade(given, SEEDS, 0.8)
        assert np.array_equal(given, hr)

    def test_a_window_of_a_larger_array_is_taken(self, degrader: Degrader, hr: np.ndarray) -> None:
        window = hr[:16, 8:40]
        assert np.array_equal(
            degrader.degrade(window, [1], 0.8).lr, degrader.degrade(window.copy(), [1], 0.8).lr
        )

    def test_the_smallest_picture_is_twice_the_multiple(self, degrader: Degrader) -> None:
        side = 2 * degrader.multiple
        lr = degrader.degrade(np.full((side, side, 3), 99, np.uint8), [1], 0.8).lr
        assert lr.shape == (1, side // 2, side // 2, 3) and np.isfinite(lr).all()


class TestBicubic:
    @pytest.mark.parametrize("scale", [2, 4, 8])
    def test_it_is_pillows_bicubic(self, scale: int, hr: np.ndarray) -> None:
        lr = BicubicDegrader(scale).degrade(hr, [0], 0.8).lr[0]
        pillow = Image.fromarray(hr).resize((48 // scale, 32 // scale), Image.Resampling.BICUBIC)
        assert np.abs(lr - np.asarray(pillow)).max() < 1.0

    def test_every_seed_gives_the_same(self, hr: np.ndarray) -> None:
        lr = BicubicDegrader(4).degrade(hr, SEEDS, 0.8).lr
        assert (lr == lr[0]).all()


class TestClassical:
    @pytest.mark.parametrize("scale", [2, 4, 8])
    def test_variants_differ_visibly(self, scale: int, hr: np.ndarray) -> None:
        lr = ClassicalDegrader(scale).degrade(hr, list(range(8)), 0.8).lr
        assert lr.shape[1:3] == (32 // scale, 48 // scale)
        assert lr.std(axis=0).mean() > 2

    def test_it_keeps_the_place_of_things(self) -> None:
        scene = np.zeros((128, 128, 3), np.uint8)
        scene[40:80, 56:96] = 220
        lr = ClassicalDegrader(4).degrade(scene, list(range(40)), 0.8).lr.mean(axis=(0, 3))
        y, x = np.mgrid[0:32, 0:32] + 0.5
        light = np.maximum(lr - 60, 0)
        assert (light * y).sum() / light.sum() == pytest.approx(15.0, abs=0.15)
        assert (light * x).sum() / light.sum() == pytest.approx(19.0, abs=0.15)

    def test_the_temperature_changes_nothing(self, hr: np.ndarray) -> None:
        degrader = ClassicalDegrader(4)
        assert np.array_equal(degrader.degrade(hr, SEEDS, 0.0).lr, degrader.degrade(hr, SEEDS, 0.9).lr)

    def test_blur_and_noise_are_drawn_apart(self) -> None:
        # Transforms that all started from one seed would draw strong blur with strong noise.
        edge = np.zeros((64, 128, 3), np.uint8)
        edge[:, 64:] = 200
        lr = ClassicalDegrader(2).degrade(edge, list(range(150)), 0.8).lr.mean(axis=3)
        sharpness = np.abs(np.diff(lr.mean(axis=1), axis=1)).max(axis=1)
        noise = lr[:, :, 50:].std(axis=(1, 2))
        assert abs(np.corrcoef(sharpness, noise)[0, 1]) < 0.35


class TestSDFlow:
    def test_the_component_is_the_one_asked_for(self, tiny_checkpoint: Path, hr: np.ndarray) -> None:
        degrader = SDFlowDegrader(tiny_checkpoint)
        weights = component_weights(degrader, [4])
        assert degrader.degrade(hr, SEEDS, 0.8, weights).component.tolist() == [4] * 4

    def test_temperature_0_is_the_mean_of_the_component(self, tiny_checkpoint: Path, hr: np.ndarray) -> None:
        degrader = SDFlowDegrader(tiny_checkpoint)
        weights = component_weights(degrader, [2])
        samples = degrader.degrade(hr, SEEDS, 0.0, weights)
        assert (samples.lr == samples.lr[0]).all() and samples.component.tolist() == [2] * 4

    def test_a_photograph_is_of_one_camera_whatever_its_noise(
        self, tiny_checkpoint: Path, hr: np.ndarray
    ) -> None:
        degrader = SDFlowDegrader(tiny_checkpoint)
        for photograph in range(4):
            samples = degrader.degrade(hr, SEEDS, 0.8, photographs=[photograph] * 4)
            assert len(set(samples.component)) == 1
            assert len(np.unique(samples.lr, axis=0)) == 4

    def test_photographs_are_of_each_camera_by_its_share(self, tiny_checkpoint: Path, hr: np.ndarray) -> None:
        shares = np.array([0.6, 0.0, 0.4, 0.0, 0.0])
        drawn = SDFlowDegrader(tiny_checkpoint).degrade(hr[:16, :16], range(200), 0.0, shares).component
        assert np.abs(np.bincount(drawn, minlength=5) / 200 - shares).max() < 0.1

    def test_the_noise_belongs_to_the_place_in_the_picture(self, tiny_checkpoint: Path) -> None:
        degrader = SDFlowDegrader(tiny_checkpoint)
        flat = np.full((128, 64, 3), 120, np.uint8)
        whole = degrader.degrade(flat, [1], 0.8).lr[0]
        window = degrader.degrade(flat[32:], [1], 0.8, top=32).lr[0]
        moved = degrader.degrade(flat[32:], [1], 0.8).lr[0]
        assert np.abs(window - whole[16:])[24:].max() < 0.1
        assert np.abs(moved - whole[16:])[24:].max() > 1

    def test_the_fingerprint_is_that_of_the_weights(self, tiny_checkpoint: Path, tmp_path: Path) -> None:
        same = shutil.copytree(tiny_checkpoint, tmp_path / "copy")
        other = tmp_path / "other"
        save_checkpoint(other, randomise(SDFlow(preset_architecture("tiny", 2)), 2, 0.05), {})
        prints = [SDFlowDegrader(folder).fingerprint for folder in (tiny_checkpoint, same, other)]
        assert prints[0] == prints[1] != prints[2]


class TestLawOfTheMixture:
    """Of a mixture whose two components are as far apart as can be seen in every element: -20 and 20."""

    @pytest.fixture
    def degrader_of(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[MixtureLaw], "Drawn"]:
        def make(law: MixtureLaw) -> Drawn:
            config = replace(
                preset_architecture("tiny", 2), hr_steps=1, components=2, mixture=law, measured=False
            )
            model = SDFlow(config)
            with torch.no_grad():
                model.prior.means.copy_(torch.tensor([-20.0, 20.0]))
            save_checkpoint(tmp_path / law, model, {})
            return Drawn(SDFlowDegrader(tmp_path / law), monkeypatch)

        return make

    @pytest.mark.parametrize("law", ["image", "published"])
    def test_by_image_a_sample_is_of_one_component(
        self, law: MixtureLaw, degrader_of: Callable[[MixtureLaw], "Drawn"]
    ) -> None:
        shares, components = degrader_of(law)(range(20))
        assert shares.tolist() == components.tolist() and set(components) == {0, 1}

    def test_by_element_a_sample_is_of_both(self, degrader_of: Callable[[MixtureLaw], "Drawn"]) -> None:
        shares, components = degrader_of("element")(range(6))
        assert (np.abs(shares - 0.5) < 0.1).all() and (components == NO_COMPONENT).all()

    @pytest.mark.parametrize("law", ["image", "element", "published"])
    def test_a_component_that_was_asked_for_is_in_all_elements(
        self, law: MixtureLaw, degrader_of: Callable[[MixtureLaw], "Drawn"]
    ) -> None:
        for k in (0, 1):
            shares, components = degrader_of(law)(range(4), weights=np.eye(2)[k])
            assert (shares == k).all() and (components == k).all()

    def test_temperature_0_of_all_components_is_the_mean_of_the_mixture(
        self, degrader_of: Callable[[MixtureLaw], "Drawn"]
    ) -> None:
        drawn = degrader_of("image")
        degraded = drawn.degrader.degrade(np.zeros((16, 16, 3), np.uint8), SEEDS, 0.0)
        assert not drawn.latents.any()
        assert degraded.component.tolist() == [NO_COMPONENT] * 4

    def test_the_elements_components_belong_to_their_place(
        self, degrader_of: Callable[[MixtureLaw], "Drawn"]
    ) -> None:
        drawn = degrader_of("element")
        drawn([1])
        (whole,) = drawn.latents
        drawn([1], top=8, left=4)
        assert torch.equal(drawn.latents[0][:, :-2, :-1], whole[:, 2:, 1:])


class Drawn:
    """A degrader of scale 2 and the latents that it draws."""

    def __init__(self, degrader: SDFlowDegrader, monkeypatch: pytest.MonkeyPatch) -> None:
        self.degrader = degrader
        self.latents = torch.empty(0)

        def sample(
            downscaler: Downscaler, encoded: Encoded, latents: torch.Tensor, components: Sequence[int]
        ) -> torch.Tensor:
            self.latents = latents
            return torch.zeros(len(latents), 3, 2, 2)

        monkeypatch.setattr(Downscaler, "sample", sample)

    def __call__(self, seeds: Sequence[int], **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """How many elements of each sample are of component 1, from 0 to 1; the components that are told."""
        degraded = self.degrader.degrade(np.zeros((48, 64, 3), np.uint8), seeds, 0.8, **options)
        return (self.latents > 0).float().mean((1, 2, 3)).numpy(), degraded.component


class TestComponents:
    def test_none_is_all_of_them(self, tiny_checkpoint: Path) -> None:
        assert component_weights(SDFlowDegrader(tiny_checkpoint), []) is None

    def test_those_named_are_as_likely_as_their_shares(self, tiny_checkpoint: Path) -> None:
        weights = component_weights(SDFlowDegrader(tiny_checkpoint), [1, 4, 1])
        assert weights is not None and weights.tolist() == [0, 0.5, 0, 0, 0.5]

    def test_one_that_is_not_there_is_refused(self, tiny_checkpoint: Path) -> None:
        with pytest.raises(SDFlowError, match=r"components: .*components 0 to 4, found 8"):
            component_weights(SDFlowDegrader(tiny_checkpoint), [8])
        with pytest.raises(SDFlowError, match=r"components: .*bicubic has no components"):
            component_weights(BicubicDegrader(2), [0])


class TestLoading:
    def test_a_checkpoint_or_the_run_that_holds_it(self, tiny_checkpoint: Path) -> None:
        assert (
            find_checkpoint(str(tiny_checkpoint))
            == find_checkpoint(str(tiny_checkpoint.parent))
            == tiny_checkpoint
        )

    def test_a_checkpoint_whose_replacement_was_cut_short_is_found(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(tiny_checkpoint, tmp_path / "run" / ".model.old")
        for model in (tmp_path / "run", tmp_path / "run" / "model"):
            assert load_degrader(str(model), device="cpu").scale == 2

    def test_hand_made_degraders_take_every_scale_and_4_by_default(self) -> None:
        for name in ("bicubic", "classical"):
            assert [load_degrader(name, scale).scale for scale in (None, 2, 4, 8)] == [4, 2, 4, 8]
            prints = {load_degrader(name, scale).fingerprint for scale in (2, 4, 8)}
            assert len(prints) == 3 and all(len(bytes.fromhex(text)) == 32 for text in prints)

    def test_a_model_of_another_scale_is_refused(self, tiny_checkpoint: Path) -> None:
        with pytest.raises(SDFlowError, match=r"scale: expected 2, .*found 4"):
            load_degrader(str(tiny_checkpoint), 4, "cpu")

    def test_an_unknown_name_is_told_with_the_known_ones(self) -> None:
        with pytest.raises(SDFlowError, match=r"model: expected .*bicubic, classical"):
            load_degrader("nothing")

    def test_a_folder_without_a_checkpoint_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SDFlowError, match=r"found no model\.json"):
            load_degrader(str(tmp_path))

    def test_a_scale_that_no_model_has_is_refused(self) -> None:
        with pytest.raises(SDFlowError, match="expected 2, 4 or 8, found 3"):
            load_degrader("bicubic", 3)

    def test_a_device_that_is_not_there_is_refused(self, tiny_checkpoint: Path) -> None:
        absent = "cuda" if not torch.cuda.is_available() else "mps"
        with pytest.raises(SDFlowError, match=f"device: .*found {absent}"):
            load_degrader(str(tiny_checkpoint), device=absent)

    def test_every_built_in_model_loads_at_each_of_its_scales(self) -> None:
        models = built_in_models()
        assert [model.name for model in models[:2]] == ["bicubic", "classical"]
        for model in models:
            for scale in model.scales:
                assert load_degrader(model.name, scale, "cpu").scale == scale
            assert len(model.description) > 10


def test_albumentations_is_kept_from_the_network() -> None:
    import sdflow_data.images.augment  # noqa: F401

    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "1"
