"""Whatever makes a dataset, its columns are those of the one schema, in its order and of its types."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factory import make, write_picture, write_pictures
from hypothesis import given
from hypothesis import strategies as st

from sdflow_data.dataset.identity import PatchId, parse_sample_id, sample_id
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.schema import COLUMNS, statistics_in
from sdflow_data.generation.import_pairs import ImportRequest, import_pairs
from sdflow_data.statistics import CHEAP_COLUMNS

ONLY_OF_PAIRS = ["lr_source", "lr_source_sha256"]


@pytest.fixture
def manifest(request: pytest.FixtureRequest, tmp_path: Path) -> pd.DataFrame:
    out = tmp_path / "out"
    if request.param == "generated":
        make(write_pictures(tmp_path / "hr", [0]), out)
    else:
        write_picture(tmp_path / "hr" / "a.png", 0, 32, 32)
        write_picture(tmp_path / "lr" / "a.png", 0, 16, 16)
        import_pairs(ImportRequest(patch_size=16), tmp_path / "hr", tmp_path / "lr", out, workers=1)
    return read_dataset(out).manifest


@pytest.mark.parametrize(
    ("manifest", "without"), [("generated", ONLY_OF_PAIRS), ("imported", ["codec"])], indirect=["manifest"]
)
def test_a_manifest_has_the_columns_of_the_schema(manifest: pd.DataFrame, without: list[str]) -> None:
    names = [name for name in COLUMNS if name not in without]
    assert list(manifest.columns) == [*names, *CHEAP_COLUMNS]
    assert statistics_in(list(manifest.columns)) == list(CHEAP_COLUMNS)
    for name in names:
        expected = object if COLUMNS[name].type is str else COLUMNS[name].type
        assert manifest[name].dtype == expected, name
    assert all(manifest[name].dtype == np.float32 for name in CHEAP_COLUMNS)


@pytest.mark.parametrize("manifest", ["generated"], indirect=True)
def test_what_is_of_a_patch_is_the_same_of_all_its_samples(manifest: pd.DataFrame) -> None:
    of_patches = [name for name in manifest if name in COLUMNS and COLUMNS[name].per == "patch"]
    assert (manifest.groupby(["shard", "row"])[of_patches].nunique() == 1).all(axis=None)


@given(
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    top=st.integers(0, 2**31),
    left=st.integers(0, 2**31),
    variant=st.integers(0, 1000),
)
def test_a_sample_id_tells_its_patch(sha256: str, top: int, left: int, variant: int) -> None:
    assert parse_sample_id(sample_id(PatchId(sha256, top, left), variant)) == (sha256[:16], top, left)


@pytest.mark.parametrize("text", ["", "nonsense", "0123456789abcdef-000000-000000", "x" * 33])
def test_what_is_no_sample_id_tells_none(text: str) -> None:
    assert parse_sample_id(text) is None
