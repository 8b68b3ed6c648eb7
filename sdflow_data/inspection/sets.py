"""Measuring whole datasets and folders of photographs, in parallel."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sdflow.errors import SDFlowError

from ..dataset.manifest import Dataset
from ..dataset.shards import ShardReader, Sizes, shard_path
from ..images.finding import search
from ..images.picture import PictureError
from ..images.reading import read_picture
from ..statistics.frames import bicubic_frame, bicubic_patches, cut_patches, frame_of_pairs, frame_of_patches
from ..statistics.kernel import Kernel, KernelSums, kernel_sums, least_kernel_size
from ..system.parallel import in_order

_PATCHES_PER_TASK = 128
_WORTH_A_PROCESS = 512
"""Number of patches below which starting processes takes longer than the work."""

_MOST_KEPT, _MOST_KEPT_BYTES = 2000, 2**26
"""Limits of the patches whose pixels are kept for the classifier and the gallery."""

_MOST_FOR_KERNEL = 200
_LEAST_SUM = 0.1
"""Sum of the taps of a kernel, which is about 1, below which LR does not depend on HR, as in plain areas."""

_MOST_PARTNERS = 500


@dataclass(frozen=True)
class MeasuredPatches:
    """LR patches and their statistics.

    Attributes:
        frame: one row per patch or sample; column ``group`` names its photograph.
        pixels: (M, p, p, 3) uint8: some of the patches, spread evenly over the set.
        rows: (M,): the row of the frame for each of ``pixels``.
    """

    frame: pd.DataFrame
    pixels: np.ndarray
    rows: np.ndarray

    @property
    def groups(self) -> np.ndarray:
        """(M,): the photograph of each of ``pixels``."""
        return self.frame["group"].to_numpy()[self.rows]


@dataclass(frozen=True)
class MeasuredDataset:
    """A dataset, its bicubic counterpart, and the kernel between HR and LR.

    Attributes:
        samples: all samples, in the order of the manifest.
        bicubic: the bicubic LR of up to 2000 patches, spread evenly.
        kernel: the blur kernel; None if LR patches are too small to contain it, or plain.
    """

    samples: MeasuredPatches
    bicubic: MeasuredPatches
    kernel: Kernel | None


@dataclass(frozen=True)
class _Rows:
    """A task: rows ``start`` to ``stop`` of a shard.

    Attributes:
        first: the index in the dataset of the patch in row ``start``.
        keep_every: the pixels of patches whose index is a multiple of this are kept.
        fit_every: the kernel is fitted to patches whose index is a multiple of this.
    """

    shard: Path
    sizes: Sizes
    start: int
    stop: int
    first: int
    keep_every: int
    fit_every: int


@dataclass(frozen=True)
class _RowsMeasured:
    frame: pd.DataFrame
    kept: np.ndarray
    lr: np.ndarray
    bicubic: np.ndarray
    bicubic_frame: pd.DataFrame
    kernel: KernelSums | None


def measure_dataset(dataset: Dataset, workers: int | None = None) -> MeasuredDataset:
    """Measure all samples of a dataset, and the bicubic LR of up to 2000 of its patches.

    The group of a sample is the SHA-256 of its photograph.

    Args:
        dataset: the dataset.
        workers: processes; None for one per core.
    """
    places = dataset.columns(["shard", "row", "source_sha256"])
    patches, variants = dataset.info["counts"]["patches"], dataset.info["variants"]
    keep_every = -(-patches // _most_kept(dataset.info["patch_size"] // dataset.info["scale"]))
    fit_every = -(-patches // _MOST_FOR_KERNEL)
    tasks: list[_Rows] = []
    before = 0
    for number, rows in (places.groupby("shard")["row"].max() + 1).items():
        for start in range(0, rows, _PATCHES_PER_TASK):
            stop = min(start + _PATCHES_PER_TASK, rows)
            path = shard_path(dataset.folder, number)
            tasks.append(_Rows(path, dataset.sizes, start, stop, before + start, keep_every, fit_every))
        before += rows
    if patches < _WORTH_A_PROCESS:
        workers = 1
    done = in_order(
        _measure_rows, tasks, [t.stop - t.start for t in tasks], workers, "Measuring pairs", "patches"
    )
    groups = places["source_sha256"].to_numpy()
    frame = pd.concat([part.frame for part in done], ignore_index=True).assign(group=groups)
    chosen = np.concatenate([part.kept for part in done])
    kernels = [part.kernel for part in done if part.kernel is not None]
    bicubic = pd.concat([part.bicubic_frame for part in done], ignore_index=True)
    return MeasuredDataset(
        samples=MeasuredPatches(
            frame,
            np.concatenate([p.lr for p in done]),
            chosen * variants + _kept_variant(chosen, keep_every, variants),
        ),
        bicubic=MeasuredPatches(
            bicubic.assign(group=groups[chosen * variants]),
            np.concatenate([p.bicubic for p in done]),
            np.arange(len(chosen)),
        ),
        kernel=_solved(kernels),
    )


def measure_photographs(
    folder: Path, size: int, most: int = 2000, workers: int | None = None
) -> tuple[MeasuredPatches, list[PictureError]]:
    """Measure patches of the photographs in a folder.

    Args:
        folder: the folder. It is searched to any depth.
        size: side of a patch in pixels.
        most: the most patches. Every photograph gives the same number if it is large enough. If there are
            more photographs than ``most``, a part of them is used, spread evenly over their names.
        workers: processes; None for one per core.

    Returns:
        The patches, and the errors of the files without a patch.

    Raises:
        SDFlowError: there are no pictures, or none is large enough.
    """
    listing = search(folder)
    names = listing.pictures
    names = names[:: -(-len(names) // most)]
    most = min(most, _most_kept(size))
    tasks = [_Photograph(folder / name, str(name), size, -(-most // len(names))) for name in names]
    if len(tasks) < _WORTH_A_PROCESS // 8:
        workers = 1
    each = [1] * len(tasks)
    done = in_order(_measure_photograph, tasks, each, workers, "Measuring photographs", "photographs")
    skipped = listing.skipped + [part for part in done if isinstance(part, PictureError)]
    found = [part for part in done if not isinstance(part, PictureError)]
    if not found:
        why = f"; {skipped[0]}" if skipped else ""
        raise SDFlowError(f"{folder}: expected photographs of at least {size}x{size} pixels, found none{why}")
    frame = pd.concat([frame for frame, _ in found], ignore_index=True)
    pixels = np.concatenate([pixels for _, pixels in found])
    return MeasuredPatches(frame, pixels, np.arange(len(pixels))), skipped


@dataclass(frozen=True)
class _Photograph:
    path: Path
    name: str
    size: int
    most: int


def _measure_photograph(task: _Photograph) -> tuple[pd.DataFrame, np.ndarray] | PictureError:
    try:
        picture = read_picture(task.path)
    except PictureError as error:
        return error
    patches = cut_patches(picture, task.size, task.most)
    if not len(patches):
        found = f"{picture.shape[1]}x{picture.shape[0]}"
        return PictureError(task.path, f"expected at least {task.size}x{task.size} pixels, found {found}")
    return frame_of_patches(patches, [task.name] * len(patches)), patches


def _measure_rows(task: _Rows) -> _RowsMeasured:
    with ShardReader(task.shard, task.sizes) as shard:
        hr, lr = shard.hr[task.start : task.stop], shard.lr[task.start : task.stop]
    indices = task.first + np.arange(len(hr))
    kept, fitted = indices % task.keep_every == 0, indices % task.fit_every == 0
    size, variants = lr.shape[2], lr.shape[1]
    has_kernel = fitted.any() and size >= least_kernel_size(hr.shape[1] // size)
    return _RowsMeasured(
        frame=frame_of_pairs(hr, lr),
        kept=indices[kept],
        lr=lr[kept, _kept_variant(indices[kept], task.keep_every, variants)],
        bicubic=bicubic_patches(hr[kept], size),
        bicubic_frame=bicubic_frame(hr[kept], size),
        kernel=kernel_sums(hr[fitted], lr[fitted]) if has_kernel else None,
    )


def _solved(parts: list[KernelSums]) -> Kernel | None:
    if not parts:
        return None
    kernel = sum(parts[1:], parts[0]).solve()
    return kernel if kernel.taps.sum() > _LEAST_SUM else None


def _most_kept(size: int) -> int:
    return max(1, min(_MOST_KEPT, _MOST_KEPT_BYTES // (3 * size * size)))


def _kept_variant(indices: np.ndarray, keep_every: int, variants: int) -> np.ndarray:
    """The variant that is kept of each patch: all variants in rotation."""
    return indices // keep_every % variants


def read_partners(dataset: Dataset, real: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Samples and the real LR of the HR patches that both datasets have.

    Patches are the same if they have the same position in photographs of the same bytes.

    Returns:
        Samples (N, K, p, p, 3), real LR (N, p, p, 3) and HR (N, s*p, s*p, 3) of up to 500 patches, spread
        evenly; None if there are none.
    """
    key = ["source_sha256", "top", "left"]
    ours, theirs = (part.columns([*key, "shard", "row"]).drop_duplicates(key) for part in (dataset, real))
    both = ours.merge(theirs, on=key, suffixes=("", "_real"))
    if both.empty:
        return None
    both = both.iloc[:: -(-len(both) // _MOST_PARTNERS)].sort_values(["shard", "row"])
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for (shard, other), rows in both.groupby(["shard", "shard_real"]):
        with dataset.shard(shard) as one, real.shard(other) as two:
            found += [(one.lr[a], two.lr[b][0], one.hr[a]) for a, b in zip(rows["row"], rows["row_real"])]
    generated, partners, hr = (np.stack(side) for side in zip(*found))
    return generated, partners, hr
