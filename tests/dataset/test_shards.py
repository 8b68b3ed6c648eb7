"""Shards: read back what was written, explain themselves, and prove that they are whole."""

import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdflow.errors import SDFlowError
from sdflow_data.dataset.shards import Failure, ShardReader, ShardWriter, is_whole

METADATA = {"model": "bicubic", "scale": 2, "seed": 0}
FAILURES = [Failure("dir/ä b.png", None, None, "truncated"), Failure("c.png", 0, 16, "not finite")]


def make_shard(patches: int = 3, variants: int = 2, failures: list[Failure] | None = None) -> bytes:
    random = np.random.default_rng(0)
    writer = ShardWriter(patch_size=16, scale=2, variants=variants)
    for row in range(patches):
        columns = {
            "source": f"dir/ä b{row}.png",
            "top": 16 * row,
            "seed": [2**62 + 10 * row + variant for variant in range(variants)],
            "noise_sigma": np.arange(variants, dtype=np.float32),
        }
        hr = random.integers(0, 256, (16, 16, 3), np.uint8)
        lr = random.integers(0, 256, (variants, 8, 8, 3), np.uint8)
        writer.add(hr, lr, columns)
    return bytes(writer.finish(METADATA, "a key", failures or []))


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    path = tmp_path / "000000.h5"
    path.write_bytes(make_shard(failures=FAILURES))
    return path


def test_images_read_back_as_they_were_added(shard: Path) -> None:
    random = np.random.default_rng(0)
    with ShardReader(shard) as reader:
        assert len(reader) == 3
        for row in range(3):
            np.testing.assert_array_equal(reader.hr[row], random.integers(0, 256, (16, 16, 3), np.uint8))
            np.testing.assert_array_equal(reader.lr[row], random.integers(0, 256, (2, 8, 8, 3), np.uint8))


def test_columns_metadata_key_and_failures_read_back(shard: Path) -> None:
    with ShardReader(shard) as reader:
        columns = reader.columns()
        assert columns["source"].tolist() == [f"dir/ä b{row}.png" for row in range(3)]
        assert columns["top"].tolist() == [0, 16, 32]
        assert columns["seed"].tolist() == [[2**62 + 10 * row, 2**62 + 10 * row + 1] for row in range(3)]
        assert columns["noise_sigma"].dtype == np.float32
        assert (reader.metadata, reader.key, reader.failures()) == (METADATA, "a key", FAILURES)


def test_a_shard_is_plain_hdf5_with_one_chunk_per_image(shard: Path) -> None:
    with h5py.File(shard, "r") as file:
        assert file["hr"].shape == (3, 16, 16, 3)
        assert file["hr"].chunks == (1, 16, 16, 3)
        assert file["lr"].shape == (3, 2, 8, 8, 3)
        assert file["lr"].chunks == (1, 1, 8, 8, 3)


def test_the_same_content_gives_the_same_bytes_at_any_time() -> None:
    first = make_shard()
    time.sleep(1.1)  # HDF5's time stamps count seconds
    assert make_shard() == first


def test_a_shard_of_failures_alone_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "000000.h5"
    path.write_bytes(make_shard(patches=0, failures=FAILURES))
    with ShardReader(path) as reader:
        assert len(reader) == 0
        assert reader.failures() == FAILURES


def test_a_finished_shard_is_whole(shard: Path) -> None:
    assert is_whole(shard)


def test_a_missing_shard_is_not_whole(tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "000000.h5")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_goes_unseen(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(make_shard(patches=1))
    where = data.draw(st.one_of(st.integers(0, 511), st.integers(0, len(content) - 1)))
    content[where] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("shard") / "000000.h5"
    path.write_bytes(content)
    assert not is_whole(path)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_no_truncation_and_no_addition_goes_unseen(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = make_shard(patches=1)
    size = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.mktemp("shard") / "000000.h5"
    path.write_bytes(content[:size])
    assert not is_whole(path)
    path.write_bytes(content + b"\0")
    assert not is_whole(path)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", make_shard()[:1500]])
def test_a_damaged_shard_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "000007.h5"
    path.write_bytes(content)
    with pytest.raises(SDFlowError, match=r"000007\.h5: expected a shard"):
        ShardReader(path)


def test_another_hdf5_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["hr"] = 1
    with pytest.raises(SDFlowError, match=r"other\.h5: expected a shard, found other HDF5"):
        ShardReader(path)


def test_patches_of_another_size_or_with_other_columns_are_a_mistake() -> None:
    writer = ShardWriter(patch_size=16, scale=2, variants=1)
    hr, lr = np.zeros((16, 16, 3), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
    writer.add(hr, lr, {"top": 0})
    with pytest.raises(ValueError, match="columns"):
        writer.add(hr, lr, {"left": 0})
    with pytest.raises(ValueError, match="expected uint8"):
        writer.add(hr[:8], lr, {"top": 0})
    with pytest.raises(ValueError, match="expected uint8"):
        writer.add(hr, lr.astype(np.float32), {"top": 0})


@pytest.mark.parametrize("way", ["link", "soft link", "storage"])
def test_what_a_shard_takes_from_another_file_is_refused(shard: Path, tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(3 * 16 * 16 * 3))
    with h5py.File(shard, "r+") as file:
        del file["hr"]
        if way == "link":
            file["hr"] = h5py.ExternalLink(str(secret), "hr")
        elif way == "soft link":
            file["hr"] = h5py.SoftLink("/lr")
        else:
            file.create_dataset("hr", (3, 16, 16, 3), np.uint8, external=[(str(secret), 0, 3 * 16 * 16 * 3)])
    with pytest.raises(SDFlowError, match=r"expected all data in the file, found .*: hr"):
        ShardReader(shard)
