"""The state on disk: the cache's format, what a damaged one costs, and who may use it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
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
    assert seen == [[*others, *at_the_end][:count] for count in range(20)]
    assert KEYS == [
        *("username", "full_name", "biography", "category_name", "follower_count"),
        *("is_business", "is_verified", "fetched_at", "error"),
    ]
    assert world.cache[names[3]]["error"] == "NOT_FOUND"
    assert world.cache[names[3]]["biography"] is None
    assert world.cache[names[0]]["error"] is None
    assert world.cache[names[0]]["follower_count"] == 1000
    assert world.cache[names[0]]["fetched_at"].endswith("+00:00")


def test_progress_is_written_after_each_profile(world: Any) -> None:
    world.live(*NAMES[:6])
    seen = []

    def look(username: str) -> Any:
        seen.append(json.loads(world.progress_file.read_text()))

    world.standin.watch = look
    assert world.run().code == 0
    assert seen == [{"last_processed_index": count} for count in range(6)]
    assert not world.progress_file.exists()


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
    assert f"recovered {survivors} entries" in result.log
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
    assert "recovered 19 entries" in result.log
    assert world.standin.names == [names[3]]


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"5", b'"x"', b"\0\0\0", b"{", b"not json", b"[" * 99999]
)
def test_a_cache_that_is_no_object_is_set_aside(world: Any, text: bytes) -> None:
    names = world.live(*NAMES[:3])
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(text)
    result = world.run()
    assert result.code == 0
    assert world.standin.names == names
    assert "recovered 0 entries" in result.log
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


def test_an_empty_error_of_another_tool_is_none(world: Any, cached_entry: Any) -> None:
    names = world.live(*NAMES[:1])
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(ours({names[0]: cached_entry(names[0], error="")}))
    assert world.run().code == 0
    assert world.biographies() == {names[0]: f"The biography of {names[0]}"}
    assert world.standin.log == []


def test_an_entry_with_bytes_that_are_no_text_is_fetched_again(
    world: Any, cached_entry: Any
) -> None:
    names = world.live(*NAMES[:2])
    world.cache_dir.mkdir()
    broken = ours({name: cached_entry(name) for name in names}).replace(
        b"biography of " + names[0].encode(), b"caf\xe9"
    )
    world.cache_file.write_bytes(broken)
    assert world.run().code == 0
    assert world.standin.names == names[:1]
    assert world.biographies() == {name: f"The biography of {name}" for name in names}


def test_an_entry_that_names_another_profile_is_fetched_again(
    world: Any, cached_entry: Any
) -> None:
    names = world.live(*NAMES[:3])
    world.cache_dir.mkdir()
    entries = {name: cached_entry(name) for name in names}
    entries[names[1]]["username"] = "somebody.else"
    entries[names[2]]["username"] = names[2].upper()
    world.cache_file.write_bytes(ours(entries))
    assert world.run().code == 0
    assert world.standin.names == [names[1]]
    assert world.all_live


def test_a_cache_deleted_while_running_is_written_anew(world: Any) -> None:
    names = world.live(*NAMES[:6])

    def delete(username: str) -> Any:
        if username == NAMES[3]:
            world.cache_file.unlink()

    world.standin.watch = delete
    assert world.run().code == 0
    assert list(world.cache) == names


def test_an_empty_object_is_a_cache(world: Any) -> None:
    world.live(*NAMES[:2])
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(b"{\n}\n")
    assert world.run().code == 0
    assert list(world.cache_dir.glob("*damaged*")) == []
    assert world.cache_file.read_text().count("\n") == 4


def test_a_cached_error_is_not_fetched_again(world: Any, cached_entry: Any) -> None:
    world.live("gone")
    world.cache_dir.mkdir()
    world.cache_file.write_bytes(
        ours({"gone": cached_entry("gone", biography=None, error="NOT_FOUND")})
    )
    assert world.run().code == 0
    assert world.standin.log == []
    assert world.rows[1] == ["@gone", "", ""]


EDITS: dict[str, Callable[[str], str]] = {
    "a line end more": lambda text: text + "\n",
    "indented": lambda text: json.dumps(json.loads(text), indent=2),
    "saved as it was a while ago": lambda text: ours(
        dict(list(json.loads(text).items())[:1])
    ).decode(),
    "emptied": lambda text: "",
    "cut off": lambda text: text[:-40],
    "of the same length": lambda text: text.replace("The biography", "the BIOGRAPHY", 1),
    "by an editor that replaces the file": lambda text: text.replace("Blogger", "Author"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("replaced", [True, False])
def test_a_cache_that_is_edited_in_a_run_is_merged_and_nobody_is_fetched_again(
    world: Any, edit: Callable[[str], str], replaced: bool
) -> None:
    names = world.live(*NAMES[:8])
    edited = []

    def meddle(username: str) -> Any:
        if username in (names[3], names[6]):
            text = edit(world.cache_file.read_text())
            edited.append(text.encode())
            path = world.cache_dir / "new" if replaced else world.cache_file
            path.write_bytes(edited[-1])
            path.replace(world.cache_file)

    world.standin.watch = meddle
    result = world.run()
    assert result.code == 0
    assert result.log.count("was changed by another program: merged its") == 2
    assert world.standin.names == names
    assert list(world.cache) == names or sorted(world.cache) == names
    assert world.cache_file.read_text().count("\n") == 8 + 2
    kept = {path.read_bytes() for path in world.cache_dir.glob("*damaged*")}
    assert kept == {
        data for data in edited if data != ours(json.loads(data or b"[]") if is_json(data) else {})
    }
    assert [name.lower() for name in world.biographies()] == names
    texts = {text.lower() for text in world.biographies().values()}
    assert texts == {f"the biography of {name}" for name in names}
    assert world.run().code == 0
    assert len(world.standin.log) == 8


def is_json(data: bytes) -> bool:
    return ig.parse_json(data) is not None


def test_an_edit_of_the_cache_counts_unless_the_run_knows_better(
    world: Any, cached_entry: Any
) -> None:
    names = world.live(*NAMES[:4])
    old = cached_entry(names[3], biography="of another time")

    def meddle(username: str) -> Any:
        if username == names[2]:
            entries = world.cache
            entries[names[0]]["biography"] = "typed"
            entries[names[1]]["biography"] = "stale"
            entries[names[1]]["fetched_at"] = "2020-01-01T00:00:00+00:00"
            entries[names[3]] = old
            world.cache_file.write_bytes(ours(entries))

    world.standin.watch = meddle
    assert world.run().code == 0
    assert world.standin.names == names[:3], "the fourth has come into the cache meanwhile"
    assert list(world.biographies().values()) == [
        *("typed", f"The biography of {names[1]}"),
        *(f"The biography of {names[2]}", "of another time"),
    ]
    assert len(list(world.cache_dir.glob("*damaged*"))) == 1, "what was not taken over is kept"


def test_a_cache_that_is_only_touched_is_no_news(world: Any) -> None:
    world.live(*NAMES[:4])
    world.standin.watch = lambda username: os.utime(world.cache_file, (1, 1))
    result = world.run()
    assert result.code == 0
    assert "another program" not in result.log
    assert len(world.cache) == 4


def test_a_cache_that_is_edited_in_a_pause_is_merged_when_the_run_is_interrupted(
    world: Any,
) -> None:
    names = world.live(*NAMES[:6])
    world.clock.at(60, lambda: world.cache_file.write_text("{}"))
    assert world.run_and_interrupt(90, "-b", "3", "--batch-pause", "1800").code == 130
    assert list(world.cache) == names[:3]


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
    assert result.log.count("Type your edits into the input") == 2
    assert f"kept it as {world.output}.bak1" in result.log
    world.run()
    assert len(list(world.folder.glob("*.bak*"))) == 2, "once"


def test_rows_added_to_the_list_and_a_run_cut_off_make_no_copy_of_the_output(world: Any) -> None:
    names = world.live(*NAMES[:6])
    world.write(names[:3])
    world.input.write_bytes(world.input.read_bytes().replace(b"\n", b"\r\n"))
    assert world.run("--limit", "2").code == 0
    world.write(names)
    assert world.run_and_interrupt(40, "-r", "5", "-b", "1", "--batch-pause", "0").code == 130
    old = world.output.read_bytes()
    assert world.run().code == 0
    world.output.write_bytes(old.replace(b"\n", b"\r\n"))  # as of an earlier checkpoint
    assert world.run().code == 0
    assert list(world.folder.glob("*.bak*")) == []


def test_a_copy_of_the_output_has_its_permissions(world: Any) -> None:
    world.live(*NAMES[:2])
    world.output.write_text("my own\n")
    world.output.chmod(0o600)
    assert world.run().code == 0
    copy = world.folder / "out.csv.bak"
    assert copy.read_text() == "my own\n"
    assert copy.stat().st_mode & 0o777 == 0o600


def test_an_output_that_cannot_be_kept_is_not_replaced(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.live(*NAMES[:2])
    world.output.write_text("my own\n")

    def refuse(*args: Any) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), "out.csv.bak")

    monkeypatch.setattr(ig, "keep_copy", refuse)
    assert world.run().code == 2
    assert world.output.read_text() == "my own\n"
    assert world.standin.log == []


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
    assert len(world.standin.log) == 6 + {"live": 0, "401": 1, "404": 2}[kind], (
        "no profile is fetched twice"
    )


@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_cache_that_is_removed_in_a_pause_is_made_again_when_the_run_is_interrupted(
    world: Any, what: str
) -> None:
    world.live(*NAMES[:6])
    flags = ("-b", "3", "--batch-pause", "1800")
    world.clock.at(
        60,
        lambda: shutil.rmtree(world.cache_dir) if what == "folder" else world.cache_file.unlink(),
    )
    assert world.run_and_interrupt(90, *flags).code == 130
    sent = world.standin.log[2].time
    assert len(world.cache) == 3
    assert world.run(*flags).code == 0
    assert world.standin.names == NAMES[:6]
    assert world.standin.log[3].time - sent >= 1800
    assert world.all_live


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
        cache.add(ig.fetched_now(name, {"biography": "anew"}))
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


def test_the_cache_knows_profiles_not_columns(world: Any, cached_entry: Any) -> None:
    world.live(*NAMES[:2])
    world.remember(cached_entry(NAMES[0]))
    world.input.write_text(f"Handle,Text,Kind\n{NAMES[0]},,\n{NAMES[1]},,\n")
    result = world.run("--genre-column", "Kind", "--details-column", "Text")
    assert result.code == 0
    assert "Kind      0/2   0%" in result.log
    assert world.standin.names == [NAMES[1]]
    assert world.rows[1:] == [[name, f"The biography of {name}", "Blogger"] for name in NAMES[:2]]


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


def test_a_write_that_a_signal_breaks_off_leaves_nothing_behind(tmp_path: Any) -> None:
    def pieces() -> Any:
        yield b"half"
        raise ig.Interrupted(signal.SIGINT)

    (tmp_path / "out.csv").write_bytes(b"whole")
    with pytest.raises(ig.Interrupted):
        ig.write_atomic(tmp_path / "out.csv", pieces())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


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


def test_a_state_folder_that_cannot_be_locked_again_stops_the_run_with_its_path(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = world.live(*NAMES[:6])
    refuse_flock(monkeypatch, errno.ENOLCK, after=1)

    def remove(username: str) -> Any:
        if username == names[3]:
            shutil.rmtree(world.cache_dir)

    world.standin.watch = remove
    result = world.run()
    assert result.code == 1
    assert f"Could not save ({world.cache_dir / 'ig.lock'}: No locks available)" in result.log
    assert list(world.cache) == names[:4], "the cache was made again from memory"
    assert [name for name, text in world.biographies().items() if text] == names[:4]


@pytest.mark.parametrize("failing", [1, 4])
def test_a_thread_that_cannot_be_started_stops_the_run_like_a_full_disk(
    world: Any, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    names = world.live(*NAMES[:6])
    start, calls = threading.Thread.start, iter(range(1, 100))

    def refuse(thread: threading.Thread) -> None:
        target = getattr(thread, "_target", None)
        if getattr(target, "__name__", "") == "_receive" and next(calls) >= failing:
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        result = world.run()
    assert result.code == 1
    assert result.log.count("o request can be sent (can't start new thread)") == 1
    assert "everything so far is saved; " in result.log.replace(", to resume", "; to resume")
    assert list(world.cache) == names[: failing - 1]
    assert [name for name, text in world.biographies().items() if text] == names[: failing - 1]
    assert world.run().code == 0
    assert world.all_live


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


@pytest.mark.parametrize(
    ("is_cached", "is_output", "words"),
    [
        (True, True, "everything but @profile.003 is saved"),
        (True, False, "everything but @profile.003 is in the cache, not in the output"),
        (False, True, "everything but @profile.003 is in the output, not in the cache"),
        (False, False, "what was fetched since the last checkpoint may be lost"),
    ],
)
def test_no_sentence_says_saved_of_what_was_not(
    world: Any, monkeypatch: pytest.MonkeyPatch, is_cached: bool, is_output: bool, words: str
) -> None:
    names = world.live(*NAMES[:6])
    world.move_output()
    append = ig.Cache._append

    def refuse(cache: ig.Cache, line: bytes) -> None:
        if len(cache.profiles) == 3:
            if not is_cached:
                shutil.rmtree(world.cache_dir)
                world.cache_dir.write_text("in the way")
            if not is_output:
                shutil.rmtree(world.output.parent)
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(world.cache_file))
        append(cache, line)

    monkeypatch.setattr(ig.Cache, "_append", refuse)
    result = world.run()
    assert result.code == 1
    assert f"Stopped after 3 of 6 rows, {words}; to resume" in result.log
    if is_cached:
        assert list(world.cache) == names[:3]
    if is_output:
        assert [name for name, text in world.biographies().items() if text] == names[:3]


def test_a_progress_file_that_cannot_be_written_at_the_end_leaves_everything_saved(
    world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = world.live(*NAMES[:6])
    write = ig.Progress.save

    def refuse(progress: ig.Progress) -> None:
        if progress.rows_done >= 3:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(world.progress_file))
        write(progress)

    monkeypatch.setattr(ig.Progress, "save", refuse)
    result = world.run()
    assert result.code == 1
    assert "ig_progress.json: Read-only file system" in result.log
    assert "everything so far is saved; to resume" in result.log
    assert list(world.cache) == names[:3]


def test_a_wait_whose_file_is_removed_goes_on_in_the_next_run_all_the_same(world: Any) -> None:
    world.live(*NAMES[:3])
    world.standin.burst.extend(["live", (429, {"Retry-After": "7200"}, b"")])
    world.clock.at(60, lambda: shutil.rmtree(world.cache_dir))
    assert world.run_and_interrupt(90).code == 130
    assert world.run().code == 0
    assert world.standin.gaps[1] >= 7200


def test_an_entry_of_another_tool_may_hold_objects_of_its_own(
    world: Any, cached_entry: Any
) -> None:
    names = world.live(*NAMES[:2])
    world.remember(cached_entry(names[0], counts={"posts": 5}))
    assert world.run().code == 0
    assert world.standin.names == names[1:]
    assert world.all_live


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
            cache.add(ig.fetched_now(NAMES[1], {"biography": "lost"}))
    assert path.read_bytes() == before
    cache.add(ig.fetched_now(NAMES[2], {"biography": "saved"}))
    assert list(json.loads(path.read_text())) == [NAMES[0], NAMES[2]]
