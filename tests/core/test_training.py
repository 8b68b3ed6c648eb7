"""Training steps: they can be taken up, shared, and they survive bad batches."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from calls import run_by_two
from small_training import ARCHITECTURE, CONFIG, batch

from sdflow.training import Trainer, TrainingConfig, lr_schedule
from sdflow_data.training.presets import preset_architecture


def trained(steps: range, trainer: Trainer | None = None) -> Trainer:
    trainer = Trainer(ARCHITECTURE, CONFIG) if trainer is None else trainer
    for step in steps:
        assert trainer.step(*batch(step), step / 10) is not None
    return trainer


def test_five_steps_saved_taken_up_and_five_more_are_ten_steps_bit_for_bit() -> None:
    whole = trained(range(10)).state_dict()
    resumed = Trainer(ARCHITECTURE, CONFIG)
    resumed.load_state_dict(trained(range(5)).state_dict())
    parts = trained(range(5, 10), resumed).state_dict()
    assert parts[1] == whole[1]
    assert all(torch.equal(parts[0][name], value) for name, value in whole[0].items())


def test_weights_can_be_restored_without_going_back_in_time() -> None:
    trainer = trained(range(1))
    earlier = trainer.state_dict()
    trained(range(1, 3), trainer)
    trainer.load_weights(earlier)
    restored = trainer.state_dict()
    assert restored.counters["step_number"] == 3
    assert all(torch.equal(restored.tensors[name], value) for name, value in earlier.tensors.items())


def test_the_state_of_another_architecture_is_refused() -> None:
    other = Trainer(preset_architecture("tiny", 2), CONFIG)
    with pytest.raises(ValueError, match="another model"):
        other.load_state_dict(trained(range(1)).state_dict())


def test_a_poisoned_batch_is_skipped_and_changes_no_weight() -> None:
    trainer = trained(range(2))
    before, _ = trainer.state_dict()
    hr, lr = batch(2)
    assert trainer.step(torch.full(hr.shape, float("nan")), lr, 0.2) is None
    after, _ = trainer.state_dict()
    assert trainer.skipped == 1
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_training_goes_on_after_a_poisoned_batch() -> None:
    trainer = trained(range(2))
    hr, lr = batch(2)
    trainer.step(torch.full(hr.shape, float("nan")), lr, 0.2)
    metrics = trainer.step(*batch(3), 0.3)
    assert metrics is not None
    assert all(torch.tensor(value).isfinite() for value in metrics.values())


def test_the_averaged_weights_lag_behind_the_model() -> None:
    trainer = trained(range(10))
    pairs = list(zip(trainer.ema_model.parameters(), trainer.model.parameters()))
    assert any(not torch.equal(average, value) for average, value in pairs)
    assert all(average.isfinite().all() for average, _ in pairs)


def test_the_rate_comes_down_by_halves() -> None:
    rates = [lr_schedule(k / 1000) for k in range(1000)]
    assert rates == sorted(rates, reverse=True)
    assert set(rates) == {0.5**k for k in range(5)}


def test_one_seed_gives_one_training() -> None:
    first, second = trained(range(3)).state_dict()[0], trained(range(3)).state_dict()[0]
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_precision_is_checked_by_name() -> None:
    with pytest.raises(ValueError, match="precision"):
        TrainingConfig(patch_size=32, precision="fp16")


def test_a_patch_that_the_scale_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        Trainer(ARCHITECTURE, TrainingConfig(patch_size=34))


def losses(rank: int, size: int) -> list[float]:
    """Terms of four steps with this process's share of each batch."""
    trainer = Trainer(ARCHITECTURE, CONFIG)
    found = []
    for step in range(4):
        hr, lr = (side.chunk(size)[rank] for side in batch(step))
        metrics = trainer.step(hr, lr, 0.5)
        assert metrics is not None
        found += [metrics[name] for name in ("likelihood_hr", "cycle", "super_resolution", "noise")]
    return found


def train_a_share(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    Path(folder, f"rank{rank}.json").write_text(json.dumps(losses(rank, 2)))
    dist.barrier()  # whoever ends first takes its connections away from the others
    dist.destroy_process_group()


def test_two_processes_train_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    run_by_two(train_a_share, str(tmp_path))
    alone = losses(0, 1)
    for rank in range(2):
        shared = json.loads((tmp_path / f"rank{rank}.json").read_text())
        assert shared == pytest.approx(alone, rel=2e-3, abs=1e-4)
