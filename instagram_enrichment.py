"""Fill the GENRE and Details columns of a CSV of Instagram profiles, slowly and without losing any.

A profile travels through this module from top to bottom: its handle is read from a row, Instagram is asked at a
polite pace, the answer is understood, remembered on disk, and put into the row's empty cells. Only an answer about
the profile is ever remembered; an answer about us (a rate limit, a login wall) or about the network leaves the
profile open, and whatever is open is asked once more before the run ends.
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
import random
import re
import signal
import sys
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import requests
import tenacity

# The address and the app id are those of Instagram's own web client, as a browser's network tab shows them.
API_URL = "https://www.instagram.com/api/v1/users/web_profile_info/"
BROWSER = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"
)
HEADERS = {
    "x-ig-app-id": "936619743392459",
    "User-Agent": BROWSER,
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.9",
}
SOCKET_TIMEOUT, ANSWER_TIMEOUT = 30.0, 60.0  # seconds of silence; seconds for one answer in all
ANSWER_BYTES = 10 * 1024 * 1024
POLL_SECONDS = 0.25  # how often a waiting request looks at the clock

JITTER = (2.0, 4.0)  # seconds between taking a token and sending the request
MAX_RETRIES = 3
BLOCK_WAIT = 60.0  # seconds before a retry where Instagram refuses
BACKOFF = tenacity.wait_exponential(multiplier=5, max=60)  # seconds before a retry after anything else
LONGEST_WAIT = 4 * 3600.0  # seconds: the cap of Retry-After and of the doubling pauses
STRIKES = 5  # refusals in a row before a pause
GIVE_UP_AFTER = 24 * 3600.0  # seconds of refusals without one real answer
KNOWN_PROFILE = "instagram"

COLUMNS = {"GENRE": "category_name", "Details": "biography"}  # column of the sheet -> field of a profile
CELL_CHARACTERS = 500
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # OWASP, "CSV Injection"
HANDLE_HEADERS = (  # as `header_key` makes them; the first that a sheet has is the one
    *("instagramhandle", "handle", "username", "instagramusername", "instagram", "instagramurl", "account"),
    *("instagramaccount", "profile", "instagramprofile", "profileurl", "ighandle", "igusername", "ig", "user"),
)
EXPORT_AGAIN = 'export the list as CSV (in Excel "CSV UTF-8", in Google Sheets "Comma-separated values")'

USERNAME = re.compile(r"[A-Za-z0-9._]{1,30}")  # Instagram's rule
PROFILE_URL = re.compile(r"(?:https?://)?(?:[\w-]+\.)*instagram\.com/+@?([\w.]+)/*(?:[?#].*)?", re.IGNORECASE)
NOT_PROFILES = {  # what Instagram keeps for itself, and its own address
    *("p", "reel", "reels", "tv", "stories", "explore", "accounts", "direct", "about"),
    *("instagram.com", "www.instagram.com"),
}
MENTION = re.compile(r"(?<![\w.@/])@([\w.]+)(?![\w.@\u0300-\u036f-]|/@)")  # not in an e-mail, nor in another site's URL
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202c\u2060\u2066\u2068\u2069\ufeff"  # marks that copying leaves
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
QUOTED = r'"[^"]*(?:""[^"]*)*"(?!")'
QUOTED_LINE = r'"[^"\r\n]*(?:""[^"\r\n]*)*"(?!")'  # which csv.reader lets other text follow
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # as "surrogateescape" decodes it
NEEDS_QUOTES = re.compile(r'[",;\t]')
CACHE_KEY = re.compile(r'"([A-Za-z0-9._]{1,30})"\s*:\s*(?=\{)')

REFUSAL = re.compile(rb"checkpoint|challenge|feedback|login|please wait", re.IGNORECASE)
WALL_URL = re.compile(r"\b(?:login|challenge|checkpoint)\b", re.IGNORECASE)
HTML = re.compile(rb"<html|<!doctype html", re.IGNORECASE)
LOGIN_PAGE = re.compile(rb"\blog[\s_-]?in|\bsign[\s_-]?in\b|password|challenge|checkpoint", re.IGNORECASE)
GONE_PAGE = re.compile(rb"isn.{1,8}t available|page not found", re.IGNORECASE)

SLOWEST_RATE = 1 / 1440  # one request a day
LARGEST_NUMBER = 1e9  # of seconds (31 years), profiles or rows; sums beyond it are cut for the clock's sake
CACHE_FILE, PROGRESS_FILE, LOCK_FILE = "ig_cache.json", "ig_progress.json", "ig.lock"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_DONE, EXIT_OPEN, EXIT_UNUSABLE, EXIT_SIGNALLED = 0, 1, 2, 128  # 128 + the signal's number, as shells do

log = logging.getLogger("instagram_enrichment")


class UnusableError(Exception):
    """Something the user gave can't be used; the message says what, where and what to do."""


class StoppedError(Exception):
    """The run has to end early, with profiles still open; the message says why."""


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP (its argument) arrived, wherever the program stands."""


# ---- What a profile is ----


class Profile(NamedTuple):
    """What Instagram said about one profile; the fields are the keys of a cache entry, in order."""

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
    def from_user(cls, username: str, user: Mapping[str, Any] | None, now: float) -> Profile:
        """Make a profile of Instagram's `data.user`, or one that is not found of None; `now` is in epoch seconds."""
        fetched_at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(now))
        if user is None:
            return cls.from_entry(username, {"fetched_at": fetched_at, "error": "NOT_FOUND"})
        entry = {**user, "fetched_at": fetched_at, "error": None}
        entry["is_business"] = user.get("is_business_account", user.get("is_business"))
        if isinstance(followers := user.get("edge_followed_by"), dict):
            entry["follower_count"] = followers.get("count")
        return cls.from_entry(username, entry)

    @classmethod
    def from_entry(cls, username: str, entry: Mapping[str, Any]) -> Profile:
        """Make a profile of a cache entry; a field that is missing or of another type becomes None."""
        values: dict[str, Any] = {"username": username.lower()}
        for name, kind in FIELD_TYPES.items():
            value = entry.get(name)
            values[name] = value if type(value) is kind else None
        return cls(**{**values, "error": values["error"] or None})

    def age(self, now: float) -> float:
        """Seconds between `fetched_at` and `now`; infinite where that can't be told."""
        try:
            return now - calendar.timegm(datetime.fromisoformat(self.fetched_at or "").utctimetuple())
        except (ValueError, OverflowError):
            return math.inf


FIELD_TYPES = {
    **dict.fromkeys(("full_name", "biography", "category_name", "fetched_at", "error"), str),
    **dict.fromkeys(("is_business", "is_verified"), bool),
    "follower_count": int,
}


def parse_handle(cell: str) -> str | None:
    """Find the username in a cell that holds `@name`, `name`, a profile's URL, or text with one `@name`.

    Returns it in lower case, or None where the cell holds no usable one.
    """
    text = unicodedata.normalize("NFC", cell).strip().strip(INVISIBLE).strip()
    mentions = {mention.rstrip("./").lower() for mention in MENTION.findall(text)}
    if url := PROFILE_URL.fullmatch(text):
        name = url[1].lower()
    else:
        name = (mentions.pop() if len(mentions) == 1 else text).lower()
    return name if USERNAME.fullmatch(name) and name not in NOT_PROFILES else None


def clean(text: str) -> str:
    """Make a stranger's text fit for one cell: one line, at most 500 characters, never a formula."""
    if not text.isprintable():
        text = CONTROL.sub(" ", text.encode("utf-8", "replace").decode())
    line = " ".join(text.split())
    apostrophe = "'" if line.startswith(FORMULA_STARTS) else ""
    return (apostrophe + line)[:CELL_CHARACTERS].rstrip()


# ---- How fast we may ask ----


class TokenBucket:
    """A token bucket with room for one token, so that its state is the moment when that token is ripe.

    `clock` gives seconds that never go back, `sleep` takes seconds; the first token is ripe in `full_in` seconds.
    """

    def __init__(
        self, per_minute: float, clock: Callable[[], float], sleep: Callable[[float], None], full_in: float = 0.0
    ) -> None:
        self._interval = 60 / per_minute
        self._clock, self._sleep = clock, sleep
        self._ripe_at = clock() + max(full_in, 0.0)

    def acquire(self) -> None:
        """Take the token when it is ripe, then let a random 2 to 4 seconds pass while the next one ripens."""
        if (missing := self._ripe_at - self._clock()) > 0:
            self._sleep(missing)
        self._ripe_at = max(self._ripe_at, self._clock()) + self._interval
        self._sleep(random.uniform(*JITTER))

    def hold(self, seconds: float) -> None:
        """Let the next token be ripe in so many seconds at the earliest."""
        self._ripe_at = max(self._ripe_at, self._clock() + seconds)


def seconds_per_request(per_minute: float) -> float:
    """The mean seconds between two requests: the longer of refill and jitter, averaged over the jitter."""
    low, high = JITTER
    refill = min(max(60 / per_minute, low), high)
    mean = (refill * (refill - low) + (high**2 - refill**2) / 2) / (high - low)
    return max(mean, 60 / per_minute)


class Patience:
    """Counts refusals in a row, and says when to pause, for how long, and when to give up.

    A refusal is a rate limit, a block, or a whole profile left open by network trouble; five HTML pages in a row are
    five at once. Five make a pause `due`, and then so does each one more, every pause twice as long. One real answer
    resets all of it.
    """

    def __init__(self, first_pause: float, clock: Callable[[], float]) -> None:
        self._first_pause = max(first_pause, BLOCK_WAIT)
        self._clock = clock
        self.due = threading.Event()  # an event, because tenacity can stop at one
        self.real_answer()

    def real_answer(self) -> None:
        """Instagram said something about a profile: all is well."""
        self.due.clear()
        self._strikes = 0
        self._next_pause = self._first_pause
        self._give_up_at = math.inf

    def strike(self, at_least: int = 1) -> None:
        """Count one refusal, or as many as it takes to make `at_least` in a row."""
        self._strikes = max(self._strikes + 1, at_least)
        self._give_up_at = min(self._give_up_at, self._clock() + GIVE_UP_AFTER)
        if self.is_alarmed():
            self.due.set()

    def is_alarmed(self) -> bool:
        """Whether there were five refusals in a row, so that one more is enough."""
        return self._strikes >= STRIKES

    def is_wall(self) -> bool:
        """Whether refusals go on after a pause, or a wall was confirmed."""
        return self._strikes > STRIKES

    def start_pause(self) -> float:
        """Begin the pause that is due; returns its length in seconds."""
        self.due.clear()
        seconds = max(0.0, min(self._next_pause, self._give_up_at - self._clock()))
        self._next_pause = max(min(self._next_pause * 2, LONGEST_WAIT), self._first_pause)
        return seconds

    def is_exhausted(self) -> bool:
        """Whether 24 hours have passed since the first of the refusals (to the second)."""
        return self._clock() > self._give_up_at - 1


# ---- Asking, and understanding the answer ----


class Trouble(Exception):
    """No answer about the profile; `retry_after` is the wait that Instagram asked for, in seconds.

    By itself an answer that nobody foresaw; mostly one of its three kinds.
    """

    retry_after = 0.0


class Blocked(Trouble):
    """An answer about us: a rate limit, a login wall, a challenge."""


class NetworkTrouble(Trouble):
    """An answer about the network or the server, or none at all."""


class HtmlPage(Trouble):
    """A page where data should be: a profile that is gone, or a wall. One alone can't tell."""


def understand(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Say what a response means.

    Returns Instagram's `data.user` object, or None where there is no such profile. Raises the `Trouble` that fits
    where the answer is not about the profile.
    """
    answer = parse_json(body)
    message = answer.get("message") if isinstance(answer, dict) else None
    said = f": {printable(message)}" if isinstance(message, str) else ""
    location = headers.get("Location", "")
    if status == 404:
        return None
    if status in (401, 429):
        raise Blocked(f"rate limited ({status}){said}")
    if status == 403 or (status == 400 and REFUSAL.search(body)):
        raise Blocked(f"blocked ({status}){said}")
    if 300 <= status < 400 and WALL_URL.search(location):
        raise Blocked(f"blocked (redirect to {printable(location)})")
    if 500 <= status < 600:
        raise NetworkTrouble(f"server error {status}")
    if status != 200:
        raise Trouble(f"unexpected status {status}{said}")
    if answer is None:
        raise understand_page(headers, body)
    if isinstance(answer, dict):
        if answer.get("status") == "fail" or REFUSAL.search(said.encode()):
            raise Blocked(f"blocked (200, status fail){said}")
        match answer.get("data"):
            case {"user": dict() | None as user}:
                return user
    raise NetworkTrouble("JSON of an unknown shape")


def understand_page(headers: Mapping[str, str], body: bytes) -> Trouble:
    """Say what a 200 response without JSON means."""
    tagged = "text/html" in headers.get("Content-Type", "").lower() and body.lstrip().startswith(b"<")
    if not tagged and not HTML.search(body[:1024]):
        return NetworkTrouble("an answer that is not JSON")
    if LOGIN_PAGE.search(body) and not GONE_PAGE.search(body):
        return Blocked("blocked (login page)")
    return HtmlPage("a page instead of data")


def parse_json(body: bytes) -> Any:
    """Parse JSON; None where it isn't any."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def retry_after_seconds(value: str, now: float) -> float:
    """Read a Retry-After header (RFC 9110: seconds, or a date); 0 where it says nothing, 4 hours at most."""
    try:
        seconds = calendar.timegm(email.utils.parsedate_to_datetime(value).utctimetuple()) - now
    except (ValueError, OverflowError):
        seconds = float(value) if value.isdecimal() else 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)


class AnonymousSession(requests.Session):
    """A session without cookies or ~/.netrc, to which a redirect is an answer like any other."""

    def __init__(self) -> None:
        super().__init__()
        self.headers.update(HEADERS)
        self.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        self.auth = lambda request: request

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: even if not told to follow, `requests` would read the whole body of a redirect, however long."""


class Instagram:
    """Asks Instagram, one request at a time. `reached` says whether any response has come back yet."""

    def __init__(self) -> None:
        self._session = AnonymousSession()
        self.reached = False

    def ask(self, username: str) -> dict[str, Any] | None:
        """Send one request; returns and raises as `understand` does.

        The request has a thread of its own, so that an answer that drips, even in its head, can be left behind
        after 60 s, and a signal is served at once.
        """
        answers: list[tuple[int, Mapping[str, str], bytes] | Exception] = []
        abandoned = threading.Event()
        request = threading.Thread(target=self._request, args=(username, answers, abandoned), daemon=True)
        request.start()
        deadline = time.monotonic() + ANSWER_TIMEOUT
        for _ in range(round(ANSWER_TIMEOUT / POLL_SECONDS)):
            request.join(POLL_SECONDS)
            if not request.is_alive() or time.monotonic() > deadline:
                break
        if not answers:
            abandoned.set()
            raise NetworkTrouble(f"no whole answer within {ANSWER_TIMEOUT:.0f} s")
        if isinstance(answer := answers[0], Exception):
            wrapped = answer.args[0] if answer.args else None  # requests wraps urllib3, which has the reason
            reason = str(getattr(wrapped, "reason", answer)).rsplit("): ", 1)[-1]
            raise NetworkTrouble(printable(f"{type(answer).__name__}: {reason}"))
        status, headers, body = answer
        log.debug("@%s: status %d, %d bytes", username, status, len(body))
        try:
            return understand(status, headers, body)
        except Trouble as trouble:
            trouble.retry_after = retry_after_seconds(headers.get("Retry-After", ""), time.time())
            raise

    def _request(self, username: str, answers: list[Any], abandoned: threading.Event) -> None:
        parameters: dict[str, Any] = {"params": {"username": username}, "timeout": SOCKET_TIMEOUT, "stream": True}
        try:
            with self._session.get(API_URL, allow_redirects=False, **parameters) as response:
                self.reached = True
                body = bytearray()
                try:
                    for piece in response.iter_content(4096):
                        body += piece
                        if len(body) > ANSWER_BYTES or abandoned.is_set():
                            raise ValueError("an answer that never ends")
                except Exception:
                    if response.status_code not in (401, 403, 429):  # these say it all without a body
                        raise
                answers.append((response.status_code, response.headers, bytes(body)))
        except Exception as error:  # noqa: BLE001 - whatever a broken answer makes the HTTP stack raise, go on
            answers.append(error)


# ---- Remembering ----


def part_of(path: Path) -> Path:
    """Where a file is written before it is moved into its place."""
    return path.with_name(f".{path.name}.ig-part")


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file beside `path`, sync it and move it there, so that a whole file is in place at every moment."""
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def spare_name(path: Path, suffix: str) -> Path:
    """The first of `path.suffix`, `path.suffix1`, `path.suffix2` … that is free."""
    names = (path.with_name(f"{path.name}.{suffix}{count or ''}") for count in itertools.count())
    return next(name for name in names if not name.exists())


class Cache:
    """The answers so far: username -> Profile in memory, and one JSON object with an entry a line on disk.

    Its methods raise OSError where the file can't be read or written; what it held stays whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.profiles: dict[str, Profile] = {}
        if path.exists():
            self._load()
        else:
            self._write_all()

    def _load(self) -> None:
        """Read every whole entry there is, whoever wrote the file; what is not just as `_write_all` does it is kept."""
        text = self._path.read_bytes().decode("utf-8", "surrogateescape")
        parse = json.JSONDecoder().raw_decode
        is_ours, done, position = text.isascii(), 0, 0
        while found := CACHE_KEY.search(text, position):
            position = found.end()
            with contextlib.suppress(ValueError, RecursionError):
                entry, position = parse(text, position)
                is_ours &= text[done : found.start()] == (",\n" if self.profiles else "{\n")
                done = position
                if is_answer(entry) and not NOT_UTF8.search(text, found.start(), position):
                    self.profiles[found[1].lower()] = Profile.from_entry(found[1], entry)
        is_ours &= text[done:] == ("\n}\n" if self.profiles else "{\n}\n")
        if is_ours and text.count("\n") == len(self.profiles) + 2:
            self._end = len(text) - len(self._closing())
            return
        aside = spare_name(self._path, "damaged")
        write_whole(aside, [self._path.read_bytes()])
        self._write_all()
        log.warning(
            "%s is damaged or another tool's: %d whole entries survive, and the file as it was is kept as %s",
            *(printable(str(self._path)), len(self.profiles), printable(str(aside))),
        )

    def add(self, profile: Profile) -> None:
        """Remember a profile: its line is written over the closing brace in one write, and synced."""
        if not self._path.exists():
            self._write_all()
        line = (b",\n" if self.profiles else b"") + as_line(profile)
        with self._path.open("r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size != self._end + len(self._closing()):
                raise OSError(errno.EBUSY, "was changed by another program", str(self._path))
            file.seek(self._end)
            try:
                if file.write(line + b"\n}\n") < len(line) + 3:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError as error:
                file.seek(self._end)
                file.write(self._closing())
                file.truncate(size)
                error.filename = str(self._path)
                raise
        self._end += len(line)
        self.profiles[profile.username] = profile

    def start_over(self) -> Path:
        """Set the file aside as `.bak` (an older `.bak` gets a free name), start empty; returns where it is now."""
        backup = self._path.with_name(self._path.name + ".bak")
        if backup.exists():
            backup.replace(spare_name(self._path, "bak"))
        self._path.replace(backup)
        self.profiles = {}
        self._write_all()
        return backup

    def _closing(self) -> bytes:
        return b"\n}\n" if self.profiles else b"}\n"

    def _write_all(self) -> None:
        data = b"{\n" + b",\n".join(map(as_line, self.profiles.values())) + self._closing()
        write_whole(self._path, [data])
        self._end = len(data) - len(self._closing())


def as_line(profile: Profile) -> bytes:
    """The cache entry of a profile: ASCII, so that a torn file never ends within a character."""
    return f"{json.dumps(profile.username)}: {json.dumps(profile._asdict())}".encode("ascii")


def is_answer(entry: Mapping[str, Any]) -> bool:
    """Whether a cache entry, whichever tool wrote it, is an answer about a profile, not about us or the network."""
    if entry.get("error"):
        return bool(entry["error"] == "NOT_FOUND")
    return "biography" in entry and all(isinstance(entry.get(name), str | None) for name in COLUMNS.values())


def read_progress(path: Path, rows: int) -> int:
    """How many rows from the top are done; 0 where the file is missing, unreadable or out of range."""
    try:
        state = parse_json(path.read_bytes())
    except OSError:
        return 0
    done = state.get("last_processed_index") if isinstance(state, dict) else None
    return done if type(done) is int and 0 <= done <= rows else 0


def write_progress(path: Path, rows_done: int) -> None:
    """Move a new position into place. Raises OSError."""
    write_whole(path, [json.dumps({"last_processed_index": rows_done}).encode(), b"\n"])


def lock(folder: Path) -> io.IOBase:
    """Hold a state folder until the returned file is closed or the process ends, however it ends.

    Raises UnusableError where another run holds it, OSError where the folder can't be used.
    """
    file = (folder / LOCK_FILE).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        folder_name = printable(str(folder))
        raise UnusableError(f"another run is using {folder_name}: wait until it ends") from None
    return file


# ---- The CSV, in and out ----


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
            blank = tuple(title for title, index in self._columns.items() if not cells[index].strip())
            self.rows.append(Row(number, raw, cells[column], parse_handle(cells[column]), blank))
        self._lines.clear()

    def gains(self, row: Row, profiles: Mapping[str, Profile]) -> dict[str, str]:
        """What `profiles` (username -> Profile) adds to `row`: title of the column -> text of the cell."""
        profile = profiles.get(row.username or "")
        if not row.blank or profile is None or profile.error is not None:
            return {}
        texts = {title: clean(getattr(profile, COLUMNS[title]) or "") for title in row.blank}
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
            text = data.decode("utf-8")
        except IsADirectoryError:
            self._refuse("is a folder: give the path of a CSV file")
        except OSError as error:
            self._refuse(f"can't be read ({error.strerror}): check the path")
        except UnicodeDecodeError as error:
            line = 1 + data.count(b"\n", 0, error.start)
            self._refuse(f"is not UTF-8 at byte {error.start} (line {line}): {EXPORT_AGAIN}")
        if (at := text.find("\0")) >= 0:
            line = 1 + text.count("\n", 0, at)
            self._refuse(f"has a NUL byte at byte {len(text[:at].encode())} (line {line}): {EXPORT_AGAIN}")
        return text

    def _read_header(self, wanted: str | None) -> None:
        """Take the header, with the blank lines above it, off the lines, and tell the delimiter by it."""
        self._delimiter = max(",;\t", key=lambda mark: self._fitness(mark, wanted))
        reader = csv.reader(self._lines, delimiter=self._delimiter)
        self.header = next(filter(None, reader), [])
        if not any(self.header):
            self._refuse("is empty: its first row has to name the columns")
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
        keys = [header_key(name) for name in self.header]
        if wanted in self.header:
            return self.header.index(wanted)
        for name in HANDLE_HEADERS if wanted is None else [header_key(wanted)]:
            if name and name in keys:
                return keys.index(name)
        if wanted is None:
            rows = [cells for _, _, cells in self._records()]
            for column in range(len(keys)):
                addresses = sum(is_address(cells[column]) for cells in rows)
                if 2 * addresses > len(rows) and column not in self._columns.values():
                    return column
        what = "no column of Instagram handles" if wanted is None else f"no column '{printable(wanted)}'"
        columns = ", ".join(f"'{printable(name)}'" for name in self.header)
        self._refuse(f"has {what}, only {columns}: name the right one with --username-column")

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


# ---- The row loop ----


class Enrichment:
    """One run over the sheet: asks for what is missing, remembers it, writes checkpoints, and pauses in time.

    `ages` are the seconds since each cached profile was fetched: what was fetched just now, by the run before, still
    counts in the bucket and in the batch.
    """

    def __init__(self, sheet: Sheet, cache: Cache, args: argparse.Namespace, ages: Sequence[float]) -> None:
        self.sheet, self.cache, self.args = sheet, cache, args
        self.rows = sheet.rows[: args.limit]
        self.usernames = {row.username for row in self.rows if row.username}
        self.asked: set[str] = set()
        self.open: dict[str, Trouble] = {}  # username -> why it is still open, of those asked
        self._progress = args.cache_dir / PROGRESS_FILE
        self.position = read_progress(self._progress, len(sheet.rows))
        self._second_pass = False
        self._known = KNOWN_PROFILE
        self._pages: list[str] = []  # the profiles answered with a page since the last real answer
        self._calm = False  # whether nothing but pages came since the last real answer
        self._instagram = Instagram()
        self._patience = Patience(args.batch_pause, lambda: time.monotonic())
        self._in_batch = min(sum(0 <= age < args.batch_pause for age in ages), args.batch_size)
        full_in = 60 / args.rate_limit - min((age for age in ages if age >= 0), default=math.inf)
        self._bucket = TokenBucket(args.rate_limit, lambda: time.monotonic(), wait, full_in)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((Blocked, NetworkTrouble)),
            stop=tenacity.stop_after_attempt(1 + MAX_RETRIES) | tenacity.stop_when_event_set(self._patience.due),
            wait=wait_before_retry,
            before_sleep=tell_retry,
            sleep=wait,
            reraise=True,
        )

    def unsettled(self, start: int = 0) -> list[tuple[int, str]]:
        """The profiles still to be asked for in the rows from `start` on: index of the first row, and username."""
        first: dict[str, int] = {}
        for index, row in enumerate(self.rows[start:], start):
            if row.username and row.blank and row.username not in self.cache.profiles:
                first.setdefault(row.username, index)
        return [(index, username) for username, index in first.items()]

    def eta(self, remaining: int) -> float:
        """The seconds that `remaining` more profiles take, with the batch pauses that are still to come."""
        pauses = (self._in_batch + remaining - 1) // self.args.batch_size if remaining else 0
        seconds: float = remaining * seconds_per_request(self.args.rate_limit) + pauses * self.args.batch_pause
        return seconds

    def checkpoint(self) -> None:
        """Write the output: the input plus everything in the cache. Raises OSError."""
        write_whole(self.args.output, self.sheet.render(self.cache.profiles))

    def run(self) -> None:
        """Go through the list, then once more through what is still open.

        Raises StoppedError where going on makes no sense, and OSError where something can't be saved.
        """
        below = self.unsettled(self.position)
        self._ask_for_all(below, later=len(self.unsettled()) - len(below))
        self._second_pass = True
        if leftovers := self.unsettled():
            log.info("Second pass, through what is still open: %d", len(leftovers))
            pages = {username for username, trouble in self.open.items() if isinstance(trouble, HtmlPage)}
            refused = [(index, username) for index, username in leftovers if username not in pages]
            # The pages first: beside a refusal, none can be believed.
            if pages and not self._calm and not self._patience.is_wall():
                self._probe()
            self._ask_for_all([item for item in leftovers if item[1] in pages], later=len(refused))
            self._ask_for_all(refused, later=0)
        if self.asked:
            self.checkpoint()
        if len(self.rows) == len(self.sheet.rows):
            self._progress.unlink(missing_ok=True)
        elif self.position < len(self.rows):
            write_progress(self._progress, len(self.rows))

    def _ask_for_all(self, profiles: Sequence[tuple[int, str]], later: int) -> None:
        """Ask for one profile after the other; `later` more will follow."""
        for count, (index, username) in enumerate(profiles, 1):
            self._hold_back()
            self.asked.add(username)
            found = self._settle(username)
            self._in_batch += 1
            if not self._second_pass:
                self.position = index + 1
                write_progress(self._progress, self.position)
            eta = self.eta(len(profiles) - count + later + (0 if self._second_pass else len(self.open)))
            left = f"{duration(eta)} left, done at {clock_in(eta)}"
            log.info("[%d/%d] @%s: %s | %s", index + 1, len(self.rows), username, found, left)
        if self._pages and not self._patience.is_wall():
            self._probe()

    def _hold_back(self) -> None:
        """Pause before the next profile, where refusals or a full batch ask for it."""
        if self._patience.due.is_set() and not self._is_false_alarm():
            self._pause(self._patience.start_pause(), "Refused too often in a row")
            if self._patience.is_exhausted():
                raise StoppedError("24 hours without one answer about a profile: wait a day before the next run")
        elif self.args.batch_pause and self._in_batch >= self.args.batch_size:
            self._pause(self.args.batch_pause, f"{self._in_batch} profiles asked, the batch is full")

    def _pause(self, seconds: float, why: str) -> None:
        self._pages = []  # left open: what comes after a pause says nothing of what was before it
        self.checkpoint()
        log.info("%s: saved, pausing %s, until %s", why, duration(seconds), clock_in(seconds))
        wait(seconds)
        self._in_batch = 0

    def _settle(self, username: str) -> str:
        """Ask for one profile, retrying as far as that makes sense; returns what came of it, in words."""
        try:
            user: dict[str, Any] | None = self._retrying(self._request, username)
        except Trouble as trouble:
            return self._leave_open(username, trouble)
        profile = Profile.from_user(username, user, time.time())
        self._remember(profile)
        self._real_answer()
        if user is None:
            return "not found"
        self._known = username
        category, biography = clean(profile.category_name or ""), clean(profile.biography or "")
        bio = f"bio of {len(biography)} characters" if biography else "no bio"
        return f"{printable(category) or 'no category'}, {bio}"

    def _request(self, username: str) -> dict[str, Any] | None:
        """Send one request, when it may be sent; returns and raises as `understand` does."""
        self._bucket.acquire()
        try:
            return self._instagram.ask(username)
        except Trouble as trouble:
            if trouble.retry_after > BLOCK_WAIT:
                asked_for = trouble.retry_after
                log.info("Instagram asks us to wait %s, until %s", duration(asked_for), clock_in(asked_for))
            self._bucket.hold(trouble.retry_after)
            if isinstance(trouble, Blocked):
                self._patience.strike()
                self._doubt_pages()
            raise

    def _leave_open(self, username: str, trouble: Trouble) -> str:
        if not self._instagram.reached:
            raise StoppedError(f"Instagram can't be reached ({trouble}): check the connection and the proxy settings")
        self.open[username] = trouble
        if isinstance(trouble, HtmlPage):
            self._pages.append(username)
            if len(self._pages) >= STRIKES or self._patience.is_alarmed():
                self._patience.strike(at_least=STRIKES)
        else:
            self._doubt_pages()
        if isinstance(trouble, NetworkTrouble):
            self._patience.strike()
        return f"left open: {trouble}"

    def _remember(self, profile: Profile) -> None:
        self.cache.add(profile)
        self.open.pop(profile.username, None)

    # A page instead of data means a profile that is gone, or a wall. It is believed between two real answers with
    # at most five pages and nothing else between them, the second of which may be that of a profile known to exist.
    # Any other page leaves its profile open, for the second pass.

    def _real_answer(self) -> None:
        for username in self._pages if self._calm else []:
            self._remember(Profile.from_user(username, None, time.time()))
            log.info("@%s: not found (a page instead of data, while others are answered)", username)
        self._pages, self._calm = [], True
        self._patience.real_answer()

    def _doubt_pages(self) -> None:
        self._pages, self._calm = [], False

    def _is_false_alarm(self) -> bool:
        """Whether what looks like a wall is just five profiles in a row that are gone, or closed to us.

        In the second pass, too, where all were refused before, a profile known to exist tells more than five others.
        """
        suspicious = len(self._pages) >= STRIKES or self._second_pass
        return suspicious and not self._patience.is_wall() and self._probe()

    def _probe(self) -> bool:
        """Ask once for a profile that is known to exist; returns whether there was an answer."""
        log.info("Asking for @%s, which exists, to tell a wall from profiles that are gone", self._known)
        try:
            if self._request(self._known) is None:
                raise HtmlPage("not found")
        except Trouble as trouble:
            log.info("@%s: %s; so it is a wall", self._known, trouble)
            self._doubt_pages()
            self._patience.strike(at_least=STRIKES + 1)
            return False
        self._real_answer()
        return True


def wait_before_retry(state: tenacity.RetryCallState) -> float:
    """The seconds before a retry: a minute after a refusal, a backoff after other trouble."""
    trouble = state.outcome.exception() if state.outcome else None
    seconds: float = BLOCK_WAIT if isinstance(trouble, Blocked) else BACKOFF(state)
    return seconds


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
    now = datetime.fromtimestamp(time.time())
    then = now + timedelta(seconds=min(seconds, LARGEST_NUMBER))
    return f"{then:%H:%M:%S}" if then.date() == now.date() else f"{then:%a %d %b %H:%M}"


def wait(seconds: float) -> None:
    """Sleep; on a terminal, count the seconds down in place."""
    if sys.stderr is None or not sys.stderr.isatty():
        time.sleep(seconds)
        return
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0:
            show(f"\r\033[K… {timedelta(seconds=math.ceil(left))} left")
            time.sleep(min(left, 1.0))
    finally:
        show("\r\033[K")


def show(text: str) -> None:
    """Write to the terminal, if it is still there."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def tell_retry(state: tenacity.RetryCallState) -> None:
    """Log why a retry waits, and how long."""
    trouble = state.outcome.exception() if state.outcome else None
    pause = f"try {state.attempt_number + 1} of {1 + MAX_RETRIES} in {duration(state.upcoming_sleep)}"
    log.info("@%s: %s; %s, at %s", state.args[0], trouble, pause, clock_in(state.upcoming_sleep))


def tell_plan(run: Enrichment) -> None:
    """Log what the run is going to do, and how long that takes."""
    unusable: dict[str, list[str]] = {}
    for row in run.rows:
        if row.username is None:
            unusable.setdefault(printable(row.handle_cell), []).append(str(row.number))
    for cell, numbers in unusable.items():
        log.info("No usable handle: '%s' in row %s", cell, ", ".join(numbers))
    profiles, to_ask = len(run.usernames), len(run.unsettled())
    cached = len(run.usernames & run.cache.profiles.keys())
    log.info(
        "Plan: %d rows; %d profiles in column '%s': %d already cached, %d complete, %d to be asked; without a handle: %d",
        *(len(run.rows), profiles, printable(run.sheet.handle_header), cached),
        *(profiles - cached - to_ask, to_ask, sum(map(len, unusable.values()))),
    )
    if to_ask:
        args, seconds = run.args, run.eta(to_ask)
        pauses = f"with pauses of {duration(args.batch_pause)} between batches of {args.batch_size}"
        log.info(
            "At %g a minute, %s: about %s, done at %s",
            *(args.rate_limit, pauses if args.batch_pause else "without pauses", duration(seconds), clock_in(seconds)),
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
    log.info(
        "%d asked, %d from cache, %d not found, %d without handle, %d still open; took %s",
        *(len(run.asked), from_cache, sum(cached[name].error is not None for name in run.usernames & cached.keys())),
        *(sum(row.username is None for row in run.rows), len(unsettled), duration(seconds)),
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
    text = "max requests per minute, 10 is recommended (default: 20)"
    add("-r", "--rate-limit", type=rate, default=20.0, metavar="N", help=text)
    text = "directory for cache and progress files (default: .tmp)"
    add("--cache-dir", type=Path, default=Path(".tmp"), metavar="DIR", help=text)
    text = "re-fetch all profiles, ignoring cache and progress (default: off)"
    add("-f", "--force", action="store_true", help=text)
    text = "work on the first N rows only, for testing (default: all)"
    add("--limit", type=count, metavar="N", help=text)
    add("-v", "--verbose", action="store_true", help="debug logging (default: off)")
    text = "profiles to process per batch (default: 100)"
    add("-b", "--batch-size", type=count, default=100, metavar="N", help=text)
    text = "seconds to pause between batches, 0 for none (default: 1800)"
    add("--batch-pause", type=pause, default=1800.0, metavar="SECONDS", help=text)
    text = "header of the column that holds the handle (default: found by itself)"
    add("--username-column", metavar="HEADER", help=text)
    return parser.parse_args(argv)


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
    started = time.monotonic()
    sheet = Sheet(args.input, args.username_column)
    try:
        check_output(args)
        args.cache_dir.mkdir(parents=True, exist_ok=True)
        with lock(args.cache_dir):
            cache = Cache(args.cache_dir / CACHE_FILE)
            ages = [profile.age(time.time()) for profile in cache.profiles.values()]
            write_whole(args.output, sheet.render(cache.profiles))
            if args.force:
                (args.cache_dir / PROGRESS_FILE).unlink(missing_ok=True)
                if cache.profiles:
                    backup = cache.start_over()
                    log.info(
                        "--force: all is fetched anew, into an output without the old answers; they are in %s",
                        printable(str(backup)),
                    )
                log.info("--force: if this run stops half-way, go on with the same command WITHOUT --force")
            return finish(Enrichment(sheet, cache, args, ages), started)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise UnusableError(f"{tell_os_error(error)}: give another path") from error
        log.error("%s: free some space and run the same command again", tell_os_error(error))
        return EXIT_OPEN


def finish(run: Enrichment, started: float) -> int:
    """Run to the end, or as far as it goes; save and tell what there is. Returns the exit code."""
    again = "run the same command again" + (", but WITHOUT --force" if run.args.force else "")
    from_cache = len(run.usernames & run.cache.profiles.keys())
    code = EXIT_DONE
    tell_plan(run)
    try:
        run.run()
    except (Interrupted, StoppedError, OSError) as reason:
        code, why = EXIT_OPEN, str(reason)
        if isinstance(reason, Interrupted):
            code, why = EXIT_SIGNALLED + reason.args[0], f"Interrupted by {reason.args[0].name}"
        elif isinstance(reason, OSError):
            why = f"Could not save ({tell_os_error(reason)})"
        saved, rows = save(run), len(run.rows)
        done = next((index for index, _ in run.unsettled(run.position)), rows)
        log.error("%s. Stopped after %d of %d rows, %s; to go on, %s", why, done, rows, saved, again)
    tell_result(run, from_cache, time.monotonic() - started)
    if code == EXIT_DONE and run.unsettled():
        log.error("Some profiles are still open: %s", again)
        return EXIT_OPEN
    return code


def save(run: Enrichment) -> str:
    """Write the last checkpoint of a run that stops early; returns what became of it, in words."""
    try:
        run.checkpoint()
    except OSError:
        return "every answer so far is in the cache, but not in the output"
    return "everything so far is saved"


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
