"""How long a training is, and how much of it is done."""

import time
from dataclasses import dataclass

from sdflow.distributed import all_gather_object


@dataclass(frozen=True)
class Budget:
    """A number of steps, or minutes of training time over all resumptions.

    Raises:
        ValueError: both or neither are given, or one that is negative.
    """

    steps: int | None = None
    """0 makes a run that saves the model as it begins."""
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("steps, minutes: expected one of the two")
        if (self.steps or 0) < 0 or (self.minutes or 0) < 0:
            raise ValueError(f"steps, minutes: expected at least 0, got {self.steps or self.minutes}")

    @property
    def unit(self) -> str:
        """What it is counted in."""
        return "s" if self.steps is None else "steps"

    @property
    def total(self) -> int:
        """Of its unit."""
        return round(60 * (self.minutes or 0)) if self.steps is None else self.steps

    def done(self, step: int, seconds: float) -> int:
        """How many of its units are done after that many steps and seconds, at most ``total``."""
        return min(self.total, round(seconds) if self.steps is None else step)

    def progress(self, step: int, seconds: float) -> float:
        """The share of it that is done after that many steps and seconds; 1 or more ends the training."""
        spent, all_of_it = (seconds, 60 * (self.minutes or 0)) if self.steps is None else (step, self.steps)
        return spent / all_of_it if all_of_it else 1.0


class TrainingClock:
    """Seconds of training over all resumptions.

    It is the first process's, since processes with clocks of their own would end at different steps.

    Args:
        seconds: of the training so far.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._begun = time.monotonic() - seconds

    def tick(self) -> None:
        """Bring ``seconds`` up to now; every process has to call it."""
        self.seconds = all_gather_object(time.monotonic() - self._begun)[0]
