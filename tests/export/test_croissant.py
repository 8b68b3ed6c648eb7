"""What croissant.json says of an export is so. That Croissant's own reader takes it: tests/readers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pairs import write_dataset

from sdflow_data.dataset.manifest import Dataset, read_dataset
from sdflow_data.dataset.provenance import Provenance
from sdflow_data.export import FORMATS
from sdflow_data.export.run import ExportRequest, export


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


def describe(dataset: Dataset, out: Path, format: str = "parquet", **request: Any) -> Any:
    export(dataset, out, ExportRequest(format, patches_per_shard=3, **request), workers=1)
    return json.loads((out / "croissant.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("split", [None, "train=0.6,val=0.4"])
def test_every_file_is_described_with_its_checksum_or_is_one_of_many_pictures(
    dataset: Dataset, tmp_path: Path, format: str, split: str | None
) -> None:
    distribution = describe(dataset, tmp_path, format, split=split)["distribution"]
    files = {each["contentUrl"]: each for each in distribution if each["@type"] == "cr:FileObject"}
    sets = {
        file.relative_to(tmp_path).as_posix()
        for each in distribution
        if each["@type"] == "cr:FileSet"
        for pattern in each["includes"]
        for file in tmp_path.glob(pattern)
    }
    there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files.keys() | sets == there - {"croissant.json", "export.json"}
    for name, each in files.items():
        content = (tmp_path / name).read_bytes()
        assert each["sha256"] == hashlib.sha256(content).hexdigest()
        assert each["contentSize"] == f"{len(content)} B"


@pytest.mark.parametrize("format", FORMATS)
def test_a_row_has_the_columns_of_the_manifest(dataset: Dataset, tmp_path: Path, format: str) -> None:
    [rows] = describe(dataset, tmp_path, format)["recordSet"]
    names = [field["name"] for field in rows["field"] if field["dataType"] != "sc:ImageObject"]
    assert names == list(dataset.manifest.columns)


def test_licence_and_sources_are_carried_to_the_description_and_the_card(
    dataset: Dataset, tmp_path: Path
) -> None:
    urls = ("here/one", "there/two")
    said = Provenance(licenses=("cc-by-4.0",), source_urls=urls)
    description = describe(dataset, tmp_path, trainer="huggingface", provenance=said)
    assert description["license"] == ["cc-by-4.0"]
    assert tuple(source["@id"] for source in description["prov:wasDerivedFrom"]) == urls
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "\nlicense: cc-by-4.0\n" in card
    assert all(f"- {url}\n" in card for url in urls)


def test_what_a_dataset_says_is_carried_on_unless_something_else_is_said(
    dataset: Dataset, tmp_path: Path
) -> None:
    said = Provenance(licenses=("cc0-1.0", "mit"), source_urls=("here",))
    dataset = Dataset(dataset.folder, dataset.info | said.to_json())
    described = describe(dataset, tmp_path / "as it is")
    assert described["license"] == ["cc0-1.0", "mit"]
    described = describe(dataset, tmp_path / "other", provenance=Provenance(licenses=("cc-by-4.0",)))
    assert described["license"] == ["cc-by-4.0"]
    assert described["prov:wasDerivedFrom"][0]["@id"] == "here"
    describe(dataset, tmp_path / "own", "hdf5")
    assert Provenance.of_dataset(read_dataset(tmp_path / "own").info) == said


def test_the_description_names_no_place_of_this_machine(dataset: Dataset, tmp_path: Path) -> None:
    assert str(tmp_path) not in json.dumps(describe(dataset, tmp_path))


def test_only_pairs_that_were_made_are_called_synthetic(dataset: Dataset, tmp_path: Path) -> None:
    imported = Dataset(dataset.folder, dataset.info | {"model": "pairs"})
    for name, source, synthetic in (("made", dataset, True), ("imported", imported, False)):
        description = describe(source, tmp_path / name, trainer="huggingface")
        card = (tmp_path / name / "README.md").read_text(encoding="utf-8")
        assert description["rai:hasSyntheticData"] is synthetic
        assert ("synthetic" in card) is ("synthetic" in description["rai:dataCollection"]) is synthetic
