"""What a response means: one row of the table in the README's words, one case here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from standin import ANSWERS, LOGIN_PAGE, PAGE, StandIn, data, page, user

import instagram_enrichment as ig

MEANINGS = {
    "401": ig.Blocked,
    "401 without a message": ig.Blocked,
    "429": ig.Blocked,
    "429 html": ig.Blocked,
    "403": ig.Blocked,
    "400 checkpoint": ig.Blocked,
    "400 challenge": ig.Blocked,
    "400 feedback": ig.Blocked,
    "400 login": ig.Blocked,
    "redirect to login": ig.Blocked,
    "redirect to challenge": ig.Blocked,
    "login page": ig.Blocked,
    "200 status fail": ig.Blocked,
    "page": ig.HtmlPage,
    "404": None,
    "null": None,
    "500": ig.NetworkTrouble,
    "503": ig.NetworkTrouble,
    "not json": ig.NetworkTrouble,
    "empty": ig.NetworkTrouble,
    "list": ig.NetworkTrouble,
    "no user": ig.NetworkTrouble,
    "400 other": ig.Trouble,
    "418": ig.Trouble,
    "redirect elsewhere": ig.Trouble,
}

MORE_ANSWERS: list[tuple[tuple[int, dict[str, str], bytes], Any]] = [
    (data(200, {"data": {"user": None}, "status": "fail"}), ig.Blocked),
    (data(200, {"data": {"user": user("x")}, "status": "fail"}), ig.Blocked),
    (data(200, {"data": {"user": None}, "message": "checkpoint_required"}), ig.Blocked),
    (data(200, {"message": "login_required"}), ig.Blocked),
    (data(200, {"data": {"user": []}}), ig.NetworkTrouble),
    (data(200, {"data": {"user": "x"}}), ig.NetworkTrouble),
    (data(200, {"data": {"user": False}}), ig.NetworkTrouble),
    (data(200, {"data": None}), ig.NetworkTrouble),
    (data(200, {"data": []}), ig.NetworkTrouble),
    (data(200, {}), ig.NetworkTrouble),
    (data(200, None), ig.NetworkTrouble),
    (data(200, 5), ig.NetworkTrouble),
    (data(200, "user"), ig.NetworkTrouble),
    (data(204, {}), ig.Trouble),
    (data(206, {"data": {"user": user("x")}}), ig.Trouble),
    (data(410, {}), ig.Trouble),
    (data(599, {}), ig.NetworkTrouble),
    (data(999, {}), ig.Trouble),
    ((200, {}, b"[" * 200_000), ig.NetworkTrouble),
    ((200, {}, b'{"data": {"user": {"follower_count": ' + b"9" * 5000 + b"}}}"), ig.NetworkTrouble),
    ((200, {}, b"\xff\xfe\x00"), ig.NetworkTrouble),
    ((200, {}, b'<?xml version="1.0"?><Error/>'), ig.NetworkTrouble),
    ((200, {"Content-Type": "text/html"}, b""), ig.NetworkTrouble),
    ((200, {"Content-Type": "text/html"}, b"Bad gateway"), ig.NetworkTrouble),
    ((200, {}, PAGE), ig.HtmlPage),
    ((200, {}, b"<!---->" * 5000 + b"x"), ig.NetworkTrouble),
    ((200, {}, b"\xef\xbb\xbf \n<!-- x --><HTML lang=de>"), ig.HtmlPage),
    (page(b"<html><title>Page not found</title><a href='/accounts/login/'>Log in</a></html>"), ig.HtmlPage),
    (page(b"<html>Sorry, this page isn&#39;t available. <a>Log in</a></html>"), ig.HtmlPage),
    (page(LOGIN_PAGE.upper()), ig.Blocked),
    (page(b"<html><title>Log in \xe2\x80\xa2 Instagram</title></html>"), ig.Blocked),
    (page(b"<html><script>location='/challenge/'</script></html>"), ig.Blocked),
    (page(b"<html><form><input type='password'></form></html>"), ig.Blocked),
    ((301, {"Location": "https://i.instagram.com/challenge/123/abc"}, b""), ig.Blocked),
    ((303, {}, b""), ig.Trouble),
    ((404, {"Content-Type": "text/html"}, PAGE), None),
]


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [*((ANSWERS[name], meaning) for name, meaning in MEANINGS.items()), *MORE_ANSWERS],
    ids=[*MEANINGS, *(f"{answer[0]} {answer[2][:40]!r}" for answer, _ in MORE_ANSWERS)],
)
def test_an_answer_means(answer: tuple[int, dict[str, str], bytes], meaning: Any) -> None:
    if meaning is None:
        assert ig.understand(*answer) is None
    else:
        with pytest.raises(ig.Trouble) as trouble:
            ig.understand(*answer)
        assert trouble.type is meaning


def test_every_answer_of_the_stand_in_has_a_meaning_in_this_table() -> None:
    assert MEANINGS.keys() == ANSWERS.keys()


def test_a_user_object_is_the_profile() -> None:
    assert ig.understand(*data(200, {"data": {"user": user("ana")}, "status": "ok"})) == user("ana")
    assert ig.understand(*data(200, {"data": {"user": {}}})) == {}


def test_a_message_from_outside_is_told_without_its_control_characters() -> None:
    with pytest.raises(ig.Blocked) as trouble:
        ig.understand(*data(401, {"message": "\x1b[31mwait\r\n\u202e"}))
    assert str(trouble.value) == r"rate limited (401): \x1b[31mwait\x0d\x0a\x202e"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("120", 120),
        ("14400", 14400),
        ("999999", 14400),
        ("9" * 5000, 14400),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("inf", 0),
        ("Thu, 01 Jan 1970 02:00:00 GMT", 7200 - 1000),
        ("Thu, 01 Jan 1970 02:00:00 -0000", 7200 - 1000),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 14400),
        ("Fri, 99 Foo 99999 23:59:59 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_four_hours_at_most(value: str, seconds: float) -> None:
    assert ig.retry_after_seconds(value, now=1000) == seconds


ODD_FIELDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "all null": dict.fromkeys(user("x")),
    "all numbers": dict.fromkeys(user("x"), 5),
    "all lists": {key: [] for key in user("x")},
    "all objects": {key: {"a": 1} for key in user("x")},
    "all booleans": dict.fromkeys(user("x"), True),
    "followers not a number": {**user("x"), "edge_followed_by": {"count": "many"}},
    "followers not finite": {**user("x"), "edge_followed_by": {"count": float("nan")}},
    "followers true": {**user("x"), "edge_followed_by": {"count": True}},
    "another name": user("somebody.else"),
    "nul": {**user("x"), "biography": "a\0b"},
    "ansi": {**user("x"), "biography": "\x1b[2J\x1b]0;title\x07", "category_name": "\x1b[31mRed"},
    "bidi": {**user("x"), "biography": "\u202eevil\u2066", "category_name": "\u202eevil"},
    "line separators": {**user("x"), "biography": "a\u2028b\u2029c\x85d\x0be"},
    "lone surrogate": {**user("x"), "biography": "a\ud800b", "full_name": "\udfff"},
    "long": {**user("x"), "biography": "long " * 2000},
    "formula": {**user("x"), "biography": '=HYPERLINK("http://127.0.0.1/";"x")', "category_name": "+1"},
    "looks like the cache": {**user("x"), "biography": '"}\n}\n"y": {"biography": "z", "error": null},\n'},
    "quotes and commas": {**user("x"), "biography": 'say "hi", or\tdon\'t; ok'},
    "many keys": {**user("x"), **{f"key{n}": n for n in range(5000)}},
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
    "utf-16": (200, {}, json.dumps({"data": {"user": 1}}).encode("utf-16")),
    "odd location": (302, {"Location": "http://[bad"}, b""),
    "no location": (302, {}, b""),
    "odd cookie": (429, {"Set-Cookie": "\x01=;;;=", "Retry-After": "\x7f"}, b""),
}


@pytest.mark.parametrize(
    "name", [*HOSTILE_BODIES, "torn", "torn_page", "closed", "reset", "endless", "endless_redirect"]
)
def test_a_broken_answer_is_tried_again_and_never_cached(world: Any, name: str) -> None:
    world.live("one", "two", "three")
    hostile = HOSTILE_BODIES.get(name, name)
    original = world.standin.choose
    first = iter([hostile])

    def choose(username: str) -> Any:
        return next(first, "live") if username == "two" else original(username)

    world.standin.choose = choose
    result = world.run()
    assert result.code == 0
    assert world.biographies() == {name: f"The biography of {name}" for name in ("one", "two", "three")}
    assert world.standin.names.count("two") == 2
    assert world.standin.streamed < 40 * 2**20, "no more than 10 MB are read; the rest is in the sockets' buffers"


@pytest.mark.parametrize("behaviour", ["dripping", "dripping_head"])
def test_an_answer_that_drips_is_cut_off(world: Any, behaviour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ig, "ANSWER_TIMEOUT", 0.5)
    world.live("one", "two")
    world.standin.burst.extend(["live", behaviour])
    result = world.run()
    assert result.code == 0
    assert "no whole answer within" in result.log
    assert world.biographies()["two"] == "The biography of two"


def test_the_body_of_a_refusal_need_not_be_readable(world: Any) -> None:
    world.live("one")
    world.standin.burst.append((401, {"Content-Encoding": "gzip"}, b"not gzip"))
    assert "rate limited (401)" in world.run().log


@pytest.mark.parametrize("answer", ["400 other", "418", "redirect elsewhere"])
def test_an_unexpected_status_leaves_the_profile_open_and_is_told(world: Any, answer: str) -> None:
    world.live("one", "two")
    world.standin.behaviour["one"] = answer
    result = world.run()
    assert result.code == 1
    assert list(world.cache) == ["two"]
    assert world.standin.names == ["one", "two", "one"]
    assert "Still open: @one: unexpected status" in result.log


def test_requests_are_anonymous_and_look_like_the_web_client(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert other.log == []
