# /// script
# requires-python = ">=3.9"
# dependencies = ["requests>=2.32.2", "tenacity>=8.3"]
# ///
"""Fill the GENRE and Details columns of a CSV of Instagram profiles, slowly and losing nothing.

The sections, in the order in which a profile travels:

    Profiles        what is known of a profile
    Handles         how a username is read from a cell
    Text            how texts from outside, and times, are written; what must not be
    Waiting         deadlines on two clocks, and the signals that end a wait
    Rate limit      when the next request may be sent
    Responses       what comes back for a request, and the errors it can mean
    Web address     the first source: Instagram's public web API
    Graph API       the second source: Meta's official API
    HTTP            one request at a time, and the retries
    Fetching        the queue and its passes
    State on disk   cache, progress and lock
    Columns         which column holds the handles
    CSV             the list, in and out
    Report          what became of each row: the one status that everybody is told
    The run         the row loop, batches and checkpoints
    Log             plan, summary and last words, and the live line of a terminal
    Command line    arguments, set-up and exit codes

The words that they share:

    source          where profiles are fetched
    settled         a profile of which the source has nothing more to give
    open            a profile that is not settled, and could fill an empty cell
    withheld        an open profile that exists, but that the source does not show us
    answered        a profile with data, withheld or not professional: we are not blocked
    known profile   a cached profile with data, so that it is known to exist
    outage          the time in which nobody is answered, not even a known profile; the run pauses
    pass            fetching once what is open; what may have failed by chance gets another

Only an answer about a profile is ever cached; a block or a network error never is.
"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl+C in the imports, which take a while, ends the program without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import csv
import errno
import fcntl
import functools
import html
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
import stat
import sys
import threading
import time
import unicodedata
import urllib.parse
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import requests
import tenacity

MAX_VALUE = 1e9  # of seconds (31 years), profiles or rows: beyond it, clocks and calendars fail
LONGEST_WAIT = 4 * 3600.0  # seconds: of a wait that Instagram asks for, and of the doubling pauses
TOKEN_VARIABLE = "INSTAGRAM_ACCESS_TOKEN"

log = logging.getLogger("instagram_enrichment")
csv.field_size_limit(2**31 - 1)  # a cell may be long


class UnusableError(Exception):
    """Something the user gave can't be used; the message says what, where and what to do."""


class StoppedError(Exception):
    """The run has to end early, with profiles still open; the message says why."""


class Interrupted(BaseException):
    """A signal, its argument, ended a wait."""


# ==================================================================================================
# Profiles
# ==================================================================================================

NOT_FOUND, NOT_PROFESSIONAL = "NOT_FOUND", "NOT_PROFESSIONAL"
# The `error` of a cached profile without data -> how the log says it
ERRORS = {NOT_FOUND: "not found", NOT_PROFESSIONAL: "no professional account"}
TEXTS = ("full_name", "biography", "category_name", "fetched_at", "error")
FIELD_TYPES: Mapping[str, type] = {
    **dict.fromkeys(TEXTS, str),
    **dict.fromkeys(("is_business", "is_verified"), bool),
    "follower_count": int,
}


class Profile(NamedTuple):
    """What was fetched of a profile; its fields are the keys of a cache entry, in order."""

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
    def from_values(cls, username: str, values: Mapping[str, Any]) -> Profile:
        """Make a profile of field -> value; None if a value is missing or of another type."""
        fields: dict[str, Any] = {"username": username.lower()}
        for name, kind in FIELD_TYPES.items():
            value = values.get(name)
            fields[name] = value if type(value) is kind else None
        fields["error"] = fields["error"] or None  # other tools write an empty text for none
        return cls(**fields)

    @classmethod
    def fetched_now(cls, username: str, values: Mapping[str, Any]) -> Profile:
        """Make a profile of what was fetched just now; of `{"error": …}` if it has no data."""
        return cls.from_values(username, {**values, "fetched_at": format_timestamp(time.time())})


# ==================================================================================================
# Handles
# ==================================================================================================

USERNAME = re.compile(r"[a-z0-9._]{1,30}")  # Instagram's rule
PROFILE_ADDRESS = re.compile(
    r"""
    (?<![\w.@/=-])  # not within another site's address
    (?:https?:?/{0,3})? (?:w{2,4}\.|m\.)? instagr(?:am\.com|\.am) (?::443)? /+
    (?:(?:stories|_u)/+)? (?:@|%40)?
    # not of a post, a hashtag or the like
    (?!(?:p|reels?|tv|stories|highlights|_u|explore|accounts|direct|about|share|s|n|web|legal
        |developer|popular|challenge|oauth|graphql|api|invites|channel|ar|a|_n|guides?|lite|igtv
        |topics|music|create|login|locations|nametag|qr|www\.[\w.]*)(?![\w.]*\w))
    (?!(?-i:[A-Z]\w*[ ][A-Z]))  # not with a person's name: instagram.com/Ana Rios
    ([\w.]+)
    (?![\w.%@:…*+&~‐–-])  # not cut off: ana…
    """,
    re.IGNORECASE | re.VERBOSE,
)
AT_NAME = re.compile(r"(?<![\w./])@([\w.@/…*+&~‐–-]*)")  # with what makes it none: @name/@x
DISTINCT_NETWORKS = (  # which are known as the beginning of a header's word, too
    r"tik[ -]?tok|you ?tube|twitter|(?:re)?tweets?|face ?book|threads|snap ?chat|linked ?in\b|"
    r"pinterest|twitch|telegram|blue ?sky|reddit|discord|tumblr|we ?chat|weibo|douyin|kwai|spotify|"
    r"sound ?cloud|only ?fans|patreon|substack|git ?hub|pay ?pal|vimeo"
)
SHORT_NETWORKS = "yt|fb|tt|tk|vk|bsky"
OTHER_NETWORK = re.compile(
    rf"(?<![\w.@-])(?:{DISTINCT_NETWORKS}|{SHORT_NETWORKS}|x|snap|kick)"
    r"(?:(?![\w-]|\.\w)|\.(?:com|net|tv|app)\b)"  # not inside a name: @ana.tiktok, tiktok.ana
    rf"|\b(?:{DISTINCT_NETWORKS}|x|fb|youtu|t)\.[a-z]{{2,3}}/|/status/",
    re.IGNORECASE,
)
NAMES_INSTAGRAM = re.compile(r"(?i)instagram|(?<![^\W_])(?:insta|ig)(?![^\W_])")
NO_INSTAGRAM = re.compile(
    r"(?i)(?<![\w.@])(?:no|not|non|sin|sem|sans|kein|ohne|without)\b(?!\.).{0,20}?(?<![\w.@])"
    r"(?:instagram|insta|ig)(?!\w)"
)
# Words that are accounts of strangers, too: those are fetched only with an `@` or an address.
SAYS_NONE = re.compile(
    r"(?i)(?:none|null|nil|nan|na|n/a|#n/a|n\.a|s/d|unknown|tbd|tba|deleted|removed|private|"
    r"missing|empty|undefined|suspended|not_?found|no_?ig|#ref!|#name\?|#value!|ninguno|nenhum|aucun|kein|"
    r"nessuno|(?:[^\w@]|_)*)\.?"
)
LABEL = re.compile(  # of check boxes, links, totals and headers; numbers, counts and websites
    r"(?i)(?:yes|no|true|false|y|n|ok|si|sim|nao|oui|non|ja|nein|verdadero|falso|verdadeiro|vrai|"
    r"faux|wahr|falsch|vero|link|url|here|view|open|total|name|handle|username|user|usuario|account|"
    r"profile|instagram|insta|ig|followed|contacted|posted|pending|active|inactive|"
    r"[\d._]*\d[._]*(?:k|m|b|mn|mio?|mil|tsd)?|www\.[\w.-]*|[\w.-]*\.(?:com|net|org)(?:\.\w\w)?)\.?"
)
# What a handle cell holds, if it is usable or says that there is none; else a word on why it isn't.
ADDRESS, MENTION, WORD = "the address of a profile", "an @name", "a bare word"
NO_NAME, ELSEWHERE = "empty or none", "on another network"


def parse_handle(cell: str) -> tuple[str | None, str]:
    """Return the username in a cell, in lower case, or None; and what kind of cell it is."""
    text = plain(cell)
    word = text.strip("'\"=(),;:/")
    if names := PROFILE_ADDRESS.findall(text):
        kind = ADDRESS
    elif NO_INSTAGRAM.search(text) or SAYS_NONE.fullmatch(word):
        return None, NO_NAME
    elif OTHER_NETWORK.search(text):
        return None, ELSEWHERE
    elif names := AT_NAME.findall(text):
        kind = MENTION
    elif LABEL.fullmatch(word):
        return None, "a number, a website or a label"
    else:
        names, kind = [word], WORD
    # One period at its end ends a sentence; several say that the rest of the name was cut off.
    usernames = {name.rstrip("/").lower().removesuffix(".") for name in names}
    if len(usernames) > 1:
        return None, "more than one name"
    username = usernames.pop()
    if USERNAME.fullmatch(username) and not username.endswith("."):
        return username, kind
    return None, "not a username"


def plain(cell: str) -> str:
    """Return a text without invisible marks, its accents composed, and with a plain `@`."""
    if not cell.isascii():
        visible = "".join(char for char in cell if unicodedata.category(char) != "Cf")
        cell = unicodedata.normalize("NFC", visible).replace("＠", "@")
    return cell.strip()


# ==================================================================================================
# Text
# ==================================================================================================

CELL_CHARACTERS = 500
LINE_CHARACTERS = 200  # of a text from outside that is logged
FORMULA_STARTS = ("=", "+", "-", "@")  # OWASP, "CSV Injection"; no cleaned text starts with a tab
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
INVISIBLE_CATEGORIES = ("Cc", "Cf", "Zs", "Zl", "Zp")
INVISIBLE = re.compile(  # fillers and selectors that Unicode counts as letters, symbols or marks
    "[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
SECRET_START = 12  # characters by which a token is known, if a message was cut off within it
PROXY_LOGIN = re.compile(r"(?<=//)(?:[^/\s]*|[^/\s@]*:\S*)@")  # not the @ of instagram.com/@ana
HIDDEN = "[hidden]"


@functools.lru_cache(maxsize=100_000)  # each text is asked for several times a checkpoint
def clean(text: str) -> str:
    """Make a stranger's text fit for a cell: one line of 500 characters, no formula; may be ""."""
    encodable = text.encode("utf-8", "replace").decode()
    line = " ".join(CONTROL.sub(" ", encodable).split())
    if all(unicodedata.category(c) in INVISIBLE_CATEGORIES or INVISIBLE.match(c) for c in line):
        return ""
    if line.startswith(FORMULA_STARTS):
        line = "'" + line
    return line[:CELL_CHARACTERS].rstrip()


def printable(text: object) -> str:
    """Make a text from outside fit for a terminal: no control characters, not too long."""
    line = str(text)
    line = line if len(line) <= LINE_CHARACTERS else line[:LINE_CHARACTERS] + "…"
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in line)


def hide_secrets(text: str) -> str:
    """Return a text without the access token, and without the login in a proxy's address."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    for start in {
        token[:SECRET_START],
        urllib.parse.quote(os.fsencode(token), safe="")[:SECRET_START],
    }:
        if len(start) > 3:  # a shorter one is in too many words
            text = re.sub(re.escape(start) + r"[^\s'\"]*", HIDDEN, text)
    return PROXY_LOGIN.sub(f"{HIDDEN}@", text)


def format_os_error(error: OSError) -> str:
    """Say in one line what the operating system refused, and of which path."""
    return f"{printable(error.filename)}: {error.strerror}" if error.filename else printable(error)


def counted(count: int, noun: str) -> str:
    """Return a number with what it counts: `1 row`, `2 rows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_duration(seconds: float) -> str:
    """Say a number of seconds as people do: `45 s`, `2 min 30 s`, `26 h 10 min`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours or minutes >= 10:
        seconds = 0
    units = {"h": hours, "min": minutes, "s": seconds}
    return " ".join(f"{count} {unit}" for unit, count in units.items() if count) or "0 s"


def format_wait(seconds: float) -> str:
    """Say how long a wait takes, and when it ends: `30 min, until 17:28:09`."""
    return f"{format_duration(seconds)}, until {clock_time_in(seconds)}"


def clock_time_in(seconds: float) -> str:
    """Return the clock time in so many seconds, with the day if it is not today."""
    now = time.time()
    # From epoch seconds, so that a change to summer time in between is in it.
    then = datetime.fromtimestamp(now + min(seconds, MAX_VALUE))
    is_today = then.date() == datetime.fromtimestamp(now).date()
    return f"{then:%H:%M:%S}" if is_today else f"{then:%a %d %b %H:%M}"


def format_timestamp(epoch: float) -> str:
    """Write epoch seconds as the state files have them: `2026-01-22T10:30:00+00:00`."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(epoch))


def parse_timestamp(text: object) -> float:
    """Read an ISO 8601 time, by default in UTC, as epoch seconds; -inf if it isn't one."""
    try:
        parsed = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return -math.inf


# ==================================================================================================
# Waiting
# ==================================================================================================

POLL_INTERVAL = 5.0  # seconds between two looks at the clocks
REDRAW_INTERVAL = 0.5  # the same, while somebody watches
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Result = TypeVar("Result")


class Deadline(NamedTuple):
    """A moment that has come when either clock says so: one stops in sleep, one may be set back."""

    wall: float  # epoch seconds
    monotonic: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline in so many seconds from now."""
        return cls(time.time() + seconds, time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds until then; negative once it has passed."""
        return min(self.wall - time.time(), self.monotonic - time.monotonic())


class Waiter:
    """The one place where the run waits, and where a signal takes effect.

    A signal that comes at any other time is noted and ends the next wait, so that none lands in the
    middle of a write or in a library's lock; the first one is reported. One that the program was
    told to ignore (by nohup) stays ignored. `show` is told what is waited for, every half second.

    Use as a context manager, in the main thread. On exit the handlers before it are put back, or
    all three signals ignored, once one has come.
    """

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self._show = show
        self._received: signal.Signals | None = None
        self._is_waiting = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        for each in SIGNALS:
            if signal.getsignal(each) != signal.SIG_IGN:
                self._previous[each] = signal.signal(each, self._receive)

    def __exit__(self, *exc: object) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, signal.SIG_IGN if self._received else handler)

    def wait_for(self, what: str, blocking: Callable[..., Result], *args: object) -> Result:
        """Call `blocking(*args)`, which a signal ends, to wait for `what`; returns what it does."""
        if self._show:
            self._show(what)
        self._is_waiting = True
        try:
            if self._received:
                raise Interrupted(self._received)
            return blocking(*args)
        finally:
            self._is_waiting = False

    def wait_until(self, deadline: Deadline, what: str) -> None:
        """Sleep until then; `what` is said with a countdown behind it."""
        interval = REDRAW_INTERVAL if self._show else POLL_INTERVAL
        while (seconds := deadline.remaining()) > 0:
            countdown = f"{what} {timedelta(seconds=math.ceil(seconds))}"
            self.wait_for(countdown, time.sleep, min(seconds, interval))

    def _receive(self, signum: int, frame: object) -> None:
        if self._received is None:
            self._received = signal.Signals(signum)
        if self._is_waiting:
            self._is_waiting = False  # a second one must not end the last checkpoint
            raise Interrupted(self._received)


# ==================================================================================================
# Rate limit
# ==================================================================================================

JITTER = (2.0, 4.0)  # seconds between taking a token and sending the request
BUNCHING = JITTER[1] - JITTER[0] + 0.5  # seconds by which jitter and latency of two may differ
LONGEST_FIRST_WAIT = 60.0  # seconds until a run's first token, however slow the rate


class RateLimiter:
    """A token bucket with room for one token, empty at the start; waits as `progress` says, too."""

    def __init__(self, per_minute: float, waiter: Waiter, progress: Progress) -> None:
        # So 60 seconds and the bunching hold floor(rate) + 1 requests: one over the limit at most.
        self._refill = max(60 / per_minute, (60 + BUNCHING) / math.floor(per_minute + 1))
        self._waiter = waiter
        self.progress = progress
        self._next_token = Deadline.after(min(self._refill, LONGEST_FIRST_WAIT))

    def wait_before_request(self) -> None:
        """Wait for the token, take it, and let 2 to 4 seconds pass, while the next one ripens."""
        token_in = max(self._next_token.remaining(), 0.0)
        self._next_token = Deadline.after(token_in + self._refill)
        self._waiter.wait_until(Deadline.after(token_in + random.uniform(*JITTER)), "next in")

    def wait_while_blocked(self) -> None:
        """Wait until requests may be sent."""
        self._waiter.wait_until(self.progress.not_before, "paused for")

    def ready_in(self) -> float:
        """Return the seconds until the next request may take its token."""
        return max(self._next_token.remaining(), self.progress.blocked_for())


# ==================================================================================================
# Responses
# ==================================================================================================

HTML = re.compile(r"(?i)<html|<!doctype html")
TITLE = re.compile(r"(?i)<title[^<>]*>([^<]*)")
SCRIPT_GUARD = b"for (;;);"  # before JSON that is not to be read by other sites
MESSAGE_CHARACTERS = 1000  # that are searched for the words of a block
EXCERPT_CHARACTERS = 80  # printed of a response that has neither a message nor a title


class FetchError(Exception):
    """There is no data; the message says what came instead, with the server's own words."""

    try_again = "tomorrow"  # when another run may get the profile


class NotFound(FetchError):
    """The source says that it has no such profile."""


class Withheld(FetchError):
    """The profile exists, but this source does not show it to us."""


class Blocked(FetchError):
    """We are kept out: a rate limit, a login wall, a challenge."""

    try_again = "in an hour"


class NetworkError(FetchError):
    """The network or the server failed, or gave no whole response."""

    try_again = "once the connection is stable"


class UnexpectedResponse(FetchError):
    """A response whose meaning is not known."""


class SetUpError(UnexpectedResponse):
    """The set-up is wrong: stops any run if `is_final`, else one in which nobody was answered."""

    def __init__(self, message: str, is_final: bool) -> None:
        super().__init__(message)
        self.is_final = is_final


@dataclass(frozen=True)
class Response:
    """What came back for one request; what it holds is read when it is asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @functools.cached_property
    def json(self) -> Any:
        """The body as JSON; None if it isn't any."""
        return parse_json(self.body.removeprefix(SCRIPT_GUARD))

    @property
    def payload(self) -> dict[str, Any]:
        """The JSON object; {} if there is none."""
        return as_object(self.json)

    @functools.cached_property
    def page(self) -> str:
        """The HTML page; "" if the body is anything else."""
        text = self.body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
        is_html = "text/html" in self.headers.get("Content-Type", "").lower()
        is_page = text.startswith("<") and (is_html or HTML.search(text[:1024]))
        return text if is_page else ""

    @functools.cached_property
    def title(self) -> str:
        """The title of the HTML page, or of the JSON object; "" if there is none."""
        title = TITLE.search(self.page)
        return html.unescape(title[1]).strip() if title else text_of(self.payload, "title")

    @functools.cached_property
    def said(self) -> str:
        """The `message` of the JSON, or a plain text; "" for anything else."""
        if self.json is not None:
            return text_of(self.payload, "message")
        text = self.body[:MESSAGE_CHARACTERS].decode("utf-8", "replace").strip()
        is_plain = "\0" not in text and not text.startswith(("{", "[", "<", '"'))
        return text if is_plain else ""

    @property
    def redirect(self) -> str:
        """Where a redirect leads; "" if it isn't one."""
        return self.headers.get("Location", "") if 300 <= self.status < 400 else ""

    def describe(self, message: str) -> str:
        """Return, after a colon, the server's words: a message, else the title or the beginning."""
        excerpt = self.body[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")
        text = message or self.title or self.redirect or excerpt[:EXCERPT_CHARACTERS]
        line = printable(" ".join(text.split())).rstrip(".")
        return line and f": {line}"


def text_of(value: Mapping[str, Any], key: str) -> str:
    """Return how the text under a key of a JSON object begins; "" if there is none."""
    text = value.get(key)
    return text[:MESSAGE_CHARACTERS] if isinstance(text, str) else ""


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON value if it is an object, else {}."""
    return value if isinstance(value, dict) else {}


def is_about(username: str, user: Mapping[str, Any]) -> bool:
    """Return whether data is about that profile: if it names one, it is the same."""
    name = user.get("username")
    return not isinstance(name, str) or name.lower() == username


def parse_json(text: bytes | str) -> Any:
    """Parse JSON; None if it isn't any."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


USED_UP = 95.0  # percent of what a rolling hour allows, in X-App-Usage
USED_UP_WAIT = 300.0  # seconds for which nothing is sent then
REGAIN_ACCESS = re.compile(r'"estimated_time_to_regain_access"\s*:\s*"?(\d+)')


def requested_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds for which a response asks us to wait: 4 hours at most, 0 if it doesn't.

    Sources: RFC 9110, Retry-After (only in seconds); Meta, "Rate limiting".
    """
    minutes = REGAIN_ACCESS.findall(headers.get("X-Business-Use-Case-Usage", ""))
    seconds = re.findall(r"^\s*(\d+)", headers.get("Retry-After", ""))
    waits = [0.0, *map(float, seconds), *(60 * float(each) for each in minutes)]
    used = as_object(parse_json(headers.get("X-App-Usage", ""))).values()
    if any(type(each) in (int, float) and each >= USED_UP for each in used):
        waits.append(USED_UP_WAIT)
    return min(max(waits), LONGEST_WAIT)


class Source:
    """Where profiles are fetched: how to check its set-up, how to fetch, what a response means."""

    name: str
    url: Callable[[str], str]  # the address of a profile's data, by its username
    # The profile fields that a response holds, by the username and it; raises a FetchError.
    parse: Callable[[str, Response], dict[str, Any]]
    headers: Mapping[str, str]  # of every request; may hold a secret
    fields: frozenset[str]  # the profile fields that it can fill
    blocked_statuses: tuple[int, ...]  # which are a block whatever the body is, torn ones too
    settled_errors: tuple[str, ...]  # of the `error` of a profile: nothing more is to be got there
    locked_out_hint = ""  # what to tell a user whose first requests are blocked
    withheld_hint = ""  # what fetches profiles that it withholds, `{}` of them
    plan_hint = ""  # what a run needs till its end, which stands for `{}`

    def check_set_up(self, client: Client) -> None:
        """Check the set-up before the first profile; raises UnusableError or StoppedError."""

    def settles(self, profile: Profile) -> bool:
        """Return whether what is cached of a profile is all that there is to get."""
        return profile.error in (None, *self.settled_errors)


# ==================================================================================================
# Web address
# ==================================================================================================

# Address and app id of Instagram's own web client, as a browser's network tab shows them.
API_URL = "https://www.instagram.com/api/v1/users/web_profile_info/"
USER_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0 Safari/537.36"
)
SERVER_FAILED = re.compile(r"(?i)something went wrong")
WITHHELD_MESSAGE = re.compile(r"(?i)\basset\b.*\bhas been deleted|geoblock_required")
RESTRICTED = re.compile(r"(?i)restricted profile")
BLOCK_MESSAGE = re.compile(
    r"(?i)checkpoint|challenge|feedback|(?<![a-z])log[\s_-]?in|please wait|try again later"
    r"|problem with your request"
)
BLOCK_REDIRECT = re.compile(  # to the front page, or to one of these
    r"(?:(?:https?:)?//[^/?#]+)?/?(?:[?#].*)?|.*/(?:login|challenge|checkpoint|suspended)(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
LOGIN_TITLE = re.compile(r"(?i)\blog[\s_-]?in(?:to)?\b|\bsign[\s_-]?in\b|challenge|checkpoint")


def user_of(response: Response) -> dict[str, Any]:
    """Return the `data.user` of a response; {} if there is none."""
    return as_object(as_object(response.payload.get("data")).get("user"))


def refuses(response: Response) -> bool:
    """Return whether a response asks for a login or to wait, leads elsewhere, or has but errors."""
    payload = response.payload
    has_errors = response.status in (200, 404) and not user_of(response) and payload.get("errors")
    said = response.title if response.page else response.body[:MESSAGE_CHARACTERS].decode("latin-1")
    asks_to_wait = response.status == 404 and re.search("(?i)please wait|try again later", said)
    is_guarded = response.body.startswith(SCRIPT_GUARD)
    leads_away = is_guarded and ("redirect" in payload or payload.get("error") == 1357004)
    return bool(payload.get("require_login") or has_errors or asks_to_wait or leads_away)


# What a response without data about the profile means: the first row that applies.
WEB_OUTCOMES: Sequence[tuple[Callable[[Response], object], type[FetchError], str]] = (
    (lambda r: SERVER_FAILED.search(r.said), NetworkError, "server error"),
    (lambda r: r.status == 400 and WITHHELD_MESSAGE.search(r.said), Withheld, "withheld"),
    (lambda r: RESTRICTED.match(r.title) or RESTRICTED.match(r.said), Withheld, "withheld"),
    (lambda r: r.status == 200 and r.json == {"status": "ok"}, Withheld, "withheld, no data"),
    (lambda r: r.status in WebAddress.blocked_statuses, Blocked, "blocked"),
    (lambda r: BLOCK_MESSAGE.search(r.said) or refuses(r), Blocked, "blocked"),
    (lambda r: r.redirect and BLOCK_REDIRECT.fullmatch(r.redirect), Blocked, "blocked, a redirect"),
    (lambda r: r.page and LOGIN_TITLE.search(r.title), Blocked, "blocked, a login page"),
    (lambda r: r.status == 200 and r.payload.get("status") == "fail", Blocked, "blocked"),
    (lambda r: 500 <= r.status < 600, NetworkError, "server error"),
    (lambda r: r.status == 404, NotFound, "not found"),
    (lambda r: r.status != 200, UnexpectedResponse, "unexpected status"),
    (lambda r: r.page, NotFound, "not found, a page instead of data"),
    (lambda r: r.json is None, NetworkError, "no JSON"),
    (lambda r: as_object(r.payload.get("data")).get("user", "") is None, NotFound, "not found"),
    (lambda r: "biography" in user_of(r), UnexpectedResponse, "data about another profile"),
    (lambda r: user_of(r), UnexpectedResponse, "a profile without a biography field"),
    (lambda r: True, UnexpectedResponse, "JSON of an unknown shape"),
)


def web_fields(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile fields of Instagram's `data.user`, three of which have had two names."""
    followers = as_object(user.get("edge_followed_by"))
    return {
        "full_name": user.get("full_name"),
        "biography": user.get("biography"),
        "category_name": first_of(str, user.get("category_name"), user.get("category")),
        "follower_count": first_of(int, followers.get("count"), user.get("follower_count")),
        "is_business": first_of(bool, user.get("is_business_account"), user.get("is_business")),
        "is_verified": user.get("is_verified"),
    }


def first_of(kind: type, *values: object) -> object:
    """Return the first value that is of that type and not an empty text; None if there is none."""
    return next((value for value in values if type(value) is kind and value != ""), None)


class WebAddress(Source):
    """Instagram's public web API, which needs no login if it is open."""

    name = "Instagram's web address"
    headers: Mapping[str, str] = {
        "x-ig-app-id": "936619743392459",
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.9",
    }
    fields = frozenset(FIELD_TYPES) - {"fetched_at", "error"}
    blocked_statuses: tuple[int, ...] = (401, 403, 429)
    settled_errors = (NOT_FOUND,)
    locked_out_hint = """\
No profile could be fetched yet. This may be a rate limit, which passes; or the web address may be
  closed to you, as it is to many since 2026, and waiting won't help. The README says how to tell
  ("Which way to fetch"). --graph-api, Instagram's official API, is the way that it offers."""
    withheld_hint = "--graph-api for those of the {} withheld that are professional (README)"

    def url(self, username: str) -> str:
        return f"{API_URL}?username={username}"

    def parse(self, username: str, response: Response) -> dict[str, Any]:
        user = user_of(response)
        is_failure = response.status != 200 or response.payload.get("status") == "fail"
        if "biography" in user and is_about(username, user) and not is_failure:
            return web_fields(user)
        kind, what = next((kind, what) for applies, kind, what in WEB_OUTCOMES if applies(response))
        message = text_of(response.payload, "message")
        raise kind(f"{what} ({response.status})" + response.describe(message))


# ==================================================================================================
# Graph API
# ==================================================================================================

# From Meta's pages "Business Discovery", "IG User", "Access Tokens" and "Error codes".
GRAPH_URL = "https://graph.facebook.com/v25.0/"
ACCOUNT_ID = re.compile(r"[0-9]{1,30}")
RATE_LIMIT_CODES = (4, 17, 32, 341, 368, 613, *range(80000, 80015))
TRANSIENT_CODES = (-1, 1, 2)
TOKEN_CODES = (102, 190)
PERMISSION_CODES = (10, *range(200, 300))

# What to do about a problem with the set-up. The steps are those of the README.
CHAPTER = 'README, "Set up the official API"'
NEW_TOKEN = f"Make a new one, and put it into {TOKEN_VARIABLE} ({CHAPTER}, steps 4 to 6)"
OTHER_TOKEN = f"It is cut short, or of another kind than the Graph API Explorer's. {NEW_TOKEN}"
ROLE = f"Your Facebook account needs a role on the Page (step 2). {NEW_TOKEN}"
DASHBOARD = "Its dashboard on developers.facebook.com says what Meta wants (developer verification)"
UNSIGNED = "Switch off 'Require app secret' in the advanced settings of your app"
NEW_APP = f"Make an app of the type Business, and a token of it ({CHAPTER}, steps 3 to 6)"
RIGHT_ID = (
    "An id behind --graph-api may be that of a Page: leave it out, and the token tells the right "
    f"one. If you gave none, it is a token of Instagram Login. {NEW_TOKEN}"
)
PERMISSIONS = (
    "Make a token with instagram_basic, instagram_manage_insights, pages_read_engagement and "
    f"pages_show_list ({CHAPTER}, steps 4 to 6); after a role in Business Manager, ads_read, too"
)
MAKE_IT_AGAIN = (
    "make the token again with all the permissions of step 4 (and business_management, if the Page "
    "belongs to a Business Portfolio), and choose them all in the window that opens"
)
NO_PAGE = f"the access token shows no Page, so no Instagram account, either: {MAKE_IT_AGAIN}"
NO_ACCOUNT = (
    f"no Instagram account is linked to any Page that the access token shows: {{}} ({CHAPTER}). "
    f"Make yours professional (step 1), link it to the Page (step 2), and {MAKE_IT_AGAIN}"
)

# What is wrong with the set-up: the codes of an error (None: any), the sign of it in its subcode
# and message ("": any), what it is, and what to do. The first row that fits counts.
REFUSED = "the access token is refused"
NO_SUCH_ACCOUNT = "your account is none that the access token shows"
SET_UP_PROBLEMS: Sequence[tuple[Collection[int] | None, str, str, str]] = (
    (None, "API access blocked|deactivated", "Meta keeps your app out", DASHBOARD),
    (None, "appsecret_proof", "your app asks for signed calls", UNSIGNED),
    (TOKEN_CODES, "subcode 459", REFUSED, "Log in to facebook.com and follow what it asks"),
    (TOKEN_CODES, "subcode 492|must be granted", REFUSED, ROLE),
    (TOKEN_CODES, "Cannot parse", REFUSED, OTHER_TOKEN),
    (TOKEN_CODES, "", REFUSED, f"If it was pasted whole, it is valid no longer. {NEW_TOKEN}"),
    (PERMISSION_CODES, "", "a permission is missing", PERMISSIONS),
    ((3, 101), "", "the app of your access token can't do this", NEW_APP),
    ((100,), "nonexisting field .business_discovery", NO_SUCH_ACCOUNT, RIGHT_ID),
    ((100,), "subcode 33:|method type: get", NO_SUCH_ACCOUNT, RIGHT_ID),
    ((803,), "", NO_SUCH_ACCOUNT, RIGHT_ID),
    ((25,), "", "your account is restricted", "Log in to Instagram and follow what it asks"),
    ((2635,), "", "the API has changed", "Get a newer version of this program"),
)


def parse_account(response: Response) -> tuple[str, str]:
    """Return the one account's id and `@username`; raises UnusableError for none or several."""
    pages = response.payload.get("data")
    if response.status != 200 or not isinstance(pages, list):
        raise graph_error(response)
    accounts, choices, names = {}, {}, []
    for page in map(as_object, pages):
        names.append(f"'{page.get('name', '?')}'")
        account = as_object(page.get("instagram_business_account"))
        if ACCOUNT_ID.fullmatch(account_id := str(account.get("id", ""))):
            accounts[account_id] = called = printable(f"@{account.get('username') or account_id}")
            choices[account_id] = f"{account_id}  for {called} (Page {printable(names[-1])})"
    if not accounts:
        shown = printable(", ".join(names))
        raise UnusableError(NO_ACCOUNT.format(shown) if pages else NO_PAGE)
    if len(accounts) > 1:
        lines = "\n  --graph-api ".join(["", *choices.values()])
        raise UnusableError(f"the token shows {len(accounts)} accounts; choose one:{lines}")
    return accounts.popitem()


def graph_error(response: Response) -> FetchError:
    """Return what a response without data means."""
    status, error = response.status, as_object(response.payload.get("error"))
    code = error.get("code") if type(error.get("code")) is int else None
    message = text_of(error, "message")
    where = f"({status if code is None else f'error {code}'}){response.describe(message)}"
    if status in GraphApi.blocked_statuses or code in RATE_LIMIT_CODES:
        return Blocked(f"blocked, a rate limit {where}")
    if 500 <= status < 600 or code in TRANSIENT_CODES or error.get("is_transient") is True:
        return NetworkError(f"server error {where}")
    if response.page or (status == 200 and response.json is None):
        return NetworkError(f"no JSON {where}")
    signs = f"subcode {error.get('error_subcode')}: {message}"
    for codes, sign, what, advice in SET_UP_PROBLEMS:
        if (codes is None or code in codes) and re.search(sign, signs, re.IGNORECASE):
            return SetUpError(f"{what} {where}. {advice}", is_final=code in TOKEN_CODES)
    return UnexpectedResponse(f"unexpected response {where}")


class GraphApi(Source):
    """Meta's Business Discovery, as the user's own account; if its id is "", the token tells it."""

    name = "Instagram's official API"
    fields = frozenset({"full_name", "biography", "follower_count", "is_business"})
    blocked_statuses: tuple[int, ...] = (429,)
    settled_errors = (NOT_FOUND, NOT_PROFESSIONAL)
    plan_hint = (
        "The access token has to last until {}, or longer if Meta's hourly limit is met: one from "
        "the Graph API Explorer lasts an hour or two, an extended one 60 days (see the README)"
    )

    def __init__(self, account_id: str, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}
        self._account_id = account_id

    def check_set_up(self, client: Client) -> None:
        if self._account_id:
            return
        log.info("Asking %s for the account of the access token", self.name)
        path = "me/accounts?fields=name,instagram_business_account{id,username}&limit=100"
        try:
            account = client.send("me/accounts", GRAPH_URL + path, parse_account)
        except (Blocked, NetworkError) as error:
            when = f"run the same command again {error.try_again}"
            raise StoppedError(f"your account can't be found now ({error}): {when}") from error
        except FetchError as error:
            advice = "" if isinstance(error, SetUpError) else "; give its id behind --graph-api"
            raise UnusableError(f"your account can't be found: {error}{advice}") from error
        self._account_id, called = account
        self.name = f"{self.name}, as {called}"

    def url(self, username: str) -> str:
        fields = "{username,name,biography,followers_count}"
        account = f"{GRAPH_URL}{self._account_id}"
        return f"{account}?fields=business_discovery.username({username}){fields}"

    def parse(self, username: str, response: Response) -> dict[str, Any]:
        """Return the profile fields; of an account that is not professional, its `error` alone."""
        user = as_object(response.payload.get("business_discovery"))
        if response.status != 200 or not user:
            meaning, error = graph_error(response), as_object(response.payload.get("error"))
            is_not_shown = error.get("code") == 110 or error.get("error_subcode") == 2207013
            if is_not_shown and type(meaning) is UnexpectedResponse:
                return {"error": NOT_PROFESSIONAL}  # personal, age-restricted or gone
            raise meaning
        if not is_about(username, user):
            raise UnexpectedResponse("data about another profile (200)")
        return {
            "full_name": user.get("name"),
            "biography": user.get("biography"),
            "follower_count": user.get("followers_count"),
            "is_business": True,
        }


# ==================================================================================================
# HTTP
# ==================================================================================================

SOCKET_TIMEOUT = 30.0  # seconds of silence
RESPONSE_TIMEOUT = 60.0  # seconds for one response in all, head and body
RESPONSE_BYTES = 10 * 1024 * 1024
KEEP_ALIVE = 30.0  # seconds; a router may have forgotten a connection that was idle for longer
TRIES = 4
FAILURES_IN_A_ROW = 5  # of whatever profiles: we may be blocked
BLOCKED_WAIT = 60.0  # seconds for which nothing is sent after a blocked response


def anonymous_session(headers: Mapping[str, str]) -> requests.Session:
    """Make a session without cookies or ~/.netrc, to which a redirect is a response like any."""
    session = requests.Session()
    session.headers.update(headers)
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.auth = lambda request: request
    session.stream = True
    # Else `requests` would read the whole body of a redirect, however long.
    session.get_redirect_target = lambda resp: None  # type: ignore[method-assign]
    return session


def describe_failure(error: Exception) -> str:
    """Say what `requests` met, and why; of a proxy only the kind: the reason may be a password."""
    kind = type(error).__name__
    if isinstance(error, (requests.exceptions.ProxyError, ValueError, TypeError)):
        return kind
    reason: BaseException = error
    while reason.__context__:
        reason = reason.__context__
    return f"{kind}: {printable(reason)}"


class Client:
    """Sends requests at the limiter's pace, and waits for as long as their responses ask.

    `failures` counts the requests in a row, tries included, without an answered profile; at five,
    nothing is tried again. `is_reached` is whether any response has begun to come back.
    """

    def __init__(self, source: Source, limiter: RateLimiter, waiter: Waiter) -> None:
        self.source = source
        self.limiter = limiter
        self.requests_sent = self.failures = 0
        self.is_reached = False
        self._waiter = waiter
        self._session = anonymous_session(source.headers)
        self._locked_out_hint = source.locked_out_hint  # until it is logged, or can't be true
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Blocked, NetworkError)),
            stop=lambda state: state.attempt_number >= TRIES or self.failures >= FAILURES_IN_A_ROW,
            wait=tenacity.wait_exponential(multiplier=5),
            sleep=lambda seconds: waiter.wait_until(Deadline.after(seconds), "retrying in"),
            before_sleep=self._log_retry,
            reraise=True,
        )

    def fetch(self, username: str, send: Callable[..., dict[str, Any]]) -> Profile:
        """Fetch a profile with `send` or `send_once`; raises as they do."""
        parse = functools.partial(self.source.parse, username)
        return Profile.fetched_now(username, send(f"@{username}", self.source.url(username), parse))

    def send(self, label: str, url: str, parse: Callable[[Response], Result]) -> Result:
        """Send a request, again after a block or a network error; returns what `parse` does.

        Raises what it does, NetworkError, Interrupted and OSError; `label` is for the log.
        """
        result: Result = self._retrying(self.send_once, label, url, parse)
        return result

    def send_once(self, label: str, url: str, parse: Callable[[Response], Result]) -> Result:
        """Send a request a single time, when it may be sent; returns and raises as `send`."""
        self.wait_while_blocked()
        self.limiter.wait_before_request()
        try:
            response = self._get(url)
            log.debug("%s: status %d, %d bytes", label, response.status, len(response.body))
            if wait := requested_wait(response.headers):
                self.limiter.progress.block_for(wait)
                log.info("%s: we are asked to wait %s", label, format_wait(wait))
            result = parse(response)
        except FetchError as error:
            self._count(error)
            raise
        self._count(None)
        return result

    def wait_while_blocked(self) -> None:
        """Wait until requests may be sent; no connection is kept over a longer wait."""
        if self.limiter.ready_in() > KEEP_ALIVE:
            self._session.close()
        self.limiter.wait_while_blocked()

    def _get(self, url: str) -> Response:
        """Send one request; raises NetworkError if no whole response comes, and Interrupted.

        It has a thread of its own, which a signal, or a response that drips, can leave behind.
        """
        results: queue.SimpleQueue[Response | NetworkError] = queue.SimpleQueue()
        what = "waiting for an answer"
        self._waiter.wait_for(what, lambda: None)  # a signal may have come
        self.requests_sent += 1
        try:
            threading.Thread(target=self._receive, args=(url, results), daemon=True).start()
            result = self._waiter.wait_for(what, results.get, True, RESPONSE_TIMEOUT)
        except queue.Empty:
            raise NetworkError(f"no whole response within {RESPONSE_TIMEOUT:.0f} s") from None
        except RuntimeError as error:  # the system has no thread left
            raise NetworkError(str(error)) from error
        if isinstance(result, NetworkError):
            raise result
        return result

    def _receive(self, url: str, results: queue.SimpleQueue[Response | NetworkError]) -> None:
        """Put the response to a request into `results`, or the NetworkError that came instead."""
        deadline = Deadline.after(RESPONSE_TIMEOUT)
        try:
            with self._session.get(url, timeout=SOCKET_TIMEOUT, allow_redirects=False) as response:
                self.is_reached = True
                body = bytearray()
                is_block = response.status_code in self.source.blocked_statuses
                with contextlib.suppress(Exception) if is_block else contextlib.nullcontext():
                    for chunk in response.iter_content(4096):
                        body += chunk
                        if len(body) > RESPONSE_BYTES or deadline.remaining() < 0:
                            raise TimeoutError("a response that is too long or too slow")
            results.put(Response(response.status_code, response.headers, bytes(body)))
        except Exception as error:  # noqa: BLE001 - whatever a broken response raises
            results.put(NetworkError(describe_failure(error)))

    def _count(self, error: FetchError | None) -> None:
        """Count the failures in a row; after a blocked response, nothing is sent for a minute."""
        if error is None or isinstance(error, Withheld):
            self.failures, self._locked_out_hint = 0, ""
            return
        self.failures += 1
        if isinstance(error, Blocked):
            self.limiter.progress.block_for(BLOCKED_WAIT)
            if self._locked_out_hint:
                log.warning("%s", self._locked_out_hint)
                self._locked_out_hint = ""

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        label, attempt = state.args[0], state.attempt_number + 1
        seconds = format_duration(max(state.upcoming_sleep, self.limiter.ready_in()))
        log.info("%s: %s; try %d of %d in %s", label, error, attempt, TRIES, seconds)


# ==================================================================================================
# Fetching
# ==================================================================================================

# The three rules, and where they stand:
#   tries           what is blocked or a network error is sent four times: `Client.send`
#   five in a row   a known profile tells whether we are out: `Enrichment.pause_if_out`
#   passes          what may have failed by chance gets another: `FetchQueue.start_next_pass`

LEAST_PAUSE = 60.0  # seconds of a pause in an outage
LONGEST_NETWORK_PAUSE = 900.0  # seconds; trying the network again bothers nobody
GIVE_UP_AFTER = 24 * 3600.0  # seconds of an outage in which the machine was awake
GIVE_UP_UNKNOWN_AFTER = 4 * 3600.0  # the same, where no profile is known


class FetchQueue:
    """The open profiles in the order in which they are fetched, and what came of them.

    `first_index` is username -> index of its first row. `waiting` are those that this pass has
    still to fetch, at first those from row `rows_done` on; `errors` is why others are still open.
    `fetched` counts the fetches of all passes; `has_answered` is whether anybody was answered.
    """

    def __init__(self, first_index: Mapping[str, int], rows_done: int) -> None:
        self.first_index = first_index
        self.waiting = deque(sorted(first_index, key=lambda name: first_index[name] < rows_done))
        self.errors: dict[str, FetchError] = {}
        self.fetched = 0
        self.has_answered = False
        self._pass = 1
        self._has_found = False  # whether this pass has found one that was not found before
        self._not_found_in: dict[str, list[int]] = {}  # the passes; none, if all were undone
        # The failures in a row: each with the username, and what had come of it before.
        self._in_a_row: list[tuple[str, FetchError | None]] = []

    def note_answer(self, error: Withheld | None = None) -> None:
        """Note that the first of those waiting was answered, or is withheld."""
        username = self.waiting.popleft()
        self.fetched += 1
        self.errors.pop(username, None)
        if error:
            self.errors[username] = error
        self._has_found = self._has_found or bool(self._not_found_in.get(username))
        self.confirm_failures()

    def note_failure(self, error: FetchError) -> None:
        """Note that the first of those waiting was fetched in vain."""
        username = self.waiting.popleft()
        self.fetched += 1
        self._in_a_row.append((username, self.errors.get(username)))
        self.errors[username] = error
        if isinstance(error, NotFound):
            self._not_found_in.setdefault(username, []).append(self._pass)

    def confirm_failures(self) -> None:
        """Let the failures in a row count, as a profile was answered: they were about those."""
        self.has_answered = True
        self._in_a_row.clear()

    def undo_failures(self) -> None:
        """Put the profiles that failed in a row to the end, as if they had not been fetched."""
        for username, earlier in reversed(self._in_a_row):  # one may be in it twice
            if isinstance(self.errors.pop(username), NotFound):
                self._not_found_in[username].pop()
            if earlier:
                self.errors[username] = earlier
        again = dict.fromkeys(username for username, _ in self._in_a_row)
        self.waiting.extend([username for username in again if username not in self.waiting])
        self._in_a_row.clear()

    def start_next_pass(self, is_any_known: bool) -> None:
        """Let those that were fetched in vain be fetched once more, if there is reason to."""
        self.waiting.extend(self._again(is_any_known))
        if self.waiting:
            profiles = counted(len(self.waiting), "profile")
            log.info("Once more: %s that could not be fetched", profiles)
            self._pass += 1
            self._has_found = False

    def left(self) -> int:
        """Return how many profiles are still to be fetched, in this pass or the next."""
        return len({*self.waiting, *self._again(is_any_known=True)})

    def gone(self) -> list[str]:
        """Return, after the last pass, those that were not found in two passes running."""
        last_two, passes = [self._pass - 1, self._pass], self._not_found_in
        return [name for name in self._failed(NotFound) if passes[name][-2:] == last_two]

    def _again(self, is_any_known: bool) -> list[str]:
        """Return those that the next pass fetches: what may have failed by chance."""
        kinds: list[type[FetchError]] = [Blocked, NetworkError] if self._pass == 1 else []
        if is_any_known and (self._pass == 1 or self._has_found):  # so it may find others, too
            kinds.append(NotFound)
        return self._failed(*kinds)

    def _failed(self, *kinds: type[FetchError]) -> list[str]:
        return [username for username, error in self.errors.items() if isinstance(error, kinds)]


# ==================================================================================================
# State on disk
# ==================================================================================================

CACHE_FILE, PROGRESS_FILE, LOCK_FILE = "ig_cache.json", "ig_progress.json", "ig.lock"
CLOSING = b"\n}\n"  # how a cache file ends, after its last entry
ENTRY_START = re.compile(r'"([A-Za-z0-9._]{1,30})"[ \t\r\n]*:[ \t\r\n]*(?=\{)')
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # as "surrogateescape" decodes it


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError say which path it is about, as not all of them do."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def read_if_exists(path: Path) -> bytes:
    """Return what a file holds; nothing if there is no such file."""
    return path.read_bytes() if path.exists() else b""


def part_path(path: Path) -> Path:
    """Return where a file is written before it is moved into its place."""
    return path.with_name(f".{path.name}.ig-part")


def write_atomic(path: Path, data: bytes, like: Path | None = None) -> None:
    """Write a file beside `path`, sync it, and move it there, with the permissions of `like`."""
    part = part_path(path)
    with naming(path):
        try:
            with part.open("wb") as file:
                with contextlib.suppress(OSError):
                    os.fchmod(file.fileno(), stat.S_IMODE((like or path).stat().st_mode))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise


def keep_copy(path: Path, data: bytes, suffix: str, why: str) -> None:
    """Keep what a file holds as `path.suffix`, or `path.suffix1` …, before it is replaced."""
    paths = (path.with_name(f"{path.name}.{suffix}{count or ''}") for count in itertools.count())
    copy = next(each for each in paths if not each.exists())
    write_atomic(copy, data, like=path)
    log.warning("%s %s: kept it as %s", printable(path), why, printable(copy))


class Cache:
    """The profiles fetched so far: username -> Profile in memory, one JSON object on disk.

    If another program has changed or removed the file, it is written anew from memory, and what it
    held is kept as a copy. What writes may raise OSError; what the file held stays whole then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        data = read_if_exists(path)
        self.profiles = parse_cache(data)
        if data == render_cache(self.profiles.values()):
            path.open("r+b").close()  # it can be written, too
            self._stamp = file_stamp(path)  # by which a change is seen
        else:
            taken_over = f"{counted(len(self.profiles), 'profile')} taken over"
            self._replace(data, f"is damaged, or another program's; {taken_over}")

    def known(self) -> list[str]:
        """Return the usernames of the profiles with data, which are known to exist."""
        return [username for username, profile in self.profiles.items() if not profile.error]

    def add(self, profile: Profile) -> None:
        """Save a profile: its line is written over the closing brace in one write, and synced."""
        self.rewrite_if_changed()
        if profile.username in self.profiles:
            self._write({**self.profiles, profile.username: profile})
        else:
            separator = b",\n" if self.profiles else b"\n"
            self._append(separator + render_entry(profile))
        self.profiles[profile.username] = profile

    def rewrite_if_changed(self) -> None:
        """Write the file anew, if another program has changed or removed it."""
        if self._stamp != file_stamp(self._path):
            self._replace(read_if_exists(self._path), "was changed by another program")

    def set_aside(self) -> None:
        """Keep the file as `.bak`, or the next free name, and start empty."""
        self.rewrite_if_changed()
        if self.profiles:
            keep_copy(self._path, self._path.read_bytes(), "bak", "is set aside by --force")
            self.profiles.clear()
            self._write({})

    def _replace(self, data: bytes, why: str) -> None:
        """Write the file anew from memory; what it holds now, `data`, is kept if it differs."""
        if data not in (b"", render_cache(self.profiles.values())):
            keep_copy(self._path, data, "damaged", why)
        self._write(self.profiles)

    def _append(self, line: bytes) -> None:
        """Write a line over the closing brace; if that fails, put the brace back."""
        ending = line + CLOSING
        with naming(self._path), self._path.open("r+b", buffering=0) as file:
            end = file.seek(-len(CLOSING), os.SEEK_END)
            try:
                if file.write(ending) < len(ending):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.seek(end)
                file.write(CLOSING)
                file.truncate()
                self._stamp = file_stamp(self._path)
                raise
        self._stamp = file_stamp(self._path)

    def _write(self, profiles: Mapping[str, Profile]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, render_cache(profiles.values()))
        self._stamp = file_stamp(self._path)


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what tells, without reading it, whether a file was changed; None if it is gone."""
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def render_cache(profiles: Iterable[Profile]) -> bytes:
    """Return a cache file: one JSON object with an entry a line."""
    return b"{" + b",".join(b"\n" + render_entry(profile) for profile in profiles) + CLOSING


def render_entry(profile: Profile) -> bytes:
    """Return a cache entry: in ASCII, so that a torn file never ends within a character."""
    return json.dumps({profile.username: profile._asdict()})[1:-1].encode("ascii")


def parse_cache(data: bytes) -> dict[str, Profile]:
    """Read every whole entry of a cache file, whoever wrote it and however torn it is."""
    text = data.decode("utf-8", "surrogateescape")
    decode = json.JSONDecoder().raw_decode
    profiles: dict[str, Profile] = {}
    position = 0
    while start := ENTRY_START.search(text, position):
        position = start.end()
        try:
            entry, end = decode(text, position)
        except (ValueError, RecursionError):
            continue
        if any(isinstance(value, dict) and is_about_profile(value) for value in entry.values()):
            continue  # a torn entry with the next ones in it, or a wrapper: skip to the first one
        position = end
        username = start[1].lower()
        is_text = not NOT_UTF8.search(text, start.start(), end)
        is_same = str(entry.get("username") or username).lower() == username
        if is_text and is_same and is_about_profile(entry):
            profiles[username] = Profile.from_values(username, entry)
    return profiles


def is_about_profile(entry: Mapping[str, Any]) -> bool:
    """Return whether a cache entry, whoever wrote it, is about a profile, not about a failure."""
    if error := entry.get("error"):
        return isinstance(error, str) and error in ERRORS
    texts = (entry.get("biography"), entry.get("category_name"))
    return "biography" in entry and all(text is None or isinstance(text, str) for text in texts)


class Progress:
    """What a run leaves to the next; what writes may raise OSError.

    `rows_done` counts the rows from the top that are done, `batch_count` the fetches of the batch.
    `not_before` is when requests may be sent: in `longest_wait` at most, if the clock was set back.
    """

    def __init__(self, path: Path, rows: int, longest_wait: float, has_batches: bool) -> None:
        self._path = path
        self._has_batches = has_batches
        state = as_object(parse_json(read_if_exists(path)))
        rows_done: Any = state.get("last_processed_index")
        batch_count: Any = state.get("batch_count") if has_batches else 0
        self.rows_done = rows_done if type(rows_done) is int and 0 <= rows_done <= rows else 0
        self.batch_count = max(batch_count, 0) if type(batch_count) is int else 0
        self.is_fetching = False
        wait = parse_timestamp(state.get("not_before")) - time.time()
        self.not_before = Deadline.after(min(wait, longest_wait))

    def advance_to(self, rows_done: int) -> None:
        """Note that so many rows from the top are done, if they are more than before."""
        self.rows_done = max(self.rows_done, rows_done)
        self.save()

    def begin_fetch(self) -> None:
        """Count a profile that is about to be fetched: a kill never makes the batch longer."""
        self.batch_count += 1
        self.is_fetching = True
        self.save()

    def block_for(self, seconds: float) -> None:
        """Send nothing at all for so many seconds from now; never shortens a longer block."""
        if seconds > self.blocked_for():
            self.not_before = Deadline.after(seconds)
            self.save()

    def blocked_for(self) -> float:
        """Return the seconds for which nothing may be sent yet."""
        return max(self.not_before.remaining(), 0.0)

    def finish(self) -> None:
        """Note that the whole list is done; a wait that goes on is kept for the next run."""
        self.rows_done = self.batch_count = 0
        if self.blocked_for():
            self.save()
        else:
            self._path.unlink(missing_ok=True)

    def save(self) -> None:
        """Write the file."""
        state: dict[str, Any] = {"last_processed_index": self.rows_done}
        if self._has_batches and self.batch_count:
            state["batch_count"] = self.batch_count
        if wait := self.blocked_for():
            state["not_before"] = format_timestamp(math.ceil(time.time() + wait))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, json.dumps(state).encode() + b"\n")


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a state folder; raises UnusableError if another run holds it, and OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    with path.open("a+b", buffering=0) as file:
        try:
            with naming(path):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            process = file.read().decode("ascii", "replace").strip()
            how = f", or stop it with: kill {process}" if process.isdecimal() else ""
            what = f"another run is using {printable(folder)}: wait until it ends{how}"
            raise UnusableError(what) from None
        with contextlib.suppress(OSError):  # a full disk is no reason not to go on
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
        yield


# ==================================================================================================
# Columns
# ==================================================================================================

SAMPLE_SIZE = 500  # about so many cells are looked at, so that 40,000 rows take seconds
LISTED_COLUMNS, VALUE_CHARACTERS = 30, 40  # in a message

# What headers say, as `fold` writes them: in English, Spanish, Portuguese, French, German, Italian.
HANDLE_HEADER = re.compile(
    r"(?:.* )?(?:handle|user|username|account|profile|usuario|cuenta|perfil|conta|utilizador|"
    r"utilisateur|compte|profil|pseudo|identifiant|benutzer|benutzername|nutzername|konto|utente|"
    r"profilo)(?: ?s)?(?: (?:name|url|link|id)s?)?"
)
NAME_HEADER = re.compile(
    r"(?:full )?(?:name|nombre|nome|nom|influencer|creator|creador|criador|artist|artista|blogger|"
    r"celebrity|talent|model|person)s?(?: name)?"
)
OTHER_HEADER = re.compile(  # about something other than whose row it is
    r"\b(?:followers?|following|followed|seguidores|seguidos|bio|biography|description|category|"
    r"categoria|genre|type|tipo|e ?mail|mail|phone|manager|agent|agency|owner|friends?|referred|"
    r"mentions?|mentioned|tags|tagged|hashtags?|comments?|captions?|notes?|notas?|posts?|likes?|"
    r"views|reach|engagement|rate|er|counts?|number|score|rank|tier|date|status|verified|niche|"
    r"topics?|content|campaign|growth|audience|dms?|price|cost|country|city|language|age|gender|"
    r"password|picture|photo|image|avatar)\b"
)
PLATFORM_HEADER = re.compile(
    r"\b(?:platform|network|social|channel|service|app|plataforma|plattform|plateforme|piattaforma|"
    r"netzwerk|redes?|red|rrss|reseaux?|canal|kanal)s?\b"
)
OTHER_NETWORK_HEADER = re.compile(rf"\b(?:{DISTINCT_NETWORKS}|(?:{SHORT_NETWORKS})\b)|^x\b")
NETWORK = re.compile(rf"(?i)instagram|insta|ig|{DISTINCT_NETWORKS}|{SHORT_NETWORKS}|snap|kick")
SINGLE_X = re.compile(r"(?i)(?<![\w.])x(?![\w.])")  # a check mark, or `Nike x Adidas`
WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # `instagramHandle`


@dataclass(frozen=True)
class Column:
    """A column of the list."""

    position: int  # from 0
    header: str  # on one line
    cells: Sequence[str] = ()  # those that are not blank
    rows: int = 0  # of the list
    is_new: bool = False  # to be added to it

    @functools.cached_property
    def words(self) -> str:
        """The header, folded."""
        return fold(self.header)

    @functools.cached_property
    def sample(self) -> Sequence[str]:
        """Some cells, evenly spread over those that don't say "none"."""
        cells = [cell for cell in self.cells if not SAYS_NONE.fullmatch(cell.strip())]
        return cells[:: 1 + len(cells) // SAMPLE_SIZE]

    @functools.cached_property
    def is_platform(self) -> bool:
        """Whether it says of each row on which network its handle is."""
        names = sum(NETWORK.fullmatch(cell.strip()) is not None for cell in self.sample)
        named = (NAMES_INSTAGRAM.search(cell) or OTHER_NETWORK.search(cell) for cell in self.cells)
        is_called_so = PLATFORM_HEADER.search(self.words) is not None
        return 2 * names > len(self.sample) or (is_called_so and any(named))

    def candidate_kind(self) -> int:
        """Return 1, 2 or 3 for a candidate, the strongest first; 0 if it is none."""
        names_instagram = NAMES_INSTAGRAM.search(self.words)
        names_other = OTHER_NETWORK_HEADER.search(self.words)
        if OTHER_HEADER.search(self.words) or (names_other and not names_instagram):
            return 0
        kinds = Counter(kind for _, kind in map(parse_handle, self.sample))
        count = sum(kinds.values()) - kinds[NO_NAME]
        addresses = kinds[ADDRESS]
        marked = addresses + kinds[MENTION]
        is_half_usable = 2 * (marked + kinds[WORD]) >= count > 0
        is_filled = 2 * len(self.cells) > self.rows
        if (is_filled and 2 * addresses > count) or (names_instagram and is_half_usable):
            return 1
        if HANDLE_HEADER.fullmatch(self.words) and is_half_usable:
            return 2
        return 3 if NAME_HEADER.fullmatch(self.words) and 3 * marked >= 2 * count > 0 else 0

    def __str__(self) -> str:
        values = (printable(cell.strip()[:VALUE_CHARACTERS]) for cell in self.cells[:3])
        return f"'{printable(self.header)}' ({', '.join(values) or 'empty'})"


def fold(text: str) -> str:
    """Return the words of a text, without case, accents and punctuation."""
    letters = unicodedata.normalize("NFKD", WORD_START.sub(" ", text)).casefold()
    return " ".join(re.findall(r"[^\W_]+", re.sub("[\u0300-\u036f]", "", letters)))


def find_handle_column(columns: Sequence[Column], names: Sequence[str]) -> Column:
    """Return the candidate or raise UnusableError; `names` may tell of a network."""
    kinds = [column.candidate_kind() for column in columns]
    strongest = min(filter(None, kinds), default=0)
    found = [column for column, kind in zip(columns, kinds) if kind and kind == strongest]
    other = None if strongest == 1 else find_other_network(columns, names)
    if len(found) == 1 and other is None:
        return found[0]
    what = f"has {'several columns' if found else 'no column'} that may hold Instagram handles"
    if other is not None:
        named = printable(other.strip())
        what = f"names another network ('{named}'), whose names may be strangers' on Instagram"
    raise UnusableError(f"{what}: {list_columns(found or columns, '--username-column')}")


def find_other_network(columns: Sequence[Column], names: Sequence[str]) -> str | None:
    """Return a name or cell of another network, if there is one, and none that is Instagram's."""
    platforms = [cell for column in columns if column.is_platform for cell in column.cells]
    if any(map(NAMES_INSTAGRAM.search, (*map(fold, names), *platforms))):
        return None
    file_name, *headers = names
    # A file may be called x.csv: its name has to be distinct.
    others = [file_name] if re.search(rf"\b(?:{DISTINCT_NETWORKS})", fold(file_name)) else []
    others += [header for header in headers if OTHER_NETWORK_HEADER.search(fold(header))]
    for column in columns:
        cells = [cell for cell in column.sample if OTHER_NETWORK.search(SINGLE_X.sub("", cell))]
        is_other = 2 * sum(not NAMES_INSTAGRAM.search(cell) for cell in cells) > len(column.sample)
        others += cells if is_other else []
    return others[0] if others else None


def named_column(columns: Sequence[Column], header: str, flag: str) -> Column:
    """Return the one column that the user named, but for case and space; raises UnusableError."""
    key = one_line(header).casefold()
    found = [column for column in columns if column.header.casefold() == key]
    if len(found) == 1:
        return found[0]
    called = f"column '{printable(header)}'"
    if found:
        raise UnusableError(f"has several of {called}, but for case and space: rename all but one")
    raise UnusableError(f"has no {called}: {list_columns(columns, flag)}")


def one_line(header: str) -> str:
    """Return a header on one line, without invisible marks and surplus space."""
    return " ".join(plain(header).split())


def list_columns(columns: Sequence[Column], flag: str) -> str:
    """Say which columns there are to choose from, with their first values, and the flag for it."""
    listed = ", ".join(map(str, columns[:LISTED_COLUMNS]))
    more = f" and {len(columns) - LISTED_COLUMNS} more" if len(columns) > LISTED_COLUMNS else ""
    return f'{listed}{more}; name the right one with {flag} "HEADER"'


# ==================================================================================================
# CSV
# ==================================================================================================

BOM = "\ufeff"
DELIMITERS = ",;\t|"
FIRST_ROWS = 20  # by which the delimiter and the header are found
TO_FILL = {  # profile field -> header of the column to fill, and the flag that names another one
    "category_name": ("GENRE", "--genre-column"),
    "biography": ("Details", "--details-column"),
}
LINE_END = re.compile(r"\r\n|\r|\n")
NEEDS_QUOTES = re.compile(r'[",;\t|]')  # whatever the delimiter is
RAW_CELLS = {  # delimiter -> a raw cell, which a quote that is left open keeps from matching
    mark: re.compile(rf'(?:\A|[{mark}])((?:"[^"]*(?:""[^"]*)*"(?!")|(?!"))[^{mark}\r\n]*)')
    for mark in DELIMITERS
}


class Row(NamedTuple):
    """A row of the list: its raw text, and what of it matters here."""

    number: int  # as a spreadsheet counts: the first row of the file is row 1
    text: str  # with its line end, and with the blank lines above it, which DictReader skips
    cells: dict[Any, Any]  # position -> cell; None -> the cells beyond the header
    handle_cell: str = ""
    username: str | None = None  # in its handle cell; None if that holds no usable one
    handle_kind: str = NO_NAME  # what it holds
    wanted: Mapping[str, str] = {}  # profile field -> header of its cell, of those that are empty

    def cell(self, column: Column) -> str:
        """Return its cell in a column; "" if it ends before that."""
        return str(self.cells.get(column.position, ""))


@dataclass(frozen=True)
class Sheet:
    """The list. Its rows keep their raw text: what is not filled comes out byte for byte."""

    text: str  # of the whole file
    delimiter: str
    above: str  # the raw text above the header, a BOM included
    header: Row
    rows: list[Row]
    below: str  # the blank lines below the last row
    handle_header: str
    columns: dict[str, Column]  # profile field -> the column to fill

    def render(self, profiles: Mapping[str, Profile]) -> bytes:
        """Return the whole file, with what `profiles` (username -> Profile) adds to it."""
        added = {field: each.header for field, each in self.columns.items() if each.is_new}
        header = self._fill(self.header.text, added)
        filled = [self._fill(row.text, new_cells(row, profiles)) for row in self.rows]
        return "".join([self.above, header, *filled, self.below]).encode()

    def _fill(self, text: str, cells_to_fill: Mapping[str, str]) -> str:
        """Put cells (profile field -> text) into a raw row; every other byte of it stays."""
        if not cells_to_fill:
            return text
        blank_lines, line, line_end = split_raw(text)
        cells = RAW_CELLS[self.delimiter].findall(line)
        for field, value in cells_to_fill.items():
            position = self.columns[field].position
            cells += [""] * (position + 1 - len(cells))
            is_quoted = cells[position].startswith('"') or NEEDS_QUOTES.search(value)
            cells[position] = '"' + value.replace('"', '""') + '"' if is_quoted else value
        return blank_lines + self.delimiter.join(cells) + line_end


def new_cells(row: Row, profiles: Mapping[str, Profile]) -> dict[str, str]:
    """Return what is cached for a row's empty cells: profile field -> text."""
    profile = profiles.get(row.username or "")
    if profile is None or profile.error:
        return {}
    texts = {field: clean(str(getattr(profile, field) or "")) for field in row.wanted}
    return {field: text for field, text in texts.items() if text}


def read_text(path: Path) -> str:
    """Read a file in UTF-8; raises UnusableError if it is no such text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnusableError(f"can't be read ({error.strerror}): give the path of a CSV") from None
    try:
        text, bad_byte = data.decode("utf-8"), data.find(0)
    except UnicodeDecodeError as error:
        text, bad_byte = "", error.start
    if bad_byte >= 0:
        place = f"byte {bad_byte} (line {1 + data.count(10, 0, bad_byte)})"
        what = "has a NUL byte" if data[bad_byte] == 0 else "is not UTF-8"
        raise UnusableError(
            f"{what} at {place}; it may be an Excel workbook, or in UTF-16 or Latin-1: export it "
            'as CSV (in Excel "CSV UTF-8", in Google Sheets "Comma-separated values")'
        )
    return text


def read_sheet(path: Path, named: Mapping[str, str]) -> Sheet:
    """Read a list; `named` are the headers that the user gave: profile field -> header.

    Raises UnusableError, with the place in the file, if the list can't be used.
    """
    text = read_text(path)
    body = text.removeprefix(BOM)
    delimiter, header_index, width = find_header(body)
    rows = list(read_rows(body, delimiter, width))
    above = text[: len(text) - len(body)] + "".join(row.text for row in rows[:header_index])
    below = body[sum(len(row.text) for row in rows) :]
    check_header(rows[: header_index + 1])
    header, *rows = rows[header_index:]
    filled = {at: [row.cells[at] for row in rows if row.cells[at].strip()] for at in header.cells}
    columns = [Column(at, one_line(header.cells[at]), filled[at], len(rows)) for at in filled]
    to_fill = place_columns(columns, rows, named)
    if "username" in named:
        column = named_column(columns, named["username"], "--username-column")
    else:
        others = [each for each in columns if each not in to_fill.values()]
        names = [path.stem, *above.splitlines(), *(each.header for each in columns)]
        column = find_handle_column(others, names)
    handles = read_handles(column, columns, rows, is_named="username" in named)
    read = []
    for row, handle in zip(rows, handles):
        wanted = {field: to.header for field, to in to_fill.items() if not row.cell(to).strip()}
        read.append(Row(row.number, row.text, {}, row.cell(column), *handle, wanted))
    return Sheet(text, delimiter, above, header, read, below, column.header, to_fill)


def find_header(text: str) -> tuple[str, int, int]:
    """Return the delimiter, and the header's index and width; raises UnusableError for none."""
    first_rows = {}
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        first_rows[delimiter] = list(itertools.islice(filter(None, reader), FIRST_ROWS))
    if not any(map(str.strip, itertools.chain(*first_rows[","]))):
        raise UnusableError("is empty: its first row has to name the columns")
    best = max(DELIMITERS, key=lambda each: score(each, first_rows[each]))
    index = index_of_header(first_rows[best])
    return best, index, len(first_rows[best][index])


def score(delimiter: str, rows: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """Say how well a delimiter fits the first rows that it makes; the largest score is the best.

    One that is in no row, or in a text here and there, makes all rows equally wide: it comes last.
    Of equals the wider is better, then what tears no quoted cell apart, then not the comma.
    """
    widths = list(map(len, rows))
    width = widths[index_of_header(rows)]
    is_used = widths[0] > 1 or 2 * sum(each > 1 for each in widths) >= len(widths)
    torn = sum(cell.count('"') % 2 for row in rows for cell in row)
    is_no_comma = width > 1 and delimiter != ","
    return is_used, widths.count(width) / len(widths), width, -torn, is_no_comma


def index_of_header(rows: Sequence[Sequence[str]]) -> int:
    """Return the index of the first row over half as far, and at least half as full, as any."""
    filled = [[at for at, cell in enumerate(row, 1) if cell.strip()] for row in rows]
    far, most = max(max(each, default=0) for each in filled), max(map(len, filled))
    fits = (2 * max(each, default=0) > far and 2 * len(each) >= most for each in filled)
    return next((at for at, is_header in enumerate(fits) if is_header), 0)


def read_rows(text: str, delimiter: str, width: int) -> Iterator[Row]:
    """Yield all rows; raises UnusableError where a quote is left open, or swallows rows."""
    lines = io.StringIO(text, newline="")
    # Columns are told apart by their position: headers may be empty, or appear twice.
    reader = csv.DictReader(lines, range(width), restval="", delimiter=delimiter)
    start = number = 0
    for cells in reader:
        end = lines.tell()
        blank_lines, line, _ = split_raw(text[start:end])
        number += 1 + len(LINE_END.findall(blank_lines))
        if '"' in line and not closes_quotes(line, delimiter):
            raise UnusableError(f'has an open quote (") in row {number}: close or remove it there')
        yield Row(number, text[start:end], cells)
        start = end


def split_raw(text: str) -> tuple[str, str, str]:
    """Split the raw text of a row into the blank lines above it, its cells, and its line end."""
    line = text.strip("\r\n")
    start = text.index(line)
    return text[:start], line, text[start + len(line) :]


def closes_quotes(line: str, delimiter: str) -> bool:
    """Return whether the quotes in the raw text of a row are closed, and in this very row."""
    if not LINE_END.search(line):
        return delimiter.join(RAW_CELLS[delimiter].findall(line)) == line
    try:  # a quote that has swallowed rows ends in the middle of a cell
        return bool(next(csv.reader([line], delimiter=delimiter, strict=True)))
    except csv.Error:
        return False


def check_header(rows: Iterable[Row]) -> None:
    """Raise UnusableError if the header, or a row above it, is an entry; `@handle` is none."""
    cells = [(row.number, row.cells[at]) for row in rows for at in row.cells if at is not None]
    for number, cell in cells:
        username, kind = parse_handle(cell)
        is_marked = kind in (ADDRESS, MENTION) and len(cell.split()) == 1
        if is_marked and not LABEL.fullmatch(username or ""):
            raise UnusableError(
                f"has '{printable(cell.strip())}' in row {number}, where the columns should be "
                "named: add a row that names them all, or put texts with commas in quotes"
            )


def place_columns(
    columns: Sequence[Column], rows: Iterable[Row], named: Mapping[str, str]
) -> dict[str, Column]:
    """Return profile field -> column to fill; one to be added comes after the widest row."""
    surplus = (row.cells.get(None, []) for row in rows)
    widest = max((len(cells) for cells in surplus if any(map(str.strip, cells))), default=0)
    added = itertools.count(len(columns) + widest)
    places = {}
    for field, (default, flag) in TO_FILL.items():
        if field in named:
            places[field] = named_column(columns, named[field], flag)
        else:
            same = [each for each in columns if each.header.casefold() == default.casefold()]
            places[field] = same[0] if same else Column(next(added), default, is_new=True)
    if len({column.position for column in places.values()}) < len(places):
        raise UnusableError("can't have one column for both --genre-column and --details-column")
    return places


def read_handles(
    column: Column, columns: Sequence[Column], rows: Iterable[Row], is_named: bool
) -> list[tuple[str | None, str]]:
    """Read the handle of each row; none if its platform is another, or a word may be no handle."""
    names_instagram = NAMES_INSTAGRAM.search(column.words)
    allows_words = is_named or names_instagram or HANDLE_HEADER.fullmatch(column.words)
    is_certain = names_instagram and not OTHER_NETWORK_HEADER.search(column.words)
    others = [] if is_certain else [each for each in columns if each is not column]
    platforms = [each for each in others if each.is_platform]
    handles = []
    for row in rows:
        username, kind = parse_handle(row.cell(column))
        if kind in (MENTION, WORD):
            networks = [row.cell(platform) for platform in platforms]
            if any(NO_INSTAGRAM.search(n) or not NAMES_INSTAGRAM.search(n) for n in networks):
                username, kind = None, ELSEWHERE
            elif kind == WORD and not allows_words:
                username, kind = None, "a bare word that may be something else"
        handles.append((username, kind))
    if not any(username for username, _ in handles):
        where = "".join(f", whose network is in {platform}" for platform in platforms)
        choices = list_columns(columns, "--username-column")
        raise UnusableError(f"has no usable handle in column {column}{where}: {choices}")
    return handles


# ==================================================================================================
# Report
# ==================================================================================================

REPORT_HEADER = "row,handle,username,status,detail,fetched_at\n"


class Status(Enum):
    """What became of a row, in the word of the report."""

    FILLED = "filled"  # the detail names the columns
    EMPTY = "empty"  # there is nothing for its empty cells
    COMPLETE = "complete"  # it was full before
    NOT_FOUND = "not_found"  # this and the next as the `error` of a cached profile
    NOT_PROFESSIONAL = "not_professional"
    WITHHELD = "withheld"
    OPEN = "open"  # and fetched in vain; the detail says why
    PENDING = "pending"  # not fetched yet
    NO_HANDLE = "no_handle"  # the detail says why


STILL_OPEN = (Status.WITHHELD, Status.OPEN, Status.PENDING)


class Outcome(NamedTuple):
    """What became of a row, and what there is to say about it."""

    row: Row
    status: Status
    detail: str = ""


def outcome(
    row: Row, source: Source, profiles: Mapping[str, Profile], errors: Mapping[str, FetchError]
) -> Outcome:
    """Return what became of a row, by what is cached and by why others were fetched in vain."""
    if row.username is None:
        return Outcome(row, Status.NO_HANDLE, row.handle_kind)
    profile, error = profiles.get(row.username), errors.get(row.username)
    if not row.wanted:
        return Outcome(row, Status.COMPLETE)
    if cells := new_cells(row, profiles):
        return Outcome(row, Status.FILLED, " and ".join(row.wanted[field] for field in cells))
    if profile and source.settles(profile):
        return Outcome(row, Status(profile.error.lower()) if profile.error else Status.EMPTY)
    if source.fields.isdisjoint(row.wanted):
        return Outcome(row, Status.EMPTY, f"{source.name} has nothing for its empty cells")
    if error is None:
        return Outcome(row, Status.PENDING)
    return Outcome(row, Status.WITHHELD if isinstance(error, Withheld) else Status.OPEN, str(error))


def render_report(outcomes: Iterable[Outcome], profiles: Mapping[str, Profile]) -> bytes:
    """Return a CSV of what became of each row, in cells as safe as the output's."""
    text = io.StringIO()
    text.write(REPORT_HEADER)
    writer = csv.writer(text, lineterminator="\n")
    for row, status, detail in outcomes:
        profile = profiles.get(row.username or "")
        fetched_at = (profile and profile.fetched_at) or ""
        handle, *others = map(clean, (row.handle_cell, hide_secrets(detail), fetched_at))
        writer.writerow([row.number, handle, row.username, status.value, *others])
    return text.getvalue().encode()


# ==================================================================================================
# The run
# ==================================================================================================


@dataclass
class Enrichment:
    """One run over the list: fetches what is open, caches it, and writes checkpoints."""

    sheet: Sheet
    client: Client
    cache: Cache
    progress: Progress
    queue: FetchQueue
    args: argparse.Namespace
    output: bytes = b""  # as this run wrote it last
    requests: int = 0  # that the fetches of the queue took
    outage: tuple[float, float] | None = None  # when it began (monotonic), and its last pause

    @functools.cached_property
    def rows(self) -> Sequence[Row]:
        """The rows that it works on: all, or the first ones of a `--limit`."""
        return self.sheet.rows[: self.args.limit]

    def outcomes(self, rows: Sequence[Row]) -> list[Outcome]:
        """Return what became of each row."""
        source, profiles, errors = self.client.source, self.cache.profiles, self.queue.errors
        return [outcome(row, source, profiles, errors) for row in rows]

    def fetch_all(self) -> None:
        """Fetch the queue, in passes; raises Interrupted, StoppedError, SetUpError and OSError."""
        while self.queue.waiting:
            self.fetch_next()
            if not self.queue.waiting:
                self.queue.start_next_pass(is_any_known=bool(self.cache.known()))
        self.cache_gone()
        if self.queue.fetched:
            self.checkpoint()
        if len(self.rows) < len(self.sheet.rows):
            self.progress.advance_to(len(self.rows))
        elif self.queue.fetched or not self.progress.batch_count:  # else the batch before goes on
            self.progress.finish()

    def fetch_next(self) -> None:
        """Fetch the next profile of the queue, after the pause that may be due before it."""
        if self.progress.batch_count >= self.args.batch_size:
            self.pause(self.args.batch_pause, f"Batch of {self.args.batch_size} done")
        self.client.wait_while_blocked()  # a kill in a pause is no fetch of the next batch
        username = self.queue.waiting[0]
        sent_before = self.client.requests_sent
        self.progress.begin_fetch()
        try:
            result = self.fetch_and_note(username)
        finally:
            requests = self.client.requests_sent - sent_before
            self.requests += requests
            self.progress.is_fetching = False
            if not requests:  # a signal came first
                self.progress.batch_count -= 1
        rows_done = self.queue.first_index[username] + 1
        self.progress.advance_to(rows_done)
        eta = self.eta()
        end = f"{format_duration(eta)} left, done at {clock_time_in(eta)}"
        log.info("[%d/%d] @%s: %s | %s", rows_done, len(self.rows), username, result, end)
        if self.client.failures >= FAILURES_IN_A_ROW:
            self.pause_if_out(self.queue.errors[username])
        else:  # the next outage begins with the first pause
            self.outage = None

    def fetch_and_note(self, username: str) -> str:
        """Fetch a profile, save or note what came of it, and return that in words."""
        is_again = username in self.queue.errors
        send = self.client.send_once if is_again else self.client.send
        try:
            profile = self.client.fetch(username, send)
        except Withheld as error:
            self.queue.note_answer(error)
            return f"left open: {error}"
        except FetchError as error:
            self.stop_if_final(error)
            if not self.client.is_reached:
                advice = "check the connection and the proxy settings"
                what = f"{self.client.source.name} can't be reached ({error}): {advice}"
                raise StoppedError(what) from error
            self.queue.note_failure(error)
            return f"left open: {error}"
        self.cache.add(profile)
        self.queue.note_answer()
        return describe(profile, self.client.source.fields)

    def check_known(self, known: Sequence[str]) -> FetchError | None:
        """Fetch a known profile, drawn at random, once; returns what came instead of an answer."""
        username = random.choice(known)
        try:
            self.client.fetch(username, self.client.send_once)
        except Withheld:
            pass
        except FetchError as error:
            self.stop_if_final(error)
            log.info("Known profile @%s failed: %s", username, error)
            return error
        log.info("Known profile @%s is answered: we are not blocked", username)
        return None

    def stop_if_final(self, error: FetchError) -> None:
        """Raise an error of the set-up, unless it may pass: somebody was answered in this run."""
        if isinstance(error, SetUpError) and (error.is_final or not self.queue.has_answered):
            raise error

    def pause_if_out(self, error: FetchError) -> None:
        """Pause until a known profile is answered, after five failures, the last an `error`.

        Where none is known, pause once: the next profile of the queue tells.
        """
        known = self.cache.known()
        if not known:
            self.queue.undo_failures()
            self.pause_in_outage(error, GIVE_UP_UNKNOWN_AFTER)
            return
        if failure := self.check_known(known):
            self.queue.undo_failures()
        while failure:
            self.pause_in_outage(failure, GIVE_UP_AFTER)
            failure = self.check_known(known)
        self.queue.confirm_failures()

    def pause_in_outage(self, error: FetchError, give_up_after: float) -> None:
        """Pause, longer each time; raises StoppedError after so many seconds of the outage."""
        began, last_pause = self.outage or (time.monotonic(), 0.0)
        remaining = began + give_up_after - time.monotonic()
        is_network = isinstance(error, NetworkError)
        if remaining < 1:  # the last pause has ended with it
            advice = "check the connection" if is_network else "wait a day before the next run"
            duration = format_duration(give_up_after)
            raise StoppedError(f"nothing could be fetched for {duration} ({error}): {advice}")
        first = LEAST_PAUSE if is_network else max(self.args.batch_pause, LEAST_PAUSE)
        longest = LONGEST_NETWORK_PAUSE if is_network else LONGEST_WAIT
        pause = max(min(2 * last_pause, longest), first)
        self.outage = began, pause
        self.pause(min(pause, remaining), f"No profile can be fetched ({error})")

    def cache_gone(self) -> None:
        """Cache those that are gone as not found, if a known profile is answered now."""
        gone = self.queue.gone()
        if gone and not self.check_known(self.cache.known()):
            for username in gone:
                self.cache.add(Profile.fetched_now(username, {"error": NOT_FOUND}))
            log.info("Not found in two passes running, so gone: %d", len(gone))

    def pause(self, seconds: float, reason: str) -> None:
        """Write a checkpoint, and let the next request wait for so many seconds from now."""
        if seconds >= self.args.batch_pause:
            self.progress.batch_count = 0  # noted in the same write as the end of the pause
        self.progress.block_for(seconds)
        self.checkpoint()
        if pause := self.progress.blocked_for():
            log.info("%s: pausing %s", reason, format_wait(pause))

    def checkpoint(self) -> None:
        """Write everything that a run writes; raises OSError, after it has tried each file."""
        if errors := self.try_to_save():
            raise errors[0]

    def try_to_save(self) -> list[OSError]:
        """Try to write each file of a checkpoint; returns what failed."""
        errors = []
        state = (self.cache.rewrite_if_changed, self.progress.save)
        for write in (*state, self.write_output, self.write_report):
            try:
                write()
            except OSError as error:
                errors.append(error)
        return errors

    def write_output(self) -> None:
        """Write the input plus what is cached, and keep a copy of what somebody typed into it."""
        path = self.args.output
        new, old = self.sheet.render(self.cache.profiles), read_if_exists(path)
        if self.output:
            is_foreign = old not in (b"", new, self.output)
        else:  # it is an earlier run's
            lines = {b"", *new.splitlines(), *self.sheet.text.encode().splitlines()}
            is_foreign = not lines.issuperset(old.splitlines())
        if is_foreign:
            why = "has lines that are not of this list (edits belong into the input)"
            keep_copy(path, old, "bak", why)
        write_atomic(path, new)
        self.output = new

    def write_report(self) -> None:
        """Write what became of each row, if the user wants to know."""
        if self.args.report:
            report = render_report(self.outcomes(self.sheet.rows), self.cache.profiles)
            write_atomic(self.args.report, report)

    def pauses_ahead(self) -> int:
        """Return how many pauses between batches are still to come."""
        left = self.queue.left() - self.progress.is_fetching
        size: int = self.args.batch_size
        if left <= 0 or not self.args.batch_pause:
            return 0
        return (min(self.progress.batch_count, size) + left - 1) // size

    def eta(self) -> float:
        """Return the seconds until the end of the run, with the pauses to come."""
        mean = (self.requests + 10) / (self.queue.fetched + 10)  # as if ten had taken one each
        gap: float = max(60 / self.args.rate_limit, sum(JITTER) / 2)  # a token, or a longer jitter
        pauses: float = self.pauses_ahead() * self.args.batch_pause
        return self.progress.blocked_for() + self.queue.left() * mean * gap + pauses


# ==================================================================================================
# Log
# ==================================================================================================

FIRST_SHOWN = 3  # handles, from which a person sees that it is the right column
MOST_OPEN = 20  # profiles that are named at the end
ERASE = "\r\033[K\033[J"  # the line, and what of it a terminal made narrower has wrapped
WIDEST_BAR, NARROWEST_BAR = 30, 5  # characters


def without_secrets(record: logging.LogRecord) -> bool:
    """Take the secrets out of a record of the log, as a filter; returns True, to have it logged."""
    record.msg, record.args = hide_secrets(record.getMessage()), ()
    return True


class Console(logging.Handler):
    """Writes the log to stderr; on a terminal, with a line below it that says how far the run is.

    The cursor stays at the start of the line, so that all of it can be erased even if a terminal
    that was made narrower has wrapped it. In the background, it is not drawn. `position` returns
    how many profiles are done, of how many, and the seconds until the end, once there is a run.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stderr
        is_terminal = self._stream is not None and self._stream.isatty()
        self.is_live = is_terminal and os.environ.get("TERM") != "dumb"
        self.position: Callable[[], tuple[int, int, float]] | None = None
        self._is_drawn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message of the log in the place of the line, which is drawn anew below it."""
        self.erase_line()
        self._write(self.format(record) + "\n")

    def show(self, activity: str) -> None:
        """Draw the line: how far the run is, and what is waited for."""
        if not self._is_in_foreground():
            return
        line = activity[: self._width()]
        if self.position:
            done, total, seconds = self.position()
            line = live_line(self._width(), done, total, activity, clock_time_in(seconds))
        self._write(f"{ERASE}{line}\r")
        self._is_drawn = True

    def erase_line(self) -> None:
        """Leave nothing of the line, until it is drawn again."""
        if self._is_drawn and self._is_in_foreground():
            self._write(ERASE)
        self._is_drawn = False

    def _width(self) -> int:
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or 80) - 1

    def _is_in_foreground(self) -> bool:
        """Return whether no shell has sent the program to the background of its terminal."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):  # it is not the terminal that the program was started from
            return True

    def _write(self, text: str) -> None:
        """Write to stderr, if it is still there; a log on a full disk must not end the run."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.write(text)
            self._stream.flush()


def live_line(width: int, done: int, total: int, activity: str, end: str) -> str:
    """Return the live line: what fits into `width` characters; `end` is the run's, a clock time."""
    percent = f"{100 * done // total:>3}%"
    choices = [
        f"{percent}  {done}/{total}  {activity}  done at {end}",
        f"{percent}  {activity}  done at {end}",
        f"{percent}  {activity}",
    ]
    for text in choices:
        bar = min(width - len(f"[] {text}"), WIDEST_BAR)
        if bar >= NARROWEST_BAR:
            filled = bar * done // total
            return f"[{'#' * filled}{'-' * (bar - filled)}] {text}"
    return choices[-1].strip()[:width]


def describe(profile: Profile, fields: Collection[str]) -> str:
    """Say what was fetched of a profile, from a source that can fill `fields`."""
    if profile.error:
        return ERRORS[profile.error]
    biography = clean(profile.biography or "")
    bio = f"bio of {counted(len(biography), 'character')}" if biography else "no bio"
    category = printable(clean(profile.category_name or "")) or "no category"
    return f"{category}, {bio}" if "category_name" in fields else bio


def log_columns(sheet: Sheet) -> None:
    """Log the handle column, its first handles and the columns to fill: a wrong guess is seen."""
    usernames = dict.fromkeys(f"@{row.username}" for row in sheet.rows if row.username)
    first = ", ".join(itertools.islice(usernames, FIRST_SHOWN))
    more = " …" if len(usernames) > FIRST_SHOWN else ""
    to_fill = " and ".join(
        f"'{printable(column.header)}'{' (new)' if column.is_new else ''}"
        for column in sheet.columns.values()
    )
    below = f"; the header is row {sheet.header.number}" if sheet.header.number > 1 else ""
    handles = f"'{printable(sheet.handle_header)}' ({first}{more})"
    log.info("Columns: handles from %s, to fill %s%s", handles, to_fill, below)


def count_by_status(outcomes: Iterable[Outcome]) -> str:
    """Return how many rows have which status: `12 filled, 3 not found`."""
    counts = Counter(status for _, status, _ in outcomes)
    return ", ".join(f"{counts[s]} {s.value.replace('_', ' ')}" for s in Status if counts[s])


def log_plan(outcomes: Sequence[Outcome], to_fetch: int, source: Source, sheet: Sheet) -> None:
    """Log how many rows have which status, and how many profiles are fetched from where."""
    others = [each.header for field, each in sheet.columns.items() if field not in source.fields]
    nothing = f" (nothing for {printable(', '.join(others))})" if others else ""
    rows = f"{counted(len(outcomes), 'row')}: {count_by_status(outcomes)}"
    profiles = counted(to_fetch, "profile")
    log.info("Plan: %s; %s to fetch from %s%s", rows, profiles, source.name, nothing)


def log_summary(outcomes: Sequence[Outcome], sheet: Sheet, profiles: Mapping[str, Profile]) -> None:
    """Log the coverage before and after, the categories, the counts, and who is still open."""
    usernames = {row.username for row, _, _ in outcomes if row.username in profiles}
    names = (clean(profiles[username or ""].category_name or "") for username in usernames)
    categories = Counter(filter(None, names))
    most = sorted(categories, key=lambda name: (-categories[name], name))[:10]
    named = ", ".join(f"{printable(name)} {categories[name]}" for name in most)
    more = " …" if len(categories) > len(most) else ""
    table = "\n  ".join(coverage_table(outcomes, sheet, profiles))
    log.info("Coverage:\n  %s%s", table, f"\n\n  Categories: {named}{more}" if named else "")
    log.info("%s: %s", counted(len(outcomes), "row"), count_by_status(outcomes))
    reasons = {row.username: why for row, status, why in outcomes if why and status in STILL_OPEN}
    for username, why in itertools.islice(reasons.items(), MOST_OPEN):
        log.info("Still open: @%s: %s", username, why)
    if (others := len(reasons) - MOST_OPEN) > 0:
        log.info("Still open: %d more (--report CSV lists all)", others)


def coverage_table(
    outcomes: Sequence[Outcome], sheet: Sheet, profiles: Mapping[str, Profile]
) -> Iterator[str]:
    """Yield the lines of a table: how many cells of each column are filled, before and after."""
    total = len(outcomes)
    blank = Counter(field for row, _, _ in outcomes for field in row.wanted)
    new = (new_cells(row, profiles) for row, _, _ in outcomes)
    gained = Counter(itertools.chain.from_iterable(new))
    table: list[tuple[str, ...]] = [("Column", "before", "after", "gained")]
    for field, column in sheet.columns.items():
        filled = total - blank[field]
        counts = (filled, filled + gained[field])
        cells = [f"{n:>{len(str(total))}}/{total} {n / (total or 1):>4.0%}" for n in counts]
        table.append((printable(column.header), *cells, f"{gained[field]:+}"))
    widths = [max(map(len, cells)) for cells in zip(*table)]
    for title, before, after, gain in table:
        yield f"{title:<{widths[0]}}  {before:<{widths[1]}}  {after:<{widths[2]}}  {gain:>6}"


# ==================================================================================================
# Command line
# ==================================================================================================

PASTED_TOKEN = re.compile(r"\bEAA\w+")  # as Meta's access tokens begin
EXIT_DONE, EXIT_INCOMPLETE, EXIT_UNUSABLE = 0, 1, 2
EXIT_SIGNALLED = 128  # plus the signal's number, as shells do
DESCRIPTION = """\
Fill the GENRE and Details columns of a CSV with the category and biography
of each Instagram profile: slowly, resumably, without losing any."""
EPILOG = f"""\
A rate limit of 10 is recommended; a batch pause of 0 is none. GENRE and
Details are added where missing. --graph-api fetches as your own professional
account, with the access token in {TOKEN_VARIABLE}; its numeric id
may follow, else the token tells it.

exit codes: 0 every profile settled; 1 finished or stopped with profiles still
open: run the same command again; 2 unusable arguments, input or set-up,
nothing fetched; 130, 143, 129 interrupted (Ctrl+C, kill, hang-up), everything
saved"""


def bounded(kind: Callable[[str], float], least: float, what: str) -> Callable[[str], Any]:
    """Return an argparse type for a `kind` from `least` to MAX_VALUE; `what` says it in words."""

    def parse(text: str) -> float:
        with contextlib.suppress(ValueError):
            if least <= (value := kind(text)) <= MAX_VALUE:
                return value
        limits = f"from {least:.2g} to {MAX_VALUE:.0f}"
        raise argparse.ArgumentTypeError(f"must be {what}, {limits}, not '{printable(text)}'")

    return parse


def parse_account_id(text: str) -> str:
    """Parse an account's numeric id; the error does not repeat what may be a token by mistake."""
    if text and not ACCOUNT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("must be the numeric id of an account, or left out")
    return text


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors repeat no secret of the environment, and no token pasted by mistake."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with 2."""
        super().error(PASTED_TOKEN.sub(HIDDEN, hide_secrets(message)))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with 2 and the flag's name if a value makes no sense."""
    parser = ArgumentParser(
        prog="instagram_enrichment.py",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rate = bounded(float, 0.001, "a number of requests a minute")
    count = bounded(int, 1, "a whole number")
    seconds = bounded(float, 0, "a number of seconds")
    add = parser.add_argument
    add("-i", "--input", type=Path, required=True, metavar="CSV", help="input CSV (required)")
    add("-o", "--output", type=Path, required=True, metavar="CSV", help="output CSV (required)")
    add("-r", "--rate-limit", type=rate, default=20, help="max requests per minute (default: 20)")
    add("--cache-dir", type=Path, default=".tmp", help="folder for cache files (default: .tmp)")
    add("-f", "--force", action="store_true", help="re-fetch all profiles (default: off)")
    add("--limit", type=count, help="work on the first N rows only, for testing (default: all)")
    add("-v", "--verbose", action="store_true", help="debug logging (default: off)")
    add("-b", "--batch-size", type=count, default=100, help="profiles per batch (default: 100)")
    add("--batch-pause", type=seconds, default=1800, help="seconds between batches (default: 1800)")
    found = "header of the handles (default: found by itself)"
    add("--username-column", dest="username", metavar="HEADER", help=found)
    for field, (default, flag) in TO_FILL.items():
        add(flag, dest=field, metavar="HEADER", help=f"column to fill (default: {default})")
    add("--report", type=Path, metavar="CSV", help="what became of each row (default: none)")
    api = "fetch from Meta's official API (default: off)"
    add("--graph-api", nargs="?", const="", type=parse_account_id, metavar="IG_USER_ID", help=api)
    return parser.parse_args(argv)


def access_token() -> str:
    """Read the token for the Graph API; raises UnusableError if it is missing or malformed."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not re.fullmatch(r"[A-Za-z0-9_|.+/=%&#~-]+", token):
        why = "has a space or a character that no token has" if token else "is not set"
        raise UnusableError(f"{TOKEN_VARIABLE} {why}: put your token into it ({CHAPTER}, step 6)")
    return token


def check_path(flag: str, path: Path, args: argparse.Namespace) -> None:
    """Raise UnusableError if `path` is no place for a file that the user gets."""
    is_state, header = path.name in (CACHE_FILE, PROGRESS_FILE, LOCK_FILE), REPORT_HEADER.encode()
    if path.exists() and not path.is_file():
        why = "is a folder or a device: give the path of a CSV file"
    elif any(each.exists() and each.samefile(args.input) for each in (path, part_path(path))):
        why = "is the input itself, which is never overwritten: give another path"
    elif flag == "--report" and path == args.output:
        why = "is the output itself: give another path"
    elif flag == "--report" and not (read_if_exists(path) or header).startswith(header):
        why = "is a file that is no report: give another path"
    elif not path.parent.is_dir():
        why = "is in a folder that does not exist: make the folder, or give another path"
    elif is_state and args.cache_dir.exists() and path.parent.samefile(args.cache_dir):
        why = "is where the program keeps its own files: give another path"
    else:
        return
    raise UnusableError(f"{flag} {printable(path)} {why}")


def enrich(args: argparse.Namespace, waiter: Waiter, console: Console) -> int:
    """Do what the command line asks for; raises UnusableError, StoppedError and Interrupted."""
    source = WebAddress() if args.graph_api is None else GraphApi(args.graph_api, access_token())
    named = {f: name for f in ("username", *TO_FILL) if (name := getattr(args, f)) is not None}
    # From a pipe it may never end: a signal has to get through.
    try:
        sheet = waiter.wait_for("reading the list", read_sheet, args.input, named)
    except UnusableError as error:
        raise UnusableError(f"{printable(args.input)} {error}") from None
    # A link is written where it points.
    args.output = Path(os.path.realpath(args.output))
    args.report = args.report and Path(os.path.realpath(args.report))
    try:
        check_path("--output", args.output, args)
        if args.report:
            check_path("--report", args.report, args)
        with lock(args.cache_dir):
            run = open_run(args, waiter, source, sheet)
            return run_and_log(run, console)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StoppedError(f"{format_os_error(error)}: free some space") from error
        raise UnusableError(f"{format_os_error(error)}: give another path") from error


def open_run(args: argparse.Namespace, waiter: Waiter, source: Source, sheet: Sheet) -> Enrichment:
    """Read the state, write the first output, check the set-up; raises what that does, OSError."""
    cache = Cache(args.cache_dir / CACHE_FILE)
    path, has_batches = args.cache_dir / PROGRESS_FILE, args.batch_pause > 0
    longest_wait = max(LONGEST_WAIT, args.batch_pause)
    progress = Progress(path, len(sheet.rows), longest_wait, has_batches)
    client = Client(source, RateLimiter(args.rate_limit, waiter, progress), waiter)
    first_index: dict[str, int] = {}
    cached = {} if args.force else cache.profiles
    for index, row in enumerate(sheet.rows[: args.limit]):
        if row.username and outcome(row, source, cached, {}).status in STILL_OPEN:
            first_index.setdefault(row.username, index)
    fetch_queue = FetchQueue(first_index, 0 if args.force else progress.rows_done)
    run = Enrichment(sheet, client, cache, progress, fetch_queue, args)
    # Whether everything can be written is found out now, not after a night.
    run.write_output()
    run.write_report()
    progress.save()
    log_columns(sheet)
    if first_index:
        if pause := progress.blocked_for():
            log.info("Resuming an earlier pause: %s", format_wait(pause))
        source.check_set_up(client)
        if args.force:
            cache.set_aside()
            progress.rows_done = 0
            log.info("--force: if this run stops half-way, resume it WITHOUT --force")
    return run


def run_and_log(run: Enrichment, console: Console) -> int:
    """Run to the end, or as far as it goes; save, and log the result. Returns the exit code."""
    started = Deadline.after(0.0)  # so that -started.remaining() is the time since
    log_plan(run.outcomes(run.rows), len(run.queue.waiting), run.client.source, run.sheet)
    if run.queue.waiting:
        pauses, pause = run.pauses_ahead(), format_duration(run.args.batch_pause)
        batches = f"{counted(pauses, 'pause')} of {pause} between batches of {run.args.batch_size}"
        rate, eta = f"{run.args.rate_limit:g}", run.eta()
        duration, end = format_duration(eta), clock_time_in(eta)
        with_pauses = f", with {batches}" if pauses else ""
        log.info("At %s a minute%s: about %s, done at %s", rate, with_pauses, duration, end)
        if hint := run.client.source.plan_hint:
            log.info("%s", hint.format(end))
    total = len({row.username for row in run.rows if row.username})
    console.position = lambda: (total - run.queue.left(), total, run.eta())
    code, why, unsaved = EXIT_DONE, "", []
    try:
        run.fetch_all()
    except Interrupted as interrupted:
        code = EXIT_SIGNALLED + interrupted.args[0]
        why = f"Interrupted by {interrupted.args[0].name}"
    except OSError as error:
        why, unsaved = f"Could not save ({format_os_error(error)})", [error]
    except SetUpError as error:
        code, why = EXIT_INCOMPLETE if run.queue.has_answered else EXIT_UNUSABLE, str(error)
    except StoppedError as error:
        code, why = EXIT_INCOMPLETE, str(error)
    if why:
        unsaved += run.try_to_save()
    outcomes = run.outcomes(run.rows)
    log_summary(outcomes, run.sheet, run.cache.profiles)
    requests = counted(run.client.requests_sent, "request")
    log.info("%s in %s", requests, format_duration(-started.remaining()))
    is_open = any(status in STILL_OPEN for _, status, _ in outcomes)
    if unsaved or (is_open and not code):
        code = EXIT_INCOMPLETE
    log.log(logging.ERROR if code else logging.INFO, "%s", last_words(run, outcomes, why, unsaved))
    return code


def last_words(run: Enrichment, rows: list[Outcome], why: str, unsaved: list[OSError]) -> str:
    """Say where and why the run has ended, whether everything is saved, and how to go on."""
    counts = Counter(status for _, status, _ in rows)
    still_open = sum(counts[status] for status in STILL_OPEN)
    if not why and not still_open:
        return "Done: every profile is settled, and everything is saved"
    place = "the end"
    if username := next(iter(run.queue.waiting), None):
        place = f"row {run.rows[run.queue.first_index[username]].number} (@{username})"
    ended = f"{why[:1].upper()}{why[1:]}. Stopped at {place}" if why else "Done"
    paths = ", ".join(dict.fromkeys(printable(error.filename) for error in unsaved))
    saved = f"everything but {paths} is saved" if paths else "everything is saved"
    what_helps = []
    if why or counts[Status.OPEN]:
        in_vain = [row.username or "" for row, status, _ in rows if status is Status.OPEN]
        times = {run.queue.errors[username].try_again for username in in_vain}
        when = "" if why else f" {times.pop() if len(times) == 1 else 'tomorrow'}"
        force = ", but WITHOUT --force" if run.args.force else ""
        what_helps.append(f"run the same command again{when}{force}")
    withheld = [row for row, status, _ in rows if status is Status.WITHHELD]
    if others := sum(row.username not in run.cache.profiles for row in withheld):
        what_helps.append(run.client.source.withheld_hint.format(others))
    left = f"{still_open} of {counted(len(rows), 'row')} still open"
    goal = "to resume" if why else "to get them"
    return f"{ended}, with {left}; {saved}; {goal}: {'; '.join(what_helps) or 'no way now'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv`, by default the process's own; returns the exit code."""
    args = parse_arguments(argv)
    console = Console()
    console.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    log.addHandler(console)
    log.addFilter(without_secrets)
    log.setLevel(logging.DEBUG if args.verbose else logging.INFO)
    waiter = Waiter(console.show if console.is_live else None)
    try:
        with waiter:
            return enrich(args, waiter, console)
    except UnusableError as error:
        log.error("Error: %s", error)
        return EXIT_UNUSABLE
    except StoppedError as error:
        log.error("Stopped before the first profile: %s", error)
        return EXIT_INCOMPLETE
    except Interrupted as stop:
        log.error("Interrupted by %s before the first profile; nothing is lost", stop.args[0].name)
        return EXIT_SIGNALLED + int(stop.args[0])
    finally:
        console.erase_line()
        log.removeFilter(without_secrets)
        log.removeHandler(console)


if __name__ == "__main__":
    sys.exit(main())
