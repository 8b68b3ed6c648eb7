"""The classifier two-sample test (Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017).

A small network is trained to distinguish two sets. Its area under the ROC curve (AUC) on held-out photographs
is 0.5 if it cannot distinguish them, and 1 if it always can. It also detects differences that no statistic
here measures.

One split of few photographs is a noisy estimate, so there are several splits. A training that stops early
misses differences, so training continues until the validation loss no longer falls. Two references bound
the result. Bicubic LR must be detected, or the test has no power. The AUC of one half of the photographs
against the other half is the floor: no dataset can be expected to be below it.
"""

import copy
import math
import time
from collections.abc import Iterator, Sequence
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
"""Patches (N, p, p, 3) uint8 and the names (N) of their photographs."""

_CROP = 48
_BATCH, _MOST_VALIDATED = 32, 256
_CHECK_EVERY = 25
_LEAST_PHOTOGRAPHS = 3
_SURE = 0.05
"""Validation loss at which training ends, because the sets are separated. Chance has 1.39."""

_BANDS = (0.0, 0.1, 0.2, 0.3, 1.0)
"""Edges, in cycles per pixel, of the bands that samples and photographs exchange."""

_COLOURS = {"brightness": [0], "colours": [1, 2]}


@dataclass(frozen=True)
class Effort:
    """The budget of a test.

    Attributes:
        steps: the most training steps of a network.
        splits: the number of splits of the photographs. One network is trained on each.
        patience: the number of steps without a lower validation loss after which training ends.
    """

    steps: int
    splits: int
    patience: int


QUICK = Effort(steps=200, splits=3, patience=150)
THOROUGH = Effort(steps=3000, splits=5, patience=1000)


@dataclass(frozen=True)
class Classified:
    """The result of one network.

    Attributes:
        auc: AUC on the test photographs; NaN if a side has fewer than three photographs, one each for
            training, validation and test.
        steps: the training step with the lowest validation loss.
        tested: the number of test patches.
        at_the_bound: whether the loss still fell at the last step, so that more steps might help.
        parts: for each band of brightness and of colours, the AUC of photographs with this band from samples
            against photographs with this band from other photographs.
        without: for each band, the AUC of samples against photographs if both lack it.
    """

    auc: float
    steps: int = 0
    tested: int = 0
    at_the_bound: bool = False
    parts: dict[str, float] = field(default_factory=dict)
    without: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Areas:
    """The AUCs of one test, one for each split, from 0.5 to 1.

    An AUC of 0.2 distinguishes two sets as well as one of 0.8, with the opposite sign. Both count as 0.8.
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, found: Sequence[float]) -> "Areas":
        """From AUCs on both sides of 0.5; NaN is left out."""
        return cls(tuple(max(area, 1 - area) for area in found if not math.isnan(area)))

    @property
    def mean(self) -> float:
        """Mean over the splits; NaN without any."""
        return float(np.mean(self.values)) if self.values else math.nan

    @property
    def low(self) -> float:
        """The lowest of the splits."""
        return min(self.values, default=math.nan)

    @property
    def high(self) -> float:
        """The highest of the splits."""
        return max(self.values, default=math.nan)


@dataclass(frozen=True)
class Classification:
    """The AUCs of three tests against real photographs.

    Attributes:
        generated, bicubic: AUCs of the dataset, and of bicubic LR.
        real: AUCs of one half of the photographs against the other half: the floor. None for fewer than six
            photographs.
        parts, without: those of `Classified` for the dataset; means over the splits.
        at_the_bound: whether a network on the dataset still learned at its last step.
        effort: the budget.
        seconds: the duration of all tests together.
    """

    generated: Areas
    bicubic: Areas
    real: Areas
    parts: dict[str, float] = field(default_factory=dict)
    without: dict[str, float] = field(default_factory=dict)
    at_the_bound: bool = False
    effort: Effort = QUICK
    seconds: float = 0.0


def classify(
    generated: PatchesOf,
    bicubic: PatchesOf,
    real: PatchesOf,
    effort: Effort = QUICK,
    seed: int = 0,
    workers: int | None = None,
) -> Classification:
    """Test a dataset, bicubic LR and halves of the photographs against real photographs.

    Each test has one network per split. Bicubic LR has a single split, because its result hardly varies.

    Args:
        generated, bicubic, real: patches of the three sets, all of one size.
        effort: the budget of each test.
        seed: the first seed; the splits count up from it.
        workers: processes; None for one per core.
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
    return Classification(
        generated=Areas.of([found.auc for found in ours]),
        bicubic=Areas.of([tested[0].auc]),
        real=Areas.of([found.auc for found in halves]),
        parts=_means([found.parts for found in ours]),
        without=_means([found.without for found in ours]),
        at_the_bound=any(found.at_the_bound for found in ours),
        effort=effort,
        seconds=time.monotonic() - began,
    )


def _means(of_splits: list[dict[str, float]]) -> dict[str, float]:
    told = [areas for areas in of_splits if areas]
    return {name: float(np.mean([areas[name] for areas in told])) for name in (told[0] if told else ())}


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
        fake, real: (N, p, p, 3) uint8. The classifier does not see the mean colour of a patch.
        fake_groups, real_groups: the names (N) of their photographs. Every photograph belongs to one of
            training, validation and test, in both sets.
        seed: the seed of the split, the crops and the network.
        steps: the most training steps. The weights with the lowest validation loss are tested.
        patience: the number of steps without a lower validation loss after which training ends; None for no
            such limit.
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
        auc(*scores),
        taken,
        sum(map(len, scores)),
        not ended,
        _parts(network, fakes[2], reals[2], random),
        _without(network, fakes[2], reals[2]),
    )


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The area under the ROC curve: the chance that a positive scores higher than a negative.

    Ties count half. NaN if a score is NaN.

    Args:
        positive, negative: scores, (n,) and (m,).
    """
    ranks = pd.Series(np.concatenate([positive, negative])).rank().to_numpy()
    if np.isnan(ranks).any():
        return math.nan
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))


def most_area(floor: float) -> float:
    """The largest AUC that passes: 0.75 (half of the way from chance to certainty), or a higher floor.

    Args:
        floor: the AUC of photographs against other photographs.
    """
    return max(0.75, floor)


def _split(
    fake_groups: Groups, real_groups: Groups, random: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Rows of fake and real for training (about 60 %), validation and test; None for too few photographs.

    A photograph that both sets have is in the same part in both. Otherwise the network could learn its
    content as fake and recognise it in the test as real.
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
    """(N, 3, p, p): luma and the two colour differences, minus their means over the patch."""
    axes = np.concatenate([LUMA[None], DIFFERENCES])
    planes = torch.from_numpy(patches.astype(np.float32) @ axes.T).permute(0, 3, 1, 2)
    return planes - planes.mean(dim=(2, 3), keepdim=True)


def _scale(planes: Tensor) -> Tensor:
    """(1, 3, 1, 1): standard deviations of the differences of neighbours, by which planes are normalised."""
    return (planes[..., 1:] - planes[..., :-1]).std(dim=(0, 2, 3)).clamp_min(0.1).view(1, 3, 1, 1)


class _Network(nn.Module):
    """(B, 3, p, p) to logits (B,).

    The positions of a 2x2 grid are separate channels. Further channels are squares and products of the planes
    after subtraction of their local means. Noise differs in variances and correlations, which linear layers
    and ReLUs learn slowly from the planes alone.
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
    """Train the network. It ends with the weights of the lowest validation loss.

    Returns:
        The step of these weights, and whether training ended before ``steps``.
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
    """What the network detects: the AUC of photographs with one band of a sample, for each band.

    They are compared with photographs that have this band of another photograph, so that the exchange itself
    is not detected.
    """
    fakes, reals = _middles(fakes), _middles(reals)
    if fakes.shape[1:] != reals.shape[1:]:
        return {}
    of_fakes, of_reals = (random.integers(len(some), size=len(reals)) for some in (fakes, reals))
    return {
        name: auc(
            *(
                _scores(network, _exchanged(reals, others, channels, *band))
                for others in (fakes[of_fakes], reals[of_reals])
            )
        )
        for name, channels, band in _named_bands()
    }


def _without(network: nn.Module, fakes: Tensor, reals: Tensor) -> dict[str, float]:
    """What the network needs: the AUC of samples from photographs, both without one band.

    It also finds what no band shows alone: how brightness and colours go together.
    """
    sides = _middles(fakes), _middles(reals)
    return {
        name: auc(
            *(_scores(network, _exchanged(side, torch.zeros_like(side), channels, *band)) for side in sides)
        )
        for name, channels, band in _named_bands()
    }


def _named_bands() -> Iterator[tuple[str, list[int], tuple[float, float]]]:
    """The name, the channels and the edges of each band."""
    for name, channels in _COLOURS.items():
        for low, high in pairwise(_BANDS):
            ends = f"{low:g} to {high:g}" if high < 0.5 else f"{low:g} and more"
            yield f"{name}, {ends} cycles per pixel", channels, (low, high)


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
    """A batch of random crops. They begin at multiples of 8, which keeps 2x2 and 8x8 grids aligned."""
    size = min(_CROP, patches.shape[2])
    starts = (patches.shape[2] - size) // 8 + 1
    crops = []
    for index in random.integers(len(patches), size=_BATCH):
        top, left = 8 * random.integers(starts, size=2)
        crops.append(patches[index, :, top : top + size, left : left + size])
    return torch.stack(crops)


def _middles(patches: Tensor) -> Tensor:
    """Centre crops of at most `_MOST_VALIDATED` patches, on the same grid of 8."""
    start = max(0, (patches.shape[2] - _CROP) // 16 * 8)
    thinned = patches[:: -(-len(patches) // _MOST_VALIDATED)]
    return thinned[:, :, start : start + _CROP, start : start + _CROP]


def _loss(network: nn.Module, patches: tuple[Tensor, Tensor]) -> float:
    """Binary cross-entropy, summed over the means of the two classes."""
    return sum(
        float(F.softplus(torch.from_numpy(sign * _scores(network, part))).mean())
        for sign, part in zip((-1, 1), patches)
    )


@torch.no_grad()
def _scores(network: nn.Module, patches: Tensor) -> np.ndarray:
    return torch.cat([network(part) for part in patches.split(256)]).numpy()
