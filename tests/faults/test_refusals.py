"""Refusals of every kind over real sockets, by every face: no item fails, and the server sees nothing in its pause."""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

import penstock
from penstock.outbound.check import CheckJob, check
from penstock.outbound.pull import PullJob, open_pull
from penstock.outbound.request_template import RequestTemplate
from penstock.outbound.send import SendJob, open_send
from penstock.rules.pagination.style import Paging
from penstock.runs.flow import Flow
from penstock.testing import FaultServer, Reply, ServedRequest, write_vectors

from .processes import ENVIRONMENT, PENSTOCK

pytestmark = pytest.mark.real

ITEMS = 40
ROWS = 10
ON_ITS_WAY = 0.25
"""Seconds: what arrives so soon after a refusal was sent before it was heard."""

TOLD = {"Retry-After": "1"}
SPENT = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}
THROTTLED = b'{"errors": [{"extensions": {"code": "THROTTLED"}}]}'
BY_BODY = {"throttle_when": ("errors[0].extensions.code == 'THROTTLED'",)}

REFUSALS: dict[str, tuple[Reply, dict[str, Any]]] = {
    "403 told": (Reply(403, b"{}", TOLD), {}),
    "403 spent": (Reply(403, b"<html>", SPENT), {}),
    "429 told": (Reply(429, b"", TOLD), {}),
    "429 spent": (Reply(429, b"", SPENT), {}),
    "503 told": (Reply(503, b"", TOLD), {}),
    "503 spent": (Reply(503, b"", SPENT), {}),
    "200 told": (Reply(200, THROTTLED, TOLD), BY_BODY),
    "200 spent": (Reply(200, THROTTLED, SPENT), BY_BODY),
    "403 body told": (Reply(403, THROTTLED, TOLD), BY_BODY),
    "429 alone": (Reply(429, b"", {}), {}),
    "200 alone": (Reply(200, THROTTLED, {}), BY_BODY),
    "403 body alone": (Reply(403, THROTTLED, {}), BY_BODY),
}


@dataclass
class RefusingApi:
    """Refuses every 15th request, and all that comes in the second after it; its own log is the judge."""

    refusal: Reply
    every: int = 15
    pause: float = 1.0
    refused: int = 0
    inside: list[float] = field(default_factory=list)
    done: set[bytes] = field(default_factory=set)
    _since: int = 0
    _told_at: float = -100.0

    def __call__(self, request: ServedRequest) -> Reply:
        now = time.monotonic()
        passed = now - self._told_at
        if passed < self.pause:
            self.refused += 1
            if passed > ON_ITS_WAY:
                self.inside.append(passed)
            return self.refusal
        self._since += 1
        if self._since == self.every:
            self._since, self._told_at = 0, now
            self.refused += 1
            return self.refusal
        self.done.add(request.target + request.body)
        return Reply(200, self._answer(request))

    def _answer(self, request: ServedRequest) -> bytes:
        offset = re.search(rb"offset=(\d+)", request.target)
        rows = range(int(offset[1]), int(offset[1]) + ROWS) if offset else range(0)
        items = [{"id": n} for n in rows if n < ITEMS * ROWS]
        return orjson.dumps({"similarity": 1.0, "items": items, "total": ITEMS * ROWS})


async def by_send(url: str, folder: Path, options: dict[str, Any]) -> None:
    source = folder / "in.jsonl"
    source.write_bytes(b"".join(b'{"id": %d}\n' % n for n in range(ITEMS)))
    job = SendJob(source, folder / "out.jsonl", RequestTemplate(f"{url}/"), Flow(in_flight=4, **options))
    with open_send(job) as run:
        summary = await run.carry_out()
    assert (summary["ok"], summary["failed"]) == (ITEMS, 0)
    assert summary["throttled"] > 0


async def by_pull(url: str, folder: Path, options: dict[str, Any]) -> None:
    paging = Paging("offset", page_size=ROWS, rows="items", total="total")
    with open_pull(PullJob(f"{url}/rows", folder / "out.jsonl", paging, Flow(in_flight=4, **options))) as run:
        summary = await run.carry_out()
    assert (summary["rows"], summary["failed_pages"], summary["short"]) == (ITEMS * ROWS, [], False)
    assert summary["throttled"] > 0


async def by_check(url: str, folder: Path, options: dict[str, Any]) -> None:
    write_vectors(folder / "v.bin", ITEMS, 8, 3)
    summary = await check(
        CheckJob(folder / "v.bin", folder / "census", f"{url}/search", Flow(in_flight=4, **options), dim=8)
    )
    assert (summary["ok"], summary["failed"]) == (ITEMS, 0)


async def by_run(url: str, folder: Path, options: dict[str, Any]) -> None:
    items = [penstock.Request("POST", f"{url}/", (), b'{"id": %d}' % n) for n in range(ITEMS)]
    async with penstock.Client() as client:
        run = penstock.run(client, items, retry_on="safe", max_in_flight=4, **options)
        async with run as outcomes:
            assert [o.kind async for o in outcomes if not o.ok] == []


async def by_penstock_pull(url: str, folder: Path, options: dict[str, Any]) -> None:
    paginate = penstock.Offset(size=ROWS)
    pages = penstock.pull(f"{url}/rows", paginate=paginate, rows="items", total="total", max_in_flight=4, **options)
    async with pages:
        assert sum([len(page.rows) async for page in pages]) == ITEMS * ROWS


FACES: list[Callable[[str, Path, dict[str, Any]], Awaitable[None]]] = [by_send, by_pull, by_check, by_run]
FACES.append(by_penstock_pull)


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)
def test_no_item_fails_and_nothing_is_sent_inside_a_told_pause(
    face: Callable[[str, Path, dict[str, Any]], Awaitable[None]], name: str, tmp_path: Path
) -> None:
    """By whatever status, field or body it is told; where nothing says for how long, no item fails all the same."""
    refusal, options = REFUSALS[name]
    tells = "alone" not in name
    api = RefusingApi(refusal, pause=1.0 if tells else 0.1)

    async def main() -> None:
        async with FaultServer(respond=api) as server:
            await face(server.url, tmp_path, options)

    asyncio.run(main())
    assert api.refused > 0
    assert api.inside == [] or not tells


def test_a_kill_inside_a_pause_sends_nothing_before_its_end(tmp_path: Path) -> None:
    """A pause that a 403 told is kept by the next process."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"".join(b'{"id": %d}\n' % n for n in range(ITEMS)))
    api = RefusingApi(Reply(403, b"{}", {"Retry-After": "4"}), every=30, pause=4.0)

    async def main() -> None:
        async with FaultServer(respond=api) as server:
            command = [*PENSTOCK, "send", str(source), "--url", server.url, "--out", str(out), "--in-flight", "4"]
            first = await asyncio.create_subprocess_exec(*command, "--quiet", env=ENVIRONMENT)
            async with asyncio.timeout(30):
                while not api.refused:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1.0)
            first.send_signal(signal.SIGKILL)
            await first.wait()
            second = await asyncio.create_subprocess_exec(*command, "--quiet", env=ENVIRONMENT)
            async with asyncio.timeout(60):
                assert await second.wait() == 0

    asyncio.run(main())
    assert api.inside == []
    records = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    assert sorted(record["key"] for record in records if record["ok"]) == list(range(ITEMS))


def test_reports_that_take_their_time_are_polled_for(tmp_path: Path) -> None:
    """POST, 202 with Location and Retry-After, and the place answers when it is done: each job is begun once."""
    begun: list[bytes] = []
    asked: dict[bytes, list[float]] = {}

    def respond(request: ServedRequest) -> Reply:
        if request.method == "POST":
            begun.append(request.body)
            place = f"/jobs/{len(begun)}"
            return Reply(202, b"", {"Location": place, "Retry-After": "1"})
        times = asked.setdefault(request.target, [])
        times.append(time.monotonic())
        if len(times) < 3:
            return Reply(200, b'{"status": "running"}', {"Retry-After": "1"})
        return Reply(200, b'{"status": "done", "job": "%s"}' % request.target)

    async def main() -> dict[str, Any]:
        source = tmp_path / "in.jsonl"
        source.write_bytes(b"".join(b'{"id": %d}\n' % n for n in range(ITEMS)))
        async with FaultServer(respond=respond) as server:
            flow = Flow(poll_until="status == 'done'", max_attempts=1)
            job = SendJob(source, tmp_path / "out.jsonl", RequestTemplate(f"{server.url}/"), flow, extract="job")
            with open_send(job) as run:
                return await run.carry_out()

    summary = asyncio.run(main())
    assert (summary["ok"], summary["failed"]) == (ITEMS, 0)
    assert len(begun) == len(set(begun)) == len(asked) == ITEMS
    assert min(later - earlier for times in asked.values() for earlier, later in itertools.pairwise(times)) >= 0.99
    values = [orjson.loads(line)["value"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert sorted(values) == sorted(place.decode() for place in asked)


@pytest.mark.parametrize(
    ("options", "code", "kind"),
    [
        ([], 1, "accepted"),
        (["--ok-when", "202"], 0, None),
        (["--ok-when", "2xx"], 0, None),
        (["--poll-until", "done"], 1, "accepted"),
        (["--throttle-when", "41"], 2, None),
        (["--retry-when", "a["], 2, None),
    ],
)
def test_a_202_is_a_success_only_by_the_word_of_the_user(
    options: list[str], code: int, kind: str | None, tmp_path: Path
) -> None:
    """And its failure names the two options; a condition that is none is one line and exit code 2."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b'{"id": 1}\n')

    async def main() -> tuple[int | None, bytes]:
        async with FaultServer(respond=lambda request: Reply(202, b'{"status": "processing"}')) as server:
            command = [sys.executable, *PENSTOCK[1:], "send", str(source), "--url", server.url, "--out", str(out)]
            process = await asyncio.create_subprocess_exec(
                *command, "--quiet", *options, env=ENVIRONMENT, stderr=asyncio.subprocess.PIPE
            )
            _, said = await process.communicate()
            return process.returncode, said

    found, said = asyncio.run(main())
    assert found == code, said
    if code == 2:
        assert len(said.splitlines()) == 1
        return
    (record,) = map(orjson.loads, out.read_bytes().splitlines())
    assert record["status"] == 202
    if kind is not None:
        assert record["error"]["kind"] == kind
        assert "--poll-until" in record["error"]["message"]
