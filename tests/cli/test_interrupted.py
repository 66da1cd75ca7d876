"""Ctrl-C while the command is still being imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
PATIENCE = 60.0

COMMANDS = {
    "python -m": [sys.executable, "-m", "penstock"],
    "console script": [sys.executable, "-c", "from penstock.cli.entry import main; main()"],
}


@pytest.mark.parametrize("how", COMMANDS)
@pytest.mark.parametrize("milliseconds", [10, 50, 100, 200, 300])
def test_it_is_one_line_and_the_documented_exit_code(tmp_path: Path, how: str, milliseconds: int) -> None:
    """It was a traceback of whatever was being imported. What Python does before our first line is its own."""
    source = tmp_path / "in.jsonl"
    source.write_text('{"n": 1}\n' * 2000)
    # Nobody answers there, so what is not interrupted by then ends with another code and line.
    arguments = ["send", str(source), "--url", "http://127.0.0.1:9/", "--out", str(tmp_path / "out.jsonl")]
    command = [*COMMANDS[how], *arguments]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(milliseconds / 1000)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=PATIENCE)[1].decode()
    if "Traceback" in errors or not errors:
        assert process.returncode in (-signal.SIGINT, 1), "Python itself was still starting"
        assert "penstock" not in errors
        return
    assert len(errors.splitlines()) == 1
    if "cannot reach" not in errors:
        assert (process.returncode, errors) == (3, "penstock: interrupted; the same command goes on from there\n")


@pytest.mark.parametrize("how", COMMANDS)
def test_an_import_is_interrupted_wherever_it_is(how: str) -> None:
    """At the first import of the command itself, and at one that comes late."""
    for module in ("click", "penstock.cli.top"):
        code = f"""
import importlib.abc, os, signal, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
        return None
sys.meta_path.insert(0, Finder())
sys.argv = ["penstock", "--help"]
import runpy
{'runpy.run_module("penstock", run_name="__main__")' if how == "python -m" else COMMANDS["console script"][-1]}
"""
        ended = subprocess.run(
            [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, timeout=PATIENCE, check=False
        )
        line = b"penstock: interrupted; the same command goes on from there\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (3, b"", line)
