"""Fetching: the three rules (tries; five in a row, then a known profile; passes), and the hint."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest
from standin import ANSWERS

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(400)]
MINUTE, HOUR = 60.0, 3600.0
KNOWN = "known.one"

BLOCKS = [
    *("401", "429", "403", "login page", "redirect to login"),
    *("400 checkpoint", "200 status fail", "404 please wait"),
]
NETWORK = ["500", "reset", "torn"]
UNEXPECTED = [
    *("418", "400", "400 useragent", "400 SecFetch", "redirect elsewhere"),
    *("list", "empty user", "somebody else", "no biography"),
]
NOT_FOUND = ["404", "null", "page"]
WITHHELD = ["asset deleted", "geoblock"]
FLAGS = ("--batch-pause", "1800")


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clocks once an hour: where nobody closes the lid, a day's wait is over sooner."""
    monkeypatch.setattr(ig, "POLL_INTERVAL", HOUR)


@pytest.fixture
def with_known(world: Any, cached_entry: Any) -> Any:
    """A world with a known profile that is not in the list, and one that is cached without data."""
    world.live(KNOWN)
    personal = cached_entry("personal.one", biography=None, error="NOT_PROFESSIONAL")
    world.remember(cached_entry(KNOWN), personal)
    random.seed(4)  # of the profiles that are drawn
    return world


def pauses(world: Any) -> list[int]:
    """The gaps between requests of over two minutes, in minutes."""
    return [round(gap / 60) for gap in world.standin.gaps if gap > 2 * MINUTE + 10]


def hours_since(started: float) -> float:
    return (time.monotonic() - started) / HOUR


def answer_with(world: Any, *answers: str) -> None:
    """Answer the first requests so; `live` as usual."""
    world.standin.burst.extend(answers)


# ---- Rule 1: tries ----


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_blocked_profile_is_tried_again_three_times_each_after_a_minute(
    world: Any, kind: str
) -> None:
    names = world.live(*NAMES[:3])
    answer_with(world, *[kind] * 3)
    assert world.run().code == 0
    assert world.standin.names == [names[0]] * 4 + names[1:]
    assert all(MINUTE <= gap < MINUTE + 10 for gap in world.standin.gaps[:3])
    assert world.all_live


@pytest.mark.parametrize("kind", NETWORK)
def test_a_network_error_is_tried_again_three_times_with_a_growing_wait(
    world: Any, kind: str
) -> None:
    names = world.live(*NAMES[:2])
    answer_with(world, "live", *[kind] * 3)
    assert world.run("-r", "60").code == 0
    assert world.standin.names == [names[0], *[names[1]] * 4]
    waits = world.standin.gaps[1:]
    assert 5 <= waits[0] < 15 <= 10 + waits[1] < 30 and 20 <= waits[2] < 30
    assert world.all_live


@pytest.mark.parametrize("kind", UNEXPECTED)
def test_an_unexpected_response_is_not_tried_again_in_any_pass(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:3])
    world.standin.behaviour[names[1]] = kind
    result = world.run()
    assert result.code == 1
    assert world.standin.names == names
    assert f"Still open: @{names[1]}: " in result.log
    assert world.cache.keys() == {names[0], names[2]}


@pytest.mark.parametrize("kind", WITHHELD)
def test_a_withheld_profile_costs_one_request_and_is_never_cached(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour = dict.fromkeys(names[1:8], kind)
    result = world.run()
    assert result.code == 1
    assert world.standin.names == names
    assert world.cache.keys() == {names[0], names[8]}
    assert "7 withheld" in result.log and "--graph-api" in result.log.splitlines()[-1]


@pytest.mark.parametrize("address", ["closed port", "no host"])
def test_where_the_first_request_reaches_nothing_there_is_nothing_to_wait_for(
    world: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    world.live(*NAMES[:12])
    if address == "closed port":
        world.standin.shutdown()
        world.standin.server_close()
    else:
        monkeypatch.setattr(ig, "API_URL", "http://nobody.invalid/")
    started = time.monotonic()
    result = world.run()
    assert result.code == 1
    assert hours_since(started) < 0.05
    assert result.log.count("try ") == 3
    assert result.log.count("Instagram's web address can't be reached") == 1
    assert world.cache == {}
    assert json.loads(world.progress_file.read_text())["last_processed_index"] == 0


def test_a_server_that_answers_with_errors_from_the_first_request_on_is_waited_for(
    world: Any,
) -> None:
    world.live(*NAMES[:12])
    answer_with(world, *["500"] * 15)
    assert world.run().code == 0
    assert world.all_live


# ---- Rule 2: five in a row, then a known profile ----


@pytest.mark.parametrize("kinds", [["401"], ["500"], ["418"], ["401", "418", "500"]])
def test_at_five_in_a_row_trying_ends_and_a_known_profile_is_fetched_once(
    with_known: Any, kinds: list[str]
) -> None:
    world, names = with_known, with_known.live(*NAMES[:8])
    world.standin.watch = lambda name: (
        kinds[len(world.standin.log) % len(kinds)] if name in names[:5] else None
    )
    result = world.run(*FLAGS)
    sent = world.standin.names
    assert sent.index(KNOWN) == 5
    assert f"Known profile @{KNOWN} is answered" in result.log
    assert pauses(world) == [], "the five were about those profiles"
    assert world.cache.keys() == {KNOWN, "personal.one", *names[5:]}


def test_failures_that_a_known_profile_has_confirmed_are_not_taken_back_by_an_outage(
    with_known: Any,
) -> None:
    world, names = with_known, with_known.live(*NAMES[:12])
    answer_with(world, *["418"] * 5, "live", *["418"] * 6)
    assert world.run(*FLAGS).code == 1
    assert [world.standin.names.count(name) for name in names] == [1] * 5 + [2] * 5 + [1] * 2
    assert world.cache.keys() >= set(names[5:]) and not world.cache.keys() & set(names[:5])


@pytest.mark.parametrize("answer", ["live", "asset deleted"])
def test_an_answer_begins_the_count_anew(with_known: Any, answer: str) -> None:
    world, names = with_known, with_known.live(*NAMES[:9])
    world.standin.behaviour = dict.fromkeys(names, "418")
    world.standin.behaviour[names[4]] = answer
    assert world.run().code == 1
    assert KNOWN not in world.standin.names


def test_a_known_profile_that_is_withheld_is_answered(with_known: Any) -> None:
    world, names = with_known, with_known.live(*NAMES[:5])
    world.standin.behaviour = {KNOWN: "asset deleted", **dict.fromkeys(names, "418")}
    assert world.run(*FLAGS).code == 1
    assert world.standin.names == [*names, KNOWN]
    assert pauses(world) == []


@pytest.mark.parametrize("kind", ["401", "418", "404", "null", "page"])
def test_an_outage_is_waited_out_with_growing_pauses_and_nothing_said_in_it_counts(
    with_known: Any, kind: str
) -> None:
    world, names = with_known, with_known.live(*NAMES[:9])
    answer_with(world, "live", "live", *[kind] * (5 + 1 + 5))
    result = world.run(*FLAGS)
    assert result.code == 0 and world.all_live
    assert pauses(world) == [30, 60, 120, 240, 240, 240]
    sent = world.standin.names
    in_a_row = list(dict.fromkeys(sent[2:7]))
    asked = sent[7:14]
    assert {*asked} == {KNOWN, *names[:2]}, "drawn from the cache, and once after each pause"
    rest = [name for name in names[2:] if name not in in_a_row]
    assert sent[14:] == [*rest, *in_a_row], "those of the outage come last, as if never fetched"


def test_after_an_answer_the_next_outage_begins_with_the_first_pause(with_known: Any) -> None:
    world = with_known
    world.live(*NAMES[:20])
    answer_with(world, *["418"] * 7, "live", "live", *["418"] * 6)
    assert world.run(*FLAGS).code == 1 or world.all_live
    assert pauses(world) == [30, 60, 30]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("0", [1, 2, 4]), ("60", [1, 2, 4]), ("90", [1.5, 3, 6]), ("18000", [300, 300, 300])],
)
def test_pauses_are_as_long_as_those_between_batches_but_a_minute_at_least(
    with_known: Any, flag: str, expected: list[int]
) -> None:
    with_known.live(*NAMES[:10])
    answer_with(with_known, *["418"] * 8)
    with_known.run("--batch-pause", flag)
    gaps = [gap / 60 for gap in with_known.standin.gaps if gap > 50]
    assert gaps == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize("kind", NETWORK)
def test_pauses_after_a_network_error_are_short(with_known: Any, kind: str) -> None:
    with_known.live(*NAMES[:10])
    answer_with(with_known, "live", *[kind] * (5 + 8))
    assert with_known.run(*FLAGS).code == 0
    gaps = [round(gap / 60) for gap in with_known.standin.gaps if gap > 50]
    assert gaps == [1, 2, 4, 8, 15, 15, 15, 15]
    assert with_known.all_live


def test_pauses_of_a_block_that_follows_on_a_network_error_go_on_from_the_first(
    with_known: Any,
) -> None:
    with_known.live(*NAMES[:10])
    answer_with(with_known, *["500"] * 10, "401", "500")
    assert with_known.run(*FLAGS).code == 0
    gaps = [round(gap / 60) for gap in with_known.standin.gaps if gap > 50]
    assert gaps == [1, 2, 4, 8, 15, 30, 15]


@pytest.mark.parametrize("kind", [*BLOCKS, *UNEXPECTED, *NOT_FOUND])
@pytest.mark.parametrize(("live_before", "hours", "requests"), [(0, 4, 9), (3, 24, 15)])
def test_an_outage_ends_the_run_after_24_hours_or_after_4_where_nobody_is_known(
    world: Any, kind: str, live_before: int, hours: int, requests: int
) -> None:
    world.live(*NAMES[:40])
    answer_with(world, *["live"] * live_before, *[kind] * 99)
    started = time.monotonic()
    result = world.run(*FLAGS)
    assert result.code == 1
    assert len(world.standin.log) - live_before == requests
    assert hours <= hours_since(started) < hours + 0.2
    assert world.standin.log[-1].time - started > hours * HOUR - 1, "one last question"
    last_words = result.log.splitlines()[-1]
    assert f"Nothing could be fetched for {hours} h" in last_words
    assert "wait a day" in last_words and "everything is saved" in last_words
    assert len(world.cache) == live_before and not world.gone


def test_an_outage_of_the_network_ends_without_a_word_of_waiting_a_day(with_known: Any) -> None:
    with_known.live(*NAMES[:5])
    answer_with(with_known, *["500"] * 999)
    result = with_known.run()
    assert "for 24 h (server error (500): Instagram): check the connection" in result.log
    assert "wait a day" not in result.log


def test_where_nobody_is_known_the_next_of_the_queue_tells_after_each_pause(world: Any) -> None:
    names = world.live(*NAMES[:12])
    answer_with(world, *["418"] * 7, "live", *["418"] * 6)
    assert world.run(*FLAGS).code == 0 and world.all_live
    assert pauses(world) == [30, 60, 120, 30], "known by then, the next outage begins anew"
    assert world.standin.names[:12] == names
    assert world.standin.names[12] == names[0], "those of the first outage come first"


@pytest.mark.parametrize(
    ("kind", "profiles"),
    [("401", 1), ("login page", 3), ("401", 50), ("418", 50), ("404", 50)],
)
def test_a_block_of_6_hours_is_waited_out_in_one_run(
    with_known: Any, kind: str, profiles: int
) -> None:
    world = with_known
    world.live(*NAMES[:profiles])
    world.standin.blocked_until, world.standin.blocked_with = time.monotonic() + 6 * HOUR, kind
    assert world.run(*FLAGS).code == 0
    assert sum(request.answer == kind for request in world.standin.log) <= 9
    assert world.all_live and not world.gone


@pytest.mark.parametrize("pair", [("401", "500"), ("418", "503"), ("reset", "401")])
def test_a_block_of_mixed_kinds_costs_few_requests(with_known: Any, pair: tuple[str, str]) -> None:
    world = with_known
    world.live(*NAMES[:50])
    world.standin.watch = lambda name: pair[len(world.standin.log) % 2]
    started = time.monotonic()
    assert world.run(*FLAGS).code == 1
    assert hours_since(started) < 25
    assert len(world.standin.log) <= 110


@pytest.mark.parametrize("seconds", [14400, 5000])
def test_a_block_that_asks_for_long_waits_ends_after_24_hours_too(
    with_known: Any, seconds: int
) -> None:
    world = with_known
    world.live(*NAMES[:30])
    world.standin.burst.extend([(429, {"Retry-After": str(seconds)}, b"")] * 99)
    started = time.monotonic()
    assert world.run(*FLAGS).code == 1
    assert all(gap >= seconds for gap in world.standin.gaps[:-1])
    assert hours_since(started) < 24 + 6 * seconds / HOUR


def test_the_machines_sleep_is_no_part_of_the_24_hours(with_known: Any) -> None:
    world = with_known
    world.live(*NAMES[:6])
    answer_with(world, *["418"] * 7)
    world.clock.at(600, lambda: world.clock.close_lid(60 * HOUR))
    assert world.run(*FLAGS).code == 0


# ---- Rule 3: passes ----


@pytest.mark.parametrize("kind", NOT_FOUND)
def test_gone_is_who_was_not_found_in_two_passes_running(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour = dict.fromkeys((names[0], names[3]), kind)
    result = world.run()
    assert result.code == 0
    assert world.gone == [names[0], names[3]]
    *passes, known = world.standin.names
    assert passes == [*names, names[0], names[3]]
    assert known in world.cache.keys() - set(world.gone), "asked once for all of them"
    assert f"@{names[3]}: left open: not found" in result.log
    assert "Not found in two passes running, so gone: 2" in result.log
    assert max(world.standin.gaps) < 10


@pytest.mark.parametrize("second", ["live", "401", "500", "418", "somebody else", "asset deleted"])
def test_not_found_once_and_then_something_else_is_not_gone(world: Any, second: str) -> None:
    names = world.live(*NAMES[:3])
    answers = iter(["404"])
    world.standin.watch = lambda name: next(answers, second) if name == names[1] else None
    assert world.run().code == (second != "live")
    assert world.standin.names == [*names, names[1]], "with one request, not four"
    assert not world.gone


@pytest.mark.parametrize("kind", ["401", "500"])
def test_blocked_profiles_and_network_errors_get_one_request_more(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:4])
    world.standin.behaviour[names[1]] = kind
    assert world.run().code == 1
    assert world.standin.names == [names[0], *[names[1]] * 4, *names[2:], names[1]]


def test_as_long_as_a_pass_finds_somebody_the_others_are_fetched_once_more(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = world.live(*NAMES[:20])
    monkeypatch.setattr(ig.random, "choice", lambda known: known[0])
    flickers = {names[2]: 1, names[5]: 2, names[8]: 3}  # how often it is not found at first
    gone, blocked = names[11], names[14]

    def watch(name: str) -> Any:
        times = world.standin.names.count(name)
        return "404" if times < flickers.get(name, 0) or name == gone else None

    world.standin.watch = watch
    world.standin.behaviour[blocked] = "401"
    assert world.run().code == 1
    assert world.gone == [gone]
    assert [world.standin.names.count(name) for name in (*flickers, gone)] == [2, 3, 4, 5]
    assert world.standin.names.count(blocked) == 4 + 1, "no pass but the second is for these"


def test_one_that_is_withheld_after_all_is_found(world: Any) -> None:
    names = world.live(*NAMES[:6])
    answers = {names[1]: iter(["404", "asset deleted"]), names[4]: iter(["404", "404", "live"])}
    world.standin.watch = lambda name: next(answers[name]) if name in answers else None
    assert world.run().code == 1
    assert not world.gone and names[4] in world.cache


def test_no_pass_more_is_made_for_one_that_was_blocked_and_is_answered(world: Any) -> None:
    names = world.live(*NAMES[:9])
    world.standin.watch = lambda name: (
        "401" if name == names[5] and world.standin.names.count(name) < 4 else None
    )
    world.standin.behaviour[names[2]] = "404"
    assert world.run().code == 0
    assert world.standin.names.count(names[2]) == 2 and world.gone == [names[2]]


def test_one_that_is_blocked_in_the_last_pass_is_not_gone(world: Any) -> None:
    names = world.live(*NAMES[:9])
    answers = {names[2]: iter(["404", "404", "401"]), names[5]: iter(["404", "live"])}
    world.standin.watch = lambda name: next(answers[name], None) if name in answers else None
    assert world.run().code == 1
    assert not world.gone and names[2] not in world.cache


@pytest.mark.parametrize("kind", ["401", "404", "500"])
def test_nobody_is_gone_if_no_known_profile_is_answered_at_the_end(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:6])
    world.standin.behaviour[names[2]] = "404"
    world.standin.watch = lambda name: kind if len(world.standin.log) == 7 else None
    result = world.run(*FLAGS)
    assert result.code == 1 and not world.gone
    assert len(world.standin.log) == 8 and pauses(world) == [], "it stays open without a pause"
    assert f"Still open: @{names[2]}: not found" in result.log
    assert world.run(*FLAGS).code == 0 and world.gone == [names[2]]


def test_where_nobody_is_known_who_is_not_found_is_left_at_that(world: Any) -> None:
    names = world.live(*NAMES[:4])
    answers = ("404", "asset deleted", "401", "asset deleted")
    world.standin.behaviour = dict(zip(names, answers))
    assert world.run().code == 1
    assert world.standin.names == [*names[:2], *[names[2]] * 4, names[3], names[2]]


def test_what_was_not_found_in_the_pass_before_counts_whatever_outage_comes_between(
    with_known: Any,
) -> None:
    world, names = with_known, with_known.live(*NAMES[:12])
    gone = [*names[:3], *names[6:9]]
    world.standin.behaviour = dict.fromkeys(gone, "404")
    world.standin.watch = lambda name: "401" if 12 <= len(world.standin.log) < 12 + 6 else None
    assert world.run(*FLAGS).code == 0
    assert sorted(world.gone) == gone
    assert [world.standin.names.count(name) for name in gone] == [3, 3, 3, 3, 3, 2]


def test_an_outage_in_the_second_pass_takes_back_what_was_said_at_the_end_of_the_first(
    with_known: Any,
) -> None:
    world, names = with_known, with_known.live(*NAMES[:9])
    # Everybody is not found, from the last three of the first pass on, for a while.
    world.standin.watch = lambda name: "404" if 6 <= len(world.standin.log) < 13 else None
    assert world.run(*FLAGS).code == 0 and world.all_live
    assert world.standin.names[6:11] == [*names[6:], *names[6:8]]
    assert pauses(world) == [30, 60], "five in a row, and a known profile twice"
    assert sorted(world.standin.names[13:]) == sorted([world.standin.names[13], *names[6:]]), (
        "nobody stands in the queue twice"
    )


def test_not_found_within_an_outage_is_none_of_two_but_a_find_later_is_a_find(
    with_known: Any,
) -> None:
    world, names = with_known, with_known.live(*NAMES[:12])
    answers = {  # the fifth failure in a row, and the known profile, make it an outage
        names[0]: ["404", "live"],
        names[1]: ["404", "404", "live"],
        **{name: ["418", "live"] for name in names[2:5]},
        names[7]: ["404", "404", "live"],
    }
    known = iter(["404"])

    def watch(name: str) -> Any:
        if name == KNOWN or name in names[5:7]:
            return next(known, None) if name == KNOWN else None
        return answers[name].pop(0) if answers.get(name) else None

    world.standin.watch = watch
    assert world.run(*FLAGS).code == 0
    assert world.all_live and not world.gone
    assert world.standin.names.count(names[7]) == 3


def test_not_found_in_two_passes_that_are_not_running_is_not_gone(world: Any) -> None:
    names = world.live(*NAMES[:5])
    _, *gone, _, flickers = names
    times = {names[0]: 1, **dict.fromkeys(gone, 9), flickers: 3}

    def watch(name: str) -> Any:
        if len(world.standin.log) == 11:
            return "404"  # the known profile, after the third pass's first two: an outage
        times[name] = times.get(name, 0) - 1
        return "404" if times[name] >= 0 else None

    world.standin.watch = watch
    assert world.run("-r", "60").code == 1
    assert pauses(world) == [30]
    assert flickers not in world.cache, "what was said in the second pass was undone"


def test_what_an_outage_took_back_of_a_pass_is_no_reason_for_another(with_known: Any) -> None:
    world, names = with_known, with_known.live(*NAMES[:8])
    blocked, gone = names[0], [*names[2:4], *names[5:7]]
    first_pass = [*["401"] * 4, "live", "404", "404", "live", "404", "404", "live"]
    outage = ["404"] * 6
    answer_with(world, *first_pass, *outage, "live", "live", *["404"] * 4, "live")
    assert world.run(*FLAGS).code == 0
    assert sorted(world.gone) == gone
    known_ones, fetched_again = 3, 2 * [blocked, *gone]
    assert len(world.standin.log) == len(first_pass) + len(fetched_again) + known_ones


def test_one_that_an_outage_takes_back_from_the_first_pass_gets_its_tries(with_known: Any) -> None:
    world, names = with_known, with_known.live(NAMES[0])
    answer_with(world, *["401"] * 5, "401", "live", *["500"] * 3)
    assert world.run(*FLAGS).code == 0
    assert world.standin.names == [*names * 5, KNOWN, KNOWN, *names * 4]


@pytest.mark.parametrize("share", [0.03, 0.3])
def test_a_gone_profile_costs_less_than_two_and_a_half_requests(world: Any, share: float) -> None:
    names = world.live(*NAMES)
    gone = set(random.Random(1).sample(names, int(share * 400)))
    world.standin.behaviour = dict.fromkeys(gone, "404")
    assert world.run("--batch-pause", "0").code == 0
    assert set(world.gone) == gone
    assert len(world.standin.log) - (400 - len(gone)) <= 2.4 * len(gone)


@pytest.mark.parametrize("gone_too", [0, 30])
@pytest.mark.parametrize("seed", range(3))
def test_random_words_of_not_found_make_nobody_gone(world: Any, seed: int, gone_too: int) -> None:
    names, dice = world.live(*NAMES[: 100 + gone_too]), random.Random(seed)
    gone = set(dice.sample(names, gone_too))
    world.standin.watch = lambda name: "404" if name in gone or dice.random() < 0.05 else None
    world.run("--batch-pause", "0", "-r", "60")
    assert set(world.gone) <= gone
    assert world.cache.keys() >= set(names) - gone


# ---- Locked out ----

HINT = "No profile could be fetched yet"


@pytest.mark.parametrize("kind", ["401", "429", "login page"])
def test_the_first_block_of_a_run_without_an_answer_brings_the_word_once(
    world: Any, cached_entry: Any, kind: str
) -> None:
    world.live(*NAMES[:10])
    world.remember(cached_entry("old.one"))
    world.standin.watch = lambda name: kind
    log = world.run().log
    assert log.count(HINT) == 1
    assert HINT in log.partition("try 2 of 4")[0]


@pytest.mark.parametrize("before", [["live"], ["asset deleted"], ["500"], ["418"], ["404"]])
def test_the_word_is_for_blocks_before_any_answer_only(world: Any, before: list[str]) -> None:
    world.live(*NAMES[:3])
    answer_with(world, *before)
    assert HINT not in world.run().log
    answer_with(world, *before, "401")
    world.cache_file.unlink()
    assert (HINT in world.run().log) is (before[0] not in ("live", "asset deleted"))


# ---- 25 bad answers ----


@pytest.mark.parametrize("live_before", [0, 7])
@pytest.mark.parametrize("kind", sorted({*ANSWERS, "reset", "torn", "closed", "torn_page"}))
def test_25_bad_answers_in_a_row_lose_and_falsify_nothing(
    world: Any, kind: str, live_before: int
) -> None:
    world.live(*NAMES[:12])
    answer_with(world, *["live"] * live_before, *[kind] * 25)
    for _ in range(9):
        code = world.run("--batch-pause", "60").code
        assert not world.gone
        if code == 0:
            break
    assert code == 0
    assert world.all_live and len(world.cache) == 12
    assert len(world.standin.log) <= 12 + 25 + 12
