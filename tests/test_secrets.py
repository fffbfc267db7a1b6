"""No secret is printed or written: the login in a proxy's address, and the access token."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import quote

import pytest
from standin import ACCOUNT_ID, data, graph_error

import instagram_enrichment as ig


class RefusingProxy(BaseHTTPRequestHandler):
    def do_CONNECT(self) -> None:
        self.send_error(407, explain=str(self.headers))  # which repeats what it was sent

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def refusing_proxy() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), RefusingProxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def assert_kept(world: Any, log: str, *secrets: str) -> None:
    """Assert that nothing tells a secret: neither the log nor any file."""
    texts = [p.read_text(errors="replace") for p in world.folder.rglob("*") if p.is_file()]
    assert not any(secret in text for secret in secrets for text in (log, *texts))


LOGINS = [
    *("user:S3cretPw@", "user:S3cretPw#1@", "user:S3cretPw/1@", "user:47/S3cretPw@", "S3cretPw@"),
    *("user:S3cretPw?1@", "user:47#S3cretPw@", "user:S3cret[Pw@", "user:ab[S3cretPw]cd@"),
    *("user:S3cretPw@1@", "user:S3cretPw%1@", "user:S3cretPw%23@", ":S3cretPw@", "user:S3cret Pw@"),
]
HOSTS = ("127.0.0.1:99999", "127.0.0.1:http", "", "[::1]:1", "REFUSING")
PROXIES = [
    *(f"http://{login}127.0.0.1:1" for login in LOGINS),
    *(f"http://user:S3cretPw@{host}" for host in HOSTS),
    *("user:S3cretPw@127.0.0.1:1", "http://user:[S3cretPw@[::1]:1"),
    *(f"{scheme}://user:S3cretPw@127.0.0.1:1" for scheme in ("https", "ftp", "socks5")),
]


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_that_can_not_be_used_is_named_by_the_kind_of_error_only(
    world: Any, monkeypatch: Any, refusing_proxy: str, proxy: str, variable: str
) -> None:
    monkeypatch.undo()  # the stand-in's addresses: only the proxy could reach the real one
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, proxy.replace("REFUSING", refusing_proxy))
    world.clock.install(monkeypatch)
    world.live("one", "two")
    result = world.run("--verbose", "--report", str(world.report_file))
    assert result.code == 1
    assert re.search(r"can't be reached \(\w+\): check the connection and the proxy", result.log)
    assert_kept(world, result.log, "S3cret")


@pytest.mark.parametrize("token", ["EAAGm0PX4ZCpsBAtail", "1784|p/Q+x=%&#tail42", "EAAtoken"])
def test_a_token_in_an_answer_is_not_repeated(world: Any, monkeypatch: Any, token: str) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", token)
    world.standin.token, encoded = token, quote(token, safe="")
    world.live("one", "two", "three", "four")
    world.standin.behaviour = {
        "two": graph_error(400, 100, message=f"what is {token} or ?access_token={encoded}"),
        "three": (500, {}, f"<html><title>'{token}'</title>".encode()),
        "four": data(404, {"error": {"message": f"{'x' * 185} {token}", "code": [1]}}),  # cut off
    }
    for flags in (["--graph-api", ACCOUNT_ID], []):
        result = world.run("--verbose", "--report", str(world.report_file), *flags)
        assert result.code == 1
        assert "[hidden]" in result.log and "[hidden]" in world.report_file.read_text()
        assert_kept(world, result.log, token, encoded, token[:13], encoded[:13])
    world.standin.set_up_answer = world.standin.behaviour["two"]
    result = world.run("--graph-api")
    assert result.code == 2 and "what is [hidden]" in result.log
    assert_kept(world, result.log, token, encoded)


TEXTS = [
    ("", "nothing to hide, http://host:1", "nothing to hide, http://host:1"),
    ("EAAtoken", "bad EAAtoken", "bad [hidden]"),
    ("EAAtoken12345678", "?x=EAAtoken12345678 and EAAtoken12345…", "?x=[hidden] and [hidden]"),
    ("a|b/c", "?x=a%7Cb%2Fc or 'a|b/c'", "?x=[hidden] or '[hidden]'"),
    ("EAAto.en*", "EAAtooen* EAAto.en*", "EAAtooen* [hidden]"),
    ("", "http://me:p@ss@host and //a@b", "http://[hidden]@host and //[hidden]@b"),
    ("", "by http://me:p#w?@host:1", "by http://[hidden]@host:1"),
    ("", "by http://me:p/w@host:1", "by http://[hidden]@host:1"),
]


@pytest.mark.parametrize(("token", "text", "shown"), TEXTS)
def test_secrets_are_taken_out_of_a_text(
    monkeypatch: Any, token: str, text: str, shown: str
) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", token)
    assert ig.hide_secrets(text) == shown


FLAGS = ["--graph-api S3cret", "EAAS3cret", "T0kenT0kenS3cret", "--proxy http://me:S3cret@host"]


@pytest.mark.parametrize("flags", FLAGS)
def test_a_secret_among_the_flags_is_not_repeated(world: Any, monkeypatch: Any, flags: str) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "T0kenT0kenS3cret")
    code, log = world.run(*flags.split())
    assert code == 2
    assert_kept(world, log, "S3cret")


def test_a_token_that_is_no_text_is_no_reason_to_fail(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live("one")
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAB\udce9")
    assert world.run().code == 0
    assert world.run("--graph-api", "1").code == 2
