"""What can't be used is refused with one clear line before the first request; no file changes."""

from __future__ import annotations

import codecs
import fcntl
import os
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import World

import instagram_enrichment as ig

LIST = "Handle,GENRE,Details\n@nirabel.voss,,\n@quillo_tam,Food,\n"
ROWS = "".join(f"@osk{number},,\n" for number in range(50))


def contents(folder: Path) -> dict[Path, Any]:
    """What every path of a folder is and holds, but for the lock."""
    paths = {path for path in folder.rglob("*") if path.name != "ig.lock"}
    return {path: (path.lstat().st_mode, path.is_file() and path.read_bytes()) for path in paths}


def refusal(world: World, *flags: str) -> str:
    """Run the program on what it can't use; returns the one line that says so."""
    before = contents(world.folder), world.standin.requests
    code, log = world.run(*flags)
    assert code == 2
    assert (contents(world.folder), world.standin.requests) == before
    *usage, line = log.splitlines()
    assert all(each.startswith(("usage: ", " ")) for each in usage)
    assert re.search(r"\b[Ee]rror: ", line) and line.isprintable()
    return line


FILES: dict[str, tuple[bytes, list[str]]] = {  # what it holds, and words of the line
    "blank lines": (codecs.BOM_UTF8 + b"\n\r\n\n", ["empty"]),
    "delimiters": (b",,,\n,,,\n", ["empty", "has to name the columns"]),
    "UTF-16": (LIST.encode("utf-16"), ["UTF-16", "not UTF-8", "byte 0 (line 1)"]),
    "Latin-1": (f"{LIST}@osk,é".encode("latin-1"), ["Latin-1", f"byte {len(LIST) + 5} (line 4)"]),
    "a NUL": ("Handle,Größe\n@osk,\0\n".encode(), ["NUL", "byte 20 (line 2)"]),
    "a workbook": (b"PK\3\4\x14\0\6\0\x08", ["NUL", "Excel workbook", "CSV", "byte 5"]),
    "control characters": (b"Na\x1b[2Jme,B\n1,2\n", ["--username-column", "\\x1b"]),
}
OPEN_QUOTES = [  # the file, and the row that the line names
    ('"Handle,GENRE,Details\n@osk,,\n', 1),
    (f'Handle,GENRE,Details\n"@a,,\n{ROWS}', 2),
    (f'{LIST}@a,"Fo,\n{ROWS}', 4),
    (f'{LIST}@a,"Fo\n\n\n', 4),
    (f'{LIST}@a,"Fo,\n@b,,\n@c,"Food",\n', 4),  # swallows rows
    ('Handle,GENRE\r@a,"Fo\r@b,"x"\r@c,\r', 2),
    ('Handle,GENRE\r\n@a,x\r\n@b,"Food\r\n', 3),
    (f'Handle,GENRE\n@a,"x\ny\n\nz"\n\n@b,"Fo,\n{ROWS}', 4),
    ('"x;user\r@anna;@zoe.k\r;",;#N/A;""\n@anna\r', 1),  # another delimiter would close it
]
for number, (text, row) in enumerate(OPEN_QUOTES, 1):
    words = [f'has an open quote (") in row {row}: close or remove it there']
    FILES[f"an open quote {number}"] = text.encode(), words


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_usable_list_is_refused(world: World, kind: str) -> None:
    data, words = FILES[kind]
    world.input.write_bytes(data)
    line = refusal(world)
    for word in (str(world.input), *words):
        assert word in line


RANGES = {
    "--rate-limit": ("a number of requests a minute, from 0.001", "0 -1 9e-4 1.1e9 nan inf 1,5"),
    "--batch-size": ("a whole number, from 1", "0 -1 1.5 1000000001 x"),
    "--batch-pause": ("a number of seconds, from 0", "-0.1 nan 1e300 30m"),
    "--limit": ("a whole number, from 1", "0 1.5"),
}
FLAGS = "--rate-limit= --output --username-column=\x1b[2J stray.csv --force=yes --ouput=x.csv -x"
REFUSED = [(flag, flag.partition("=")[0]) for flag in FLAGS.split()]
for flag, (what, values) in RANGES.items():
    for value in values.split():
        why = f"{flag}: must be {what} to 1000000000, not '{value}'"
        REFUSED.append((f"{flag}={value}", why))


@pytest.mark.parametrize(("flag", "why"), REFUSED)
def test_a_flag_that_makes_no_sense_is_named(world: World, flag: str, why: str) -> None:
    world.input.write_text(LIST)
    assert why in refusal(world, flag)


def test_the_required_flags_are_named_where_they_are_missing(capsys: Any) -> None:
    with pytest.raises(SystemExit, match="2"):
        ig.main([])
    assert "required: -i/--input, -o/--output\n" in capsys.readouterr().err


PLACES = [
    "--input \x1b[2J.csv \\x1b[2J.csv can't be read (No such file",
    "--input . (Is a directory): give the path",
    "--input /dev/null /dev/null is empty",
    "--output list.csv is the input itself",
    "--output hard.csv is the input itself",
    "--output . is a folder",
    "--output nowhere/out.csv in a folder that does not exist",
    "--output pipe a device",  # stands for all: as root, one could replace /dev/null
    "--output /proc/out.csv /proc/out.csv: ",
    "--output .tmp/ig_cache.json the program keeps its own files",
    "--output .tmp/ig.lock the program keeps its own files",
    "--report list.csv is the input itself",
    "--report out.csv is the output itself",
    "--report link.csv out.csv is the output itself",
    "--report . is a folder",
    "--report nowhere/r.csv in a folder that does not exist",
    "--report notes.csv is a file that is no report",
    "--report old.csv is a file that is no report",
    f"--report {'r' * 250} too long",
    "--cache-dir list.csv list.csv: File exists",
    "--cache-dir list.csv/state list.csv/state: Not a directory",
    "--cache-dir taken taken/ig_cache.json: Is a directory",
    "--cache-dir held held: wait until it ends",
    "--input .out.csv.ig-part --output",  # which would be written over
]


@pytest.mark.parametrize(("flag", "name", "why"), [place.split(" ", 2) for place in PLACES])
def test_an_unusable_place_is_refused_and_all_is_kept(
    world: Any, flag: str, name: str, why: str
) -> None:
    world.live("nirabel.voss", "quillo_tam")
    assert world.run("--limit", "1").code == 0
    os.link(world.input, world.folder / "hard.csv")
    os.mkfifo(world.folder / "pipe")
    (world.folder / "link.csv").symlink_to(world.output)
    (world.folder / "notes.csv").write_text("Name,Phone\nNira,12345\n")
    (world.folder / "old.csv").write_bytes(b"row,handle\n\xff\n")
    (world.folder / "taken" / "ig_cache.json").mkdir(parents=True)
    (world.folder / ".out.csv.ig-part").write_text(LIST)
    (world.folder / "held").mkdir()
    lock = world.folder / "held" / "ig.lock"
    lock.write_text("1\x1b")
    with lock.open() as another_run:
        fcntl.flock(another_run, fcntl.LOCK_EX)
        assert why in refusal(world, "--force", flag, str(world.folder / name))
