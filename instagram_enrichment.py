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
    Fetching        the queue, the witness, and the pauses of an outage
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
    answered        a profile that was fetched with data, or that is withheld: we are not blocked
    live            a cached profile that has data, so that it is known to exist
    witness         a live profile, or @instagram, that is fetched to find out whether a failure
                    concerns only the profile that met it, or our access as a whole
    way             how a source says that a profile is not found: an HTTP status and a kind
    outage          the time in which not even a witness is answered; the run pauses

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
from collections import Counter, OrderedDict
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

    def completed_by(self, older: Profile | None) -> Profile:
        """Return it with the texts and numbers that an older one, of another source, had beyond it.

        Whether the account is verified or a business tells the source that was asked last.
        """
        if older is None or self.error or older.error:
            return self
        missing = {
            name: getattr(older, name)
            for name, kind in FIELD_TYPES.items()
            if kind is not bool and getattr(self, name) in (None, "")
        }
        return self._replace(**missing)


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


def clock_time_in(seconds: float) -> str:
    """Return the clock time in so many seconds, with the day if it is not today."""
    now = time.time()
    # From epoch seconds, so that a change to summer time in between is in it.
    then = datetime.fromtimestamp(now + min(seconds, MAX_VALUE))
    is_today = then.date() == datetime.fromtimestamp(now).date()
    return f"{then:%H:%M:%S}" if is_today else f"{then:%a %d %b %H:%M}"


# ==================================================================================================
# Waiting
# ==================================================================================================

POLL_INTERVAL = 5.0  # seconds between two looks at the clocks
REDRAW_INTERVAL = 0.5  # the same, while somebody watches
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Result = TypeVar("Result")


class Deadline(NamedTuple):
    """A moment to come; it has come when either of two clocks says so.

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


class Stopwatch(NamedTuple):
    """The moment when something began, on the same two clocks."""

    wall: float  # epoch seconds
    monotonic: float

    @classmethod
    def start(cls) -> Stopwatch:
        """Start now."""
        return cls(time.time(), time.monotonic())

    def elapsed(self) -> float:
        """Return the seconds since the start, those in which the machine slept included."""
        return max(time.time() - self.wall, time.monotonic() - self.monotonic)


class Waiter:
    """The one place where the run waits, and where a signal takes effect.

    A SIGINT, SIGTERM or SIGHUP ends a wait at once by raising Interrupted. One that comes at any
    other time is noted and ends the next wait, so that none lands in the middle of a write or in a
    library's lock. Of several signals the first is the one that is reported. Signals that the
    program was told to ignore (by nohup, or by a script that starts it in the background) stay
    ignored.

    While it waits, it calls `show` every half second, if that is given: with what it waits for, and
    the seconds that this takes at least.

    Use as a context manager, in the main thread. On exit the handlers before it are put back; once
    a signal has come, all three are ignored instead, as the program is about to end.
    """

    def __init__(self, show: Callable[[str, float], None] | None = None) -> None:
        self._show = show
        self._interval = REDRAW_INTERVAL if show else POLL_INTERVAL
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

    def wait_for(self, blocking: Callable[..., Result], *args: object) -> Result:
        """Call `blocking(*args)`, which a signal ends; returns or raises what it does."""
        self._is_waiting = True
        try:
            if self._received:
                raise Interrupted(self._received)
            return blocking(*args)
        finally:
            self._is_waiting = False

    def wait_until(self, deadline: Deadline, activity: Callable[[float], str]) -> None:
        """Sleep until then; `activity` says of the seconds that remain what they are for."""
        while (seconds := deadline.remaining()) > 0:
            if self._show:
                self._show(activity(seconds), seconds)
            self.wait_for(time.sleep, min(seconds, self._interval))

    def wait_for_item(
        self, items: queue.SimpleQueue[Result], deadline: Deadline, activity: str
    ) -> Result:
        """Wait for what a thread puts into a queue next; raises queue.Empty if nothing comes."""
        while self._show and deadline.remaining() > REDRAW_INTERVAL:
            self._show(activity, 0.0)
            with contextlib.suppress(queue.Empty):
                return self.wait_for(items.get, True, REDRAW_INTERVAL)
        return self.wait_for(items.get, True, max(deadline.remaining(), 0.0))

    def _receive(self, signum: int, frame: object) -> None:
        """Handle a signal: note the first one, and end the wait that it came in."""
        if self._received is None:
            self._received = signal.Signals(signum)
        if self._is_waiting:
            self._is_waiting = False
            raise Interrupted(self._received)


def format_next(seconds: float) -> str:
    """Say when the next request is sent."""
    return f"next in {format_duration(math.ceil(seconds))}"


def format_pause(seconds: float, what: str = "pausing") -> str:
    """Say how long a pause, or what is named instead, still takes: `pausing, 0:23:47 left`."""
    return f"{what}, {timedelta(seconds=math.ceil(seconds))} left"


def format_wait(seconds: float) -> str:
    """Say how long it takes until a request may be tried again."""
    return format_pause(seconds, "waiting")


# ==================================================================================================
# Rate limit
# ==================================================================================================

JITTER = (2.0, 4.0)  # seconds between taking a token and sending the request
LATENCY = 0.5  # seconds by which one request may take longer to arrive than another
LONGEST_FIRST_WAIT = 60.0  # seconds until a run's first token, however slow the rate


@dataclass
class RateLimiter:
    """A token bucket with room for one token, empty at the start.

    The waits that a response asks for, and all pauses, come here by `block_for`. Only the backoff
    after a network error does not: it holds up one profile, and is forgotten with it.
    """

    per_minute: float
    not_before: float  # epoch seconds: until when an earlier run was blocked
    waiter: Waiter
    on_request: Callable[[], None]  # called before each request
    on_block: Callable[[float], None]  # called with the epoch seconds until which nothing is sent

    def __post_init__(self) -> None:
        self._next_token = Deadline.after(min(refill_seconds(self.per_minute), LONGEST_FIRST_WAIT))
        self._blocked_until = Deadline.after(self.not_before - time.time())
        self._is_first = True  # whether no request was sent yet

    def resume_pause(self) -> None:
        """Wait for the rest of a pause that an earlier run, or the check of the set-up, began."""
        if self.blocked_for():
            what = "Resuming an earlier pause" if self._is_first else "Waiting as asked"
            duration, end = self.blocked_span()
            log.info("%s until %s (%s)", what, end, duration)
            self._wait_until_unblocked(format_pause)

    def acquire(self) -> None:
        """Wait for the token, take it, then let a random 2 to 4 seconds pass.

        The next token fills in meanwhile, so that the jitter costs nothing at 15 a minute or less.
        """
        if self._is_first:
            self.resume_pause()
        self._is_first = False
        self._wait_until_unblocked(format_wait)
        delay = jitter(random.random())
        self.waiter.wait_until(self._next_token, lambda seconds: format_next(seconds + delay))
        self._next_token = Deadline.after(refill_seconds(self.per_minute))
        self.waiter.wait_until(Deadline.after(delay), format_next)
        self.on_request()

    def block_for(self, seconds: float) -> None:
        """Send nothing at all for so many seconds from now; never shortens a longer wait."""
        if seconds > self.blocked_for():
            self._blocked_until = Deadline.after(seconds)
            self.on_block(self._blocked_until.wall)

    def blocked_for(self) -> float:
        """Return the seconds for which nothing may be sent yet."""
        return max(self._blocked_until.remaining(), 0.0)

    def blocked_span(self) -> tuple[str, str]:
        """Say for how long nothing may be sent yet, and until when."""
        seconds = self.blocked_for()
        return format_duration(seconds), clock_time_in(seconds)

    def seconds_until_ready(self) -> float:
        """Return the seconds until the next request may take its token."""
        return max(self._next_token.remaining(), self.blocked_for())

    def pause_for(self, seconds: float, reason: str) -> None:
        """Block for so many seconds, log why and until when, and wait until then."""
        self.block_for(seconds)
        log.info("%s: pausing %s, until %s", reason, *self.blocked_span())
        self._wait_until_unblocked(format_pause)

    def _wait_until_unblocked(self, activity: Callable[[float], str]) -> None:
        """Wait until requests may be sent again."""
        self.waiter.wait_until(self._blocked_until, activity)


def refill_seconds(per_minute: float) -> float:
    """Return the interval between two tokens.

    Jitter and latency can bunch requests together; the interval is long enough that any 60 seconds
    hold at most `per_minute` + 1 of them all the same.
    """
    shortest, longest = JITTER
    bunching = longest - shortest + LATENCY
    return max(60 / per_minute, (60 + bunching) / math.floor(per_minute + 1))


def jitter(share: float) -> float:
    """Return the jitter that the given share of all jitters (0 to 1) is shorter than: uniform."""
    shortest, longest = JITTER
    return shortest + (longest - shortest) * share


def seconds_per_request(per_minute: float) -> float:
    """Return the mean seconds between two requests: each gap is the longer of refill and jitter."""
    refill = refill_seconds(per_minute)
    gaps = [max(refill, jitter((step + 0.5) / 20)) for step in range(20)]
    return sum(gaps) / len(gaps)


# ==================================================================================================
# Responses
# ==================================================================================================


class FetchError(ReportedError):
    """There is no data about the profile; `what` is the outcome, with the status.

    Only its subclasses are raised.
    """


class NotFound(FetchError):
    """The source says that it has no such profile; `what` is the way in which it says so."""


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
PLAIN_TEXT_BYTES = 1000  # of a text that are searched for the words of a block


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
    return message if isinstance(message, str) else ""


def server_text(message: str, response: Response) -> str:
    """Return what is printed of a response: the server's message, the page's title, or an excerpt.

    It is one line without a period at the end.
    """
    text = message or page_title(html_page(response)) or excerpt(response.body)
    return printable(" ".join(text.split())).rstrip(".")


def plain_text(body: bytes) -> str:
    """Return how a body of plain text begins; empty if it is, or is a piece of, anything else."""
    text = body[:PLAIN_TEXT_BYTES].decode("utf-8", "replace").strip()
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
    body_optional_statuses: tuple[int, ...]  # conclusive, even if the body never comes
    not_found_error: str  # the `error` of a profile that it does not have
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

    @abstractmethod
    def can_be_witness(self, profile: Profile) -> bool:
        """Return whether it is sure to show this live profile."""

    def settles(self, profile: Profile | None, wanted: Collection[str]) -> bool:
        """Return whether what is cached of a profile leaves none of the `wanted` fields to fetch.

        `profile` is None if nothing is cached.
        """
        return profile is not None and profile.error in (None, NOT_FOUND, self.not_found_error)

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
    body_optional_statuses = BLOCKED_STATUSES
    not_found_error = NOT_FOUND
    locked_out_hint = LOCKED_OUT_HINT
    withheld_hint = WITHHELD_HINT

    def request(self, username: str) -> Request:
        return Request(f"@{username}", API_URL, {"username": username})

    def parse(self, username: str, response: Response) -> dict[str, Any]:
        return parse_web_response(username, response)

    def can_be_witness(self, profile: Profile) -> bool:
        return True

    def settles(self, profile: Profile | None, wanted: Collection[str]) -> bool:
        if "category_name" in wanted and profile is not None and is_from_graph_api(profile):
            return False
        return super().settles(profile, wanted)


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
    is_business = first_of(bool, user.get("is_business_account"), user.get("is_business"))
    # Without a badge, a professional account would be taken for one that the Graph API has shown.
    no_badge = False if is_business else None
    return {
        "full_name": user.get("full_name"),
        "biography": user.get("biography"),
        "category_name": first_of(str, user.get("category_name"), user.get("category")),
        "follower_count": first_of(int, followers.get("count"), user.get("follower_count")),
        "is_business": is_business,
        "is_verified": first_of(bool, user.get("is_verified"), no_badge),
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
    body_optional_statuses = (RATE_LIMIT_STATUS,)
    not_found_error = NOT_PROFESSIONAL
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

    def can_be_witness(self, profile: Profile) -> bool:
        return profile.is_business is True

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
        (code == NO_SUCH_ACCOUNT, NotFound, ERRORS[NOT_PROFESSIONAL]),
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


def is_from_graph_api(profile: Profile) -> bool:
    """Return whether the data of a profile came from here, where no badge and no category are told.

    The web address always tells of a professional account whether it has a badge.
    """
    is_without = profile.category_name is None and profile.is_verified is None
    return is_without and profile.is_business is True


# ==================================================================================================
# HTTP
# ==================================================================================================

SOCKET_TIMEOUT = 30.0  # seconds of silence
RESPONSE_TIMEOUT = 60.0  # seconds for one response in all
RESPONSE_BYTES = 10 * 1024 * 1024
CHUNK_BYTES = 4096
CONNECTION_NAME = re.compile(r"^(?:<[^>]*>|\w+\([^)]*\)): ")  # of urllib3, before a reason
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
    """Sends one request at a time. `reached` says whether any response has come back yet."""

    def __init__(self, source: Source, waiter: Waiter) -> None:
        self.reached = False
        self._source = source
        self._waiter = waiter
        self._session = AnonymousSession(source.headers)
        self._idle_deadline = Deadline.after(0.0)

    def get(self, request: Request) -> Response:
        """Send one request and return its response.

        Raises NetworkError if no whole response comes within 60 s, and StoppedError if the
        system has no thread left for the request.
        """
        if self._idle_deadline.remaining() <= 0:
            self._session.close()
        # In a thread of its own, a response that drips, even in its head, can be left behind.
        parts: queue.SimpleQueue[Response | NetworkError] = queue.SimpleQueue()
        thread = threading.Thread(target=self._receive, args=(request, parts), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise StoppedError(f"no request can be sent ({error}): close other programs") from error
        deadline = Deadline.after(RESPONSE_TIMEOUT)
        try:
            head = self._next_part(parts, deadline)
            self.reached = True
            try:
                return self._next_part(parts, deadline)
            except NetworkError:
                if head.status in self._source.body_optional_statuses:
                    return head
                raise
        finally:
            self._idle_deadline = Deadline.after(KEEP_ALIVE)

    def _next_part(self, parts: queue.SimpleQueue[Any], deadline: Deadline) -> Response:
        """Wait for what `_receive` puts next; raises NetworkError for one, and when time is up."""
        try:
            part = self._waiter.wait_for_item(parts, deadline, "waiting for an answer")
        except queue.Empty:
            seconds = f"{RESPONSE_TIMEOUT:.0f} s"
            raise NetworkError(f"no whole response within {seconds}") from None
        if isinstance(part, NetworkError):
            raise part
        response: Response = part
        return response

    def _receive(self, request: Request, parts: queue.SimpleQueue[Any]) -> None:
        """Put a response's head, then the whole response; instead of either, a NetworkError."""
        deadline = Deadline.after(RESPONSE_TIMEOUT)
        try:
            with self._session.get(
                request.url,
                params=request.query,
                timeout=SOCKET_TIMEOUT,
                stream=True,
                allow_redirects=False,
            ) as response:
                head = Response(response.status_code, response.headers, b"")
                parts.put(head)
                body = bytearray()
                for chunk in response.iter_content(CHUNK_BYTES):
                    body += chunk
                    if len(body) > RESPONSE_BYTES or deadline.remaining() < 0:
                        raise NetworkError("a response that is too long or too slow")
                parts.put(head._replace(body=bytes(body)))
        except NetworkError as error:
            parts.put(error)
        except Exception as error:  # noqa: BLE001 - whatever a broken response raises
            parts.put(NetworkError(f"{type(error).__name__}: {printable(root_cause(error))}"))


def root_cause(error: Exception) -> str:
    """Return the reason that `requests` and urllib3 have wrapped: `Connection refused`."""
    inner: Exception | None = error
    while inner:
        error = inner
        wrapped = (*error.args, getattr(error, "reason", None))
        inner = next((each for each in wrapped if isinstance(each, Exception)), None)
    return CONNECTION_NAME.sub("", str(error))


def check_proxy(url: str) -> None:
    """Raise UnusableError if the proxy that the environment sets for `url` can't be parsed."""
    proxies = requests.utils.get_environ_proxies(url, no_proxy=None)
    proxy = requests.utils.select_proxy(url, proxies)
    if proxy is None:
        return
    try:
        with_scheme: Any = requests.utils.prepend_scheme_if_needed  # it has no types
        parts = urllib.parse.urlsplit(with_scheme(proxy, "http"))
        is_usable = bool(parts.hostname) and parts.port != 0
    except (TypeError, ValueError):  # the parser raises a TypeError if there is no host
        is_usable = False
    # Each of these ends a part of an address, or begins one.
    is_usable = is_usable and not re.search(r"[/?#\[\]]", proxy_login(proxy))
    if not is_usable:
        raise UnusableError(
            "the address of your proxy (HTTPS_PROXY or ALL_PROXY) can't be parsed: write it as "
            "http://user:password@host:port, and percent-encode the password (# is %23, / is %2F, "
            "? is %3F, @ is %40, [ is %5B, ] is %5D, % is %25)"
        )


RETRIES = 3
BLOCKED_WAIT = 60.0  # seconds for which nothing is sent after a blocked response
BACKOFF = tenacity.wait_exponential(multiplier=5, max=60)  # seconds; the limiter may wait longer


class Client:
    """Sends requests at the limiter's pace, and waits for as long as their responses ask."""

    def __init__(self, source: Source, limiter: RateLimiter, waiter: Waiter) -> None:
        self.requests_sent = 0
        self._limiter = limiter
        self._transport = Transport(source, waiter)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Blocked, NetworkError)),
            stop=tenacity.stop_after_attempt(1 + RETRIES),
            wait=BACKOFF,
            sleep=lambda seconds: waiter.wait_until(Deadline.after(seconds), self._format_wait),
            before_sleep=self._log_retry,
            reraise=True,
        )

    @property
    def has_reached_server(self) -> bool:
        """Whether any response has come back yet."""
        return self._transport.reached

    def send(self, request: Request, parse: Callable[[Response], Result]) -> Result:
        """Send a request, again after a blocked response or a network error.

        Returns and raises what `parse` does with the response. Also raises NetworkError,
        StoppedError, Interrupted while it waits, and OSError if a wait can't be noted.
        """
        result: Result = self._retrying(self.send_once, request, parse)
        return result

    def send_once(self, request: Request, parse: Callable[[Response], Result]) -> Result:
        """Send a request, once it may be sent; returns and raises as `send`."""
        self._limiter.acquire()
        self.requests_sent += 1
        response = self._transport.get(request)
        log.debug("%s: status %d, %d bytes", request.label, response.status, len(response.body))
        self._limiter.block_for(requested_wait(response.headers))
        if (percent := used_percent(response.headers)) >= USED_UP:
            self._limiter.block_for(USED_UP_WAIT)
            log.info(
                "%.0f%% of the hourly limit is used: nothing is sent for %s, until %s",
                percent,
                *self._limiter.blocked_span(),
            )
        try:
            return parse(response)
        except Blocked:
            self._limiter.block_for(BLOCKED_WAIT)
            raise

    def _format_wait(self, seconds: float) -> str:
        """Say for how long nothing is sent, which the limiter may make longer."""
        return format_wait(max(seconds, self._limiter.seconds_until_ready()))

    def _log_retry(self, state: tenacity.RetryCallState) -> None:
        """Log why something is fetched again, and when."""
        error = state.outcome.exception() if state.outcome else None
        seconds = max(state.upcoming_sleep, self._limiter.seconds_until_ready())
        log.info(
            "%s: %s; try %d of %d in %s, at %s",
            state.args[0].label,
            error,
            state.attempt_number + 1,
            1 + RETRIES,
            format_duration(seconds),
            clock_time_in(seconds),
        )


# ==================================================================================================
# Fetching
# ==================================================================================================

FIRST_NETWORK_PAUSE, LONGEST_NETWORK_PAUSE = 60.0, 900.0  # seconds; nobody is bothered
GIVE_UP_AFTER = 24 * 3600.0  # seconds of an outage in which the machine was awake
GIVE_UP_UNANSWERED_AFTER = 4 * 3600.0  # the same, while there is no live profile
RECENTLY = 24 * 3600.0  # seconds within which a fetched profile shows that we are not locked out
FALLBACK_WITNESS = "instagram"  # while no live profile is cached, and if one has gone since
OPEN_STREAK_LIMIT = 5  # profiles left open in a row, while no cached profile can be a witness
NOT_FOUND_ONCE, LEFT_BY_OUTAGE = "not found once", "left by an outage"  # to be fetched again


class FetchQueue:
    """The open profiles in the order in which they are fetched, one by one.

    First come the rows from the resumed position on, then those above it. A profile that was
    fetched may be put back to the end: once because it was not found, and once because an outage
    left it open. It waits there once, whatever the reasons.
    """

    def __init__(self, open_profiles: Iterable[tuple[int, str]], rows_done: int) -> None:
        in_order = sorted(open_profiles, key=lambda profile: (profile[0] < rows_done, profile[0]))
        self.row_index = {username: index for index, username in in_order}
        self._waiting = OrderedDict.fromkeys(self.row_index)
        self._put_back: set[tuple[str, str]] = set()  # the usernames, each with the reason
        self._repeats: set[str] = set()  # those that wait to be fetched again

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, username: object) -> bool:
        return username in self._waiting

    def repeats(self) -> int:
        """Count the waiting profiles that were fetched before."""
        return len(self._repeats)

    def pop(self) -> str:
        """Take out the next username."""
        username, _ = self._waiting.popitem(last=False)
        self._repeats.discard(username)
        return username

    def put_back(self, username: str, reason: str) -> None:
        """Have a profile fetched again after all others, if it was not yet for this reason."""
        if not self.was_put_back(username, reason):
            self._put_back.add((username, reason))
            self._waiting[username] = None
            self._repeats.add(username)

    def was_put_back(self, username: str, reason: str) -> bool:
        """Return whether a profile was put back to the end for this reason."""
        return (username, reason) in self._put_back

    def has_only_repeats(self) -> bool:
        """Return whether profiles are waiting, all of which were fetched before."""
        return len(self._waiting) == len(self._repeats) > 0


class NotFoundClaims:
    """Which profiles were said to be not found in this run, and in which way.

    A way is refuted if a profile of which it was said was also fetched with data in this run, as
    happens if an overloaded server says it at random. Then it counts for no profile any more.
    """

    def __init__(self) -> None:
        self._ways: dict[str, set[str]] = {}  # username -> how it was said
        self._with_data: set[str] = set()
        self._refuted: set[str] = set()

    def add(self, username: str, way: str) -> None:
        """Note that a profile is said to be not found."""
        self._ways.setdefault(username, set()).add(way)
        self._compare(username)

    def note_data(self, username: str) -> None:
        """Note that a profile was fetched with data."""
        self._with_data.add(username)
        self._compare(username)

    def is_refuted(self, username: str) -> bool:
        """Return whether what was said of a profile has been shown to mean nothing."""
        return not self._refuted.isdisjoint(self._ways.get(username, ()))

    def _compare(self, username: str) -> None:
        if username in self._with_data:
            self._refuted |= self._ways.get(username, set())


@dataclass
class Fetcher:
    """Fetches one profile after the other; decides whether a failure is the profile's or ours.

    A profile is tried again after a blocked response or a network error. If it is neither fetched
    nor withheld then, a witness is fetched, picked from the live ones of `profiles`. If the witness
    is answered, only the profile is affected; one that is not found is put back, and doesn't exist
    if it is not found the second time, either. If not, there is an `outage`: the profile is put
    back, and `wait_out_outage` pauses until a witness is answered.

    While there is no live profile, the witness is FALLBACK_WITNESS. It may be the only profile that
    is still shown; so its answer ends a pause but does not make the next one short again, and five
    profiles left open in a row are an outage, whatever it brings.
    """

    source: Source
    client: Client
    limiter: RateLimiter
    profiles: Mapping[str, Profile]  # the cached ones
    queue: FetchQueue
    first_pause: float  # seconds
    was_answered: bool  # whether any profile was, in this run or recently

    def __post_init__(self) -> None:
        self.claims = NotFoundClaims()
        self.outage: FetchError | None = None  # what shows that nothing can be fetched
        self._pause = 0.0  # seconds: the last one of this outage
        self._outage_began = math.inf  # of time.monotonic()
        self._open_streak: list[str] = []  # the profiles left open since the last answered one
        self._left_open: set[str] = set()  # all of this run, but those that were answered later
        self._hint_logged = False
        self._requests_before = self.client.requests_sent

    @property
    def requests(self) -> int:
        """How many requests were sent for profiles in this run."""
        return self.client.requests_sent - self._requests_before

    def fetch(self, username: str) -> Profile:
        """Fetch a profile of the list: its data, or that it does not exist.

        Raises the FetchError that leaves it open (`queue` and `outage` then say what follows from
        that), and StoppedError if going on makes no sense.
        """
        try:
            parse = functools.partial(self._parse, username)
            fields = self.client.send(self.source.request(username), parse)
        except Withheld:
            self._note_answer(username)
            raise
        except FetchError as error:
            if isinstance(error, NotFound) and self._is_confirmed(username):
                if self.has_data(username):  # of another source, which is kept
                    raise
                return fetched_now(username, {"error": self.source.not_found_error})
            self._decide_what_is_affected(username, error)
            raise
        self._note_answer(username)
        return fetched_now(username, fields)

    def wait_out_outage(self) -> None:
        """Pause until a witness is answered; raises StoppedError after 24 hours, or after 4."""
        if math.isinf(self._outage_began):
            self._outage_began = time.monotonic()
        while self.outage:
            longest = GIVE_UP_AFTER if self._live_profiles() else GIVE_UP_UNANSWERED_AFTER
            remaining = self._outage_began + longest - time.monotonic()
            if remaining < 1:
                self._give_up(self.outage, longest)
            self._pause = self.next_pause()
            reason = f"No profile can be fetched ({self.outage})"
            self.limiter.pause_for(min(self._pause, remaining), reason)
            self._check_witness("resuming")

    def next_pause(self) -> float:
        """Return the seconds of the pause that comes next; 0 if there is no outage."""
        if self.outage is None:
            return 0.0
        if isinstance(self.outage, NetworkError):
            first, longest = FIRST_NETWORK_PAUSE, LONGEST_NETWORK_PAUSE
        else:
            first, longest = max(self.first_pause, BLOCKED_WAIT), LONGEST_WAIT
        return max(min(2 * self._pause, longest), first)

    def _note_answer(self, username: str) -> None:
        """Note that a profile of the list was answered."""
        self._left_open.discard(username)
        self._open_streak.clear()
        self._reset_pauses()

    def _reset_pauses(self) -> None:
        """Let the next outage begin with its first pause."""
        self._pause = 0.0
        self._outage_began = math.inf

    def _is_confirmed(self, username: str) -> bool:
        """Return whether a profile that is not found was so before, beside an answered witness."""
        was_so_before = self.queue.was_put_back(username, NOT_FOUND_ONCE)
        return was_so_before and not self.claims.is_refuted(username)

    def _decide_what_is_affected(self, username: str, error: FetchError) -> None:
        """Check a witness: only the profile is affected, or there is an outage.

        Puts back what is to be fetched again. Raises StoppedError if nothing was ever reached.
        """
        if not self.client.has_reached_server:
            raise StoppedError(
                f"{self.source.name} can't be reached ({error}): "
                "check the connection and the proxy settings"
            )
        log.info("@%s: %s; checking a known profile to see whether we are blocked", username, error)
        self._open_streak.append(username)
        self._left_open.add(username)
        self._check_witness(f"only @{username} is affected")
        if self.outage:
            self.queue.put_back(username, LEFT_BY_OUTAGE)
        elif isinstance(error, NotFound):
            self.queue.put_back(username, NOT_FOUND_ONCE)
        if len(self._open_streak) >= OPEN_STREAK_LIMIT and not self._live_profiles():
            self.outage = self.outage or error
            for each in self._open_streak:
                self.queue.put_back(each, LEFT_BY_OUTAGE)

    def _give_up(self, outage: FetchError, seconds: float) -> NoReturn:
        duration = f"{seconds / 3600:.0f} hours"
        if isinstance(outage, NetworkError):
            raise StoppedError(
                f"nothing could be fetched for {duration} ({outage}): "
                "check the connection and the proxy settings, or wait until the server is back"
            )
        if not self.was_answered:
            self._log_locked_out_hint()
        raise StoppedError(
            f"still blocked after {duration} ({outage}): wait a day before the next run"
        )

    def _check_witness(self, conclusion: str) -> None:
        """Fetch a witness, and set `outage` by it; `conclusion` says what its answer would mean."""
        live = self._live_profiles()
        # None of those left open themselves, which another source has shown.
        others = [username for username in live if username not in self._left_open]
        witness = random.choice(others) if others else FALLBACK_WITNESS
        error = self._witness_error(witness)
        if (
            isinstance(error, NotFound) and witness != FALLBACK_WITNESS
        ):  # gone since, or nobody is found any more
            log.info("Known profile @%s: %s; checking @%s", witness, error, FALLBACK_WITNESS)
            witness = FALLBACK_WITNESS
            error = self._witness_error(witness)
        self.outage = error
        if error is None:
            log.info("Known profile @%s is fine: %s", witness, conclusion)
            if live:
                self._reset_pauses()
        else:
            is_network = isinstance(error, NetworkError)
            cause = "the network or the server is down" if is_network else "we are blocked"
            log.info("Known profile @%s failed too (%s): %s", witness, error, cause)

    def _witness_error(self, witness: str) -> FetchError | None:
        """Fetch a witness; returns what came instead of an answer, or None."""
        try:
            parse = functools.partial(self._parse, witness)
            self.client.send_once(self.source.request(witness), parse)
        except Withheld:
            return None
        except FetchError as error:
            return error
        return None

    def _live_profiles(self) -> list[str]:
        """Return the cached profiles that can be a witness."""
        can_be = self.source.can_be_witness
        return [name for name, known in self.profiles.items() if not known.error and can_be(known)]

    def has_data(self, username: str) -> bool:
        """Return whether data of a profile is cached."""
        return username in self.profiles and not self.profiles[username].error

    def _parse(self, username: str, response: Response) -> dict[str, Any]:
        """Return and raise as the source's `parse`, and note what follows for other profiles."""
        try:
            fields = self.source.parse(username, response)
        except NotFound as error:
            self.claims.add(username, error.what)
            raise
        except Withheld:
            self.was_answered = True
            raise
        except Blocked:
            if not self._hint_logged and not self.was_answered:
                self._log_locked_out_hint()
            raise
        self.claims.note_data(username)
        self.was_answered = True
        return fields

    def _log_locked_out_hint(self) -> None:
        self._hint_logged = True
        if self.source.locked_out_hint:
            log.warning("%s", self.source.locked_out_hint)


def fetched_now(username: str, fields: Mapping[str, Any]) -> Profile:
    """Make a profile of what was fetched just now; of `{"error": …}` if there is none."""
    return Profile.from_values(username, {**fields, "fetched_at": format_timestamp(time.time())})


# ==================================================================================================
# State on disk
# ==================================================================================================

CACHE_FILE, PROGRESS_FILE, LOCK_FILE = "ig_cache.json", "ig_progress.json", "ig.lock"
CLOSING = b"\n}\n"  # how a cache file ends, after its last entry
ENTRY_START = re.compile(r'"([A-Za-z0-9._]{1,30})"[ \t\r\n]*:[ \t\r\n]*(?=\{)')
FETCHED_AT = re.compile(r'"fetched_at": "([^"]*)"')
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # as "surrogateescape" decodes it
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def read_if_exists(path: Path) -> bytes:
    """Return what a file holds; nothing if there is no such file."""
    return path.read_bytes() if path.exists() else b""


def temp_path(path: Path) -> Path:
    """Return where a file is written before it is moved into its place."""
    return path.with_name(f".{path.name}.ig-part")


def unused_path(path: Path, suffix: str) -> Path:
    """Return the first of `path.suffix`, `path.suffix1`, `path.suffix2` … that does not exist."""
    paths = (path.with_name(f"{path.name}.{suffix}{count or ''}") for count in itertools.count())
    return next(each for each in paths if not each.exists())


def write_atomic(path: Path, pieces: Iterable[bytes], like: Path | None = None) -> None:
    """Write a file beside `path`, sync it, and move it there: there is a whole file at any moment.

    It gets the permissions of `like`, by default those of the file that it replaces. Raises
    OSError, with `path` as its filename.
    """
    temp = temp_path(path)
    try:
        with temp.open("wb") as file:
            with contextlib.suppress(OSError):
                os.fchmod(file.fileno(), stat.S_IMODE((like or path).stat().st_mode))
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temp.unlink()
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def keep_copy(path: Path, data: bytes, suffix: str) -> Path:
    """Write what a file holds to an unused path beside it, before it is replaced; returns that."""
    copy = unused_path(path, suffix)
    write_atomic(copy, [data], like=path)
    return copy


class FileStamp(NamedTuple):
    """What tells whether a file was changed, without reading it."""

    inode: int
    size: int  # bytes
    modified: int  # nanoseconds since the epoch

    @classmethod
    def of(cls, file: Path | int) -> FileStamp | None:
        """Return the stamp of a path or an open file; None if there is no such file."""
        try:
            status = os.stat(file)
        except FileNotFoundError:
            return None
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class Cache:
    """The profiles fetched so far: username -> Profile in memory, one JSON object on disk.

    The file has one entry a line. A new profile is one line more, whatever the size of the file;
    for one that replaces another, the file is rewritten. What another program writes into it
    meanwhile is merged. Its methods raise OSError if the file can't be read or written; what it
    held stays whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._backup = path.with_name(path.name + ".bak")
        self.profiles: dict[str, Profile] = {}
        if path.exists():
            self._load()
        else:
            self._write_all()

    def _load(self) -> None:
        """Read every whole entry; what differs from our own format is kept aside and rewritten."""
        data = self._path.read_bytes()
        self.profiles = parse_cache(data)
        if data == render_cache(self.profiles.values()):
            with self._path.open("r+b") as file:  # it can be written, too
                self._note_written(file.fileno(), len(data))
            return
        copy = keep_copy(self._path, data, "damaged")
        log.warning(
            "%s is corrupt or written by another tool: recovered %d entries, kept the file as %s",
            printable(str(self._path)),
            len(self.profiles),
            printable(str(copy)),
        )
        self._write_all()

    def add(self, profile: Profile) -> None:
        """Save a profile: its line is written over the closing brace in one write, and synced."""
        self.sync()
        if profile.username in self.profiles:
            self._write_all({**self.profiles, profile.username: profile})
        else:
            separator = b",\n" if self.profiles else b"\n"
            self._append(separator + render_entry(profile))
        self.profiles[profile.username] = profile

    def undo_not_found(self, username: str, before: Profile | None) -> None:
        """Put back what was cached of a profile before it was not found; new data stays."""
        self.sync()
        if not self.profiles[username].error:
            return
        if before is None:
            others = {name: each for name, each in self.profiles.items() if name != username}
            self._write_all(others)
            del self.profiles[username]
        else:
            self.add(before)

    def sync(self) -> bool:
        """Bring file and memory together, if another program has removed or changed the file.

        Returns whether it had to.
        """
        if FileStamp.of(self._path) == self._stamp:
            return False
        data = self._path.read_bytes() if self._path.exists() else None
        if data == render_cache(self.profiles.values()):  # it was only touched, or moved
            self._note_written(self._path, len(data))
            return False
        if data is not None:
            self._merge(data)
        self._write_all()
        return True

    def _merge(self, data: bytes) -> None:
        """Take over what another program wrote; of two entries, the one fetched later counts."""
        entries = parse_cache(data)
        for username, entry in entries.items():
            known = self.profiles.get(username)
            fetched_at = parse_timestamp(entry.fetched_at)
            if known is None or fetched_at >= parse_timestamp(known.fetched_at):
                self.profiles[username] = entry
        is_all_taken = all(self.profiles[name] == entry for name, entry in entries.items())
        is_ours = data == render_cache(entries.values())
        kept = ""
        if not (is_ours and is_all_taken):
            kept = f", kept the file as {printable(str(keep_copy(self._path, data, 'damaged')))}"
        log.warning(
            "%s was changed by another program: merged its %d entries with those of this run%s",
            printable(str(self._path)),
            len(entries),
            kept,
        )

    def fetch_times(self) -> list[float]:
        """Return when profiles were fetched, those before a `--force` too.

        In epoch seconds and in order; a time in the future counts as now.
        """
        timestamps = [profile.fetched_at for profile in self.profiles.values()]
        if self._backup.exists():
            timestamps += FETCHED_AT.findall(self._backup.read_text("utf-8", "replace"))
        times = map(parse_timestamp, timestamps)
        return sorted(min(epoch, time.time()) for epoch in times if epoch > 0)

    def set_aside(self) -> Path:
        """Keep the file as `.bak` and start empty; returns the path that it was given.

        An older `.bak` is moved to an unused path.
        """
        if self._backup.exists():
            self._backup.replace(unused_path(self._path, "bak"))
        self._path.replace(self._backup)
        self.profiles.clear()
        self._write_all()
        return self._backup

    def _append(self, line: bytes) -> None:
        """Write a line over the closing brace; if that fails, put the brace back."""
        ending = line + CLOSING
        with self._path.open("r+b", buffering=0) as file:
            file.seek(self._end)
            try:
                if file.write(ending) < len(ending):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError as error:
                file.seek(self._end)
                file.write(CLOSING)
                file.truncate(self._end + len(CLOSING))
                error.filename = str(self._path)
                raise
            finally:
                size = file.seek(0, os.SEEK_END)
                self._note_written(file.fileno(), size)

    def _write_all(self, profiles: Mapping[str, Profile] | None = None) -> None:
        data = render_cache((self.profiles if profiles is None else profiles).values())
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, [data])
        self._note_written(self._path, len(data))

    def _note_written(self, file: Path | int, size: int) -> None:
        """Note where the closing brace begins, and by what to see a change."""
        self._end = size - len(CLOSING)
        self._stamp = FileStamp.of(file)


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


def is_about_profile(entry: object) -> bool:
    """Return whether a cache entry, whoever wrote it, is about a profile, not about a failure."""
    if not isinstance(entry, dict):
        return False
    if error := entry.get("error"):
        return isinstance(error, str) and error in ERRORS
    texts = (entry.get("biography"), entry.get("category_name"))
    return "biography" in entry and all(text is None or isinstance(text, str) for text in texts)


class Progress:
    """What a run leaves to the next: how many rows from the top are done, and a wait that goes on.

    `not_before` is when requests may be sent again, in epoch seconds: in `longest_wait` seconds at
    the most, as the clock may have been set back. A number of rows that is out of range is ignored.
    Its methods raise OSError.
    """

    def __init__(self, path: Path, rows: int, longest_wait: float) -> None:
        self._path = path
        state = parse_object(read_if_exists(path))
        rows_done: Any = state.get("last_processed_index")
        is_in_range = type(rows_done) is int and 0 <= rows_done <= rows
        self.rows_done = int(rows_done) if is_in_range else 0
        not_before = parse_timestamp(state.get("not_before"))
        self.not_before = min(not_before, time.time() + longest_wait)

    def move_to(self, rows_done: int) -> None:
        """Note that so many rows from the top are done."""
        self.rows_done = rows_done
        self.save()

    def advance_to(self, rows_done: int) -> None:
        """Note that so many rows from the top are done, if they are more than before."""
        if rows_done > self.rows_done:
            self.move_to(rows_done)

    def block_until(self, epoch: float) -> None:
        """Note that nothing is sent until then (epoch seconds)."""
        self.not_before = epoch
        self.save()

    def finish(self) -> None:
        """Note that the whole list is done: the next run starts at the top.

        It does so after the wait that may still go on.
        """
        if self.not_before > time.time():
            self.move_to(0)
        else:
            self._path.unlink(missing_ok=True)

    def save(self) -> None:
        """Write the file."""
        state: dict[str, Any] = {"last_processed_index": self.rows_done}
        if self.not_before > time.time():
            state["not_before"] = format_timestamp(math.ceil(self.not_before))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path, [json.dumps(state).encode(), b"\n"])


class Lock:
    """Holds a state folder until it is closed or the process ends, however it ends.

    Its file names the process. Raises UnusableError if another run holds the folder, and OSError
    if the folder can't be locked.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_FILE
        self._acquire()

    def renew(self) -> None:
        """Lock the folder again, if it was removed meanwhile.

        Raises StoppedError if another run has locked it since.
        """
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
                return
        self._file.close()
        try:
            self._acquire()
        except UnusableError as error:
            raise StoppedError(str(error)) from error

    def close(self) -> None:
        """Let the folder go."""
        if not self._file.closed:  # as it is if `renew` lost the folder to another run
            self._write_process("")
            self._file.close()

    def _acquire(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                self._refuse()
            self._file.close()
            error.filename = str(self._path)
            raise
        self._write_process(f"{os.getpid()}\n")

    def _refuse(self) -> NoReturn:
        """Say which process holds the folder."""
        with self._file:
            self._file.seek(0)
            process = printable(self._file.read().decode("ascii", "replace").strip())
        named, how = "", ""
        if process.isdecimal():  # it names itself just after it has locked the folder
            named, how = f" (process {process})", f", or stop it with: kill {process}"
        folder = printable(str(self._path.parent))
        raise UnusableError(f"another run is using {folder}{named}: wait until it ends{how}")

    def _write_process(self, process: str) -> None:
        """Name the process that holds the folder; a full disk is no reason not to go on."""
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(process.encode("ascii"))


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


def open_profiles(
    rows: Iterable[Row], source: Source, profiles: Mapping[str, Profile]
) -> list[tuple[int, str]]:
    """Return what a source has to fetch: index of the first row that can gain, and username."""
    first_row: dict[str, int] = {}
    for index, row in enumerate(rows):
        username, wanted = row.username, row.wanted
        if not username or source.fields.isdisjoint(wanted):
            continue
        if not source.settles(profiles.get(username), wanted):
            first_row.setdefault(username, index)
    return [(index, username) for username, index in first_row.items()]


def wanted_fields(rows: Iterable[Row]) -> dict[str, set[str]]:
    """Return the profile fields that can be filled into the rows of each username."""
    wanted: dict[str, set[str]] = {}
    for row in rows:
        if row.username:
            wanted.setdefault(row.username, set()).update(row.wanted)
    return wanted


class Batches:
    """Counts the profiles of the current batch by when they were fetched.

    The batch began after the last gap between two profiles that was as long as a pause, in
    whichever run that was. So stopping and starting again makes no batch longer.
    """

    def __init__(
        self, size: int, pause: float, per_minute: float, fetch_times: list[float]
    ) -> None:
        self.size = size
        self.pause = pause  # seconds; 0 for none
        self._fetch_times = fetch_times  # epoch seconds, in order
        # Neither the pace nor a restart makes a gap by itself, however short the pause.
        self._gap = max(pause, 2 * (refill_seconds(per_minute) + JITTER[1]))

    def add(self) -> None:
        """Count a profile that was fetched just now."""
        self._fetch_times.append(time.time())

    def start_next(self) -> None:
        """Begin a batch, after a pause."""
        self._fetch_times.clear()

    def count(self, epoch: float) -> int:
        """Return how many profiles are in the batch of one that is fetched then; `size` at most."""
        next_fetch = epoch
        count = 0
        for fetched in reversed(self._fetch_times[-self.size :]):
            if next_fetch - fetched >= self._gap:
                break
            next_fetch = fetched
            count += 1
        return count

    def is_full(self) -> bool:
        """Return whether a pause comes before the next profile."""
        return self.pause > 0 and self.count(time.time()) == self.size

    def remaining_pause(self) -> float:
        """Return the seconds of the pause that have not passed since the last profile."""
        since_last = max(time.time() - self._fetch_times[-1], 0.0)
        return max(self.pause - since_last, 0.0)


def write_output(
    path: Path, sheet: Sheet, profiles: Mapping[str, Profile], last: bytes = b""
) -> bytes:
    """Write the output, the input plus what is cached (username -> Profile), and return it.

    If the output that it replaces has a line that is neither in the input nor in the new one, nor
    in the `last` one that this run wrote, as somebody typed into it or has changed the input since,
    that output is copied to an unused path first. Raises OSError.
    """
    new = b"".join(sheet.render(profiles))
    old = read_if_exists(path)
    if old not in (new, last) and is_edited(old, sheet, new, last):
        copy = keep_copy(path, old, "bak")
        log.warning(
            "%s has lines that the new output won't have: kept it as %s. "
            "Type your edits into the input; the output is made anew from it each time",
            printable(str(path)),
            printable(str(copy)),
        )
    write_atomic(path, [new])
    return new


def is_edited(output: bytes, sheet: Sheet, *own: bytes) -> bool:
    """Return whether an output has a line that neither the sheet nor any of our `own` has."""
    unknown_lines = set(output.splitlines()).difference([b""], *map(bytes.splitlines, own))
    return bool(unknown_lines) and not unknown_lines <= sheet.lines()


FIRST_GUESS = 10  # profiles that the estimate adds to those fetched so far, with a request each


@dataclass
class Enrichment:
    """One run over the list: fetches what is open, caches it, and writes checkpoints."""

    sheet: Sheet
    cache: Cache
    progress: Progress
    limiter: RateLimiter
    fetcher: Fetcher
    batches: Batches
    args: argparse.Namespace
    last_output: bytes  # as this run wrote it last
    report: Report | None

    def __post_init__(self) -> None:
        self.source = self.fetcher.source
        self.queue = self.fetcher.queue
        self.rows = self.sheet.rows[: self.args.limit]
        self.wanted = wanted_fields(self.rows)  # username -> profile fields
        self.tried: set[str] = set()  # the usernames fetched in this run, settled or not
        self.last_errors: dict[str, FetchError] = {}  # username -> what last left it open
        self.unsaved: str | None = None  # the username that was fetched and could not be cached
        self.write_errors: dict[str, OSError] = {}  # what the last checkpoint could not write
        self.done = 0  # profiles of the list that were out of the queue, put back or not
        self._estimated_end = 0.0  # epoch seconds
        # username -> what was cached before this run cached it as not found
        self._not_found_now: dict[str, Profile | None] = {}
        self._since_checkpoint = 0  # profiles fetched

    def run(self) -> None:
        """Fetch the profiles of the queue, until it is empty.

        Raises Interrupted, StoppedError if going on makes no sense, and OSError if something
        can't be saved.
        """
        self._note_position()  # for the live line during the pause
        if self.queue:
            self.limiter.resume_pause()
        are_repeats = False
        while self.queue:
            self._note_position()
            if not are_repeats and self.queue.has_only_repeats():
                are_repeats = True
                log.info("Back to the profiles that are still open: %d", len(self.queue))
            username = self.queue.pop()
            if self.is_settled(username):  # another program has put it into the cache
                continue
            result = self._fetch(username)
            self._reopen_refuted()
            index = self.queue.row_index[username]
            self.progress.advance_to(index + 1)
            log_progress(self, index, username, result)
        if self.tried:
            self.checkpoint()
        self._note_end()

    def to_fetch(self) -> list[tuple[int, str]]:
        """Return the open profiles: index of the first row that can gain by it, and username."""
        return open_profiles(self.rows, self.source, self.cache.profiles)

    def is_settled(self, username: str) -> bool:
        """Return whether there is nothing to fetch of a profile any more."""
        return self.source.settles(self.cache.profiles.get(username), self.wanted[username])

    def count_settled(self) -> int:
        """Count the settled profiles of the list."""
        return sum(map(self.is_settled, self.wanted))

    def pauses_ahead(self, fetches: int) -> int:
        """Return how many batch pauses there are before the last of so many fetches (1 or more)."""
        if not self.batches.pause:
            return 0
        resumes_at = time.time() + self.limiter.blocked_for()
        return (self.batches.count(resumes_at) + fetches - 1) // self.batches.size

    def fetches_ahead(self) -> tuple[int, int]:
        """Estimate how often profiles are still to be fetched, and with how many requests in all.

        Of those that were not fetched yet, as many need a second time, and as many requests, as of
        those that were. A second time takes one request.
        """
        known = len(self.tried) + FIRST_GUESS
        repeats = self.queue.repeats()
        first_times = len(self.queue) - repeats
        all_repeats = repeats + first_times * repeats / known
        requests = first_times * (self.fetcher.requests + FIRST_GUESS) / known + all_repeats
        return round(first_times + all_repeats), round(requests)

    def eta(self) -> float:
        """Return the seconds until the end of the run, with the pauses to come."""
        before_next = self.limiter.blocked_for() + self.fetcher.next_pause()
        return before_next + self.seconds_of_queue() if self.queue else 0.0

    def seconds_of_queue(self) -> float:
        """Estimate the seconds that the queue takes from the next request on."""
        fetches, requests = self.fetches_ahead()
        if not fetches:
            return 0.0
        each = seconds_per_request(self.args.rate_limit)
        # A pause takes the place of a gap between two requests.
        each_pause = max(self.batches.pause + sum(JITTER) / 2 - each, 0.0)
        return requests * each + self.pauses_ahead(fetches) * each_pause

    def seconds_to_end(self) -> float:
        """Return the seconds until the end as it was estimated after the last profile.

        So it stands still while a token or an answer is waited for. If it has become too early
        since, by a block or the machine's sleep, it is the earliest end that is possible.
        """
        at_least = self.limiter.blocked_for() + self.seconds_of_queue()
        return max(self._estimated_end - time.time(), at_least)

    def checkpoint(self) -> None:
        """Write the results, and the state again if another program has changed or removed it.

        If a result can't be written, the log says so, and the next checkpoint tries again.
        Raises OSError on a full disk, and if the state can't be written.
        """
        self._since_checkpoint = 0
        self.save_cache()
        self.progress.save()
        self.save_results()

    def save_results(self) -> None:
        """Write output and report; raises OSError on a full disk only, but notes every error."""
        self.write_errors.clear()
        for name, write in (("output", self._write_output), ("report", self._write_report)):
            try:
                write()
            except OSError as error:
                self.write_errors[name] = error
        for name, why in self.write_errors.items():
            if why.errno in DISK_FULL:
                raise why
            log.error(
                "The %s can't be written (%s): "
                "what was fetched is in the cache, and the next checkpoint tries again",
                name,
                format_os_error(why),
            )

    def open_errors(self) -> dict[str, ReportedError]:
        """Return what left the profiles open that this run has fetched in vain (username -> it)."""
        in_flight = ReportedError("the run stopped while it was being fetched")
        return {
            username: self.last_errors.get(username, in_flight)
            for username in self.tried
            if not self.is_settled(username)
        }

    def save_cache(self) -> None:
        """See to it that the cache file has what is known now; raises OSError if it can't."""
        self._reopen_refuted()
        self.cache.sync()

    def _write_output(self) -> None:
        self.last_output = write_output(
            self.args.output, self.sheet, self.cache.profiles, self.last_output
        )

    def _write_report(self) -> None:
        if self.report:
            self.report.write(self.cache.profiles, self.open_errors())

    def _note_position(self) -> None:
        """Note how far the run is, and when it ends as it looks now."""
        self.done = max(self.done, len(self.wanted) - len(self.queue))
        self._estimated_end = time.time() + self.eta()

    def _note_end(self) -> None:
        """Note that the run is through its rows: all of them, or the first ones of a `--limit`."""
        if len(self.rows) == len(self.sheet.rows):
            self.progress.finish()
        else:
            self.progress.advance_to(len(self.rows))

    def _fetch(self, username: str) -> str:
        """Fetch one profile, after the pause that may be due; returns what came of it, in words."""
        self._prepare_fetch()
        requests_before = self.fetcher.requests
        is_first_time = username not in self.tried
        self.tried.add(username)
        try:
            fetched = self.fetcher.fetch(username)
        except FetchError as error:
            self.last_errors[username] = error
            again = "; again at the end" if username in self.queue else ""
            return f"left open: {error}{again}"
        finally:
            if is_first_time and self.fetcher.requests == requests_before:
                self.tried.remove(username)  # a signal came before the first request
            self.batches.add()
            self._since_checkpoint += 1
        self.unsaved = username
        before = self.cache.profiles.get(username)
        profile = fetched.completed_by(before)
        self.cache.add(profile)
        self.unsaved = None
        if profile.error:
            self._not_found_now[username] = before
        return describe(profile, self.source.fields)

    def _reopen_refuted(self) -> None:
        """Forget what this run has cached as not found, if that has been refuted since."""
        for username in sorted(filter(self.fetcher.claims.is_refuted, self._not_found_now)):
            log.info("@%s: open again: the same was said of a profile that was fetched", username)
            self.cache.undo_not_found(username, self._not_found_now[username])
            del self._not_found_now[username]

    def _prepare_fetch(self) -> None:
        """Write the checkpoint that is due, and wait for the pauses that are due."""
        if self.fetcher.outage:
            self.checkpoint()
            self.fetcher.wait_out_outage()
        if self.batches.is_full():
            self.checkpoint()
            self._pause_after_batch()
        elif self._since_checkpoint >= self.batches.size:
            self.checkpoint()

    def _pause_after_batch(self) -> None:
        """Wait for what remains of the pause, and begin the next batch."""
        if seconds := self.batches.remaining_pause():
            saved = "not saved yet" if "output" in self.write_errors else "saved"
            self.limiter.pause_for(seconds, f"Batch of {self.batches.size} done, {saved}")
        self.batches.start_next()


# ==================================================================================================
# Report
# ==================================================================================================

NOT_FETCHED_YET = "not fetched yet"
STILL_OPEN = "; open: "  # between what is filled and why the rest is not
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
        write_atomic(self._path, [report])
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
        is_settled = self._source.settles(profile, row.wanted)
        can_gain = not self._source.fields.isdisjoint(row.wanted)
        failure = None if is_settled else self._failure(row.username, last_error)
        if new_cells := self._sheet.new_cells(row, {row.username: profile} if profile else {}):
            filled = " and ".join(self._sheet.titles[field] for field in new_cells)
            why_open = failure[1] if failure else NOT_FETCHED_YET
            is_open = can_gain and not is_settled
            return Status.FILLED, f"{filled}{STILL_OPEN}{why_open}" if is_open else filled
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
    if status in (Status.OPEN, Status.WITHHELD):
        return status, row.detail
    why_open = row.detail.partition(STILL_OPEN)[2]
    return (Status.OPEN, why_open) if why_open not in ("", NOT_FETCHED_YET) else None


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
    return set(row.detail.partition(STILL_OPEN)[0].split(" and "))


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

    def show(self, activity: str, seconds: float) -> None:
        """Draw the line: what is waited for, which takes so many seconds at least."""
        if self._is_in_background():
            return
        width = self._width()
        line = activity[:width]
        if self._run:
            end = clock_time_in(max(self._run.seconds_to_end(), seconds))
            line = live_line(width, self._run.done, len(self._run.wanted), activity, end)
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


def log_plan(run: Enrichment) -> None:
    """Log what the run is going to do, and how long that takes."""
    log_unusable(run.rows)
    profiles, cached, to_fetch = len(run.wanted), run.count_settled(), len(run.queue)
    filled = sum(not run.is_settled(name) for name, wanted in run.wanted.items() if not wanted)
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
    pauses = run.pauses_ahead(len(run.queue))
    with_pauses = (
        f", with {counted(pauses, 'pause')} of {format_duration(run.batches.pause)} "
        f"between batches of {run.batches.size}"
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
    run: Enrichment, still_open: Sequence[str], from_cache: int, seconds: float
) -> None:
    """Log the coverage before and after, the counts, and which profiles are still open.

    `from_cache` is how many profiles there was nothing to fetch of; `seconds` is what the run took.
    """
    cached = [run.cache.profiles[name] for name in run.wanted if name in run.cache.profiles]
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
        len(run.tried.difference(still_open)),
        from_cache,
        ", ".join([*without_data, f"{len(withheld)} withheld"]),
        count_without_handle(run.rows),
        len(still_open),
        format_duration(seconds),
        run.source.name,
        run.source.unfilled_columns(run.sheet.titles),
    )
    log_still_open(run, still_open)


def hidden_profiles(run: Enrichment, still_open: Iterable[str]) -> list[str]:
    """Return those that this source does not show, and of which another's data is cached."""
    return [
        username
        for username in still_open
        if username in run.cache.profiles
        and isinstance(run.last_errors.get(username), (Withheld, NotFound))
        and not run.fetcher.claims.is_refuted(username)
    ]


def withheld_profiles(run: Enrichment, still_open: Iterable[str]) -> list[str]:
    """Return those of the open profiles that the source withholds."""
    return [name for name in still_open if isinstance(run.last_errors.get(name), Withheld)]


def log_still_open(run: Enrichment, still_open: Sequence[str]) -> None:
    """Log which of the open profiles were fetched in vain, with the reason, and how many others.

    The first of them are named.
    """
    errors = run.open_errors()
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
    stopwatch = Stopwatch.start()
    source = choose_source(args)
    named = {
        "username": args.username_column,
        "category_name": args.genre_column,
        "biography": args.details_column,
    }
    named = {field: header for field, header in named.items() if header is not None}
    sheet = waiter.wait_for(read_sheet, args.input, named)  # it may come from a pipe
    # A link is written where it points.
    args.output = Path(os.path.realpath(args.output))
    args.report = args.report and Path(os.path.realpath(args.report))
    try:
        check_paths(args)
        check_proxy(source.request("").url)
        with contextlib.closing(Lock(args.cache_dir)) as lock:
            run = open_run(args, waiter, source, sheet, lock)
            return run_and_log(run, stopwatch, console)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise UnusableError(f"{format_os_error(error)}: give another path") from error
        log.error("%s: free some space and run the same command again", format_os_error(error))
        return EXIT_INCOMPLETE


def open_run(
    args: argparse.Namespace, waiter: Waiter, source: Source, sheet: Sheet, lock: Lock
) -> Enrichment:
    """Read the state, write the first output, check the set-up, and put the run together.

    Raises UnusableError, StoppedError and Interrupted from the check, and OSError.
    """
    cache = Cache(args.cache_dir / CACHE_FILE)
    longest_wait = max(LONGEST_WAIT, args.batch_pause)
    progress = Progress(args.cache_dir / PROGRESS_FILE, len(sheet.rows), longest_wait)
    fetch_times = cache.fetch_times()
    # Whether everything can be written is found out now, not after a night.
    last_output = write_output(args.output, sheet, cache.profiles)
    report = Report(args.report, sheet, source) if args.report else None
    if report:
        report.write(cache.profiles, {})
    progress.save()
    log_columns(sheet, args.username_column is not None)
    limiter = RateLimiter(
        args.rate_limit, progress.not_before, waiter, lock.renew, progress.block_until
    )
    client = Client(source, limiter, waiter)
    was_answered = was_answered_recently(source, cache.profiles)
    known = {} if args.force else cache.profiles
    to_fetch = open_profiles(sheet.rows[: args.limit], source, known)
    if to_fetch:
        source.check_set_up(client)
        if args.force:
            start_afresh(cache, progress)
            last_output = b""  # with what was cached: it is worth a copy
    queue = FetchQueue(to_fetch, progress.rows_done)
    fetcher = Fetcher(
        source, client, limiter, cache.profiles, queue, args.batch_pause, was_answered
    )
    batches = Batches(args.batch_size, args.batch_pause, args.rate_limit, fetch_times)
    return Enrichment(sheet, cache, progress, limiter, fetcher, batches, args, last_output, report)


def was_answered_recently(source: Source, profiles: Mapping[str, Profile]) -> bool:
    """Return whether the cache has a profile that the source has settled lately."""
    since = time.time() - RECENTLY
    return any(
        parse_timestamp(profile.fetched_at) > since
        for profile in profiles.values()
        if source.settles(profile, source.fields)
    )


def start_afresh(cache: Cache, progress: Progress) -> None:
    """Start afresh for `--force`: set the cache aside, and go to the top."""
    progress.move_to(0)
    cache.sync()
    if cache.profiles:
        backup = cache.set_aside()
        log.info(
            "--force: fetching all profiles again, into an output without what was cached; "
            "that is now in %s",
            printable(str(backup)),
        )
    log.info("--force: if this run stops half-way, resume with the same command WITHOUT --force")


def run_and_log(run: Enrichment, stopwatch: Stopwatch, console: Console) -> int:
    """Run to the end, or as far as it goes; save, and log the result. Returns the exit code.

    The last words say how to go on, if there is anything left to do.
    """
    again = f"run the same command again{without_force(run)}"
    from_cache = run.count_settled()
    log_plan(run)
    console.follow(run)
    code, why_stopped = EXIT_DONE, ""
    try:
        run.run()
    except Interrupted as interrupted:
        code = EXIT_SIGNALLED + interrupted.signum
        why_stopped = f"Interrupted by {interrupted.signum.name}"
    except OSError as error:
        code, why_stopped = EXIT_INCOMPLETE, f"Could not save ({format_os_error(error)})"
    except StoppedError as error:
        code, why_stopped = EXIT_INCOMPLETE, str(error)
        if isinstance(error, SetUpError):
            again = f"do that, then run the command again{without_force(run)}"
    saved = last_checkpoint(run) if why_stopped else ""
    still_open = [username for _, username in run.to_fetch()]
    log_summary(run, still_open, from_cache, stopwatch.elapsed())
    if why_stopped:
        what_helps = [again, *help_for_refused(run, still_open)]
        log_stop(run, why_stopped, saved, "; ".join(what_helps))
    elif run.write_errors:
        names = " and the ".join(run.write_errors)
        log.error("What was fetched is in the cache, not in the %s: fix that, and %s", names, again)
        code = EXIT_INCOMPLETE
    elif still_open:
        log.error("Some profiles are still open: %s", what_would_help(run, still_open))
        code = EXIT_INCOMPLETE
    return code


def without_force(run: Enrichment) -> str:
    """Say how the same command is run again, as a suffix; "" for just as it was."""
    return ", but WITHOUT --force" if run.args.force else ""


def what_would_help(run: Enrichment, still_open: Sequence[str]) -> str:
    """Say how to get the profiles that are still open after a whole run."""
    refused = {*withheld_profiles(run, still_open), *hidden_profiles(run, still_open)}
    others = set(still_open) - refused
    errors = [run.last_errors[username] for username in others if username in run.last_errors]
    kinds = (kind for kind in WHEN_TO_RETRY if any(isinstance(each, kind) for each in errors))
    when = next((f" {WHEN_TO_RETRY[kind]}" for kind in kinds), "")
    again = f"run the same command again{when}{without_force(run)}"
    what_helps = [again] if others else []
    return "; ".join([*what_helps, *help_for_refused(run, still_open)])


def help_for_refused(run: Enrichment, still_open: Sequence[str]) -> list[str]:
    """Say how to get those of the open profiles that the source doesn't show, if there are any."""
    hidden = hidden_profiles(run, still_open)
    withheld = set(withheld_profiles(run, still_open)).difference(hidden)
    what_helps = []
    if withheld:
        what_helps.append(f"of the {len(withheld)} withheld, {run.source.withheld_hint}")
    if hidden:
        what_helps.append(f"nothing more is shown of {len(hidden)} for now; what is cached is kept")
    return what_helps


def log_stop(run: Enrichment, why: str, saved: str, what_helps: str) -> None:
    """Log where a run has stopped early, what is saved, and how to go on."""
    not_done = (index for index, _ in run.to_fetch() if index >= run.progress.rows_done)
    rows = len(run.rows)
    log.error(
        "%s. Stopped after %d of %s, %s; to resume, %s",
        why[:1].upper() + why[1:],
        next(not_done, rows),
        counted(rows, "row"),
        saved,
        what_helps,
    )


def last_checkpoint(run: Enrichment) -> str:
    """Write what can be written of a last checkpoint; returns what is saved, in words."""
    is_cached = False
    with contextlib.suppress(OSError):
        run.save_cache()
        is_cached = True
    with contextlib.suppress(OSError):
        run.progress.save()  # which costs nothing if it is lost
    with contextlib.suppress(OSError):
        run.save_results()
    is_output = "output" not in run.write_errors
    fetched = f"everything but @{run.unsaved}" if run.unsaved else "everything so far"
    if is_cached and is_output:
        return f"{fetched} is saved{', but not the report' if run.write_errors else ''}"
    if is_cached:
        return f"{fetched} is in the cache, not in the output"
    if is_output:
        return f"{fetched} is in the output, not in the cache"
    return "what was fetched since the last checkpoint may be lost"


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
