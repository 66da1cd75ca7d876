"""`penstock proxy` and the conformance suite: nothing that passed before may fail, and the goals are met."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .conftest import free_port, run_through
from .recorded import FOLDER, compare
from .suite import Suite
from .verdicts import verdicts

pytestmark = [pytest.mark.real, pytest.mark.slow]

_PROFILES = {"safe": (), "rfc": ("--profile", "rfc", "--lenient-origin")}


@pytest.mark.parametrize("profile", _PROFILES)
def test_no_regression_through_the_proxy(suite: Suite, profile: str) -> None:
    """The recorded list of passes holds; what is better than it has to be recorded."""

    @contextmanager
    def serve(origin_port: int) -> Iterator[int]:
        port = free_port()
        command = [sys.executable, "-m", "penstock", "proxy", "--origin", f"http://127.0.0.1:{origin_port}"]
        command += ["--listen", f"127.0.0.1:{port}", "--stale-when-unreachable", "1h", *_PROFILES[profile]]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stderr is not None
            assert "answers for" in process.stderr.readline()
            yield port
        finally:
            process.terminate()
            _, rest = process.communicate(timeout=30)
            assert process.returncode == 0, rest

    found = verdicts(suite, run_through(suite, serve))
    worse, better = compare(f"proxy_{profile}", found)
    assert not worse, {test_id: found[test_id] for test_id in worse}
    assert not better, f"better than recorded; run python -m tests.conformance --record proxy_{profile}"


@pytest.mark.parametrize(("name", "required", "optimal"), [("proxy_safe", 158, 97), ("proxy_rfc", 160, 100)])
def test_the_recorded_lists_reach_the_goals(suite: Suite, name: str, required: int, optimal: int) -> None:
    """So that a list cannot be recorded anew below them without a word."""
    kinds = [suite.tests[test_id].kind for test_id in json.loads((FOLDER / f"{name}.json").read_text())]
    assert kinds.count("required") >= required
    assert kinds.count("optimal") >= optimal
