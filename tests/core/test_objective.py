"""The objective: terms that can be left out, counted in time, and looked at apart from what they cost."""

import math
from collections.abc import Callable

import pytest
import torch
from small_training import ARCHITECTURE, batch

from sdflow.distributed import ReplicaGroup
from sdflow.filters import gaussian_blur
from sdflow.model import SDFlow
from sdflow.objective import TERMS, Objective, ObjectiveConfig, Phase, Step, StoredBy, observe
from sdflow.resample import as_stored


@pytest.fixture
def model() -> SDFlow:
    return SDFlow(ARCHITECTURE)


def a_step(model: SDFlow, seed: int = 0, stored_by: StoredBy | None = None) -> Step:
    return Step(model, *batch(seed, 2), ReplicaGroup(seed, torch.device("cpu")), stored_by=stored_by)


def only(name: str, weight: float = 1.0) -> Objective:
    return Objective(ObjectiveConfig(weights=dict.fromkeys(TERMS, 0.0) | {name: weight}))


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if not term.needs_perceptual])
def test_a_term_alone_is_the_loss(model: SDFlow, name: str) -> None:
    loss, values = only(name, 2.0)(a_step(model), 1.0)
    assert list(values) == [name]
    assert float(loss) == pytest.approx(2 * float(values[name]))


def test_a_term_of_weight_0_is_not_computed(model: SDFlow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "encode_lr", lambda *_: pytest.fail("E was asked"))
    monkeypatch.setattr(model, "decode_lr", lambda *_: pytest.fail("samples were drawn"))
    only("likelihood_hr")(a_step(model), 1.0)


def test_a_term_that_is_left_out_leaves_the_random_numbers_of_the_others_alone(model: SDFlow) -> None:
    _, alone = only("cycle")(a_step(model), 1.0)
    _, together = Objective(ObjectiveConfig())(a_step(model), 1.0)
    assert torch.equal(alone["cycle"], together["cycle"])


@pytest.mark.parametrize("weights", [{"grid": 1.0}, {"cycle": -1.0}, {"cycle": math.inf}])
def test_terms_that_there_are_not_and_weights_out_of_range_are_refused_by_name(
    weights: dict[str, float],
) -> None:
    with pytest.raises(ValueError, match=next(iter(weights))):
        ObjectiveConfig(weights=weights)


def test_a_phase_rises_from_its_start_to_its_full_weight() -> None:
    phase = Phase(0.2, 0.6)
    assert [phase.factor(p) for p in (0, 0.2, 0.4, 0.6, 1)] == pytest.approx([0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("times", [(0.5, 0.2), (-0.1, 0.2), (0.5, 5.0)])
def test_times_that_are_no_shares_of_the_progress_are_refused(times: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="phase"):
        Phase(*times)


def test_a_phase_without_a_rise_counts_from_its_start() -> None:
    assert [Phase(0.5, 0.5).factor(p) for p in (0.4, 0.5)] == [0, 1]


def test_samples_are_8_bit_pictures(model: SDFlow) -> None:
    levels = (a_step(model).samples + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


def test_the_camera_learns_from_no_term_but_the_likelihood_of_lr(model: SDFlow) -> None:
    loss, _ = Objective(ObjectiveConfig())(a_step(model), 1.0)
    loss.backward()
    branch = [*model.degradation_flow.parameters(), *model.lr_flow.parameters()]
    assert all(parameter.grad is None for parameter in branch)


def test_noise_is_watched_in_grey_levels(model: SDFlow) -> None:
    camera = model.degradation_flow.camera
    assert camera is not None
    camera.strength.fill_(3.0)
    model.hr_flow.register_forward_hook(lambda *call: (torch.zeros_like(call[2][0]), call[2][1]))
    assert float(observe(a_step(model))["noise"]) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("stored", [as_stored])
def test_a_stored_picture_is_stored_the_same_again(stored: Callable[[torch.Tensor], torch.Tensor]) -> None:
    once = stored(torch.randn(1, 3, 8, 8))
    assert torch.equal(stored(once), once)


def test_a_blur_keeps_the_mean_of_a_constant_and_takes_noise_away() -> None:
    noise = torch.randn(1, 3, 64, 64)
    assert float(gaussian_blur(noise, 2.0).std()) < 0.3 * float(noise.std())
    torch.testing.assert_close(gaussian_blur(torch.ones(1, 3, 9, 9), 2.0), torch.ones(1, 3, 9, 9))


def test_what_sees_samples_sees_them_as_they_are_stored(model: SDFlow) -> None:
    asked = []

    def darker(stored: torch.Tensor, components: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        asked.append((len(stored), components, uniform))
        return stored - 0.5

    plain, coded = a_step(model), a_step(model, stored_by=darker)
    torch.testing.assert_close(coded.samples, plain.samples - 0.5)
    assert not torch.equal(coded.recovered, plain.recovered)
    (count, components, uniform), *_ = asked
    assert components.shape == (count,) and uniform.shape == (count, 3)
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 1
