"""No secret is printed or written: the login in a proxy's address, and the access token."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import pytest
from standin import ACCOUNT_ID, data

import instagram_enrichment as ig


def assert_kept(world: Any, log: str, *secrets: str) -> None:
    """Assert that nothing tells a secret: neither the log nor any file."""
    texts = [p.read_text(errors="replace") for p in world.folder.rglob("*") if p.is_file()]
    assert not any(secret in text for secret in secrets for text in (log, *texts))


WORDS = "user:S3cretPw user:S3cretPw#1 user:47/S3cretPw user:S3cretPw?1 S3cretPw :S3cretPw"
LOGINS = [*WORDS.split(), "user:S3cret[Pw", "user:S3cretPw@1", "user:S3cretPw%1", "user:S3cret Pw"]
SETTINGS = [
    *(f"HTTPS_PROXY=http://{login}@127.0.0.1:1" for login in LOGINS),
    *(f"HTTPS_PROXY=http://user:S3cretPw@{host}" for host in ("[::1]:1", "h:http", "")),
    *("https_proxy=user:S3cretPw@127.0.0.1:1", "ALL_PROXY=http://user:[S3cretPw@[::1]:99999"),
    *("HTTPS_PROXY=https://user:S3cretPw@127.0.0.1:1", "HTTPS_PROXY=socks5://user:S3cretPw@h:1"),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_bad_proxy_is_named_by_its_error_only(world: Any, monkeypatch: Any, setting: str) -> None:
    monkeypatch.undo()  # the stand-in's addresses: only the proxy could reach the real one
    for name in ("no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(*setting.split("="))
    world.clock.install(monkeypatch)
    world.live("one", "two")
    code, log = world.run("--verbose", "--report", str(world.report_file))
    assert code == 1
    assert re.search(r"can't be reached \(\w+\): check the connection and the proxy", log)
    assert_kept(world, log, "S3cret")


def test_a_token_in_an_answer_is_not_repeated(world: Any, monkeypatch: Any) -> None:
    token = world.standin.token = "1784|p/Q+x=%&#tail42"
    encoded = quote(token, safe="")
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", token)
    world.live("one", "two", "three")
    world.standin.behaviour = {
        "two": (500, {}, f"<html><title>'{token}' or ?t={encoded}</title>".encode()),
        "three": data(404, {"error": {"message": f"{'x' * 185} {token}", "code": [1]}}),  # cut off
    }
    for flags in (["--graph-api", ACCOUNT_ID], []):
        code, log = world.run("--verbose", "--report", str(world.report_file), *flags)
        assert code == 1
        assert "'[hidden]' or ?t=[hidden]" in log and "[hidden]" in world.report_file.read_text()
        assert_kept(world, log, token[:13], encoded[:13])


TEXTS = [
    ("EAAtoken12345678", "?x=EAAtoken12345678 and EAAtoken12345…", "?x=[hidden] and [hidden]"),
    ("a|b/c", "?x=a%7Cb%2Fc or 'a|b/c'", "?x=[hidden] or '[hidden]'"),
    ("EAAto.en*", "EAAtooen* EAAto.en*", "EAAtooen* [hidden]"),
    ("EAAB\udce9", "nothing to hide, http://host:1", "nothing to hide, http://host:1"),
    ("", "http://me:p@ss@host and //a@b", "http://[hidden]@host and //[hidden]@b"),
    ("", "by http://me:p/w@host:1", "by http://[hidden]@host:1"),
]


@pytest.mark.parametrize(("token", "text", "shown"), TEXTS)
def test_secrets_in_a_text_are_hidden(monkeypatch: Any, token: str, text: str, shown: str) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", token)
    assert ig.hide_secrets(text) == shown


def test_a_secret_among_the_flags_is_not_repeated(world: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "T0kenT0kenS3cret")
    for flags in ("--graph-api S3cret", "EAAS3cret", "T0kenT0kenS3cret", "-p http://me:S3cret@h"):
        code, log = world.run(*flags.split())
        assert code == 2
        assert_kept(world, log, "S3cret")
