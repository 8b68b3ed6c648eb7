"""The architecture of a model, as checkpoints store it."""

import dataclasses
from dataclasses import dataclass
from typing import Any, get_args

from .priors import MixtureLaw


@dataclass(frozen=True, kw_only=True)
class SDFlowConfig:
    """The architecture: the shapes of a model's weights and their use.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    scale: int = 4
    """s, the ratio of HR to LR size: 2, 4 or 8."""
    hr_steps: int = 16
    """Flow steps of each level of f_HR; 0 with a measured camera: its content is a fixed picture."""
    lr_steps: int = 16
    """Flow steps of f_LR."""
    hf_steps: int = 8
    """Conditional flow steps of f_HF."""
    degradation_steps: int = 8
    """Conditional flow steps of f_Deg."""
    width: int = 64
    """Hidden channels of the coupling networks."""
    condition_channels: int = 64
    """Channels of the condition extractors."""
    growth: int = 32
    """Growth: channels that each convolution of a dense block adds."""
    hf_blocks: int = 8
    """RRDBs of the condition extractor of f_HF."""
    degradation_blocks: int = 4
    """RRDBs of the condition extractor of f_Deg."""
    encoder_channels: int = 64
    """Channels of the LR content extractor E."""
    encoder_blocks: int = 16
    """Modulated residual blocks of E."""
    encoder_modulation: int = 8
    """Modulation convolutions of E."""
    components: int = 16
    """N, of the mixture prior; of a measured model, for how many cameras there is room."""
    mixture: MixtureLaw = "image"
    """How a component is drawn, see ``GaussianMixture``."""
    measured: bool = False
    """Whether f_Deg starts with a measured camera (``MeasuredCamera``) and f_HR is a fixed antialiased
    pyramid (``HRFlow``). The published weights have neither."""

    def __post_init__(self) -> None:
        if self.scale not in (2, 4, 8):
            raise ValueError(f"scale: expected 2, 4 or 8, got {self.scale!r}")
        if self.mixture not in get_args(MixtureLaw):
            raise ValueError(f"mixture: expected one of {get_args(MixtureLaw)}, got {self.mixture!r}")
        if not isinstance(self.measured, bool):
            raise ValueError(f"measured: expected true or false, got {self.measured!r}")
        if self.measured and self.mixture != "image":
            raise ValueError(f"mixture: expected image of a measured model, got {self.mixture!r}")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "hr_steps" else 1
            if field.type is int and not (type(value) is int and least <= value <= 1024):
                raise ValueError(f"{field.name}: expected a whole number from {least} to 1024, got {value!r}")
        if self.measured != (self.hr_steps == 0):
            wanted = "0 with a measured camera" if self.measured else "1 or more without a measured camera"
            raise ValueError(f"hr_steps: expected {wanted}, got {self.hr_steps}")
        if self.encoder_channels < 6:
            raise ValueError(f"encoder_channels: expected at least 6, got {self.encoder_channels}")

    @property
    def layers(self) -> int:
        """How many layers there are at the least: of flows, condition extractors and E."""
        plain, conditional = self._flow_steps
        extractors = self.hf_blocks + self.degradation_blocks
        return plain + conditional + extractors + self.encoder_blocks + self.encoder_modulation

    @property
    def least_weights(self) -> int:
        """How many weights those layers have at the least, without making one."""
        plain, conditional = self._flow_steps
        width, features, growth, content = (
            *(self.width, self.condition_channels, self.growth),
            self.encoder_channels,
        )
        step = width * width
        dense = (4 * features + 6 * growth) * growth + (features + 4 * growth) * features
        return (
            plain * step
            + conditional * 2 * (step + 9 * width * features)
            + (self.hf_blocks + self.degradation_blocks) * 27 * dense
            + (22 * self.encoder_blocks + 9 * self.encoder_modulation) * content * content
        )

    @property
    def _flow_steps(self) -> tuple[int, int]:
        levels = self.scale.bit_length() - 1
        return levels * self.hr_steps + self.lr_steps, self.hf_steps + self.degradation_steps

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SDFlowConfig":
        """The inverse of ``to_dict``.

        Raises:
            ValueError: an unknown name, or a value out of range.
        """
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown architecture settings: {', '.join(sorted(unknown))}")
        return cls(**values)
