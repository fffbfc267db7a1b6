"""What the tests share: the program run in process against the stand-in, in compressed time."""

from __future__ import annotations

import csv
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compressed import CompressedTime
from standin import StandIn, user

import instagram_enrichment

if os.access("/dev/shm", os.W_OK):  # a disk in memory: thousands of synced writes take no time
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")

for each in instagram_enrichment.SIGNALS:
    if signal.getsignal(each) == signal.SIG_IGN:  # as in a script's background job
        signal.signal(each, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("steady", derandomize=True, database=None)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in is on this machine: no proxy of the machine's owner gets in between."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> CompressedTime:
    """Time that is skipped, not slept. It begins at noon: midnight is not in every test."""
    clock = CompressedTime()
    clock.close_lid((12 - time.localtime().tm_hour) % 24 * 3600)
    return clock.install(monkeypatch)


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A server in the place of the real Instagram; it knows no profile yet."""
    with StandIn() as server:
        monkeypatch.setattr(instagram_enrichment, "API_URL", server.url)
        monkeypatch.setattr(instagram_enrichment, "GRAPH_URL", server.graph_url)
        yield server


def zipped(*sequences: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Like zip, of sequences that have to be equally long (`strict` came with Python 3.10)."""
    assert len({len(each) for each in sequences}) == 1
    return zip(*sequences)


def run_program(argv: Sequence[str]) -> int:
    """Run `main` as in a process of its own: it leaves signals ignored, once one has come."""
    handlers = {each: signal.getsignal(each) for each in instagram_enrichment.SIGNALS}
    try:
        return instagram_enrichment.main(argv)
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)


def csv_cell(text: str) -> str:
    """A cell of a CSV, in quotes."""
    return '"' + text.replace('"', '""') + '"'


class Result(NamedTuple):
    code: int
    log: str


class World:
    """A folder with a list in it, and the program to run on it."""

    def __init__(self, folder: Path, standin: StandIn, clock: CompressedTime, capsys: Any) -> None:
        self.folder, self.standin, self.clock, self._capsys = folder, standin, clock, capsys
        self.input = folder / "list.csv"
        self.output = folder / "out.csv"
        self.report_file = folder / "report.csv"
        self.cache_dir = folder / ".tmp"
        self.cache_file = self.cache_dir / "ig_cache.json"
        self.progress_file = self.cache_dir / "ig_progress.json"

    def live(self, *names: str) -> list[str]:
        """Make profiles that the stand-in knows, and a list of just them."""
        self.standin.users.update({name: user(name) for name in names})
        self.write(names)
        return list(names)

    def write(self, names: Sequence[str]) -> None:
        self.input.write_text("Handle,GENRE,Details\n" + "".join(f"@{name},,\n" for name in names))

    def run(self, *flags: str) -> Result:
        """Run the program as a user would; the log is what it printed on stderr."""
        self._capsys.readouterr()
        paths = [f"-i{self.input}", f"-o{self.output}", f"--cache-dir={self.cache_dir}"]
        try:
            code = run_program([*paths, *flags])
        except SystemExit as exit:
            code = int(str(exit.code))
        printed = self._capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        return Result(code, printed.err)

    def run_and_interrupt(self, seconds: float, *flags: str) -> Result:
        """Run the program, and press Ctrl+C after so many seconds of sleep."""
        self.clock.at(seconds, lambda: signal.raise_signal(signal.SIGINT))
        return self.run(*flags)

    def remember(self, *entries: dict[str, Any]) -> None:
        """Make a cache of entries."""
        self.cache_dir.mkdir(exist_ok=True)
        self.cache_file.write_text(json.dumps({entry["username"]: entry for entry in entries}))

    @property
    def all_live(self) -> bool:
        """Whether every profile ended with its own biography: none lost, none falsified."""
        return all(text == f"The biography of {name}" for name, text in self.biographies().items())

    @property
    def gone(self) -> list[str]:
        """The profiles that are cached as not found."""
        return [name for name, entry in self.cache.items() if entry["error"] == "NOT_FOUND"]

    @property
    def cache(self) -> dict[str, dict[str, Any]]:
        return json.loads(self.cache_file.read_text())

    @property
    def progress(self) -> dict[str, Any]:
        return json.loads(self.progress_file.read_text())

    @property
    def rows(self) -> list[list[str]]:
        with self.output.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))

    @property
    def report(self) -> list[dict[str, str]]:
        """The rows of the report that a run with `--report` has written to `report_file`."""
        with self.report_file.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def biographies(self) -> dict[str, str]:
        """Handle -> Details of the output."""
        return {row[0].lstrip("@"): row[2] for row in self.rows[1:]}


@pytest.fixture
def world(
    tmp_path: Path, standin: StandIn, clock: CompressedTime, capsys: pytest.CaptureFixture[str]
) -> World:
    return World(tmp_path, standin, clock, capsys)
