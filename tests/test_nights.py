"""Random nights: whatever comes, nothing is lost or falsified, and nothing is fetched too fast."""

from __future__ import annotations

import contextlib
import io
import json
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

ODDITIES = sorted({*ANSWERS, "reset", "closed", "torn", "torn_page"})
STRETCHES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(ODDITIES), st.integers(1, 14)),
        st.tuples(st.sampled_from(["404", "null", "page"]), st.integers(3, 40)),
        st.tuples(
            st.just("live"), st.integers(2, 9)
        ),  # one alone between two 404 is what a gone profile looks like
    ),
    max_size=8,
)
GONE = st.dictionaries(st.integers(0, 29), st.sampled_from(["404", "null", "page"]), max_size=4)
RESTARTS = st.lists(st.floats(1, 4000), max_size=6)


class Night(StandIn):
    """Answers every profile alike for stretches; one that is gone is gone in between, too."""

    def __init__(self, stretches: list[tuple[str, int]], gone: dict[int, str]) -> None:
        super().__init__(NAMES)
        self.behaviour.update({NAMES[index]: kind for index, kind in gone.items()})
        self.burst.extend(kind for kind, length in stretches for _ in range(length))

    def choose(self, username: str) -> str | tuple[int, dict[str, str], bytes]:
        answer = super().choose(username)
        return self.behaviour.get(username, "live") if answer == "live" else answer


@given(
    stretches=STRETCHES,
    gone=GONE,
    restarts=RESTARTS,
    batch_size=st.sampled_from([1, 7, 100]),
    batch_pause=st.sampled_from([0, 60, 1800]),
    rate=st.sampled_from([1, 5, 20, 60]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_a_night_brings_nothing_is_lost_or_falsified(
    stretches: list[tuple[str, int]],
    gone: dict[int, str],
    restarts: list[float],
    batch_size: int,
    batch_pause: int,
    rate: int,
) -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        TemporaryDirectory() as folder,
        Night(stretches, gone) as standin,
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
        for count in range(60):
            if count < len(restarts):
                clock.at(restarts[count], lambda: signal.raise_signal(signal.SIGINT))
            with contextlib.redirect_stderr(io.StringIO()) as log:
                code = run_program(flags)
            assert "Traceback" not in log.getvalue()
            assert code in (0, 1, 130)
            cache = json.loads(Path(folder, "ig_cache.json").read_text())
            assert known.items() <= cache.items(), "what was answered once is never lost"
            known = cache
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
        waits = [
            request
            for request in standin.log
            if request.answer in ("401", "429", "403", "login page")
        ]
        after = {request.time: later.time for request, later in zip(standin.log, standin.log[1:])}
        assert all(after.get(request.time, float("inf")) - request.time >= 60 for request in waits)
