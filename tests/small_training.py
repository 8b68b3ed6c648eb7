"""A training small enough for a test: architecture, settings, batches of noise."""

import torch
from torch import Tensor

from sdflow.model import SDFlowConfig
from sdflow.objective import ObjectiveConfig
from sdflow.training import TrainingConfig

ARCHITECTURE = SDFlowConfig(
    scale=2,
    hr_steps=0,
    lr_steps=1,
    hf_steps=1,
    degradation_steps=1,
    width=8,
    condition_channels=8,
    growth=4,
    hf_blocks=1,
    degradation_blocks=1,
    encoder_channels=8,
    encoder_blocks=1,
    encoder_modulation=1,
    components=2,
    measured=True,
)
CONFIG = TrainingConfig(
    patch_size=32,
    learning_rate=1e-3,
    warmup=3,
    objective=ObjectiveConfig(weights={"super_resolution": 1.0}),
)


def batch(step: int, size: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    hr = torch.randint(0, 256, (size, 3, 32, 32), generator=generator, dtype=torch.uint8)
    lr = torch.randint(0, 256, (size, 3, 16, 16), generator=generator, dtype=torch.uint8)
    return hr, lr
