"""An origin that closes kept connections right after its answers, without a word: each command says so at its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.testing import write_vectors

from .processes import ENVIRONMENT, PENSTOCK, Ended, write_items

pytestmark = pytest.mark.real

ITEMS = 60
PAGING = ["--paginate", "offset", "--rows", "items", "--total", "total"]
# What is lost all the same is tried again: here it is of interest what is said.
OFTEN = ["--limit", "40/s", "--in-flight", 4, "--retry-on", "transient"]

Command = Callable[[str, Path], list[object]]
COMMANDS: dict[str, Command] = {
    "send": lambda origin, folder: ["send", write_items(folder / "in.jsonl", ITEMS), "--url", f"{origin}/{{n}}"],
    "send with two processes": lambda origin, folder: [*COMMANDS["send"](origin, folder), "--processes", 2],
    "pull": lambda origin, folder: ["pull", f"{origin}/rows", *PAGING],
    "check": lambda origin, folder: ["check", _vectors(folder), "--dim", 4, "--url", f"{origin}/s"],
}


def _vectors(folder: Path) -> Path:
    write_vectors(folder / "vectors.bin", ITEMS, 4, seed=1)
    return folder / "vectors.bin"


def _body(target: str) -> bytes:
    url = urlsplit(target)
    if url.path != "/rows":
        return b'{"similarity": 1.0}'
    offset = int(parse_qs(url.query).get("offset", ["0"])[0])
    return json.dumps(
        {"items": [{"id": n} for n in range(offset, min(offset + 2, 2 * ITEMS))], "total": 2 * ITEMS}
    ).encode()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        await reader.readexactly(int(length or 0))
        body, end = _body(head.split(" ", 2)[1]), "Connection: close\r\n" * ("connection: close" in head)
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{end}"
        writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + body)
    writer.close()


@contextlib.asynccontextmanager
async def _origin() -> AsyncIterator[str]:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, backlog=1000)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _penstock(*arguments: object) -> Ended:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *PENSTOCK, *map(str, arguments), stdout=pipe, stderr=pipe, env=ENVIRONMENT
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


def _at_its_end(command: str, folder: Path, *options: object) -> tuple[str, Ended, dict[str, Any]]:
    """The origin, what the command said to a person, and the summary of the same command, given again with --json."""
    found: list[tuple[str, Ended, dict[str, Any]]] = []

    async def main() -> None:
        async with _origin() as origin:
            typed = [*COMMANDS[command](origin, folder), *OFTEN, "--out", folder / "out.jsonl", *options]
            told = await _penstock(*typed)
            again = await _penstock(*typed, "--json")
            assert again.code == told.code, again.errors
            found.append((origin, told, again.summary))

    asyncio.run(main())
    return found[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_said_at_the_end_and_not_forgotten(tmp_path: Path, command: str) -> None:
    origin, told, summary = _at_its_end(command, tmp_path)
    assert list(summary["died_connections"]) == [origin], told.errors
    assert summary["died_connections"][origin] >= 5
    said = " ".join(told.errors.split())
    assert f"careful {origin} closed " in said
    assert "connection of its own with --no-keep-alive" in said
    # It makes no outcome doubtful: what was lost is counted as such.
    assert told.code == 0, told.errors


@pytest.mark.parametrize("command", COMMANDS)
def test_without_keep_alive_there_is_nothing_to_say(tmp_path: Path, command: str) -> None:
    _, told, summary = _at_its_end(command, tmp_path, "--no-keep-alive")
    assert (told.code, summary["died_connections"], summary["retries"]) == (0, {}, 0), told.errors
    assert "closed" not in told.errors
