"""The cameras of a folder of LR photographs: what is looked at, and their measurement."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sdflow.errors import SDFlowError
from sdflow.measurement import CameraMeasurement, Measured
from sdflow.model import SDFlow
from sdflow.noise import derive_seed
from sdflow.resample import to_levels, to_unit
from sdflow.spectra import SIZE

from ..images.codec import Codec
from ..images.finding import find_pictures
from ..images.picture import PictureError
from ..images.reading import read_picture
from ..models.cameras import (
    CameraGroup,
    CameraLook,
    group_photographs,
    merged_into_nearest,
    united,
)
from ..statistics.photograph import Photograph, measure_photograph, photograph_frame
from ..system.progress import progress

_SAME_NOISE, _SAME_QUALITY, _SAME_BLUR = 0.25, 5.0, 1.0
"""Largest differences within a camera: log of the noise in flat areas, JPEG quality, blur in pixels."""

_BLOCK = 448
"""Side of the blocks of a photograph, in LR pixels."""

_BLOCKS, _OF_A_PHOTOGRAPH = 400, 6
"""The most blocks of a side (HR or LR), and of one photograph."""


@dataclass(frozen=True)
class GroupCamera:
    """A camera of the LR photographs.

    Attributes:
        look: the properties of its photographs.
        measured: the measured camera.
        codec: the compression of its photographs.
    """

    look: CameraLook
    measured: Measured
    codec: Codec


@dataclass(frozen=True)
class FolderCameras:
    """The cameras of the LR photographs of a training.

    Attributes:
        cameras: the cameras, the most frequent first.
        merged: the number of photographs that were merged into other groups, because theirs had fewer than
            `LEAST_MEMBERS`, or flat areas at a single brightness.
        measured: the number of measured LR photographs.
        photographs: the number of LR photographs in the folders.
        skipped: photographs of both sides that could not be measured, with the reasons.
    """

    cameras: list[GroupCamera]
    merged: int
    measured: int
    photographs: int
    skipped: dict[Path, str]


def measure_cameras(
    hr_folders: Sequence[Path], lr_folders: Sequence[Path], model: SDFlow, seed: int, shown: bool = True
) -> FolderCameras:
    """Measure the cameras of the LR photographs: one, unless the photographs fall into groups.

    Up to 400 photographs of each side are measured, spread evenly; of large ones, random blocks.

    Args:
        hr_folders, lr_folders: the folders. They are searched to any depth.
        model: the model. Its f_HR computes the content of HR photographs, and its configuration limits the
            number of cameras.
        seed: the seed of the blocks.
        shown: whether progress is shown.

    Raises:
        SDFlowError: no photograph of a side can be decoded and is large enough.
    """
    all_lr, all_hr = (
        [folder / path for folder in folders for path in find_pictures(folder)]
        for folders in (lr_folders, hr_folders)
    )
    lr, hr = _chosen(all_lr), _chosen(all_hr)
    whole = CameraMeasurement(len(lr), len(hr))
    cut_lr, cut_hr = _Blocks(len(lr), 1, 1, seed), _Blocks(len(hr), model.scale, model.multiple, seed)
    device = next(model.parameters()).device
    photographs: list[tuple[int, Photograph]] = []
    with progress(len(lr) + len(hr), "Measuring the camera", "photographs", shown=shown) as bar:
        for number, path in enumerate(lr):
            if (picture := cut_lr.read(path)) is not None:
                photographs.append((number, measure_photograph(path, picture=picture)))
                for block in cut_lr.of(picture, number):
                    whole.add_lr(block, number)
            bar.update(1)
        for number, path in enumerate(hr):
            if (picture := cut_hr.read(path)) is not None:
                for block in cut_hr.of(picture, number):
                    with torch.no_grad():
                        content = model.encode_hr(to_unit(block[None]).to(device))
                    whole.add_content(to_levels(content[0]).cpu(), number)
            bar.update(1)

    for side, paths, cut in (("LR", lr, cut_lr), ("HR", hr, cut_hr)):
        cut.require_one(side, paths)

    def measured(members: np.ndarray) -> Measured:
        if len(members) == len(photographs):
            return whole.result()
        part = whole.another(len(members))
        for number, _ in (photographs[row] for row in members):
            if (picture := cut_lr.read(lr[number])) is not None:
                for block in cut_lr.of(picture, number):
                    part.add_lr(block, number)
        return part.result()

    frame = photograph_frame([photograph for _, photograph in photographs])
    found, merged = _measured_groups(frame, measured, model.config.components)
    codecs = [Codec.of(photographs[row][1].codec for row in group.members) for group, _ in found]
    return FolderCameras(
        cameras=[GroupCamera(group.look, camera, codec) for (group, camera), codec in zip(found, codecs)],
        merged=merged,
        measured=len(photographs),
        photographs=len(all_lr),
        skipped=cut_lr.skipped | cut_hr.skipped,
    )


def _measured_groups(
    frame: pd.DataFrame, measure: Callable[[np.ndarray], Measured], most: int
) -> tuple[list[tuple[CameraGroup, Measured]], int]:
    """The measurable groups, with their cameras; and the number of photographs merged into others."""
    known: dict[bytes, Measured] = {}
    groups, merged = group_photographs(frame, most)
    while len(groups) > 1:
        for group in groups:
            key = group.members.tobytes()
            known[key] = known.get(key) or measure(group.members)
        found = [(group, known[group.members.tobytes()]) for group in groups]
        if unclear := [number for number, (_, measured) in enumerate(found) if _too_plain(measured)]:
            merged += len(groups[unclear[-1]].members)
            groups = merged_into_nearest(frame, groups, unclear[-1])
            continue
        same = next((pair for pair in combinations(found, 2) if _of_one_camera(*pair)), None)
        if same is None:
            return found, merged
        (first, _), (second, _) = same
        groups = united(frame, groups, first, second)
    return [(group, measure(np.arange(len(frame)))) for group in groups], merged


def _too_plain(measured: Measured) -> bool:
    return len(measured.noise) < 2


def _of_one_camera(first: tuple[CameraGroup, Measured], second: tuple[CameraGroup, Measured]) -> bool:
    """Whether two groups may be of one camera, with different scenes.

    Textures resemble noise, and smooth scenes resemble blur. In flat areas, noise is the camera's. Groups
    with the same noise in flat areas and a similar JPEG quality count as one, unless they differ strongly in
    blur.
    """
    (one, camera), (other, camera_of_other) = first, second
    levels, noise = np.array(camera.noise).T
    noise_of_other = np.interp(levels, *np.array(camera_of_other.noise).T)
    return (
        abs(float(np.log(noise / noise_of_other).mean())) < _SAME_NOISE
        and abs(one.look.quality - other.look.quality) < _SAME_QUALITY
        and not abs(one.look.blur - other.look.blur) >= _SAME_BLUR  # NaN: small photographs do not tell it
    )


def _chosen(paths: list[Path]) -> list[Path]:
    """At most `_BLOCKS` of the paths, spread evenly."""
    if len(paths) <= _BLOCKS:
        return paths
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, _BLOCKS)]


class _Blocks:
    """Cuts blocks from photographs. Repeated calls give the same blocks.

    Args:
        photographs: the number of photographs.
        scale: the ratio of their size to LR size.
        multiple: sides and positions of blocks are multiples of this.
        seed: the seed of the choice of blocks.

    Attributes:
        skipped: the photographs that could not be decoded or are too small, with the reasons.
    """

    def __init__(self, photographs: int, scale: int, multiple: int, seed: int) -> None:
        self._side, self._least = _BLOCK * scale, SIZE * scale
        self._multiple, self._seed = multiple, seed
        self.skipped: dict[Path, str] = {}
        self._share = min(_OF_A_PHOTOGRAPH, max(1, _BLOCKS // max(1, photographs)))

    def read(self, path: Path) -> np.ndarray | None:
        """Read a photograph, cropped to multiples; None if it is too small or cannot be decoded."""
        try:
            picture = read_picture(path)
        except PictureError as error:
            self.skipped[path] = error.reason
            return None
        height, width = (length - length % self._multiple for length in picture.shape[:2])
        if min(height, width) < self._least:
            least = f"expected at least {self._least}x{self._least} pixels to measure the camera"
            self.skipped[path] = f"{least}, found {picture.shape[1]}x{picture.shape[0]}"
            return None
        return picture[:height, :width]

    def require_one(self, side: str, paths: Sequence[Path]) -> None:
        """Raise SDFlowError if none of the photographs of a side was of use."""
        if all(path in self.skipped for path in paths):
            raise SDFlowError(
                f"the camera cannot be measured: expected {side} photographs, found none of use among "
                f"{len(paths)} (the first, {paths[0]}: {self.skipped[paths[0]]})"
            )

    def of(self, picture: np.ndarray, number: int) -> Iterator[Tensor]:
        """Blocks (3, h, w) uint8 of a photograph, by its number."""
        height, width = picture.shape[:2]
        random = np.random.default_rng(derive_seed(self._seed, number))
        rows, columns = math.ceil(height / self._side), math.ceil(width / self._side)
        size = (min(self._side, height), min(self._side, width))
        places = [(row, column) for row in range(rows) for column in range(columns)]
        for index in random.permutation(len(places))[: self._share]:
            corner = [
                round(place * (length - extent) / max(1, count - 1)) if count > 1 else (length - extent) // 2
                for place, length, extent, count in zip(places[index], (height, width), size, (rows, columns))
            ]
            top, left = (start - start % self._multiple for start in corner)
            block = picture[top : top + size[0], left : left + size[1]]
            yield torch.from_numpy(np.ascontiguousarray(block)).permute(2, 0, 1)
