"""The parent of several processes, and what those do that it has started."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from penstock.clock import SystemClock
from penstock.inbound.processes.duties import Duties
from penstock.inbound.processes.orders import OrderLine
from penstock.inbound.processes.supervisor import Supervisor
from penstock.testing import run_virtual

from ..proxy.real_tools import Asked, run_real
from .crew import crew
from .fake_links import FakeLine, FakeProcess


class _Scripted:
    """A process, and its line: it comes up, and starts as `failures` say, one after another."""

    def __init__(self, pid: int, failures: list[str]) -> None:
        self.process = FakeProcess(pid)
        self.line = FakeLine()
        self.line.say = self.told  # type: ignore[method-assign,assignment]
        self.orders: list[Any] = []
        self.last = 0
        self.answers_pings = True
        self._failures = failures
        self.process.kill = self.killed  # type: ignore[method-assign]
        self.line.arrive({"up": True})

    def told(self, order: dict[str, Any]) -> None:
        self.orders.append(order["do"])
        self.last = order.get("id", -1)
        if order["do"] == "ping" and not self.answers_pings:
            return
        answer = {"failed": self._failures.pop(0)} if order["do"] == "start" else {}
        self.line.arrive({"id": order.get("id", -1), "answer": answer})

    def killed(self) -> None:
        FakeProcess.kill(self.process)
        self.line.arrive(None)


def test_one_that_cannot_serve_again_is_told_of_and_tried_again() -> None:
    """Its clients would wait for it, for ever: it does not listen, and nobody takes them any more."""

    async def main() -> None:
        spawned: list[_Scripted] = []
        died: list[tuple[int, str]] = []
        failures = ["", "", "cannot listen", ""]

        async def spawn(number: int) -> tuple[Any, OrderLine]:
            made = _Scripted(len(spawned), failures)
            spawned.append(made)
            return made.process, made.line  # type: ignore[return-value]

        parent = Supervisor(2, spawn, lambda *_: None, lambda *told: died.append(told), covers=True)
        await parent.start()
        spawned[1].killed()
        await asyncio.sleep(5)
        assert [number for number, _ in died] == [1, 1]
        assert died[1][1] == "cannot listen"
        assert len(spawned) == 4
        assert spawned[0].orders.count("uncover") == 1
        await parent.aclose()

    run_virtual(main())


def test_clients_of_one_that_a_signal_ends_are_taken_by_another_from_then_on() -> None:
    """It may take as long as an answer to end."""

    async def main() -> None:
        spawned: list[_Scripted] = []

        async def spawn(number: int) -> tuple[Any, OrderLine]:
            made = _Scripted(len(spawned), [""])
            spawned.append(made)
            return made.process, made.line  # type: ignore[return-value]

        parent = Supervisor(2, spawn, lambda *_: None, lambda *_: None, covers=True)
        await parent.start()
        spawned[1].line.arrive({"leaving": True})
        await asyncio.sleep(5)
        assert spawned[0].orders.count("cover") == 1
        spawned[1].killed()
        await asyncio.sleep(5)
        assert (spawned[0].orders.count("uncover"), spawned[0].orders[-1] != "cover") == (1, True)
        assert len(spawned) == 3
        await parent.aclose()

    run_virtual(main())


def test_one_that_cannot_be_started_for_an_hour_is_started_then() -> None:
    async def main() -> None:
        tries = 0
        spawned: list[_Scripted] = []
        loop = asyncio.get_running_loop()

        async def spawn(number: int) -> tuple[Any, OrderLine]:
            nonlocal tries
            tries += 1
            if spawned and loop.time() < 3600:
                raise OSError(12, "Cannot allocate memory")
            made = _Scripted(len(spawned), [""])
            spawned.append(made)
            return made.process, made.line  # type: ignore[return-value]

        parent = Supervisor(1, spawn, lambda *_: None, lambda *_: None)
        await parent.start()
        spawned[0].killed()
        await asyncio.sleep(3605)
        assert tries > 1024
        assert len(spawned) == 2
        await parent.aclose()

    run_virtual(main())


class _Paused(SystemClock):
    """The clock of a process that did not run for a while: it is later when it goes on."""

    def __init__(self) -> None:
        self.lost = 0.0

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.lost


@pytest.mark.parametrize("answers", [True, False])
def test_a_parent_that_did_not_run_for_a_while_kills_nobody_who_answers(
    answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is with SIGSTOP, or a machine that is paused: what they have said meanwhile was not read yet."""

    async def main() -> None:
        clock = _Paused()
        monkeypatch.setattr("penstock.inbound.processes.supervisor.current_clock", lambda: clock)
        spawned: list[_Scripted] = []
        died: list[str] = []

        async def spawn(number: int) -> tuple[Any, OrderLine]:
            made = _Scripted(len(spawned), [""])
            made.answers_pings = bool(spawned)
            spawned.append(made)
            return made.process, made.line  # type: ignore[return-value]

        parent = Supervisor(1, spawn, lambda *_: None, lambda _, how: died.append(how))
        await parent.start()
        await asyncio.sleep(1.5)
        (child,) = spawned
        assert child.orders[-1] == "ping"
        clock.lost = 60.0
        await asyncio.sleep(1.0)
        assert not died
        if answers:
            child.answers_pings = True
            child.line.arrive({"id": child.last, "answer": {}})
        await asyncio.sleep(9.0)
        assert not died
        await asyncio.sleep(5.0)
        assert bool(died) is not answers
        await parent.aclose()

    run_virtual(main())


async def fresh(asked: Asked) -> None:
    await asked.answer("Cache-Control: max-age=60")


def test_a_process_that_has_no_descriptor_left_does_not_end_for_another_s_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with crew(fresh) as two:
            socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
            line = FakeLine()
            said: list[Any] = []
            line.say = said.append  # type: ignore[method-assign,assignment]
            duties = Duties(two.members[0], line, _start, lambda _: "", _drain, socks)  # type: ignore[arg-type]
            monkeypatch.setattr(socket.socket, "dup", _none_left)
            line.arrive({"id": -1, "do": "cover", "number": 1})
            line.arrive({"id": 5, "do": "ping"})
            line.arrive({"do": "end"})
            assert await duties.serve()
            assert said[-1] == {"id": 5, "answer": {}}

    run_real(main)


def _none_left(self: socket.socket) -> socket.socket:
    raise OSError(24, "Too many open files")


async def _start() -> str:
    return ""


async def _drain(timeout: float) -> None: ...
