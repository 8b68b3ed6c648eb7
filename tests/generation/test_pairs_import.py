"""Aligned pairs of pictures become a dataset like any other, and what does not fit is told."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from calls import output_of

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.verify import verify
from sdflow_data.export.run import ExportRequest, export
from sdflow_data.generation.import_pairs import ImportRequest, import_pairs
from sdflow_data.images.reading import read_picture
from sdflow_data.images.writing import encode_png


def write_picture(path: Path, height: int, width: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), np.uint8)
    path.write_bytes(encode_png(pixels))
    return path


def write_pair(folder: Path, name: str, height: int, width: int, scale: int = 3, seed: int = 0) -> None:
    write_picture(folder / "hr" / f"{name}.png", height * scale, width * scale, seed)
    write_picture(folder / "lr" / f"{name}.png", height, width, seed)


def failures(dataset: Path) -> dict[str, str]:
    with (dataset / "failures.csv").open(encoding="utf-8", newline="") as file:
        return {row["source"]: row["reason"] for row in csv.DictReader(file)}


REQUEST = ImportRequest(patch_size=24, patches_per_shard=5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pairs at scale 3, one of them in a sub-folder."""
    write_pair(tmp_path, "a", 16, 24)
    write_pair(tmp_path, "ä b/c", 10, 8)
    write_pair(tmp_path, "d", 8, 8, seed=1)
    return tmp_path


def run(folder: Path, request: ImportRequest = REQUEST, out: str = "out") -> Path:
    import_pairs(request, folder / "hr", folder / "lr", folder / out, workers=1)
    return folder / out


def test_every_patch_lies_where_the_manifest_says_in_both_pictures(folder: Path) -> None:
    dataset = read_dataset(run(folder))
    assert dataset.info["scale"] == 3
    assert dataset.info["counts"]["patches"] == 6 + 2 + 1
    for patch in dataset.patches():
        row = patch.rows.iloc[0]
        hr = read_picture(folder / "hr" / row["source"])[row["top"] :, row["left"] :][:24, :24]
        top, left = row["top"] // 3, row["left"] // 3
        lr = read_picture(folder / "lr" / row["lr_source"])[top:, left:][:8, :8]
        assert np.array_equal(patch.hr, hr)
        assert np.array_equal(patch.lr, lr[None])


def test_the_manifest_names_both_pictures_by_path_and_hash(folder: Path) -> None:
    manifest = read_dataset(run(folder)).manifest
    row = manifest[manifest["source"] == "ä b/c.png"].iloc[0]
    assert row["source_sha256"] == sha256_file(folder / "hr" / "ä b" / "c.png")
    assert row["lr_source_sha256"] == sha256_file(folder / "lr" / "ä b" / "c.png")
    assert manifest["sample_id"].is_unique


def test_an_imported_dataset_verifies_and_can_be_exported(folder: Path) -> None:
    assert verify(run(folder)) == []
    summary = export(read_dataset(run(folder)), folder / "export", ExportRequest("folder"), workers=1)
    assert summary.samples == {"": 9}


@pytest.mark.parametrize("scale", range(2, 9))
def test_the_scale_is_found_from_the_sizes(tmp_path: Path, scale: int) -> None:
    write_pair(tmp_path, "a", 9, 10, scale)
    assert read_dataset(run(tmp_path, ImportRequest(patch_size=8 * scale))).info["scale"] == scale


def test_the_usual_patch_size_is_a_multiple_of_the_scale(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 90, 90, 3)
    assert read_dataset(run(tmp_path, ImportRequest())).info["patch_size"] == 255


def test_patches_at_the_far_edge_stay_aligned(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", 11, 13, 3)
    manifest = read_dataset(run(tmp_path)).manifest
    assert manifest[["top", "left"]].to_numpy().tolist() == [[0, 0], [0, 15], [9, 0], [9, 15]]


def test_endings_may_differ_between_the_two_sides(folder: Path) -> None:
    from PIL import Image

    lr = folder / "lr" / "a.png"
    Image.open(lr).save(lr.with_suffix(".BMP"))
    lr.unlink()
    assert read_dataset(run(folder)).info["counts"]["sources"] == 3


def test_names_may_have_parts_that_tell_the_sides_apart(tmp_path: Path) -> None:
    write_picture(tmp_path / "Canon" / "001_HR.png", 48, 48)
    write_picture(tmp_path / "Canon" / "001_LR2.png", 24, 24)
    write_picture(tmp_path / "Canon" / "note.png", 5, 5)
    request = ImportRequest(patch_size=16, hr_name="{}_HR", lr_name="{}_LR2")
    outcome = import_pairs(request, tmp_path / "Canon", tmp_path / "Canon", tmp_path / "out", workers=1)
    assert outcome.info is not None
    assert outcome.info["counts"]["sources"] == 1
    assert outcome.skipped == 0


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_odd_sizes_that_were_rounded_up_come_in(scale: int, tmp_path: Path) -> None:
    height, width = 16 * scale + 1, 20 * scale - 1
    write_picture(tmp_path / "hr" / "a.png", height, width)
    write_picture(tmp_path / "lr" / "a.png", -(-height // scale), -(-width // scale))
    request = ImportRequest(patch_size=8 * scale)
    outcome = import_pairs(request, tmp_path / "hr", tmp_path / "lr", tmp_path / "out", workers=1)
    assert outcome.info is not None and outcome.info["scale"] == scale
    for hr, lr, _ in read_dataset(tmp_path / "out").patches():
        assert hr.shape[0] == scale * lr.shape[1]


@pytest.mark.parametrize("pattern", ["", "x4", "{}{}"])
def test_a_pattern_without_one_pair_of_braces_is_refused(folder: Path, pattern: str) -> None:
    with pytest.raises(SDFlowError, match=r"lr_name: expected a name with one \{\} in it"):
        run(folder, ImportRequest(lr_name=pattern))


def test_what_does_not_fit_is_left_out_and_told(folder: Path) -> None:
    write_picture(folder / "hr" / "alone.png", 24, 24, 5)
    write_picture(folder / "lr" / "lonely.png", 8, 8, 5)
    write_pair(folder, "other scale", 8, 8, 4)
    write_pair(folder, "small", 7, 9)
    write_picture(folder / "hr" / "crooked.png", 25, 24)
    write_picture(folder / "lr" / "crooked.png", 8, 8, 2)
    write_pair(folder, "twice", 9, 9, seed=3)
    shutil.copy(folder / "lr" / "twice.png", folder / "lr" / "twice.bmp")
    shutil.copy(folder / "hr" / "d.png", folder / "hr" / "e.png")
    shutil.copy(folder / "lr" / "d.png", folder / "lr" / "e.png")
    (folder / "hr" / "text.png").write_text("no picture")
    write_picture(folder / "lr" / "text.png", 8, 8, 6)
    reasons = failures(run(folder))
    expected = {
        "alone.png": "one of 1 HR picture for 0",
        "lonely.png": "one of 1 LR picture for 0",
        "other scale.png": "expected 24x24 pixels, 3 times its LR picture as most are, found 32x32",
        "small.png": "smaller than a patch",
        "crooked.png": "expected 24x24 pixels",
        "twice.png": "for 1 on the other side",
        "twice.bmp": "one of 2 LR pictures",
        "e.png": "duplicate: has the same bytes as d.png",
        "text.png": "",
    }
    assert reasons.keys() == expected.keys()
    for source, part in expected.items():
        assert part in reasons[source], source


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("side", ["hr", "lr"])
def test_a_truncated_picture_is_told_and_its_absence_is_an_error(folder: Path, side: str) -> None:
    truncate(folder / side / "d.png")
    arguments = ["--hr", folder / "hr", "--lr", folder / "lr", "--out", folder / "out", "--patch-size", 24]
    told = output_of("import-pairs", *arguments, "--workers", "1", status=1)
    assert "1 of 9 patches missing" in told
    assert ("its LR picture: " in failures(folder / "out")["d.png"]) == (side == "lr")
    assert len(read_dataset(folder / "out").manifest) == 8


def test_names_without_a_partner_alone_are_an_error(tmp_path: Path) -> None:
    write_picture(tmp_path / "hr" / "a.png", 24, 24)
    write_picture(tmp_path / "lr" / "b.png", 8, 8)
    with pytest.raises(SDFlowError, match=r"lr: expected pictures of the names that .*hr has, found none"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_sizes_of_no_scale_are_an_error_that_names_them(tmp_path: Path) -> None:
    write_picture(tmp_path / "hr" / "a.png", 25, 24)
    write_picture(tmp_path / "lr" / "a.png", 8, 8)
    with pytest.raises(SDFlowError, match=r"a.png: expected 2 to 8 times the 8x8 pixels of .*, found 24x25"):
        run(tmp_path)


@pytest.mark.parametrize(("size", "stride", "argument"), [(25, 24, "patch_size"), (24, 10, "stride")])
def test_sizes_that_are_no_multiple_of_the_scale_are_refused(
    folder: Path, size: int, stride: int, argument: str
) -> None:
    with pytest.raises(SDFlowError, match=f"{argument}: expected a multiple of the pairs' scale 3"):
        run(folder, ImportRequest(patch_size=size, stride=stride))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_bytes_do_not_depend_on_workers_or_interruptions(folder: Path) -> None:
    run(folder)
    import_pairs(REQUEST, folder / "hr", folder / "lr", folder / "two", workers=2)
    assert tree(folder / "two") == tree(folder / "out")
    (folder / "two" / "dataset.json").unlink()
    (folder / "two" / "shards" / "000001.h5").unlink()
    truncate(folder / "two" / "shards" / "000000.h5")
    run(folder, out="two")
    assert tree(folder / "two") == tree(folder / "out")


def test_a_folder_with_another_import_is_refused(folder: Path) -> None:
    run(folder)
    with pytest.raises(SDFlowError, match=r"patch_size: .* was begun with 24, found 48 now"):
        run(folder, ImportRequest(patch_size=48, patches_per_shard=5))
    write_pair(folder, "new", 8, 8, seed=9)
    with pytest.raises(SDFlowError, match=r"model: .* was begun with pairs"):
        run(folder)


def test_a_folder_with_something_else_is_refused(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "holiday.jpg").write_bytes(b"")
    with pytest.raises(SDFlowError, match=r"found holiday\.jpg in it"):
        run(folder)


def test_pairs_of_other_names_are_another_import(folder: Path) -> None:
    run(folder)
    for side in ("hr", "lr"):
        (folder / side / "d.png").rename(folder / side / "e.png")
    with pytest.raises(SDFlowError):
        run(folder)
