"""Datasets behind URLs are read like those on the disk, and each file of them is fetched once."""

import contextlib
import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pairs import write_dataset
from torch.utils.data import DataLoader

from sdflow.errors import SDFlowError
from sdflow_data import PairedShards

pytest.importorskip("aiohttp")


class Served:
    """A folder behind a URL on this machine, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        served = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                if self.command == "GET":
                    served.asked.append(self.path.lstrip("/"))

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(write_dataset(tmp_path / "pairs").folder)
    thread = threading.Thread(target=served.server.serve_forever)
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def test_samples_are_those_on_the_disk(served: Served, tmp_path: Path) -> None:
    there = PairedShards(served.url + "/", cache=tmp_path / "cache", crop=8, augment=True)
    here = PairedShards(served.folder, crop=8, augment=True)
    assert len(there) == len(here)
    for index in range(len(here)):
        assert all(torch.equal(a, b) for a, b in zip(there[index], here[index]))


def test_a_shard_is_fetched_when_it_is_needed_and_once(served: Served, tmp_path: Path) -> None:
    for _ in range(2):
        pairs = PairedShards(served.url, cache=tmp_path / "cache")
        _ = pairs[0], pairs[1], pairs[6]
    shards = [path for path in served.asked if "shard" in path]
    assert len(shards) == len(set(shards)) == 2
    assert sum("manifest" in path for path in served.asked) == 1


def test_workers_read_what_one_process_reads(served: Served, tmp_path: Path) -> None:
    pairs = PairedShards(served.url, cache=tmp_path / "cache")
    loader = DataLoader(pairs, batch_size=5, num_workers=2)
    expected = DataLoader(PairedShards(served.folder), batch_size=5)
    assert all(torch.equal(a, b) for ours, theirs in zip(loader, expected) for a, b in zip(ours, theirs))


def test_a_dataset_made_anew_under_its_url_is_not_taken_from_the_copies(
    served: Served, tmp_path: Path
) -> None:
    _ = PairedShards(served.url, cache=tmp_path / "cache")[0]
    shutil.rmtree(served.folder)
    write_dataset(served.folder, photographs=3)
    assert len(PairedShards(served.url, cache=tmp_path / "cache")) == 18


def test_a_manifest_that_is_not_the_one_described_is_refused(served: Served, tmp_path: Path) -> None:
    info = json.loads((served.folder / "dataset.json").read_text())
    info["files"]["manifest.parquet"] = "0" * 64
    (served.folder / "dataset.json").write_text(json.dumps(info))
    with pytest.raises(SDFlowError, match=r"manifest\.parquet: expected the one that .* describes"):
        PairedShards(served.url, cache=tmp_path / "cache")


def test_a_fetch_that_breaks_off_leaves_nothing_that_passes_for_a_shard(
    served: Served, tmp_path: Path
) -> None:
    pairs = PairedShards(served.url, cache=tmp_path / "cache")
    served.server.shutdown()
    served.server.server_close()
    with pytest.raises(SDFlowError, match="cannot be read"):
        _ = pairs[0]
    assert not [path for path in (tmp_path / "cache").rglob("*shard*") if path.is_file()]
    with contextlib.suppress(OSError):
        served.server.socket.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/nothing", "nonsense://bucket/pairs", "memory://none"])
def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(SDFlowError, match=f"^{url}") as caught:
        PairedShards(url, cache=tmp_path)
    assert "\n" not in str(caught.value)
