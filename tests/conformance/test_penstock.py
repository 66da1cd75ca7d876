"""`penstock proxy` and the suite: nothing that passed before may fail, and the recorded lists reach the goals."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from .__main__ import run_against
from .compare import EXPECTED, compare
from .origin import Origin
from .suite import load_suite, suite_path
from .verdicts import verdicts

SUITE = load_suite()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.skipif(SUITE is None, reason=f"there is no suite of cache-tests at {suite_path()}"),
]
PROFILES = {"proxy_safe": (), "proxy_rfc": ("--profile", "rfc", "--lenient-origin")}


@asynccontextmanager
async def penstock(origin_port: int, options: tuple[str, ...]) -> AsyncIterator[int]:
    """A proxy as a user starts it; its port."""
    command = ["-m", "penstock", "proxy", "--origin", f"http://127.0.0.1:{origin_port}", "--listen", "127.0.0.1:0"]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, *options, stdout=DEVNULL, stderr=PIPE)
    assert process.stderr is not None
    try:
        line = (await process.stderr.readline()).decode()
        assert " answers for " in line, line
        yield int(line.split(" answers for ")[0].rpartition(":")[2])
    finally:
        process.terminate()
        _, rest = await process.communicate()
    assert process.returncode == 0, rest.decode()
    assert b"Traceback" not in rest, rest.decode()


@pytest.mark.parametrize(
    ("name", "more"), [*((name, ()) for name in PROFILES), ("proxy_safe", ("--plain-path",))], ids=str
)
def test_nothing_that_passed_through_the_proxy_fails(name: str, more: tuple[str, ...]) -> None:
    """And what is better is to be recorded: python -m tests.conformance --record."""
    assert SUITE is not None
    suite = SUITE

    async def run() -> dict[str, str]:
        async with Origin() as origin, penstock(origin.port, (*PROFILES[name], *more)) as port:
            results = await run_against(suite.for_proxies(), origin, "127.0.0.1", port)
        return verdicts(suite, {each: result.kind for each, result in results.items()})

    regressions, improvements = compare(asyncio.run(run()), name)
    assert not regressions
    assert not improvements


@pytest.mark.parametrize(("name", "required", "optimal"), [("proxy_safe", 158, 97), ("proxy_rfc", 160, 100)])
def test_the_recorded_lists_reach_the_goals(name: str, required: int, optimal: int) -> None:
    """A list cannot be recorded anew below them without a word."""
    lists = json.loads((EXPECTED / f"{name}.json").read_text("utf-8"))
    assert len(lists["required"]) >= required
    assert len(lists["optimal"]) >= optimal
