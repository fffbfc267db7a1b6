"""The CSV in and out: what is filled, what a handle cell holds, and that no other byte changes."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from conftest import World, profile, sheet_of, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import user

from instagram_enrichment import (
    CELL_CHARACTERS,
    UnusableError,
    clean,
    parse_handle,
)

DATA = Path(__file__).parent / "data"
BOM = b"\xef\xbb\xbf"
COLUMNS = {"G": "genre", "D": "details"}


class Quirk(NamedTuple):
    """One of the files in tests/data, and what a run with every profile found does to it."""

    name: str
    fills: dict[
        int, tuple[str, str]
    ]  # row (the header is 0) -> profile, and which of G and D are filled
    delimiter: str = ","
    added: str = ""  # what the header gains


QUIRKS = [
    Quirk("bom", {1: ("nirabel.voss", "GD"), 3: ("osk.arwen", "G")}),
    Quirk(
        "semicolons",
        {1: ("nirabel.voss", "GD"), 2: ("quillo_tam", "D"), 4: ("brindle_okta", "G")},
        delimiter=";",
    ),
    Quirk(
        "tabs",
        {1: ("nirabel.voss", "GD"), 2: ("quillo_tam", "D"), 3: ("osk.arwen", "G")},
        delimiter="\t",
    ),
    Quirk("crlf_no_last_newline", {1: ("nirabel.voss", "D"), 3: ("osk.arwen", "GD")}),
    Quirk("duplicate_and_empty_headers", {1: ("nirabel.voss", "GD"), 3: ("osk.arwen", "GD")}),
    Quirk(
        "ragged_rows",
        {
            1: ("nirabel.voss", "GD"),
            2: ("quillo_tam", "D"),
            3: ("osk.arwen", "GD"),
            5: ("tamsin.orrel", "G"),
            6: ("velmo", "GD"),
        },
    ),
    Quirk("blank_lines", {1: ("nirabel.voss", "GD"), 4: ("osk.arwen", "D")}),
    Quirk(
        "multi_line_cells",
        {1: ("nirabel.voss", "D"), 3: ("osk.arwen", "GD"), 4: ("brindle_okta", "G")},
    ),
    Quirk("handles_in_name_column", {1: ("nirabel.rios", "GD"), 2: ("quillo_tam", "D")}),
    Quirk(
        "no_genre_no_details",
        {1: ("nirabel.voss", "GD"), 2: ("quillo_tam", "GD"), 5: ("tamsin.orrel", "GD")},
        added=",GENRE,Details",
    ),
    Quirk(
        "decomposed_accents",
        {1: ("nirabel.voss", "GD"), 2: ("quillo_tam", "D"), 3: ("osk.arwen", "G")},
    ),
    Quirk("all_cells_quoted", {1: ("nirabel.voss", "GD"), 2: ("quillo_tam", "D")}),
    Quirk("header_with_spaces", {1: ("nirabel.voss", "GD"), 2: ("quillo_tam", "D")}),
    Quirk("unusable_handles", {13: ("osk.arwen", "GD")}),
    Quirk("old_mac_line_ends", {1: ("nirabel.voss", "GD"), 3: ("osk.arwen", "G")}),
]
quirky = pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)


# An independent reading of CSV, made of nothing but a look at every character


def split_outside_quotes(text: str, separators: str) -> list[str]:
    """Split behind each separator that no quotes enclose; the pieces end with their separators."""
    pieces, start, quoted = [], 0, False
    for at, char in enumerate(text):
        quoted ^= char == '"'
        if char in separators and not quoted and text[at : at + 2] != "\r\n":
            pieces.append(text[start : at + 1])
            start = at + 1
    return [*pieces, text[start:]] if start < len(text) else pieces


def raw_rows(data: bytes) -> list[str]:
    """The raw rows with their line ends, the blank lines left out."""
    lines = split_outside_quotes(data.decode("utf-8").removeprefix("\ufeff"), "\r\n")
    return [line for line in lines if line.strip("\r\n")]


def raw_cells(row: str, delimiter: str) -> list[str]:
    pieces = split_outside_quotes(row.rstrip("\r\n") + delimiter, delimiter)
    return [piece[:-1] for piece in pieces]


def parsed(data: bytes, delimiter: str) -> list[list[str]]:
    lines = io.StringIO(data.decode("utf-8").removeprefix("\ufeff"), newline="")
    return [row for row in csv.reader(lines, delimiter=delimiter) if row]


def blank_lines(data: bytes) -> list[str]:
    lines = split_outside_quotes(data.decode("utf-8"), "\r\n")
    return [f"{at} {line!r}" for at, line in enumerate(lines) if not line.strip("\r\n")]


def line_end(row: str) -> str:
    return row[len(row.rstrip("\r\n")) :]


def run_on(world: World, data: bytes, *flags: str, found: tuple[str, ...] = ()) -> bytes:
    """Run on a list, with a stand-in that knows the profiles `found`; returns the output."""
    world.input.write_bytes(data)
    world.standin.users.update({name: user(name) for name in found})
    assert world.run(*flags).code == 0
    assert world.input.read_bytes() == data
    return world.output.read_bytes()


@quirky
def test_a_quirky_file_gains_the_filled_cells_and_changes_nowhere_else(
    world: World, quirk: Quirk
) -> None:
    data = (DATA / f"{quirk.name}.csv").read_bytes()
    names = [name for name, _ in quirk.fills.values()]
    output = run_on(world, data, found=tuple(names))
    for name in names:
        assert name in world.standin.names
    before, after = raw_rows(data), raw_rows(output)
    header_after = before[0].rstrip("\r\n") + quirk.added + line_end(before[0])
    assert after[0] == header_after
    cells = parsed(data, quirk.delimiter), parsed(output, quirk.delimiter)
    titles = [title.strip().casefold() for title in cells[1][0]]
    pairs = zipped(before, after, *cells)
    for number, (raw_before, raw_after, cells_before, cells_after) in list(enumerate(pairs))[1:]:
        if number not in quirk.fills:
            assert raw_after == raw_before
            continue
        name, letters = quirk.fills[number]
        texts = {"G": "Blogger", "D": f"The biography of {name}"}
        gained = {titles.index(COLUMNS[letter]): texts[letter] for letter in letters}
        kept_before = raw_cells(raw_before, quirk.delimiter)
        kept_after = raw_cells(raw_after, quirk.delimiter)
        width = max(len(kept_before), max(gained) + 1)
        assert len(kept_after) == len(cells_after) == width
        cells_before += [""] * (width - len(cells_before))
        kept_before += [""] * (width - len(kept_before))
        for column in range(width):
            if column in gained:
                assert not cells_before[column].strip()
                assert cells_after[column] == gained[column]
            else:
                assert kept_after[column] == kept_before[column]
        assert line_end(raw_after) == line_end(raw_before)


@quirky
def test_a_quirky_file_keeps_its_bom_line_ends_blank_lines_and_last_line(
    world: World, quirk: Quirk
) -> None:
    data = (DATA / f"{quirk.name}.csv").read_bytes()
    output = run_on(world, data, found=tuple(name for name, _ in quirk.fills.values()))
    assert output != data
    assert output.startswith(BOM) == data.startswith(BOM) == (quirk.name == "bom")
    assert output.count(BOM) == data.count(BOM)
    assert output[-1:] == data[-1:] or (
        quirk.name == "crlf_no_last_newline" and output[-1:] not in b"\r\n"
    )
    assert blank_lines(output) == blank_lines(data)
    filled = [raw_rows(data)[row] for row in quirk.fills]
    in_filled_cells = sum(row.rstrip("\r\n").count("\n") for row in filled)
    for end in (b"\r\n", b"\r", b"\n"):
        assert 0 <= data.count(end) - output.count(end) <= in_filled_cells


@quirky
def test_a_quirky_file_comes_out_byte_for_byte_where_no_profile_is_found(
    world: World, quirk: Quirk
) -> None:
    data = (DATA / f"{quirk.name}.csv").read_bytes()
    header = raw_rows(data)[0].rstrip("\r\n").encode()
    assert run_on(world, data) == data.replace(header, header + quirk.added.encode(), 1)
    assert {name for name, _ in quirk.fills.values()} <= set(world.standin.names)


@quirky
def test_a_quirky_file_fetches_each_profile_that_can_gain_something_once(
    world: World, quirk: Quirk
) -> None:
    names = tuple(dict.fromkeys(name for name, _ in quirk.fills.values()))
    run_on(world, (DATA / f"{quirk.name}.csv").read_bytes(), found=names)
    fetched = list(world.standin.names)
    assert fetched == list(names)


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("above", [0, 1, 2])
def test_rows_are_counted_as_a_spreadsheet_does(
    tmp_path: Path, start: str, end: str, above: int
) -> None:
    lines = ["Handle,Note", "@osk,", "", "", '@tam,"two\nlines"', "@voss,"]
    sheet = sheet_of(tmp_path, (start + above * end + end.join(lines)).encode())
    assert [row.number - above for row in sheet.rows] == [2, 5, 6]


def test_a_second_run_gives_the_same_bytes_and_fetches_nothing(world: World) -> None:
    data = (DATA / "multi_line_cells.csv").read_bytes()
    first = run_on(world, data, found=("nirabel.voss", "osk.arwen", "brindle_okta"))
    fetched = len(world.standin.log)
    assert world.run().code == 0
    assert world.output.read_bytes() == first
    assert len(world.standin.log) == fetched


@pytest.mark.parametrize(
    ("row", "filled"),
    [
        ("@nirabel.voss,,", "@nirabel.voss,Blogger,The biography of nirabel.voss"),
        ("@nirabel.voss,Food,", "@nirabel.voss,Food,The biography of nirabel.voss"),
        ("@nirabel.voss,,Eats", "@nirabel.voss,Blogger,Eats"),
        (
            '@nirabel.voss,"Food\nTravel",',
            '@nirabel.voss,"Food\nTravel",The biography of nirabel.voss',
        ),
        ("@nirabel.voss,  ,\t", "@nirabel.voss,Blogger,The biography of nirabel.voss"),
        ('@nirabel.voss,"  \n ",\u00a0', '@nirabel.voss,"Blogger",The biography of nirabel.voss'),
        ('@nirabel.voss,"",""', '@nirabel.voss,"Blogger","The biography of nirabel.voss"'),
        ("@nirabel.voss,-,", "@nirabel.voss,-,The biography of nirabel.voss"),
        ("@nirabel.voss,#N/A,0", "@nirabel.voss,#N/A,0"),
        ("@nirabel.voss", "@nirabel.voss,Blogger,The biography of nirabel.voss"),
        ("@nirabel.voss,", "@nirabel.voss,Blogger,The biography of nirabel.voss"),
        ('"@nirabel.voss" ,,Eats', '"@nirabel.voss" ,Blogger,Eats'),
        ("@nirabel.voss,,,more", "@nirabel.voss,Blogger,The biography of nirabel.voss,more"),
    ],
)
def test_only_an_empty_or_blank_cell_is_filled(world: World, row: str, filled: str) -> None:
    output = run_on(world, f"Handle,GENRE,Details\n{row}\n".encode(), found=("nirabel.voss",))
    assert output.decode() == f"Handle,GENRE,Details\n{filled}\n"


@pytest.mark.parametrize("cells", ["Food,Eats", '"Food\n","Eats"', "-,."])
def test_a_row_with_both_cells_filled_is_not_fetched(world: World, cells: str) -> None:
    data = f"Handle,GENRE,Details\n@nirabel.voss,{cells}\n".encode()
    assert run_on(world, data, found=("nirabel.voss",)) == data
    assert world.standin.log == []


def test_a_handle_that_appears_twice_is_fetched_once_and_fills_both_rows(world: World) -> None:
    rows = [
        "@nirabel.voss,,",
        "instagram.com/Nirabel.Voss/,Food,",
        "NIRABEL.VOSS,,Eats",
        "@osk.arwen,,",
    ]
    data = "\n".join(["Handle,GENRE,Details", *rows]).encode()
    output = run_on(world, data, found=("nirabel.voss", "osk.arwen"))
    assert [row[1:] for row in parsed(output, ",")[1:]] == [
        ["Blogger", "The biography of nirabel.voss"],
        ["Food", "The biography of nirabel.voss"],
        ["Blogger", "Eats"],
        ["Blogger", "The biography of osk.arwen"],
    ]
    assert world.standin.names == ["nirabel.voss", "osk.arwen"]


def test_rows_behind_the_limit_are_in_the_output_and_not_fetched(world: World) -> None:
    data = b"Handle,GENRE,Details\r\n@nirabel.voss,,\r\n@osk.arwen,,\r\n"
    output = run_on(world, data, "--limit", "1", found=("nirabel.voss", "osk.arwen"))
    assert output == data.replace(b"voss,,", b"voss,Blogger,The biography of nirabel.voss")
    assert world.standin.names == ["nirabel.voss"]


@pytest.mark.parametrize(
    ("header", "added"),
    [
        (b"Handle", b",GENRE,Details"),
        (b"Handle,GENRE", b",Details"),
        (b"Handle,details", b",GENRE"),
        (b"Handle;Name", b";GENRE;Details"),
        (b"Handle\tName", b"\tGENRE\tDetails"),
        (b'"Handle","Name"', b",GENRE,Details"),
        (BOM + b"Handle", b",GENRE,Details"),
        (BOM + BOM + b"Handle,Username", b",GENRE,Details"),
        (b"Handle, Genre ,DETAILS", b""),
        (b'Handle,"GENRE\n",details', b""),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("last", [True, False])
def test_missing_columns_are_added_at_the_end_of_the_header(
    tmp_path: Path, header: bytes, added: bytes, end: bytes, last: bool
) -> None:
    body = b"@nirabel.voss" + end * last
    assert (
        b"".join(sheet_of(tmp_path, header + end + body).render({})) == header + added + end + body
    )


def test_a_row_longer_than_the_header_is_not_overwritten_where_columns_are_added(
    tmp_path: Path,
) -> None:
    sheet = sheet_of(tmp_path, b"Handle\n@nirabel.voss,not to be lost\n")
    output = b"".join(sheet.render({"nirabel.voss": profile("nirabel.voss", "Art", "Carves")}))
    assert output == b"Handle,,GENRE,Details\n@nirabel.voss,not to be lost,Art,Carves\n"


@pytest.mark.parametrize(
    ("header", "row", "filled"),
    [
        ('Name,Handle,"Topics (a; b; c; d)"', "Osk,@osk,x", "Osk,@osk,x,Art,Carves"),
        ("Handle;Name;City (a, b, c, d)", "@osk;Osk;x", "@osk;Osk;x;Art;Carves"),
        ("City (a, b, c);Handle", "Bari;@osk;x", "Bari;@osk;x;Art;Carves"),
        ("Name;Notes, with, commas, in, them", "Osk @osk;x", "Osk @osk;x;Art;Carves"),
        ("A\tHandle\tB, C; D, E; F", "1\t@osk\tx", "1\t@osk\tx\tArt\tCarves"),
        ('Handle,Details,"GENRE"', "@osk,,x", "@osk,Carves,x"),
        ("Handle", "@osk", "@osk,Art,Carves"),
        ("Handle;City (a, b, c, d)", "@osk", "@osk;;Art;Carves"),
        ("Name;Followers, Mio", "Osk @osk;1,5", "Osk @osk;1,5;Art;Carves"),
        ('"Name";"Followers, Mio"', '"Osk @osk";"1,5"', '"Osk @osk";"1,5";Art;Carves'),
    ],
)
def test_the_delimiter_is_the_one_that_makes_sense_of_the_header(
    tmp_path: Path, header: str, row: str, filled: str
) -> None:
    sheet = sheet_of(tmp_path, f"{header}\n{row}\n".encode())
    assert sheet.rows[0].username == "osk"
    output = b"".join(sheet.render({"osk": profile("osk", "Art", "Carves")})).decode()
    assert output.splitlines()[1] == filled


def test_a_row_of_many_quoted_cells_that_is_not_closed_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="opens a quote"):
        sheet_of(tmp_path, b"Handle,GENRE,Details\n@a,," + b',"a"   ' * 50_000 + b',"zz')


def test_a_closed_multi_line_cell_may_be_followed_by_a_space(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, b'GENRE,Handle,Details\n"A\nB" ,@osk,\n')
    output = b"".join(sheet.render({"osk": profile("osk", "Art", "Carves")}))
    assert output == b'GENRE,Handle,Details\n"A\nB" ,@osk,Carves\n'


# What a stranger's text becomes

TEXTS = [
    ("Paints doors", "Paints doors"),
    ("Paints\ndoors", "Paints doors"),
    ("Paints \r\n\r\n\t doors", "Paints doors"),
    ("  Paints doors\n", "Paints doors"),
    ("Paints\u2028\u2029doors", "Paints doors"),
    ("Paints\x85\u00a0\u3000doors", "Paints doors"),
    ("Paints\x0b\x0c\x1c\x1d\x1e\x1fdoors", "Paints doors"),
    ("Paints\0doors", "Paints doors"),
    ("\0\x01\x02", ""),
    ("Paints\x1b[31mdoors\x1b[0m", "Paints [31mdoors [0m"),
    ("Paints\x7f\x80\x9fdoors", "Paints doors"),
    ("", ""),
    (" \n\t ", ""),
    ("=1+1", "'=1+1"),
    ("+34 600", "'+34 600"),
    ("-5", "'-5"),
    ("@osk.arwen paints", "'@osk.arwen paints"),
    ('=HYPERLINK("http://x.example","y")', '\'=HYPERLINK("http://x.example","y")'),
    ("\t=1+1", "'=1+1"),
    ("\r\n@osk", "'@osk"),
    ("\0=1+1", "'=1+1"),
    ("1=1", "1=1"),
    ("a-b", "a-b"),
    ("'quoted'", "'quoted'"),
    ("Carves, \"mostly\"; 'all'", "Carves, \"mostly\"; 'all'"),
    ("x" * 500, "x" * 500),
    ("x" * 501, "x" * 500),
    ("x" * 10_000, "x" * 500),
    ("x" * 499 + "e\u0301yz", "x" * 499),  # an accent of its own
    ("x" * 498 + "e\u0301yz", "x" * 498 + "e\u0301"),
    ("x" * 499 + "\U0001f44d\U0001f3fd!", "x" * 499),  # a skin tone
    ("x" * 497 + "\U0001f469\u200d\U0001f469\u200d\U0001f467", "x" * 497),  # a family
    ("x" * 499 + "\u2764\ufe0f!", "x" * 499),  # a red heart
    ("x" * 499 + "1\ufe0f\u20e3!", "x" * 499),  # a keycap
    ("x" * 499 + "\U0001f1e9\U0001f1ea!", "x" * 499),  # a flag
    ("x" * 498 + "\U0001f1e9\U0001f1ea!", "x" * 498 + "\U0001f1e9\U0001f1ea"),
    ("\U0001f1e9\U0001f1ea" * 251, "\U0001f1e9\U0001f1ea" * 250),
    ("x" + "\U0001f1e9\U0001f1ea" * 251, "x" + "\U0001f1e9\U0001f1ea" * 249),
    ("x" * 499 + "\u1112\u1161\u11ab", "x" * 499),  # a syllable of Hangul, in its letters
    ("x" * 499 + "\U0001f3f4\U000e0067\U000e007f", "x" * 499),  # a flag with a tag
    ("e" + "\u0301" * 600, "e" + "\u0301" * 499),  # nowhere to cut
    *((text, "") for text in ("\u200b", "\u200b \u200d\n\u2060", "\ufeff", "\u2800" * 9, "\u3164")),
    *((text, "") for text in ("\xad\xad", "\ufe0f", "\u115f\u1160", "\U000e0041", "\u202e", "\0")),
    ("\u200bx", "\u200bx"),
    ("\u2800 \U0001f388", "\u2800 \U0001f388"),
    ("é🎈" * 5000, "é🎈" * 250),
    (" \n" * 5000 + "end", "end"),
    ("=" * 10_000, "'" + "=" * 499),
    ("x" * 499 + "\n\n" + "y", "x" * 499),
    ("👩\u200d🎨 paints", "👩\u200d🎨 paints"),
    ("\ud83d paints", "? paints"),
    ("paints \udc00", "paints ?"),
    ("e\u0301", "e\u0301"),
]


@pytest.mark.parametrize(("text", "cell"), TEXTS, ids=[ascii(text)[:24] for text, _ in TEXTS])
def test_a_text_becomes_one_harmless_line(text: str, cell: str) -> None:
    assert clean(text) == cell


NASTY = st.text("=+-@\t\r\n\0 '\"x\ud800\u2028", max_size=20)


@given(st.text(st.characters(categories=None), max_size=600) | NASTY)
@settings(max_examples=300, deadline=None, database=None)
def test_any_text_becomes_at_most_500_encodable_characters_on_one_line(text: str) -> None:
    cell = clean(text)
    assert len(cell) <= CELL_CHARACTERS == 500
    assert cell == cell.strip()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|\s\s", cell)
    assert not cell.startswith(("=", "+", "-", "@"))
    assert cell.encode("utf-8").decode("utf-8") == cell


HOSTILE = [
    "=cmd|' /C calc'!A0",
    '+1,"2"',
    "-1;2",
    "@SUM(1)",
    'He said "=1", then\nleft\ttown',
    "\x1b]0;title\x07\x1b[2J red",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "line\u2028line\u2029line",
    "half an emoji \ud83d",
    "nul \0 inside",
    "x" * 10_000,
]


@pytest.mark.parametrize("biography", HOSTILE, ids=[ascii(text)[:20] for text in HOSTILE])
def test_a_hostile_text_is_harmless_in_the_cell_and_raw_in_the_cache(
    world: World, biography: str
) -> None:
    world.live("nirabel.voss")
    texts = dict.fromkeys(("biography", "category_name", "full_name"), biography)
    world.standin.users["nirabel.voss"].update(texts)
    result = world.run()
    assert result.code == 0
    assert not re.search(
        "[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]", result.log
    )
    assert world.cache["nirabel.voss"]["biography"] == biography
    assert world.cache["nirabel.voss"]["category_name"] == biography
    assert world.rows[1:] == [["@nirabel.voss", clean(biography), clean(biography)]]
    assert len(world.output.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("text", ["a,b", "a;b", "a|b", 'a "b"', '"', '""', "a\tb", '",";', "'"])
def test_a_filled_cell_is_quoted_where_it_has_to_be(
    tmp_path: Path, delimiter: str, text: str
) -> None:
    data = delimiter.join(["Handle", "GENRE", "Details", "End"]) + "\n"
    data += delimiter.join(["osk", "", "", "end"]) + "\n"
    output = b"".join(sheet_of(tmp_path, data.encode()).render({"osk": profile("osk", text, text)}))
    assert parsed(output, delimiter)[1] == ["osk", clean(text), clean(text), "end"]


# Any CSV, and any bytes

PIECES = [
    "a",
    "B9",
    "|",
    " ",
    "é",
    "e\u0301",
    "🎈",
    ",",
    ";",
    "\t",
    '"',
    '""',
    "'",
    "\n",
    "\r\n",
    "=",
    "@",
    "\u2028",
    "#N/A",
]
CELLS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
KNOWN = {
    "nirabel.voss": ("Art", 'Carves, "mostly"; all\tday | night'),
    "quillo_tam": ("", "=1+1"),
    "osk.arwen": (None, None),
}
HANDLE_CELLS = st.sampled_from(
    ["@nirabel.voss", "Quillo_Tam", "osk.arwen", "x\n@quillo_tam", "#N/A", ""]
)


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
    writer.writerow(["Name ", "Instagram Handle", " genre", "DETAILS", "", "Name "])
    for _ in range(draw(st.integers(0, 6))):
        row: list[Any] = [draw(CELLS), draw(HANDLE_CELLS)] + draw(
            st.lists(CELLS | st.just(""), max_size=6)
        )
        writer.writerow(row[: draw(st.sampled_from([8, 8, 8, 2, 1, 0]))])
    writer.writerow(["", "@quillo_tam"])
    data = text.getvalue()
    if draw(st.booleans()):
        data = data.removesuffix(end)
    return draw(st.sampled_from([b"", BOM])) + data.encode("utf-8"), delimiter, above


def filled_in(cells: list[str]) -> list[str]:
    """What a row of `tables` becomes, when Instagram knows KNOWN."""
    name = (parse_handle(cells[1]).username or "") if len(cells) > 1 else ""
    for column, text in zip((2, 3), KNOWN.get(name, ())):
        if text and (len(cells) <= column or not cells[column].strip()):
            cells = cells + [""] * (column + 1 - len(cells))
            cells[column] = "'" + text if text.startswith("=") else re.sub(r"\s+", " ", text)
    return cells


@given(tables())
@settings(
    max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
def test_any_csv_round_trips_and_gains_nothing_but_the_filled_cells(
    table: tuple[bytes, str, int],
) -> None:
    data, delimiter, above = table
    with tempfile.TemporaryDirectory() as folder:
        sheet = sheet_of(Path(folder), data)
    assert b"".join(sheet.render({})) == data
    assert len(sheet.rows) == len(parsed(data, delimiter)) - above - 1
    output = b"".join(sheet.render({name: profile(name, *texts) for name, texts in KNOWN.items()}))
    rows = parsed(data, delimiter)
    filled = [*rows[: above + 1], *map(filled_in, rows[above + 1 :])]
    assert parsed(output, delimiter) == filled
    changed = [old for old, new in zipped(raw_rows(data), raw_rows(output)) if old != new]
    assert len(changed) == sum(old != new for old, new in zipped(rows, filled))


SNIPPETS = [
    "Handle",
    "GENRE",
    "Details",
    "@osk",
    "x",
    ",",
    ",",
    ";",
    "\t",
    '"',
    '"',
    '""',
    "\n",
    "\n",
]
SNIPPETS += ["\r", "\r\n", " ", "\0", "\ufeff", "é", "\u2028", "\x85", "\x1c"]
SOUP = st.lists(st.sampled_from(SNIPPETS), max_size=30).map(
    lambda pieces: "".join(pieces).encode("utf-8")
)


STARTS = st.sampled_from([b"", b"Handle,", b"Handle,GENRE,Details\n"])


@given(st.binary(max_size=60) | st.tuples(STARTS, SOUP).map(b"".join))
@settings(max_examples=400, deadline=None, database=None)
def test_any_bytes_come_out_as_they_went_in_or_are_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            sheet = sheet_of(Path(folder), data)
        except UnusableError as refused:
            assert "\n" not in str(refused)
            return
    output = b"".join(sheet.render({}))
    b"".join(sheet.render({"osk": profile("osk", "Art", 'Carves, "mostly"')}))
    if output != data:
        titles = [title.strip().casefold() for title in sheet.header]
        missing = [title for title in ("GENRE", "Details") if title.casefold() not in titles]
        ends = ["".join(mark + title for title in missing) for mark in ",;\t"]
        added = [(end[0] * surplus + end).encode() for end in ends for surplus in range(60)]
        without = [
            output[:at] + output[at + len(new) :] for new in added for at in places(output, new)
        ]
        assert data in without


def places(data: bytes, piece: bytes) -> list[int]:
    return [found.start() for found in re.finditer(re.escape(piece), data)] if piece else []


@given(SOUP.map(b"Handle,GENRE,Details\n@osk,,\n".__add__))
@settings(max_examples=300, deadline=None, database=None)
def test_a_file_that_is_not_refused_parses_the_same_after_it_is_filled(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            sheet = sheet_of(Path(folder), data)
        except UnusableError:
            return
    before, after = (
        parsed(data, ","),
        parsed(b"".join(sheet.render({"osk": profile("osk", "Art", "Carves")})), ","),
    )
    assert len(before) == len(after)
    for old, new in zipped(before[1:], after[1:]):
        old += [""] * (3 - len(old)) if parse_handle(old[0]).username == "osk" else []
        texts = (
            dict(enumerate(["", "Art", "Carves"])) if parse_handle(old[0]).username == "osk" else {}
        )
        assert new == [
            cell if cell.strip() else texts.get(at) or cell for at, cell in enumerate(old)
        ]
