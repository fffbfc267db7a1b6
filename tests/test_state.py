"""The state on disk: the cache's format, what a damaged one costs, and what can't be written."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import threading
from errno import EACCES, EIO, ENOLCK, ENOSPC, EROFS
from pathlib import Path
from typing import Any

import pytest
from standin import cache_entry

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(20)]


def line(name: str, entry: Any) -> bytes:
    return json.dumps({name: entry}).encode()[1:-1]


def ours(entries: dict[str, Any]) -> bytes:
    """A cache file as the program writes it."""
    return b"{" + b",".join(b"\n" + line(*item) for item in entries.items()) + b"\n}\n"


def test_after_every_profile_the_cache_is_a_line_longer_and_the_output_whole(world: Any) -> None:
    names = world.live(*NAMES)
    world.standin.behaviour[names[19]] = "404"
    file, seen = world.cache_file, []
    world.standin.watch = lambda _: seen.append((file.read_bytes(), file.stat().st_ino, world.rows))
    assert world.run("-b", "8").code == 0
    caches, inodes, outputs = zip(*seen)
    assert [[*json.loads(cache)] for cache in caches[:20]] == [names[:at] for at in range(20)]
    assert all(cache == ours(json.loads(cache)) for cache in caches)
    assert len(set(inodes)) == 1, "the file was extended, not written anew"
    assert all([len(row) for row in rows] == [3] * 21 for rows in outputs)
    first = world.cache[names[0]]
    assert (first["follower_count"], first["fetched_at"][-6:]) == (1000, "+00:00")
    assert sorted(os.listdir(world.folder)) == [".tmp", "list.csv", "out.csv"]
    assert sorted(os.listdir(world.cache_dir)) == ["ig.lock", "ig_cache.json"]
    first.update(error="NOT_PROFESSIONAL", biography=None)
    file.write_bytes(ours({**world.cache, names[0]: first}))
    assert world.run().code == 0
    assert world.standin.names[len(caches) :] == names[:1]
    assert list(world.cache) == names, "what is fetched again keeps its line"
    assert world.cache[names[0]]["error"] is None


ENTRIES = {name: cache_entry(name, full_name="Día\n☕") for name in NAMES[:5]}
WHOLE = ours(ENTRIES)
IN_CAPITALS = {name.upper(): entry for name, entry in ENTRIES.items()}


def with_second(entry: Any) -> bytes:
    """The cache with something else in the place of its second entry."""
    return ours({**ENTRIES, NAMES[1]: entry})


# What stands in the place of the cache, and which of its five entries have to be fetched again.
DAMAGES = {
    "another tool's": (json.dumps(IN_CAPITALS, indent=4, ensure_ascii=False).encode(), []),
    "in a wrapper": (b'{"profiles": ' + WHOLE + b"}", []),
    "one name twice": (b"{" + line(NAMES[0], cache_entry(NAMES[0], biography="old")) + WHOLE, []),
    "with a byte that is not UTF-8": (WHOLE.replace(b"biography of", b"\xff", 1), [0]),
    "without its start": (WHOLE[100:], [0]),
    "with a torn value": (WHOLE.replace(b"null", b"nul", 1), [0]),
    "with an entry left open": (WHOLE.replace(b"}", b"", 1), [0]),
    "with too many brackets": (WHOLE.replace(b"1000", b"[" * 99999, 1), [0]),
    "only zeros": (b"\0\0\0", [0, 1, 2, 3, 4]),
    "a short entry": (with_second({"biography": "The biography of profile.001", "error": ""}), []),
    "null": (with_second(None), [1]),
    "no biography": (with_second({"category_name": "Blogger"}), [1]),
    "a biography that is no text": (with_second({"biography": 5}), [1]),
    "a category that is no text": (with_second({"biography": "x", "category_name": 5}), [1]),
    "an entry about us": (with_second({"biography": None, "error": "RATE_LIMITED"}), [1]),
    "an error that is no text": (with_second({"biography": "x", "error": ["x"]}), [1]),
    "an entry about another": (with_second(cache_entry("another")), [1]),
}


@pytest.mark.parametrize(("damaged", "lost"), DAMAGES.values(), ids=DAMAGES.keys())
def test_of_a_damaged_cache_whole_entries_are_kept(world: Any, damaged: Any, lost: Any) -> None:
    names = world.live(*NAMES[:6])
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(damaged)
    result = world.run()
    assert result.code == 0 and world.all_live
    assert world.standin.names == [*(names[at] for at in lost), names[5]]
    expected = f"{5 - len(lost)} profiles taken over: kept it as {world.cache_file}.damaged\n"
    assert f"{world.cache_file} is damaged, or another program's; {expected}" in result.log
    assert world.cache_file.with_suffix(".json.damaged").read_bytes() == damaged
    assert {entry["error"] for entry in world.cache.values()} == {None}
    assert world.cache_file.read_bytes() == ours(world.cache)


def test_a_cache_cut_at_every_byte_keeps_all_whole_entries(tmp_path: Path) -> None:
    entries = {name: cache_entry(name, biography='{"a": {"b": 1}}, "x": {') for name in NAMES[:3]}
    whole = ours(entries)
    for cut in range(1, len(whole)):
        path = tmp_path / str(cut)
        path.write_bytes(whole[:cut])
        kept = {name: profile._asdict() for name, profile in ig.Cache(path).profiles.items()}
        assert kept == {name: e for name, e in entries.items() if line(name, e) in whole[:cut]}
        assert path.read_bytes() == ours(kept)
        assert (tmp_path / f"{cut}.damaged").read_bytes() == whole[:cut]


def replace_by_its_like(path: Path) -> None:
    """Put another file there, which is as long and as old."""
    old = path.rename(path.with_name("old"))
    path.write_bytes(old.read_bytes().replace(b"The biography", b"the BIOGRAPHY", 1))
    shutil.copystat(old, path)


EDITS: dict[str, Any] = {
    "of the same length": lambda path: path.write_text(path.read_text().replace("Blo", "blo", 1)),
    "replaced": replace_by_its_like,
    "emptied": lambda path: path.write_text(""),
    "removed": Path.unlink,
    "touched": Path.touch,
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
@pytest.mark.parametrize("is_in_pause", [False, True])
def test_a_cache_changed_in_a_run_is_renewed(world: Any, edit: Any, is_in_pause: bool) -> None:
    names = world.live(*NAMES[:8])
    found: list[bytes] = []

    def meddle(username: str = names[3]) -> None:
        if username in (names[3], names[6]):
            before = world.cache_file.read_bytes()
            edit(world.cache_file)
            after = world.cache_file.read_bytes() if world.cache_file.exists() else b""
            found.extend({after} - {before, b""})

    if is_in_pause:
        world.clock.at(60, meddle)
        assert world.run_and_interrupt(90, "-b", "3", "--batch-pause", "1800").code == 130
        assert list(world.cache) == names[:3], "before it is fetched on"
    else:
        world.standin.watch = meddle
    result = world.run()
    assert result.code == 0 and world.all_live
    told = result.log.count(f"{world.cache_file} was changed by another program: kept it as ")
    assert told == (0 if is_in_pause else len(found))
    assert world.standin.names == list(world.cache) == names, "nobody is fetched again"
    assert world.cache_file.read_bytes() == ours(world.cache)
    assert [path.read_bytes() for path in sorted(world.cache_dir.glob("*.damaged*"))] == found


def test_a_state_folder_is_made_at_the_start_and_again_from_memory(world: Any) -> None:
    names = world.live(*NAMES[:6])
    above, saved = world.folder / "deep", []
    world.cache_dir = above / "er" / "state"
    world.cache_file = world.cache_dir / "ig_cache.json"

    def remove(username: str) -> str | None:
        if username in names[1::2] and username not in world.standin.names:
            saved.append(list(world.cache))
            shutil.rmtree(above)
            if username == names[5]:
                above.write_text("in the way")
        return "401" if world.standin.names == names[:3] else None

    world.standin.watch = remove
    result = world.run()
    assert saved == [names[:1], names[:3], names[:5]]
    assert world.standin.names == [*names[:4], *names[3:]], "no other profile is fetched twice"
    assert result.code == 1
    assert result.log.count(f"Could not save ({world.cache_file}: Not a directory)") == 1
    assert [*world.biographies().values()].count("") == 1


def test_what_was_typed_into_the_output_is_kept_whenever_it_was_typed(world: Any) -> None:
    names = world.live(*NAMES[:6])
    real = world.folder / "real.csv"
    world.output.symlink_to(real)
    assert world.run("--limit", "2").code == 0
    first = real.read_text().replace(f"@{names[3]},,", f"@{names[3]},typed,")
    second = "Handle,GENRE,Details\n"  # no line of it is a new one
    real.write_text(first)
    real.chmod(0o600)

    def meddle(username: str) -> None:
        if username == names[4]:
            real.write_text(second)

    world.standin.watch = meddle
    result = world.run("-b", "3", "--batch-pause", "0")
    assert result.code == 0 and world.all_live
    kept = [world.folder / "real.csv.bak", world.folder / "real.csv.bak1"]
    assert [path.read_text() for path in kept] == [first, second]
    assert kept[0].stat().st_mode & 0o777 == 0o600
    why = "has lines that are not of this list (edits belong into the input)"
    assert all(f"{real} {why}: kept it as {path}\n" in result.log for path in kept)
    world.run()
    assert sorted(world.folder.glob("*.bak*")) == kept, "once"
    assert world.output.is_symlink(), "a link is written where it points"


def on_opening(patch: Any, paths: list[Path], act: Any) -> None:
    """Before the program opens some files for writing, act: raise an error, or return a file."""
    real_open = Path.open

    def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        is_ours = mode in ("wb", "r+b") and any(each.name in path.name for each in paths)
        if not (file := is_ours and act(path)):
            return real_open(path, mode, *args, **options)
        return io.BufferedRandom(file) if options.get("buffering", -1) else file

    patch.setattr(Path, "open", opened)


def refuse(error: int, path: Path | None = None) -> Any:
    raise OSError(error, os.strerror(error), path and str(path))


UNUSABLE = {"ig_cache.json": ENOSPC, "ig_progress.json": EACCES, "ig.lock": ENOLCK}


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(("name", "error"), UNUSABLE.items())
def test_a_state_file_that_cannot_be_used_is_found_out_before_the_first_request(
    world: Any, monkeypatch: Any, name: str, error: int, exists: bool
) -> None:
    world.live(*NAMES[:3])
    world.cache_dir.mkdir()
    if exists:
        world.cache_file.write_bytes(WHOLE)
        world.progress_file.write_text('{"last_processed_index": 1}')
    before = {path: path.read_bytes() for path in world.cache_dir.iterdir()}
    path = world.cache_dir / name
    on_opening(monkeypatch, [path], lambda path: refuse(error, path))
    if name == "ig.lock":
        monkeypatch.setattr("fcntl.flock", lambda *args: refuse(error))
    result = world.run()
    code, advice = (1, "free some space") if error == ENOSPC else (2, "give another path")
    assert result.code == code and result.log.count("\n") == 1
    assert result.log.endswith(f": {path}: {os.strerror(error)}: {advice}\n")
    assert world.standin.log == []
    assert all(path.read_bytes() == data for path, data in before.items())


BROKEN = [  # what can't be written, how many are cached, and when a signal comes
    (".tmp/ig_cache.json", 3, 9999),
    (".tmp/ig_progress.json", 4, 9999),
    (".tmp/ig_cache.json .tmp/ig_progress.json out.csv report.csv", 3, 9999),
    ("out.csv report.csv", 6, 9999),
    ("out.csv report.csv", 5, 330),
]


@pytest.mark.parametrize(("broken", "cached", "stop"), BROKEN)
def test_what_cannot_be_written_stops_the_run_with_its_path_and_the_rest_is_saved(
    world: Any, monkeypatch: Any, broken: str, cached: int, stop: int
) -> None:
    names = world.live(*NAMES[:6])
    paths = [world.folder / name for name in broken.split()]
    with monkeypatch.context() as patch:
        on_opening(patch, paths, lambda path: world.standin.log[3:] and refuse(EROFS, path))
        result = world.run_and_interrupt(stop, "-r", "1", "--report", str(world.report_file))
    assert result.code == 1, "no clean stop, even if a signal came"
    why = f"Could not save ({paths[0]}: Read-only file system)"
    words = "Interrupted by SIGINT" if stop == 330 else why
    place = f"row {cached + 2} (@{names[cached]})" if cached < 6 else "the end"
    words += f". Stopped at {place}, with {6 - cached} of 6 rows still open; everything but "
    words += f"{', '.join(map(str, paths))} is saved; to resume: run the same command again\n"
    assert words in result.log
    assert result.log.count(why) == words.count(why)
    assert list(world.cache) == names[:cached]
    assert "out.csv" in broken or [*world.biographies().values()].count("") == 6 - cached
    assert world.run().code == 0 and world.all_live
    assert world.standin.names == [*names[: max(cached, 4)], *names[cached:]]


# Of the write of the line, of the sync, of the write of the brace that was there.
@pytest.mark.parametrize("faults", [["short", ""], ["", "error", ""], ["error", "error"]])
def test_a_line_not_wholly_on_disk_is_taken_back(world: Any, monkeypatch: Any, faults: Any) -> None:
    names = world.live(*NAMES[:6])
    coming = iter(faults)

    class Failing(io.FileIO):
        def write(self, data: Any) -> int:
            fault = next(coming)
            taken = super().write(data[:40] if fault else data)
            return refuse(EIO) if fault == "error" else taken

        def fileno(self) -> int:
            return refuse(EIO) if next(coming) else super().fileno()

    def act(path: Path) -> io.FileIO | None:
        is_append = path == world.cache_file and names[3] in world.standin.names
        return Failing(str(path), "r+") if is_append else None

    with monkeypatch.context() as patch:
        on_opening(patch, [world.cache_file], act)
        result = world.run()
    assert result.code == 1 and list(coming) == []
    why = "No space left on device" if "short" in faults else "Input/output error"
    assert f"Could not save ({world.cache_file}: {why}). Stopped at row 5" in result.log
    assert list(world.cache) == names[:3]
    assert world.run().code == 0 and world.all_live
    assert len(list(world.cache_dir.glob("*.damaged*"))) == (faults == ["error", "error"])


def test_a_thread_that_cannot_be_started_is_a_network_error(world: Any, monkeypatch: Any) -> None:
    names = world.live(*NAMES[:6])
    real_start, calls = threading.Thread.start, itertools.count()

    def start(thread: threading.Thread) -> None:
        if threading.current_thread() is threading.main_thread() and next(calls) in (3, 4):
            raise RuntimeError("can't start new thread")
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    result = world.run()
    assert result.code == 0 and world.all_live and world.standin.names == names
    assert result.log.count("can't start new thread; try ") == 2
