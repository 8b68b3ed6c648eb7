"""Makes small datasets of random pairs, for the tests of what reads datasets."""

import hashlib
from pathlib import Path

import numpy as np

from sdflow.files import write_file
from sdflow_data.dataset.manifest import Dataset, finish_dataset, read_dataset
from sdflow_data.dataset.shards import Failure, ShardWriter, shard_path


def write_dataset(
    folder: Path,
    photographs: int = 5,
    patches: int = 2,
    variants: int = 3,
    scale: int = 2,
    patch_size: int = 16,
) -> Dataset:
    """One shard per photograph; random pixels, and HR red, green and blue lie apart, so that order shows."""
    metadata = {"scale": scale, "patch_size": patch_size, "variants": variants, "model": "random", "seed": 0}
    random = np.random.default_rng(0)
    low = patch_size // scale
    for number in range(photographs):
        shard = ShardWriter(patch_size, scale, variants)
        sha256 = hashlib.sha256(f"photograph {number}".encode()).hexdigest()
        for patch in range(patches):
            columns = {
                "sample_id": [f"{sha256[:16]}-{patch:06d}-000000-v{v:02d}" for v in range(variants)],
                "source": f"photo graph {number} é.png",
                "source_sha256": sha256,
                "top": patch,
                "left": 0,
                "component": random.integers(0, 4, variants),
                "temperature": 0.8,
                "seed": random.integers(0, 2**63, variants),
                "noise_sigma": random.uniform(0, 20, variants).astype(np.float32),
            }
            hr = random.integers(0, 80, (patch_size, patch_size, 3), np.uint8) + np.uint8([0, 80, 160])
            shard.add(hr, random.integers(0, 256, (variants, low, low, 3), np.uint8), columns)
        path = shard_path(folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, shard.finish(metadata))
    finish_dataset(folder, photographs, metadata, [Failure("small.png", None, None, "8x8 pixels")])
    return read_dataset(folder)
