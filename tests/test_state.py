"""The state on disk: the cache's format, what a damaged one costs, and who may use it."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import instagram_enrichment as ig

NAMES = [f"profile.{number:03}" for number in range(60)]
KEYS = list(ig.Profile._fields)


def ours(entries: dict[str, Any]) -> bytes:
    """A cache file as the program writes it."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def test_the_cache_is_valid_json_with_one_entry_a_line_after_every_profile(world: Any) -> None:
    names = world.live(*NAMES[:20])
    world.standin.behaviour = {names[3]: "null", names[7]: "404"}
    seen = []

    def look(username: str) -> Any:
        text = world.cache_file.read_text()
        entries = json.loads(text)
        assert text.count("\n") == len(entries) + 2
        assert all(list(entry) == KEYS for entry in entries.values())
        if list(entries) not in seen:
            seen.append(list(entries))

    world.standin.watch = look
    assert world.run().code == 0
    at_the_end = [names[3], names[7]]
    others = [name for name in names if name not in at_the_end]
    assert seen == [others[:count] for count in range(19)]
    assert list(world.cache) == [*others, *at_the_end]
    assert KEYS == [
        *("username", "full_name", "biography", "category_name", "follower_count"),
        *("is_business", "is_verified", "fetched_at", "error"),
    ]
    assert world.cache[names[3]]["error"] == "NOT_FOUND"
    assert world.cache[names[3]]["biography"] is None
    assert world.cache[names[0]]["error"] is None
    assert world.cache[names[0]]["follower_count"] == 1000
    assert world.cache[names[0]]["fetched_at"].endswith("+00:00")


def test_saving_writes_only_the_new_line(
    world: Any, cached_entry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live("new.one")
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(
        ours({f"old{index}": cached_entry(f"old{index}") for index in range(5000)})
    )
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append(os.fstat(file).st_ino) or fsync(file)
    )
    inode = world.cache_file.stat().st_ino
    assert world.run().code == 0
    assert world.cache_file.stat().st_ino == inode, "the file was extended, not written anew"
    assert synced.count(inode) == 1
    assert len(world.cache) == 5001


@pytest.mark.parametrize("indent", [None, 0, 1, 4])
def test_a_cache_of_another_tool_is_read(world: Any, cached_entry: Any, indent: int | None) -> None:
    names = world.live(*NAMES[:5])
    world.cache_dir.mkdir()
    entries = {name.upper(): cached_entry(name, biography="Día\n☕") for name in names[:4]}
    world.cache_file.write_text(json.dumps(entries, indent=indent, ensure_ascii=False))
    before = world.cache_file.read_bytes()
    assert world.run().code == 0
    assert world.standin.names == names[4:]
    assert world.cache_file.read_text().count("\n") == 5 + 2
    assert world.cache[names[0]]["biography"] == "Día\n☕"
    assert [path.read_bytes() for path in world.cache_dir.glob("*damaged*")] == [before]


def test_a_cache_cut_at_every_byte_of_its_last_three_lines_keeps_all_whole_entries(
    cached_entry: Any, tmp_path: Any
) -> None:
    entries = {name: cached_entry(name, biography='{"a": {"b": 1}}, "x": {') for name in NAMES[:50]}
    whole = ours(entries)
    starts = [index for index in range(len(whole)) if whole.startswith(b'\n"', index)]
    for cut in range(starts[-3], len(whole)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        path = folder / "ig_cache.json"
        path.write_bytes(whole[:cut])
        kept = ig.Cache(path).profiles
        expected = [name for name in entries if ours({name: entries[name]})[2:-3] in whole[:cut]]
        assert list(kept) == expected
        assert len(kept) >= 47
        assert {name: profile._asdict() for name, profile in kept.items()} == {
            name: entries[name] for name in kept
        }
        assert json.loads(path.read_bytes()).keys() == kept.keys()
        aside = [other.read_bytes() for other in folder.iterdir() if other != path]
        assert aside == [whole[:cut]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole.replace(b'"error": null}', b'"error": nul', 1),
        lambda whole: whole[100:],
        lambda whole: whole + b"\0" * 4096,
        lambda whole: whole[:-3] + b"\0" * 512,
        lambda whole: whole.replace(b",\n", b"\n", 1),
        lambda whole: whole + whole,
        lambda whole: b"[" + whole + b"]",
        lambda whole: whole.replace(b"{\n", b"\xff\xfe{\n", 1),
        lambda whole: whole.replace(b"\n", b"\r\n"),
    ],
)
def test_a_damaged_cache_costs_only_what_is_damaged(
    world: Any, cached_entry: Any, damage: Any
) -> None:
    names = world.live(*NAMES[:20])
    world.cache_dir.mkdir()
    damaged = damage(ours({name: cached_entry(name) for name in names[:10]}))
    world.cache_file.write_bytes(damaged)
    result = world.run()
    assert result.code == 0
    survivors = 10 - (len(world.standin.log) - 10)
    assert survivors >= 9
    assert f"is damaged, or another program's; {survivors} profile" in result.log
    assert [path.read_bytes() for path in world.cache_dir.glob("*damaged*")] == [damaged]
    assert world.biographies() == {name: f"The biography of {name}" for name in names}


@pytest.mark.parametrize("missing", ["}", '"error": null}', "}}"[:1]])
def test_an_entry_that_is_torn_in_the_middle_takes_none_of_those_below_it_along(
    world: Any, cached_entry: Any, missing: str
) -> None:
    names = world.live(*NAMES[:20])
    world.cache_dir.mkdir()
    before, line, after = (
        ours({name: cached_entry(name) for name in names}).decode().partition(f'"{names[3]}": ')
    )
    torn = after.replace(missing, "", 1)
    world.cache_file.write_text(before + line + torn)
    result = world.run()
    assert result.code == 0 and world.all_live
    assert "19 profiles taken over: kept it as" in result.log
    assert world.standin.names == [names[3]]


@pytest.mark.parametrize(
    "text", [b"[]", b"null", b"5", b'"x"', b"\0\0\0", b"{", b"not json", b"[" * 99999]
)
def test_a_cache_that_is_no_object_is_set_aside(world: Any, text: bytes) -> None:
    names = world.live(*NAMES[:3])
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(text)
    result = world.run()
    assert result.code == 0
    assert world.standin.names == names
    assert "; 0 profiles taken over" in result.log
    assert [path.read_bytes() for path in world.cache_dir.glob("*damaged*")] == [text]


ABOUT_US = [{"error": "RATE_LIMITED", "biography": None}, {"error": "TIMEOUT"}, {"error": ["x"]}]


@pytest.mark.parametrize(
    "entry",
    [None, 5, "x", [], {}, {"category": "x"}, {"biography": 5}, {"biography": {}}, *ABOUT_US],
)
def test_an_entry_that_says_nothing_about_its_profile_is_fetched_again(
    world: Any, cached_entry: Any, entry: Any
) -> None:
    names = world.live(*NAMES[:3])
    world.cache_dir.mkdir()
    before = ours(
        {names[0]: cached_entry(names[0]), names[1]: entry, names[2]: cached_entry(names[2])}
    )
    world.cache_file.write_bytes(before)
    assert world.run().code == 0
    assert world.standin.names == [names[1]]
    assert [path.read_bytes() for path in world.cache_dir.glob("*damaged*")] == [before]


def test_a_cached_error_is_not_fetched_again(world: Any, cached_entry: Any) -> None:
    world.live("gone")
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(
        ours({"gone": cached_entry("gone", biography=None, error="NOT_FOUND")})
    )
    assert world.run().code == 0
    assert world.standin.log == []
    assert world.rows[1] == ["@gone", "", ""]


EDITS: dict[str, Callable[[str], str | None]] = {
    "a line end more": lambda text: text + "\n",
    "indented": lambda text: json.dumps(json.loads(text), indent=2),
    "saved as it was a while ago": lambda text: text.splitlines()[0] + "\n}\n",
    "cut off": lambda text: text[:-40],
    "of the same length": lambda text: text.replace("The biography", "the BIOGRAPHY", 1),
    "emptied": lambda text: "",
    "removed": lambda text: None,
    "only touched": lambda text: text,
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("how", ["in place", "replaced", "in a pause"])
def test_a_cache_that_is_changed_during_a_run_is_kept_and_written_anew_from_memory(
    world: Any, edit: str, how: str
) -> None:
    names = world.live(*NAMES[:8])
    found: list[bytes] = []

    def meddle(username: str = names[3]) -> Any:
        if username in (names[3], names[6]):
            text = EDITS[edit](world.cache_file.read_text())
            path = world.cache_dir / "new" if how == "replaced" else world.cache_file
            if text is None:
                world.cache_file.unlink()
            else:
                path.write_text(text)
                path.replace(world.cache_file)
            if text and edit != "only touched":
                found.append(text.encode())

    if how == "in a pause":
        world.clock.at(60, meddle)
        flags = ("-b", "3", "--batch-pause", "1800")
        assert world.run_and_interrupt(90, *flags).code == 130
        assert list(world.cache) == names[:3], "before it is fetched on"
    else:
        world.standin.watch = meddle
    result = world.run()
    assert result.code == 0 and world.all_live
    assert world.standin.names == names, "nobody is fetched again"
    assert list(world.cache) == names
    assert world.cache_file.read_text().count("\n") == 8 + 2
    assert sorted(path.read_bytes() for path in world.cache_dir.glob("*damaged*")) == sorted(found)
    if how != "in a pause":
        assert result.log.count("is damaged, or another program's; ") == len(found)


# ---- What somebody typed into the output ----


def test_what_was_typed_into_the_output_is_kept_whenever_it_was_typed(world: Any) -> None:
    names = world.live(*NAMES[:6])
    assert world.run("--limit", "2").code == 0
    first = world.output.read_text().replace(f"@{names[3]},,", f"@{names[3]},typed,")
    world.output.write_text(first)
    second = []

    def meddle(username: str) -> Any:
        if username == names[4]:
            second.append(world.output.read_text() + "@a.row.more,,\n")
            world.output.write_text(second[0])

    world.standin.watch = meddle
    result = world.run("-b", "3", "--batch-pause", "0")
    assert result.code == 0 and world.all_live
    assert (world.folder / "out.csv.bak").read_text() == first
    assert (world.folder / "out.csv.bak1").read_text() == second[0]
    assert result.log.count("edits belong into the input") == 2
    assert f"kept it as {world.output}.bak1" in result.log
    world.run()
    assert len(list(world.folder.glob("*.bak*"))) == 2, "once"


def test_an_output_that_is_changed_during_a_run_is_kept_even_if_it_has_no_line_of_its_own(
    world: Any,
) -> None:
    names = world.live(*NAMES[:6])

    def meddle(username: str) -> Any:
        if username == names[4]:
            world.output.write_text("Handle,GENRE,Details\n")

    world.standin.watch = meddle
    assert world.run("-b", "3", "--batch-pause", "0").code == 0 and world.all_live
    assert (world.folder / "out.csv.bak").read_text() == "Handle,GENRE,Details\n"


def test_a_copy_of_the_output_has_its_permissions(world: Any) -> None:
    world.live(*NAMES[:2])
    world.output.write_text("my own\n")
    world.output.chmod(0o600)
    assert world.run().code == 0
    copy = world.folder / "out.csv.bak"
    assert copy.read_text() == "my own\n"
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["live", "401", "404"])
def test_a_state_folder_that_is_removed_is_made_again_from_memory(world: Any, kind: str) -> None:
    names = world.live(*NAMES[:6])
    removed = []

    def remove(username: str) -> Any:
        if username == NAMES[3] and not removed:
            removed.append(username)
            shutil.rmtree(world.cache_dir)
            return kind

    world.standin.watch = remove
    assert world.run().code == 0
    assert sorted(world.cache) == names and world.all_live
    assert world.cache_file.read_text().count("\n") == 6 + 2
    again = {"live": 0, "401": 1, "404": 1}[kind]
    assert len(world.standin.log) == 6 + again, "no other profile is fetched twice"


@pytest.mark.parametrize("kind", ["live", "401"])
def test_a_state_folder_is_made_with_the_folders_above_it_at_the_start_and_again(
    world: Any, kind: str
) -> None:
    names = world.live(*NAMES[:4])
    world.cache_dir = world.folder / "deep" / "er" / "state"
    removed: list[str] = []

    def remove(username: str) -> Any:
        if username == names[2] and not removed:
            removed.append(username)
            shutil.rmtree(world.folder / "deep")
            return kind

    world.standin.watch = remove
    assert world.run().code == 0 and world.all_live
    assert json.loads((world.cache_dir / "ig_cache.json").read_text()).keys() == set(names)


def test_a_state_folder_that_cannot_be_made_again_stops_the_run_with_one_line(world: Any) -> None:
    names = world.live(*NAMES[:6])

    def replace(username: str) -> Any:
        if username == NAMES[3]:
            shutil.rmtree(world.cache_dir)
            world.cache_dir.write_text("in the way")

    world.standin.watch = replace
    result = world.run()
    assert result.code == 1
    assert result.log.count("Could not save") == 1
    assert (
        list(world.biographies().values())
        == [f"The biography of {name}" for name in names[:3]] + [""] * 3
    )
    world.cache_dir.unlink()


def test_an_entry_that_is_replaced_keeps_one_line_a_name(world: Any, cached_entry: Any) -> None:
    path = world.folder / "ig_cache.json"
    path.write_bytes(ours({name: cached_entry(name) for name in NAMES[:9]}))
    cache = ig.Cache(path)
    for name in (NAMES[3], NAMES[8], "new.one", "new.one"):
        cache.add(ig.Profile.fetched_now(name, {"biography": "anew"}))
    assert path.read_text().count("\n") == 10 + 2
    assert list(json.loads(path.read_text())) == [*NAMES[:9], "new.one"]
    assert json.loads(path.read_text())[NAMES[8]]["biography"] == "anew"
    assert ig.Cache(path).profiles == cache.profiles
    assert [other.name for other in world.folder.iterdir()] == ["ig_cache.json"]


def test_a_name_that_stands_twice_counts_as_it_stands_last(world: Any, cached_entry: Any) -> None:
    world.live(*NAMES[:3])
    world.cache_dir.mkdir()
    lines = [
        f'"{name}": {json.dumps(cached_entry(name, biography=text))}'
        for name, text in (
            (NAMES[0], "old"),
            (NAMES[1], "The biography of profile.001"),
            (NAMES[0], "The biography of profile.000"),
        )
    ]
    world.cache_file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    result = world.run()
    assert result.code == 0 and world.all_live
    assert world.standin.names == [NAMES[2]]
    assert world.cache_file.read_text().count("\n") == 3 + 2


def test_the_output_is_whole_at_every_moment(world: Any) -> None:
    world.live(*NAMES[:12])

    def look(username: str) -> Any:
        assert len(world.rows) == 13
        assert all(len(row) == 3 for row in world.rows)

    world.standin.watch = look
    assert world.run("-b", "3").code == 0
    assert sorted(path.name for path in world.folder.iterdir()) == [".tmp", "list.csv", "out.csv"]


def test_an_output_that_is_a_link_is_written_where_it_points(world: Any) -> None:
    world.live(*NAMES[:2])
    real = world.folder / "real.csv"
    world.output.symlink_to(real)
    assert world.run().code == 0
    assert world.output.is_symlink()
    assert "The biography" in real.read_text()


# ---- What the system refuses ----


def refuse_flock(monkeypatch: pytest.MonkeyPatch, error: int, after: int = 0) -> None:
    """Let the system refuse to lock files, as network drives do, from some call on."""
    flock, calls = ig.fcntl.flock, iter(range(10**6))

    def refuse(*args: Any) -> None:
        if next(calls) >= after:
            raise OSError(error, os.strerror(error))
        flock(*args)

    monkeypatch.setattr(ig.fcntl, "flock", refuse)


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_state_folder_that_cannot_be_locked_is_refused_with_its_path(
    world: Any, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    world.live(*NAMES[:3])
    refuse_flock(monkeypatch, error)
    result = world.run()
    assert result.code == 2
    assert f"{world.cache_dir / 'ig.lock'}: {os.strerror(error)}: give another path" in result.log
    assert result.log.count("\n") == 1
    assert world.standin.log == []


def test_a_thread_that_cannot_be_started_is_a_network_error(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = world.live(*NAMES[:6])
    start, calls = threading.Thread.start, itertools.count()

    def refuse(thread: threading.Thread) -> None:
        if getattr(thread, "_args", ()) and thread.daemon and next(calls) in (3, 4):
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        result = world.run()
    assert result.code == 0 and world.all_live
    assert result.log.count("can't start new thread; try ") == 2
    assert world.standin.names == names


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_cache_that_cannot_be_written_stops_the_run_with_its_path_and_a_checkpoint(
    world: Any, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    names = world.live(*NAMES[:6])
    append = ig.Cache._append

    def refuse(cache: ig.Cache, line: bytes) -> None:
        if len(cache.profiles) == 3:
            raise OSError(error, os.strerror(error), str(world.cache_file))
        append(cache, line)

    with monkeypatch.context() as patch:
        patch.setattr(ig.Cache, "_append", refuse)
        result = world.run()
    assert result.code == 1
    assert f"Could not save ({world.cache_file}: {os.strerror(error)})" in result.log
    assert list(world.cache) == names[:3]
    assert [name for name, text in world.biographies().items() if text] == names[:3]
    assert world.run().code == 0
    assert world.standin.names == [*names[:4], *names[3:]], "the one that was not saved, again"


@pytest.mark.parametrize("name", ["ig_cache.json", "ig_progress.json"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_state_file_that_cannot_be_written_is_found_out_before_the_first_request(
    world: Any, cached_entry: Any, monkeypatch: pytest.MonkeyPatch, name: str, exists: bool
) -> None:
    world.live(*NAMES[:3])
    world.remember(*([cached_entry("old")] if exists else []))
    if exists:
        world.cache_file.write_bytes(ours({"old": cached_entry("old")}))
        world.progress_file.write_text('{"last_processed_index": 1}')
    elif name == "ig_cache.json":
        world.cache_file.unlink()
    path = world.cache_dir / name
    before = path.read_bytes() if path.exists() else None
    real_open = Path.open

    def refuse(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode != "rb" and name in self.name and ("b" in mode):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        return real_open(self, mode, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        result = world.run()
    assert result.code == 2
    assert f"{path}: Read-only file system: give another path" in result.log
    assert world.standin.log == []
    assert (path.read_bytes() if path.exists() else None) == before


@pytest.mark.parametrize("broken", [(), ("progress",), ("output",), ("progress", "output")])
def test_the_last_words_say_saved_only_of_what_is(
    world: Any, monkeypatch: pytest.MonkeyPatch, broken: tuple[str, ...]
) -> None:
    names = world.live(*NAMES[:6])
    append, write = ig.Cache._append, ig.write_atomic
    paths = {"progress": world.progress_file, "output": world.output}
    is_full: list[bool] = []

    def refuse_line(cache: ig.Cache, line: bytes) -> None:
        if len(cache.profiles) == 3:
            is_full.append(True)
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(world.cache_file))
        append(cache, line)

    def refuse_file(path: Path, *args: Any) -> None:
        if is_full and path in [paths[name] for name in broken]:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        write(path, *args)

    monkeypatch.setattr(ig.Cache, "_append", refuse_line)
    monkeypatch.setattr(ig, "write_atomic", refuse_file)
    result = world.run()
    assert result.code == 1
    unwritten = ", ".join(map(str, [world.cache_file, *(paths[name] for name in broken)]))
    assert f"Could not save ({world.cache_file}: Read-only file system). " in result.log
    assert f"Stopped at row 5 (@{names[3]}), with 3 of 6 rows still open; " in result.log
    assert f"; everything but {unwritten} is saved; to resume: run the same" in result.log
    assert list(world.cache) == names[:3]


def test_a_failed_write_is_no_clean_stop_even_if_a_signal_came(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES[:6])
    report = world.folder / ("r" * 150 + ".csv")
    write = ig.write_atomic

    def refuse(path: Path, *args: Any) -> None:
        if world.standin.log and path != world.cache_file and path != world.progress_file:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, *args)

    monkeypatch.setattr(ig, "write_atomic", refuse)
    result = world.run_and_interrupt(20, "--report", str(report))
    assert result.code == 1
    assert f"everything but {world.output}, " in result.log
    assert "r" * 60 in result.log.splitlines()[-1], "each path is named, however long they are"


def test_where_the_brace_cannot_be_put_back_the_path_is_named_and_the_cache_written_anew(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = world.live(*NAMES[:6])
    real_open = Path.open
    calls = itertools.count()

    class Dying(io.FileIO):
        def write(self, data: Any) -> int:
            if next(calls) < 2:
                super().write(data[:40])
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().write(data)

    def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if path == world.cache_file and options.get("buffering") == 0 and len(world.cache) == 2:
            return Dying(str(path), "r+")
        return real_open(path, mode, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", opened)
        result = world.run()
    assert result.code == 1
    assert f"Could not save ({world.cache_file}: Input/output error)" in result.log
    assert list(world.cache) == names[:2], "the torn file was kept, and written anew"
    assert world.run().code == 0 and world.all_live


def test_a_line_that_cannot_be_synced_is_taken_back(
    world: Any, cached_entry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = world.folder / "ig_cache.json"
    before = ours({NAMES[0]: cached_entry(NAMES[0])})
    path.write_bytes(before)
    cache = ig.Cache(path)

    def refuse(file: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="ig_cache"):
            cache.add(ig.Profile.fetched_now(NAMES[1], {"biography": "lost"}))
    assert path.read_bytes() == before
    cache.add(ig.Profile.fetched_now(NAMES[2], {"biography": "saved"}))
    assert list(json.loads(path.read_text())) == [NAMES[0], NAMES[2]]
