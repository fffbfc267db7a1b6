"""The official API: its requests, what its responses mean, what it shares with the web address."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from standin import (
    ACCOUNT_ID,
    GRAPH_ANSWERS,
    PAGE,
    PERMISSIONS,
    data,
    discovery,
    facebook_page,
    graph_error,
    user,
)

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(30)]
PERSONAL = NAMES[4::8]
TOKEN = "EAAtest"
FLAG = ("--graph-api", "17841400000000000")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


@pytest.fixture
def graph(world: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A list of 30 profiles, four of them personal, and a token."""
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", TOKEN)
    world.live(*NAMES)
    for name in PERSONAL:
        world.standin.users[name]["is_business_account"] = False
    return world


def everything_written(folder: Path) -> str:
    return "\n".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()
    )


# ---- How it is fetched ----


def test_the_request_is_that_of_business_discovery(graph: Any) -> None:
    assert graph.run(*FLAG, "--limit", "1").code == 0
    request = graph.standin.log[0]
    assert unquote(request.line) == (
        "GET /v25.0/17841400000000000?fields="
        "business_discovery.username(profile.000){username,name,biography,followers_count} HTTP/1.1"
    )
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert "cookie" not in {name.lower() for name in request.headers}
    assert "x-ig-app-id" not in request.headers
    assert TOKEN not in request.line


def test_the_web_address_is_never_sent_the_token(graph: Any) -> None:
    assert graph.run("--limit", "1").code == 0
    assert not any(TOKEN in value for value in graph.standin.log[0].headers.values())
    assert graph.standin.set_up_log == []


def test_the_real_address_is_metas() -> None:
    assert Path(ig.__file__).read_text().count('"https://graph.facebook.com/v25.0/"') == 1


# ---- The set-up, checked before the first profile ----


def words_of(result: Any) -> str:
    """What is logged before the first profile."""
    return result.log.partition("[1/")[0]


def test_the_account_is_found_by_the_token_alone(graph: Any) -> None:
    result = graph.run("--graph-api", "--limit", "1")
    assert result.code == 0
    accounts, token = graph.standin.set_up_log
    assert unquote(accounts.line) == (
        "GET /v25.0/me/accounts?"
        "fields=name,instagram_business_account{id,username}&limit=100 HTTP/1.1"
    )
    assert token.line == f"GET /v25.0/debug_token?input_token={TOKEN} HTTP/1.1"
    assert accounts.headers["Authorization"] == token.headers["Authorization"] == f"Bearer {TOKEN}"
    assert f"/v25.0/{ACCOUNT_ID}?" in graph.standin.log[0].line
    times = [request.time for request in (accounts, token, graph.standin.log[0])]
    assert all(1 <= later - earlier < 8 for earlier, later in zip(times, times[1:]))
    assert "source: Instagram's official API, as @mybrand (nothing for GENRE)" in words_of(result)
    assert ", or later if it meets Meta's hourly limit\n" in words_of(result)
    assert result.log.index("Checking the access token") < result.log.index("Plan: ")


def test_an_account_that_is_given_is_not_looked_up(graph: Any) -> None:
    assert graph.run(*FLAG, "--limit", "1").code == 0
    assert [request.line.split("?")[0] for request in graph.standin.set_up_log] == [
        "GET /v25.0/debug_token"
    ]


def test_the_check_does_not_count_for_the_estimate(graph: Any) -> None:
    for flags in (["--graph-api"], FLAG, []):
        result = graph.run(*flags, "-r", "10", "--force")
        assert result.code == 0
        minutes, seconds = re.findall(r"about (\d) min(?: (\d+) s)?", result.log)[0]
        assert 60 * int(minutes) + int(seconds or 0) == pytest.approx(180, abs=8)


def test_nothing_is_checked_where_nothing_is_to_be_fetched(graph: Any) -> None:
    assert graph.run("--graph-api").code == 0
    checks = len(graph.standin.set_up_log)
    graph.standin.token = "another"
    assert graph.run("--graph-api").code == 0
    assert len(graph.standin.set_up_log) == checks


OTHER = facebook_page("My\x1b Shop", "17841400000000999", "my.shop")
NO_ACCOUNTS: dict[str, tuple[Any, list[str]]] = {
    "two": (
        [facebook_page("My Brand", ACCOUNT_ID, "mybrand"), facebook_page("Empty"), OTHER],
        [
            "shows 2 Instagram accounts",
            f"--graph-api {ACCOUNT_ID}  for @mybrand (Page 'My Brand')",
            r"--graph-api 17841400000000999  for @my.shop (Page 'My\x1b Shop')",
        ],
    ),
    "no page": ([], ["shows no Facebook Page", "permissions of step 4", "Business Portfolio"]),
    "a page without": (
        [facebook_page("Empty")],
        ["no Instagram account is linked to", ": 'Empty'", "business_management", "(step 2)"],
    ),
    "of another shape": ([5, {"instagram_business_account": {"id": "me"}}], ["'?', '?'"]),
}


@pytest.mark.parametrize("kind", NO_ACCOUNTS)
def test_a_token_that_does_not_tell_the_one_account_is_refused(graph: Any, kind: str) -> None:
    graph.standin.pages, words = NO_ACCOUNTS[kind]
    result = graph.run("--graph-api")
    assert result.code == 2
    assert graph.standin.log == []
    assert all(word in result.log for word in words)
    assert "Error: " in result.log


def test_an_account_of_two_pages_is_one(graph: Any) -> None:
    graph.standin.pages *= 2
    assert graph.run("--graph-api", "--limit", "1").code == 0


@pytest.mark.parametrize("kind", ["190", "190 459", "190 cannot parse", "10", "3", "2635"])
def test_a_token_that_is_refused_for_the_account_is_refused_before_anything(
    graph: Any, cached_entry: Any, kind: str
) -> None:
    graph.remember(cached_entry("old"))
    graph.standin.set_up_answers["me/accounts"] = kind
    result = graph.run("--graph-api", "--force")
    assert result.code == 2
    assert len(graph.standin.set_up_log) == 1
    assert all(word.lower() in result.log.lower() for word in [*STOPS[kind], "Error: "])
    assert graph.standin.log == []
    assert list(graph.cache) == ["old"], "--force waits for a set-up that works"


@pytest.mark.parametrize("kind", ["100", "graph 404", "graph redirect", "nothing"])
def test_an_account_that_is_not_told_can_be_given(graph: Any, kind: str) -> None:
    graph.standin.set_up_answers["me/accounts"] = kind
    result = graph.run("--graph-api")
    assert result.code == 2
    assert "give the account's id behind --graph-api" in result.log
    assert graph.standin.log == []


@pytest.mark.parametrize("kind", ["4", "graph 429", "graph 500", "reset", "graph not json"])
def test_an_account_that_cannot_be_told_now_is_asked_for_three_more_times(
    graph: Any, kind: str
) -> None:
    graph.standin.set_up_answers["me/accounts"] = kind
    result = graph.run("--graph-api")
    assert result.code == 1
    assert "Stopped before the first profile: Instagram's official API can't tell" in result.log
    assert "run the same command again later" in result.log
    assert graph.standin.log == []
    assert len(graph.standin.set_up_log) == 4
    assert "me/accounts: " in result.log and "try 4 of 4 in" in result.log
    graph.clock.at(30, graph.standin.set_up_answers.clear)
    assert graph.run("--graph-api", "--limit", "1").code == 0


def test_a_server_that_is_not_there_ends_the_check_within_a_minute(graph: Any) -> None:
    graph.standin.shutdown()
    graph.standin.server_close()
    for flags in (["--graph-api"], FLAG):
        started = time.monotonic()
        result = graph.run(*flags)
        assert result.code == 1
        assert "can't" in result.log and "Connection refused" in result.log
        assert time.monotonic() - started < MINUTE


def test_a_token_that_is_not_valid_is_refused(graph: Any) -> None:
    graph.standin.token_info = {
        "is_valid": False,
        "error": {"code": 190, "message": "Session has expired on Wednesday.", "subcode": 463},
    }
    result = graph.run(*FLAG)
    assert result.code == 2
    assert "the access token is not valid (Session has expired on Wednesday): make a" in result.log
    assert graph.standin.log == []


END_WORDS = "The access token ends at "


@pytest.mark.parametrize("flags", [[], ["--batch-pause", "0", "-r", "10"]])
def test_a_token_that_may_end_before_the_run_is_told_before_the_first_profile(
    graph: Any, flags: list[str]
) -> None:
    names = [f"profile.{number}" for number in range(400)]
    graph.live(*names)
    ends_at = time.time() + 1.2 * HOUR
    graph.standin.token_info["expires_at"] = int(ends_at)
    graph.standin.watch = lambda name: "190" if time.time() > ends_at else None
    result = graph.run(*FLAG, *flags)
    told = [line for line in words_of(result).splitlines() if END_WORDS in line]
    assert len(told) == 1
    assert time.strftime("%H:%M", time.localtime(ends_at)) in told[0]
    assert ("before the run, which is" if result.code else "after the run, which ends at ") in told[
        0
    ]
    assert "Access Token Debugger 60 days" in told[0]
    assert result.code == (1 if "Stopped after" in result.log else 0)
    assert ("The access token is refused" in result.log) == (result.code == 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": 0},
        {"expires_at": int(time.time() + 50 * DAY)},
        {"expires_at": int(time.time() + 1.2 * HOUR)},
        {"expires_at": None},
        {"expires_at": 10**400},
        {"expires_at": "soon", "scopes": None},
        {"expires_at": True, "scopes": {"a": 1}, "is_valid": "no"},
    ],
)
def test_a_token_that_lasts_is_no_news(graph: Any, changes: dict[str, Any]) -> None:
    graph.standin.token_info.update(changes)
    result = graph.run(*FLAG, "--limit", "10")
    assert result.code == 0
    assert END_WORDS not in result.log
    assert "lacks" not in result.log


@pytest.mark.parametrize("kind", ["190", "4", "100", "graph 500", "reset", "graph not json", "3"])
def test_a_token_that_cannot_be_checked_holds_nobody_up(graph: Any, kind: str) -> None:
    graph.standin.set_up_answers["debug_token"] = kind
    result = graph.run(*FLAG, "--limit", "5")
    assert result.code == 0
    assert len(graph.standin.set_up_log) == 1
    assert "The access token can't be checked (" in words_of(result)
    assert END_WORDS not in result.log
    assert len(graph.standin.log) == 5


def test_a_permission_that_is_missing_is_named(graph: Any) -> None:
    graph.standin.token_info["scopes"] = PERMISSIONS[1:2]
    result = graph.run(*FLAG, "--limit", "1")
    assert result.code == 0
    assert "The access token lacks instagram_basic, pages_read_engagement: " in words_of(result)


def test_an_earlier_pause_is_waited_for_before_the_set_up_is_checked(graph: Any) -> None:
    graph.standin.burst.append((429, {"Retry-After": "7200"}, b""))
    assert graph.run_and_interrupt(60, *FLAG).code == 130
    result = graph.run("--graph-api", "--limit", "2")
    assert result.code == 0
    assert graph.standin.set_up_log[1].time - graph.standin.log[0].time >= 7200
    assert result.log.index("Resuming an earlier pause") < result.log.index("Plan: ")


def test_an_interruption_of_the_check_loses_nothing(graph: Any) -> None:
    result = graph.run_and_interrupt(5, "--graph-api")
    assert result.code == 130
    assert "Interrupted by SIGINT before the first request for a profile" in result.log


def test_a_cache_that_is_removed_during_the_check_is_set_aside_from_memory(
    graph: Any, cached_entry: Any
) -> None:
    graph.remember(cached_entry("old"))
    graph.clock.at(3, lambda: graph.cache_file.unlink())
    assert graph.run(*FLAG, "--force", "--limit", "1").code == 0
    assert list(json.loads((graph.cache_dir / "ig_cache.json.bak").read_text())) == ["old"]


def test_a_thread_that_cannot_be_started_stops_the_check(graph: Any, monkeypatch: Any) -> None:
    def refuse(thread: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(ig.threading.Thread, "start", refuse)
        result = graph.run("--graph-api")
    assert result.code == 1
    assert "can't tell your account now (can't start new thread): check the" in result.log


# ---- How fast the API lets a run go ----


@pytest.mark.parametrize(
    ("header", "percent"),
    [
        ('{"call_count": 95, "total_time": 1, "total_cputime": 2}', 95),
        ('{"call_count": 12, "total_time": 97, "total_cputime": 2}', 97),
        ('{"total_cputime": 99.5}', 99.5),
        ('{"call_count": "99", "total_time": null}', 0),
        ('{"call_count": 1' + "0" * 400 + "}", 999),
        ('{"call_count": Infinity}', 999),
        ('{"call_count": NaN, "total_time": 99, "total_cputime": -1' + "0" * 400 + "}", 99),
        ("{", 0),
        ("[99]", 0),
        ("", 0),
    ],
)
def test_the_used_share_is_the_largest_percentage(header: str, percent: float) -> None:
    assert ig.used_percent({"X-App-Usage": header}) == percent


@pytest.mark.parametrize(("used", "gap"), [(99, 5 * MINUTE), (95, 5 * MINUTE), (94, 0), (12, 0)])
def test_nothing_is_sent_for_five_minutes_while_the_hourly_limit_is_nearly_used(
    graph: Any, used: int, gap: float
) -> None:
    status, headers, body = discovery(user(NAMES[1]))
    headers["X-App-Usage"] = f'{{"call_count": {used}, "total_time": 3, "total_cputime": 2}}'
    graph.standin.watch = lambda name: (status, headers, body) if name == NAMES[1] else None
    result = graph.run(*FLAG, "--limit", "4")
    assert result.code == 0
    gaps = graph.standin.gaps
    assert gap <= gaps[1] < gap + 10 and gaps[0] < 10 and gaps[2] < 10
    assert (
        f"{used}% of the hourly limit is used: nothing is sent for 5 min, until" in result.log
    ) == (gap > 0)


@pytest.mark.parametrize(("allowance", "longest"), [(200, 2.3 * HOUR), (2000, 45 * MINUTE)])
def test_a_run_without_pauses_never_goes_over_the_hourly_limit(
    graph: Any, allowance: int, longest: float
) -> None:
    graph.live(*(f"profile.{number}" for number in range(400)))
    graph.standin.allowance = allowance
    started = time.monotonic()
    assert graph.run("--graph-api", "-r", "10", "--batch-pause", "0").code == 0
    assert graph.standin.refused == 0
    assert time.monotonic() - started < longest


# ---- What comes of it ----


def test_details_are_filled_and_genre_is_not_and_personal_accounts_are_settled(graph: Any) -> None:
    result = graph.run(*FLAG)
    assert result.code == 0
    assert [row[1] for row in graph.rows[1:]] == [""] * 30
    expected = {name: "" if name in PERSONAL else f"The biography of {name}" for name in NAMES}
    assert graph.biographies() == expected
    assert [
        name for name, entry in graph.cache.items() if entry["error"] == "NOT_PROFESSIONAL"
    ] == PERSONAL
    entry = graph.cache[NAMES[0]]
    assert (entry["full_name"], entry["follower_count"], entry["is_business"]) == (
        NAMES[0].title(),
        1000,
        True,
    )
    assert (entry["category_name"], entry["is_verified"], entry["error"]) == (None, None, None)
    plan, _, rest = result.log.partition("Plan: 30 rows")[2].partition("\n")
    assert "source: Instagram's official API (nothing for GENRE)" in plan
    assert "30 fetched, 0 from cache, 0 not found, 4 no professional account, " in result.log
    assert "source: Instagram's official API (nothing for GENRE)" in rest
    assert f"@{PERSONAL[0]}: no professional account |" in result.log
    assert "no category" not in result.log


def test_an_account_that_is_not_professional_takes_one_call_and_is_an_answer(graph: Any) -> None:
    names = graph.live(*NAMES[:12])
    for name in names[:8]:
        graph.standin.users[name]["is_business_account"] = False
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names == names, "eight in a row are no reason to ask a known profile"
    assert [entry["error"] for entry in graph.cache.values()] == ["NOT_PROFESSIONAL"] * 8 + [
        None
    ] * 4


def test_what_one_source_settled_is_not_fetched_of_the_other(graph: Any) -> None:
    assert graph.run(*FLAG).code == 0
    fetched = len(graph.standin.log)
    assert graph.run(*FLAG).code == 0
    assert len(graph.standin.log) == fetched
    result = graph.run()
    assert result.code == 0
    assert graph.standin.names[fetched:] == PERSONAL, "the web address sees personal accounts, too"
    assert graph.cache_file.read_text().count("\n") == 30 + 2
    assert graph.all_live
    assert "26 already cached" in result.log
    graph.cache_file.unlink()
    graph.standin.behaviour[NAMES[0]] = "404"
    assert graph.run().code == 0
    fetched = len(graph.standin.log)
    assert graph.run(*FLAG).code == 0
    assert len(graph.standin.log) == fetched


def test_force_with_nothing_to_fetch_throws_nothing_away(graph: Any) -> None:
    graph.input.write_text(f"Handle,GENRE,Details\n@{NAMES[0]},,told\n")
    assert graph.run().code == 0
    before = graph.cache, graph.output.read_bytes()
    assert graph.run(*FLAG, "--force").code == 0
    assert (graph.cache, graph.output.read_bytes()) == before
    assert sorted(path.name for path in graph.cache_dir.glob("*cache*")) == ["ig_cache.json"]


def test_a_sparse_answer_of_the_web_address_settles_a_profile_of_the_api(graph: Any) -> None:
    graph.live(NAMES[0])
    assert graph.run(*FLAG).code == 0
    graph.standin.users[NAMES[0]] = {"biography": "x"}
    assert graph.run().code == 0
    sent = len(graph.standin.log)
    assert graph.run().code == 0
    assert len(graph.standin.log) == sent


def test_a_business_account_whose_badge_the_web_address_does_not_tell_is_settled(
    graph: Any,
) -> None:
    graph.standin.users[NAMES[0]] = {"biography": "x", "is_business_account": True}
    assert graph.run("--limit", "1").code == 0
    assert graph.run("--limit", "1").code == 0
    assert len(graph.standin.log) == 1


def test_a_row_that_lacks_only_what_the_api_does_not_give_is_not_fetched(graph: Any) -> None:
    graph.input.write_text(f"Handle,GENRE,Details\n@{NAMES[0]},,told\n@{NAMES[1]},Art,\n")
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names == [NAMES[1]]


# ---- What an answer means ----

MEANINGS: dict[str, type[Exception]] = {
    "110": ig.NotProfessional,
    **dict.fromkeys(("4", "17", "32", "613", "80002", "80006", "368", "graph 429"), ig.Blocked),
    **dict.fromkeys(("190", "190 459", "190 cannot parse", "102"), ig.SetUpError),
    **dict.fromkeys(("10", "200", "299", "3", "803", "25", "2635"), ig.SetUpError),
    **dict.fromkeys(("100 33", "100 nonexisting field"), ig.SetUpError),
    **dict.fromkeys(("1", "2", "-1", "transient", "graph 500", "graph not json"), ig.NetworkError),
    **dict.fromkeys(
        ("100", "300", "401 of a proxy", "code of another type", "error of another type"),
        ig.UnexpectedResponse,
    ),
    **dict.fromkeys(
        ("nothing", "empty discovery", "discovery of somebody else"), ig.UnexpectedResponse
    ),
    **dict.fromkeys(("graph redirect", "graph 404"), ig.UnexpectedResponse),
}


@pytest.mark.parametrize(("answer", "meaning"), MEANINGS.items(), ids=MEANINGS)
def test_an_answer_means(answer: str, meaning: type[Exception]) -> None:
    with pytest.raises((ig.FetchError, ig.SetUpError)) as raised:
        ig.parse_graph_response("x", ig.Response(*GRAPH_ANSWERS[answer]))
    assert raised.type is meaning


@pytest.mark.parametrize(
    ("answer", "printed"),
    [
        (
            GRAPH_ANSWERS["4"],
            "blocked, a rate limit (error 4): (#4) Application request limit reached",
        ),
        ((403, {"Content-Type": "text/html"}, PAGE), "unexpected response (status 403): Instagram"),
        ((502, {}, b"Bad gateway"), "server error (status 502): Bad gateway"),
        (GRAPH_ANSWERS["graph 404"], "unexpected response (status 404)"),
    ],
)
def test_what_is_printed_is_the_message_or_the_title_or_the_body(answer: Any, printed: str) -> None:
    with pytest.raises(ig.FetchError) as raised:
        ig.parse_graph_response("x", ig.Response(*answer))
    assert str(raised.value) == printed


def test_every_answer_of_the_stand_in_has_a_meaning_in_this_table() -> None:
    assert MEANINGS.keys() == GRAPH_ANSWERS.keys()


def test_a_discovery_is_the_profile() -> None:
    found = ig.parse_graph_response("ana", ig.Response(*discovery(user("Ana"))))
    assert found == {
        "full_name": "Ana",
        "biography": "The biography of Ana",
        "follower_count": 1000,
        "is_business": True,
    }


STOPS = {
    "190": ["The access token is refused (error 190: Error validating", "INSTAGRAM_ACCESS_TOKEN"],
    "190 459": [
        "till you log in to www.facebook.com",
        "log in to facebook.com and follow what it asks",
    ],
    "190 cannot parse": ["Cannot parse access token", "of another kind", "make a new one"],
    "102": ["The access token is refused", "INSTAGRAM_ACCESS_TOKEN"],
    "10": ["Application does not have permission", ", ".join(PERMISSIONS[:3]), "ads_management"],
    "200": ["A permission is missing", ", ".join(PERMISSIONS[:3]), "ads_management"],
    "299": ["A permission is missing", ", ".join(PERMISSIONS[:3]), "ads_management"],
    "3": ["does not have the capability", "an app of the type Business"],
    "100 33": ["does not exist", "an id behind --graph-api", "leave it out", "a Page"],
    "100 nonexisting field": ["nonexisting field (business_discovery)", "leave it out", "a Page"],
    "803": ["Some of the aliases", "leave it out"],
    "25": ["The Instagram account is restricted", "log in to Instagram with it"],
    "2635": ["a deprecated version", "a newer version of this program"],
}


def test_every_error_that_stops_a_run_has_its_words_in_this_table() -> None:
    assert STOPS.keys() == {kind for kind in MEANINGS if MEANINGS[kind] is ig.SetUpError}


@pytest.mark.parametrize("kind", STOPS)
@pytest.mark.parametrize("live_before", [0, 4])
def test_an_error_of_the_set_up_stops_the_run_at_once(
    graph: Any, kind: str, live_before: int
) -> None:
    graph.standin.burst.extend(["live"] * live_before + [kind])
    started = time.monotonic()
    result = graph.run(*FLAG)
    assert result.code == 1
    assert time.monotonic() - started < MINUTE
    assert len(graph.standin.log) == live_before + 1
    assert len(graph.cache) == live_before
    assert all(word in result.log for word in STOPS[kind])
    assert f"Stopped after {live_before} of 30 rows, everything is saved; " in result.log
    assert "to resume, do that, then run the command again" in result.log


@pytest.mark.parametrize("kind", ["2", "transient", "1", "graph 500"])
def test_a_transient_error_is_tried_again(graph: Any, kind: str) -> None:
    graph.standin.burst.extend(["live", kind])
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names[:3] == [NAMES[0], NAMES[1], NAMES[1]]
    assert 5 <= graph.standin.gaps[1] < 15


def usage(*minutes: object) -> dict[str, str]:
    entries = [
        f'{{"type": "instagram", "estimated_time_to_regain_access": {each}}}' for each in minutes
    ]
    return {"X-Business-Use-Case-Usage": f'{{"17841400000000000": [{", ".join(entries)}]}}'}


def test_a_limit_is_waited_for_as_long_as_the_api_says(graph: Any) -> None:
    status, headers, body = GRAPH_ANSWERS["4"]
    graph.standin.burst.extend(
        ["live", "live", "live", (status, {**headers, **usage(0, 45)}, body)]
    )
    result = graph.run(*FLAG)
    assert result.code == 0
    assert 45 * MINUTE <= graph.standin.gaps[3] < 46 * MINUTE
    assert "try 2 of 4 in 45 min" in result.log
    assert graph.standin.names[3] == graph.standin.names[4]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (usage(45), 2700),
        (usage(0), 0),
        (usage(1, 5, 3), 300),
        (usage(999), 14400),
        (usage("9" * 400), 14400),
        (usage("null"), 0),
        (usage('"soon"'), 0),
        (usage('"45"'), 2700),
        (usage(-5), 0),
        ({"X-Business-Use-Case-Usage": "{"}, 0),
        ({**usage(10), "Retry-After": "900"}, 900),
        ({**usage(20), "Retry-After": "900"}, 1200),
    ],
)
def test_a_wait_is_requested_in_minutes_too(headers: dict[str, str], seconds: float) -> None:
    assert ig.requested_wait(headers) == seconds


def test_the_locked_out_hint_is_no_matter_of_the_api(graph: Any) -> None:
    graph.standin.watch = lambda name: "4"
    result = graph.run(*FLAG)
    assert "Nothing could be fetched for 4 h" in result.log
    assert "No profile could be fetched yet" not in result.log


# ---- The token ----


@pytest.mark.parametrize(
    "token", [None, "", " ", "two words", "line\nbreak", "end\n", "ünï", "a\0b"[:1] + "\x7f"]
)
def test_a_token_that_is_missing_or_malformed_is_refused(
    graph: Any, monkeypatch: Any, token: str | None
) -> None:
    monkeypatch.delenv("INSTAGRAM_ACCESS_TOKEN")
    if token is not None:
        monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", token)
    result = graph.run(*FLAG)
    assert result.code == 2
    assert graph.standin.log == []
    assert result.log.count("\n") == 1
    assert "INSTAGRAM_ACCESS_TOKEN" in result.log
    assert not (token and token.strip() and token in result.log)
    assert sorted(path.name for path in graph.folder.iterdir()) == ["list.csv"]


@pytest.mark.parametrize(
    "account", ["me", "", "17841400000000000x", "-5", "1.5", "178 41", "١٢٣", "1" * 31]
)
def test_an_account_that_is_no_number_is_refused(graph: Any, account: str) -> None:
    result = graph.run(f"--graph-api={account}")
    assert result.code == 2
    assert graph.standin.log == []
    lines = [line for line in result.log.splitlines() if "error:" in line]
    assert len(lines) == 1 and "--graph-api" in lines[0] and "numeric" in lines[0]


SECRET = "EAAGm0PX4ZCpsBAKz7SECRETtoken"
LEAKS: dict[str, list[Any]] = {
    "nothing odd": [],
    "190 that repeats it": [graph_error(400, 190, message=f"Malformed access token {SECRET}")],
    "an error that repeats it": [
        graph_error(400, 100, message=f"bad token {SECRET}, {SECRET}" + "x" * 300)
    ],
    "a limit that repeats it": [graph_error(400, 4, message=SECRET)],
    "a redirect that repeats it": [
        (302, {"Location": f"https://www.facebook.com/?access_token={SECRET}"}, b"")
    ],
    "no connection": ["reset"] * 4,
    "torn": ["torn"],
    "data about the token": [
        data(200, {"business_discovery": {"username": SECRET, "biography": ""}})
    ],
    "another token": ["190"],
}


@pytest.mark.parametrize("kind", LEAKS)
def test_the_token_is_nowhere_in_what_the_run_writes(
    graph: Any, monkeypatch: Any, kind: str
) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", SECRET)
    graph.standin.token = SECRET
    graph.standin.burst.extend(["live", *LEAKS[kind]])
    result = graph.run(*FLAG, "--verbose", "--limit", "5")
    assert any(
        request.headers["Authorization"] == f"Bearer {SECRET}" for request in graph.standin.log
    )
    assert SECRET not in result.log
    assert SECRET[:20] not in result.log
    assert SECRET not in everything_written(graph.folder)
    assert SECRET not in repr(ig.GraphApi("1", SECRET))


REPEATS: dict[str, Any] = {
    "no connection": "reset",
    "hung up": "closed",
    "torn": "torn",
    "190": graph_error(400, 190, message=f"Malformed access token {SECRET}"),
    "100": graph_error(400, 100, message=f"{SECRET} at https://x/?input_token={SECRET}&a=b"),
    "a header that is none": (
        200,
        {"Content-Length": "2", f"input_token={SECRET}\r\n{SECRET}": "x"},
        b"{}",
    ),
    "a redirect": (302, {"Location": f"https://www.facebook.com/?access_token={SECRET}"}, b""),
    "a Page of that name": data(
        200,
        {"data": [facebook_page(SECRET, ACCOUNT_ID, SECRET), facebook_page(SECRET, "1", SECRET)]},
    ),
    "invalid": data(200, {"data": {"is_valid": False, "error": {"message": SECRET}}}),
}


@pytest.mark.parametrize("path", ["me/accounts", "debug_token"])
@pytest.mark.parametrize("kind", REPEATS)
@pytest.mark.parametrize("secret", [SECRET, "1784|p/Q+x=%&#tail42"])
def test_the_token_is_nowhere_in_what_the_check_writes(
    graph: Any, monkeypatch: Any, path: str, kind: str, secret: str
) -> None:
    def with_secret(answer: Any) -> Any:
        if isinstance(answer, str):
            return answer
        status, headers, body = answer
        renamed = {
            name.replace(SECRET, secret): text.replace(SECRET, quote(secret))
            for name, text in headers.items()
        }
        return status, renamed, body.replace(SECRET.encode(), secret.encode())

    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", secret)
    graph.standin.token = secret
    graph.standin.set_up_answers[path] = with_secret(REPEATS[kind])
    result = graph.run("--graph-api", "--verbose", "--limit", "2")
    assert graph.standin.set_up_log
    written = result.log + everything_written(graph.folder)
    for shown in (secret, secret[:13], quote(secret, safe=""), quote(secret, safe="")[:13]):
        assert shown not in written


@pytest.mark.parametrize(
    "secret", [SECRET, "1784|p/Q+x=%&#tail42", "EAAGm0PX4ZCps'quoted", "EAAG\\back\\slashes.in.it"]
)
def test_the_token_is_hidden_however_a_message_repeats_it(secret: str) -> None:
    hide = ig.SecretFilter({"INSTAGRAM_ACCESS_TOKEN": secret}).hide
    for repeated in (secret, quote(secret, safe=""), repr(secret)[1:-1]):
        assert hide(f"?input_token={repeated} failed") == "?input_token=[hidden] failed"
        assert hide(f"?input_token={repeated[:15]}").startswith("?input_token=[hidden]"), "cut off"


@pytest.mark.parametrize("flags", [("--graph-api", "1784", SECRET), ("--token", SECRET)])
@pytest.mark.parametrize("is_set", [True, False])
def test_the_token_is_not_repeated_where_it_stands_among_the_arguments(
    graph: Any, monkeypatch: Any, flags: tuple[str, ...], is_set: bool
) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", SECRET if is_set else "")
    result = graph.run(*flags)
    assert result.code == 2
    assert "unrecognized arguments: " in result.log
    assert SECRET[:8] not in result.log


# ---- Who knows which source it is ----


def test_nothing_outside_of_the_sources_and_the_command_line_knows_which_one_is_used() -> None:
    text = Path(ig.__file__).read_text()
    sections = dict(re.findall(r"\n# =+\n# ([^\n]*)\n# =+\n(.*?)(?=\n# ===|\Z)", text, re.DOTALL))
    assert len(sections) == 17
    names = (
        r"web_address|graph_api|_web_|_graph_|API_URL|GRAPH|official API|Graph API|facebook\.com"
    )
    assert {section for section, code in sections.items() if re.search(names, code)} == {
        "Web address",
        "Graph API",
        "Command line",
    }
