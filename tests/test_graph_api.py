"""The official API: its requests, what its responses mean, what it shares with the web address."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, unquote

import pytest
from standin import ACCOUNT_ID, GRAPH_ANSWERS, NOT_SHOWN, WITHHELD, data, facebook_page, graph_error

import instagram_enrichment as ig

REAL_URL = ig.GRAPH_URL
NAMES = [f"profile.{number:03}" for number in range(30)]
PERSONAL = NAMES[4::8]
TOKEN = "EAAtest"
FLAG = ("--graph-api", ACCOUNT_ID)
HOUR = 3600.0


@pytest.fixture
def graph(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A list of 30 profiles, four of them personal, and a token."""
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", TOKEN)
    world.live(*NAMES)
    for name in PERSONAL:
        world.standin.users[name]["is_business_account"] = False
    return world


def fetched_right(graph: Any) -> bool:
    """Whether each profile is cached with its own biography, or, if it is personal, without."""
    personal = ("NOT_PROFESSIONAL", None)
    return {name: (each["error"], each["biography"]) for name, each in graph.cache.items()} == {
        name: (None, user["biography"]) if user["is_business_account"] else personal
        for name, user in graph.standin.users.items()
    }


# ---- How it is fetched, and what comes of it ----


def test_the_request_is_that_of_business_discovery(graph: Any) -> None:
    assert REAL_URL == "https://graph.facebook.com/v25.0/"
    assert graph.run(*FLAG, "--limit", "1").code == 0
    request = graph.standin.log[0]
    fields = "business_discovery.username(profile.000){username,name,biography,followers_count}"
    assert unquote(request.line) == f"GET /v25.0/17841400000000000?fields={fields} HTTP/1.1"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert {"cookie", "x-ig-app-id"}.isdisjoint(name.lower() for name in request.headers)
    assert graph.standin.set_up_log == [], "an account that is given is not looked up"


def test_details_are_filled_and_genre_is_not_and_personal_accounts_are_settled(graph: Any) -> None:
    graph.standin.behaviour[NAMES[1]] = data(200, {"business_discovery": {"username": NAMES[1]}})
    graph.standin.users[NAMES[1]]["biography"] = None  # one that is left out is empty
    result = graph.run(*FLAG)
    assert fetched_right(graph)
    assert [row[1] for row in graph.rows[1:]] == [""] * 30
    entry = graph.cache[NAMES[0]]
    fields = ("full_name", "follower_count", "is_business", "category_name", "is_verified")
    assert [entry[field] for field in fields] == [NAMES[0].title(), 1000, True, None, None]
    assert "API (nothing for GENRE)" in result.log.partition("[1/")[0]
    assert "25 filled, 1 empty, 4 not professional" in result.log
    assert f"@{PERSONAL[0]}: no professional account |" in result.log
    assert graph.run(*FLAG).code == 0
    assert len(graph.standin.log) == 30


@pytest.mark.parametrize("error", [{"code": 110}, {"code": 100, "error_subcode": 2207013}])
def test_not_being_professional_takes_one_request_and_is_an_answer(graph: Any, error: Any) -> None:
    graph.standin.users.clear()
    names = graph.live(*(f"profile.{number}" for number in range(60)))
    for name in names[:10] + names[30:40]:
        graph.standin.users[name]["is_business_account"] = False
        graph.standin.behaviour[name] = graph_error(400, **error)
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names == names
    assert fetched_right(graph)


def test_the_web_address_then_the_api_then_the_web_address_fetch_nothing_twice(graph: Any) -> None:
    withheld = [*PERSONAL[:1], *NAMES[13:17]]
    graph.standin.behaviour.update(zip(withheld, WITHHELD))
    assert graph.run().code == 1
    assert sorted(graph.standin.names) == NAMES
    sent = [(each.line, *each.headers.values()) for each in graph.standin.log]
    assert not any(TOKEN in text for texts in sent for text in texts)
    assert graph.run("--graph-api").code == 0
    assert graph.standin.names[30:] == withheld, "of the API only what the web address withholds"
    assert graph.run("--graph-api").code == 0
    assert len(graph.standin.set_up_log) == 1, "nothing is looked up where nothing is to be fetched"
    assert graph.run().code == 1, "who is not professional is withheld, as before"
    graph.standin.behaviour.clear()
    assert (graph.run().code, graph.run().code) == (0, 0)
    assert graph.standin.names[35:] == PERSONAL[:1] * 2
    assert graph.cache_file.read_text().count("\n") == 30 + 2
    assert graph.all_live


def test_a_row_that_lacks_only_what_the_api_does_not_give_is_not_fetched(graph: Any) -> None:
    graph.input.write_text(f"Handle,GENRE,Details\n@{NAMES[0]},,told\n@{NAMES[1]},Art,\n")
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names == [NAMES[1]]
    graph.input.write_text(f"Handle,GENRE,Details\n@{NAMES[0]},,told\n")
    assert graph.run("--graph-api", "--force").code == 0
    assert graph.standin.requests == 1
    assert list(graph.cache) == [NAMES[1]], "--force with nothing to fetch throws nothing away"


@pytest.mark.parametrize("pages", [1, 2])
def test_the_account_is_found_by_the_token_alone(graph: Any, pages: int) -> None:
    graph.standin.pages *= pages
    result = graph.run("--graph-api", "--limit", "1", "--verbose")
    assert result.code == 0
    (lookup,), (request,) = graph.standin.set_up_log, graph.standin.log
    query = "fields=name,instagram_business_account{id,username}&limit=100"
    assert unquote(lookup.line) == f"GET /v25.0/me/accounts?{query} HTTP/1.1"
    assert lookup.headers["Authorization"] == f"Bearer {TOKEN}"
    assert f"/v25.0/{ACCOUNT_ID}?" in request.line
    assert 1 <= request.time - lookup.time < 8, "at the pace of every request"
    before, _, plan = result.log.partition("Plan: ")
    assert "me/accounts: " in before and "API, as @mybrand (" in plan.splitlines()[0]


BRAND = facebook_page("My Brand", ACCOUNT_ID, "mybrand")
OTHER = facebook_page("My\x1b Shop", "17841400000000999", "my.shop")
EMPTY = facebook_page("Empty")
CHOICES = [
    *("hoose one", f"\n  --graph-api {ACCOUNT_ID}  for @mybrand (Page 'My Brand')"),
    "\n  --graph-api 17841400000000999  for @my.shop (Page 'My\\x1b Shop')",
]
NO_ACCOUNTS: dict[str, tuple[Any, int, list[str]]] = {
    "two": ([BRAND, EMPTY, OTHER], 2, CHOICES),
    "no page": ([], 2, ["shows no ", "permissions of step 4", "Business Portfolio"]),
    "a page without": ([EMPTY], 2, ["no Instagram account is linked", "'Empty'", "(step 2)"]),
    "others": ([5, {"instagram_business_account": {"id": "me"}}], 2, ["is linked", "'?', '?'"]),
}
for each in ("100", "300", "graph 404", "graph redirect", "nothing"):
    NO_ACCOUNTS[each] = None, 2, ["Error: ", "give its id behind --graph-api"]
LATER = ["me/accounts: ", "try 4 of 4 in", "Stopped before the first profile: ", "command again"]
for each in ("4", "graph 429", "graph 500", "reset", "graph page", "2"):
    NO_ACCOUNTS[each] = None, 1, LATER


@pytest.mark.parametrize("kind", NO_ACCOUNTS)
def test_where_the_one_account_is_not_told_nothing_is_fetched(graph: Any, kind: str) -> None:
    pages, code, words = NO_ACCOUNTS[kind]
    graph.standin.set_up_answer = kind if pages is None else data(200, {"data": pages})
    result = graph.run("--graph-api")
    assert result.code == code
    assert all(word in result.log for word in words)
    assert len(graph.standin.set_up_log) == graph.standin.requests == (4 if code == 1 else 1)
    assert "the web address" not in result.log, "the hint for the locked out is not for the API"


def test_an_earlier_pause_is_waited_for_before_the_look_up(graph: Any) -> None:
    graph.standin.burst.append((429, {"Retry-After": "7200"}, b""))
    assert graph.run_and_interrupt(60, *FLAG).code == 130
    assert graph.run("--graph-api", "--limit", "2").code == 0
    assert graph.standin.set_up_log[0].time - graph.standin.log[0].time >= 7200


def test_the_plan_says_until_when_the_token_has_to_last(graph: Any) -> None:
    plan = graph.run(*FLAG, "-b", "10").log.partition("[1/")[0]
    end = re.findall(r"done at ([\d:]+)", plan)[-1]
    assert f"The access token has to last until {end}, or longer if Meta's hourly limit" in plan
    assert "lasts an hour or two, an extended one 60 days" in plan


# ---- What an answer means: of errors of the set-up, the words for what is wrong, what to do ----

NEW_TOKEN = ["The access token is refused (error ", "INSTAGRAM_ACCESS_TOKEN"]
ROLE = ["The access token is refused (error ", "needs a role on the Page"]
PERMITS = ["A permission is missing", "instagram_manage_insights", "ads_read"]
DASHBOARD = ["dashboard on developers.facebook.com", "verification"]
APP = ["The app of your access token", "an app of the type Business"]
NO_ID = ["behind --graph-api", "leave it out", "a Page"]
FINAL: dict[str, list[str]] = {
    "190": [*NEW_TOKEN, "Session has expired on Friday"],
    "190 459": ["till you log in to www", "Log in to facebook.com and follow what it asks"],
    "190 cannot parse": [*NEW_TOKEN, "Cannot parse access token", "of another kind"],
}
FINAL.update({"190 492": ROLE, "190 role": ROLE, "190 deactivated": DASHBOARD, "102": NEW_TOKEN})
PASSING: dict[str, list[str]] = {
    "200 blocked": ["API access blocked", *DASHBOARD],
    "appsecret_proof": ["appsecret_proof argument", "Require app secret"],
    "10": ["(error 10): (#10) Application does not have permission", *PERMITS],
    **{code: PERMITS for code in ("200", "299")},
    "100 33": ["does not exist", *NO_ID],
    "100 nonexisting field": ["nonexisting field (business_discovery)", *NO_ID],
    "100 method type": ["method type: get", *NO_ID],
    "803": ["Some of the aliases", *NO_ID],
    "25": ["The Instagram account is restricted", "Log in to Instagram"],
    "2635": ["a deprecated version", "a newer version of this program"],
}
PASSING.update({"10 blocked": DASHBOARD, "100 deactivated": DASHBOARD, "3": APP, "101": APP})
STOPS = {**FINAL, **PASSING}
MEANINGS: dict[type[ig.FetchError], Iterable[str]] = {
    ig.Blocked: ("4", "17", "32", "341", "368", "613", "80000", "80002", "80014", "graph 429"),
    ig.NetworkError: (
        *("-1", "1", "2", "transient", "transient 190", "500 with a code", "graph 500"),
        *("graph not json", "graph page", "401 of a proxy"),
    ),
    ig.SetUpError: STOPS,
    ig.UnexpectedResponse: (
        *("100", "300", "80015", "code of another type", "error of another type", "nothing"),
        *("empty discovery", "discovery of somebody else", "graph redirect", "graph 404"),
    ),
}
PRINTED = {"4": "(error 4): (#4) Application request limit", "graph page": "(200): Instagram"}
CASES = [(name, kind) for kind, names in MEANINGS.items() for name in names]


@pytest.mark.parametrize(("name", "meaning"), CASES)
def test_an_answer_means(name: str, meaning: type[ig.FetchError]) -> None:
    with pytest.raises(ig.FetchError) as raised:
        ig.GraphApi("1", "token").parse("x", ig.Response(*GRAPH_ANSWERS[name]))
    assert raised.type is meaning
    assert getattr(raised.value, "is_final", False) == (name in FINAL)
    assert PRINTED.get(name, "") in str(raised.value)


def test_every_answer_of_the_stand_in_has_a_meaning_in_this_table() -> None:
    assert sorted(GRAPH_ANSWERS) == sorted(name for name, _ in CASES)


@pytest.mark.parametrize("kind", STOPS)
@pytest.mark.parametrize("flags", [("--graph-api", "--force"), FLAG])
def test_an_error_of_the_set_up_stops_a_run_that_has_no_answer_yet_after_one_request(
    graph: Any, cached_entry: Any, kind: str, flags: Any
) -> None:
    graph.remember(*(cached_entry(name) for name in NAMES[6:]))
    graph.standin.set_up_answer = kind
    graph.standin.burst.append(kind)
    result = graph.run(*flags)
    assert result.code == 2, "those cached by an earlier run are no answers"
    assert graph.standin.requests == 1
    assert list(graph.cache) == NAMES[6:], "--force waits for a set-up that works"
    last = result.log.splitlines()[-1].lower()
    assert all(word.lower() in last for word in STOPS[kind])
    saved = "with 6 of 30 rows still open; everything is saved; to resume: run the same command"
    assert (saved if flags == FLAG else "error: ") in last


@pytest.mark.parametrize("before", [["4"] * 5, ["300"] * 5])
def test_a_known_profile_that_meets_an_error_of_the_set_up_stops_such_a_run_too(
    graph: Any, cached_entry: Any, before: list[str]
) -> None:
    graph.remember(cached_entry(NAMES[29]))
    graph.standin.burst.extend([*before, *["10"] * 9])
    assert graph.run(*FLAG).code == 2
    assert graph.standin.requests == 6


def test_who_is_known_to_be_no_professional_is_not_sent_to_the_api_again(graph: Any) -> None:
    personal, other = graph.live(*NAMES[:2])
    graph.standin.users[personal]["is_business_account"] = False
    assert graph.run(*FLAG, "--limit", "1").code == 0
    graph.standin.behaviour = dict.fromkeys((personal, other), "asset deleted")
    last = "with {} rows still open; everything is saved; to get them: {}"
    both = graph.run().log
    assert last.format("2 of 2", "--graph-api for those of the 1 withheld that are") in both
    assert graph.run("--limit", "1").log.endswith(": no way now\n")


def test_an_answer_of_403_that_is_torn_is_tried_again(graph: Any) -> None:
    torn = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    graph.standin.burst.extend(["live", (403, torn, b"not gzip")])
    assert graph.run(*FLAG, "--limit", "3").code == 0
    assert graph.standin.names[:3] == [NAMES[0], NAMES[1], NAMES[1]]


NO_WORDS_OF_THE_PROFILE = {
    "status 429": graph_error(429, 110),
    "status 500": graph_error(500, 110),
    "transient": graph_error(400, 110, is_transient=True),
    "another code": graph_error(400, 190, error_subcode=2207013),
}


@pytest.mark.parametrize("answer", NO_WORDS_OF_THE_PROFILE.values(), ids=NO_WORDS_OF_THE_PROFILE)
def test_a_failure_that_has_the_code_of_no_professional_is_a_failure(answer: Any) -> None:
    with pytest.raises(ig.FetchError):
        ig.GraphApi("1", "token").parse("x", ig.Response(*answer))


@pytest.mark.parametrize("kind", FINAL)
@pytest.mark.parametrize("before", [["live"], ["live", *["300"] * 5], [NOT_SHOWN]])
def test_an_error_of_the_token_stops_any_run_at_once(graph: Any, kind: str, before: Any) -> None:
    graph.standin.burst.extend([*before, *[kind] * 30])
    result = graph.run(*FLAG)
    assert result.code == 1
    assert len(graph.standin.log) == len(before) + 1
    assert len(graph.cache) == 1
    last = result.log.splitlines()[-1]
    assert all(word in last for word in FINAL[kind])
    ends = "29 of 30 rows still open; everything is saved; to resume: run the same command again"
    assert last.endswith(f". Stopped at row {len(before) + 2} (@{NAMES[len(before)]}), with {ends}")


@pytest.mark.parametrize("kind", PASSING)
@pytest.mark.parametrize("before", [["live"] * 4, [NOT_SHOWN]])
def test_another_error_of_the_set_up_may_pass_once_a_profile_was_answered(
    graph: Any, kind: str, before: Any
) -> None:
    graph.standin.users.clear()
    names = graph.live(*NAMES[:12])
    graph.standin.users[NAMES[0]]["is_business_account"] = before[0] == "live"
    graph.standin.burst.extend(before)
    graph.standin.behaviour = dict.fromkeys(names, kind)
    graph.clock.at(2 * HOUR, graph.standin.behaviour.clear)
    began = time.monotonic()
    assert graph.run(*FLAG).code == 0
    assert fetched_right(graph)
    assert 2 * HOUR < time.monotonic() - began < 5 * HOUR
    assert len(graph.standin.log) < 12 + 5 + 8, "it is an outage, with pauses"


# ---- How fast the API lets a run go ----

USED_UP = [
    *('{"call_count": 95, "total_time": 1}', '{"call_count": 12, "total_time": 97.5}'),
    *('{"total_cputime": 100}', '{"call_count": NaN, "total_time": 1' + "0" * 400 + "}"),
]
NOT_USED_UP = [
    *('{"call_count": 94, "total_time": 94.9}', '{"call_count": "99", "total_time": null}'),
    *('{"call_count": true}', "{", "[99]", "99", "", '{"call_count": -9' + "0" * 400 + "}"),
]


@pytest.mark.parametrize("header", USED_UP + NOT_USED_UP)
def test_an_hour_is_used_up_from_95_percent_on_of_whatever_is_counted(header: str) -> None:
    assert ig.requested_wait({"X-App-Usage": header}) == (300 if header in USED_UP else 0)


def test_a_run_without_pauses_never_goes_over_the_hourly_limit(graph: Any) -> None:
    graph.live(*(f"profile.{number}" for number in range(400)))
    graph.standin.allowance = 200
    started = time.monotonic()
    assert graph.run("--graph-api", "-r", "10", "--batch-pause", "0").code == 0
    assert graph.standin.refused == 0
    assert time.monotonic() - started < 2.3 * HOUR


def usage(*minutes: object) -> dict[str, str]:
    entries = ", ".join(f'{{"estimated_time_to_regain_access": {each}}}' for each in minutes)
    return {"X-Business-Use-Case-Usage": f'{{"17841400000000000": [{entries}]}}'}


WAITS: list[tuple[dict[str, str], float]] = [
    *((usage(45), 2700), (usage(0), 0), (usage(1, 5, 3), 300), (usage('"45"'), 2700)),
    *((usage(999), 14400), (usage("9" * 400), 14400)),
    *((usage(each), 0) for each in ("null", '"soon"', -5, "")),
    *(({**usage(10), "Retry-After": "900"}, 900), ({**usage(20), "Retry-After": "900"}, 1200)),
]


@pytest.mark.parametrize(("headers", "seconds"), WAITS)
def test_a_wait_is_requested_in_minutes_too(headers: dict[str, str], seconds: float) -> None:
    assert ig.requested_wait(headers) == seconds


LIMITS: list[tuple[Any, dict[str, str], float, str]] = [
    (NOT_SHOWN, {"X-App-Usage": '{"total_time": 95}'}, 300, "5 min, until"),
    (NOT_SHOWN, {"X-App-Usage": '{"total_time": 94}'}, 0, ""),
    (GRAPH_ANSWERS["4"], usage(0, 45), 2700, "try 2 of 4 in 45 min"),
    *((kind, {}, 60, "try 2 of 4 in 1 min") for kind in MEANINGS[ig.Blocked]),
    *((kind, {}, 5, "try 2 of 4 in") for kind in MEANINGS[ig.NetworkError]),
]


@pytest.mark.parametrize(("answer", "headers", "gap", "words"), LIMITS)
def test_nothing_is_sent_for_as_long_as_the_api_asks(
    graph: Any, answer: Any, headers: Any, gap: float, words: str
) -> None:
    if headers:
        answer = answer[0], {**answer[1], **headers}, answer[2]
    graph.standin.burst.extend(["live", answer])
    result = graph.run(*FLAG, "--limit", "3")
    assert result.code == 0
    assert graph.standin.gaps[0] < 10 and gap <= graph.standin.gaps[1] < gap + 10
    assert words in result.log
    assert (graph.standin.names[1] == graph.standin.names[2]) == ("try" in words)


# ---- The token ----


REFUSED = [
    *((token, ACCOUNT_ID) for token in (None, "", " ", "two words", "line\nbreak", "ünï", "a\x7f")),
    *((TOKEN, number) for number in ("me", "17841x", "-5", "1.5", "178 41", "١٢٣", "1" * 31)),
]


@pytest.mark.parametrize(("token", "account"), REFUSED)
def test_a_token_or_an_account_that_is_missing_or_malformed_is_refused(
    graph: Any, monkeypatch: Any, token: str | None, account: str
) -> None:
    monkeypatch.delenv("INSTAGRAM_ACCESS_TOKEN")
    if token is not None:
        monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", token)
    result = graph.run(f"--graph-api={account}")
    assert (result.code, graph.standin.requests) == (2, 0)
    words = "--graph-api: must be the numeric" if token == TOKEN else "INSTAGRAM_ACCESS_TOKEN"
    assert words in result.log.splitlines()[-1]
    assert not (token and token.strip() and token in result.log)
    assert sorted(path.name for path in graph.folder.iterdir()) == ["list.csv"]


SECRETS = ["EAAGm0PX4ZCpsBAKz7SECRETtoken", "1784|pQ-x_tail42SECRETtoken"]
LEAKS: dict[str, Any] = {
    "100": graph_error(400, 100, "SECRET at https://x/?input_token=SECRET&a=b" + "x" * 300),
    "cut off": graph_error(400, 100, "x" * 180 + "SECRET"),
    "a header that is none": (200, {"Content-Length": "2", "t=SECRET\r\nSECRET": "x"}, b"{}"),
    "a redirect": (302, {"Location": "https://www.facebook.com/?access_token=QUOTED"}, b""),
    "a Page": data(200, {"data": [facebook_page("SECRET", id, "SECRET") for id in ("1", "2")]}),
    "data about the token": data(200, {"business_discovery": {"username": "SECRET"}}),
    "a page": (403, {}, b"<html><title>SECRET</title>"),
    **{kind: kind for kind in ("live", "reset", "closed", "torn")},
}


@pytest.mark.parametrize("kind", LEAKS)
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("flags", [("--graph-api",), FLAG])
def test_the_token_is_nowhere_in_what_is_printed_or_written(
    graph: Any, monkeypatch: Any, kind: str, secret: str, flags: Any
) -> None:
    def tell(text: str) -> str:
        return text.replace("SECRET", secret).replace("QUOTED", quote(secret, safe=""))

    answer = LEAKS[kind]
    if kind != answer:
        status, headers, body = answer
        headers = {tell(name): tell(text) for name, text in headers.items()}
        answer = status, headers, tell(body.decode()).encode()
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", secret)
    graph.standin.token = secret
    graph.standin.set_up_answer = answer
    graph.standin.burst.extend(["live", answer])
    result = graph.run(*flags, "-v", "--limit", "3", "--report", str(graph.report_file))
    sent = [*graph.standin.set_up_log, *graph.standin.log]
    assert {request.headers["Authorization"] for request in sent} == {f"Bearer {secret}"}
    files = [path.read_bytes() for path in graph.folder.rglob("*") if path.is_file()]
    written = result.log + b"".join(files).decode(errors="replace")
    for shown in (secret[:12], quote(secret, safe="")[:12], "SECRETtoken"):
        assert shown not in written


@pytest.mark.parametrize("flags", [FLAG, ("--token",), ("-b",), ("--graph-api",)])
@pytest.mark.parametrize("is_set", [True, False])
def test_the_token_is_not_repeated_where_it_stands_among_the_arguments(
    graph: Any, monkeypatch: Any, flags: tuple[str, ...], is_set: bool
) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", SECRETS[0] if is_set else "")
    result = graph.run(*flags, SECRETS[0])
    assert result.code == 2 and "error: " in result.log
    assert SECRETS[0][:8] not in result.log
