"""Training steps: they can be taken up, shared, and they survive bad batches."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
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


def _share(rank: int, size: int, meeting: str, losses: "mp.SimpleQueue[list[float]]") -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    trainer = Trainer(ARCHITECTURE, CONFIG)
    curve = []
    for step in range(4):
        hr, lr = (side.chunk(size)[rank] for side in batch(step))
        metrics = trainer.step(hr, lr, 0.5)
        assert metrics is not None
        curve += [
            metrics["likelihood_hr"],
            metrics["cycle"],
            metrics["super_resolution"],
            metrics["noise"],
        ]
    if rank == 0:
        losses.put(curve)
    dist.barrier()  # whoever ends first takes its connections away from the others
    dist.destroy_process_group()


def _curve(size: int, folder: Path) -> list[float]:
    losses = mp.get_context("spawn").SimpleQueue()
    mp.spawn(_share, (size, str(folder / f"meeting of {size}"), losses), nprocs=size)
    curve: list[float] = losses.get()
    return curve


def test_two_processes_train_as_one_with_the_whole_batch(tmp_path: Path) -> None:
    assert _curve(2, tmp_path) == pytest.approx(_curve(1, tmp_path), rel=2e-3, abs=1e-4)
