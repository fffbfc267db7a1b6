"""Random nights: whatever comes, nothing is lost or falsified, and nothing is fetched too fast."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from compressed import CompressedTime
from conftest import run_program
from hypothesis import given, settings
from hypothesis import strategies as st
from standin import ANSWERS, StandIn

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(30)]

NOT_FOUND = ("404", "null", "page")
ODDITIES = sorted({*ANSWERS, "reset", "closed", "torn", "torn_page"}.difference(NOT_FOUND))
STRETCHES = st.lists(  # what everybody is answered, and for how many requests
    st.one_of(
        st.tuples(st.sampled_from(ODDITIES), st.integers(1, 14)),
        # Two to four may be said of two profiles in two passes: such ones can't be told from gone.
        st.tuples(st.sampled_from(NOT_FOUND), st.just(1) | st.integers(5, 40)),
        st.tuples(st.just("live"), st.integers(1, 40)),
    ),
    max_size=10,
)
SOME = st.dictionaries(st.integers(0, 29), st.sampled_from(NOT_FOUND), max_size=6)
WITHHELD = st.sets(st.integers(0, 29), max_size=8)
EDITS = st.lists(  # when, and of what; before a run starts, or while it waits
    st.tuples(
        st.one_of(st.none(), st.floats(1, 4000)),
        st.sampled_from(["cache indented", "cache touched", "cache removed", "output"]),
    ),
    max_size=5,
)
BETWEEN_RUNS = [(None, "cache indented"), (None, "cache touched"), (None, "output")]
RESTARTS = st.lists(  # after how many seconds, and by which signal
    st.tuples(st.floats(1, 9000), st.sampled_from([signal.SIGINT, signal.SIGTERM])), max_size=8
)


class Night(StandIn):
    """Answers everybody alike for stretches; beside them, some profiles have their own ways.

    One that is gone is gone. One that flickers is not found once in each run. Withheld ones are
    shown from the third run on. In one run no live profile is said to be not found for two reasons:
    such a one can't be told from one that is gone.
    """

    def __init__(
        self,
        stretches: list[tuple[str, int]],
        gone: dict[int, str],
        flickering: dict[int, str],
        withheld: set[int],
    ) -> None:
        super().__init__(NAMES)
        self.gone = {NAMES[index]: kind for index, kind in gone.items()}
        self.flickering = {NAMES[index]: kind for index, kind in flickering.items()}
        self.withheld = {NAMES[index] for index in withheld}
        self.stretches = [
            (kind, number) for number, (kind, length) in enumerate(stretches) for _ in range(length)
        ]
        self.said_of: dict[str, int] = {}  # in this run: not found, and in which stretch

    def choose(self, username: str) -> str | tuple[int, dict[str, str], bytes]:
        kind, number = self.stretches.pop(0) if self.stretches else ("live", -1)
        if kind == "live" and username in self.gone:
            return self.gone[username]
        if kind == "live" and username in self.flickering and username not in self.said_of:
            kind, number = self.flickering[username], -1
        is_said = kind in NOT_FOUND and username not in self.gone
        if is_said and self.said_of.setdefault(username, number) != number:
            return "401"
        return "asset deleted" if kind == "live" and username in self.withheld else kind


class Meddler:
    """Somebody who edits the files of a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.typed: list[str] = []

    def edit(self, what: str) -> None:
        cache, output = self.folder / "ig_cache.json", self.folder / "out.csv"
        text = cache.read_text()
        if what == "cache indented":
            cache.write_text(json.dumps(json.loads(text), indent=1))
        elif what == "cache removed":
            cache.unlink()
        elif what == "cache touched":
            cache.write_text(text)
        elif what == "output":
            self.typed.append(f"typed {len(self.typed)}")
            output.write_text(output.read_text().replace(",,", f",{self.typed[-1]},", 1))
            if self.typed[-1] not in output.read_text():
                self.typed.pop()

    def assert_nothing_typed_is_lost(self) -> None:
        kept = "".join(path.read_text() for path in self.folder.glob("out.csv*"))
        assert [text for text in self.typed if text not in kept] == []


def fetches(night: Night, start: int, end: int) -> int:
    """How many profiles were fetched with those requests; retries and known ones don't count."""
    answered = {request.username for request in night.log[:start] if request.answer == "live"}
    count, last = 0, ""
    for request in night.log[start:end]:
        count += request.username not in {*answered, last}
        last = request.username
        if request.answer == "live":
            answered.add(request.username)
    return count


@given(
    stretches=STRETCHES,
    gone=SOME,
    flickering=SOME,
    withheld=WITHHELD,
    edits=EDITS,
    restarts=RESTARTS,
    batch_size=st.sampled_from([1, 7, 100]),
    batch_pause=st.sampled_from([0, 60, 1800]),
    rate=st.sampled_from([1, 5, 20, 60]),
)
@settings(max_examples=int(os.environ.get("NIGHTS", "40")), deadline=None)
def test_whatever_a_night_brings_nothing_is_lost_or_falsified(
    stretches: list[tuple[str, int]],
    gone: dict[int, str],
    flickering: dict[int, str],
    withheld: set[int],
    edits: list[tuple[float | None, str]],
    restarts: list[tuple[float, signal.Signals]],
    batch_size: int,
    batch_pause: int,
    rate: int,
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder,
        Night(stretches, gone, flickering, withheld) as standin,
    ):
        clock = CompressedTime()
        clock.install(patch)
        patch.setattr(ig, "API_URL", standin.url)
        patch.setenv("no_proxy", "127.0.0.1")
        sheet, output = Path(folder, "list.csv"), Path(folder, "out.csv")
        sheet.write_text("Handle,GENRE,Details\n" + "".join(f"{name},,\n" for name in NAMES))
        flags = ["-i", str(sheet), "-o", str(output), "--cache-dir", folder, "-r", str(rate)]
        flags += ["-b", str(batch_size), "--batch-pause", str(batch_pause)]
        known: dict[str, Any] = {}
        batch_ends = [0]  # after how many requests a run has ended by itself
        meddler = Meddler(Path(folder))
        for seconds, what in edits:
            if seconds is not None:
                clock.at(seconds, functools.partial(meddler.edit, what))
        for count in range(60):
            if count == 2:
                standin.withheld.clear()
            standin.said_of.clear()
            if 0 < count < len(edits) and edits[count] in BETWEEN_RUNS:
                meddler.edit(edits[count][1])
            if count < len(restarts):
                seconds, signum = restarts[count]
                clock.at(seconds, functools.partial(signal.raise_signal, signum))
            with contextlib.redirect_stderr(io.StringIO()) as log:
                code = run_program(flags)
            assert "Traceback" not in log.getvalue()
            assert code in (0, 1, 130, 143)
            cache = json.loads(Path(folder, "ig_cache.json").read_text())
            assert known.items() <= cache.items(), "what was answered once is never lost"
            meddler.assert_nothing_typed_is_lost()
            known = cache
            if code in (0, 1):
                batch_ends.append(len(standin.log))
            if code == 0:
                break
        assert code == 0
        errors = {name: entry["error"] for name, entry in known.items()}
        assert errors == {
            name: "NOT_FOUND" if index in gone else None for index, name in enumerate(NAMES)
        }
        expected = ["" if errors[name] else f"The biography of {name}" for name in NAMES]
        assert [line.split(",")[2] for line in output.read_text().splitlines()[1:]] == expected
        moments = [request.time for request in standin.log]
        assert all(
            sum(0 <= later - first < 60 for later in moments) <= rate + 1 for first in moments
        )
        batch_ends += [at for at, gap in enumerate(standin.gaps, 1) if gap >= batch_pause]
        batches = zip(sorted(batch_ends), [*sorted(batch_ends)[1:], len(moments)])
        longest = max(fetches(standin, start, end) for start, end in batches)
        assert longest <= batch_size, "however often it was stopped and started again"
        waits = [
            request
            for request in standin.log
            if request.answer in ("401", "429", "403", "login page")
        ]
        after = dict(zip(moments, moments[1:]))
        assert all(after.get(request.time, float("inf")) - request.time >= 60 for request in waits)
