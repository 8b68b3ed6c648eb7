"""A training on two folders of photographs: batches in, a RUN folder out, safe to kill at any moment.

RUN holds ``model/`` (the newest checkpoint), ``state.safetensors`` (what a resumed run goes on from),
``run.json`` (its settings), ``metrics.csv``, ``samples/``, and ``tensorboard/`` where that is installed.
"""

import csv
import dataclasses
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from sdflow import __version__
from sdflow.checkpoint import fingerprint, load_checkpoint, save_checkpoint
from sdflow.config import PresetName, SDFlowConfig
from sdflow.distributed import all_gather_object, world
from sdflow.errors import SDFlowError
from sdflow.files import sha256_file, write_file
from sdflow.objective import ObjectiveConfig
from sdflow.perceptual import PerceptualDistance
from sdflow.training import Trainer, TrainingConfig, TrainingState

from ..images.reading import encode_png
from ..images.sheet import sample_sheet
from ..system.devices import choose_device, choose_precision
from ..system.lock import LOCK, OutputLock
from ..system.progress import progress
from .crops import UnpairedCrops
from .curves import Curves
from .validation import ValidationPairs

STATE, SETTINGS, METRICS, MODEL, SAMPLES = "state.safetensors", "run.json", "metrics.csv", "model", "samples"
EVENTS = "tensorboard"
_BAD_IN_A_ROW, _ROLLBACKS = 10, 6
_INIT_RATE = 0.25
_COLOUR_DRIFT, _COLLAPSE = 2.5, 0.5
_VALIDATION = ("val_psnr", "val_psnr_bicubic")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What a run is to do.

    Attributes:
        hr, lr: folders of photographs, each at least one.
        out: the RUN folder.
        validation: folders of aligned HR and LR photographs of other scenes, to measure on; None does not.
        perceptual_weights: of VGG-19, a file; None leaves the perceptual terms out.
        init: the checkpoint whose weights it begins with; None draws them.
        architecture: of the model.
        training: of the steps.
        batch_size: crops of each side a step, of all processes together.
        steps: how many; None trains for ``minutes``.
        minutes: of training time, over all resumptions.
        resume: go on from what RUN holds; without it RUN must be new or empty.
        device: where it runs.
        save_seconds: how often the state is saved.
        sample_steps: how often a sample picture is made, and the validation pairs are measured.
    """

    hr: tuple[Path, ...]
    lr: tuple[Path, ...]
    out: Path
    architecture: SDFlowConfig
    training: TrainingConfig
    batch_size: int
    validation: tuple[Path, Path] | None = None
    perceptual_weights: Path | None = None
    init: Path | None = None
    steps: int | None = None
    minutes: float | None = None
    resume: bool = False
    device: str = "cpu"
    save_seconds: float = 60.0
    sample_steps: int = 500

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("steps, minutes: expected one of the two")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {self.batch_size}")

    def identity(self) -> dict[str, Any]:
        """What a resumed run must have in common with the one that began."""
        return {
            "architecture": self.architecture.to_dict(),
            "init": fingerprint(self.init) if self.init else None,  # before "training", which follows from it
            "training": dataclasses.asdict(self.training),
            "batch_size": self.batch_size,
            "perceptual_weights": sha256_file(self.perceptual_weights) if self.perceptual_weights else None,
        }


def train(settings: RunSettings, say: Callable[[str], None] = print) -> Trainer:
    """Train, or go on training, until the steps or minutes are done; returns the trainer as it ended.

    Raises:
        SDFlowError: unusable folders, a RUN that is not empty, of other settings or in use, or a training
            that stays non-finite after several fresh starts at lower rates.
    """
    rank, _ = world()
    with OutputLock(settings.out, None) if rank == 0 else nullcontext():
        return _Run(settings, say).train()


class _Run:
    def __init__(self, settings: RunSettings, say: Callable[[str], None]) -> None:
        self.rank, self.size = world()
        self.settings = settings
        self.identity = settings.identity()
        self.say = say if self.rank == 0 else _nothing  # one process speaks, and it alone writes
        self.seconds = 0.0  # of training, over all resumptions
        self.rollbacks = 0
        if settings.batch_size % self.size:
            raise SDFlowError(
                f"--batch-size: expected a multiple of the {self.size} processes, got {settings.batch_size}"
            )
        self.pairs: ValidationPairs | None = None
        self.validated = ""  # the newest validation number, in words
        if self.rank == 0:
            if settings.validation:
                self.pairs = ValidationPairs(*settings.validation, settings.architecture.scale)
            self._check_folder()
        self.crops = UnpairedCrops(
            settings.hr,
            settings.lr,
            scale=settings.architecture.scale,
            patch_size=settings.training.patch_size,
            batch_size=settings.batch_size,
            seed=settings.training.seed,
            rank=self.rank,
            world_size=self.size,
        )
        self.perceptual = PerceptualDistance(weights) if (weights := settings.perceptual_weights) else None
        self.trainer = self._new_trainer()
        self.rows: list[dict[str, float]] = []
        self.told: set[Path] = set()  # pictures that were said to be skipped
        if self.rank == 0:
            self._claim_folder()
        if (settings.out / STATE).exists():
            self._load()
        self._check_all_are_at_one_step()

    def _check_folder(self) -> None:
        out, ours = self.settings.out, {LOCK, f".{SETTINGS}.tmp"}
        if (out / SETTINGS).exists() and not self.settings.resume:
            raise SDFlowError(
                f"{out}: expected a new folder, found a training run (--resume goes on with it)"
            )
        if not (out / SETTINGS).exists() and any(path.name not in ours for path in out.iterdir()):
            raise SDFlowError(f"{out}: expected a new or empty folder, found other files in it")
        if (out / SETTINGS).exists():
            stored = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
            given = json.loads(json.dumps(self.identity))
            for name, value in given.items():
                if stored.get(name) != value:
                    raise SDFlowError(f"{out}: {_first_difference(name, stored.get(name), value)}")

    def _claim_folder(self) -> None:
        """Only when all that is given was found good: a corrected call must not find a run begun."""
        out = self.settings.out
        if not (out / SETTINGS).exists():
            facts = {"library_version": __version__, **self.identity}
            write_file(out / SETTINGS, (json.dumps(facts, indent=2) + "\n").encode())
        (out / SAMPLES).mkdir(exist_ok=True)

    def _check_all_are_at_one_step(self) -> None:
        """Nor does anybody write a state before all have read the one there is."""
        steps = all_gather_object(self.trainer.step_number)
        if len(set(steps)) > 1:
            raise SDFlowError(
                f"{self.settings.out}: expected a folder that all processes see, found states of different "
                f"steps in it: {', '.join(map(str, steps))}"
            )

    def _new_trainer(self) -> Trainer:
        settings = self.settings
        trainer = Trainer(settings.architecture, settings.training, settings.device, self.perceptual)
        if settings.init:
            try:
                trainer.init_from(load_checkpoint(settings.init, settings.device))
            except ValueError as error:
                raise SDFlowError(f"--init {settings.init}: {error}") from error
        return trainer

    def train(self) -> Trainer:
        settings = self.settings
        self._announce()
        in_a_row = 0
        last_save = started = time.monotonic()
        begun = self.seconds
        total = settings.steps if settings.steps is not None else round(60 * (settings.minutes or 0))
        unit = "steps" if settings.steps is not None else "s"
        batches = self._batches()
        self.curves = Curves(settings.out / EVENTS if self.rank == 0 else None, self.trainer.step_number)
        with progress(total, "Training", unit, shown=self.rank == 0) as bar:
            bar.update(min(total, round(self._done())))
            while self._progress() < 1:
                before = self._done()
                number = self.trainer.step_number
                metrics = self.trainer.step(*next(batches), self._progress())
                self.seconds = all_gather_object(begun + time.monotonic() - started)[
                    0
                ]  # or they would end apart
                bar.update(min(total, round(self._done())) - min(total, round(before)))
                if metrics is None:
                    in_a_row += 1
                    if in_a_row >= _BAD_IN_A_ROW:
                        batches, in_a_row = self._roll_back(), 0
                    continue
                in_a_row = 0
                self.rows.append({"step": number + 1, "seconds": round(self.seconds, 1), **metrics})
                if (number + 1) % settings.sample_steps == 0:
                    self._sample()
                    self._validate()
                self.curves.add(self.rows[-1])
                bar.note(_summary(metrics, self.trainer.skipped, self.validated))
                if time.monotonic() - last_save >= settings.save_seconds:
                    self._save()
                    last_save = time.monotonic()
        self._validate()
        if self.rows:
            self.curves.add(self.rows[-1])
        self._save()
        self._sample()
        self.curves.close()
        if self.trainer.skipped:
            self.say(f"{self.trainer.skipped} steps were not finite and changed nothing")
        self._say_skipped()
        if self.pairs:
            self.say(f"On {len(self.pairs)} aligned pairs, grey PSNR at temperature 0: {self.validated}")
        return self.trainer

    def _progress(self) -> float:
        settings = self.settings
        if settings.steps is not None:
            return self.trainer.step_number / settings.steps
        return self.seconds / (60 * (settings.minutes or 1))

    def _done(self) -> float:
        return self.trainer.step_number if self.settings.steps is not None else self.seconds

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.crops.batches(self.trainer.step_number)

    def _save(self) -> None:
        if self.rank != 0:
            return
        out = self.settings.out
        tensors, plain = self.trainer.state_dict()
        plain |= {"seconds": self.seconds, "rollbacks": self.rollbacks}
        self._write_metrics()
        write_file(out / STATE, to_safetensors(tensors, metadata={"plain": json.dumps(plain)}))
        training = {
            "steps": self.trainer.step_number,
            "seconds": round(self.seconds, 1),
            "skipped_steps": self.trainer.skipped,
            "seed": self.settings.training.seed,
            "batch_size": self.settings.batch_size,
            "init": self.identity["init"],
            "settings": dataclasses.asdict(self.settings.training),
            "pictures": {"hr": self.crops.hr_pictures, "lr": self.crops.lr_pictures},
        }
        save_checkpoint(out / MODEL, self.trainer.ema_model, training)

    def _write_metrics(self) -> None:
        """All rows of the steps so far. Rows that a killed run wrote after its last state are dropped."""
        if not self.rows:
            return
        text = io.StringIO()
        rare = [name for name in _VALIDATION if any(name in row for row in self.rows)]
        names = dict.fromkeys([*self.rows[-1], *rare])
        writer = csv.DictWriter(text, list(names), restval="", extrasaction="ignore")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({name: int(v) if name == "step" else f"{v:.6g}" for name, v in row.items()})
        write_file(self.settings.out / METRICS, text.getvalue().encode())

    def _load(self) -> None:
        path = self.settings.out / STATE
        try:
            with safe_open(path, framework="pt") as stored:
                plain = json.loads(stored.metadata()["plain"])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            self.trainer.load_state_dict(TrainingState(tensors, plain))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise SDFlowError(f"{path}: expected the state of this run, found {error}") from error
        self.seconds, self.rollbacks = plain["seconds"], plain["rollbacks"]
        metrics = self.settings.out / METRICS
        if metrics.exists():
            with metrics.open(newline="", encoding="utf-8") as stream:
                rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(stream)]
            self.rows = [row for row in rows if row["step"] <= self.trainer.step_number]

    def _roll_back(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go back to the saved state with half the rate; the crops that follow are others than before."""
        self.rollbacks += 1
        number, factor, rollbacks = self.trainer.step_number, self.trainer.lr_scale, self.rollbacks
        if rollbacks > _ROLLBACKS:
            raise SDFlowError(
                f"training stays non-finite: {_BAD_IN_A_ROW} steps in a row, after {_ROLLBACKS} returns to "
                f"the last good state at lower rates; {self.settings.out / MODEL} is the last good checkpoint"
            )
        seconds, skipped = self.seconds, self.trainer.skipped
        if (self.settings.out / STATE).exists():
            self._load()
        else:
            self.trainer = self._new_trainer()
        self._check_all_are_at_one_step()
        self.trainer.step_number, self.trainer.lr_scale = number, factor / 2
        self.trainer.skipped, self.seconds, self.rollbacks = skipped, seconds, rollbacks
        self.say(
            f"{_BAD_IN_A_ROW} steps in a row were not finite: back to the last good weights, learning rate "
            f"halved ({self.trainer.lr_scale:g} of what was asked)"
        )
        return self._batches()

    def _sample(self) -> None:
        if self.rank != 0:
            return
        hr, lr = self.crops.batch(0)
        sheet, drift, difference = sample_sheet(self.trainer.ema_model, hr[:4], lr[:4], self.settings.device)
        write_file(self.settings.out / SAMPLES / f"{self.trainer.step_number:07d}.png", encode_png(sheet))
        self.curves.show(sheet, self.trainer.step_number)
        if self._progress() < 0.2:
            return  # too early to judge
        if drift > _COLOUR_DRIFT:
            self.say(f"Warning: colours of samples are {drift:.1f} grey levels off their HR pictures")
        if difference < _COLLAPSE:
            self.say(
                f"Warning: samples are {difference:.2f} grey levels from bicubic: nothing is being learned"
            )

    def _validate(self) -> None:
        """Measure the averaged weights on the validation pairs, in the row of the newest step."""
        if self.pairs and self.rows:
            psnr = self.pairs.psnr(self.trainer.ema_model, self.settings.device)
            self.rows[-1] |= dict(zip(_VALIDATION, (psnr, self.pairs.bicubic)))
            self.validated = f"validation {psnr:.2f} dB (bicubic {self.pairs.bicubic:.2f})"

    def _announce(self) -> None:
        parameters = sum(p.numel() for p in self.trainer.model.parameters())
        self.say(
            f"{self.crops.hr_pictures} HR and {self.crops.lr_pictures} LR photographs, "
            f"{parameters / 1e6:.2f} M parameters, scale {self.settings.architecture.scale}, "
            f"{self.settings.training.precision} networks"
        )
        if self.trainer.step_number:
            self.say(f"Going on from step {self.trainer.step_number}")
        self._say_skipped()

    def _say_skipped(self) -> None:
        """Pictures that cannot be used and were not yet said to be: some are met only when they are read."""
        for path, reason in (item for skipped in all_gather_object(self.crops.skipped) for item in skipped):
            if path not in self.told:
                self.told.add(path)
                self.say(f"Skipped {path}: {reason}")


def _nothing(text: str) -> None:
    """Say nothing."""


def _summary(metrics: dict[str, float], skipped: int, validated: str) -> str:
    text = f"bits {metrics['likelihood_lr']:.2f}, spread {metrics['spread']:.1f}"
    text += f", spectrum {metrics['spectrum']:.2f}" if "spectrum" in metrics else ""
    text += f", {validated}" if validated else ""
    return text + (f", {skipped} skipped" if skipped else "")


def _first_difference(name: str, stored: Any, given: Any) -> str:
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in sorted(stored.keys() | given.keys()):
            if stored.get(key) != given.get(key):
                return _first_difference(f"{name}.{key}", stored.get(key), given.get(key))
    return f"the run began with {name} = {stored}, expected the same, got {given}"


@dataclass(frozen=True)
class _Recipe:
    """What a preset trains with unless told otherwise."""

    steps: int
    batch_size: int
    lr_patch: int
    learning_rate: float
    discriminator_width: int
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)


_RECIPES: dict[PresetName, _Recipe] = {
    # A few minutes suffice for the downscaling branch alone: tiny leaves out the terms that back-propagate
    # through f_HR and f_HF, a third of a step, and upscales by likelihood and cycle.
    "tiny": _Recipe(1_000, 8, 32, 1e-3, 32, ObjectiveConfig(super_resolution=0, gan_hr=0)),
    "small": _Recipe(5_000, 8, 32, 1e-3, 32),
    "paper": _Recipe(250_000, 32, 48, 2e-4, 64),
}


def preset_settings(
    preset: PresetName,
    *,
    hr: tuple[Path, ...],
    lr: tuple[Path, ...],
    out: Path,
    scale: int,
    validation: tuple[Path, Path] | None = None,
    perceptual_weights: Path | None = None,
    init: Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    patch_size: int | None = None,
    seed: int = 0,
    resume: bool = False,
    device: str = "auto",
    precision: str = "auto",
) -> RunSettings:
    """The settings of a run by a preset's recipe; what is None is the recipe's.

    With ``init``, at a quarter of the rate and all of it *late*: what has to be learned first is known.

    Raises:
        SDFlowError: a patch size that the scale does not allow, or a device that is not there.
    """
    recipe = _RECIPES[preset]
    patch_size = recipe.lr_patch * scale if patch_size is None else patch_size
    if patch_size % (2 * scale) or patch_size < 16 * scale:
        raise SDFlowError(
            f"--patch-size: expected a multiple of {2 * scale} from {16 * scale} up at scale {scale}, "
            f"found {patch_size}"
        )
    device = choose_device(device)
    if resume and precision == "auto":
        precision = _stored_precision(out)
    precision, *_ = all_gather_object(choose_precision(precision, device))
    training = TrainingConfig(
        patch_size=patch_size,
        seed=seed,
        learning_rate=recipe.learning_rate * (_INIT_RATE if init else 1),
        discriminator_width=recipe.discriminator_width,
        objective=replace(recipe.objective, late=0.0) if init else recipe.objective,
        precision=precision,
    )
    return RunSettings(
        hr=hr,
        lr=lr,
        out=out,
        architecture=SDFlowConfig.preset(preset, scale),
        training=training,
        batch_size=recipe.batch_size if batch_size is None else batch_size,
        validation=validation,
        perceptual_weights=perceptual_weights,
        init=init,
        steps=recipe.steps if steps is None and minutes is None else steps,
        minutes=minutes,
        resume=resume,
        device=device,
    )


def _stored_precision(out: Path) -> str:
    """A resumed run goes on in the precision that it began in: "auto" may measure another today."""
    try:
        stored: str = json.loads((out / SETTINGS).read_text(encoding="utf-8"))["training"]["precision"]
        return stored
    except (OSError, ValueError, KeyError):
        return "auto"
