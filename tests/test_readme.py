"""The README: its tables against the program, and every line of it in people's shells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from standin import StandIn

import instagram_enrichment as ig

HERE = Path(__file__).parent
README = (HERE.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*)\n```", README)
SETUP, OPEN, WEB, API, WATCH, STOP, TOKEN, UV, TESTS = BLOCKS
CHAPTERS = dict(re.findall(r"^## (.*)\n((?:.|\n(?!## ))*)", README, re.MULTILINE))


def first_cells(heading: str) -> list[str]:
    """The first column of the table of the README that begins with this heading."""
    table = README.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `?(.*?)`? \|", table, re.MULTILINE)


def test_flags_defaults_exit_codes_statuses_and_files_are_those_of_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        ig.parse_arguments(["--help"])
    usage, _, epilog = " ".join(capsys.readouterr().out.split()).partition("exit codes: ")
    for flag in first_cells("Flag"):
        name = flag.split()[0]
        default = re.search(rf"`{re.escape(flag)}` \|.*?\| (.*?) \|", README)[1]
        assert re.search(rf"{name} [^()]*\((default: )?{re.escape(default)}\)", usage), name
    assert {flag.split()[0] for flag in first_cells("Flag")} == (
        set(re.findall(r"--[a-z-]+", usage)) - {"--help"}
    )
    codes = re.findall(r"\b\d+\b", README.partition("Exit codes: ")[2].partition("\n\n")[0])
    assert codes == re.findall(r"\b\d+\b", epilog) == ["0", "1", "2", "130", "143", "129"]
    assert first_cells("Status") == [each.value for each in ig.Status]
    assert all(f"`.tmp/{x}`: " in README for x in (ig.CACHE_FILE, ig.PROGRESS_FILE, ig.LOCK_FILE))


def test_the_module_needs_what_the_requirements_say() -> None:
    head = Path(ig.__file__).read_text(encoding="utf-8").partition("# ///\n")[0]
    needed = (HERE.parent / "requirements.txt").read_text().split()
    assert head.startswith("# /// script\n")
    assert re.findall(r'"([\w-]+>=[\d.]+)"', head) == needed
    assert 'requires-python = ">=3.9"' in head
    assert "Python 3.9 to 3.14" in README


def test_the_steps_that_the_program_names_are_those_of_the_readme() -> None:
    chapter = CHAPTERS[ig.CHAPTER.split('"')[1]]
    steps = re.findall(r"^\d\. ((?:.|\n(?!\d\. ))*)", chapter, re.MULTILINE)
    words = ["professional", "Link", "Business", "Generate Access Token", "Extend", "line below"]
    assert all(word in step for word, step in zip(words, steps)) and len(steps) == len(words)
    permissions = re.findall(r"\b\w+_\w+\b", ig.PERMISSIONS)[:4]
    assert all(f"`{permission}`" in steps[3] for permission in permissions)


def test_every_link_leads_to_a_chapter() -> None:
    anchors = {chapter.lower().replace(" ", "-").replace(",", "") for chapter in CHAPTERS}
    links = set(re.findall(r"\]\(#([^)]*)\)", README))
    assert links and links <= anchors


# ---- Every line, in the shells that people have ----

STUB = """#!/bin/sh
case "$*" in
*" instagram_enrichment.py "*|"instagram_enrichment.py "*)
    while [ "$1" != instagram_enrichment.py ]; do shift; done; shift
    exec {python} {here}/child.py {url} {speed} "$@";;
"tests/rehearse.py") exec {python} {here}/rehearse.py --speed 100000 --limit 9;;
esac
echo "stub: $(basename "$0") $*"
"""
STUBS = "bin/python3 bin/uv bin/caffeinate bin/open bin/tail .venv/bin/python .venv/bin/pip"
MARK = "printf '\\n== %s\\n' $?"
IN_A_WINDOW = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"]


class Shell:
    """A folder with stubs for what needs a network, and a shell into which lines are pasted."""

    def __init__(self, name: str, folder: Path, standin: StandIn, speed: str = "inf") -> None:
        self._command = {"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[name]
        self._folder = folder
        stub = STUB.format(python=sys.executable, here=HERE, url=standin.url, speed=speed)
        for path in (folder / each for each in STUBS.split()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(stub)
            path.chmod(0o755)
        names = "".join(f"@{name}\n" for name in standin.users)
        (folder / "influencers.csv").write_text("Handle\n" + names)

    def open(self, *window: str) -> subprocess.Popen[str]:
        """Start the shell, without a terminal if no window is given."""
        prompts = {"PS1": "", "PROMPT": "", "RPROMPT": "", "HISTFILE": "/dev/null"}
        path = f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            [*window, *self._command],
            cwd=self._folder,
            env={**os.environ, **prompts, "PATH": path},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def paste(self, *lines: str) -> list[tuple[int, str]]:
        """Paste lines one after the other; returns each line's exit code and what came out."""
        text = "".join(f"{line}\n{MARK}\n" for line in lines)
        pieces = re.split(r"\n== (\d+)\n", self.open().communicate(text, timeout=60)[0])
        return [(int(code), text) for text, code in zip(pieces[::2], pieces[1::2])]


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_every_line_of_the_readme_works_when_pasted(name: str, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not on this machine")
    with StandIn([f"profile.{number}" for number in range(12)]) as standin:
        shell = Shell(name, tmp_path, standin)
        ten, token = f"{WEB} --limit 10", f"{TOKEN}\n{standin.token}"
        again = f"{WEB} -o refreshed.csv --force"
        every = [SETUP, OPEN, ten, WEB, token, API, WATCH, STOP, again, UV, TESTS]
        done = shell.paste(*every)
        assert standin.requests == 12 + 12, "ten, two, none through the API, and all again"
    assert len(done) == len(every) == len(BLOCKS) + 2
    for line, (code, text) in zip(every, done):
        assert (line, code) == (line, 0), text
        assert not re.search("not found|no matches|parse error|unmatched|bad option", text), text
    assert f"{len(standin.token)} characters" in done[4][1]
    assert "12 filled" in done[3][1] and "12 filled" in done[5][1]


@pytest.mark.skipif(shutil.which("lsof") is None, reason="lsof is not on this machine")
def test_a_night_outlives_its_window_bears_no_second_one_and_is_ended_by_the_stop_line(
    tmp_path: Path,
) -> None:
    log, lock = tmp_path / "nohup.out", tmp_path / ".tmp" / "ig.lock"
    night = f"nohup caffeinate -i {WEB} &\n"
    assert "type `nohup caffeinate -i `, paste the line, type ` &`" in README
    with StandIn([f"profile.{number}" for number in range(50)]) as standin:
        shell = Shell("bash", tmp_path, standin, speed="20")
        window = shell.open(*IN_A_WINDOW)
        try:
            for words in ("[1/50]", "another run is using .tmp"):
                window.stdin.write(night)
                window.stdin.flush()
                wait_for(log, words)
        finally:
            window.kill()
            window.communicate()
        seen = log.read_text().count("@profile")
        wait_for(log, "@profile", seen + 3)
        process = lock.read_text().strip()
        assert f"kill {process}\n" in log.read_text()
        [(code, _)] = shell.paste(STOP)
        assert code == 0
        wait_for(log, "Interrupted by SIGTERM")
        assert "everything is saved" in log.read_text()

    # A number that is left in the lock is nobody's business.
    sleeper = subprocess.Popen(["sleep", "60"])
    lock.write_text(f"{sleeper.pid}\n")
    [(code, text)] = shell.paste(STOP)
    assert code == 0
    assert not re.search("kill|usage|argument", text.replace(STOP, ""), re.IGNORECASE), text
    assert sleeper.poll() is None
    sleeper.kill()
    sleeper.wait()


def wait_for(log: Path, words: str, times: int = 1) -> None:
    for _ in range(2000):
        text = log.read_text() if log.exists() else ""
        if text.count(words) >= times:
            return
        time.sleep(0.01)
    raise AssertionError(f"{words!r} did not come:\n{text}")
