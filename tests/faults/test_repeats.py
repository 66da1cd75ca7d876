"""Every send has a permit: what the server counts is what the command says it sent, whatever breaks."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from penstock.testing import FaultServer, Reply, ServedRequest, constant, most_in_any_window

from .processes import ENVIRONMENT, PENSTOCK, fault_server, run_send, write_items

pytestmark = pytest.mark.real


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_server_counts_no_more_than_was_sent(tmp_path: Path, method: str) -> None:
    """Also of idempotent requests on kept connections that break: no repeat goes past the limit."""
    faults = [each for kind in ("reset", "close", "truncated") for each in ("--fault", f"{kind}=0.05")]
    with fault_server(tmp_path, *faults, "--limit", "200/1s", "--seed", "2") as server:
        source, out = write_items(tmp_path / "items.jsonl", 400), tmp_path / "out.jsonl"
        options = ["--method", method, "--retry-on", "transient", "--limit", "200/s", "--guard", "100ms", "--json"]
        ended = run_send(source, "--url", f"{server.url}/{{n}}", "--out", out, *options)
        assert ended.code == 0, ended
        statistics = server.statistics()
    assert sum(statistics["injected"].values()) > 10
    assert statistics["requests"] == ended.summary["attempts"]
    assert statistics["limit_violations"] == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_redirect_that_is_followed_takes_a_permit_of_its_own(tmp_path: Path, processes: int) -> None:
    """Each call is answered with one 307 to the same host: at most 20 in any second, hops included."""
    arrivals: list[float] = []

    def respond(request: ServedRequest) -> Reply:
        arrivals.append(time.monotonic())
        if request.target.startswith(b"/old"):
            return Reply(status=307, headers={"Location": request.target.decode().replace("old", "new")})
        return Reply(body=b"{}")

    async def main() -> int:
        async with asyncio.timeout(60), FaultServer(respond=respond) as server:
            source, out = write_items(tmp_path / "items.jsonl", 30), tmp_path / "out.jsonl"
            command = [*PENSTOCK, "send", source, "--url", f"{server.url}/old/{{n}}", "--out", out, "--limit", "20/s"]
            # Without the permits of the hops it would be 40; a busy machine notes arrivals late, and not all as late.
            command += ["--guard", "300ms", "--follow-redirects", "2", "--quiet", "--processes", processes]
            process = await asyncio.create_subprocess_exec(*map(str, command), env=ENVIRONMENT)
            return await process.wait()

    assert asyncio.run(main()) == 0
    assert len(arrivals) == 60
    assert most_in_any_window(arrivals, 0.99) <= 20


def test_a_retry_after_outlives_a_kill_before_the_first_outcome(tmp_path: Path) -> None:
    """Nothing has an outcome while everything is refused; the pause is saved all the same."""
    arrivals: list[float] = []

    def respond(request: ServedRequest) -> Reply:
        arrivals.append(time.monotonic())
        return Reply(status=429, headers={"Retry-After": "4"}) if len(arrivals) == 1 else Reply(body=b"{}")

    async def session(url: str, *, lasts: float | None = None) -> None:
        command = [*PENSTOCK, "send", tmp_path / "items.jsonl", "--url", url, "--out", tmp_path / "out.jsonl"]
        command += ["--limit", "2/s", "--quiet"]
        process = await asyncio.create_subprocess_exec(*map(str, command), env=ENVIRONMENT)
        if lasts is not None:
            while not arrivals:
                await asyncio.sleep(0.01)
            await asyncio.sleep(lasts)
            process.kill()
        assert await process.wait() == (0 if lasts is None else -9)

    async def main() -> None:
        write_items(tmp_path / "items.jsonl", 4)
        async with asyncio.timeout(60), FaultServer(respond=respond) as server:
            await session(server.url, lasts=1.2)
            await session(server.url)

    asyncio.run(main())
    # What was under way when the answer came is not a send after it.
    assert [round(time - arrivals[0], 1) for time in arrivals if 0.6 < time - arrivals[0] < 3.9] == []
    assert len(arrivals) >= 5


def test_what_was_spent_before_a_kill_counts(tmp_path: Path) -> None:
    """A limit on costs, and kills before anything was answered: all starts together spend at most the limit."""

    async def main() -> int:
        source, out = write_items(tmp_path / "items.jsonl", 20), tmp_path / "out.jsonl"
        async with asyncio.timeout(60), FaultServer(latency=constant(30.0)) as server:
            command = [*PENSTOCK, "send", source, "--url", server.url, "--out", out, "--quiet"]
            command += ["--cost-limit", "60/min", "--cost", "30"]
            for number in range(3):
                process = await asyncio.create_subprocess_exec(*map(str, command), env=ENVIRONMENT)
                while not number and not server.statistics().requests:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(1.5)
                process.kill()
                await process.wait()
            return server.statistics().requests

    assert 1 <= asyncio.run(main()) <= 2
