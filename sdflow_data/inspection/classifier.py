"""The classifier two-sample test: can a small network that is trained to tell two sets apart do so?

Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017. The area under the ROC curve on
photographs that it has not seen is 0.5 where it can not, and 1 where it always can. It finds what nobody
has thought of measuring.

What a test says is worth what it could have said. One split of few photographs says little, so there are
several; a training that stops early sees little, so it goes on until the loss on photographs held back no
longer falls; and beside it stand the areas of bicubic LR, which must be told for the test to have any
power, and of one half of the photographs against the other, which nothing can be asked to beat.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..statistics.batch import LUMA
from ..statistics.traces import DIFFERENCES
from ..system.parallel import in_order

Groups = Sequence[Any] | np.ndarray
PatchesOf = tuple[np.ndarray, Groups]

_CROP = 48
_BATCH, _MOST_VALIDATED = 32, 256
_CHECK_EVERY = 25
_LEAST_PHOTOGRAPHS = 3
_SURE = 0.05
"""Validation loss at which there is nothing left to learn; chance has 1.39."""

_BANDS = (0.0, 0.1, 0.2, 0.3, 1.0)
"""Cycles per pixel at which the bands begin and end that samples and photographs exchange."""

_COLOURS = {"brightness": [0], "colours": [1, 2]}


@dataclass(frozen=True)
class Effort:
    """How hard a test tries.

    Attributes:
        steps: of training, at most.
        splits: of the photographs; each has a network of its own.
        patience: steps without a lower loss on the photographs held back, after which training ends.
    """

    steps: int
    splits: int
    patience: int


QUICK = Effort(steps=200, splits=3, patience=150)
THOROUGH = Effort(steps=3000, splits=5, patience=1000)


@dataclass(frozen=True)
class Classified:
    """What came of one network.

    Attributes:
        auc: on the photographs held out, 0.5 but for chance where sets are alike; NaN where there are fewer
            than three photographs on either side to train, choose and test with.
        steps: after which it did best on the photographs to choose with.
        tested: patches that the area is over.
        at_the_bound: the loss still fell when the steps were used up: more might tell more.
        parts: for each band of brightness and of colours, the area of photographs that have it from the
            samples
            against photographs that have it from one another.
    """

    auc: float
    steps: int = 0
    tested: int = 0
    at_the_bound: bool = False
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Areas:
    """The areas of one test, one for each split, from 0.5 on.

    An area of 0.2 tells sets apart as surely as one of 0.8, by the same law turned round; both count as 0.8.
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, found: Sequence[float]) -> "Areas":
        """Of areas on both sides of 0.5; those that are NaN do not count."""
        return cls(tuple(max(area, 1 - area) for area in found if not math.isnan(area)))

    @property
    def mean(self) -> float:
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def low(self) -> float:
        return min(self.values, default=math.nan)

    @property
    def high(self) -> float:
        return max(self.values, default=math.nan)


@dataclass(frozen=True)
class Classification:
    """Areas under the curve of three tests, each against real photographs.

    Attributes:
        generated, bicubic: of a dataset, and of bicubic LR.
        real: of one half of the photographs against the other: the floor.
        parts: as `Classified` has them for the dataset, mean of the splits.
        at_the_bound: a network of the dataset's was still learning when its steps were used up.
        effort: how hard was tried, and ``seconds``, how long it took.
    """

    generated: Areas
    bicubic: Areas
    real: Areas
    parts: dict[str, float] = field(default_factory=dict)
    at_the_bound: bool = False
    effort: Effort = QUICK
    seconds: float = 0.0

    @property
    def floor(self) -> float:
        """The mean area of photographs from one another; chance where they are too few to tell."""
        return self.real.mean if self.real.values else 0.5


def classify(
    generated: PatchesOf,
    bicubic: PatchesOf,
    real: PatchesOf,
    effort: Effort = QUICK,
    seed: int = 0,
    workers: int | None = None,
) -> Classification:
    """The three tests, on patches (N, p, p, 3) with the names of their photographs (N).

    Each is made once for every split. Bicubic LR, which is told at once or never, has one split.
    """
    began = time.monotonic()
    names = np.asarray(real[1])
    tests = [_Test(bicubic, real, seed, effort)]
    for split in range(seed, seed + effort.splits):
        half = np.isin(names, np.random.default_rng(split).permutation(np.unique(names))[::2])
        first, second = ((real[0][part], names[part]) for part in (half, ~half))
        tests += [_Test(generated, real, split, effort), _Test(first, second, split, effort)]
    each = [1] * len(tests)
    tested = in_order(_run, tests, each, workers, "Training classifiers", "classifiers")
    ours, halves = tested[1::2], tested[2::2]
    parts = [found.parts for found in ours if found.parts]
    return Classification(
        generated=Areas.of([found.auc for found in ours]),
        bicubic=Areas.of([tested[0].auc]),
        real=Areas.of([found.auc for found in halves]),
        parts={name: float(np.mean([p[name] for p in parts])) for name in (parts[0] if parts else ())},
        at_the_bound=any(found.at_the_bound for found in ours),
        effort=effort,
        seconds=time.monotonic() - began,
    )


class _Test(NamedTuple):
    fake: PatchesOf
    real: PatchesOf
    seed: int
    effort: Effort


def _run(test: _Test) -> Classified:
    return c2st_auc(*test.fake, *test.real, test.seed, test.effort.steps, test.effort.patience)


def c2st_auc(
    fake: np.ndarray,
    fake_groups: Groups,
    real: np.ndarray,
    real_groups: Groups,
    seed: int = 0,
    steps: int = QUICK.steps,
    patience: int | None = None,
) -> Classified:
    """Train a classifier on two sets of patches and test it on photographs that it has not seen.

    Args:
        fake, real: (N, p, p, 3) uint8; the mean colour of a patch is hidden from the classifier.
        fake_groups, real_groups: N names of photographs; a photograph is trained on, validated on or tested
            on, never two of them, whichever set its patches are in.
        seed: of the split, the crops and the network.
        steps: to train at most; what is tested is the network that did best on the photographs to choose
            with.
        patience: steps without its doing better, after which training ends; None for never.
    """
    random = np.random.default_rng(seed)
    parts = _split(fake_groups, real_groups, random)
    if parts is None:
        return Classified(math.nan)
    scale = _scale(_planes(real[parts[0][1]]))
    fakes = [_planes(fake[rows]) / scale for rows, _ in parts]
    reals = [_planes(real[rows]) / scale for _, rows in parts]
    held = _middles(fakes[1]), _middles(reals[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network()
        taken, ended = _train(network, (fakes[0], reals[0]), held, steps, patience or steps, random)
    scores = [_scores(network, part) for part in (fakes[2], reals[2])]
    return Classified(
        auc(*scores), taken, sum(map(len, scores)), not ended, _parts(network, fakes[2], reals[2], random)
    )


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The chance that a positive scores higher than a negative; ties count half; NaN where a score is."""
    ranks = pd.Series(np.concatenate([positive, negative])).rank().to_numpy()
    if np.isnan(ranks).any():
        return math.nan
    return float(
        (ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2)
        / (len(positive) * len(negative))
    )


def most_area(floor: float) -> float:
    """How large an area may be: half of the way from chance to certainty, and never less than the floor.

    Args:
        floor: the area of photographs from one another.
    """
    return max(0.75, floor)


def _split(
    fake_groups: Groups, real_groups: Groups, random: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Rows of fake and real to train (about 60 % of the photographs), to validate and to test with.

    A photograph that both sets have is on the same side of the split in both. If it were trained on as fake
    and asked for as real, the network would know it again by its content, and be wrong.
    """
    fake, real = (np.asarray(groups).astype(str) for groups in (fake_groups, real_groups))
    parts: list[list[np.ndarray]] = [[], [], []]
    for names in (np.intersect1d(fake, real), np.setdiff1d(fake, real), np.setdiff1d(real, fake)):
        held = 0 if len(names) < _LEAST_PHOTOGRAPHS else max(1, round(0.2 * len(names)))
        order = random.permutation(names)
        for part, taken in zip(parts, (order[2 * held :], order[:held], order[held : 2 * held])):
            part.append(taken)
    rows = [
        (np.flatnonzero(np.isin(fake, names)), np.flatnonzero(np.isin(real, names)))
        for names in map(np.concatenate, parts)
    ]
    return rows if all(len(side) for pair in rows for side in pair) else None


def _planes(patches: np.ndarray) -> Tensor:
    """(N, 3, p, p): brightness and the two colour differences, less their means over a patch."""
    axes = np.concatenate([LUMA[None], DIFFERENCES])
    planes = torch.from_numpy(patches.astype(np.float32) @ axes.T).permute(0, 3, 1, 2)
    return planes - planes.mean(dim=(2, 3), keepdim=True)


def _scale(planes: Tensor) -> Tensor:
    """(1, 3, 1, 1): the differences of neighbours, so that faint colours count as much as strong
    brightness."""
    return (planes[..., 1:] - planes[..., :-1]).std(dim=(0, 2, 3)).clamp_min(0.1).view(1, 3, 1, 1)


class _Network(nn.Module):
    """(B, 3, p, p) to logits (B,).

    It sees the places of a 2x2 grid apart, and powers and products of what is left of the planes without
    their
    local means: noise differs in its variances and correlations, which a network of linear layers and
    ramps is slow to come upon.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.first = nn.Conv2d(4 * 9, width, 3, padding=1)
        self.rest = nn.Sequential(
            nn.Conv2d(width, 32, 3, 2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(32, 48, 3, 2, padding=1),
            nn.LeakyReLU(0.1),
        )
        self.out = nn.Linear(48 + 4 * 6, 1)

    def forward(self, patches: Tensor) -> Tensor:
        size = patches.shape[3] // 2 * 2
        planes = patches[..., :size, :size]
        detail = planes - F.avg_pool2d(planes, 3, 1, padding=1, count_include_pad=False)
        products = torch.cat([detail * detail, detail * detail.roll(1, dims=1)], dim=1)
        products = F.pixel_unshuffle(products.sign() * torch.log1p(products.abs()), 2)
        linear = self.first(torch.cat([F.pixel_unshuffle(planes, 2), products], dim=1))
        deep = self.rest(F.leaky_relu(linear, 0.1))
        logits: Tensor = self.out(torch.cat([deep.mean(dim=(2, 3)), products.mean(dim=(2, 3))], dim=1))
        return logits[:, 0]


def _train(
    network: nn.Module,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    steps: int,
    patience: int,
    random: np.random.Generator,
) -> tuple[int, bool]:
    """Leaves the weights that did best on the validation photographs.

    Returns:
        The steps that led there, and whether training had ended by itself.
    """
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    best, best_step, best_weights = math.inf, 0, copy.deepcopy(network.state_dict())
    target = torch.cat([torch.ones(_BATCH), torch.zeros(_BATCH)])
    ended = False
    for step in range(1, steps + 1):
        batch = torch.cat([_crops(patches, random) for patches in training])
        loss = F.binary_cross_entropy_with_logits(network(batch), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % _CHECK_EVERY == 0:
            loss_seen = _loss(network, validation)
            if loss_seen < best:
                best, best_step, best_weights = loss_seen, step, copy.deepcopy(network.state_dict())
            ended = best < _SURE or step - best_step >= patience
            if ended:
                break
    network.load_state_dict(best_weights)
    return best_step, ended


def _parts(network: nn.Module, fakes: Tensor, reals: Tensor, random: np.random.Generator) -> dict[str, float]:
    """By what the network tells: the areas of photographs with one part of a sample's.

    Photographs whose part is another photograph's stand on the other side, so that it is not the exchange
    that is told.
    """
    fakes, reals = _middles(fakes), _middles(reals)
    if fakes.shape[1:] != reals.shape[1:]:
        return {}
    of_fakes, of_reals = (random.integers(len(some), size=len(reals)) for some in (fakes, reals))
    areas = {}
    for name, channels in _COLOURS.items():
        for low, high in pairwise(_BANDS):
            scores = [
                _scores(network, _exchanged(reals, others, channels, low, high))
                for others in (fakes[of_fakes], reals[of_reals])
            ]
            ends = f"{low:g} to {high:g}" if high < 0.5 else f"{low:g} and more"
            areas[f"{name}, {ends} cycles per pixel"] = auc(*scores)
    return areas


def _exchanged(patches: Tensor, others: Tensor, channels: list[int], low: float, high: float) -> Tensor:
    """``patches`` (N, 3, p, p) with one band of some channels from ``others``."""
    size = patches.shape[-2:]
    across, down = (torch.fft.rfftfreq(size[1]), torch.fft.fftfreq(size[0])[:, None])
    radius = torch.hypot(down, across)
    spectra = torch.fft.rfft2(patches)
    of_others = torch.fft.rfft2(others)
    band = (radius >= low) & (radius < high)
    for channel in channels:
        spectra[:, channel] = torch.where(band, of_others[:, channel], spectra[:, channel])
    exchanged: Tensor = torch.fft.irfft2(spectra, s=size)
    return exchanged


def _crops(patches: Tensor, random: np.random.Generator) -> Tensor:
    """A batch of random crops. They begin at multiples of 8, so that 2x2 and 8x8 grids stay where they
    are."""
    size = min(_CROP, patches.shape[2])
    places = (patches.shape[2] - size) // 8 + 1
    crops = []
    for index in random.integers(len(patches), size=_BATCH):
        top, left = 8 * random.integers(places, size=2)
        crops.append(patches[index, :, top : top + size, left : left + size])
    return torch.stack(crops)


def _middles(patches: Tensor) -> Tensor:
    """The middle crops of a bounded number of patches, on the same grid of 8."""
    start = max(0, (patches.shape[2] - _CROP) // 16 * 8)
    thinned = patches[:: -(-len(patches) // _MOST_VALIDATED)]
    return thinned[:, :, start : start + _CROP, start : start + _CROP]


def _loss(network: nn.Module, patches: tuple[Tensor, Tensor]) -> float:
    """The mean of both classes, however many patches each has."""
    return sum(
        float(F.softplus(torch.from_numpy(sign * _scores(network, part))).mean())
        for sign, part in zip((-1, 1), patches)
    )


@torch.no_grad()
def _scores(network: nn.Module, patches: Tensor) -> np.ndarray:
    return torch.cat([network(part) for part in patches.split(256)]).numpy()
