"""Compressed time: `time.sleep` skips instead of sleeping, and the clocks go along.

The clocks are the real ones plus all that was skipped, so a night takes as long as its requests.
With a `speed` a part of each sleep is really slept (1 / speed), for people who watch and for tests
that interrupt.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Patcher(Protocol):
    def setattr(self, target: object, name: str, value: object) -> None: ...


class CompressedTime:
    def __init__(self, speed: float = float("inf"), skipped: float = 0.0) -> None:
        self.skipped = skipped
        # Seconds that the wall clock went on while everything else stood still.
        self.lid_closed = 0.0
        self._events: list[tuple[float, Callable[[], None]]] = []
        self._speed = speed
        self._sleep, self._monotonic, self._time = time.sleep, time.monotonic, time.time

    def at(self, seconds: float, event: Callable[[], None]) -> None:
        """Let something happen in the first sleep that goes on for so long from now."""
        self._events.append((self.skipped + seconds, event))

    def close_lid(self, seconds: float) -> None:
        """The machine sleeps: `time.sleep` and the monotonic clock stand still."""
        self.lid_closed += seconds

    def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")  # as the real one does
        if self._speed != float("inf"):
            self._sleep(seconds / self._speed)
        self.skipped += seconds - seconds / self._speed
        for due in [event for event in self._events if event[0] <= self.skipped]:
            self._events.remove(due)
            due[1]()

    def monotonic(self) -> float:
        return self._monotonic() + self.skipped

    def time(self) -> float:
        return self._time() + self.skipped + self.lid_closed

    def install(self, patcher: Patcher) -> CompressedTime:
        for name in ("sleep", "monotonic", "time"):
            patcher.setattr(time, name, getattr(self, name))
        return self


class Forever:
    """A patcher that never undoes: for processes that live in compressed time."""

    @staticmethod
    def setattr(target: object, name: str, value: object) -> None:
        setattr(target, name, value)
