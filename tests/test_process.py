"""The program in a real process: killed, interrupted, out of disk, twice at once, over a proxy."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from child import run_logged
from standin import StandIn, user

import instagram_enrichment as ig

HERE = Path(__file__).parent
NAMES = [f"profile.{number:03}" for number in range(300)]
FORKS = multiprocessing.get_context("forkserver")


@pytest.fixture(scope="module", autouse=True)
def preloaded() -> Iterator[None]:
    """Let processes be forked from one that has imported the program already."""
    with pytest.MonkeyPatch.context() as patch:
        path = f"{HERE}{os.pathsep}{HERE.parent}"
        patch.setenv("PYTHONPATH", path)  # for the preloading, in Python < 3.13
        patch.setenv("no_proxy", "127.0.0.1")
        FORKS.set_forkserver_preload(["child"])
        starter = FORKS.Process(target=int)
        starter.start()
        starter.join()
        yield


class Folder:
    """A list of profiles in a folder, and the program on it as a child process."""

    def __init__(self, path: Path, standin: StandIn, names: list[str]) -> None:
        self.path, self.standin = path, standin
        self.output, self.log = path / "out.csv", path / "log.txt"
        self.state = path / ".tmp"
        (path / "list.csv").write_text(
            "Handle,GENRE,Details\n" + "".join(f"@{name},,\n" for name in names)
        )

    def flags(self, *flags: str) -> list[str]:
        paths = {"-i": self.path / "list.csv", "-o": self.output, "--cache-dir": self.state}
        return [*(str(part) for pair in paths.items() for part in pair), *flags]

    @contextlib.contextmanager
    def running(
        self, *flags: str, speed: float = float("inf")
    ) -> Iterator[subprocess.Popen[bytes]]:
        command = [
            sys.executable,
            str(HERE / "child.py"),
            self.standin.url,
            str(speed),
            *self.flags(*flags),
        ]
        with (
            self.log.open("wb") as log,
            subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL) as child,
        ):
            try:
                yield child
            finally:
                child.kill()

    def start(self, *flags: str) -> Any:
        """Start the program in a process that is forked in milliseconds."""
        arguments = (self.standin.url, self.flags(*flags), str(self.log))
        child = FORKS.Process(target=run_logged, args=arguments)
        child.start()
        return child

    def run(self, *flags: str) -> int:
        self.log.write_text("")
        child = self.start(*flags)
        child.join(60)
        code: int = child.exitcode
        return code

    def wait_for(self, text: str) -> None:
        for _ in range(1000):
            if text in self.log.read_text():
                return
            threading.Event().wait(0.01)
        raise AssertionError(f"{text!r} did not come:\n{self.log.read_text()}")

    def cache(self) -> dict[str, Any]:
        return json.loads((self.state / "ig_cache.json").read_text())


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn(NAMES) as standin:
        yield standin


def undisturbed_output(tmp_path: Path, server: StandIn, names: list[str]) -> bytes:
    """What a run that nothing disturbs writes."""
    path = tmp_path / "undisturbed"
    path.mkdir()
    folder = Folder(path, server, names)
    assert folder.run() == 0
    server.log.clear()
    return folder.output.read_bytes()


def test_200_kills_at_random_moments_of_one_run_lose_nothing(
    tmp_path: Path, server: StandIn
) -> None:
    kinds = ("null", "404")
    server.behaviour = {name: kinds[number % 2] for number, name in enumerate(NAMES[5::17])}
    expected = undisturbed_output(tmp_path, server, NAMES)
    folder = Folder(tmp_path, server, NAMES)
    dice = random.Random(7)
    known: dict[str, Any] = {}
    target = 0
    for kill in range(200):
        child = folder.start("--batch-pause", "0")
        target = max(target, len(server.log)) + dice.choice([0, 1, 1, 2, 3])
        while len(server.log) < target and child.is_alive():
            threading.Event().wait(0.0005)
        threading.Event().wait(dice.uniform(0, 0.008))
        child.kill()
        child.join()
        if (folder.state / "ig_cache.json").exists():
            found = folder.cache()
            assert found | known == found, f"an entry is gone or changed after kill {kill}"
            known = found
    assert len(known) > 150
    killed_in = len(server.log)
    assert folder.run("--batch-pause", "0") == 0
    assert folder.output.read_bytes() == expected
    gone = len(server.behaviour)
    first_time = server.names.index(NAMES[-1])  # from there on, each kill costs a pass
    assert first_time <= 300 + 200 + 2 * gone
    again, last = [], server.log[killed_in - 1]
    for request in server.log[killed_in:]:
        if request.username not in known:
            last = request
        elif last.answer not in kinds:
            again.append(request.username)
    assert again == [], "a known profile is fetched again only to tell of those that are gone"
    assert list(folder.state.glob("*damaged*")) == []
    assert "Traceback" not in folder.log.read_text()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_at_random_moments_leave_every_cached_profile_in_the_output(
    tmp_path: Path, server: StandIn, signum: signal.Signals
) -> None:
    names = [f"profile.{number:04}" for number in range(1000)]  # more than are done by then
    server.users.update({name: user(name) for name in names})
    folder = Folder(tmp_path, server, names)
    dice = random.Random(3)
    for count in range(1, 16):
        folder.log.write_text("")
        child = folder.start("-b", "7", "--batch-pause", "60")
        folder.wait_for("At 20 a minute")
        threading.Event().wait(dice.uniform(0, 0.05))
        assert child.is_alive(), f"the list is done before signal {count}"
        os.kill(child.pid, signum)
        child.join(10)
        log = folder.log.read_text()
        assert child.exitcode == 128 + signum, log
        assert "Traceback" not in log
        assert log.count(f"Interrupted by {signum.name}. Stopped at") == 1
        in_output = re.findall("The biography of (.*)", folder.output.read_text())
        assert in_output == list(folder.cache())
    assert len(folder.cache()) > 20
    assert len(server.log) <= len(folder.cache()) + 15, "only the one in flight is fetched again"


def test_a_run_killed_half_way_fetches_no_profile_twice_but_the_one_in_flight(
    tmp_path: Path, server: StandIn
) -> None:
    expected = undisturbed_output(tmp_path, server, NAMES)
    folder = Folder(tmp_path, server, NAMES)
    with folder.running("--batch-pause", "0", speed=5000) as child:
        folder.wait_for("[150/300]")
        child.kill()
        child.wait(10)
    in_flight = server.names[-1]
    assert folder.run("--batch-pause", "0") == 0
    assert folder.output.read_bytes() == expected
    assert {name for name in NAMES if server.names.count(name) > 1} <= {in_flight}
    assert set(server.names) == set(NAMES)


MOMENTS = {
    "a request": ([], "Plan:"),
    "a jitter": ([], "At 10 a minute"),
    "a minute's wait": (["--batch-size", "100"], "try 2 of 4"),
    "a pause": (["--batch-size", "1"], "pausing 30 min"),
}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_at_any_moment_saves_everything_within_a_second(
    tmp_path: Path, server: StandIn, moment: str, signum: signal.Signals
) -> None:
    flags, line = MOMENTS[moment]
    folder = Folder(tmp_path, server, NAMES[:5])
    folder.run("--limit", "1")
    server.requested.clear()
    if moment == "a request":
        server.delay = 20
    if moment == "a minute's wait":
        server.burst.extend(["live", "401"])  # an answer that no checkpoint has seen, then a wait
    with folder.running("-r", "10", *flags, speed=5 if moment == "a jitter" else 20) as child:
        folder.wait_for(line)
        if moment == "a request":
            assert server.requested.wait(10)
        sent = time.monotonic()
        child.send_signal(signum)
        child.send_signal(signum)
        assert child.wait(10) == 128 + signum
        assert time.monotonic() - sent < 1
    log = folder.log.read_text()
    assert "Traceback" not in log
    assert (
        len(
            re.findall(rf"Interrupted by {signum.name}.*to resume: run the same command again", log)
        )
        == 1
    )
    assert "Coverage:" in log
    cached = [name for name in NAMES[:5] if name in folder.cache()]
    assert re.findall("The biography of (.*)", folder.output.read_text()) == cached
    assert folder.output.read_text().count("\n") == 6
    server.delay = 0
    assert folder.run() == 0
    assert folder.output.read_text().count("The biography") == 5


def test_nohup_is_respected(tmp_path: Path, server: StandIn) -> None:
    folder = Folder(tmp_path, server, NAMES[:4])
    ignore = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with folder.running("-b", "2", speed=2000) as child:
            folder.wait_for("[1/4]")
            child.send_signal(signal.SIGHUP)
            assert child.wait(20) == 0
    finally:
        signal.signal(signal.SIGHUP, ignore)
    assert not re.search(r"[\r\x1b]", folder.log.read_text())


def test_ctrl_c_is_ignored_where_a_script_started_the_program_in_the_background(
    tmp_path: Path, server: StandIn
) -> None:
    folder = Folder(tmp_path, server, NAMES[:4])
    command = [sys.executable, str(HERE / "child.py"), server.url, "2000", *folder.flags("-b", "2")]
    background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command]
    with folder.log.open("wb") as log, subprocess.Popen(background, stderr=log) as child:
        folder.wait_for("[1/4]")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0
    assert folder.output.read_text().count("The biography") == 4


def test_ctrl_c_is_ignored_while_such_a_program_is_still_starting(tmp_path: Path) -> None:
    assert ctrl_c_in_the_imports(tmp_path, 'trap "" INT; exec "$@"').returncode == 0


def test_a_closed_stderr_does_not_stop_the_run(tmp_path: Path, server: StandIn) -> None:
    folder = Folder(tmp_path, server, NAMES[:3])
    command = [sys.executable, str(HERE / "child.py"), server.url, "inf", *folder.flags("-b", "1")]
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], timeout=20, check=False)
    assert done.returncode == 0
    assert folder.output.read_text().count("The biography") == 3


def test_a_second_run_says_so_and_fetches_nothing(tmp_path: Path, server: StandIn) -> None:
    folder = Folder(tmp_path, server, NAMES[:5])
    with folder.running("-b", "1", speed=20) as child:
        folder.wait_for("pausing")
        command = [sys.executable, str(HERE / "child.py"), server.url, "inf", *folder.flags()]
        second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert (folder.state / "ig.lock").read_text() == f"{child.pid}\n"
        assert child.poll() is None
    assert second.returncode == 2
    assert f"another run is using {folder.state}: wait until it ends, or stop it" in second.stderr
    assert f"kill {child.pid}\n" in second.stderr
    assert second.stderr.count("\n") == 1
    assert len(server.log) == 1


def ctrl_c_in_the_imports(folder: Path, shell: str) -> subprocess.CompletedProcess[str]:
    """Start the program from a shell's line, and press Ctrl+C while it imports `requests`."""
    (folder / "requests.py").write_text(
        "import os, signal, sys\nos.kill(os.getpid(), signal.SIGINT)\nsys.exit(0)\n"
    )
    program = str(HERE.parent / "instagram_enrichment.py")
    script = (
        f"import runpy, sys; sys.path.insert(0, {str(folder)!r}); "
        f"runpy.run_path({program!r}, run_name='__main__')"
    )
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_ctrl_c_while_the_program_is_still_starting_shows_no_traceback(tmp_path: Path) -> None:
    done = ctrl_c_in_the_imports(tmp_path, 'exec "$@"')
    assert done.returncode == -signal.SIGINT
    assert done.stderr == ""


@pytest.mark.parametrize("module", [["instagram_enrichment.py"], ["-m", "instagram_enrichment"]])
def test_both_ways_of_starting_work(module: list[str]) -> None:
    command = [sys.executable, *module, "--help"]
    shown = subprocess.run(
        command, cwd=HERE.parent, capture_output=True, text=True, timeout=20, check=True
    ).stdout
    assert "exit codes" in shown


# ---- A full disk ----


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False
    )
    if mounted.returncode:
        pytest.skip("only root can make a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("free", [0, 4096, 8192, 12288, 20480])
@pytest.mark.parametrize("full", ["state", "output", "both"])
def test_a_full_disk_stops_the_run_with_one_line_and_loses_nothing(
    tmp_path: Path, small_disk: Path, server: StandIn, full: str, free: int
) -> None:
    names = NAMES[:60]
    for name in names:
        server.users[name]["biography"] = f"{name} " * 40
    folder = Folder(tmp_path, server, names)
    if full in ("state", "both"):
        folder.state = small_disk / "state"
    if full in ("output", "both"):
        folder.output = small_disk / "out.csv"
    assert folder.run("--limit", "5") == 0
    before = folder.output.read_bytes()
    filler = small_disk / "filler"
    room = os.statvfs(small_disk)
    filler.write_bytes(b"x" * (room.f_bavail * room.f_frsize - free))
    code = folder.run("-b", "10", "--batch-pause", "1")
    log = folder.log.read_text()
    assert code == 1, log
    assert log.count("No space left on device") == 1
    assert "Traceback" not in log
    cached = folder.cache()
    assert len(cached) >= 5
    assert (folder.state / "ig_cache.json").read_text().count("\n") == len(cached) + 2
    output = folder.output.read_bytes()
    assert output.count(b"\n") == 61
    assert len(output) >= len(before)
    assert not list(small_disk.rglob("*.ig-part"))
    filler.unlink()
    assert folder.run("--batch-pause", "1") == 0
    assert folder.output.read_text().count(f"{names[0]} {names[0]}") == 20
    assert len(folder.cache()) == 60
    assert not list(folder.state.glob("*damaged*"))
    in_flight = 1
    assert len(server.log) <= 60 + in_flight


# ---- TLS and a proxy ----


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    ("host", "flags"),
    [("www.instagram.com", []), ("graph.facebook.com", ["--graph-api", "17841400000000000"])],
)
def test_the_real_address_is_reached_through_a_proxy_over_verified_tls(
    tmp_path: Path,
    clock: Any,
    capsys: Any,
    monkeypatch: Any,
    host: str,
    flags: list[str],
    trusted: bool,
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAtest")
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with StandIn(NAMES[:3]) as server:
        server.tls = context
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        folder = Folder(tmp_path, server, NAMES[:3])
        code = ig.main(folder.flags(*flags))
        log = capsys.readouterr().err
        assert server.connects[0].startswith(f"CONNECT {host}:443")
        assert code == (0 if trusted else 1), log
        assert server.names == (NAMES[:3] if trusted else [])
        if not trusted:
            assert "can't be reached" in log
            assert "certificate" in log.lower()


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem", "invalid path: /nonexistent/ca.pem"),
        ("HTTPS_PROXY", "socks5://127.0.0.1:1", "(InvalidSchema"),
        ("HTTPS_PROXY", "http://127.0.0.1:1", "(ProxyError"),
    ],
)
def test_wrong_network_settings_are_named_in_one_line(
    tmp_path: Path,
    clock: Any,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    reason: str,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, value)
    with StandIn() as server:
        code = ig.main(Folder(tmp_path, server, NAMES[:3]).flags())
    log = capsys.readouterr().err
    assert code == 1
    assert log.count("can't be reached") == 1
    assert f"{reason}): check the connection" in log
    assert "Traceback" not in log
