"""SDFlow: five networks that map HR and real LR photographs to one content latent and back."""

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from .errors import SDFlowError
from .flows import DegradationFlow, HFFlow, HRFlow, LRFlow
from .networks import ContentExtractor
from .priors import GaussianMixture, MixtureLaw, standard_normal_log_prob

Direction = Literal["downscale", "upscale"]

_NEEDS: dict[Direction, tuple[str, ...]] = {
    "downscale": ("hr_flow", "lr_flow", "degradation_flow", "prior"),
    "upscale": ("hr_flow", "hf_flow", "encoder"),
}


@dataclass(frozen=True, kw_only=True)
class SDFlowConfig:
    """The architecture: the shapes of a model's weights and their use.

    Raises:
        ValueError: a value is out of its range. The message names it.
    """

    scale: int = 4
    """s, the ratio of HR to LR size: 2, 4 or 8."""
    hr_steps: int = 16
    """Flow steps of each level of f_HR; 0 with a measured camera, whose content is fixed."""
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
    """N, the components of the mixture prior; the most cameras of a measured model."""
    mixture: MixtureLaw = "image"
    """The law of components, see ``GaussianMixture``."""
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
        """A lower bound of the number of layers."""
        plain, conditional = self._flow_steps
        extractors = self.hf_blocks + self.degradation_blocks
        return plain + conditional + extractors + self.encoder_blocks + self.encoder_modulation

    @property
    def least_weights(self) -> int:
        """A lower bound of the number of weights, computed without a model."""
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
            ValueError: a name is unknown, or a value is out of range.
        """
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"unknown architecture settings: {', '.join(sorted(unknown))}")
        return cls(**values)


class SDFlow(nn.Module):
    """The whole model (Sun & Chen, arXiv 2310.04964, TPAMI 2024).

    Symbols: y an HR image (B, 3, sH, sW), x an LR image (B, 3, H, W), both in [-1, 1]; z_c the content
    latent, (B, 3, H, W); z_h the high frequencies, (B, 3(s^2 - 1), H, W); z_d the degradation, (B, 3, H, W).
    Primes mark latents under their priors.

    ==================  =============================  ==========================================
    part                maps                           prior
    ==================  =============================  ==========================================
    hr_flow             y <-> [z_c, z_h]
    hf_flow             z_h <-> z'_h given z_c         z'_h ~ N(0, I)
    lr_flow             x <-> z_LR
    encoder             x -> z_c                       (not invertible)
    degradation_flow    z_d = z_LR - z_c <-> z'_d      ``prior``, a mixture of Gaussians
    ==================  =============================  ==========================================

    The components of the degradation are those of the mixture. In a measured model, whose z'_d is a single
    Gaussian, they are the measured cameras.

    Heights and widths of y are multiples of ``multiple`` and at least ``2 * multiple``.
    """

    def __init__(self, config: SDFlowConfig) -> None:
        super().__init__()
        self.config = config
        levels = config.scale.bit_length() - 1
        extractor = (config.condition_channels, config.growth)
        self.hr_flow = HRFlow(levels, config.hr_steps, config.width)
        self.hf_flow = HFFlow(self.hf_channels, config.hf_steps, config.width, *extractor, config.hf_blocks)
        self.lr_flow = LRFlow(config.lr_steps, config.width)
        self.degradation_flow = DegradationFlow(
            config.degradation_steps,
            config.width,
            *extractor,
            config.degradation_blocks,
            config.components if config.measured else 0,
        )
        self.encoder = ContentExtractor(
            config.encoder_channels, config.encoder_blocks, config.encoder_modulation
        )
        self.prior = GaussianMixture(1 if config.measured else config.components, config.mixture)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts of the model."""
        return tuple(name for name, _ in self.named_children())

    def drop(self, parts: Iterable[str]) -> None:
        """Remove parts, for weights of a single direction. Methods that need them then fail."""
        for part in parts:
            delattr(self, part)

    def missing(self, direction: Direction) -> list[str]:
        """The parts that a direction needs and the model lacks."""
        return [part for part in _NEEDS[direction] if part not in self.parts]

    def require(self, direction: Direction) -> None:
        """Check that the model has the parts of a direction.

        Raises:
            SDFlowError: parts are missing.
        """
        if missing := ", ".join(self.missing(direction)):
            raise SDFlowError(f"model: expected one that can {direction}, found one without {missing}")

    @property
    def scale(self) -> int:
        """s."""
        return self.config.scale

    @property
    def multiple(self) -> int:
        """HR sizes must be multiples of this (two flows squeeze the LR side by 2) and at least twice it."""
        return 2 * self.config.scale

    @property
    def hf_channels(self) -> int:
        """3(s^2 - 1), the channels of z_h."""
        return 3 * (self.config.scale**2 - 1)

    @property
    def shares(self) -> Tensor:
        """The probability of each component, (N,), with sum 1."""
        if self.degradation_flow.camera is not None:
            return self.degradation_flow.camera.shares
        means = self.prior.means.detach()
        return torch.full_like(means, 1 / len(means))

    def latent_shape_lr(self, height: int, width: int) -> tuple[int, int, int]:
        """The shape of z'_d for an LR image of height x width."""
        return 12, height // 2, width // 2

    def latent_shape_hr(self, height: int, width: int) -> tuple[int, int, int]:
        """The shape of z'_h for an LR image of height x width."""
        return self.hf_channels, height, width

    def encode_hr(self, y: Tensor) -> Tensor:
        """z_c of an HR image."""
        return self.hr_flow(y)[0][:, :3]

    def encode_lr(self, x: Tensor) -> Tensor:
        """z_c of a real LR image, E(x)."""
        return self.encoder(x)

    def latent_lr(self, component: int | Tensor | None, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """z'_d of given components, see ``GaussianMixture.latent``. Measured cameras share one law."""
        return self.prior.latent(0 if self.config.measured else component, noise, temperature)

    def decode_lr(self, content: Tensor, z_d_prime: Tensor, component: int | Tensor = 0) -> Tensor:
        """x = f_LR^-1(z_c + f_Deg^-1(z'_d | z_c)): the downscaling of a content under a degradation.

        Args:
            content: (B, 3, H, W).
            z_d_prime: (B, 12, H/2, W/2).
            component: the measured camera of all images, or of each, (B,). Other models ignore it.
        """
        z_d, _ = self.degradation_flow.inverse(z_d_prime, content, component)
        return self.lr_flow.inverse(content + z_d)[0]

    def sample_lr(self, content: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Downscale each content (B, 3, H, W) with a component drawn by the shares.

        Returns:
            The samples (B, 3, H, W), and their components (B,).
        """
        shape = (len(content), *self.latent_shape_lr(*content.shape[-2:]))
        component = torch.multinomial(self.shares, len(content), replacement=True, generator=generator)
        latent = self.prior.sample(shape, generator=generator)
        return self.decode_lr(content, latent, component), component

    def decode_hr(self, content: Tensor, z_h_prime: Tensor) -> Tensor:
        """y = f_HR^-1(z_c, f_HF^-1(z'_h | z_c)): the super-resolution of a content."""
        z_h, _ = self.hf_flow.inverse(z_h_prime, content)
        return self.hr_flow.inverse(torch.cat([content, z_h], 1))[0]

    def log_prob_hf(self, z_h: Tensor, content: Tensor) -> Tensor:
        """log p(z_h | z_c) in nats, (B,); no gradient reaches the content."""
        z, log_det = self.hf_flow(z_h, content)
        return standard_normal_log_prob(z) + log_det

    def log_prob_degradation(self, z_d: Tensor, content: Tensor) -> Tensor:
        """log p(z_d | z_c) in nats, (B,)."""
        if not self.config.measured:
            z, log_det = self.degradation_flow(z_d, content)
            return self.prior.log_prob(z) + log_det
        each = []
        for component, share in enumerate(self.shares.tolist()):
            if share:
                z, log_det = self.degradation_flow(z_d, content, component)
                each.append(self.prior.log_prob(z) + log_det + math.log(share))
        return torch.logsumexp(torch.stack(each), 0)

    def log_prob_hr(self, y: Tensor) -> Tensor:
        """log p(y) without the density of the content, in nats, (B,): z_c has no prior of its own."""
        z, log_det = self.hr_flow(y)
        return log_det + self.log_prob_hf(z[:, 3:], z[:, :3])

    def log_prob_lr(self, x: Tensor, content: Tensor | None = None) -> Tensor:
        """log p(x | z_c) in nats, (B,), with z_c = E(x) unless given."""
        content = self.encode_lr(x) if content is None else content
        z, log_det = self.lr_flow(x)
        return log_det + self.log_prob_degradation(z - content, content)
