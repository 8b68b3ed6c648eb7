"""The RUN folder of a training: its settings, its newest checkpoint, and the state to resume from.

Every file is replaced atomically, so a run can be killed at any moment.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor

from sdflow import __version__
from sdflow.checkpoint import save_checkpoint
from sdflow.errors import ArgumentError, SDFlowError
from sdflow.files import parse_json, read_json, to_json, write_file
from sdflow.tensors import read_tensors
from sdflow.training import Trainer, TrainingState

from ..images.writing import encode_png
from ..system.lock import check_new_or_empty
from ..system.settings import check_same

FORMAT_VERSION = 2
"""The format of ``run.json`` and ``state.safetensors``."""

STATE, SETTINGS, METRICS, MODEL = "state.safetensors", "run.json", "metrics.csv", "model"
SAMPLES, EVENTS, CAMERA = "samples", "tensorboard", "camera.png"


@dataclass(frozen=True)
class RunState:
    """The progress of a run."""

    step: int = 0
    seconds: float = 0.0
    """Seconds of training, over all resumptions."""
    rollbacks: int = 0
    """Number of roll-backs."""


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse non-finite weights and moments, because training cannot recover from them.

    Raises:
        ValueError: names the first one.
    """
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} with values that are not finite")


def _check_state(state: RunState) -> None:
    counts = (state.step, state.rollbacks)
    if not all(type(count) is int and 0 <= count < 2**53 for count in counts):
        raise ValueError(f"a step of {state.step!r:.40} and {state.rollbacks!r:.40} rollbacks")
    if type(state.seconds) not in (int, float) or not 0 <= state.seconds < 2**53:
        raise ValueError(f"{state.seconds!r:.40} seconds")


class RunFolder:
    """The files of a run: ``model/`` (the newest checkpoint), ``state.safetensors``, ``run.json``,
    ``metrics.csv``, ``samples/``, ``camera.png``, and ``tensorboard/`` if TensorBoard is installed.

    Args:
        path: RUN.
        writable: if False, checks and writes do nothing, because another process writes.
    """

    def __init__(self, path: Path, writable: bool = True) -> None:
        self.path, self._writable = path, writable
        self.model, self.metrics = path / MODEL, path / METRICS
        self.samples, self.events = path / SAMPLES, path / EVENTS

    def stored_settings(self) -> dict[str, Any] | None:
        """The settings of the run; None if no run has begun.

        Raises:
            SDFlowError: the run has another format, or the file is damaged.
        """
        path = self.path / SETTINGS
        if not path.exists():
            return None
        stored = read_json(path, "the settings of a run")
        found = stored.get("format_version", 1)
        if found != FORMAT_VERSION:
            raise SDFlowError(
                f"{self.path}: expected a run of format {FORMAT_VERSION}, found format {found} of another "
                "version, which cannot be resumed; a new run can begin with its weights"
            )
        return stored

    def check(self, identity: dict[str, Any], resume: bool) -> None:
        """Check that this run may write to the folder.

        Args:
            identity: the settings that a resumed run must share with the first call, plain values.
            resume: whether the folder may hold a run.

        Raises:
            SDFlowError: the folder contains other files, a run although ``resume`` is false, or a run with
                other settings.
        """
        if not self._writable:
            return
        if (self.path / SETTINGS).exists() and not resume:
            raise ArgumentError("resume", f"expected in order to go on with the training run in {self.path}")
        stored = self.stored_settings()
        if stored is None:
            check_new_or_empty(self.path, ours=[SETTINGS])
            return
        given = json.loads(json.dumps(identity))
        check_same(self.path, {name: stored.get(name) for name in given}, given)

    def claim(self, identity: dict[str, Any]) -> None:
        """Begin a run here. Call it after all checks, so that a corrected call does not find a run."""
        if not self._writable:
            return
        if not (self.path / SETTINGS).exists():
            settings = {"format_version": FORMAT_VERSION, "library_version": __version__, **identity}
            write_file(self.path / SETTINGS, to_json(settings))
        self.samples.mkdir(exist_ok=True)

    def load(self, restore: Callable[[TrainingState], None], most: int | None = None) -> RunState | None:
        """The progress of the run at the last save; None if it was never saved.

        Args:
            restore: loads the trainer's part of the state.
            most: the most bytes of its tensors; a larger file is not read. None for no limit.

        Raises:
            SDFlowError: the file is damaged or too large, or has the state of another run.
        """
        path = self.path / STATE
        if not path.exists():
            return None
        try:
            tensors, text = read_tensors(path, most)
            plain = parse_json(text["run"])
            state = RunState(**plain["state"])
            _check_state(state)
            if plain["trainer"]["step_number"] != state.step:
                raise ValueError(f"a step of {state.step} and {plain['trainer']['step_number']!r:.40}")
            restore(TrainingState(tensors, plain["trainer"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SDFlowError(f"{path}: expected the state of this run, found {error}") from error
        return state

    def save(self, state: RunState, trainer: Trainer, training: dict[str, Any]) -> None:
        """Replace the state and the checkpoint.

        Args:
            state: the progress of the run.
            trainer: the trainer; the checkpoint is the moving average of its weights.
            training: a description of the training, plain values.

        Raises:
            SDFlowError: the model is not finite. The earlier state is kept.
        """
        if not self._writable:
            return
        tensors, counters = trainer.state_dict()
        try:
            _check_finite(tensors)
        except ValueError as error:
            raise SDFlowError(f"{self.path}: the model has {error}; what was saved before is kept") from error
        plain = {"state": dataclasses.asdict(state), "trainer": counters}
        write_file(self.path / STATE, to_safetensors(tensors, metadata={"run": json.dumps(plain)}))
        save_checkpoint(self.model, trainer.ema_model, training)

    def save_camera(self, drawing: np.ndarray) -> None:
        """Save the drawing of the measured camera, uint8 (H, W, 3)."""
        if self._writable:
            write_file(self.path / CAMERA, encode_png(drawing))

    def save_sample(self, sheet: np.ndarray, step: int) -> None:
        """Save a sample sheet, uint8 (H, W, 3), of a step."""
        if self._writable:
            write_file(self.samples / f"{step:07d}.png", encode_png(sheet))
