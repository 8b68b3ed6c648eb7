"""Making one sample of a dataset again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sdflow.errors import ArgumentError, SDFlowError

from ..dataset.plan import Plan, Planned, locate
from ..dataset.shards import ShardReader, shard_path
from ..images.patches import grid
from .run import Request
from .shard_maker import Job, ShardMaker, UnusableError, read_planned


@dataclass(frozen=True)
class Difference:
    """Between a sample that was made again and the stored one: bytes that differ, and by how much at most."""

    values: int
    largest: int


def remake(request: Request, hr_folders: Sequence[Path], out: Path, sample_id: str) -> Difference:
    """Make a sample again, from the HR picture, and compare it with what the dataset in ``out`` holds.

    Raises:
        SDFlowError: the dataset or its picture is not there, or the request is not the dataset's.
    """
    plan = Plan.load(out)
    if plan is None:
        raise SDFlowError(f"{out}: expected a dataset that `sdflow generate` made, found no plan in it")
    plan.recipe.check_same(out, request.recipe(plan.recipe))
    stored = _find(plan, out, sample_id)
    picture, top, left = stored.picture, stored.top, stored.left
    try:
        pixels = read_planned(picture, locate([picture], hr_folders).get(picture.sha256))
    except UnusableError as error:
        raise SDFlowError(f"{picture.source}: {error}") from error
    size = plan.recipe.patch_size
    maker = ShardMaker(Job(out, request.model, plan.recipe))
    samples = maker.draw(pixels[top : top + size, left : left + size], picture.sha256, top, left)
    if samples is None:
        raise SDFlowError(f"{sample_id}: expected a finite sample, found one that is not")
    distance = np.abs(samples.levels()[stored.variant].astype(np.int16) - stored.lr)
    return Difference(int(np.count_nonzero(distance)), int(distance.max()))


class _Stored(NamedTuple):
    picture: Planned
    top: int
    left: int
    variant: int
    lr: np.ndarray  # uint8 (P/s, P/s, 3)


def _find(plan: Plan, out: Path, sample_id: str) -> _Stored:
    """The stored sample of that id."""
    parts = re.fullmatch(r"([0-9a-f]{16})-(\d{6,})-(\d{6,})-v\d{2,}", sample_id)
    if parts is None:
        raise ArgumentError("sample_id", f"expected one as in the manifest, found {sample_id!r}")
    recipe, place = plan.recipe, (int(parts[2]), int(parts[3]))
    for picture in plan.pictures:
        cells = grid(picture.height, picture.width, recipe.patch_size, recipe.stride)
        if picture.sha256.startswith(parts[1]) and place in cells:
            number = (picture.slot + cells.index(place)) // recipe.patches_per_shard
            with ShardReader(shard_path(out, number)) as shard:
                ids = shard.columns().get("sample_id", np.empty((0, 0), object))
                for row, variant in np.argwhere(ids == sample_id):
                    return _Stored(picture, *place, variant, shard.lr[row, variant])
    raise ArgumentError("sample_id", f"expected a sample of {out}, found {sample_id}, which is not in it")
