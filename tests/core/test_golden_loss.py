"""A refactor keeps the loss: the terms of three seeded steps are those that were recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sdflow.objective import ObjectiveConfig
from sdflow.training import Trainer, TrainingConfig
from sdflow_data.training.presets import preset_architecture

RECORDED = Path(__file__).parent / "golden_loss.json"


def batch(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random surfaces for HR and streaks for LR, uint8."""
    random = np.random.default_rng(seed)
    surface = 128 + 2 * random.normal(size=(4, 3, 64, 64)).cumsum(2).cumsum(3)
    streaks = 6 * random.normal(size=(4, 3, 32, 32)).cumsum(2) + 4 * random.normal(size=(4, 3, 32, 32))
    return (
        torch.from_numpy(np.clip(surface, 0, 255).astype(np.uint8)),
        torch.from_numpy(np.clip(128 + streaks, 0, 255).astype(np.uint8)),
    )


def test_three_steps_have_the_recorded_terms() -> None:
    objective = ObjectiveConfig(weights={"super_resolution": 1.0})
    trainer = Trainer(preset_architecture("tiny", 2), TrainingConfig(patch_size=64, objective=objective))
    terms = [trainer.step(*batch(number), progress) for number, progress in enumerate((0.0, 0.5, 0.9))]
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert terms == [pytest.approx(step, rel=1e-5, abs=1e-9) for step in recorded]
