# /// script
# requires-python = ">=3.9"
# dependencies = ["requests>=2.32.2", "tenacity>=8.3"]
# ///
"""Fill the GENRE and Details columns of a CSV of Instagram profiles, slowly and losing nothing.

The sections:

    Profiles        what is known of a profile
    Handles         how a username is read from a cell
    Text            how texts from outside, and times, are written
    Waiting         deadlines on two clocks, and the signals that end a wait
    Rate limit      when the next request may be sent
    Responses       what came back for a request, and the errors it can mean
    Web address     the first source: Instagram's public web API
    Graph API       the second source: Meta's official API
    HTTP            one request at a time, and the retries
    Fetching        the queue and its passes, known profiles, and the pauses of an outage
    State on disk   cache, progress and lock
    Columns         which column holds the handles
    CSV             the list, in and out
    The run         the row loop, batches and checkpoints
    Report          what became of each row
    Log             what the user is told, and the live line of a terminal
    Command line    arguments, set-up and exit codes

The words that they share:

    source          where profiles are fetched
    settled         a profile of which the source has nothing more to give: what is cached is its
                    data, or that it does not exist there
    open            a profile that is not settled, and could fill an empty cell
    withheld        an open profile that exists, but that the source does not show us
    answered        a profile of which the source has told data, or that it does not show it: we
                    are not blocked
    known profile   a cached profile with data, so that it is known to exist
    outage          the time in which nothing can be fetched: five failures in a row, and not even a
                    known profile is answered; the run pauses
    pass            fetching once what is open; what may have failed by chance gets another

Only data about a profile, or that it does not exist, is ever cached; a block or a network error
never is. It runs on Linux and macOS.
"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Ctrl+C in the imports, which take a while, ends the program without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import calendar
import contextlib
import csv
import email.utils
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
from abc import ABC, abstractmethod
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

log = logging.getLogger("instagram_enrichment")
csv.field_size_limit(2**31 - 1)  # a cell may be long


class UnusableError(Exception):
    """Something the user gave can't be used; the message says what, where and what to do."""


class ReportedError(Exception):
    """What happened and, after a colon, the server's own words, if there are any."""

    def __init__(self, what: str, server_text: str = "") -> None:
        super().__init__(f"{what}: {server_text}" if server_text else what)
        self.what = what


class StoppedError(ReportedError):
    """The run has to end early, with profiles still open; the message says why."""


class SetUpError(StoppedError):
    """The source says that the user's set-up is wrong; the message says what to do."""


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP ended a wait."""

    def __init__(self, signum: signal.Signals) -> None:
        super().__init__(signum)
        self.signum = signum


# ==================================================================================================
# Profiles
# ==================================================================================================

NOT_FOUND, NOT_PROFESSIONAL = "NOT_FOUND", "NOT_PROFESSIONAL"
ERRORS = {  # the `error` of a cached profile without data -> how the log says it
    NOT_FOUND: "not found",
    NOT_PROFESSIONAL: "no professional account",
}
FIELD_TYPES = {
    "full_name": str,
    "biography": str,
    "category_name": str,
    "follower_count": int,
    "is_business": bool,
    "is_verified": bool,
    "fetched_at": str,
    "error": str,
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
NAMES_INSTAGRAM = re.compile(r"instagram|(?<![^\W_])(?:insta|ig)(?![^\W_])", re.IGNORECASE)
NO_INSTAGRAM = re.compile(
    r"(?<![\w.@])(?:no|not|non|sin|sem|sans|kein|ohne|without)\b(?!\.).{0,20}?(?<![\w.@])"
    r"(?:instagram|insta|ig)(?!\w)",
    re.IGNORECASE,
)
# Words that are accounts of strangers, too: those are fetched only with an `@` or an address.
SAYS_NONE = re.compile(
    r"(?:none|null|nil|nan|na|n/a|#n/a|n\.a|s/d|unknown|tbd|tba|deleted|removed|private|missing|"
    r"empty|undefined|suspended|not_?found|no_?ig|#ref!|#name\?|#value!|ninguno|nenhum|aucun|kein|"
    r"nessuno|(?:[^\w@]|_)*)\.?",
    re.IGNORECASE,
)
LABEL = re.compile(  # of check boxes, links, totals and headers; numbers, counts and websites
    r"(?:yes|no|true|false|y|n|ok|si|sim|nao|oui|non|ja|nein|verdadero|falso|verdadeiro|vrai|faux|"
    r"wahr|falsch|vero|link|url|here|view|open|total|name|handle|username|user|usuario|account|"
    r"profile|instagram|insta|ig|followed|contacted|posted|pending|active|inactive|"
    r"[\d._]*\d[._]*(?:k|m|b|mn|mio?|mil|tsd)?|www\.[\w.-]*|[\w.-]*\.(?:com|net|org)(?:\.\w\w)?)\.?",
    re.IGNORECASE,
)


class HandleKind(Enum):
    """What a handle cell holds; where it is not usable, in the words of the log."""

    ADDRESS = "the address of a profile"
    MENTION = "an @name"
    WORD = "a bare word"
    # Not usable:
    EMPTY = "empty or none"
    NO_NAME = "a number, a website or a label"
    SEVERAL = "more than one name"
    ELSEWHERE = "on another network"
    INVALID = "not a username"
    UNSURE = "a bare word that may be something else"


class Handle(NamedTuple):
    """What was read from a handle cell."""

    username: str | None  # in lower case; None if the cell has no usable one
    kind: HandleKind


def parse_handle(cell: str) -> Handle:
    """Find the username in a cell: a profile's address, else the one `@name`, else a bare word."""
    text = plain(cell)
    word = text.strip("'\"=(),;:/")
    if names := PROFILE_ADDRESS.findall(text):
        kind = HandleKind.ADDRESS
    elif NO_INSTAGRAM.search(text) or SAYS_NONE.fullmatch(word):
        return Handle(None, HandleKind.EMPTY)
    elif OTHER_NETWORK.search(text):
        return Handle(None, HandleKind.ELSEWHERE)
    elif names := AT_NAME.findall(text):
        kind = HandleKind.MENTION
    elif LABEL.fullmatch(word):
        return Handle(None, HandleKind.NO_NAME)
    else:
        names, kind = [word], HandleKind.WORD
    usernames = set(map(parse_username, names))
    if len(usernames) > 1:
        return Handle(None, HandleKind.SEVERAL)
    username = usernames.pop()
    return Handle(username, kind if username else HandleKind.INVALID)


def plain(cell: str) -> str:
    """Return a text without invisible marks, its accents composed, and with a plain `@`."""
    if not cell.isascii():
        visible = "".join(char for char in cell if unicodedata.category(char) != "Cf")
        cell = unicodedata.normalize("NFC", visible).replace("＠", "@")
    return cell.strip()


def parse_username(text: str) -> str | None:
    """Return the username that a text is; None if it doesn't follow Instagram's rule.

    One period at its end ends a sentence; several say that the rest of the name was cut off.
    """
    name = text.rstrip("/").lower().removesuffix(".")
    return name if USERNAME.fullmatch(name) and not name.endswith(".") else None


# ==================================================================================================
# Text
# ==================================================================================================

CELL_CHARACTERS = 500
LINE_CHARACTERS = 200  # of a text from outside that is logged
FORMULA_STARTS = ("=", "+", "-", "@")  # OWASP, "CSV Injection"; no cleaned text starts with a tab
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ZERO_WIDTH_JOINER = "\u200d"  # makes one emoji of two
JOINED_CATEGORIES = ("Mn", "Me", "Mc")  # Unicode's combining marks
JOINED = re.compile(  # skin tones, joiners, parts of a flag, and vowels and finals of Hangul
    "[\U0001f3fb-\U0001f3ff\u200c\u200d\U000e0020-\U000e007f\u1160-\u11ff]"
)
FLAG_LETTERS = re.compile("[\U0001f1e6-\U0001f1ff]*$")  # two of them are one flag
INVISIBLE_CATEGORIES = ("Cc", "Cf", "Zs", "Zl", "Zp")
INVISIBLE = re.compile(  # fillers and selectors that Unicode counts as letters, symbols or marks
    "[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def clean(text: str) -> str:
    """Make a stranger's text fit for one cell: one line, 500 characters at most, no formula.

    A text of which nothing is visible becomes empty.
    """
    if not text.isprintable():
        encodable = text.encode("utf-8", "replace").decode()
        text = CONTROL.sub(" ", encodable)
    line = " ".join(text.split())
    if not any(map(is_visible, line)):
        return ""
    if line.startswith(FORMULA_STARTS):
        line = "'" + line
    return cut(line, CELL_CHARACTERS).rstrip()


def cut(text: str, length: int) -> str:
    """Cut a text to `length` characters; less, if that would tear an accent or emoji apart."""
    if len(text) <= length:
        return text
    ends = (end for end in range(length, 0, -1) if starts_anew(text, end))
    return text[: next(ends, length)]


def starts_anew(text: str, index: int) -> bool:
    """Return whether what a reader sees as one character begins at `index` (Unicode, UAX #29)."""
    char, before = text[index], text[index - 1]
    if JOINED.match(char) or unicodedata.category(char) in JOINED_CATEGORIES:
        return False
    flag_letters = FLAG_LETTERS.search(text[:index])
    splits_flag = FLAG_LETTERS.fullmatch(char) and flag_letters and len(flag_letters[0]) % 2 == 1
    return before != ZERO_WIDTH_JOINER and not splits_flag


def is_visible(char: str) -> bool:
    """Return whether a character shows anything on the screen."""
    return unicodedata.category(char) not in INVISIBLE_CATEGORIES and not INVISIBLE.match(char)


def printable(text: str) -> str:
    """Make a text from outside fit for a terminal: no control characters, not too long."""
    shown = "".join(
        char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:LINE_CHARACTERS]
    )
    return shown + "…" if len(text) > LINE_CHARACTERS else shown


def format_os_error(error: OSError) -> str:
    """Say in one line what the operating system refused, and of which path."""
    if error.filename:
        return f"{printable(str(error.filename))}: {error.strerror}"
    return printable(str(error))


def format_duration(seconds: float) -> str:
    """Say a number of seconds as people do: `45 s`, `2 min 30 s`, `26 h 10 min`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours or minutes >= 10:
        seconds = 0
    units = {"h": hours, "min": minutes, "s": seconds}
    return " ".join(f"{count} {unit}" for unit, count in units.items() if count) or "0 s"


def format_wait(seconds: float) -> str:
    """Say how long and until when a wait takes: `30 min, until 17:28:09`."""
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
    """Read an ISO 8601 time, in UTC if it names no zone, as epoch seconds.

    Returns negative infinity if it isn't one.
    """
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
    """A moment that has come when either of two clocks says so.

    Neither is enough: the monotonic clock stands still while the machine sleeps, and the wall clock
    is wrong once somebody has set it back.
    """

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

    A SIGINT, SIGTERM or SIGHUP ends a wait at once by raising Interrupted. One that comes at any
    other time is noted and ends the next wait, so that none lands in the middle of a write or in a
    library's lock. Of several signals the first is the one that is reported. Signals that the
    program was told to ignore (by nohup, or by a script that starts it in the background) stay
    ignored. `show` is told what is waited for, every half second.

    Use as a context manager, in the main thread. On exit the handlers before it are put back; once
    a signal has come, all three are ignored instead, as the program is about to end.
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
        """Handle a signal: note the first one, and end the wait that it came in."""
        if self._received is None:
            self._received = signal.Signals(signum)
        if self._is_waiting:
            self._is_waiting = False  # a second one must not end the last checkpoint
            raise Interrupted(self._received)


# ==================================================================================================
# Rate limit
# ==================================================================================================

JITTER = (2.0, 4.0)  # seconds between taking a token and sending the request
LATENCY = 0.5  # seconds by which one request may take longer to arrive than another
LONGEST_FIRST_WAIT = 60.0  # seconds until a run's first token, however slow the rate


class RateLimiter:
    """A token bucket with room for one token, empty at the start.

    Waits that a response asks for and pauses only note until when nothing is sent; the next request
    waits for it. `blocked_until` is what an earlier run has noted, and `note_block` is called with
    the end of each block.
    """

    def __init__(
        self,
        per_minute: float,
        waiter: Waiter,
        blocked_until: Deadline,
        note_block: Callable[[Deadline], None],
    ) -> None:
        self._refill = refill_seconds(per_minute)
        self._waiter = waiter
        self._note_block = note_block
        self._next_token = Deadline.after(min(self._refill, LONGEST_FIRST_WAIT))
        self._blocked_until = blocked_until

    def wait_before_request(self) -> None:
        """Wait for the token, take it, then let a random 2 to 4 seconds pass.

        The next token ripens in that time, so that the jitter costs nothing at 15 a minute or less.
        """
        self.wait_while_blocked()
        token_in = max(self._next_token.remaining(), 0.0)
        self._next_token = Deadline.after(token_in + self._refill)
        self._waiter.wait_until(Deadline.after(token_in + random.uniform(*JITTER)), "next in")

    def wait_while_blocked(self) -> None:
        """Wait until requests may be sent."""
        self._waiter.wait_until(self._blocked_until, "paused for")

    def block_for(self, seconds: float) -> None:
        """Send nothing at all for so many seconds from now; never shortens a longer block."""
        if seconds > self.blocked_for():
            self._blocked_until = Deadline.after(seconds)
            self._note_block(self._blocked_until)

    def blocked_for(self) -> float:
        """Return the seconds for which nothing may be sent yet."""
        return max(self._blocked_until.remaining(), 0.0)

    def ready_in(self) -> float:
        """Return the seconds until the next request may take its token."""
        return max(self._next_token.remaining(), self.blocked_for())


def refill_seconds(per_minute: float) -> float:
    """Return the interval between two tokens.

    Jitter and latency can bunch requests together; the interval is long enough that any 60 seconds
    hold at most `per_minute` + 1 of them all the same.
    """
    shortest, longest = JITTER
    bunching = longest - shortest + LATENCY
    return max(60 / per_minute, (60 + bunching) / math.floor(per_minute + 1))


def seconds_per_request(per_minute: float) -> float:
    """Return the mean seconds between two requests.

    Each gap is the longer of the refill and a jitter, all of which are equally likely.
    """
    shortest, longest = JITTER
    least = max(refill_seconds(per_minute), shortest)
    return least + max(longest - least, 0.0) ** 2 / (2 * (longest - shortest))


# ==================================================================================================
# Responses
# ==================================================================================================


class FetchError(ReportedError):
    """There is no data about the profile; `what` is the outcome, with the status.

    Only its subclasses are raised.
    """


class NotFound(FetchError):
    """The source says that it has no such profile."""


class NotProfessional(FetchError):
    """The profile is none of those that this source, for professional accounts, ever shows."""


class Withheld(FetchError):
    """The profile exists, but this source does not show it to us."""


class Blocked(FetchError):
    """We are kept out: a rate limit, a login wall, a challenge."""


class NetworkError(FetchError):
    """The network or the server failed, or gave no whole response."""


class UnexpectedResponse(FetchError):
    """A response whose meaning is not known."""


class Request(NamedTuple):
    """What to send with one GET."""

    label: str  # how the log names it
    url: str
    query: Mapping[str, str]


class Response(NamedTuple):
    """What came back for one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Outcome = tuple[bool, type[ReportedError], str]  # whether it applies, what to raise, and its name


def first_applying(outcomes: Iterable[Outcome], status: str, server_text: str) -> Exception:
    """Return the error of the first outcome that applies, with what the server says."""
    kind, what = next((kind, what) for applies, kind, what in outcomes if applies)
    return kind(f"{what} ({status})", server_text)


def is_about(username: str, user: Mapping[str, Any]) -> bool:
    """Return whether data is about that profile: if it names one, it is the same."""
    name = user.get("username")
    return not isinstance(name, str) or name.lower() == username


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON value if it is an object, else {}."""
    return value if isinstance(value, dict) else {}


def parse_object(body: bytes | str) -> dict[str, Any]:
    """Parse a JSON object; {} if the body isn't one."""
    return as_object(parse_json(body))


def parse_json(body: bytes | str) -> Any:
    """Parse JSON; None if the body isn't any."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


USED_UP = 95.0  # percent of what a rolling hour allows
MOST_USED = 999.0  # percent: more than that is no better to know
USED_UP_WAIT = 300.0  # seconds for which nothing is sent then
REGAIN_ACCESS = re.compile(r'"estimated_time_to_regain_access"\s*:\s*"?(\d+)')


def requested_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds for which a response asks us to wait: 4 hours at most, 0 if it doesn't.

    Read from Retry-After (RFC 9110: seconds, or a date, which is relative to the response's own
    Date) and from the minutes in X-Business-Use-Case-Usage (Meta, "Rate limiting").
    """
    usage = headers.get("X-Business-Use-Case-Usage", "")
    minutes = max(map(float, REGAIN_ACCESS.findall(usage)), default=0.0)
    retry_after = headers.get("Retry-After", "").strip()
    seconds = 0.0
    if digits := re.match(r"\d+", retry_after):
        seconds = float(digits[0])
    elif date := parse_http_date(retry_after):
        seconds = date - (parse_http_date(headers.get("Date", "")) or time.time())
    return min(max(seconds, 60 * minutes, 0.0), LONGEST_WAIT)


def used_percent(headers: Mapping[str, str]) -> float:
    """Return how much of what a rolling hour allows is used, in percent; 0 if it isn't told.

    Read from X-App-Usage (Meta, "Rate limiting"): the percentages of calls and of two kinds of
    time.
    """
    usage = parse_object(headers.get("X-App-Usage", ""))
    values = [usage.get(name) for name in ("call_count", "total_time", "total_cputime")]
    percentages = [each for each in values if isinstance(each, (int, float)) and each > 0]
    return max((float(min(each, MOST_USED)) for each in percentages), default=0.0)


def parse_http_date(value: str) -> float:
    """Read an HTTP date as epoch seconds; 0 if it isn't one."""
    try:
        return calendar.timegm(email.utils.parsedate_to_datetime(value).utctimetuple())
    except (TypeError, ValueError, IndexError, OverflowError):  # the parser raises each of them
        return 0.0


HTML = re.compile(r"<html|<!doctype html", re.IGNORECASE)
TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
EXCERPT_CHARACTERS = 80  # printed of a response that has neither a message nor a title
MESSAGE_CHARACTERS = 1000  # that are searched for the words of a block


def html_page(response: Response) -> str:
    """Return the text of an HTML page, empty if the body is anything else."""
    text = response.body.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    is_html = "text/html" in response.headers.get("Content-Type", "").lower()
    is_page = text.startswith("<") and (is_html or HTML.search(text[:1024]))
    return text if is_page else ""


def page_title(page: str) -> str:
    """Return the title of an HTML page, empty if it has none."""
    title = TITLE.search(page)
    return html.unescape(title[1]).strip() if title else ""


def json_message(parsed: object) -> str:
    """Return the `message` of a JSON object, empty if it has none."""
    message = as_object(parsed).get("message")
    return message[:MESSAGE_CHARACTERS] if isinstance(message, str) else ""


def server_text(message: str, response: Response) -> str:
    """Return what is printed of a response: the server's message, the page's title, or an excerpt.

    It is one line without a period at the end.
    """
    text = message or page_title(html_page(response)) or excerpt(response.body)
    return printable(" ".join(text.split())).rstrip(".")


def plain_text(body: bytes) -> str:
    """Return how a body of plain text begins; empty if it is, or is a piece of, anything else."""
    text = body[:MESSAGE_CHARACTERS].decode("utf-8", "replace").strip()
    is_plain = "\0" not in text and not text.startswith(("{", "[", "<", '"'))
    return text if is_plain else ""


def excerpt(body: bytes) -> str:
    """Return the first characters of a body, as text."""
    return body[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "replace")[:EXCERPT_CHARACTERS]


class Source(ABC):
    """Where profiles are fetched: how to check its set-up, how to fetch, what a response means."""

    name: str
    headers: Mapping[str, str]  # of every request; may hold a secret
    fields: frozenset[str]  # the profile fields that it can fill
    settled_errors: tuple[str, ...] = (NOT_FOUND,)  # the `error` of a profile that it hasn't got
    slowed_by = ""  # what may make a run take longer than estimated
    locked_out_hint = ""  # what to tell a user whose first requests are blocked; "" for nothing
    withheld_hint = ""  # what fetches profiles that it withholds

    def check_set_up(self, client: Client) -> None:
        """Find out, before the first profile, whether the user's set-up is complete.

        Raises UnusableError if it isn't, and StoppedError if that can't be found out now.
        """

    def warnings(self, seconds: float) -> list[str]:
        """Return what will get in the way of a run that is estimated to take so many seconds."""
        return []

    @abstractmethod
    def request(self, username: str) -> Request:
        """Return what fetches a profile."""

    @abstractmethod
    def parse(self, username: str, response: Response) -> dict[str, Any]:
        """Return the profile fields that a response holds, or raise the FetchError that fits.

        Raises SetUpError if no further request makes sense.
        """

    def settles(self, profile: Profile | None) -> bool:
        """Return whether what is cached of a profile, None for nothing, is all there is to get."""
        return profile is not None and profile.error in (None, *self.settled_errors)

    def unfilled_columns(self, titles: Mapping[str, str]) -> str:
        """Name the columns that it can't fill, as a suffix in brackets; "" if there are none.

        `titles` are profile field -> column to fill.
        """
        columns = [printable(title) for field, title in titles.items() if field not in self.fields]
        return f" (nothing for {', '.join(columns)})" if columns else ""


# ==================================================================================================
# Web address
# ==================================================================================================

# The address and the app id are those of Instagram's own web client, as a browser's network tab
# shows them.
API_URL = "https://www.instagram.com/api/v1/users/web_profile_info/"
APP_ID = "936619743392459"
USER_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0 Safari/537.36"
)
LOCKED_OUT_HINT = """\
No profile could be fetched yet. Either this connection is over a rate limit, which passes; or
  Instagram shows profiles only to visitors who are logged in, and waiting won't help. To tell
  which, open a profile in a private window of your browser, run the curl line of the README, or
  try another network. If you are locked out, use --graph-api, Instagram's official API: the
  README says how to set it up."""

WITHHELD_HINT = "--graph-api fetches professional accounts (the README says how)"

BLOCKED_STATUSES = (401, 403, 429)
SERVER_FAILED = re.compile(r"something went wrong", re.IGNORECASE)
WITHHELD_MESSAGE = re.compile(r"\basset\b.*\bhas been deleted|geoblock_required", re.IGNORECASE)
BLOCK_MESSAGE = re.compile(
    r"checkpoint|challenge|feedback|(?<![a-z])log[\s_-]?in|please wait|try again later"
    r"|problem with your request",
    re.IGNORECASE,
)
BLOCK_REDIRECT = re.compile(  # to the front page, or to one of these
    r"(?:https?://[^/?#]+)?/?(?:[?#].*)?|.*/(?:login|challenge|checkpoint|suspended)(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
SCRIPT_GUARD = b"for (;;);"  # before JSON that is not to be read by other sites
BLOCK_ERROR = 1357004  # of such JSON
LOGIN_TITLE = re.compile(
    r"\blog[\s_-]?in(?:to)?\b|\bsign[\s_-]?in\b|challenge|checkpoint", re.IGNORECASE
)


class WebAddress(Source):
    """Instagram's public web API, which needs no login if it is open."""

    name = "Instagram's web address"
    headers: Mapping[str, str] = {
        "x-ig-app-id": APP_ID,
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Language": "en-US,en;q=0.9",
    }
    fields = frozenset(FIELD_TYPES) - {"fetched_at", "error"}
    locked_out_hint = LOCKED_OUT_HINT
    withheld_hint = WITHHELD_HINT

    def request(self, username: str) -> Request:
        return Request(f"@{username}", API_URL, {"username": username})

    def parse(self, username: str, response: Response) -> dict[str, Any]:
        return parse_web_response(username, response)


def parse_web_response(username: str, response: Response) -> dict[str, Any]:
    """Return the profile fields that a response of the web address holds, or raise a FetchError."""
    status, headers, body = response
    parsed = parse_json(body.removeprefix(SCRIPT_GUARD))
    payload = as_object(parsed)
    data = as_object(payload.get("data"))
    user = as_object(data.get("user"))
    is_failure = payload.get("status") == "fail"
    if status == 200 and not is_failure and "biography" in user and is_about(username, user):
        return web_fields(user)
    page = html_page(response)
    title = page_title(page)
    message = json_message(parsed)
    searched = plain_text(body) if parsed is None else message
    redirect = headers.get("Location", "") if 300 <= status < 400 else ""
    is_block_redirect = redirect != "" and bool(BLOCK_REDIRECT.fullmatch(redirect))
    is_empty = status in (200, 404) and not user
    refuses = bool(payload.get("require_login") or (is_empty and payload.get("errors")))
    is_login = bool(LOGIN_TITLE.search(title))
    is_withheld = status == 400 and bool(WITHHELD_MESSAGE.search(searched))
    outcomes: list[Outcome] = [
        (bool(SERVER_FAILED.search(searched)), NetworkError, "server error"),
        (is_withheld, Withheld, "withheld"),
        (status in BLOCKED_STATUSES, Blocked, "blocked"),
        (refuses or bool(BLOCK_MESSAGE.search(searched)), Blocked, "blocked"),
        (payload.get("error") == BLOCK_ERROR, Blocked, "blocked"),
        (is_block_redirect, Blocked, "blocked, a redirect"),
        (is_login, Blocked, "blocked, a login page"),
        (status == 200 and is_failure, Blocked, "blocked, status fail"),
        (500 <= status < 600, NetworkError, "server error"),
        (status == 404, NotFound, "not found"),
        (status != 200, UnexpectedResponse, "unexpected status"),
        (page != "", NotFound, "not found, a page instead of data"),
        (parsed is None, NetworkError, "no JSON"),
        ("user" in data and data["user"] is None, NotFound, "not found"),
        (not is_about(username, user), UnexpectedResponse, "data about another profile"),
        (user != {}, UnexpectedResponse, "a profile without a biography field"),
        (True, UnexpectedResponse, "JSON of an unknown shape"),
    ]
    raise first_applying(outcomes, str(status), server_text(message or title or redirect, response))


def web_fields(user: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile fields of Instagram's `data.user`, each of which has had two names."""
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


# ==================================================================================================
# Graph API
# ==================================================================================================

# From Meta's pages "Business Discovery", "IG User", "Access Tokens: debugging", "Rate limiting" and
# "Error codes".
GRAPH_URL = "https://graph.facebook.com/v25.0/"
DISCOVERY = "business_discovery.username(%s){username,name,biography,followers_count}"
TOKEN_VARIABLE = "INSTAGRAM_ACCESS_TOKEN"
PERMISSIONS = ("instagram_basic", "instagram_manage_insights", "pages_read_engagement")
RATE_LIMIT_STATUS = 429
NO_SUCH_ACCOUNT = 110
RATE_LIMIT_CODES = (4, 17, 32, 368, 613, 80002, 80006)
TRANSIENT_CODES = (-1, 1, 2)
TOKEN_CODES = (102, 190)
PERMISSION_CODES = (10, *range(200, 300))
ACCOUNT_ID = re.compile(r"[0-9]{1,30}")
NO_DISCOVERY = re.compile(r"nonexisting field \(business_discovery\)")
# A token may end before a run that meets the hourly limit: at 200 calls an hour, as some report it,
# 10 requests a minute take three times as long as estimated.
SLOWED_BY_LIMIT = 3

# What to do about a problem with the set-up. The steps are those of the README.
CHAPTER = 'README, "Set up the official API"'
NEW_TOKEN = f"make a new one, and put it into {TOKEN_VARIABLE} ({CHAPTER}, steps 4 to 6)"
OTHER_KIND_OF_TOKEN = (
    f"it is cut short, or of another kind than those of the Graph API Explorer; {NEW_TOKEN}"
)
NEW_PERMISSIONS = (
    f"make a token with {', '.join(PERMISSIONS)} and pages_show_list ({CHAPTER}, steps 4 to 6); if "
    "your role on the Page was given in Business Manager, add ads_read or ads_management"
)
NEW_APP = f"make an app of the type Business, and a token of that app ({CHAPTER}, steps 3 to 6)"
LEAVE_OUT_ID = (
    "if you gave an id behind --graph-api, it may be that of a Page: leave it out, and the token "
    f"tells the right one. If you gave none, the token is one of Instagram Login: {NEW_TOKEN}"
)
NO_PAGE = f"""\
the access token shows no Facebook Page, so no Instagram account, either ({CHAPTER}).
  - Make the token again, with all the permissions of step 4, and in the window that opens choose
    your Page and your Instagram account.
  - If the Page belongs to a Business Portfolio: add the permission business_management, and choose
    the portfolio, too."""
NO_ACCOUNT = f"""\
no Instagram account is linked to any Page that the access token shows: {{}} ({CHAPTER}).
  - Make your Instagram account a professional one (step 1), and link it to the Page (step 2).
  - If it is linked: make the token again, and in the window that opens choose the account, too. If
    the Page belongs to a Business Portfolio, add the permission business_management, and choose the
    portfolio as well."""


class Page(NamedTuple):
    """A Facebook Page that the access token shows."""

    name: str
    account_id: str  # of the Instagram account that is linked to it; "" if there is none
    account_label: str  # how people call that account: its @username


class GraphApi(Source):
    """Meta's Business Discovery, as the user's own professional account.

    It shows professional accounts only. `account_id` is the numeric id of the user's account; if it
    is empty, the access token tells it.
    """

    name = "Instagram's official API"
    fields = frozenset({"full_name", "biography", "follower_count", "is_business"})
    settled_errors = (NOT_FOUND, NOT_PROFESSIONAL)
    slowed_by = "Meta's hourly limit"

    def __init__(self, account_id: str, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}
        self._token = token
        self._account_id = account_id
        self._expires_at = math.inf  # epoch seconds: when the token ends
        self._missing_permissions: list[str] = []

    def request(self, username: str) -> Request:
        url = GRAPH_URL + self._account_id
        return Request(f"@{username}", url, {"fields": DISCOVERY % username})

    def parse(self, username: str, response: Response) -> dict[str, Any]:
        return parse_graph_response(username, response)

    def check_set_up(self, client: Client) -> None:
        log.info("Checking the access token for %s", self.name)
        if not self._account_id:
            page = choose_page(self._fetch_pages(client))
            self._account_id = page.account_id
            self.name = f"{self.name}, as {page.account_label}"
        self._check_token(client)

    def warnings(self, seconds: float) -> list[str]:
        texts = []
        if self._missing_permissions:
            texts.append(
                f"The access token lacks {', '.join(self._missing_permissions)}: if profiles "
                f"can't be fetched, make a new one with all of them ({CHAPTER}, steps 4 to 6)"
            )
        remaining = self._expires_at - time.time()
        if remaining < SLOWED_BY_LIMIT * seconds:
            token_ends, run_ends = clock_time_in(remaining), clock_time_in(seconds)
            before = f"before the run, which is estimated to end at {run_ends}"
            after = (
                f"after the run, which ends at {run_ends}, or later if it meets {self.slowed_by}"
            )
            when = before if remaining < seconds else after
            texts.append(
                f"The access token ends at {token_ends}, {when}. Better stop now and extend the "
                f"token first ({CHAPTER}, step 5): one straight from the Graph API Explorer lasts "
                "an hour or two, one extended in the Access Token Debugger 60 days"
            )
        return texts

    def _fetch_pages(self, client: Client) -> list[Page]:
        query = {"fields": "name,instagram_business_account{id,username}", "limit": "100"}
        request = Request("me/accounts", GRAPH_URL + "me/accounts", query)
        try:
            return client.send(request, parse_pages)
        except SetUpError as error:
            raise UnusableError(str(error)) from error
        except (Blocked, NetworkError) as error:
            what_helps = "" if isinstance(error, Blocked) else "check the connection, and "
            raise StoppedError(
                f"{self.name} can't tell your account now ({error}): "
                f"{what_helps}run the same command again later"
            ) from error
        except FetchError as error:
            raise UnusableError(
                f"{self.name} does not tell your account ({error}): run the same command again; "
                "if that does not help, give the account's id behind --graph-api"
            ) from error

    def _check_token(self, client: Client) -> None:
        """Ask whether the token is valid, for how long, and for what; Meta need not tell."""
        query = {"input_token": self._token}
        request = Request("debug_token", GRAPH_URL + "debug_token", query)
        try:
            token = client.send_once(request, parse_token)
        except (FetchError, SetUpError) as error:
            log.info("The access token can't be checked (%s): going on without", error)
            return
        if token.get("is_valid") is False:
            message = printable(json_message(token.get("error"))).rstrip(".")
            why = f" ({message})" if message else ""
            raise UnusableError(f"the access token is not valid{why}: {NEW_TOKEN}")
        expires_at, scopes = token.get("expires_at"), token.get("scopes")
        if type(expires_at) is int and 0 < expires_at < sys.maxsize:  # 0 is never
            self._expires_at = expires_at
        if isinstance(scopes, list):
            self._missing_permissions = [each for each in PERMISSIONS if each not in scopes]


def choose_page(pages: Sequence[Page]) -> Page:
    """Return the Page that has an Instagram account.

    Raises UnusableError if there is none, and if there are several accounts.
    """
    linked = {page.account_id: page for page in pages if page.account_id}
    if not pages:
        raise UnusableError(NO_PAGE)
    if not linked:
        names = printable(", ".join(f"'{page.name}'" for page in pages))
        raise UnusableError(NO_ACCOUNT.format(names))
    if len(linked) > 1:
        choices = "".join(
            f"\n  --graph-api {page.account_id}  for {page.account_label} (Page '{page.name}')"
            for page in linked.values()
        )
        raise UnusableError(
            f"the access token shows {len(linked)} Instagram accounts to fetch as. Choose one:"
            f"{choices}"
        )
    return next(iter(linked.values()))


def parse_pages(response: Response) -> list[Page]:
    """Return the Pages that a response of me/accounts names; raises as `parse_graph_response`."""
    entries = parse_object(response.body).get("data")
    if response.status != 200 or not isinstance(entries, list):
        raise graph_error(response)
    pages = []
    for entry in map(as_object, entries):
        account = as_object(entry.get("instagram_business_account"))
        account_id, username = str(account.get("id", "")), account.get("username")
        if not ACCOUNT_ID.fullmatch(account_id):
            account_id = ""
        is_named = isinstance(username, str) and username != ""
        called = f"@{username}" if is_named else f"the account {account_id}"
        pages.append(Page(printable(str(entry.get("name", "?"))), account_id, printable(called)))
    return pages


def parse_token(response: Response) -> dict[str, Any]:
    """Return what a response of debug_token says; raises as `parse_graph_response`."""
    token = parse_object(response.body).get("data")
    if response.status != 200 or not isinstance(token, dict):
        raise graph_error(response)
    return token


def parse_graph_response(username: str, response: Response) -> dict[str, Any]:
    """Return the profile fields that a response of the Graph API holds, or raise a FetchError.

    Raises SetUpError if the token, its permissions or the account is wrong.
    """
    user = as_object(parse_object(response.body).get("business_discovery"))
    if response.status == 200 and user:
        if not is_about(username, user):
            raise UnexpectedResponse("data about another profile (status 200)")
        return {
            "full_name": user.get("name"),
            "biography": user.get("biography"),
            "follower_count": user.get("followers_count"),
            "is_business": True,
        }
    raise graph_error(response)


def graph_error(response: Response) -> Exception:
    """Return what a response without data means: a FetchError or a SetUpError."""
    status, _, body = response
    parsed = parse_json(body)
    error = as_object(as_object(parsed).get("error"))
    code = error.get("code") if type(error.get("code")) is int else None
    message = json_message(error)
    where = f"status {status}" if code is None else printable(f"error {code}")
    text = server_text(message, response)
    if problem := set_up_problem(code, error.get("error_subcode"), message):
        what, advice = problem
        return SetUpError(f"{what} ({where}: {text}): {advice}")
    is_transient = code in TRANSIENT_CODES or error.get("is_transient") is True
    outcomes: list[Outcome] = [
        (code == NO_SUCH_ACCOUNT, NotProfessional, ERRORS[NOT_PROFESSIONAL]),
        (status == RATE_LIMIT_STATUS or code in RATE_LIMIT_CODES, Blocked, "blocked, a rate limit"),
        (500 <= status < 600 or is_transient, NetworkError, "server error"),
        (status == 200 and parsed is None, NetworkError, "no JSON"),
        (True, UnexpectedResponse, "unexpected response"),
    ]
    return first_applying(outcomes, where, text)


def set_up_problem(code: int | None, subcode: object, message: str) -> tuple[str, str] | None:
    """Return what an error says is wrong with the set-up, and what to do; None if nothing is."""
    bad_token = "the access token is refused"
    is_token = code in TOKEN_CODES
    is_no_account = bool(NO_DISCOVERY.search(message))
    problems = [
        (is_token and subcode == 459, bad_token, "log in to facebook.com and follow what it asks"),
        (is_token and "Cannot parse access token" in message, bad_token, OTHER_KIND_OF_TOKEN),
        (is_token, bad_token, f"it may have expired; {NEW_TOKEN}"),
        (code in PERMISSION_CODES, "a permission is missing", NEW_PERMISSIONS),
        (code == 3, "the app of your access token can't do this", NEW_APP),
        (code == 100 and is_no_account, "your account is no Instagram account", LEAVE_OUT_ID),
        (
            code == 100 and subcode == 33,
            "the access token does not show your account",
            LEAVE_OUT_ID,
        ),
        (code == 803, "your account does not exist", LEAVE_OUT_ID),
        (
            code == 25,
            "your account is restricted",
            "log in to Instagram with it and follow what it asks",
        ),
        (code == 2635, "the API has changed", "get a newer version of this program"),
    ]
    return next(((what, advice) for applies, what, advice in problems if applies), None)


# ==================================================================================================
# HTTP
# ==================================================================================================

SOCKET_TIMEOUT = 30.0  # seconds of silence
RESPONSE_TIMEOUT = 60.0  # seconds for one response in all, head and body
RESPONSE_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 4096
KEEP_ALIVE = 30.0  # seconds; a router may have forgotten a connection that was idle for longer


class AnonymousSession(requests.Session):
    """A session without cookies or ~/.netrc, to which a redirect is a response like any other."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.headers.update(headers)
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.auth = lambda request: request

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None: `requests` would read the whole body of a redirect, however long."""


class Transport:
    """Sends one request at a time; `is_reached` is whether any response has begun to come back.

    Each is sent in a thread of its own. So a signal never lands in the HTTP library, and a response
    that drips, even in its head, can be left behind.
    """

    def __init__(self, headers: Mapping[str, str], waiter: Waiter) -> None:
        self.is_reached = False
        self._waiter = waiter
        self._session = AnonymousSession(headers)
        self._idle_until = Deadline.after(0.0)

    def get(self, request: Request) -> Response:
        """Send one request and return its response.

        Raises NetworkError if no whole response comes within 60 s, and Interrupted.
        """
        if self._idle_until.remaining() <= 0:
            self._session.close()
        results: queue.SimpleQueue[Response | NetworkError] = queue.SimpleQueue()
        try:
            threading.Thread(target=self._receive, args=(request, results), daemon=True).start()
            get = functools.partial(results.get, timeout=RESPONSE_TIMEOUT)
            result = self._waiter.wait_for("waiting for an answer", get)
        except queue.Empty:
            result = NetworkError(f"no whole response within {RESPONSE_TIMEOUT:.0f} s")
        except RuntimeError as error:  # the system has no thread left
            result = NetworkError(str(error))
        self._idle_until = Deadline.after(KEEP_ALIVE)
        if isinstance(result, NetworkError):
            raise result
        return result

    def _receive(
        self, request: Request, results: queue.SimpleQueue[Response | NetworkError]
    ) -> None:
        """Put the response to a request into `results`, or the NetworkError that came instead."""
        deadline = Deadline.after(RESPONSE_TIMEOUT)
        try:
            with self._session.get(
                request.url,
                params=request.query,
                timeout=SOCKET_TIMEOUT,
                stream=True,
                allow_redirects=False,
            ) as response:
                self.is_reached = True
                body = bytearray()
                for chunk in response.iter_content(CHUNK_BYTES):
                    body += chunk
                    if len(body) > RESPONSE_BYTES or deadline.remaining() < 0:
                        results.put(NetworkError("a response that is too long or too slow"))
                        return
            results.put(Response(response.status_code, response.headers, bytes(body)))
        except Exception as error:  # noqa: BLE001 - whatever a broken response raises
            results.put(NetworkError(describe_failure(error)))


def describe_failure(error: Exception) -> str:
    """Say what `requests` has met: the kind, and the reason that lies at the bottom of it.

    What can't be done with a proxy, or its address, is named by its kind only: the reason may
    repeat the password.
    """
    kind = type(error).__name__
    if isinstance(error, (requests.exceptions.ProxyError, ValueError, TypeError)):
        return kind
    reason: BaseException = error
    while reason.__context__:
        reason = reason.__context__
    return f"{kind}: {printable(str(reason))}"


RETRIES = 3
FAILURES_IN_A_ROW = 5  # of whatever profiles: we may be blocked
BLOCKED_WAIT = 60.0  # seconds for which nothing is sent after a blocked response


class Client:
    """Sends requests at the limiter's pace, and waits for as long as their responses ask.

    `failures` counts the responses in a row that were no answer about a profile. At five, nothing
    is tried again.
    """

    def __init__(self, source: Source, limiter: RateLimiter, waiter: Waiter) -> None:
        self.source = source
        self.limiter = limiter
        self.transport = Transport(source.headers, waiter)
        self.requests_sent = 0
        self.failures = 0
        self._locked_out_hint = source.locked_out_hint  # until it is logged, or can't be true
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Blocked, NetworkError)),
            stop=lambda state: state.attempt_number > RETRIES or self.failures >= FAILURES_IN_A_ROW,
            wait=tenacity.wait_exponential(multiplier=5, max=60),
            sleep=lambda seconds: waiter.wait_until(Deadline.after(seconds), "retrying in"),
            before_sleep=self._log_retry,
            reraise=True,
        )

    def send(self, request: Request, parse: Callable[[Response], Result]) -> Result:
        """Send a request, again after a blocked response or a network error.

        Returns and raises what `parse` does with the response. Also raises NetworkError,
        Interrupted while it waits, and OSError if a wait can't be noted.
        """
        result: Result = self._retrying(self.send_once, request, parse)
        return result

    def send_once(self, request: Request, parse: Callable[[Response], Result]) -> Result:
        """Send a request, once it may be sent; returns and raises as `send`."""
        self.limiter.wait_before_request()
        self.requests_sent += 1
        try:
            response = self.transport.get(request)
            log.debug("%s: status %d, %d bytes", request.label, response.status, len(response.body))
            self._heed_limits(response.headers)
            result = parse(response)
        except (Withheld, NotProfessional):
            self._note_answer()
            raise
        except FetchError as error:
            self._note_failure(error)
            raise
        self._note_answer()
        return result

    def _note_answer(self) -> None:
        self.failures = 0
        self._locked_out_hint = ""

    def _note_failure(self, error: FetchError) -> None:
        self.failures += 1
        if isinstance(error, Blocked):
            self.limiter.block_for(BLOCKED_WAIT)
            if self._locked_out_hint:
                log.warning("%s", self._locked_out_hint)
                self._locked_out_hint = ""

    def _heed_limits(self, headers: Mapping[str, str]) -> None:
        """Send nothing for as long as a response asks us to wait."""
        self.limiter.block_for(requested_wait(headers))
        if (percent := used_percent(headers)) >= USED_UP:
            self.limiter.block_for(USED_UP_WAIT)
            wait = format_wait(self.limiter.blocked_for())
            log.info("%.0f%% of the hourly limit is used: nothing is sent for %s", percent, wait)

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        """Log why something is fetched again, and when."""
        error = state.outcome.exception() if state.outcome else None
        label, attempt = state.args[0].label, state.attempt_number + 1
        seconds = format_duration(max(state.upcoming_sleep, self.limiter.ready_in()))
        log.info("%s: %s; try %d of %d in %s", label, error, attempt, 1 + RETRIES, seconds)


# ==================================================================================================
# Fetching
# ==================================================================================================

# The three rules, and where they stand:
#   tries           what is blocked or a network error is sent four times: `Client.send`
#   five in a row   a known profile tells whether we are out: `Enrichment.pause_if_out`, `Outage`
#   passes          what may have failed by chance gets another: `FetchQueue.start_next_pass`

LEAST_PAUSE = 60.0  # seconds of a pause in an outage
FIRST_NETWORK_PAUSE, LONGEST_NETWORK_PAUSE = 60.0, 900.0  # seconds; it bothers nobody
GIVE_UP_AFTER = 24 * 3600.0  # seconds of an outage in which the machine was awake
GIVE_UP_UNKNOWN_AFTER = 4 * 3600.0  # the same, where no profile is known

Send = Callable[[Request, Callable[[Response], dict[str, Any]]], dict[str, Any]]  # of a Client


def fetch_profile(source: Source, username: str, send: Send) -> Profile:
    """Fetch a profile with `Client.send` or `Client.send_once`.

    Raises the FetchError that leaves it open, and SetUpError if no further request makes sense.
    """
    parse = functools.partial(source.parse, username)
    try:
        return Profile.fetched_now(username, send(source.request(username), parse))
    except NotProfessional:
        return Profile.fetched_now(username, {"error": NOT_PROFESSIONAL})


def check_known_profile(client: Client, known: Sequence[str]) -> FetchError | None:
    """Fetch a known profile, drawn at random, once; returns what came instead of an answer.

    It is no fetch of the queue, so that it counts for no batch.
    """
    username = random.choice(known)
    try:
        fetch_profile(client.source, username, client.send_once)
    except Withheld:
        pass
    except FetchError as error:
        log.info("Known profile @%s failed, too: %s", username, error)
        return error
    log.info("Known profile @%s is answered: we are not blocked", username)
    return None


class FetchQueue:
    """The open profiles in the order in which they are fetched, and what came of them.

    `first_row` is username -> index of the first row that can gain. `waiting` are the usernames
    that this pass has still to fetch: at first those from row `rows_done` on, then those above.
    `errors` has why others are still open (username -> what came last). `fetched` and `requests`
    count the fetches of all passes, and what they took.
    """

    def __init__(self, first_row: Mapping[str, int], rows_done: int) -> None:
        self.first_row = first_row
        self.waiting = deque(sorted(first_row, key=lambda name: first_row[name] < rows_done))
        self.errors: dict[str, FetchError] = {}
        self.fetched = self.requests = 0
        self._pass = 1
        self._has_found = False  # whether this pass has found one that was not found before
        self._not_found_in: dict[str, list[int]] = {}  # the passes; none, if all were undone
        # The failures in a row: each with the username, and what had come of it before.
        self._in_a_row: list[tuple[str, FetchError | None]] = []

    def note_answer(self, username: str) -> None:
        """Note that a profile was answered."""
        self.fetched += 1
        self.errors.pop(username, None)
        self._has_found = self._has_found or username in self._not_found_in
        self.confirm_failures()

    def note_withheld(self, username: str, error: Withheld) -> None:
        """Note that a profile exists, but is not shown."""
        self.note_answer(username)
        self.errors[username] = error

    def note_failure(self, username: str, error: FetchError) -> None:
        """Note that a profile was fetched in vain."""
        self.fetched += 1
        self._in_a_row.append((username, self.errors.get(username)))
        self.errors[username] = error
        if isinstance(error, NotFound):
            self._not_found_in.setdefault(username, []).append(self._pass)

    def confirm_failures(self) -> None:
        """Let the failures in a row count, as they were about those profiles."""
        self._in_a_row.clear()

    def undo_failures(self) -> None:
        """Put the profiles that failed in a row to the end, as if they had not been fetched."""
        for username, earlier in reversed(self._in_a_row):
            if isinstance(self.errors.pop(username), NotFound):
                self._not_found_in[username].pop()
            if earlier:
                self.errors[username] = earlier
        again = dict.fromkeys(username for username, _ in self._in_a_row)
        self.waiting.extend([username for username in again if username not in self.waiting])
        self._in_a_row.clear()

    def start_next_pass(self, is_any_known: bool) -> None:
        """Let profiles that were fetched in vain be fetched once more, if there is reason to.

        Where no profile is known, one that is not found is left at that.
        """
        self.waiting.extend(self._again(is_any_known))
        if self.waiting:
            log.info(
                "Once more: %s that could not be fetched", counted(len(self.waiting), "profile")
            )
            self._pass += 1
            self._has_found = False

    def left(self) -> int:
        """Return how many profiles are still to be fetched, in this pass or the next."""
        return len({*self.waiting, *self._again(is_any_known=True)})

    def gone(self) -> list[str]:
        """Return, after the last pass, those that were not found in two passes running."""
        last_two = [self._pass - 1, self._pass]
        return [
            name for name in self._failed(NotFound) if self._not_found_in[name][-2:] == last_two
        ]

    def _again(self, is_any_known: bool) -> list[str]:
        """Return those that the next pass fetches.

        After the first pass these are all that may have failed by chance. After a later one they
        are those that are not found, if it has found one that was not found before.
        """
        kinds: tuple[type[FetchError], ...] = ()
        if self._pass == 1:
            kinds = (Blocked, NetworkError)
        if is_any_known and (self._pass == 1 or self._has_found):
            kinds = (*kinds, NotFound)
        return self._failed(*kinds)

    def _failed(self, *kinds: type[FetchError]) -> list[str]:
        """Return the usernames that such errors have left open."""
        return [username for username, error in self.errors.items() if isinstance(error, kinds)]


@dataclass
class Outage:
    """The time in which nothing can be fetched."""

    began: float  # of time.monotonic()
    last_pause: float = 0.0  # seconds

    def next_pause(self, error: FetchError, first_pause: float, is_any_known: bool) -> float:
        """Return the seconds of the next pause, if `error` shows that the outage goes on.

        Raises StoppedError after 24 hours of it, or after 4 where no profile is known.
        """
        give_up_after = GIVE_UP_AFTER if is_any_known else GIVE_UP_UNKNOWN_AFTER
        remaining = self.began + give_up_after - time.monotonic()
        is_network = isinstance(error, NetworkError)
        if remaining < 1:  # the last pause has ended with it
            advice = "check the connection" if is_network else "wait a day before the next run"
            duration = format_duration(give_up_after)
            raise StoppedError(f"nothing could be fetched for {duration} ({error}): {advice}")
        if is_network:
            first, longest = FIRST_NETWORK_PAUSE, LONGEST_NETWORK_PAUSE
        else:
            first, longest = max(first_pause, LEAST_PAUSE), LONGEST_WAIT
        self.last_pause = max(min(2 * self.last_pause, longest), first)
        return min(self.last_pause, remaining)


# ==================================================================================================
# State on disk
# ==================================================================================================

CACHE_FILE, PROGRESS_FILE, LOCK_FILE = "ig_cache.json", "ig_progress.json", "ig.lock"
CLOSING = b"\n}\n"  # how a cache file ends, after its last entry
ENTRY_START = re.compile(r'"([A-Za-z0-9._]{1,30})"[ \t\r\n]*:[ \t\r\n]*(?=\{)')
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # as "surrogateescape" decodes it
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    with naming(path):
        return path.read_bytes() if path.exists() else b""


def temp_path(path: Path) -> Path:
    """Return where a file is written before it is moved into its place."""
    return path.with_name(f".{path.name}.ig-part")


def unused_path(path: Path, suffix: str) -> Path:
    """Return the first of `path.suffix`, `path.suffix1`, `path.suffix2` … that does not exist."""
    paths = (path.with_name(f"{path.name}.{suffix}{count or ''}") for count in itertools.count())
    return next(each for each in paths if not each.exists())


def write_atomic(path: Path, data: bytes, like: Path | None = None) -> None:
    """Write a file beside `path`, sync it, and move it there: there is a whole file at any moment.

    It gets the permissions of `like`, by default those of the file that it replaces. Raises
    OSError, with `path` as its filename.
    """
    temp = temp_path(path)
    with naming(path):
        try:
            with temp.open("wb") as file:
                with contextlib.suppress(OSError):
                    os.fchmod(file.fileno(), stat.S_IMODE((like or path).stat().st_mode))
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temp.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temp.unlink()
            raise


def keep_copy(path: Path, data: bytes, suffix: str) -> Path:
    """Write what a file holds to an unused path beside it, before it is replaced; returns that."""
    copy = unused_path(path, suffix)
    write_atomic(copy, data, like=path)
    return copy


class Cache:
    """The profiles fetched so far: username -> Profile in memory, one JSON object on disk.

    The file has one entry a line. A new profile is one line more, whatever the size of the file;
    for one that replaces another, the file is written anew. So it is, from memory, if it was
    changed or removed since this program wrote it; what it held then is kept under another name.
    All methods raise OSError if the file can't be read or written; what it held stays whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        data = read_if_exists(path)
        self.profiles = parse_cache(data)
        if data == render_cache(self.profiles.values()):
            with path.open("r+b") as file:  # it can be written, too
                self._stamp = file_stamp(file.fileno())  # by which a change is seen
        else:
            self._replace(data)

    def add(self, profile: Profile) -> None:
        """Save a profile: its line is written over the closing brace in one write, and synced."""
        self.rewrite_if_changed()
        if profile.username in self.profiles:
            self._write_all({**self.profiles, profile.username: profile})
        else:
            separator = b",\n" if self.profiles else b"\n"
            self._append(separator + render_entry(profile))
        self.profiles[profile.username] = profile

    def known(self) -> list[str]:
        """Return the usernames of the profiles with data, which are known to exist."""
        return [username for username, profile in self.profiles.items() if not profile.error]

    def rewrite_if_changed(self) -> None:
        """Write the file anew, if another program has changed or removed it."""
        if self._stamp != file_stamp(self._path):
            self._replace(read_if_exists(self._path))

    def set_aside(self) -> None:
        """Keep the file as `.bak` and start empty; an older `.bak` is moved to an unused path."""
        backup = self._path.with_name(self._path.name + ".bak")
        log.info(
            "--force: fetching all profiles again; what was cached is kept as %s",
            printable(str(backup)),
        )
        if backup.exists():
            backup.replace(unused_path(self._path, "bak"))
        self._path.replace(backup)
        self.profiles.clear()
        self._write_all(self.profiles)

    def _replace(self, data: bytes) -> None:
        """Write the file anew from memory; what it holds now, `data`, is kept if it differs."""
        if data not in (b"", render_cache(self.profiles.values())):
            log.warning(
                "%s is damaged, or another program wrote it: kept it as %s; the new one has %d "
                "entries",
                printable(str(self._path)),
                printable(str(keep_copy(self._path, data, "damaged"))),
                len(self.profiles),
            )
        self._write_all(self.profiles)

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
                self._stamp = file_stamp(file.fileno())
                raise
            self._stamp = file_stamp(file.fileno())

    def _write_all(self, profiles: Mapping[str, Profile]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, render_cache(profiles.values()))
        self._stamp = file_stamp(self._path)


def file_stamp(file: Path | int) -> tuple[int, int, int] | None:
    """Return what tells, without reading it, whether a file was changed; None if it is gone."""
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def render_cache(profiles: Iterable[Profile]) -> bytes:
    """Return a cache file: one JSON object with an entry a line."""
    return b"{" + b",".join(b"\n" + render_entry(profile) for profile in profiles) + CLOSING


def render_entry(profile: Profile) -> bytes:
    """Return a cache entry: in ASCII, so that a torn file never ends within a character."""
    return json.dumps({profile.username: profile._asdict()})[1:-1].encode("ascii")


def parse_cache(data: bytes) -> dict[str, Profile]:
    """Read every whole entry of a cache file, whoever wrote it and however torn it is.

    If a name is in it twice, the later entry counts.
    """
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
            continue  # a torn entry that has swallowed the next ones: skip to its first one
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
    """What a run leaves to the next; its methods raise OSError.

    `rows_done` counts the rows from the top that are done, and `batch_count` the fetches of the
    batch that has begun. `not_before` is when requests may be sent again: in `longest_wait` seconds
    at the most, as the clock may have been set back. What is out of range in the file is ignored;
    `has_batches` is whether a batch is noted there at all.
    """

    def __init__(self, path: Path, rows: int, longest_wait: float, has_batches: bool) -> None:
        self._path = path
        self._has_batches = has_batches
        state = parse_object(read_if_exists(path))
        rows_done: Any = state.get("last_processed_index")
        batch_count: Any = state.get("batch_count") if has_batches else 0
        self.rows_done = rows_done if type(rows_done) is int and 0 <= rows_done <= rows else 0
        self.batch_count = max(batch_count, 0) if type(batch_count) is int else 0
        wait = parse_timestamp(state.get("not_before")) - time.time()
        self.not_before = Deadline.after(min(wait, longest_wait))

    def advance_to(self, rows_done: int) -> None:
        """Note that so many rows from the top are done, if they are more than before."""
        self.rows_done = max(self.rows_done, rows_done)
        self.save()

    def count_fetch(self) -> None:
        """Note that a profile is about to be fetched."""
        self.batch_count += 1
        self.save()

    def block_until(self, deadline: Deadline) -> None:
        """Note that nothing is sent until then."""
        self.not_before = deadline
        self.save()

    def finish(self) -> None:
        """Note that the whole list is done: the next run starts at the top, with a new batch.

        It does so after the wait that may still go on.
        """
        self.rows_done = self.batch_count = 0
        if self.not_before.remaining() > 0:
            self.save()
        else:
            self._path.unlink(missing_ok=True)

    def save(self) -> None:
        """Write the file."""
        state: dict[str, Any] = {"last_processed_index": self.rows_done}
        if self._has_batches and self.batch_count:
            state["batch_count"] = self.batch_count
        if (wait := self.not_before.remaining()) > 0:
            state["not_before"] = format_timestamp(math.ceil(time.time() + wait))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, json.dumps(state).encode() + b"\n")


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a state folder, made if missing, as long as the process lives; its file names it.

    Raises UnusableError if another run holds the folder, and OSError if it can't be locked.
    """
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
            raise UnusableError(
                f"another run is using {printable(str(folder))}: wait until it ends{how}"
            ) from None
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
NETWORK = re.compile(
    rf"instagram|insta|ig|{DISTINCT_NETWORKS}|{SHORT_NETWORKS}|snap|kick", re.IGNORECASE
)
SINGLE_X = re.compile(r"(?<![\w.])x(?![\w.])", re.IGNORECASE)  # a check mark, or `Nike x Adidas`
WORD_START = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # `instagramHandle`


@dataclass(frozen=True)
class Column:
    """A column of the list."""

    position: int  # from 0
    header: str  # on one line
    cells: list[str]  # those that are not blank
    rows: int  # of the list

    @functools.cached_property
    def words(self) -> str:
        """The header, folded."""
        return fold(self.header)

    @functools.cached_property
    def sample(self) -> list[str]:
        """Some cells, evenly spread over those that don't say "none"."""
        cells = [cell for cell in self.cells if not SAYS_NONE.fullmatch(cell.strip())]
        return cells[:: 1 + len(cells) // SAMPLE_SIZE]

    def candidate_kind(self) -> int | None:
        """Return 1, 2 or 3 for a candidate, the strongest first; None if it is none."""
        names_instagram = NAMES_INSTAGRAM.search(self.words)
        names_other = OTHER_NETWORK_HEADER.search(self.words)
        if OTHER_HEADER.search(self.words) or (names_other and not names_instagram):
            return None
        kinds = Counter(parse_handle(cell).kind for cell in self.sample)
        count = sum(kinds.values()) - kinds[HandleKind.EMPTY]
        addresses = kinds[HandleKind.ADDRESS]
        marked = addresses + kinds[HandleKind.MENTION]
        is_half_usable = 2 * (marked + kinds[HandleKind.WORD]) >= count > 0
        is_filled = 2 * len(self.cells) > self.rows
        if (is_filled and 2 * addresses > count) or (names_instagram and is_half_usable):
            return 1
        if HANDLE_HEADER.fullmatch(self.words) and is_half_usable:
            return 2
        return 3 if NAME_HEADER.fullmatch(self.words) and 3 * marked >= 2 * count > 0 else None

    def is_on_other_network(self) -> bool:
        """Return whether most cells name another network than Instagram."""
        cells = [SINGLE_X.sub("", cell) for cell in self.sample]
        others = filter(OTHER_NETWORK.search, cells)
        return 2 * sum(not NAMES_INSTAGRAM.search(cell) for cell in others) > len(cells)

    @functools.cached_property
    def is_platform(self) -> bool:
        """Whether it says of each row on which network its handle is.

        Its header says so and a cell names a network, or most cells are names of networks.
        """
        names = sum(NETWORK.fullmatch(cell.strip()) is not None for cell in self.sample)
        named = (NAMES_INSTAGRAM.search(cell) or OTHER_NETWORK.search(cell) for cell in self.cells)
        is_called_so = PLATFORM_HEADER.search(self.words) is not None
        return 2 * names > len(self.sample) or (is_called_so and any(named))

    def __str__(self) -> str:
        """Show the header and the first values."""
        values = (printable(cut(cell.strip(), VALUE_CHARACTERS)) for cell in self.cells[:3])
        return f"'{printable(self.header)}' ({', '.join(values) or 'empty'})"


def fold(text: str) -> str:
    """Return the words of a text, without case, accents and punctuation."""
    letters = unicodedata.normalize("NFKD", WORD_START.sub(" ", text)).casefold()
    return " ".join(re.findall(r"[^\W_]+", re.sub("[\u0300-\u036f]", "", letters)))


def find_handle_column(
    columns: Sequence[Column], excluded: Collection[Column], name: str, above: str
) -> Column:
    """Return the column of Instagram handles: the one candidate of the strongest kind.

    `excluded` are the columns to fill, `name` is the file's, `above` what stands above the header.
    Raises UnusableError, with the candidates, if there is none, or more than one.
    """
    candidates = [column for column in columns if column not in excluded]
    kinds = [column.candidate_kind() for column in candidates]
    strongest = min((kind for kind in kinds if kind), default=0)
    found = [column for column, kind in zip(candidates, kinds) if kind == strongest]
    headers = [*above.splitlines(), *(column.header for column in columns)]
    other = None if strongest == 1 else find_other_network(candidates, name, headers)
    if len(found) == 1 and other is None:
        return found[0]
    if other is not None:
        what = f"names another network ('{printable(other.strip())}') and nowhere Instagram"
    else:
        what = f"has {'several columns' if found else 'no column'} that may hold Instagram handles"
    raise UnusableError(f"{what}: {list_columns(found or columns, '--username-column')}")


def find_other_network(columns: Sequence[Column], name: str, headers: Sequence[str]) -> str | None:
    """Return a text that names another network, if there is one, and none that names Instagram.

    It may be the file's name, a header or a line above it, or a cell of `columns`.
    """
    platforms = [cell for column in columns if column.is_platform for cell in column.cells]
    if any(map(NAMES_INSTAGRAM.search, (*map(fold, (name, *headers)), *platforms))):
        return None
    # A file may be called x.csv: its name has to be distinct.
    others = [name] if re.search(rf"\b(?:{DISTINCT_NETWORKS})", fold(name)) else []
    others += [header for header in headers if OTHER_NETWORK_HEADER.search(fold(header))]
    elsewhere = [column for column in columns if column.is_on_other_network()]
    others += [cell for column in elsewhere for cell in column.cells if OTHER_NETWORK.search(cell)]
    return others[0] if others else None


def named_column(columns: Sequence[Column], header: str, flag: str) -> Column:
    """Return the column that the user named with a flag; case and space make no difference.

    Raises UnusableError if there is none, or more than one.
    """
    key = one_line(header).casefold()
    found = [column for column in columns if column.header.casefold() == key]
    if len(found) == 1:
        return found[0]
    if found:
        what = f"has several columns '{printable(header)}', but for case and space"
        raise UnusableError(f"{what}: rename all but one, so that {flag} tells them apart")
    what = f"has no column '{printable(header)}'"
    raise UnusableError(f"{what}: {list_columns(columns, flag)}")


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
    handle: Handle = Handle(None, HandleKind.EMPTY)
    wanted: tuple[str, ...] = ()  # the profile fields that can be filled into it

    @property
    def username(self) -> str | None:
        """The username in its handle cell; None if that holds no usable one."""
        return self.handle.username

    def cell(self, column: Column) -> str:
        """Return its cell in a column; "" if it ends before that."""
        return str(self.cells.get(column.position, ""))


@dataclass(frozen=True)
class Sheet:
    """The list. Its rows keep their raw text: what is not filled comes out byte for byte."""

    delimiter: str
    above: str  # the raw text above the header, a BOM included
    header: Row
    rows: list[Row]
    below: str  # the blank lines below the last row
    handle_header: str
    columns: dict[str, Column]  # profile field -> the column to fill

    @property
    def titles(self) -> dict[str, str]:
        """The headers of the columns to fill: profile field -> header."""
        return {field: column.header for field, column in self.columns.items()}

    @property
    def added_titles(self) -> dict[str, str]:
        """Those of the columns to fill that the file does not have: profile field -> header."""
        width = len(self.header.cells)
        return {
            field: each.header for field, each in self.columns.items() if each.position >= width
        }

    def new_cells(self, row: Row, profiles: Mapping[str, Profile]) -> dict[str, str]:
        """Return what `profiles` (username -> Profile) adds to a row: profile field -> text."""
        profile = profiles.get(row.username or "")
        if profile is None or profile.error is not None:
            return {}
        texts = {field: clean(getattr(profile, field) or "") for field in row.wanted}
        return {field: text for field, text in texts.items() if text}

    def render(self, profiles: Mapping[str, Profile]) -> Iterator[bytes]:
        """Yield the whole file, with what `profiles` (username -> Profile) adds to it."""
        yield (self.above + self._fill(self.header.text, self.added_titles)).encode()
        for row in self.rows:
            yield self._fill(row.text, self.new_cells(row, profiles)).encode()
        yield self.below.encode()

    def lines(self) -> set[bytes]:
        """Return the lines of the file as it was read; a cell of several lines has several."""
        rows = "".join(row.text for row in self.rows)
        return set((self.above + self.header.text + rows).encode().splitlines())

    def _fill(self, text: str, new_cells: Mapping[str, str]) -> str:
        """Put cells (profile field -> text) into a raw row; every other byte of it stays."""
        if not new_cells:
            return text
        blank_lines, line, line_end = split_raw(text)
        cells = RAW_CELLS[self.delimiter].findall(line)
        for field, value in new_cells.items():
            position = self.columns[field].position
            cells += [""] * (position + 1 - len(cells))
            is_quoted = cells[position].startswith('"') or NEEDS_QUOTES.search(value)
            cells[position] = '"' + value.replace('"', '""') + '"' if is_quoted else value
        return blank_lines + self.delimiter.join(cells) + line_end


def read_sheet(path: Path, named: Mapping[str, str]) -> Sheet:
    """Read a list; `named` are the headers that the user gave: profile field -> header.

    Raises UnusableError, with the place, if the list can't be used.
    """
    try:
        return parse_sheet(read_text(path), path.stem, named)
    except UnusableError as error:
        raise UnusableError(f"{printable(str(path))} {error}") from None


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


def parse_sheet(text: str, name: str, named: Mapping[str, str]) -> Sheet:
    """Make a sheet of the text of a file with that name, as `read_sheet` does."""
    body = text.removeprefix(BOM)
    delimiter, header_index, width = find_header(body)
    rows = list(read_rows(body, delimiter, width))
    above = text[: len(text) - len(body)] + "".join(row.text for row in rows[:header_index])
    below = body[sum(len(row.text) for row in rows) :]
    check_header(rows[: header_index + 1])
    header, *rows = rows[header_index:]
    columns = [
        Column(
            position=at,
            header=one_line(title),
            cells=[cell for row in rows if (cell := row.cells[at]).strip()],
            rows=len(rows),
        )
        for at, title in header.cells.items()
    ]
    to_fill = place_columns(columns, rows, named)
    if "username" in named:
        column = named_column(columns, named["username"], "--username-column")
    else:
        column = find_handle_column(columns, to_fill.values(), name, above)
    handles = read_handles(column, columns, rows, is_named="username" in named)
    sheet_rows = []
    for row, handle in zip(rows, handles):
        wanted = tuple(field for field, each in to_fill.items() if not row.cell(each).strip())
        sheet_rows.append(Row(row.number, row.text, {}, row.cell(column), handle, wanted))
    return Sheet(delimiter, above, header, sheet_rows, below, column.header, to_fill)


def find_header(text: str) -> tuple[str, int, int]:
    """Return the delimiter, and the index and the width of the header; blank lines don't count.

    Raises UnusableError if there is no header.
    """
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

    It is the one by which most rows are as wide as their header; of equals the wider, then the one
    that tears no quoted cell apart, then not the comma. One that is in no row, or in a text here
    and there, makes all rows equally wide, so that it has to come last.
    """
    widths = list(map(len, rows))
    width = widths[index_of_header(rows)]
    is_used = widths[0] > 1 or 2 * sum(each > 1 for each in widths) >= len(widths)
    torn = sum(cell.count('"') % 2 for row in rows for cell in row)
    is_no_comma = width > 1 and delimiter != ","
    return is_used, widths.count(width) / len(widths), width, -torn, is_no_comma


def index_of_header(rows: Sequence[Sequence[str]]) -> int:
    """Return the index of the header: the first row that is filled more than half as far as any.

    A row is filled as far to the right as its last filled cell; titles and `sep=;` are less. So
    that `,,Instagram,,` above it isn't the header, half as many cells have to be filled, too.
    """
    filled = [[at for at, cell in enumerate(row, 1) if cell.strip()] for row in rows]
    far, most = max(max(each, default=0) for each in filled), max(map(len, filled))
    fits = (2 * max(each, default=0) > far and 2 * len(each) >= most for each in filled)
    return next((at for at, is_header in enumerate(fits) if is_header), 0)


def read_rows(text: str, delimiter: str, width: int) -> Iterator[Row]:
    """Yield the rows of a text, those above the header, too.

    Raises UnusableError where a quote is never closed, or has swallowed the rows after it.
    """
    lines = io.StringIO(text, newline="")
    # Columns are told apart by their position: headers may be empty, or appear twice.
    reader = csv.DictReader(lines, range(width), restval="", delimiter=delimiter)
    start = number = 0
    for cells in reader:
        end = lines.tell()
        blank_lines, line, _ = split_raw(text[start:end])
        number += 1 + len(LINE_END.findall(blank_lines))
        if '"' in line and not closes_quotes(line, delimiter):
            raise UnusableError(
                f'opens a quote (") in row {number} and does not close it: close or remove it there'
            )
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
    """Raise UnusableError if the row of the header, or one above it, is an entry of the list."""
    cells = [
        (row.number, row.cells[at].strip()) for row in rows for at in row.cells if at is not None
    ]
    for number, cell in cells:
        username, kind = parse_handle(cell)
        is_marked = kind in (HandleKind.ADDRESS, HandleKind.MENTION) and len(cell.split()) == 1
        if is_marked and not LABEL.fullmatch(username or ""):  # `@handle` is a header
            raise UnusableError(
                f"has '{printable(cell)}' in row {number}, where the columns should be named: "
                "add a row that names them all, or put texts with commas in quotes"
            )


def place_columns(
    columns: Sequence[Column], rows: Iterable[Row], named: Mapping[str, str]
) -> dict[str, Column]:
    """Return profile field -> the column to fill; `named` are the headers that the user gave.

    Columns that are to be added come after the widest row, so that no cell without a header is
    taken for theirs.
    """
    surplus = (row.cells.get(None, []) for row in rows)
    widest = max((len(cells) for cells in surplus if any(map(str.strip, cells))), default=0)
    added = itertools.count(len(columns) + widest)
    places = {}
    for field, (default, flag) in TO_FILL.items():
        if field in named:
            places[field] = named_column(columns, named[field], flag)
        else:
            same = [each for each in columns if each.header.casefold() == default.casefold()]
            places[field] = same[0] if same else Column(next(added), default, [], rows=0)
    if len({column.position for column in places.values()}) < len(places):
        raise UnusableError(
            "can't have one column filled twice, by --genre-column and --details-column"
        )
    return places


def read_handles(
    column: Column, columns: Sequence[Column], rows: Iterable[Row], is_named: bool
) -> list[Handle]:
    """Read the handle of each row; none where it can't be told that the name is on Instagram.

    That is a bare word in a column that neither its header nor the user calls one of handles, and
    a row whose platform isn't Instagram. An address speaks for itself.
    """
    names_instagram = NAMES_INSTAGRAM.search(column.words)
    allows_words = is_named or names_instagram or HANDLE_HEADER.fullmatch(column.words)
    is_certain = names_instagram and not OTHER_NETWORK_HEADER.search(column.words)
    others = [] if is_certain else [each for each in columns if each is not column]
    platforms = [each for each in others if each.is_platform]
    handles = []
    for row in rows:
        handle = parse_handle(row.cell(column))
        if handle.kind in (HandleKind.MENTION, HandleKind.WORD):
            if not all(is_instagram(row.cell(platform)) for platform in platforms):
                handle = Handle(None, HandleKind.ELSEWHERE)
            elif handle.kind is HandleKind.WORD and not allows_words:
                handle = Handle(None, HandleKind.UNSURE)
        handles.append(handle)
    if not any(handle.username for handle in handles):
        networks = "".join(f", whose network is in {platform}" for platform in platforms)
        what = f"has no usable handle in column {column}{networks}"
        raise UnusableError(f"{what}: {list_columns(columns, '--username-column')}")
    return handles


def is_instagram(platform: str) -> bool:
    """Return whether the platform that a row names is Instagram; `no IG` denies it."""
    return bool(NAMES_INSTAGRAM.search(platform)) and not NO_INSTAGRAM.search(platform)


# ==================================================================================================
# The run
# ==================================================================================================

FIRST_GUESS = 10  # profiles that the estimate adds to those fetched so far, with a request each


def open_profiles(
    rows: Iterable[Row], source: Source, profiles: Mapping[str, Profile]
) -> dict[str, int]:
    """Return what a source has to fetch: username -> index of the first row that can gain by it."""
    first_row: dict[str, int] = {}
    for index, row in enumerate(rows):
        username = row.username or ""
        can_gain = username and not source.fields.isdisjoint(row.wanted)
        if can_gain and not source.settles(profiles.get(username)):
            first_row.setdefault(username, index)
    return first_row


class Output:
    """The output: the input plus what is cached. `write` raises OSError."""

    def __init__(self, path: Path, sheet: Sheet) -> None:
        self._path, self._sheet = path, sheet
        self._last: bytes | None = None  # as this run wrote it last

    def write(self, profiles: Mapping[str, Profile]) -> None:
        """Write it anew from what is cached; what somebody has typed into it is kept as a copy."""
        new = b"".join(self._sheet.render(profiles))
        old = read_if_exists(self._path)
        if self._is_foreign(old, new):
            log.warning(
                "%s has lines that are not of this list: kept it as %s. "
                "Edits belong into the input, as the output is made anew from it each time",
                printable(str(self._path)),
                printable(str(keep_copy(self._path, old, "bak"))),
            )
        write_atomic(self._path, new)
        self._last = new

    def _is_foreign(self, old: bytes, new: bytes) -> bool:
        """Return whether the file that is about to be replaced has what is found nowhere else."""
        if self._last is not None:
            return old not in (b"", new, self._last)
        return not set(old.splitlines()) <= {b"", *new.splitlines(), *self._sheet.lines()}


@dataclass
class Enrichment:
    """One run over the list: fetches what is open, caches it, and writes checkpoints."""

    sheet: Sheet
    client: Client
    cache: Cache
    progress: Progress
    queue: FetchQueue
    output: Output
    report: Report | None
    args: argparse.Namespace

    def __post_init__(self) -> None:
        self.outage: Outage | None = None
        self.is_fetching = False

    @property
    def source(self) -> Source:
        """Where it fetches."""
        return self.client.source

    @functools.cached_property
    def rows(self) -> Sequence[Row]:
        """The rows that it works on: all, or the first ones of a `--limit`."""
        return self.sheet.rows[: self.args.limit]

    @functools.cached_property
    def usernames(self) -> set[str]:
        """The usernames of the list."""
        return {row.username for row in self.rows if row.username}

    def settled(self) -> set[str]:
        """Return the usernames of the list of which there is nothing to fetch any more."""
        profiles, settles = self.cache.profiles, self.source.settles
        return {username for username in self.usernames if settles(profiles.get(username))}

    def fetch_all(self) -> None:
        """Fetch the profiles of the queue, in passes, until there is nothing more to try.

        Raises Interrupted, StoppedError if going on makes no sense, and OSError if something
        can't be saved.
        """
        while self.queue.waiting:
            self.fetch_next()
            if not self.queue.waiting:
                self.queue.start_next_pass(is_any_known=bool(self.cache.known()))
        self.cache_gone()
        if self.queue.fetched:
            self.checkpoint()
        if len(self.rows) == len(self.sheet.rows):
            self.progress.finish()
        else:
            self.progress.advance_to(len(self.rows))

    def fetch_next(self) -> None:
        """Fetch the next profile of the queue, after the pause that may be due before it."""
        if self.progress.batch_count >= self.args.batch_size:
            self.pause(self.args.batch_pause, f"Batch of {self.args.batch_size} done")
        self.client.limiter.wait_while_blocked()  # a kill in a pause is no fetch of the next batch
        username = self.queue.waiting.popleft()
        sent_before = self.client.requests_sent
        self.progress.count_fetch()
        self.is_fetching = True
        try:
            result = self.fetch_and_note(username)
        finally:
            self.is_fetching = False
            requests = self.client.requests_sent - sent_before
            self.queue.requests += requests
            if not requests:  # a signal came first
                self.progress.batch_count -= 1
        index = self.queue.first_row[username]
        self.progress.advance_to(index + 1)
        log_progress(self, index, username, result)
        if self.client.failures >= FAILURES_IN_A_ROW:
            self.pause_if_out(self.queue.errors[username])
        else:
            self.outage = None

    def fetch_and_note(self, username: str) -> str:
        """Fetch a profile, save or note what came of it, and return that in words."""
        is_again = username in self.queue.errors
        send = self.client.send_once if is_again else self.client.send
        try:
            profile = fetch_profile(self.source, username, send)
        except Withheld as error:
            self.queue.note_withheld(username, error)
            return f"left open: {error}"
        except FetchError as error:
            if not self.client.transport.is_reached:
                raise StoppedError(
                    f"{self.source.name} can't be reached ({error}): "
                    "check the connection and the proxy settings"
                ) from error
            self.queue.note_failure(username, error)
            return f"left open: {error}"
        self.cache.add(profile)
        self.queue.note_answer(username)
        return describe(profile, self.source.fields)

    def pause_if_out(self, error: FetchError) -> None:
        """Pause until a known profile is answered, after five failures, the last an `error`.

        If it is answered at once, the failures were about those profiles. Where none is known,
        pause once: the next profile of the queue tells.
        """
        known = self.cache.known()
        failure = check_known_profile(self.client, known) if known else error
        if failure:
            self.queue.undo_failures()
        while failure:
            self.outage = self.outage or Outage(began=time.monotonic())
            seconds = self.outage.next_pause(failure, self.args.batch_pause, bool(known))
            self.pause(seconds, f"No profile can be fetched ({failure})")
            if not known:
                self.client.failures = FAILURES_IN_A_ROW - 1
                return
            failure = check_known_profile(self.client, known)
        self.queue.confirm_failures()

    def cache_gone(self) -> None:
        """Cache those that are gone as not found, if a known profile is answered now."""
        gone = self.queue.gone()
        if gone and not check_known_profile(self.client, self.cache.known()):
            for username in gone:
                self.cache.add(Profile.fetched_now(username, {"error": NOT_FOUND}))
            log.info("Not found in two passes running, so gone: %d", len(gone))

    def pause(self, seconds: float, reason: str) -> None:
        """Write a checkpoint, and let the next request wait for so many seconds from now."""
        if seconds >= self.args.batch_pause:
            self.progress.batch_count = 0  # noted in the same write as the end of the pause
        self.client.limiter.block_for(seconds)
        self.checkpoint()
        if pause := self.client.limiter.blocked_for():
            log.info("%s: pausing %s", reason, format_wait(pause))

    def checkpoint(self) -> None:
        """Write everything that a run writes; raises OSError."""
        for write in self.writes():
            write()

    def writes(self) -> list[Callable[[], None]]:
        """Return what writes the files of a checkpoint, one after the other."""
        profiles = self.cache.profiles
        writes = [self.cache.rewrite_if_changed, self.progress.save]
        writes.append(functools.partial(self.output.write, profiles))
        if self.report:
            writes.append(functools.partial(self.report.write, profiles, self.queue.errors))
        return writes

    def done(self) -> int:
        """Return how many profiles of the list there is nothing more to do about."""
        return len(self.usernames) - self.queue.left() - self.is_fetching

    def pauses_ahead(self) -> int:
        """Return how many pauses between batches are still to come."""
        left = self.queue.left()
        size: int = self.args.batch_size
        if not (left and self.args.batch_pause):
            return 0
        return (min(self.progress.batch_count, size) + left - 1) // size

    def eta(self) -> float:
        """Return the seconds until the end of the run, with the pauses to come."""
        left, limiter = self.queue.left(), self.client.limiter
        if not left:
            return limiter.blocked_for()
        mean = (self.queue.requests + FIRST_GUESS) / (self.queue.fetched + FIRST_GUESS)
        gaps = (left * mean - 1) * seconds_per_request(self.args.rate_limit)
        pauses: float = self.pauses_ahead() * self.args.batch_pause
        return limiter.ready_in() + gaps + sum(JITTER) / 2 + pauses


# ==================================================================================================
# Report
# ==================================================================================================

NOT_FOUND_DETAILS = {NOT_FOUND: "", NOT_PROFESSIONAL: "personal or age-restricted or gone"}


class Status(Enum):
    """What became of a row, in the word of the report."""

    FILLED = "filled"
    EMPTY = "empty"  # fetched, with nothing for the cells that are empty
    COMPLETE = "complete"  # it was full before
    NOT_FOUND = "not_found"
    NOT_PROFESSIONAL = "not_professional"
    WITHHELD = "withheld"
    OPEN = "open"  # fetched in vain; the detail says why
    PENDING = "pending"  # not fetched yet
    NO_HANDLE = "no_handle"


class ReportRow(NamedTuple):
    """A row of the report; the names of its fields are the header."""

    row: str  # its number, as a spreadsheet counts
    handle: str
    username: str
    status: str  # of a Status
    detail: str
    fetched_at: str


class Report:
    """A CSV that says of every row of the sheet what became of it.

    Of a profile that an earlier run has fetched in vain it says so until more is known. Texts from
    outside are as safe in a spreadsheet as those of the output. Its methods raise OSError.
    """

    def __init__(self, path: Path, sheet: Sheet, source: Source) -> None:
        self._path, self._sheet, self._source = path, sheet, source
        self._last = b""  # as this run wrote it last
        self._earlier = {
            row.username: failure
            for row in parse_report(read_if_exists(self._path))
            if (failure := reported_failure(row))
        }

    def write(
        self, profiles: Mapping[str, Profile], last_errors: Mapping[str, ReportedError]
    ) -> None:
        """Write it anew; what the user has typed into the old one is kept as a copy.

        `profiles` are the cached ones, and `last_errors` those of this run (username -> what last
        left a profile open).
        """
        rows = list(self._rows(profiles, last_errors))
        report = render_report(rows)
        old = read_if_exists(self._path)
        if old not in (b"", self._last, report) and is_edited_report(old, rows):
            copy = keep_copy(self._path, old, "bak")
            log.warning(
                "%s has what this program didn't write: kept it as %s",
                printable(str(self._path)),
                printable(str(copy)),
            )
        write_atomic(self._path, report)
        self._last = report

    def _rows(
        self, profiles: Mapping[str, Profile], last_errors: Mapping[str, ReportedError]
    ) -> Iterator[ReportRow]:
        hide = SecretFilter(os.environ).hide
        for row in self._sheet.rows:
            username = row.username or ""
            profile = profiles.get(username)
            status, detail = self._status(row, profile, last_errors.get(username))
            yield ReportRow(
                str(row.number),
                clean(row.handle_cell),
                username,
                status.value,
                clean(hide(detail)),
                clean(profile.fetched_at or "") if profile else "",
            )

    def _status(
        self, row: Row, profile: Profile | None, last_error: ReportedError | None
    ) -> tuple[Status, str]:
        """Return what became of a row, and what there is to say about it.

        `profile` is what is cached of it; `last_error` is what left it open in this run.
        """
        if row.username is None:
            return Status.NO_HANDLE, row.handle.kind.value
        if not row.wanted:
            return Status.COMPLETE, ""
        is_settled = self._source.settles(profile)
        can_gain = not self._source.fields.isdisjoint(row.wanted)
        failure = None if is_settled else self._failure(row.username, last_error)
        if new_cells := self._sheet.new_cells(row, {row.username: profile} if profile else {}):
            return Status.FILLED, " and ".join(self._sheet.titles[field] for field in new_cells)
        if failure:
            return failure
        if profile and profile.error:
            return Status(profile.error.lower()), NOT_FOUND_DETAILS[profile.error]
        if is_settled:
            return Status.EMPTY, ""
        why = "" if can_gain else f"{self._source.name} has nothing for its empty cells"
        return Status.PENDING, why

    def _failure(
        self, username: str, last_error: ReportedError | None
    ) -> tuple[Status, str] | None:
        """Return why a profile was fetched in vain, in this run or an earlier one."""
        if last_error is None:
            return self._earlier.get(username)
        is_withheld = isinstance(last_error, Withheld)
        return Status.WITHHELD if is_withheld else Status.OPEN, str(last_error)


def render_report(rows: Iterable[ReportRow]) -> bytes:
    """Return the report of these rows."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([ReportRow._fields, *rows])
    return text.getvalue().encode()


def parse_report(data: bytes) -> list[ReportRow]:
    """Return the rows of a report; none if it isn't one, with no cell more or less."""
    try:
        header, *lines = csv.reader(io.StringIO(data.decode("utf-8"), newline=""))
        rows = [ReportRow(*cells) for cells in lines]
    except (ValueError, TypeError, csv.Error):  # a TypeError: a row has a cell more or less
        return []
    known = {status.value for status in Status}
    is_report = tuple(header) == ReportRow._fields and all(row.status in known for row in rows)
    return rows if is_report else []


def reported_failure(row: ReportRow) -> tuple[Status, str] | None:
    """Return why a profile was fetched in vain, as a row of an earlier report tells."""
    status = Status(row.status)
    return (status, row.detail) if status in (Status.OPEN, Status.WITHHELD) else None


def is_edited_report(report: bytes, rows: Iterable[ReportRow]) -> bool:
    """Return whether somebody has edited a report, or it is of another list than these rows."""
    old_rows = parse_report(report)
    rows_now = {row.row: row for row in rows}
    is_changed = any(is_edited_row(old, rows_now.get(old.row)) for old in old_rows)
    return is_changed or render_report(old_rows) != report


def is_edited_row(old: ReportRow, now: ReportRow | None) -> bool:
    """Return whether a row of a report has a cell that the program can't have written.

    It was about the same cell, and named columns that are filled now, too. Of a profile that was
    not settled then, it may have said anything.
    """
    if now is None or old[:3] != now[:3]:
        return True
    was_settled = Status(old.status) not in (Status.OPEN, Status.WITHHELD, Status.PENDING)
    return was_settled and not filled_columns(old) <= {
        *filled_columns(now),
        *NOT_FOUND_DETAILS.values(),
    }


def filled_columns(row: ReportRow) -> set[str]:
    """Return the columns that a row's detail names; for most statuses, the detail itself."""
    return set(row.detail.split(" and "))


# ==================================================================================================
# Log
# ==================================================================================================

SHORTEST_SECRET = 4  # characters: a shorter text is in too many words to be taken out of them
SECRET_START = 12  # characters by which a secret is known, if a message was cut off within it
HIDDEN = "[hidden]"
FIRST_SHOWN = 3  # handles, from which a person sees that it is the right column
FIRST_UNUSABLE = 5  # rows of a kind
CELL_SHOWN = 50  # characters of a cell
MOST_CATEGORIES = 10  # that are named at the end
MOST_OPEN = 20  # profiles that are named at the end
ERASE = "\r\033[K\033[J"  # the line, and what of it a terminal made narrower has wrapped
USUAL_WIDTH = 80  # columns of a terminal that doesn't tell
WIDEST_BAR, NARROWEST_BAR = 30, 5  # characters


class SecretFilter(logging.Filter):
    """Takes the access token and the passwords of proxies out of whatever is logged."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        token = environment.get(TOKEN_VARIABLE, "")
        secrets = {token, repr(token)[1:-1], urllib.parse.quote(token, safe="")}
        for name, value in environment.items():
            if name.lower().endswith("_proxy") and "@" in value:
                secrets |= proxy_secrets(value)
        # Longest first: a piece of a password must not be replaced within the whole.
        longest_first = sorted(secrets, key=len, reverse=True)
        patterns = [whole_pattern(each) for each in longest_first if len(each) >= SHORTEST_SECRET]
        patterns += [start_pattern(each) for each in longest_first if len(each) > SECRET_START]
        self._secrets = re.compile("|".join(patterns)) if patterns else None

    def hide(self, text: str) -> str:
        """Return a text without secrets."""
        return self._secrets.sub(HIDDEN, text) if self._secrets else text

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the record's message by one without secrets; returns True, to have it logged."""
        record.msg, record.args = self.hide(record.getMessage()), ()
        return True


def whole_pattern(secret: str) -> str:
    """Return a pattern for a secret; a short one may be a part of another word, which stays."""
    whole = re.escape(secret)
    return whole if len(secret) > SECRET_START else rf"(?<!\w){whole}(?!\w)"


def start_pattern(secret: str) -> str:
    """Return a pattern for a long secret that a message has cut off."""
    return re.escape(secret[:SECRET_START]) + r"[^\s'\"\\]*"


def proxy_secrets(address: str) -> set[str]:
    """Return what a proxy's address has between `//` and `@`: as it is, decoded, and in pieces.

    A library that can't parse an address repeats the piece of the password that it stumbled over.
    """
    login = proxy_login(address)
    password = login.partition(":")[2] or login
    passwords = {password, urllib.parse.unquote(password)}
    pieces = {piece for each in passwords for piece in re.split(r"[/?#@%:\[\]]", each)}
    return {login, urllib.parse.unquote(login), *passwords, *pieces}


def proxy_login(address: str) -> str:
    """Return what a proxy's address has between `//` and the last `@`."""
    before_host = address.rpartition("@")[0]
    return before_host.partition("//")[2] or before_host


class Console(logging.Handler):
    """Writes the log to stderr; on a terminal, with a line below it that says how far the run is.

    Nothing else is drawn in place. The cursor stays at the start of the line, so that all of it can
    be erased even if a terminal that was made narrower has wrapped it. While the program is in the
    background, the line is not drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stderr
        is_terminal = self._stream is not None and self._stream.isatty()
        self.is_live = is_terminal and os.environ.get("TERM") != "dumb"
        self._run: Enrichment | None = None
        self._is_drawn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message of the log in the place of the line, which is drawn anew below it."""
        self.erase_line()
        self._write(self.format(record) + "\n")

    def follow(self, run: Enrichment) -> None:
        """Have the line say how far this run is."""
        self._run = run

    def show(self, activity: str) -> None:
        """Draw the line: how far the run is, and what is waited for."""
        if self._is_in_background():
            return
        width = self._width()
        line = activity[:width]
        if self._run:
            end = clock_time_in(self._run.eta())
            done, total = self._run.done(), len(self._run.usernames)
            line = live_line(width, done, total, activity, end)
        self._write(f"{ERASE}{line}\r")
        self._is_drawn = True

    def erase_line(self) -> None:
        """Leave nothing of the line, until it is drawn again."""
        if self._is_drawn and not self._is_in_background():
            self._write(ERASE)
        self._is_drawn = False

    def _width(self) -> int:
        """Return how many characters fit into a line without wrapping it."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return (columns or USUAL_WIDTH) - 1

    def _is_in_background(self) -> bool:
        """Return whether a shell has sent the program to the background of its terminal."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) != os.getpgrp()
        except (OSError, ValueError):  # it is not the terminal that the program was started from
            return False

    def _write(self, text: str) -> None:
        """Write to stderr, if it is still there; a log on a full disk must not end the run."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._stream.write(text)
            self._stream.flush()


def live_line(width: int, done: int, total: int, activity: str, end: str) -> str:
    """Return the live line of a terminal, with as much as fits into `width` characters.

    `end` is the clock time at which the run ends.
    """
    percent = f"{100 * done // total:>3}%"
    count = f"{done}/{total}"
    choices = [
        [percent, count, activity, f"done at {end}"],
        [percent, activity, f"done at {end}"],
        [percent, activity],
    ]
    texts = ["  ".join(each) for each in choices]
    brackets = len("[] ")
    widest = width - brackets - NARROWEST_BAR
    text = next((each for each in texts if len(each) <= widest), texts[-1])
    bar = min(width - len(text) - brackets, WIDEST_BAR)
    filled = bar * done // total
    return f"[{'#' * filled}{'-' * (bar - filled)}] {text}" if bar > 0 else text.strip()[:width]


def describe(profile: Profile, fields: Collection[str]) -> str:
    """Say what was fetched of a profile, from a source that can fill `fields`."""
    if profile.error:
        return ERRORS[profile.error]
    biography = clean(profile.biography or "")
    bio = f"bio of {len(biography)} characters" if biography else "no bio"
    if "category_name" not in fields:
        return bio
    category = printable(clean(profile.category_name or ""))
    return f"{category or 'no category'}, {bio}"


def log_columns(sheet: Sheet, is_named: bool) -> None:
    """Log the handle column, its first handles and the columns to fill: a wrong guess is seen.

    `is_named` is whether the user named the column of the handles: it is taken whatever it holds.
    """
    usernames = list(dict.fromkeys(row.username for row in sheet.rows if row.username))
    first = ", ".join(f"@{username}" for username in usernames[:FIRST_SHOWN])
    added = sheet.added_titles
    to_fill = [
        f"'{printable(title)}'{' (new)' if field in added else ''}"
        for field, title in sheet.titles.items()
    ]
    log.info(
        "Columns: handles from '%s' (%s%s), to fill %s%s",
        printable(sheet.handle_header),
        first,
        " …" if len(usernames) > FIRST_SHOWN else "",
        " and ".join(to_fill),
        f"; the header is row {sheet.header.number}" if sheet.header.number > 1 else "",
    )
    usable = sum(row.username is not None for row in sheet.rows)
    cells = sum(row.handle.kind is not HandleKind.EMPTY for row in sheet.rows)
    if is_named and 2 * usable < cells:
        log.warning(
            "Only %d of the %d filled cells in column '%s' hold a usable handle; is it right?",
            usable,
            cells,
            printable(sheet.handle_header),
        )


def log_unusable(rows: Iterable[Row]) -> None:
    """Log, for each kind, how many rows have no usable handle, and the first of them."""
    unusable: dict[HandleKind, list[Row]] = {}
    for row in rows:
        if row.username is None:
            unusable.setdefault(row.handle.kind, []).append(row)
    for kind, rows_of_kind in unusable.items():
        first = [
            f"'{printable(cut(row.handle_cell, CELL_SHOWN))}' in row {row.number}"
            for row in rows_of_kind[:FIRST_UNUSABLE]
        ]
        more = len(rows_of_kind) - len(first)
        log.info(
            "No usable handle in %s (%s): %s%s",
            counted(len(rows_of_kind), "row"),
            kind.value,
            ", ".join(first),
            f" and {more} more" if more else "",
        )


def counted(count: int, noun: str) -> str:
    """Return a number with what it counts: `1 row`, `2 rows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def count_without_handle(rows: Iterable[Row]) -> int:
    """Return how many rows have no usable handle."""
    return sum(row.username is None for row in rows)


def log_plan(run: Enrichment, settled: Collection[str]) -> None:
    """Log what the run is going to do, and how long that takes; `settled` needs no fetching."""
    log_unusable(run.rows)
    profiles, cached, to_fetch = len(run.usernames), len(settled), len(run.queue.waiting)
    wanted = {row.username for row in run.rows if row.wanted}
    filled = len(run.usernames.difference(settled, wanted))
    others = profiles - cached - filled - to_fetch
    log.info(
        "Plan: %s; %s in column '%s': "
        "%d already cached, %d already filled%s, %d to fetch; without a handle: %d; source: %s%s",
        counted(len(run.rows), "row"),
        counted(profiles, "profile"),
        printable(run.sheet.handle_header),
        cached,
        filled,
        f", {others} that the source has nothing for" if others else "",
        to_fetch,
        count_without_handle(run.rows),
        run.source.name,
        run.source.unfilled_columns(run.sheet.titles),
    )
    if to_fetch:
        log_estimate(run)
        for warning in run.source.warnings(run.eta()):
            log.warning("%s", warning)


def log_estimate(run: Enrichment) -> None:
    """Log how long it takes to fetch what is in the queue, and when that ends."""
    pauses = run.pauses_ahead()
    with_pauses = (
        f", with {counted(pauses, 'pause')} of {format_duration(run.args.batch_pause)} "
        f"between batches of {run.args.batch_size}"
    )
    seconds = run.eta()
    log.info(
        "At %g a minute%s: about %s, done at %s%s",
        run.args.rate_limit,
        with_pauses if pauses else "",
        format_duration(seconds),
        clock_time_in(seconds),
        f", or later if it meets {run.source.slowed_by}" if run.source.slowed_by else "",
    )


def log_progress(run: Enrichment, index: int, username: str, result: str) -> None:
    """Log what came of the profile in the row at `index`, and when the run ends."""
    eta = run.eta()
    log.info(
        "[%d/%d] @%s: %s | %s left, done at %s",
        index + 1,
        len(run.rows),
        username,
        result,
        format_duration(eta),
        clock_time_in(eta),
    )


def log_summary(
    run: Enrichment, still_open: Collection[str], from_cache: int, seconds: float
) -> None:
    """Log the coverage before and after, the counts, and which profiles are still open.

    `from_cache` is how many profiles there was nothing to fetch of; `seconds` is what the run took.
    """
    cached = [run.cache.profiles[name] for name in run.usernames & run.cache.profiles.keys()]
    lines = coverage_table(run.sheet, run.cache.profiles)
    if categories := categories_line(cached):
        lines += ["", categories]
    log.info("Coverage:%s", "".join(f"\n  {line}".rstrip(" ") for line in lines))
    counts = Counter(profile.error for profile in cached)
    withheld = withheld_profiles(run, still_open)
    without_data = [
        f"{counts[error]} {label}"
        for error, label in ERRORS.items()
        if counts[error] or error == NOT_FOUND
    ]
    log.info(
        "%d fetched, %d from cache, %s, %d without handle, %d still open; took %s; source: %s%s",
        len(run.queue.first_row) - len(still_open),
        from_cache,
        ", ".join([*without_data, f"{len(withheld)} withheld"]),
        count_without_handle(run.rows),
        len(still_open),
        format_duration(seconds),
        run.source.name,
        run.source.unfilled_columns(run.sheet.titles),
    )
    log_still_open(run, still_open)


def withheld_profiles(run: Enrichment, still_open: Iterable[str]) -> list[str]:
    """Return those of the open profiles that the source withholds."""
    return [name for name in still_open if isinstance(run.queue.errors.get(name), Withheld)]


def log_still_open(run: Enrichment, still_open: Collection[str]) -> None:
    """Log which of the open profiles were fetched in vain, with the reason, and how many others.

    The first of them are named.
    """
    errors = run.queue.errors
    in_vain = [username for username in still_open if username in errors]
    for username in in_vain[:MOST_OPEN]:
        log.info("Still open: @%s: %s", username, errors[username])
    if (more := len(in_vain) - MOST_OPEN) > 0:
        report = run.args.report
        where = f"all are in {printable(str(report))}" if report else "--report CSV lists all"
        log.info("Still open: %d more (%s)", more, where)
    if not_fetched := len(still_open) - len(in_vain):
        log.info("Still open: %d not fetched yet", not_fetched)


def coverage_table(sheet: Sheet, profiles: Mapping[str, Profile]) -> list[str]:
    """Return the lines of a table: how many cells of each column are filled, before and after."""
    rows = len(sheet.rows)
    blank = Counter(field for row in sheet.rows for field in row.wanted)
    gained = Counter(field for row in sheet.rows for field in sheet.new_cells(row, profiles))
    titles = {field: printable(title) for field, title in sheet.titles.items()}
    wide = max(9, *map(len, titles.values()))
    width = max(15, len(coverage(rows, rows)))
    table = [f"{'Column':<{wide}} {'before':<{width}} {'after':<{width}} gained"]
    for field, title in titles.items():
        filled = rows - blank[field]
        before, after = coverage(filled, rows), coverage(filled + gained[field], rows)
        table.append(f"{title:<{wide}} {before:<{width}} {after:<{width}} {gained[field]:>+6}")
    return table


def categories_line(profiles: Iterable[Profile]) -> str:
    """Return how many profiles are in each category, the most frequent first; "" for none."""
    categories = (clean(profile.category_name or "") for profile in profiles)
    counts = Counter(filter(None, categories))
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    first = ", ".join(f"{printable(name)} {count}" for name, count in by_count[:MOST_CATEGORIES])
    others = len(by_count) - MOST_CATEGORIES
    more = f" … and {others} more" if others > 0 else ""
    return f"Categories: {first}{more}" if first else ""


def coverage(filled: int, rows: int) -> str:
    """Return a cell of the coverage table: `396/425  93%`."""
    share = f"{filled / rows:.0%}" if rows else "-"
    return f"{filled:>{len(str(rows))}}/{rows} {share:>4}"


# ==================================================================================================
# Command line
# ==================================================================================================

SLOWEST_RATE = 0.001  # requests a minute: less than two a day
PASTED_TOKEN = re.compile(r"\bEAA\w+")  # as Meta's access tokens begin
TOLD_BY_TOKEN = object()  # --graph-api without an account id
EXIT_DONE, EXIT_INCOMPLETE, EXIT_UNUSABLE = 0, 1, 2
EXIT_SIGNALLED = 128  # plus the signal's number, as shells do
WHEN_TO_RETRY = {  # what left a profile open, in the order of how long it lasts
    UnexpectedResponse: "tomorrow",
    NotFound: "tomorrow",
    Blocked: "in an hour",
    NetworkError: "once the connection is stable",
}
DESCRIPTION = """\
Fill the GENRE and Details columns of a CSV with the category and biography
of each Instagram profile: slowly, resumably, without losing any."""
EXIT_CODES = """\
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
        shown = printable(text)
        raise argparse.ArgumentTypeError(
            f"must be {what}, from {least:.2g} to {MAX_VALUE:.0f}, not '{shown}'"
        )

    return parse


def account_id(text: str) -> str:
    """Parse the numeric id of an account, as an argparse type.

    The error does not repeat the text, which may be a token pasted by mistake.
    """
    if not ACCOUNT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("must be the numeric id of an account, or left out")
    return text


class ArgumentParser(argparse.ArgumentParser):
    """A parser whose errors repeat no secret of the environment, and no token pasted by mistake."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, and exit with 2."""
        super().error(PASTED_TOKEN.sub(HIDDEN, SecretFilter(os.environ).hide(message)))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exits with 2 and the flag's name if a value makes no sense."""
    parser = ArgumentParser(
        prog="instagram_enrichment.py",
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-i",
        "--input",
        type=Path,
        required=True,
        metavar="CSV",
        help="path to input CSV file (required)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="CSV",
        help="path for output CSV file (required)",
    )
    parser.add_argument(
        "-r",
        "--rate-limit",
        type=bounded(float, SLOWEST_RATE, "a number of requests a minute"),
        default=20,
        metavar="N",
        help="max requests per minute, 10 is recommended (default: %(default)g)",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=Path(".tmp"),
        metavar="DIR",
        help="directory for cache and progress files (default: %(default)s)",
    )
    parser.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="re-fetch all profiles, ignoring cache and progress (default: off)",
    )
    parser.add_argument(
        "--limit",
        type=bounded(int, 1, "a whole number"),
        metavar="N",
        help="work on the first N rows only, for testing (default: all)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="debug logging (default: off)")
    parser.add_argument(
        "-b",
        "--batch-size",
        type=bounded(int, 1, "a whole number"),
        default=100,
        metavar="N",
        help="profiles to process per batch (default: %(default)d)",
    )
    parser.add_argument(
        "--batch-pause",
        type=bounded(float, 0, "a number of seconds"),
        default=1800,
        metavar="SECONDS",
        help="seconds to pause between batches, 0 for none (default: %(default)g)",
    )
    parser.add_argument(
        "--username-column",
        metavar="HEADER",
        help="header of the column that holds the handle (default: found by itself)",
    )
    parser.add_argument(
        "--genre-column",
        metavar="HEADER",
        help="header of the column to fill with the category, added if missing (default: GENRE)",
    )
    parser.add_argument(
        "--details-column",
        metavar="HEADER",
        help="header of the column to fill with the biography, added if missing (default: Details)",
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="CSV",
        help="path for a CSV that says of every row what became of it (default: none)",
    )
    parser.add_argument(
        "--graph-api",
        nargs="?",
        const=TOLD_BY_TOKEN,
        type=account_id,
        metavar="IG_USER_ID",
        help="fetch from Meta's official API as your own professional account, with the access "
        f"token in {TOKEN_VARIABLE}; a numeric account id may follow, else the token tells it "
        "(default: off)",
    )
    return parser.parse_args(argv)


def access_token() -> str:
    """Read the token for the Graph API; raises UnusableError if it is missing or malformed."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        malformed = "has a space, a line break or another character that no token has"
        why = malformed if token else "is not set"
        raise UnusableError(
            f"{TOKEN_VARIABLE} {why}: --graph-api needs your access token in it ({CHAPTER}, step 6)"
        )
    return token


def choose_source(args: argparse.Namespace) -> Source:
    """Return the source that the command line asks for; raises UnusableError without a token."""
    if args.graph_api is None:
        return WebAddress()
    account_id = "" if args.graph_api is TOLD_BY_TOKEN else args.graph_api
    return GraphApi(account_id, access_token())


def check_paths(args: argparse.Namespace) -> None:
    """Raise UnusableError if the output or the report has no place of its own."""
    check_path("--output", args.output, args)
    if args.report:
        check_path("--report", args.report, args)
        if is_same_file(args.report, args.output):
            raise UnusableError(
                f"--report {printable(str(args.report))} is the output itself: give another path"
            )


def check_path(flag: str, path: Path, args: argparse.Namespace) -> None:
    """Raise UnusableError if a file that the user gets can't be written at `path`."""
    state_folder = Path(os.path.realpath(args.cache_dir))
    is_state = path.name.lower().startswith((CACHE_FILE, PROGRESS_FILE, LOCK_FILE))
    places = (path, temp_path(path))
    if path.exists() and not path.is_file():
        why = "is a folder or a device: give the path of a CSV file"
    elif any(each.exists() and each.samefile(args.input) for each in places):
        why = "is the input itself, which is never overwritten: give another path"
    elif not path.parent.is_dir():
        why = "is in a folder that does not exist: make the folder, or give another path"
    elif path.parent == state_folder and is_state:
        why = "is where the program keeps its own files: give another path"
    else:
        return
    raise UnusableError(f"{flag} {printable(str(path))} {why}")


def is_same_file(report: Path, output: Path) -> bool:
    """Return whether two files, or one and that beside which the other is written, are one file.

    Capitals and how an accent is composed make no difference, as they don't on a Mac.
    """
    if report.exists() and output.exists() and report.samefile(output):
        return True
    pairs = ((report, output), (report, temp_path(output)), (temp_path(report), output))
    return any(fold_path(one) == fold_path(other) for one, other in pairs)


def fold_path(path: Path) -> str:
    """Return what the names of one file have in common on a Mac."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def enrich(args: argparse.Namespace, waiter: Waiter, console: Console) -> int:
    """Do what the command line asks for; returns the exit code.

    Raises UnusableError, StoppedError and Interrupted, all before the first profile only.
    """
    started = Deadline.after(0.0)
    source = choose_source(args)
    named = {
        "username": args.username_column,
        "category_name": args.genre_column,
        "biography": args.details_column,
    }
    named = {field: header for field, header in named.items() if header is not None}
    # It may come from a pipe.
    sheet = waiter.wait_for("reading the list", read_sheet, args.input, named)
    # A link is written where it points.
    args.output = Path(os.path.realpath(args.output))
    args.report = args.report and Path(os.path.realpath(args.report))
    try:
        check_paths(args)
        with lock(args.cache_dir):
            run = open_run(args, waiter, source, sheet)
            return run_and_log(run, started, console)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise UnusableError(f"{format_os_error(error)}: give another path") from error
        log.error("%s: free some space and run the same command again", format_os_error(error))
        return EXIT_INCOMPLETE


def open_run(args: argparse.Namespace, waiter: Waiter, source: Source, sheet: Sheet) -> Enrichment:
    """Read the state, write the first output, check the set-up, and put the run together.

    Raises UnusableError, StoppedError and Interrupted from the check, and OSError.
    """
    cache = Cache(args.cache_dir / CACHE_FILE)
    longest_wait = max(LONGEST_WAIT, args.batch_pause)
    progress = Progress(
        args.cache_dir / PROGRESS_FILE, len(sheet.rows), longest_wait, args.batch_pause > 0
    )
    # Whether everything can be written is found out now, not after a night.
    output = Output(args.output, sheet)
    output.write(cache.profiles)
    report = Report(args.report, sheet, source) if args.report else None
    if report:
        report.write(cache.profiles, {})
    progress.save()
    log_columns(sheet, args.username_column is not None)
    limiter = RateLimiter(args.rate_limit, waiter, progress.not_before, progress.block_until)
    client = Client(source, limiter, waiter)
    cached = {} if args.force else cache.profiles
    first_row = open_profiles(sheet.rows[: args.limit], source, cached)
    if first_row:
        if pause := limiter.blocked_for():
            log.info("Resuming an earlier pause: %s", format_wait(pause))
        source.check_set_up(client)
        if args.force:
            start_afresh(cache, progress)
    queue = FetchQueue(first_row, progress.rows_done)
    return Enrichment(sheet, client, cache, progress, queue, output, report, args)


def start_afresh(cache: Cache, progress: Progress) -> None:
    """Start afresh for `--force`: set the cache aside, and go to the top."""
    progress.rows_done = 0
    progress.save()
    cache.rewrite_if_changed()
    if cache.profiles:
        cache.set_aside()
    log.info("--force: if this run stops half-way, resume with the same command WITHOUT --force")


def run_and_log(run: Enrichment, started: Deadline, console: Console) -> int:
    """Run to the end, or as far as it goes; save, and log the result. Returns the exit code.

    The last words say how to go on, if there is anything left to do.
    """
    again = f"run the same command again{without_force(run)}"
    settled = run.settled()
    log_plan(run, settled)
    console.follow(run)
    code, why_stopped, saved = EXIT_DONE, "", "everything is saved"
    try:
        run.fetch_all()
    except Interrupted as interrupted:
        code = EXIT_SIGNALLED + interrupted.signum
        why_stopped = f"Interrupted by {interrupted.signum.name}"
    except OSError as error:
        code, why_stopped = EXIT_INCOMPLETE, f"Could not save ({format_os_error(error)})"
        saved = "everything else is saved"
    except StoppedError as error:
        code, why_stopped = EXIT_INCOMPLETE, str(error)
        if isinstance(error, SetUpError):
            again = f"do that, then run the command again{without_force(run)}"
    if why_stopped and (unwritten := last_checkpoint(run)):
        code, saved = EXIT_INCOMPLETE, f"not everything is saved (not {', '.join(unwritten)})"
    still_open = open_profiles(run.rows, run.source, run.cache.profiles)
    log_summary(run, still_open, len(settled), -started.remaining())
    if why_stopped:
        what_helps = [again, *help_for_withheld(run, still_open)]
        log_stop(run, why_stopped, still_open, saved, "; ".join(what_helps))
    elif still_open:
        log.error("Some profiles are still open: %s", what_would_help(run, still_open))
        code = EXIT_INCOMPLETE
    return code


def last_checkpoint(run: Enrichment) -> list[str]:
    """Write what can be written of a checkpoint; returns the paths of what can't."""
    unwritten = []
    for write in run.writes():
        try:
            write()
        except OSError as error:
            unwritten.append(printable(str(error.filename)))
    return unwritten


def without_force(run: Enrichment) -> str:
    """Say how the same command is run again, as a suffix; "" for just as it was."""
    return ", but WITHOUT --force" if run.args.force else ""


def what_would_help(run: Enrichment, still_open: Collection[str]) -> str:
    """Say how to get the profiles that are still open after a whole run."""
    others = set(still_open).difference(withheld_profiles(run, still_open))
    errors = [run.queue.errors[username] for username in others if username in run.queue.errors]
    kinds = (kind for kind in WHEN_TO_RETRY if any(isinstance(each, kind) for each in errors))
    when = next((f" {WHEN_TO_RETRY[kind]}" for kind in kinds), "")
    again = f"run the same command again{when}{without_force(run)}"
    what_helps = [again] if others else []
    return "; ".join([*what_helps, *help_for_withheld(run, still_open)])


def help_for_withheld(run: Enrichment, still_open: Collection[str]) -> list[str]:
    """Say how to get those of the open profiles that the source withholds, if there are any."""
    withheld = len(withheld_profiles(run, still_open))
    return [f"of the {withheld} withheld, {run.source.withheld_hint}"] if withheld else []


def log_stop(
    run: Enrichment, why: str, still_open: Mapping[str, int], saved: str, what_helps: str
) -> None:
    """Log where a run has stopped early, what is saved, and how to go on."""
    not_done = (index for index in still_open.values() if index >= run.progress.rows_done)
    rows = len(run.rows)
    log.error(
        "%s. Stopped after %d of %s, %s; to resume, %s",
        why[:1].upper() + why[1:],
        next(not_done, rows),
        counted(rows, "row"),
        saved,
        what_helps,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv`, by default the process's own; returns the exit code."""
    args = parse_arguments(argv)
    console = Console()
    console.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%Y-%m-%d %H:%M:%S"))
    secrets = SecretFilter(os.environ)
    log.addHandler(console)
    log.addFilter(secrets)
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
    except Interrupted as interrupted:
        log.error(
            "Interrupted by %s before the first request for a profile; nothing is lost",
            interrupted.signum.name,
        )
        return EXIT_SIGNALLED + interrupted.signum
    finally:
        console.erase_line()
        log.removeFilter(secrets)
        log.removeHandler(console)


if __name__ == "__main__":
    sys.exit(main())
