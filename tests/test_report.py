"""The report: of every row of the list, what became of it."""

from __future__ import annotations

import csv
import errno
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import zipped

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(12)]
COLUMNS = ["row", "handle", "username", "status", "detail", "fetched_at"]
EVERY_STATUS = """\
Handle,GENRE,Details
@filled.one,,
@filled.two,Food,
@empty.one,,
@complete.one,Food,Loves bread
@gone.one,,
@withheld.one,,
@open.one,,
#N/A,,
@osk - TikTok,,
=1+1,,
"two
lines",,
"""


@pytest.fixture
def report(world: Any) -> Path:
    return world.folder / "report.csv"


def read(path: Path) -> list[list[str]]:
    header, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    assert header == COLUMNS
    return rows


def outcomes(path: Path) -> list[tuple[str, str]]:
    return [(status, detail) for _, _, _, status, detail, _ in read(path)]


def make_unwritable(
    monkeypatch: pytest.MonkeyPatch, path: Path, code: int, since: Callable[[], object]
) -> None:
    """Let each write of a file fail, from some moment on."""
    original = ig.write_atomic

    def write(target: Path, *args: Any) -> None:
        if target.name == path.name and since():
            raise OSError(code, os.strerror(code), str(target))
        original(target, *args)

    monkeypatch.setattr(ig, "write_atomic", write)


def every_status(world: Any) -> None:
    world.live("filled.one", "filled.two", "empty.one", "withheld.one", "open.one")
    world.standin.users["empty.one"].update(biography="", category_name=None)
    world.standin.behaviour = {"withheld.one": "geoblock", "open.one": "418"}
    world.input.write_text(EVERY_STATUS)


def test_every_row_has_its_status_and_what_there_is_to_say_about_it(
    world: Any, report: Path
) -> None:
    every_status(world)
    assert world.run("--report", str(report)).code == 1
    assert outcomes(report) == [
        ("filled", "GENRE and Details"),
        ("filled", "Details"),
        ("empty", ""),
        ("complete", ""),
        ("not_found", ""),
        ("withheld", "withheld (400): geoblock_required"),
        ("open", "unexpected status (418): a teapot"),
        ("no_handle", "empty or none"),
        ("no_handle", "on another network"),
        ("no_handle", "not a username"),
        ("no_handle", "not a username"),
    ]
    rows = read(report)
    assert [row[0] for row in rows] == [str(number) for number in range(2, 13)]
    assert [row[1] for row in rows][:2] == ["'@filled.one", "'@filled.two"]
    assert [row[1] for row in rows][-4:] == ["#N/A", "'@osk - TikTok", "'=1+1", "two lines"]
    assert [row[2] for row in rows] == [
        *("filled.one", "filled.two", "empty.one", "complete.one", "gone.one"),
        *("withheld.one", "open.one", "", "", "", ""),
    ]
    fetched = [bool(re.match(r"\d{4}-\d\d-\d\dT.*\+00:00$", row[5])) for row in rows]
    assert fetched == [True, True, True, False, True, *[False] * 6]
    assert {status for status, _ in outcomes(report)} == {status.value for status in ig.Status} - {
        "pending",
        "not_professional",
    }


def test_a_report_is_there_from_the_start_and_goes_along_with_each_checkpoint(
    world: Any, report: Path
) -> None:
    world.live(*NAMES)
    seen: list[int] = []

    def watch(name: str) -> None:
        filled = sum(status == "filled" for status, _ in outcomes(report))
        in_output = sum(map(bool, world.biographies().values()))
        assert filled == in_output
        assert {status for status, _ in outcomes(report)} <= {"filled", "pending"}
        seen.append(filled)

    world.standin.watch = watch
    assert world.run("-b", "5", "--report", str(report)).code == 0
    assert seen == [0] * 5 + [5] * 5 + [10] * 2
    assert outcomes(report) == [("filled", "GENRE and Details")] * 12


def test_a_run_that_is_stopped_half_way_leaves_a_report_of_both_halves(
    world: Any, report: Path
) -> None:
    world.live(*NAMES)
    world.standin.behaviour = {NAMES[1]: "asset deleted"}
    result = world.run_and_interrupt(20, "--report", str(report))
    assert result.code == 130
    assert "again; of the 1 withheld, --graph-api fetches" in result.log.splitlines()[-1]
    done = len(world.cache)
    assert 0 < done < 11
    statuses = [status for status, _ in outcomes(report)]
    assert statuses.count("filled") == done and statuses[1] == "withheld"
    pending = [status for status in statuses if status in ("pending", "open")]
    assert len(pending) == 12 - done - 1
    assert statuses.count("open") <= 1


def test_rows_beyond_a_limit_are_pending(world: Any, report: Path) -> None:
    world.live(*NAMES)
    assert world.run("--limit", "3", "--report", str(report)).code == 0
    assert [status for status, _ in outcomes(report)] == ["filled"] * 3 + ["pending"] * 9


def test_with_the_official_api_it_tells_who_is_no_professional_and_what_it_has_nothing_for(
    world: Any, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAtest")
    world.live(*NAMES[:4])
    world.standin.users[NAMES[1]]["is_business_account"] = False
    world.input.write_text(
        "Handle,GENRE,Details\n"
        f"@{NAMES[0]},,\n@{NAMES[1]},,\n@{NAMES[2]},,Loves bread\n@{NAMES[3]},,\n"
    )
    world.standin.users[NAMES[3]]["biography"] = ""
    flags = ("--graph-api", "17841400000000000", "--report", str(report))
    result = world.run(*flags)
    assert result.code == 0
    assert "0 already filled, 1 that the source has nothing for, 3 to fetch" in result.log
    assert outcomes(report) == [
        ("filled", "Details"),
        ("not_professional", "personal or age-restricted or gone"),
        ("pending", "Instagram's official API has nothing for its empty cells"),
        ("empty", ""),
    ]
    assert world.run_and_interrupt(0.5, "--report", str(report)).code == 130
    assert outcomes(report) == [
        ("filled", "Details"),
        ("not_professional", "personal or age-restricted or gone"),
        ("pending", ""),
        ("empty", ""),
    ]
    assert world.run("--report", str(report)).code == 0
    assert outcomes(report) == [
        ("filled", "Details"),
        ("filled", "GENRE and Details"),
        ("filled", "GENRE"),
        ("empty", ""),
    ]


UNUSABLE = {
    "the input": ("list.csv", "is the input itself"),
    "the output": ("out.csv", "is the output itself"),
    "the output in capitals, on a Mac": ("OUT.csv", "is the output itself"),
    "where the output is written first": (".out.csv.ig-part", "is the output itself"),
    "a folder": (".", "is a folder"),
    "no folder": ("nowhere/report.csv", "folder that does not exist"),
    "the cache": (".tmp/ig_cache.json", "its own files"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_report_without_a_place_of_its_own_is_refused_before_the_first_request(
    world: Any, case: str
) -> None:
    name, why = UNUSABLE[case]
    world.live(*NAMES)
    world.cache_dir.mkdir()
    before = world.input.read_bytes()
    result = world.run("--report", str(world.folder / name))
    assert result.code == 2
    assert result.log.count("\n") == 1
    assert "--report" in result.log and why in result.log
    assert world.standin.log == []
    assert world.input.read_bytes() == before
    assert not world.output.exists()


def test_a_link_to_the_output_is_refused_too(world: Any, report: Path) -> None:
    world.live(*NAMES)
    report.symlink_to(world.output)
    result = world.run("--report", str(report))
    assert result.code == 2 and "is the output itself" in result.log


def test_a_report_that_can_not_be_written_is_found_out_before_the_first_request(
    world: Any, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES)
    make_unwritable(monkeypatch, report, errno.EACCES, lambda: True)
    result = world.run("--report", str(report))
    assert result.code == 2
    assert f"{report}: Permission denied" in result.log
    assert world.standin.log == []


def test_a_report_that_could_not_be_written_at_the_end_is_no_success(world: Any) -> None:
    world.live(*NAMES)
    folder = world.folder / "reports"
    folder.mkdir()
    world.clock.at(20, lambda: folder.rename(world.folder / "away"))
    result = world.run("--report", str(folder / "report.csv"))
    assert result.code == 1
    last = result.log.splitlines()[-1]
    assert f"Could not save ({folder / 'report.csv'}: No such file or directory)" in last
    assert f"not everything is saved (not {folder / 'report.csv'})" in last
    assert world.all_live, "the output is there"


def test_a_file_that_is_no_report_is_kept(world: Any, report: Path) -> None:
    world.live(*NAMES)
    report.write_text("Name,Phone\nNira,12345\n")
    result = world.run("--report", str(report))
    assert result.code == 0
    assert (world.folder / "report.csv.bak").read_text() == "Name,Phone\nNira,12345\n"
    assert "has what this program didn't write: kept it as" in result.log
    assert world.run("--report", str(report)).code == 0
    assert not (world.folder / "report.csv.bak1").exists(), "an older report is replaced"
    notes = report.read_text().replace("GENRE and Details,", "GENRE and Details,called her,", 1)
    report.write_text(notes)
    assert world.run("--report", str(report)).code == 0
    assert (world.folder / "report.csv.bak1").read_text() == notes


def test_secrets_do_not_reach_the_report(
    world: Any, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAsecretsecret")
    world.live(*NAMES[:2])
    message = (400, {}, b'{"message": "what is EAAsecretsecret?"}')
    world.standin.watch = lambda name: message if name == NAMES[1] else None
    assert world.run("--report", str(report)).code == 1
    assert "EAAsecret" not in report.read_text()
    assert outcomes(report)[1] == ("open", "unexpected status (400): what is [hidden]?")


def test_no_cell_of_the_report_is_a_formula(world: Any, report: Path) -> None:
    world.live("nira.voss")
    cells = ["=1+1", "+49 30 1", "-", "@nira.voss", "\t=2", "@a @b"]
    rows = "".join(f'"{cell}",x\n' for cell in cells)
    world.input.write_text(f"Handle,City\n{rows}")
    assert world.run("--report", str(report), "--username-column", "Handle").code == 0
    assert not any(cell[:1] in tuple("=+-@\t\r") for row in read(report) for cell in row if cell)


def test_two_rows_of_one_profile_and_a_full_one_have_a_status_each(
    world: Any, report: Path
) -> None:
    world.live("nira.voss")
    world.input.write_text("Handle,GENRE,Details\n@nira.voss,,\n@Nira.Voss,Food,Loves bread\n")
    assert world.run("--report", str(report)).code == 0
    assert [status for status, _ in outcomes(report)] == ["filled", "complete"]


def test_the_first_twenty_open_profiles_are_named_then_their_number(
    world: Any, report: Path
) -> None:
    names = [f"profile.{number:03}" for number in range(26)]
    world.live(*names)
    world.standin.behaviour = dict.fromkeys(names[1:], "geoblock")
    result = world.run()
    assert result.code == 1
    named = re.findall(r"Still open: @(\S+): withheld \(400\): geoblock_required", result.log)
    assert named == names[1:21]
    assert "Still open: 5 more (--report CSV lists all)" in result.log
    result = world.run("--report", str(report))
    assert f"Still open: 5 more (all are in {report})" in result.log
    assert [row[2] for row in read(report) if row[3] == "withheld"] == names[1:]


CATEGORIES = {"Athlete": 4, "Artist": 3, "Actor": 2, "Blogger": 2}


def test_the_categories_are_counted_the_most_frequent_first(world: Any) -> None:
    names = [f"profile.{number:03}" for number in range(20)]
    world.live(*names)
    others = [f"Other {number:02}" for number in range(9)]
    kinds = [kind for kind, count in CATEGORIES.items() for _ in range(count)] + others
    for name, kind in zipped(names, kinds):
        world.standin.users[name]["category_name"] = kind
    log = world.run().log
    first = "Athlete 4, Artist 3, Actor 2, Blogger 2"
    listed = ", ".join(f"{other} 1" for other in others[:6])
    assert f"\n\n  Categories: {first}, {listed} … and 3 more\n" in log


def test_where_there_is_no_category_there_is_no_line(world: Any) -> None:
    world.live(*NAMES[:2])
    for name in NAMES[:2]:
        world.standin.users[name]["category_name"] = None
    assert "Categories" not in world.run().log


EDITS = {
    "a note in a detail": lambda text: text.replace("GENRE and Details", "invoice sent", 1),
    "another name": lambda text: text.replace("'@profile.003", "Nira, call on Monday"),
    "saved by a spreadsheet": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "the report of another list": lambda text: text.replace("profile", "other"),
    "a row more": lambda text: text + "99,'@nira.voss,nira.voss,pending,,\n",
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_somebody_typed_into_a_report_is_kept(world: Any, report: Path, edit: str) -> None:
    world.live(*NAMES)
    assert world.run("--report", str(report)).code == 0
    edited = EDITS[edit](report.read_text()).encode()
    report.write_bytes(edited)
    assert "kept it as" in world.run("--report", str(report)).log
    assert (world.folder / "report.csv.bak").read_bytes() == edited


def test_no_copy_is_kept_of_the_reports_that_this_program_has_left(
    world: Any, report: Path
) -> None:
    world.live(*NAMES)
    world.standin.behaviour = {NAMES[1]: "geoblock", NAMES[2]: "418"}
    flags = ("--report", str(report))
    world.run(*flags, "--limit", "3")
    early = report.read_bytes()
    world.run_and_interrupt(20, *flags)
    with world.input.open("a") as file:
        file.write("@nira.voss,,\n")
    world.standin.behaviour = {}
    assert world.run(*flags).code == 0
    report.write_bytes(early)  # as if killed before the first checkpoint
    assert world.run(*flags).code == 0
    assert list(world.folder.glob("report.csv.bak*")) == []


def test_a_run_that_fetches_nothing_keeps_what_an_earlier_one_has_learned(
    world: Any, report: Path
) -> None:
    world.live(*NAMES[:4])
    world.standin.behaviour = {NAMES[1]: "geoblock", NAMES[2]: "418"}
    assert world.run("--report", str(report)).code == 1
    before = outcomes(report)
    assert [status for status, _ in before] == ["filled", "withheld", "open", "filled"]
    assert world.run_and_interrupt(0.5, "--report", str(report)).code == 130
    assert outcomes(report) == before
    world.standin.behaviour = {}
    assert world.run("--report", str(report)).code == 0
    assert outcomes(report) == [("filled", "GENRE and Details")] * 4


def test_a_profile_for_which_no_request_was_sent_is_pending(world: Any, report: Path) -> None:
    world.live(*NAMES)
    result = world.run_and_interrupt(0.5, "--report", str(report))
    assert world.standin.log == []
    assert outcomes(report) == [("pending", "")] * 12
    assert "Still open: 12 not fetched yet" in result.log


def test_a_full_disk_while_the_report_is_written_stops_the_run_with_its_output_saved(
    world: Any, report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES)
    make_unwritable(monkeypatch, report, errno.ENOSPC, lambda: world.standin.log)
    result = world.run("-b", "5", "--report", str(report))
    assert result.code == 1
    last = result.log.splitlines()[-1]
    assert f"Could not save ({report}: No space left on device). Stopped after 5" in last
    assert f"not everything is saved (not {report}); to resume" in last
    assert len(world.cache) == sum(map(bool, world.biographies().values())) == 5


def test_what_a_cache_says_of_the_time_is_safe_in_the_report(
    world: Any, report: Path, cached_entry: Any
) -> None:
    world.live(*NAMES[:3])
    times = ["=HYPERLINK(1)\u001b[2J\r\nx", "\ud800", "2026-01-22T10:30:00+00:00"]
    world.remember(*(cached_entry(name, fetched_at=at) for name, at in zipped(NAMES[:3], times)))
    assert world.run("--report", str(report)).code == 0
    assert [row[5] for row in read(report)] == ["'=HYPERLINK(1) [2J x", "?", times[2]]


def test_one_file_under_two_names_on_a_mac_is_refused(world: Any) -> None:
    world.live(*NAMES)
    world.output = world.folder / "Ausz\u00fcge.csv"
    result = world.run("--report", str(world.folder / "auszu\u0308ge.csv"))
    assert result.code == 2 and "is the output itself" in result.log


def test_the_time_of_the_next_try_is_that_of_those_whom_it_helps(world: Any) -> None:
    withheld, failing, _ = world.live(*NAMES[:3])
    world.standin.behaviour = {withheld: "geoblock", failing: "500"}
    last = world.run().log.splitlines()[-1]
    assert "run the same command again once the connection is stable" in last


def test_the_last_words_of_a_forced_run_say_without_force(world: Any) -> None:
    world.live(*NAMES[:3])
    world.standin.behaviour = {NAMES[1]: "418"}
    again = "run the same command again{}, but WITHOUT --force"
    stopped = world.run_and_interrupt(5, "--force").log.splitlines()[-1]
    assert stopped.endswith("; to resume, " + again.format(""))
    assert world.run("--force").log.splitlines()[-1].endswith(again.format(" tomorrow"))
