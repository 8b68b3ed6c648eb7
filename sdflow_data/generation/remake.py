"""Reproduction of a single sample of a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sdflow.errors import ArgumentError, SDFlowError

from ..dataset.identity import PatchId, parse_sample_id
from ..dataset.plan import Plan, PlannedPicture, locate
from ..dataset.shards import ShardReader, shard_path
from .run import GenerationRequest
from .shard_maker import GenerationJob, ShardMaker, UnusableError, read_planned


@dataclass(frozen=True)
class Difference:
    """The difference between a reproduced sample and the stored one.

    Attributes:
        values: the number of differing bytes.
        largest: the largest difference in grey levels.
    """

    values: int
    largest: int


def remake(request: GenerationRequest, hr_folders: Sequence[Path], out: Path, sample_id: str) -> Difference:
    """Reproduce a sample from the HR picture and compare it with the stored one.

    Args:
        request: the settings of the dataset.
        hr_folders: the folders of HR pictures.
        out: the dataset.
        sample_id: the identifier of the sample.

    Raises:
        SDFlowError: the dataset or the picture is missing, or the request differs from the dataset's.
    """
    plan = Plan.load(out)
    if plan is None:
        raise SDFlowError(f"{out}: expected a dataset that `sdflow generate` made, found no plan in it")
    plan.recipe.check_same(out, request.recipe(plan.recipe))
    stored = _find(plan, out, sample_id)
    picture, patch = stored.picture, stored.patch
    try:
        pixels = read_planned(picture, locate([picture], hr_folders).get(picture.sha256))
    except UnusableError as error:
        raise SDFlowError(f"{picture.source}: {error}") from error
    size = plan.recipe.grid.patch_size
    maker = ShardMaker(GenerationJob(out, request.model, plan.recipe))
    samples = maker.draw(pixels[patch.top :, patch.left :][:size, :size], patch)
    if samples is None:
        raise SDFlowError(f"{sample_id}: expected a finite sample, found one that is not")
    distance = np.abs(samples.levels()[stored.variant].astype(np.int16) - stored.lr)
    return Difference(int(np.count_nonzero(distance)), int(distance.max()))


class _Stored(NamedTuple):
    picture: PlannedPicture
    patch: PatchId
    variant: int
    lr: np.ndarray  # uint8 (P/s, P/s, 3)


def _find(plan: Plan, out: Path, sample_id: str) -> _Stored:
    """Find a stored sample.

    Raises:
        ArgumentError: the dataset has no such sample.
    """
    named = parse_sample_id(sample_id)
    if named is None:
        raise ArgumentError("sample_id", f"expected one as in the manifest, found {sample_id!r}")
    grid, place = plan.recipe.grid, (named.top, named.left)
    for picture in plan.pictures:
        if not picture.sha256.startswith(named.sha256):
            continue
        index = grid.index(picture.height, picture.width, place)
        if index is not None:
            number = (picture.slot + index) // grid.patches_per_shard
            with ShardReader(shard_path(out, number)) as shard:
                ids = shard.columns().get("sample_id", np.empty((0, 0), object))
                for row, variant in np.argwhere(ids == sample_id):
                    patch = PatchId(picture.sha256, *place)
                    return _Stored(picture, patch, variant, shard.lr[row, variant])
    raise ArgumentError("sample_id", f"expected a sample of {out}, found {sample_id}, which is not in it")
