"""The presets of a training: architecture, steps, batch size, crops, learning rate."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from sdflow.distributed import all_gather_object
from sdflow.errors import ArgumentError
from sdflow.model import SDFlowConfig
from sdflow.training import TrainingConfig

from ..models.cameras import MOST_GROUPS
from ..system.devices import choose_device, choose_precision
from .budget import Budget
from .run import RunSettings
from .run_folder import RunFolder

PresetName = Literal["tiny", "small", "paper"]
_INIT_RATE = 0.25
"""The factor of the learning rate if a training starts from a trained model."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The defaults of a model and its training."""

    architecture: SDFlowConfig
    """The architecture, without the scale, which the user chooses."""
    steps: int
    batch_size: int
    lr_patch: int
    """Side of the LR crops."""
    learning_rate: float


PRESETS: dict[PresetName, Preset] = {
    "tiny": Preset(  # minutes on a laptop
        architecture=SDFlowConfig(
            hr_steps=0,
            lr_steps=4,
            hf_steps=2,
            degradation_steps=4,
            width=32,
            condition_channels=32,
            growth=16,
            hf_blocks=1,
            degradation_blocks=1,
            encoder_channels=32,
            encoder_blocks=3,
            encoder_modulation=1,
            components=MOST_GROUPS,
            measured=True,
        ),
        steps=1_000,
        batch_size=8,
        lr_patch=32,
        learning_rate=1e-3,
    ),
    "small": Preset(  # an hour on two CPU cores
        architecture=SDFlowConfig(
            hr_steps=0,
            lr_steps=6,
            hf_steps=4,
            degradation_steps=6,
            width=32,
            condition_channels=32,
            growth=16,
            hf_blocks=2,
            degradation_blocks=2,
            encoder_channels=32,
            encoder_blocks=6,
            encoder_modulation=2,
            components=MOST_GROUPS,
            measured=True,
        ),
        steps=5_000,
        batch_size=8,
        lr_patch=32,
        learning_rate=1e-3,
    ),
    "paper": Preset(  # the published sizes, for a GPU
        architecture=SDFlowConfig(hr_steps=0, components=MOST_GROUPS, measured=True),
        steps=250_000,
        batch_size=32,
        lr_patch=48,
        learning_rate=2e-4,
    ),
}


def preset_architecture(preset: PresetName, scale: int) -> SDFlowConfig:
    """A preset's architecture at a scale.

    Raises:
        ValueError: there is no such preset or scale.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset: expected one of {tuple(PRESETS)}, got {preset!r}")
    return replace(PRESETS[preset].architecture, scale=scale)


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
    """The settings of a run. None stands for the value of the preset; for the arguments see `RunSettings`.

    With ``init``, the learning rate is a quarter of the preset's.

    Raises:
        ArgumentError: the patch size does not fit the scale, or the device does not exist.
    """
    chosen = PRESETS[preset]
    patch_size = chosen.lr_patch * scale if patch_size is None else patch_size
    if patch_size % (2 * scale) or patch_size < 16 * scale:
        raise ArgumentError(
            "patch_size",
            f"expected a multiple of {2 * scale} from {16 * scale} up at scale {scale}, got {patch_size}",
        )
    device = choose_device(device)
    if resume and precision == "auto" and (stored := RunFolder(out).stored_settings()):
        precision = stored["training"]["precision"]  # "auto" could choose another one today
    precision, *_ = all_gather_object(choose_precision(precision, device))
    training = TrainingConfig(
        patch_size=patch_size,
        seed=seed,
        learning_rate=chosen.learning_rate * (_INIT_RATE if init else 1),
        precision=precision,
    )
    return RunSettings(
        hr=hr,
        lr=lr,
        out=out,
        architecture=preset_architecture(preset, scale),
        training=training,
        batch_size=chosen.batch_size if batch_size is None else batch_size,
        budget=Budget(chosen.steps if steps is None and minutes is None else steps, minutes),
        validation=validation,
        perceptual_weights=perceptual_weights,
        init=init,
        resume=resume,
        device=device,
    )
