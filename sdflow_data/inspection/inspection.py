"""The inspection of a dataset in one call: everything that ``sdflow inspect`` prints, draws and writes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sdflow.errors import SDFlowError

from ..dataset.manifest import INFO, Dataset, read_dataset
from ..models.measured import CameraOfModel
from ..statistics.batch import bicubic_lr
from ..statistics.compare import MMDComparison, compare, compare_features
from ..statistics.noise_models import NoiseMeasure, noise_measures
from .classifier import QUICK, Classification, Effort, classify
from .components import ComponentShare, component_shares
from .made_by import measured_cameras
from .sets import MeasuredDataset, MeasuredPatches, measure_dataset, measure_photographs, read_partners
from .single_statistics import SingleStatistic, single_statistics
from .verdicts import Verdict, conclusion, overall, passed, verdicts


@dataclass(frozen=True)
class RealSet:
    """The photographs that a dataset is compared with.

    Attributes:
        folder: a folder of photographs, or of a dataset of real pairs.
        patches: patches of the size of the dataset's LR.
        skipped: the files without a patch, each with the reason.
    """

    folder: Path
    patches: MeasuredPatches
    skipped: list[str]


@dataclass(frozen=True)
class Inspection:
    """The measurements of a dataset, with the verdicts that follow from them.

    Attributes:
        dataset: the inspected dataset.
        measured: statistics of its samples and of their bicubic counterparts, and the blur kernel.
        real: the photographs that it is compared with; None for none.
        features: MMD over all statistics together, against ``real``.
        classified: the classifier two-sample tests against ``real``; None if they were not run.
        noise: the noise measures of the literature; empty unless ``real`` has the same HR patches.
        cameras: the measured cameras of the model that made the dataset.
    """

    dataset: Dataset
    measured: MeasuredDataset
    real: RealSet | None = None
    features: MMDComparison | None = None
    classified: Classification | None = None
    noise: list[NoiseMeasure] = field(default_factory=list)
    cameras: Sequence[CameraOfModel] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table of `compare`, one row per statistic; distances are NaN without a real set."""
        samples = self.measured.samples.frame
        real = samples.iloc[:0] if self.real is None else self.real.patches.frame
        return compare(samples, real.reindex(columns=samples.columns), self.measured.bicubic.frame)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts, in the order of the questions."""
        frame = None if self.real is None else self.real.patches.frame
        samples, bicubic = self.measured.samples.frame, self.measured.bicubic.frame
        return verdicts(samples, bicubic, frame, self.features, self.classified, self.single_statistics)

    @cached_property
    def single_statistics(self) -> list[SingleStatistic]:
        """How well single statistics distinguish samples from photographs; empty without a real set."""
        if self.real is None:
            return []
        return single_statistics(self.measured.samples.frame, self.real.patches.frame)

    @cached_property
    def components(self) -> list[ComponentShare]:
        """The mixture components that the samples were drawn from; empty for a model without any."""
        return component_shares(self.dataset, self.measured.samples.frame)

    @property
    def score(self) -> float:
        """0 to 100: the score of the worst verdict that has one. 50 is the threshold."""
        return overall(self.verdicts)

    @property
    def unanswered(self) -> list[Verdict]:
        """The verdicts without an answer, which do not pass."""
        return [verdict for verdict in self.verdicts if verdict.passed is None]

    @property
    def passed(self) -> bool | None:
        """Whether every answer is yes; None if none is no, but some are missing."""
        return passed(self.verdicts)

    @property
    def conclusion(self) -> str:
        """The consequence for a training, and what to try next."""
        return conclusion(self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """Everything except the pixels, as plain values. NaN becomes None (null in JSON)."""
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
            "told_by": [vars(found) for found in self.single_statistics],
            "noise_measures": [vars(measure) for measure in self.noise],
            "components": [vars(component) for component in self.components],
            "cameras": [
                None if camera.described is None else camera.described.to_json() for camera in self.cameras
            ],
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
        dataset: the dataset. It may be generated or imported.
        real: a folder of real LR photographs, or a dataset of real pairs; None for no comparison.
        classifier: the budget of the classifier two-sample tests; None to skip them.
        workers: processes; None for one per core.
        model: the model that made the dataset, for its measured cameras; None to find packaged models only.

    Raises:
        SDFlowError: no photograph of ``real`` is as large as an LR patch, its patches have another size, or
            ``model`` is not the model that made the dataset.
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
        "without": classified.without,
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
