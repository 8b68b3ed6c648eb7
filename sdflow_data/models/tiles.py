"""Downscaling and upscaling of whole pictures of any size to PNG files; large pictures are cut into tiles.

Memory holds the picture as 8-bit pixels and one row of tiles of the output. Noise is a function of the
position in the picture, so that the tiles of one sample fit together.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sdflow.errors import SDFlowError
from sdflow.files import sha256_file
from sdflow.noise import derive_seed
from sdflow.resample import quantise

from ..images.codec import BandCoder, Codec, Jpeg
from ..images.finding import search
from ..images.formats import read_suffixes
from ..images.picture import PictureError
from ..images.reading import read_picture
from ..images.writing import writing_png
from ..system import names
from ..system.folders import check_outside, folds_case, resolved
from .degraders import MAX_DRAWS, Degrader, draw_codec
from .upscaler import SDFlowUpscaler

MAX_SR_PIXELS = 2**32
"""Larger SR pictures are refused. Many programs do not open pictures of more than 2^30 pixels."""

_TOGETHER = 16
"""Variants that are made in one pass over a picture. More need more memory and save little time."""


class Job(NamedTuple):
    """A picture to convert.

    Attributes:
        source: the picture.
        targets: the output files, one for each variant; empty if the picture is unusable.
        variants: the numbers of the variants; empty for 0, 1, 2, ...
        problem: the reason why the picture is unusable, or None.
    """

    source: Path
    targets: tuple[Path, ...]
    variants: tuple[int, ...] = ()
    problem: PictureError | None = None


def downscale_picture(
    job: Job,
    degrader: Degrader,
    *,
    temperature: float = 1.0,
    weights: np.ndarray | None = None,
    codec: Codec | None = None,
    seed: int = 0,
    tile: int = 1024,
) -> int:
    """Write LR samples of a picture, of ceil(H/s) x ceil(W/s) pixels.

    Args:
        job: a picture of any size from 1x1 up, and a PNG file for each sample.
        degrader: makes the samples.
        temperature, weights: see `Degrader.degrade`.
        codec: the compression of samples, instead of the degrader's own.
        seed: the seed of the run. A sample is a function of the seed, the file's bytes and the variant's
            number.
        tile: side of a tile in HR pixels, without its surroundings; rounded down to a multiple of
            ``degrader.multiple``. The classical degrader always sees the whole picture.

    Returns:
        The number of draws that were discarded because they were not finite.

    Raises:
        PictureError: the file cannot be decoded.
        SDFlowError: a sample was not finite in any of its draws.
    """

    def of_tile(hr: np.ndarray, seeds: Sequence[_Seeds], top: int, left: int) -> np.ndarray:
        photographs, samples = zip(*seeds)
        return degrader.degrade(
            hr, samples, temperature, weights, photographs=photographs, top=top, left=left
        ).lr

    def codec_of(photograph: int) -> Jpeg | None:
        return draw_codec(degrader, photograph, weights, codec)

    cuts = _Cuts(tile, degrader.halo, degrader.multiple)
    ratio = Fraction(1, degrader.scale)
    return _convert(job, read_picture(job.source), cuts, ratio, of_tile, seed, codec_of)


def upscale_picture(
    job: Job, upscaler: SDFlowUpscaler, *, temperature: float = 0.8, seed: int = 0, tile: int = 256
) -> int:
    """Write SR samples of a picture, of sH x sW pixels.

    Args:
        job: a picture of any size from 1x1 up, and a PNG file for each sample.
        upscaler: makes the samples.
        temperature: the temperature of the latent noise.
        seed: the seed of the run. A sample is a function of the seed, the file's bytes and the variant's
            number.
        tile: side of a tile in LR pixels, without its surroundings; rounded down to an even number.

    Returns:
        The number of draws that were discarded because they were not finite.

    Raises:
        PictureError: the file cannot be decoded, or its SR would have over 2^32 pixels.
        SDFlowError: a sample was not finite in any of its draws.
    """
    picture = read_picture(job.source)
    height, width = (side * upscaler.scale for side in picture.shape[:2])
    if height * width > MAX_SR_PIXELS:
        reason = f"its SR picture of {width}x{height} would be over {MAX_SR_PIXELS} pixels"
        raise PictureError(job.source, reason)

    def of_tile(lr: np.ndarray, seeds: Sequence[_Seeds], top: int, left: int) -> np.ndarray:
        return upscaler.upscale(lr, [each.sample for each in seeds], temperature, top=top, left=left)

    cuts = _Cuts(tile, upscaler.halo, upscaler.multiple)
    return _convert(job, picture, cuts, Fraction(upscaler.scale), of_tile, seed)


def plan_pictures(source: Path, output: Path, variants: int = 1) -> list[Job]:
    """Plan the output files of a picture or a folder: PNG with the same names and subfolders.

    Args:
        source: a picture or a folder of pictures.
        output: a folder; or, for a single picture, the PNG file to write if the name ends in ``.png``.
        variants: number of variants; with more than one the files are ``NAME_v0.png``, ``NAME_v1.png``, ...

    Returns:
        The jobs. A job has a problem if its output files have the names of others, or names that the file
        system of the output does not distinguish.

    Raises:
        SDFlowError: there are no pictures, the output is within the source folder, or the output is neither a
            folder nor ends in ``.png``.
    """
    skipped: list[Job] = []
    if source.is_dir():
        _refuse_files(output, "a folder")
        check_outside(output, [source])
        found = search(source)
        skipped = [Job(error.path, (), problem=error) for error in found.skipped]
        pairs = [(source / path, output / path.with_suffix(".png")) for path in found.pictures]
    elif not source.exists():
        raise SDFlowError(f"{source}: expected a picture or a folder of pictures, found nothing")
    elif output.suffix.lower() == ".png" and not output.is_dir():
        pairs = [(source, output)]
    else:
        _refuse_files(output, "a folder or a file that ends in .png")
        pairs = [(source, output / f"{source.stem}.png")]
    jobs = [_job(path, _variant_names(target, variants)) for path, target in pairs]
    for job in jobs:
        if any(resolved(target) == resolved(job.source) for target in job.targets):
            raise SDFlowError(f"{job.targets[0]}: expected an output that is not the input itself")
    return _apart(jobs, folds_case(output)) + skipped


def _job(source: Path, targets: tuple[Path, ...]) -> Job:
    reserved = [target.name for target in targets if names.ON_WINDOWS and names.is_reserved(target.name)]
    if reserved:
        return Job(source, (), problem=PictureError(source, f"Windows has no file of the name {reserved[0]}"))
    return Job(source, targets)


def _refuse_files(output: Path, expected: str) -> None:
    found = "a file" if output.exists() else f"a name that ends in {output.suffix}"
    if not output.is_dir() and (output.exists() or output.suffix.lower() in read_suffixes()):
        raise SDFlowError(f"{output}: expected {expected}, found {found}")


def _variant_names(target: Path, variants: int) -> tuple[Path, ...]:
    if variants == 1:
        return (target,)
    return tuple(target.with_name(f"{target.stem}_v{k}.png") for k in range(variants))


def _apart(jobs: Sequence[Job], folds: bool) -> list[Job]:
    """The jobs; those that would write one and the same file have a problem instead of targets."""
    makers: dict[str, list[Path]] = {}
    for job in jobs:
        for target in job.targets:
            makers.setdefault(_name(target, folds), []).append(job.source)

    def checked(job: Job) -> Job:
        for target in job.targets:
            if others := [path for path in makers[_name(target, folds)] if path != job.source]:
                reason = f"would be written to {target}, and so would {others[0]}"
                return Job(job.source, (), problem=PictureError(job.source, reason))
        return job

    return [checked(job) for job in jobs]


def _name(target: Path, folds: bool) -> str:
    return names.folded(target) if folds else str(target)


class _Span(NamedTuple):
    """One tile along one axis: the computed range, and the kept range within it."""

    start: int
    stop: int
    keep_start: int
    keep_stop: int


@dataclass(frozen=True)
class _Cuts:
    """The tiling of a model; see `Degrader` for ``halo`` and ``multiple``."""

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


class _Seeds(NamedTuple):
    """The seeds of a variant: one for its photograph (component, codec), one for its noise."""

    photograph: int
    sample: int


_OfTile = Callable[[np.ndarray, Sequence[_Seeds], int, int], np.ndarray]
"""A window of the picture, seeds, top and left of the window to float32 (seeds, h, w, 3), grey levels."""


def _convert(
    job: Job,
    picture: np.ndarray,
    cuts: _Cuts,
    ratio: Fraction,
    of_tile: _OfTile,
    run_seed: int,
    codec_of: Callable[[int], Jpeg | None] = lambda photograph: None,
) -> int:
    """Write all variants of a picture; see `downscale_picture`."""
    identity = int(sha256_file(job.source), 16)
    size = ceil(picture.shape[0] * ratio), ceil(picture.shape[1] * ratio)
    padded = _pad(picture, cuts.multiple)
    draws = [0] * len(job.targets)
    numbers = job.variants or range(len(draws))
    for first in range(0, len(draws), _TOGETHER):
        indices = range(first, min(first + _TOGETHER, len(draws)))
        targets = [job.targets[index] for index in indices]
        photographs = [derive_seed(run_seed, identity, numbers[index]) for index in indices]
        jpegs = [codec_of(photograph) for photograph in photographs]
        while True:
            seeds = [
                _Seeds(photograph, derive_seed(run_seed, identity, numbers[index], draws[index]))
                for photograph, index in zip(photographs, indices)
            ]
            try:
                _write(targets, jpegs, size, _bands(padded, cuts, ratio, of_tile, seeds))
                break
            except _NotFinite as error:
                for index in error.samples:
                    draws[first + index] += 1
            if MAX_DRAWS in draws:
                failed = numbers[draws.index(MAX_DRAWS)]
                raise SDFlowError(
                    f"{job.source}: variant {failed} was not finite in any of {MAX_DRAWS} draws"
                )
    return sum(draws)


def _write(
    targets: Sequence[Path],
    jpegs: Sequence[Jpeg | None],
    size: tuple[int, int],
    bands: Iterator[np.ndarray],
) -> None:
    """Write pictures of one size together, cropped and compressed. Either all are written or none."""
    with ExitStack() as files:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        writers = [files.enter_context(writing_png(target, *size)) for target in targets]
        coders = [BandCoder(jpeg, *size) for jpeg in jpegs]
        for band in bands:
            for writer, coder, pixels in zip(writers, coders, band):
                writer.write(coder.code(pixels))


class _NotFinite(Exception):
    """A pass over a picture found values that are not finite in these samples."""

    def __init__(self, samples: Sequence[int]) -> None:
        super().__init__(samples)
        self.samples = samples


def _pad(picture: np.ndarray, multiple: int) -> np.ndarray:
    """Reflect a picture at its lower and right border to multiples of ``multiple``, at least two of them."""
    wanted = (max(-(-side // multiple), 2) * multiple for side in picture.shape[:2])
    missing = [(0, want - side) for want, side in zip(wanted, picture.shape[:2])]
    return np.pad(picture, (*missing, (0, 0)), mode="reflect") if any(m for _, m in missing) else picture


def _bands(
    picture: np.ndarray, cuts: _Cuts, ratio: Fraction, of_tile: _OfTile, seeds: Sequence[_Seeds]
) -> Iterator[np.ndarray]:
    """Generate one sample of a picture for each seed, a row of tiles at a time: uint8 (K, rows, width, 3).

    Raises:
        _NotFinite: at the first tile with values that are not finite.
    """

    def part(start: int, stop: int) -> slice:
        return slice(int(start * ratio), int(stop * ratio))

    for y in cuts.spans(picture.shape[0]):
        rows = part(y.keep_start - y.start, y.keep_stop - y.start)
        band = np.empty((len(seeds), rows.stop - rows.start, int(picture.shape[1] * ratio), 3), np.uint8)
        for x in cuts.spans(picture.shape[1]):
            values = of_tile(picture[y.start : y.stop, x.start : x.stop], seeds, y.start, x.start)
            kept = values[:, rows, part(x.keep_start - x.start, x.keep_stop - x.start)]
            finite = np.isfinite(kept).all((1, 2, 3))
            if not finite.all():
                raise _NotFinite(np.flatnonzero(~finite).tolist())
            band[:, :, part(x.keep_start, x.keep_stop)] = quantise(torch.from_numpy(kept)).numpy()
        yield band
