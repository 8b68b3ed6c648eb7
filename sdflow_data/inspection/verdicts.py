"""Verdicts on a dataset: the answers to six questions, with their measures and thresholds.

Every measure has a score from 0 to 100: 100 is ideal, 50 is the threshold. The score of a question is that of
its worst measure. The score of a dataset is that of its worst question.

Comparisons with photographs have one rule: half of the way passes. A distance may be half of the way from the
distance of photographs from one another (the floor) to that of bicubic LR (the ceiling). An area under the
ROC curve (AUC) may be half of the way from chance to certainty (0.75), or as large as the AUC of photographs
against other photographs. Samples that have less of something than photographs count like samples that have
more of it: a missing pattern of sensor columns is detected as well as an additional grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sdflow.wording import counted

from ..statistics import STATISTICS
from ..statistics.compare import MMDComparison
from .classifier import Classification, most_area
from .single_statistics import SingleStatistic

MOST_POSITION = 0.5
"""The largest share of the way from floor to ceiling that passes."""

LEAST_RANDOM_SHARE = 0.5
"""Least ratio of the spread between variants to the noise of photographs."""

LEAST_NOISE = 1.0
"""Noise of photographs, in grey levels, from which on samples must be random."""

LEAST_SPREAD_RATIO = 0.5
"""Least ratio of the spread of degradations to that of photographs."""

LEAST_VARIANT_SPREAD = 0.1
"""Least standard deviation between the variants of a patch, in grey levels."""

MOST_SHIFT, MOST_COMMON_SHIFT = 0.25, 0.1
"""Largest median shift of a sample, and largest shift of all samples together, in LR pixels."""

MOST_COLOUR_SHIFT = 2.0
"""Largest median difference of a channel from bicubic, in grey levels."""

LEAST_RESIDUAL = 1.0
"""Least difference of LR from bicubic, in grey levels."""

_LEAST_MMD = 1e-3
_DIVERSITY = ("noise_sigma", "noise_grain", "noise_channels", "sharpness", "blockiness")
"""Statistics whose spread measures the diversity of degradations: those that depend least on the scene."""


@dataclass(frozen=True)
class Measure:
    """One number of a verdict.

    Attributes:
        text: the value in words.
        threshold: the threshold in words.
        score: 0 to 100; 50 and above pass.
    """

    text: str
    threshold: str
    score: float


@dataclass(frozen=True)
class Verdict:
    """The answer to a question.

    Attributes:
        question: a word with a question mark; yes is the good answer.
        measures: the measures that decide it; empty if there is no answer.
        unanswered: the reason why there is no answer, or empty.
        notes: remarks without a score.
    """

    question: str
    measures: tuple[Measure, ...]
    unanswered: str = ""
    notes: tuple[str, ...] = ()

    @property
    def score(self) -> float:
        """0 to 100, that of the worst measure; NaN without an answer."""
        return min((m.score for m in self.measures), default=math.nan)

    @property
    def passed(self) -> bool | None:
        """Whether the answer is yes; None without an answer."""
        return self.score >= 50 if self.measures else None

    @property
    def answer(self) -> str:
        """ "yes", "no", or "cannot be told"."""
        return {True: "yes", False: "no", None: "cannot be told"}[self.passed]

    @property
    def sentence(self) -> str:
        """The evidence in one line."""
        evidence = [f"{m.text} ({m.threshold})" for m in self.measures] or [self.unanswered]
        return "; ".join([*evidence, *self.notes])


def overall(verdicts: Sequence[Verdict]) -> float:
    """The score of a dataset: that of the worst question with an answer; NaN if none has one."""
    return min((v.score for v in verdicts if v.measures), default=math.nan)


def passed(verdicts: Sequence[Verdict]) -> bool | None:
    """Whether every answer is yes; None if none is no, but some are missing."""
    if any(verdict.passed is False for verdict in verdicts):
        return False
    return None if any(verdict.passed is None for verdict in verdicts) else True


def conclusion(verdicts: Sequence[Verdict]) -> str:
    """The consequence of the answers for a training on the pairs, and what to try next, in two sentences."""
    failed = {verdict.question for verdict in verdicts if verdict.passed is False}
    for question, words in _CONCLUSIONS.items():
        if question in failed:
            return words
    unanswered = [verdict for verdict in verdicts if verdict.passed is None]
    if unanswered:
        reasons = "; ".join(f"{verdict.question} {verdict.unanswered}" for verdict in unanswered)
        return (
            f"No measured verdict speaks against these pairs. Questions without an answer do not "
            f"pass: {reasons}."
        )
    return "By all measures, these pairs have degradations like those of the photographs. Train on them."


_CONCLUSIONS = {
    "degraded?": (
        "The LR have collapsed to bicubic LR, so a network trained on these pairs learns to invert bicubic "
        "downscaling only. Generate them with a trained model, or train the model longer."
    ),
    "aligned?": (
        "LR and HR are not aligned, so a network trained on these pairs learns to move or blur edges. "
        "Register captured pairs again. If a model made the pairs, watch its alignment during training."
    ),
    "colour-true?": (
        "LR and HR differ in colour, so a network trained on these pairs learns to change colours. Match the "
        "colours of the two sides, or train the model longer."
    ),
    "diverse?": (
        "The degradations hardly differ, so a network trained on these pairs learns to invert a single one. "
        "Generate them at a higher temperature, with all components, or from more varied photographs."
    ),
    "random?": (
        "The noise is almost equal in all variants, so a network trained on these pairs learns to remove one "
        "texture instead of noise. Generate them at temperature 1, or train the model longer."
    ),
    "realistic?": (
        "The LR can be distinguished from the photographs, so a network trained on these pairs misses some "
        "degradations of photographs. Look up the differences; train longer, or on more photographs."
    ),
}
"""The conclusion for each question whose answer is no. The first such question decides."""


def verdicts(
    samples: pd.DataFrame,
    bicubic: pd.DataFrame,
    real: pd.DataFrame | None,
    features: MMDComparison | None = None,
    classified: Classification | None = None,
    found: Sequence[SingleStatistic] = (),
) -> list[Verdict]:
    """The answers for a dataset.

    Args:
        samples, bicubic: frames of its pairs, and of the bicubic LR of its HR.
        real: the frame of real photographs; None for none.
        features: the MMD over all statistics.
        classified: the results of the classifier tests.
        found: the results of single statistics, the largest excess first.
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
    """The verdict without the measures that are NaN."""
    known = tuple(measure for measure in verdict.measures if not math.isnan(measure.score))
    reason = verdict.unanswered or "has too few or too small patches"
    return replace(verdict, measures=known, unanswered=reason)


def _realistic(
    features: MMDComparison | None, classified: Classification | None, found: Sequence[SingleStatistic]
) -> Verdict:
    """A test that does not detect bicubic LR has no power: its answer can be no, but not yes."""
    if features is None:
        return Verdict("realistic?", (), "needs real photographs")
    parts = [_by_mmd(features)]
    if classified is not None and classified.generated.values:
        parts.append(_by_classifier(classified))
    measures = [measure for measure, _ in parts if measure is not None]
    notes = [note for _, note in parts if note]
    single = [_by_statistic(best) for best in found[:1]]
    if measures or any(measure.score < 50 for measure in single):
        measures += single
    unanswered = "has no test with power: none distinguishes even bicubic LR from these photographs"
    return Verdict("realistic?", tuple(measures), unanswered, tuple(notes))


def _by_mmd(features: MMDComparison) -> tuple[Measure | None, str]:
    place, by = features.position, "by MMD over all statistics,"
    if features.ceiling - features.floor < _LEAST_MMD or math.isnan(place):
        least = 2 * max(features.floor, _LEAST_MMD)
        place = (features.distance - features.floor) / (least - features.floor)
        if not place > 1:
            return None, "by MMD, bicubic LR is as close to the photographs as they are to one another"
        text = f"{by} {place:.0%} of the way from photographs to twice their own distance"
        return Measure(text, "at most 100%", _at_most(place, 1.0)), ""
    place = max(0.0, place)
    text = f"{by} {place:.0%} of the way from photographs to bicubic LR"
    return Measure(text, f"at most {MOST_POSITION:.0%}", _at_most(place, MOST_POSITION)), ""


def _by_classifier(classified: Classification) -> tuple[Measure | None, str]:
    """Without the control, photographs against other photographs, scenes alone could explain the AUC."""
    ours, bicubic, real = classified.generated, classified.bicubic, classified.real
    if not real.values:
        return None, (
            f"a classifier distinguishes samples from photographs with AUC {ours.mean:.2f}, which decides "
            "nothing, because the photographs are too few to distinguish some from others"
        )
    references = {"other photographs": real, "bicubic LR": bicubic}
    others = "".join(f"; {name}: {areas.mean:.2f}" for name, areas in references.items() if areas.values)
    span = f"{ours.low:.2f} to {ours.high:.2f} over {counted(len(ours.values), 'split')}"
    measure = Measure(
        f"a classifier distinguishes samples from photographs with AUC {ours.mean:.2f} ({span}{others})",
        *_auc_score(ours.mean, real.mean),
    )
    powerless = bicubic.values and bicubic.mean <= most_area(real.mean)
    if powerless and not measure.score < 50:
        return None, (
            f"the classifier has no power here: it detects bicubic LR with AUC {bicubic.mean:.2f}, "
            f"the dataset with {ours.mean:.2f}"
        )
    if classified.at_the_bound:
        return measure, "the classifier still learned at its last step, so more steps may find more"
    return measure, ""


def _by_statistic(found: SingleStatistic) -> Measure:
    side = "more" if found.more else "less"
    return Measure(
        f"the best single statistic, {found.name}, distinguishes samples from photographs with AUC "
        f"{found.auc:.2f} (other photographs: {found.floor:.2f}); samples have {side} of this: "
        f"{STATISTICS[found.name].description}",
        *_auc_score(found.auc, found.floor),
    )


def _auc_score(area: float, floor: float) -> tuple[str, float]:
    """The threshold of an AUC in words, and its score."""
    most = most_area(floor)
    return f"at most {most:.2f}", _at_most(area - 0.5, most - 0.5)


def _random(samples: pd.DataFrame, bicubic: pd.DataFrame, real: pd.DataFrame | None) -> Verdict:
    spread = _median(samples, "variant_spread")
    if math.isnan(spread):
        return Verdict("random?", (), "needs at least two variants per patch, found a single one")
    if real is None:
        return Verdict("random?", (), "needs real photographs, which define how much noise is right")
    # The estimate mistakes some texture for noise. Bicubic LR shows how much.
    excess = _median(real, "noise_sigma") ** 2 - _median(bicubic, "noise_sigma") ** 2
    noise = math.sqrt(max(0.0, excess))
    text = (
        f"variants of a patch differ by {spread:.1f} levels, and the real photographs show "
        f"{noise:.1f} levels of noise"
    )
    if noise < LEAST_NOISE:
        return Verdict("random?", (Measure(text, f"required from {LEAST_NOISE:g} level of noise on", 100.0),))
    threshold = f"at least {LEAST_RANDOM_SHARE:.0%} of that noise"
    share = Measure(text, threshold, _at_least(spread / noise, LEAST_RANDOM_SHARE))
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
                    f"at least {LEAST_SPREAD_RATIO} times",
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
                f"at most {MOST_COMMON_SHIFT} pixels",
                _at_most(common, MOST_COMMON_SHIFT),
            ),
            Measure(
                f"half of them are more than {distance:.2f} LR pixels off",
                f"at most {MOST_SHIFT} pixels",
                _at_most(distance, MOST_SHIFT),
            ),
        ),
    )


def _colour_true(samples: pd.DataFrame) -> Verdict:
    means = {channel.upper(): _median(samples, f"residual_mean_{channel}") for channel in "rgb"}
    worst = max(abs(mean) for mean in means.values())
    text = ", ".join(f"{channel} {round(mean, 1) + 0.0:+.1f}" for channel, mean in means.items())  # no "-0.0"
    return Verdict(
        "colour-true?",
        (
            Measure(
                f"{text} levels against the HR",
                f"at most {MOST_COLOUR_SHIFT:g} levels either way",
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
                f"at least {LEAST_RESIDUAL:g} level",
                _at_least(residual, LEAST_RESIDUAL),
            ),
        ),
    )


def _variants_differ(spread: float) -> Measure:
    return Measure(
        f"variants of a patch differ by {spread:.2f} levels",
        f"at least {LEAST_VARIANT_SPREAD} levels",
        _at_least(spread, LEAST_VARIANT_SPREAD),
    )


def _median(frame: pd.DataFrame, name: str) -> float:
    return float(frame[name].dropna().median())


def _spread(values: pd.Series) -> float:
    """Half of the central 68 % range."""
    return float(values.quantile(0.84) - values.quantile(0.16)) / 2


def _at_most(value: float, threshold: float) -> float:
    return float(np.clip(100 - 50 * value / threshold, 0, 100))


def _at_least(value: float, threshold: float) -> float:
    return float(np.clip(50 * value / threshold, 0, 100))
