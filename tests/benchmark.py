"""What the program costs: python tests/benchmark.py [PROGRAM …] prints figures and ratios.

The programs, by default the one beside the tests, are black boxes that get files, flags and an
Instagram, so that any two versions can be compared. Nothing here is a test: machines are noisy, so
programs take turns, and each figure is a ratio or a curve within the run.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from compressed import CompressedTime, Forever
from standin import StandIn, cache_entry

ROUNDS = 3  # of which the fastest counts
BIOGRAPHY = "The biography of somebody: coffee, mountains and \u2615, write to us " * 2
HEADER = "Rank,Name ,Country,GENRE,Details,Followers,ER,City,Language,Notes,Rate,Instagram Handle"
ROW = '{},Name,Spain,"Books\nTravel",,"12,345",1.2%,Lisbon,es,"a note, or two",10,@{}'
UNITS = {"h": 3600, "min": 60, "s": 1}


def write_files(folder: Path, rows: int, cached: int, others: int = 0) -> list[str]:
    """Make a list of 12 columns, of which the first rows and some others are cached.

    Returns the flags for them.
    """
    names = [f"profile.{number}" for number in range(rows)]
    lines = [HEADER, *(ROW.format(number, name) for number, name in enumerate(names))]
    (folder / "list.csv").write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    state = folder / "state"
    state.mkdir()
    entries = [*names[:cached], *(f"other.{number}" for number in range(others))]
    known = [f'"{x}": {json.dumps(cache_entry(x, biography=BIOGRAPHY))}' for x in entries]
    text = ",\n".join(known) + "\n" * bool(known)
    (state / "ig_cache.json").write_text(f"{{\n{text}}}\n")
    files = {"-i": folder / "list.csv", "-o": folder / "out.csv", "--cache-dir": state}
    return [text for flag, path in files.items() for text in (flag, str(path))]


# A night: in a process of its own, the program and an Instagram behind a proxy, in compressed time


class Night(NamedTuple):
    """What a run of the program was like; times in seconds."""

    log: str
    took: float  # in compressed time
    sent: list[float]  # when each request came, in compressed time
    real: list[float]  # the same in real time


def live_a_night(
    program: str, rows: int, *flags: str, cached: int = 0, others: int = 0, gone: float = 0.0
) -> Night:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        files = write_files(Path(folder), rows, cached, others)
        settings = json.dumps([program, rows, gone, [*files, *flags], folder])
        command = [sys.executable, str(Path(__file__).resolve()), "--night", settings]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return Night(done.stderr, *json.loads(done.stdout))


def be_a_night(program: str, rows: int, gone: float, flags: list[str], folder: str) -> int:
    """Run the program, in this process; prints the times as JSON, and returns the exit code."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(f"{folder}/ca.pem")
    real: list[float] = []
    with StandIn([f"profile.{number}" for number in range(rows)]) as instagram:
        instagram.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("www.instagram.com").configure_cert(instagram.tls)
        instagram.watch = lambda username: real.append(time.perf_counter())
        numbers = (at for at in range(rows) if int(at * gone) < int((at + 1) * gone))
        instagram.behaviour.update({f"profile.{at}": "404" for at in numbers})
        os.environ["HTTPS_PROXY"] = f"http://127.0.0.1:{instagram.server_address[1]}"
        os.environ["REQUESTS_CA_BUNDLE"] = f"{folder}/ca.pem"
        os.environ.pop("NO_PROXY", None)
        os.environ.pop("no_proxy", None)
        clock = CompressedTime().install(Forever)
        started = clock.monotonic()
        sys.argv = [program, *flags]
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as exit:
            code = int(str(exit.code))
        took = clock.monotonic() - started
        print(json.dumps([took, [request.time for request in instagram.log], real]))
    return code


def seconds_in(text: str) -> int:
    """The seconds of a duration as the log writes them: `2 h 42 min`."""
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+) (h|min|s)\b", text))


def planned(log: str) -> int:
    """The seconds that the plan estimated."""
    found = re.search(r": about (.*?), done at", log)
    assert found, log
    return seconds_in(found[1])


# The figures: each yields the headings of its columns, then rows

Rows = Iterator[tuple[object, ...]]


def start_up(programs: list[str]) -> Rows:
    """A fully cached list of 12 columns: start to end, beyond what --help takes."""
    yield "program", "rows", "seconds", "peak MB", "ms a row"
    for rows in (4_000, 40_000):
        with tempfile.TemporaryDirectory() as folder:
            flags = write_files(Path(folder), rows, rows)
            costs: dict[str, list[tuple[float, float]]] = {program: [] for program in programs}
            for _ in range(ROUNDS):
                for program in programs:
                    idle, _ = run_alone([sys.executable, program, "--help"])
                    seconds, peak = run_alone([sys.executable, program, *flags])
                    costs[program].append((seconds - idle, peak))
        for number, program in enumerate(programs, 1):
            seconds, peak = min(costs[program])
            yield number, rows, f"{seconds:.2f}", f"{peak:.0f}", f"{seconds / rows * 1000:.3f}"


def run_alone(command: list[str]) -> tuple[float, float]:
    """Run a command; returns its seconds, and its peak of memory in MB."""
    started = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0, command
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def saving(programs: list[str]) -> Rows:
    """A profile, from one request to the next in real time, beside so many that are cached."""
    yield "program", "cached", "median ms", "to smallest"
    for number, program in enumerate(programs, 1):
        smallest = 0.0
        for others in (100, 1_000, 10_000, 100_000):
            flags = ("-r", "60", "--batch-pause", "0", "-b", "100000")
            real = live_a_night(program, 400, *flags, others=others).real
            median = statistics.median(b - a for a, b in zip(real, real[1:]))
            smallest = smallest or median
            yield number, others, f"{median * 1000:.3f}", f"{median / smallest:.2f}"


def limiter(programs: list[str]) -> Rows:
    """The rate limiter: what it allows and what it achieves, in requests a minute."""
    yield "program", "allowed", "achieved", "efficiency", "most in 60 s"
    for number, program in enumerate(programs, 1):
        for rate in (5, 10, 20):
            sent = live_a_night(program, 200, "-r", str(rate), "--batch-pause", "0").sent
            achieved = (len(sent) - 1) / (sent[-1] - sent[0]) * 60
            most = max(sum(start <= moment <= start + 60 for moment in sent) for start in sent)
            yield number, rate, f"{achieved:.2f}", f"{achieved / rate:.3f}", most


def estimate(programs: list[str]) -> Rows:
    """The plan's estimate for 425 profiles against what they took, in seconds."""
    yield "program", "cached", "rate", "estimate", "took", "ratio"
    for number, program in enumerate(programs, 1):
        for cached, rate in ((0, 10), (212, 10), (0, 20), (212, 20)):
            night = live_a_night(program, 425, "-r", str(rate), cached=cached)
            plan = planned(night.log)
            yield number, cached, rate, plan, f"{night.took:.0f}", f"{plan / night.took:.3f}"


def nights(programs: list[str]) -> Rows:
    """A night of 4,015 rows, a share of them gone, against the least that it can take.

    With the estimate in the plan, and the one after the first batch, as ratios to what it took.
    """
    yield "program", "gone", "requests", "pauses", "took h", "to bound", "planned", "1st batch"
    for number, program in enumerate(programs, 1):
        for gone in (0.03, 0.3):
            night = live_a_night(program, 4015, "-r", "10", gone=gone)
            pauses = night.log.count("Batch of")
            bound = pauses * 1800 + len(night.sent) * 6
            line = re.search(r"\[100/4015\] .*? \| (.*?) left", night.log)
            assert line
            after = seconds_in(line[1]) / (night.took - (night.sent[99] - night.sent[0]))
            ratios = (night.took / bound, planned(night.log) / night.took, after)
            took = f"{night.took / 3600:.2f}"
            yield number, gone, len(night.sent), pauses, took, *(f"{x:.3f}" for x in ratios)


def main(programs: list[str]) -> None:
    for number, program in enumerate(programs, 1):
        print(f"Program {number}: {program}")
    for figure in (start_up, saving, limiter, estimate, nights):
        print(f"\n{figure.__doc__}", flush=True)
        for row in figure(programs):
            print("".join(f"{cell!s:>14}" for cell in row), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--night"]:
        sys.exit(be_a_night(*json.loads(sys.argv[2])))
    main(sys.argv[1:] or [str(HERE.parent / "instagram_enrichment.py")])
