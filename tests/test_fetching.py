"""Fetching: the four rules (tries, witness, pauses, second pass), and being locked out."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import time
from typing import Any

import pytest
from standin import ANSWERS, data, user

import instagram_enrichment

NAMES = [f"profile.{number:03}" for number in range(400)]
MINUTE, HOUR = 60.0, 3600.0

BLOCKS = [
    "401",
    "429",
    "403",
    "login page",
    "redirect to login",
    "400 checkpoint",
    "200 status fail",
    "404 please wait",
]
UNEXPECTED = [
    *("418", "400", "400 useragent", "400 SecFetch", "redirect elsewhere"),
    *("list", "empty user", "somebody else", "no biography"),
]
WITHHELD = ["asset deleted", "geoblock"]
NOT_FOUND = ["404", "null", "page"]


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the clocks once an hour: where nobody closes the lid, a day's wait is over sooner."""
    monkeypatch.setattr(instagram_enrichment, "POLL_INTERVAL", HOUR)


def long_pauses(world: Any) -> list[int]:
    """The gaps between requests of over two minutes, in minutes."""
    return [round(gap / 60) for gap in world.standin.gaps if gap > 2 * MINUTE + 10]


def hours(started: float) -> float:
    return (time.monotonic() - started) / HOUR


# ---- Rule 1: tries ----


@pytest.mark.parametrize("kind", BLOCKS)
def test_tries_a_block_waits_a_minute_before_each_of_three_retries(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:3])
    world.standin.burst.extend([kind] * 3)
    assert world.run().code == 0
    assert world.standin.names == [names[0]] * 4 + names[1:]
    assert all(MINUTE <= gap < MINUTE + 10 for gap in world.standin.gaps[:3])
    assert world.all_live


def test_tries_a_network_error_is_tried_again_with_a_growing_wait(world: Any) -> None:
    names = world.live(*NAMES[:2])
    world.standin.burst.extend(["live", "500", "reset", "torn"])
    assert world.run("-r", "60").code == 0
    assert world.standin.names == [names[0], *[names[1]] * 4]
    waits = world.standin.gaps[1:]
    assert 5 <= waits[0] < 15 <= 10 + waits[1] < 30
    assert 20 <= waits[2] < 30
    assert world.all_live


@pytest.mark.parametrize("kind", ["401", "500", "reset"])
def test_tries_end_after_the_fourth_and_then_the_witness_is_fetched(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:3])
    world.standin.behaviour[names[1]] = kind
    assert world.run().code == 1
    assert world.standin.names == [names[0], *[names[1]] * 4, names[0], names[2]]


@pytest.mark.parametrize("kind", UNEXPECTED)
def test_tries_an_answer_that_is_unexpected_is_not_tried_again(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:3])
    world.standin.behaviour[names[1]] = kind
    result = world.run()
    assert result.code == 1
    assert world.standin.names == [names[0], names[1], names[0], names[2]]
    assert f"Still open: @{names[1]}: " in result.log
    assert max(world.standin.gaps) < 10


def test_tries_after_any_block_nothing_is_sent_for_a_minute_not_even_for_the_witness(
    world: Any,
) -> None:
    names = world.live(*NAMES[:20])
    world.standin.behaviour[names[4]] = "401"
    assert world.run().code == 1
    refused = [at for at, request in enumerate(world.standin.log) if request.answer == "401"]
    assert [world.standin.gaps[at] >= MINUTE for at in refused] == [True] * 4


def test_tries_of_the_first_profile_in_vain_end_the_run_where_nothing_answers_at_all(
    world: Any,
) -> None:
    world.live(*NAMES[:12])
    world.standin.server_close()
    world.standin.shutdown()
    started = time.monotonic()
    result = world.run()
    assert result.code == 1
    assert time.monotonic() - started < 2 * MINUTE
    assert result.log.count("Instagram's web address can't be reached") == 1
    assert world.cache == {}
    assert json.loads(world.progress_file.read_text()) == {"last_processed_index": 0}


def test_tries_of_a_server_that_answers_with_errors_from_the_first_request_on_go_on(
    world: Any,
) -> None:
    names = world.live(*NAMES[:12])
    world.standin.burst.extend(["500"] * 15)
    assert world.run().code == 0
    assert len(world.cache) == len(names) and world.all_live


# ---- Rule 2: the witness ----


@pytest.mark.parametrize("kind", [*BLOCKS, *UNEXPECTED, "500", "torn"])
def test_witness_fine_a_profile_without_data_is_left_open_and_holds_nobody_up(
    world: Any, kind: str
) -> None:
    names = world.live(*NAMES[:20])
    world.standin.behaviour[names[4]] = kind
    started = time.monotonic()
    result = world.run()
    assert result.code == 1
    assert world.cache.keys() == set(names) - {names[4]}
    assert not world.gone
    tries = 1 if kind in UNEXPECTED else 4
    assert world.standin.names.count(names[4]) == tries, (
        "such a profile is not fetched again in this run"
    )
    assert len(world.standin.log) == 19 + tries + 1
    assert f"Still open: @{names[4]}: " in result.log
    assert "run the same command again" in result.log
    assert hours(started) < 0.15


@pytest.mark.parametrize("kind", NOT_FOUND)
@pytest.mark.parametrize("at", [0, 3, 8])
def test_not_found_is_believed_when_it_is_said_once_more_at_the_end(
    world: Any, kind: str, at: int
) -> None:
    names = world.live(*NAMES[:9])
    gone = names[at]
    world.standin.behaviour[gone] = kind
    result = world.run()
    assert result.code == 0
    assert world.gone == [gone]
    sent = world.standin.names
    assert [name for name in sent if name != sent[at + 1]].count(gone) == 2
    assert sent[at] == gone and sent[-1] == gone, "as far apart as the run allows"
    assert sent[at + 1] in (names[:at] or ["instagram"])
    assert len(sent) == 9 + 2, "the second time needs no witness"
    assert f"@{gone}: not found" in result.log and "checking a known profile" in result.log
    assert f"Known profile @{sent[at + 1]} is fine: only @{gone} is affected" in result.log
    assert f"@{gone}: left open: not found" in result.log and "; again at the end |" in result.log
    assert "Back to the profiles that are still open: 1" in result.log
    assert max(world.standin.gaps) < 10


@pytest.mark.parametrize("second", ["live", "401", "500", "418", "somebody else", "asset deleted"])
def test_not_found_once_and_then_something_else_is_not_believed(world: Any, second: str) -> None:
    names = world.live(*NAMES[:3])
    answers = iter(["404"])
    world.standin.watch = lambda name: next(answers, second) if name == names[1] else None
    assert world.run().code == (second != "live")
    assert not world.gone
    assert world.cache.keys() == {names[0], names[2], *([names[1]] if second == "live" else [])}
    assert (world.standin.names[-1] in (names[0], names[2])) is (
        second not in ("live", "asset deleted")
    ), "in doubt the witness is fetched again"


def test_not_found_that_is_said_of_a_profile_with_data_is_believed_of_nobody(world: Any) -> None:
    names = world.live(*NAMES[:6])
    world.standin.behaviour = {names[1]: "404", names[2]: "null", names[3]: "404"}
    answers = iter(["404"])
    world.standin.watch = lambda name: next(answers, None) if name == names[5] else None
    result = world.run()
    assert result.code == 1
    assert world.gone == [names[2]], "the other way of saying so was not refuted"
    assert world.biographies()[names[5]] == f"The biography of {names[5]}"
    for name in (names[1], names[3]):
        assert f"Still open: @{name}: not found (404)" in result.log
    assert "open again" in result.log, "those that were believed before it was refuted"
    assert world.run().code == 0
    assert set(world.gone) == set(names[1:4])


def test_not_found_of_a_witness_that_had_data_refutes_it_too(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.standin.behaviour[names[1]] = "404"
    count = iter(range(99))
    world.standin.watch = lambda name: "404" if name == names[0] and next(count) == 1 else None
    result = world.run()
    assert result.code == 1
    assert world.standin.names == [
        *names[:2],
        *(names[0], "instagram"),
        *names[2:],
        names[1],
        world.standin.names[-1],
    ]
    assert not world.gone


@pytest.mark.parametrize("kind", [*NOT_FOUND, None])
@pytest.mark.parametrize("share", [0.02, 0.3])
@pytest.mark.parametrize("seed", range(2))
def test_not_found_at_random_makes_no_live_profile_gone(
    world: Any, kind: str, share: float, seed: int
) -> None:
    world.live(*NAMES[:120])
    dice = random.Random(seed)
    world.standin.watch = lambda name: (
        kind or dice.choice(NOT_FOUND) if dice.random() < share else None
    )
    world.run("--batch-pause", "0")
    assert not world.gone


@pytest.mark.parametrize("kind", NOT_FOUND)
def test_not_found_costs_three_requests_a_profile(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:100])
    world.standin.behaviour = dict.fromkeys(names[10::3], kind)
    assert world.run("--batch-pause", "0").code == 0
    assert set(world.gone) == set(names[10::3])
    assert len(world.standin.log) == 70 + 3 * 30


def test_not_found_five_times_in_a_row_while_nobody_is_live_is_an_outage(world: Any) -> None:
    """The web address may have closed to all but @instagram."""
    names = world.live(*NAMES[:30])
    world.standin.watch = lambda name: None if name == "instagram" else "404"
    result = world.run("--batch-pause", "1800")
    assert result.code == 1
    assert not world.gone
    assert len(world.standin.log) < 25
    assert long_pauses(world) == [30, 60, 120, 30]
    assert world.standin.names[:2] == [names[0], "instagram"]


@pytest.fixture
def refuted(world: Any) -> list[str]:
    """Six profiles; the second is not found, and the last only once, so that it is refuted."""
    names = world.live(*NAMES[:6])
    world.standin.behaviour = {names[1]: "404"}
    answers = iter(["404"])
    world.standin.watch = lambda name: next(answers, None) if name == names[5] else None
    return names


def test_not_found_that_is_refuted_is_taken_back_before_the_next_request(world: Any) -> None:
    names = world.live(*NAMES[:6])
    world.standin.behaviour = {names[1]: "404"}
    answers = iter(["404"])
    cached_then: list[set[str]] = []

    def look(name: str) -> str | None:
        if name == names[5]:
            cached_then.append(set(world.cache))
        return next(answers, None) if name == names[4] else "404" if name == names[5] else None

    world.standin.watch = look
    assert world.run().code == 1
    assert cached_then[1] == set(names) - {names[1], names[5]}


def test_not_found_that_cannot_be_taken_back_costs_no_profile(
    world: Any, refuted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "ig_cache.json")

    monkeypatch.setattr(instagram_enrichment.Cache, "undo_not_found", refuse)
    result = world.run()
    assert result.code == 1
    assert "Could not save (ig_cache.json: Read-only file system)" in result.log
    assert world.cache[refuted[5]]["biography"] == f"The biography of {refuted[5]}"


def test_not_found_is_not_taken_back_of_what_another_program_knows_better(
    world: Any, refuted: list[str], cached_entry: Any
) -> None:
    answer_of = world.standin.watch

    def edit_before_the_last(name: str) -> str | None:
        answer: str | None = answer_of(name)
        if name == refuted[5] and answer is None:
            later = cached_entry(refuted[1], fetched_at="2100-01-01T00:00:00+00:00")
            world.cache_file.write_text(json.dumps({**world.cache, refuted[1]: later}))
        return answer

    world.standin.watch = edit_before_the_last
    assert world.run().code == 0
    assert world.all_live


def test_not_found_refuted_in_a_run_that_is_stopped_is_taken_back_all_the_same(
    world: Any, refuted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fetched_now = instagram_enrichment.fetched_now

    def interrupt_the_last(username: str, fields: Any) -> Any:
        if username == refuted[5]:
            raise instagram_enrichment.Interrupted(signal.SIGINT)
        return real_fetched_now(username, fields)

    monkeypatch.setattr(instagram_enrichment, "fetched_now", interrupt_the_last)
    assert world.run().code == 130
    assert refuted[1] not in world.cache


# ---- Withheld ----


@pytest.mark.parametrize("kind", WITHHELD)
def test_withheld_profiles_take_one_request_and_no_pause(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:100])
    withheld = {*names[:6], *names[7::3], *names[8::3]}
    world.standin.behaviour = {**dict.fromkeys(withheld, kind), "instagram": kind}
    started = time.monotonic()
    result = world.run("--batch-pause", "1800")
    assert result.code == 1
    assert world.standin.names == names
    assert hours(started) < 0.2
    assert world.cache.keys() == set(names) - withheld
    assert f"{len(withheld)} withheld, 0 without handle, {len(withheld)} still open" in result.log
    assert result.log.count("--graph-api") == 1
    assert result.log.rstrip().endswith(
        f"still open: of the {len(withheld)} withheld, "
        "--graph-api fetches professional accounts (the README says how)"
    )
    assert "same command" not in result.log, "which would bring nothing"
    assert HINT[0] not in result.log
    world.standin.log.clear()
    world.run()
    assert set(world.standin.names) == withheld, "withheld is not cached"


@pytest.mark.parametrize("kind", WITHHELD)
@pytest.mark.parametrize("live_before", [0, 3])
def test_withheld_is_an_answer_of_a_witness(world: Any, kind: str, live_before: int) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour = {names[live_before]: "418"}
    sent = world.standin.log
    world.standin.watch = lambda name: kind if len(sent) == live_before + 1 else None
    result = world.run()
    assert result.code == 1
    assert long_pauses(world) == []
    assert world.cache.keys() == set(names) - {names[live_before]}
    assert not world.gone


def test_withheld_makes_the_next_pause_a_first_one_and_breaks_a_row_of_open_profiles(
    world: Any,
) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour = {**dict.fromkeys(names, "418"), names[3]: "geoblock"}
    assert world.run("--batch-pause", "1800").code == 1
    before = next(count for count, gap in enumerate(world.standin.gaps, 1) if gap > 20 * MINUTE)
    assert set(names) <= set(world.standin.names[:before]), "the five below make the first pause"
    assert world.standin.names.count(names[0]) == 1
    assert world.standin.names.count(names[3]) == 1


def test_withheld_shows_that_we_are_not_locked_out(world: Any) -> None:
    world.live(*NAMES[:3])
    world.standin.burst.extend(["asset deleted", "401"])
    assert HINT[0] not in world.run().log


def test_withheld_and_other_open_profiles_end_with_a_word_on_each(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.standin.behaviour = {names[1]: "geoblock", names[2]: "418"}
    last = world.run().log.splitlines()[-1]
    again = "run the same command again tomorrow; of the 1 withheld, --graph-api fetches"
    assert again in last


def test_witness_is_drawn_at_random_from_the_live_profiles_of_the_cache(
    world: Any, cached_entry: Any
) -> None:
    old = [f"old{number}" for number in range(50)]
    gone = [f"gone{number}" for number in range(30)]
    world.live(*old)
    world.write(gone)
    dead = [
        cached_entry(f"dead{number}", biography=None, error="NOT_FOUND") for number in range(50)
    ]
    world.remember(*map(cached_entry, old), *dead)
    assert world.run().code == 0
    assert world.gone[50:] == gone
    witnesses = world.standin.names[1:60:2]
    assert set(witnesses) <= set(old)
    assert len(set(witnesses)) > 10


def test_witness_is_instagram_while_no_live_profile_is_known_and_is_never_cached(
    world: Any,
) -> None:
    names = world.live(*NAMES[:4])
    world.standin.behaviour = {names[0]: "404", names[1]: "418"}
    world.run()
    assert world.standin.names == [
        *(names[0], "instagram"),
        *(names[1], "instagram"),
        *(names[2], names[3], names[0]),
    ]
    assert "instagram" not in world.cache


def test_witness_may_be_a_profile_that_was_left_open_and_answered_later(world: Any) -> None:
    names = world.live(*NAMES[:2])
    world.standin.burst.extend(["418", "418", "live", "404", "live", "live", "418", "live"])
    assert world.run().code == 1
    assert world.standin.names == [
        *(names[0], "instagram", "instagram"),
        *(names[1], "instagram"),
        *(names[0], names[1], names[0]),
    ]


def test_witness_instagram_is_not_asked_twice_in_a_row(world: Any) -> None:
    world.live("instagram", "after")
    assert world.run("--limit", "1").code == 0
    del world.standin.users["instagram"]
    world.standin.behaviour = {"after": "418", "instagram": "404"}
    world.standin.log.clear()
    world.run_and_interrupt(30)
    assert world.standin.names == ["after", "instagram"]


@pytest.mark.parametrize("kind", NOT_FOUND)
def test_witness_that_has_gone_since_gives_way_to_instagram(
    world: Any, cached_entry: Any, kind: str
) -> None:
    world.write(["gone", "behind"])
    world.standin.users["behind"] = user("behind")
    world.standin.behaviour.update(gone=kind, once=kind)
    world.remember(cached_entry("once"))
    assert world.run().code == 0
    assert world.standin.names == ["gone", "once", "instagram", "behind", "gone"]
    assert world.gone == ["gone"], "the witness keeps what is known of it"


@pytest.mark.parametrize("kind", [*BLOCKS, *UNEXPECTED, "500", "reset", *NOT_FOUND])
@pytest.mark.parametrize("live_before", [0, 6])
def test_witness_failing_nothing_is_believed_and_the_run_pauses(
    world: Any, kind: str, live_before: int
) -> None:
    names = world.live(*NAMES[:12])
    tries = 4 if kind in BLOCKS or kind in ("500", "reset") else 1
    unreached = kind == "reset" and not live_before
    witnesses = 2 if kind in NOT_FOUND and live_before else 1
    world.standin.burst.extend(["live"] * live_before + [kind] * (tries + witnesses))
    result = world.run("--batch-pause", "1800")
    if unreached:
        assert result.code == 1 and "can't be reached" in result.log
        return
    assert result.code == 0
    assert len(world.cache) == len(names) and world.all_live
    fetched_twice = names[live_before]
    assert world.standin.names[-1] == fetched_twice, "it is fetched for again in the second pass"
    expected = [] if kind in ("500", "reset") else [30]
    assert long_pauses(world) == expected
    assert result.log.count("No profile can be fetched") == 1


@pytest.mark.parametrize(
    "kind",
    [*NOT_FOUND, "404 please wait", "404 require_login", "null errors", "null require_login"],
)
@pytest.mark.parametrize("live_before", [0, 1, 50])
def test_witness_an_answer_that_everybody_gets_makes_nobody_gone(
    world: Any, kind: str, live_before: int
) -> None:
    world.live(*NAMES[:100])
    world.standin.watch = lambda name: None if len(world.standin.log) < live_before else kind
    assert world.run().code == 1
    assert not world.gone
    assert len(world.cache) == live_before
    assert len(world.standin.log) <= live_before + 25


@pytest.mark.parametrize("kind", NOT_FOUND)
def test_witness_an_hour_of_not_found_for_everybody_makes_nobody_gone(
    world: Any, kind: str
) -> None:
    names = world.live(*NAMES[:100])
    started = time.monotonic()
    world.standin.watch = lambda name: (
        kind if 200 < time.monotonic() - started < 200 + HOUR else None
    )
    assert world.run().code == 0
    assert len(world.cache) == len(names) and world.all_live


def test_witness_an_answer_about_somebody_else_is_never_believed(world: Any) -> None:
    names = world.live(*NAMES[:10])
    shifted: list[str] = []

    def choose(name: str) -> Any:
        shifted.append(name)
        return data(
            200, {"data": {"user": user(shifted[-2] if len(shifted) > 1 else name)}, "status": "ok"}
        )

    world.standin.watch = choose
    assert world.run().code == 1
    assert set(world.cache) <= set(names)
    assert all(
        entry["biography"] == f"The biography of {name}" for name, entry in world.cache.items()
    )


def test_witness_a_username_in_another_case_is_the_same_profile(world: Any) -> None:
    world.live("one")
    world.standin.users["one"]["username"] = "One"
    assert world.run().code == 0


# ---- Rule 3: pauses ----


def test_pauses_begin_with_the_batch_pause_and_double_up_to_four_hours(world: Any) -> None:
    names = world.live(*NAMES[:30])
    checkpoints = []

    def note_output(username: str) -> Any:
        checkpoints.append(world.output.read_text().count("The biography"))

    world.standin.watch = note_output
    world.standin.burst.extend(["live", *["401"] * 10])
    result = world.run("--batch-pause", "1800")
    assert result.code == 0
    assert long_pauses(world) == [30, 60, 120, 240, 240, 240]
    assert checkpoints[6] == 1, "the checkpoint is written before the pause"
    assert world.standin.names[1:5] == [names[1]] * 4
    assert set(world.standin.names[5:12]) == {names[0]}, (
        "after each pause the witness is fetched, once"
    )
    assert world.standin.names[12] == names[2], "answered, the run goes on where it was"
    assert len(world.cache) == 30 and world.all_live


def test_pauses_begin_anew_once_the_witness_was_fine(world: Any) -> None:
    world.live(*NAMES[:40])
    outage = ["418"] * 2
    world.standin.burst.extend(["live", *outage, *["418"] * 2, "live", *outage])
    assert world.run("--batch-pause", "1800").code == 0
    assert long_pauses(world) == [30, 60, 120, 30]


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("0", [1, 2, 4]), ("20", [1, 2, 4]), ("60", [1, 2, 4]), ("90", [2, 3, 6])],
)
def test_pauses_are_a_minute_at_least(world: Any, flag: str, expected: list[int]) -> None:
    world.live(*NAMES[:10])
    world.standin.burst.extend(["live", *["418"] * 4])
    assert world.run("--batch-pause", flag).code == 0
    assert [round(gap / 60) for gap in world.standin.gaps if gap > 50] == expected


def test_pauses_longer_than_four_hours_stay_as_long_as_they_are(world: Any) -> None:
    world.live(*NAMES[:10])
    world.standin.burst.extend(["live", *["418"] * 4])
    assert world.run("--batch-pause", str(5 * 3600)).code == 0
    assert long_pauses(world) == [300, 300, 300]


@pytest.mark.parametrize("kind", ["500", "503", "reset", "torn"])
def test_pauses_are_short_where_a_network_or_a_server_fails(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:10])
    world.standin.burst.extend(["live", *[kind] * (4 + 8)])
    result = world.run("--batch-pause", "1800")
    assert result.code == 0
    assert [round(gap / 60) for gap in world.standin.gaps if gap > 50] == [
        1,
        2,
        4,
        8,
        15,
        15,
        15,
        15,
    ]
    assert len(world.cache) == len(names) and world.all_live


def test_pauses_for_a_block_after_those_for_the_network_are_no_longer_than_the_first(
    world: Any,
) -> None:
    world.live(*NAMES[:10])
    world.standin.burst.extend(["live", *["500"] * 9, "401", "500"])
    assert world.run("--batch-pause", "1800").code == 0
    assert [round(gap / 60) for gap in world.standin.gaps if gap > 50] == [1, 2, 4, 8, 15, 30, 15]


@pytest.mark.parametrize("kind", ["reset", "500"])
@pytest.mark.parametrize("minutes", [2, 10, 60, 480])
def test_pauses_last_at_most_20_minutes_beyond_an_outage(
    world: Any, kind: str, minutes: int
) -> None:
    names = world.live(*NAMES[:30])
    began: list[float] = []

    def outage(name: str) -> Any:
        if len(world.standin.log) == 10:
            began.append(time.monotonic())
        is_out = began and time.monotonic() < began[0] + minutes * MINUTE
        return kind if is_out else None

    world.standin.watch = outage
    assert world.run("--batch-pause", "1800").code == 0
    first = next(request for request in world.standin.log[10:] if request.answer == "live")
    assert first.time - began[0] - minutes * MINUTE < 20 * MINUTE
    assert len(world.cache) == len(names) and world.all_live


@pytest.mark.parametrize("kind", [*BLOCKS, *UNEXPECTED, *NOT_FOUND])
@pytest.mark.parametrize("batch_pause", ["0", "1800"])
@pytest.mark.parametrize(("live_before", "longest"), [(0, 4), (3, 24)])
def test_pauses_end_after_24_hours_or_after_4_where_nobody_was_ever_answered(
    world: Any, kind: str, batch_pause: str, live_before: int, longest: int
) -> None:
    world.live(*NAMES[:10])
    world.standin.burst.extend(["live"] * live_before + [kind] * 999)
    started = time.monotonic()
    result = world.run("--batch-pause", batch_pause)
    assert result.code == 1
    requests = len(world.standin.log) - live_before
    assert requests <= (14 if longest == 4 else 30)
    assert longest * HOUR - 1 <= time.monotonic() - started < (longest + 0.2) * HOUR
    assert world.standin.log[-1].time - started > longest * HOUR - MINUTE, "one last question"
    assert f"Still blocked after {longest} hours" in result.log
    assert "run the same command again" in result.log
    assert len(world.cache) == live_before


def test_pauses_for_an_outage_of_24_hours_end_without_a_word_of_waiting_a_day(world: Any) -> None:
    world.live(*NAMES[:5])
    world.standin.burst.extend(["live", *["500"] * 999])
    result = world.run()
    assert result.code == 1
    error = "server error (500): Instagram"
    assert f"Nothing could be fetched for 24 hours ({error}): check the connection" in result.log
    assert "wait a day" not in result.log


@pytest.mark.parametrize(
    "pair",
    [("401", "500"), ("418", "503"), ("reset", "401"), ("401", "418"), ("500", "login page")],
)
@pytest.mark.parametrize("batch_pause", ["0", "1800"])
def test_pauses_bound_the_requests_into_a_block_of_mixed_kinds(
    world: Any, pair: tuple[str, str], batch_pause: str
) -> None:
    world.live(*NAMES[:50])
    world.standin.watch = lambda name: (
        None if len(world.standin.log) < 5 else pair[len(world.standin.log) % 2]
    )
    assert world.run("--batch-pause", batch_pause).code == 1
    assert len(world.standin.log) <= 5 + 120
    assert len(world.cache) == 5


@pytest.mark.parametrize("seconds", ["14400", "7200", "5000"])
def test_pauses_of_a_block_that_asks_for_long_waits_end_after_24_hours_too(
    world: Any, seconds: str
) -> None:
    world.live(*NAMES[:30])
    world.standin.burst.extend(["live", *[(429, {"Retry-After": seconds}, b"")] * 99])
    started = time.monotonic()
    result = world.run()
    assert result.code == 1
    assert "Still blocked after 24 hours" in result.log
    assert all(gap >= int(seconds) for gap in world.standin.gaps[1:])
    assert hours(started) < 24 + 5 * int(seconds) / 3600


@pytest.mark.parametrize("kind", ["401", "login page", "403", "418", "404"])
@pytest.mark.parametrize("profiles", [1, 3, 50])
def test_pauses_of_a_block_of_6_hours_are_waited_out_in_one_run(
    world: Any, cached_entry: Any, kind: str, profiles: int
) -> None:
    names = world.live(*NAMES[:profiles], NAMES[-1])
    world.remember(cached_entry(NAMES[-1]))
    world.standin.blocked_until, world.standin.blocked_with = time.monotonic() + 6 * HOUR, kind
    assert world.run("--batch-pause", "1800").code == 0
    assert sum(request.answer == kind for request in world.standin.log) <= 12
    assert len(world.cache) == len(names) and world.all_live


def test_pauses_while_the_machine_sleeps_are_no_hours_without_an_answer(world: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.burst.extend(["live", *["418"] * 3])
    world.clock.at(600, lambda: world.clock.close_lid(60 * HOUR))
    assert world.run("--batch-pause", "1800").code == 0
    assert len(world.cache) == len(names)


def test_pauses_grow_on_until_a_profile_of_the_list_is_answered_where_only_instagram_ever_was(
    world: Any,
) -> None:
    world.live(*NAMES[:60])
    world.standin.watch = lambda name: None if name == "instagram" else "401"
    started = time.monotonic()
    result = world.run("--batch-pause", "1800")
    assert result.code == 1
    assert 4 * HOUR <= time.monotonic() - started < 5 * HOUR
    assert len(world.standin.log) <= 80
    assert "Still blocked after 4 hours" in result.log
    assert (
        next(count for count, gap in enumerate(world.standin.gaps, 1) if gap > 20 * MINUTE) == 25
    ), "five left open"


def test_pauses_where_only_instagram_was_answered_give_the_five_another_try(world: Any) -> None:
    names = world.live(*NAMES[:20])
    world.standin.watch = lambda name: (
        None if name == "instagram" or len(world.standin.log) >= 25 else "401"
    )
    assert world.run("--batch-pause", "1800").code == 0
    assert len(world.cache) == 20 and world.all_live
    assert world.standin.names[-5:] == names[:5]


def test_pauses_need_five_left_open_in_a_row_with_nobody_of_the_list_answered_in_between(
    world: Any,
) -> None:
    names = world.live(*NAMES[:9])
    world.standin.behaviour = dict.fromkeys([*names[:4], *names[5:]], "418")
    assert world.run("--batch-pause", "1800").code == 1
    assert long_pauses(world) == []
    assert list(world.cache) == [names[4]]


def test_pauses_four_left_open_in_a_row_are_none(world: Any) -> None:
    names = world.live(*NAMES[:6])
    world.standin.behaviour = dict.fromkeys(names[:4], "401")
    assert world.run("--batch-pause", "1800").code == 1
    assert long_pauses(world) == []
    assert world.standin.names.count(names[0]) == 4


@pytest.mark.parametrize("share", [2, 10])
def test_pauses_are_none_for_profiles_that_are_not_shown_to_us_while_others_are_answered(
    world: Any, share: int
) -> None:
    names = world.live(*NAMES[:100])
    world.standin.behaviour = {name: "401" for name in names[1::share]}
    started = time.monotonic()
    assert world.run("--batch-pause", "1800").code == 1
    assert long_pauses(world) == []
    assert hours(started) < {2: 5, 10: 1.5}[share]
    assert len(world.cache) == 100 - 100 // share


def test_pauses_are_none_for_a_dozen_leftovers_at_the_top_of_tomorrows_list(world: Any) -> None:
    names = world.live(*NAMES[:52])
    world.standin.behaviour = {name: "401" for name in names[:12]}
    world.write(names[12:22])
    assert world.run().code == 0
    world.write(names)
    started = time.monotonic()
    assert world.run("--batch-pause", "1800").code == 1
    assert hours(started) < 1.5
    assert world.cache.keys() == set(names[12:])


# ---- Rule 4: the second pass ----


def test_second_pass_fetches_once_more_for_what_was_left_open_at_an_outage(world: Any) -> None:
    names = world.live(*NAMES[:10])
    world.standin.burst.extend(["live", *["500"] * 5])
    result = world.run()
    assert result.code == 0
    assert world.standin.names[-1] == names[1]
    assert "Back to the profiles that are still open: 1" in result.log
    assert "[2/10] @profile.001: Blogger, bio of 28 characters | 0 s left" in result.log
    assert world.all_live
    assert not world.progress_file.exists()


def test_second_pass_leaves_a_profile_open_that_meets_an_outage_again(world: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.burst.extend(["live", *["418"] * 2, "live", "live", "418", "418"])
    result = world.run()
    assert result.code == 1
    assert world.standin.names.count(names[1]) == 2
    assert f"Still open: @{names[1]}: unexpected status (418)" in result.log
    assert long_pauses(world) == [30], "no pause where nothing is left to fetch"


@pytest.mark.parametrize("position", [0, 3, 10, 11, -1, 10**30, 2.0, True, None, "3", [3], {}])
def test_second_pass_a_wrong_position_costs_an_order_never_a_profile(
    world: Any, position: Any
) -> None:
    names = world.live(*NAMES[:10])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": position}))
    assert world.run().code == 0
    assert world.all_live
    start = position if type(position) is int and 0 <= position <= 10 else 0
    assert world.standin.names == names[start:] + names[:start]


def test_second_pass_does_not_move_the_position_back(world: Any) -> None:
    world.live(*NAMES[:6])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": 4}))
    positions = []

    def note(name: str) -> Any:
        positions.append(json.loads(world.progress_file.read_text())["last_processed_index"])

    world.standin.watch = note
    assert world.run().code == 0
    assert positions == [4, 5, 6, 6, 6, 6]


def test_second_pass_believes_nobody_to_be_gone_on_a_word_from_within_an_outage(
    world: Any,
) -> None:
    names = world.live(*NAMES[:6])
    world.standin.behaviour[names[2]] = "404"
    world.standin.burst.extend(["live", "live", "404", "404", "404"])
    assert world.run("--batch-pause", "1800").code == 1
    assert world.standin.names.count(names[2]) == 3, "in the outage, beside a witness, once more"
    assert not world.gone, "the witnesses of the outage, which had data before, were not found"
    assert world.run().code == 0
    assert world.gone == [names[2]]


# ---- Locked out ----

HINT = ("No profile could be fetched yet", "private window", "curl", "another network")


def test_locked_out_hint_is_logged_with_the_first_block_and_again_when_the_run_gives_up(
    world: Any,
) -> None:
    world.live(*NAMES[:10])
    world.standin.watch = lambda name: "401"
    result = world.run()
    assert result.code == 1
    before, _, after = result.log.partition("try 2 of 4")
    for word in HINT:
        assert before.count(word) == 1 and after.count(word) == 1
        assert (
            word
            in after.partition("Still blocked after 4 hours")[0].rpartition("we are blocked")[2]
        )


@pytest.mark.parametrize("kind", ["500", "418", "404"])
def test_locked_out_hint_is_no_matter_of_other_answers(world: Any, kind: str) -> None:
    world.live(*NAMES[:3])
    world.standin.burst.append(kind)
    assert HINT[0] not in world.run().log


def test_locked_out_hint_is_not_logged_of_a_block_in_mid_list(world: Any) -> None:
    world.live(*NAMES[:10])
    world.standin.watch = lambda name: None if len(world.standin.log) < 1 else "401"
    result = world.run()
    assert "Still blocked after 24 hours" in result.log
    assert HINT[0] not in result.log


@pytest.mark.parametrize(
    ("age", "error", "is_logged"),
    [(23, None, False), (23, "NOT_FOUND", False), (25, None, True), (-5, None, False)],
)
def test_locked_out_hint_is_not_logged_where_somebody_was_answered_in_the_last_24_hours(
    world: Any, cached_entry: Any, age: float, error: Any, is_logged: bool
) -> None:
    world.live(*NAMES[:3])
    fetched_at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - age * HOUR))
    world.remember(cached_entry("old", fetched_at=fetched_at, error=error))
    world.standin.burst.append("401")
    assert (HINT[0] in world.run().log) is is_logged


def test_locked_out_hint_is_logged_once(world: Any) -> None:
    world.live(*NAMES[:3])
    world.standin.burst.extend(["401"] * 3)
    assert world.run().log.count(HINT[0]) == 1


# ---- 25 bad answers ----


@pytest.mark.parametrize("live_before", [0, 7])
@pytest.mark.parametrize(
    "kind", sorted({*ANSWERS, "reset", "torn", "closed", "torn_page"} - {"reset"}) + ["reset"]
)
def test_25_bad_answers_in_a_row_lose_and_falsify_nothing(
    world: Any, kind: str, live_before: int
) -> None:
    names = world.live(*NAMES[:12])
    world.standin.burst.extend(["live"] * live_before + [kind] * 25)
    for _ in range(9):
        code = world.run("--batch-pause", "60").code
        assert not world.gone
        if code == 0:
            break
    assert code == 0
    assert len(world.cache) == len(names) and world.all_live
    assert len(world.standin.log) <= 12 + 25 + 12
