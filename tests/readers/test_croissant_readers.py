"""Descriptions of exports and datasets are valid to Croissant's own reader, which finds every row."""

from pathlib import Path

import pytest
from pairs import write_dataset

from sdflow_data.dataset.manifest import Dataset, finish_dataset
from sdflow_data.dataset.provenance import Provenance
from sdflow_data.export import FORMATS
from sdflow_data.export.run import ExportRequest, export

mlcroissant = pytest.importorskip("mlcroissant")

SAID = Provenance(licenses=("cc-by-4.0",), source_urls=("here/photos",))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("split", [None, "train=0.6,val=0.4"])
def test_croissant_reads_every_row(tmp_path: Path, format: str, split: str | None) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    request = ExportRequest(format, split=split, patches_per_shard=3, provenance=SAID)
    export(dataset, tmp_path / "out", request, workers=1)
    check(tmp_path / "out", dataset)


def test_croissant_reads_every_row_of_a_dataset(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    metadata = {name: value for name, value in dataset.info.items() if name not in ("counts", "files")}
    finish_dataset(
        dataset.folder, dataset.info["counts"]["shards"], metadata | SAID.to_json(), described=True
    )
    check(dataset.folder, dataset)


def check(folder: Path, dataset: Dataset) -> None:
    """Nothing is amiss but what its publisher has to say, and the rows are those of the manifest."""
    description = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    missing = [line for line in description.metadata.ctx.issues.warnings if "is recommended" in line]
    assert all("citeAs" in line or "datePublished" in line for line in missing)  # the publisher's to say
    rows = list(description.records("pairs"))
    found = {row["pairs/sample_id"].decode(): row["pairs/seed"] for row in rows}
    assert found == dict(zip(dataset.manifest["sample_id"], dataset.manifest["seed"]))
