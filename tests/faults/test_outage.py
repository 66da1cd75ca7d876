"""A server that goes away while `penstock send` works, for real: nothing lost, and exit 3 where it stays away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

import penstock
from penstock.layers.hedge import Hedge
from penstock.rules.retries.hedge import Hedging
from penstock.testing import FaultPlan, FaultServer

from .processes import fault_server, finish, records, start_send, wait_until, write_items

pytestmark = pytest.mark.real


def test_a_server_that_is_killed_and_started_again_costs_no_item(tmp_path: Path) -> None:
    """Two seconds without anybody at the port: all items are ok, by few attempts more, and the summary knows."""
    source, out = write_items(tmp_path / "items.jsonl", 600), tmp_path / "out.jsonl"
    (tmp_path / "again").mkdir()
    with fault_server(tmp_path, "--latency", "0.05") as server:
        port = server.url.rpartition(":")[2]
        process = start_send([source, "--url", f"{server.url}/n", "--out", out, "--limit", "100/s", "--json"])
        wait_until(lambda: server.statistics()["requests"] >= 100)
        server.process.kill()
        time.sleep(2.0)
        with fault_server(tmp_path / "again", "--latency", "0.05", "--port", port):
            ended = finish(process)
    # A POST whose connection was reset may not be repeated; that is what the user asked for with "safe".
    assert ended.summary["items"] == 600
    assert set(ended.summary["by_kind"]) <= {"reset"}
    assert ended.summary["failed"] <= 20
    assert ended.summary["attempts"] <= 660
    assert sorted(record["key"] for record in records(out)) == list(range(600))


def test_a_host_that_stays_away_ends_the_run_resumable(tmp_path: Path) -> None:
    """After --max-outage: exit 3, one line that says what to do, and the same command finishes later."""
    source, out = write_items(tmp_path / "items.jsonl", 300), tmp_path / "out.jsonl"
    (tmp_path / "again").mkdir()
    with fault_server(tmp_path, "--latency", "0.02") as server:
        port = server.url.rpartition(":")[2]
        command = [source, "--url", f"{server.url}/n", "--out", out, "--limit", "100/s", "--json"]
        command += ["--max-outage", "2s", "--retry-on", "transient"]
        process = start_send(command)
        wait_until(lambda: server.statistics()["requests"] >= 50)
        server.process.kill()
        ended = finish(process)
    assert ended.code == 3, ended
    assert "the same command goes on from there" in ended.errors
    done = len(records(out))
    assert 30 <= done < 300
    assert all(record["ok"] for record in records(out))
    with fault_server(tmp_path / "again", "--latency", "0.02", "--port", port):
        again = finish(start_send(command))
    assert (again.code, again.summary["ok"], again.summary["resumed"]) == (0, 300, done)


def test_probes_of_a_server_that_only_answers_500(tmp_path: Path) -> None:
    """Everything is answered, and everything with 500: a few probes and not hundreds of retries."""
    source, out = write_items(tmp_path / "items.jsonl", 300), tmp_path / "out.jsonl"
    with fault_server(tmp_path, "--lasting", "500=1") as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--limit", "200/s", "--json"]
        ended = finish(start_send([*command, "--retry-on", "transient", "--max-outage", "3s"]))
        assert ended.code == 3, ended
        assert server.statistics()["requests"] <= 60
    assert "500" in ended.errors


def test_hedged_calls_leave_no_connection_behind() -> None:
    """The wire's client: whoever wins, and wherever the race is cut off, every slot of the pool is given back."""

    class Anything:
        def may_repeat(self, request: object) -> bool:
            return True

        def is_good(self, request: object, answer: object) -> bool:
            return True

        def may_send(self) -> bool:
            return True

        def ended(self) -> None:
            return

    async def main() -> None:
        async with FaultServer(faults=FaultPlan(rates={"hang": 0.5})) as server, penstock.Client() as client:
            rules = Hedging(0.95, share=1.0)
            hedge: Hedge[penstock.Request, penstock.Response] = Hedge(client, rules, Anything())
            answered = cut_off = 0
            for number in range(60):
                rules.delay = 0.02
                request = penstock.Request("GET", f"{server.url}/{number}")
                try:
                    async with asyncio.timeout(0.001 * number):
                        answered += (await hedge.once(request)).status == 200
                except TimeoutError:
                    cut_off += 1
            assert client.statistics().in_use == client.statistics().waiting == 0
            assert answered > 10
            assert cut_off > 5
            assert len(asyncio.all_tasks()) <= 2

    asyncio.run(main())
