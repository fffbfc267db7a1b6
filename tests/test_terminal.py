"""The live line of a terminal: what it says, that it fits, and that nothing is left of it."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte
import pytest
from standin import StandIn, user

import instagram_enrichment as ig

CHILD = str(Path(__file__).with_name("child.py"))
NAMES = [f"profile.{number:03}" for number in range(12)]
FRAME = re.compile(r"\r\x1b\[K\x1b\[J([^\r\n\x1b]+)\r(?!\n)")  # the line as it is drawn once


class Terminal:
    """A terminal of a given width, in which the program runs as a child, on a list of 12."""

    def __init__(self, folder: Path, standin: StandIn, columns: int, speed: float, *flags: str):
        (folder / "list.csv").write_text("Handle\n" + "".join(f"@{name}\n" for name in NAMES))
        self.screen = pyte.HistoryScreen(columns, 24, history=1000, ratio=1.0)
        self._stream = pyte.Stream(self.screen)
        self.output = ""
        self.master, slave = pty.openpty()
        self.resize(columns)
        command = [sys.executable, CHILD, standin.url, *f"{speed} -i list.csv -o out.csv".split()]
        terms: Any = {"cwd": folder, "env": {"TERM": "xterm", **os.environ}, "stderr": slave}
        self.process = subprocess.Popen([*command, *flags], start_new_session=True, **terms)
        os.close(slave)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.screen.resize(columns=columns)

    def read(self) -> bool:
        """Show what the program writes next; returns whether there was anything."""
        try:
            text = os.read(self.master, 65536).decode()
        except OSError:  # Linux says so when the other side is closed
            return False
        self.output += text
        self._stream.feed(text)
        return bool(text)

    def read_until(self, pattern: str) -> None:
        seen = len(self.output)
        while not re.search(pattern, self.output[seen:]):
            assert self.read(), self.output

    def read_all(self) -> int:
        """Read to the end; returns the exit code."""
        while self.read():
            pass
        os.close(self.master)
        return self.process.wait(10)

    frames = property(lambda self: FRAME.findall(self.output))

    @property
    def lines(self) -> list[str]:
        """What stands in the terminal, what has scrolled away included."""
        columns = range(self.screen.columns)
        above = ["".join(line[at].data for at in columns) for line in self.screen.history.top]
        return [line.rstrip() for line in [*above, *self.screen.display] if line.strip()]


@pytest.fixture
def open_terminal(tmp_path: Path, standin: StandIn) -> Callable[..., Terminal]:
    standin.users.update({name: user(name) for name in NAMES})
    return lambda *args: Terminal(tmp_path, standin, *args)


SHAPES = (
    r"\[-{30}\]   0%  0/12  next in 0:00:0\d",
    r"\[#{10}-{20}\]  33%  4/12  waiting for an answer",
    r"\[#{12}-{18}\]  41%  5/12  paused for 0:01:\d\d",
    r"\[#+-+\]  66%  8/12  paused for 0:00:\d\d",
)


def test_the_line_says_what_happens_and_leaves_only_a_log(open_terminal: Any, standin: Any) -> None:
    def answer(name: str) -> str | None:
        threading.Event().wait(1.3 if name == NAMES[6] else 0)
        return "401" if len(standin.log) == 8 else None

    standin.watch = answer
    terminal = open_terminal(200, 100, "-r", "60", "-b", "5", "--batch-pause", "90")
    assert terminal.read_all() == 0
    for shape in SHAPES:
        assert any(re.fullmatch(shape + "  done at .+", frame) for frame in terminal.frames), shape
    for activity in ("5/12  paused for", "8/12  paused for", "2/12  next in"):
        shown = re.findall(rf"  {activity} 0:(\d\d):(\d\d)", terminal.output)
        countdown = [60 * int(minutes) + int(seconds) for minutes, seconds in shown]
        assert len(set(countdown)) >= 3, "it is drawn at least every second"
        assert countdown == sorted(countdown, reverse=True)
    assert terminal.frames[0] == "reading the list"
    percents = [int(percent) for percent in re.findall(r"\] +(\d+)%", str(terminal.frames))]
    assert percents == sorted(percents)
    for line in terminal.lines:
        assert re.match(r"\d{4}-\d\d-\d\d |  (Column|GENRE|Details|Categories)", line), line
    rows = [line[21:].split()[0] for line in terminal.lines if "] @" in line]
    assert rows == [f"[{number}/12]" for number in range(1, 13)]


def test_the_line_always_fits_even_if_the_terminal_is_made_narrower(open_terminal: Any) -> None:
    terminal = open_terminal(100, 20, "-r", "60")
    for columns in (100, 40, 12):
        terminal.resize(columns)
        terminal.read_until(r"(?s)\] @.*\] @")
        before = len(terminal.frames)
        terminal.read_until(r"\] @")
        frames = terminal.frames[before:]
        assert 0 < max(map(len, frames)) < columns
        assert all("%" in frame for frame in frames)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.read_all() == 130
    after = terminal.output.rpartition(terminal.frames[-1])[2]
    assert after.startswith("\r" + ig.ERASE) and after.count(ig.ERASE) == 1


@pytest.mark.parametrize("signum", ig.SIGNALS)
def test_the_line_is_gone_after_a_signal(open_terminal: Any, signum: signal.Signals) -> None:
    terminal = open_terminal(100, 1)
    terminal.read_until(r"next in 0:")
    if signum == signal.SIGHUP:  # as of a terminal that is closed
        os.close(terminal.master)
    terminal.process.send_signal(signum)
    code = terminal.process.wait(10) if signum == signal.SIGHUP else terminal.read_all()
    assert code == 128 + signum
    if signum != signal.SIGHUP:
        assert f"Interrupted by {signum.name}" in " ".join(terminal.lines)
        assert not any("%  0/12" in line for line in terminal.lines)


def test_a_dumb_terminal_gets_no_control_characters(open_terminal: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = open_terminal(80, float("inf"), "-b", "5")
    assert terminal.read_all() == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", terminal.output.replace("\r\n", "\n"))
    assert "[12/12]" in terminal.output


PAUSE = (900, 4015, "pausing, 0:23:47 left", "06:12")
LIVE_LINES = [
    (100, *PAUSE, f"[{'#' * 6}{'-' * 24}]  22%  900/4015  pausing, 0:23:47 left  done at 06:12"),
    (60, *PAUSE, "[#----]  22%  900/4015  pausing, 0:23:47 left  done at 06:12"),
    (59, *PAUSE, "[###-----------]  22%  pausing, 0:23:47 left  done at 06:12"),
    (35, *PAUSE, "[#----]  22%  pausing, 0:23:47 left"),
    (34, *PAUSE, "22%  pausing, 0:23:47 left"),
    (12, *PAUSE, "22%  pausing"),
    (79, 4014, 4015, "x", "y", f"[{'#' * 29}-]  99%  4014/4015  x  done at y"),
    (79, 4015, 4015, "x", "y", f"[{'#' * 30}] 100%  4015/4015  x  done at y"),
]


@pytest.mark.parametrize("case", LIVE_LINES, ids=str)
def test_the_line_drops_what_does_not_fit_and_is_full_only_when_all_is_done(case: Any) -> None:
    *given, line = case
    assert ig.live_line(*given) == line and len(line) <= given[0]


class Tty:
    """A stderr that says it is a terminal, in the foreground of which the program is, or not."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.written, self.foreground = "", os.getpgrp()
        self.isatty, self.fileno, self.flush = lambda: True, lambda: 2, lambda: None
        # In a fixture, pytest would take stderr back.
        patch.setattr(sys, "stderr", self)
        patch.setattr(os, "tcgetpgrp", lambda fd: self.foreground)
        patch.delenv("TERM", raising=False)

    def write(self, text: str) -> None:
        self.written += text


def test_nothing_is_drawn_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    tty = Tty(monkeypatch)
    console = ig.Console()
    assert console.is_live

    def written_by(step: Callable[[Any], None], argument: Any, is_background: bool) -> str:
        tty.written, tty.foreground = "", os.getpgrp() + is_background
        step(argument)
        return tty.written

    message = logging.makeLogRecord({"msg": "a message"})
    assert written_by(console.show, "next in 4 s", True) == ""
    assert written_by(console.emit, message, True) == "a message\n"
    assert written_by(console.show, "next in 3 s", False) == f"{ig.ERASE}next in 3 s\r"  # fg
    assert written_by(console.emit, message, False) == f"{ig.ERASE}a message\n"
    written_by(console.show, "next in 2 s", False)
    assert written_by(console.emit, message, True) == "a message\n"  # bg: a prompt is there now


def test_the_line_is_gone_even_if_the_program_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: Any, waiter: Any, console: Any) -> int:
        console.show("next in 2 s")
        raise ZeroDivisionError

    tty = Tty(monkeypatch)
    monkeypatch.setattr(ig, "enrich", fail)
    with pytest.raises(ZeroDivisionError):
        ig.main(["-i", "list.csv", "-o", "out.csv"])
    assert tty.written == f"{ig.ERASE}next in 2 s\r{ig.ERASE}"


def watch_waits(world: Any, *flags: str) -> list[tuple[int, float, str]]:
    """Run the program in a terminal; returns what the line says: done, end, activity."""
    shown: list[tuple[int, float, str]] = []

    def show(console: ig.Console, activity: str) -> None:
        if console.position:
            done, total, seconds = console.position()
            assert 0 <= done <= total == 12
            shown.append((done, time.time() + seconds, activity))

    with pytest.MonkeyPatch.context() as patch:
        Tty(patch)
        patch.setattr(ig.Console, "show", show)
        world.run(*flags)
    return shown


def test_the_end_that_is_shown_stands_still_and_moves_at_once_with_a_block(world: Any) -> None:
    world.live(*NAMES)
    world.standin.watch = lambda name: "401" if len(world.standin.log) == 7 else None
    ends = [end for _, end, _ in watch_waits(world, "-r", "10")]
    steps = [after - before for before, after in zip(ends, ends[1:])]
    longest = max(steps)
    assert 50 < longest < 70, "the block of a minute moves it"
    assert all(abs(step) < 10 for step in steps if step != longest), "nothing else does"
    assert all(abs(end - time.time()) < 12 for end in ends[steps.index(longest) + 1 :])


def test_the_pauses_to_come_are_counted_the_same_while_a_profile_is_fetched(world: Any) -> None:
    world.live(*NAMES)
    ends = [end for _, end, _ in watch_waits(world, "-b", "6", "--batch-pause", "600")]
    assert max(ends) - min(ends) < 60


def test_the_line_knows_what_is_done_in_a_resumed_pause_and_before_another_pass(world: Any) -> None:
    world.live(*NAMES)
    world.standin.behaviour = {**dict.fromkeys(NAMES[:4], "404"), NAMES[5]: "418"}
    done = [done for done, _, _ in watch_waits(world)]
    assert done == sorted(done) and done[-1] == 12 and done.count(8) >= 2, "in the second pass"
    world.standin.behaviour = {}
    assert world.run_and_interrupt(60, "--force", "-b", "5").code == 130
    done, _, activity = watch_waits(world, "-b", "5")[0]
    assert (done, activity[:10]) == (5, "paused for")
