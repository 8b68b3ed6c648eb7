"""The classifier two-sample test: can a small network that is trained to tell two sets apart do so?

Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017. The area under the ROC curve on
photographs that it has not seen is 0.5 where it can not, and 1 where it always can. It finds what nobody
has thought of measuring. With enough training it tells almost any model from a camera; a short training
grades them. Areas are to be compared at the same number of steps alone.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata
from torch import Tensor, nn

from ..system.parallel import in_order

Groups = Sequence[Any] | np.ndarray
PatchesOf = tuple[np.ndarray, Groups]

STEPS = 250
_CROP = 48
_BATCH, _MOST_VALIDATED = 32, 256
_CHECK_EVERY = 25
_LEAST_PHOTOGRAPHS = 3


@dataclass(frozen=True)
class Classified:
    """What came of a test.

    Attributes:
        auc: on the photographs held out, 0.5 to 1 but for chance; NaN where there are fewer than three
            photographs on either side to train, choose and test with.
        steps: after which it did best on the photographs to choose with.
        tested: patches that the area is over.
    """

    auc: float
    steps: int = 0
    tested: int = 0


@dataclass(frozen=True)
class Classification:
    """Areas under the curve of three tests, each against real photographs.

    Attributes:
        generated, bicubic: of a dataset, and of bicubic LR.
        real: of one half of the photographs against the other, which nothing can be asked to beat.
    """

    generated: float
    bicubic: float
    real: float


def classify(
    generated: PatchesOf,
    bicubic: PatchesOf,
    real: PatchesOf,
    steps: int = STEPS,
    seed: int = 0,
    workers: int | None = None,
) -> Classification:
    """The three tests, on patches (N, p, p, 3) with the names of their photographs (N)."""
    names = np.asarray(real[1])
    half = np.isin(names, np.random.default_rng(seed).permutation(np.unique(names))[::2])
    first, second = ((real[0][part], names[part]) for part in (half, ~half))
    pairs = ((generated, real), (bicubic, real), (first, second))
    tests = [_Test(fake, other, seed, steps) for fake, other in pairs]
    tested = in_order(_run, tests, [1] * len(tests), workers, "Training classifiers", "classifiers")
    return Classification(*(test.auc for test in tested))


class _Test(NamedTuple):
    fake: PatchesOf
    real: PatchesOf
    seed: int
    steps: int


def _run(test: _Test) -> Classified:
    return c2st_auc(*test.fake, *test.real, test.seed, test.steps)


def c2st_auc(
    fake: np.ndarray,
    fake_groups: Groups,
    real: np.ndarray,
    real_groups: Groups,
    seed: int = 0,
    steps: int = STEPS,
) -> Classified:
    """Train a classifier on two sets of patches and test it on photographs that it has not seen.

    Args:
        fake, real: (N, p, p, 3) uint8; the mean colour of a patch is hidden from the classifier.
        fake_groups, real_groups: N names of photographs; a photograph is trained on, validated on or tested
            on, never two of them, whichever set its patches are in.
        seed: of the split, the crops and the network.
        steps: to train; what is tested is the network that did best on the photographs to choose with.
    """
    random = np.random.default_rng(seed)
    parts = _split(fake_groups, real_groups, random)
    if parts is None:
        return Classified(math.nan)
    fakes = [_planes(fake[rows]) for rows, _ in parts]
    reals = [_planes(real[rows]) for _, rows in parts]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network()
        taken = _train(network, (fakes[0], reals[0]), (_middles(fakes[1]), _middles(reals[1])), steps, random)
    scores = [_scores(network, part) for part in (fakes[2], reals[2])]
    return Classified(auc(*scores), taken, sum(map(len, scores)))


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """The chance that a positive scores higher than a negative; ties count half."""
    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
    return float((ranks.sum() - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


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
    planes = torch.from_numpy(np.ascontiguousarray(patches)).permute(0, 3, 1, 2).to(torch.float32)
    return (planes - planes.mean(dim=(2, 3), keepdim=True)) / 32


def _network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside, stride in ((3, 32, 1), (32, 32, 2), (32, 64, 2), (64, 64, 2)):
        layers += [nn.Conv2d(inside, outside, 3, stride, padding=1), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 1))


def _train(
    network: nn.Sequential,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    steps: int,
    random: np.random.Generator,
) -> int:
    """Leaves the weights that did best on the validation photographs; returns the steps that led there."""
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    best, best_step, best_weights = math.inf, 0, copy.deepcopy(network.state_dict())
    target = torch.cat([torch.ones(_BATCH), torch.zeros(_BATCH)])
    for step in range(1, steps + 1):
        batch = torch.cat([_crops(patches, random) for patches in training])
        loss = F.binary_cross_entropy_with_logits(network(batch)[:, 0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % _CHECK_EVERY == 0:
            loss_seen = _loss(network, validation)
            if loss_seen < best:
                best, best_step, best_weights = loss_seen, step, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_weights)
    return best_step


def _crops(patches: Tensor, random: np.random.Generator) -> Tensor:
    """A batch of random crops, flipped at random."""
    size = min(_CROP, patches.shape[2])
    crops = []
    for index in random.integers(len(patches), size=_BATCH):
        top, left = random.integers(patches.shape[2] - size + 1, size=2)
        crop = patches[index, :, top : top + size, left : left + size]
        crops.append(torch.flip(crop, [2]) if random.random() < 0.5 else crop)
    return torch.stack(crops)


def _middles(patches: Tensor) -> Tensor:
    """The middle crops of a bounded number of patches."""
    start = max(0, (patches.shape[2] - _CROP) // 2)
    thinned = patches[:: -(-len(patches) // _MOST_VALIDATED)]
    return thinned[:, :, start : start + _CROP, start : start + _CROP]


def _loss(network: nn.Sequential, patches: tuple[Tensor, Tensor]) -> float:
    """The mean of both classes, however many patches each has."""
    return sum(
        float(F.softplus(torch.from_numpy(sign * _scores(network, part))).mean())
        for sign, part in zip((-1, 1), patches)
    )


@torch.no_grad()
def _scores(network: nn.Sequential, patches: Tensor) -> np.ndarray:
    return torch.cat([network(part)[:, 0] for part in patches.split(256)]).numpy()
