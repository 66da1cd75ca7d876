"""Runnable blocks of a Markdown page, as one shell script, and what that script printed.

A fenced block is run if an HTML comment stands before it:

- `<!-- run -->` before ```python: as a program of its own; before ```console: each line that begins with `$ ` is a
  command, and the lines below it are what it prints, on either stream, `...` standing for anything.
- `<!-- run: loosely -->`: the same, but what it prints are figures of one machine at one time, and is not compared.
- `<!-- run: server -->` before ```console: in the background, until the end of the page. It listens at 8080, or at what
  stands after the word.
- `<!-- run: file NAME -->`: what is in the block becomes a file.

All blocks of a page run in order, in one folder. Ports 8000, 8080 and 8081 become free ones.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import penstock

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(
    r"^<!-- run(?:: (?P<how>[^>]*?))? -->\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_MARK = "=== end of step"


@dataclass(frozen=True)
class Step:
    """One command or program of a page, and what it must print; None where that is not looked at."""

    line: int
    command: str
    expected: str | None


def steps(text: str) -> Iterator[Step]:
    """Everything that a page runs, in order."""
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        how = match["how"] or ""
        if how.startswith("file "):
            yield Step(line, f"printf %s {shlex.quote(match['text'])} > {shlex.quote(how[5:])}", "")
        elif how.startswith("server"):
            command = match["text"].removeprefix("$ ").strip()
            yield Step(line, _in_background(command, how.removeprefix("server").strip() or "8080"), "")
        elif match["language"] == "python":
            # A failed assertion must end with something that is not 0, so the exit code is printed.
            yield Step(line, f"python -W error -c {shlex.quote(match['text'])}; echo exit code $?", "...exit code 0")
        elif how == "loosely":
            yield from (replace(step, expected="...") for step in _commands(match["text"], line))
        else:
            yield from _commands(match["text"], line)


def _commands(text: str, line: int) -> Iterator[Step]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield Step(line, command, expected.strip())
        line += part.count("\n")


def _in_background(command: str, port: str) -> str:
    # The port is waited for by connecting, which every server understands.
    return (
        f"{command} >/dev/null 2>&1 & for i in $(seq 300); do (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null && break; "
        "sleep 0.1; done"
    )


def run_page(text: str, folder: Path, seconds: float = 100) -> list[tuple[Step, str]]:
    """Run all steps of a page in `folder`, within `seconds`; returns each with what it printed."""
    todo = list(steps(text))
    work, tools = folder / "work", folder / "bin"
    work.mkdir()
    tools.mkdir()
    _tool(tools / "python", "")
    _tool(tools / "penstock", " -c 'from penstock.cli.main import main; main()'")
    lines = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    for step in todo:
        # The exit code of the step goes on to the next, which may ask for it.
        lines.append(f"{{ {step.command}\n}} 2>&1; code=$?; echo; echo '{_MARK}'; (exit $code)")
    script = "\n".join(lines)
    ports = {port: str(free_port()) for port in ("8000", "8080", "8081")}
    for port, free in ports.items():
        script = script.replace(port, free)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(penstock.__file__).parent.parent),
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    printed = done.stdout
    for port, free in ports.items():
        # Outputs name the port that stands in the page.
        printed = printed.replace(f":{free}", f":{port}")
    outputs = [output.strip() for output in printed.split(_MARK)]
    assert len(outputs) == len(todo) + 1, f"the script ended early:\n{done.stdout}\n{done.stderr}"
    return list(zip(todo, outputs, strict=False))


def _tool(path: Path, arguments: str) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{arguments} "$@"\n')
    path.chmod(0o755)


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def matches(expected: str, printed: str) -> bool:
    """Whether the text is what was expected, `...` standing for anything; runs of blanks count as one."""
    pattern = ".*".join(re.escape(" ".join(part.split())) for part in expected.split("..."))
    # Blanks next to dots may have been swallowed by them.
    return re.fullmatch(pattern.replace(r"\ .*", r".*").replace(r".*\ ", ".*"), " ".join(printed.split())) is not None
