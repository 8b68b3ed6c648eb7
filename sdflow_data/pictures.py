"""Whole pictures of any size, down and up, through tiles where they are large.

A picture is held as 8-bit pixels; floating point exists for one tile at a time. Noise belongs to places in
the picture, so that the tiles of one sample fit together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sdflow.errors import SDFlowError
from sdflow.noise import derive_seed
from sdflow.resample import quantise

from .degraders import MAX_DRAWS, Degrader
from .images import MAX_PIXELS, PictureError, find_pictures, read_picture, sha256_file
from .upscaler import SDFlowUpscaler


@dataclass(frozen=True)
class Samples:
    """Samples of one picture.

    Attributes:
        pictures: uint8 (K, H, W, 3), RGB.
        redrawn: how many draws were thrown away because they held values that are not finite.
    """

    pictures: np.ndarray
    redrawn: int


def downscale_picture(
    path: Path,
    degrader: Degrader,
    *,
    variants: int = 1,
    temperature: float = 0.8,
    weights: np.ndarray | None = None,
    seed: int = 0,
    tile: int = 1024,
) -> Samples:
    """LR samples of the picture in a file.

    Args:
        path: a picture of any size from 1x1 up.
        degrader: makes the samples.
        variants: K, how many.
        temperature, weights: see `Degrader.degrade`.
        seed: of the run. A sample depends on it, the file's bytes and the variant's number.
        tile: side of a tile in HR pixels, without its surroundings; taken to the multiple that the model
            needs. The classical degrader always sees the whole picture.

    Returns:
        Pictures of ceil(H/s) x ceil(W/s) pixels.

    Raises:
        PictureError: the file gives no picture.
        SDFlowError: a sample was not finite in any of its draws.
    """

    def of_tile(hr: np.ndarray, seeds: Sequence[int], top: int, left: int) -> np.ndarray:
        return degrader.degrade(hr, seeds, temperature, weights, top=top, left=left).lr

    cuts = _Cuts(tile, degrader.halo, degrader.multiple)
    return _convert(path, read_picture(path), cuts, Fraction(1, degrader.scale), of_tile, variants, seed)


def upscale_picture(
    path: Path, upscaler: SDFlowUpscaler, *, temperature: float = 0.8, seed: int = 0, tile: int = 256
) -> Samples:
    """The SR sample of the picture in a file.

    Args:
        path: a picture of any size from 1x1 up.
        upscaler: makes the sample.
        temperature: of the latent noise.
        seed: of the run. The sample depends on it and the file's bytes.
        tile: side of a tile in LR pixels, without its surroundings; taken to an even number.

    Returns:
        One picture of sH x sW pixels.

    Raises:
        PictureError: the file gives no picture, or one whose SR would be larger than any file may be.
        SDFlowError: the sample was not finite in any of its draws.
    """
    picture = read_picture(path)
    height, width = (side * upscaler.scale for side in picture.shape[:2])
    if height * width > MAX_PIXELS:
        raise PictureError(path, f"its SR picture of {width}x{height} would be over {MAX_PIXELS} pixels")

    def of_tile(lr: np.ndarray, seeds: Sequence[int], top: int, left: int) -> np.ndarray:
        return upscaler.upscale(lr, seeds, temperature, top=top, left=left)

    cuts = _Cuts(tile, upscaler.halo, upscaler.multiple)
    return _convert(path, picture, cuts, Fraction(upscaler.scale), of_tile, 1, seed)


class Job(NamedTuple):
    """A picture to convert and the files to make of it, one for each variant."""

    source: Path
    targets: tuple[Path, ...]


def plan_pictures(source: Path, output: Path, variants: int = 1) -> list[Job]:
    """Which files a file or a folder of pictures becomes: PNG under the same names and subfolders.

    Args:
        source: a picture or a folder of pictures.
        output: a folder; or, for a single picture, the PNG file to write if the name ends in ``.png``.
        variants: where there are more than one, ``NAME.png`` becomes ``NAME_v0.png``, ``NAME_v1.png``, ...

    Raises:
        SDFlowError: no pictures, an output within the source folder, or two files of one name.
    """
    if source.is_dir():
        if output.resolve().is_relative_to(source.resolve()):
            raise SDFlowError(f"{output}: expected an output folder outside of {source}, found it inside")
        pairs = [(source / path, output / path.with_suffix(".png")) for path in find_pictures(source)]
    elif not source.exists():
        raise SDFlowError(f"{source}: expected a picture or a folder of pictures, found nothing")
    elif output.suffix.lower() == ".png" and not output.is_dir():
        pairs = [(source, output)]
    else:
        pairs = [(source, output / f"{source.stem}.png")]
    jobs = [Job(path, _variant_names(target, variants)) for path, target in pairs]
    _refuse_collisions(jobs)
    return jobs


def _variant_names(target: Path, variants: int) -> tuple[Path, ...]:
    if variants == 1:
        return (target,)
    return tuple(target.with_name(f"{target.stem}_v{k}.png") for k in range(variants))


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    made: dict[Path, Path] = {}
    for job in jobs:
        for target in job.targets:
            if target in made:
                raise SDFlowError(f"{job.source}: would be written to {target}, and so would {made[target]}")
            if target.resolve() == job.source.resolve():
                raise SDFlowError(f"{target}: expected an output that is not the input itself")
            made[target] = job.source


class _Span(NamedTuple):
    """One tile along one axis: what is computed, and within it what is kept."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class _Cuts:
    """How a model wants pictures cut into tiles: see `Degrader` for ``halo`` and ``multiple``."""

    tile: int
    halo: int | None
    multiple: int

    def spans(self, length: int) -> Iterator[_Span]:
        tile = max(self.tile // self.multiple, 1) * self.multiple
        if self.halo is None or length <= tile:
            yield _Span(0, length, 0, length)
            return
        for start in range(0, length, tile):
            stop = min(start + tile, length)
            yield _Span(max(start - self.halo, 0), min(stop + self.halo, length), start, stop)


_OfTile = Callable[[np.ndarray, Sequence[int], int, int], np.ndarray]
"""A window of the picture, seeds, its top and its left -> float32 (seeds, h, w, 3), grey levels."""


def _convert(
    path: Path,
    picture: np.ndarray,
    cuts: _Cuts,
    ratio: Fraction,
    of_tile: _OfTile,
    variants: int,
    run_seed: int,
) -> Samples:
    """Draw all variants of a picture, and those that are not finite again from their next seeds."""
    identity = int(sha256_file(path), 16)
    padded = _pad(picture, cuts.multiple)

    def draw(wanted: Sequence[int], number: int) -> tuple[np.ndarray, np.ndarray]:
        seeds = [derive_seed(run_seed, identity, variant, number) for variant in wanted]
        return _through_tiles(padded, cuts, ratio, of_tile, seeds)

    samples, finite = draw(range(variants), 0)
    redrawn = 0
    for number in range(1, MAX_DRAWS):
        if finite.all():
            break
        again = np.flatnonzero(~finite)
        samples[again], finite[again] = draw(again.tolist(), number)
        redrawn += len(again)
    if not finite.all():
        failed = np.flatnonzero(~finite)[0]
        raise SDFlowError(f"{path}: variant {failed} was not finite in any of {MAX_DRAWS} draws")
    height, width = (ceil(side * ratio) for side in picture.shape[:2])
    return Samples(samples[:, :height, :width], redrawn)


def _pad(picture: np.ndarray, multiple: int) -> np.ndarray:
    """Reflect a picture at its lower and right border to multiples of ``multiple``, at least two of them."""
    wanted = (max(-(-side // multiple), 2) * multiple for side in picture.shape[:2])
    missing = [(0, want - side) for want, side in zip(wanted, picture.shape[:2])]
    return np.pad(picture, (*missing, (0, 0)), mode="reflect") if any(m for _, m in missing) else picture


def _through_tiles(
    picture: np.ndarray, cuts: _Cuts, ratio: Fraction, of_tile: _OfTile, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """One sample of a picture for each seed, tile by tile.

    Returns:
        uint8 (K, H * ratio, W * ratio, 3), and which of them are finite, bool (K,).
    """

    def part(start: int, stop: int) -> slice:
        return slice(int(start * ratio), int(stop * ratio))

    height, width = (int(side * ratio) for side in picture.shape[:2])
    samples = np.empty((len(seeds), height, width, 3), np.uint8)
    finite = np.ones(len(seeds), bool)
    for y in cuts.spans(picture.shape[0]):
        for x in cuts.spans(picture.shape[1]):
            values = of_tile(picture[y.start : y.stop, x.start : x.stop], seeds, y.start, x.start)
            rows = part(y.keep_start - y.start, y.keep_stop - y.start)
            columns = part(x.keep_start - x.start, x.keep_stop - x.start)
            kept = values[:, rows, columns]
            finite &= np.isfinite(kept).all((1, 2, 3))
            rows, columns = part(y.keep_start, y.keep_stop), part(x.keep_start, x.keep_stop)
            samples[:, rows, columns] = quantise(torch.from_numpy(kept)).numpy()
    return samples, finite
