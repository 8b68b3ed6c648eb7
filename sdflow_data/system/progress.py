"""Progress of long work on stderr: a bar on a terminal, occasional plain lines elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Generic, TypeVar, overload

from tqdm import tqdm

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Generic[T]):
    """Counts finished units of work; :func:`progress` creates it."""

    def __init__(self, work: Iterable[T] | int, description: str, unit: str, shown: bool) -> None:
        self._items: Iterable[T] = () if isinstance(work, int) else work
        self._total = work if isinstance(work, int) else len(work) if isinstance(work, Sized) else None
        self._description, self._unit = description, unit
        self._shown, self._done, self._note = shown, 0, ""
        self._start = self._last_line = time.monotonic()
        self._bar = (
            tqdm(total=self._total, desc=description, unit=unit, dynamic_ncols=True)
            if shown and sys.stderr.isatty()
            else None
        )

    def update(self, count: int = 1) -> None:
        """Count ``count`` more finished units."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._shown and time.monotonic() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._print_line()

    def advance_to(self, done: int) -> None:
        """Count further units, up to ``done`` in all."""
        self.update(done - self._done)

    def note(self, text: str) -> None:
        """Show ``text`` after the count."""
        self._note = text
        if self._bar is not None:
            self._bar.set_postfix_str(text)

    def close(self) -> None:
        """Finish the bar; without a terminal, print a last line if the work took long enough."""
        if self._bar is not None:
            self._bar.close()
        elif self._shown and time.monotonic() - self._start >= _SECONDS_BETWEEN_LINES / 2:
            self._print_line()

    def __iter__(self) -> Iterator[T]:
        with self:
            for item in self._items:
                yield item
                self.update()

    def __enter__(self) -> "Progress[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _print_line(self) -> None:
        self._last_line = time.monotonic()
        elapsed = self._last_line - self._start
        of_total = "" if self._total is None else f" of {self._total}"
        note = f", {self._note}" if self._note else ""
        line = f"{self._description}: {self._done}{of_total} {self._unit}, {elapsed:.0f} s{note}"
        print(line, file=sys.stderr, flush=True)


@overload
def progress(work: int, description: str, unit: str = "it", *, shown: bool = True) -> Progress[None]: ...
@overload
def progress(work: Iterable[T], description: str, unit: str = "it", *, shown: bool = True) -> Progress[T]: ...
def progress(
    work: Iterable[T] | int, description: str, unit: str = "it", *, shown: bool = True
) -> "Progress[T] | Progress[None]":
    """Show the progress of work.

    Args:
        work: the items to iterate over (``for item in progress(items, ...)``), or the number of units
            (``with progress(n, ...) as bar: bar.update()``).
        description: the label.
        unit: the unit, in the plural (``"patches"``).
        shown: if False, nothing is shown: only one of several processes prints.
    """
    return Progress(work, description, unit, shown)
