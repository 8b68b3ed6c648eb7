"""Import of aligned pairs of pictures, real or synthetic, as a dataset."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from sdflow.errors import ArgumentError, SDFlowError
from sdflow.files import write_file
from sdflow.wording import counted

from ..dataset.manifest import INFO
from ..dataset.plan import Cut, FoundPicture, Plan, scan, shard_key
from ..dataset.provenance import UNSAID, Provenance
from ..dataset.recipe import PAIRS, PatchGrid, Recipe
from ..dataset.schema import patch_columns
from ..dataset.shards import Failure, ShardWriter, shard_path
from ..models.degraders import NO_COMPONENT
from ..statistics import CHEAP_COLUMNS, cheap_statistics
from ..system.folders import check_outside
from ..system.lock import OutputLock
from ..system.processes import in_processes
from ..system.progress import progress
from .folder import Outcome, check_claimable, failures_of_made, finish, store_plan
from .shard_maker import UnusableError, decode_lock, read_planned

_SCALES = range(2, 9)
_USUAL_PATCH = 256


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """The settings of an import.

    Attributes:
        patch_size: P, the side of an HR patch, a multiple of the scale; None for about 256.
        stride: the distance between patches in HR pixels, a multiple of the scale; None for P.
        patches_per_shard: the most patches in a shard.
        hr_name, lr_name: patterns of the names without suffixes; ``{}`` stands for the part that both names
            share. Other files are ignored.
        provenance: licences and sources of the photographs. Missing statements are taken from a
            croissant.json beside them.
    """

    patch_size: int | None = None
    stride: int | None = None
    patches_per_shard: int = 128
    hr_name: str = "{}"
    lr_name: str = "{}"
    provenance: Provenance = UNSAID

    def recipe(self, scale: int, pairs: "Sequence[_PicturePair]") -> Recipe:
        """The recipe of the dataset. Its hash is that of the pictures.

        Raises:
            SDFlowError: a size is not a multiple of the scale.
        """
        patch_size = _USUAL_PATCH // scale * scale if self.patch_size is None else self.patch_size
        stride = patch_size if self.stride is None else self.stride
        for argument, size in (("patch_size", patch_size), ("stride", stride)):
            if size < 1 or size % scale:
                raise ArgumentError(
                    argument, f"expected a multiple of the pairs' scale {scale}, found {size}"
                )
        names = sorted((side.source, side.sha256) for pair in pairs for side in pair)
        return Recipe(
            model=PAIRS,
            model_hash=hashlib.sha256(json.dumps(names).encode()).hexdigest(),
            grid=PatchGrid(
                scale=scale,
                patch_size=patch_size,
                stride=stride,
                variants=1,
                patches_per_shard=self.patches_per_shard,
            ),
            sampling=None,
        )


class _PicturePair(NamedTuple):
    hr: FoundPicture
    lr: FoundPicture


class _Task(NamedTuple):
    """A shard to make, with its pairs by the source of the HR picture."""

    number: int
    cuts: tuple[Cut, ...]
    pairs: dict[str, _PicturePair]


def import_pairs(
    request: ImportRequest, hr_folder: Path, lr_folder: Path, out: Path, workers: int | None = None
) -> Outcome:
    """Make a dataset of pairs of pictures with the same names in two folders.

    The scale is that of most pairs. failures.csv lists pairs of another scale, pictures without a partner,
    files that are not pictures, and further pairs with the same HR picture.

    Args:
        request: the settings.
        hr_folder, lr_folder: folders, searched to any depth. Partners have the same path, except for the
            suffix.
        out: the folder of the dataset: new, empty, or begun with the same request and pictures.
        workers: processes; None for one per core.

    Raises:
        SDFlowError: a setting is wrong, no pair is usable, or the output folder has other contents or is in
            use.
    """
    check_outside(out, [hr_folder, lr_folder])
    pairs, failures = _match(request, hr_folder, lr_folder)
    scale = _common_scale(pairs)
    fitting = [pair for pair in pairs if _scale(pair) == scale]
    failures += [_misfit(pair, scale) for pair in pairs if _scale(pair) != scale]
    whole = [_in_whole_lr_pixels(pair.hr, scale) for pair in fitting]
    plan = Plan(request.recipe(scale, fitting)).extended(whole, failures)
    if not plan.patches:
        first = plan.skipped[0]
        raise SDFlowError(f"{hr_folder}: no pair is usable; for instance {first.source}: {first.reason}")
    with OutputLock(out, None):
        _begin(plan, out)
        _make(plan, {pair.hr.source: pair for pair in fitting}, out, workers)
        info = finish(out, plan, request.provenance.or_else(Provenance.beside([hr_folder, lr_folder])))
    return Outcome(info, plan.patches, info["counts"]["patches"], len(plan.skipped))


def _match(
    request: ImportRequest, hr_folder: Path, lr_folder: Path
) -> tuple[list[_PicturePair], list[Failure]]:
    """Pair the pictures by name; returns the pairs, and the pictures without a partner.

    Raises:
        SDFlowError: there is no pair.
    """
    hr_found, failures = scan([hr_folder])
    lr_found, lr_failures = scan([lr_folder])
    failures += [failure._replace(reason=f"LR picture: {failure.reason}") for failure in lr_failures]
    hr_by_name = _by_name(hr_found, "hr_name", request.hr_name)
    lr_by_name = _by_name(lr_found, "lr_name", request.lr_name)
    pairs = []
    for name in sorted(hr_by_name.keys() | lr_by_name.keys()):
        hr, lr = hr_by_name.get(name, []), lr_by_name.get(name, [])
        if len(hr) == len(lr) == 1:
            pairs.append(_PicturePair(hr[0], lr[0]))
            continue
        for side, own, others in (("HR", hr, lr), ("LR", lr, hr)):
            reason = f"one of {counted(len(own), f'{side} picture')} for {len(others)} on the other side"
            failures += [Failure(picture.source, None, None, reason) for picture in own]
    if not pairs:
        raise SDFlowError(f"{lr_folder}: expected pictures of the names that {hr_folder} has, found none")
    return pairs, failures


def _by_name(pictures: Sequence[FoundPicture], argument: str, pattern: str) -> dict[str, list[FoundPicture]]:
    """Pictures by path, without the suffix and the fixed parts of the pattern."""
    if pattern.count("{}") != 1:
        raise ArgumentError(argument, f"expected a name with one {{}} in it, found {pattern!r}")
    before, after = pattern.split("{}")
    by_name: dict[str, list[FoundPicture]] = {}
    for picture in pictures:
        path = PurePosixPath(picture.source)
        middle = path.stem.removeprefix(before).removesuffix(after)
        if middle and before + middle + after == path.stem:
            by_name.setdefault(f"{path.parent}/{middle}", []).append(picture)
    return by_name


def _scale(pair: _PicturePair) -> int | None:
    """The integer ratio of HR to LR size; None if there is none.

    LR sides may be rounded up, as in `downscale_picture`.
    """
    hr, lr = pair
    ratio = (hr.height * hr.width / (lr.height * lr.width)) ** 0.5
    for nearest in sorted(_SCALES, key=lambda s: abs(s - ratio)):
        if (-(-hr.height // nearest), -(-hr.width // nearest)) == (lr.height, lr.width):
            return nearest
    return None


def _in_whole_lr_pixels(picture: FoundPicture, scale: int) -> FoundPicture:
    """The part of an HR picture that corresponds to whole LR pixels."""
    height, width = (side // scale * scale for side in (picture.height, picture.width))
    return replace(picture, height=height, width=width)


def _common_scale(pairs: Sequence[_PicturePair]) -> int:
    """The scale of most pairs."""
    counts = Counter(scale for pair in pairs if (scale := _scale(pair)) is not None)
    if not counts:
        hr, lr = pairs[0]
        raise SDFlowError(
            f"{hr.path}: expected {_SCALES[0]} to {_SCALES[-1]} times the {lr.width}x{lr.height} pixels of "
            f"{lr.path}, found {hr.width}x{hr.height}; no other pair fits either"
        )
    return max(counts, key=lambda scale: (counts[scale], -scale))


def _misfit(pair: _PicturePair, scale: int) -> Failure:
    hr, lr = pair
    expected = f"{lr.width * scale}x{lr.height * scale} pixels, {scale} times its LR picture as most are"
    return Failure(hr.source, None, None, f"expected {expected}, found {hr.width}x{hr.height}")


def _begin(plan: Plan, out: Path) -> None:
    """Claim the folder for this plan, unless it holds other files."""
    check_claimable(out)
    begun = Plan.load(out)
    if begun is not None:
        begun.recipe.check_same(out, plan.recipe)
    store_plan(out, plan, begun)
    (out / "shards").mkdir(exist_ok=True)


def _make(plan: Plan, pairs: dict[str, _PicturePair], out: Path, workers: int | None) -> None:
    """Make the missing shards."""
    tasks = []
    for number in range(plan.shards):
        if failures_of_made(out, plan, number, CHEAP_COLUMNS) != []:
            cuts = plan.shard(number)
            tasks.append(_Task(number, cuts, {cut.picture.source: pairs[cut.picture.source] for cut in cuts}))
    if tasks:
        (out / INFO).unlink(missing_ok=True)
    with progress(plan.patches, "importing", "patches") as bar:
        bar.update(plan.patches - sum(len(cut) for task in tasks for cut in task.cuts))
        for patches in in_processes(partial(_make_shard, plan.recipe, out), tasks, workers):
            bar.update(patches)


def _make_shard(recipe: Recipe, out: Path, task: _Task) -> int:
    """Make one shard; returns the number of its planned patches."""
    grid = recipe.grid
    size, lr_size = grid.patch_size, grid.patch_size // grid.scale
    writer = ShardWriter(size, grid.scale, grid.variants)
    failures = []
    for cut in task.cuts:
        pair = task.pairs[cut.picture.source]
        try:
            with decode_lock(cut.picture):
                hr = read_planned(pair.hr, pair.hr.path)
                lr = _read_lr(pair.lr)
        except UnusableError as error:
            failures.append(Failure(cut.picture.source, None, None, str(error)))
            continue
        for patch in cut.patches(grid):
            hr_patch = hr[patch.top :, patch.left :][:size, :size]
            lr_patch = lr[patch.top // grid.scale :, patch.left // grid.scale :][:lr_size, :lr_size][None]
            columns = patch_columns(
                patch,
                pair.hr.source,
                lr_source=(pair.lr.source, pair.lr.sha256),
                component=np.array([NO_COMPONENT]),
                temperature=0.0,
                seed=np.zeros(1, np.int64),
                draw=np.zeros(1, np.int32),
            )
            writer.add(hr_patch, lr_patch, columns | cheap_statistics(hr_patch, lr_patch))
    content = writer.finish(recipe.to_json(), shard_key(recipe, task.cuts, CHEAP_COLUMNS), failures)
    write_file(shard_path(out, task.number), content)
    return sum(map(len, task.cuts))


def _read_lr(lr: FoundPicture) -> np.ndarray:
    try:
        return read_planned(lr, lr.path)
    except UnusableError as error:
        raise UnusableError(f"its LR picture: {error}") from error
