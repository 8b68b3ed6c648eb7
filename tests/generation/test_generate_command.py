"""``sdflow generate`` as a user calls it: messages, exit statuses, options."""

from pathlib import Path

import pandas as pd
import pytest
from calls import output_of
from factory import write_picture, write_pictures

from sdflow_data.dataset.manifest import read_dataset

pytestmark = pytest.mark.usefixtures("in_process")

SETTINGS = ["--model", "classical", "--scale", "2", "--patch-size", "16", "--variants", "2"]
SETTINGS += ["--patches-per-shard", "5"]  # those of factory.QUICK


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "hr")


def generate(hr: Path, *more: str, status: int = 0) -> str:
    """What the command prints."""
    return output_of("generate", *SETTINGS, "--hr", hr, "--out", hr.parent / "out", *more, status=status)


def test_it_says_what_there_is_now(hr: Path) -> None:
    assert "54 samples of 27 patches from 3 pictures, in 6 shards" in generate(hr)


def test_it_says_how_the_model_ran(hr: Path) -> None:
    assert "on cpu in fp32" in generate(hr)


def test_files_that_are_left_out_are_counted_and_are_no_failure(hr: Path) -> None:
    (hr / "text.png").write_text("no picture")
    assert "1 file left out; " in generate(hr)


def test_patches_that_are_missing_are_a_failure_but_the_dataset_is_there(hr: Path) -> None:
    write_picture(hr / "cut.png", 9, 96, 96)
    (hr / "cut.png").write_bytes((hr / "cut.png").read_bytes()[:5000])
    assert "expected 63 patches, 36 of them could not be made" in generate(hr, status=1)
    assert len(read_dataset(hr.parent / "out").manifest) == 54


def test_several_hr_folders_go_into_one_dataset(hr: Path) -> None:
    other = write_pictures(hr.parent / "other", range(5, 7))
    assert "90 samples of 45 patches from 5 pictures" in generate(hr, "--hr", str(other))


def test_parts_are_made_by_their_shard_numbers(hr: Path) -> None:
    assert "the call that makes the last one finishes the dataset" in generate(hr, "--shards", "0:4")
    assert "54 samples of 27 patches" in generate(hr, "--shards", "4:6")


@pytest.mark.parametrize("value", ["3", "4:4", "5:2", "a:b", ":3", "-1:2"])
def test_a_range_of_shards_that_is_none_is_a_wrong_call(hr: Path, value: str) -> None:
    assert "expected A:B" in generate(hr, f"--shards={value}", status=2)


def test_an_address_without_ray_is_a_wrong_call(hr: Path) -> None:
    assert "--engine ray" in generate(hr, "--address", "auto", status=2)


# --only


def first_sample(hr: Path) -> str:
    return str(pd.read_parquet(hr.parent / "out" / "manifest.parquet")["sample_id"][13])


def test_a_sample_that_is_made_again_is_the_stored_one(hr: Path) -> None:
    generate(hr)
    assert "the same bytes" in generate(hr, "--only", first_sample(hr))


def test_a_sample_that_comes_out_otherwise_is_a_failure(hr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(hr)
    sample_id = first_sample(hr)
    monkeypatch.setattr("sdflow_data.generation.shard_maker.sample_seed", lambda *_: 1)
    assert "expected the stored bytes, found" in generate(hr, "--only", sample_id, status=1)


@pytest.mark.parametrize(
    ("sample_id", "message"),
    [
        ("nonsense", "--only: expected one as in the manifest, found 'nonsense'"),
        ("0123456789abcdef-000000-000000-v00", "which is not in it"),
        ("{sha}-000000-000000-v09", "which is not in it"),
        ("{sha}-000001-000000-v00", "which is not in it"),
    ],
)
def test_a_sample_that_is_not_there_is_refused(hr: Path, sample_id: str, message: str) -> None:
    generate(hr)
    assert message in generate(hr, "--only", sample_id.format(sha=first_sample(hr)[:16]), status=1)


def test_a_sample_whose_picture_is_gone_is_refused_by_its_name(hr: Path) -> None:
    generate(hr)
    sample_id = first_sample(hr)
    for path in hr.iterdir():
        path.unlink()
    assert generate(hr, "--only", sample_id, status=1).endswith("png: the file is gone\n")


def test_a_sample_of_something_that_is_no_dataset_is_refused(hr: Path) -> None:
    assert "found no plan in it" in generate(hr, "--only", "0123456789abcdef-000000-000000-v00", status=1)
