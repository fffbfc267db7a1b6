"""The list: position, limit, force, checkpoints, the estimate, and what the log says of it."""

from __future__ import annotations

import json
import re
import shutil
import stat
import time
from typing import Any

import pytest

NAMES = [f"profile.{number:03}" for number in range(300)]
MINUTE, HOUR = 60.0, 3600.0


def pauses_after(world: Any) -> list[int]:
    """After how many requests the stand-in saw a long gap."""
    return [count for count, gap in enumerate(world.standin.gaps, 1) if gap > 20 * MINUTE]


# ---- Limit, force, resuming ----


def test_limit_works_on_the_first_rows_only_and_writes_them_all(world: Any) -> None:
    names = world.live(*NAMES[:10])
    assert world.run("--limit", "3").code == 0
    assert world.standin.names == names[:3]
    assert len(world.rows) == 11
    assert position(world) == 3
    assert world.run().code == 0
    assert world.standin.names == names
    assert world.all_live


def test_a_limit_never_moves_the_position_back(world: Any) -> None:
    world.live(*NAMES[:10])
    world.cache_dir.mkdir()
    world.progress_file.write_text('{"last_processed_index": 7}')
    assert world.run("--limit", "3").code == 0
    assert position(world) == 7


def position(world: Any) -> Any:
    return json.loads(world.progress_file.read_text())["last_processed_index"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", '{"last_processed_index"', "\0", "\ud800", "[" * 99999]
)
def test_an_unreadable_progress_file_starts_at_the_top(world: Any, text: str) -> None:
    names = world.live(*NAMES[:5])
    world.cache_dir.mkdir()
    world.progress_file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert world.run().code == 0
    assert world.standin.names == names


@pytest.mark.parametrize("start", [0, 3, 10, 11, -1, 10**30, 2.0, True, None, "3", [3], {}])
def test_a_wrong_position_costs_an_order_never_a_profile(world: Any, start: Any) -> None:
    names = world.live(*NAMES[:10])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": start}))
    assert world.run().code == 0
    assert world.all_live
    begin = start if type(start) is int and 0 <= start <= 10 else 0
    assert world.standin.names == names[begin:] + names[:begin]


def test_the_position_is_saved_after_each_profile_and_never_moves_back(world: Any) -> None:
    world.live(*NAMES[:6])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": 4}))
    positions: list[int] = []
    world.standin.watch = lambda name: positions.append(position(world))
    assert world.run().code == 0
    assert positions == [4, 5, 6, 6, 6, 6]
    assert not world.progress_file.exists()


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
    assert f"is set aside by --force: kept it as {backup}\n" in result.log
    world.run("--force", "--limit", "1")
    world.run("--force", "--limit", "1")
    kept = [
        path.read_bytes().count(b"fetched_at")
        for path in world.cache_dir.glob("ig_cache.json.bak*")
    ]
    assert sorted(kept) == [1, 4, 4], "no backup is overwritten"


def test_force_starts_at_the_top_and_does_not_fetch_early(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.standin.burst.extend(["live", (429, {"Retry-After": "3600"}, b"")])
    assert world.run_and_interrupt(60, "-r", "20").code == 130
    sent = world.standin.log[-1].time
    rows_done = []

    def watch(name: str) -> None:
        rows_done.append(json.loads(world.progress_file.read_text())["last_processed_index"])

    world.standin.watch = watch
    assert world.run("--force").code == 0
    assert world.standin.names[2:] == names
    assert rows_done == [0, 1, 2, 3]
    assert world.standin.log[2].time - sent >= HOUR


# ---- Checkpoints ----


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
    assert sorted({*filled}) == [0, 10, 20, 30], "the waits of a minute begin no batch"


@pytest.mark.parametrize("at", [0, 7])
def test_a_checkpoint_that_cannot_be_written_stops_the_run_and_loses_nothing(
    world: Any, at: int
) -> None:
    names = world.live(*NAMES[:12])
    world.move_output()

    def meddle(username: str) -> Any:
        if username == names[at]:
            shutil.rmtree(world.output.parent)

    world.standin.watch = meddle
    result = world.run("-b", "4", "--batch-pause", "1800")
    assert result.code == 1
    last_words = result.log.splitlines()[-1]
    assert f"Could not save ({world.output}: No such file or directory)" in last_words
    assert f"; everything but {world.output} is saved; " in last_words
    fetched = 4 if at == 0 else 8
    assert list(world.cache) == names[:fetched]
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
        r"1\d s left, done at \d\d:\d\d:\d\d\n",
        log,
    )
    assert re.search(r"\[2/3\] @profile\.001: left open: not found \(200\): .* \| 1\d s left", log)
    assert "Once more: 1 profile that could not be fetched" in log
    assert re.search(r"\[2/3\] @profile\.001: left open: not found .* \| 0 s left", log)


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
    ("profiles", "count", "pauses"),
    [
        *((100, 0, 0), (101, 0, 1), (201, 0, 2), (1, 99, 0), (2, 99, 1)),
        *((1, 100, 1), (101, 100, 2), (10, 950, 1)),
    ],
)
def test_the_plan_counts_the_pauses_that_there_will_be(
    world: Any, profiles: int, count: int, pauses: int
) -> None:
    world.live(*NAMES[:profiles])
    world.cache_dir.mkdir()
    world.progress_file.write_text(json.dumps({"last_processed_index": 0, "batch_count": count}))
    started = time.monotonic()
    log = world.run("-r", "60").log
    assert (f"with {pauses} pause{'s' * (pauses > 1)} of" in log) is (pauses > 0)
    assert log.count("Batch of") == pauses
    assert estimate(log) == pytest.approx(time.monotonic() - started, abs=45)


def estimate(log: str) -> int:
    """The seconds that the plan says."""
    about = re.search(r": about (.*), done at", log)
    assert about is not None
    units = {"h": 3600, "min": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) (\w+)", about[1]))


def test_the_estimate_after_ctrl_c_in_a_pause_has_the_rest_of_it(world: Any) -> None:
    world.live(*NAMES[:10])
    flags = ("-b", "5", "--batch-pause", "1800", "-r", "60")
    assert world.run_and_interrupt(600, *flags).code == 130
    log = world.run(*flags).log
    about = re.search(r": about (\d+) min, done at", log)
    assert about is not None and 19 <= int(about[1]) <= 22
    assert "pauses" not in log


@pytest.mark.parametrize("share", [0.03, 0.3])
def test_the_estimate_learns_how_many_requests_a_profile_takes(world: Any, share: float) -> None:
    names = world.live(*[f"profile.{number}" for number in range(400)])
    tried_again = [at for at in range(400) if int(at * share) < int((at + 1) * share)]
    seen: set[str] = set()

    def fail_once(name: str) -> Any:
        is_first = name not in seen
        seen.add(name)
        return "503" if is_first and names.index(name) in tried_again else None

    world.standin.watch = fail_once
    log = world.run("--rate-limit", "10", "--batch-pause", "0").log
    line = re.search(r"\[200/400\] .* \| (\d+) min", log)
    half = next(each.time for each in world.standin.log if each.username == names[200])
    assert line is not None
    assert int(line[1]) * 60 == pytest.approx(world.standin.log[-1].time - half, rel=0.15)


def test_the_estimate_is_not_thrown_off_by_one_bad_start(world: Any) -> None:
    world.live(*[f"profile.{number}" for number in range(100)])
    world.standin.burst.extend(["500"] * 3)
    log = world.run("-r", "10").log
    left = re.search(r"\[1/100\] .* \| (\d+) min", log)
    assert left is not None and int(left[1]) <= 13


def test_a_run_that_stops_says_at_which_row_whoever_did_those_above(
    world: Any, cached_entry: Any
) -> None:
    names = world.live(*NAMES[:10])
    world.remember(*map(cached_entry, names[:6]))
    world.standin.server_close()
    world.standin.shutdown()
    assert "Stopped at row 8 (@profile.006), with 4 of 10 rows still open; " in world.run().log


def test_the_result_counts_what_became_of_every_profile(world: Any, cached_entry: Any) -> None:
    names = world.live(*NAMES[:7])
    world.remember(cached_entry(names[0]))
    world.standin.behaviour = {names[2]: "404", names[3]: "404", names[4]: "418"}
    log = world.run().log
    assert "Plan: 7 rows: 1 filled, 6 pending; 6 profiles to fetch from Instagram's web" in log
    assert "  7 rows: 4 filled, 2 not found, 1 open\n" in log
    assert log.count("Still open: @") == 1
