"""Licences and sources of photographs come with them, by the command or by a description beside them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from factory import InProcess, write_pictures

from sdflow.errors import SDFlowError
from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.dataset.provenance import UNSAID, Provenance
from sdflow_data.dataset.verify import verify
from sdflow_data.generation.run import GenerationRequest, generate

SAID = Provenance(licenses=("cc-by-4.0",), source_urls=("here/photographs",))


def make(photographs: Path, out: Path, said: Provenance = UNSAID) -> Provenance:
    request = GenerationRequest(model="bicubic", scale=2, patch_size=16, variants=1, provenance=said)
    generate(request, [photographs], out, InProcess())
    assert verify(out) == []
    return Provenance.of_dataset(read_dataset(out).info)


def describe(folder: Path, **said: Any) -> None:
    (folder / "croissant.json").write_text(json.dumps(said), encoding="utf-8")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photographs")


def test_a_dataset_is_described_with_the_checksums_of_all_its_files(
    photographs: Path, tmp_path: Path
) -> None:
    make(photographs, tmp_path / "out", SAID)
    described = json.loads((tmp_path / "out" / "croissant.json").read_text(encoding="utf-8"))
    assert described["license"] == ["cc-by-4.0"]
    digests = {e["contentUrl"]: e["sha256"] for e in described["distribution"] if "sha256" in e}
    there = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    names = {path.relative_to(tmp_path / "out").as_posix(): path for path in there}
    assert names.keys() - digests.keys() == {"dataset.json", "croissant.json"}
    for name, digest in digests.items():
        assert hashlib.sha256(names[name].read_bytes()).hexdigest() == digest


def test_a_description_beside_the_photographs_speaks_where_the_command_does_not(
    photographs: Path, tmp_path: Path
) -> None:
    describe(photographs, license=["mit", {"@id": "there/cc0"}], url="there", name="photographs")
    told = make(photographs, tmp_path / "out")
    assert told == Provenance(licenses=("mit", "there/cc0"), source_urls=("there",))
    told = make(photographs, tmp_path / "said", Provenance(licenses=("cc-by-4.0",)))
    assert told == Provenance(licenses=("cc-by-4.0",), source_urls=("there",))


def test_a_whole_dataset_learns_of_its_sources_later_and_does_not_forget_them(
    photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert make(photographs, out) == UNSAID
    shard = (out / "shards" / "000000.h5").stat()
    assert make(photographs, out, SAID) == make(photographs, out) == SAID
    assert (out / "shards" / "000000.h5").stat() == shard


@pytest.mark.parametrize("content", ["no JSON", "[]", "[" * 100_000, '"\\ud800'])
def test_a_description_that_cannot_be_read_is_named(photographs: Path, tmp_path: Path, content: str) -> None:
    (photographs / "croissant.json").write_text(content)
    with pytest.raises(SDFlowError, match=r"croissant\.json: expected a Croissant description"):
        make(photographs, tmp_path / "out")


@pytest.mark.parametrize("said", [{"license": 3}, {"license": {"other": "x"}}, {"license": [None, ""]}, {}])
def test_what_is_no_text_says_nothing(photographs: Path, tmp_path: Path, said: dict[str, Any]) -> None:
    describe(photographs, **said)
    assert make(photographs, tmp_path / "out") == UNSAID
