"""A RUN folder: who may write to it, and what a resumed run finds in it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_training import ARCHITECTURE, CONFIG, batch

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
    trainer.step_number = state.step
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
        ([], "expected the settings of a run, found JSON that is no object"),
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


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    """One that only has to refuse."""
    return Trainer(ARCHITECTURE, CONFIG)


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state after a step."""
    trained = Trainer(ARCHITECTURE, CONFIG)
    assert trained.step(*batch(0), 0.0) is not None
    run = RunFolder(tmp_path_factory.mktemp("stepped"))
    run.save(RunState(step=1), trained, {})
    assert run.load(trained.load_state_dict) == RunState(step=1)
    return run.path / STATE


Damage = Callable[[dict[str, torch.Tensor], dict[str, Any]], object]


def with_tensor(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Damage:
    return lambda tensors, _: tensors.update({name: change(tensors[name])})


def with_values(part: str, **values: Any) -> Damage:
    return lambda _, run: run[part].update(values)


NAN, INF = float("nan"), float("inf")
KINDS = (torch.int32, torch.float64, torch.bfloat16)
WEIGHT, SECOND, COUNT = "model.encoder.conv_in.weight", "optimizer.3.exp_avg_sq", "optimizer.3.step"


@pytest.mark.parametrize(
    "damage",
    [
        *(with_values("state", step=step) for step in (-5, 10**30, 1.0, "1", None, True, 2)),
        *(with_values("state", seconds=seconds) for seconds in (-1, 1e300, "1", None, [])),
        *(with_values("state", rollbacks=count) for count in (-1, 0.5, "0")),
        with_values("state", more=1),
        *(with_values("trainer", step_number=step) for step in (-5, 10**30, 1.0, "1", None)),
        *(with_values("trainer", skipped=count) for count in (-1, 2, 0.5, "0")),
        *(with_values("trainer", lr_scale=scale) for scale in (0, -1, 2, 1e300, "1", None, {})),
        lambda _, run: run.pop("trainer"),
        lambda _, run: run.update(trainer=[]),
        lambda _, run: run.update(state=3),
        *(with_tensor(WEIGHT, lambda value, number=number: value.fill_(number)) for number in (NAN, -INF)),
        *(with_tensor(WEIGHT, lambda value, kind=kind: value.to(kind)) for kind in KINDS),
        with_tensor(WEIGHT, lambda value: value[:-1].contiguous()),
        with_tensor("ema_" + WEIGHT, lambda value: value.fill_(NAN)),
        with_tensor(SECOND, lambda value: value.fill_(-1)),
        with_tensor(SECOND, lambda value: value.double()),
        with_tensor(SECOND, lambda value: value.flatten()[:1].clone()),
        with_tensor(COUNT, lambda value: value.fill_(-3)),
        with_tensor(COUNT, lambda value: value.fill_(NAN)),
        lambda tensors, _: tensors.pop(WEIGHT),
        lambda tensors, _: tensors.pop(SECOND),
        lambda tensors, _: tensors.update({"model.more": torch.ones(1)}),
        *(
            lambda tensors, _, name=name: tensors.update({name: torch.ones(1)})
            for name in ("optimizer.99999.exp_avg", "optimizer.x.step", "optimizer.0.1.step", "optimizer", "")
        ),
    ],
)
def test_a_state_that_no_training_leaves_is_refused_in_a_line(
    stepped: Path, trainer: Trainer, tmp_path: Path, damage: Damage
) -> None:
    with safe_open(stepped, framework="pt") as stored:
        run = json.loads(stored.metadata()["run"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    damage(tensors, run)
    save_file(tensors, tmp_path / STATE, metadata={"run": json.dumps(run)})
    with pytest.raises(SDFlowError, match=f"{STATE}: expected the state of this run") as error:
        RunFolder(tmp_path).load(trainer.load_state_dict)
    assert "\n" not in str(error.value)


def test_a_state_larger_than_that_of_its_trainer_is_not_read(
    stepped: Path, trainer: Trainer, tmp_path: Path
) -> None:
    assert RunFolder(stepped.parent).load(trainer.load_state_dict, trainer.state_bytes) == RunState(step=1)
    (tmp_path / STATE).write_bytes(stepped.read_bytes())
    os.truncate(tmp_path / STATE, 10**12)  # sparse: it takes no disk
    with pytest.raises(SDFlowError, match="bytes where tensors take"):
        RunFolder(tmp_path).load(trainer.load_state_dict, trainer.state_bytes)


@pytest.mark.parametrize("name", [SETTINGS, STATE])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder: RunFolder, name: str) -> None:
    (folder.path / name).unlink(missing_ok=True)
    os.mkfifo(folder.path / name)
    with pytest.raises((SDFlowError, OSError), match=name):
        folder.check(IDENTITY, resume=True)
        saved(folder)


def test_a_model_that_is_not_finite_does_not_take_the_place_of_one_that_is(folder: RunFolder) -> None:
    trainer = Trainer(ARCHITECTURE, CONFIG)
    folder.save(RunState(), trainer, {})
    before = (folder.model / "model.safetensors").read_bytes()
    next(trainer.ema_model.parameters()).data.fill_(NAN)
    with pytest.raises(SDFlowError, match="not finite; what was saved before is kept"):
        folder.save(RunState(), trainer, {})
    assert (folder.model / "model.safetensors").read_bytes() == before
    assert saved(folder)


def test_only_the_process_that_may_write_touches_the_folder(tmp_path: Path) -> None:
    reader = RunFolder(tmp_path, writable=False)
    reader.claim(IDENTITY)
    reader.save(RunState(), Trainer(ARCHITECTURE, CONFIG), {})
    assert list(tmp_path.iterdir()) == []
