"""How fast we may fetch: the token bucket, every wait before a request, and batches."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from compressed import CompressedTime

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(100)]
MINUTE, HOUR = 60.0, 3600.0


class Clock(CompressedTime):
    """Time that only sleeping moves."""

    def monotonic(self) -> float:
        return self.skipped

    def time(self) -> float:
        return 1e9 + self.skipped + self.lid_closed


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clock.install(monkeypatch)
    return clock


class Noted(ig.Progress):
    """What a run notes of its waits, in memory only."""

    def __init__(self, blocked_for: float) -> None:
        super().__init__(Path("nowhere"), 0, longest_wait=0.0, has_batches=False)
        self.not_before = ig.Deadline.after(blocked_for)
        self.saved: list[ig.Deadline] = []

    def save(self) -> None:
        self.saved.append(self.not_before)


class Pace(NamedTuple):
    limiter: ig.RateLimiter
    sent: list[float]
    noted: Noted

    def send(self, requests: int, busy: float = 0.0) -> list[float]:
        """Send so many requests, each of which takes `busy` seconds; returns when all were sent."""
        for _ in range(requests):
            self.limiter.wait_before_request()
            self.sent.append(time.monotonic())
            time.sleep(busy)
        return self.sent


def pace(rate: float, blocked_for: float = 0.0) -> Pace:
    noted = Noted(blocked_for)
    return Pace(ig.RateLimiter(rate, ig.Waiter(), noted), [], noted)


def most_in_a_minute(moments: list[float]) -> int:
    return max(sum(start <= moment <= start + 60 for moment in moments) for start in moments)


# ---- The token bucket ----


@pytest.mark.parametrize(
    "rate", [0.5, 0.99, 1.98, 3, 4.9, 5, 7.5, 10, 12, 15, 20, 25, 30, 45, 60, 600]
)
@pytest.mark.parametrize("busy", [0.0, 0.5, 5.0])
def test_no_minute_holds_more_than_the_limit_and_one(
    still: Clock, rate: float, busy: float
) -> None:
    assert most_in_a_minute(pace(rate).send(300, busy)) <= rate + 1


@pytest.mark.parametrize("rate", [0.5, 3, 5, 10, 15])
def test_the_average_is_the_limit_itself_and_the_gaps_differ(still: Clock, rate: float) -> None:
    sent = pace(rate).send(400)
    assert (len(sent) - 1) / (sent[-1] - sent[0]) * 60 == pytest.approx(rate, rel=0.01)
    assert len({round(later - earlier, 6) for earlier, later in zip(sent, sent[1:])}) > 350


def test_a_token_that_was_not_taken_in_time_is_no_credit_for_later(still: Clock) -> None:
    bucket = pace(10)
    time.sleep(10_000)
    sent = bucket.send(3)
    assert sent[2] - sent[0] >= 12 - 2


@pytest.mark.parametrize(("rate", "waits"), [(60, 1), (10, 6), (1, 60), (0.5, 60), (0.001, 60)])
def test_the_bucket_is_empty_at_the_start_but_no_first_token_takes_more_than_a_minute(
    still: Clock, rate: float, waits: float
) -> None:
    first = pace(rate).send(1)[0]
    assert waits + ig.JITTER[0] <= first <= waits + ig.JITTER[1] + 0.1


@pytest.mark.parametrize("rate", [0.5, 3, 10, 20, 60])
@pytest.mark.parametrize("requests", [0, 1, 2, 7])
def test_restarts_after_any_number_of_requests_make_no_minute_fuller(
    still: Clock, rate: float, requests: int
) -> None:
    sent = [moment for _ in range(60) for moment in pace(rate).send(requests)]
    assert most_in_a_minute(sent or [0.0]) <= rate + 1


def test_at_ten_a_minute_a_hundred_profiles_take_ten_minutes(world: Any) -> None:
    names = world.live(*NAMES)
    assert world.run("--rate-limit", "10").code == 0
    moments = [request.time for request in world.standin.log]
    assert len(moments) == len(names)
    assert 99 / (moments[-1] - moments[0]) * 60 == pytest.approx(10, rel=0.01)
    assert most_in_a_minute(moments) <= 11
    assert len({round(gap, 3) for gap in world.standin.gaps}) > 90


def test_retries_and_known_profiles_take_tokens_too(world: Any) -> None:
    world.live(*NAMES[:30])
    world.standin.burst.extend(["live", *["500"] * 3, "live", *["page"] * 5, *["500"] * 3])
    world.run("--rate-limit", "1")
    assert most_in_a_minute([request.time for request in world.standin.log]) <= 2


@pytest.mark.parametrize("last", ["live", "418", "404"])
def test_a_restart_does_not_fetch_faster_whatever_was_fetched_last(world: Any, last: str) -> None:
    names = world.live(*NAMES[:3])
    world.standin.behaviour[names[0]] = last
    world.run("--limit", "1", "--rate-limit", "1")
    sent = len(world.standin.log)
    world.run("--rate-limit", "1")
    assert world.standin.gaps[sent - 1] >= MINUTE


# ---- Every wait before a request ----


def test_while_requests_are_held_back_nothing_is_sent_and_the_longest_wait_counts(
    still: Clock,
) -> None:
    bucket = pace(60)
    bucket.noted.block_for(100)
    bucket.noted.block_for(50)
    assert [block.wall for block in bucket.noted.saved] == [1e9 + 100]
    assert 100 <= bucket.send(1)[0] <= 105
    assert bucket.noted.blocked_for() == 0


def test_a_wait_of_an_earlier_run_goes_on(still: Clock) -> None:
    assert 300 <= pace(60, blocked_for=300).send(1)[0] <= 305


def test_retry_after_is_kept_where_it_is_longer(world: Any) -> None:
    names = world.live(*NAMES[:2])
    world.standin.burst.append((429, {"Retry-After": "600"}, b""))
    result = world.run()
    assert result.code == 0
    assert 600 <= world.standin.gaps[0] < 620
    assert "try 2 of 4 in 10 min" in result.log
    assert len(world.cache) == len(names) and world.all_live


def test_a_server_that_fails_may_ask_for_a_wait_as_well(world: Any) -> None:
    world.live(*NAMES[:2])
    world.standin.burst.append((503, {"Retry-After": "300"}, b""))
    assert world.run().code == 0
    assert 300 <= world.standin.gaps[0] < 320


def test_retry_after_never_waits_longer_than_four_hours(world: Any) -> None:
    world.live(*NAMES[:2])
    world.standin.burst.append((429, {"Retry-After": "9999999"}, b""))
    assert world.run().code == 0
    assert 4 * HOUR <= world.standin.gaps[0] < 4 * HOUR + 60


def test_no_connection_is_kept_over_a_pause(world: Any) -> None:
    world.live(*NAMES[:6])
    world.standin.burst.extend(["live", "live", "live", "401"])
    assert world.run("-b", "2", "--batch-pause", "1800").code == 0
    ports = [request.port for request in world.standin.log]
    same = [earlier == later for earlier, later in zip(ports, ports[1:])]
    assert same == [gap < 30 for gap in world.standin.gaps]
    assert len(set(ports)) == 4


# ---- The machine's own sleep ----


@pytest.mark.parametrize("wait", ["batch pause", "pause of an outage", "minute after a block"])
def test_a_wait_ends_within_seconds_of_waking_up(world: Any, wait: str) -> None:
    names = world.live(*NAMES[:6])
    if wait == "pause of an outage":
        world.standin.burst.extend(["live", *["418"] * 6])
    if wait == "minute after a block":
        world.standin.burst.extend(["live", "401"])
    into_it = {"batch pause": 615, "pause of an outage": 620, "minute after a block": 30}[wait]
    woke = []

    def close_lid() -> None:
        world.clock.close_lid(8 * HOUR)
        woke.append(time.time())

    world.clock.at(into_it, close_lid)
    result = world.run("-b", "2", "--batch-pause", "1800")
    assert result.code == 0
    after = next(request.wall for request in world.standin.log if request.wall >= woke[0])
    assert after - woke[0] < 15
    assert len(world.cache) == len(names) and world.all_live
    hours = result.log.rpartition("requests in ")[2]
    assert hours.startswith(("8 h", "9 h", "10 h"))


def test_a_clock_that_is_set_back_does_not_lengthen_a_wait(world: Any) -> None:
    world.live(*NAMES[:3])
    world.clock.at(600, lambda: world.clock.close_lid(-10 * HOUR))
    started = time.monotonic()
    assert world.run("-b", "2", "--batch-pause", "1800").code == 0
    assert time.monotonic() - started < 1800 + 2 * MINUTE


def test_an_end_time_is_right_over_a_change_to_summer_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Madrid")
    time.tzset()
    try:
        before = time.mktime(
            (2026, 3, 29, 1, 30, 0, 0, 0, 0)
        )  # half an hour before 02:00 becomes 03:00
        monkeypatch.setattr(time, "time", lambda: before)
        assert ig.clock_time_in(HOUR) == "03:30:00"
        assert ig.clock_time_in(25 * HOUR) == "Mon 30 Mar 03:30"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_beyond_all_calendars_can_be_printed() -> None:
    assert ig.clock_time_in(1e15)


# ---- Waits that survive a restart ----

WAITS = {  # what comes, and seconds into it at which Ctrl+C is pressed, and how long the wait is
    "minute after a block": (["live", "401"], 20, MINUTE),
    "retry-after": (["live", (429, {"Retry-After": "7200"}, b"")], 600, 7200.0),
    "batch pause": (["live"] * 3, 600, 1800.0),
    "pause of a block": (["live", *["418"] * 6], 600, 1800.0),
    "network pause": (["live", *["500"] * 6], 75, MINUTE),
}


@pytest.mark.parametrize("again", [1, 3])
@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_in_a_wait_and_the_same_command_again_neither_fetches_early_nor_waits_twice(
    world: Any, wait: str, again: int
) -> None:
    answers, into_it, length = WAITS[wait]
    world.live(*NAMES[:9])
    flags = ("-b", "3" if wait == "batch pause" else "100", "--batch-pause", "1800")
    world.standin.burst.extend(answers)
    result = world.run_and_interrupt(into_it, *flags)
    assert result.code == 130
    sent = world.standin.log[-1].time
    state = json.loads(world.progress_file.read_text())
    assert state["not_before"] == ig.format_timestamp(ig.parse_timestamp(state["not_before"]))
    for _ in range(again - 1):
        assert world.run_and_interrupt(3, *flags).code == 130
    fetched = len(world.standin.log)
    result = world.run(*flags)
    assert "Resuming an earlier pause: " in result.log
    assert result.code == 0 and world.all_live
    assert length <= world.standin.log[fetched].time - sent < length + 30
    if wait != "batch pause":
        assert world.standin.log[fetched + 1].time - world.standin.log[fetched].time < MINUTE


def test_a_pause_that_is_over_is_not_waited_again_where_the_clock_was_set_back_in_it(
    world: Any,
) -> None:
    world.live(*NAMES[:6])
    flags = ("-b", "3", "--batch-pause", "1800")
    world.clock.at(100, lambda: world.clock.close_lid(-24 * HOUR))
    assert world.run_and_interrupt(1818, *flags).code == 130
    assert len(world.standin.log) > 3 and "not_before" not in progress(world)
    started = time.monotonic()
    assert world.run(*flags).code == 0
    assert time.monotonic() - started < MINUTE
    assert not world.progress_file.exists()


@pytest.mark.parametrize("moment", ["yesterday", 5, None, "2001-01-01T00:00:00+00:00", "9" * 99])
def test_a_wait_that_is_over_or_unreadable_is_none(world: Any, moment: object) -> None:
    world.live(*NAMES[:2])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": 1, "not_before": moment}))
    result = world.run()
    assert result.code == 0
    assert "earlier pause" not in result.log
    assert world.standin.names == [NAMES[1], NAMES[0]]
    assert world.standin.gaps[0] < MINUTE


@pytest.mark.parametrize(("batch_pause", "longest"), [("60", 4 * HOUR), ("21600", 6 * HOUR)])
@pytest.mark.parametrize("hours", [3.9, 4.1, 24, 24 * 365 * 900])
def test_a_wait_is_no_longer_than_the_longest_pause_as_the_clock_may_have_been_set_back(
    world: Any, hours: float, batch_pause: str, longest: float
) -> None:
    world.live(*NAMES[:1])
    world.cache_dir.mkdir()
    moment = ig.format_timestamp(time.time() + hours * HOUR)
    world.progress_file.write_text(json.dumps({"last_processed_index": 0, "not_before": moment}))
    started = time.monotonic()
    assert world.run("--batch-pause", batch_pause).code == 0
    waited = world.standin.log[0].time - started
    assert waited == pytest.approx(min(hours * HOUR, longest), abs=20)


def test_a_restart_in_the_first_second_of_the_longest_wait_waits_it_too(world: Any) -> None:
    world.live(*NAMES[:2])
    world.standin.burst.append((429, {"Retry-After": "14400"}, b""))
    assert world.run_and_interrupt(8, "-r", "60").code == 130
    sent = world.standin.log[-1].time
    result = world.run("-r", "60")
    assert "earlier pause" in result.log
    assert world.standin.log[1].time - sent >= 4 * HOUR


def test_a_run_with_nothing_to_fetch_does_not_wait(world: Any, cached_entry: Any) -> None:
    names = world.live(*NAMES[:2])
    world.remember(*map(cached_entry, names))
    world.progress_file.write_text(
        json.dumps(
            {"last_processed_index": 0, "not_before": ig.format_timestamp(time.time() + 900)}
        )
    )
    started = time.monotonic()
    assert world.run().code == 0
    assert time.monotonic() - started < 5


def test_a_wait_outlives_the_end_of_the_list_and_nothing_else_does(world: Any) -> None:
    world.live(*NAMES[:3])
    world.standin.burst.extend(["live", "live", (400, {"Retry-After": "3600"}, b"")])
    assert world.run("-b", "2", "--batch-pause", "60").code == 1
    assert {**progress(world), "not_before": ""} == {"last_processed_index": 0, "not_before": ""}
    assert world.run("-b", "2", "--batch-pause", "60").code == 0
    assert HOUR <= world.standin.gaps[-1] < HOUR + MINUTE
    assert not world.progress_file.exists()


# ---- Batches ----


def pauses_after(world: Any) -> list[int]:
    """After how many requests the stand-in saw a pause between batches."""
    return [count for count, gap in enumerate(world.standin.gaps, 1) if gap > 20 * MINUTE]


def test_a_batch_counts_fetches_and_the_last_one_ends_without_a_pause(world: Any) -> None:
    world.live(*NAMES[:20])
    result = world.run("-b", "5", "--batch-pause", "1800")
    assert result.code == 0
    assert pauses_after(world) == [5, 10, 15]
    assert all(gap < 1800 + 10 for gap in world.standin.gaps)
    assert result.log.count("Batch of 5 done: pausing 30 min, until ") == 3


def test_a_run_with_nothing_to_fetch_leaves_the_batch_as_it_is(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = world.live(*NAMES[:20])
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAtest")
    world.input.write_text("Handle,GENRE,Details\n" + "".join(f"@{name},,x\n" for name in names))
    assert world.run_and_interrupt(30, "-b", "10").code == 130
    count = progress(world)["batch_count"]
    assert "; 0 profiles to fetch" in world.run("--graph-api", "1", "-b", "10").log
    assert progress(world)["batch_count"] == count > 3
    assert world.run("-b", "10").code == 0
    assert pauses_after(world) == [10]


def test_a_batch_counts_a_fetch_once_in_whichever_pass_and_whatever_came_of_it(world: Any) -> None:
    names = world.live(*NAMES[:7])
    world.standin.behaviour = {names[0]: "404", names[1]: "asset deleted", names[4]: "500"}
    assert world.run("-b", "5", "--batch-pause", "1800").code == 1
    sent = world.standin.names
    assert sent == [*names[:5], *[names[4]] * 3, *names[5:], names[0], names[4], sent[-1]]
    assert pauses_after(world) == [8], "five fetches, of which one took four requests"


def test_cached_filled_and_unusable_rows_are_free(world: Any, cached_entry: Any) -> None:
    names = world.live(*NAMES[:30])
    rows = [f"@{name},,\n#N/A,,\n@filled{name},a,b\n@{name},,\n" for name in names]
    world.input.write_text("Handle,GENRE,Details\n" + "".join(rows))
    world.remember(*map(cached_entry, names[:20]))
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert world.standin.names == names[20:]
    assert pauses_after(world) == [5]


@pytest.mark.parametrize("kind", ["live", "asset deleted", "418"])
@pytest.mark.parametrize("after", [1, 3, 7])
def test_stopping_and_starting_again_never_makes_a_batch_longer(
    world: Any, kind: str, after: int
) -> None:
    names = world.live(*NAMES[:60])
    world.standin.behaviour = dict.fromkeys(names[::2], kind)
    flags = ("-b", "10", "--batch-pause", "1800")
    for _ in range(9):
        sent = len(world.standin.log)

        def press(name: str, last: int = sent + after - 1) -> None:
            if len(world.standin.log) == last:
                world.clock.at(0.1, lambda: signal.raise_signal(signal.SIGINT))

        world.standin.watch = press
        assert world.run(*flags).code in (0, 1, 130)
    world.standin.watch = lambda name: None
    world.run(*flags)
    ends = [0, *pauses_after(world), len(world.standin.log)]
    checks = 2 if kind == "418" else 0  # of a known profile, after five in a row
    assert max(end - start for start, end in zip(ends, ends[1:])) <= 10 + checks
    assert world.cache.keys() >= set(names[1::2])


def test_a_ctrl_c_before_the_first_request_counts_for_no_batch(world: Any) -> None:
    world.live(*NAMES[:9])
    flags = ("-b", "5", "--batch-pause", "1800")
    for _ in range(7):
        assert world.run_and_interrupt(1, *flags).code == 130
    assert world.standin.log == []
    assert world.run(*flags).code == 0
    assert pauses_after(world) == [5]


def test_the_count_is_in_the_progress_file_before_a_request_is_sent(world: Any) -> None:
    world.live(*NAMES[:7])
    counts: list[int] = []
    world.standin.watch = lambda name: counts.append(progress(world)["batch_count"])
    assert world.run("-b", "3", "--batch-pause", "1800").code == 0
    assert counts == [1, 2, 3, 1, 2, 3, 1]
    assert not world.progress_file.exists(), "the end of the list ends the batch, too"


def progress(world: Any) -> dict[str, Any]:
    return json.loads(world.progress_file.read_text())


def test_a_kill_in_a_pause_is_no_fetch_of_the_next_batch(world: Any) -> None:
    world.live(*NAMES[:5])
    found: list[dict[str, Any]] = []
    world.clock.at(600, lambda: found.append(progress(world)))
    assert world.run("-b", "3", "--batch-pause", "1800").code == 0
    assert list(found[0]) == ["last_processed_index", "not_before"]


@pytest.mark.parametrize(("count", "expected"), [(3, [2, 7]), (5, [5]), (10**30, [5]), (-1, [5])])
def test_a_batch_goes_on_where_the_last_run_has_left_it(
    world: Any, count: int, expected: list[int]
) -> None:
    world.live(*NAMES[:9])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": 0, "batch_count": count}))
    started = time.monotonic()
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == expected
    assert (world.standin.log[0].time - started > 1800) is (count >= 5)


@pytest.mark.parametrize("count", [True, 2.0, "3", None, [3]])
def test_a_count_that_is_none_begins_a_batch(world: Any, count: Any) -> None:
    world.live(*NAMES[:6])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": 0, "batch_count": count}))
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == [5]


def test_a_pause_begins_a_batch_if_it_is_as_long_as_one_between_batches(
    world: Any, cached_entry: Any
) -> None:
    world.remember(cached_entry("known.one"))
    for kind, expected in (("418", [6, 17]), ("500", [15, 25])):
        world.live(*NAMES[:20], "known.one")
        world.write(NAMES[:20])
        world.standin.log.clear()
        world.standin.burst.extend([kind] * 6)
        assert world.run("-b", "10", "--batch-pause", "1800").code == 0
        world.cache_file.unlink()
        world.remember(cached_entry("known.one"))
        assert pauses_after(world) == expected


def test_without_a_batch_pause_there_is_none_and_no_count_in_the_file(world: Any) -> None:
    world.live(*NAMES[:12])
    seen: list[list[str]] = []
    world.standin.watch = lambda name: seen.append(list(progress(world)))
    result = world.run("-b", "4", "--batch-pause", "0")
    assert max(world.standin.gaps) < 10
    assert "paus" not in result.log
    assert seen == [["last_processed_index"]] * 12


def test_force_in_mid_batch_makes_no_batch_longer(world: Any) -> None:
    world.live(*NAMES[:30])
    flags = ("-b", "10", "--batch-pause", "1800", "-r", "60")
    assert world.run_and_interrupt(6 * 3 + 1, *flags).code == 130
    assert world.run(*flags, "--force").code == 0
    assert pauses_after(world)[0] == 10
