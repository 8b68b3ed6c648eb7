"""The length of a training, in steps or minutes, and its progress."""

import time
from dataclasses import dataclass

from sdflow.distributed import all_gather_object


@dataclass(frozen=True)
class Budget:
    """A number of steps, or minutes of training time over all resumptions.

    Raises:
        ValueError: both or neither are given, or the value is negative.
    """

    steps: int | None = None
    """The number of steps; 0 saves the initial model."""
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("steps, minutes: expected one of the two")
        if (self.steps or 0) < 0 or (self.minutes or 0) < 0:
            raise ValueError(f"steps, minutes: expected at least 0, got {self.steps or self.minutes}")

    @property
    def unit(self) -> str:
        """The unit of the budget."""
        return "s" if self.steps is None else "steps"

    @property
    def total(self) -> int:
        """The budget in its unit."""
        return round(60 * (self.minutes or 0)) if self.steps is None else self.steps

    def done(self, step: int, seconds: float) -> int:
        """The part that is done after a number of steps and seconds, in the unit, at most ``total``."""
        return min(self.total, round(seconds) if self.steps is None else step)

    def progress(self, step: int, seconds: float) -> float:
        """The fraction that is done after a number of steps and seconds. 1 or more ends the training."""
        spent, all_of_it = (seconds, 60 * (self.minutes or 0)) if self.steps is None else (step, self.steps)
        return spent / all_of_it if all_of_it else 1.0


class TrainingClock:
    """Seconds of training over all resumptions.

    All processes use the clock of the first one. Otherwise they would end at different steps.

    Args:
        seconds: seconds of training so far.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._begun = time.monotonic() - seconds

    def tick(self) -> None:
        """Update ``seconds``. Every process must call it."""
        self.seconds = all_gather_object(time.monotonic() - self._begun)[0]
