"""A RUN folder: who may write to it, and what a resumed run finds in it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import ARCHITECTURE, CONFIG

from sdflow.errors import SDFlowError
from sdflow.training import Trainer, TrainingState
from sdflow_data.training.run_folder import SETTINGS, STATE, RunFolder, RunState

IDENTITY = {"batch_size": 8, "training": {"seed": 0}}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    begun = RunFolder(tmp_path)
    begun.claim(IDENTITY)
    return begun


def saved(folder: RunFolder) -> list[TrainingState]:
    """What a trainer is given to restore from ``folder``."""
    found: list[TrainingState] = []
    folder.load(found.append)
    return found


def test_what_is_saved_is_loaded(folder: RunFolder) -> None:
    state = RunState(step=7, seconds=12.5, rollbacks=1)
    trainer = Trainer(ARCHITECTURE, CONFIG)
    folder.save(state, trainer, {"steps": 7})
    assert folder.load(lambda trainer: None) == state
    (found,), expected = saved(folder), trainer.state_dict()
    assert found.counters == expected.counters
    assert all(torch.equal(found.tensors[name], value) for name, value in expected.tensors.items())


def test_a_folder_where_nothing_was_saved_has_no_state(folder: RunFolder) -> None:
    assert saved(folder) == []


def test_a_run_resumes_with_the_settings_that_it_began_with_alone(folder: RunFolder) -> None:
    folder.check(IDENTITY, resume=True)
    with pytest.raises(SDFlowError, match=r"training.seed: .* was begun with 0, found 1"):
        folder.check({**IDENTITY, "training": {"seed": 1}}, resume=True)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"library_version": "0.1", **IDENTITY}, "expected a run of format 2, found format 1"),
        ({"format_version": 3}, "expected a run of format 2, found format 3"),
        ([], "expected the settings of a run as JSON"),
    ],
)
def test_a_run_of_another_format_is_refused_in_a_line(tmp_path: Path, content: Any, told: str) -> None:
    (tmp_path / SETTINGS).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(SDFlowError, match=told):
        RunFolder(tmp_path).check(IDENTITY, resume=True)


@pytest.mark.parametrize("damage", [b"", b"no tensors", b'{"half": '])
@pytest.mark.parametrize("name", [SETTINGS, STATE])
def test_a_damaged_file_is_named(folder: RunFolder, name: str, damage: bytes) -> None:
    (folder.path / name).write_bytes(damage)
    with pytest.raises(SDFlowError, match=name):
        folder.check(IDENTITY, resume=True)
        saved(folder)


def test_a_state_that_a_trainer_refuses_is_named(folder: RunFolder) -> None:
    def refuse(trainer: TrainingState) -> None:
        raise ValueError("another model")

    folder.save(RunState(), Trainer(ARCHITECTURE, CONFIG), {})
    with pytest.raises(SDFlowError, match=rf"{STATE}: .* another model"):
        folder.load(refuse)


def test_only_the_process_that_may_write_touches_the_folder(tmp_path: Path) -> None:
    reader = RunFolder(tmp_path, writable=False)
    reader.claim(IDENTITY)
    reader.save(RunState(), Trainer(ARCHITECTURE, CONFIG), {})
    assert list(tmp_path.iterdir()) == []
