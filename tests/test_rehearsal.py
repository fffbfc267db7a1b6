"""The rehearsal, as anyone would start it: a real process, in a folder of its own."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import zipped

HERE = Path(__file__).parent
SAMPLE = HERE / "data" / "influencers_425.csv"


def rehearse(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "rehearse.py"), "--speed", "100000", *flags]
    return subprocess.run(
        command, check=False, cwd=folder, capture_output=True, encoding="utf-8", timeout=60
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rehearsal")


@pytest.fixture(scope="module")
def night(folder: Path) -> subprocess.CompletedProcess[str]:
    return rehearse(folder)


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_night_settles_every_profile_and_shows_what_it_gained(
    night: subprocess.CompletedProcess[str],
) -> None:
    assert night.returncode == 0, night.stderr
    assert night.stdout == ""
    assert re.search(r"^ *GENRE +396/425 +93% +398/425 +94% +\+2$", night.stderr, re.MULTILINE)
    assert re.search(r"^ *Details +1/425 +0% +183/425 +43% +\+182$", night.stderr, re.MULTILINE)


def test_a_night_has_batches_a_burst_of_401_and_profiles_that_are_healed(
    night: subprocess.CompletedProcess[str],
) -> None:
    act = night.stderr.partition("--- Act 2")[0]
    assert act.count("left open: withheld (400): Asset asset://") == 4
    assert "1 complete, 12 not found, 4 withheld, 3 no handle" in act
    assert act.count("Batch of") == 3
    assert act.count("failed, too: ") == act.count("No profile can be fetched") == 1
    blocked = re.findall(r"@(\S+): left open: blocked \(401\)", act)
    after = act.partition("No profile can be fetched")[2]
    assert len(blocked) == 2, "four tries, and the fifth in a row"
    assert all(re.search(rf"@{re.escape(name)}: (?!left open)", after) for name in blocked)
    assert "Not found in two passes running, so gone: 12" in act


def test_the_same_command_again_fetches_nothing(night: subprocess.CompletedProcess[str]) -> None:
    assert night.stderr.count("Coverage:") == 3
    assert "--- The last act sent 0 requests." in night.stderr


def test_what_the_web_address_withholds_is_fetched_from_the_official_api(
    night: subprocess.CompletedProcess[str],
) -> None:
    act = night.stderr.partition("--- Act 2")[2].partition("--- Last act")[0]
    plan = "4 profiles to fetch from Instagram's official API, as @mybrand (nothing for GENRE)"
    assert plan in act
    assert "Done: every profile is settled" in act
    assert re.search(r"^ *Details +1/425 +0% +183/425 +43% +\+182$", act, re.MULTILINE)


def test_the_output_differs_from_the_list_in_the_filled_cells_only(
    folder: Path, night: subprocess.CompletedProcess[str]
) -> None:
    output = folder / ".tmp" / "rehearsal" / SAMPLE.name
    header, *before = read(SAMPLE)
    assert read(output)[0] == header
    genre, details = header.index("GENRE"), header.index("Details")
    gained = {genre: 0, details: 0}
    for old, new in zipped(before, read(output)[1:]):
        for column, (was, now) in enumerate(zipped(old, new)):
            if was != now:
                assert not was.strip() and now.strip()
                gained[column] += 1
    assert gained == {genre: 2, details: 182}
    assert re.search(rf": diff \S*{SAMPLE.name} \S*{SAMPLE.name}$", night.stderr, re.MULTILINE)


def test_the_last_lines_count_the_categories_and_name_the_report(
    folder: Path, night: subprocess.CompletedProcess[str]
) -> None:
    most = "Athlete 26, Artist 20, Public figure 14, Actor 9, Digital creator 8, "
    assert most in night.stderr.rpartition("  Categories: ")[2]
    report = folder / ".tmp" / "rehearsal" / "report.csv"
    assert night.stderr.endswith(f"{report.relative_to(folder)}\n")
    counts = Counter(row[3] for row in read(report)[1:])
    assert counts == {
        "filled": 183,
        "empty": 226,
        "not_found": 12,
        "complete": 1,
        "no_handle": 3,
    }


def test_rows_that_gained_nothing_are_byte_for_byte_the_same(
    folder: Path, night: subprocess.CompletedProcess[str]
) -> None:
    before = SAMPLE.read_bytes().split(b"\r\n")
    after = (folder / ".tmp" / "rehearsal" / SAMPLE.name).read_bytes().split(b"\r\n")
    rows = list(
        zipped(before, after, read(SAMPLE), read(folder / ".tmp" / "rehearsal" / SAMPLE.name))
    )
    assert len(rows) == 426
    assert [raw for raw, out, old, new in rows if old == new and raw != out] == []


def test_the_official_api_can_be_rehearsed_too(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "--graph-api", "--batch-pause", "0", "--limit", "60")
    assert done.returncode == 0, done.stderr
    assert "from Instagram's official API, as @mybrand (nothing for GENRE)" in done.stderr
    assert re.search(r"^ *GENRE .* \+0$", done.stderr, re.MULTILINE)
    assert re.search(r"^ *Details .* \+\d\d$", done.stderr, re.MULTILINE)
    assert re.search(r", [1-9]\d* not professional, ", done.stderr)
    assert "--- The last act sent 0 requests." in done.stderr


def test_a_log_that_is_no_terminal_has_no_control_characters(
    night: subprocess.CompletedProcess[str],
) -> None:
    assert "\r" not in night.stderr
    assert "\x1b" not in night.stderr


def test_the_programs_own_flags_replace_those_of_the_rehearsal(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("Handle\n@fati_lisk.vus\n@nobody.there\n")
    flags = [
        "-i",
        "mine.csv",
        "-o",
        "out.csv",
        "--cache-dir",
        "state",
        "--report",
        "report.csv",
        "--limit",
        "1",
        "--rate-limit",
        "20",
    ]
    done = rehearse(tmp_path, *flags)
    assert done.returncode == 0, done.stderr
    assert list(json.loads((tmp_path / "state" / "ig_cache.json").read_text())) == ["fati_lisk.vus"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine.csv",
        "out.csv",
        "report.csv",
        "state",
    ]


def test_help_names_what_the_rehearsal_adds(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: rehearse.py")
    for word in (
        "--speed",
        "--graph-api",
        ".tmp/rehearsal",
        "All other flags are the program's own",
    ):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []
