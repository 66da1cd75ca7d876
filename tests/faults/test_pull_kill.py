"""`penstock pull` killed for real: in every style, at many moments, the same command ends with each row once."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.testing import PagedApi
from penstock.testing.paged_api import STYLES

from .paged import CHAINED, COUNTABLE, options_of
from .processes import ENVIRONMENT, PATIENCE, PENSTOCK, Ended, Server, finish, wait_until

ROWS, PAGE_SIZE = 1195, 10
PAGES = 120
KILL_AT = (1, 25, 60, 119)
"""Pages asked for when the process is killed, the last just before the end."""
LATENCY = dict.fromkeys(COUNTABLE, "uniform:0.02:0.08") | dict.fromkeys(CHAINED, "uniform:0.002:0.012")
"""Seconds, so that a pull takes about as long whether it has many pages in flight or one."""

pytestmark = pytest.mark.real


@contextlib.contextmanager
def paged_process(folder: Path, style: str, *options: str) -> Iterator[Server]:
    """The paged API in a process of its own; killed at the end of the block."""
    port_file, arrivals, stats = folder / "port", folder / "arrivals", folder / "stats.json"
    files = ["--port-file", str(port_file), "--arrivals", str(arrivals), "--stats-out", str(stats)]
    api = ["--rows", str(ROWS), "--page-size", str(PAGE_SIZE), "--style", style]
    command = [sys.executable, "-m", "penstock.testing.paged_server", *files, *api, *options]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: port_file.exists() or process.poll() is not None)
        yield Server(f"http://127.0.0.1:{port_file.read_text().strip()}", arrivals, stats, process)
    finally:
        process.kill()
        process.wait(PATIENCE)


def start_pull(*arguments: object) -> subprocess.Popen[bytes]:
    """`penstock pull` with these arguments, under way."""
    command = [*PENSTOCK, "pull", *map(str, arguments), "--json"]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def pull_with_kills(server: Server, command: list[object], kill_at: tuple[int, ...], chance: random.Random) -> Ended:
    """Kill the command when so many pages were asked for, or a little later; then let it end."""
    kills = 0
    for asked in kill_at:
        process = start_pull(*command)
        while server.statistics()["requests"] < asked and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        kills += finish(process).code == -signal.SIGKILL
    # The last comes when all is asked for, so it can come too late.
    assert kills >= len(kill_at) - 1
    return finish(start_pull(*command))


def judge(found: list[dict[str, Any]]) -> None:
    """Each row of the data set once, with all that belongs to it."""
    api = PagedApi(rows=ROWS)
    numbers = [row["id"] for row in found]
    assert len(numbers) == len(set(numbers)), "a row was doubled"
    assert set(numbers) == set(range(ROWS)), "a row was lost"
    assert all(row == api.dataset[row["id"]] for row in found)


@pytest.mark.parametrize("style", STYLES)
def test_killed_at_many_moments(tmp_path: Path, style: str) -> None:
    """SIGKILL at the first page, in the middle, and at the last: no row lost, none doubled, few pages asked twice."""
    out = tmp_path / "out.jsonl"
    with paged_process(tmp_path, style, "--latency", LATENCY[style], "--max-page-size", str(PAGE_SIZE)) as server:
        # More than the API gives, so that the size of a page has to be found out across kills as well.
        options = [*options_of(style, page_size=2 * PAGE_SIZE), "--in-flight", "8"]
        ended = pull_with_kills(server, [f"{server.url}/rows", "--out", out, *options], KILL_AT, random.Random(style))
        asked = server.end()["asked"]
    assert ended.code == 0, ended
    judge([json.loads(line) for line in out.read_bytes().splitlines()])
    assert ended.summary["rows"] == ROWS
    assert len(asked) <= PAGES + 1


@pytest.mark.parametrize("style", ["page", "cursor"])
def test_killed_on_the_way_to_a_table(tmp_path: Path, style: str) -> None:
    """The rows go through the same log before they become a table of SQLite, repeated rows dropped by their key."""
    out = tmp_path / "out.sqlite"
    with paged_process(tmp_path, style, "--latency", LATENCY[style], "--repeat-every", "9") as server:
        # The total of this API counts the repeats as well, so with it fewer rows are written than were promised.
        options = [*options_of(style, page_size=PAGE_SIZE, total=False), "--key", "id", "--in-flight", "8"]
        command = [f"{server.url}/rows", "--out", out, *options]
        ended = pull_with_kills(server, command, (3, 70, 130, 132), random.Random(style))
    assert ended.code == 0, ended
    with contextlib.closing(sqlite3.connect(out)) as database:
        database.row_factory = sqlite3.Row
        (name,) = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        found = [dict(row) for row in database.execute(f"select * from {name}")]  # noqa: S608
    judge([{**row, "active": bool(row["active"])} for row in found])
    assert ended.summary["duplicates"] == PagedApi(rows=ROWS, repeat_every=9).length - ROWS


@pytest.mark.parametrize("style", ["offset", "link"])
def test_an_interrupt_lets_what_is_in_flight_end(tmp_path: Path, style: str) -> None:
    """After Ctrl-C what was answered is written, exit 3; the same command goes on and asks for no page twice."""
    out = tmp_path / "out.jsonl"
    with paged_process(tmp_path, style, "--latency", "0.01") as server:
        command = [f"{server.url}/rows", "--out", out, *options_of(style, page_size=PAGE_SIZE), "--in-flight", "4"]
        process = start_pull(*command)
        wait_until(lambda: server.statistics()["requests"] >= 30)
        process.send_signal(signal.SIGINT)
        ended = finish(process)
        assert ended.code == 3, ended
        assert server.statistics()["abandoned"] == 0
        again = finish(start_pull(*command))
        asked = server.end()["asked"]
    assert again.code == 0, again
    judge([json.loads(line) for line in out.read_bytes().splitlines()])
    # A chain holds the answer whose successor it was about to ask for.
    assert sum(count - 1 for count in asked.values()) <= 1
