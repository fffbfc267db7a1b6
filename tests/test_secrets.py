"""Secrets never reach the log: passwords of proxies here, the access token in test_graph_api.py."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Result

import instagram_enrichment as ig

PASSWORD = "S3cretPw"


@pytest.fixture
def refusing_proxy() -> Iterator[str]:
    """A proxy that answers 407 to everything, and repeats what it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                with listener.accept()[0] as client:
                    request = client.recv(65536)
                    head = b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                    client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(request) + request)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()


def run_with_proxy(world: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> Any:
    """Run against the real address, which only the proxy could reach."""
    monkeypatch.undo()  # the stand-in's addresses: all there is here is the proxy
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    world.clock.install(monkeypatch)
    world.live("one", "two")
    result = world.run("--verbose")
    assert result.code == 1
    assert world.standin.log == []
    return result


def assert_kept_secret(world: Any, result: Result, secret: str = PASSWORD) -> None:
    assert secret not in result.log
    for path in world.folder.rglob("*"):
        assert path.is_dir() or secret not in path.read_text(errors="replace")


ADDRESSES = {
    "number sign": "http://user:S3cretPw#1@127.0.0.1:1",
    "slash": "http://user:S3cretPw/1@127.0.0.1:1",
    "slash behind digits": "http://user:47/S3cretPw@127.0.0.1:1",
    "question mark": "http://user:S3cretPw?1@127.0.0.1:1",
    "number sign behind digits": "http://user:47#S3cretPw@127.0.0.1:1",
    "bracket": "http://user:S3cret[Pw@127.0.0.1:1",
    "brackets": "http://user:ab[S3cretPw]cd@127.0.0.1:1",
    "brackets before an address of version 6": "http://user:[S3cretPw@[::1]:1",
    "an address of version 6": "http://user:S3cretPw@[::1]:1",
    "at sign": "http://user:S3cretPw@1@127.0.0.1:1",
    "per cent": "http://user:S3cretPw%1@127.0.0.1:1",
    "percent-encoded": "http://user:S3cretPw%23@127.0.0.1:1",
    "port out of range": "http://user:S3cretPw@127.0.0.1:99999",
    "no port number": "http://user:S3cretPw@127.0.0.1:http",
    "no host": "http://user:S3cretPw@",
    "dead port": "http://user:S3cretPw@127.0.0.1:1",
    "no scheme": "user:S3cretPw@127.0.0.1:1",
    "no user": "http://:S3cretPw@127.0.0.1:1",
    "no password": "http://S3cretPw@127.0.0.1:1",
    "another scheme": "ftp://user:S3cretPw@127.0.0.1:1",
    "a scheme that needs more packages": "socks5://user:S3cretPw@127.0.0.1:1",
}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("kind", ADDRESSES)
def test_the_password_of_a_proxy_is_in_nothing_that_is_printed_or_written(
    world: Any, monkeypatch: pytest.MonkeyPatch, kind: str, variable: str
) -> None:
    result = run_with_proxy(world, monkeypatch, variable, ADDRESSES[kind])
    kind_only = r"can't be reached \(\w+\): check the connection and the proxy settings"
    assert re.search(kind_only, result.log)
    assert_kept_secret(world, result, "S3cret")


def test_a_proxy_that_refuses_the_password_does_not_make_it_known(
    world: Any, monkeypatch: pytest.MonkeyPatch, refusing_proxy: str
) -> None:
    address = f"http://user:{PASSWORD}@{refusing_proxy}"
    result = run_with_proxy(world, monkeypatch, "HTTPS_PROXY", address)
    assert "can't be reached (ProxyError)" in result.log
    assert_kept_secret(world, result)


def test_a_proxy_that_is_not_used_is_not_checked(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live("one")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:S3cretPw#1@127.0.0.1:1")
    assert world.run().code == 0  # no_proxy names the stand-in


@pytest.mark.parametrize(
    ("environment", "message", "logged"),
    [
        ({}, "nothing to hide", "nothing to hide"),
        ({"INSTAGRAM_ACCESS_TOKEN": ""}, "nothing to hide", "nothing to hide"),
        ({"INSTAGRAM_ACCESS_TOKEN": "EAAtoken"}, "bad EAAtoken!", "bad [hidden]!"),
        (
            {"INSTAGRAM_ACCESS_TOKEN": "EAAtoken12345678"},
            "?access_token=EAAtoken12345678 and EAAtoken12345…",
            "?access_token=[hidden] and [hidden]",
        ),
        (
            {"HTTPS_PROXY": "http://me:pass@word@host:1"},
            "//me:pass@word@host 'pass' word pass@word",
            "//[hidden]@host '[hidden]' [hidden] [hidden]",
        ),
        (
            {"all_proxy": "http://me:p%40ssw0rd@host:1"},
            "p@ssw0rd, p%40ssw0rd, ssw0rd",
            "[hidden], [hidden], [hidden]",
        ),
        (
            {"HTTPS_PROXY": "http://me:x[S3cret]y@host:1"},
            "'S3cret' is no address",
            "'[hidden]' is no address",
        ),
        ({"HTTPS_PROXY": "http://me:pass@h"}, "a password: me:pass", "a password: [hidden]"),
        ({"HTTPS_PROXY": "http://me:a@host:1"}, "a user me:a@host", "a user [hidden]@host"),
        ({"HTTPS_PROXY": "http://host:1"}, "http://host:1", "http://host:1"),
        ({"OTHER": "http://me:pass@host"}, "pass", "pass"),
    ],
)
def test_the_filter_takes_each_secret_out_of_a_message(
    environment: dict[str, str], message: str, logged: str
) -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s", (message,), None)
    assert ig.SecretFilter(environment).filter(record)
    assert record.getMessage() == logged


def test_the_filter_is_gone_when_the_program_is(world: Any) -> None:
    world.live("one")
    before = list(ig.log.filters)
    assert world.run().code == 0
    assert ig.log.filters == before


def test_an_account_id_that_is_a_token_by_mistake_is_not_repeated(world: Any) -> None:
    result = world.run("--graph-api", PASSWORD)
    assert result.code == 2
    assert_kept_secret(world, result)


def test_everything_is_logged_through_the_one_logger_with_the_filter() -> None:
    text = Path(ig.__file__).read_text()
    assert text.count("getLogger") == 1
    assert "print(" not in text
