"""Signals: one that comes in a wait ends it at once; any other is noted, and ends the next wait."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(12)]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def during(
    monkeypatch: pytest.MonkeyPatch, target: Any, name: str, event: Callable[[], None], call: int
) -> None:
    """Let something happen within the given call (the first is 1) of a function."""
    original = getattr(target, name)
    calls = 0

    def replacement(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            event()
        return original(*args, **options)

    monkeypatch.setattr(target, name, replacement)


def assert_stopped_well(world: Any, result: Any, signum: signal.Signals) -> None:
    """The output has every cached profile, and the next run resumes where this one stopped."""
    assert result.code == 128 + signum
    assert len(re.findall(rf"Interrupted by {signum.name}\. Stopped at", result.log)) == 1
    in_output = [name for name, text in world.biographies().items() if text]
    assert in_output == list(world.cache)
    assert world.run("-b", "5").code == 0
    assert world.all_live
    in_flight = 1
    assert len(world.standin.log) <= len(NAMES) + in_flight


PLACES = {
    "a write of the cache": (os, "fsync", 8),
    "the start of a thread": (threading.Thread, "start", 4),
    "the parsing of a response": (ig.WebAddress, "parse", 3),
    "a checkpoint": (ig, "write_atomic", 9),
    "a line of the log": (ig.log, "info", 5),
    "the choice of a jitter": (ig.random, "uniform", 4),
}


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_outside_of_a_wait_lands_in_the_next_one(
    world: Any, monkeypatch: pytest.MonkeyPatch, place: str, signum: signal.Signals
) -> None:
    world.live(*NAMES)
    target, name, call = PLACES[place]
    with monkeypatch.context() as patch:
        during(patch, target, name, lambda: signal.raise_signal(signum), call)
        result = world.run("-b", "5")
    assert 0 < len(world.cache) < len(NAMES)
    assert_stopped_well(world, result, signum)


def test_after_a_signal_no_request_is_sent(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world.live(*NAMES)
    original, calls = ig.RateLimiter.wait_before_request, []

    def wait(limiter: ig.RateLimiter) -> None:
        original(limiter)
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(ig.RateLimiter, "wait_before_request", wait)
        assert world.run().code == 130
    assert len(world.standin.log) == 3


def test_of_two_signals_outside_of_a_wait_the_first_counts(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES)

    def press() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        during(patch, ig, "write_atomic", press, 9)
        result = world.run("-b", "5")
    assert_stopped_well(world, result, signal.SIGTERM)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_in_a_wait_ends_it_at_once(world: Any, signum: signal.Signals) -> None:
    world.live(*NAMES)
    sent: list[float] = []

    def press() -> None:
        sent.append(time.monotonic())
        signal.raise_signal(signum)

    world.clock.at(600, press)
    result = world.run("-b", "5")
    assert time.monotonic() - sent[0] < 1
    assert len(world.cache) == 5
    assert_stopped_well(world, result, signum)


def test_a_signal_while_an_answer_is_awaited_ends_that_wait(world: Any) -> None:
    world.live(*NAMES)

    def choose(name: str) -> Any:
        if len(world.standin.log) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(0.3)  # the answer comes after the signal

    world.standin.watch = choose
    result = world.run("-b", "5")
    world.standin.watch = lambda name: None
    assert len(world.cache) == 3
    assert "Stopped at row 5 (@profile.003), with 9 of 12 rows still open; " in result.log
    assert_stopped_well(world, result, signal.SIGINT)


def test_only_the_first_signal_counts_and_the_last_checkpoint_is_left_alone(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES)
    original = ig.write_atomic
    stopping: list[bool] = []

    def write(*args: Any) -> None:
        for signum in SIGNALS if stopping else ():
            signal.raise_signal(signum)
        original(*args)

    def press() -> None:
        stopping.append(True)
        signal.raise_signal(signal.SIGTERM)

    world.clock.at(30, press)
    with monkeypatch.context() as patch:
        patch.setattr(ig, "write_atomic", write)
        result = world.run("-b", "5")
    assert_stopped_well(world, result, signal.SIGTERM)


def test_a_signal_after_the_last_profile_does_not_hide_that_the_run_is_done(world: Any) -> None:
    world.live(*NAMES[:2])
    original = ig.Enrichment.checkpoint

    def checkpoint(run: Any) -> None:
        original(run)
        signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ig.Enrichment, "checkpoint", checkpoint)
        assert world.run().code == 0
    assert world.all_live


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_while_the_list_is_read_just_ends_the_program(
    world: Any, monkeypatch: pytest.MonkeyPatch, signum: signal.Signals
) -> None:
    world.live(*NAMES)
    during(monkeypatch, ig, "parse_handle", lambda: signal.raise_signal(signum), 3)
    result = world.run()
    assert result.code == 128 + signum
    assert result.log.count("\n") == 1
    assert f"Interrupted by {signum.name} before the first profile; nothing is lost" in result.log
    assert sorted(path.name for path in world.folder.iterdir()) == ["list.csv"]


def test_a_signal_in_the_set_up_takes_effect_before_the_first_request(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES)
    during(monkeypatch, ig, "write_atomic", lambda: signal.raise_signal(signal.SIGINT), 1)
    result = world.run()
    assert result.code == 130
    assert world.standin.log == []
    assert json.loads(world.cache_file.read_text()) == {}


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(
    world: Any, signum: signal.Signals
) -> None:
    world.live(*NAMES)
    previous = signal.signal(signum, signal.SIG_IGN)
    try:
        world.clock.at(20, lambda: signal.raise_signal(signum))
        assert world.run().code == 0
        assert signal.getsignal(signum) == signal.SIG_IGN
    finally:
        signal.signal(signum, previous)
    assert world.all_live


def test_the_handlers_of_the_caller_are_put_back_where_no_signal_came() -> None:
    before = [signal.getsignal(signum) for signum in SIGNALS]
    waiter = ig.Waiter()
    with waiter:
        assert [signal.getsignal(signum) for signum in SIGNALS] != before
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


def test_a_second_ctrl_c_does_not_kill_a_program_that_is_about_to_exit() -> None:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    waiter = ig.Waiter()
    try:
        with pytest.raises(ig.Interrupted), waiter:
            waiter.wait_for("a signal", signal.raise_signal, signal.SIGINT)
        for signum in SIGNALS:
            signal.raise_signal(signum)
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
