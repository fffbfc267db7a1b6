"""A whole night in a second: pace, retries, pauses, walls, the second pass, batches, resuming."""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from compressed import CompressedTime
from hypothesis import given, settings
from hypothesis import strategies as st
from standin import ANSWERS, StandIn, user

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(300)]
MINUTE, HOUR = 60.0, 3600.0


def gaps(standin: StandIn) -> list[float]:
    """The seconds between requests, as the stand-in saw them."""
    return [later.time - earlier.time for earlier, later in pairwise(standin.log)]


def all_live(world: Any, names: list[str]) -> bool:
    """Whether every profile ended with its biography: none lost, none falsified."""
    return world.biographies() == {name: f"The biography of {name}" for name in names}


# ---- Pace ----


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def send(self, bucket: ig.TokenBucket, requests: int, busy: float = 0.0) -> list[float]:
        """Send so many requests, each keeping us busy for some seconds; returns when they were sent."""
        sent = []
        for _ in range(requests):
            bucket.acquire()
            sent.append(self.now)
            self.now += busy
        return sent


@pytest.mark.parametrize("rate", [0.5, 3, 5, 7.5, 10, 12, 15, 20, 25, 30, 45, 60, 600])
@pytest.mark.parametrize("busy", [0.0, 0.5, 5.0])
def test_no_minute_holds_more_than_the_limit_and_one(rate: float, busy: float) -> None:
    fake = FakeTime()
    sent = fake.send(ig.TokenBucket(rate, fake.clock, fake.sleep), 300, busy)
    for start in sent:
        assert sum(start <= moment <= start + 60 for moment in sent) <= rate + 1


@pytest.mark.parametrize("rate", [0.5, 3, 5, 10, 15])
def test_the_average_is_the_limit_itself_and_the_gaps_differ(rate: float) -> None:
    fake = FakeTime()
    sent = fake.send(ig.TokenBucket(rate, fake.clock, fake.sleep), 400)
    assert (len(sent) - 1) / (sent[-1] - sent[0]) * 60 == pytest.approx(rate, rel=0.01)
    assert len({round(later - earlier, 6) for earlier, later in pairwise(sent)}) > 350


def test_a_token_that_was_not_taken_in_time_is_no_credit_for_later() -> None:
    fake = FakeTime()
    bucket = ig.TokenBucket(10, fake.clock, fake.sleep)
    fake.now = 10_000
    sent = fake.send(bucket, 3)
    assert sent[2] - sent[0] >= 12 - 2


@pytest.mark.parametrize("rate", [5, 10, 15, 18, 20, 25, 60])
def test_the_expected_gap_is_the_gap_that_comes(rate: float) -> None:
    fake = FakeTime()
    fake.send(ig.TokenBucket(rate, fake.clock, fake.sleep), 5000)
    assert fake.now / 5000 == pytest.approx(ig.seconds_per_request(rate), rel=0.02)


def test_at_ten_a_minute_a_hundred_profiles_take_ten_minutes(world: Any) -> None:
    names = world.live(*NAMES[:100])
    assert world.run("--rate-limit", "10").code == 0
    moments = [request.time for request in world.standin.log]
    assert len(moments) == len(names)
    assert 99 / (moments[-1] - moments[0]) * 60 == pytest.approx(10, rel=0.01)
    assert max(sum(start <= moment < start + 60 for moment in moments) for start in moments) <= 11
    assert len({round(gap, 3) for gap in gaps(world.standin)}) > 90


def test_retries_and_probes_take_tokens_too(world: Any) -> None:
    world.live(*NAMES[:30])
    world.standin.burst.extend(["live", *["500"] * 3, "live", *["page"] * 5, *["500"] * 3])
    world.run("--rate-limit", "1")
    moments = [request.time for request in world.standin.log]
    assert max(sum(start <= moment < start + 60 for moment in moments) for start in moments) <= 2


def test_a_restart_does_not_ask_faster(world: Any) -> None:
    world.live(*NAMES[:2])
    world.run("--limit", "1", "--rate-limit", "1")
    world.run("--rate-limit", "1")
    assert gaps(world.standin)[0] >= MINUTE - JITTER_SPAN - 1


JITTER_SPAN = ig.JITTER[1] - ig.JITTER[0]


# ---- Retries ----


@pytest.mark.parametrize("kind", ["401", "429", "403", "login page", "redirect to login", "400 checkpoint"])
def test_a_refusal_waits_a_minute_before_each_of_three_retries(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:3])
    world.standin.burst.extend([kind] * 3)
    result = world.run()
    assert result.code == 0
    assert world.standin.names == [names[0]] * 4 + names[1:]
    assert all(gap >= MINUTE for gap in gaps(world.standin)[:3])
    assert all_live(world, names)


def test_network_trouble_is_tried_again_with_a_growing_wait(world: Any) -> None:
    names = world.live(*NAMES[:2])
    world.standin.burst.extend(["live", "500", "reset", "torn"])
    assert world.run("-r", "60").code == 0
    waits = gaps(world.standin)[1:]
    assert 5 <= waits[0] < 15 <= 10 + waits[1] < 30
    assert 20 <= waits[2] < 30
    assert all_live(world, names)


def test_a_profile_that_always_refuses_is_left_open_and_holds_nobody_up(world: Any) -> None:
    names = world.live(*NAMES[:20])
    world.standin.behaviour[names[4]] = "401"
    result = world.run()
    assert result.code == 1
    assert world.standin.names.count(names[4]) == 8
    assert len(world.cache) == 19
    assert names[4] not in world.cache
    assert f"Still open: @{names[4]}: rate limited (401)" in result.log
    assert "run the same command again" in result.log
    assert world.standin.log[-1].time - world.standin.log[0].time < 15 * MINUTE


@pytest.mark.parametrize("header", ["600", "date"])
def test_retry_after_is_kept_where_it_is_longer(world: Any, header: str) -> None:
    from email.utils import formatdate

    names = world.live(*NAMES[:2])
    value = formatdate(time.time() + 605, usegmt=True) if header == "date" else header
    world.standin.burst.append((429, {"Retry-After": value}, b""))
    assert world.run().code == 0
    assert 600 <= gaps(world.standin)[0] < 620
    assert all_live(world, names)


def test_retry_after_of_the_last_try_holds_back_the_next_profile(world: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.burst.extend(["live", "401", "401", "401", (429, {"Retry-After": "7200"}, b"")])
    assert world.run().code == 0
    assert gaps(world.standin)[4] >= 7200
    assert all_live(world, names)


@pytest.mark.parametrize("seconds", ["14400", "7200", "5000"])
def test_a_block_that_asks_for_long_waits_ends_after_24_hours_too(world: Any, seconds: str) -> None:
    world.live(*NAMES[:30])
    world.standin.blocked_until = time.monotonic() + 60 * HOUR
    world.standin.blocked_with = (429, {"Retry-After": seconds}, b"")
    started = time.monotonic()
    result = world.run()
    assert result.code == 1
    assert "24 hours without one answer" in result.log
    assert all(gap >= int(seconds) for gap in gaps(world.standin))
    assert time.monotonic() - started < 30 * HOUR


def test_retry_after_never_waits_longer_than_four_hours(world: Any) -> None:
    world.live(*NAMES[:2])
    world.standin.burst.append((429, {"Retry-After": "9999999"}, b""))
    assert world.run().code == 0
    assert 4 * HOUR <= gaps(world.standin)[0] < 4 * HOUR + 60


# ---- Pauses ----


def test_five_refusals_in_a_row_make_a_pause_and_then_one_is_enough(world: Any) -> None:
    names = world.live(*NAMES[:30])
    world.standin.burst.extend(["live", *["401"] * 8])
    checkpoints = []
    choose = world.standin.choose

    def note_output(username: str) -> Any:
        checkpoints.append(world.output.read_text().count("The biography"))
        return choose(username)

    world.standin.choose = note_output
    result = world.run("--batch-pause", "1800")
    assert result.code == 0
    pauses = [round(gap / 60) for gap in gaps(world.standin) if gap > 20 * MINUTE]
    assert pauses == [30, 60, 120, 240]
    assert checkpoints[6] == 1
    assert all_live(world, names)


def test_an_answer_resets_the_count_and_the_length_of_the_pauses(world: Any) -> None:
    names = world.live(*NAMES[:40])
    refused = ["401"] * 4
    world.standin.burst.extend(
        [*refused, "live", *refused, "null", *refused, "404", *["401"] * 7, "live", *["401"] * 5]
    )
    world.standin.behaviour = {}
    world.run("--batch-pause", "1800")
    pauses = [round(gap / 60) for gap in gaps(world.standin) if gap > 20 * MINUTE]
    assert pauses == [30, 60, 120, 30]
    assert len(names) == len(world.cache)


def test_without_batch_pauses_the_pause_is_a_minute_at_least(world: Any) -> None:
    names = world.live(*NAMES[:10])
    world.standin.burst.extend(["401"] * 6)
    assert world.run("--batch-pause", "0").code == 0
    assert all(gap >= MINUTE for gap in gaps(world.standin)[:3])
    assert gaps(world.standin)[4] >= MINUTE
    assert gaps(world.standin)[5] >= 2 * MINUTE
    assert all_live(world, names)


@pytest.mark.parametrize("kind", ["401", "login page", "page", "403"])
@pytest.mark.parametrize("batch_pause", ["0", "60", "1800"])
def test_into_a_block_of_24_hours_at_most_20_requests_are_sent(world: Any, kind: str, batch_pause: str) -> None:
    world.live(*NAMES[:50])
    world.standin.blocked_until, world.standin.blocked_with = time.monotonic() + 24 * HOUR, kind
    started = time.monotonic()
    result = world.run("--batch-pause", batch_pause)
    assert result.code == 1
    assert len(world.standin.log) <= 20
    assert 24 * HOUR - 1 <= time.monotonic() - started < 24.1 * HOUR
    assert "24 hours without one answer" in result.log
    assert "run the same command again" in result.log
    assert world.cache == {}


@pytest.mark.parametrize("kind", ["401", "login page", "page", "403"])
@pytest.mark.parametrize("profiles", [3, 50])
def test_from_a_block_of_6_hours_the_run_recovers(world: Any, kind: str, profiles: int) -> None:
    names = world.live(*NAMES[:profiles])
    world.standin.blocked_until, world.standin.blocked_with = time.monotonic() + 6 * HOUR, kind
    result = world.run("--batch-pause", "1800")
    refused = [request for request in world.standin.log if request.answer == kind]
    assert len(refused) <= 12
    if profiles > 5:
        assert result.code == 0
        assert all_live(world, names)
    else:
        world.standin.blocked_until = 0
        assert world.run().code == 0
        assert all_live(world, names)


def test_five_profiles_left_open_by_the_network_make_a_pause(world: Any) -> None:
    names = world.live(*NAMES[:12])
    world.standin.burst.extend(["live", *["reset"] * 24])
    result = world.run("--batch-pause", "1800")
    assert result.code == 0
    assert [round(gap / 60) for gap in gaps(world.standin) if gap > 20 * MINUTE] == [30, 60]
    assert all_live(world, names)


def test_where_the_first_profile_cannot_be_reached_the_run_ends_at_once(world: Any) -> None:
    world.live(*NAMES[:12])
    world.standin.server_close()
    world.standin.shutdown()
    started = time.monotonic()
    result = world.run()
    assert result.code == 1
    assert time.monotonic() - started < 2 * MINUTE
    assert "Instagram can't be reached" in result.log
    assert world.cache == {}
    assert not world.progress_file.exists()


def test_a_run_that_stops_says_how_many_rows_are_done_whoever_did_them(world: Any, cached_entry: Any) -> None:
    names = world.live(*NAMES[:10])
    world.cache_dir.mkdir()
    world.cache_file.write_text(json.dumps({name: cached_entry(name) for name in names[:6]}))
    world.standin.server_close()
    world.standin.shutdown()
    assert "Stopped after 6 of 10 rows" in world.run().log


def test_a_server_that_answers_with_errors_from_the_first_request_on_is_waited_for(world: Any) -> None:
    names = world.live(*NAMES[:12])
    world.standin.burst.extend(["500"] * 25)
    assert world.run().code == 0
    assert all_live(world, names)


KINDS = [
    *("401", "401 without a message", "429", "403", "redirect to login", "login page", "page", "400 checkpoint"),
    *("200 status fail", "500", "reset"),
]


@pytest.mark.parametrize("live_before", [0, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_25_bad_answers_in_a_row_lose_and_falsify_nothing(world: Any, kind: str, live_before: int) -> None:
    names = world.live(*NAMES[:60])
    world.standin.burst.extend(["live"] * live_before + [kind] * 25)
    for _ in range(9):
        code = world.run("--batch-pause", "60").code
        assert not any(entry["error"] for entry in world.cache.values())
        if code == 0:
            break
    assert code == 0
    assert all_live(world, names)
    assert len(world.standin.log) <= 60 + 25 + 3


TROUBLES = [*sorted(ANSWERS.keys() - {"404", "null", "page"}), "reset", "closed", "torn", "torn_page"]
STRETCHES = st.one_of(
    st.tuples(st.sampled_from(TROUBLES), st.integers(1, 14)),
    st.tuples(st.just("page"), st.integers(6, 14)),
    st.tuples(st.just("live"), st.integers(1, 9)),
)


@given(
    stretches=st.lists(STRETCHES, max_size=8),
    gone=st.dictionaries(st.integers(0, 29), st.sampled_from(["404", "null", "page"]), max_size=4),
    batch_size=st.sampled_from([1, 7, 100]),
    rate=st.sampled_from([5, 20, 60]),
)
@settings(max_examples=25, deadline=None)
def test_whatever_a_night_brings_nothing_is_lost_or_falsified(
    stretches: list[tuple[str, int]], gone: dict[int, str], batch_size: int, rate: int
) -> None:
    names = NAMES[:30]
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as folder,
        StandIn([*names, "instagram"]) as standin,
    ):
        CompressedTime().install(patch)
        patch.setattr(ig, "API_URL", standin.url)
        patch.setenv("no_proxy", "127.0.0.1")
        sheet, output = Path(folder, "list.csv"), Path(folder, "out.csv")
        sheet.write_text("Handle,GENRE,Details\n" + "".join(f"{name},,\n" for name in names))
        standin.behaviour = {names[index]: kind for index, kind in gone.items()}
        standin.burst.extend(kind for kind, length in stretches for _ in range(length))
        flags = ["-i", str(sheet), "-o", str(output), "--cache-dir", folder, "-r", str(rate), "-b", str(batch_size)]
        for _ in range(60):
            started = len(standin.log)
            with contextlib.redirect_stderr(io.StringIO()) as log:
                code = ig.main(flags)
            assert "Traceback" not in log.getvalue()
            moments = [request.time for request in standin.log[started:]]
            assert all(sum(0 <= later - first < 60 for later in moments) <= rate + 1 for first in moments)
            if code == 0:
                break
        assert code == 0
        cache = json.loads(Path(folder, "ig_cache.json").read_text())
        told = {name: bool(entry["error"]) for name, entry in cache.items()}
        # "live" in a stretch is the profile itself, so a gone profile may be answered once
        assert all(told[name] <= (index in gone) for index, name in enumerate(names))
        expected = ["" if told[name] else f"The biography of {name}" for name in names]
        assert [line.split(",")[2] for line in output.read_text().splitlines()[1:]] == expected


# ---- Pages ----


def test_a_single_page_is_a_profile_that_is_gone(world: Any) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour[names[4]] = "page"
    assert world.run().code == 0
    assert world.cache[names[4]]["error"] == "NOT_FOUND"
    assert world.standin.names == names


@pytest.mark.parametrize("gone", [[0], [8], [0, 1, 2], [5, 6, 7, 8], [2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]])
def test_pages_of_gone_profiles_are_told_from_a_wall_by_a_known_profile(world: Any, gone: list[int]) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour = {names[index]: "page" for index in gone}
    result = world.run()
    assert result.code == 0
    assert [name for name in names if world.cache[name]["error"]] == [names[index] for index in gone]
    assert world.cache.keys() == set(names)
    assert max(gaps(world.standin)) < MINUTE


def test_a_list_of_one_gone_profile_is_settled(world: Any) -> None:
    world.live("gone")
    world.standin.behaviour["gone"] = "page"
    assert world.run().code == 0
    assert world.cache["gone"]["error"] == "NOT_FOUND"


@pytest.mark.parametrize("pages", [*range(1, 30)])
@pytest.mark.parametrize("live_before", [0, 6])
def test_a_wall_of_pages_falsifies_nothing_once_it_is_five_long(world: Any, pages: int, live_before: int) -> None:
    names = world.live(*NAMES[:40])
    world.standin.burst.extend(["live"] * live_before + ["page"] * pages)
    for _ in range(9):
        if world.run("--batch-pause", "60").code == 0:
            break
    falsified = [name for name in names if world.cache[name]["error"]]
    believed = live_before and pages <= 5  # so few between two answers can't be told from profiles that are gone
    assert falsified == (names[live_before : live_before + pages] if believed else [])


@pytest.mark.parametrize("probe", ["404", "null", "page", "401", "500"])
def test_a_known_profile_that_is_not_found_is_a_wall_too(world: Any, probe: str) -> None:
    names = world.live(*NAMES[:8])
    world.standin.burst.extend(["live", *["page"] * 5, probe])
    assert world.run("--batch-pause", "60").code == 0
    assert all_live(world, names)


@pytest.mark.parametrize("closed", ["401", "500", "418"])
@pytest.mark.parametrize("order", ["gone behind it", "gone before it", "gone alone with it"])
def test_a_gone_profile_beside_one_closed_to_us_is_settled(world: Any, closed: str, order: str) -> None:
    names = world.live(*NAMES[:6])
    at, gone = {"gone behind it": (2, 3), "gone before it": (3, 2), "gone alone with it": (4, 5)}[order]
    world.standin.behaviour = {names[at]: closed, names[gone]: "page"}
    assert world.run("--batch-pause", "60").code == 1
    assert world.cache[names[gone]]["error"] == "NOT_FOUND"
    assert world.cache.keys() == set(names) - {names[at]}


@pytest.mark.parametrize("trouble", ["401", "500", "418"])
@pytest.mark.parametrize("shape", ["gt", "glt", "ggt", "gtg", "tgg", "tgt", "gltg", "lgtl"])
def test_a_gone_profile_is_settled_whatever_stands_beside_it(world: Any, trouble: str, shape: str) -> None:
    names = world.live(*NAMES[: len(shape)])
    kinds = dict(zip(names, shape, strict=True))
    world.standin.behaviour = {name: {"g": "page", "t": trouble, "l": "live"}[kinds[name]] for name in names}
    assert world.run("--batch-pause", "60").code == 1
    assert world.cache.keys() == {name for name in names if kinds[name] != "t"}
    assert all(bool(world.cache[name]["error"]) == (kinds[name] == "g") for name in world.cache)


def test_a_gone_profile_beside_one_closed_to_us_is_no_reason_for_a_pause(world: Any) -> None:
    names = world.live(*NAMES[:6])
    world.standin.behaviour = {names[2]: "401", names[3]: "page"}
    assert world.run().code == 1
    assert max(gaps(world.standin)) < 5 * MINUTE


def test_a_gone_profile_before_a_batch_pause_is_settled(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.standin.behaviour = {names[1]: "page"}
    assert world.run("-b", "2").code == 0
    assert world.cache[names[1]]["error"] == "NOT_FOUND"


def test_nothing_is_cached_at_a_wall_of_pages(world: Any) -> None:
    world.live(*NAMES[:40])
    world.standin.burst.append("live")
    seen = []
    choose = world.standin.choose

    def wall(username: str) -> Any:
        seen.append(len(world.cache))
        return choose(username) if len(seen) < 2 else "page"

    world.standin.choose = wall
    assert world.run().code == 1
    assert len(world.cache) == 1
    assert world.standin.names[6] == NAMES[0], "the known profile is one that the run has fetched"


def test_without_a_profile_of_its_own_the_run_asks_for_instagram(world: Any) -> None:
    world.live(*NAMES[:10])
    world.standin.burst.extend(["page"] * 5)
    assert world.run().code == 0
    assert world.standin.names[5] == "instagram"
    assert "instagram" not in world.cache


def test_a_wall_found_at_the_end_of_the_list_is_waited_out(world: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.burst.extend(["page"] * 4)
    assert world.run("--batch-pause", "1800").code == 0
    assert [gap > 1800 for gap in gaps(world.standin)] == [False, False, False, True, False, False]
    assert all_live(world, names)


@pytest.mark.parametrize("between", ["401", "pause"])
def test_a_page_beside_a_refusal_or_a_pause_is_asked_for_again(world: Any, between: str) -> None:
    names = world.live(*NAMES[:6])
    bad = ["401"] if between == "401" else []
    world.standin.burst.extend(["live", "page", *bad])
    assert world.run("--batch-size", "2" if between == "pause" else "100").code == 0
    assert all_live(world, names)


# ---- The second pass ----


def test_what_is_left_open_is_asked_once_more_at_the_end(world: Any) -> None:
    names = world.live(*NAMES[:10])
    world.standin.burst.extend(["live", *["500"] * 4, *["live"] * 8])
    result = world.run()
    assert result.code == 0
    assert world.standin.names[-1] == names[1]
    assert all_live(world, names)
    assert not world.progress_file.exists()


@pytest.mark.parametrize("position", [0, 3, 10, 11, -1, 10**30, 2.0, True, None, "3", [3], {}])
def test_a_wrong_position_costs_an_order_never_a_profile(world: Any, position: Any) -> None:
    names = world.live(*NAMES[:10])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": position}))
    assert world.run().code == 0
    assert all_live(world, names)
    start = position if type(position) is int and 0 <= position <= 10 else 0
    assert world.standin.names == names[start:] + names[:start]


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", '{"last_processed_index"', "\0", "\ud800", "[" * 99999])
def test_an_unreadable_position_starts_at_the_top(world: Any, text: str) -> None:
    names = world.live(*NAMES[:5])
    world.cache_dir.mkdir()
    world.progress_file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert world.run().code == 0
    assert world.standin.names == names


def test_several_profiles_closed_to_us_do_not_cost_a_day_of_pauses_at_the_end(world: Any) -> None:
    names = world.live(*NAMES[:60])
    world.standin.behaviour = {name: "401" for name in names[::10]}
    started = time.monotonic()
    result = world.run("--batch-pause", "1800")
    assert result.code == 1
    assert len(world.cache) == 54
    assert time.monotonic() - started < 2 * HOUR
    assert result.log.count("Still open: @") == 6


# ---- Batches, limit, force, resume ----


def pauses_after(world: Any) -> list[int]:
    """After how many requests the stand-in saw a long gap."""
    return [count for count, gap in enumerate(gaps(world.standin), 1) if gap > 20 * MINUTE]


def test_a_batch_counts_profiles_asked_and_ends_without_a_pause(world: Any) -> None:
    world.live(*NAMES[:20])
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == [5, 10, 15]


def test_cached_filled_and_unusable_rows_are_free(world: Any, cached_entry: Any) -> None:
    names = NAMES[:30]
    rows = [f"@{name},,\n#N/A,,\n@filled{index},a,b\n@{name},,\n" for index, name in enumerate(names)]
    world.input.write_text("Handle,GENRE,Details\n" + "".join(rows))
    world.standin.users = {name: user(name) for name in names}
    world.cache_dir.mkdir()
    world.cache_file.write_text(json.dumps({name: cached_entry(name) for name in names[:20]}))
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert world.standin.names == names[20:]
    assert pauses_after(world) == [5]


def test_the_output_is_written_after_each_batch(world: Any) -> None:
    world.live(*NAMES[:12])
    choose = world.standin.choose
    filled = []

    def note(username: str) -> Any:
        filled.append(world.output.read_text().count("The biography"))
        return choose(username)

    world.standin.choose = note
    world.run("-b", "4")
    assert filled == [0] * 4 + [4] * 4 + [8] * 4


@pytest.mark.parametrize(
    ("recent", "age", "expected"), [(3, 60, [2, 7]), (3, 1700, [2, 7]), (3, 1801, [5]), (5, 60, [5])]
)
def test_the_batch_count_survives_a_restart(
    world: Any, cached_entry: Any, recent: int, age: float, expected: list[int]
) -> None:
    world.live(*NAMES[:9])
    fetched_at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - age))
    world.cache_dir.mkdir()
    old = {f"old{index}": cached_entry(f"old{index}", fetched_at=fetched_at) for index in range(recent)}
    world.cache_file.write_text(json.dumps(old))
    started = time.monotonic()
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == expected
    waited_first = world.standin.log[0].time - started
    assert (waited_first > 1700) is (recent == 5)
    assert waited_first < 1810


def test_limit_works_on_the_first_rows_only_and_writes_them_all(world: Any) -> None:
    names = world.live(*NAMES[:10])
    assert world.run("--limit", "3").code == 0
    assert world.standin.names == names[:3]
    assert len(world.rows) == 11
    assert json.loads(world.progress_file.read_text()) == {"last_processed_index": 3}
    assert world.run().code == 0
    assert world.standin.names == names
    assert all_live(world, names)


def test_a_limit_never_moves_the_position_back(world: Any) -> None:
    world.live(*NAMES[:10])
    world.cache_dir.mkdir()
    world.progress_file.write_text('{"last_processed_index": 7}')
    assert world.run("--limit", "3").code == 0
    assert json.loads(world.progress_file.read_text()) == {"last_processed_index": 7}


def test_a_second_run_asks_nothing_errors_included(world: Any) -> None:
    names = world.live(*NAMES[:10])
    world.standin.behaviour[names[3]] = "null"
    world.run()
    first = world.output.read_bytes()
    assert world.run().code == 0
    assert len(world.standin.log) == 10
    assert world.output.read_bytes() == first


def test_ten_new_rows_in_a_cached_list_cost_ten_requests_and_no_pause(world: Any, cached_entry: Any) -> None:
    old = [f"old{index}" for index in range(4000)]
    names = world.live(*old, *NAMES[:10])
    world.cache_dir.mkdir()
    world.cache_file.write_text(json.dumps({name: cached_entry(name) for name in old}))
    assert world.run().code == 0
    assert world.standin.names == NAMES[:10]
    assert pauses_after(world) == []
    assert all_live(world, names)


def test_force_asks_again_and_sets_the_old_cache_aside(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.run()
    first = world.cache_file.read_bytes()
    result = world.run("--force")
    assert result.code == 0
    assert world.standin.names == names * 2
    backup = world.cache_dir / "ig_cache.json.bak"
    assert backup.read_bytes() == first
    assert "WITHOUT --force" in result.log
    world.run("--force", "--limit", "1")
    world.run("--force", "--limit", "1")
    kept = [path.read_bytes().count(b"fetched_at") for path in world.cache_dir.glob("ig_cache.json.bak*")]
    assert sorted(kept) == [1, 4, 4], "no backup is overwritten"


def test_a_time_beyond_all_calendars_can_be_told() -> None:
    assert ig.clock_in(1e15)


def test_every_profile_asked_has_a_line_with_position_find_and_eta(world: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.behaviour[names[1]] = "null"
    log = world.run("-r", "10").log
    assert re.search(
        r"\[1/3\] @profile\.000: Blogger, bio of 28 characters \| 12 s left, done at \d\d:\d\d:\d\d\n", log
    )
    assert "[2/3] @profile.001: not found | 6 s left" in log


@pytest.mark.parametrize("cached", [0, 212])
def test_the_estimate_is_what_the_run_then_takes(world: Any, cached_entry: Any, cached: int) -> None:
    names = world.live(*[f"profile.{number}" for number in range(425)])
    world.cache_dir.mkdir()
    world.cache_file.write_text(json.dumps({name: cached_entry(name) for name in names[:cached]}))
    started = time.monotonic()
    result = world.run("--rate-limit", "10")
    took = time.monotonic() - started
    expected = {0: "2 h 42 min", 212: "1 h 21 min"}[cached]
    assert f"about {expected}, done at" in result.log
    hours, minutes = (int(number) for number in re.findall(r"\d+", expected))
    assert took == pytest.approx(hours * HOUR + minutes * MINUTE, rel=0.03)
