"""Several processes of one proxy, of which some are killed."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .proxy_processes import answer, lives, processes_of, proxy_of, until

pytestmark = pytest.mark.real
FRESH = "Cache-Control: max-age=600"
DOWN = b"cache-status: penstock; fwd=bypass; detail=owner-down"


async def fresh(method: str, target: str, head: bytes) -> bytes:
    return answer(target.encode(), FRESH, "Cache-Tag: t")


def test_a_thousand_clients_of_both_processes_are_one_call(tmp_path: Path) -> None:
    async def slow(method: str, target: str, head: bytes) -> bytes:
        await asyncio.sleep(1.5)
        return await fresh(method, target, head)

    async def main() -> None:
        async with proxy_of(slow, tmp_path, "--admin", "127.0.0.1:0", "--max-connections-per-address", "0") as running:
            answers = await asyncio.gather(*(running.get("/cold") for _ in range(1000)))
            assert all(each.endswith(b"/cold") for each in answers)
            assert running.app.asked == [("GET", "/cold")]
            found = await running.admin("/stats")
            assert (found["requests"], found["processes"], found["processes_up"]) == (1000, 2, 2)
            assert found["hits"] + found["collapsed"] + sum(found["misses"].values()) == 1000
            assert found["objects"] == 1

    asyncio.run(main())


def test_a_killed_process_is_started_again_and_done_without_meanwhile(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxy_of(fresh, tmp_path, "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0") as running:
            await running.both_sides()
            hits = await running.both_sides()
            assert all(b"cache-status: penstock; hit" in each for each in hits.values())
            killed = running.workers[0]
            os.kill(killed, signal.SIGKILL)
            meanwhile = await running.both_sides()
            assert all(found.endswith(target.encode()) for target, found in meanwhile.items())
            await running.said("is started again")
            await until(lambda: len(running.workers) == 2 and killed not in running.workers)
            async with asyncio.timeout(30):
                # It is filled anew, and then both have all of it.
                while not all(b"; hit" in each for each in (await running.both_sides()).values()):
                    await asyncio.sleep(0.05)
            assert (await running.admin("/stats"))["processes_up"] == 2

    asyncio.run(main())


@pytest.mark.parametrize(("method", "most"), [("GET", 2), ("POST", 1)])
def test_what_was_under_way_in_a_killed_process_is_asked_once_more_at_most(
    tmp_path: Path, method: str, most: int
) -> None:
    """All clients get an answer, or see that there is none; only what is harmless is asked again."""

    async def slow(method: str, target: str, head: bytes) -> bytes:
        await asyncio.sleep(1.0)
        return answer(target.encode(), "Cache-Control: no-store")

    async def main() -> None:
        async with proxy_of(slow, tmp_path) as running:
            length = ("Content-Length: 0",) if method == "POST" else ()
            asking = [asyncio.create_task(running.get(f"/{number}", *length, method=method)) for number in range(100)]
            await until(lambda: len(running.app.asked) >= 100)
            os.kill(running.workers[0], signal.SIGKILL)
            found: list[Any] = await asyncio.gather(*asking, return_exceptions=True)
            kinds = Counter(
                "reset" if isinstance(each, OSError) or not each else each.split(b" ")[1].decode() for each in found
            )
            calls = Counter(target for _, target in running.app.asked)
            assert max(calls.values()) <= most
            # Those that the killed one had itself are gone; a quarter, as the kernel spreads them.
            assert kinds["200"] >= 20
            assert kinds["502"] == 0 if method == "GET" else kinds["502"] > 0
            assert sum(kinds.values()) == 100
            if method == "GET":
                assert sum(isinstance(each, bytes) and DOWN in each for each in found) > 0

    asyncio.run(main())


def test_a_process_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxy_of(fresh, tmp_path) as running:
            stopped = running.workers[0]
            os.kill(stopped, signal.SIGSTOP)
            found = await asyncio.gather(*(running.get(f"/{number}") for number in range(20)), return_exceptions=True)
            assert sum(isinstance(each, bytes) and b" 200 " in each for each in found) >= 5
            await running.said("signal SIGKILL")
            assert not lives(stopped)

    asyncio.run(main())


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxy_of(fresh, tmp_path) as running:
            workers = running.workers
            assert len(workers) == 2
            running.process.kill()
            await running.process.wait()
            await until(lambda: not any(lives(pid) for pid in workers))
        assert not list(tmp_path.glob("penstock-*"))

    asyncio.run(main())


@pytest.mark.parametrize("killed", ["the parent", "each by SIGTERM"])
def test_what_is_passed_on_is_answered_when_nobody_orders_the_end(tmp_path: Path, killed: str) -> None:
    """A process that has no clients of its own, or whose clients were answered first, still answers for the others."""
    slowly = asyncio.Event()

    async def slow(method: str, target: str, head: bytes) -> bytes:
        await slowly.wait()
        return answer(target.encode(), "Cache-Control: no-store")

    async def main() -> None:
        async with proxy_of(slow, tmp_path, count=4) as running:
            asking = [
                asyncio.create_task(running.get(f"/{each}", "Content-Length: 0", method="POST")) for each in range(3)
            ]
            await until(lambda: len(running.app.asked) == 3)
            if killed == "the parent":
                running.process.kill()
                await running.process.wait()
            else:
                for pid in running.workers:
                    os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(1.5)
            slowly.set()
            for each, found in enumerate(await asyncio.gather(*asking)):
                assert found.endswith(f"/{each}".encode()), found

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_all_of_them(tmp_path: Path, number: signal.Signals) -> None:
    async def slow(method: str, target: str, head: bytes) -> bytes:
        await asyncio.sleep(1.0)
        return await fresh(method, target, head)

    async def main() -> None:
        async with proxy_of(slow, tmp_path) as running:
            workers = running.workers
            asking = [asyncio.create_task(running.get(f"/{each}")) for each in range(40)]
            await until(lambda: len(running.app.asked) == 40)
            running.process.send_signal(number)
            answers = await asyncio.gather(*asking)
            assert all(found.endswith(f"/{each}".encode()) for each, found in enumerate(answers))
            assert await running.process.wait() == 0
            assert not any(map(lives, workers))
            assert "finishing what is under way (40 answers)" in running.text
        assert not list(tmp_path.glob("penstock-*"))

    asyncio.run(main())


@pytest.mark.parametrize("seconds", [0.0, 1.5])
def test_all_may_get_the_signal_at_once(tmp_path: Path, seconds: float) -> None:
    """As systemd stops a unit: nobody is started again, and what is under way is finished."""
    slowly = asyncio.Event()

    async def slow(method: str, target: str, head: bytes) -> bytes:
        await slowly.wait()
        return answer(target.encode(), "Cache-Control: no-store")

    async def main() -> None:
        count = 10 if seconds else 0
        async with proxy_of(slow, tmp_path) as running:
            asking = [asyncio.create_task(running.get(f"/{each}")) for each in range(count)]
            await until(lambda: len(running.app.asked) == count)
            for pid in (*running.workers, running.process.pid):
                os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(seconds)
            slowly.set()
            for each, found in enumerate(await asyncio.gather(*asking)):
                assert found.endswith(f"/{each}".encode()), found
            async with asyncio.timeout(10):
                assert await running.process.wait() == 0
            assert f"finishing what is under way ({count} answers)" in running.text
            assert "started again" not in running.text
            assert "Traceback" not in running.text

    asyncio.run(main())


def test_a_purge_reaches_all_of_them_also_while_one_dies(tmp_path: Path) -> None:
    version = 0

    async def script(method: str, target: str, head: bytes) -> bytes:
        return answer(b"%d" % version, FRESH, "Cache-Tag: t")

    async def main() -> None:
        nonlocal version
        async with proxy_of(script, tmp_path, "--admin", "127.0.0.1:0") as running:
            for how in (
                {"tag": "t"},
                {"all": True},
                {"url": [f"http://shop/{each}" for each in range(40)]},
                {"tag": "t"},
            ):
                await running.both_sides()
                version += 1
                if version == 4:
                    os.kill(running.workers[1], signal.SIGKILL)
                told = await running.admin("/purge", how)
                assert told["purged"] == 40 if version < 4 else told["purged"] < 40
                for found in (await running.both_sides()).values():
                    assert found.endswith(b"\r\n\r\n%d" % version)

    asyncio.run(main())


def test_a_restart_refuses_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with proxy_of(fresh, tmp_path) as running:
            stop = asyncio.Event()

            async def asking() -> int:
                count = 0
                while not stop.is_set():
                    assert (await running.get(f"/{count % 10}")).endswith(f"/{count % 10}".encode())
                    count += 1
                return count

            clients = [asyncio.create_task(asking()) for _ in range(4)]
            before = running.workers
            running.process.send_signal(signal.SIGUSR2)
            assert await running.process.wait() == 0
            assert "a new process has taken over" in running.text
            for _ in range(20):
                assert (await running.get("/1")).endswith(b"/1")
            stop.set()
            assert all(count > 0 for count in await asyncio.gather(*clients))
            assert not any(map(lives, before))
            successor = next(pid for pid in processes_of(tmp_path) if pid not in before)
            os.kill(successor, signal.SIGTERM)
            await until(lambda: not lives(successor))

    asyncio.run(main())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_that_is_the_parent_s_ends_no_process(tmp_path: Path, number: signal.Signals) -> None:
    """`systemctl kill -s HUP`, as log rotation does it, sends it to all of them."""

    async def main() -> None:
        async with proxy_of(fresh, tmp_path) as running:
            await running.both_sides()
            workers = running.workers
            for pid in workers:
                os.kill(pid, number)
            if number == signal.SIGHUP:
                running.process.send_signal(number)
                await running.said("penstock: reloaded")
            await asyncio.sleep(0.2)
            answers = await running.both_sides()
            assert all(b"cache-status: penstock; hit" in each for each in answers.values())
            assert sorted(running.workers) == sorted(workers)
            assert "has ended" not in running.text

    asyncio.run(main())


def test_a_reload_reaches_all_of_them(tmp_path: Path) -> None:
    policy = tmp_path / "cache.toml"
    policy.write_text("")

    async def main() -> None:
        async with proxy_of(fresh, tmp_path, "--policy", str(policy)) as running:
            await running.both_sides()
            policy.write_text("[[path]]\nmatch = '/*'\nbypass = true\n")
            running.process.send_signal(signal.SIGHUP)
            await running.said("penstock: reloaded")
            answers = await running.both_sides()
            assert all(b"fwd=bypass; detail=policy-bypass" in each for each in answers.values())
            policy.write_text("nonsense")
            running.process.send_signal(signal.SIGHUP)
            await running.said("not reloaded")
            # Who begins now gets the policy that the others have.
            killed = running.workers[0]
            os.kill(killed, signal.SIGKILL)
            await until(lambda: len(running.workers) == 2 and killed not in running.workers)
            answers = await running.both_sides()
            assert all(b"fwd=bypass; detail=policy-bypass" in each for each in answers.values())

    asyncio.run(main())
