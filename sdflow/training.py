"""One training step after another: optimizers, averaged weights, and a state that can be taken up again."""

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from .config import SDFlowConfig
from .distributed import Shares, average_gradients
from .model import SDFlow
from .noise import derive_seed
from .objective import Objective, ObjectiveConfig
from .perceptual import PerceptualDistance

_MILESTONES = (0.5, 0.75, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained.

    Attributes:
        patch_size: side of the HR crops; LR crops are ``patch_size / scale``.
        seed: of the weights, the crops and all noise.
        learning_rate: of Adam (0.9, 0.999), after a warm-up, see ``rate_share``.
        warmup: steps.
        clip: largest norm of a step's gradient, of each of the networks.
        picture_rate: the learning rate of f_HR and f_LR, as a share of the others'. They carry the picture
            and begin as good ones; every other network learns against them, and they must not run ahead.
        ema: decay of the averaged weights, which are the ones that are saved.
        judge_width: hidden channels of the discriminators.
        precision: of the networks, "fp32" or "bf16"; flow states and log-determinants are always fp32.
        objective: weights of the terms.
    """

    patch_size: int
    seed: int = 0
    learning_rate: float = 5e-4
    warmup: int = 50
    clip: float = 1.0
    ema: float = 0.999
    picture_rate: float = 0.02
    judge_width: int = 32
    precision: str = "fp32"
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision: expected fp32 or bf16, got {self.precision!r}")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate: expected a rate between 0 and 1, got {self.learning_rate}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: expected a decay in [0, 1), got {self.ema}")


def rate_share(progress: float) -> float:
    """The share of the learning rate at a progress from 0 to 1: halved at 50, 75, 90 and 95 %."""
    return 0.5 ** sum(progress >= milestone for milestone in _MILESTONES)


class Trainer:
    """A model in training.

    All randomness of a step is drawn from (seed, step), so that the state needs no generators: a trainer that
    takes up a saved state continues as if it had never stopped, bit for bit on a CPU.

    Args:
        architecture: of the model.
        config: of the training.
        device: where it runs.
        perceptual: switches the objective's perceptual terms on; no part of the state.
    """

    def __init__(
        self,
        architecture: SDFlowConfig,
        config: TrainingConfig,
        device: str = "cpu",
        perceptual: PerceptualDistance | None = None,
    ) -> None:
        if config.patch_size % (2 * architecture.scale):
            raise ValueError(
                f"patch size: expected a multiple of {2 * architecture.scale}, got {config.patch_size}"
            )
        self.config = config
        self.device = torch.device(device)
        self.perceptual = None if perceptual is None else perceptual.to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(config.seed, 0))
            self.model = SDFlow(architecture).to(self.device)
            self.objective = Objective(
                config.objective,
                architecture.scale,
                config.patch_size // architecture.scale,
                config.judge_width,
            ).to(self.device)
        for part in (self.model, self.objective):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.train()
        self.averaged = copy.deepcopy(self.model).requires_grad_(False).eval()
        picture_flows = [*self.model.hr_flow.parameters(), *self.model.lr_flow.parameters()]
        inside = {id(p) for p in picture_flows}
        others = [p for p in self.model.parameters() if id(p) not in inside]
        self.optimizer = _adam(
            [{"params": others, "share": 1.0}, {"params": picture_flows, "share": config.picture_rate}],
            config.learning_rate,
        )
        self.judge_optimizer = _adam(self.objective.parameters(), config.learning_rate)
        self.step_number = 0
        self.skipped = 0
        self.rate_factor = 1.0

    def begin_with(self, model: SDFlow) -> None:
        """Take a trained model's weights instead of random ones; all else begins anew.

        Raises:
            ValueError: a model of another architecture, or without some of its parts.
        """
        asked, found = self.model.config.to_dict(), model.config.to_dict()
        for name, value in asked.items():
            if found[name] != value:
                raise ValueError(f"expected a model with {name} = {value}, found one with {found[name]}")
        if lacking := ", ".join(sorted(set(self.model.parts) - set(model.parts))):
            raise ValueError(f"expected a whole model, found one without {lacking}")
        for own in (self.model, self.averaged):
            own.load_state_dict(model.state_dict())

    def step(self, hr: Tensor, lr: Tensor, progress: float) -> dict[str, float] | None:
        """Train on one batch of unpaired crops.

        Args:
            hr: this process's share, (B, 3, P, P) uint8; lr: (B, 3, P/s, P/s) uint8.
            progress: of the whole training, 0 to 1; sets the learning rate and what has begun.

        Returns:
            The terms of the loss, the gradient's norm and the rate; None if anything was not finite: then
            nothing was changed but ``skipped``.
        """
        shares = Shares(derive_seed(self.config.seed, 1, self.step_number), self.device)
        self._set_rate(progress)
        seen = [buffer.clone() for buffer in self.objective.buffers()]
        for judge in self.objective.judges:
            judge.requires_grad_(False)  # they take no lesson from the loss that wants to fool them
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            loss, terms, judged = self.objective.generator_loss(
                self.model, hr.to(self.device), lr.to(self.device), progress, shares, self.perceptual
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self._average_and_clip(list(self.model.children()))
        for judge in self.objective.judges:
            judge.requires_grad_(True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            judge_loss, judge_terms = self.objective.judge_losses(judged)
        self.judge_optimizer.zero_grad(set_to_none=True)
        judge_loss.backward()
        judge_norm = self._average_and_clip(self.objective.judges)
        self.step_number += 1
        if not torch.isfinite(shares.mean(loss.detach()) + norm + judge_norm):
            self.skipped += 1
            for buffer, before in zip(self.objective.buffers(), seen):
                buffer.copy_(before)
            return None
        self.optimizer.step()
        self.judge_optimizer.step()
        self._average_weights()
        names = list(terms) + list(judge_terms)
        values = shares.mean(torch.stack([*terms.values(), *judge_terms.values()]))
        rate = self.optimizer.param_groups[0]["lr"]
        return dict(zip(names, values.tolist())) | {"gradient": float(norm), "rate": rate}

    def _set_rate(self, progress: float) -> None:
        warmup = min(1.0, (self.step_number + 1) / max(1, self.config.warmup))
        for optimizer in (self.optimizer, self.judge_optimizer):
            for group in optimizer.param_groups:
                rate = self.config.learning_rate * self.rate_factor * warmup * rate_share(progress)
                group["lr"] = rate * group.get("share", 1.0)

    def _average_and_clip(self, networks: list[nn.Module]) -> Tensor:
        """Average gradients over processes and clip each network's own: the likelihood's gradient in f_LR is
        tens of times larger than any other, and one common norm would silence the rest."""
        norms = []
        for network in networks:
            average_gradients(list(network.parameters()))
            norm = nn.utils.clip_grad_norm_(network.parameters(), self.config.clip)
            norms.append(norm.to(self.device))  # that of a network without gradients is on the CPU
        return torch.linalg.vector_norm(torch.stack(norms))

    @torch.no_grad()
    def _average_weights(self) -> None:
        steps = self.step_number - self.skipped
        decay = min(self.config.ema, (1 + steps) / (10 + steps))
        for average, value in zip(self.averaged.parameters(), self.model.parameters()):
            average.lerp_(value, 1 - decay)
        for kept, buffer in zip(self.averaged.buffers(), self.model.buffers()):
            kept.copy_(buffer)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a later trainer needs to go on: named tensors, and plain values."""
        tensors: dict[str, Tensor] = {}
        parts = {"model": self.model, "averaged": self.averaged, "objective": self.objective}
        for part, module in parts.items():
            tensors |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        for part, optimizer in (("optimizer", self.optimizer), ("judge_optimizer", self.judge_optimizer)):
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"{part}.{index}.{name}": value for name, value in moments.items()}
        plain = {"step": self.step_number, "skipped": self.skipped, "rate_factor": self.rate_factor}
        return {
            k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()
        }, plain

    def take_up(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        """Go on from a ``state``.

        Raises:
            ValueError: the state is of another architecture or objective.
        """
        try:
            for part, module in (
                ("model", self.model),
                ("averaged", self.averaged),
                ("objective", self.objective),
            ):
                module.load_state_dict(_under(tensors, part))
            for part, optimizer in (("optimizer", self.optimizer), ("judge_optimizer", self.judge_optimizer)):
                moments: dict[int, dict[str, Tensor]] = {}
                for key, value in _under(tensors, part).items():
                    index, name = key.split(".")
                    moments.setdefault(int(index), {})[name] = _like_weights(value)
                optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
            self.step_number, self.skipped = plain["step"], plain["skipped"]
            self.rate_factor = plain["rate_factor"]
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"training state of another model: {str(error).splitlines()[0]}") from error


def _adam(parameters: Any, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.999))


def _like_weights(moment: Tensor) -> Tensor:
    """In the weights' memory format: a GPU's Adam takes all tensors at once only where formats agree."""
    return moment.contiguous(memory_format=torch.channels_last) if moment.ndim == 4 else moment


def _under(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {k.removeprefix(part + "."): v for k, v in tensors.items() if k.startswith(part + ".")}


def bits_at_noise_floor(sigma: float) -> float:
    """Entropy, in bits per sub-pixel, of Gaussian noise of ``sigma`` grey levels.

    LR images cannot honestly be described in fewer bits than their camera's noise needs: a likelihood under
    this floor says that E(x) carries the noise.
    """
    return 0.5 * math.log2(2 * math.pi * math.e * (sigma**2 + 1 / 12))
