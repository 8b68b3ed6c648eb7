"""One answer to each question that one asks of a dataset, with the numbers and the thresholds behind it.

Every measure is scored from 0 to 100: 100 is ideal, 50 is at the threshold. The score of a question is that
of its worst measure, and the score of a dataset that of its worst question.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..statistics.compare import KernelComparison, position
from .classifier import Classification

MOST_KERNEL_POSITION = 0.5
MOST_AUC = 0.9
LEAST_RANDOM_SHARE = 0.5
LEAST_NOISE = 1.0
LEAST_SPREAD_RATIO = 0.5
LEAST_VARIANT_SPREAD = 0.1
MOST_SHIFT, MOST_COMMON_SHIFT = 0.25, 0.1
MOST_COLOUR_SHIFT = 2.0
LEAST_RESIDUAL = 1.0

_LEAST_KERNEL_DISTANCE = 1e-3
_DIVERSITY = ("noise_sigma", "noise_grain", "noise_channels", "sharpness", "blockiness")
"""Statistics whose spread shows whether degradations differ: those that depend least on the scene."""


@dataclass(frozen=True)
class Measure:
    """One number of a verdict.

    Attributes:
        text: the number in words.
        threshold: what it must be, in words.
        score: 0 to 100; 50 and above pass.
    """

    text: str
    threshold: str
    score: float


@dataclass(frozen=True)
class Verdict:
    """The answer to a question.

    Attributes:
        question: a word with a question mark.
        measures: what it rests on; empty where it cannot be told.
        untold: why it cannot be told, or empty.
        good: the answer that is good: "yes" or "no".
    """

    question: str
    measures: tuple[Measure, ...]
    untold: str = ""
    good: str = "yes"

    @property
    def score(self) -> float:
        """0 to 100, that of the worst measure; NaN where it cannot be told."""
        return min((m.score for m in self.measures), default=math.nan)

    @property
    def passed(self) -> bool | None:
        """Whether the answer is the good one; None where it cannot be told."""
        return self.score >= 50 if self.measures else None

    @property
    def answer(self) -> str:
        """ "yes", "no", or "cannot be told"."""
        if self.passed is None:
            return "cannot be told"
        return self.good if self.passed else {"yes": "no", "no": "yes"}[self.good]

    @property
    def sentence(self) -> str:
        """The evidence in one line."""
        return "; ".join(f"{m.text} ({m.threshold})" for m in self.measures) or self.untold


def overall(verdicts: Sequence[Verdict]) -> float:
    """The score of a dataset: that of the worst question that can be told; NaN if none can."""
    return min((v.score for v in verdicts if v.measures), default=math.nan)


def verdicts(
    samples: pd.DataFrame,
    bicubic: pd.DataFrame,
    real: pd.DataFrame | None,
    features: KernelComparison | None = None,
    classified: Classification | None = None,
) -> list[Verdict]:
    """The answers for a dataset.

    Args:
        samples, bicubic: frames of its pairs, and of the bicubic LR of its HR.
        real: frame of real photographs, if there are any.
        features: their kernel distances.
        classified: what the classifier tests said.
    """
    found = (
        _realistic(features, classified),
        _random(samples, bicubic, real),
        _diverse(samples, real),
        _aligned(samples),
        _colour_true(samples),
        _collapsed(samples),
    )
    return [_without_nan(verdict) for verdict in found]


def _without_nan(verdict: Verdict) -> Verdict:
    """The verdict on the measures that came to a number."""
    told = tuple(measure for measure in verdict.measures if not math.isnan(measure.score))
    return replace(
        verdict, measures=told, untold=verdict.untold or "too few patches, or too small ones, to measure"
    )


def _realistic(features: KernelComparison | None, classified: Classification | None) -> Verdict:
    if features is None:
        return Verdict("realistic?", (), "needs real photographs (--real)")
    place = features.position
    if features.ceiling - features.floor < _LEAST_KERNEL_DISTANCE:
        # Bicubic is as near to these photographs as they are to one another.
        place = position(features.distance, features.floor, 2 * max(features.floor, _LEAST_KERNEL_DISTANCE))
    measures = [
        Measure(
            f"{place:.0%} of the way from real photographs to bicubic by kernel distance",
            f"at most {MOST_KERNEL_POSITION:.0%}",
            _at_most(place, MOST_KERNEL_POSITION),
        )
    ]
    if classified is not None and not math.isnan(classified.generated):
        references = {"real from real": classified.real, "bicubic": classified.bicubic}
        others = ", ".join(f"{name} {auc:.2f}" for name, auc in references.items() if not math.isnan(auc))
        # Where photographs differ so much that one half is told from the other, no set can do better.
        most = MOST_AUC if math.isnan(classified.real) else max(MOST_AUC, classified.real)
        measures.append(
            Measure(
                f"a classifier of short training tells it from real with AUC {classified.generated:.2f}"
                + (f" [{others}]" if others else ""),
                f"at most {most:.2g}",
                _at_most(classified.generated - 0.5, most - 0.5),
            )
        )
    return Verdict("realistic?", tuple(measures))


def _random(samples: pd.DataFrame, bicubic: pd.DataFrame, real: pd.DataFrame | None) -> Verdict:
    spread = _median(samples, "variant_spread")
    if math.isnan(spread):
        return Verdict("random?", (), "needs at least two variants per patch")
    whose, noisy = ("the dataset shows", samples) if real is None else ("the real photographs show", real)
    # What bicubic LR shows is texture that the estimate takes for noise.
    excess = _median(noisy, "noise_sigma") ** 2 - _median(bicubic, "noise_sigma") ** 2
    noise = math.sqrt(max(0.0, excess))
    if noise < LEAST_NOISE:
        why = f"{whose} {noise:.1f} levels of noise beyond bicubic LR's, too little to ask"
        return Verdict("random?", (), why)
    return Verdict(
        "random?",
        (
            Measure(
                f"variants of a patch differ by {spread:.1f} levels, and {whose} {noise:.1f} levels of noise",
                f"at least {LEAST_RANDOM_SHARE:.0%}",
                _at_least(spread / noise, LEAST_RANDOM_SHARE),
            ),
        ),
    )


def _diverse(samples: pd.DataFrame, real: pd.DataFrame | None) -> Verdict:
    measures = []
    spread = _median(samples, "variant_spread")
    if not math.isnan(spread):
        measures.append(_variants_differ(spread))
    if real is not None:
        ratios = [_spread(samples[name]) / _spread(real[name]) for name in _DIVERSITY if _spread(real[name])]
        ratio = float(np.nanmedian(ratios)) if ratios else math.nan
        if not math.isnan(ratio):
            measures.append(
                Measure(
                    f"degradations are spread {ratio:.1f} times as widely as among real photographs",
                    f"at least {LEAST_SPREAD_RATIO}",
                    _at_least(ratio, LEAST_SPREAD_RATIO),
                )
            )
    return Verdict("diverse?", tuple(measures), "needs several variants per patch, or real photographs")


def _aligned(samples: pd.DataFrame) -> Verdict:
    right, down, distance = (_median(samples, name) for name in ("shift_x", "shift_y", "shift"))
    common = math.hypot(right, down)
    return Verdict(
        "aligned?",
        (
            Measure(
                f"all samples together are {common:.2f} LR pixels off",
                f"at most {MOST_COMMON_SHIFT}",
                _at_most(common, MOST_COMMON_SHIFT),
            ),
            Measure(
                f"half of them are more than {distance:.2f} off",
                f"at most {MOST_SHIFT}",
                _at_most(distance, MOST_SHIFT),
            ),
        ),
    )


def _colour_true(samples: pd.DataFrame) -> Verdict:
    means = {channel.upper(): _median(samples, f"residual_mean_{channel}") for channel in "rgb"}
    worst = max(abs(mean) for mean in means.values())
    text = ", ".join(f"{channel} {mean:+.1f}" for channel, mean in means.items())
    return Verdict(
        "colour-true?",
        (
            Measure(
                f"{text} levels against the HR",
                f"at most {MOST_COLOUR_SHIFT:g} either way",
                _at_most(worst, MOST_COLOUR_SHIFT),
            ),
        ),
    )


def _collapsed(samples: pd.DataFrame) -> Verdict:
    residual = _median(samples, "residual_std")
    measures = [
        Measure(
            f"LR differs from bicubic by {residual:.1f} levels",
            f"at least {LEAST_RESIDUAL:g}",
            _at_least(residual, LEAST_RESIDUAL),
        )
    ]
    spread = _median(samples, "variant_spread")
    if not math.isnan(spread):
        measures.append(_variants_differ(spread))
    return Verdict("collapsed?", tuple(measures), good="no")


def _variants_differ(spread: float) -> Measure:
    return Measure(
        f"variants of a patch differ by {spread:.2f} levels",
        f"at least {LEAST_VARIANT_SPREAD}",
        _at_least(spread, LEAST_VARIANT_SPREAD),
    )


def _median(frame: pd.DataFrame, name: str) -> float:
    return float(frame[name].dropna().median())


def _spread(values: pd.Series) -> float:
    """Half of what the middle 68 % span."""
    return float(values.quantile(0.84) - values.quantile(0.16)) / 2


def _at_most(value: float, threshold: float) -> float:
    return float(np.clip(100 - 50 * value / threshold, 0, 100))


def _at_least(value: float, threshold: float) -> float:
    return float(np.clip(50 * value / threshold, 0, 100))
