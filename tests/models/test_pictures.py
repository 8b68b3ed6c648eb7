"""Whole pictures down and up: any size, tiles that fit together, samples that are finite or told."""

import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdflow.checkpoint import load_checkpoint, save_checkpoint
from sdflow.errors import SDFlowError
from sdflow.files import sha256_file
from sdflow.model import SDFlow
from sdflow.noise import derive_seed, draw_component
from sdflow.resample import quantise
from sdflow_data.images.codec import NO_CODEC, Codec, Jpeg, parse_codec
from sdflow_data.images.picture import PictureError
from sdflow_data.images.reading import read_picture
from sdflow_data.models import tiles as pictures
from sdflow_data.models.cameras import CAMERAS_KEY, CameraLook, ModelCamera
from sdflow_data.models.degraders import (
    BicubicDegrader,
    ClassicalDegrader,
    Degraded,
    Degrader,
    SDFlowDegrader,
    draw_codec,
    load_degrader,
)
from sdflow_data.models.tiles import Job, downscale_picture, plan_pictures, upscale_picture
from sdflow_data.models.upscaler import SDFlowUpscaler, load_upscaler
from sdflow_data.training.presets import preset_architecture

LOOK = CameraLook(0.2, 1.0, 2.0, 80.0, (0.1, 0.1, 2.5))


@pytest.fixture(scope="module")
def degrader(tiny_checkpoint: Path) -> SDFlowDegrader:
    return SDFlowDegrader(tiny_checkpoint)


@pytest.fixture(scope="module")
def upscaler(tiny_checkpoint: Path) -> SDFlowUpscaler:
    return SDFlowUpscaler(tiny_checkpoint)


def write(path: Path, height: int, width: int, seed: int = 0) -> Path:
    """A random picture without much contrast."""
    pixels = np.random.default_rng(seed).integers(60, 200, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def down(path: Path, degrader: Degrader, variants: int = 1, **options: object) -> np.ndarray:
    """LR samples as they are in their files, (K, h, w, 3)."""
    return converted(path, variants, lambda job: downscale_picture(job, degrader, **options))


def up(path: Path, upscaler: SDFlowUpscaler, variants: int = 1, **options: object) -> np.ndarray:
    """SR samples as they are in their files, (K, sH, sW, 3)."""
    return converted(path, variants, lambda job: upscale_picture(job, upscaler, **options))


def rounded(levels: np.ndarray) -> np.ndarray:
    return quantise(torch.from_numpy(levels)).numpy()


def converted(path: Path, variants: int, write: Callable[[Job], int]) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        (job,) = plan_pictures(path, Path(folder), variants)
        write(job)
        assert sorted(Path(folder).iterdir()) == sorted(job.targets)  # and nothing beside them
        return np.stack([read_picture(target) for target in job.targets])


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write(tmp_path / "a.png", 40, 52)


class TestAnySize:
    @settings(max_examples=30, deadline=None)
    @given(height=st.integers(1, 21), width=st.integers(1, 21), name=st.sampled_from(["b", "c", "s"]))
    def test_downscaling_divides_every_size_and_rounds_up(
        self,
        height: int,
        width: int,
        name: str,
        degrader: SDFlowDegrader,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        path = write(tmp_path_factory.getbasetemp() / "any.png", height, width)
        made: Degrader = {"b": BicubicDegrader(8), "c": ClassicalDegrader(4), "s": degrader}[name]
        samples = down(path, made, variants=2)
        expected = (2, -(-height // made.scale), -(-width // made.scale), 3)
        assert samples.shape == expected

    @settings(max_examples=12, deadline=None)
    @given(height=st.integers(1, 13), width=st.integers(1, 13))
    def test_upscaling_multiplies_every_size(
        self, height: int, width: int, upscaler: SDFlowUpscaler, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        path = write(tmp_path_factory.getbasetemp() / "any.png", height, width)
        assert up(path, upscaler).shape == (1, 2 * height, 2 * width, 3)

    def test_a_flat_picture_stays_flat_up_to_its_border(self, tmp_path: Path) -> None:
        Image.new("RGB", (11, 5), (10, 120, 250)).save(tmp_path / "a.png")
        lr = down(tmp_path / "a.png", BicubicDegrader(4))[0]
        assert lr.shape == (2, 3, 3) and (lr == [10, 120, 250]).all()

    def test_values_are_rounded_not_cut(self, picture: Path) -> None:
        class Constant(BicubicDegrader):
            def degrade(self, hr: np.ndarray, seeds: Sequence[int], *_: object, **__: object) -> Degraded:
                size = (len(seeds), hr.shape[0] // self.scale, hr.shape[1] // self.scale, 3)
                return Degraded(np.full(size, 99.6, np.float32), np.full(len(seeds), -1))

        assert (down(picture, Constant(2)) == 100).all()


class TestTiles:
    def test_bicubic_tiles_give_the_whole_picture(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.png", 203, 157)
        whole = down(path, BicubicDegrader(2))
        tiled = down(path, BicubicDegrader(2), tile=32)
        assert (whole != tiled).mean() < 1e-3 and np.abs(whole.astype(int) - tiled).max() <= 1

    def test_tiles_change_a_sample_by_less_than_half_a_level(
        self, degrader: SDFlowDegrader, tmp_path: Path
    ) -> None:
        path = write(tmp_path / "a.png", 320, 200)
        whole = down(path, degrader, variants=2)
        tiled = down(path, degrader, variants=2, tile=100)
        difference = np.abs(whole.astype(int) - tiled)  # of rounded levels: 0 or 1
        assert difference.max() <= 1 and difference.mean() < 0.02

    def test_upscaling_through_tiles_changes_it_as_little(
        self, upscaler: SDFlowUpscaler, tmp_path: Path
    ) -> None:
        path = write(tmp_path / "a.png", 130, 40)
        whole = up(path, upscaler)
        tiled = up(path, upscaler, tile=50)
        difference = np.abs(whole.astype(int) - tiled)
        assert difference.max() <= 1 and difference.mean() < 0.02

    def test_without_a_halo_the_tiles_would_show(
        self, degrader: SDFlowDegrader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path / "a.png", 96, 64)
        whole = down(path, degrader)
        monkeypatch.setattr(degrader, "halo", 0)
        tiled = down(path, degrader, tile=32)
        assert np.abs(whole.astype(int) - tiled).max() > 3

    def test_no_window_is_larger_than_a_tile_and_its_halo(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, seen = write(tmp_path / "a.png", 100, 70), []
        made = BicubicDegrader(2)
        degrade = made.degrade

        def watched(hr: np.ndarray, *arguments: object, **places: int) -> Degraded:
            seen.append(hr.shape)
            return degrade(hr, *arguments, **places)  # type: ignore[arg-type]

        monkeypatch.setattr(made, "degrade", watched)
        down(path, made, tile=20)
        assert len(seen) == 5 * 4
        assert max(max(shape[:2]) for shape in seen) <= 20 + 2 * made.halo

    def test_the_classical_degrader_sees_the_whole_picture(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.png", 90, 70)
        whole = down(path, ClassicalDegrader(2))
        assert np.array_equal(down(path, ClassicalDegrader(2), tile=16), whole)


class TestIdentityOfSamples:
    def test_a_sample_depends_on_seed_variant_and_content(
        self, degrader: SDFlowDegrader, picture: Path, tmp_path: Path
    ) -> None:
        first, second = down(picture, degrader, variants=2)
        assert not np.array_equal(first, second)
        assert not np.array_equal(down(picture, degrader, seed=1)[0], first)

    def test_a_sample_does_not_depend_on_the_files_name_or_the_number_of_variants(
        self, degrader: SDFlowDegrader, picture: Path, tmp_path: Path
    ) -> None:
        renamed = tmp_path / "ü b.png"
        renamed.write_bytes(picture.read_bytes())
        three = down(picture, degrader, variants=3)
        assert np.array_equal(down(renamed, degrader, variants=1)[0], three[0])

    def test_at_temperature_0_no_seed_matters_to_a_camera(
        self, degrader: SDFlowDegrader, upscaler: SDFlowUpscaler, picture: Path
    ) -> None:
        lr = [down(picture, degrader, temperature=0, seed=n, weights=np.eye(5)[2]) for n in (0, 1)]
        sr = [up(picture, upscaler, temperature=0, seed=n) for n in (0, 1)]
        assert np.array_equal(*lr) and np.array_equal(*sr)
        assert not np.array_equal(up(picture, upscaler, temperature=0.8), sr[0])

    def test_a_sample_is_that_of_its_stated_seed(self, degrader: SDFlowDegrader, picture: Path) -> None:
        identity = (5, int(sha256_file(picture), 16), 1)  # the run's seed, the bytes, the variant
        seed, photograph = derive_seed(*identity, 0), derive_seed(*identity)  # of the first draw
        lr = degrader.degrade(read_picture(picture), [seed], 1.0, photographs=[photograph]).lr[0]
        made = down(picture, degrader, variants=2, seed=5)[1]
        assert np.array_equal(made, rounded(lr))


class Unsteady(BicubicDegrader):
    """Bicubic, but a seed in ``bad`` gives one value that is not finite."""

    halo = 8

    def __init__(self, bad: set[int] | None = None) -> None:
        super().__init__(2)
        self.bad, self.seeds = bad, []

    def degrade(self, hr: np.ndarray, seeds: Sequence[int], *_: object, **place: int) -> Degraded:
        degraded = super().degrade(hr, seeds, 1.0)
        self.seeds += [seed for seed in seeds if seed not in self.seeds]
        for n, seed in enumerate(seeds):
            if self.bad is None or seed in self.bad:
                degraded.lr[n, -1, -1, 1] = np.nan
        return degraded


class TestNotFinite:
    @pytest.mark.parametrize("tile", [16, 1024])
    def test_a_sample_is_drawn_again_as_a_whole_from_its_next_seed(self, tile: int, picture: Path) -> None:
        steady = Unsteady(set())
        expected = down(picture, steady, variants=3)
        unsteady = Unsteady({steady.seeds[1]})
        samples = down(picture, unsteady, variants=3, tile=tile)
        assert np.abs(samples.astype(int) - expected).max() <= 1
        assert len(unsteady.seeds) == 4 and unsteady.seeds[:3] == steady.seeds

    def test_a_redrawn_sample_is_that_of_its_next_seed_and_the_others_stay(
        self, degrader: SDFlowDegrader, picture: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        identity = (0, int(sha256_file(picture), 16), 1)
        first, second = (derive_seed(*identity, draw) for draw in (0, 1))
        expected = down(picture, degrader, variants=2)
        of_second = degrader.degrade(
            read_picture(picture), [second], 1.0, photographs=[derive_seed(*identity)]
        )
        expected[1] = rounded(of_second.lr[0])
        degrade = degrader.degrade

        def failing(hr: np.ndarray, seeds: Sequence[int], *rest: object, **place: int) -> Degraded:
            made = degrade(hr, seeds, *rest, **place)  # type: ignore[arg-type]
            made.lr[[seed == first for seed in seeds]] = np.nan
            return made

        monkeypatch.setattr(degrader, "degrade", failing)
        assert np.array_equal(down(picture, degrader, variants=2), expected)

    def test_draws_that_were_thrown_away_are_counted(self, picture: Path, tmp_path: Path) -> None:
        steady = Unsteady(set())
        job = Job(picture, (tmp_path / "0.png", tmp_path / "1.png"))
        assert downscale_picture(job, steady) == 0
        assert downscale_picture(job, Unsteady(set(steady.seeds))) == 2

    def test_after_eight_draws_the_picture_is_named_and_nothing_is_left(
        self, picture: Path, tmp_path: Path
    ) -> None:
        unsteady, out = Unsteady(), tmp_path / "out"
        with pytest.raises(SDFlowError, match=r"a\.png: variant 0 .* 8 draws"):
            downscale_picture(Job(picture, (out / "a.png",)), unsteady, tile=16)
        assert len(unsteady.seeds) == 8
        assert not list(out.iterdir())

    def test_upscaling_holds_to_it_too(
        self, upscaler: SDFlowUpscaler, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upscale, calls = upscaler.upscale, []

        def failing_once(lr: np.ndarray, seeds: Sequence[int], *rest: float, **place: int) -> np.ndarray:
            calls.append(list(seeds))
            made = upscale(lr, seeds, *rest, **place)
            return made if len(calls) > 1 else np.full_like(made, np.inf)

        monkeypatch.setattr(upscaler, "upscale", failing_once)
        assert upscale_picture(Job(picture, (tmp_path / "sr.png",)), upscaler) == 1
        assert calls[0] != calls[1]


class TestMemory:
    def test_many_variants_are_made_some_at_a_time_and_stay_the_same(self, picture: Path) -> None:
        steady = Unsteady(set())
        together = []
        degrade = steady.degrade

        def watched(hr: np.ndarray, seeds: Sequence[int], *rest: object, **place: int) -> Degraded:
            together.append(len(seeds))
            return degrade(hr, seeds, *rest, **place)

        steady.degrade = watched  # type: ignore[method-assign]
        down(picture, steady, variants=35)
        assert together == [16, 16, 3]
        identity = int(sha256_file(picture), 16)
        assert steady.seeds == [derive_seed(0, identity, variant, 0) for variant in range(35)]

    def test_the_output_is_never_held_whole(self, tmp_path: Path) -> None:
        class Flat:
            scale, multiple, halo = 4, 1, 0

            def upscale(self, lr: np.ndarray, seeds: Sequence[int], *_: float, **__: int) -> np.ndarray:
                size = (len(seeds), 4 * lr.shape[0], 4 * lr.shape[1], 3)
                return np.full(size, 7, np.float32)

        Image.new("RGB", (400, 1600)).save(tmp_path / "a.png")
        job = Job(tmp_path / "a.png", (tmp_path / "sr.png",))
        tracemalloc.start()
        upscale_picture(job, Flat(), tile=32)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        sr = read_picture(tmp_path / "sr.png")
        assert sr.shape == (6400, 1600, 3) and (sr == 7).all()
        assert peak < sr.nbytes / 2


class TestRefusals:
    def test_an_sr_picture_beyond_all_formats_is_refused_before_the_work(
        self, upscaler: SDFlowUpscaler, picture: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pictures, "MAX_SR_PIXELS", 40 * 52 * 4 - 1)
        with pytest.raises(PictureError, match="104x80"):
            up(picture, upscaler)

    def test_hand_made_degraders_do_not_upscale(self) -> None:
        with pytest.raises(SDFlowError, match="model: expected a trained model, found bicubic"):
            load_upscaler("bicubic")

    def test_a_checkpoint_that_only_downscales_does_not_upscale(self, tmp_path: Path) -> None:
        model = SDFlow(preset_architecture("tiny", 2))
        model.drop(["encoder"])
        save_checkpoint(tmp_path / "half", model, {})
        with pytest.raises(SDFlowError, match="half: expected a checkpoint that can upscale"):
            load_upscaler(str(tmp_path / "half"))

    def test_a_checkpoint_that_only_upscales_does_not_downscale(self, tmp_path: Path) -> None:
        model = SDFlow(preset_architecture("tiny", 2))
        model.drop(["lr_flow"])
        save_checkpoint(tmp_path / "half", model, {})
        with pytest.raises(SDFlowError, match="half: expected a checkpoint that can downscale"):
            load_degrader(str(tmp_path / "half"))


class TestPlan:
    def test_a_folder_keeps_names_and_subfolders(self, tmp_path: Path) -> None:
        for name in ("b.JPG", "x y/ä.webp"):
            (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "in" / name).touch()
        jobs = plan_pictures(tmp_path / "in", tmp_path / "out")
        assert [job.targets for job in jobs] == [
            (tmp_path / "out" / "b.png",),
            (tmp_path / "out" / "x y" / "ä.png",),
        ]

    def test_variants_are_numbered(self, picture: Path, tmp_path: Path) -> None:
        (job,) = plan_pictures(picture, tmp_path / "out", variants=2)
        assert job.targets == (tmp_path / "out" / "a_v0.png", tmp_path / "out" / "a_v1.png")

    def test_names_with_dots_are_kept(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for name in ("a.1.jpg", "a.2.jpg"):
            (tmp_path / "in" / name).touch()
        jobs = plan_pictures(tmp_path / "in", tmp_path / "out")
        assert [job.targets[0].name for job in jobs] == ["a.1.png", "a.2.png"]

    def test_a_single_picture_goes_to_a_named_file_or_into_a_folder(
        self, picture: Path, tmp_path: Path
    ) -> None:
        named, inside = (plan_pictures(picture, tmp_path / out) for out in ("b.png", "b"))
        assert named[0].targets == (tmp_path / "b.png",)
        assert inside[0].targets == (tmp_path / "b" / "a.png",)

    @pytest.mark.parametrize("folds", [False, True])
    def test_pictures_that_would_overwrite_each_other_fail_and_the_others_are_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: bool
    ) -> None:
        (tmp_path / "in").mkdir()
        for name in ("a.jpg", "a.png", "b.png", "B.tif", "c.png", "e\u0301.png", "\u00c9.png"):
            (tmp_path / "in" / name).touch()
        monkeypatch.setattr("sdflow_data.models.tiles.folds_case", lambda folder: folds)
        jobs = plan_pictures(tmp_path / "in", tmp_path / "out")
        failed = {job.source.name for job in jobs if job.problem}
        assert failed == {"a.jpg", "a.png"} | (
            {"b.png", "B.tif", "e\u0301.png", "\u00c9.png"} if folds else set()
        )
        assert all(job.targets or job.problem for job in jobs) and len(jobs) == 7
        (problem,) = [str(job.problem) for job in jobs if job.source.name == "a.png"]
        assert "a.png: would be written to" in problem and "a.jpg" in problem

    def test_variants_of_one_picture_are_not_another_picture(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for name in ("a.png", "a_v0.png", "a_v0_v0.png", "b.png"):
            (tmp_path / "in" / name).touch()
        jobs = plan_pictures(tmp_path / "in", tmp_path / "out", variants=2)
        assert [job.problem for job in jobs] == [None] * 4

    def test_writing_into_the_input_is_refused(self, picture: Path) -> None:
        with pytest.raises(SDFlowError, match="found it inside"):
            plan_pictures(picture.parent, picture.parent / "out")
        with pytest.raises(SDFlowError, match="not the input itself"):
            plan_pictures(picture, picture.parent)

    @pytest.mark.parametrize("name", ["taken", "small.jpg"])
    def test_an_output_that_can_be_no_folder_is_refused(
        self, tmp_path: Path, picture: Path, name: str
    ) -> None:
        (tmp_path / "taken").write_text("a file")
        with pytest.raises(SDFlowError, match=r"expected a folder or a file that ends in \.png, found a"):
            plan_pictures(picture, tmp_path / name)

    def test_a_missing_input_is_one_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(SDFlowError, match="expected a picture or a folder of pictures, found nothing"):
            plan_pictures(tmp_path / "in", tmp_path / "out")


class TestCodec:
    @pytest.mark.parametrize("text", ["jpeg:30:420", "jpeg:60:444"])
    def test_tiles_change_no_coded_sample(self, tmp_path: Path, text: str) -> None:
        path = write(tmp_path / "a.png", 150, 203)
        codec = parse_codec(text)
        assert codec is not None
        whole, tiled, plain = (
            down(path, BicubicDegrader(2), 2, codec=used, tile=tile)
            for used, tile in ((codec, 4096), (codec, 16), (None, 4096))
        )
        assert np.array_equal(whole, tiled)
        jpeg = codec.draw(0)
        assert jpeg is not None
        assert all(np.array_equal(coded, jpeg.apply(levels)) for coded, levels in zip(whole, plain))

    def test_a_checkpoint_hands_the_codecs_of_its_cameras_on(
        self, tiny_checkpoint: Path, tmp_path: Path
    ) -> None:
        codecs = [Codec(((Jpeg.of_quality(quality), 0.5), (None, 0.5))) for quality in (30, 50, 70, 80, 90)]
        cameras = [ModelCamera(LOOK, codec).to_json() for codec in codecs]
        save_checkpoint(tmp_path / "coded", load_checkpoint(tiny_checkpoint), {CAMERAS_KEY: cameras})
        coded, plain = SDFlowDegrader(tmp_path / "coded"), SDFlowDegrader(tiny_checkpoint)
        assert list(coded.codecs) == codecs
        assert all(codec.lossless for codec in plain.codecs)
        assert coded.fingerprint != plain.fingerprint
        for photograph in range(6):
            component = draw_component(photograph, coded.shares)
            assert draw_codec(coded, photograph, None) == codecs[component].draw(photograph)

    @pytest.mark.parametrize(
        "stored",
        [
            "jpeg",
            [{"codec": []}],
            [ModelCamera(LOOK, NO_CODEC).to_json() | {"codec": [{"share": 2, "jpeg": None}]}],
            [ModelCamera(LOOK, NO_CODEC).to_json() | {"spread": [0, 1, 1]}],
            [ModelCamera(LOOK, NO_CODEC).to_json() | {"noise": float("nan")}],
            [ModelCamera(LOOK, NO_CODEC).to_json()],
        ],
        ids=["text", "no look", "shares", "no spread", "not a number", "too few"],
    )
    def test_cameras_that_are_none_are_refused(
        self, tiny_checkpoint: Path, tmp_path: Path, stored: object
    ) -> None:
        save_checkpoint(tmp_path / "bad", load_checkpoint(tiny_checkpoint), {CAMERAS_KEY: stored})
        with pytest.raises(SDFlowError, match=r"model\.json: (unusable|expected 5) cameras"):
            SDFlowDegrader(tmp_path / "bad")
