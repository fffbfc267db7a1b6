"""What can't be used is refused with one clear line before the first request; no file changes."""

from __future__ import annotations

import codecs
import fcntl
import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import World
from standin import user

import instagram_enrichment

GOOD = b"Handle,GENRE,Details\n@nirabel.voss,,\n@quillo_tam,Food,\n"
QUOTE = ["quote", "close"]


class Refusal(NamedTuple):
    """What the program printed, and the line of it that says why."""

    log: str
    line: str


class Bad:
    """Runs the program on something unusable, and checks what has to be true whatever that is."""

    def __init__(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        self.world, self.folder, self._capsys = world, world.folder, capsys
        world.input.write_bytes(GOOD)
        world.standin.users.update({name: user(name) for name in ("nirabel.voss", "quillo_tam")})

    def argv(self, *flags: str) -> list[str]:
        paths = ["--input", str(self.world.input), "--output", str(self.world.output)]
        return [*paths, "--cache-dir", str(self.world.cache_dir), *flags]

    def is_refused(self, *argv: str) -> Refusal:
        before = contents(self.folder)
        self._capsys.readouterr()
        try:
            code = instagram_enrichment.main(argv)
        except SystemExit as exit:
            code = int(str(exit.code))
        printed = self._capsys.readouterr()
        assert code == 2
        assert self.world.standin.log == []
        assert contents(self.folder) == before
        assert printed.out == ""
        assert "Traceback" not in printed.err
        lines = printed.err.splitlines()
        if lines[0].startswith("usage: "):
            lines = [line for line in lines if re.match(r"\S+: error: ", line)]
        assert len(lines) == 1, printed.err
        assert re.search(r"(?i)\berror: ", lines[0])
        assert all(char.isprintable() for char in lines[0])
        return Refusal(printed.err, lines[0])


def contents(folder: Path) -> dict[str, object]:
    """What every path of a folder is and holds; of a state folder, only profiles and a position."""
    paths = [path for path in folder.rglob("*") if path.name != "ig.lock"]
    found: dict[str, object] = {}
    for path in paths:
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        elif path.is_file() and (path.name != "ig_cache.json" or path.read_bytes() != b"{\n}\n"):
            found[str(path)] = path.read_bytes()
        elif path.is_dir() and path.name != ".tmp":
            found[str(path)] = "folder"
    return found


@pytest.fixture
def bad(world: World, capsys: pytest.CaptureFixture[str]) -> Bad:
    return Bad(world, capsys)


def xlsx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("[Content_Types].xml", "<Types>" + "é" * 90 + "</Types>")
        book.writestr("xl/worksheets/sheet1.xml", "<worksheet>Handle" * 20)
    return file.getvalue()


TEXT = GOOD.decode()
ROWS = "".join(f"@osk{number},,\n" for number in range(50))
FILES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["empty"]),
    "only a BOM": (codecs.BOM_UTF8, ["empty"]),
    "only blank lines": (b"\n\r\n\n", ["empty"]),
    "a BOM and blank lines": (codecs.BOM_UTF8 + b"\n\n", ["empty"]),
    "only delimiters": (b",,,\n,,,\n", ["columns"]),
    "UTF-16 with a BOM": (TEXT.encode("utf-16"), ["UTF-16", "UTF-8", "byte 0"]),
    "UTF-16, big end first": (
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        ["UTF-16", "byte 0"],
    ),
    "UTF-16 without a BOM": (TEXT.encode("utf-16-le"), ["NUL", "byte 1", "UTF-16", "UTF-8"]),
    "UTF-32": (TEXT.encode("utf-32"), ["UTF-8", "byte 0"]),
    "latin-1": (
        f"{TEXT}@osk,Música,\n".encode("latin-1"),
        ["Latin-1", "UTF-8", f"byte {len(GOOD) + 6}", "line 4"],
    ),
    "Windows-1252": (f"{TEXT}@osk,“Art”\n".encode("cp1252"), ["UTF-8", f"byte {len(GOOD) + 5}"]),
    "a character cut in two": (f"{TEXT}@osk,é".encode()[:-1], ["UTF-8", f"byte {len(GOOD) + 5}"]),
    "an encoded surrogate": (GOOD + b"@osk,\xed\xa0\xbd,\n", ["UTF-8", f"byte {len(GOOD) + 5}"]),
    "a NUL at the start": (b"\0" + GOOD, ["NUL", "byte 0", "line 1"]),
    "a NUL in the middle": ("Handle,Größe\n@osk,\0\n".encode(), ["NUL", "byte 20", "line 2"]),
    "a NUL at the end": (GOOD + b"\0", ["NUL", f"byte {len(GOOD)}"]),
    "a quote left open in the header": (b'Handle,"GENRE,Details\n@osk,,\n', ["row 1", *QUOTE]),
    "a quote left open at the start": (b'"Handle,GENRE,Details\n@osk,,\n', ["row 1", *QUOTE]),
    "a header that is only an open quote": (b'Handle,"', ["row 1", *QUOTE]),
    "a quote left open in the first row": (f'{TEXT[:21]}"@a,,\n{ROWS}'.encode(), ["row 2", *QUOTE]),
    "a quote left open in a middle row": (f'{TEXT}@a,"Fo,\n{ROWS}'.encode(), ["row 4", *QUOTE]),
    "a quote left open in the last row": (f'{TEXT}@a,"Fo,\n'.encode(), ["row 4", *QUOTE]),
    "a quote left open in the last cell": (f'{TEXT}@a,,"Fo'.encode(), ["row 4", *QUOTE]),
    "a quote left open behind a doubled one": (f'{TEXT}@a,"Fo""o,\n'.encode(), ["row 4", *QUOTE]),
    "a quote left open above blank lines": (f'{TEXT}@a,"Fo\n\n\n'.encode(), ["row 4", *QUOTE]),
    "a quote that ends the file": (f'{TEXT}@a,,"'.encode(), ["row 4", *QUOTE]),
    "a quote that swallows rows": (
        f'{TEXT}@a,"Fo,\n@b,,\n@c,"Food",\n'.encode(),
        ["row 4", *QUOTE],
    ),
    "a quote that swallows some rows": (
        f'{TEXT}@a,"Fo,\n@b,,\n@c,"x",\n{ROWS}'.encode(),
        ["row 4", *QUOTE],
    ),
    "a quote that swallows one row": (
        f'{TEXT}@a,"Fo,\n@b,"x",\n{ROWS}'.encode(),
        ["row 4", *QUOTE],
    ),
    "a quote that swallows rows, in CR": (
        b'Handle,GENRE\r@a,"Fo\r@b,"x"\r@c,\r',
        ["row 2", *QUOTE],
    ),
    "a quote left open, in CRLF": (b'Handle,GENRE\r\n@a,x\r\n@b,"Food\r\n', ["row 3", *QUOTE]),
    "a quote left open below multi-line cells": (
        f'Handle,GENRE\n@a,"x\ny\n\nz"\n\n@b,"Fo,\n{ROWS}'.encode(),
        ["row 4", *QUOTE],
    ),
    "a quote left open in a header that another delimiter would close": (
        b'"x;user\r@anna;@zoe.k\r;",;#N/A;""\n@anna\r',
        ["row 1", *QUOTE],
    ),
    "no handle column": (
        b"Name,Country\nOsk,Malta\n",
        ["'Name'", "'Country'", "--username-column"],
    ),
    "no header but rows": (b"1,2,3\n4,5,6\n", ["'1' (4), '2' (5), '3' (6)", "--username-column"]),
    "header names with control characters": (
        b"Na\x1b[2Jme,B\n1,2\n",
        ["--username-column", "\\x1b"],
    ),
    "an Excel workbook": (xlsx(), ["Excel workbook", "byte", "CSV"]),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ["is not UTF-8", "byte 0"]),
    "a web page": (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", ["--username-column"]),
    "JSON": (b'{"handle": "@osk"}\n', ["no column", "--username-column"]),
}


@pytest.mark.parametrize(("data", "words"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_usable_list_is_refused(bad: Bad, data: bytes, words: list[str]) -> None:
    bad.world.input.write_bytes(data)
    refusal = bad.is_refused(*bad.argv())
    for word in (str(bad.world.input), *words):
        assert word in refusal.line
    assert not bad.world.output.exists()
    assert not bad.world.cache_file.exists()


INPUTS: dict[str, tuple[str, list[str]]] = {
    "missing": ("nobody.csv", ["nobody.csv", "No such file"]),
    "in a missing folder": ("nowhere/list.csv", ["nowhere", "No such file"]),
    "a folder": (".", ["directory", "path"]),
    "below a file": ("list.csv/list.csv", ["list.csv", "Not a directory"]),
    "with a name too long": ("x" * 300 + ".csv", ["too long"]),
    "a dangling link": ("dangling.csv", ["dangling.csv", "No such file"]),
    "a link to itself": ("loop.csv", ["loop.csv", "symbolic links"]),
    "with an escape sequence in its name": ("\x1b[2J.csv", ["\\x1b", "No such file"]),
    "the null device": ("/dev/null", ["/dev/null", "empty"]),
}


@pytest.mark.parametrize(("path", "words"), INPUTS.values(), ids=INPUTS.keys())
def test_an_input_that_cannot_be_read_is_refused(bad: Bad, path: str, words: list[str]) -> None:
    (bad.folder / "dangling.csv").symlink_to(bad.folder / "gone.csv")
    (bad.folder / "loop.csv").symlink_to(bad.folder / "loop.csv")
    refusal = bad.is_refused(*bad.argv("--input", str(bad.folder / path)))
    for word in words:
        assert word in refusal.line


FLAGS: list[list[str]] = [
    *(
        [flag, value]
        for flag in ("--rate-limit", "-r")
        for value in ("0", "-1", "nan", "inf", "abc", "")
    ),
    *(["--rate-limit", value] for value in ("-0.0", "1e-300", "-inf", "1e400", "10/min", "1,5")),
    *([flag, value] for flag in ("--batch-size", "-b") for value in ("0", "-1", "1.5", "x", "nan")),
    *(["--batch-pause", value] for value in ("-1", "nan", "x", "inf", "-0.1", "30m", "1e300")),
    *(["--limit", value] for value in ("0", "-3", "x", "1.5", "inf", "")),
    *(
        [flag]
        for flag in ("--rate-limit", "--batch-size", "--batch-pause", "--limit", "--cache-dir")
    ),
    *([flag] for flag in ("--input", "--output", "--username-column")),
    ["--frobnicate"],
    ["--ouput", "x.csv"],
    ["-x"],
    ["stray.csv"],
    ["--force=yes"],
]


@pytest.mark.parametrize("flags", FLAGS, ids=" ".join)
def test_a_flag_that_makes_no_sense_is_refused_by_its_name(bad: Bad, flags: list[str]) -> None:
    if len(flags) == 2:
        flags = (
            [f"{flags[0]}={flags[1]}"]
            if flags[0].startswith("--")
            else [flags[0] + flags[1] or "0"]
        )
    refusal = bad.is_refused(*bad.argv(*flags))
    long_name = {"-r": "--rate-limit", "-b": "--batch-size"}
    name = flags[0].partition("=")[0]
    assert long_name.get(name[:2], name) in refusal.line
    assert not bad.world.cache_dir.exists()


@pytest.mark.parametrize("missing", ["--input", "--output"])
def test_a_required_flag_that_is_missing_is_named(bad: Bad, missing: str) -> None:
    argv = bad.argv()
    at = argv.index(missing)
    refusal = bad.is_refused(*argv[:at], *argv[at + 2 :])
    assert {flag for flag in ("--input", "--output") if flag in refusal.line} == {missing}


def test_no_arguments_at_all_name_both_required_flags(bad: Bad) -> None:
    refusal = bad.is_refused()
    assert "--input" in refusal.line and "--output" in refusal.line


@pytest.mark.parametrize("column", ["Nobody", "", "\x1b[2J", "Handle,GENRE"])
def test_an_unknown_username_column_is_refused_with_those_there_are(bad: Bad, column: str) -> None:
    refusal = bad.is_refused(*bad.argv("--username-column", column))
    for word in ("--username-column", "'Handle'", "'GENRE'", "'Details'"):
        assert word in refusal.line


def link(make: Callable[[Path, Path], None], name: str) -> Callable[[World], str]:
    def prepare(world: World) -> str:
        make(world.folder / name, world.input)
        return str(world.folder / name)

    return prepare


def state_file(name: str) -> Callable[[World], str]:
    def prepare(world: World) -> str:
        world.cache_dir.mkdir()
        return str(world.cache_dir / name)

    return prepare


def pipe(world: World) -> str:
    """Stands for all devices: a program that failed this test as root would replace /dev/null."""
    os.mkfifo(world.folder / "pipe")
    return str(world.folder / "pipe")


OUTPUTS: dict[str, tuple[Callable[[World], str], list[str]]] = {
    "the input": (lambda world: str(world.input), ["is the input"]),
    "the input by another way": (
        lambda world: f"{world.folder}/.tmp/../list.csv",
        ["is the input"],
    ),
    "the input by a symbolic link": (link(Path.symlink_to, "soft.csv"), ["is the input"]),
    "the input by a hard link": (
        link(lambda new, old: os.link(old, new), "hard.csv"),
        ["is the input"],
    ),
    "a folder": (lambda world: str(world.folder), ["folder"]),
    "in a missing folder": (
        lambda world: str(world.folder / "nowhere" / "out.csv"),
        ["folder", "not exist"],
    ),
    "below a file": (lambda world: str(world.input / "out.csv"), ["folder"]),
    "a pipe": (pipe, ["device"]),
    "where nothing can be written": (lambda world: "/proc/out.csv", ["/proc/out.csv"]),
    "with a name too long": (lambda world: str(world.folder / ("x" * 300)), ["too long"]),
    "with a name too long for its part file": (
        lambda world: str(world.folder / ("x" * 253)),
        ["too long"],
    ),
    "the cache": (state_file("ig_cache.json"), ["the program keeps its own files"]),
    "the progress file": (state_file("ig_progress.json"), ["the program keeps its own files"]),
    "the lock": (state_file("ig.lock"), ["the program keeps its own files"]),
    "empty": (lambda world: "", [""]),
}


@pytest.mark.parametrize(("prepare", "words"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_an_output_that_cannot_be_written_is_refused(
    bad: Bad, prepare: Callable[[World], str], words: list[str]
) -> None:
    output = prepare(bad.world)
    refusal = bad.is_refused(*bad.argv("--output", output))
    for word in words:
        assert word in refusal.line
    assert bad.world.input.read_bytes() == GOOD
    assert not bad.world.output.exists()


CACHE_DIRS: dict[str, tuple[str, list[str]]] = {
    "a file": ("list.csv", ["list.csv"]),
    "below a file": ("list.csv/state", ["list.csv", "Not a directory"]),
    "where no folder can be made": ("/proc/state", ["/proc/state"]),
    "a device": ("/dev/null", ["/dev/null"]),
    "a dangling link": ("dangling", ["dangling"]),
    "with a name too long": ("x" * 300, ["too long"]),
    "a folder in the place of the cache": ("taken", ["taken/ig_cache.json"]),
    "a folder in the place of the lock": ("locked", ["locked/ig.lock"]),
}


@pytest.mark.parametrize(("path", "words"), CACHE_DIRS.values(), ids=CACHE_DIRS.keys())
def test_a_cache_dir_that_cannot_be_used_is_refused(bad: Bad, path: str, words: list[str]) -> None:
    (bad.folder / "taken" / "ig_cache.json").mkdir(parents=True)
    (bad.folder / "locked" / "ig.lock").mkdir(parents=True)
    (bad.folder / "dangling").symlink_to(bad.folder / "gone")
    refusal = bad.is_refused(*bad.argv("--cache-dir", str(bad.folder / path)))
    for word in words:
        assert word in refusal.line
    assert not bad.world.output.exists()


def test_a_cache_dir_that_another_run_holds_is_refused(bad: Bad) -> None:
    bad.world.cache_dir.mkdir()
    with (bad.world.cache_dir / "ig.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refusal = bad.is_refused(*bad.argv())
    assert "another run is using" in refusal.line and "wait until it ends" in refusal.line
    assert not bad.world.output.exists()


@pytest.mark.parametrize("content", ["", "\x1b[31m99\n", "-1\n", "12; rm\n"])
def test_a_lock_file_that_names_no_process_makes_no_advice_to_kill_it(
    bad: Bad, content: str
) -> None:
    bad.world.cache_dir.mkdir()
    with (bad.world.cache_dir / "ig.lock").open("w") as file:
        file.write(content)
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        refusal = bad.is_refused(*bad.argv())
    assert refusal.line.endswith(f"another run is using {bad.world.cache_dir}: wait until it ends")


def test_an_earlier_output_is_kept_where_the_input_is_refused(bad: Bad) -> None:
    bad.world.output.write_bytes(b"last night's work\n")
    bad.world.input.write_bytes(b"")
    bad.is_refused(*bad.argv("--force"))
    assert bad.world.output.read_bytes() == b"last night's work\n"


def test_force_sets_no_cache_aside_where_the_output_is_refused(bad: Bad) -> None:
    bad.world.cache_dir.mkdir()
    bad.world.cache_file.write_bytes(
        b'{\n"osk": {"username": "osk", "biography": "", "error": null}\n}\n'
    )
    bad.is_refused(*bad.argv("--force", "--output", str(bad.folder)))


def test_an_input_named_like_a_file_in_the_making_is_not_written_over(bad: Bad) -> None:
    data = bad.world.input.replace(bad.folder / ".out.csv.ig-part")
    assert bad.world.run("--input", str(data)).code == 2
    assert data.read_bytes() == GOOD
