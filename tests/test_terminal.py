"""The live line of a terminal: what it says, that it fits, and that nothing is left of it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from datetime import datetime
from typing import Any

import pyte
import pytest
from conftest import HERE

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(12)]
FRAME = re.compile(r"\r\x1b\[K\x1b\[J([^\r\n\x1b]+)\r(?!\n)")  # the line as it is drawn once


def test_the_line_fits_a_terminal_made_narrower_or_closed(world: Any, monkeypatch: Any) -> None:
    world.live(*NAMES)
    monkeypatch.chdir(world.folder)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    command = [sys.executable, HERE / "child.py", world.standin.url, "60", "-ilist.csv", "-oo.csv"]
    process = subprocess.Popen(command, stderr=slave, start_new_session=True)
    os.close(slave)
    for columns, width in ((0, 79), (40, 39), (12, 11)):
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        output = ""
        while output.count("] @") < 3:
            output += os.read(master, 65536).decode(errors="replace")
        widths = [len(frame) for frame in FRAME.findall(output) if "%" in frame]
        first_new = next(at for at, each in enumerate(widths) if each <= width)
        assert max(widths[first_new:]) == width
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert process.wait(10) == 128 + signal.SIGHUP


PAUSE = (900, 4015, "pausing, 0:23:47 left", "06:12")
LIVE_LINES = [
    (100, *PAUSE, f"[{'#' * 6}{'-' * 24}]  22%  900/4015  pausing, 0:23:47 left  done at 06:12"),
    (60, *PAUSE, "[#----]  22%  900/4015  pausing, 0:23:47 left  done at 06:12"),
    (59, *PAUSE, "[###-----------]  22%  pausing, 0:23:47 left  done at 06:12"),
    (35, *PAUSE, "[#----]  22%  pausing, 0:23:47 left"),
    (34, *PAUSE, "22%  pausing, 0:23:47 left"),
    (79, 4014, 4015, "x", "y", f"[{'#' * 29}-]  99%  4014/4015  x  done at y"),
    (79, 4015, 4015, "x", "y", f"[{'#' * 30}] 100%  4015/4015  x  done at y"),
]


@pytest.mark.parametrize("case", LIVE_LINES, ids=str)
def test_the_line_drops_what_does_not_fit_and_is_full_only_when_all_is_done(case: Any) -> None:
    *given, line = case
    assert ig.live_line(*given) == line and len(line) <= given[0]


class Tty:
    """A stderr that says it is a terminal, in the foreground of which the program is, or not."""

    def __init__(self, patch: pytest.MonkeyPatch, term: str = "xterm") -> None:
        self.written, self.behind, self.foreground = "", "", os.getpgrp()
        self.isatty, self.fileno, self.flush = lambda: True, lambda: 2, lambda: None
        patch.setattr(sys, "stderr", self)  # in a fixture, pytest would take it back
        patch.setattr(os, "tcgetpgrp", lambda fd: self.foreground)
        patch.setattr(os, "get_terminal_size", lambda fd: os.terminal_size((200, 24)))
        patch.setenv("TERM", term)

    def write(self, text: str) -> None:
        self.written += text
        self.behind += "" if self.foreground else text


def test_a_dumb_terminal_gets_no_control_characters(world: Any, monkeypatch: Any) -> None:
    world.live(*NAMES)
    tty = Tty(monkeypatch, term="dumb")
    assert world.run("-b", "5").code == 0
    assert re.fullmatch(r"[\n -~…]+", tty.written) and "[12/12]" in tty.written


def test_nothing_is_drawn_in_background_nor_left_by_a_crash(world: Any, monkeypatch: Any) -> None:
    world.live(*NAMES)
    tty = Tty(monkeypatch)
    world.clock.at(5, lambda: setattr(tty, "foreground", 0))
    world.clock.at(15, lambda: setattr(tty, "foreground", os.getpgrp()))
    world.clock.at(25, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.run()
    assert re.fullmatch(r"(\d{4}-.*\n){2,}", tty.behind)
    assert all(FRAME.search(before_or_after) for before_or_after in tty.written.split(tty.behind))
    assert tty.written.endswith("\r" + ig.ERASE)


def watch_line(world: Any, *flags: str) -> tuple[list[str], list[str]]:
    """Run the program in a terminal; returns what its line says, and the log that it leaves."""
    with pytest.MonkeyPatch.context() as patch:
        tty = Tty(patch)
        world.run(*flags)
    screen = pyte.Screen(200, 100)
    pyte.Stream(screen).feed(tty.written.replace("\n", "\r\n"))
    log = [line.rstrip() for line in screen.display if line.strip()]
    for line in log:
        assert re.match(r"\d{4}-\d\d-\d\d |  (Column|GENRE|Details|Categories)", line), line
    return FRAME.findall(tty.written), log


def test_the_line_says_what_happens_and_when_it_ends_and_leaves_only_a_log(world: Any) -> None:
    world.live(*NAMES)
    world.standin.watch = lambda name: "401" if len(world.standin.log) == 8 else None
    (first, *frames), log = watch_line(world, "-r10", "-b6", "--batch-pause=40")
    assert first == "reading the list"
    shown = str(frames)
    assert re.search(r"'\[-{30}\]   0%  0/12  next in 0:00:0\d  done at \d", shown)
    assert re.search(r"'\[#{10}-{20}\]  33%  4/12  waiting for an answer  done at \d", shown)
    assert re.search(r"'\[#{15}-{15}\]  50%  6/12  paused for 0:0\d:\d\d  done at \d", shown)
    for activity in ("6/12  paused for", "8/12  paused for", "2/12  next in"):
        countdown = re.findall(rf"  {activity} (0:\d\d:\d\d)", shown)
        assert len(set(countdown)) >= 3, "it is drawn at least every second"
        assert countdown == sorted(countdown, reverse=True)
    assert re.findall(r"\[(\d+)/12\] @", str(log)) == [*map(str, range(1, 13))]
    finished = time.strftime("%H:%M:%S", time.localtime(time.time()))
    ends = [*(frame[-8:] for frame in frames), finished]
    times = [datetime.strptime(end, "%H:%M:%S").timestamp() for end in ends]
    steps = [after - before for before, after in zip(times, times[1:])]
    longest = max(steps)
    assert 50 < longest < 70, "the block of a minute moves the end at once"
    assert all(abs(step) < 10 for step in steps if step != longest), "nothing else does"
    assert all(abs(end - times[-1]) < 12 for end in times[steps.index(longest) + 1 :])


def test_the_line_knows_what_is_done_in_a_resumed_pause_and_before_another_pass(world: Any) -> None:
    world.live(*NAMES)
    flags = ("-b5", "--batch-pause=30")
    world.clock.at(40, lambda: signal.raise_signal(signal.SIGINT))
    assert "Interrupted by SIGINT" in watch_line(world, *flags)[1][-1]
    world.standin.behaviour = {**dict.fromkeys(NAMES[5:9], "404"), NAMES[10]: "418"}
    (_, first, *frames), _ = watch_line(world, *flags)
    assert "  5/12  paused for" in first
    done = [int(done) for done in re.findall(r"(\d+)/12", str(frames))]
    assert done == sorted(done) and done[-1] == 12 and done.count(8) >= 2, "in the second pass"
