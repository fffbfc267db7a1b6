"""The official API: its requests, what its responses mean, what it shares with the web address."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote

import pytest
import standin
from standin import ACCOUNT_ID, NOT_SHOWN, cache_entry, data, facebook_page, graph_error, named

import instagram_enrichment as ig

REAL_URL = ig.GRAPH_URL
NAMES = [f"profile.{number:03}" for number in range(30)]
PERSONAL = NAMES[4:11]
TOKEN = "EAAtest"
FLAG = ("--graph-api", ACCOUNT_ID)


@pytest.fixture
def graph(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A list of 30 profiles, seven of them personal, and a token."""
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", TOKEN)
    world.live(*NAMES)
    for name in PERSONAL:
        world.standin.users[name]["is_business_account"] = False
    return world


# ---- How it is fetched, and what comes of it ----


def test_each_profile_takes_one_request_and_details_are_filled_and_genre_is_not(graph: Any) -> None:
    graph.standin.behaviour = {
        NAMES[1]: data(200, {"business_discovery": {"username": NAMES[1]}}),
        PERSONAL[2]: graph_error(400, 110),
        PERSONAL[5]: graph_error(400, 100, error_subcode=2207013),
    }
    graph.standin.users[NAMES[1]]["biography"] = None  # one that is left out is empty
    result = graph.run(*FLAG)
    for name, user in graph.standin.users.items():
        is_shown, entry = user["is_business_account"], graph.cache[name]
        assert entry["error"] == (None if is_shown else "NOT_PROFESSIONAL")
        assert entry["biography"] == (user["biography"] if is_shown else None)
    assert [row[1] for row in graph.rows[1:]] == [""] * 30
    expected = cache_entry(NAMES[0], category_name=None, is_verified=None)
    assert {**graph.cache[NAMES[0]], "fetched_at": expected["fetched_at"]} == expected
    assert "API (nothing for GENRE)" in result.log.partition("[1/")[0]
    assert "22 filled, 1 empty, 7 not professional" in result.log
    assert f"@{PERSONAL[0]}: no professional account |" in result.log
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names == NAMES
    assert graph.standin.set_up_log == [], "an account that is given is not looked up"
    graph.input.write_text(f"Handle,GENRE,Details\n@{NAMES[0]},,told\n@{NAMES[1]},Art,told\n")
    assert graph.run("--graph-api", "--force").code == 0
    assert graph.standin.requests == 30, "who lacks only a genre is not fetched"
    assert len(graph.cache) == 30, "--force with nothing to fetch throws nothing away"
    assert REAL_URL == "https://graph.facebook.com/v25.0/"
    request = graph.standin.log[0]
    fields = "business_discovery.username(profile.000){username,name,biography,followers_count}"
    assert unquote(request.line) == f"GET /v25.0/17841400000000000?fields={fields} HTTP/1.1"
    assert {"cookie", "x-ig-app-id"}.isdisjoint(name.lower() for name in request.headers)


def test_the_web_address_then_the_api_then_the_web_address_fetch_nothing_twice(graph: Any) -> None:
    withheld = [*PERSONAL[:1], *NAMES[13:17]]
    graph.standin.behaviour = dict.fromkeys(withheld, "asset deleted")
    code, log = graph.run()
    ends = "with {} rows still open; everything is saved; to get them: {}\n"
    api = "--graph-api for those of the 5 withheld that are professional (README)"
    assert code == 1 and log.endswith(ends.format("5 of 30", api))
    assert sorted(graph.standin.names) == NAMES
    assert TOKEN not in "".join(f"{each.line} {each.headers}" for each in graph.standin.log)
    assert graph.run("--graph-api").code == 0
    assert graph.standin.names[30:] == withheld, "of the API only what the web address withholds"
    assert graph.run("--graph-api").code == 0
    assert len(graph.standin.set_up_log) == 1, "nothing is looked up where nothing is to be fetched"
    code, log = graph.run()
    assert code == 1 and log.endswith(ends.format("1 of 30", "no way now")), "withheld, as before"
    graph.standin.behaviour.clear()
    assert (graph.run().code, graph.run().code) == (0, 0)
    assert graph.standin.names[35:] == PERSONAL[:1] * 2
    assert graph.cache_file.read_text().count("\n") == 30 + 2
    assert graph.all_live


@pytest.mark.parametrize("pages", [1, 2])
def test_the_token_tells_the_account_and_has_to_last_till_the_end(graph: Any, pages: int) -> None:
    graph.standin.pages *= pages
    graph.standin.burst += [(429, {"Retry-After": "7200"}, b"")]
    assert graph.run_and_interrupt(60, *FLAG).code == 130
    result = graph.run("--graph-api", "-b", "10", "--verbose")
    assert result.code == 0
    (lookup,), (blocked, request, *_) = graph.standin.set_up_log, graph.standin.log
    assert lookup.time - blocked.time >= 7200, "after the pause of the run before"
    query = "fields=name,instagram_business_account{id,username}&limit=100"
    assert unquote(lookup.line) == f"GET /v25.0/me/accounts?{query} HTTP/1.1"
    assert f"/v25.0/{ACCOUNT_ID}?" in request.line
    assert 1 <= request.time - lookup.time < 8, "at the pace of every request"
    before, _, plan = result.log.partition("[1/")[0].partition("Plan: ")
    assert "me/accounts: " in before and "API, as @mybrand (" in plan.splitlines()[0]
    end = re.findall(r"done at (.+)", plan)[-1]
    assert f"The access token has to last until {end}, or longer if Meta's hourly limit" in plan
    assert "lasts an hour or two, an extended one 60 days" in plan


# ---- What an answer means: of errors of the set-up, the words for what is wrong, what to do ----

NEW_TOKEN = ["The access token is refused (error ", "INSTAGRAM_ACCESS_TOKEN"]
ROLE = ["The access token is refused (error ", "needs a role on the Page"]
PERMITS = ["A permission is missing", "instagram_manage_insights", "ads_read"]
DASHBOARD = ["dashboard on developers.facebook.com", "verification"]
APP = ["The app of your access token", "an app of the type Business"]
RIGHT_ID = ["behind --graph-api", "leave it out", "a Page"]
PASSING: dict[str, list[str]] = {
    "200 blocked": ["API access blocked", *DASHBOARD],
    "appsecret_proof": ["appsecret_proof argument", "Require app secret"],
    "10": ["(error 10): (#10) Application does not have permission", *PERMITS],
    "100 33": ["does not exist", *RIGHT_ID],
    "100 nonexisting field": ["nonexisting field (business_discovery)", *RIGHT_ID],
    "100 method type": ["method type: get", *RIGHT_ID],
    "803": ["Some of the aliases", *RIGHT_ID],
    "25": ["The Instagram account is restricted", "Log in to Instagram"],
    "2635": ["a deprecated version", "a newer version of this program"],
    **dict.fromkeys(("200", "299"), PERMITS),
    **dict.fromkeys(("3", "101"), APP),
    **dict.fromkeys(("10 blocked", "100 deactivated"), DASHBOARD),
}
STOPS: dict[str, list[str]] = {
    **PASSING,
    "190": [*NEW_TOKEN, "Session has expired on Friday"],
    "190 459": ["till you log in to www", "Log in to facebook.com and follow what it asks"],
    "190 cannot parse": [*NEW_TOKEN, "Cannot parse access token", "of another kind"],
    **dict.fromkeys(("190 492", "190 role"), ROLE),
    "190 deactivated": DASHBOARD,
    "102": NEW_TOKEN,
}
MEANINGS: dict[type[ig.FetchError], Any] = {
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
CASES = [
    *((name, kind) for kind, names in MEANINGS.items() for name in names),
    # The code of "no professional account" says nothing about the profile there.
    *((graph_error(429, 110), ig.Blocked), (graph_error(500, 110), ig.NetworkError)),
    (graph_error(400, 110, is_transient=True), ig.NetworkError),
    (graph_error(400, 190, error_subcode=2207013), ig.SetUpError),
]


@pytest.mark.parametrize(("answer", "meaning"), CASES)
def test_an_answer_means(answer: Any, meaning: type[ig.FetchError]) -> None:
    with pytest.raises(ig.FetchError) as raised:
        ig.GraphApi("1", "token").parse("x", ig.Response(*named(answer)))
    assert raised.type is meaning


def test_every_answer_of_the_stand_in_has_a_meaning_in_this_table() -> None:
    assert {name for name, _ in CASES if isinstance(name, str)} == standin.GRAPH_ANSWERS.keys()


BRAND = facebook_page("My Brand", ACCOUNT_ID, "mybrand")
OTHER = facebook_page("My\x1b Shop", "17841400000000999", "my.shop")
EMPTY = facebook_page("Empty")
CHOICES = [
    *("hoose one", f"\n  --graph-api {ACCOUNT_ID}  for @mybrand (Page 'My Brand')"),
    "\n  --graph-api 17841400000000999  for @my.shop (Page 'My\\x1b Shop')",
]
NO_ID = ["Error: ", "give its id behind --graph-api"]
LATER = ["me/accounts: ", "try 4 of 4 in", "Stopped before the first profile: ", "command again"]
NO_ACCOUNTS: dict[str, tuple[Any, int, list[str]]] = {
    "two": ([BRAND, EMPTY, OTHER], 2, CHOICES),
    "no page": ([], 2, ["shows no ", "permissions of step 4", "Business Portfolio"]),
    "a page without": ([EMPTY], 2, ["no Instagram account is linked", "'Empty'", "(step 2)"]),
    "others": ([5, {"instagram_business_account": {"id": "me"}}], 2, ["is linked", "'?', '?'"]),
    **{each: (None, 2, NO_ID) for each in ("300", "graph redirect", "nothing")},
    **{each: (None, 2, ["Error: ", *words]) for each, words in STOPS.items()},
    **{each: (None, 1, LATER) for each in ("4", "graph 500", "reset")},
}


@pytest.mark.parametrize("kind", NO_ACCOUNTS)
def test_where_the_one_account_is_not_told_nothing_is_fetched(graph: Any, kind: str) -> None:
    pages, code, words = NO_ACCOUNTS[kind]
    graph.standin.set_up_answer = kind if pages is None else data(200, {"data": pages})
    graph.remember(cache_entry(NAMES[29]))
    result = graph.run("--graph-api", "--force")
    assert result.code == code
    assert all(word.lower() in result.log.lower() for word in words)
    assert len(graph.standin.set_up_log) == graph.standin.requests == (4 if code == 1 else 1)
    assert list(graph.cache) == [NAMES[29]], "--force waits for a set-up that works"
    assert "the web address" not in result.log, "the hint for the locked out is not for the API"


STOPPED = [  # after which answers, by what; the exit code; and at which row
    *(([], kind, 2, 2) for kind in STOPS),
    *((["4"] * 5, "10", 2, 4), (["300"] * 5, "10", 2, 7)),  # what a known profile meets
    # Once a profile was answered, only what is wrong with the token does.
    *((["live"], "190", 1, 3), (["live"], "102", 1, 3), ([NOT_SHOWN], "190", 1, 3)),
    (["live", *["300"] * 5], "190", 1, 8),
]


@pytest.mark.parametrize(("first", "kind", "code", "row"), STOPPED)
def test_a_wrong_set_up_stops_a_run(graph: Any, first: Any, kind: str, code: int, row: int) -> None:
    graph.remember(cache_entry(NAMES[29]))
    graph.standin.burst += [*first, *[kind] * 30]
    result = graph.run(*FLAG)
    assert result.code == code
    assert len(graph.standin.log) == len(first) + 1
    last = result.log.splitlines()[-1]
    assert all(word in last for word in STOPS[kind])
    ends = f"{27 + code} of 30 rows still open; everything is saved; to resume: run the same"
    assert f". Stopped at row {row} (@{NAMES[row - 2]}), with {ends} command again" in last


@pytest.mark.parametrize("kind", PASSING)
def test_any_other_may_pass_once_a_profile_was_answered(graph: Any, kind: str) -> None:
    graph.standin.burst += [NOT_SHOWN]
    graph.standin.behaviour = dict.fromkeys(NAMES, kind)
    graph.clock.at(7200, graph.standin.behaviour.clear)
    assert graph.run(*FLAG).code == 0
    assert len(graph.cache) == 30 and sum(map(bool, graph.biographies().values())) == 22
    assert 7200 < graph.clock.skipped < 5 * 3600
    assert len(graph.standin.log) < 30 + 5 + 8, "it is an outage, with pauses"


# ---- How fast the API lets a run go ----


def test_a_run_without_pauses_never_goes_over_the_hourly_limit(graph: Any) -> None:
    graph.live(*(f"profile.{number}" for number in range(400)))
    graph.standin.allowance = 200
    assert graph.run("--graph-api", "-r", "10", "--batch-pause", "0").code == 0
    assert graph.standin.refused == 0 and graph.clock.skipped < 2.3 * 3600


USED = "X-App-Usage"


def regain(*minutes: object) -> dict[str, str]:
    entries = ", ".join(f'{{"estimated_time_to_regain_access": {each}}}' for each in minutes)
    return {"X-Business-Use-Case-Usage": f'{{"17841400000000000": [{entries}]}}'}


WAITS: list[tuple[dict[str, str], float]] = [
    *(({USED: '{"call_count": 95, "total_time": 1}'}, 300), ({USED: '{"total_time": 97.5}'}, 300)),
    ({USED: '{"call_count": NaN, "total_cputime": 1' + "0" * 400 + "}"}, 300),
    ({USED: '{"call_count": 94, "total_time": 94.9}'}, 0),
    ({USED: '{"call_count": "99", "total_time": null, "total_cputime": true}'}, 0),
    *(({USED: text}, 0) for text in ("{", "[99]", "99", "", '{"call_count": -9' + "0" * 400 + "}")),
    *((regain(45), 2700), (regain(0), 0), (regain(1, 5, 3), 300), (regain('"45"'), 2700)),
    *((regain(999), 14400), (regain("9" * 400), 14400)),
    *((regain(each), 0) for each in ("null", '"soon"', -5, "")),
    *(({**regain(10), "Retry-After": "900"}, 900), ({**regain(20), "Retry-After": "900"}, 1200)),
]


@pytest.mark.parametrize(("headers", "seconds"), WAITS)
def test_the_wait_that_the_headers_of_the_api_ask_for(headers: Any, seconds: float) -> None:
    assert ig.requested_wait(headers) == seconds


TORN = (403, {"Content-Encoding": "gzip", "Content-Type": "application/json"}, b"not gzip")
LIMITS: list[tuple[Any, dict[str, str], float, str]] = [
    (NOT_SHOWN, {USED: '{"total_time": 95}'}, 300, "5 min, until"),
    ("4", regain(0, 45), 2700, "(error 4): (#4) Application request limit reached; try 2 of 4 in"),
    *(("graph 429", {}, 60, "try 2 of 4 in 1 min"), ("2", {}, 5, "try 2 of 4 in")),
    *(("graph page", {}, 5, "(200): Instagram; try 2 of 4 in"), (TORN, {}, 5, "try 2 of 4 in")),
]


@pytest.mark.parametrize(("answer", "headers", "gap", "words"), LIMITS)
def test_nothing_is_sent_for_as_long_as_the_api_asks(
    graph: Any, answer: Any, headers: dict[str, str], gap: float, words: str
) -> None:
    status, more, body = named(answer)
    graph.standin.burst += ["live", (status, {**more, **headers}, body)]
    result = graph.run(*FLAG, "--limit", "3")
    assert result.code == 0 and words in result.log
    assert graph.standin.gaps[0] < 10 and gap <= graph.standin.gaps[1] < gap + 10
    assert (graph.standin.names[1] == graph.standin.names[2]) == ("try" in words)


# ---- The token ----

REFUSED = [
    *((token, ACCOUNT_ID) for token in (None, "", " ", "two words", "line\nbreak", "ünï", "a\x7f")),
    *((TOKEN, number) for number in ("me", "17841x", "-5", "1.5", "178 41", "١٢٣", "1" * 31)),
]


@pytest.mark.parametrize(("token", "number"), REFUSED)
def test_bad_credentials_are_refused(graph: Any, monkeypatch: Any, token: Any, number: str) -> None:
    monkeypatch.delenv("INSTAGRAM_ACCESS_TOKEN")
    if token is not None:
        monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", token)
    result = graph.run(f"--graph-api={number}")
    assert (result.code, graph.standin.requests) == (2, 0)
    words = "--graph-api: must be the numeric" if token == TOKEN else "INSTAGRAM_ACCESS_TOKEN"
    assert words in result.log.splitlines()[-1]
    assert not (token and token.strip() and token in result.log)
    assert sorted(path.name for path in graph.folder.iterdir()) == ["list.csv"]


SECRET = "1784|pQ-x_tail42SECRETtoken"
QUOTED = quote(SECRET, safe="")
LEAKS: dict[str, Any] = {
    "100": graph_error(400, 100, f"{SECRET} at https://x/?input_token={SECRET}&a=b" + "x" * 300),
    "a header that is none": (200, {"Content-Length": "2", f"t={SECRET}\r\n{SECRET}": ""}, b"{}"),
    "a redirect": (302, {"Location": f"https://www.facebook.com/?access_token={QUOTED}"}, b""),
    "a Page": data(200, {"data": [facebook_page(SECRET, id, SECRET) for id in ("1", "2")]}),
    "data about the token": data(200, {"business_discovery": {"username": SECRET}}),
    **{kind: kind for kind in ("live", "reset", "closed", "torn")},
}


@pytest.mark.parametrize("kind", LEAKS)
@pytest.mark.parametrize("flags", [("--graph-api",), FLAG])
def test_the_token_is_written_nowhere(graph: Any, monkeypatch: Any, kind: str, flags: Any) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", SECRET)
    graph.standin.token = SECRET
    graph.standin.set_up_answer = LEAKS[kind]
    graph.standin.burst += ["live", LEAKS[kind]]
    result = graph.run(*flags, "-v", "--limit", "3", "--report", str(graph.report_file))
    sent = [*graph.standin.set_up_log, *graph.standin.log]
    assert {request.headers["Authorization"] for request in sent} == {f"Bearer {SECRET}"}
    files = [path.read_bytes() for path in graph.folder.rglob("*") if path.is_file()]
    written = result.log + b"".join(files).decode(errors="replace")
    assert not any(shown in written for shown in (SECRET[:12], QUOTED[:12], "SECRETtoken"))
