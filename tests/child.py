"""Runs the real program in a process of its own, in compressed time: child.py URL SPEED FLAGS…"""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urljoin

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compressed import CompressedTime, Forever

import instagram_enrichment


def run(url: str, speed: float, flags: list[str]) -> int:
    CompressedTime(speed).install(Forever)
    instagram_enrichment.API_URL = url
    instagram_enrichment.GRAPH_URL = urljoin(url, "/v25.0/")
    return instagram_enrichment.main(flags)


def run_logged(url: str, flags: list[str], log: str) -> None:
    """For multiprocessing: run with stderr in a file, in time that is all skipped."""
    with open(log, "a", buffering=1) as sys.stderr:
        sys.exit(run(url, float("inf"), flags))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
