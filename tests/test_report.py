"""The one status of every row: in the report, the plan, the summary and the last words."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from typing import Any

import pytest
from conftest import Result, csv_cell, zipped
from standin import ACCOUNT_ID, cache_entry

NAMES = [f"profile.{number:03}" for number in range(12)]
API = f"--graph-api {ACCOUNT_ID}"
NOTHING_FOR = "Instagram's official API has nothing for its empty cells"
HINT = "--graph-api for those of the 1 withheld that are professional*"
NEXT = "run the same command again"
ONCE, NO_FORCE = f"{NEXT} once the connection is stable", ", but WITHOUT --force"


def run(world: Any, *flags: str) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAtest")
        return world.run("--report", str(world.report_file), *flags)


def outcomes(world: Any) -> list[tuple[str, str]]:
    return [(row["status"], row["detail"]) for row in world.report]


EVERY_STATUS = [  # handle, GENRE, Details -> username, status, detail
    ("@filled.one", "", "", "filled.one", "filled", "GENRE and Details"),
    ("@cached.one", "Food", "", "cached.one", "filled", "Details"),
    ("Filled.One", "", "Bread", "filled.one", "filled", "GENRE"),
    ("@filled.one", "Food", "Bread", "filled.one", "complete", ""),
    ("@empty.one", "", "", "empty.one", "empty", ""),
    ("@gone.one", "", "", "gone.one", "not_found", ""),
    ("a.b", "", "", "a.b", "withheld", "withheld (400): geoblock_required"),
    ("open.one", "", "", "open.one", "open", "unexpected status (418): a teapot"),
    ("failing.one", "x", "", "failing.one", "open", "server error (500): Instagram"),
    ("#N/A", "", "", "", "no_handle", "empty or none"),
    ("@osk - TikTok", "", "", "", "no_handle", "on another network"),
    ("two\nlines", "Food", "Bread", "", "no_handle", "not a username"),
    *((cell, "", "", "", "no_handle", "not a username") for cell in ("=1+1", "+49 30 1", "-x y-")),
]


def test_every_row_has_its_status_and_what_there_is_to_say_about_it(world: Any) -> None:
    world.live("filled.one", "empty.one", "cached.one")
    world.standin.users["empty.one"].update(biography="", category_name=None)
    world.standin.behaviour = {"a.b": "geoblock", "open.one": "418", "failing.one": "500"}
    world.remember(cache_entry("cached.one", fetched_at="=1\u001b[2J\r\nx"))
    rows = "".join(",".join(map(csv_cell, row[:3])) + "\n" for row in EVERY_STATUS)
    world.input.write_text("A list\nHandle,GENRE,Details\n" + rows)
    assert run(world, "--username-column", "Handle").code == 1
    for number, row, (cell, _, _, *expected) in zipped(range(3, 18), world.report, EVERY_STATUS):
        assert list(row) == ["row", "handle", "username", "status", "detail", "fetched_at"]
        handle = ("'" if cell[0] in "=+-@" else "") + cell.replace("\n", " ")
        assert list(row.values())[:5] == [str(number), handle, *expected]
        is_cached = row["status"] in ("filled", "empty", "complete", "not_found")
        time = r"'=1 \[2J x" if cell == "@cached.one" else r"\d{4}-\d\d-\d\dT.*\+00:00"
        assert bool(re.fullmatch(time, row["fetched_at"])) == is_cached


def test_the_api_has_statuses_of_its_own_and_the_report_is_of_one_run_only(world: Any) -> None:
    world.live("a", "b", "c", "d")
    world.standin.users["b"]["is_business_account"] = False
    world.standin.users["d"]["biography"] = ""
    world.input.write_text("Handle,GENRE,Details\n@a,,\n@b,,\n@c,,Loves bread\n@d,Food,\n")
    first, last = ("filled", "Details"), ("empty", "")
    assert run(world, *API.split()).code == 0
    assert outcomes(world) == [first, ("not_professional", ""), ("empty", NOTHING_FOR), last]
    world.standin.behaviour = {"b": "geoblock"}
    assert "Plan: 4 rows: 1 filled, 1 empty, 2 pending; 2 profiles to fetch" in run(world).log
    withheld = ("withheld", "withheld (400): geoblock_required")
    assert outcomes(world) == [first, withheld, ("filled", "GENRE"), last]
    world.clock.at(0.5, lambda: signal.raise_signal(signal.SIGINT))
    assert run(world).code == 130
    assert outcomes(world) == [first, ("pending", ""), ("filled", "GENRE"), last]


def test_it_is_there_from_the_start_and_with_each_checkpoint(world: Any) -> None:
    seen: list[int] = []

    def watch(name: str) -> None:
        filled = sum(map(bool, world.biographies().values()))
        expected = [("filled", "GENRE and Details")] * filled + [("pending", "")] * (12 - filled)
        assert outcomes(world) == expected
        seen.append(filled)

    world.live(*NAMES)
    header = "row,handle,username,status,detail,fetched_at\n"
    world.report_file.write_text(f"{header}2,'@profile.000,,open,called her,\n")
    world.standin.watch = watch
    assert run(world, "-b", "5").code == 0
    assert seen == [0] * 5 + [5] * 5 + [10] * 2


GEO, BOTH = "geoblock", f"{NEXT}; {HINT}"
CTRL_C = "Interrupted by SIGINT. Stopped at row 7 (@profile.005)"
OUT = "Nothing could be fetched for 24 h (blocked (401): *): wait a day before the next run*row *"
EXPIRED, WRONG = (f"*190*expired*. Stopped at row {at}" for at in ("4 (*.002)", "2 (*.000)"))
RUNS: list[Any] = [  # flags, answers, what happens -> code, counts, how it ended, what helps
    ("", {2: "404"}, "", 0, "11 filled, 1 not found", "Done: every profile is settled", ""),
    ("", {1: GEO}, "", 1, "11 filled, 1 withheld", "Done", HINT),
    ("", {1: GEO, 2: "500"}, "", 1, "10 filled, 1 withheld, 1 open", "Done", f"{ONCE}; {HINT}"),
    ("", {1: "500", 2: "418"}, "", 1, "10 filled, 2 open", "Done", f"{NEXT} tomorrow"),
    ("", {1: "401"}, "", 1, "11 filled, 1 open", "Done", f"{NEXT} in an hour"),
    ("--limit 3", {1: "500", 5: "418"}, "", 1, "2 filled, 1 open", "Done", ONCE),
    ("-f", {1: "418"}, "remember", 1, "11 filled, 1 open", "Done", f"{NEXT} tomorrow{NO_FORCE}"),
    ("", {0: GEO, 1: "418"}, "press", 130, "3 filled, 1 withheld, 1 open, 7 pending", CTRL_C, BOTH),
    ("", {0: GEO}, "block", 1, "5 filled, 1 withheld, 6 pending", OUT, BOTH),
    (API, {2: "190"}, "", 1, "2 filled, 10 pending", EXPIRED, NEXT),
    (API, {0: "190"}, "", 2, "12 pending", WRONG, NEXT),
]


@pytest.mark.parametrize("case", RUNS, ids=lambda case: f"{case[5][:20]} {case[0]}")
def test_plan_summary_report_exit_code_and_last_words_agree(world: Any, case: Any) -> None:
    flags, answers, happens, code, counts, ended, helps = case
    world.live(*NAMES)
    world.standin.behaviour = {NAMES[index]: answer for index, answer in answers.items()}
    if happens == "press":  # Ctrl+C, in the sixth request
        process = os.getpid()
        world.standin.watch = lambda name: name == NAMES[5] and os.kill(process, signal.SIGINT)
    elif happens == "block":
        world.standin.watch = lambda name: "401" if len(world.standin.log) > 5 else None
    elif happens == "remember":
        world.remember(*map(cache_entry, NAMES))
    exit_code, log = run(world, *flags.split())
    assert exit_code == code
    rows = 3 if "limit" in flags else 12
    assert f"  Plan: {rows} rows: {rows} pending; {rows} profiles to fetch from" in log
    assert re.findall(r"  (\d+ rows: .*)", log) == [f"{rows} rows: {counts}"]
    pairs = re.findall(r"(\d+) ([a-z ]+)", counts)
    of_status = Counter({status: int(count) for count, status in pairs})
    statuses = [status.replace("_", " ") for status, _ in outcomes(world)]
    assert Counter(statuses) == of_status + Counter(pending=12 - rows)
    assert re.search(rf"  {world.standin.requests} requests? in \d", log)
    in_vain = of_status["withheld"] + of_status["open"]
    assert log.count("Still open: @") == in_vain
    assert ("Categories: " in log) == ("filled" in counts and flags != API)
    still_open = in_vain + of_status["pending"]
    goal = "to get them" if ended == "Done" else "to resume"
    left = f"with {still_open} of {rows} rows still open; everything is saved; {goal}: {helps}"
    words = f"{ended}, {left if still_open else 'and everything is saved'}"
    assert re.search(r":\d\d  " + re.escape(words).replace(r"\*", ".*") + "\n$", log)


@pytest.mark.parametrize(("others", "more"), [(7, []), (8, ["4 more (--report CSV lists all)"])])
def test_ten_categories_and_twenty_open_rows_are_named(world: Any, others: int, more: Any) -> None:
    counts = {"Artist": 4, "Actor": 2, "Blogger": 2, **{f"Other {n}": 1 for n in range(others)}}
    kinds = [kind for kind in reversed(counts) for _ in range(counts[kind])]
    names = world.live(*map("a{}".format, range(len(kinds) + (24 if more else 20))))
    for name, kind in zip(names, kinds):
        world.standin.users[name]["category_name"] = kind
    withheld = names[len(kinds) :]
    world.standin.behaviour = dict.fromkeys(withheld, "geoblock")
    log = run(world).log
    shown = ", ".join("{} {}".format(*each) for each in [*counts.items()][:10])
    assert f"\n\n  Categories: {shown}{' …' if more else ''}\n" in log
    lines = [f"@{name}: withheld (400): geoblock_required" for name in withheld[:20]]
    assert re.findall(r"Still open: (.*)", log) == lines + more
