"""`penstock pull` in this process against a paged API that listens on a real port, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.main import run_command
from penstock.testing import FaultServer, PagedApi

PATIENCE = 30.0
"""Seconds after which a server should have started, or ended."""

PAGE_SIZE = 10

STYLE_OPTIONS: dict[str, list[str]] = {
    "offset": ["--paginate", "offset", "--offset-param", "offset"],
    "page": ["--paginate", "page", "--page-param", "page"],
    "cursor": ["--paginate", "cursor", "--cursor-param", "cursor", "--next", "next"],
    "next-url": ["--paginate", "next-url", "--next", "next"],
    "link": ["--paginate", "link"],
}
COUNTABLE = ("offset", "page")
CHAINED = ("cursor", "next-url", "link")


def options_of(style: str, *, page_size: int = PAGE_SIZE, total: bool = True) -> list[str]:
    """What a user says of an API of this style."""
    common = ["--rows", "items", "--page-size", str(page_size), "--size-param", "limit"]
    return [*STYLE_OPTIONS[style], *common, *(["--total", "total"] if total else [])]


@contextlib.contextmanager
def listening(api: PagedApi, **options: Any) -> Iterator[tuple[str, FaultServer]]:
    """Serve `api` on a free port in another thread; yields the URL of its rows, and the server."""
    server = api.serve(**options)
    started, loop = threading.Event(), asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with server:
            started.set()
            await ended.wait()

    def run() -> None:
        with contextlib.closing(loop):
            loop.run_until_complete(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield f"{server.url}/rows", server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()


@dataclass(frozen=True)
class Pulled:
    """What one pull came to."""

    code: int
    summary: dict[str, Any]
    """Empty where the run did not get so far."""
    errors: str
    out: Path

    @property
    def rows(self) -> list[Any]:
        """The rows of a JSONL output, as they stand there."""
        return [json.loads(line) for line in self.out.read_bytes().splitlines()] if self.out.exists() else []

    @property
    def numbers(self) -> list[int]:
        """Which rows those are, sorted: pages that are fetched at once are written as they come."""
        return sorted(row["id"] for row in self.rows)

    @property
    def said(self) -> str:
        """All that the user was told in words: what went to standard error, and the warnings."""
        return " ".join([self.errors, *self.summary.get("warnings", [])])


def pull(url: str, out: Path, options: Sequence[str], capture: pytest.CaptureFixture[str]) -> Pulled:
    """`penstock pull` through the whole command line, to its end."""
    capture.readouterr()
    code = run_command(["pull", url, "--out", str(out), "--json", *options])
    printed = capture.readouterr()
    return Pulled(code, json.loads(printed.out) if printed.out else {}, printed.err, out)
