"""What a response means: one row of the table in the README's words, one case here."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from standin import ANSWERS, LOGIN_PAGE, PAGE, StandIn, data, page, user

import instagram_enrichment as ig

MEANINGS: dict[str, Any] = {
    "401": ig.Blocked,
    "401 without a message": ig.Blocked,
    "429": ig.Blocked,
    "429 html": ig.Blocked,
    "403": ig.Blocked,
    "400 checkpoint": ig.Blocked,
    "400 challenge": ig.Blocked,
    "400 feedback": ig.Blocked,
    "400 login": ig.Blocked,
    "400 problem": ig.Blocked,
    "400 try later": ig.Blocked,
    "redirect to login": ig.Blocked,
    "redirect to challenge": ig.Blocked,
    "redirect to suspended": ig.Blocked,
    "redirect to front page": ig.Blocked,
    "login page": ig.Blocked,
    "200 status fail": ig.Blocked,
    "200 for (;;);": ig.Blocked,
    "404 please wait": ig.Blocked,
    "404 require_login": ig.Blocked,
    "null errors": ig.Blocked,
    "null require_login": ig.Blocked,
    "asset deleted": ig.Withheld,
    "geoblock": ig.Withheld,
    "404": ig.NotFound,
    "null": ig.NotFound,
    "page": ig.NotFound,
    "500": ig.NetworkError,
    "503": ig.NetworkError,
    "went wrong": ig.NetworkError,
    "not json": ig.NetworkError,
    "empty": ig.NetworkError,
    "list": ig.UnexpectedResponse,
    "no user": ig.UnexpectedResponse,
    "empty user": ig.UnexpectedResponse,
    "somebody else": ig.UnexpectedResponse,
    "no biography": ig.UnexpectedResponse,
    "400": ig.UnexpectedResponse,
    "400 useragent": ig.UnexpectedResponse,
    "400 SecFetch": ig.UnexpectedResponse,
    "418": ig.UnexpectedResponse,
    "redirect elsewhere": ig.UnexpectedResponse,
}

MORE_ANSWERS: list[tuple[tuple[int, dict[str, str], bytes], Any]] = [
    (data(200, {"data": {"user": None}, "status": "fail"}), ig.Blocked),
    (data(200, {"data": {"user": user("x")}, "status": "fail"}), ig.Blocked),
    (data(200, {"data": {"user": None}, "message": "checkpoint_required"}), ig.Blocked),
    (data(200, {"message": "login_required"}), ig.Blocked),
    (data(200, {"require_login": True}), ig.Blocked),
    (data(503, {"message": "Please wait a few minutes", "status": "fail"}), ig.Blocked),
    (data(503, {"message": "Oops", "status": "fail"}), ig.NetworkError),
    (data(404, {"message": "User not found", "status": "fail"}), ig.NotFound),
    (data(404, {"errors": ["x"]}), ig.Blocked),
    (data(404, {"errors": [], "require_login": False}), ig.NotFound),
    ((404, {"Content-Type": "text/html"}, PAGE), ig.NotFound),
    ((404, {"Content-Type": "text/html"}, LOGIN_PAGE), ig.Blocked),
    (
        (404, {"Content-Type": "text/plain"}, b"Please wait a few minutes before you try again."),
        ig.Blocked,
    ),
    ((404, {"Content-Type": "text/plain"}, b"Not found"), ig.NotFound),
    ((404, {}, b"<html><a href='/accounts/login/'>Log in</a></html>"), ig.NotFound),
    (page(b"<html><title>Log into Instagram</title></html>"), ig.Blocked),
    ((404, {}, b"["), ig.NotFound),
    (data(200, {"data": {"user": []}}), ig.UnexpectedResponse),
    (data(200, {"data": {"user": "x"}}), ig.UnexpectedResponse),
    (data(200, {"data": {"user": False}}), ig.UnexpectedResponse),
    (data(200, {"data": {"user": user("y")}}), ig.UnexpectedResponse),
    (data(200, {"data": {"user": {"username": "xx"}}}), ig.UnexpectedResponse),
    (data(200, {"data": None}), ig.UnexpectedResponse),
    (data(200, {"data": []}), ig.UnexpectedResponse),
    (data(200, {}), ig.UnexpectedResponse),
    (data(200, 5), ig.UnexpectedResponse),
    (data(200, "user"), ig.UnexpectedResponse),
    (data(200, None), ig.NetworkError),
    (data(204, {}), ig.UnexpectedResponse),
    (data(206, {"data": {"user": user("x")}}), ig.UnexpectedResponse),
    (data(410, {}), ig.UnexpectedResponse),
    (data(599, {}), ig.NetworkError),
    (data(999, {}), ig.UnexpectedResponse),
    (data(999, {"status": "fail"}), ig.UnexpectedResponse),
    (data(400, {"message": "", "status": "fail"}), ig.UnexpectedResponse),
    (data(400, {"message": "Sorry, something went wrong", "status": "fail"}), ig.NetworkError),
    (data(404, {"message": "Something went wrong"}), ig.NetworkError),
    (data(400, {"message": "Please log in to continue."}), ig.Blocked),
    (data(400, {"message": "the catalog includes nothing"}), ig.UnexpectedResponse),
    ((400, {}, b"About this request: " + b"x" * 80 + b". Please wait a few minutes"), ig.Blocked),
    (data(400, {"require_login": True}), ig.Blocked),
    (data(400, {"errors": ["x"]}), ig.UnexpectedResponse),
    (data(400, {"message": "asset://login.challenge/x, an asset, has been deleted"}), ig.Withheld),
    (data(404, {"message": "Asset asset://x has been deleted"}), ig.NotFound),
    (data(200, {"message": "geoblock_required", "status": "fail"}), ig.Blocked),
    (data(200, {"data": {"user": {"username": "x"}}, "errors": ["x"]}), ig.UnexpectedResponse),
    ((200, {}, b'for (;;);{"error":5}'), ig.UnexpectedResponse),
    ((200, {}, b"for (;;);"), ig.NetworkError),
    ((200, {}, b"[" * 200_000), ig.NetworkError),
    ((200, {}, b'{"data": {"user": {"follower_count": ' + b"9" * 5000 + b"}}"), ig.NetworkError),
    ((200, {}, b"\xff\xfe\x00"), ig.NetworkError),
    ((200, {}, b'<?xml version="1.0"?><Error/>'), ig.NetworkError),
    ((200, {"Content-Type": "text/html"}, b""), ig.NetworkError),
    ((200, {"Content-Type": "text/html"}, b"Bad gateway"), ig.NetworkError),
    ((200, {}, b"<!---->" * 5000 + b"x"), ig.NetworkError),
    ((200, {}, PAGE), ig.NotFound),
    ((200, {"Content-Type": "text/HTML"}, b"  <p>no html tag</p>"), ig.NotFound),
    ((200, {}, b"\xef\xbb\xbf \n<!-- x --><HTML lang=de>"), ig.NotFound),
    (
        page(b"<html><title>Page not found</title><a href='/accounts/login/'>Log in</a></html>"),
        ig.NotFound,
    ),
    (page(b"<html>Sorry, this page isn&#39;t available. <a>Log in</a></html>"), ig.NotFound),
    (page(b"<html><title>Blogin \xe2\x80\xa2 Instagram</title></html>"), ig.NotFound),
    (page(LOGIN_PAGE.upper()), ig.Blocked),
    (page(b"<html><title>Log in \xe2\x80\xa2 Instagram</title></html>"), ig.Blocked),
    (page(b"<html><title lang='en'>Sign-in</title></html>"), ig.Blocked),
    (page(b"<html><title>Challenge required</title></html>"), ig.Blocked),
    ((301, {"Location": "https://i.instagram.com/challenge/123/abc"}, b""), ig.Blocked),
    ((303, {}, b""), ig.UnexpectedResponse),
    ((301, {"Location": "/"}, b""), ig.Blocked),
    ((301, {"Location": "/?next=%2Fapi"}, b""), ig.Blocked),
    ((301, {"Location": "https://www.instagram.com"}, b""), ig.Blocked),
    ((301, {"Location": "/accounts/login"}, b""), ig.Blocked),
    ((301, {"Location": "https://www.instagram.com/ana.login/"}, b""), ig.UnexpectedResponse),
    ((301, {"Location": "https://www.instagram.com/ana/"}, b""), ig.UnexpectedResponse),
]


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [*((ANSWERS[name], meaning) for name, meaning in MEANINGS.items()), *MORE_ANSWERS],
    ids=[*MEANINGS, *(f"{answer[0]} {answer[2][:40]!r}" for answer, _ in MORE_ANSWERS)],
)
def test_an_answer_means(answer: tuple[int, dict[str, str], bytes], meaning: Any) -> None:
    with pytest.raises(ig.FetchError) as unanswered:
        ig.parse_web_response("x", ig.Response(*answer))
    assert unanswered.type is meaning


def test_every_answer_of_the_stand_in_has_a_meaning_in_this_table() -> None:
    assert MEANINGS.keys() == ANSWERS.keys()


@pytest.mark.parametrize(
    "fields",
    [
        user("ana"),
        user("ANA"),
        {"username": None, "biography": "Text"},
        {"id": "1", "biography": None},
        {"username": 5, "biography": ""},
        {"biography": ["no", "text"]},
    ],
)
def test_a_user_object_with_a_biography_is_the_profile(fields: dict[str, Any]) -> None:
    understood = ig.parse_web_response(
        "ana", ig.Response(*data(200, {"data": {"user": fields}, "status": "ok"}))
    )
    profile = ig.Profile.fetched_now("ana", understood)
    assert profile.error is None
    biography = fields["biography"]
    assert profile.biography == (None if isinstance(biography, list) else biography)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"category_name": "Blogger", "category": "Athlete"}, ("Blogger", None, None)),
        ({"category_name": None, "category": "Athlete"}, ("Athlete", None, None)),
        ({"category_name": "", "category": "Athlete"}, ("Athlete", None, None)),
        ({"category": ["Athlete"]}, (None, None, None)),
        ({"follower_count": 5}, (None, 5, None)),
        ({"follower_count": 5, "edge_followed_by": {"count": 0}}, (None, 0, None)),
        ({"follower_count": 5, "edge_followed_by": {"count": None}}, (None, 5, None)),
        ({"follower_count": 5, "edge_followed_by": 7}, (None, 5, None)),
        ({"is_business": True}, (None, None, True)),
        ({"is_business": True, "is_business_account": False}, (None, None, False)),
    ],
)
def test_a_field_may_have_its_newer_name(fields: dict[str, Any], expected: Any) -> None:
    answer = data(200, {"data": {"user": {"biography": None, **fields}}})
    profile = ig.Profile.fetched_now("ana", ig.parse_web_response("ana", ig.Response(*answer)))
    assert (profile.category_name, profile.follower_count, profile.is_business) == expected


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (data(401, {"message": "\x1b[31mwait\r\n\u202e"}), r"blocked (401): \x1b[31mwait \x202e"),
        (ANSWERS["page"], "not found, a page instead of data (200): Instagram"),
        (page(b"<html><title>\n A &amp; B\n </title>"), "instead of data (200): A & B"),
        ((404, {}, PAGE), "not found (404): Instagram"),
        (ANSWERS["null"], 'not found (200): {"data": {"user": null}, "status": "ok"}'),
        (ANSWERS["400"], "unexpected status (400)"),
        (ANSWERS["400 SecFetch"], "unexpected status (400): SecFetch Policy violation"),
        (ANSWERS["asset deleted"], "has been deleted. You cannot use this schema"),
        (data(200, {"x": "y" * 200}), '(200): {"x": "' + "y" * 73),
        ((200, {}, "é".encode() * 99), "no JSON (200): " + "é" * 80),
        ((200, {}, b"\0\x1b" + b"z" * 99), r"no JSON (200): \x00\x1b" + "z" * 78),
        (ANSWERS["redirect elsewhere"], "status (302): https://www.instagram.com/unsupported/"),
        ((302, {"Location": "/login/", "Content-Type": "text/html"}, LOGIN_PAGE), "(302): Login"),
    ],
)
def test_what_is_printed_is_the_message_or_the_title_or_80_characters_of_the_body(
    answer: Any, printed: str
) -> None:
    with pytest.raises(ig.FetchError) as raised:
        ig.parse_web_response("x", ig.Response(*answer))
    assert str(raised.value).endswith(printed)


@pytest.mark.parametrize("tag", [b"<title", b"<title>", b"<title <"])
def test_a_page_of_a_million_tags_takes_no_time(tag: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(ig.FetchError):
        ig.parse_web_response("x", ig.Response(*page(b"<html>" + tag * 1_000_000)))
    assert time.perf_counter() - started < 5


NOON = "Thu, 01 Jan 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": ""}, 0),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "120"}, 120),
        ({"Retry-After": " 120 "}, 120),
        ({"Retry-After": "14400"}, 14400),
        ({"Retry-After": "999999"}, 14400),
        ({"Retry-After": "9" * 5000}, 14400),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "1.5"}, 1),
        ({"Retry-After": "300.5"}, 300),
        ({"Retry-After": "120, 120"}, 120),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "inf"}, 0),
        ({"Retry-After": "Thu, 01 Jan 2026 14:00:00 GMT", "Date": NOON}, 7200),
        ({"Retry-After": "Thu, 01 Jan 2026 14:00:00 -0000", "Date": NOON}, 7200),
        ({"Retry-After": "Thu, 01 Jan 2026 11:00:00 GMT", "Date": NOON}, 0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT", "Date": NOON}, 14400),
        ({"Retry-After": "Fri, 99 Foo 99999 23:59:59 GMT", "Date": NOON}, 0),
    ],
)
def test_a_wait_is_requested_in_seconds_or_by_a_date_and_four_hours_at_most(
    headers: dict[str, str], seconds: float
) -> None:
    assert ig.requested_wait(headers) == seconds


BROKEN_DATES = [
    "Wed, 25 Nov , 10:30:00 GMT",
    "25 Nov 2026",
    "Wed, 25 Nov 2026",
    ", , ,",
    "Wed, 25 Nov 2026 :: GMT",
    "\0",
]


@pytest.mark.parametrize("date", BROKEN_DATES)
def test_a_date_that_is_broken_is_none(date: str) -> None:
    assert 0 <= ig.requested_wait({"Date": date}) <= 14400
    assert 0 <= ig.requested_wait({"Retry-After": date, "Date": date}) <= 14400
    assert ig.requested_wait({"Retry-After": "120", "Date": date}) == 120


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}])
def test_a_date_is_relative_to_our_own_clock_where_the_response_has_none(
    headers: dict[str, str],
) -> None:
    moment = formatdate(time.time() + 600, usegmt=True)
    assert ig.requested_wait({"Retry-After": moment, **headers}) == pytest.approx(600, abs=2)


ODD_FIELDS: dict[str, dict[str, Any]] = {
    "nothing but an id": {"id": "1", "biography": None},
    "all null": dict.fromkeys(user("odd.one")),
    "all numbers": dict.fromkeys(user("odd.one"), 5),
    "all lists": {key: [] for key in user("odd.one")},
    "all objects": {key: {"a": 1} for key in user("odd.one")},
    "all booleans": dict.fromkeys(user("odd.one"), True),
    "followers not a number": {**user("odd.one"), "edge_followed_by": {"count": "many"}},
    "followers not finite": {**user("odd.one"), "edge_followed_by": {"count": float("nan")}},
    "followers true": {**user("odd.one"), "edge_followed_by": {"count": True}},
    "nul": {**user("odd.one"), "biography": "a\0b"},
    "ansi": {
        **user("odd.one"),
        "biography": "\x1b[2J\x1b]0;title\x07",
        "category_name": "\x1b[31mRed",
    },
    "bidi": {**user("odd.one"), "biography": "\u202eevil\u2066", "category_name": "\u202eevil"},
    "line separators": {**user("odd.one"), "biography": "a\u2028b\u2029c\x85d\x0be"},
    "lone surrogate": {**user("odd.one"), "biography": "a\ud800b", "full_name": "\udfff"},
    "long": {**user("odd.one"), "biography": "long " * 2000},
    "formula": {
        **user("odd.one"),
        "biography": '=HYPERLINK("http://127.0.0.1/";"x")',
        "category_name": "+1",
    },
    "looks like the cache": {
        **user("odd.one"),
        "biography": '"}\n}\n"y": {"biography": "z", "error": null},\n',
    },
    "quotes and commas": {**user("odd.one"), "biography": 'say "hi", or\tdon\'t; ok'},
    "many keys": {**user("odd.one"), **{f"key{n}": n for n in range(5000)}},
}
KEYS = [
    *("username", "full_name", "biography", "category_name", "follower_count"),
    *("is_business", "is_verified", "fetched_at", "error"),
]


@pytest.mark.parametrize("fields", ODD_FIELDS.values(), ids=ODD_FIELDS)
def test_whatever_a_user_object_holds_is_cached_with_nine_keys_and_printed_tamely(
    world: Any, fields: dict[str, Any]
) -> None:
    world.live("before", "odd.one", "after")
    world.standin.users["odd.one"] = fields
    result = world.run()
    assert result.code == 0
    entry = world.cache["odd.one"]
    assert list(entry) == KEYS
    assert entry["username"] == "odd.one"
    assert entry["error"] is None
    biography = fields.get("biography")
    assert entry["biography"] == (biography if isinstance(biography, str) else None)
    assert entry["follower_count"] in (None, 1000)
    assert world.cache_file.read_text().count("\n") == 3 + 2
    assert "NaN" not in world.cache_file.read_text()
    assert all(char.isprintable() or char == "\n" for char in result.log)
    assert [len(row) for row in world.rows] == [3, 3, 3, 3]
    assert all(len(cell) <= 500 and "\n" not in cell for row in world.rows for cell in row)
    assert world.rows[2][2][:1] not in ("=", "+", "-", "@")
    assert world.run().code == 0
    assert len(world.standin.log) == 3


HOSTILE_BODIES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "gzip that is none": (200, {"Content-Encoding": "gzip"}, b"not gzip"),
    "deflate that is none": (200, {"Content-Encoding": "deflate"}, b"\x00\x01"),
    "unknown charset": (200, {"Content-Type": "application/json; charset=nonsense"}, b"{"),
    "11 MB": (200, {"Content-Type": "application/json"}, b" " * (11 * 2**20) + b"{}"),
    "odd cookie": (429, {"Set-Cookie": "\x01=;;;=", "Retry-After": "\x7f"}, b""),
}


@pytest.mark.parametrize(
    "name", [*HOSTILE_BODIES, "torn", "torn_page", "closed", "reset", "endless", "endless_redirect"]
)
def test_a_broken_answer_is_tried_again_and_never_cached(world: Any, name: str) -> None:
    world.live("one", "two", "three")
    hostile = HOSTILE_BODIES.get(name, name)
    first = iter([hostile])

    def choose(username: str) -> Any:
        return next(first, "live") if username == "two" else None

    world.standin.watch = choose
    result = world.run()
    assert result.code == 0
    assert world.biographies() == {
        name: f"The biography of {name}" for name in ("one", "two", "three")
    }
    assert world.standin.names.count("two") == 2
    assert world.standin.streamed < 40 * 2**20, (
        "no more than 10 MB are read; the rest is in the sockets' buffers"
    )


UNEXPECTED_BODIES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "utf-16": (200, {}, json.dumps({"data": {"user": 1}}).encode("utf-16")),
    "odd location": (302, {"Location": "http://[bad/x"}, b""),
    "no location": (302, {}, b""),
}


@pytest.mark.parametrize("answer", UNEXPECTED_BODIES.values(), ids=UNEXPECTED_BODIES)
def test_an_answer_that_is_unexpected_is_not_tried_again_and_never_cached(
    world: Any, answer: Any
) -> None:
    world.live("one", "two")
    world.standin.behaviour["one"] = answer
    result = world.run()
    assert result.code == 1
    assert list(world.cache) == ["two"]
    assert world.standin.names == ["one", "two"]
    assert "Still open: @one: " in result.log


@pytest.mark.parametrize("behaviour", ["dripping", "dripping_head"])
def test_an_answer_that_drips_is_cut_off(
    world: Any, behaviour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ig, "RESPONSE_TIMEOUT", 0.5)
    world.live("one", "two")
    world.standin.burst.extend(["live", behaviour])
    result = world.run()
    assert result.code == 0
    assert "no whole response within" in result.log
    assert world.biographies()["two"] == "The biography of two"


def test_requests_are_anonymous_and_look_like_the_web_client(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = world.folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    world.live("one", "two")
    world.standin.behaviour["one"] = (
        200,
        {"Set-Cookie": "sessionid=1; Path=/"},
        data(200, {"data": {"user": user("one")}})[2],
    )
    assert world.run().code == 0
    for request in world.standin.log:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["x-ig-app-id"] == "936619743392459"
        assert headers["user-agent"].startswith("Mozilla/5.0")
        assert "accept" in headers
        assert "cookie" not in headers
        assert "authorization" not in headers


def test_a_redirect_is_not_followed(world: Any) -> None:
    with StandIn(["one"]) as other:
        world.live("one")
        world.standin.behaviour["one"] = (302, {"Location": other.url + "?username=one"}, b"")
        assert world.run().code == 1
        assert world.standin.names == ["one"]
        assert other.log == []
