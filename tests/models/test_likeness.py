"""Which components explain photographs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from laws import randomise

from sdflow.checkpoint import save_checkpoint
from sdflow.errors import SDFlowError
from sdflow.model import SDFlow
from sdflow.resample import quantise, to_levels
from sdflow_data.images.writing import encode_png
from sdflow_data.models.likeness import component_posterior, likeness
from sdflow_data.training.presets import preset_architecture

WEAK, STRONG = -4.0, -1.0


@pytest.fixture(scope="module")
def model() -> SDFlow:
    """A mixture from weak to strong noise; E sees nothing, so that all of a picture is degradation."""
    torch.manual_seed(0)
    config = replace(preset_architecture("tiny", 2), hr_steps=1, components=8, measured=False)
    model = randomise(SDFlow(config), 0, 0.02).eval()
    with torch.no_grad():
        model.prior.means.zero_()
        model.prior.log_stds.copy_(torch.linspace(WEAK, STRONG, model.prior.components))
    return model


@pytest.mark.parametrize("component", [0, 7])
def test_the_component_that_made_the_patches_explains_them(model: SDFlow, component: int) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        content = model.encode_lr(torch.zeros(4, 3, 48, 48))
        noise = torch.randn(4, *model.latent_shape_lr(48, 48), generator=generator)
        z_d = model.degradation_flow.inverse(model.prior.latent(component, noise, 1.0), content)[0]
        x = model.lr_flow.inverse(model.encode_lr(torch.zeros_like(z_d)) + z_d)[0]
    posterior = component_posterior(model, quantise(to_levels(x)).permute(0, 2, 3, 1).numpy())
    assert posterior.sum() == pytest.approx(1)
    assert abs(int(posterior.argmax()) - component) <= 1


def test_weights_sum_to_one_and_count_what_was_skipped(model: SDFlow, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", model, {})
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    random = np.random.default_rng(0)
    (photographs / "a.png").write_bytes(encode_png(random.integers(0, 256, (64, 64, 3), np.uint8)))
    (photographs / "small.png").write_bytes(encode_png(np.zeros((8, 8, 3), np.uint8)))
    (photographs / "text.png").write_text("no picture")
    weights, skipped = likeness(str(tmp_path / "model"), photographs)
    assert sum(weights) == pytest.approx(1, abs=1e-9)
    assert [line.split(":")[0] for line in skipped] == ["small.png", "text.png"]


def test_a_hand_made_degrader_has_no_components_to_choose(tmp_path: Path) -> None:
    with pytest.raises(SDFlowError, match="model: expected a trained model"):
        likeness("bicubic", tmp_path)


def test_generate_like_photographs_draws_the_components_that_explain_them(
    model: SDFlow, tmp_path: Path
) -> None:
    import pandas as pd

    from sdflow_data.generation.engines.local import LocalEngine
    from sdflow_data.generation.run import GenerationRequest, generate

    save_checkpoint(tmp_path / "model", model, {})
    (tmp_path / "hr").mkdir()
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (tmp_path / "hr" / "a.png").write_bytes(encode_png(picture))
    weights = (0.0, 0.5, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0)
    request = GenerationRequest(
        model=str(tmp_path / "model"), patch_size=32, variants=4, weights=weights, precision="fp32"
    )
    generate(request, (tmp_path / "hr",), tmp_path / "pairs", LocalEngine(1))
    drawn = pd.read_parquet(tmp_path / "pairs" / "manifest.parquet")["component"]
    assert set(drawn) == {1, 5}


@pytest.mark.parametrize("part", ["encoder", "lr_flow"])
def test_a_checkpoint_of_one_direction_is_not_enough(part: str, tmp_path: Path) -> None:
    half = SDFlow(preset_architecture("tiny", 2))
    half.drop([part])
    save_checkpoint(tmp_path / "half", half, {})
    with pytest.raises(SDFlowError, match="half: expected a checkpoint that can"):
        likeness(str(tmp_path / "half"), tmp_path)
