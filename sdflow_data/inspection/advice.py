"""Warnings about photographs that would spoil a training, one line each with a remedy. None is an error."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sdflow.spectra import SIZE
from sdflow.wording import counted

from ..statistics.photograph import Photograph
from .photographs import Survey, same_pictures

FEW_PHOTOGRAPHS = 10
ENLARGED = 1.8
"""`Photograph.enlargement` from which on a photograph counts as enlarged."""

BLURRED = 1.2
"""Standard deviation of the blur, in pixels, above which HR photographs count as blurred."""

NOISY = 6.0
"""Noise, in grey levels, above which HR photographs count as noisy."""

COARSE_JPEG = 80
"""JPEG quality below which HR photographs pass their artefacts on to their LR."""

_LEAST_SHARE_ENLARGED = 0.2
"""Share of enlarged photographs that is worth a warning. A single smooth scene also looks enlarged."""

_FLAT = 0.05
"""`Photograph.flat` above which a photograph counts as artificial."""

_BRIGHTNESS_APART, _CONTRAST_RATIO = 40.0, 1.6
"""Differences of the medians, in grey levels and as a ratio, above which scenes count as different."""


def advice(photographs: Survey, side: str = "", crop: int | None = None, least: int = SIZE) -> list[str]:
    """Warnings about one set of photographs.

    Args:
        photographs: the set.
        side: "HR" or "LR" if the set is one side of a training. HR photographs must be sharp and clean.
        crop: side of the crops of a training in pixels; None if it is not known.
        least: the least side of photographs whose camera can be measured.
    """
    lines = [
        *_of_size(photographs, crop, least),
        *_of_any(photographs),
        *(_of_sharp(photographs) if side == "HR" else ()),
    ]
    return [f"{side}: {line}" if side else line for line in lines]


def _of_size(photographs: Survey, crop: int | None, least: int) -> Iterator[str]:
    shortest = photographs.sizes.min(axis=1)
    if crop and (small := int((shortest < crop).sum())):
        yield (
            f"{counted(small, 'photograph')} smaller than a crop of {crop}x{crop} pixels and left out; lower "
            "the patch size, or use larger ones"
        )
    elif not crop and (small := int((shortest < least).sum())):
        yield (
            f"{counted(small, 'photograph')} smaller than {least}x{least} pixels, too small to measure a "
            "camera; use larger ones"
        )


def _of_any(photographs: Survey) -> Iterator[str]:
    if photographs.unreadable:
        name, reason = next(iter(photographs.unreadable.items()))
        files = counted(len(photographs.unreadable), "photograph")
        yield f"{files} cannot be read ({name}: {reason}) and will be left out; restore or remove such files"
    if len(photographs.sizes) < FEW_PHOTOGRAPHS:
        yield (
            f"{counted(len(photographs.sizes), 'photograph')}, too few to separate the camera from the "
            f"scenes; add more, at least {FEW_PHOTOGRAPHS}"
        )
    if photographs.duplicates:
        name, first = next(iter(photographs.duplicates.items()))
        repeated = counted(len(photographs.duplicates), "photograph repeats", "photographs repeat")
        yield (
            f"{repeated} another byte for byte ({name} is {first}); remove copies, because they count twice"
        )
    if photographs.unusual:
        name, reason = next(iter(photographs.unusual.items()))
        yield (
            f"{counted(len(photographs.unusual), 'photograph')} of a kind of JPEG that cannot be reproduced "
            f"({name}: {reason}); save such files as PNG"
        )
    if lossy := photographs.formats.get("WEBP", 0):
        yield f"{counted(lossy, 'photograph')} in WebP, whose traces are not reproduced; prefer the originals"
    yield from _some(photographs, lambda photo: photo.grey, "without colour", "remove such photographs")
    yield from _some(
        photographs,
        lambda photo: photo.flat > _FLAT,
        "with areas of a single colour, like screenshots, drawings or frames around photographs",
        "remove such pictures or cut the areas off",
    )
    enlarged = [photo.enlargement for photo in photographs.measured if photo.enlargement >= ENLARGED]
    factor = float(np.median(enlarged)) if enlarged else 1.0
    yield from _some(
        photographs,
        lambda photo: photo.enlargement >= ENLARGED,
        f"enlarged or blurred: a size {factor:.1f} times smaller would hold their detail",
        f"scale such photographs down by about {factor:.1f}, or use the originals",
        _LEAST_SHARE_ENLARGED,
    )


def _of_sharp(photographs: Survey) -> Iterator[str]:
    yield from _some(
        photographs,
        lambda photo: photo.blur > BLURRED,
        "blurred",
        "scale such photographs down by 2, or use sharper ones",
    )
    yield from _some(
        photographs,
        lambda photo: photo.noise > NOISY,
        "noisy",
        "scale such photographs down by 2, or use cleaner ones",
    )
    yield from _some(
        photographs,
        lambda photo: photo.codec is not None and photo.codec.quality < COARSE_JPEG,
        f"in JPEG of a quality under {COARSE_JPEG}",
        "scale such photographs down by 2, or use the originals",
    )


def _some(
    photographs: Survey, is_so: Callable[[Photograph], bool], what: str, cure: str, least: float = 0.0
) -> Iterator[str]:
    """A warning if ``is_so`` holds for some photographs, and for at least the share ``least`` of them."""
    found = [photo.name for photo in photographs.measured if is_so(photo)]
    if found and len(found) >= least * len(photographs.measured):
        measured = counted(len(photographs.measured), "measured photograph")
        yield f"{len(found)} of {measured} {what} ({found[0]}); {cure}"


def advice_for_training(
    hr: Survey, lr: Survey, scale: int | None = None, patch_size: int | None = None
) -> list[str]:
    """Warnings about the two sides of a training.

    Args:
        hr, lr: the HR and the LR photographs.
        scale: ratio of HR to LR size; None if it is not known.
        patch_size: side of the HR crops in pixels; None if it is not known.
    """
    lr_crop = patch_size // scale if patch_size and scale else None
    sides = [*advice(hr, "HR", patch_size, SIZE * (scale or 1)), *advice(lr, "LR", lr_crop)]
    return [*_of_folders(hr.folders, lr.folders), *sides, *_of_both(hr, lr, scale)]


def _of_folders(hr: Sequence[Path], lr: Sequence[Path]) -> Iterator[str]:
    for sharp in map(Path.resolve, hr):
        for low in map(Path.resolve, lr):
            if sharp == low:
                yield f"{low} is both HR and LR, so a model learns nothing; name another folder"
            elif low.is_relative_to(sharp) or sharp.is_relative_to(low):
                inner, outer = (low, sharp) if low.is_relative_to(sharp) else (sharp, low)
                yield f"{inner} lies in {outer}, so its photographs are on both sides; move it out"


def _of_both(hr: Survey, lr: Survey, scale: int | None) -> Iterator[str]:
    same = list(same_pictures(hr.measured, lr.measured))
    if same:
        yield (
            f"{counted(len(same), 'photograph')} on both sides ({same[0][0]} is {same[0][1]}), where a model "
            "could compare pixel by pixel: prefer other scenes, unless they are pairs kept for validation"
        )
        yield from _of_scale(hr, lr, same, scale)
    if hr.measured and lr.measured:
        yield from _of_scenes(hr.measured, lr.measured)


def _of_scale(hr: Survey, lr: Survey, same: Sequence[tuple[str, str]], scale: int | None) -> Iterator[str]:
    """A warning if the sizes of scenes that are on both sides contradict the scale."""
    sizes = [{photo.name: photo.size for photo in side.measured} for side in (hr, lr)]
    ratios = [sizes[0][sharp][0] / sizes[1][low][0] for sharp, low in same]
    ratio = float(np.median(ratios))
    if scale and not 0.8 < ratio / scale < 1.25:
        yield (
            f"HR is {ratio:.1f} times as large as LR where both show the same scene, and the scale is "
            f"{scale}; choose the scale that fits, or resize one side"
        )


def _of_scenes(hr: Sequence[Photograph], lr: Sequence[Photograph]) -> Iterator[str]:
    bright = [float(np.median([np.mean(photo.colour) for photo in side])) for side in (hr, lr)]
    contrast = [float(np.median([photo.contrast for photo in side])) for side in (hr, lr)]
    colours = [
        np.median([np.subtract(p.colour, np.mean(p.colour)) for p in side], axis=0) for side in (hr, lr)
    ]
    different = []
    if abs(bright[0] - bright[1]) > _BRIGHTNESS_APART:
        different.append(f"brightness {bright[0]:.0f} and {bright[1]:.0f}")
    if not 1 / _CONTRAST_RATIO < (contrast[0] + 1) / (contrast[1] + 1) < _CONTRAST_RATIO:
        different.append(f"contrast {contrast[0]:.0f} and {contrast[1]:.0f}")
    if np.abs(colours[0] - colours[1]).max() > _BRIGHTNESS_APART / 2:
        casts = " and ".join("/".join(f"{part + 0.0:+.0f}" for part in each) for each in colours)
        different.append(f"R/G/B less brightness {casts}")
    if different:
        yield (
            f"HR and LR show different scenes (medians: {', '.join(different)}), so the measured response "
            "is not reliable; choose HR photographs of similar places and light"
        )
