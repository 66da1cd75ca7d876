"""The fault server as a process: its options, its one line, its orderly end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from penstock.testing import read_arrivals, write_vectors
from penstock.testing.fault_server_process import main

from .raw_http import Connection, post

pytestmark = pytest.mark.real

SRC = Path(__file__).parents[2] / "src"


@contextmanager
def process(*options: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give a running server and the line it printed; killed at the end if it has not ended by itself."""
    command = [sys.executable, "-W", "error", "-m", "penstock.testing.fault_server", *map(str, options)]
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline()
        finally:
            server.kill()


async def ask(port: int, *requests: bytes) -> list[int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = Connection(reader, writer)
    statuses = [(await connection.ask(request)).status for request in requests]
    writer.close()
    await writer.wait_closed()
    return statuses


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_an_oracle_until_it_is_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    vectors, arrivals = tmp_path / "vectors.bin", tmp_path / "arrivals.bin"
    write_vectors(vectors, 100, 4)
    plant = tmp_path / "plant.json"
    plant.write_text('{"3": "empty"}')
    options: list[str | Path] = ["--oracle", vectors, "--dim", "4", "--plant", plant, "--arrivals", arrivals]
    options += ["--limit", "3/1h", "--limiter", "fixed", "--latency", "uniform:0:0.01", "--seed", "7"]
    options += ["--fault", "500=0", "--port-file", tmp_path / "port", "--stats-out", tmp_path / "stats.json"]
    with process(*options) as (server, line):
        port = int((tmp_path / "port").read_text())
        assert line == f"listening on http://127.0.0.1:{port}\n"
        body = b'{"vector":[1,2,3,4],"top_k":1}'
        assert asyncio.run(ask(port, *[post(body)] * 5)) == [200] * 3 + [429] * 2
        server.send_signal(number)
        assert server.wait(10) == 0
    statistics = orjson.loads((tmp_path / "stats.json").read_bytes())
    assert (statistics["answered"], statistics["limit_violations"]) == (3, 2)
    assert len(read_arrivals(arrivals)) == 5


@pytest.mark.slow
def test_arrivals_survive_a_kill(tmp_path: Path) -> None:
    arrivals = tmp_path / "arrivals.bin"
    with process("--arrivals", arrivals, "--port-file", tmp_path / "port") as (server, _):
        asyncio.run(ask(int((tmp_path / "port").read_text()), *[post(b"{}")] * 20))
        while len(read_arrivals(arrivals)) < 20:
            assert server.poll() is None
        server.kill()
        server.wait(10)
    assert len(read_arrivals(arrivals)) == 20


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fault", "500"], "write KIND=SHARE"),
        (["--fault", "lost=0.1"], "no fault 'lost'"),
        (["--fault", "500=often"], "could not convert"),
        (["--limit", "often"], "cannot read the limit"),
        (["--latency", "soon"], "latency"),
        (["--oracle", "/nowhere", "--dim", "4"], "/nowhere"),
        (["--oracle", "/nowhere"], "needs --dim"),
        (["--limiter", "leaky"], "invalid choice"),
        (["--attempts-affected", "some"], "some"),
    ],
)
def test_wrong_options_are_refused(options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
