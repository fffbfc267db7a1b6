"""A stand-in for Instagram and its official API: a real HTTP server on loopback.

By default every profile that it was given is answered with JSON, and any other with 404; the
official API, sent the right `token`, shows those of them that are professional accounts. What it
does instead is set by name (`behaviour`), for the next few requests (`burst`), for a stretch of
time (`blocked_until`), or by whoever looks at each request (`watch`).

The official API also tells the Pages of the token (`pages`), unless `set_up_answer` is another
answer; such requests stand in `set_up_log`. It may allow so many calls in a rolling hour
(`allowance`).
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Union
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, str], bytes]  # status, headers, body
Chosen = Union[str, Answer]  # by its name, or as it is

HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
SCRIPT = {"Content-Type": "application/x-javascript; charset=utf-8"}


def html(title: str) -> bytes:
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body></body></html>".encode()


PAGE, LOGIN_PAGE = html("Instagram"), html("Login")


def page(body: bytes) -> Answer:
    return 200, HTML, body


def redirect(target: str) -> Answer:
    return 302, {"Location": target}, b""


def data(status: int, value: object) -> Answer:
    return status, JSON, json.dumps(value).encode()


def failed(status: int, message: str, **more: object) -> Answer:
    return data(status, {"message": message, **more, "status": "fail"})


def null(**more: object) -> Answer:
    return data(200, {"data": {"user": None}, **more, "status": "ok"})


def user(name: str) -> dict[str, Any]:
    """An invented profile in the shape of Instagram's `data.user`."""
    return {
        "username": name,
        "full_name": name.title(),
        "biography": f"The biography of {name}",
        "category_name": "Blogger",
        "edge_followed_by": {"count": 1000},
        "is_business_account": True,
        "is_verified": False,
    }


def cache_entry(name: str, **changes: Any) -> dict[str, Any]:
    """The same profile as the program caches it: an entry with the nine keys of the format."""
    entry = {
        "username": name,
        "full_name": name.title(),
        "biography": f"The biography of {name}",
        "category_name": "Blogger",
        "follower_count": 1000,
        "is_business": True,
        "is_verified": False,
        "fetched_at": "2026-01-22T10:30:00+00:00",
        "error": None,
    }
    return {**entry, **changes}


WAIT = "Please wait a few minutes before you try again."
ASSET = "Asset asset://laser.provider/ig_business_category_subvertical has been deleted."
ADULTS = "You must be 18 years old or over to see this profile"
ANSWERS: dict[str, Answer] = {
    # Blocked
    "401": failed(401, WAIT, require_login=True, igweb_rollout=True),
    "401 without a message": (401, {}, b""),
    "429": failed(429, "rate limited"),
    "429 html": (429, HTML, PAGE),
    "403": failed(403, "forbidden"),
    "400 checkpoint": data(400, {"message": "checkpoint_required"}),
    "400 challenge": data(400, {"message": "challenge_required"}),
    "400 feedback": data(400, {"message": "feedback_required"}),
    "400 login": (400, HTML, b"login required"),
    "400 problem": failed(400, "Sorry, there was a problem with your request."),
    "400 try later": failed(400, "Try Again Later", spam=True),
    "redirect to login": redirect("https://www.instagram.com/accounts/login/?next=/"),
    "redirect to challenge": redirect("/challenge/?next=/"),
    "redirect to suspended": redirect("/accounts/suspended/?next=%2F"),
    "redirect to front page": redirect("https://www.instagram.com/"),
    "login page": page(LOGIN_PAGE),
    "200 status fail": failed(200, "something"),
    "200 for (;;);": (200, SCRIPT, b'for (;;);{"__ar":1,"error":1357004,"errorSummary":"Sorry"}'),
    "200 for (;;); redirect": (
        *(200, SCRIPT),
        b'for (;;);{"__ar":1,"payload":null,"redirect":"\\/challenge\\/?next=\\u00252F"}',
    ),
    "404 please wait": data(404, {"message": WAIT}),
    "404 require_login": data(404, {"require_login": True}),
    "null errors": null(errors=[{"message": "execution error"}]),
    "null require_login": null(require_login=True),
    # Withheld
    "asset deleted": failed(400, f"{ASSET} You cannot use this schema"),
    "geoblock": failed(400, "geoblock_required"),
    "restricted page": page(html("Restricted profile &bull; Instagram")),
    "restricted json": data(400, {"title": "Restricted profile", "description": ADULTS}),
    "status ok": data(200, {"status": "ok"}),
    # Not found
    "404": data(404, {}),
    "null": null(),
    "page": page(PAGE),
    # Network errors
    "500": (500, HTML, PAGE),
    "503": (503, {}, b""),
    "went wrong": failed(200, "We're sorry, but something went wrong."),
    "not json": (200, JSON, b'{"data": {"user": {"biogr'),
    "empty": (200, JSON, b""),
    # Unexpected responses
    "list": data(200, []),
    "no user": data(200, {"data": {}, "status": "ok"}),
    "empty user": data(200, {"data": {"user": {}}, "status": "ok"}),
    "somebody else": data(200, {"data": {"user": user("somebody.else")}, "status": "ok"}),
    "no biography": data(200, {"data": {"user": {"full_name": "X", "id": "1"}}, "status": "ok"}),
    "400": (400, {}, b""),
    "400 useragent": failed(400, "useragent mismatch"),
    "400 SecFetch": (400, {"Content-Type": "text/plain"}, b"SecFetch Policy violation."),
    "418": data(418, {"message": "a teapot"}),
    "redirect elsewhere": redirect("https://www.instagram.com/unsupported/"),
}
# What the official API shows, though the web address doesn't.
WITHHELD = ("asset deleted", "geoblock", "restricted page", "restricted json", "status ok")


def graph_error(status: int, code: int, message: str = "", **more: object) -> Answer:
    """An error as the Graph API reports it."""
    error = {"message": message or f"(#{code}) something", "type": "OAuthException", "code": code}
    return data(status, {"error": {**error, "fbtrace_id": "Aq1Xb2Yc3", **more}})


GRAPH_FIELDS = re.compile(
    r"business_discovery\.username\(([\w.]+)\)\{username,name,biography,followers_count\}"
)
ACCOUNT_ID = "17841400000000000"
INVALID = "Error validating access token: "
LOG_IN = "You cannot access the app till you log in to www.facebook.com and follow the instructions"
REACTIVATE = "To reactivate, go to ..."
PARSE = "Cannot parse access token"
NO_OBJECT = f"Object with ID '{ACCOUNT_ID}' does not exist"
NO_FIELD = "nonexisting field (business_discovery) on node type (Page)"
GRAPH_ANSWERS: dict[str, Answer] = {
    # Limits
    "4": graph_error(403, 4, "(#4) Application request limit reached", is_transient=True),
    "17": graph_error(400, 17, "(#17) User request limit reached"),
    "32": graph_error(403, 32, "(#32) Page request limit reached"),
    "341": graph_error(400, 341, "(#341) Feed action request limit reached"),
    "368": graph_error(400, 368, "The action attempted has been deemed abusive"),
    "613": graph_error(400, 613, "(#613) Calls to this api have exceeded the rate limit."),
    "80000": graph_error(400, 80000),
    "80002": graph_error(400, 80002, "(#80002) There have been too many calls to this account."),
    "80014": graph_error(400, 80014),
    "graph 429": (429, {}, b""),
    # The server or the network
    "-1": graph_error(400, -1, "Fatal"),
    "1": graph_error(400, 1, "An unknown error occurred"),
    "2": graph_error(400, 2, "Service temporarily unavailable"),
    "transient": graph_error(400, 9999, is_transient=True),
    "transient 190": graph_error(400, 190, "Please retry your request later.", is_transient=True),
    "500 with a code": graph_error(500, 100, "(#100) Internal error"),
    "graph 500": (500, {}, b"<html>"),
    "graph not json": (200, {}, b'{"business_dis'),
    "graph page": page(PAGE),
    "401 of a proxy": (401, HTML, b"<html>Authorize at the portal"),
    # The access token
    "190": graph_error(400, 190, INVALID + "Session has expired on Friday.", error_subcode=463),
    "190 459": graph_error(400, 190, INVALID + LOG_IN, error_subcode=459),
    "190 492": graph_error(400, 190, INVALID + "The user must be admin.", error_subcode=492),
    "190 role": graph_error(403, 190, "A role on the Page must be granted before impersonating it"),
    "190 cannot parse": graph_error(401, 190, f"Invalid OAuth access token - {PARSE}"),
    "190 deactivated": graph_error(400, 190, f"API access deactivated. {REACTIVATE}"),
    "102": graph_error(401, 102, "Session key invalid or no longer valid"),
    # The rest of the set-up
    "200 blocked": graph_error(400, 200, "API access blocked."),
    "10 blocked": graph_error(400, 10, "API access blocked."),
    "100 deactivated": graph_error(400, 100, f"API access deactivated. {REACTIVATE}"),
    "appsecret_proof": graph_error(400, 100, "Calls require an appsecret_proof argument"),
    "10": graph_error(403, 10, "(#10) Application does not have permission for this action"),
    "200": graph_error(403, 200, "(#200) Requires instagram_basic permission"),
    "299": graph_error(400, 299),
    "3": graph_error(400, 3, "(#3) Application does not have the capability to make this call."),
    "101": graph_error(400, 101, "Error validating application. Invalid application ID."),
    "100 33": graph_error(400, 100, f"Unsupported get request. {NO_OBJECT}", error_subcode=33),
    "100 nonexisting field": graph_error(400, 100, f"(#100) Tried accessing {NO_FIELD}"),
    "100 method type": graph_error(400, 100, "Unsupported request - method type: get"),
    "803": graph_error(404, 803, "(#803) Some of the aliases you requested do not exist: 1784"),
    "25": graph_error(403, 25, "The Instagram account is restricted."),
    "2635": graph_error(400, 2635, "(#2635) You are calling a deprecated version of the API."),
    # What is not known
    "100": graph_error(400, 100, "(#100) Invalid parameter", error_subcode=333),
    "300": graph_error(400, 300),
    "80015": graph_error(400, 80015),
    "code of another type": data(400, {"error": {"code": [190], "message": {"a": 1}}}),
    "error of another type": data(400, {"error": "no"}),
    "nothing": data(200, {"id": ACCOUNT_ID}),
    "empty discovery": data(200, {"business_discovery": {}, "id": ACCOUNT_ID}),
    "discovery of somebody else": data(200, {"business_discovery": {"username": "somebody.else"}}),
    "graph redirect": redirect("https://www.facebook.com/login/"),
    "graph 404": (404, {}, b""),
}
NOT_SHOWN = graph_error(400, 110, "Invalid user id", error_subcode=2207013, is_transient=False)


def named(chosen: Chosen) -> Answer:
    """The answer that was chosen, by its name or as it is."""
    return {**ANSWERS, **GRAPH_ANSWERS}[chosen] if isinstance(chosen, str) else chosen


def facebook_page(name: str, account_id: str = "", username: str = "") -> dict[str, Any]:
    """A Page as me/accounts shows it, with the Instagram account that is linked to it, if any."""
    found = {"name": name, "id": "110000000000001"}
    account = {"id": account_id, "username": username}
    return {**found, "instagram_business_account": account} if account_id else found


def discovery(fields: dict[str, Any]) -> Answer:
    """The Graph API's answer about a professional account."""
    found = {
        "username": fields["username"],
        "name": fields["full_name"],
        "biography": fields["biography"],
        "followers_count": fields["edge_followed_by"]["count"],
        "id": "17841401234567890",
    }
    return data(200, {"business_discovery": found, "id": ACCOUNT_ID})


STREAMS = {  # answers without end: status, piece, seconds between the pieces
    "endless": (200, b"x" * 65536, 0.0),
    "endless_block": (429, b"x" * 65536, 0.0),
    "endless_redirect": (302, b"x" * 65536, 0.0),
    "dripping": (200, b" ", 0.05),
}


class Request(NamedTuple):
    time: float  # of time.monotonic() in this process: virtual where a test has patched it
    username: str
    line: str  # the first of the request
    headers: dict[str, str]
    answer: str  # the behaviour that was chosen
    port: int  # of the client's end of the connection


class StandIn(ThreadingHTTPServer):
    """Use as a context manager; `url` is what takes the place of the program's API_URL."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, users: dict[str, dict[str, Any]] | Iterable[str] = ()) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.users = users if isinstance(users, dict) else {name: user(name) for name in users}
        self.behaviour: dict[str, Chosen] = {}
        self.burst: deque[Chosen] = deque()
        self.blocked_until = float("-inf")
        self.blocked_with = "401"
        self.log: list[Request] = []
        self.watch: Callable[[str], Chosen | None] = lambda username: None
        self.delay = 0.0
        self.token = "EAAtest"
        self.pages = [facebook_page("My Brand", ACCOUNT_ID, "mybrand")]
        self.set_up_answer: Chosen = "live"
        self.set_up_log: list[Request] = []
        self.allowance: int | None = None  # calls in a rolling hour
        self.calls: list[float] = []  # when, of time.monotonic(), while there is an allowance
        self.refused = 0  # calls over the allowance
        self.streamed = 0  # bytes that a client took of an answer without end
        self.requested = threading.Event()
        self.tls: ssl.SSLContext | None = None  # with which it is a proxy to the real hosts, too
        self.connects: list[str] = []  # the first lines of what it was asked as a proxy

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/v1/users/web_profile_info/"

    @property
    def graph_url(self) -> str:
        """What takes the place of the program's GRAPH_URL."""
        return f"http://127.0.0.1:{self.server_address[1]}/v25.0/"

    @property
    def requests(self) -> int:
        """How many requests came, those for the set-up included."""
        return len(self.log) + len(self.set_up_log)

    @property
    def gaps(self) -> list[float]:
        """The seconds between requests."""
        return [later.time - earlier.time for earlier, later in zip(self.log, self.log[1:])]

    @property
    def names(self) -> list[str]:
        return [request.username for request in self.log]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        stopping = threading.Thread(target=self.shutdown)
        stopping.start()
        with contextlib.suppress(OSError):  # it looks up at once if somebody calls
            socket.create_connection(self.server_address).close()
        stopping.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""

    def usage(self) -> int | None:
        """Count a call; returns what percentage of the allowance is used then."""
        if self.allowance is None:
            return None
        now = time.monotonic()
        self.calls = [*(each for each in self.calls if each > now - 3600), now]
        return 100 * len(self.calls) // self.allowance

    def choose(self, username: str) -> Chosen:
        if answer := self.watch(username):
            return answer
        if time.monotonic() < self.blocked_until:
            return self.blocked_with
        if self.burst:
            return self.burst.popleft()
        return self.behaviour.get(username, "live" if username in self.users else "404")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        """Be a proxy behind which this very server is the host that was asked for, over TLS."""
        assert self.server.tls is not None
        self.server.connects.append(self.requestline)
        self.send_response(200)
        self.end_headers()
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        self.setup()
        self.close_connection = False

    def do_GET(self) -> None:
        standin = self.server
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        self.usage = standin.usage() if url.path.startswith("/v25.0/") else None
        if url.path == "/v25.0/me/accounts":
            self.answer_set_up()
            return
        fields = GRAPH_FIELDS.fullmatch(query.get("fields", [""])[0])
        username = fields[1] if fields else query.get("username", [""])[0]
        chosen = standin.choose(username)
        standin.log.append(self.request_of(username, str(chosen)[:30]))
        standin.requested.set()
        if standin.delay:
            threading.Event().wait(standin.delay)
        if self.misbehaves(chosen):
            return
        if fields and not self.has_token():
            self.send(GRAPH_ANSWERS["190"])
        elif self.usage is not None and self.usage > 100:
            standin.refused += 1
            self.send(GRAPH_ANSWERS["4"])
        elif fields and chosen in ("live", "404", "null", "page", *WITHHELD):
            user = standin.users.get(username, {})
            self.send(discovery(user) if user.get("is_business_account") else NOT_SHOWN)
        elif fields and chosen == "401":
            self.send(GRAPH_ANSWERS["4"])
        elif chosen == "live":
            self.send(data(200, {"data": {"user": standin.users[username]}, "status": "ok"}))
        else:
            self.send(named(chosen))

    def answer_set_up(self) -> None:
        chosen = self.server.set_up_answer
        self.server.set_up_log.append(self.request_of("", str(chosen)[:30]))
        if self.misbehaves(chosen):
            return
        if chosen != "live":
            self.send(named(chosen))
        elif not self.has_token():
            self.send(GRAPH_ANSWERS["190"])
        else:
            self.send(data(200, {"data": self.server.pages, "paging": {"cursors": {}}}))

    def has_token(self) -> bool:
        return self.headers["Authorization"] == f"Bearer {self.server.token}"

    def misbehaves(self, chosen: Chosen) -> bool:
        """Do what no answer of HTTP is, if that was chosen; returns whether it was."""
        if isinstance(chosen, str) and chosen in STREAMS:
            self.stream(*STREAMS[chosen])
        elif isinstance(chosen, str) and hasattr(self, "send_" + chosen):
            getattr(self, "send_" + chosen)()
        else:
            return False
        self.close_connection = True
        return True

    def request_of(self, username: str, answer: str) -> Request:
        now, port = time.monotonic(), self.client_address[1]
        return Request(now, username, self.requestline, dict(self.headers), answer, port)

    def send(self, answer: Answer) -> None:
        status, headers, body = answer
        (self.send_response_only if "Date" in headers else self.send_response)(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.usage is not None:
            used = {"call_count": self.usage, "total_time": 3, "total_cputime": 2}
            self.send_header("X-App-Usage", json.dumps(used))
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def send_closed(self) -> None:
        """Hang up without a word."""

    def send_torn(self) -> None:
        self.send((200, {**JSON, "Content-Length": "5000"}, b'{"data": {"user": {"username": "to'))

    def send_torn_page(self) -> None:
        self.send((200, {**HTML, "Content-Length": "5000"}, PAGE))

    def send_dripping_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        for _ in range(2400):
            self.wfile.write(b"x")
            threading.Event().wait(0.05)

    def stream(self, status: int, piece: bytes, pause: float) -> None:
        """Send an answer without end, or nearly so: 150 MB, or two minutes."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Location", "https://www.instagram.com/accounts/login/")
        self.send_header("Retry-After", "120")
        self.end_headers()
        for _ in range(2400):
            self.wfile.write(piece)
            self.server.streamed += len(piece)
            if pause:
                threading.Event().wait(pause)
