"""Memory is flat whatever the answers' size: real processes, and the most that the kernel has seen them use."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.testing import FaultServer, Reply

from .processes import ENVIRONMENT, PATIENCE, PENSTOCK, write_items

pytestmark = pytest.mark.real

MIB = 1 << 20
ITEMS, SIZE, IN_FLIGHT = 300, MIB, 32
MOST = 160 * MIB
"""50 MiB are Python and its imports, 16 may wait; the rest is what is in flight, taken, and written. All answers
together are 300 MiB."""

SLOW_CONSUMER = """
import asyncio, sys, penstock
async def main(url, items, in_flight):
    requests = (penstock.Request("GET", f"{url}/{number}") for number in range(items))
    async with penstock.Client() as client:
        async with penstock.run(client, requests, retry_on="safe", max_in_flight=in_flight) as outcomes:
            seen = 0
            async for outcome in outcomes:
                seen += outcome.ok and len(outcome.value.body) > 1000
                await asyncio.sleep(0.03 if seen < 60 else 0)
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print('{"ok": %d, "peak_rss_bytes": %d}' % (seen, int(peak.split()[1]) * 1024))
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


async def measured(*command: object, reply: Reply) -> dict[str, int]:
    """What `command` prints, with the address of a server that always gives this `reply` in the place of URL."""
    async with FaultServer(respond=lambda request: reply) as server:
        process = await asyncio.create_subprocess_exec(
            *(str(each).replace("URL", server.url) for each in command),
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            raise
    assert process.returncode in (0, 1), errors.decode()
    found: dict[str, int] = json.loads(output)
    return found


def send(folder: Path) -> list[object]:
    """The command."""
    source = write_items(folder / "items.jsonl", ITEMS)
    return [*PENSTOCK, "send", source, "--url", "URL/n", "--out", folder / "out.jsonl"]


BODY = b'"%b"' % (SIZE * b"x")
REPLIES = {
    "plain": Reply(200, BODY),
    "gzip": Reply(200, gzip.compress(BODY, 1), {"Content-Encoding": "gzip"}),
    "refused": Reply(404, BODY),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_send_with_large_answers_takes_what_is_in_flight(tmp_path: Path, reply: str) -> None:
    """Results were bounded by count: 600 answers of a MiB took a GiB while the disk was behind."""
    command = [*send(tmp_path), "--in-flight", IN_FLIGHT, "--json"]
    found = asyncio.run(measured(*command, reply=REPLIES[reply]))
    assert found["ok"] == (0 if reply == "refused" else ITEMS)
    assert found["peak_rss_bytes"] < MOST


def test_the_processes_of_a_send_take_no_more_each(tmp_path: Path) -> None:
    """Batches that wait for the disk in the parent are bounded by bytes as well."""
    command = [*send(tmp_path), "--in-flight", IN_FLIGHT, "--json", "--processes", 2]
    found = asyncio.run(measured(*command, reply=REPLIES["plain"]))
    assert found["ok"] == ITEMS
    assert found["peak_rss_bytes"] < 3 * MOST


def test_a_slow_consumer_of_large_responses_takes_what_may_wait() -> None:
    """`penstock.run` with an ordinary client, and a loop body that is slower than the server."""
    found = asyncio.run(measured(sys.executable, "-c", SLOW_CONSUMER, "URL", ITEMS, IN_FLIGHT, reply=REPLIES["plain"]))
    assert found["ok"] == ITEMS
    assert found["peak_rss_bytes"] < MOST
