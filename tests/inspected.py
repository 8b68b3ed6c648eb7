"""Makes datasets of photographs by degraders that need no training, and folders of real photographs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from sdflow_data.dataset.manifest import Dataset, finish_dataset, read_dataset
from sdflow_data.dataset.shards import ShardWriter, shard_path
from sdflow_data.models.degraders import load_degrader
from sdflow_data.statistics.frames import cut_patches

SCALE, SIZE, VARIANTS = 2, 32, 2
STRANGE = "<script>alert('x')</script> & \"ü\".png"


def photographs() -> dict[str, np.ndarray]:
    """Four photographs; the name of one is as unfriendly as a file system allows."""
    names = (STRANGE.replace("/", "\u2215"), "b/coffee.png", "c.png", "d.png")
    images = (skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket())
    return dict(zip(names, images))


def write_dataset(
    folder: Path,
    model: str = "classical",
    patches: int = 6,
    shown: Callable[[], dict[str, np.ndarray]] = photographs,
) -> Dataset:
    """A shard per photograph, made by a degrader that needs no training."""
    degrader = load_degrader(model, SCALE, "cpu", "fp32")
    metadata = {"scale": SCALE, "patch_size": SIZE * SCALE, "variants": VARIANTS, "model": model, "seed": 0}
    for number, (name, photo) in enumerate(shown().items()):
        shard = ShardWriter(SIZE * SCALE, SCALE, VARIANTS)
        for row, hr in enumerate(cut_patches(photo, SIZE * SCALE, patches)):
            seeds = [1000 * number + 10 * row + k for k in range(VARIANTS)]
            lr = np.rint(degrader.degrade(hr, seeds, 0.8, None).lr).clip(0, 255).astype(np.uint8)
            columns = {
                "sample_id": [f"{number}-{row}-v{k}" for k in range(VARIANTS)],
                "source": name,
                "source_sha256": f"{number:064x}",
                "top": row,
                "left": 0,
                "component": [k % 2 for k in range(VARIANTS)],
            }
            shard.add(hr, lr, columns)
        path = shard_path(folder, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shard.finish(metadata))
    finish_dataset(folder, len(shown()), metadata)
    return read_dataset(folder)


def write_photographs(folder: Path) -> Path:
    """Real LR photographs: other scenes, and two files that give nothing."""
    folder.mkdir(parents=True)
    left, right, _ = skimage.data.stereo_motorcycle()
    for name, photo in {
        "m 1.png": left,
        "m2.png": right,
        "ihc.png": skimage.data.immunohistochemistry(),
    }.items():
        Image.fromarray(photo).reduce(2).save(folder / name)
    (folder / "no picture.png").write_text("text")
    Image.fromarray(left[:20, :20]).save(folder / "small.png")
    return folder
