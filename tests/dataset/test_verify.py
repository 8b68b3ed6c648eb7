"""Whatever is wrong with a dataset is found, and named."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from factory import QUICK, make, write_picture, write_pictures
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import write_dataset
from sdflow_cli.verify import command

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file
from sdflow_data.dataset.verify import verify


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    hr = write_pictures(folder / "hr")
    write_picture(hr / "cut.png", 9, 96, 96)
    (hr / "cut.png").write_bytes((hr / "cut.png").read_bytes()[:5000])
    make(hr, folder / "out", replace(QUICK, patches_per_shard=21))
    return folder / "out"


@pytest.fixture
def dataset(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "out"))


def edit_info(dataset: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    info = json.loads((dataset / "dataset.json").read_text())
    edit(info)
    (dataset / "dataset.json").write_text(json.dumps(info))


def edit_manifest(dataset: Path, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change the manifest, and its checksum with it, so that only its content can give it away."""
    path = dataset / "manifest.parquet"
    edit(pd.read_parquet(path)).to_parquet(path, index=False)
    edit_info(dataset, lambda info: info["files"].update({path.name: sha256_file(path)}))


def the_problem(dataset: Path) -> str:
    problems = verify(dataset)
    assert len(problems) == 1, problems
    assert "\n" not in problems[0]
    return problems[0].removeprefix(f"{dataset}/")


def test_a_sound_dataset_has_no_problem(dataset: Path) -> None:
    assert verify(dataset) == []


def test_a_sound_dataset_without_a_plan_has_no_problem(tmp_path: Path) -> None:
    write_dataset(tmp_path / "pairs")
    assert verify(tmp_path / "pairs") == []


@settings(max_examples=20)
@given(data=st.data())
def test_a_flipped_byte_is_found_in_every_file(
    original: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    dataset = Path(shutil.copytree(original, tmp_path_factory.mktemp("flip") / "out"))
    files = sorted(path for path in dataset.rglob("*") if path.is_file() and path.name != "dataset.json")
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert any(str(path) in problem for problem in verify(dataset))


def test_a_truncated_shard_is_found(dataset: Path) -> None:
    shard = dataset / "shards" / "000001.h5"
    shard.write_bytes(shard.read_bytes()[:-100])
    assert the_problem(dataset) == "shards/000001.h5: its bytes are not those that were written"


def test_a_missing_shard_is_found(dataset: Path) -> None:
    (dataset / "shards" / "000001.h5").unlink()
    assert the_problem(dataset) == "shards/000001.h5: expected a shard, found none"


@pytest.mark.parametrize("name", ["000999.h5", ".000001.h5.tmp", "notes.txt"])
def test_what_does_not_belong_among_the_shards_is_found(dataset: Path, name: str) -> None:
    shutil.copy(dataset / "shards" / "000001.h5", dataset / "shards" / name)
    assert the_problem(dataset) == f"shards/{name}: does not belong to the dataset"


def test_shards_that_changed_places_are_found(dataset: Path) -> None:
    one, two = dataset / "shards" / "000000.h5", dataset / "shards" / "000001.h5"
    one.rename(dataset / "x")
    two.rename(one)
    (dataset / "x").rename(two)
    assert "shards/000000.h5: it was made for another plan" in verify(dataset)[0]


def test_a_shard_of_a_dataset_with_another_recipe_is_found(dataset: Path, tmp_path: Path) -> None:
    make(write_pictures(tmp_path / "hr"), tmp_path / "other", replace(QUICK, seed=1))
    shutil.copy(tmp_path / "other" / "shards" / "000000.h5", dataset / "shards" / "000000.h5")
    assert any("000000.h5: it was made for another plan" in problem for problem in verify(dataset))


def test_a_missing_row_is_found(dataset: Path) -> None:
    edit_manifest(dataset, lambda manifest: manifest.drop(index=3))
    assert the_problem(dataset) == "manifest.parquet: expected 42 rows of shard 0, found 41"


def test_a_row_too_many_is_found(dataset: Path) -> None:
    edit_manifest(dataset, lambda manifest: pd.concat([manifest, manifest.tail(1)]))
    assert "rows of shard" in the_problem(dataset)


def test_missing_rows_of_a_whole_shard_are_found(dataset: Path) -> None:
    edit_manifest(dataset, lambda manifest: manifest[manifest["shard"] != 1])
    assert the_problem(dataset).startswith("manifest.parquet: has no rows of shard 1")


def test_rows_of_a_shard_that_is_not_there_are_found(dataset: Path) -> None:
    edit_manifest(dataset, lambda m: pd.concat([m, m.tail(1).assign(shard=np.int32(77))]))
    assert the_problem(dataset) == "manifest.parquet: has rows of shard 77 where none belong"


@pytest.mark.parametrize("column", ["sample_id", "top", "seed", "source", "noise_sigma", "draw"])
def test_a_manifest_that_disagrees_with_a_shard_is_found(dataset: Path, column: str) -> None:
    def swap(manifest: pd.DataFrame) -> pd.DataFrame:
        values = manifest[column].tolist()
        values[0] = "x" if isinstance(values[0], str) else values[0] + 1
        return manifest.assign(**{column: pd.Series(values, dtype=manifest[column].dtype)})

    edit_manifest(dataset, swap)
    assert the_problem(dataset) == f"manifest.parquet: column {column} is not that of shard 0"


def test_a_manifest_that_cannot_be_read_is_found(dataset: Path) -> None:
    (dataset / "manifest.parquet").write_bytes(b"no parquet")
    assert any("expected the manifest, found" in problem for problem in verify(dataset))


@pytest.mark.parametrize("name", ["manifest.parquet", "failures.csv", "plan.parquet"])
def test_a_missing_table_is_found(dataset: Path, name: str) -> None:
    (dataset / name).unlink()
    assert f"{dataset / name}: expected a file, found none" in verify(dataset)


@pytest.mark.parametrize("name", ["manifest.parquet", "failures.csv", "shards/000001.h5"])
def test_a_file_that_the_system_refuses_is_one_fault_among_others(
    dataset: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def refusing(path: Any, *arguments: Any, **options: Any) -> int:
        if Path(path) == dataset / name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    (dataset / "shards" / "000002.h5").unlink()
    problems = verify(dataset)
    assert f"{dataset / name}: cannot be read: Permission denied" in problems
    assert f"{dataset}/shards/000002.h5: expected a shard, found none" in problems


@pytest.mark.parametrize("count", ["sources", "patches", "samples", "failures", "redraws"])
def test_a_count_that_is_wrong_is_found(dataset: Path, count: str) -> None:
    edit_info(dataset, lambda info: info["counts"].update({count: 12345}))
    assert the_problem(dataset).startswith(f"dataset.json: says 12345 {count}, there are ")


@pytest.mark.parametrize("setting", ["seed", "temperature", "model_hash"])
def test_a_setting_that_is_not_the_plans_is_found(dataset: Path, setting: str) -> None:
    edit_info(dataset, lambda info: info.update({setting: "other"}))
    assert the_problem(dataset).startswith(f"dataset.json: expected {setting} ")


def test_an_unfinished_dataset_is_refused(dataset: Path) -> None:
    (dataset / "dataset.json").unlink()
    with pytest.raises(SDFlowError, match=r"found no dataset\.json"):
        verify(dataset)


def test_the_command_prints_what_is_wrong(dataset: Path) -> None:
    (dataset / "shards" / "000001.h5").unlink()
    result = CliRunner().invoke(command, [str(dataset)])
    assert "000001.h5: expected a shard, found none" in result.output
    assert isinstance(result.exception, SDFlowError)


def test_the_command_is_content_with_a_sound_dataset(dataset: Path) -> None:
    result = CliRunner().invoke(command, [str(dataset)])
    assert result.exit_code == 0
    assert "54 samples in 3 shards" in result.output


def test_it_needs_no_torch() -> None:
    program = "import sys, sdflow_cli.verify, sdflow_data.dataset.verify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
