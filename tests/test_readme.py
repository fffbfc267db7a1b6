"""The README: its tables against the program, and every line of it in people's shells."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standin import StandIn

import instagram_enrichment as ig

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
STOP = next(block for block in BLOCKS if "kill" in block)
needs_lsof = pytest.mark.skipif(shutil.which("lsof") is None, reason="lsof is not on this machine")


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the table of the README whose first heading this is."""
    table = README.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


def help_of_the_program(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        ig.parse_arguments(["--help"])
    return " ".join(capsys.readouterr().out.split())


def test_the_flags_and_their_defaults_are_those_of_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = help_of_the_program(capsys)
    options = text.partition("options: ")[2] or text.partition("optional arguments: ")[2]
    found = {}
    for part in re.split(r" (?=-\w(?: \w+)?, --|--\w[\w-]+ (?:\w+ )?)", options):
        name = re.search(r"--[\w-]+", part)
        default = re.search(r"\((?:default: )?([^()]*)\)", part)
        if name and default and name[0] not in found:
            found[name[0]] = default[1]
    documented = {row[0].strip("`").split()[0]: row[2] for row in rows_of("Flag")}
    assert documented == found


def test_the_exit_codes_are_those_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    epilog = help_of_the_program(capsys).partition("exit codes: ")[2]
    codes = [int(code) for row in rows_of("Exit code") for code in row[0].split(", ")]
    assert (
        codes == [int(code) for code in re.findall(r"\b\d+\b", epilog)] == [0, 1, 2, 130, 143, 129]
    )


def test_the_files_are_those_of_the_program() -> None:
    named = " ".join(row[0] for row in rows_of("File"))
    assert all(name in named for name in (ig.CACHE_FILE, ig.PROGRESS_FILE, ig.LOCK_FILE))


def test_the_module_needs_what_the_requirements_say() -> None:
    head = Path(ig.__file__).read_text(encoding="utf-8").partition("# ///\n")[0]
    assert head.startswith("# /// script\n")
    needed = (HERE.parent / "requirements.txt").read_text().split()
    assert re.findall(r'"([\w-]+>=[\d.]+)"', head) == needed
    assert 'requires-python = ">=3.9"' in head
    assert "Python 3.9 to 3.14" in README


def test_the_steps_that_the_program_names_are_those_of_the_readme() -> None:
    heading = ig.CHAPTER.partition('"')[2].rstrip('"')
    chapter = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    steps = re.findall(r"^(\d)\. (.*?)(?=^\d\. |\Z)", chapter, re.DOTALL | re.MULTILINE)
    about = {int(number): text for number, text in steps}
    words = ["professional", "link", "Business", "Generate Access Token", "Extend", "read -rs"]
    for number, word in enumerate(words, 1):
        assert word in about[number]
    permissions = re.findall(r"\b\w+_\w+\b", ig.PERMISSIONS)[:4]
    assert all(f"`{permission}`" in about[4] for permission in permissions)


# ---- Every line, in the shells that people have ----

STUB = """#!/bin/sh
case "$*" in
*" instagram_enrichment.py "*|"instagram_enrichment.py "*|"run instagram_enrichment.py "*)
    while [ "$1" != instagram_enrichment.py ]; do shift; done; shift
    exec {python} {here}/child.py {url} {speed} "$@";;
"tests/rehearse.py") exec {python} {here}/rehearse.py --speed 100000 --limit 9;;
esac
echo "stub: $(basename "$0") $*"
"""


class Shell:
    """A folder in which lines are pasted into an interactive shell, with stubs for a network."""

    def __init__(self, name: str, folder: Path, standin: StandIn, speed: str = "inf") -> None:
        self.name, self.folder = name, folder
        for path in (
            "bin/python3",
            "bin/uv",
            "bin/caffeinate",
            "bin/systemd-inhibit",
            "bin/curl",
            "bin/open",
            "bin/tail",
        ):
            self._stub(folder / path, standin, speed)
        for path in ("new/bin/python", "new/bin/pip"):
            self._stub(folder / path, standin, speed)
        shutil.move(str(folder / "new"), str(folder / ".venv"))
        (folder / "influencers.csv").write_text(
            "Handle\n" + "".join(f"@{name}\n" for name in standin.users)
        )

    @staticmethod
    def _stub(path: Path, standin: StandIn, speed: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STUB.format(python=sys.executable, here=HERE, url=standin.url, speed=speed))
        path.chmod(0o755)

    def paste(self, lines: str) -> list[tuple[int, str]]:
        """Paste lines one after the other; returns each line's exit code and what came out."""
        command = {"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[self.name]
        marked = "".join(f"{line}\nprintf '\\n== %s\\n' $?\n" for line in lines.splitlines())
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            "PATH": path,
            "PS1": "",
            "PROMPT": "",
            "RPROMPT": "",
            "HISTFILE": "/dev/null",
        }
        done = subprocess.run(
            command,
            input=marked,
            cwd=self.folder,
            env=environment,
            text=True,
            timeout=60,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        pieces = re.split(r"\n== (\d+)\n", done.stdout)
        return [(int(code), text) for text, code in zip(pieces[::2], pieces[1::2])]


@pytest.fixture(params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not on this machine")
    with StandIn([f"profile.{number}" for number in range(3)]) as standin:
        yield Shell(request.param, tmp_path, standin)


@pytest.mark.parametrize(
    "block", BLOCKS, ids=[f"{at} {block.split()[0]}" for at, block in enumerate(BLOCKS)]
)
def test_every_block_of_the_readme_works_when_pasted(
    shell: Shell, block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = shell.folder / ".tmp"
    state.mkdir()
    (state / "ig_cache.json").write_text(
        '{\n"name": {"biography": null, "error": "NOT_FOUND"}\n}\n'
    )
    (state / "ig_cache.json.bak").write_text("{\n}\n")
    (state / "ig_progress.json").write_text('{"last_processed_index": 0}\n')
    (shell.folder / "report.csv").write_text(f"{ig.REPORT_HEADER}2,'@gone,gone,not_found,,\n")
    if "--graph-api" in block:
        monkeypatch.setenv(ig.TOKEN_VARIABLE, "EAAtest")
    if "read -rs" in block:
        block = f"{block}EAAtest\necho {ig.TOKEN_VARIABLE}=$INSTAGRAM_ACCESS_TOKEN"
        pasted = shell.paste(block)
        assert "INSTAGRAM_ACCESS_TOKEN=" in pasted[-1][1]
        return
    pasted = shell.paste(block)
    assert len(pasted) == len(block.splitlines()), pasted
    for code, text in pasted:
        assert code == 0, text
        assert not re.search(
            r"command not found|no matches found|parse error|unmatched|bad option", text
        ), text


@needs_lsof
@pytest.mark.parametrize("holds_the_lock", [True, False])
def test_the_stop_line_ends_who_holds_the_lock_and_nobody_whose_number_stands_in_it(
    shell: Shell, holds_the_lock: bool
) -> None:
    lock = shell.folder / ".tmp" / "ig.lock"
    lock.parent.mkdir()
    with lock.open("w") if holds_the_lock else contextlib.nullcontext() as file:
        sleeper = subprocess.Popen(["sleep", "60"], stdin=file)
    lock.write_text(f"{sleeper.pid}\n")
    try:
        [(code, text)] = shell.paste(STOP)
        assert code == 0
        said = text.replace(STOP.strip(), "")  # bash repeats what is pasted
        assert not re.search("kill|usage|argument", said, re.IGNORECASE), text
        if holds_the_lock:
            assert sleeper.wait(5) == -signal.SIGTERM
        else:
            assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_the_contents_name_every_chapter_and_every_link_leads_to_one() -> None:
    headings = re.findall(r"^##+ (.*)$", README, re.MULTILINE)
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-"): text for text in headings
    }
    links = re.findall(r"\[([^\]]*)\]\(#([^)]*)\)", README)
    assert {anchor for _, anchor in links} <= anchors.keys()
    contents = README.partition("\n## Contents\n")[2].partition("\n## ")[0]
    listed = dict(re.findall(r"\[([^\]]*)\]\(#([^)]*)\)", contents))
    assert listed.keys() == set(headings) - {"Try it in a minute", "Contents"}
    assert all(anchors[anchor] == title for title, anchor in listed.items())


def test_the_statuses_are_those_of_the_report() -> None:
    assert [row[0].strip("`") for row in rows_of("Status")] == [each.value for each in ig.Status]


@needs_lsof
def test_a_nohup_line_that_is_pasted_twice_leaves_one_run_which_the_stop_line_ends(
    tmp_path: Path,
) -> None:
    nohup = next(
        block for block in BLOCKS if block.startswith("nohup ") and "--graph-api" not in block
    )
    with StandIn([f"profile.{number}" for number in range(50)]) as standin:
        shell = Shell("bash", tmp_path, standin, speed="20")
        log = tmp_path / "enrich.log"
        shell.paste(nohup)
        wait_for(log, "[1/50]")
        shell.paste(nohup)
        text = wait_for(log, "another run is using .tmp")
        process = (tmp_path / ".tmp" / "ig.lock").read_text().strip()
        assert f"kill {process}\n" in text
        assert shell.paste(STOP)[0][0] == 0
        text = wait_for(log, "Interrupted by SIGTERM")
        assert "everything is saved" in text


def wait_for(log: Path, words: str) -> str:
    for _ in range(1000):
        if log.exists() and words in log.read_text():
            return log.read_text()
        time.sleep(0.01)
    raise AssertionError(f"{words!r} did not come:\n{log.read_text()}")
