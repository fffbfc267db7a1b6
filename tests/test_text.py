"""What a stranger's text becomes in a cell, in the cache and in the log."""

from __future__ import annotations

import re

import pytest
from conftest import World
from hypothesis import given, settings
from hypothesis import strategies as st

from instagram_enrichment import CELL_CHARACTERS, clean

WHITE_SPACE = ["\n", " \r\n\r\n\t ", "\u2028\u2029", "\x85\u00a0\u3000", "\x0b\x0c\x1c\x1d\x1e\x1f"]
CONTROLS = ["\0", "\x7f\x80\x9f", "\x1b\x07\x08"]
FORMULAS = ["=1+1", "+34 600", "-5", "@osk.arwen paints", '=HYPERLINK("http://x.example","y")']
NOTHING_VISIBLE = [
    *("", " \n\t ", "\0\x01\x02", "\u200b", "\u200b \u200d\n\u2060", "\ufeff", "\u2800" * 9),
    *("\u3164", "\xad\xad", "\ufe0f", "\u115f\u1160", "\U000e0041", "\u202e"),
]
STAYS = [
    *("1=1", "a-b", "'quoted'", "Carves, \"mostly\"; 'all'", "\u200bx", "\u2800 \U0001f388"),
    *("👩\u200d🎨 paints", "e\u0301", "x" * 500, "é🎈" * 250),
]
TEXTS = [
    *((f"Paints{between}doors", "Paints doors") for between in (*WHITE_SPACE, *CONTROLS)),
    *((formula, "'" + formula) for formula in FORMULAS),
    *((f"{first}=1", "'=1") for first in ("\t", "\r\n", "\0")),
    *((text, "") for text in NOTHING_VISIBLE),
    *((text, text) for text in STAYS),
    ("  Paints doors\n", "Paints doors"),
    ("Paints\x1b[31mdoors\x1b[0m", "Paints [31mdoors [0m"),
    ("x" * 501, "x" * 500),
    ("x" * 499 + "e\u0301yz", "x" * 499 + "e"),  # cut as it is: an accent of its own
    ("x" * 499 + "\U0001f44d\U0001f3fd!", "x" * 499 + "\U0001f44d"),  # a skin tone
    ("é🎈" * 5000, "é🎈" * 250),
    (" \n" * 5000 + "end", "end"),
    ("=" * 10_000, "'" + "=" * 499),
    ("x" * 499 + "\n\n" + "y", "x" * 499),
    ("\ud83d paints", "? paints"),
    ("paints \udc00", "paints ?"),
]


@pytest.mark.parametrize(("text", "cell"), TEXTS, ids=[ascii(text)[:24] for text, _ in TEXTS])
def test_a_text_becomes_one_harmless_line(text: str, cell: str) -> None:
    assert clean(text) == cell


NASTY = st.text("=+-@\t\r\n\0 '\"x\ud800\u2028", max_size=20)


@given(st.text(st.characters(categories=None), max_size=600) | NASTY)
@settings(max_examples=300, deadline=None)
def test_any_text_becomes_at_most_500_encodable_characters_on_one_line(text: str) -> None:
    cell = clean(text)
    assert len(cell) <= CELL_CHARACTERS == 500
    assert cell == cell.strip()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|\s\s", cell)
    assert not cell.startswith(("=", "+", "-", "@"))
    assert cell.encode("utf-8").decode("utf-8") == cell


HOSTILE = [
    *("=cmd|' /C calc'!A0", '+1,"2"', "-1;2", "@SUM(1)", 'He said "=1", then\nleft\ttown'),
    *("\x1b]0;title\x07\x1b[2J red", "\u202egnp.exe\u202c \u2066x\u2069", "line\u2028line"),
    *("half an emoji \ud83d", "nul \0 inside", "x" * 10_000),
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
