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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from standin import StandIn

import instagram_enrichment as ig

HERE = Path(__file__).parent
NAMES = [f"profile.{number:03}" for number in range(12)]
FRAME = re.compile(r"\r\x1b\[K\x1b\[J([^\r\n\x1b]+)\r(?!\n)")  # the line as it is drawn once


class Terminal:
    """A terminal of a given width, in which the program runs as a child, on a list of 12."""

    def __init__(self, folder: Path, standin: StandIn, columns: int, speed: float, *flags: str):
        (folder / "list.csv").write_text("Handle\n" + "".join(f"@{name}\n" for name in NAMES))
        self.screen = pyte.HistoryScreen(columns, 24, history=1000, ratio=1.0)
        self._stream = pyte.Stream(self.screen)
        self.output = ""
        self._master, slave = pty.openpty()
        self.resize(columns)
        paths = ["-i", "list.csv", "-o", "out.csv", *flags]
        command = [sys.executable, str(HERE / "child.py"), standin.url, str(speed), *paths]
        environment = {"TERM": "xterm", **os.environ, "no_proxy": "127.0.0.1"}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.screen.resize(columns=columns)

    def read(self) -> bool:
        """Show what the program writes next; returns whether there was anything."""
        try:
            text = os.read(self._master, 65536).decode()
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
        os.close(self._master)
        return self.process.wait(10)

    @property
    def frames(self) -> list[str]:
        return FRAME.findall(self.output)

    @property
    def lines(self) -> list[str]:
        """What stands in the terminal, what has scrolled away included."""
        above = [
            "".join(line[at].data for at in range(self.screen.columns))
            for line in self.screen.history.top
        ]
        return [line.rstrip() for line in [*above, *self.screen.display] if line.strip()]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with StandIn(NAMES) as server:
        yield server


def test_the_live_line_says_what_happens_and_leaves_nothing_but_the_log(
    tmp_path: Path, server: StandIn
) -> None:
    def answer(name: str) -> str | None:
        if name == NAMES[6]:
            threading.Event().wait(1.3)
        return "401" if len(server.log) == 8 else None

    server.watch = answer
    flags = ["-r", "60", "-b", "5", "--batch-pause", "90"]
    terminal = Terminal(tmp_path, server, 200, 100, *flags)
    assert terminal.read_all() == 0
    shapes = [
        r"\[-{30}\]   0%  0/12  next in 0:00:0\d  done at .+",
        r"\[#{10}-{20}\]  33%  4/12  waiting for an answer  done at .+",
        r"\[#{12}-{18}\]  41%  5/12  paused for 0:01:\d\d  done at .+",
        r"\[#+-+\]  66%  8/12  paused for 0:00:\d\d  done at .+",
    ]
    for shape in shapes:
        assert any(re.fullmatch(shape, frame) for frame in terminal.frames), shape
    for activity in ("5/12  paused for", "8/12  paused for", "2/12  next in"):
        shown = re.findall(rf"  {activity} 0:(\d\d):(\d\d)", terminal.output)
        countdown = [60 * int(minutes) + int(seconds) for minutes, seconds in shown]
        assert len(set(countdown)) >= 3, "it is drawn at least every second"
        assert countdown == sorted(countdown, reverse=True)
    assert terminal.frames[0] == "reading the list"
    percents = [int(percent) for percent in re.findall(r"(\d+)%  \d+/12", terminal.output)]
    assert percents == sorted(percents)
    for line in terminal.lines:
        assert re.match(r"\d{4}-\d\d-\d\d |  (Column|GENRE|Details|Categories)", line), line
    assert [line[21:].split()[0] for line in terminal.lines if "] @" in line] == [
        f"[{number}/12]" for number in range(1, 13)
    ]


def test_the_line_is_never_wider_than_the_terminal_even_if_that_is_made_narrower(
    tmp_path: Path, server: StandIn
) -> None:
    terminal = Terminal(tmp_path, server, 100, 20, "-r", "60")
    terminal.read_until(r"\[3/12\]")
    assert max(map(len, terminal.frames)) < 100
    for columns in (40, 12):
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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_line_is_gone_after_a_signal(
    tmp_path: Path, server: StandIn, signum: signal.Signals
) -> None:
    terminal = Terminal(tmp_path, server, 100, 1)
    terminal.read_until(r"next in 0:")
    terminal.process.send_signal(signum)
    assert terminal.read_all() == 128 + signum
    assert "done at" not in terminal.lines[-1]
    assert f"Interrupted by {signum.name}" in " ".join(terminal.lines)
    assert not any("%  0/12" in line for line in terminal.lines)


def test_a_dumb_terminal_gets_no_control_characters(
    tmp_path: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(tmp_path, server, 80, float("inf"), "-b", "5")
    assert terminal.read_all() == 0
    log = terminal.output.replace("\r\n", "\n")  # which the terminal's driver makes of "\n"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", log)
    assert "[12/12]" in log


def test_a_terminal_that_is_closed_ends_the_run_like_any_hang_up(
    tmp_path: Path, server: StandIn
) -> None:
    terminal = Terminal(tmp_path, server, 80, 1)
    terminal.read_until(r"next in")
    os.close(terminal._master)
    terminal.process.send_signal(signal.SIGHUP)
    assert terminal.process.wait(10) == 129
    assert (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (
            100,
            "[######------------------------]  22%  900/4015  pausing, 0:23:47 left  done at 06:12",
        ),
        (60, "[#----]  22%  900/4015  pausing, 0:23:47 left  done at 06:12"),
        (39, "[##-------]  22%  pausing, 0:23:47 left"),
        (27, "22%  pausing, 0:23:47 left"),
        (12, "22%  pausing"),
    ],
)
def test_the_line_drops_what_does_not_fit(width: int, line: str) -> None:
    shown = ig.live_line(width, 900, 4015, "pausing, 0:23:47 left", "06:12")
    assert len(shown) <= width
    assert shown == line


def test_it_is_at_100_percent_only_when_all_is_done() -> None:
    assert ig.live_line(79, 4014, 4015, "", "").startswith(f"[{'#' * 29}-]  99%  4014/4015")
    assert ig.live_line(79, 4015, 4015, "", "").startswith(f"[{'#' * 30}] 100%  4015/4015")


class Tty:
    """A stderr that says it is a terminal."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        pass


def foreground_terminal(monkeypatch: pytest.MonkeyPatch) -> Tty:
    """Make stderr a terminal, in its foreground (in a fixture, pytest would take it back)."""
    tty = Tty()
    monkeypatch.setattr(sys, "stderr", tty)
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp())
    monkeypatch.delenv("TERM", raising=False)
    return tty


def test_nothing_is_drawn_while_the_program_is_in_the_background(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tty = foreground_terminal(monkeypatch)
    foreground = [os.getpgrp() + 1]
    monkeypatch.setattr(os, "tcgetpgrp", lambda fd: foreground[0])
    console = ig.Console()
    assert console.is_live
    console.show("next in 4 s")
    console.emit(logging.makeLogRecord({"msg": "a message"}))
    assert tty.written == "a message\n"
    foreground[0] = os.getpgrp()  # fg
    console.show("next in 3 s")
    assert tty.written == f"a message\n{ig.ERASE}next in 3 s\r"
    console.erase_line()
    console.emit(logging.makeLogRecord({"msg": "another"}))
    assert tty.written == f"a message\n{ig.ERASE}next in 3 s\r{ig.ERASE}another\n"
    console.show("next in 2 s")
    foreground[0] = os.getpgrp() + 1  # Ctrl+Z, bg: below the line is the prompt now
    tty.written = ""
    console.emit(logging.makeLogRecord({"msg": "the last"}))
    assert tty.written == "the last\n"


def test_the_line_is_gone_even_if_the_program_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tty = foreground_terminal(monkeypatch)

    def fail(args: Any, waiter: Any, console: Any) -> int:
        console.show("next in 2 s")
        raise ZeroDivisionError

    monkeypatch.setattr(ig, "enrich", fail)
    with pytest.raises(ZeroDivisionError):
        ig.main(["-i", "list.csv", "-o", "out.csv"])
    assert tty.written == f"{ig.ERASE}next in 2 s\r{ig.ERASE}"


def watch_waits(world: Any, *flags: str) -> list[tuple[int, float, str]]:
    """Run the program; returns what the line says in each wait: done, end, activity."""
    shown: list[tuple[int, float, str]] = []
    runs: list[Any] = []

    def show(activity: str) -> None:
        if runs:
            shown.append((runs[0].done(), time.time() + runs[0].eta(), activity))

    original = ig.Waiter.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ig.Console, "follow", lambda console, run: runs.append(run))
        patch.setattr(ig.Waiter, "__init__", lambda waiter, _: original(waiter, show))
        world.run(*flags)
    return shown


def test_the_end_that_is_shown_stands_still_and_moves_at_once_with_a_block(world: Any) -> None:
    world.live(*NAMES)
    world.standin.watch = lambda name: "401" if len(world.standin.log) == 7 else None
    shown = watch_waits(world, "-r", "10")
    finished = time.time()
    ends = [end for _, end, _ in shown]
    steps = [after - before for before, after in zip(ends, ends[1:])]
    longest = max(steps)
    assert 50 < longest < 70, "the block of a minute moves it"
    assert all(abs(step) < 10 for step in steps if step != longest), "nothing else does"
    after = ends[steps.index(longest) + 1 :]
    assert all(abs(end - finished) < 12 for end in after)


def test_the_line_knows_in_a_resumed_pause_what_is_done(world: Any) -> None:
    world.live(*NAMES)
    assert world.run_and_interrupt(60, "-b", "5").code == 130
    done, _, activity = watch_waits(world, "-b", "5")[0]
    assert (done, activity[:10]) == (5, "paused for")


def test_the_bar_is_full_only_when_nothing_is_left_for_another_pass(world: Any) -> None:
    world.live(*NAMES)
    world.standin.behaviour = {**dict.fromkeys(NAMES[:4], "404"), NAMES[5]: "418"}
    done = [done for done, _, _ in watch_waits(world)]
    assert done == sorted(done) and done[-1] == 12
    assert done.count(8) >= 2, "in the second pass"
