"""What a handle cell holds, and what a stranger's text becomes in a cell, cache and log."""

from __future__ import annotations

import re
import time

import pytest
from conftest import World, csv_cell, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from instagram_enrichment import CELL_CHARACTERS, clean, format_duration, parse_handle

# Handles: in these tables, " | " stands between two cells.
ALONE = """@nirabel.voss | nirabel.voss | @Nirabel.VOSS | \t@nirabel.voss\t | nirabel.voss. |
    \u00a0@nirabel.voss\u00a0 | \u200b@nira\u00adbel\u200b.voss\u2060 | \ufeff@nirabel.voss |
    ＠nirabel.voss | 'nirabel.voss | ="nirabel.voss" | (nirabel.voss) | nirabel.voss/ |
    @nirabel.voss,"""
IN_A_TEXT = """Nirabel Voss\n@nirabel.voss | Nírabel Vöss (@nirabel.voss) | IG: @nirabel.voss |
    @nirabel.voss - Nirabel Voss | Write to @nirabel.voss. | No. 1 on Instagram: @nirabel.voss |
    mail@voss.example, @nirabel.voss | @nirabel.voss www.voss.example |
    @nirabel.voss / @Nirabel.Voss | https://www.instagram.com/p/Cq1w2E3r4T5/ @nirabel.voss"""
ADDRESSES = """https://www.instagram.com/nirabel.voss/ | HTTP://INSTAGRAM.COM/Nirabel.Voss |
    wwww.instagram.com/nirabel.voss | instagr.am/nirabel.voss | m.instagram.com/nirabel.voss |
    https://www.instagram.com:443/nirabel.voss | https//instagram.com/nirabel.voss |
    https:/instagram.com/nirabel.voss | instagram.com/nirabel.voss?igsh=MzRlODBiNWFlZA== |
    instagram.com/@nirabel.voss | instagram.com/nirabel.voss/# | instagram.com/_u/nirabel.voss/ |
    instagram.com/nirabel.voss/p/Cq1w2E3r4T5/ | https://instagram.com//nirabel.voss//tagged |
    instagram.com/stories/nirabel.voss/31415/ | instagram.com/%40nirabel.voss/ |
    see (https://instagram.com/nirabel.voss/). | instagram.com/nirabel.voss/ and\nmore |
    IG:https://instagram.com/nirabel.voss | instagr.am/nirabel.voss, instagr.am/Nirabel.Voss |
    =HYPERLINK("https://www.instagram.com/nirabel.voss/";"Osk @osk9") |
    [Nira](https://instagram.com/nirabel.voss/) | instagram.com/nirabel.voss tiktok.com/@osk"""
# Words that mean something else, another network's name inside a name: all are names, as they are.
NAMES = f"""a | @_ | @12345 | quillo__tam | @{"X" * 30} | nano | nobody | ana.art | ana.co |
    @none | @private | @handle | @x | @ana.tiktok | ana_tiktok | tiktok.ana | @x.ana | @noigs"""
USABLE = {
    "nirabel.voss": f"{ALONE} | {IN_A_TEXT} | {ADDRESSES}",
    "highlights.of.tam": "https://www.instagram.com/stories/highlights.of.tam/",
    "popular.voss": "https://www.instagram.com/popular.voss/",
    "yes": "instagram.com/yes",
    "null": "name: @null",
    "ana": "Threadsmith @ana",
}
UNUSABLE = {
    "empty or none": """ | #N/A | none | NONE | None. | null | nan | n/a | N.A. | unknown | TBD |
        deleted | private | Missing | not_found | #REF! | - | — | ✓ | ... | _ | \u200b | no IG |
        No Instagram | @ana (no IG) | @ana - not on Instagram | sin Instagram | noig""",
    "a number, a website or a label": """yes | No | nein | Verdadero | TRUE | ok | Link | url |
        here | Total | Username | handle | Instagram | ig | followed | 350000 | 12.5K | 350mil |
        1.2M | 1_000 | www.osk.example | osk.com | instagram.com | osk.net | osk.com.br""",
    "more than one name": """@nirabel.voss and @quillo_tam | @a\n@b | IG: @a, @b |
        https://www.instagram.com/osk/, https://www.instagram.com/tam/""",
    "on another network": """x | @name - TikTok | TikTok: @a | @a - IG / @b - YT | x.com/osk |
        @osk (TikTok and Instagram) | @malcolm (X) | @osk on Tik Tok. | Malcolm X @malcolm |
        @osk\nThreads | You Tube - @ana | facebook | tiktok.com/@a | https://m.youtube.com/@osk |
        FB @ana | www.pinterest.es/osk | @ana https://mobile.twitter.com/ana | youtu.be/abc @osk |
        tik-tok | @ana (es-la.facebook.com/ana) | https://mobile.example/osk/status/1 |
        [@osk](https://www.tiktok.com/@osk) | =HYPERLINK("https://www.tiktok.com/@osk","@osk")""",
    "not a username": f"""Nirabel Voss | nirabel-voss | @nirabel-voss | @nirabél | @nirabe\u0301l |
        nirаbel | @ｎｉｒａ | @١٢٣ | @ | @ nirabel.voss | @N/A | @nira.voss/@x | @a/@b | @osk- |
        nirabel@voss.example | mail: nirabel@voss.example | {"x" * 31} | @{"x" * 31} | osk... |
        @osk... | @osk… | os*** | @os***n | @osk&co | @osk‐maria | @osk+tam | a.example/@osk |
        nirabel/../voss | name (IG) | IG: name | nira - IG | nirabel.voss\nquillo_tam | nira&y=1 |
        https://www.instagram.com/ | instagram.com/p/Cq1w2E3r/ | instagram.com/P/Cq1 |
        instagram.com/Reels/Cq1 | instagram.com/_u/p/Cq1 | instagram.com/igtv/abc |
        instagram.com/explore. | instagram.com/explore/ | instagram.com/stories/highlights/31415/ |
        instagram.com/accounts/login/?next=/osk/ | instagram.com/{"x" * 31} | instagram.com/osk*** |
        instagram.com/nirabel-voss/ | instagram.com/osk... | instagram.com/osk… |
        instagram.com/Ana Rios | instagram.com/www.instagram.com/ana | notinstagram.com/osk |
        https://www.instagram.com/anahttps://www.instagram.com/luz | help.instagram.com/12345 |
        https://instagram.com.evil.example/osk | https://evil.example/instagram.com/osk |
        https://t.example/?u=https://instagram.com/osk""",
}


def split(cells: str) -> list[str]:
    return [cell.strip(" ") for cell in re.split(r" \|\s", cells)]


CELLS = {
    **{cell: (username, "") for username, cells in USABLE.items() for cell in split(cells)},
    **{cell: (cell.lower().lstrip("@"), "") for cell in split(NAMES)},
    **{cell: ("", why) for why, cells in UNUSABLE.items() for cell in split(cells)},
}


def test_each_cell_of_a_handle_column_holds_a_username_or_tells_why_not(world: World) -> None:
    rows = [f"{csv_cell(cell)},a,b" for cell in CELLS]
    world.input.write_text("\n".join(["Username,GENRE,Details", *rows]))
    assert world.run("--username-column", "Username", "--report", str(world.report_file)).code == 0
    found = [(row["username"], row["detail"]) for row in world.report]
    assert dict(zipped(list(CELLS), found)) == CELLS


@given(st.text(max_size=40) | st.text("@./ _aZ9é\n:instagram.com", max_size=60))
@settings(max_examples=100, deadline=None)
def test_whatever_a_cell_holds_the_username_is_in_it_and_follows_instagrams_rule(cell: str) -> None:
    username, _ = parse_handle(cell)
    assert username is None or re.fullmatch(r"[a-z0-9._]{1,30}", username)
    assert username is None or username in cell.lower().replace("\u212a", "k")


PIECES = [".", "1", "@", "a.", "w", "IG: ", "no ", "@a ", "instagram.com/", "a@", "x ", "https"]


@pytest.mark.parametrize("piece", PIECES)
def test_the_work_for_a_cell_does_not_grow_with_the_square_of_its_length(piece: str) -> None:
    started = time.process_time()
    for end in ("", "x", "\n@osk"):
        parse_handle(piece * 40_000 + end)
    assert time.process_time() - started < 4  # it takes a second at most; its square, ten


# Texts

SPACE = ["\n", " \r\n\r\n\t ", "\u2028\u2029", "\x85\u00a0\u3000", "\x0b\x0c\x1c\x1f"]
SPACE += ["\0", "\x7f\x80\x9f", "\x1b\x07\x08"]
FORMULAS = ["=1+1", "+34 600", "-5", "@osk.arwen paints", '=HYPERLINK("http://x.example","y")']
NOTHING = ["", " \n\t ", "\u200b \u200d\n\u2060", "\ufeff", "\xad", "\u202e", "\U000e0041"]
NOTHING += ["\u2800" * 9, "\u3164", "\ufe0f", "\u115f\u1160"]
STAYS = ["1=1", "'a-b'", "\u200bx", "\u2800 👩\u200d🎨", "e\u0301", "x" * 500, "é🎈" * 250]
TEXTS = [
    *((f"Paints{between}doors", "Paints doors") for between in SPACE),
    *((formula, "'" + formula) for formula in FORMULAS),
    *((f"{first}=1", "'=1") for first in ("\t", "\r\n", "\0")),
    *((text, "") for text in NOTHING),
    *((text, text) for text in STAYS),
    ("  Paints\x1b[31mdoors\x1b[0m\n", "Paints [31mdoors [0m"),
    ("x" * 499 + "e\u0301yz", "x" * 499 + "e"),  # cut as it is: an accent of its own
    (" \n" * 5000 + "end", "end"),
    ("=" * 10_000, "'" + "=" * 499),
    ("\ud83d paints \udc00", "? paints ?"),
]


@pytest.mark.parametrize(("text", "cell"), TEXTS, ids=[ascii(text)[:24] for text, _ in TEXTS])
def test_a_text_becomes_one_harmless_line(text: str, cell: str) -> None:
    assert clean(text) == cell


def test_a_duration_is_said_as_people_do() -> None:
    seconds = [0.4, 59.4, 61, 599, 601, 3601, 3661, 93720]
    said = ["0 s", "59 s", "1 min 1 s", "9 min 59 s", "10 min", "1 h", "1 h 1 min", "26 h 2 min"]
    assert list(map(format_duration, seconds)) == said


NASTY = st.text("=+-@\t\r\n\0 '\"x\ud800\u2028", max_size=20)


@given(st.text(st.characters(categories=None), max_size=600) | NASTY)
@settings(max_examples=200, deadline=None)
def test_any_text_becomes_at_most_500_encodable_characters_on_one_line(text: str) -> None:
    cell = clean(text)
    assert len(cell) <= CELL_CHARACTERS == 500
    assert cell == cell.strip()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|\s\s", cell)
    assert not cell.startswith(("=", "+", "-", "@"))
    assert cell.encode("utf-8").decode("utf-8") == cell


def test_a_hostile_text_is_harmless_in_cell_and_log_and_raw_in_the_cache(world: World) -> None:
    texts = {
        "formula": "=cmd|' /C calc'!A0",
        "lines": 'He said "=1", then\nleft\ttown\u2028and; more',
        "escape": "\x1b]0;title\x07\x1b[2J red \0",
        "direction": "\u202egnp.exe\u202c \u2066x\u2069",
        "surrogate": "half an emoji \ud83d",
    }
    world.live(*texts)
    for name, text in texts.items():
        world.standin.users[name].update(biography=text, category_name=text, full_name=text)
    assert all(char.isprintable() or char == "\n" for char in world.run().log)
    for name, text in texts.items():
        assert world.cache[name]["biography"] == world.cache[name]["category_name"] == text
    assert [row[1:] for row in world.rows[1:]] == [[clean(each)] * 2 for each in texts.values()]
    assert len(world.output.read_bytes().splitlines()) == 1 + len(texts)
