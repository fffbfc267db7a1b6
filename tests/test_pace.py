"""How fast we may fetch: the token bucket, every wait before a request, and batches."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standin import cache_entry

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(100)]
MINUTE, HOUR = 60.0, 3600.0
Send = Callable[..., list[float]]


def most_in_a_minute(moments: list[float]) -> int:
    return max(sum(start <= moment <= start + 60 for moment in moments) for start in moments)


def pauses_after(world: Any) -> list[int]:
    """After how many requests the stand-in saw a pause between batches."""
    return [count for count, gap in enumerate(world.standin.gaps, 1) if gap > 20 * MINUTE]


def write_progress(world: Any, **state: object) -> None:
    world.cache_dir.mkdir(exist_ok=True)
    world.progress_file.write_text(json.dumps({"last_processed_index": 0, **state}))


def in_hours(hours: float) -> str:
    """The moment as the state files have it."""
    return ig.format_timestamp(time.time() + hours * HOUR)


# ---- The token bucket ----


@pytest.fixture
def send(clock: Any, tmp_path: Path, monkeypatch: Any) -> Send:
    """Sends requests at the pace of so many runs, one after the other; returns when it did."""
    for each in ("monotonic", "time"):  # which only sleeping moves
        monkeypatch.setattr(time, each, lambda: clock.skipped)

    def send(rate: float, requests: int, runs: int = 1, busy: float = 0.0) -> list[float]:
        sent = []
        for _ in range(runs):
            progress = ig.Progress(tmp_path / "progress", 0, HOUR, has_batches=True)
            limiter = ig.RateLimiter(rate, ig.Waiter(), progress)
            for _ in range(requests):
                limiter.wait_before_request()
                sent.append(time.monotonic())
                time.sleep(busy)
        return sent

    return send


@pytest.mark.parametrize("rate", [0.5, 0.99, 1.98, 3, 4.9, 5, 10, 15, 20, 45, 600])
def test_no_minute_holds_more_than_the_limit_and_one(send: Send, rate: float) -> None:
    for busy in (0.0, 0.5, 5.0):
        assert most_in_a_minute(send(rate, 200, busy=busy)) <= rate + 1
    for requests in (1, 2, 7):
        assert most_in_a_minute(send(rate, requests, runs=50)) <= rate + 1


@pytest.mark.parametrize("rate", [0.5, 3, 10, 15])
def test_the_average_is_the_limit_itself_and_the_gaps_differ(send: Send, rate: float) -> None:
    sent = send(rate, 400)
    assert 399 / (sent[-1] - sent[0]) * 60 == pytest.approx(rate, rel=0.01)
    assert len({round(later - earlier, 3) for earlier, later in zip(sent, sent[1:])}) > 300


@pytest.mark.parametrize(("rate", "waits"), [(60, 1), (10, 6), (1, 60), (0.001, 60)])
def test_the_first_token_takes_a_minute_at_most(send: Send, rate: float, waits: float) -> None:
    started = time.monotonic()
    assert waits + 2 <= send(rate, 1)[0] - started <= waits + 4.1


def test_retries_known_profiles_and_runs_that_start_again_take_tokens_too(world: Any) -> None:
    world.live(*NAMES[:30])
    world.standin.burst.extend(["live", *["500"] * 3, "live", *["page"] * 5, *["500"] * 3])
    assert world.run_and_interrupt(600, "--rate-limit", "1").code == 130
    assert world.run("--rate-limit", "1", "--limit", "12").code == 0
    world.run("--rate-limit", "1")
    assert len(world.standin.log) > 40
    assert most_in_a_minute([request.time for request in world.standin.log]) <= 2


# ---- Every wait before a request ----


@pytest.mark.parametrize(
    ("status", "asks", "waits", "in_words"),
    [(429, "5", MINUTE, "1 min"), (503, "300", 300, "5 min"), (429, "9999999", 4 * HOUR, "4 h")],
)
def test_nothing_is_sent_for_as_long_as_a_response_asks_a_minute_or_more_after_a_block(
    world: Any, status: int, asks: str, waits: float, in_words: str
) -> None:
    names = world.live(*NAMES[:4])
    world.standin.burst.append((status, {"Retry-After": asks}, b""))
    result = world.run("-r", "10")
    assert result.code == 0
    assert waits <= world.standin.gaps[0] < waits + 20
    assert f"; try 2 of 4 in {in_words}\n" in result.log
    assert sum(world.standin.gaps[1:3]) > 2 * 6 - 2, "a wait is no credit for later"
    assert len(world.cache) == len(names) and world.all_live


WAITS = {  # what comes, and seconds into it at which something happens, and how long the wait is
    "minute after a block": (["live", "401"], 20, MINUTE),
    "retry-after": (["live", (429, {"Retry-After": "14400"}, b"")], 600, 4 * HOUR),
    "batch pause": (["live"] * 3, 600, 1800.0),
    "pause of a block": (["live", *["418"] * 6], 600, 1800.0),
    "network pause": (["live", *["500"] * 6], 75, MINUTE),
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_ends_within_seconds_of_waking_up(world: Any, wait: str) -> None:
    names = world.live(*NAMES[:6])
    answers, into_it, _ = WAITS[wait]
    world.standin.burst.extend(answers)
    woke = time.monotonic() + into_it  # a clock that stands still while the machine sleeps
    world.clock.at(into_it, lambda: world.clock.close_lid(8 * HOUR))
    result = world.run("-b", "3" if wait == "batch pause" else "100")
    assert result.code == 0
    assert 0 < min(each.time - woke for each in world.standin.log if each.time > woke) < 20
    assert len(world.cache) == len(names) and world.all_live
    assert result.log.rpartition("requests in ")[2].startswith(("8 h", "9 h", "10 h"))


def test_a_pause_in_which_the_clock_is_set_back_is_no_longer_and_not_repeated(world: Any) -> None:
    world.live(*NAMES[:6])
    world.clock.at(100, lambda: world.clock.close_lid(-24 * HOUR))
    assert world.run_and_interrupt(1830, "-b", "3", "-r", "10").code == 130
    assert len(world.standin.log) > 3 and "not_before" not in world.progress
    started = time.monotonic()
    assert world.run("-b", "3").code == 0
    assert time.monotonic() - started < MINUTE
    assert not world.progress_file.exists()


def test_an_end_time_is_right_over_a_change_to_summer_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Madrid")
    time.tzset()
    try:  # half an hour before 02:00 becomes 03:00
        before = time.mktime((2026, 3, 29, 1, 30, 0, 0, 0, 0))
        monkeypatch.setattr(time, "time", lambda: before)
        assert ig.clock_time_in(HOUR) == "03:30:00"
        assert ig.clock_time_in(25 * HOUR) == "Mon 30 Mar 03:30"
        assert ig.clock_time_in(1e15), "beyond all calendars"
    finally:
        monkeypatch.undo()
        time.tzset()


# ---- Waits that survive a restart ----


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_in_a_wait_neither_fetches_early_nor_waits_twice(world: Any, wait: str) -> None:
    answers, into_it, length = WAITS[wait]
    world.live(*NAMES[:9])
    flags = ("-b", "3" if wait == "batch pause" else "100")
    world.standin.burst.extend(answers)
    assert world.run_and_interrupt(into_it, *flags).code == 130
    sent = world.standin.log[-1].time
    moment = world.progress["not_before"]
    assert moment == ig.format_timestamp(ig.parse_timestamp(moment))
    assert world.run_and_interrupt(3, *flags).code == 130
    fetched = len(world.standin.log)
    result = world.run(*flags)
    assert "Resuming an earlier pause: " in result.log
    assert result.code == 0 and world.all_live
    assert length <= world.standin.log[fetched].time - sent < length + 30
    if wait != "batch pause":
        assert world.standin.gaps[fetched] < MINUTE


@pytest.mark.parametrize(
    ("moment", "batch_pause", "waits"),
    [
        *((moment, "60", 0.0) for moment in ("yesterday", 5, None, "9" * 99)),
        ("2001-01-01T00:00:00+00:00", "60", 0.0),
        *((3.9, "60", 3.9), (4.1, "60", 4.0), (24.0 * 365 * 900, "60", 4.0)),
        *((4.1, "21600", 4.1), (24.0, "21600", 6.0)),
    ],
)
def test_a_run_waits_till_the_moment_in_the_file_but_no_longer_than_the_longest_pause(
    world: Any, moment: Any, batch_pause: str, waits: float
) -> None:
    world.live(*NAMES[:2])
    write_progress(world, not_before=in_hours(moment) if isinstance(moment, float) else moment)
    started = time.monotonic()
    result = world.run("--batch-pause", batch_pause)
    assert result.code == 0
    assert ("earlier pause" in result.log) is (waits > 0)
    assert world.standin.log[0].time - started == pytest.approx(waits * HOUR, abs=20)
    assert world.standin.gaps[0] < MINUTE


def test_a_wait_outlives_the_end_of_the_list_and_nothing_else_does(world: Any) -> None:
    world.live(*NAMES[:3])
    world.standin.burst.extend(["live", "live", (400, {"Retry-After": "3600"}, b"")])
    assert world.run("-b", "2", "--batch-pause", "60").code == 1
    assert {**world.progress, "not_before": ""} == {"last_processed_index": 0, "not_before": ""}
    assert world.run("-b", "2", "--batch-pause", "60").code == 0
    assert HOUR <= world.standin.gaps[-1] < HOUR + MINUTE
    assert not world.progress_file.exists()


# ---- Batches ----


def test_a_batch_counts_fetches_and_the_last_has_no_pause(world: Any) -> None:
    names = world.live(*NAMES[:40])
    rows = [f"@{name},,\n#N/A,,\n@filled{name},a,b\n@{name},,\n" for name in names]
    world.input.write_text("Handle,GENRE,Details\n" + "".join(rows))
    world.remember(*map(cache_entry, names[:20]))
    result = world.run("-b", "5")
    assert result.code == 0
    assert world.standin.names == names[20:]
    assert pauses_after(world) == [5, 10, 15]
    assert all(gap < 1800 + 10 for gap in world.standin.gaps)
    assert result.log.count("Batch of 5 done: pausing 30 min, until ") == 3


def test_a_run_with_nothing_to_fetch_leaves_batch_and_wait(world: Any, monkeypatch: Any) -> None:
    names = world.live(*NAMES[:20])
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAtest")
    world.input.write_text("Handle,GENRE,Details\n" + "".join(f"@{name},,x\n" for name in names))
    assert world.run_and_interrupt(30, "-b", "10").code == 130
    count = world.progress["batch_count"]
    write_progress(world, batch_count=count, not_before=in_hours(0.25))
    started = time.monotonic()
    assert "; 0 profiles to fetch" in world.run("--graph-api", "1", "-b", "10").log
    assert time.monotonic() - started < 5
    assert world.progress["batch_count"] == count > 3
    assert world.run("-b", "10").code == 0
    assert world.standin.gaps[count - 1] > 800
    assert pauses_after(world) == [10]


def test_a_batch_counts_a_fetch_once_in_whichever_pass_and_whatever_came_of_it(world: Any) -> None:
    names = world.live(*NAMES[:7])
    world.standin.behaviour = {names[0]: "404", names[1]: "asset deleted", names[4]: "500"}
    assert world.run("-b", "5").code == 1
    sent = world.standin.names
    assert sent == [*names[:5], *[names[4]] * 3, *names[5:], names[0], names[4], sent[-1]]
    assert pauses_after(world) == [8], "five fetches, of which one took four requests"
    ports = [request.port for request in world.standin.log]
    kept = [earlier == later for earlier, later in zip(ports, ports[1:])]
    assert kept == [gap < 30 for gap in world.standin.gaps], "no connection lasts over a pause"


@pytest.mark.parametrize(
    ("kind", "after"), [("live", 3), ("asset deleted", 1), ("418", 1), ("418", 7)]
)
def test_stopping_and_going_on_makes_no_batch_longer(world: Any, kind: str, after: int) -> None:
    names = world.live(*NAMES[:60])
    world.standin.behaviour = dict.fromkeys(names[::2], kind)
    for _ in range(9):
        sent = len(world.standin.log)

        def press(name: str, last: int = sent + after - 1) -> None:
            if len(world.standin.log) == last:
                world.clock.at(0.1, lambda: signal.raise_signal(signal.SIGINT))

        world.standin.watch = press
        assert world.run("-b", "10").code in (0, 1, 130)
    world.standin.watch = lambda name: None
    world.run("-b", "10", "--force")
    ends = [0, *pauses_after(world), len(world.standin.log)]
    checks = 2 if kind == "418" else 0  # of a known profile, after five in a row
    assert max(end - start for start, end in zip(ends, ends[1:])) <= 10 + checks
    assert world.cache.keys() >= set(names[1::2])


def test_a_fetch_is_counted_in_the_file_before_its_request_but_not_in_a_pause(world: Any) -> None:
    world.live(*NAMES[:7])
    assert world.run_and_interrupt(1, "-b", "3").code == 130
    assert world.run_and_interrupt(1, "-b", "3").code == 130
    assert world.standin.log == []
    counts: list[int] = []
    in_pause: list[dict[str, Any]] = []
    world.standin.watch = lambda name: counts.append(world.progress["batch_count"])
    world.clock.at(600, lambda: in_pause.append(world.progress))
    assert world.run("-b", "3").code == 0
    assert counts == [1, 2, 3, 1, 2, 3, 1]
    assert list(in_pause[0]) == ["last_processed_index", "not_before"]
    assert not world.progress_file.exists(), "the end of the list ends the batch, too"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, [2, 7]), (5, [5]), (10**30, [5]), *((each, [5]) for each in (-1, True, 2.0, "3", None))],
)
def test_a_batch_goes_on_where_the_file_says(world: Any, count: Any, expected: list[int]) -> None:
    world.live(*NAMES[:9])
    write_progress(world, batch_count=count)
    started = time.monotonic()
    assert world.run("-b", "5").code == 0
    assert pauses_after(world) == expected
    assert (world.standin.log[0].time - started > 1800) is (count in (5, 10**30))


@pytest.mark.parametrize(("kind", "expected"), [("418", [6, 17]), ("500", [15, 25])])
def test_a_pause_begins_a_batch_if_it_is_as_long_as_one_between_batches(
    world: Any, kind: str, expected: list[int]
) -> None:
    world.remember(cache_entry("known.one"))
    world.live(*NAMES[:20], "known.one")
    world.write(NAMES[:20])
    world.standin.burst.extend([kind] * 6)
    assert world.run("-b", "10").code == 0
    assert pauses_after(world) == expected


def test_without_a_batch_pause_there_is_none_and_no_count_in_the_file(world: Any) -> None:
    world.live(*NAMES[:12])
    seen: list[list[str]] = []
    world.standin.watch = lambda name: seen.append(list(world.progress))
    result = world.run("-b", "4", "--batch-pause", "0")
    assert max(world.standin.gaps) < 10
    assert "paus" not in result.log
    assert seen == [["last_processed_index"]] * 12
