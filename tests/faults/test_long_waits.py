"""One `Retry-After` of 30 years does not brick a run: the commands, for real, session after session."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from penstock.testing import FaultServer, Reply, ServedRequest, write_vectors

from .processes import ENVIRONMENT, PENSTOCK, Ended, write_items

pytestmark = pytest.mark.real

ITEMS = 40
SOON = 15
PATIENCE = 25.0
"""So many calls are answered well before one is told to wait."""
YEARS = Reply(429, b"{}", {"Retry-After": "946080000"})
WRONG_YEAR = Reply(429, b"{}", {"Retry-After": "Sun, 06 Nov 2094 08:49:37 GMT"})


class Api:
    """Answers `good`, but tells the callers to go away while `angry`."""

    def __init__(self, good: Callable[[ServedRequest], Reply], angry: Reply) -> None:
        self.calls = 0
        self.angry_after = SOON
        self._good = good
        self._angry = angry

    def __call__(self, request: ServedRequest) -> Reply:
        """The answer."""
        self.calls += 1
        return self._angry if self.calls > self.angry_after else self._good(request)

    def calm_down(self) -> None:
        """From now on all is well."""
        self.angry_after = 10**9


async def session(command: Sequence[object]) -> Ended:
    """One run of the command to its end."""
    process = await asyncio.create_subprocess_exec(
        *PENSTOCK, *map(str, command), env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(), errors.decode())


async def three_sessions(api: Api, command: Callable[[str], list[object]]) -> tuple[Ended, Ended, Ended, int]:
    """Told to wait; the same again; with --forget-pause. And how many calls the second one made."""
    async with FaultServer(respond=api) as server:
        typed = command(server.url)
        first = await session(typed)
        api.calm_down()
        calls = api.calls
        second = await session(typed)
        calls = api.calls - calls
        third = await session([*typed, "--forget-pause"])
    return first, second, third, calls


def page(request: ServedRequest) -> Reply:
    """Two rows of a list that is cut into pages by offset."""
    offset = int(parse_qs(urlsplit(request.target.decode()).query).get("offset", ["0"])[0])
    rows = [{"id": each} for each in range(offset, min(offset + 2, 2 * ITEMS))]
    return Reply(200, json.dumps({"items": rows, "total": 2 * ITEMS}).encode())


def found(request: ServedRequest) -> Reply:
    """A full hit."""
    return Reply(200, b'{"similarity": 1.0}')


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--limit", "1000/s"],
        ["--limit", "1000/s@years"],
        ["--limit", "1000/s", "--limit-by", "key"],
        ["--processes", "2"],
        ["--processes", "2", "--limit", "1000/s@years"],
        ["--max-outage", "0s"],
        ["--json"],
    ],
    ids=" ".join,
)
def test_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    """4 of 5 items were failed, the second session waited for 30 years, and only --fresh helped."""
    monkeypatch.setitem(ENVIRONMENT, "PENSTOCK_LIMITS", str(tmp_path / "limits"))
    (tmp_path / "limits").mkdir(mode=0o700)
    source, out = write_items(tmp_path / "items.jsonl", ITEMS), tmp_path / "out.jsonl"
    source.write_text("".join(f'{{"n": {number}, "key": "a"}}\n' for number in range(ITEMS)))
    # A date of a wrong year is the same case.
    api = Api(lambda request: Reply(200, b"1"), YEARS if options else WRONG_YEAR)
    first, second, third, calls = asyncio.run(
        three_sessions(api, lambda url: ["send", source, "--url", f"{url}/n", "--out", out, "--in-flight", 4, *options])
    )
    for ended in (first, second):
        assert ended.code == 3, ended.errors
        assert "asked to wait until 20" in ended.errors
        assert "--forget-pause" in ended.errors
    assert calls == 0
    assert third.code == 0, third.errors
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(record["key"] for record in records) == list(range(ITEMS))
    assert all(record["ok"] for record in records)
    assert api.calls <= ITEMS + 8


def test_pull(tmp_path: Path) -> None:
    """Pages that came are kept, and the pull goes on from there."""
    api, out = Api(page, YEARS), tmp_path / "rows.jsonl"
    first, second, third, calls = asyncio.run(
        three_sessions(
            api,
            lambda url: (
                [
                    *("pull", f"{url}/rows", "--out", out, "--paginate", "offset"),
                    *("--rows", "items", "--total", "total", "--in-flight", 2),
                ]
            ),
        )
    )
    assert (first.code, second.code, calls) == (3, 3, 0), (first.errors, second.errors)
    assert "asked to wait until 20" in first.errors
    assert "asked to wait until 20" in second.errors
    assert third.code == 0, third.errors
    assert sorted(json.loads(line)["id"] for line in out.read_text().splitlines()) == list(range(2 * ITEMS))


def test_the_first_look_of_a_pull(tmp_path: Path) -> None:
    """Of which no counters are kept: each session asked again at once, although it was told to wait."""
    api, out = Api(page, YEARS), tmp_path / "rows.jsonl"
    api.angry_after = 0
    first, second, third, calls = asyncio.run(
        three_sessions(api, lambda url: ["pull", f"{url}/rows?offset=0&limit=2", "--out", out])
    )
    assert (first.code, second.code, calls) == (3, 3, 0), (first.errors, second.errors)
    assert "asked to wait until 20" in second.errors
    assert third.code == 0, third.errors
    assert sorted(json.loads(line)["id"] for line in out.read_text().splitlines()) == list(range(2 * ITEMS))


@pytest.mark.parametrize("command", ["pull", "check"])
def test_a_wait_that_a_kill_ends_in_the_first_look(command: str, tmp_path: Path) -> None:
    """It is kept when it is told, and not where the session ends."""
    vectors, out = tmp_path / "vectors.bin", tmp_path / "out.jsonl"
    write_vectors(vectors, 200, 4, seed=1)
    api = Api(found, Reply(429, b"{}", {"Retry-After": "300"}))
    api.angry_after = 0

    async def main() -> tuple[Ended, int]:
        async with FaultServer(respond=api) as server:
            words = {"pull": [server.url], "check": [str(vectors), "--dim", "4", "--url", server.url]}
            typed = [command, *words[command], "--out", str(out), "--in-flight", "1"]
            process = await asyncio.create_subprocess_exec(
                *PENSTOCK, *typed, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            async with asyncio.timeout(PATIENCE):
                while not api.calls:
                    await asyncio.sleep(0.02)
            # A commit is made four times a second.
            await asyncio.sleep(2.0)
            process.kill()
            await process.wait()
            calls = api.calls
            return await session([*typed, "--max-outage", "1s"]), api.calls - calls

    ended, calls = asyncio.run(main())
    assert (ended.code, calls) == (3, 0), ended.errors
    assert "asked to wait until 20" in ended.errors


@pytest.mark.parametrize("after", [SOON, 1000], ids=["the first answers", "the census"])
def test_check(tmp_path: Path, after: int) -> None:
    """Also while it learns how to read the answers, of which no counters are kept."""
    vectors, out = tmp_path / "vectors.bin", tmp_path / "census"
    write_vectors(vectors, 2000, 4, seed=1)
    api = Api(found, YEARS)
    api.angry_after = after
    first, second, third, calls = asyncio.run(
        three_sessions(
            api, lambda url: ["check", vectors, "--dim", 4, "--url", f"{url}/s", "--out", out, "--in-flight", 4]
        )
    )
    assert (first.code, second.code, calls) == (3, 3, 0), (first.errors, second.errors)
    assert "asked to wait until 20" in first.errors
    assert "asked to wait until 20" in second.errors
    assert third.code in (0, 1), third.errors
