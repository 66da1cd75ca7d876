"""`--limit-by` with real processes: each key keeps its limit, also across kill -9, and what is wrong is said."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from pathlib import Path

import orjson
import pytest

from penstock.testing import FaultServer, Reply, ServedRequest, most_in_any_window

from .processes import ENVIRONMENT, PENSTOCK, records, run_send

pytestmark = pytest.mark.real


def write_shops(path: Path, **counts: int) -> Path:
    """Records of shops, each in a row."""
    lines = [{"shop": shop, "n": number} for shop, count in counts.items() for number in range(count)]
    path.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
    return path


def test_each_value_of_a_field_keeps_its_limit_across_kills(tmp_path: Path) -> None:
    """Two shops at 50 in 2 s each; killed twice on the way: no window of either holds more, and nothing is lost."""
    source = write_shops(tmp_path / "in.jsonl", north=110, south=110)
    out = tmp_path / "out.jsonl"
    arrivals: dict[str, list[float]] = defaultdict(list)

    def respond(request: ServedRequest) -> Reply:
        arrivals[orjson.loads(request.body)["shop"]].append(time.monotonic())
        return Reply(body=b"{}")

    async def session(url: str, lasts: float | None) -> int:
        command = [*PENSTOCK, "send", source, "--url", url, "--out", out, "--limit", "50/2s", "--limit-by", "shop"]
        process = await asyncio.create_subprocess_exec(*map(str, command), "--quiet", env=ENVIRONMENT)
        if lasts is not None:
            seen = sum(map(len, arrivals.values()))
            while sum(map(len, arrivals.values())) == seen:
                await asyncio.sleep(0.01)
            await asyncio.sleep(lasts)
            process.kill()
        return await process.wait()

    async def main() -> list[int]:
        async with asyncio.timeout(60), FaultServer(respond=respond) as server:
            return [await session(server.url, lasts) for lasts in (0.5, 1.0, None)]

    assert asyncio.run(main()) == [-9, -9, 0]
    assert Counter(record["ok"] for record in records(out)) == {True: 220}
    for calls in arrivals.values():
        # Half a percent for the way, on this machine.
        assert most_in_any_window(calls, 1.99) <= 50
    series = [orjson.loads(line) for line in (tmp_path / "out.jsonl.run" / "series.jsonl").read_bytes().splitlines()]
    assert series[-1]["limits"] == ["50/2s for each shop (2 of them)"]
    # In a row in the file, and yet side by side on the wire.
    assert abs(arrivals["north"][0] - arrivals["south"][0]) < 2.0


def test_hosts_are_told_apart(tmp_path: Path) -> None:
    """By the URL of each record; the summary says how many there were."""
    served = Counter[str]()

    def respond(request: ServedRequest) -> Reply:
        served[request.headers["host"]] += 1
        return Reply(body=b"{}")

    async def main() -> tuple[int, bytes, bytes]:
        async with asyncio.timeout(60), FaultServer(respond=respond) as one, FaultServer(respond=respond) as two:
            source = tmp_path / "in.jsonl"
            ports = [one.port, two.port] * 20
            source.write_bytes(b"".join(orjson.dumps({"port": port}) + b"\n" for port in ports))
            command = [*PENSTOCK, "send", source, "--url", "http://127.0.0.1:{port}/", "--method", "GET", "--json"]
            command += ["--out", tmp_path / "out.jsonl", "--limit", "20/s", "--limit-by", "host"]
            process = await asyncio.create_subprocess_exec(
                *map(str, command), env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            output, errors = await process.communicate()
            return process.returncode or 0, output, errors

    code, output, errors = asyncio.run(main())
    assert code == 0, errors
    assert sorted(served.values()) == [20, 20]
    assert orjson.loads(output)["limits"] == [{"limit": "20/s", "by": "host", "keys": 2}]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit-by", "shop"], "needs one"),
        (["--limit", "10/s@name", "--limit-by", "shop"], "name"),
        (["--limit", "10/s", "--limit-by", "store"], "store"),
        (["--limit", "10/s", "--limit-by", "shop", "--hedge", "p95"], "--hedge"),
    ],
)
def test_what_cannot_be_kept_is_said_before_anything_is_sent(tmp_path: Path, options: list[str], said: str) -> None:
    """One line and exit 2; a field that a record does not have is found when the input is read."""
    source = write_shops(tmp_path / "in.jsonl", north=3)
    ended = run_send(source, "--url", "http://127.0.0.1:9/", "--out", tmp_path / "out.jsonl", *options)
    assert ended.code == 2, ended
    assert said in ended.errors
    assert ended.errors.count("\n") == 1
