"""Rehearse a night: the real program on a sample list, against a stand-in, in compressed time.

    python tests/rehearse.py                                  # the whole night, in half a minute
    python tests/rehearse.py --rate-limit 20 --limit 50       # with any of the program's own flags
    python tests/rehearse.py --graph-api --batch-pause 0      # with the official API
    python tests/rehearse.py --speed 100                      # 1800 virtual seconds take 18

Output, report and cache go to .tmp/rehearsal/ in the current folder. Nothing is sent to Instagram.
The same command goes on with a rehearsal that was stopped, and begins anew after one that is done.
The exit code is the program's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from compressed import CompressedTime, Forever
from standin import StandIn

import instagram_enrichment

SAMPLE = HERE / "data" / "influencers_425.csv"
FOLDER = Path(".tmp", "rehearsal")
PATHS = {
    "-i": os.path.relpath(SAMPLE),
    "-o": str(FOLDER / SAMPLE.name),
    "--report": str(FOLDER / "report.csv"),
    "--cache-dir": str(FOLDER),
}
SETTINGS = ["--rate-limit", "10"]
API = ["--graph-api", "--batch-pause", "0"]


class Night(StandIn):
    """Has had enough in the middle of the night: after 240 requests it answers 401 six times."""

    def choose(self, username: str) -> str | tuple[int, dict[str, str], bytes]:
        if len(self.log) == 240:
            self.burst.extend(["401"] * 6)
        return super().choose(username)


def play(act: str, flags: list[str]) -> int:
    """Run the program once; returns its exit code."""
    print("---", act, file=sys.stderr)
    return instagram_enrichment.main(flags)


def main(argv: Sequence[str] | None = None) -> int:
    """Play a night, then what it leaves to the official API, then the first command again."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="All other flags are the program's own: instagram_enrichment.py --help lists them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--speed", type=float, default=600.0, help="how many times as fast (default: %(default)g)"
    )
    own, more = parser.parse_known_args(argv)
    flags = [part for pair in PATHS.items() for part in pair] + SETTINGS + more
    args = instagram_enrichment.parse_arguments(flags)  # leaves here for what can't be parsed
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (FOLDER / "ig_progress.json").exists():  # no rehearsal that was stopped
        for name in ("ig_cache.json", SAMPLE.name):
            (FOLDER / name).unlink(missing_ok=True)

    CompressedTime(max(1.0, own.speed)).install(Forever)
    time.time_ns = lambda: int(time.time() * 1e9)  # the log's clock, from Python 3.13 on
    known = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))
    with Night(known["users"]) as standin:
        standin.behaviour.update(known["behaviour"])
        instagram_enrichment.API_URL = standin.url
        instagram_enrichment.GRAPH_URL = standin.graph_url
        os.environ[instagram_enrichment.TOKEN_VARIABLE] = standin.token
        os.environ["no_proxy"] = "127.0.0.1"
        code = play(f"A night, {own.speed:g} times as fast", flags)
        if code == 1 and args.graph_api is None:
            code = play("What was withheld, from the official API", [*flags, *API])
        if code == 0 and not args.force:
            code = play("The first command again: nothing is left to fetch", flags)
            print("--- The result:", args.output, "and", args.report, file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (KeyboardInterrupt, OSError) as error:
        raise SystemExit(str(error) or 130) from None  # an OSError has a text, Ctrl+C has none
