"""All that is to be known of a dataset, in one call: what ``sdflow inspect`` prints, draws and writes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sdflow.errors import SDFlowError

from ..dataset.manifest import INFO, Dataset, read_dataset
from ..statistics.batch import bicubic_lr
from ..statistics.compare import KernelComparison, compare, compare_features
from ..statistics.noise_models import NoiseMeasure, noise_measures
from .classifier import QUICK, Classification, Effort, classify
from .made_by import CameraOfModel, measured_cameras
from .sets import MeasuredDataset, MeasuredPatches, measure_dataset, measure_photographs, read_partners
from .tells import Tell, tells
from .verdicts import Verdict, conclusion, overall, passed, verdicts


@dataclass(frozen=True)
class RealSet:
    """What a dataset is held against.

    Attributes:
        folder: of photographs, or of a dataset of real pairs.
        patches: cut to the size of the dataset's LR.
        skipped: files that gave no patch, and why.
    """

    folder: Path
    patches: MeasuredPatches
    skipped: list[str]


@dataclass(frozen=True)
class Inspection:
    """A dataset, measured and judged.

    Attributes:
        dataset: what was inspected.
        measured: its samples, their bicubic counterparts and the kernel.
        real: what it is held against, if anything.
        features: kernel distances of all statistics together, against ``real``.
        classified: the classifier two-sample tests against ``real``, if they were asked for.
        noise: what papers on noise models measure, where ``real`` has partners of the dataset's samples.
        cameras: measured, of the model that made the dataset.
    """

    dataset: Dataset
    measured: MeasuredDataset
    real: RealSet | None = None
    features: KernelComparison | None = None
    classified: Classification | None = None
    noise: list[NoiseMeasure] = field(default_factory=list)
    cameras: Sequence[CameraOfModel] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per statistic, as `compare` has it; NaN where there is nothing real to compare with."""
        samples = self.measured.samples.frame
        real = samples.iloc[:0] if self.real is None else self.real.patches.frame
        return compare(samples, real.reindex(columns=samples.columns), self.measured.bicubic.frame)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The answers, in the order of the questions."""
        frame = None if self.real is None else self.real.patches.frame
        samples, bicubic = self.measured.samples.frame, self.measured.bicubic.frame
        return verdicts(samples, bicubic, frame, self.features, self.classified, self.tells)

    @cached_property
    def tells(self) -> list[Tell]:
        """What single numbers tell samples from photographs by; empty where there are none."""
        return [] if self.real is None else tells(self.measured.samples.frame, self.real.patches.frame)

    @property
    def score(self) -> float:
        """0 to 100: that of the worst verdict that can be told; 50 is at the threshold."""
        return overall(self.verdicts)

    @property
    def untold(self) -> list[Verdict]:
        """The verdicts that cannot be told, and so are not passed."""
        return [verdict for verdict in self.verdicts if verdict.passed is None]

    @property
    def passed(self) -> bool | None:
        """Whether every answer is yes; None where none is no, and some cannot be told."""
        return passed(self.verdicts)

    @property
    def conclusion(self) -> str:
        """What it means for a training, and what to try next."""
        return conclusion(self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """All of it but the samples, as JSON has it: no NaN, which is null."""
        kernel = self.measured.kernel
        quantiles = self.measured.samples.frame[self.table.index].quantile([0.05, 0.25, 0.5, 0.75, 0.95])
        found = {
            "dataset": {"folder": str(self.dataset.folder), **self.dataset.info},
            "real": None if self.real is None else _real_json(self.real),
            "score": self.score,
            "passed": self.passed,
            "conclusion": self.conclusion,
            "verdicts": [
                {
                    "question": v.question,
                    "answer": v.answer,
                    "passed": v.passed,
                    "score": v.score,
                    "because": v.sentence,
                }
                for v in self.verdicts
            ],
            "statistics": {
                str(name): {**row.to_dict(), "quantiles": quantiles[name].rename(str).to_dict()}
                for name, row in self.table.iterrows()
            },
            "kernel_distance": None if self.features is None else vars(self.features),
            "classifier_auc": None if self.classified is None else _classifier_json(self.classified),
            "told_by": [vars(tell) for tell in self.tells],
            "noise_measures": [vars(measure) for measure in self.noise],
            "kernel": None
            if kernel is None
            else {
                "taps": kernel.taps.round(6).tolist(),
                "widths": kernel.widths.tolist(),
                "angle": kernel.angle,
                "shift": kernel.shift.tolist(),
            },
        }
        return _without_nan(found)


def inspect_dataset(
    dataset: Dataset,
    real: Path | None = None,
    classifier: Effort | None = QUICK,
    workers: int | None = None,
    model: str | None = None,
) -> Inspection:
    """Measure a dataset, alone or against real photographs.

    Args:
        dataset: made by anything.
        real: a folder of real LR photographs, or a dataset of real pairs.
        classifier: how hard the classifier two-sample tests try; None for no such tests.
        workers: processes; None for one per core.
        model: that made the dataset, if it carries a measured camera; packaged models are found by name.

    Raises:
        SDFlowError: ``real`` has no photograph as large as an LR patch, or patches of another size; ``model``
            made another dataset.
    """
    cameras = measured_cameras(dataset, model)
    against = None if real is None else _measure_real(real, dataset, workers)
    measured = measure_dataset(dataset, workers)
    if against is None:
        return Inspection(dataset, measured, cameras=cameras)
    sets = measured.samples, measured.bicubic, against.patches
    generated, bicubic, photographs = ((patches.pixels, patches.groups) for patches in sets)
    classified = None
    if classifier is not None:
        classified = classify(generated, bicubic, photographs, classifier, workers=workers)
    features = compare_features(sets[0].frame, sets[2].frame, sets[1].frame)
    noise = _measure_noise(dataset, against)
    return Inspection(dataset, measured, against, features, classified, noise, cameras)


def _measure_real(folder: Path, dataset: Dataset, workers: int | None) -> RealSet:
    size = _lr_size(dataset)
    if (folder / INFO).exists():
        pairs = read_dataset(folder)
        if _lr_size(pairs) != size:
            raise SDFlowError(
                f"{folder}: expected LR patches of {size} pixels as in {dataset.folder}, "
                f"found {_lr_size(pairs)}"
            )
        return RealSet(folder, measure_dataset(pairs, workers).samples, [])
    patches, skipped = measure_photographs(folder, size, workers=workers)
    return RealSet(folder, patches, [str(error) for error in skipped])


def _measure_noise(dataset: Dataset, real: RealSet) -> list[NoiseMeasure]:
    if not (real.folder / INFO).exists():
        return []
    partners = read_partners(dataset, read_dataset(real.folder))
    if partners is None:
        return []
    generated, lr, hr = partners
    return noise_measures(generated, lr, bicubic_lr(hr, lr.shape[1]))


def _lr_size(dataset: Dataset) -> int:
    return int(dataset.info["patch_size"] // dataset.info["scale"])


def _real_json(real: RealSet) -> dict[str, Any]:
    groups = real.patches.frame["group"]
    return {
        "folder": str(real.folder),
        "photographs": int(groups.nunique()),
        "patches": len(groups),
        "skipped": real.skipped,
    }


def _classifier_json(classified: Classification) -> dict[str, Any]:
    areas = {side: getattr(classified, side) for side in ("generated", "bicubic", "real")}
    return {side: {"mean": found.mean, "splits": list(found.values)} for side, found in areas.items()} | {
        "parts": classified.parts,
        "at_the_bound": classified.at_the_bound,
        "seconds": round(classified.seconds, 1),
        **vars(classified.effort),
    }


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value
