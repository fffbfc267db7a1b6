"""The list: batches, position, checkpoints, limit, force, resuming, the plan and each line."""

from __future__ import annotations

import json
import re
import shutil
import stat
import time
from typing import Any

import pytest
from standin import user

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(300)]
MINUTE, HOUR = 60.0, 3600.0


def pauses_after(world: Any) -> list[int]:
    """After how many requests the stand-in saw a long gap."""
    return [count for count, gap in enumerate(world.standin.gaps, 1) if gap > 20 * MINUTE]


# ---- Batches ----


def test_a_batch_counts_profiles_fetched_and_ends_without_a_pause(world: Any) -> None:
    world.live(*NAMES[:20])
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == [5, 10, 15]
    assert all(gap < 1800 + 10 for gap in world.standin.gaps)


def test_a_batch_counts_a_profile_once_however_many_requests_it_takes(world: Any) -> None:
    names = world.live(*NAMES[:6])
    world.standin.behaviour = {names[0]: "404", names[1]: "418"}
    assert world.run("-b", "5", "--batch-pause", "1800").code == 1
    assert pauses_after(world) == [2 + 2 + 3]


def test_cached_filled_and_unusable_rows_are_free(world: Any, cached_entry: Any) -> None:
    names = NAMES[:30]
    rows = [
        f"@{name},,\n#N/A,,\n@filled{index},a,b\n@{name},,\n" for index, name in enumerate(names)
    ]
    world.input.write_text("Handle,GENRE,Details\n" + "".join(rows))
    world.standin.users = {name: user(name) for name in names}
    world.remember(*map(cached_entry, names[:20]))
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert world.standin.names == names[20:]
    assert pauses_after(world) == [5]


@pytest.mark.parametrize("pause", ["0", "1800"])
def test_the_output_is_written_after_each_batch(world: Any, pause: str) -> None:
    world.live(*NAMES[:12])
    filled = []

    def note(username: str) -> Any:
        filled.append(world.output.read_text().count("The biography"))

    world.standin.watch = note
    world.run("-b", "4", "--batch-pause", pause)
    assert filled == [0] * 4 + [4] * 4 + [8] * 4


def test_a_checkpoint_comes_after_every_batch_size_of_profiles_whatever_the_pauses(
    world: Any,
) -> None:
    world.live(*NAMES[:40])
    filled = []

    def block_every_sixth_request(username: str) -> Any:
        filled.append(world.output.read_text().count("The biography"))
        return "401" if len(world.standin.log) % 6 == 5 else None

    world.standin.watch = block_every_sixth_request
    assert world.run("-b", "10", "--batch-pause", "30").code == 0
    assert sorted({*filled}) == [0, 10, 20, 30], "the pauses of a minute begin a batch, no more"


def test_without_a_batch_pause_there_is_none(world: Any) -> None:
    world.live(*NAMES[:12])
    result = world.run("-b", "4", "--batch-pause", "0")
    assert max(world.standin.gaps) < 10
    assert "paus" not in result.log


@pytest.mark.parametrize(
    ("recent", "age", "expected"),
    [(3, 60, [2, 7]), (3, 1700, [2, 7]), (3, 1801, [5]), (5, 60, [5]), (9, 60, [5])],
)
def test_the_batch_count_survives_a_restart(
    world: Any, cached_entry: Any, recent: int, age: float, expected: list[int]
) -> None:
    world.live(*NAMES[:9])
    fetched_at = ig.format_timestamp(time.time() - age)
    world.remember(*(cached_entry(f"old{index}", fetched_at=fetched_at) for index in range(recent)))
    started = time.monotonic()
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == expected
    waited_first = world.standin.log[0].time - started
    assert (1800 - age - 5 < waited_first < 1800 - age + 10) if recent >= 5 else waited_first < 20


def test_the_batch_that_a_restart_finds_began_after_the_last_gap_of_a_batch_pause(
    world: Any, cached_entry: Any
) -> None:
    world.live(*NAMES[:9])
    ages = [
        7200,
        7100,
        7000,
        *range(2000, 1980, -6),
        120,
        110,
    ]  # a pause lies between 1982 s and 120 s ago
    entries = [
        cached_entry(f"old{age}", fetched_at=ig.format_timestamp(time.time() - age)) for age in ages
    ]
    world.remember(*reversed(entries))
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == [3, 8]


@pytest.mark.parametrize("pause", ["1", "5", "12", "60", "600"])
def test_stopping_and_starting_again_never_fetches_two_batches_in_a_row(
    world: Any, monkeypatch: pytest.MonkeyPatch, pause: str
) -> None:
    names = world.live(*NAMES[:30])
    monkeypatch.setattr(ig.random, "random", lambda: 1.0)
    flags = ("-r", "10", "-b", "20", "--batch-pause", pause)
    assert world.run_and_interrupt(6 * 18 + 3, *flags).code == 130
    fetched = len(world.standin.log)
    assert 17 <= fetched < 20
    assert world.run(*flags).code == 0
    assert world.standin.gaps[19] >= float(pause)
    assert len(world.cache) == len(names)


def test_a_fetched_at_in_the_future_counts_as_now(world: Any, cached_entry: Any) -> None:
    world.live(*NAMES[:3])
    later = ig.format_timestamp(time.time() + 48 * HOUR)
    world.remember(*(cached_entry(f"old{index}", fetched_at=later) for index in range(4)))
    started = time.monotonic()
    assert world.run("-b", "5", "--batch-pause", "1800").code == 0
    assert pauses_after(world) == [1]
    assert time.monotonic() - started < HOUR


@pytest.mark.parametrize(
    "fetched_at",
    [None, "", "yesterday", "2026-13-45T00:00:00+00:00", 5, "9999-12-31T23:59:59+00:00"],
)
def test_a_fetched_at_that_is_none_counts_in_no_batch(
    world: Any, cached_entry: Any, fetched_at: Any
) -> None:
    world.live(*NAMES[:2])
    world.remember(cached_entry("old", fetched_at=fetched_at))
    assert world.run().code == 0


# ---- Limit, force, resuming ----


def test_limit_works_on_the_first_rows_only_and_writes_them_all(world: Any) -> None:
    names = world.live(*NAMES[:10])
    assert world.run("--limit", "3").code == 0
    assert world.standin.names == names[:3]
    assert len(world.rows) == 11
    assert json.loads(world.progress_file.read_text()) == {"last_processed_index": 3}
    assert world.run().code == 0
    assert world.standin.names == names
    assert world.all_live


def test_a_limit_never_moves_the_position_back(world: Any) -> None:
    world.live(*NAMES[:10])
    world.cache_dir.mkdir()
    world.progress_file.write_text('{"last_processed_index": 7}')
    assert world.run("--limit", "3").code == 0
    assert json.loads(world.progress_file.read_text()) == {"last_processed_index": 7}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", '{"last_processed_index"', "\0", "\ud800", "[" * 99999]
)
def test_an_unreadable_position_starts_at_the_top(world: Any, text: str) -> None:
    names = world.live(*NAMES[:5])
    world.cache_dir.mkdir()
    world.progress_file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert world.run().code == 0
    assert world.standin.names == names


def test_a_second_run_fetches_nothing_errors_included(world: Any) -> None:
    names = world.live(*NAMES[:10])
    world.standin.behaviour[names[3]] = "null"
    world.run()
    first, fetched = world.output.read_bytes(), len(world.standin.log)
    assert world.run().code == 0
    assert len(world.standin.log) == fetched
    assert world.output.read_bytes() == first


def test_ten_new_rows_in_a_cached_list_cost_ten_requests_and_no_pause(
    world: Any, cached_entry: Any
) -> None:
    old = [f"old{index}" for index in range(4000)]
    world.live(*old, *NAMES[:10])
    world.remember(*map(cached_entry, old))
    result = world.run()
    assert result.code == 0
    assert world.standin.names == NAMES[:10]
    assert pauses_after(world) == []
    assert "pauses" not in result.log
    assert world.all_live


def test_force_fetches_again_and_sets_the_old_cache_aside(world: Any) -> None:
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
    kept = [
        path.read_bytes().count(b"fetched_at")
        for path in world.cache_dir.glob("ig_cache.json.bak*")
    ]
    assert sorted(kept) == [1, 4, 4], "no backup is overwritten"


def test_force_in_mid_batch_makes_no_batch_longer(world: Any) -> None:
    world.live(*NAMES[:200])
    flags = ("-r", "60", "-b", "100", "--batch-pause", "1800")
    assert world.run_and_interrupt(90 * 3, *flags).code == 130
    assert world.run_and_interrupt(4 * 3, *flags, "--force").code == 130
    assert 70 < len(world.standin.log) < 100
    assert world.run(*flags).code == 0
    assert pauses_after(world)[0] == 100


def test_force_starts_at_the_top_and_does_not_fetch_early(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.standin.burst.extend(["live", (429, {"Retry-After": "3600"}, b"")])
    assert world.run_and_interrupt(60, "-r", "20").code == 130
    sent = world.standin.log[-1].time
    assert world.run("--force").code == 0
    assert world.standin.names[2:] == names
    assert world.standin.log[2].time - sent >= HOUR


# ---- Checkpoints ----


def test_a_checkpoint_that_cannot_be_written_is_logged_and_tried_again(world: Any) -> None:
    names = world.live(*NAMES[:12])
    world.move_output()

    def meddle(username: str) -> Any:
        if username == names[1]:
            shutil.rmtree(world.output.parent)
        if username == names[9]:
            world.output.parent.mkdir()

    world.standin.watch = meddle
    result = world.run("-b", "4", "--batch-pause", "1800")
    assert result.code == 0
    assert result.log.count("The output can't be written") == 2
    assert world.standin.names == names
    assert world.all_live


def test_a_last_checkpoint_that_cannot_be_written_ends_with_1_and_loses_nothing(world: Any) -> None:
    names = world.live(*NAMES[:6])
    world.move_output()

    def meddle(username: str) -> Any:
        if username == names[1]:
            shutil.rmtree(world.output.parent)

    world.standin.watch = meddle
    result = world.run()
    assert result.code == 1
    assert "in the cache, not in the output" in result.log
    assert list(world.cache) == names
    world.output.parent.mkdir()
    assert world.run().code == 0
    assert world.standin.names == names
    assert world.all_live


def test_an_output_that_is_replaced_keeps_its_permissions(world: Any) -> None:
    world.live(*NAMES[:2])
    for mode in (0o600, 0o664, 0o444):
        world.output.write_text("")
        world.output.chmod(mode)
        assert world.run().code == 0
        assert stat.S_IMODE(world.output.stat().st_mode) == mode


# ---- The log ----


def test_every_profile_fetched_has_a_line_with_position_find_and_eta(world: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.behaviour[names[1]] = "null"
    log = world.run("-r", "10").log
    assert re.search(
        r"\[1/3\] @profile\.000: Blogger, bio of 28 characters \| "
        r"12 s left, done at \d\d:\d\d:\d\d\n",
        log,
    )
    assert re.search(r"\[2/3\] @profile\.001: left open: not found .*; again at the end \| ", log)
    assert "[2/3] @profile.001: not found | 0 s left" in log


@pytest.mark.parametrize("cached", [0, 212])
def test_the_estimate_is_what_the_run_then_takes(
    world: Any, cached_entry: Any, cached: int
) -> None:
    names = world.live(*[f"profile.{number}" for number in range(425)])
    world.remember(*map(cached_entry, names[:cached]))
    started = time.monotonic()
    result = world.run("--rate-limit", "10")
    took = time.monotonic() - started
    expected, pauses = {0: ("2 h 42 min", 4), 212: ("1 h 21 min", 2)}[cached]
    assert (
        f"with {pauses} pauses of 30 min between batches of 100: about {expected}, done at"
        in result.log
    )
    hours, minutes = (int(number) for number in re.findall(r"\d+", expected))
    assert took == pytest.approx(hours * HOUR + minutes * MINUTE, rel=0.03)


@pytest.mark.parametrize(
    ("profiles", "fetched", "pauses"),
    [
        (100, 0, 0),
        (101, 0, 1),
        (200, 0, 1),
        (201, 0, 2),
        (1, 99, 0),
        (2, 99, 1),
        (1, 100, 1),
        (100, 100, 1),
        (101, 100, 2),
    ],
)
def test_the_plan_counts_the_pauses_that_there_will_be(
    world: Any, cached_entry: Any, profiles: int, fetched: int, pauses: int
) -> None:
    world.live(*NAMES[:profiles])
    just_now = ig.format_timestamp(time.time() - 10)
    world.remember(*(cached_entry(f"old{index}", fetched_at=just_now) for index in range(fetched)))
    started = time.monotonic()
    log = world.run("-r", "60").log
    took = time.monotonic() - started
    assert (f"with {pauses} pause{'s' * (pauses > 1)} of" in log) is (pauses > 0)
    assert log.count("Batch of") == pauses
    minutes = round((pauses * 1800 + profiles * 3) / 60)
    assert took == pytest.approx(minutes * 60, abs=45)
    about = re.search(r": about (.*), done at", log)
    assert about is not None
    amounts = {unit: int(number) for number, unit in re.findall(r"(\d+) (h|min|s)", about[1])}
    estimate = amounts.get("h", 0) * 3600 + amounts.get("min", 0) * 60 + amounts.get("s", 0)
    assert estimate == pytest.approx(took, abs=45)


def test_the_estimate_after_ctrl_c_in_a_pause_has_the_rest_of_it(world: Any) -> None:
    world.live(*NAMES[:10])
    flags = ("-b", "5", "--batch-pause", "1800", "-r", "60")
    assert world.run_and_interrupt(600, *flags).code == 130
    log = world.run(*flags).log
    about = re.search(r": about (\d+) min, done at", log)
    assert about is not None and 19 <= int(about[1]) <= 22
    assert "pauses" not in log


def test_the_estimate_knows_the_pause_at_an_outage(world: Any) -> None:
    world.live(*NAMES[:10])
    world.standin.burst.extend(["live", "418", "418"])
    log = world.run("--batch-pause", "1800").log
    assert re.search(r"\[2/10\] @profile\.001: left open: .* \| 30 min left", log)


@pytest.mark.parametrize(
    ("rate", "size", "pause"),
    [("0.5", "1", "120"), ("0.5", "3", "120"), ("10", "2", "5"), ("5", "3", "20")],
)
def test_the_estimate_is_right_for_pauses_that_are_no_longer_than_the_pace(
    world: Any, rate: str, size: str, pause: str
) -> None:
    world.live(*NAMES[:24])
    started = time.monotonic()
    log = world.run("-r", rate, "-b", size, "--batch-pause", pause).log
    about = re.search(r": about (.*), done at", log)
    assert about is not None
    units = {"h": 3600, "min": 60, "s": 1}
    estimate = sum(
        int(number) * units[unit] for number, unit in re.findall(r"(\d+) (h|min|s)", about[1])
    )
    assert time.monotonic() - started == pytest.approx(estimate, rel=0.08)


@pytest.mark.parametrize(("share", "within"), [(0.03, 0.05), (0.3, 0.05)])
def test_the_estimate_knows_how_many_requests_a_profile_takes(
    world: Any, share: float, within: float
) -> None:
    names = world.live(*[f"profile.{number}" for number in range(600)])
    gone = [name for at, name in enumerate(names) if int(at * share) < int((at + 1) * share)]
    world.standin.behaviour = dict.fromkeys(gone, "404")
    started = time.monotonic()
    log = world.run("--rate-limit", "10", "--batch-pause", "600").log
    took = time.monotonic() - started
    line = re.search(r"\[100/600\] .* \| (?:(\d+) h )?(\d+) min left", log)
    passed = re.search(r"Batch of 100 done", log)
    assert line is not None and passed is not None
    remaining = int(line[1] or 0) * 3600 + int(line[2]) * 60
    before = next(request for request in world.standin.log if request.username == names[99])
    assert remaining == pytest.approx(took - (before.time - started), rel=within)


def test_the_estimate_is_not_thrown_off_by_one_bad_start(world: Any) -> None:
    world.live(*[f"profile.{number}" for number in range(100)])
    world.standin.burst.extend(["500"] * 3)
    log = world.run("-r", "10").log
    left = re.search(r"\[1/100\] .* \| (\d+) min", log)
    assert left is not None and int(left[1]) <= 13


def test_a_run_that_stops_says_how_many_rows_are_done_whoever_did_them(
    world: Any, cached_entry: Any
) -> None:
    names = world.live(*NAMES[:10])
    world.remember(*map(cached_entry, names[:6]))
    world.standin.server_close()
    world.standin.shutdown()
    assert "Stopped after 6 of 10 rows" in world.run().log


def test_rows_without_a_usable_handle_are_named_and_counted(world: Any) -> None:
    world.live(NAMES[0])
    with world.input.open("a") as file:
        file.write("#N/A,,\n,,\n#N/A,,\nNo One,,\n")
    log = world.run().log
    first = "'#N/A' in row 3, '' in row 4, '#N/A' in row 5"
    assert f"No usable handle in 3 rows (empty or none): {first}\n" in log
    assert "No usable handle in 1 row (not a username): 'No One' in row 6\n" in log
    assert "1 to fetch; without a handle: 4; source" in log
    assert "1 fetched, 0 from cache, 0 not found, 0 withheld, 4 without handle, 0 still open" in log


def test_the_result_counts_what_became_of_every_profile(world: Any, cached_entry: Any) -> None:
    names = world.live(*NAMES[:7])
    world.remember(cached_entry(names[0]))
    world.standin.behaviour = {names[2]: "404", names[3]: "404", names[4]: "418"}
    log = world.run().log
    assert (
        "Plan: 7 rows; 7 profiles in column 'Handle': "
        "1 already cached, 0 already filled, 6 to fetch" in log
    )
    assert (
        "5 fetched, 1 from cache, 2 not found, 0 withheld, 0 without handle, 1 still open; took"
        in log
    )
    assert log.count("Still open: @") == 1


def test_a_run_that_stops_early_names_what_it_was_fetching_and_counts_the_rest(world: Any) -> None:
    names = world.live(*NAMES[:9])
    world.standin.burst.extend(["live", "401"])
    log = world.run_and_interrupt(30).log
    assert f"Still open: @{names[1]}: the run stopped while it was being fetched" in log
    assert "Still open: 7 not fetched yet" in log
