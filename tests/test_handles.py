"""What a handle cell holds: which username is fetched, or why none is."""

from __future__ import annotations

import re

import pytest
from conftest import World, csv_cell, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from instagram_enrichment import parse_handle

NIRA = "nirabel.voss"
USABLE = {
    # A name, alone
    "@nirabel.voss": NIRA,
    "nirabel.voss": NIRA,
    "@Nirabel.VOSS": NIRA,
    "  @nirabel.voss\t": NIRA,
    "\u00a0@nirabel.voss\u00a0": NIRA,
    "\u200b@nira\u00adbel\u200b.voss\u2060": NIRA,  # marks that copying leaves
    "\ufeff@nirabel.voss": NIRA,
    "＠nirabel.voss": NIRA,
    "nirabel.voss.": NIRA,
    "@nirabel.voss.": NIRA,
    "'@nirabel.voss": NIRA,
    "'nirabel.voss": NIRA,
    '="nirabel.voss"': NIRA,
    "(nirabel.voss)": NIRA,
    "nirabel.voss/": NIRA,
    "@nirabel.voss,": NIRA,
    "a": "a",
    "@_": "_",
    "@12345": "12345",
    "quillo__tam": "quillo__tam",
    "@" + "X" * 30: "x" * 30,
    "nano": "nano",
    "nobody": "nobody",
    "ana.art": "ana.art",
    "ana.co": "ana.co",
    # An `@name` in a text
    "Nirabel Voss\n@nirabel.voss": NIRA,
    "Nirabel Voss (@nirabel.voss)": NIRA,
    "Nírabel Vöss @nirabel.voss": NIRA,
    "@nirabel.voss - Nirabel Voss": NIRA,
    "Write to @nirabel.voss.": NIRA,
    "No. 1 on Instagram: @nirabel.voss": NIRA,
    "IG: @nirabel.voss": NIRA,
    "Instagram @nirabel.voss": NIRA,
    "mail@voss.example, @nirabel.voss": NIRA,
    "@nirabel.voss www.voss.example": NIRA,
    "@nirabel.voss / @Nirabel.Voss": NIRA,
    "https://www.instagram.com/p/Cq1w2E3r4T5/ @nirabel.voss": NIRA,
    # An address, in any dress, anywhere
    "https://www.instagram.com/nirabel.voss/": NIRA,
    "https://www.instagram.com/nirabel.voss": NIRA,
    "http://instagram.com/nirabel.voss/": NIRA,
    "HTTPS://WWW.INSTAGRAM.COM/Nirabel.Voss/": NIRA,
    "instagram.com/nirabel.voss": NIRA,
    "www.instagram.com/nirabel.voss/": NIRA,
    "wwww.instagram.com/nirabel.voss": NIRA,
    "https://m.instagram.com/nirabel.voss/": NIRA,
    "https://www.instagram.com:443/nirabel.voss": NIRA,
    "https//www.instagram.com/nirabel.voss": NIRA,
    "https:/instagram.com/nirabel.voss": NIRA,
    "http://instagr.am/nirabel.voss": NIRA,
    "instagr.am/nirabel.voss": NIRA,
    "https://www.instagram.com/nirabel.voss?igsh=MzRlODBiNWFlZA==": NIRA,
    "https://www.instagram.com/nirabel.voss/?hl=en": NIRA,
    "https://www.instagram.com/nirabel.voss/#": NIRA,
    "https://www.instagram.com/nirabel.voss/reels/": NIRA,
    "https://www.instagram.com/nirabel.voss/p/Cq1w2E3r4T5/": NIRA,
    "https://www.instagram.com//nirabel.voss//tagged": NIRA,
    "https://www.instagram.com/stories/nirabel.voss/31415/": NIRA,
    "https://www.instagram.com/stories/highlights.of.tam/": "highlights.of.tam",
    "instagram.com/_u/nirabel.voss/": NIRA,
    "instagram.com/@nirabel.voss": NIRA,
    "https://www.instagram.com/%40nirabel.voss/": NIRA,
    "https://www.instagram.com/popular.voss/": "popular.voss",
    "see (https://www.instagram.com/nirabel.voss/).": NIRA,
    "IG:https://www.instagram.com/nirabel.voss": NIRA,
    "https://www.instagram.com/nirabel.voss/ and more\nbelow": NIRA,
    "instagram.com/nirabel.voss, instagram.com/Nirabel.Voss": NIRA,
    '=HYPERLINK("https://www.instagram.com/nirabel.voss/";"Osk @osk9")': NIRA,
    "[Nira](https://www.instagram.com/nirabel.voss/)": NIRA,
    "https://www.instagram.com/nirabel.voss https://www.tiktok.com/@osk": NIRA,
    # Words that mean something else are names where they are marked as such
    "@none": "none",
    "@private": "private",
    "name: @null": "null",
    "@handle": "handle",
    "@x": "x",
    "instagram.com/yes": "yes",
    "https://www.instagram.com/none/": "none",
    # Another network's name inside a name is a part of it
    "@ana.tiktok": "ana.tiktok",
    "ana_tiktok": "ana_tiktok",
    "tiktok.ana": "tiktok.ana",
    "@x.ana": "x.ana",
    "@noigs": "noigs",
    "Threadsmith @ana": "ana",
}
NONE = "empty or none"
LABEL = "a number, a website or a label"
SEVERAL = "more than one name"
ELSEWHERE = "on another network"
INVALID = "not a username"
UNUSABLE = {
    NONE: """ | #N/A | none | NONE | None. | null | nan | n/a | N.A. | unknown | TBD | deleted |
        private | Missing | not_found | #REF! | - | — | ? | ✓ | ... | _ | ._. | \u200b | no IG |
        No Instagram | @ana (no IG) | @ana - not on Instagram | sin Instagram | noig""",
    LABEL: """yes | No | nein | Verdadero | TRUE | ok | Link | url | here | Total | Username |
        handle | Instagram | ig | followed | 350000 | 12345 | 12.5K | 350mil | 1.2M | 1_000 |
        www.osk.example | osk.com | instagram.com | osk.net | osk.com.br""",
    SEVERAL: """@nirabel.voss and @quillo_tam | @a\n@b | IG: @a, @b |
        https://www.instagram.com/osk/, https://www.instagram.com/tam/""",
    ELSEWHERE: """x | @name - TikTok | TikTok: @a | @a - IG / @b - YT | X: @malcolm | tik-tok |
        @osk (TikTok and Instagram) | Malcolm X @malcolm.m | @malcolm (X) | @osk on Tik Tok. |
        YT @ana | FB @ana | @osk\nThreads | You Tube - @ana | TikTok | facebook | x.com/osk |
        https://www.tiktok.com/@nirabel.voss | tiktok.com/@osk | https://m.youtube.com/@osk |
        @ana https://mobile.twitter.com/ana | music.youtube.com/@ana | www.pinterest.es/osk |
        @ana (es-la.facebook.com/ana) | https://www.threads.net/@osk | youtu.be/abc @osk |
        @osk https://www.tiktok.com/@osk2 | https://mobile.example/osk/status/1 |
        [@osk](https://www.tiktok.com/@osk) | =HYPERLINK("https://www.tiktok.com/@osk","@osk")""",
    INVALID: f"""Nirabel Voss | nirabel-voss | @nirabel-voss | @nirabél | @nirabe\u0301l | nirаbel |
        @ｎｉｒａ | @١٢٣ | @ | @ nirabel.voss | @N/A | @nira.voss/@x | @a/@b | a.example/@osk |
        nirabel@voss.example | mail: nirabel@voss.example | {"x" * 31} | @{"x" * 31} | osk... |
        @osk... | @osk… | @os***n | os*** | @osk&co | @osk‐maria | @osk+tam | nirabel/../voss |
        name (IG) | IG: name | nira - IG | nirabel.voss\nquillo_tam | nirabel.voss&y=1 |
        https://www.instagram.com/p/Cq1w2E3r4T5/ | https://www.instagram.com/reel/Cq1w2E3r4T5/ |
        instagram.com/P/Cq1 | instagram.com/Reel/Cq1 | instagram.com/_u/p/Cq1 |
        instagram.com/igtv/abc | instagram.com/explore. | @osk- |
        https://www.instagram.com/stories/highlights/31415/ |
        https://www.instagram.com/explore/ | https://www.instagram.com/ |
        https://www.instagram.com/accounts/login/?next=/osk/ |
        https://www.instagram.com/{"x" * 31} | https://www.instagram.com/nirabel-voss/ |
        instagram.com/osk... | instagram.com/osk… | instagram.com/osk*** |
        https://www.instagram.com/Ana Rios | https://www.instagram.com/www.instagram.com/ana |
        https://www.instagram.com/anahttps://www.instagram.com/luz |
        https://notinstagram.com/nirabel.voss | https://instagram.com.evil.example/nirabel.voss |
        https://help.instagram.com/12345 | https://evil.example/instagram.com/nirabel.voss |
        https://t.example/?u=https://instagram.com/nirabel.voss""",
}
CELLS = {
    **{cell: (username, "") for cell, username in USABLE.items()},
    **{
        cell.strip(" "): ("", why)
        for why, cells in UNUSABLE.items()
        for cell in re.split(r" \|\s", cells)
    },
}


def test_each_cell_of_a_handle_column_holds_a_username_or_tells_why_not(world: World) -> None:
    world.input.write_text(
        "Username,GENRE,Details\n" + "".join(f"{csv_cell(cell)},a,b\n" for cell in CELLS)
    )
    flags = ("--username-column", "Username", "--report", str(world.report_file))
    assert world.run(*flags).code == 0
    found = [(row["username"], row["detail"]) for row in world.report]
    assert dict(zipped(list(CELLS), found)) == CELLS


@given(st.text(max_size=40) | st.text("@./ _aZ9é\n:instagram.com", max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_a_cell_holds_the_username_is_in_it_and_follows_instagrams_rule(cell: str) -> None:
    username, _ = parse_handle(cell)
    assert username is None or re.fullmatch(r"[a-z0-9._]{1,30}", username)
    assert username is None or username in cell.lower().replace("\u212a", "k")


PIECES = [".", "1", "@", "a.", "w", "IG: ", "no ", "@a ", "instagram.com/", "a@", "x ", "https"]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("end", ["", " a", "x", "@", "\n@osk"])
def test_the_work_for_a_cell_does_not_grow_with_the_square_of_its_length(
    piece: str, end: str
) -> None:
    # Twenty thousand steps take no time; their square would take minutes.
    assert parse_handle(piece * 20_000 + end) is not None
