"""Fetching: the three rules (tries; five in a row, then a known profile; passes), and the hint."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from standin import ANSWERS, cache_entry

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(130)]
HOUR = 3600.0
KNOWN = "known.one"
FLAGS = ("--batch-pause", "1800")


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clocks once an hour: where nobody closes the lid, a day's wait is over sooner."""
    monkeypatch.setattr(ig, "POLL_INTERVAL", HOUR)


@pytest.fixture
def with_known(world: Any) -> Any:
    """A world with a known profile that is not in the list, and one that is cached without data."""
    world.live(KNOWN)
    personal = cache_entry("personal.one", biography=None, error="NOT_PROFESSIONAL")
    world.remember(cache_entry(KNOWN), personal)
    random.seed(4)  # of the profiles that are drawn
    return world


def pauses(world: Any) -> list[int]:
    """The gaps between requests of over two minutes, in minutes."""
    return [round(gap / 60) for gap in world.standin.gaps if gap > 130]


# ---- Rule 1: tries ----

TRIES = [
    *((kind, [60, 60, 60]) for kind in ("401", "login page", "404 please wait")),
    *((kind, [5, 10, 20]) for kind in ("500", "reset", "torn")),
]


@pytest.mark.parametrize(("kind", "waits"), TRIES)
def test_blocks_and_network_errors_are_tried_again(world: Any, kind: str, waits: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.burst += ["live", *[kind] * 3]
    assert world.run("-r", "60").code == 0
    assert world.standin.names == [names[0], *[names[1]] * 4, names[2]]
    gaps = world.standin.gaps[1:4]
    assert all(wait <= gap < wait + 8 for wait, gap in zip(waits, gaps)), gaps
    assert world.all_live


UNSHOWN = [("418", 4, "4 open"), ("somebody else", 4, "4 open"), ("geoblock", 7, "7 withheld")]


@pytest.mark.parametrize(("kind", "count", "words"), UNSHOWN)
def test_a_profile_that_is_unexpected_or_withheld_costs_one_request_and_is_never_cached(
    world: Any, kind: str, count: int, words: str
) -> None:
    names = world.live(*NAMES[:9])
    unshown = names[1 : 1 + count]
    world.standin.behaviour = dict.fromkeys(unshown, kind)
    result = world.run()
    assert result.code == 1
    assert world.standin.names == names
    assert world.cache.keys() == {*names}.difference(unshown)
    assert f"Still open: @{names[1]}: " in result.log and words in result.log


def test_where_the_first_request_reaches_nothing_there_is_nothing_to_wait_for(world: Any) -> None:
    world.live(*NAMES[:12])
    world.standin.shutdown()
    world.standin.server_close()
    result = world.run()
    assert result.code == 1 and world.cache == {}
    assert world.clock.skipped < 0.05 * HOUR
    assert result.log.count("try ") == 3
    assert result.log.count("Instagram's web address can't be reached") == 1
    assert '"last_processed_index": 0' in world.progress_file.read_text()


# ---- Rule 2: five in a row, then a known profile ----


@pytest.mark.parametrize("known", ["live", "geoblock"])
@pytest.mark.parametrize("kinds", [["401"], ["500"], ["418"], ["401", "418", "500"]])
def test_at_five_in_a_row_a_known_one_is_fetched(with_known: Any, kinds: Any, known: str) -> None:
    world, names = with_known, with_known.live(*NAMES[:8])
    world.standin.behaviour[KNOWN] = known
    world.standin.watch = lambda name: (
        kinds[len(world.standin.log) % len(kinds)] if name in names[:5] else None
    )
    result = world.run(*FLAGS)
    assert world.standin.names.index(KNOWN) == 5
    assert f"Known profile @{KNOWN} is answered" in result.log
    assert pauses(world) == [], "the five were about those profiles"
    assert world.cache.keys() == {KNOWN, "personal.one", *names[5:]}


def test_what_a_known_profile_has_confirmed_no_outage_takes_back(with_known: Any) -> None:
    world, names = with_known, with_known.live(*NAMES[:12])
    world.standin.burst += [*["418"] * 5, "live", *["418"] * 6]
    assert world.run(*FLAGS).code == 1
    assert [world.standin.names.count(name) for name in names] == [1] * 5 + [2] * 5 + [1] * 2
    assert world.cache.keys() >= {*names[5:]} and not world.cache.keys() & {*names[:5]}


@pytest.mark.parametrize("answer", ["live", "asset deleted"])
def test_an_answer_begins_the_count_anew(with_known: Any, answer: str) -> None:
    names = with_known.live(*NAMES[:9])
    with_known.standin.behaviour = {**dict.fromkeys(names, "418"), names[4]: answer}
    assert with_known.run().code == 1
    assert KNOWN not in with_known.standin.names


@pytest.mark.parametrize("kind", ["401", "418", "404"])
def test_an_outage_is_waited_out_and_nothing_said_in_it_counts(with_known: Any, kind: str) -> None:
    world, names = with_known, with_known.live(*NAMES[:9])
    world.standin.burst += ["live", "live", *[kind] * (5 + 1 + 5)]
    assert world.run(*FLAGS).code == 0 and world.all_live
    sent = world.standin.names
    in_a_row = list(dict.fromkeys(sent[2:7]))
    assert {*sent[7:14]} == {KNOWN, *names[:2]}, "drawn from the cache, and once after each pause"
    rest = [name for name in names[2:] if name not in in_a_row]
    assert sent[14:] == [*rest, *in_a_row], "those of the outage come last, as if never fetched"


GROWING = ["live", "live", *["418"] * 11]
TWICE = [*["418"] * 7, "live", "live", *["418"] * 6]


PAUSES = [
    ("1800", GROWING, [30, 60, 120, 240, 240, 240]),
    ("1800", TWICE, [30, 60, 30]),  # after an answer the next outage begins anew
    ("0", GROWING, [1, 2, 4, 8, 16, 32]),
    ("90", GROWING, [1.5, 3, 6, 12, 24, 48]),
    ("18000", ["418"] * 8, [300] * 3),
    ("1800", ["live", *["reset"] * 13], [1, 2, 4, 8, 15, 15, 15, 15]),
    ("1800", [*["500"] * 10, "401", "500"], [1, 2, 4, 8, 15, 30, 15]),
]


@pytest.mark.parametrize(("flag", "answers", "minutes"), PAUSES)
def test_pauses_of_an_outage_grow(with_known: Any, flag: str, answers: Any, minutes: Any) -> None:
    with_known.live(*NAMES[:20])
    with_known.standin.burst += answers
    assert with_known.run("--batch-pause", flag).code == 0
    gaps = [gap / 60 for gap in with_known.standin.gaps if gap > 50]
    assert gaps == pytest.approx(minutes, rel=0.12)
    assert with_known.all_live


ENDS = [
    *((kind, 0, 4, 9, "wait a day before the next run") for kind in ("401", "418", "404")),
    *((kind, 3, 24, 15, "wait a day before the next run") for kind in ("401", "418", "404")),
    ("500", 3, 24, 105, "check the connection"),
]


@pytest.mark.parametrize(("kind", "live_before", "hours", "requests", "advice"), ENDS)
def test_an_outage_ends_the_run_after_24_hours_or_after_4_where_nobody_is_known(
    world: Any, kind: str, live_before: int, hours: int, requests: int, advice: str
) -> None:
    world.live(*NAMES[:40])
    world.standin.burst += [*["live"] * live_before, *[kind] * 999]
    result = world.run(*FLAGS)
    assert result.code == 1
    assert len(world.standin.log) - live_before == requests
    assert hours <= world.clock.skipped / HOUR < hours + 0.2
    assert sum(world.standin.gaps[live_before:]) > hours * HOUR - 1, "one last question"
    last_words = result.log.splitlines()[-1]
    assert f"Nothing could be fetched for {hours} h (" in last_words
    assert f"): {advice}. Stopped" in last_words and "everything is saved" in last_words
    assert len(world.cache) == live_before and not world.gone


def test_where_nobody_is_known_the_next_of_the_queue_tells_after_each_pause(world: Any) -> None:
    names = world.live(*NAMES[:12])
    world.standin.burst += [*["418"] * 7, "live", *["418"] * 6]
    assert world.run(*FLAGS).code == 0 and world.all_live
    assert pauses(world) == [30, 60, 120, 30], "known by then, the next outage begins anew"
    assert world.standin.names[:13] == [*names, names[0]], "those of the first outage come first"


@pytest.mark.parametrize(("kind", "profiles"), [("401", 1), ("login page", 3), ("404", 50)])
def test_a_block_of_6_hours_is_waited_out(with_known: Any, kind: str, profiles: int) -> None:
    world = with_known
    world.live(*NAMES[:profiles])
    world.standin.blocked_until, world.standin.blocked_with = time.monotonic() + 6 * HOUR, kind
    assert world.run(*FLAGS).code == 0
    assert sum(request.answer == kind for request in world.standin.log) <= 9
    assert world.all_live and not world.gone


@pytest.mark.parametrize("seconds", [14400, 5000])
def test_a_block_of_long_waits_ends_after_24_hours_too(with_known: Any, seconds: int) -> None:
    with_known.live(*NAMES[:30])
    with_known.standin.burst += [(429, {"Retry-After": str(seconds)}, b"")] * 99
    assert with_known.run(*FLAGS).code == 1
    assert all(gap >= seconds for gap in with_known.standin.gaps[:-1])
    assert with_known.clock.skipped < 24 * HOUR + 6 * seconds


def test_the_machines_sleep_is_no_part_of_the_24_hours(with_known: Any) -> None:
    with_known.live(*NAMES[:6])
    with_known.standin.burst += ["418"] * 7
    with_known.clock.at(600, lambda: with_known.clock.close_lid(60 * HOUR))
    assert with_known.run(*FLAGS).code == 0


# ---- Rule 3: passes ----


@pytest.mark.parametrize("kind", ["404", "null", "page"])
def test_gone_is_who_was_not_found_in_two_passes_running(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour = dict.fromkeys((names[0], names[3]), kind)
    result = world.run()
    assert result.code == 0 and world.gone == [names[0], names[3]]
    *passes, known = world.standin.names
    assert passes == [*names, names[0], names[3]]
    assert known in world.cache.keys() - {*world.gone}, "asked once for all of them"
    assert f"@{names[3]}: left open: not found" in result.log
    assert "Not found in two passes running, so gone: 2" in result.log
    assert max(world.standin.gaps) < 10


EACH = [  # what each profile of a list is answered, whenever it is fetched; and which one is gone
    *((f"live, 404 {second}, live", None) for second in ("live", "401", "500", "418", "geoblock")),
    # What is blocked or a network error is fetched again in the second pass, and in no other.
    ("live, 401 401 401 401 401, live", None),
    ("401 401 401 401 401, live, 404 404 404, 404 live", 2),
    ("500 500 500 500 500, live, 404 404 404, 404 live", 2),
    # As long as a pass finds somebody who was not found before, there is another.
    ("404 404 404 404 404, 404 404 404 live, 404 404 live, 404 live, live", 0),
    ("live, 404 geoblock, 404 404 live", None),
    ("404 404, live, 401 401 401 401 live, live", 0),
    ("live, 404 404 401, 404 live", None),
    # Where nobody is known, nothing that was not found is fetched again.
    ("404, geoblock, 401 401 401 401 401, geoblock", None),
]


@pytest.mark.parametrize(("answers", "gone"), EACH)
def test_nobody_is_fetched_without_a_reason(world: Any, answers: str, gone: int | None) -> None:
    of_each = [each.split() for each in answers.split(", ")]
    names = world.live(*NAMES[: len(of_each)])
    left = {name: iter(each) for name, each in zip(names, of_each)}
    world.standin.watch = lambda name: next(left[name], None)
    code = world.run().code
    asked = world.standin.names[: None if gone is None else -1]  # the last one is a known profile
    assert [asked.count(name) for name in names] == [len(each) for each in of_each]
    assert world.gone == ([] if gone is None else [names[gone]])
    live = {name for name, each in zip(names, of_each) if each[-1] == "live"}
    assert world.cache.keys() == {*live, *world.gone}
    assert code == (len(world.cache) < len(names))


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


def test_not_found_in_the_pass_before_counts_over_any_outage(with_known: Any) -> None:
    world, names = with_known, with_known.live(*NAMES[:12])
    gone = [*names[:3], *names[6:9]]
    world.standin.behaviour = dict.fromkeys(gone, "404")
    world.standin.watch = lambda name: "401" if 12 <= len(world.standin.log) < 12 + 6 else None
    assert world.run(*FLAGS).code == 0
    assert sorted(world.gone) == gone
    assert [world.standin.names.count(name) for name in gone] == [3, 3, 3, 3, 3, 2]


def test_an_outage_in_the_second_pass_takes_back_the_end_of_the_first(with_known: Any) -> None:
    world, names = with_known, with_known.live(*NAMES[:9])
    # Everybody is not found, from the last three of the first pass on, for a while.
    world.standin.watch = lambda name: "404" if 6 <= len(world.standin.log) < 13 else None
    assert world.run(*FLAGS).code == 0 and world.all_live
    assert world.standin.names[6:11] == [*names[6:], *names[6:8]]
    assert pauses(world) == [30, 60], "five in a row, and a known profile twice"
    _, *again = world.standin.names[13:]
    assert sorted(again) == names[6:], "nobody stands in the queue twice"


def test_not_found_in_an_outage_is_none_of_two_but_a_find_is_a_find(with_known: Any) -> None:
    world, names = with_known, with_known.live(*NAMES[:12])
    answers = {  # the fifth failure in a row, and the known profile, make it an outage
        names[0]: ["404", "live"],
        names[1]: ["404", "404", "live"],
        **{name: ["418", "live"] for name in names[2:5]},
        names[7]: ["404", "404", "live"],
        KNOWN: ["404"],
    }
    world.standin.watch = lambda name: answers[name].pop(0) if answers.get(name) else None
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
    world.standin.burst += [*first_pass, *["404"] * 6, "live", "live", *["404"] * 4, "live"]
    assert world.run(*FLAGS).code == 0
    assert sorted(world.gone) == gone
    known_ones, fetched_again = 3, 2 * [blocked, *gone]
    assert len(world.standin.log) == len(first_pass) + len(fetched_again) + known_ones


def test_one_that_an_outage_takes_back_from_the_first_pass_gets_its_tries(with_known: Any) -> None:
    (name,) = with_known.live(NAMES[0])
    with_known.standin.burst += [*["401"] * 5, "401", "live", *["500"] * 3]
    assert with_known.run(*FLAGS).code == 0
    assert with_known.standin.names == [*[name] * 5, KNOWN, KNOWN, *[name] * 4]


SHARES = [(4, 0, 0), (39, 0, 0), *((gone, 0.05, seed) for gone in (0, 30) for seed in range(3))]


@pytest.mark.parametrize(("gone_ones", "lies", "seed"), SHARES)
def test_random_lies_make_nobody_gone(world: Any, gone_ones: int, lies: float, seed: int) -> None:
    names, dice = world.live(*NAMES[: 100 + gone_ones]), random.Random(seed)
    gone = {*dice.sample(names, gone_ones)}
    world.standin.watch = lambda name: "404" if name in gone or dice.random() < lies else None
    world.run("--batch-pause", "0", "-r", "60")
    assert {*world.gone} <= gone
    assert world.cache.keys() >= {*names} - gone
    if not lies:
        assert {*world.gone} == gone
        assert len(world.standin.log) - 100 <= 2.4 * gone_ones, "who is gone costs few requests"


# ---- Locked out ----

HINT = "No profile could be fetched yet"
FIRST_ANSWERS = [
    *(([kind] * 99, 1) for kind in ("401", "429", "login page")),
    *(([kind, "401"], 1) for kind in ("500", "418", "404")),
    *(([kind, "401"], 0) for kind in ("live", "asset deleted")),
    *(([kind], 0) for kind in ("500", "418", "404")),
]


@pytest.mark.parametrize(("answers", "count"), FIRST_ANSWERS)
def test_a_block_before_any_answer_brings_one_hint(world: Any, answers: Any, count: int) -> None:
    world.live(*NAMES[:10])
    world.remember(cache_entry("old.one"))  # answered in an earlier run
    world.standin.burst += answers
    log = world.run().log
    assert log.count(HINT) == log.partition("blocked")[0].count(HINT) == count


# ---- 25 bad answers ----


@pytest.mark.parametrize("live_before", [0, 7])
@pytest.mark.parametrize("kind", sorted({*ANSWERS, "reset", "torn", "closed", "torn_page"}))
def test_25_bad_answers_lose_and_falsify_nothing(world: Any, kind: str, live_before: int) -> None:
    world.live(*NAMES[:12])
    world.standin.burst += [*["live"] * live_before, *[kind] * 25]
    assert any(world.run("--batch-pause", "60").code == 0 for _ in range(9))
    assert world.all_live and len(world.cache) == 12
    assert len(world.standin.log) <= 12 + 25 + 12
