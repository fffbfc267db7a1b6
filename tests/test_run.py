"""The run over the list: limit, force, position, checkpoints, the estimate, and the log of it."""

from __future__ import annotations

import re
import shutil
import stat
import time
from typing import Any

import pytest
from standin import cache_entry

NAMES = [f"profile.{number:03}" for number in range(300)]
MINUTE, HOUR = 60.0, 3600.0


def position(world: Any) -> Any:
    return world.progress["last_processed_index"]


def write_progress(world: Any, text: str) -> None:
    world.cache_dir.mkdir()
    world.progress_file.write_bytes(text.encode("utf-8", "surrogatepass"))


# ---- Limit, force, resuming ----


def test_limit_works_on_the_first_rows_only_and_moves_no_position_back(world: Any) -> None:
    names = world.live(*NAMES[:10])
    assert world.run("--limit", "3").code == 0
    assert world.standin.names == names[:3]
    assert len(world.rows) == 11
    for mode in (0o600, 0o664, 0o444):
        world.output.chmod(mode)
        assert world.run("--limit", "1").code == 0
        assert stat.S_IMODE(world.output.stat().st_mode) == mode, "of an output that is replaced"
    assert position(world) == 3
    assert world.run().code == 0
    assert world.standin.names == names
    assert world.all_live


@pytest.mark.parametrize(
    ("text", "start"),
    [
        *((text, 0) for text in ("", "[]", '{"last_processed_index"', "\0", "\ud800", "[" * 99999)),
        *((f'{{"last_processed_index": {index}}}', index) for index in (0, 3, 10)),
        *((f'{{"last_processed_index": {index}}}', 0) for index in (11, -1, 10**30, 2.0, "true")),
    ],
    ids=lambda value: f"{value!a:.40}",
)
def test_a_wrong_position_costs_an_order_never_a_profile(world: Any, text: str, start: int) -> None:
    names = world.live(*NAMES[:10])
    write_progress(world, text)
    positions: list[int] = []
    world.standin.watch = lambda name: positions.append(position(world))
    assert world.run().code == 0 and world.all_live
    assert world.standin.names == names[start:] + names[:start]
    assert positions == [min(start + done, 10) for done in range(10)], "it never moves back"
    assert not world.progress_file.exists()


def test_a_second_run_fetches_nothing_and_one_with_force_everything(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.run()
    first, cache = world.output.read_bytes(), world.cache_file.read_bytes()
    assert world.run().code == 0
    assert world.standin.names == names
    assert world.output.read_bytes() == first
    result = world.run("--force")
    assert result.code == 0
    assert world.standin.names == names * 2
    backup = world.cache_dir / "ig_cache.json.bak"
    assert backup.read_bytes() == cache
    assert "WITHOUT --force" in result.log
    assert f"is set aside by --force: kept it as {backup}\n" in result.log
    world.run("--force", "--limit", "1")
    world.run("--force", "--limit", "1")
    kept = [path.read_text().count("fetched_at") for path in world.cache_dir.glob("*.bak*")]
    assert sorted(kept) == [1, 4, 4], "no backup is overwritten"


def test_force_starts_at_the_top_and_does_not_fetch_early(world: Any) -> None:
    names = world.live(*NAMES[:4])
    world.standin.burst.extend(["live", (429, {"Retry-After": "3600"}, b"")])
    assert world.run_and_interrupt(60).code == 130
    positions: list[int] = []
    world.standin.watch = lambda name: positions.append(position(world))
    assert world.run("--force").code == 0
    assert world.standin.names[2:] == names
    assert positions == [0, 1, 2, 3]
    assert world.standin.gaps[1] >= HOUR


# ---- Checkpoints ----


@pytest.mark.parametrize("pause", ["0", "30", "1800"])
def test_a_checkpoint_comes_after_every_batch_size_of_profiles(world: Any, pause: str) -> None:
    world.live(*NAMES[:12])
    filled = []

    def block_the_third_request(name: str) -> Any:
        filled.append(world.output.read_text().count("The biography"))
        return "401" if len(filled) == 3 else None

    world.standin.watch = block_the_third_request
    assert world.run("-b", "4", "--batch-pause", pause).code == 0
    assert filled == [0] * 5 + [4] * 4 + [8] * 4


def test_a_checkpoint_that_cannot_be_written_stops_the_run_and_loses_nothing(world: Any) -> None:
    names = world.live(*NAMES[:12])
    world.output = world.folder / "out" / "out.csv"
    world.output.parent.mkdir()
    world.standin.watch = lambda name: name == names[6] and shutil.rmtree(world.output.parent)
    result = world.run("-b", "4")
    assert result.code == 1
    assert f"Could not save ({world.output}: No such file or directory)" in result.log
    assert f"; everything but {world.output} is saved; " in result.log
    assert list(world.cache) == names[:8]
    world.output.parent.mkdir()
    assert world.run().code == 0 and world.all_live
    assert world.standin.names == names


# ---- The log and the estimate ----


def test_every_profile_fetched_has_a_line_with_position_find_and_eta(world: Any) -> None:
    names = world.live(*NAMES[:3])
    world.standin.behaviour[names[1]] = "null"
    log = world.run("-r", "10").log
    found = r"\[1/3\] @profile\.000: Blogger, bio of 28 characters \| "
    assert re.search(found + r"1\d s left, done at \d\d:\d\d:\d\d\n", log)
    assert re.search(r"\[2/3\] @profile\.001: left open: not found \(200\): .* \| 1\d s left", log)
    assert "Once more: 1 profile that could not be fetched" in log
    assert re.search(r"\[2/3\] @profile\.001: left open: not found .* \| 0 s left", log)


def test_a_run_that_stops_says_at_which_row(world: Any) -> None:
    names = world.live(*NAMES[:10])
    world.remember(*map(cache_entry, names[:6]))
    world.standin.server_close()
    world.standin.shutdown()
    log = world.run().log
    assert "Plan: 10 rows: 6 filled, 4 pending; 4 profiles to fetch from Instagram's web" in log
    assert "Stopped at row 8 (@profile.006), with 4 of 10 rows still open; " in log


def estimate(log: str) -> int:
    """The seconds that the plan says."""
    about = re.search(r": about (.*), done at", log)
    assert about is not None
    units = {"h": 3600, "min": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) (\w+)", about[1]))


@pytest.mark.parametrize(
    ("profiles", "count", "pauses"),
    [(10, 0, 0), (11, 0, 1), (1, 9, 0), (2, 9, 1), (1, 10, 1), (11, 10, 2), (5, 95, 1), (99, 0, 9)],
)
def test_the_plan_counts_all_pauses(world: Any, profiles: int, count: int, pauses: int) -> None:
    world.live(*NAMES[:profiles])
    write_progress(world, f'{{"last_processed_index": 0, "batch_count": {count}}}')
    started = time.monotonic()
    log = world.run("-r", "60", "-b", "10").log
    between = f"with {pauses} pause{'s' * (pauses > 1)} of 30 min between batches of 10: about "
    assert (between in log) is (pauses > 0)
    assert log.count("Batch of") == pauses
    assert estimate(log) == pytest.approx(time.monotonic() - started, rel=0.03, abs=20)


def test_the_estimate_after_ctrl_c_in_a_pause_has_the_rest_of_it(world: Any) -> None:
    world.live(*NAMES[:10])
    assert world.run_and_interrupt(600, "-b", "5", "-r", "1").code == 130
    started = time.monotonic()
    log = world.run("-b", "5", "-r", "1").log
    assert estimate(log) == pytest.approx(time.monotonic() - started, abs=1.5 * MINUTE)
    assert "pauses" not in log


def test_the_estimate_learns_how_many_requests_a_profile_takes(world: Any) -> None:
    names = world.live(*NAMES[:200])
    # Each third is tried twice, and the first four times: no reason to expect that of all.
    world.standin.burst.extend(["503"] * 3)
    seen = {names[0]}

    def fail_each_third_once(name: str) -> Any:
        is_first = name not in seen
        seen.add(name)
        return "503" if is_first and names.index(name) % 3 == 0 else None

    world.standin.watch = fail_each_third_once
    log = world.run("--rate-limit", "10", "--batch-pause", "0").log
    at_first, half_way = re.findall(r"\[(?:1|100)/200\] .* \| (\d+) min", log)
    assert int(at_first) <= 26
    half = next(each.time for each in world.standin.log if each.username == names[100])
    assert int(half_way) * 60 == pytest.approx(world.standin.log[-1].time - half, rel=0.15)
