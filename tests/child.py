"""Runs the real program in a process of its own, in compressed time: child.py URL SPEED FLAGS…

Where CHILD_CLOCK names a file, the time that was skipped goes on from there, and beside it (with
`.sent`) stands when each request was sent, so that one run can follow another in the same
compressed night.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compressed import CompressedTime, Forever

import instagram_enrichment


def run(url: str, speed: float, flags: list[str]) -> int:
    clock = CompressedTime(speed)
    clock.install(Forever)
    instagram_enrichment.API_URL = url
    instagram_enrichment.GRAPH_URL = urljoin(url, "/v25.0/")
    name = os.environ.get("CHILD_CLOCK")
    if name is None:
        return instagram_enrichment.main(flags)
    kept, sent = Path(name), Path(name + ".sent")
    clock.skipped = float(kept.read_text()) if kept.exists() else 0.0
    get = instagram_enrichment.Transport.get

    def note(*args: Any) -> Any:
        with sent.open("a") as file:
            file.write(f"{time.time()}\n")
        return get(*args)

    instagram_enrichment.Transport.get = note
    try:
        return instagram_enrichment.main(flags)
    finally:
        kept.write_text(str(clock.skipped))


def run_logged(url: str, flags: list[str], log: str) -> None:
    """For multiprocessing: run with stderr in a file, in time that is all skipped."""
    with open(log, "a", buffering=1) as sys.stderr:
        sys.exit(run(url, float("inf"), flags))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
