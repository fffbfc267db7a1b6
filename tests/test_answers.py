"""What a response of the web address means: one row of the table in spec.md, some cases here."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from typing import Any

import pytest
import standin
from conftest import zipped
from standin import ANSWERS, LOGIN_PAGE, PAGE, Answer, Chosen, StandIn, data, named, page, user

import instagram_enrichment as ig

HTML = {"Content-Type": "text/html"}
PLEASE_WAIT = b"Please wait a few minutes before you try again."


def redirect(location: str) -> Answer:
    return 301, {"Location": location}, b""


def titled(title: str) -> Answer:
    return page(f"<html><title>{title}</title><a href='/accounts/login/'>Log in</a>".encode())


def says(status: int, message: str) -> Answer:
    return data(status, {"message": message, "status": "fail"})


# The stand-in's answers by name, and more.
MEANINGS: dict[type[ig.FetchError], Sequence[Chosen]] = {
    ig.Blocked: [
        *("401", "401 without a message", "403", "429", "429 html", "400 checkpoint"),
        *("400 challenge", "400 feedback", "400 login", "400 problem", "400 try later"),
        *("redirect to login", "redirect to challenge", "redirect to suspended"),
        *("redirect to front page", "login page", "200 status fail", "200 for (;;);"),
        *("200 for (;;); redirect", "404 please wait", "404 require_login", "null errors"),
        *("null require_login", data(200, {"data": {"user": user("x")}, "status": "fail"})),
        data(200, {"data": {"user": None}, "message": "checkpoint_required"}),
        *(data(200, {"status": "ok", "require_login": True}), data(400, {"require_login": 1})),
        *(says(200, "geoblock_required"), says(400, "Please log in to continue.")),
        *(says(404, "asset login.x has been deleted"), says(503, "Please wait a few minutes")),
        (400, {}, b"About this request: " + b"x" * 80 + b". " + PLEASE_WAIT),
        *((404, {}, PLEASE_WAIT), data(404, PLEASE_WAIT.decode()), data(404, {"errors": ["x"]})),
        *((404, HTML, LOGIN_PAGE), (404, HTML, b"<html><title>Please wait a few minutes</title>")),
        *(page(LOGIN_PAGE.upper()), page(b"<html><title lang='en'>Sign-in</title></html>")),
        *map(titled, ("Log into Instagram", "Log in • Instagram", "Challenge required")),
        (200, {}, b'for (;;);{"redirect":null}'),
        *map(redirect, ("//www.instagram.com/", "/?next=%2Fapi", "https://www.instagram.com")),
        *map(redirect, ("/accounts/login", "https://i.instagram.com/checkpoint/123/abc")),
    ],
    ig.Withheld: [
        *("asset deleted", "geoblock", "restricted page", "restricted json", "status ok"),
        says(400, "Asset asset://login.challenge/x has been deleted"),
        *(says(200, "Restricted profile"), data(200, {"title": "Restricted profile"})),
        (404, HTML, b"<html><title>\n Restricted profile\n</title></html>"),
    ],
    ig.NotFound: [
        *("404", "null", "page", (200, {}, PAGE), (404, HTML, PAGE), (404, {}, b"[")),
        *(says(404, "User not found"), says(404, "Asset asset://x has been deleted")),
        data(404, {"errors": [], "require_login": False, "status": "ok"}),
        (404, {}, b"<html><a href='/accounts/login/'>Log in</a></html>"),
        (200, {"Content-Type": "text/HTML"}, b"  <p>no html tag</p>"),
        (200, {}, b"\xef\xbb\xbf \n<!-- x --><HTML lang=de>"),
        *map(titled, ("Page not found", "Blogin • Instagram", "Unrestricted profile")),
    ],
    ig.NetworkError: [
        *("500", "503", "went wrong", "not json", "empty", data(599, {}), data(200, None)),
        *(says(status, "Something went wrong") for status in (401, 404, 503)),
        *((200, {}, b"for (;;);"), (200, {}, b"[" * 200_000), (200, {}, b"\xff\xfe\x00")),
        (200, {}, b'{"data": {"user": {"follower_count": ' + b"9" * 5000 + b"}}"),
        *((200, {}, b'<?xml version="1.0"?><Error/>'), (200, {}, b"<!---->" * 5000 + b"x")),
        *((200, HTML, b""), (200, HTML, b"Bad gateway"), says(503, "Oops")),
    ],
    ig.UnexpectedResponse: [
        *("list", "no user", "empty user", "somebody else", "no biography", "400", "418"),
        *("400 useragent", "400 SecFetch", "redirect elsewhere"),
        *(data(200, {"data": {"user": each}}) for each in ([], False, user("y"))),
        *(data(200, value) for value in (5, "user", {"data": None}, {"data": []})),
        data(200, {"data": {"user": {"username": "x"}}, "errors": ["x"]}),
        *(data(200, {"status": "ok", "data": {}}), data(400, {"errors": ["x"]})),
        *(data(206, {"data": {"user": user("x")}}), data(999, {"status": "fail"})),
        *(says(400, each) for each in ("", "Blogin", "Unrestricted profile")),
        *map(redirect, ("", "https://x/ana.login/", "https://x/login.ana/")),
        *((200, {}, b'for (;;);{"error":5}'), data(200, {"redirect": "/", "error": 1357004})),
        (200, {}, json.dumps({"data": {"user": 1}}).encode("utf-16")),
    ],
}
CASES = [(chosen, kind) for kind, answers in MEANINGS.items() for chosen in answers]


def parse(answer: Answer, name: str = "x") -> dict[str, Any]:
    return ig.WebAddress().parse(name, ig.Response(*answer))


def profile_of(fields: dict[str, Any]) -> ig.Profile:
    answer = data(200, {"data": {"user": fields}, "status": "ok"})
    return ig.Profile.fetched_now("ana", parse(answer, "ana"))


@pytest.mark.parametrize(("chosen", "meaning"), CASES, ids=[f"{each!s:.60}" for each, _ in CASES])
def test_an_answer_means(chosen: Chosen, meaning: type[ig.FetchError]) -> None:
    with pytest.raises(ig.FetchError) as raised:
        parse(named(chosen))
    assert raised.type is meaning


def test_every_answer_of_the_stand_in_has_a_meaning_in_this_table() -> None:
    assert {chosen for chosen, _ in CASES if isinstance(chosen, str)} == ANSWERS.keys()


@pytest.mark.parametrize("biography", ["Text", "", None, ["no", "text"]])
@pytest.mark.parametrize("fields", [user("ANA"), {"username": None}, {"username": 5}, {}])
def test_a_user_object_with_a_biography_is_the_profile(fields: Any, biography: Any) -> None:
    profile = profile_of({**fields, "biography": biography})
    assert (profile.username, profile.error) == ("ana", None)
    assert profile.biography == (None if isinstance(biography, list) else biography)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"category_name": "Blogger", "category": "Athlete"}, ("Blogger", None, None)),
        ({"category_name": "", "category": "Athlete"}, ("Athlete", None, None)),
        ({"category": ["Athlete"]}, (None, None, None)),
        ({"follower_count": 5}, (None, 5, None)),
        ({"follower_count": 5, "edge_followed_by": {"count": 0}}, (None, 0, None)),
        ({"follower_count": 5, "edge_followed_by": {"count": None}}, (None, 5, None)),
        ({"is_business": True}, (None, None, True)),
        ({"is_business": True, "is_business_account": False}, (None, None, False)),
    ],
)
def test_a_field_may_have_its_newer_name(fields: dict[str, Any], expected: Any) -> None:
    profile = profile_of({"biography": None, **fields})
    assert (profile.category_name, profile.follower_count, profile.is_business) == expected


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (data(401, {"message": "\x1b[31mwait\r\n\u202e"}), r"blocked (401): \x1b[31mwait \x202e"),
        (page(b"<html><title>\n A &amp; B\n </title>"), "instead of data (200): A & B"),
        (ANSWERS["restricted page"], "withheld (200): Restricted profile • Instagram"),
        (data(200, {"x": "y" * 200}), '(200): {"x": "' + "y" * 73),
        ((200, {}, "é".encode() * 99), "no JSON (200): " + "é" * 80),
        ((200, {}, b"\0\x1b" + b"z" * 99), r"no JSON (200): \x00\x1b" + "z" * 78),
        (ANSWERS["redirect elsewhere"], "status (302): https://www.instagram.com/unsupported/"),
        ((302, {"Location": "/login/", **HTML}, LOGIN_PAGE), "(302): Login"),
    ],
)
def test_the_message_or_title_or_80_characters_are_printed(answer: Answer, printed: str) -> None:
    with pytest.raises(ig.FetchError) as raised:
        parse(answer)
    assert str(raised.value).endswith(printed)


MEGABYTE = "asset " * 170_000
LONG_ANSWERS = [
    *(page(b"<html>" + tag * 10**6) for tag in (b"<title", b"<title>", b"<title <")),
    *(titled(MEGABYTE), says(400, MEGABYTE), (400, {}, MEGABYTE.encode())),
]


@pytest.mark.parametrize("answer", LONG_ANSWERS)
def test_an_answer_of_a_megabyte_of_the_same_is_searched_in_no_time(answer: Answer) -> None:
    started = time.perf_counter()
    with pytest.raises(ig.FetchError):
        parse(answer)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *((text, 0) for text in ("", "0", "-5", "\0", "²", "Thu, 01 Jan 2099 12:00:00 GMT")),
        *((text, 120) for text in ("120", " 120 ", "120, 120")),
        *(("1.5", 1), ("300.5", 300), ("14400", 14400), ("999999", 14400), ("9" * 5000, 14400)),
    ],
)
def test_a_wait_is_requested_in_seconds_and_four_hours_at_most(header: str, seconds: float) -> None:
    assert ig.requested_wait({"Retry-After": header}) == seconds
    assert ig.requested_wait({}) == 0


# ---- Odd and hostile answers, in a run ----

ODD = {**user("odd"), "username": None}
CLOSING = '"}\n}\n"y": {"biography": "z", "error": null},\n'
ODD_FIELDS: list[dict[str, Any]] = [
    *(dict.fromkeys(ODD, each) for each in (None, 5, [], {"a": 1}, True)),
    *({**ODD, "edge_followed_by": {"count": count}} for count in ("x", math.nan, True)),
    *({**dict.fromkeys(ODD, text), "username": None} for text in (CLOSING, "\ud800\x1b", "=1")),
    {"id": "1", "biography": None},
    {**ODD, **{f"key{number}": number for number in range(5000)}},
]


def test_whatever_a_user_holds_is_cached_and_printed_tamely(world: Any) -> None:
    names = world.live(*(f"odd.{number}" for number in range(len(ODD_FIELDS))))
    world.standin.users = dict(zipped(names, ODD_FIELDS))
    result = world.run()
    assert result.code == 0
    for name, fields in world.standin.users.items():
        entry, biography = world.cache[name], fields.get("biography")
        assert list(entry) == list(standin.cache_entry(name))
        assert (entry["username"], entry["error"]) == (name, None)
        assert entry["biography"] == (biography if isinstance(biography, str) else None)
        assert entry["follower_count"] in (None, 1000)
    text = world.cache_file.read_text()
    assert text.count("\n") == len(names) + 2 and "NaN" not in text
    assert all(char.isprintable() or char == "\n" for char in result.log)
    assert [len(row) for row in world.rows] == [3] * (1 + len(names))
    assert world.run().code == 0
    assert world.standin.names == names


TORN = ({"Content-Encoding": "gzip", "Retry-After": "120"}, b"not gzip")
HUGE = (200, {"Content-Type": "application/json"}, b" " * (11 * 2**20) + b"{}")
STREAMS = ["endless", "endless_redirect", "dripping", "dripping_head"]


@pytest.mark.parametrize("answer", [(200, *TORN), HUGE, "torn_page", "closed", "reset", *STREAMS])
def test_a_broken_answer_is_soon_tried_again(world: Any, monkeypatch: Any, answer: Any) -> None:
    monkeypatch.setattr(ig, "RESPONSE_TIMEOUT", 1.0)
    world.live("one", "two", "three")
    world.standin.burst.extend(["live", answer])
    started = time.perf_counter()
    assert world.run().code == 0
    assert time.perf_counter() - started < 30, "of the two minutes that an answer drips"
    assert world.all_live and world.standin.names == ["one", "two", "two", "three"]
    assert world.standin.streamed < 40 * 2**20, "10 MB are read; the rest is in buffers"


@pytest.mark.parametrize("answer", ["endless_block", *((each, *TORN) for each in (401, 403, 429))])
def test_a_block_is_one_and_waits_as_it_asks_whatever_its_body(world: Any, answer: Any) -> None:
    world.live("one", "two")
    world.standin.burst.extend(["live", answer])
    assert "@two: blocked (4" in world.run().log
    assert 120 <= world.standin.gaps[1] < 140 and world.all_live


@pytest.mark.parametrize("location", ["ANOTHER?username=one", "http://[bad/x", ""])
def test_a_redirect_is_not_followed_nor_fetched_again_nor_cached(world: Any, location: str) -> None:
    with StandIn(["one"]) as other:
        world.live("one", "two")
        world.standin.behaviour["one"] = redirect(location.replace("ANOTHER", other.url))
        assert "Still open: @one: unexpected status (301)" in world.run().log
        assert world.standin.names == ["one", "two"]
        assert list(world.cache) == ["two"]
        assert other.log == []


def test_requests_are_anonymous_and_look_like_the_web_client(world: Any, monkeypatch: Any) -> None:
    netrc = world.folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    world.live("one", "two")
    body = data(200, {"data": {"user": user("one")}})[2]
    world.standin.behaviour["one"] = (200, {"Set-Cookie": "sessionid=1; Path=/"}, body)
    assert world.run().code == 0
    for request in world.standin.log:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["x-ig-app-id"] == "936619743392459"
        assert headers["user-agent"].startswith("Mozilla/5.0")
        assert {"cookie", "authorization"}.isdisjoint(headers)
