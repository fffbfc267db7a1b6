"""Rehearse a night: the real program on a sample list, against a stand-in, in compressed time.

    python tests/rehearse.py                                  # the whole night, in about 20 seconds
    python tests/rehearse.py --rate-limit 20 --limit 50       # with any of the program's own flags
    python tests/rehearse.py --graph-api --batch-pause 0      # with the official API
    python tests/rehearse.py --speed 100                      # 1800 virtual seconds take 18

Output, report and cache go to .tmp/rehearsal/ in the current folder. An earlier rehearsal's files
there are removed first, unless --cache-dir is given. Nothing is sent to Instagram. The exit code is
the program's.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shlex
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
REPORT = "report.csv"
SETTINGS = ("--rate-limit", "10", "--batch-size", "100", "--batch-pause", "1800")
API = ("--graph-api", "--batch-pause", "0")


class Night(StandIn):
    """Has had enough in the middle of the night: after 240 requests it answers 401 six times."""

    def choose(self, username: str) -> str | tuple[int, dict[str, str], bytes]:
        if len(self.log) == 240:
            self.burst.extend(["401"] * 6)
        return super().choose(username)


def parse_arguments(argv: Sequence[str] | None) -> tuple[float, list[str], bool]:
    """Returns the speed, the program's flags, and whether an earlier rehearsal is to be removed."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="All other flags are the program's own: instagram_enrichment.py --help lists them.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--speed", type=float, default=600.0, help="how many times as fast (default: %(default)g)"
    )
    parser.add_argument(
        "-i",
        "--input",
        help=f"a list of your own; only the sample's profiles are known (default: {SAMPLE.name})",
    )
    parser.add_argument("-o", "--output", help="where to write it (default: below .tmp/rehearsal)")
    parser.add_argument("--cache-dir", help="the state folder (default: .tmp/rehearsal)")
    parser.add_argument("--report", help="the report (default: report.csv in .tmp/rehearsal)")
    own, flags = parser.parse_known_args(argv)
    name = Path(own.input or SAMPLE).name
    paths = ["-i", own.input or os.path.relpath(SAMPLE), "-o", own.output or str(FOLDER / name)]
    paths += ["--cache-dir", own.cache_dir or str(FOLDER)]
    paths += ["--report", own.report or str(FOLDER / REPORT)]
    return max(1.0, own.speed), [*paths, *SETTINGS, *flags], not own.cache_dir


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on a night, on what is withheld, and once more; returns its exit code."""
    speed, flags, afresh = parse_arguments(argv)
    args = instagram_enrichment.parse_arguments(flags)  # leaves here for what can't be parsed
    if FOLDER in (args.cache_dir, args.output.parent, args.report.parent):
        FOLDER.mkdir(parents=True, exist_ok=True)
    for name in (SAMPLE.name, REPORT, "ig_cache.json", "ig_progress.json") if afresh else ():
        (FOLDER / name).unlink(missing_ok=True)
    known = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))
    os.environ["no_proxy"] = "127.0.0.1"
    CompressedTime(speed).install(Forever)
    time.time_ns = lambda: int(time.time() * 1e9)  # the log's clock, from Python 3.13 on
    say = functools.partial(print, "---", file=sys.stderr)
    with Night(known["users"]) as standin:
        standin.behaviour.update(known["behaviour"])
        instagram_enrichment.API_URL, instagram_enrichment.GRAPH_URL = (
            standin.url,
            standin.graph_url,
        )
        os.environ[instagram_enrichment.TOKEN_VARIABLE] = standin.token
        say(f"Act 1: a night, {speed:g} times as fast: instagram_enrichment.py {shlex.join(flags)}")
        code = instagram_enrichment.main(flags)
        if code == 1 and args.graph_api is None:
            say(f"Act 2: what the web address withholds, from the official API: {shlex.join(API)}")
            code = instagram_enrichment.main([*flags, *API])
        if code in (1, 130, 143) and not args.force:
            say(
                "To go on from there:",
                shlex.join([os.path.relpath(sys.executable), os.path.relpath(__file__), *flags]),
            )
        if code or args.force:
            return code
        sent = standin.requests
        say(
            f"Last act: the first command again. So far {sent} requests were sent; "
            "now every profile is in the cache."
        )
        code = instagram_enrichment.main(flags)
        say(f"The last act sent {standin.requests - sent} requests.")
        say("Done. The result:", args.output)
        say("What was filled:", shlex.join(["diff", str(args.input), str(args.output)]))
        say("What became of each row:", args.report)
    return code


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (KeyboardInterrupt, OSError) as error:
        raise SystemExit(str(error) or 130) from None  # an OSError has a text, Ctrl+C has none
