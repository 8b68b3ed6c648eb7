"""A training run on two folders of photographs. It writes a RUN folder and can be killed at any moment."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdflow.camera import Camera
from sdflow.checkpoint import fingerprint, is_checkpoint, load_checkpoint
from sdflow.distributed import all_gather_object, world
from sdflow.errors import ArgumentError, SDFlowError
from sdflow.files import sha256_file
from sdflow.model import SDFlowConfig
from sdflow.perceptual import PerceptualDistance
from sdflow.training import Trainer, TrainingConfig, TrainingState
from sdflow.wording import counted

from ..images.codec import NO_CODEC
from ..models.cameras import CAMERAS_KEY, ModelCamera, cameras_of
from ..system.folders import check_apart, check_outside
from ..system.lock import OutputLock
from ..system.progress import progress
from .before_codec import before_codec
from .budget import Budget, TrainingClock
from .camera import measure_cameras
from .camera_sheet import draw_cameras, in_words
from .crops import UnpairedCrops
from .metrics_log import MetricsLog
from .monitor import Monitor
from .run_folder import RunFolder, RunState
from .stored import StoredByCodecs
from .validation import ValidationPairs

_BAD_IN_A_ROW, _ROLLBACKS = 10, 6
"""Consecutive non-finite steps before a roll-back, and the most roll-backs."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The settings of a run."""

    hr: tuple[Path, ...]
    """Folders of sharp photographs, at least one."""
    lr: tuple[Path, ...]
    """Folders of real LR photographs of any other scenes, at least one."""
    out: Path
    """The RUN folder."""
    architecture: SDFlowConfig
    training: TrainingConfig
    batch_size: int
    """HR crops, and as many LR crops, in a step, summed over all processes."""
    budget: Budget
    """The length of the training."""
    validation: tuple[Path, Path] | None = None
    """Folders of aligned HR and LR photographs of other scenes, for validation."""
    perceptual_weights: Path | None = None
    """A file of VGG-19's weights; None for no perceptual terms."""
    init: Path | None = None
    """The checkpoint with the initial weights; None draws random ones."""
    resume: bool = False
    """Whether to continue the run in RUN; otherwise RUN must be new or empty."""
    device: str = "cpu"
    save_seconds: float = 60.0
    """Seconds between saves of the state."""
    sample_steps: int = 500
    """Steps between sample sheets and validations."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {self.batch_size}")

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the first call."""
        return {
            "architecture": self.architecture.to_dict(),
            "init": fingerprint(self.init) if self.init else None,  # before "training", which follows from it
            "training": dataclasses.asdict(self.training),
            "batch_size": self.batch_size,
            "perceptual_weights": sha256_file(self.perceptual_weights) if self.perceptual_weights else None,
        }


def train(settings: RunSettings, say: Say = print) -> Trainer:
    """Train, or continue a training, for the given steps or minutes.

    Args:
        settings: the settings.
        say: prints a line of progress.

    Returns:
        The trainer.

    Raises:
        SDFlowError: folders are unusable; RUN is not empty, has other settings or is in use; or training
            stays non-finite after several roll-backs at lower rates.
    """
    rank, _ = world()
    check_apart(settings.hr, settings.lr)
    check_outside(settings.out, [*settings.hr, *settings.lr, *(settings.validation or ())])
    with OutputLock(settings.out, None) if rank == 0 else nullcontext():
        return _train(settings, say if rank == 0 else _say_nothing)


def _train(settings: RunSettings, say: Say) -> Trainer:
    # Check everything before the folder is claimed.
    is_first = world()[0] == 0
    folder, identity = RunFolder(settings.out, writable=is_first), settings.identity()
    folder.check(identity, settings.resume)
    pairs = _validation_pairs(settings) if is_first else None
    crops, trainer = _crops(settings), _new_trainer(settings)
    folder.claim(identity)

    # Continue from the saved state, or begin with the measured cameras.
    saved = _load(folder, trainer.load_state_dict, trainer.state_bytes)
    state, budget = saved or RunState(), settings.budget
    clock = TrainingClock(state.seconds)
    recovery = _Recovery(trainer, folder, state.rollbacks, say)
    skipped = _SkippedPictures(say)
    say(_announcement(settings, trainer, crops))
    if saved:
        say(f"Going on from step {saved.step}")
    cameras = _cameras(settings, folder, trainer, skipped, say)
    codecs = [camera.codec for camera in cameras] or [NO_CODEC] * len(trainer.model.shares)
    if not all(codec.lossless for codec in codecs):
        trainer.stored_by = StoredByCodecs(codecs)
    monitor = Monitor(crops, pairs, codecs, say)
    skipped.report_all(crops)

    def save() -> None:
        log.write()
        state = RunState(trainer.step_number, clock.seconds, recovery.rollbacks)
        training = _description(settings, identity, trainer, clock, crops)
        folder.save(state, trainer, training | {CAMERAS_KEY: [camera.to_json() for camera in cameras]})

    with (
        MetricsLog(folder.metrics, folder.events, state.step, writable=is_first) as log,
        progress(budget.total, "Training", budget.unit, shown=is_first) as bar,
    ):
        if not saved:
            save()  # so that there is always a state to roll back to
        bar.advance_to(budget.done(state.step, clock.seconds))
        last_save, batches = time.monotonic(), crops.batches(state.step)
        while (share := budget.progress(trainer.step_number, clock.seconds)) < 1:
            metrics = trainer.step(*next(batches), share)
            clock.tick()
            bar.advance_to(budget.done(trainer.step_number, clock.seconds))
            recovery.count(metrics is not None, log)
            if metrics is None:
                continue
            if is_first and trainer.step_number % settings.sample_steps == 0:
                metrics |= monitor.look(trainer, folder, log, share)
            log.add(trainer.step_number, clock.seconds, metrics)
            bar.note(_summary(metrics, trainer.skipped, str(monitor)))
            if time.monotonic() - last_save >= settings.save_seconds:
                save()
                last_save = time.monotonic()
        if is_first:
            log.amend(monitor.look(trainer, folder, log, share))
        save()

    if trainer.skipped:
        say(f"{counted(trainer.skipped, 'step')} not finite, without effect")
    skipped.report_all(crops)
    if pairs:
        say(f"On {counted(len(pairs), 'aligned pair')}, grey PSNR at temperature 0: {monitor}")
    return trainer


def _validation_pairs(settings: RunSettings) -> ValidationPairs | None:
    return ValidationPairs(*settings.validation, settings.architecture.scale) if settings.validation else None


def _crops(settings: RunSettings) -> UnpairedCrops:
    rank, size = world()
    if settings.batch_size % size:
        problem = f"expected a multiple of the {size} processes, got {settings.batch_size}"
        raise ArgumentError("batch_size", problem)
    return UnpairedCrops(
        settings.hr,
        settings.lr,
        scale=settings.architecture.scale,
        patch_size=settings.training.patch_size,
        batch_size=settings.batch_size,
        seed=settings.training.seed,
        rank=rank,
        world_size=size,
    )


def _new_trainer(settings: RunSettings) -> Trainer:
    perceptual = PerceptualDistance(weights) if (weights := settings.perceptual_weights) else None
    trainer = Trainer(settings.architecture, settings.training, settings.device, perceptual)
    if settings.init:
        try:
            trainer.init_from(load_checkpoint(settings.init, settings.device))
        except ValueError as error:
            raise ArgumentError("init", f"{settings.init}: {error}") from error
    return trainer


def _cameras(
    settings: RunSettings, folder: RunFolder, trainer: Trainer, skipped: "_SkippedPictures", say: Say
) -> list[ModelCamera]:
    """The cameras of the model that a run starts from; a new run measures them and loads them."""
    for earlier in (folder.model, settings.init):
        if earlier is not None and is_checkpoint(earlier):
            return cameras_of(earlier)
    descriptions: list[ModelCamera] = []
    cameras: list[Camera] = []
    if world()[0] == 0:
        seed = settings.training.seed
        found = measure_cameras(settings.hr, settings.lr, trainer.ema_model, seed)
        skipped.report(found.skipped)
        folder.save_camera(draw_cameras(found.cameras))
        for line in in_words(found):
            say(line)
        cameras = [before_codec(camera.measured, camera.codec, seed) for camera in found.cameras]
        descriptions = [ModelCamera(camera.look, camera.codec) for camera in found.cameras]
    (cameras, descriptions), *_ = all_gather_object((cameras, descriptions))
    trainer.load_cameras(cameras, [camera.look.share for camera in descriptions])
    return descriptions


def _load(folder: RunFolder, restore: Callable[[TrainingState], None], most: int) -> RunState | None:
    """Load the newest state in all processes. No process writes a new state before all have read it."""
    state = folder.load(restore, most)
    steps = all_gather_object(state.step if state else 0)
    if len(set(steps)) > 1:
        raise SDFlowError(
            f"{folder.path}: expected a folder that all processes see, found states of different steps in "
            f"it: {', '.join(map(str, steps))}"
        )
    return state


class _Recovery:
    """Rolls a training back after several consecutive non-finite steps.

    Attributes:
        rollbacks: the number of roll-backs so far.
    """

    def __init__(self, trainer: Trainer, folder: RunFolder, rollbacks: int, say: Say) -> None:
        self._trainer, self._folder, self._say = trainer, folder, say
        self.rollbacks, self._bad_in_a_row = rollbacks, 0

    def count(self, is_finite: bool, log: MetricsLog) -> None:
        """Count a step, and roll back if it is one too many.

        Raises:
            SDFlowError: training stays non-finite after all roll-backs.
        """
        self._bad_in_a_row = 0 if is_finite else self._bad_in_a_row + 1
        if self._bad_in_a_row == _BAD_IN_A_ROW:
            self._bad_in_a_row = 0
            self._roll_back(log)

    def _roll_back(self, log: MetricsLog) -> None:
        """Restore the saved weights, and halve the learning rate. Step number and crops continue."""
        self.rollbacks += 1
        if self.rollbacks > _ROLLBACKS:
            raise SDFlowError(
                f"training stays non-finite: {_BAD_IN_A_ROW} steps in a row, after {_ROLLBACKS} returns to "
                f"the last good state at lower rates; {self._folder.model} is the last good checkpoint"
            )
        if state := _load(self._folder, self._trainer.load_weights, self._trainer.state_bytes):
            log.forget_after(state.step)
        self._trainer.lr_scale /= 2
        self._say(
            f"{_BAD_IN_A_ROW} steps in a row were not finite: back to the last good weights, learning rate "
            f"halved ({self._trainer.lr_scale:g} of the initial one)"
        )


def _description(
    settings: RunSettings,
    identity: dict[str, Any],
    trainer: Trainer,
    clock: TrainingClock,
    crops: UnpairedCrops,
) -> dict[str, Any]:
    """The description of the training for ``model.json``."""
    return {
        "steps": trainer.step_number,
        "seconds": round(clock.seconds, 1),
        "skipped_steps": trainer.skipped,
        "seed": settings.training.seed,
        "batch_size": settings.batch_size,
        "init": identity["init"],
        "settings": identity["training"],
        "pictures": {"hr": crops.hr_pictures, "lr": crops.lr_pictures},
    }


def _announcement(settings: RunSettings, trainer: Trainer, crops: UnpairedCrops) -> str:
    parameters = sum(p.numel() for p in trainer.model.parameters())
    return (
        f"{counted(crops.hr_pictures, 'HR photograph')}, {counted(crops.lr_pictures, 'LR photograph')}, "
        f"{parameters / 1e6:.2f} M parameters, scale {settings.architecture.scale}, "
        f"{settings.training.precision} networks"
    )


def _summary(metrics: dict[str, float], skipped: int, validated: str) -> str:
    text = ", ".join(
        f"{name} {metrics[name]:.3f}" for name in ("cycle", "super_resolution") if name in metrics
    )
    text += f", noise {metrics['noise']:.1f}"
    text += f", {validated}" if validated else ""
    return text + (f", {skipped} skipped" if skipped else "")


class _SkippedPictures:
    """Reports unusable pictures, each once. Some are found only when they are read."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._reported: set[Path] = set()

    def report(self, skipped: Mapping[Path, str]) -> None:
        """Report new ones of this process."""
        for path, reason in skipped.items():
            if path not in self._reported:
                self._reported.add(path)
                self._say(f"Skipped {path}: {reason}")

    def report_all(self, crops: UnpairedCrops) -> None:
        """Report new ones of all processes. Every process must call it."""
        for skipped in all_gather_object(crops.skipped):
            self.report(dict(skipped))


def _say_nothing(text: str) -> None:
    """Print nothing: of several processes, only the first prints."""
