"""The trainer: training steps, optimizer, moving average of the weights, and a state to resume from."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .camera import Camera
from .distributed import ReplicaGroup, average_gradients
from .model import SDFlow, SDFlowConfig
from .noise import derive_seed
from .objective import Objective, ObjectiveConfig, Step, StoredBy, observe
from .perceptual import PerceptualDistance

_MILESTONES = (0.5, 0.75, 0.9, 0.95)
_COUNTERS = ("step_number", "skipped", "lr_scale")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a model is trained."""

    patch_size: int
    """Side of the HR crops in pixels; LR crops are ``patch_size / scale``."""
    seed: int = 0
    """Seed of the initial weights, the crops and all noise."""
    learning_rate: float = 5e-4
    """Learning rate of Adam (0.9, 0.999) after the warm-up; ``lr_schedule`` halves it."""
    warmup: int = 50
    """Steps over which the learning rate grows to its full value."""
    max_grad_norm: float = 1.0
    """The gradient of each network is clipped to this norm."""
    ema: float = 0.999
    """Decay of the exponential moving average of the weights; checkpoints hold this average."""
    picture_rate: float = 0.02
    """The learning rate of f_HR and f_LR as a fraction of that of the other networks. These flows carry the
    picture and start well. All other networks depend on them, so they must change slowly."""
    precision: str = "fp32"
    """Precision of the networks, "fp32" or "bf16"; flow states and log-determinants are always fp32."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """Weights of the terms."""

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise ValueError(f"precision: expected fp32 or bf16, got {self.precision!r}")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate: expected a rate between 0 and 1, got {self.learning_rate}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: expected a decay in [0, 1), got {self.ema}")


def lr_schedule(progress: float) -> float:
    """The factor of the learning rate at a progress from 0 to 1: it halves at 50, 75, 90 and 95 %."""
    return 0.5 ** sum(progress >= milestone for milestone in _MILESTONES)


class TrainingState(NamedTuple):
    """The result of ``Trainer.state_dict``: tensors by name, on the CPU, and plain numbers by name."""

    tensors: dict[str, Tensor]
    counters: dict[str, float]


class Trainer:
    """A model in training.

    All randomness of a step is drawn from (seed, step), so the state needs no generators: a trainer that
    loads a saved state continues as if it had never stopped, bit for bit on a CPU.

    Attributes:
        model: the model in training.
        ema_model: the exponential moving average of its weights, in evaluation mode.
        step_number: the number of steps, skipped ones included.
        skipped: the number of non-finite steps, which changed nothing.
        lr_scale: a factor of the learning rate.
        stored_by: the effect of the camera's files on samples, see ``Step``; not part of the state.

    Args:
        architecture: the architecture of the model.
        config: the configuration of the training.
        device: the device of the model.
        perceptual: switches the objective's perceptual terms on; not part of the state.
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
        self.objective = Objective(config.objective)
        for parameter in self.model.parameters():
            parameter.data = _like_convolutions(parameter.data)
        self.model.train()
        self.ema_model = copy.deepcopy(self.model).requires_grad_(False).eval()
        learned = [p for p in self.model.parameters() if p.requires_grad]
        carrying = {id(p) for flow in (self.model.hr_flow, self.model.lr_flow) for p in flow.parameters()}
        picture_flows = [p for p in learned if id(p) in carrying]
        others = [p for p in learned if id(p) not in carrying]
        self.optimizer = _adam(
            [{"params": others, "lr_ratio": 1.0}, {"params": picture_flows, "lr_ratio": config.picture_rate}],
            config.learning_rate,
        )
        self.step_number = 0
        self.skipped = 0
        self.lr_scale = 1.0
        self.stored_by: StoredBy | None = None

    def init_from(self, model: SDFlow) -> None:
        """Start from a trained model's weights, with a new optimizer.

        Raises:
            ValueError: the model has another architecture, or lacks parts.
        """
        expected, found = self.model.config.to_dict(), model.config.to_dict()
        for name, value in expected.items():
            if found[name] != value:
                raise ValueError(f"expected a model with {name} = {value}, found one with {found[name]}")
        if lacking := ", ".join(sorted(set(self.model.parts) - set(model.parts))):
            raise ValueError(f"expected a whole model, found one without {lacking}")
        for own in (self.model, self.ema_model):
            own.load_state_dict(model.state_dict())

    def load_cameras(self, cameras: Sequence[Camera], shares: Sequence[float]) -> None:
        """Set the measured cameras of the downscaling branch, see ``MeasuredCamera.load``.

        Raises:
            ValueError: the architecture has no measured camera, or too few.
        """
        for model in (self.model, self.ema_model):
            if model.degradation_flow.camera is None:
                raise ValueError("architecture: expected one with a measured camera, got measured = False")
            model.degradation_flow.camera.load(cameras, shares)

    def step(self, hr: Tensor, lr: Tensor, progress: float) -> dict[str, float] | None:
        """Train on one batch of unpaired crops.

        Args:
            hr: this process's share, (B, 3, P, P) uint8.
            lr: (B, 3, P/s, P/s) uint8.
            progress: progress of the training, 0 to 1; sets the learning rate and the phases of the terms.

        Returns:
            The terms of the loss, further metrics, the norm of the gradient and the learning rate; None if a
            value was not finite. In that case only ``skipped`` and ``step_number`` change.
        """
        replicas = ReplicaGroup(derive_seed(self.config.seed, 1, self.step_number), self.device)
        self._set_learning_rate(progress)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            crops = hr.to(self.device), lr.to(self.device)
            step = Step(self.model, *crops, replicas, self.perceptual, self.stored_by)
            loss, terms = self.objective(step, progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self._average_and_clip()
        self.step_number += 1
        if not torch.isfinite(replicas.mean(loss.detach()) + norm):
            self.skipped += 1
            return None
        self.optimizer.step()
        self._update_ema()
        terms |= observe(step)
        values = replicas.mean(torch.stack(list(terms.values())))
        learning_rate = self.optimizer.param_groups[0]["lr"]
        return dict(zip(terms, values.tolist())) | {"grad_norm": float(norm), "learning_rate": learning_rate}

    def _set_learning_rate(self, progress: float) -> None:
        warmup = min(1.0, (self.step_number + 1) / max(1, self.config.warmup))
        rate = self.config.learning_rate * self.lr_scale * warmup * lr_schedule(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["lr_ratio"]

    def _average_and_clip(self) -> Tensor:
        """Average gradients over processes, and clip the gradient of each network separately.

        The likelihood's gradient in f_HR is tens of times larger than the others. A common norm would
        suppress these.
        """
        norms = []
        for network in self.model.children():
            average_gradients(list(network.parameters()))
            norm = nn.utils.clip_grad_norm_(network.parameters(), self.config.max_grad_norm)
            norms.append(norm.to(self.device))  # the norm of a network without gradients is on the CPU
        return torch.linalg.vector_norm(torch.stack(norms))

    @torch.no_grad()
    def _update_ema(self) -> None:
        steps = self.step_number - self.skipped
        decay = min(self.config.ema, (1 + steps) / (10 + steps))
        for average, value in zip(self.ema_model.parameters(), self.model.parameters()):
            average.lerp_(value, 1 - decay)
        for kept, buffer in zip(self.ema_model.buffers(), self.model.buffers()):
            kept.copy_(buffer)

    def state_dict(self) -> TrainingState:
        """The state that a new trainer needs to continue."""
        tensors: dict[str, Tensor] = {}
        for part, module in self._modules().items():
            tensors |= {f"{part}.{name}": value for name, value in module.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        return TrainingState(
            {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()},
            {name: getattr(self, name) for name in _COUNTERS},
        )

    @property
    def state_bytes(self) -> int:
        """The most bytes that the tensors of a ``state_dict`` take: weights, and two moments of each."""
        states = [module.state_dict() for module in self._modules().values()]
        return 3 * sum(value.nbytes for state in states for value in state.values())

    def load_state_dict(self, state: TrainingState) -> None:
        """Continue from a ``state_dict``.

        Raises:
            ValueError: the state is of another architecture or objective.
        """
        _check_counters(state.counters)
        self.load_weights(state)
        for name in _COUNTERS:
            setattr(self, name, state.counters[name])

    def load_weights(self, state: TrainingState) -> None:
        """Restore the weights and the optimizer of a ``state_dict``, but not its step number.

        Raises:
            ValueError: the state is of another architecture or objective, or impossible for the optimizer.
        """
        self._check_tensors(state.tensors)
        try:
            for part, module in self._modules().items():
                module.load_state_dict(_under(state.tensors, part))
            moments: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(state.tensors, "optimizer").items():
                index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = _like_convolutions(value)
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": moments})
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"training state of another model: {str(error).splitlines()[0]}") from error

    def _check_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Compare names, shapes and types of tensors with the weights and the optimizer, without conversions.

        Raises:
            ValueError: names the first tensor that does not fit.
        """
        expected = {
            f"{part}.{name}": value
            for part, module in self._modules().items()
            for name, value in module.state_dict().items()
        }
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for index, parameter in enumerate(parameters):
            like = {"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter}
            moments = {f"optimizer.{index}.{name}": value for name, value in like.items()}
            if moments.keys() & tensors.keys():  # a parameter without a gradient so far has none
                expected |= moments
        if differing := sorted(expected.keys() ^ tensors.keys()):
            raise ValueError(f"training state of another model: {differing[0]} is extra or missing")
        for name, value in tensors.items():
            if (value.shape, value.dtype) != (expected[name].shape, expected[name].dtype):
                found = f"{value.dtype} {tuple(value.shape)}"
                raise ValueError(f"training state of another model: {name} is {found}")
            if not torch.isfinite(value).all():
                raise ValueError(f"training state with values that are not finite in {name}")
            if name.startswith("optimizer.") and not name.endswith(".exp_avg") and value.min() < 0:
                raise ValueError(f"training state with values below 0 in {name}")

    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "ema_model": self.ema_model}


def _check_counters(counters: dict[str, float]) -> None:
    """Refuse impossible counts.

    Raises:
        ValueError: names the counter.
    """
    for name in _COUNTERS:
        value = counters.get(name)
        types = (int, float) if name == "lr_scale" else (int,)
        if type(value) not in types or not 0 <= value < 2**53:  # type: ignore[operator]  # it is a number
            raise ValueError(f"training state: expected {name} to be a count, found {value!r:.40}")
    if not 0 < counters["lr_scale"] <= 1 or counters["skipped"] > counters["step_number"]:
        found = {name: counters[name] for name in _COUNTERS}
        raise ValueError(f"training state: expected possible counts, found {found}")


def _adam(parameters: Any, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.999))


def _like_convolutions(value: Tensor) -> Tensor:
    """A tensor in the memory format of convolutions.

    On a GPU, Adam updates all tensors at once only if the formats of weights and moments agree.
    """
    return value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value


def _under(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {k.removeprefix(part + "."): v for k, v in tensors.items() if k.startswith(part + ".")}


def bits_at_noise_floor(sigma: float) -> float:
    """Entropy, in bits per sub-pixel, of Gaussian noise of ``sigma`` grey levels.

    An LR image needs at least as many bits as its camera's noise. A likelihood below this floor shows that
    E(x) carries the noise.
    """
    return 0.5 * math.log2(2 * math.pi * math.e * (sigma**2 + 1 / 12))
