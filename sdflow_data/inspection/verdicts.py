"""One answer to each question that one asks of a dataset, with the numbers and the thresholds behind it.

Every measure is scored from 0 to 100: 100 is ideal, 50 is at the threshold. The score of a question is that
of its worst measure, and the score of a dataset that of its worst question.

What is held against photographs has one threshold: half of the way. A distance may be half of the way from
that of photographs from one another (the floor) to that of bicubic LR (the ceiling). An area under a ROC
curve may be half of the way from chance to certainty, 0.75, or as large as that of photographs from one
another. Less of something counts as more of it does: a sensor's columns that samples lack give them away as
surely as a grid of their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..statistics import STATISTICS
from ..statistics.compare import KernelComparison
from .classifier import Classification, most_area
from .tells import Tell

MOST_POSITION = 0.5
"""Of the way from floor to ceiling."""

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
        question: a word with a question mark; yes is good.
        measures: what it rests on; empty where it cannot be told.
        untold: why it cannot be told, or empty.
        notes: what else is to be known, without a score.
    """

    question: str
    measures: tuple[Measure, ...]
    untold: str = ""
    notes: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """0 to 100, that of the worst measure; NaN where it cannot be told."""
        return min((m.score for m in self.measures), default=math.nan)

    @property
    def passed(self) -> bool | None:
        """Whether the answer is yes; None where it cannot be told."""
        return self.score >= 50 if self.measures else None

    @property
    def answer(self) -> str:
        """ "yes", "no", or "cannot be told"."""
        return {True: "yes", False: "no", None: "cannot be told"}[self.passed]

    @property
    def sentence(self) -> str:
        """The evidence in one line."""
        told = [f"{m.text} ({m.threshold})" for m in self.measures] or [self.untold]
        return "; ".join([*told, *self.notes])


def overall(verdicts: Sequence[Verdict]) -> float:
    """The score of a dataset: that of the worst question that can be told; NaN if none can."""
    return min((v.score for v in verdicts if v.measures), default=math.nan)


def passed(verdicts: Sequence[Verdict]) -> bool | None:
    """Whether every answer is yes; None where none is no, and some cannot be told."""
    if any(verdict.passed is False for verdict in verdicts):
        return False
    return None if any(verdict.passed is None for verdict in verdicts) else True


def conclusion(verdicts: Sequence[Verdict]) -> str:
    """What the answers mean for a training on the pairs, and what to try next, in two sentences."""
    failed = {verdict.question for verdict in verdicts if verdict.passed is False}
    for question, words in _CONCLUSIONS.items():
        if question in failed:
            return words
    untold = [verdict for verdict in verdicts if verdict.passed is None]
    if untold:
        reasons = "; ".join(f"{verdict.question} {verdict.untold}" for verdict in untold)
        return (
            f"Nothing that can be told speaks against these pairs. What cannot be told is not "
            f"passed: {reasons}."
        )
    return (
        "By all that was measured, a network trained on these pairs meets degradations like those of the "
        "photographs. Train on them, or look closer first with --thorough."
    )


_CONCLUSIONS = {
    "degraded?": (
        "The LR have collapsed to bicubic ones, so a network trained on these pairs learns to undo bicubic "
        "downscaling and nothing else. Make them with a trained model, or train it longer."
    ),
    "aligned?": (
        "LR and HR do not lie on one another, so a network trained on these pairs learns to move "
        "edges, or to "
        "blur them. Register hand-made pairs again; of a trained model, watch its alignment while it trains."
    ),
    "colour-true?": (
        "LR and HR differ in colour, so a network trained on these pairs learns to change colours. Match the "
        "colours of the two sides, or train the model longer."
    ),
    "diverse?": (
        "The degradations hardly differ, so a network trained on these pairs learns to undo one of "
        "them. Make "
        "them at a higher --temperature, with all components, or after more kinds of photographs."
    ),
    "random?": (
        "The noise is much the same in all variants, so a network trained on these pairs learns to take off "
        "one texture where photographs have noise. Make them at --temperature 1, or train the model longer."
    ),
    "realistic?": (
        "The LR can be told from the photographs, so a network trained on these pairs meets in photographs "
        "what it has not learned. See by what they are told; train longer, or on more of the photographs."
    ),
}
"""By the question that is answered with no; of several, the first decides."""


def verdicts(
    samples: pd.DataFrame,
    bicubic: pd.DataFrame,
    real: pd.DataFrame | None,
    features: KernelComparison | None = None,
    classified: Classification | None = None,
    found: Sequence[Tell] = (),
) -> list[Verdict]:
    """The answers for a dataset.

    Args:
        samples, bicubic: frames of its pairs, and of the bicubic LR of its HR.
        real: frame of real photographs, if there are any.
        features: their kernel distances.
        classified: what the classifier tests said.
        found: what single numbers tell, the most telling first.
    """
    answers = (
        _realistic(features, classified, found),
        _random(samples, bicubic, real),
        _diverse(samples, real),
        _aligned(samples),
        _colour_true(samples),
        _degraded(samples),
    )
    return [_without_nan(verdict) for verdict in answers]


def _without_nan(verdict: Verdict) -> Verdict:
    """The verdict on the measures that came to a number."""
    told = tuple(measure for measure in verdict.measures if not math.isnan(measure.score))
    return replace(
        verdict, measures=told, untold=verdict.untold or "too few patches, or too small ones, to measure"
    )


def _realistic(
    features: KernelComparison | None, classified: Classification | None, found: Sequence[Tell]
) -> Verdict:
    """A test that would not tell bicubic LR either has no power: it can say no, but not yes."""
    if features is None:
        return Verdict("realistic?", (), "needs real photographs (--real)")
    parts = [_by_kernel(features)]
    if classified is not None and classified.generated.values:
        parts.append(_by_classifier(classified))
    measures = [measure for measure, _ in parts if measure is not None]
    notes = [note for _, note in parts if note]
    seen = [_by_number(tell) for tell in found[:1]]
    if measures or any(measure.score < 50 for measure in seen):
        measures += seen
    untold = "no test has the power to tell even bicubic LR from these photographs"
    return Verdict("realistic?", tuple(measures), untold, tuple(notes))


def _by_kernel(features: KernelComparison) -> tuple[Measure | None, str]:
    place, text = features.position, "of the way from real photographs to bicubic by kernel distance"
    if features.ceiling - features.floor < _LEAST_KERNEL_DISTANCE or math.isnan(place):
        least = 2 * max(features.floor, _LEAST_KERNEL_DISTANCE)
        place = (features.distance - features.floor) / (least - features.floor)
        if not place > 1:
            return (
                None,
                "by kernel distance bicubic LR is as near to the photographs as they are to one another",
            )
        text = "of the way from real photographs to twice their own distance by kernel distance"
        return Measure(f"{place:.0%} {text}", "at most 100%", _at_most(place, 1.0)), ""
    place = max(0.0, place)
    threshold = f"at most {MOST_POSITION:.0%}"
    return Measure(f"{place:.0%} {text}", threshold, _at_most(place, MOST_POSITION)), ""


def _by_classifier(classified: Classification) -> tuple[Measure | None, str]:
    ours, bicubic, real = classified.generated, classified.bicubic, classified.real
    references = {"real from real": real, "bicubic": bicubic}
    others = ", ".join(f"{name} {areas.mean:.2f}" for name, areas in references.items() if areas.values)
    span = f"{ours.low:.2f} to {ours.high:.2f} over {len(ours.values)} splits"
    measure = Measure(
        f"a classifier tells it from real with AUC {ours.mean:.2f}, {span}"
        + (f" [{others}]" if others else ""),
        *_held_against(ours.mean, classified.floor),
    )
    powerless = bicubic.values and bicubic.mean <= most_area(classified.floor)
    if powerless and not measure.score < 50:
        return None, (
            f"the classifier has no power here: it tells bicubic LR with AUC {bicubic.mean:.2f}, "
            f"the dataset with "
            f"{ours.mean:.2f}"
        )
    note = (
        "the classifier was still learning when it was stopped: --thorough" if classified.at_the_bound else ""
    )
    return measure, note


def _by_number(tell: Tell) -> Measure:
    side = "more" if tell.more else "less"
    return Measure(
        f"the number that tells most, {tell.name}, tells it from real with AUC {tell.auc:.2f}: "
        f"samples have {side} "
        f"({STATISTICS[tell.name].description}) [real from real {tell.floor:.2f}]",
        *_held_against(tell.auc, tell.floor),
    )


def _held_against(area: float, floor: float) -> tuple[str, float]:
    """The threshold of an area in words, and its score."""
    most = most_area(floor)
    return f"at most {most:.2f}", _at_most(area - 0.5, most - 0.5)


def _random(samples: pd.DataFrame, bicubic: pd.DataFrame, real: pd.DataFrame | None) -> Verdict:
    spread = _median(samples, "variant_spread")
    if math.isnan(spread):
        return Verdict("random?", (), "needs at least two variants per patch; there is a single one")
    if real is None:
        return Verdict(
            "random?", (), "needs real photographs (--real), which say how much noise there should be"
        )
    # What bicubic LR shows is texture that the estimate takes for noise.
    excess = _median(real, "noise_sigma") ** 2 - _median(bicubic, "noise_sigma") ** 2
    noise = math.sqrt(max(0.0, excess))
    text = (
        f"variants of a patch differ by {spread:.1f} levels, and the real photographs show "
        f"{noise:.1f} levels of noise"
    )
    if noise < LEAST_NOISE:
        return Verdict(
            "random?", (Measure(f"{text}, hardly any", f"asked from {LEAST_NOISE:g} level on", 100.0),)
        )
    share = Measure(text, f"at least {LEAST_RANDOM_SHARE:.0%}", _at_least(spread / noise, LEAST_RANDOM_SHARE))
    return Verdict("random?", (share,))


def _diverse(samples: pd.DataFrame, real: pd.DataFrame | None) -> Verdict:
    measures = []
    spread = _median(samples, "variant_spread")
    if not math.isnan(spread):
        measures.append(_variants_differ(spread))
    if real is not None:
        ratios = [_spread(samples[name]) / _spread(real[name]) for name in _DIVERSITY if _spread(real[name])]
        ratios = [ratio for ratio in ratios if not math.isnan(ratio)]
        if ratios:
            ratio = float(np.median(ratios))
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


def _degraded(samples: pd.DataFrame) -> Verdict:
    residual = _median(samples, "residual_std")
    return Verdict(
        "degraded?",
        (
            Measure(
                f"LR differs from bicubic by {residual:.1f} levels"
                + (": it has collapsed to it" if residual < LEAST_RESIDUAL else ""),
                f"at least {LEAST_RESIDUAL:g}",
                _at_least(residual, LEAST_RESIDUAL),
            ),
        ),
    )


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
