"""A training that stays non-finite goes back to its last good state at half the rate, and stops at last."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from factory import write_picture
from safetensors.torch import load_file
from small_training import ARCHITECTURE, CONFIG
from torch import Tensor

from sdflow.errors import SDFlowError
from sdflow.training import Trainer
from sdflow_data.training.budget import Budget
from sdflow_data.training.run import RunSettings, train
from sdflow_data.training.run_folder import STATE

GOOD, BAD = 3, 10


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    write_picture(tmp_path / "hr" / "a.png", 0, 64, 64)
    write_picture(tmp_path / "lr" / "b.png", 1, 32, 32)
    return RunSettings(
        hr=(tmp_path / "hr",),
        lr=(tmp_path / "lr",),
        out=tmp_path / "run",
        architecture=ARCHITECTURE,
        training=CONFIG,
        batch_size=2,
        budget=Budget(GOOD + BAD + 2),
        save_seconds=0,
    )


def poison(monkeypatch: pytest.MonkeyPatch, steps: range) -> list[dict[str, Tensor]]:
    """HR crops of these steps are not finite; the list gets the state that each later step begins from."""
    step, later = Trainer.step, []

    def poisoned(self: Trainer, hr: Tensor, lr: Tensor, progress: float) -> Any:
        if self.step_number in steps:
            hr = torch.full(hr.shape, float("nan"))
        elif self.step_number >= steps.stop:
            later.append(self.state_dict().tensors)
        return step(self, hr, lr, progress)

    monkeypatch.setattr(Trainer, "step", poisoned)
    return later


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(second[k], v) for k, v in first.items())


def test_it_goes_on_from_the_state_that_was_saved_last(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, saved = poison(monkeypatch, range(GOOD, GOOD + BAD)), []

    def keep_what_is_saved(text: str) -> None:
        if "back to the last good weights" in text:
            saved.append(load_file(settings.out / STATE))

    train(settings, keep_what_is_saved)
    assert len(saved) == 1
    assert same(later[0], saved[0])


def test_it_begins_anew_where_nothing_was_saved(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = poison(monkeypatch, range(GOOD, GOOD + BAD))
    train(replace(settings, save_seconds=3600))
    measured = {name: value for name, value in later[0].items() if ".camera." in name}
    assert same(later[0], Trainer(ARCHITECTURE, CONFIG).state_dict().tensors | measured)


def test_it_goes_on_at_half_the_rate_to_the_last_step(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, range(GOOD, GOOD + BAD))
    trainer = train(settings)
    assert (trainer.step_number, trainer.lr_scale, trainer.skipped) == (GOOD + BAD + 2, 0.5, BAD)


def test_fewer_bad_steps_in_a_row_leave_the_rate_alone(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, range(GOOD, GOOD + BAD - 1))
    assert train(settings).lr_scale == 1


def test_a_training_that_never_recovers_says_where_the_last_good_checkpoint_is(
    settings: RunSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, range(GOOD, 1_000))
    with pytest.raises(SDFlowError, match=r"stays non-finite.*model is the last good checkpoint"):
        train(replace(settings, budget=Budget(1_000)))
