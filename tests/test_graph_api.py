"""The official API: its requests, what its responses mean, what it shares with the web address."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from standin import GRAPH_ANSWERS, data, discovery, graph_error, user

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(30)]
PERSONAL = NAMES[4::8]
TOKEN = "EAAtest"
FLAG = ("--graph-api", "17841400000000000")
MINUTE = 60.0


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


def test_the_real_address_is_metas() -> None:
    assert Path(ig.__file__).read_text().count('"https://graph.facebook.com/v25.0/"') == 1


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
    plan, _, rest = result.log.partition("\n")
    assert (
        "Plan: 30 rows" in plan and "source: Instagram's official API (nothing for GENRE)" in plan
    )
    assert "30 fetched, 0 from cache, 0 not found, 4 no professional account, " in result.log
    assert "source: Instagram's official API (nothing for GENRE)" in rest
    assert f"@{PERSONAL[0]}: no professional account |" in result.log
    assert "no category" not in result.log


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


def test_a_row_that_lacks_only_what_the_api_does_not_give_is_not_fetched(graph: Any) -> None:
    graph.input.write_text(f"Handle,GENRE,Details\n@{NAMES[0]},,told\n@{NAMES[1]},Art,\n")
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names == [NAMES[1]]


# ---- What an answer means ----

MEANINGS: dict[str, type[Exception]] = {
    "110": ig.NotFound,
    **dict.fromkeys(("4", "17", "32", "613", "80002", "graph 429"), ig.Blocked),
    **dict.fromkeys(("190", "102", "10", "200", "299", "100 33"), ig.StoppedError),
    **dict.fromkeys(("1", "2", "transient", "graph 500", "graph not json"), ig.NetworkError),
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
    with pytest.raises((ig.FetchError, ig.StoppedError)) as raised:
        ig.parse_graph_response("x", ig.Response(*GRAPH_ANSWERS[answer]))
    assert raised.type is meaning


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
    "190": ["The access token is refused", "INSTAGRAM_ACCESS_TOKEN"],
    "102": ["The access token is refused", "INSTAGRAM_ACCESS_TOKEN"],
    "10": ["instagram_basic", "instagram_manage_insights", "pages_read_engagement"],
    "200": ["instagram_basic", "instagram_manage_insights", "pages_read_engagement"],
    "100 33": ["--graph-api", "does not see the account"],
}


@pytest.mark.parametrize("kind", STOPS)
@pytest.mark.parametrize("live_before", [0, 3])
def test_a_token_that_is_refused_stops_the_run_at_once(
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
    assert f"Stopped after {live_before} of 30 rows" in result.log


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


def test_everybody_suddenly_no_professional_account_is_believed_of_nobody(graph: Any) -> None:
    graph.standin.watch = lambda name: None if len(graph.standin.log) < 3 else "110"
    assert graph.run(*FLAG).code == 1
    assert list(graph.cache) == NAMES[:3]
    assert not any(entry["error"] for entry in graph.cache.values())


def test_only_professional_accounts_are_witnesses(graph: Any, cached_entry: Any) -> None:
    graph.write([NAMES[4], "missing.one"])
    personal = [
        cached_entry(f"old{at}", is_business=kind)
        for at, kind in enumerate((False, None, False, None))
    ]
    graph.remember(*personal)
    assert graph.run(*FLAG).code == 0
    assert graph.standin.names == [
        *(NAMES[4], "instagram"),
        *("missing.one", "instagram"),
        *(NAMES[4], "missing.one"),
    ]
    graph.remember(*personal, cached_entry(NAMES[0]))
    graph.run(*FLAG)
    assert graph.standin.names[6:] == [
        *(NAMES[4], NAMES[0]),
        *("missing.one", NAMES[0]),
        *(NAMES[4], "missing.one"),
    ]


def test_the_locked_out_hint_is_no_matter_of_the_api(graph: Any) -> None:
    graph.standin.watch = lambda name: "4"
    result = graph.run(*FLAG)
    assert "Still blocked after 4 hours" in result.log
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
    assert SECRET not in repr(ig.graph_api("1", SECRET))


# ---- Who knows which source it is ----


def test_nothing_outside_of_the_sources_and_the_command_line_knows_which_one_is_used() -> None:
    text = Path(ig.__file__).read_text()
    sections = dict(re.findall(r"\n# =+\n# ([^\n]*)\n# =+\n(.*?)(?=\n# ===|\Z)", text, re.DOTALL))
    assert len(sections) == 14
    names = r"web_address|graph_api|_web_|_graph_|API_URL|GRAPH|official|Graph API|facebook"
    assert {section for section, code in sections.items() if re.search(names, code)} == {
        "Web address",
        "Graph API",
        "Command line",
    }
