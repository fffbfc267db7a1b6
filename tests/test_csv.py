"""The CSV in and out: what is filled, and that no other byte changes."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import World, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import cache_entry

from instagram_enrichment import Profile, Sheet, UnusableError, clean, parse_handle, read_sheet

# What a run makes of a list: ⟨Art⟩ is added, ⟨ →Art⟩ stands where a blank cell stood. Every profile
# has the category Art and the biography Bio.
FILLED = {
    "a BOM": "\ufeffHandle,Name,GENRE,Details\n@osk,Osk,⟨Art⟩,⟨Bio⟩\n@tam,T,Music,⟨Bio⟩\n",
    "two BOMs": "\ufeff\ufeffName,Handle⟨,GENRE,Details⟩\nOsk,@osk⟨,Art,Bio⟩\n",
    "CRLF, no last newline": 'GENRE,Details,Handle\r\n"A\nB",⟨Bio⟩,@osk\r\n⟨Art⟩,Eats,@tam',
    "line ends of old Macs": "Handle,GENRE,Details\r@osk,⟨Art⟩,⟨Bio⟩\r@tam,Food,Eats\r",
    "mixed line ends": "Handle,GENRE,Details\r\n@osk,⟨Art⟩,⟨Bio⟩\n@tam,⟨Art⟩,⟨Bio⟩\r#N/A,,\r\n",
    "odd line ends": "Handle,GENRE,Details\n@osk,\u2028x\x85,⟨Bio⟩\n@tam\x1c,⟨Art⟩,⟨\u2029→Bio⟩\n",
    "blank lines": "\n\r\nHandle,GENRE,Details\n\n@osk,⟨Art⟩,⟨Bio⟩\n\r\n   \n@tam,F,⟨Bio⟩\n\n",
    "semicolons": 'GENRE;Details;Handle\n⟨Art⟩;⟨Bio⟩;@osk\n"F; T";⟨Bio⟩;@tam\nx, y;1,5;@velmo\n',
    "tabs": 'Name\tHandle\tGENRE\tDetails\nO, s; k\tosk\t⟨Art⟩\t⟨Bio⟩\n"T\tT"\ttam\tF\t⟨Bio⟩\n',
    "vertical bars": "Name|Handle⟨|GENRE|Details⟩\na, b; c|osk⟨|Art|Bio⟩\nd|tam⟨|Art|Bio⟩\n",
    "duplicate and empty headers": "Handle,,N,N,GENRE,,Details,GENRE\n@osk,a,O,,⟨Art⟩,b,⟨Bio⟩,\n",
    "spaces": "Name , genre ,  DETAILS,Handle \nOsk,⟨  →Art⟩,⟨ →Bio⟩,  @osk \n",
    "a header of several lines": '"Handle\n(y)",Handle,"GENRE\n",details\nx,@osk,⟨Art⟩,⟨Bio⟩\n',
    "ragged rows": (
        "Handle,Name,GENRE,Details,Notes\n@osk⟨,,Art,Bio⟩\n@tam,Tam,Food⟨,Bio⟩\n"
        '@velmo,V,⟨Art⟩,⟨Bio⟩,n,more,,"and, more"\n@rua,R,Art,Weaves,a,b\n@quo,,⟨Art⟩,Hums\n'
    ),
    "all in quotes": '"Handle","GENRE","Details"\n"osk",⟨""→"Art"⟩,"B"\n"tam","""F""",⟨""→"Bio"⟩\n',
    "cells of several lines": (
        'Name,GENRE,Details,Handle\n"Osk\n",⟨Art⟩,⟨"\n"→"Bio"⟩,@osk\n"T","F\n\nG",⟨Bio⟩,@tam\n'
        '"V",⟨Art⟩,"Eats,\n""a lot""","Velmo\n@velmo"\n'
    ),
    "accents": "Name,Handle,GENRE,Details\nNi\u0301ra,@osk,Mu\u0301sica,⟨Bio⟩\n",
    "stray quotes": 'Name,Handle,GENRE,Details\n5" a,@osk,⟨Art⟩,⟨Bio⟩\n"a"b,@tam,"x" y,⟨Bio⟩\n',
    "spaces around quotes": 'Handle,GENRE,Details\n"@osk" ,⟨Art⟩, "Eats\n@tam,⟨"" →"Art"⟩,⟨Bio⟩\n',
    "no GENRE, no Details": "#,handle,e⟨,GENRE,Details⟩\n1,osk,1⟨,Art,Bio⟩\n2\n3,tam⟨,,Art,Bio⟩\n",
    "one column": "Handle⟨,GENRE,Details⟩\nosk⟨,Art,Bio⟩\n\n@tam⟨,Art,Bio⟩",
    "a comma": "Handle⟨;GENRE;Details⟩\nosk⟨;Art;Bio⟩\n@tam, twice⟨;Art;Bio⟩\nvelmo⟨;Art;Bio⟩\n",
    "more cells": "Handle,City⟨,,GENRE,Details⟩\n@osk,Bari,kept⟨,Art,Bio⟩\n@tam⟨,,,Art,Bio⟩\n",
    "more empty cells": "Handle,City⟨,GENRE,Details⟩\n@osk,Bari,⟨Art⟩⟨,Bio⟩\n",
    "a title": "My list\nHandle,City,GENRE,Details\n@osk,Bari,⟨Art⟩,⟨Bio⟩\n",
    "wide titles": "My list,,\n,,\n# by hand,,\nHandle,GENRE,Details\n@osk,⟨Art⟩,⟨Bio⟩\n",
    "a tall title": '"My list,\nof 2026"\nName,City,Handle⟨,GENRE,Details⟩\nO,Rom,@osk⟨,Art,Bio⟩\n',
    "the line for Excel": "sep=;\r\nHandle;City⟨;GENRE;Details⟩\r\n@osk;Bari, Rome⟨;Art;Bio⟩",
    "GENRE first": "GENRE,Handle,Details\n⟨Art⟩,@osk,⟨Bio⟩\n",
    "cells that are not blank": "Handle,GENRE,Details\n@osk,-,⟨Bio⟩\n@tam,#N/A,0\n",
    "thrice": "Handle,GENRE,Details\n@osk,⟨Art⟩,⟨Bio⟩\nOSK,F,⟨Bio⟩\ninstagram.com/Osk/,⟨Art⟩,x",
}


def read_template(template: str) -> tuple[bytes, bytes, bytes]:
    """The list before, after, and where no profile is found, of one of the texts above."""
    versions = {"before": "", "after": "", "not found": ""}
    for at, part in enumerate(re.split("[⟨⟩]", template)):
        old, arrow, new = part.partition("→")
        kept = old if arrow or at % 2 == 0 else ""
        versions["before"] += kept
        versions["after"] += new if arrow else part
        versions["not found"] += part if "GENRE" in part else kept
    before, after, not_found = (version.encode() for version in versions.values())
    return before, after, not_found


@pytest.mark.parametrize("template", FILLED.values(), ids=FILLED.keys())
def test_only_the_cells_that_are_filled_change(world: World, template: str) -> None:
    before, after, not_found = read_template(template)
    world.input.write_bytes(before)
    for expected, error in ((not_found, "NOT_FOUND"), (after, None)):
        fields = {"category_name": "Art", "biography": "Bio", "error": error}
        names = ("osk", "tam", "velmo", "rua", "quo")
        world.remember(*(cache_entry(name, **fields) for name in names))
        assert world.run().code == 0
        assert world.output.read_bytes() == expected
    assert world.standin.log == []
    assert world.input.read_bytes() == before


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("above", [0, 1, 2])
def test_rows_are_counted_as_a_sheet_does(world: World, start: str, end: str, above: int) -> None:
    lines = ["Handle,GENRE,Details", "@osk,a,b", "", "", '@tam,"two\nlines",b', "@voss,a,b"]
    world.input.write_bytes((start + above * end + end.join(lines)).encode())
    assert world.run("--report", str(world.report_file)).code == 0
    assert [int(row["row"]) - above for row in world.report] == [2, 5, 6]


# Which delimiter and which header


HEADERS = [
    ('Name,Handle,"Topics (a; b; c; d)"\nOsk,@osk,y\n', 'Name|Handle|"Topics (a; b; c; d)"'),
    ("Handle;Name;City (a, b, c, d)\n@osk;Osk;y\n", "Handle|Name|City (a, b, c, d)"),
    ("Name;Notes, with, commas, in, them\nOsk @osk;y\n", "Name|Notes, with, commas, in, them"),
    ("A\tHandle\tB, C; D, E; F\n1\t@osk\ty\n", "A|Handle|B, C; D, E; F"),
    ('"Name";"Followers, Mio"\n"Osk @osk";"1,5"\n', '"Name"|"Followers, Mio"'),
    ("My, own, list, of, us\nName;Handle\nO;osk\nT;tam\n", "Name|Handle"),
    ("Name;Handle\nO;osk\na, b, c, d, e, f;tam\n", "Name|Handle"),
    ("Name,City; land,Handle\nOsk,Bari; Italy,osk\n", "Name|City; land|Handle"),
    ('Handle;"A, b"\n@osk;"a, b\nc, d"\n', 'Handle|"A, b"'),
    ('Handle,"A; b"\n@osk,"a; b\nc; d"\n', 'Handle|"A; b"'),
    (",,Instagram,,\nName,City,Type,Handle,ER\nO,Bari,a,@osk,1\n", "Name|City|Type|Handle|ER"),
    ("# by hand,,,,\nName,Handle\nO,osk\n", "Name|Handle"),
    ("Name,Handle,,,\nO,osk,,,\n", "Name|Handle|||"),
]


def sheet_of(folder: Path, data: bytes, **named: str) -> Sheet:
    """The list that `data` is."""
    path = folder / "sheet.csv"
    path.write_bytes(data)
    return read_sheet(path, named)


def profile(name: str, category: str | None, biography: str | None) -> Profile:
    """A profile that was fetched just now."""
    return Profile.fetched_now(name, {"category_name": category, "biography": biography})


@pytest.mark.parametrize(("text", "header"), HEADERS)
def test_the_first_rows_tell_delimiter_and_header(tmp_path: Path, text: str, header: str) -> None:
    sheet = sheet_of(tmp_path, text.encode())
    assert sheet.header.text.strip().replace(sheet.delimiter, "|") == header
    assert "osk" in [row.username for row in sheet.rows]


WITHOUT_HEADER = [
    "osk,@osk.arwen\ntam,@tam\n",
    "\n,,\nhttps://www.instagram.com/osk/\n@tam\n",
    "@Osk,Handle\n@tam,bea\n",
    'Link,Name\nhttps://instagram.com/osk,Osk\n,"Lost",Jr,x,y\n',  # a text with commas
    "Handle\n@osk,a,b\n@tam,c,d\n",  # filled twice as far to the right as what stands above
]


@pytest.mark.parametrize("text", WITHOUT_HEADER)
def test_a_list_without_a_header_is_refused(world: World, text: str) -> None:
    world.input.write_text(text)
    result = world.run()
    where = r"in row \d, where the columns should be named: add a row"
    assert result.code == 2 and re.search(f" has '.*[Oo]sk.*' {where}", result.log)


# Any CSV, and any bytes


def parsed(data: bytes, delimiter: str) -> list[list[str]]:
    lines = io.StringIO(data.decode("utf-8").removeprefix("\ufeff"), newline="")
    return [row for row in csv.reader(lines, delimiter=delimiter) if row]


PIECES = ["a", "B9", "|", " ", "é", "e\u0301", "🎈", ",", ";", "\t", '"', '""', "'", "\n", "\r\n"]
PIECES += ["=", "@", "\u2028", "#N/A"]
CELLS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
TEXTS = st.sampled_from(["a,b", "a;b", "a|b"]) | CELLS
KNOWN = st.fixed_dictionaries(
    {name: st.tuples(st.none() | TEXTS, TEXTS) for name in ("nirabel.voss", "quillo_tam")}
)
HANDLE_CELLS = st.sampled_from(["@nirabel.voss", "Quillo_Tam", "y\n@quillo_tam", "osk", "#N/A", ""])
TITLES = ["Influencers 2026", "# by hand", "  Instagram", "", " "]


@st.composite
def tables(draw: st.DrawFn) -> tuple[bytes, str, int]:
    """A CSV file as csv.writer makes it, in a random dialect: its bytes, its delimiter and how
    many rows that are not blank stand above its header."""
    delimiter = draw(st.sampled_from(",;\t|"))
    quoting: Any = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = io.StringIO(newline="")
    above = 0
    if draw(st.booleans()):
        above += 1
        text.write(f"sep={delimiter}{end}")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    for title in draw(st.lists(st.sampled_from(TITLES), max_size=3)):
        cells = [title] + [""] * draw(st.integers(0, 6))
        above += 1 if len(cells) > 1 or title or quoting == csv.QUOTE_ALL else 0
        text.write(end) if cells == [""] and quoting != csv.QUOTE_ALL else writer.writerow(cells)
    header = ["Name ", "Instagram Handle", " genre", "DETAILS", "", "Name "]
    writer.writerow(header)
    for _ in range(draw(st.integers(0, 6))):
        row: list[Any] = [draw(CELLS), draw(HANDLE_CELLS)]
        row += draw(st.lists(CELLS | st.just(""), min_size=4, max_size=6))
        writer.writerow(row[: draw(st.sampled_from([8, 8, 6, 6, 6, 2, 1, 0]))])
    for _ in range(8):  # most of the rows are as wide as the header
        writer.writerow(["", "@quillo_tam", *header[2:]])
    data = text.getvalue()
    if draw(st.booleans()):
        data = data.removesuffix(end)
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + data.encode("utf-8"), delimiter, above


def filled_in(cells: list[str], known: Mapping[str, Any]) -> list[str]:
    """What a row of `tables` becomes, with what Instagram knows."""
    name = (parse_handle(cells[1])[0] or "") if len(cells) > 1 else ""
    for column, text in zip((2, 3), known.get(name, ())):
        if clean(text or "") and (len(cells) <= column or not cells[column].strip()):
            cells = cells + [""] * (column + 1 - len(cells))
            cells[column] = clean(text)
    return cells


@given(tables(), KNOWN)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_csv_round_trips_and_gains_nothing_but_the_filled_cells(table: Any, known: Any) -> None:
    data, delimiter, above = table
    with tempfile.TemporaryDirectory() as folder:
        sheet = sheet_of(Path(folder), data)
    assert sheet.render({}) == data
    rows = parsed(data, delimiter)
    assert len(sheet.rows) == len(rows) - above - 1
    output = sheet.render({name: profile(name, *texts) for name, texts in known.items()})
    filled = [filled_in(row, known) for row in rows[above + 1 :]]
    assert parsed(output, delimiter) == [*rows[: above + 1], *filled]


SNIPPETS = ["Handle", "GENRE", "Details", "@osk", "x", ",", ",", ";", "\t", '"', '"', '""', "\n"]
SNIPPETS += ["\n", "\r", "\r\n", " ", "\0", "\ufeff", "é", "\u2028", "\x85", "\x1c"]
SOUP = st.lists(st.sampled_from(SNIPPETS), max_size=30).map("".join).map(str.encode)
STARTS = st.sampled_from([b"Handle,GENRE,Details\n@osk,,\n@osk,,\n", b"Handle,Name\n@osk,Osk\n"])


@given(st.binary(max_size=60) | st.tuples(STARTS, SOUP).map(b"".join), st.booleans())
@settings(max_examples=600, deadline=None)
def test_any_bytes_come_out_as_they_went_in_or_are_refused(data: bytes, is_named: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            sheet = sheet_of(Path(folder), data, **({"username": "Handle"} if is_named else {}))
        except UnusableError as refused:
            assert "\n" not in str(refused)
            return
    output = sheet.render({})
    added = len(output) - len(data)
    at = next((at for at, pair in enumerate(zip(output, data)) if len(set(pair)) > 1), len(data))
    assert output[:at] + output[at + added :] == data  # one piece was added, if any
    titles = [column.header for column in sheet.columns.values() if column.is_new]
    assert (added > 0) == bool(titles)
    for title in titles:
        assert title.encode() in output[max(at - 20, 0) : at + added]


@given(SOUP.map(b"Handle,GENRE,Details\n@osk,,\n@osk,,\n@osk,,\n".__add__))
@settings(max_examples=300, deadline=None)
def test_a_file_that_is_not_refused_parses_the_same_after_it_is_filled(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            sheet = sheet_of(Path(folder), data)
        except UnusableError:
            return
    output = sheet.render({"osk": profile("osk", "Art", 'Carves, "mostly"')})
    before, after = parsed(data, ","), parsed(output, ",")
    for old, new in zipped(before[1:], after[1:]):
        texts: dict[int, str] = {}
        if parse_handle(old[0])[0] == "osk":
            old += [""] * (3 - len(old))
            texts = {1: "Art", 2: 'Carves, "mostly"'}
        filled = [cell if cell.strip() else texts.get(at) or cell for at, cell in enumerate(old)]
        assert new == filled
