"""A credential that is dead, or dies, over real sockets: judged by the server's own count, for all commands."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from penstock.cli.main import run_command

from .guarded_api import COUNT, ROWS, GuardedApi

pytestmark = pytest.mark.real

HEADER = ("--header", "Authorization: Bearer ${TOKEN}")


def send(api: GuardedApi, records: Path, *more: str) -> list[str]:
    """The command."""
    return ["send", str(records), "--url", f"{api.url}/x", "--out", str(records.parent / "out.jsonl"), *HEADER, *more]


def keys(records: Path) -> Counter[bool]:
    """How many are ok; no key is there twice."""
    lines = [orjson.loads(line) for line in (records.parent / "out.jsonl").read_bytes().splitlines()]
    assert len({line["key"] for line in lines}) == len(lines)
    return Counter(line["ok"] for line in lines)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("more", [(), ("--in-flight", "500", "--limit", "5000/s"), ("--processes", "2")])
def test_a_dead_token_costs_few_calls_and_no_record(
    api: GuardedApi, records: Path, monkeypatch: Any, capsys: Any, status: int, more: tuple[str, ...]
) -> None:
    """And the same command with a new one does all of them, each once."""
    api.denies_with = status
    monkeypatch.setenv("TOKEN", "token-dead")
    assert run_command(send(api, records, *more)) == 3
    assert api.calls <= 40
    said = capsys.readouterr().err
    assert "a new value of ${TOKEN}" in said
    assert "token-dead" not in said
    assert keys(records) == {}
    monkeypatch.setenv("TOKEN", "token-good")
    assert run_command(send(api, records, *more)) == 0
    assert keys(records) == {True: COUNT}
    assert Counter(api.passed) == {f'{{"id":{number}}}': 1 for number in range(COUNT)}


def test_a_token_that_dies_in_the_middle_burns_no_record(api: GuardedApi, records: Path, monkeypatch: Any) -> None:
    """What was let pass is done, all else is left."""
    api.lasts = 1000
    monkeypatch.setenv("TOKEN", "token-good")
    assert run_command(send(api, records, "--in-flight", "20")) == 3
    assert keys(records) == {True: 1000}
    assert len(api.refused) <= 60
    api.lasts = None
    assert run_command(send(api, records)) == 0
    assert keys(records) == {True: COUNT}
    assert len(api.passed) == COUNT


def test_a_kill_during_the_row_loses_and_doubles_nothing(api: GuardedApi, records: Path, monkeypatch: Any) -> None:
    """What is held back is in no file."""
    api.slow = 0.2
    monkeypatch.setenv("TOKEN", "token-dead")
    process = subprocess.Popen([sys.executable, "-m", "penstock", *send(api, records, "--in-flight", "2", "--quiet")])
    ends = time.monotonic() + 20
    while len(api.refused) < 6 and time.monotonic() < ends:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 6 <= len(api.refused) < 20
    api.slow = 0.0
    monkeypatch.setenv("TOKEN", "token-good")
    assert run_command(send(api, records)) == 0
    assert keys(records) == {True: COUNT}
    assert len(api.passed) == COUNT


def test_the_row_can_be_as_long_as_one_likes(api: GuardedApi, records: Path, monkeypatch: Any) -> None:
    """`--stop-after-denied 0` goes on; `--stop-after-failures` then ends it, and what failed is in the output."""
    monkeypatch.setenv("TOKEN", "token-dead")
    more = ("--stop-after-denied", "0", "--stop-after-failures", "100", "--in-flight", "10")
    assert run_command(send(api, records, *more)) == 3
    failed = keys(records)[False]
    assert 100 <= failed <= 120
    monkeypatch.setenv("TOKEN", "token-good")
    assert run_command(send(api, records)) == 1
    assert keys(records) == {True: COUNT - failed, False: failed}
    assert run_command(send(api, records, "--retry-failed")) == 0


@pytest.mark.parametrize("style", ["offset", "cursor"])
@pytest.mark.parametrize("total", [True, False])
def test_a_pull_stops_and_goes_on(api: GuardedApi, tmp_path: Path, monkeypatch: Any, style: str, total: bool) -> None:
    """Every row is there once."""
    command = ["pull", f"{api.url}/{style}", "--out", str(tmp_path / "rows.jsonl"), *HEADER, "--rows", "items"]
    command += ["--paginate", style, *(["--total", "total"] if total and style == "offset" else [])]
    command += ["--next", "next"] if style == "cursor" else []
    monkeypatch.setenv("TOKEN", "token-good")
    api.lasts = 12
    assert run_command(command) == 3
    assert len(api.refused) <= 40
    api.lasts = None
    assert run_command(command) == 0
    rows = [orjson.loads(line)["id"] for line in (tmp_path / "rows.jsonl").read_bytes().splitlines()]
    assert sorted(rows) == list(range(ROWS))


def test_a_census_stops_and_goes_on(api: GuardedApi, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    """At its first answers, and in the middle."""
    vectors = np.random.default_rng(1).random((2000, 4), dtype=np.float32)
    np.save(tmp_path / "v.npy", vectors)
    command = ["check", str(tmp_path / "v.npy"), "--url", f"{api.url}/search", "--out", str(tmp_path / "c"), *HEADER]
    monkeypatch.setenv("TOKEN", "token-dead")
    assert run_command(command) == 3
    assert api.calls <= 40
    monkeypatch.setenv("TOKEN", "token-good")
    api.lasts = 1000
    assert run_command([*command, "--in-flight", "10"]) == 3
    assert "a new value of ${TOKEN}" in capsys.readouterr().err
    api.lasts = None
    assert run_command([*command, "--quiet", "--json"]) in (0, 1)
    assert orjson.loads(capsys.readouterr().out)["failed"] == 0
