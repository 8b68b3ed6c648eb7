"""Generating a dataset: what comes out, what is refused, and what a sample does not depend on."""

import csv
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factory import QUICK, InProcess, files_of, make, samples_of, write_picture, write_pictures

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file
from sdflow.noise import derive_seed
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.plan import Picture, locate
from sdflow_data.generation import shard_maker as worker
from sdflow_data.generation.folder import Outcome
from sdflow_data.generation.run import generate
from sdflow_data.images.patches import grid
from sdflow_data.images.reading import read_picture
from sdflow_data.models.degraders import MAX_DRAWS, ClassicalDegrader, Degraded
from sdflow_data.statistics import CHEAP_COLUMNS
from sdflow_data.system.lock import machine_lock


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


Made = tuple[Path, Path, Outcome]
"""HR pictures, the dataset that was made of them, for reading alone, and what that came to."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    hr = write_pictures(folder / "hr")
    return hr, folder / "out", make(hr, folder / "out")


def failures(folder: Path) -> list[tuple[str, str, str, str]]:
    with (folder / "failures.csv").open(newline="", encoding="utf-8") as file:
        return [(row["source"], row["top"], row["left"], row["reason"]) for row in csv.DictReader(file)]


def test_every_patch_of_every_picture_gives_its_variants(made: Made) -> None:
    _, out, outcome = made
    manifest = read_dataset(out).manifest
    expected = {
        (f"{seed}.png", top, left, variant)
        for seed in range(3)
        for top, left in grid(36, 40, 16, 16)
        for variant in range(2)
    }
    found = manifest[["source", "top", "left", "variant"]].itertuples(index=False, name=None)
    assert set(found) == expected
    assert len(manifest) == len(expected) == manifest["sample_id"].nunique()
    assert (outcome.planned, outcome.missing, outcome.skipped) == (27, 0, 0)


def test_hr_patches_are_the_pictures_pixels(made: Made) -> None:
    hr, out, _ = made
    for patch, _, rows in read_dataset(out).patches():
        row = rows.iloc[0]
        picture = read_picture(hr / row["source"])
        np.testing.assert_array_equal(patch, picture[row.top : row.top + 16, row.left : row.left + 16])


def test_samples_are_what_the_degrader_makes_of_the_patch_and_the_seed(
    made: Made,
) -> None:
    _, out, _ = made
    degrader = ClassicalDegrader(2)
    for patch, lr, rows in read_dataset(out).patches():
        for sample, seed in zip(lr, rows["seed"]):
            expected = degrader.degrade(patch, [seed], 1.0).lr[0]
            np.testing.assert_array_equal(sample, np.clip(np.rint(expected), 0, 255))


def test_a_samples_name_and_seed_follow_from_what_it_is(hr: Path, out: Path) -> None:
    make(hr, out, replace(QUICK, seed=5))
    for row in read_dataset(out).manifest.itertuples():
        sha256 = sha256_file(hr / row.source)
        assert row.source_sha256 == sha256
        assert row.sample_id == f"{sha256[:16]}-{row.top:06d}-{row.left:06d}-v{row.variant:02d}"
        assert row.seed == derive_seed(5, int(sha256, 16), row.top, row.left, row.variant, 0)


def test_the_manifest_has_the_promised_columns(made: Made) -> None:
    _, out, _ = made
    manifest = pd.read_parquet(out / "manifest.parquet")
    promised = ["sample_id", "shard", "row", "variant", "source", "source_sha256", "top", "left"]
    promised += ["component", "temperature", "seed", "draw", "codec", *CHEAP_COLUMNS]
    assert list(manifest.columns) == promised
    assert set(manifest["temperature"]) == {1.0}


def test_a_finished_dataset_has_its_files_and_no_other(made: Made) -> None:
    _, out, _ = made
    shards = [f"shards/{number:06d}.h5" for number in range(6)]
    tables = ["croissant.json", "dataset.json", "failures.csv", "manifest.parquet", "plan.parquet"]
    assert sorted(files_of(out)) == sorted([*tables, *shards])


def test_the_description_tells_the_settings_and_counts(made: Made) -> None:
    _, out, _ = made
    info = json.loads((out / "dataset.json").read_text())
    assert info["model"] == "classical"
    assert info["model_hash"] == ClassicalDegrader(2).fingerprint
    assert (info["scale"], info["patch_size"], info["variants"], info["seed"]) == (2, 16, 2, 0)
    assert (info["device"], info["precision"]) == ("cpu", "fp32")
    assert info["counts"] == {
        "sources": 3,
        "patches": 27,
        "samples": 54,
        "shards": 6,
        "failures": 0,
        "redraws": 0,
    }


# What a sample does not depend on


def test_the_same_call_again_changes_no_file(hr: Path, out: Path) -> None:
    make(hr, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    make(hr, out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_two_runs_give_the_same_files(hr: Path, out: Path, tmp_path: Path) -> None:
    make(hr, out)
    make(hr, tmp_path / "other")
    assert files_of(tmp_path / "other") == files_of(out)


def test_the_shard_size_changes_no_sample(hr: Path, out: Path, tmp_path: Path) -> None:
    make(hr, out)
    make(hr, tmp_path / "other", replace(QUICK, patches_per_shard=11))
    assert samples_of(tmp_path / "other") == samples_of(out)


def test_names_folders_and_the_order_of_files_change_no_sample(hr: Path, out: Path, tmp_path: Path) -> None:
    make(hr, out)
    for number, path in enumerate(sorted(hr.iterdir(), reverse=True)):
        folder = tmp_path / f"ÄÖ {number % 2}"
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / f"renamed {number}.png")
    folders = [tmp_path / "ÄÖ 1", tmp_path / "ÄÖ 0"]
    generate(QUICK, folders, tmp_path / "other", InProcess())
    assert samples_of(tmp_path / "other") == samples_of(out)


def test_a_dataset_with_more_variants_holds_the_earlier_ones_unchanged(
    hr: Path, out: Path, tmp_path: Path
) -> None:
    make(hr, out)
    make(hr, tmp_path / "more", replace(QUICK, variants=5))
    more = samples_of(tmp_path / "more")
    assert {name: more[name] for name in samples_of(out)} == samples_of(out)


def test_another_seed_gives_other_samples_of_the_same_names(hr: Path, out: Path, tmp_path: Path) -> None:
    make(hr, out)
    make(hr, tmp_path / "other", replace(QUICK, seed=1))
    one, other = samples_of(out), samples_of(tmp_path / "other")
    assert one.keys() == other.keys()
    assert all(one[name][1] != other[name][1] for name in one)


def test_new_pictures_add_their_samples_and_change_no_shard(hr: Path, out: Path) -> None:
    make(hr, out)
    before, samples = files_of(out / "shards"), samples_of(out)
    write_pictures(hr / "more", range(10, 12))
    outcome = make(hr, out)
    assert files_of(out / "shards").items() > before.items()
    after = samples_of(out)
    assert {name: after[name] for name in samples} == samples
    assert len(after) == 5 * 9 * 2 == outcome.planned * 2


def test_a_picture_that_was_taken_away_keeps_its_samples(hr: Path, out: Path) -> None:
    make(hr, out)
    samples = samples_of(out)
    (hr / "1.png").unlink()
    assert make(hr, out).missing == 0
    assert samples_of(out) == samples


# Resuming


@pytest.mark.parametrize("damage", ["delete", "truncate", "flip", "leave half aside"])
def test_a_run_goes_on_from_what_is_proven(hr: Path, out: Path, damage: str) -> None:
    make(hr, out)
    whole = files_of(out)
    shard = out / "shards" / "000002.h5"
    content = shard.read_bytes()
    (out / "dataset.json").unlink()
    shard.unlink()
    if damage == "truncate":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        shard.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "leave half aside":
        (out / "shards" / ".000002.h5.tmp").write_bytes(content[:99])
    untouched = (out / "shards" / "000001.h5").stat().st_mtime_ns
    make(hr, out)
    assert files_of(out) == whole
    assert (out / "shards" / "000001.h5").stat().st_mtime_ns == untouched


def test_a_shard_of_another_dataset_is_not_taken_for_ours(hr: Path, out: Path, tmp_path: Path) -> None:
    make(hr, out)
    whole = files_of(out)
    make(hr, tmp_path / "other", replace(QUICK, seed=1))
    shutil.copy(tmp_path / "other" / "shards" / "000001.h5", out / "shards" / "000001.h5")
    make(hr, out)
    assert files_of(out) == whole


def test_the_description_is_gone_while_the_dataset_is_not_whole(hr: Path, out: Path) -> None:
    make(hr, out)
    write_picture(hr / "new.png", 7)

    class Broken:
        def run(self, job: Any, tasks: Sequence[Any]) -> Any:
            assert not (out / "dataset.json").exists()
            raise RuntimeError
            yield

    with pytest.raises(RuntimeError):
        generate(QUICK, [hr], out, Broken())
    assert not (out / "dataset.json").exists()


def test_parts_of_the_shards_make_the_same_dataset(hr: Path, out: Path, tmp_path: Path) -> None:
    make(hr, out)
    parts = tmp_path / "parts"
    assert make(hr, parts, shards=range(4, 100)).info is None
    assert make(hr, parts, shards=range(0, 2)).info is None
    assert not (parts / "dataset.json").exists()
    assert make(hr, parts, shards=range(2, 4)).info is not None
    assert files_of(parts) == files_of(out)


def test_shards_beyond_the_plan_are_refused(hr: Path, out: Path) -> None:
    with pytest.raises(SDFlowError, match=r"shards: expected some of the plan's \d+, found 50:60"):
        make(hr, out, shards=range(50, 60))


def test_names_of_any_kind_are_data(hr: Path, out: Path) -> None:
    name = os.fsdecode(b"$( ;..\xc3\xa4 \xff.png")
    (hr / "1.png").rename(hr / name)
    make(hr, out)
    assert "$( ;..ä \\udcff.png" in set(read_dataset(out).manifest["source"])


def test_a_damaged_shard_of_another_call_is_not_taken_into_the_dataset(hr: Path, out: Path) -> None:
    make(hr, out, shards=range(0, 3))
    shard = out / "shards" / "000001.h5"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SDFlowError, match=r"000001\.h5: expected a whole shard"):
        make(hr, out, shards=range(3, 6))
    assert not (out / "dataset.json").exists()


# Bad input


def test_what_cannot_be_used_is_listed_and_the_rest_goes_on(hr: Path, out: Path) -> None:
    write_picture(hr / "small.png", 8, 12, 12)
    (hr / "text.png").write_text("no picture")
    shutil.copy(hr / "0.png", hr / "copy ä.png")
    outcome = make(hr, out)
    assert (outcome.missing, outcome.skipped) == (0, 3)
    assert [source for source, _, _, _ in failures(out)] == ["copy ä.png", "small.png", "text.png"]
    assert outcome.info is not None
    assert outcome.info["counts"]["failures"] == 3


def test_a_truncated_picture_is_listed_and_its_patches_are_missing(hr: Path, out: Path) -> None:
    write_picture(hr / "cut.jpg", 9, 96, 96)
    content = (hr / "cut.jpg").read_bytes()
    (hr / "cut.jpg").write_bytes(content[: len(content) * 3 // 4])
    outcome = make(hr, out)
    assert outcome.missing == 36
    [(source, top, left, reason)] = failures(out)
    assert (source, top, left) == ("cut.jpg", "", "")
    assert "truncated" in reason
    assert len(samples_of(out)) == 54


def test_a_picture_that_was_damaged_and_is_whole_again_gives_its_samples(hr: Path, out: Path) -> None:
    class Forgetful(InProcess):
        def run(self, job: Any, tasks: Sequence[Any]) -> Any:
            (hr / "1.png").rename(hr / "away")
            yield from super().run(job, tasks)
            (hr / "away").rename(hr / "1.png")

    assert generate(QUICK, [hr], out, Forgetful()).missing == 9
    assert [source for source, _, _, _ in failures(out)] == ["1.png"]
    assert make(hr, out).missing == 0
    assert failures(out) == []
    assert len(samples_of(out)) == 54


def test_trying_again_what_failed_loses_nothing_when_other_pictures_are_gone(hr: Path, out: Path) -> None:
    write_picture(hr / "cut.png", 9, 96, 96)
    (hr / "cut.png").write_bytes((hr / "cut.png").read_bytes()[:5000])
    make(hr, out)
    samples = samples_of(out)
    for seed in range(3):
        (hr / f"{seed}.png").unlink()
    assert make(hr, out).missing == 36
    assert samples_of(out) == samples


def test_a_picture_that_changes_after_planning_is_listed(hr: Path, out: Path) -> None:
    class Changing(InProcess):
        def run(self, job: Any, tasks: Sequence[Any]) -> Any:
            write_picture(hr / "1.png", 99)
            yield from super().run(job, tasks)

    assert generate(QUICK, [hr], out, Changing()).missing == 9
    assert [(source, reason) for source, _, _, reason in failures(out)] == [
        ("1.png", "the file has changed since it was planned")
    ]


def test_no_usable_picture_at_all_is_refused(tmp_path: Path, out: Path) -> None:
    write_picture(tmp_path / "hr" / "small.png", 0, 8, 8)
    with pytest.raises(SDFlowError, match=r"none in 1 file; for instance small\.png: 8x8"):
        make(tmp_path / "hr", out)


def test_a_folder_without_pictures_is_refused_and_no_output_is_left(tmp_path: Path, out: Path) -> None:
    (tmp_path / "hr").mkdir()
    with pytest.raises(SDFlowError, match="expected pictures"):
        make(tmp_path / "hr", out)
    assert not out.exists()


def test_no_sample_at_all_is_refused_and_the_reasons_are_listed(tmp_path: Path, out: Path) -> None:
    hr = tmp_path / "hr"
    write_picture(hr / "cut.png", 9, 96, 96)
    (hr / "cut.png").write_bytes((hr / "cut.png").read_bytes()[:5000])
    with pytest.raises(SDFlowError, match=r"no sample could be made; for instance cut\.png"):
        make(hr, out)
    assert not (out / "dataset.json").exists()
    assert [source for source, _, _, _ in failures(out)] == ["cut.png"]


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(hr: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(SDFlowError, match=r"expected a new or empty folder.*found thesis\.txt"):
        make(hr, out)
    assert list(files_of(out)) == ["thesis.txt"]


def test_a_file_in_the_place_of_the_output_folder_is_refused(hr: Path, out: Path) -> None:
    out.write_text("precious")
    with pytest.raises(SDFlowError, match="expected a folder, found a file"):
        make(hr, out)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": 1}, "seed: .* was begun with 0, found 1 now"),
        ({"variants": 3}, "variants: .* was begun with 2, found 3 now"),
        ({"stride": 8}, "stride: .* was begun with 16, found 8 now"),
        ({"model": "bicubic"}, "model: .* was begun with classical .*, found bicubic .* now"),
    ],
)
def test_another_setting_on_the_same_folder_is_refused(
    hr: Path, out: Path, settings: dict[str, Any], message: str
) -> None:
    make(hr, out)
    before = files_of(out)
    with pytest.raises(SDFlowError, match=message):
        make(hr, out, replace(QUICK, **settings))
    assert files_of(out) == before


@pytest.mark.parametrize("patch_size", [0, 2, 15])
def test_a_patch_size_that_does_not_go_with_the_scale_is_refused(
    hr: Path, out: Path, patch_size: int
) -> None:
    with pytest.raises(SDFlowError, match=f"patch_size: expected .*, found {patch_size}"):
        make(hr, out, replace(QUICK, patch_size=patch_size))
    assert not out.exists()


def test_a_component_of_a_model_without_components_is_refused(hr: Path, out: Path) -> None:
    with pytest.raises(SDFlowError, match="components: the model classical has no components, found 0"):
        make(hr, out, replace(QUICK, components=(0,)))


# Samples that are not finite


class Sometimes(ClassicalDegrader):
    """Gives NaN for one of ``rate`` seeds; ``always`` for patches whose first pixel is that value."""

    rate = 3
    always = -1

    def degrade(self, hr: np.ndarray, seeds: Sequence[int], *args: Any, **options: Any) -> Degraded:
        degraded = super().degrade(hr, seeds, *args, **options)
        for lr, seed in zip(degraded.lr, seeds):
            if seed % self.rate == 0 or hr[0, 0, 0] == self.always:
                lr[0, 0, 0] = np.nan
        return degraded


def test_a_sample_that_is_not_finite_is_drawn_again_and_counted(
    hr: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "load_degrader", lambda *_: Sometimes(2))
    outcome = make(hr, out)
    manifest = read_dataset(out).manifest
    assert len(manifest) == 54
    assert manifest["draw"].max() > 0
    assert outcome.info is not None
    assert outcome.info["counts"]["redraws"] == manifest["draw"].sum()
    for row in manifest.itertuples():
        identity = (0, int(row.source_sha256, 16), row.top, row.left, row.variant)
        seeds = [derive_seed(*identity, draw) for draw in range(row.draw + 1)]
        assert seeds[-1] == row.seed
        assert [seed % Sometimes.rate == 0 for seed in seeds] == [True] * row.draw + [False]


def test_a_patch_that_is_never_finite_is_dropped_and_listed(
    hr: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = int(read_picture(hr / "2.png")[16, 16, 0])
    monkeypatch.setattr(Sometimes, "rate", 2**63)
    monkeypatch.setattr(Sometimes, "always", value)
    monkeypatch.setattr(worker, "load_degrader", lambda *_: Sometimes(2))
    outcome = make(hr, out)
    listed = failures(out)
    assert ("2.png", "16", "16", f"a sample was not finite in {MAX_DRAWS} draws") in listed
    assert outcome.missing == len(listed) < 27
    dropped = {(source, int(top), int(left)) for source, top, left, _ in listed}
    stored = read_dataset(out).manifest[["source", "top", "left"]].itertuples(index=False, name=None)
    assert dropped.isdisjoint(stored)
    assert len(samples_of(out)) == 2 * (27 - len(dropped))


def test_a_model_that_changes_in_mid_run_is_refused(
    hr: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "load_degrader", lambda *_: ClassicalDegrader(4))
    with pytest.raises(SDFlowError, match="expected the model that this run began with"):
        make(hr, out)


# Large pictures


def test_large_pictures_wait_for_their_turn(hr: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_LARGE_PICTURE", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(hr.parent))  # that of other runs is theirs
    run = threading.Thread(target=make, args=(hr, out), daemon=True)
    with machine_lock("large-picture"):
        run.start()
        run.join(1)
        assert run.is_alive()
        assert not list(out.glob("shards/*.h5"))
    run.join(300)
    assert len(samples_of(out)) == 54


def test_a_plan_of_others_names_no_file_outside_of_the_folders(hr: Path) -> None:
    outside = hr.parent / "outside.png"
    write_picture(outside, 9)
    named = [Picture(name, sha256_file(outside), 36, 40) for name in ("../outside.png", str(outside))]
    assert locate(named, [hr]) == {}


def test_an_output_may_have_the_name_of_a_model(
    hr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert make(hr, Path(QUICK.model)).missing == 0


def test_shards_whose_pictures_are_gone_are_missing(hr: Path, out: Path) -> None:
    make(hr, out, shards=range(0, 1))
    for picture in hr.iterdir():
        picture.unlink()
    outcome = make(hr, out, shards=range(1, 2))
    assert outcome.info is None
    assert outcome.missing == outcome.planned > 0
