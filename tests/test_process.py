"""The program in a real process: killed, interrupted, out of disk, twice at once, over a proxy."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from child import run_logged
from conftest import HERE, World
from standin import StandIn

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(150)]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["child"])  # which imports the program


class Folder(World):
    """A folder with a list in it, and the program to run on it in a process of its own."""

    def __init__(self, path: Path, standin: StandIn) -> None:
        super().__init__(path, standin, clock=None, capsys=None)
        self.log_file = path / "log.txt"

    def flags(self, *flags: str) -> list[str]:
        return [f"-i{self.input}", f"-o{self.output}", f"--cache-dir={self.cache_dir}", *flags]

    @contextlib.contextmanager
    def running(self, *flags: str, speed: float, shell: str = 'exec "$@"') -> Iterator[Any]:
        """Run the program, started by such a line of a shell."""
        program = [sys.executable, str(HERE / "child.py"), self.standin.url, str(speed)]
        command = ["sh", "-c", shell, "sh", *program, *self.flags(*flags)]
        with self.log_file.open("wb") as log, subprocess.Popen(command, stderr=log) as child:
            try:
                yield child
            finally:
                child.kill()

    def start(self, *flags: str) -> Any:
        """Start the program in a process that is forked in milliseconds."""
        self.log_file.write_text("")
        arguments = (self.standin.url, self.flags(*flags), str(self.log_file))
        child = FORKS.Process(target=run_logged, args=arguments)
        child.start()
        return child

    def run(self, *flags: str) -> Any:
        child = self.start(*flags)
        child.join(60)
        return child.exitcode

    @property
    def in_output(self) -> list[str]:
        return [name for name, text in self.biographies().items() if text]

    @property
    def log(self) -> str:
        """What was printed; never a traceback."""
        text = self.log_file.read_text()
        assert "Traceback" not in text
        return text

    def wait_for(self, text: str) -> None:
        for _ in range(3000):
            if text in self.log:
                return
            time.sleep(0.01)
        raise AssertionError(f"{text!r} did not come:\n{self.log}")

    def wait_for_requests(self, child: Any, count: int) -> None:
        while len(self.standin.log) < count and child.is_alive():
            time.sleep(0.0005)


@pytest.fixture
def folder(tmp_path: Path, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> Folder:
    path = f"{HERE}{os.pathsep}{HERE.parent}"
    monkeypatch.setenv("PYTHONPATH", path)  # for the preloading, in Python < 3.13
    return Folder(tmp_path, standin)


def test_100_kills_at_random_moments_of_one_run_lose_nothing(folder: Folder) -> None:
    folder.live(*NAMES)
    gone = folder.standin.behaviour = dict(zip(NAMES[5::17], ["null", "404"] * 9))
    dice, target = random.Random(7), 0
    known: dict[str, Any] = {}
    for kill in range(100):
        child = folder.start("--batch-pause", "0")
        target = max(target, len(folder.standin.log)) + dice.choice([0, 1, 1, 2, 4])
        folder.wait_for_requests(child, target)
        time.sleep(dice.uniform(0, 0.008))
        child.kill()
        child.join()
        assert "damaged" not in folder.log
        if folder.cache_file.exists():
            found = folder.cache
            assert found | known == found, f"an entry is gone or changed after kill {kill}"
            known = found
    assert len(known) > 50
    killed_in = len(folder.standin.log)
    assert folder.run("--batch-pause", "0") == 0
    for name, text in folder.biographies().items():
        assert text == ("" if name in gone else f"The biography of {name}")
    assert folder.standin.names.index(NAMES[-1]) < len(NAMES) + 100, "one in flight at each kill"
    again = [name for name in folder.standin.names[killed_in:] if name in known]
    assert len(again) <= 4, "a known profile is fetched again only to tell of those that are gone"


def test_after_signals_at_random_moments_all_cached_is_in_the_output(folder: Folder) -> None:
    folder.live(*NAMES)
    dice = random.Random(3)
    for count in range(1, 22):
        child = folder.start("-b", "7", "--batch-pause", "60")
        folder.wait_for("At 20 a minute")
        folder.wait_for_requests(child, len(folder.standin.log) + dice.choice([0, 1, 3, 5]))
        time.sleep(dice.uniform(0, 0.005))
        signum = ig.SIGNALS[count % 3]
        os.kill(child.pid, signum)
        child.join(30)
        assert child.exitcode == 128 + signum, folder.log
        assert folder.log.count(f"Interrupted by {signum.name}. Stopped at") == 1
        assert folder.in_output == list(folder.cache)
        assert len(folder.standin.log) <= len(folder.cache) + count, "one in flight at each signal"
    assert len(folder.cache) > 20


WAITS: dict[str, Any] = {
    "an answer": (signal.SIGINT, 20, [], [], "Plan:"),
    "a token": (signal.SIGTERM, 1, [], [], "At 10 a minute"),
    "a block": (signal.SIGHUP, 20, [], ["live", (401, {"Retry-After": "3600"}, b"")], "try 2 of 4"),
    "a pause": (signal.SIGTERM, 20, ["-b", "1"], [], "pausing 30 min"),
}


@pytest.mark.parametrize("wait", WAITS)
def test_a_signal_in_a_wait_ends_it_at_once_and_all_is_saved(folder: Folder, wait: str) -> None:
    signum, speed, flags, answers, line = WAITS[wait]
    folder.live(*NAMES[:5])
    folder.run("--limit", "1")
    folder.standin.requested.clear()
    folder.standin.burst.extend(answers)
    folder.standin.delay = 20 if wait == "an answer" else 0
    with folder.running("-r", "10", *flags, speed=speed) as child:
        folder.wait_for(line)
        assert wait != "an answer" or folder.standin.requested.wait(30)
        sent = time.monotonic()
        while child.poll() is None and time.monotonic() < sent + 4:
            child.send_signal(signum)  # again and again: the first one counts
            time.sleep(0.001)
        assert child.returncode == 128 + signum
    assert folder.log.count(f"Interrupted by {signum.name}") == 1
    assert "everything is saved; to resume: run the same command again" in folder.log
    assert "Coverage:" in folder.log
    assert folder.in_output == list(folder.cache) == NAMES[: 1 + answers.count("live")]
    folder.standin.delay = 0
    assert folder.run() == 0 and folder.all_live


def test_signals_that_were_ignored_at_the_start_as_by_nohup_stay_ignored(folder: Folder) -> None:
    folder.live(*NAMES[:4])
    shell = 'trap "" INT TERM HUP; exec "$@"'
    with folder.running("-b", "2", "--batch-pause", "900", speed=2000, shell=shell) as child:
        folder.wait_for("[1/4]")
        for signum in ig.SIGNALS:
            child.send_signal(signum)
        assert child.wait(30) == 0
    assert folder.all_live
    assert not re.search(r"[\r\x1b]", folder.log)


@pytest.mark.parametrize(("trap", "code"), [("", -signal.SIGINT), ('trap "" INT;', 0)])
def test_ctrl_c_in_the_imports_shows_no_traceback_and_may_be_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str, code: int
) -> None:
    press = "import signal\nsignal.raise_signal(signal.SIGINT)\nraise SystemExit(0)\n"
    (tmp_path / "requests.py").write_text(press)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = ["sh", "-c", f'{trap} exec "$@"', "sh", sys.executable, ig.__file__]
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (code, b"")


def test_the_script_can_be_started_as_it_is() -> None:
    command = [sys.executable, ig.__file__, "--help"]
    assert b"exit codes" in subprocess.run(command, capture_output=True, check=True).stdout


def test_a_closed_stderr_does_not_stop_the_run(folder: Folder) -> None:
    folder.live(*NAMES[:3])
    with folder.running(speed=float("inf"), shell='exec "$@" 2>&-') as child:
        assert child.wait(30) == 0
    assert folder.all_live


def test_a_second_run_says_so_and_fetches_nothing(folder: Folder) -> None:
    folder.live(*NAMES[:5])
    with folder.running("-b", "1", speed=20) as child:
        folder.wait_for("pausing")
        assert folder.run() == 2
        words = f"another run is using {folder.cache_dir}: wait until it ends, or stop it with: "
        assert folder.log[21:] == f"Error: {words}kill {child.pid}\n"
    assert len(folder.standin.log) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can make a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


CACHE, PROGRESS, OUTPUT = "state/ig_cache.json", "state/ig_progress.json", "out.csv"
FULL = [  # what is on the disk, how many bytes are free, and what can't be written then
    *[("state", 0, PROGRESS), ("state", 4096, CACHE), ("state", 12288, PROGRESS)],
    *[("output", 0, OUTPUT), ("output", 8192, OUTPUT), ("state output", 4096, CACHE)],
]


@pytest.mark.parametrize(("full", "free", "named"), FULL)
def test_a_full_disk_stops_the_run_with_one_line_and_loses_nothing(
    folder: Folder, small_disk: Path, full: str, free: int, named: str
) -> None:
    names = folder.live(*NAMES[:60])
    for name in names:
        folder.standin.users[name]["biography"] = f"{name} " * 1000
    if "state" in full:
        folder.cache_dir, folder.cache_file = small_disk / "state", small_disk / CACHE
    if "output" in full:
        folder.output = small_disk / OUTPUT
    assert folder.run("--limit", "5") == 0
    before = folder.biographies()
    room = os.statvfs(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (room.f_bavail * room.f_frsize - free))
    assert folder.run("-b", "10", "--batch-pause", "1") == 1
    assert re.findall(r"(/\S+): No space left on device", folder.log) == [str(small_disk / named)]
    assert folder.cache_file.read_text().count("\n") == len(folder.cache) + 2
    after = folder.biographies()
    assert list(after) == names
    assert all(after[name] == text for name, text in before.items() if text)
    assert not list(small_disk.rglob("*.ig-part"))
    filler.unlink()
    assert folder.run("--batch-pause", "1") == 0
    assert all(text.startswith(f"{name} {name}") for name, text in folder.biographies().items())
    assert list(folder.cache) == names
    assert not list(folder.cache_dir.glob("*damaged*"))
    assert len(folder.standin.log) <= len(names) + 1, "one in flight is fetched again"


PROBLEMS = {"ours": "", "another": "certificate verify failed", "none": "invalid path: "}


@pytest.mark.parametrize("ca", PROBLEMS)
@pytest.mark.parametrize("host", ["www.instagram.com", "graph.facebook.com"])
def test_the_real_address_is_reached_through_a_proxy_over_verified_tls(
    tmp_path: Path, clock: Any, capsys: Any, monkeypatch: Any, host: str, ca: str
) -> None:
    flags = ["--graph-api", "17841400000000000"] if host == "graph.facebook.com" else []
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ours"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "another"))
    monkeypatch.setenv("INSTAGRAM_ACCESS_TOKEN", "EAAtest")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / ca))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with StandIn() as server:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(server.tls)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        folder = Folder(tmp_path, server)
        names = folder.live(*NAMES[:3])
        code = ig.main(folder.flags(*flags))
    log, problem = capsys.readouterr().err, PROBLEMS[ca]
    assert all(line.startswith(f"CONNECT {host}:443") for line in server.connects)
    assert (code, server.names) == ((1, []) if problem else (0, names)), log
    assert log.count("can't be reached") == code and problem in log.splitlines()[-1]
