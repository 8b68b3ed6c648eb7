"""Small pictures, a quick engine and comparisons, for the tests of datasets."""

from collections.abc import Generator, Sequence
from pathlib import Path

import cv2
import numpy as np

from sdflow_data.dataset.manifest import read_dataset
from sdflow_data.generation.engines import Made
from sdflow_data.generation.folder import Outcome
from sdflow_data.generation.run import GenerationRequest, generate
from sdflow_data.generation.shard_maker import GenerationJob, ShardMaker, ShardTask

QUICK = GenerationRequest(model="classical", scale=2, patch_size=16, variants=2, patches_per_shard=5)
"""Of a 40x36 picture this makes 9 patches."""


class InProcess:
    """An engine without workers, that does the tasks from the last to the first."""

    def run(self, job: GenerationJob, tasks: Sequence[ShardTask]) -> Generator[Made, None, None]:
        maker = ShardMaker(job)
        for task in reversed(tasks):
            maker.make(task)
            yield Made(task.number, True)


def write_picture(path: Path, seed: int, height: int = 36, width: int = 40) -> None:
    """Save a smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    assert done
    path.write_bytes(data.tobytes())


def write_pictures(folder: Path, seeds: Sequence[int] = range(3)) -> Path:
    """Save random pictures, one for each seed."""
    for seed in seeds:
        write_picture(folder / f"{seed}.png", seed)
    return folder


def make(hr: Path, out: Path, request: GenerationRequest = QUICK, shards: range | None = None) -> Outcome:
    """Generate in this process."""
    return generate(request, [hr], out, InProcess(), shards)


def samples_of(folder: Path) -> dict[str, tuple[bytes, bytes]]:
    """The bytes of HR and LR by sample_id; every sample once."""
    samples = {}
    for hr, lr, rows in read_dataset(folder).patches():
        for sample_id, variant in zip(rows["sample_id"], rows["variant"]):
            assert sample_id not in samples
            samples[sample_id] = (hr.tobytes(), lr[variant].tobytes())
    return samples


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of every file in a folder, by its relative path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
