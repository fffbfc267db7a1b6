"""The rehearsal, as anyone would start it: a real process, in a folder of its own."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from conftest import zipped

HERE = Path(__file__).parent
SAMPLE = HERE / "data" / "influencers_425.csv"
COVERAGE = """
  Column   before        after         gained
  GENRE    396/425  93%  398/425  94%      +2
  Details    1/425   0%  183/425  43%    +182
"""


def rehearse(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "rehearse.py"), "--speed", "100000", *flags]
    return subprocess.run(
        command, check=False, cwd=folder, capture_output=True, encoding="utf-8", timeout=60
    )


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_night_shows_all_that_a_night_brings_and_settles_every_profile(tmp_path: Path) -> None:
    done = rehearse(tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", done.stderr)
    web, api, again = done.stderr.split("--- ")[1:4]

    assert web.count("Batch of 100 done: pausing 30 min") == 3
    assert web.count("No profile can be fetched (blocked (401): Please wait") == 1
    blocked = re.findall(r"@(\S+): left open: blocked \(401\)", web)
    after = web.partition("No profile can be fetched")[2]
    assert len(blocked) == 2, "four tries, and the fifth in a row"
    assert all(re.search(rf"@{re.escape(name)}: (?!left open)", after) for name in blocked)
    assert "1 complete, 12 not found, 4 withheld, 3 no handle" in web

    assert "4 profiles to fetch from Instagram's official API, as @mybrand" in api
    assert "Done: every profile is settled, and everything is saved" in api
    assert "0 profiles to fetch" in again
    assert "  0 requests in 0 s\n" in again
    assert COVERAGE in again

    folder = tmp_path / ".tmp" / "rehearsal"
    statuses = Counter(row[3] for row in read(folder / "report.csv")[1:])
    settled = {"filled": 183, "empty": 226, "complete": 1, "not_found": 12}
    assert statuses == {**settled, "no_handle": 3}
    result = folder / SAMPLE.name
    before, after = (path.read_bytes().split(b"\r\n") for path in (SAMPLE, result))
    gained = Counter()
    for raw, out, old, new in zipped(before, after, read(SAMPLE), read(result)):
        assert raw == out or old != new, "a row that gained nothing is the same byte for byte"
        gained.update(n for n, (was, now) in enumerate(zipped(old, new)) if was != now)
    header = read(SAMPLE)[0]
    assert gained == {header.index("GENRE"): 2, header.index("Details"): 182}


def test_it_takes_the_programs_own_flags_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("Handle\n@mihamo_falkane99\n@nobody.there\n")
    mine = ["-i", "mine.csv", "-o", "out.csv", "--cache-dir", "state", "--report", "report.csv"]
    done = rehearse(tmp_path, *mine, "--graph-api", "--batch-pause", "0", "--limit", "1")
    assert done.returncode == 0, done.stderr
    assert "1 profile to fetch from Instagram's official API, as @mybrand" in done.stderr
    assert {"mine.csv", "out.csv", "state", "report.csv"} <= {x.name for x in tmp_path.iterdir()}

    folder = tmp_path / ".tmp" / "rehearsal"
    (folder / "ig_progress.json").write_text('{"last_processed_index": 4}')
    (folder / "ig_cache.json").write_bytes((tmp_path / "state" / "ig_cache.json").read_bytes())
    assert "Plan: 4 rows: 1 filled, 3 pending" in rehearse(tmp_path, "--limit", "4").stderr
    (folder / "ig_progress.json").unlink()
    assert "Plan: 4 rows: 4 pending" in rehearse(tmp_path, "--limit", "4").stderr


def test_help_names_what_the_rehearsal_adds(tmp_path: Path) -> None:
    done = rehearse(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("usage: rehearse.py", "--speed", ".tmp/rehearsal", "the program's own"):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []
