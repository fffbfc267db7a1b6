# /// script
# requires-python = ">=3.9"
# dependencies = ["requests>=2.32", "tenacity>=8.2"]
# ///
"""Fill the GENRE and Details columns of a CSV of Instagram profiles, slowly and without losing any.

A profile travels through this module from top to bottom: its handle is read from a row, a source is asked at a polite
pace, the answer is understood, remembered on disk, and put into the row's empty cells. Only an answer about the profile
is ever remembered. Whether an answer is about the profile or about us is told by asking for a profile that is known to
exist, its witness; what is left open where nobody is answered is asked once more before the run ends.
"""

from __future__ import annotations

import argparse
import calendar
import contextlib
import csv
import email.utils
import errno
import fcntl
import http.cookiejar
import io
import itertools
import json
import logging
import math
import os
import queue
import random
import re
import signal
import stat
import sys
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

if __name__ == "__main__":  # the imports below take the longest: Ctrl+C in them ends the program without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import requests
import tenacity

COLUMNS = {"GENRE": "category_name", "Details": "biography"}  # column of the sheet -> field of a profile
NOT_FOUND, NOT_PROFESSIONAL = "NOT_FOUND", "NOT_PROFESSIONAL"
ERRORS = {  # the `error` of a cached profile without data -> what that is, in words
    NOT_FOUND: "not found",
    NOT_PROFESSIONAL: "no professional account",
}
LARGEST_NUMBER = 1e9  # of seconds (31 years), profiles or rows; sums beyond it are cut for the clock's sake
LONGEST_WAIT = 4 * 3600.0  # seconds: the cap of a wait that Instagram asks for, and of the doubling pauses

log = logging.getLogger("instagram_enrichment")


class UnusableError(Exception):
    """Something the user gave can't be used; the message says what, where and what to do."""


class StoppedError(Exception):
    """The run has to end early, with profiles still open; the message says why."""


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP (its argument) arrived, wherever the program stands."""


# ---- What a profile is ----


class Profile(NamedTuple):
    """An answer about one profile; the fields are the keys of a cache entry, in order."""

    username: str
    full_name: str | None
    biography: str | None
    category_name: str | None
    follower_count: int | None
    is_business: bool | None
    is_verified: bool | None
    fetched_at: str | None
    error: str | None

    @classmethod
    def answered(cls, username: str, fields: Mapping[str, Any]) -> Profile:
        """Make a profile of what was answered about it just now; of `{"error": …}` where it is missing."""
        return cls.from_entry(username, {"error": None, **fields, "fetched_at": timestamp(time.time())})

    @classmethod
    def from_entry(cls, username: str, entry: Mapping[str, Any]) -> Profile:
        """Make a profile of a cache entry; a field that is missing or of another type becomes None."""
        values: dict[str, Any] = {"username": username.lower()}
        for name, kind in FIELD_TYPES.items():
            value = entry.get(name)
            values[name] = value if type(value) is kind else None
        return cls(**{**values, "error": values["error"] or None})


FIELD_TYPES = {
    **dict.fromkeys(("full_name", "biography", "category_name", "fetched_at", "error"), str),
    **dict.fromkeys(("is_business", "is_verified"), bool),
    "follower_count": int,
}


def timestamp(moment: float) -> str:
    """Write a moment, in epoch seconds, as the state files have it: `2026-01-22T10:30:00+00:00`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(moment))


def parse_timestamp(text: object) -> float:
    """Read what `timestamp` wrote; negative infinity where that can't be done."""
    try:
        return calendar.timegm(datetime.fromisoformat(str(text).replace("Z", "+00:00")).utctimetuple())
    except (ValueError, OverflowError):
        return -math.inf


USERNAME = re.compile(r"[A-Za-z0-9._]{1,30}")  # Instagram's rule
PROFILE_URL = re.compile(  # of a profile, or of anything below it
    r"(?:https?://)?(?:(?:www|m)\.)?instagram\.com/+(?:(?:stories|_u)/+(?!highlights/))?@?([\w.]+)(?:[/?#].*)?",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


NOT_PROFILES = words(  # what an address on instagram.com may go on with, but for a username
    "p reel reels tv stories explore accounts direct about share s web legal developer popular challenge oauth graphql "
    "api invites channel ar lite"
)
NOBODY = words(  # what people write where there is none; each is a stranger's account, too
    "none null nil nan na n.a n.a. no unknown tbd tba tbc deleted removed private missing empty blank undefined "
    "unavailable inactive suspended disabled banned closed pending invalid error notfound not_found x xx xxx 0 false "
    "ninguno ninguna nada sin desconocido pendiente privado privada borrado eliminado instagram.com "
    "www.instagram.com"
)
MENTION = re.compile(r"(?<![\w.@/])@([\w.]+)(?![\w.@\u0300-\u036f-]|/@)")  # not in an e-mail, nor in another site's URL


def parse_handle(cell: str) -> str | None:
    """Find the username in a cell that holds `@name`, `name`, a profile's URL, or text with one `@name`.

    Returns it in lower case, or None where the cell holds no usable one: nothing, a post's URL, two names, or a bare
    word that stands for none.
    """
    visible = "".join(char for char in cell if unicodedata.category(char) != "Cf")  # without marks that copying leaves
    text = unicodedata.normalize("NFC", visible).strip()
    mentions = {mention.rstrip(".").lower() for mention in MENTION.findall(text)}
    if url := PROFILE_URL.fullmatch(text):
        name = url[1].lower()
        if name in NOT_PROFILES:
            return None
    elif len(mentions) == 1:
        name = mentions.pop()
    else:
        name = text.lower()
        if name in NOBODY or not any(map(str.isalnum, name)):
            return None
    return name if USERNAME.fullmatch(name) else None


CELL_CHARACTERS = 500
FORMULA_STARTS = ("=", "+", "-", "@")  # OWASP, "CSV Injection"; white space never starts a cleaned text
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Make a stranger's text fit for one cell: one line, at most 500 characters, never a formula."""
    if not text.isprintable():
        text = CONTROL.sub(" ", text.encode("utf-8", "replace").decode())
    line = " ".join(text.split())
    apostrophe = "'" if line.startswith(FORMULA_STARTS) else ""
    return (apostrophe + line)[:CELL_CHARACTERS].rstrip()


# ---- How fast we may ask ----

JITTER = (2.0, 4.0)  # seconds between taking a token and sending the request
LOOK_AGAIN = 5.0  # seconds: how often a wait looks at the clocks


class Moment(NamedTuple):
    """A moment on two clocks, which has come when one of them says so.

    While the machine sleeps the monotonic clock stands still; where somebody sets it back, the wall clock is wrong.
    """

    wall: float
    monotonic: float

    @classmethod
    def after(cls, seconds: float) -> Moment:
        """The moment in so many seconds from now."""
        return cls(time.time() + seconds, time.monotonic() + seconds)

    def left(self) -> float:
        """The seconds until then; negative once it has passed."""
        return min(self.wall - time.time(), self.monotonic - time.monotonic())


def wait_until(moment: Moment) -> None:
    """Sleep until then; on a terminal, count the seconds down in place."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    try:
        while (left := moment.left()) > 0:
            if is_terminal:
                show(f"\r\033[K… {timedelta(seconds=math.ceil(left))} left")
            time.sleep(min(left, 1.0 if is_terminal else LOOK_AGAIN))
    finally:
        if is_terminal:
            show("\r\033[K")


@dataclass
class RateLimiter:
    """A token bucket with room for one token, so that its state is the moment when that token is ripe.

    It is the one place of every wait before a request: whoever is told to leave Instagram alone says it here.
    """

    per_minute: float
    last_request: float  # of an earlier run, in epoch seconds
    not_before: float  # when an earlier run would have asked again, in epoch seconds
    on_request: Callable[[], None]  # called when a request is sent
    on_hold: Callable[[float], None]  # called with the epoch seconds until which nothing will be sent

    def __post_init__(self) -> None:
        self._ripe = Moment.after(refill_seconds(self.per_minute) - max(time.time() - self.last_request, 0.0))
        self._free = Moment.after(self.not_before - time.time())

    def acquire(self) -> None:
        """Take the token when it is ripe, then let a random 2 to 4 seconds pass while the next one ripens."""
        self.rest()
        wait_until(self._ripe)
        self._ripe = Moment.after(refill_seconds(self.per_minute))
        wait_until(Moment.after(random.uniform(*JITTER)))
        self.on_request()

    def hold(self, seconds: float) -> None:
        """Let nothing at all be sent for so many seconds from now."""
        if seconds > self.held():
            self._free = Moment.after(seconds)
            self.on_hold(self._free.wall)

    def held(self) -> float:
        """The seconds for which nothing may be sent yet."""
        return max(self._free.left(), 0.0)

    def left(self) -> float:
        """The seconds until the next request's token is ripe and nothing holds it back."""
        return max(self._ripe.left(), self.held())

    def rest(self) -> None:
        """Wait until requests may be sent again."""
        wait_until(self._free)


def refill_seconds(per_minute: float) -> float:
    """The seconds in which a token ripens: so many that with the jitter no 60 seconds hold more than a request more."""
    low, high = JITTER
    return max(60 / per_minute, (60 + high - low) / math.floor(per_minute + 1))


def seconds_per_request(per_minute: float) -> float:
    """The mean seconds between two requests: the longer of refill and jitter, averaged over the jitter."""
    low, high = JITTER
    refill = refill_seconds(per_minute)
    bounded = min(max(refill, low), high)
    return max((bounded * (bounded - low) + (high**2 - bounded**2) / 2) / (high - low), refill)


# ---- What an answer means ----


class Unanswered(Exception):
    """There was no data about the profile; the message says what came instead.

    By itself an answer that nobody foresaw, which is no better on a second try; mostly one of its three kinds.
    """


class Missing(Unanswered):
    """The source says that it has no such profile."""


class Refusal(Unanswered):
    """An answer about us: a rate limit, a login wall, a challenge."""


class NetworkTrouble(Unanswered):
    """An answer about the network or the server, or none at all."""


class Response(NamedTuple):
    """What came back for one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Source:
    """Where profiles are asked for: how to ask, and what an answer means.

    `understand(username, response)` returns the fields of a profile, or raises the `Unanswered` that fits, or
    StoppedError where no further request makes sense. `headers` may hold a secret, and are never printed.
    """

    name: str
    request: Callable[[str], tuple[str, dict[str, str]]]  # username -> URL and query
    headers: Mapping[str, str] = field(repr=False)
    understand: Callable[[str, Response], dict[str, Any]]
    fields: frozenset[str]  # those of a profile that its answers can fill
    missing: str  # the `error` of a profile that it does not have
    can_be_witness: Callable[[Profile], bool]  # of a live profile: whether it is sure to be seen
    closed_door: str  # what to say where nobody was ever answered

    def lacks(self) -> str:
        """The columns that its answers have nothing for, in words."""
        titles = [title for title, name in COLUMNS.items() if name not in self.fields]
        return f" (nothing for {', '.join(titles)})" if titles else ""

    def settles(self, profile: Profile | None) -> bool:
        """Whether what is cached of a profile leaves nothing to ask."""
        return profile is not None and profile.error in (None, NOT_FOUND, self.missing)


# The address and the app id are those of Instagram's own web client, as a browser's network tab shows them.
API_URL = "https://www.instagram.com/api/v1/users/web_profile_info/"
BROWSER = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0"
WEB_HEADERS = {
    "x-ig-app-id": "936619743392459",
    "User-Agent": f"{BROWSER} Safari/537.36",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.9",
}
CLOSED_DOOR = """Nobody was answered yet. This may be a limit on this connection, which passes, or a door that is
  closed to everybody who isn't logged in, which no waiting opens. What tells the two apart: a profile's page in a
  browser's private window, the curl line of the README, or another network. If the door is closed: --graph-api asks
  Instagram's official API, the way that Instagram offers; the README says how."""

REFUSED = (401, 403, 429)
REFUSAL_WORDS = re.compile(r"checkpoint|challenge|feedback|login|please wait", re.IGNORECASE)
WALL_URL = re.compile(r"\b(?:login|challenge|checkpoint)\b", re.IGNORECASE)
HTML = re.compile(r"<html|<!doctype html", re.IGNORECASE)
LOGIN_TITLE = re.compile(
    r"<title[^>]*>[^<]*(?:\blog[\s_-]?in(?:to)?\b|\bsign[\s_-]?in\b|challenge|checkpoint)", re.IGNORECASE
)


def web_address() -> Source:
    """Instagram's public web API, which answers without a login, where it answers."""
    return Source(
        name="Instagram's web address",
        request=lambda username: (API_URL, {"username": username}),
        headers=WEB_HEADERS,
        understand=understand_web,
        fields=frozenset(FIELD_TYPES),
        missing=NOT_FOUND,
        can_be_witness=lambda profile: True,
        closed_door=CLOSED_DOOR,
    )


def understand_web(username: str, response: Response) -> dict[str, Any]:
    """Say what an answer of the web address means: returns the fields of Instagram's `data.user`, or raises."""
    status, headers, body = response
    text = body.decode("utf-8", "replace")
    said = parse_object(body)
    message = f": {printable(said['message']).rstrip('.')}" if isinstance(said.get("message"), str) else ""
    data, fails = said.get("data"), said.get("status") == "fail"
    user = data.get("user", ...) if isinstance(data, dict) else ...
    if status == 200 and isinstance(user, dict) and not fails:
        return understand_user(username, user)
    is_page = "text/html" in headers.get("Content-Type", "").lower() and text.lstrip().startswith("<")
    is_page = not said and (is_page or HTML.search(text[:1024]) is not None)
    is_wall = bool(said.get("require_login") or said.get("errors") or REFUSAL_WORDS.search(message))
    is_wall |= (status == 400 or (status == 404 and not said and not is_page)) and bool(REFUSAL_WORDS.search(text))
    is_wall |= 300 <= status < 400 and WALL_URL.search(headers.get("Location", "")) is not None
    is_wall |= is_page and LOGIN_TITLE.search(text) is not None
    table = (
        (status in REFUSED, Refusal, "refused"),
        (is_wall, Refusal, "blocked"),
        (500 <= status < 600, NetworkTrouble, "server error"),
        (status == 404, Missing, "not found"),
        (fails, Refusal, "blocked, status fail"),
        (status != 200, Unanswered, "unexpected status"),
        (is_page, Missing, "not found, a page instead of data"),
        (parse_json(body) is None, NetworkTrouble, "no JSON"),
        (user is None, Missing, "not found"),
        (True, Unanswered, "JSON of an unknown shape"),
    )
    kind, what = first_that_applies(table)
    raise kind(f"{what} ({status}){message}")


def understand_user(username: str, user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile's fields of Instagram's `data.user`; raises where it is empty or about somebody else."""
    check_same(username, user)
    followers = user.get("edge_followed_by")
    return {
        **{name: user.get(name) for name in ("full_name", "biography", "category_name", "is_verified")},
        "follower_count": followers.get("count") if isinstance(followers, dict) else user.get("follower_count"),
        "is_business": user.get("is_business_account", user.get("is_business")),
    }


# Numbers of Meta's pages "Business Discovery", "Rate limiting" and "Error codes".
GRAPH_URL = "https://graph.facebook.com/v25.0/"
GRAPH_TOKEN = "INSTAGRAM_ACCESS_TOKEN"
NO_SUCH_ACCOUNT, LIMITED, TRANSIENT = 110, {4, 17, 32, 613, 80002}, {1, 2}
TOKEN_INVALID, PERMISSION_MISSING = {102, 190}, {10, *range(200, 300)}
ACCOUNT_UNSEEN = (100, 33)  # code and subcode, about the account that asks


def graph_api(account: str, token: str) -> Source:
    """Meta's Business Discovery, asked as the professional account with that id; it sees professional accounts only."""
    query = "business_discovery.username(%s){username,name,biography,followers_count}"
    return Source(
        name="Instagram's official API",
        request=lambda username: (GRAPH_URL + account, {"fields": query % username}),
        headers={"Authorization": f"Bearer {token}"},
        understand=lambda username, response: understand_graph(username, response, token),
        fields=frozenset({"full_name", "biography", "follower_count", "is_business"}),
        missing=NOT_PROFESSIONAL,
        can_be_witness=lambda profile: profile.is_business is True,
        closed_door="",
    )


def understand_graph(username: str, response: Response, token: str) -> dict[str, Any]:
    """Say what an answer of the Graph API means: returns or raises; `token` is kept out of what is said."""
    status, _, body = response
    said = parse_object(body)
    found, error = said.get("business_discovery"), said.get("error")
    if status == 200 and isinstance(found, dict):
        check_same(username, found)
        texts = {"full_name": found.get("name"), "biography": found.get("biography")}
        return {**texts, "follower_count": found.get("followers_count"), "is_business": True}
    error = error if isinstance(error, dict) else {}
    code, subcode = (error.get(name) if type(error.get(name)) is int else None for name in ("code", "error_subcode"))
    is_trouble = 500 <= status < 600 or code in TRANSIENT or error.get("is_transient") is True
    permissions = "instagram_basic, instagram_manage_insights and pages_read_engagement"
    table = (
        (code in TOKEN_INVALID, StoppedError, f"the access token is refused: put a new one into {GRAPH_TOKEN}"),
        (code in PERMISSION_MISSING, StoppedError, f"a permission is missing: the access token needs {permissions}"),
        ((code, subcode) == ACCOUNT_UNSEEN, StoppedError, "the access token does not see the account of --graph-api"),
        (code == NO_SUCH_ACCOUNT, Missing, "no professional account"),
        (status == 429 or code in LIMITED, Refusal, "rate limited"),
        (is_trouble, NetworkTrouble, "trouble at the API"),
        (status == 200 and parse_json(body) is None, NetworkTrouble, "no JSON"),
        (True, Unanswered, "unexpected answer"),
    )
    kind, what = first_that_applies(table)
    number = f"status {status}" if code is None else f"error {code}"
    message = (
        ""
        if code in TOKEN_INVALID or code == NO_SUCH_ACCOUNT
        else str(error.get("message", "")).replace(token, "[token]")
    )
    raise kind(f"{what} ({number}){': ' * bool(message)}{printable(message)}")


def first_that_applies(table: Iterable[tuple[bool, type[Exception], str]]) -> tuple[type[Exception], str]:
    """The first row of a table of what an answer may mean; returns what to raise, and its words."""
    return next((kind, what) for applies, kind, what in table if applies)


def check_same(username: str, user: Mapping[str, Any]) -> None:
    """Raise Unanswered where data is empty, or about another profile than the one that was asked for."""
    name = user.get("username")
    if not user:
        raise Unanswered("an empty profile")
    if isinstance(name, str) and name.lower() != username:
        raise Unanswered("data about somebody else")


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object; an empty one where it isn't any."""
    answer = parse_json(body)
    return answer if isinstance(answer, dict) else {}


def parse_json(body: bytes | str) -> Any:
    """Parse JSON; None where it isn't any."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


REGAIN_ACCESS = re.compile(r'"estimated_time_to_regain_access"\s*:\s*"?(\d+)')


def wait_asked_for(headers: Mapping[str, str]) -> float:
    """The seconds for which a response asks us to wait; 0 where it says nothing, 4 hours at most.

    Read from Retry-After (RFC 9110: seconds, or a date, taken relative to the response's own Date) and from the minutes
    in the Graph API's X-Business-Use-Case-Usage.
    """
    minutes = map(float, REGAIN_ACCESS.findall(headers.get("X-Business-Use-Case-Usage", "")))
    value, seconds = headers.get("Retry-After", "").strip(), 0.0
    if digits := re.match(r"\d+", value):
        seconds = float(digits[0])
    elif moment := http_date(value):
        seconds = moment - (http_date(headers.get("Date", "")) or time.time())
    return min(max(seconds, 60 * max(minutes, default=0.0), 0.0), LONGEST_WAIT)


def http_date(value: str) -> float:
    """Read an HTTP date as epoch seconds; 0 where it isn't one."""
    try:
        return calendar.timegm(email.utils.parsedate_to_datetime(value).utctimetuple())
    except (TypeError, ValueError, IndexError, OverflowError):  # the parser raises each of them
        return 0.0


# ---- Asking ----

SOCKET_TIMEOUT, ANSWER_TIMEOUT = 30.0, 60.0  # seconds of silence; seconds for one answer in all
ANSWER_BYTES = 10 * 1024 * 1024
KEEP_ALIVE = 30.0  # seconds: a connection that was idle for longer is not used again, a router may have forgotten it

RETRIES = 3
REFUSAL_WAIT = 60.0  # seconds for which nothing is sent after a refusal
BACKOFF = tenacity.wait_exponential(multiplier=5, max=60)  # seconds before a retry, where the limiter waits no longer
NETWORK_PAUSES = (60.0, 900.0)  # seconds: the first and the longest, where nobody is bothered by our asking
GIVE_UP_AFTER = 24 * 3600.0  # seconds, of those in which the machine is awake, without an answer
LAST_WITNESS = "instagram"  # while no live profile is cached, and where one has gone since
DOUBTFUL = 5  # profiles of the list in a row left open while only LAST_WITNESS was ever answered


class AnonymousSession(requests.Session):
    """A session without cookies or ~/.netrc, to which a redirect is an answer like any other."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.headers.update(headers)
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.auth = lambda request: request

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: even if not told to follow, `requests` would read the whole body of a redirect, however long."""


class Transport:
    """Sends one request at a time. `reached` says whether any response has come back yet."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._session = AnonymousSession(headers)
        self._idle = Moment.after(0.0)
        self.reached = False

    def get(self, url: str, query: dict[str, str]) -> Response:
        """Send one GET request; raises NetworkTrouble where no whole answer comes.

        The request has a thread of its own, so that an answer that drips, even in its head, can be left behind after
        60 s, and a signal is served at once.
        """
        if self._idle.left() <= 0:
            self._session.close()
        answers: queue.SimpleQueue[Response | NetworkTrouble] = queue.SimpleQueue()
        heads: list[Response] = []
        threading.Thread(target=lambda: answers.put(self._get(url, query, heads)), daemon=True).start()
        try:
            answer = answers.get(timeout=ANSWER_TIMEOUT)
        except queue.Empty:
            answer = NetworkTrouble(f"no whole answer within {ANSWER_TIMEOUT:.0f} s")
        self._idle = Moment.after(KEEP_ALIVE)
        if isinstance(answer, Response):
            return answer
        if heads and heads[0].status in REFUSED:
            return heads[0]  # it says it all without a body
        raise answer

    def _get(self, url: str, query: dict[str, str], heads: list[Response]) -> Response | NetworkTrouble:
        """Send the request, and read its answer as long as anybody could wait for it; adds its head to `heads`."""
        parameters: dict[str, Any] = {"params": query, "timeout": SOCKET_TIMEOUT, "stream": True}
        deadline = time.monotonic() + ANSWER_TIMEOUT
        try:
            with self._session.get(url, allow_redirects=False, **parameters) as response:
                heads.append(Response(response.status_code, response.headers, b""))
                self.reached = True
                body = bytearray()
                for piece in response.iter_content(4096):
                    body += piece
                    if len(body) > ANSWER_BYTES or time.monotonic() > deadline:
                        raise ValueError("an answer that never ends")
                return heads[0]._replace(body=bytes(body))
        except Exception as error:  # noqa: BLE001 - whatever a broken answer makes the HTTP stack raise, go on
            wrapped = error.args[0] if error.args else None  # requests wraps urllib3, which has the reason
            reason = str(getattr(wrapped, "reason", error)).rsplit("): ", 1)[-1]
            return NetworkTrouble(printable(f"{type(error).__name__}: {reason}"))


@dataclass
class Asking:
    """Asks for one profile after the other, and tells an answer about the profile from an answer about us.

    A profile is tried again after a refusal or trouble. Where it brings no data, its witness is asked: a profile known
    to exist, drawn from the live ones of `profiles`. If the witness is answered, it is about the profile, and a profile
    that is said to be missing twice is missing. If not, it is about us: there is a `wall`, the profile stays open, and
    `wait_out` pauses until a witness is answered.

    While there is no live profile, LAST_WITNESS is asked; as it may be the only one who is answered, its word ends a
    pause but not the growing of the pauses, and five profiles left open in a row are a wall, whatever it says.
    """

    source: Source
    limiter: RateLimiter
    profiles: Mapping[str, Profile]  # the cached ones
    first_pause: float  # seconds
    was_answered: bool  # whether anybody was, in this run or in the 24 hours before it

    def __post_init__(self) -> None:
        self.wall: Unanswered | None = None  # what the last witness met, while nobody is answered
        self.closed: set[str] = set()  # left open while a witness was answered: there is no use in asking again
        self._left_open: list[str] = []  # in a row
        self._was_refused = False
        self._transport = Transport(self.source.headers)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Refusal, NetworkTrouble)),
            stop=tenacity.stop_after_attempt(1 + RETRIES),
            wait=BACKOFF,
            sleep=lambda seconds: wait_until(Moment.after(seconds)),
            before_sleep=self._tell_retry,
            reraise=True,
        )
        self._start_afresh()

    def _start_afresh(self) -> None:
        """All is well: the next pause will be the first one."""
        self._pause, self._give_up_at = 0.0, math.inf

    def ask(self, username: str) -> Profile:
        """Ask for a profile of the list.

        Raises the Unanswered that leaves it open, after which `wall` and `closed` say what that means, and StoppedError
        where there is nothing to wait for.
        """
        try:
            profile = self._ask_until_sure(username)
        except Unanswered as trouble:
            self._left_open.append(username)
            if not self.wall:
                self.closed.add(username)
            if len(self._left_open) >= DOUBTFUL and not self._witnesses():
                self.closed -= set(self._left_open)
                self.wall = self.wall or trouble
            raise
        self._left_open.clear()
        self._start_afresh()
        return profile

    def wait_out(self) -> None:
        """Pause until a witness is answered; raises StoppedError after 24 hours."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + GIVE_UP_AFTER)
        while self.wall:
            if (left := self._give_up_at - time.monotonic()) < 1:
                self._give_up(self.wall)
            self._pause = self.pause_ahead()
            self.limiter.hold(min(self._pause, left))
            seconds = self.limiter.held()
            log.info("Nobody is answered (%s): pausing %s, until %s", self.wall, duration(seconds), clock_in(seconds))
            self._call_witness()

    def pause_ahead(self) -> float:
        """The seconds of the pause that comes next, where there is a wall."""
        if not self.wall:
            return 0.0
        is_network = isinstance(self.wall, NetworkTrouble)
        first, longest = NETWORK_PAUSES if is_network else (max(self.first_pause, REFUSAL_WAIT), LONGEST_WAIT)
        return max(min(2 * self._pause, longest), first)

    def _give_up(self, wall: Unanswered) -> NoReturn:
        if isinstance(wall, NetworkTrouble):
            raise StoppedError(f"24 hours without an answer ({wall}): the network, a proxy or the server is in trouble")
        if not self.was_answered:
            self._tell_closed_door()
        raise StoppedError(f"24 hours without an answer about a profile ({wall}): wait a day before the next run")

    def _ask_until_sure(self, username: str) -> Profile:
        """Ask, with its retries and its witness; for a profile that is missing, twice."""
        was_missing = False
        while True:
            try:
                return Profile.answered(username, self._retrying(self._send, username))
            except Unanswered as trouble:
                if isinstance(trouble, Missing) and was_missing:
                    return Profile.answered(username, {"error": self.source.missing})
                if not self._transport.reached:
                    why = f"{self.source.name} can't be reached ({trouble})"
                    raise StoppedError(f"{why}: check the connection and the proxy settings") from None
                log.info("@%s: %s; asking for one that exists, to tell whether that is about us", username, trouble)
                self._call_witness()
                was_missing = isinstance(trouble, Missing)
                if self.wall or not was_missing:
                    raise

    def _call_witness(self) -> None:
        """Ask once for a profile that is known to exist; `wall` is what stands in the way, or None."""
        live = self._witnesses()
        for witness in (*([random.choice(live)] if live else []), LAST_WITNESS):
            try:
                self._send(witness)
            except Missing as trouble:  # it has gone since, or everybody is told so: the next one tells
                self.wall = trouble
                log.info("@%s, which exists: %s", witness, trouble)
            except Unanswered as trouble:
                self.wall = trouble
                break
            else:
                log.info("@%s, which exists, is answered", witness)
                self.wall = None
                if live:
                    self._start_afresh()
                return
        log.info("@%s, which exists: %s; so it is about us", witness, self.wall)

    def _witnesses(self) -> list[str]:
        """The profiles that are known to exist, by what is cached."""
        can_be = self.source.can_be_witness
        return [name for name, profile in self.profiles.items() if profile.error is None and can_be(profile)]

    def _send(self, username: str) -> dict[str, Any]:
        """Send one request, when it may be sent; returns and raises as the source's `understand` does."""
        self.limiter.acquire()
        wait = 0.0
        try:
            response = self._transport.get(*self.source.request(username))
            log.debug("@%s: status %d, %d bytes", username, response.status, len(response.body))
            wait = wait_asked_for(response.headers)
            fields = self.source.understand(username, response)
        except Refusal:
            self.limiter.hold(max(wait, REFUSAL_WAIT))
            if not self._was_refused and not self.was_answered:
                self._tell_closed_door()
            self._was_refused = True
            raise
        except Unanswered:
            self.limiter.hold(wait)
            raise
        self.was_answered = True
        return fields

    def _tell_closed_door(self) -> None:
        if self.source.closed_door:
            log.warning("%s", self.source.closed_door)

    def _tell_retry(self, state: tenacity.RetryCallState) -> None:
        trouble = state.outcome.exception() if state.outcome else None
        seconds = max(state.upcoming_sleep, self.limiter.left())
        pause = f"try {state.attempt_number + 1} of {1 + RETRIES} in {duration(seconds)}, at {clock_in(seconds)}"
        log.info("@%s: %s; %s", state.args[0], trouble, pause)


# ---- Remembering ----

CACHE_FILE, PROGRESS_FILE, LOCK_FILE = "ig_cache.json", "ig_progress.json", "ig.lock"
CACHE_KEY = re.compile(r'"([A-Za-z0-9._]{1,30})"[ \t\r\n]*:[ \t\r\n]*(?=\{)')
FETCHED_AT = re.compile(r'"fetched_at": "([^"]*)"')
CLOSING = b"\n}\n"  # how a cache file ends, behind its last entry
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # as "surrogateescape" decodes it
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def part_of(path: Path) -> Path:
    """Where a file is written before it is moved into its place."""
    return path.with_name(f".{path.name}.ig-part")


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file beside `path`, sync it and move it there, so that a whole file is in place at every moment.

    A file that is replaced keeps its permissions. Raises OSError.
    """
    part = part_of(path)
    try:
        with part.open("wb") as file:
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def spare_name(path: Path, suffix: str) -> Path:
    """The first of `path.suffix`, `path.suffix1`, `path.suffix2` … that is free."""
    names = (path.with_name(f"{path.name}.{suffix}{count or ''}") for count in itertools.count())
    return next(name for name in names if not name.exists())


class Cache:
    """The answers so far: username -> Profile in memory, and one JSON object with an entry a line on disk.

    A new profile is one line more, whatever the size of the file. One that replaces another makes the file anew, so
    that there is one line a name; where a file has two, the later one counts. A file that was removed is made again
    from memory. Its methods raise OSError where the file can't be read or written; what it held stays whole.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._backup = path, path.with_name(path.name + ".bak")
        self.profiles: dict[str, Profile] = {}
        if path.exists():
            self._load()
        else:
            self._write_all(self.profiles)

    def _load(self) -> None:
        """Read every whole entry there is, whoever wrote the file; what is not just as `_write_all` does it is kept."""
        data = self._path.read_bytes()
        text = data.decode("utf-8", "surrogateescape")
        parse = json.JSONDecoder().raw_decode
        is_ours, entries, done, position = text.isascii() and text.startswith("{"), 0, 1, 0
        while found := CACHE_KEY.search(text, position):
            position = found.end()
            with contextlib.suppress(ValueError, RecursionError):
                entry, end = parse(text, position)
                if any(map(is_answer, entry.values())):  # a torn one that swallowed those below it
                    continue
                position = end
                is_ours &= text[done : found.start()] == (",\n" if entries else "\n")
                done, entries = position, entries + 1
                if is_answer(entry) and not NOT_UTF8.search(text, found.start(), position):
                    self.profiles[found[1].lower()] = Profile.from_entry(found[1], entry)
                else:
                    is_ours = False
        is_ours &= text[done:] == CLOSING.decode() and text.count("\n") == entries + 2
        if not is_ours:
            aside = spare_name(self._path, "damaged")
            write_whole(aside, [data])
            log.warning(
                "%s is damaged or another tool's: %d whole entries survive, and the file as it was is kept as %s",
                *(printable(str(self._path)), len(self.profiles), printable(str(aside))),
            )
        if is_ours and entries == len(self.profiles):
            self._end = done
        else:
            self._write_all(self.profiles)

    def add(self, profile: Profile) -> None:
        """Remember a profile: its line is written over the closing brace in one write, and synced."""
        if profile.username in self.profiles:
            self._write_all({**self.profiles, profile.username: profile})
        else:
            self.make_again()
            self._append((b",\n" if self.profiles else b"\n") + as_line(profile))
        self.profiles[profile.username] = profile

    def make_again(self) -> bool:
        """Write the file anew from memory, if it was removed; returns whether it was."""
        was_removed = not self._path.exists()
        if was_removed:
            self._write_all(self.profiles)
        return was_removed

    def moments(self) -> list[float]:
        """When profiles were fetched, those before a `--force` too; epoch seconds in order, none in the future."""
        told = [profile.fetched_at for profile in self.profiles.values()]
        if self._backup.exists():
            told += FETCHED_AT.findall(self._backup.read_text("utf-8", "replace"))
        return sorted(min(moment, time.time()) for moment in map(parse_timestamp, told) if moment > 0)

    def start_over(self) -> Path:
        """Set the file aside as `.bak` (an older `.bak` gets a free name), start empty; returns where it is now."""
        if self._backup.exists():
            self._backup.replace(spare_name(self._path, "bak"))
        self._path.replace(self._backup)
        self.profiles.clear()
        self._write_all(self.profiles)
        return self._backup

    def _append(self, line: bytes) -> None:
        with self._path.open("r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size != self._end + len(CLOSING):
                raise OSError(errno.EBUSY, "was changed by another program", str(self._path))
            file.seek(self._end)
            try:
                if file.write(line + CLOSING) < len(line + CLOSING):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError as error:
                file.seek(self._end)
                file.write(CLOSING)
                file.truncate(size)
                error.filename = str(self._path)
                raise
        self._end += len(line)

    def _write_all(self, profiles: Mapping[str, Profile]) -> None:
        data = b"{" + b",".join(b"\n" + as_line(profile) for profile in profiles.values())
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, [data, CLOSING])
        self._end = len(data)


def as_line(profile: Profile) -> bytes:
    """The cache entry of a profile: ASCII, so that a torn file never ends within a character."""
    return f"{json.dumps(profile.username)}: {json.dumps(profile._asdict())}".encode("ascii")


def is_answer(entry: object) -> bool:
    """Whether a cache entry, whichever tool wrote it, is an answer about a profile, not about us or the network."""
    if not isinstance(entry, dict):
        return False
    if error := entry.get("error"):
        return isinstance(error, str) and error in ERRORS
    texts = (entry.get("biography", ...), entry.get("category_name"))
    return all(text is None or isinstance(text, str) for text in texts)


class Progress:
    """What a run leaves to the next beside the answers: how many rows from the top are done, and a wait that goes on.

    `not_before` is when requests may be sent again, in epoch seconds; one further off than `longest_wait` seconds is not
    believed, nor is a number of rows out of range. Its methods raise OSError.
    """

    def __init__(self, path: Path, rows: int, longest_wait: float) -> None:
        self._path = path
        state = parse_object(path.read_bytes() if path.exists() else b"")
        done, not_before = state.get("last_processed_index"), parse_timestamp(state.get("not_before"))
        self.rows_done = done if type(done) is int and 0 <= done <= rows else 0
        self.not_before = not_before if not_before <= math.ceil(time.time() + longest_wait) else -math.inf

    def move_to(self, rows_done: int) -> None:
        """So many rows from the top are done."""
        self.rows_done = rows_done
        self._write()

    def hold_until(self, moment: float) -> None:
        """Nothing is sent until then (epoch seconds)."""
        self.not_before = moment
        self._write()

    def finish(self) -> None:
        """The whole list is through: the next run starts at the top, after the wait that may still go on."""
        if self.not_before > time.time():
            self.move_to(0)
        else:
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        state: dict[str, Any] = {"last_processed_index": self.rows_done}
        if self.not_before > time.time():
            state["not_before"] = timestamp(math.ceil(self.not_before))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, [json.dumps(state).encode(), b"\n"])


class Lock:
    """Holds a state folder until it is closed or the process ends, however it ends.

    Its file names the process, and has the time of the last request, so that even a killed run is not followed too
    closely; `last_request` is that of the run before (epoch seconds). Raises UnusableError where another run holds the
    folder, OSError where the folder can't be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self.last_request = self._path.stat().st_mtime if self._path.exists() else -math.inf
        self._hold()

    def _hold(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            process = printable(self._file.read().decode("ascii", "replace").strip()) or "?"
            self._file.close()
            what = f"another run is using {printable(str(self._path.parent))} (process {process})"
            raise UnusableError(f"{what}: wait until it ends, or stop it with: kill {process}") from None
        self._mark(b"%d\n" % os.getpid())

    def touch(self) -> None:
        """Note that a request is sent now; hold the folder again, if it was removed meanwhile."""
        self.last_request = time.time()
        if self._path.exists() and os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
            self._mark()
        else:
            self._file.close()
            self._hold()

    def close(self) -> None:
        """Let the folder go."""
        self._mark(b"")
        self._file.close()

    def _mark(self, process: bytes | None = None) -> None:
        """Write a new process number, if any, and the time of the last request; neither is worth ending a night for."""
        with contextlib.suppress(OSError, ValueError):  # a ValueError where another run took the folder over
            if process is not None:
                self._file.truncate(0)
                self._file.write(process)
        with contextlib.suppress(OSError, ValueError):
            if self.last_request > 0:
                os.utime(self._file.fileno(), (self.last_request, self.last_request))


# ---- The CSV, in and out ----

HANDLE_HEADERS = words(  # as `header_key` makes them; the first that a sheet has is the one
    "instagramhandle handle username instagramusername instagram instagramurl instagramaccount instagramprofile "
    "instagramlink ighandle igusername usuariodeinstagram cuentadeinstagram perfildeinstagram usuarioinstagram "
    "cuentainstagram perfilinstagram nombredeusuario usuario account cuenta profile perfil profileurl ig "
    "user"
)
FILE_KINDS = {  # how files begin that people take for a CSV
    b"PK\x03\x04": "an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\xff\xfe": "in UTF-16",
    b"\xfe\xff": "in UTF-16",
}
EXPORT_AGAIN = 'export the list as CSV (in Excel "CSV UTF-8", in Google Sheets "Comma-separated values")'
QUOTED = r'"[^"]*(?:""[^"]*)*"(?!")'
QUOTED_LINE = r'"[^"\r\n]*(?:""[^"\r\n]*)*"(?!")'  # which csv.reader lets other text follow
NEEDS_QUOTES = re.compile(r'[",;\t]')


class Row(NamedTuple):
    """A row of the sheet: its raw text, and what of it matters here."""

    number: int  # as a spreadsheet counts: the header is row 1
    raw: str
    handle_cell: str
    username: str | None
    blank: tuple[str, ...]  # which of COLUMNS may be filled


class Sheet:
    """A CSV whose rows keep their raw text, so that whatever is not filled comes out byte for byte.

    `username_column` is the header of the handle column, or None to find it. Raises UnusableError, with the place,
    where the file can't be used.
    """

    def __init__(self, path: Path, username_column: str | None = None) -> None:
        csv.field_size_limit(2**31 - 1)
        self._path = path
        text = self._read_text()
        self._bom = "\ufeff" if text.startswith("\ufeff") else ""
        self._lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        self._read_header(username_column)
        titles = [name.strip().casefold() for name in self.header]
        missing = [title for title in COLUMNS if title.casefold() not in titles]
        if missing:  # they come behind the widest row, so that no cell without a header is taken for theirs
            rows = csv.reader(self._lines, delimiter=self._delimiter)
            widest = max((len(row) for row in rows if any(map(str.strip, row[len(titles) :]))), default=0)
            titles += [""] * (widest - len(titles)) + [title.casefold() for title in missing]
        self._columns = {title: titles.index(title.casefold()) for title in COLUMNS}
        column = self._find_handle_column(username_column)
        self.handle_header = self.header[column].strip()
        self.rows: list[Row] = []
        for number, raw, cells in self._records():
            handle_cell = cells[column]
            blank = tuple(title for title, index in self._columns.items() if not cells[index].strip())
            self.rows.append(Row(number, raw, handle_cell, parse_handle(handle_cell), blank))
        self._lines.clear()

    def gains(self, row: Row, profiles: Mapping[str, Profile]) -> dict[str, str]:
        """What `profiles` (username -> Profile) adds to `row`: title of the column -> text of the cell."""
        profile = profiles.get(row.username or "")
        if not row.blank or profile is None or profile.error is not None:
            return {}
        found = {title: getattr(profile, COLUMNS[title]) for title in row.blank}
        texts = {title: clean(str(value)) for title, value in found.items() if value is not None}
        return {title: text for title, text in texts.items() if text}

    def render(self, profiles: Mapping[str, Profile]) -> Iterator[bytes]:
        """Yield the whole file, with what `profiles` adds to it."""
        added = {title: title for title, column in self._columns.items() if column >= len(self.header)}
        yield (self._bom + self._splice(self._raw_header, added)).encode()
        for row in self.rows:
            gains = self.gains(row, profiles)
            yield (self._splice(row.raw, gains) if gains else row.raw).encode()
        yield self._tail.encode()

    def _refuse(self, why: str) -> NoReturn:
        raise UnusableError(f"{printable(str(self._path))} {why}")

    def _read_text(self) -> str:
        try:
            data = self._path.read_bytes()
            for start, kind in FILE_KINDS.items():
                if data.startswith(start):
                    self._refuse(f"is {kind} (see byte 0), not a CSV in UTF-8: {EXPORT_AGAIN}")
            text = data.decode("utf-8")
        except IsADirectoryError:
            self._refuse("is a folder: give the path of a CSV file")
        except OSError as error:
            self._refuse(f"can't be read ({error.strerror}): check the path")
        except UnicodeDecodeError as error:
            line = 1 + data.count(b"\n", 0, error.start)
            is_text = not re.search(rb"[\x00-\x08\x0e-\x1f]", data)
            kind = "in Latin-1 or Windows-1252, it seems, " if is_text else ""
            self._refuse(f"is {kind}not UTF-8 at byte {error.start} (line {line}): {EXPORT_AGAIN}")
        if (at := data.find(0)) >= 0:
            line = 1 + data.count(b"\n", 0, at)
            self._refuse(f"has a NUL byte at byte {at} (line {line}), as UTF-16 has: {EXPORT_AGAIN}")
        return text

    def _read_header(self, wanted: str | None) -> None:
        """Take the header, with the blank lines above it, off the lines, and tell the delimiter by it."""
        self._delimiter = max(",;\t", key=lambda mark: self._fitness(mark, wanted))
        reader = csv.reader(self._lines, delimiter=self._delimiter)
        self.header = next(filter(None, reader), [])
        if not any(self.header):
            self._refuse("is empty: its first row has to name the columns")
        for name in self.header:
            if is_address(name) and not re.search(r"\s", name.strip()) and header_key(name) not in HANDLE_HEADERS:
                self._refuse(f"begins with '{printable(name)}': the first row has to name the columns; add such a row")
        mark, rest = self._delimiter, f"[^{self._delimiter}\\r\\n]"
        junk = f" *[^ {mark}\\r\\n]{rest}*"  # begins where spaces end, so that no text can be split in two ways
        cell = rf'(?:{QUOTED} *|{QUOTED_LINE}{junk}|(?!"){rest}*)'
        self._row = re.compile(rf"{cell}(?:{mark}{cell})*")
        self._cells = re.compile(rf"(?:^|{mark})({cell})(?={mark}|$)")
        self._raw_header = "".join(self._lines[: reader.line_num])
        self._check_quotes(1, self._raw_header)
        del self._lines[: reader.line_num]

    def _fitness(self, delimiter: str, wanted: str | None) -> tuple[int, int, int, bool]:
        """How well a delimiter fits: columns recognised, first rows as wide as the header, width, and rarity."""
        rows = itertools.islice(filter(None, csv.reader(self._lines, delimiter=delimiter)), 50)
        header, *others = [*rows] or [[]]
        known = {*HANDLE_HEADERS, *map(header_key, COLUMNS), header_key(wanted or "")} - {""}
        recognised = sum(header_key(name) in known for name in header)
        is_wide = len(header) > 1  # a comma is found in texts and numbers more often than the other two
        agreeing = sum(len(row) == len(header) for row in others) if is_wide else 0
        return recognised, agreeing, len(header), is_wide and delimiter != ","

    def _find_handle_column(self, wanted: str | None) -> int:
        """The column that is `wanted`, or has a usual name, or else most cells of which hold an address."""
        keys = [header_key(name) for name in self.header]
        usual = HANDLE_HEADERS if wanted is None else (header_key(wanted),)
        named = [column for name in usual for column, key in enumerate(keys) if name and key == name]
        if wanted in self.header:
            named = [self.header.index(wanted)]
        rows = [cells for _, _, cells in self._records()]
        for column in named:
            if any(parse_handle(cells[column]) for cells in rows):
                return column
        for column in range(len(keys)) if wanted is None else ():
            addresses = sum(is_address(cells[column]) for cells in rows)
            if 2 * addresses > len(rows) and column not in self._columns.values():
                return column
        what = "no column of Instagram handles" if wanted is None else f"no column '{printable(wanted)}'"
        if named:
            what = f"no usable handle in column '{printable(self.header[named[0]])}'"
        columns = ", ".join(f"'{printable(name)}'" for name in self.header)
        self._refuse(
            f"has {what}; its columns are {columns}: name the right one with --username-column (or, if "
            "these are no names but the first entry, add a first row that names the columns)"
        )

    def _records(self) -> Iterator[tuple[int, str, Mapping[int, str]]]:
        """Yield each row's number, raw text (with the blank lines above it), and cells by column."""
        columns = range(max(len(self.header), *(index + 1 for index in self._columns.values())))
        reader = csv.DictReader(self._lines, fieldnames=columns, restval="", delimiter=self._delimiter)
        number, done, raw = 1 + blank_lines(self._raw_header), 0, ""
        for cells in reader:
            raw = "".join(self._lines[done : reader.line_num])
            number += 1 + blank_lines(raw)
            if reader.line_num - done > 1:
                self._check_quotes(number, raw)
            done = reader.line_num
            yield number, raw, cells
        self._check_quotes(number, raw)
        self._tail = "".join(self._lines[done:])

    def _check_quotes(self, number: int, raw: str) -> None:
        """Refuse a row in which an open quote swallowed the rows below it."""
        if not self._row.fullmatch(raw.strip("\r\n")):
            self._refuse(f'opens a quote (") in row {number} and does not close it: close or remove it there')

    def _splice(self, raw: str, gains: Mapping[str, str]) -> str:
        """Put cells into the raw text of a row; every other byte of it stays."""
        before, row, after = raw.partition(raw.strip("\r\n"))
        cells: list[str] = self._cells.findall(row)
        for title, text in gains.items():
            column = self._columns[title]
            cells += [""] * (column + 1 - len(cells))
            quoted = cells[column].startswith('"') or NEEDS_QUOTES.search(text)
            cells[column] = '"' + text.replace('"', '""') + '"' if quoted else text
        return before + self._delimiter.join(cells) + after


def blank_lines(raw: str) -> int:
    """How many blank lines a raw text starts with."""
    return len(raw[: len(raw) - len(raw.lstrip("\r\n"))].splitlines())


def header_key(header: str) -> str:
    """A header without what doesn't matter for recognising it: case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", header).casefold()


def is_address(cell: str) -> bool:
    """Whether a cell holds an `@handle` or a profile's URL, not just a word that could be a username."""
    return parse_handle(cell) is not None and ("@" in cell or "instagram.com" in cell.lower())


# ---- The list ----


@dataclass
class Enrichment:
    """One run over the list: asks for what is missing, remembers it, and writes checkpoints."""

    sheet: Sheet
    cache: Cache
    progress: Progress
    limiter: RateLimiter
    asking: Asking
    moments: list[float]  # when profiles were fetched, by earlier runs (epoch seconds, in order); this one adds its own
    args: argparse.Namespace

    def __post_init__(self) -> None:
        self.source = self.asking.source
        self.rows = self.sheet.rows[: self.args.limit]
        self.usernames = {row.username for row in self.rows if row.username}
        self.asked: set[str] = set()
        self.open: dict[str, Unanswered] = {}  # username -> why it is still open, of those asked
        self.unsaved: OSError | None = None  # why the last checkpoint could not be written

    def is_settled(self, username: str) -> bool:
        """Whether there is nothing to ask about a profile any more."""
        return self.source.settles(self.cache.profiles.get(username))

    def count_settled(self) -> int:
        """Of how many profiles of the list the cache has all there is."""
        return sum(map(self.is_settled, self.usernames))

    def unsettled(self) -> list[tuple[int, str]]:
        """The profiles still to be asked for: index of the first row that can gain something, and username."""
        first: dict[str, int] = {}
        for index, row in enumerate(self.rows):
            can_gain = any(COLUMNS[title] in self.source.fields for title in row.blank)
            if row.username and can_gain and not self.is_settled(row.username):
                first.setdefault(row.username, index)
        return [(index, username) for username, index in first.items()]

    def in_batch(self) -> int:
        """How many profiles were asked for since the last gap of a whole batch pause, whichever run asked for them."""
        pace = refill_seconds(self.args.rate_limit) + 2 * JITTER[1]
        gap = max(self.args.batch_pause or math.inf, pace)  # the pace alone makes none
        later, count = time.time(), 0
        while count < min(len(self.moments), self.args.batch_size) and later - self.moments[-1 - count] < gap:
            later = self.moments[-1 - count]
            count += 1
        return count

    def missing_pause(self) -> float:
        """The seconds that are missing to a whole batch pause since the last profile."""
        last = self.moments[-1] if self.moments else -math.inf
        return max(float(self.args.batch_pause) - max(time.time() - last, 0.0), 0.0)

    def pauses(self, profiles: int) -> int:
        """How many batch pauses are still to come with so many more profiles."""
        in_batch = 0 if 0 < self.missing_pause() <= self.limiter.held() else self.in_batch()
        return (in_batch + profiles - 1) // self.args.batch_size if profiles and self.args.batch_pause else 0

    def eta(self, profiles: int) -> float:
        """The seconds that so many more profiles take, with the pauses that are still to come."""
        each = seconds_per_request(self.args.rate_limit)
        # A pause stands in the place of a gap, so that it takes no longer than what it exceeds that gap by.
        longer = max(float(self.args.batch_pause) + sum(JITTER) / 2 - each, 0.0)
        return self.limiter.held() + self.asking.pause_ahead() + profiles * each + self.pauses(profiles) * longer

    def checkpoint(self) -> None:
        """Write the output: the input plus everything in the cache; and the state, if it was removed.

        Where the output can't be written it is told, and tried again at the next checkpoint. Raises OSError on a full
        disk, and where the state can't be written.
        """
        try:
            write_whole(self.args.output, self.sheet.render(self.cache.profiles))
            self.unsaved = None
        except OSError as error:
            self.unsaved = error
            if error.errno in DISK_FULL:
                raise
            why = "the answers are in the cache, and it is tried again"
            log.error("The output can't be written (%s): %s", tell_os_error(error), why)
        if self.cache.make_again():
            self.progress.move_to(self.progress.rows_done)

    def run(self) -> None:
        """Go through the list, then once more through what was left open at a wall or lies above the start.

        Raises StoppedError where going on makes no sense, and OSError where something can't be saved.
        """
        unsettled = self.unsettled()
        if unsettled and (left := self.limiter.held()):
            log.info("Instagram is to be left alone until %s: waiting %s", clock_in(left), duration(left))
            self.limiter.rest()
        below = [(index, username) for index, username in unsettled if index >= self.progress.rows_done]
        for count, (index, username) in enumerate(below, 1):
            found = self._ask_for(username)
            self.progress.move_to(index + 1)
            self._tell(index, username, found, len(unsettled) - count + len(self.open) - len(self.asking.closed))
        again = [(index, username) for index, username in self.unsettled() if username not in self.asking.closed]
        if again:
            log.info("Second pass, through what is still open: %d", len(again))
        for count, (index, username) in enumerate(again, 1):
            self._tell(index, username, self._ask_for(username), len(again) - count)
        if self.asked:
            self.checkpoint()
        if len(self.rows) == len(self.sheet.rows):
            self.progress.finish()
        elif self.progress.rows_done < len(self.rows):
            self.progress.move_to(len(self.rows))

    def _ask_for(self, username: str) -> str:
        """Ask for one profile, after the pause that may be due; returns what came of it, in words."""
        self._pause_if_due()
        self.asked.add(username)
        try:
            profile = self.asking.ask(username)
        except Unanswered as trouble:
            self.open[username] = trouble
            return f"left open: {trouble}"
        finally:
            self.moments.append(time.time())
        self.cache.add(profile)
        self.open.pop(username, None)
        return describe(profile, self.source.fields)

    def _pause_if_due(self) -> None:
        if self.asking.wall:
            self.checkpoint()
            self.asking.wait_out()
        if self.in_batch() == self.args.batch_size:
            self.checkpoint()
            if seconds := self.missing_pause():
                why = f"{self.args.batch_size} profiles asked, the batch is full"
                self.limiter.hold(seconds)
                log.info("%s: saved, pausing %s, until %s", why, duration(seconds), clock_in(seconds))
                self.limiter.rest()
            self.moments.clear()

    def _tell(self, index: int, username: str, found: str, ahead: int) -> None:
        eta = self.eta(ahead)
        left = f"{duration(eta)} left, done at {clock_in(eta)}"
        log.info("[%d/%d] @%s: %s | %s", index + 1, len(self.rows), username, found, left)


# ---- What the user is told ----


def printable(text: str) -> str:
    """Make a text from outside fit for a terminal: no control characters, not too long."""
    shown = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:200])
    return shown + "…" * (len(text) > 200)


def duration(seconds: float) -> str:
    """Say a number of seconds as people do: `45 s`, `2 min 30 s`, `26 h 10 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours or minutes >= 10:
        rest = 0
    parts = [f"{count} {unit}" for count, unit in ((hours, "h"), (minutes, "min"), (rest, "s")) if count]
    return " ".join(parts) or "0 s"


def clock_in(seconds: float) -> str:
    """The clock time in so many seconds, with the day where it is not today."""
    now = time.time()
    then = datetime.fromtimestamp(now + min(seconds, LARGEST_NUMBER))  # by epoch: a change to summer time is in it
    return f"{then:%H:%M:%S}" if then.date() == datetime.fromtimestamp(now).date() else f"{then:%a %d %b %H:%M}"


def show(text: str) -> None:
    """Write to the terminal, if it is still there."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def describe(profile: Profile, fields: Collection[str]) -> str:
    """What was found of a profile, in words, where a source can fill `fields`."""
    if profile.error:
        return ERRORS[profile.error]
    category, biography = clean(profile.category_name or ""), clean(profile.biography or "")
    bio = f"bio of {len(biography)} characters" if biography else "no bio"
    return f"{printable(category) or 'no category'}, {bio}" if "category_name" in fields else bio


def tell_plan(run: Enrichment) -> None:
    """Log what the run is going to do, and how long that takes."""
    unusable: dict[str, list[str]] = {}
    for row in run.rows:
        if row.username is None:
            unusable.setdefault(printable(row.handle_cell), []).append(str(row.number))
    for cell, numbers in unusable.items():
        log.info("No usable handle: '%s' in row %s", cell, ", ".join(numbers))
    profiles, to_ask, cached = len(run.usernames), len(run.unsettled()), run.count_settled()
    log.info(
        "Plan: %d rows; %d profiles in column '%s': %d already cached, %d with nothing to fill, %d to be asked; "
        "without a handle: %d; source: %s%s",
        *(len(run.rows), profiles, printable(run.sheet.handle_header), cached, profiles - cached - to_ask, to_ask),
        *(sum(map(len, unusable.values())), run.source.name, run.source.lacks()),
    )
    if to_ask:
        args, seconds, pauses = run.args, run.eta(to_ask), run.pauses(to_ask)
        each = f"of {duration(args.batch_pause)} between batches of {args.batch_size}"
        with_pauses = f", with {pauses} pause{'s' * (pauses > 1)} {each}"
        log.info(
            "At %g a minute%s: about %s, done at %s",
            *(args.rate_limit, with_pauses if pauses else "", duration(seconds), clock_in(seconds)),
        )


def tell_result(run: Enrichment, from_cache: int, seconds: float) -> None:
    """Log the coverage of the columns before and after, the counts, and what stayed open."""
    rows, cached = run.sheet.rows, run.cache.profiles
    blank = Counter(title for row in rows for title in row.blank)
    gained = Counter(title for row in rows for title in run.sheet.gains(row, cached))
    table = [f"{'Column':<9} {'before':<15} {'after':<15} gained"]
    for title in COLUMNS:
        filled = len(rows) - blank[title]
        before, after = coverage(filled, len(rows)), coverage(filled + gained[title], len(rows))
        table.append(f"{title:<9} {before:<15} {after:<15} {gained[title]:>+6}")
    log.info("Coverage:\n  %s", "\n  ".join(table))
    unsettled = [username for _, username in run.unsettled()]
    errors = Counter(cached[name].error for name in run.usernames & cached.keys())
    missing = ", ".join(
        f"{errors[error]} {words}" for error, words in ERRORS.items() if errors[error] or error == NOT_FOUND
    )
    log.info(
        "%d asked, %d from cache, %s, %d without handle, %d still open; took %s; source: %s%s",
        *(len(run.asked), from_cache, missing),
        *(sum(row.username is None for row in run.rows), len(unsettled), duration(seconds)),
        *(run.source.name, run.source.lacks()),
    )
    for username in unsettled:
        if username in run.asked:
            log.info("Still open: @%s: %s", username, run.open.get(username, "stopped while it was asked for"))
    if not_asked := len(set(unsettled) - run.asked):
        log.info("Still open: %d not asked for yet", not_asked)


def coverage(filled: int, rows: int) -> str:
    """A cell of the coverage table: `396/425  93%`."""
    share = f"{filled / rows:.0%}" if rows else "-"
    return f"{filled:>{len(str(rows))}}/{rows} {share:>4}"


# ---- The command line ----

SLOWEST_RATE = 0.001  # less than two requests a day
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_DONE, EXIT_OPEN, EXIT_UNUSABLE, EXIT_SIGNALLED = 0, 1, 2, 128  # 128 + the signal's number, as shells do


def number(kind: Callable[[str], float], least: float, what: str) -> Callable[[str], Any]:
    """An argparse type: a number of `kind` from `least` up; `what` says what kind of number in words."""

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            if least <= (value := kind(text)) <= LARGEST_NUMBER:
                return value
        raise argparse.ArgumentTypeError(
            f"must be {what}, from {least:.2g} to {LARGEST_NUMBER:.0f}, not '{printable(text)}'"
        )

    return parse


def account_id(text: str) -> str:
    """An argparse type: the numeric id of an account."""
    if not re.fullmatch(r"[0-9]{1,30}", text):
        raise argparse.ArgumentTypeError(f"must be the numeric id of an account, not '{printable(text)}'")
    return text


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with 2 and the name of the flag where a value makes no sense."""
    parser = argparse.ArgumentParser(
        prog="instagram_enrichment.py",
        description="Fill the GENRE and Details columns of a CSV with the category and biography\n"
        "of each Instagram profile: slowly, resumably, without losing any.",
        epilog="exit codes: 0 every profile settled; 1 finished or stopped with profiles still\n"
        "open: run the same command again; 2 unusable arguments or input, nothing\n"
        "fetched; 130, 143, 129 interrupted (Ctrl+C, kill, hang-up), everything saved",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    count = number(int, 1, "a whole number")
    rate = number(float, SLOWEST_RATE, "a number of requests a minute")
    pause = number(float, 0, "a number of seconds")
    add("-i", "--input", type=Path, required=True, metavar="CSV", help="path to input CSV file (required)")
    add("-o", "--output", type=Path, required=True, metavar="CSV", help="path for output CSV file (required)")
    text = "max requests per minute, 10 is recommended (default: %(default)g)"
    add("-r", "--rate-limit", type=rate, default=20, metavar="N", help=text)
    text = "directory for cache and progress files (default: %(default)s)"
    add("--cache-dir", type=Path, default=Path(".tmp"), metavar="DIR", help=text)
    text = "re-fetch all profiles, ignoring cache and progress (default: off)"
    add("-f", "--force", action="store_true", help=text)
    text = "work on the first N rows only, for testing (default: all)"
    add("--limit", type=count, metavar="N", help=text)
    add("-v", "--verbose", action="store_true", help="debug logging (default: off)")
    text = "profiles to process per batch (default: %(default)d)"
    add("-b", "--batch-size", type=count, default=100, metavar="N", help=text)
    text = "seconds to pause between batches, 0 for none (default: %(default)g)"
    add("--batch-pause", type=pause, default=1800, metavar="SECONDS", help=text)
    text = "header of the column that holds the handle (default: found by itself)"
    add("--username-column", metavar="HEADER", help=text)
    text = f"ask Meta's official API as your own professional account with this numeric id, with the token in {GRAPH_TOKEN} (default: off)"
    add("--graph-api", type=account_id, metavar="IG_USER_ID", help=text)
    return parser.parse_args(argv)


def access_token() -> str:
    """The token for the Graph API; raises UnusableError where there is none that could be one."""
    token = os.environ.get(GRAPH_TOKEN, "")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        why = "has a space, a line break or another character that no token has" if token else "is not set"
        raise UnusableError(f"{GRAPH_TOKEN} {why}: --graph-api needs your access token in it (the README says how)")
    return token


def check_output(args: argparse.Namespace) -> None:
    """Make sure that the output has a place of its own; raises UnusableError."""
    output = args.output = Path(os.path.realpath(args.output))
    why = ""
    if output.exists() and not output.is_file():
        why = "is a folder or a device: give the path of a CSV file"
    elif any(path.exists() and path.samefile(args.input) for path in (output, part_of(output))):
        why = "is the input itself: give another path, the input stays as it is"
    elif not output.parent.is_dir():
        why = "is in a folder that does not exist: make the folder, or give another path"
    elif output.parent == Path(os.path.realpath(args.cache_dir)) and output.name.startswith(
        (CACHE_FILE, PROGRESS_FILE, LOCK_FILE)
    ):
        why = "is where the program keeps its own files: give another path"
    if why:
        raise UnusableError(f"--output {printable(str(output))} {why}")


def enrich(args: argparse.Namespace) -> int:
    """Do what the command line asks for; returns the exit code. Raises UnusableError before the first request."""
    started = Moment.after(0.0)
    source = graph_api(args.graph_api, access_token()) if args.graph_api else web_address()
    sheet = Sheet(args.input, args.username_column)
    try:
        check_output(args)
        args.cache_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(Lock(args.cache_dir)) as lock:
            cache = Cache(args.cache_dir / CACHE_FILE)
            progress = Progress(args.cache_dir / PROGRESS_FILE, len(sheet.rows), max(LONGEST_WAIT, args.batch_pause))
            moments = cache.moments()
            write_whole(args.output, sheet.render(cache.profiles))
            if args.force:
                progress.move_to(0)
                if cache.profiles:
                    backup = cache.start_over()
                    log.info(
                        "--force: all is fetched anew, into an output without the old answers; they are in %s",
                        printable(str(backup)),
                    )
                log.info("--force: if this run stops half-way, go on with the same command WITHOUT --force")
            latest = moments[-1] if moments else -math.inf
            last_request = max(lock.last_request, latest)
            limiter = RateLimiter(args.rate_limit, last_request, progress.not_before, lock.touch, progress.hold_until)
            was_answered = latest > time.time() - GIVE_UP_AFTER
            asking = Asking(source, limiter, cache.profiles, args.batch_pause, was_answered)
            return finish(Enrichment(sheet, cache, progress, limiter, asking, moments, args), started)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise UnusableError(f"{tell_os_error(error)}: give another path") from error
        log.error("%s: free some space and run the same command again", tell_os_error(error))
        return EXIT_OPEN


def finish(run: Enrichment, started: Moment) -> int:
    """Run to the end, or as far as it goes; save and tell what there is. Returns the exit code."""
    again = "run the same command again" + (", but WITHOUT --force" if run.args.force else "")
    from_cache = run.count_settled()
    code = EXIT_DONE
    tell_plan(run)
    try:
        run.run()
    except (Interrupted, StoppedError, UnusableError, OSError) as reason:
        code, why = EXIT_OPEN, str(reason)
        if isinstance(reason, Interrupted):
            code, why = EXIT_SIGNALLED + reason.args[0], f"Interrupted by {reason.args[0].name}"
        elif isinstance(reason, OSError):
            why = f"Could not save ({tell_os_error(reason)})"
        saved, rows = save(run), len(run.rows)
        done = next((index for index, _ in run.unsettled() if index >= run.progress.rows_done), rows)
        why = why[:1].upper() + why[1:]
        log.error("%s. Stopped after %d of %d rows, %s; to go on, %s", why, done, rows, saved, again)
    tell_result(run, from_cache, -started.left())
    if code == EXIT_DONE and run.unsaved:
        log.error("The answers are in the cache, but not in the output: mend that, and %s", again)
        return EXIT_OPEN
    if code == EXIT_DONE and run.unsettled():
        log.error("Some profiles are still open: %s", again)
        return EXIT_OPEN
    return code


def save(run: Enrichment) -> str:
    """Write the last checkpoint of a run that stops early; returns what became of it, in words."""
    saved = "everything so far is saved"
    try:
        run.checkpoint()
    except OSError:
        saved = "every answer so far is in the output"
    return "every answer so far is in the cache, but not in the output" if run.unsaved else saved


def tell_os_error(error: OSError) -> str:
    """Say in one line what the operating system refused."""
    return f"{printable(error.filename)}: {error.strerror}" if error.filename else printable(str(error))


def interrupt(signum: int, frame: object) -> NoReturn:
    """The signal handler: raises Interrupted once; from then on nothing may disturb the saving."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(signum))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (by default the process's own arguments); returns the exit code."""
    args = parse_arguments(argv)
    logging.raiseExceptions = False  # a log that can't be written (a full disk) does not end the night
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if args.verbose else logging.INFO)
    previous = {each: signal.getsignal(each) for each in SIGNALS}
    for each in SIGNALS:
        if each != signal.SIGHUP or previous[each] != signal.SIG_IGN:  # nohup's wish is respected
            signal.signal(each, interrupt)
    try:
        return enrich(args)
    except UnusableError as error:
        log.error("Error: %s", error)
        return EXIT_UNUSABLE
    except Interrupted as interrupted:
        signum: signal.Signals = interrupted.args[0]
        log.error("Interrupted by %s while nothing was asked for; nothing is lost", signum.name)
        return EXIT_SIGNALLED + signum
    finally:
        log.removeHandler(handler)
        for each in SIGNALS:
            signal.signal(each, previous[each])


if __name__ == "__main__":
    sys.exit(main())
