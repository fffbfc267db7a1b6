"""A signal that comes in a wait ends it at once; any other is noted, and ends the next wait."""

from __future__ import annotations

import re
import shutil
import signal
import sys
from typing import Any

import pytest

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(12)]


def run_and_press(world: Any, moment: float, *signums: signal.Signals) -> tuple[Any, int]:
    """Run the program, and let signals come at the given step; returns the number of steps, too.

    A step is the call of a function, whosever it is. None comes while the program handles none.
    """
    before = {signal.getsignal(each) for each in ig.SIGNALS}
    steps = 0

    def step(frame: object, event: str, arg: object) -> None:
        nonlocal steps
        if event == "call":
            steps += 1
            if steps == moment and before.isdisjoint(map(signal.getsignal, ig.SIGNALS)):
                for signum in signums:
                    signal.raise_signal(signum)

    sys.setprofile(step)
    try:
        return world.run("-b", "5", "--batch-pause", "60"), steps
    finally:
        sys.setprofile(None)


def test_at_whichever_step_a_signal_comes_nothing_is_lost_or_fetched_twice(world: Any) -> None:
    world.live(*NAMES)
    result, steps = run_and_press(world, float("inf"))
    assert result.code == 0
    ends: list[str] = []
    for number, moment in enumerate(range(steps // 10, steps, steps // 30)):
        shutil.rmtree(world.cache_dir)
        world.output.unlink()
        world.standin.log.clear()
        first, second = ig.SIGNALS[number % 3], ig.SIGNALS[(number + 1) % 3]
        result, _ = run_and_press(world, moment, first, second)
        end = re.findall(rf"Interrupted by {first.name}(\. Stopped| before the first)", result.log)
        assert result.code == (128 + first if end else 0)
        assert second.name not in result.log
        if end == [" before the first"]:
            assert result.log.count("\n") == 1
            assert [path.name for path in world.folder.iterdir()] == ["list.csv"]
        else:
            assert [name for name, text in world.biographies().items() if text] == [*world.cache]
        assert world.run("-b", "5", "--batch-pause", "60").code == 0 and world.all_live
        assert len(world.standin.log) <= len(NAMES) + 1, "one in flight is fetched again"
        ends += end or ["done"]
    assert list(dict.fromkeys(ends)) == [" before the first", ". Stopped", "done"]


def test_a_run_gives_signals_back_but_after_one_ignores_them_and_sends_nothing(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES)
    flags = [f"-i{world.input}", f"-o{world.output}", f"--cache-dir={world.cache_dir}"]
    before = [signal.getsignal(signum) for signum in ig.SIGNALS]
    assert ig.main([*flags, "--limit", "1"]) == 0
    assert [signal.getsignal(signum) for signum in ig.SIGNALS] == before
    original = ig.RateLimiter.wait_before_request

    def wait(limiter: ig.RateLimiter) -> None:
        original(limiter)
        if len(world.standin.log) == 3:
            world.standin.requested.clear()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(ig.RateLimiter, "wait_before_request", wait)
    try:
        assert ig.main(flags) == 130
        assert [signal.getsignal(signum) for signum in ig.SIGNALS] == [signal.SIG_IGN] * 3
    finally:
        for signum, handler in zip(ig.SIGNALS, before):
            signal.signal(signum, handler)
    assert not world.standin.requested.wait(0.2)
    assert '"batch_count": 3}' in world.progress_file.read_text(), "what wasn't sent isn't counted"
