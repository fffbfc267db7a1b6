"""Random nights: whatever comes, nothing is lost or falsified, and nothing is fetched too fast."""

from __future__ import annotations

import functools
import json
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from compressed import CompressedTime
from conftest import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standin import ANSWERS, Chosen, StandIn

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(30)]
NOT_FOUND = ("404", "null", "page")
ODDITIES = sorted({*ANSWERS, "reset", "closed", "torn", "torn_page"}.difference(NOT_FOUND))

STRETCHES = st.lists(  # what everybody is answered, and for how many requests
    st.tuples(st.sampled_from(ODDITIES), st.integers(1, 14))
    # Two to four may be said of two profiles in two passes: such ones can't be told from gone.
    | st.tuples(st.sampled_from(NOT_FOUND), st.just(1) | st.integers(5, 40))
    | st.tuples(st.just("live"), st.integers(1, 40)),
    max_size=10,
)
SOME = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NOT_FOUND), max_size=6)
WITHHELD = st.sets(st.sampled_from(NAMES), max_size=8)
WHAT = st.sampled_from(["cache indented", "cache touched", "cache removed", "output"])
WHEN = st.none() | st.floats(1, 4000)  # before a run starts, or while it waits
EDITS = st.lists(st.tuples(WHEN, WHAT), max_size=5)
SIGNALS = st.sampled_from([signal.SIGINT, signal.SIGTERM])
RESTARTS = st.lists(st.tuples(st.floats(1, 9000), SIGNALS), max_size=8)  # after so many seconds
PACES = st.tuples(  # batch size, batch pause and rate limit
    st.sampled_from([1, 7, 100]), st.sampled_from([0, 60, 1800]), st.sampled_from([1, 5, 20, 60])
)


class Night(StandIn):
    """Answers everybody alike for stretches; beside them, some profiles have their own ways.

    One that flickers is not found once in each run; withheld ones are shown from the third run on.
    No live profile is not found for two reasons in one run: it couldn't be told from a gone one.
    """

    def __init__(self, stretches: Any, gone: Any, flickers: Any, hidden: set[str]) -> None:
        super().__init__(NAMES)
        self.gone, self.flickers, self.hidden = gone, flickers, set(hidden)
        self.stretches: list[tuple[str, int]] = []
        for number, (kind, length) in enumerate(stretches):
            self.stretches += [(kind, number)] * length
        self.said_of: dict[str, int] = {}  # in this run: not found, and in which stretch

    def choose(self, username: str) -> Chosen:
        kind, number = self.stretches.pop(0) if self.stretches else ("live", -1)
        if kind == "live" and username in self.gone:
            return self.gone[username]
        if kind == "live" and username in self.flickers and username not in self.said_of:
            kind, number = self.flickers[username], -1
        is_said = kind in NOT_FOUND and username not in self.gone
        if is_said and self.said_of.setdefault(username, number) != number:
            return "401"
        return "asset deleted" if kind == "live" and username in self.hidden else kind


def edit(world: World, what: str, typed: list[str]) -> None:
    """Edit a file of a run, as somebody may; what was typed into the output is noted in `typed`."""
    cached, output = world.cache_file.read_text(), world.output.read_text()
    if what == "cache removed":
        world.cache_file.unlink()
    elif what == "cache touched":
        world.cache_file.write_text(cached)
    elif what == "cache indented":
        world.cache_file.write_text(json.dumps(json.loads(cached), indent=1))
    elif ",," in output:
        typed.append(f"typed {len(typed)}")
        world.output.write_text(output.replace(",,", f",{typed[-1]},", 1))


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


@given(ways=st.tuples(STRETCHES, SOME, SOME, WITHHELD), edits=EDITS, restarts=RESTARTS, pace=PACES)
@settings(
    max_examples=int(os.environ.get("NIGHTS", "40")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # capsys
)
def test_nights_lose_nothing(ways: Any, edits: Any, restarts: Any, pace: Any, capsys: Any) -> None:
    batch_size, batch_pause, rate = pace
    flags = ["-r", str(rate), "-b", str(batch_size), "--batch-pause", str(batch_pause)]
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder,
        Night(*ways) as standin,
    ):
        patch.setattr(ig, "API_URL", standin.url)
        clock = CompressedTime().install(patch)
        world = World(Path(folder), standin, clock, capsys)
        world.write(NAMES)
        known: dict[str, Any] = {}
        batch_ends = [0]  # after how many requests a run has ended by itself
        typed: list[str] = []
        for seconds, what in edits:
            if seconds is not None:
                clock.at(seconds, functools.partial(edit, world, what, typed))
        for count in range(60):
            if count == 2:
                standin.hidden.clear()
            standin.said_of.clear()
            seconds, what = edits[count] if 0 < count < len(edits) else (0, "")
            if seconds is None and what != "cache removed":  # which would be the end of it
                edit(world, what, typed)
            if count < len(restarts):
                seconds, signum = restarts[count]
                clock.at(seconds, functools.partial(signal.raise_signal, signum))
            code = world.run(*flags).code
            assert code in (0, 1, 130, 143)
            assert known.items() <= world.cache.items(), "what was answered once is never lost"
            known = world.cache
            kept = "".join(path.read_text() for path in world.folder.glob("out.csv*"))
            assert all(text in kept for text in typed)
            if code in (0, 1):
                batch_ends.append(len(standin.log))
            if code == 0:
                break
        assert code == 0
        errors = {name: entry["error"] for name, entry in known.items()}
        assert errors == {name: "NOT_FOUND" if name in standin.gone else None for name in NAMES}
        texts = {name: "" if errors[name] else f"The biography of {name}" for name in NAMES}
        assert world.biographies() == texts
        moments = [request.time for request in standin.log]
        in_a_minute = [sum(0 <= later - first < 60 for later in moments) for first in moments]
        assert max(in_a_minute) <= rate + 1
        batch_ends += [at for at, gap in enumerate(standin.gaps, 1) if gap >= batch_pause]
        batches = zip(sorted(batch_ends), [*sorted(batch_ends)[1:], len(moments)])
        assert all(fetches(standin, *each) <= batch_size for each in batches), "over restarts, too"
        blocked = ("401", "429", "403", "login page")
        after_blocks = zip(standin.log, standin.gaps)
        assert all(gap >= 60 for request, gap in after_blocks if request.answer in blocked)
