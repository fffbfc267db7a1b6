"""What the program costs: python tests/benchmark.py prints figures and ratios, all from this run.

Nothing here is a test: machines are noisy, so each figure is a ratio or a curve within the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compressed import CompressedTime, Forever
from standin import StandIn

import instagram_enrichment as ig

CHILD = """
import sys, time, resource
sys.path[:0] = sys.argv[1:3]
import requests, tenacity
ready = time.perf_counter()
import instagram_enrichment
code = instagram_enrichment.main(sys.argv[3:])
print(code, time.perf_counter() - ready, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def entry(name: str) -> ig.Profile:
    biography = (
        f"The biography of {name}: coffee, mountains and \u2615, write to us at any time " * 2
    )
    return ig.Profile(
        name,
        name.title(),
        biography,
        "Blogger",
        1000,
        True,
        False,
        "2026-01-22T10:30:00+00:00",
        None,
    )


def write_state(folder: Path, rows: int, cached: int) -> list[str]:
    """Make a list and a cache in `folder`; returns the flags for them."""
    names = [f"profile.{number}" for number in range(rows)]
    body = "".join(f'{name},Name,"Books\nTravel",,@{name}\r\n' for name in names)
    (folder / "list.csv").write_bytes(
        ("Rank,Name ,GENRE,Details,Instagram Handle\r\n" + body).encode()
    )
    cache = folder / "state"
    cache.mkdir()
    lines = ",\n".join(f'"{name}": {json.dumps(entry(name)._asdict())}' for name in names[:cached])
    (cache / "ig_cache.json").write_text("{\n" + lines + ("\n}\n" if cached else "}\n"))
    return [
        "-i",
        str(folder / "list.csv"),
        "-o",
        str(folder / "out.csv"),
        "--cache-dir",
        str(cache),
    ]


def saving(sizes: list[int]) -> None:
    """The cost of saving one profile, in turns, so that the machine's moods hit all sizes alike."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        caches = []
        for size in sizes:
            cache = ig.Cache(Path(folder) / str(size))
            cache.profiles = {
                f"profile.{number}": entry(f"profile.{number}") for number in range(size)
            }
            cache._write_all()
            caches.append(cache)
        costs: list[list[float]] = [[] for _ in sizes]
        for turn in range(400):
            for cache, cost in zip(caches, costs):
                profile = entry(f"new.{turn}")
                started = time.perf_counter()
                cache.add(profile)
                cost.append(time.perf_counter() - started)
        medians = [statistics.median(cost) for cost in costs]
    print("\nSaving one profile (synced)     cached   median ms   ratio to the smallest")
    for size, median in zip(sizes, medians):
        print(f"{size:>38,} {median * 1000:>11.3f} {median / medians[0]:>12.2f}")


def fully_cached(sizes: list[int]) -> None:
    """Start to end on a list that is cached already, beyond importing requests and tenacity."""
    print("\nA fully cached list               rows     seconds   peak MB   ms a row")
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            flags = write_state(Path(folder), rows, rows)
            command = [sys.executable, "-c", CHILD, str(HERE.parent), str(HERE), *flags]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        code, seconds, peak = shown.split()
        assert code == "0", shown
        each = float(seconds) / rows * 1000
        print(f"{rows:>38,} {float(seconds):>11.2f} {float(peak):>9.0f} {each:>10.3f}")


def run_compressed(
    clock: CompressedTime, profiles: int, cached: int, *flags: str
) -> tuple[float, float, list[float]]:
    """Run on a list of which some is cached; returns estimate, duration, and times of requests."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_state(Path(folder), profiles, cached)
        with StandIn([f"profile.{number}" for number in range(profiles)]) as server:
            ig.API_URL = server.url
            estimates: list[float] = []
            log_plan = ig.log_plan
            ig.log_plan = lambda run: estimates.append(run.eta())
            started = clock.monotonic()
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
                code = ig.main([*paths, *flags])
            ig.log_plan = log_plan
            assert code == 0
            return (
                estimates[0],
                clock.monotonic() - started,
                [request.time for request in server.log],
            )


def limiter(clock: CompressedTime) -> None:
    print("\nRate limiter            allowed/min  achieved/min   efficiency   most in 60 s")
    for rate in (5, 10, 20):
        _, _, moments = run_compressed(clock, 200, 0, "-r", str(rate), "--batch-pause", "0")
        achieved = (len(moments) - 1) / (moments[-1] - moments[0]) * 60
        most = max(sum(start <= moment <= start + 60 for moment in moments) for start in moments)
        print(f"{rate:>35} {achieved:>13.2f} {achieved / rate:>12.3f} {most:>14}")


def estimate(clock: CompressedTime) -> None:
    print("\nThe plan's estimate        profiles  cached   rate   estimate s    took s   ratio")
    for cached, rate in ((0, 10), (212, 10), (0, 20), (212, 20)):
        planned, took, _ = run_compressed(clock, 425, cached, "-r", str(rate))
        print(
            f"{425:>35} {cached:>7} {rate:>6} {planned:>12.0f} {took:>9.0f} {planned / took:>7.3f}"
        )


def night(clock: CompressedTime, rows: int, share: float) -> None:
    """A list of which a share is gone, against the least that its requests and pauses take.

    With the estimate in the plan, and the one after the first batch, as ratios to what it took.
    """
    gone = [f"profile.{at}" for at in range(rows) if int(at * share) < int((at + 1) * share)]
    estimates: list[tuple[float, float]] = []  # when, and the seconds still to come
    eta = ig.Enrichment.eta

    def noted_eta(run: ig.Enrichment) -> float:
        estimates.append((clock.monotonic(), eta(run)))
        return estimates[-1][1]

    with tempfile.TemporaryDirectory() as folder:
        paths = write_state(Path(folder), rows, 0)
        with StandIn([f"profile.{number}" for number in range(rows)]) as server:
            ig.API_URL = server.url
            server.behaviour.update(dict.fromkeys(gone, "404"))
            ig.Enrichment.eta = noted_eta
            started = clock.monotonic()
            with (
                open(os.devnull, "w") as nowhere,
                open(Path(folder, "log"), "w+") as log,
                contextlib.redirect_stdout(nowhere),
                contextlib.redirect_stderr(log),
            ):
                assert ig.main([*paths, "-r", "10"]) == 0
                log.seek(0)
                pauses = log.read().count("Batch of")
            took, requests = clock.monotonic() - started, len(server.log)
            ig.Enrichment.eta = eta
    bound = pauses * 1800 + requests * 6
    planned = estimates[0][1] / took
    after_batch = estimates[100][1] / (started + took - estimates[100][0])
    print(
        f"{rows:>15,} {share:>6.0%} {requests:>9,} {pauses:>7} {took / 3600:>7.2f} "
        f"{took / bound:>9.3f} {planned:>9.3f} {after_batch:>9.3f}"
    )


def main() -> None:
    fully_cached(
        [4_000, 40_000, 100_000]
    )  # first: a child's peak memory is never below its parent's
    saving([100, 1_000, 10_000, 100_000])
    clock = CompressedTime().install(Forever)
    limiter(clock)
    estimate(clock)
    print("\nA night  rows   gone  requests  pauses  took h  to bound  planned  1st batch")
    for share in (0.03, 0.3):
        night(clock, 4015, share)


if __name__ == "__main__":
    main()
