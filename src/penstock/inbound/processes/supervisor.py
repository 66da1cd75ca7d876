"""The parent of several processes: it starts them, starts again what dies, asks all at once, and ends them.

It serves no client. Whatever is asked of all counts as done by a process that has died meanwhile: what it had in memory
is gone, and the one that takes its place begins empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from ...clock import current_clock
from ...errors import PenstockError, UsageError
from .orders import OrderLine

_LONG = 10.0
"""Seconds: who lived longer is started again at once, and who does not answer for so long is killed."""
_MOST_SECONDS = 2.0
_STEP_SECONDS = 0.1
_MOST_DOUBLINGS = 10
"""After a thousand the number would be none any more."""
_PING_SECONDS = 1.0
_START_SECONDS = 60.0
LEAVE_SECONDS = 6.0
"""Beyond what a drain may take, before a process is killed."""

_AGAIN, _NOBODY = 0, -1
"""Numbers of orders whose answer nobody waits for: that one serves again, and others."""

Spawn = Callable[[int], Awaitable[tuple[asyncio.subprocess.Process, OrderLine]]]


class Child:
    """One process from its start to its end."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, line: OrderLine) -> None:
        self.number = number
        self.process = process
        self.line = line
        self.up = False
        self.failed = ""
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._gone = False

    async def ask(self, do: str, **more: Any) -> Any:
        """Its answer; None where it has gone before it gave one."""
        if self._gone:
            return None
        self._last += 1
        number = self._last
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        self.line.say({"id": number, "do": do, **more})
        try:
            return await answer
        finally:
            self._asked.pop(number, None)

    def answered(self, number: int, answer: Any) -> None:
        """It has answered."""
        waiting = self._asked.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def gone(self) -> None:
        """It answers nobody any more."""
        self._gone = True
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_result(None)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


class Supervisor:
    """`count` processes that `spawn` starts; `on_said` is told what they say, `on_died` of each that was not to end.

    `covers`: each has a listening socket of its own, from which another one takes clients while it is not there.
    """

    def __init__(
        self,
        count: int,
        spawn: Spawn,
        on_said: Callable[[int, list[Any]], None],
        on_died: Callable[[int, str], None],
        *,
        covers: bool = False,
    ) -> None:
        self.count = count
        self._spawn = spawn
        self._on_said = on_said
        self._on_died = on_died
        self._children: dict[int, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._covers = covers
        self._down: dict[int, Child | None] = {}
        """Who has died, or takes no clients any more, and does not serve again yet, and who takes its clients."""
        self._up: set[int] = set()
        self._news = asyncio.Event()
        self._serving = False
        self._stopping = False
        self._failure: PenstockError | None = None

    async def start(self) -> None:
        """Have all of them serve. Raises UsageError where one cannot."""
        minders = [asyncio.create_task(self._mind(number)) for number in range(self.count)]
        self._tasks = [*minders, asyncio.create_task(self._watch())]
        try:
            async with asyncio.timeout(_START_SECONDS):
                while len(self._up) < self.count and self._failure is None:
                    self._news.clear()
                    await self._news.wait()
                self._serving = True
                await self._check(await self.ask_all("start"))
        except TimeoutError:
            raise UsageError(f"the processes did not come up within {_START_SECONDS:g} s") from None

    async def _check(self, started: list[Any]) -> None:
        if self._failure is not None:
            raise self._failure
        for answer in started:
            if answer is None or answer.get("failed"):
                raise UsageError("a process ended at its start" if answer is None else answer["failed"])

    async def ask_all(self, do: str, **more: Any) -> list[Any]:
        """What each of those that are there answers; None of one that ends before it does."""
        return list(await asyncio.gather(*(child.ask(do, **more) for child in self._children.values())))

    @property
    def pids(self) -> list[int]:
        """Of the processes that are there."""
        return [child.process.pid for child in self._children.values()]

    async def busy(self) -> int:
        """How many answers are under way, as far as it is told at once. From now on nobody is started again."""
        self._stopping = True
        asked = [asyncio.ensure_future(child.ask("busy")) for child in self._children.values()]
        if asked:
            await asyncio.wait(asked, timeout=_PING_SECONDS)
        for each in asked:
            each.cancel()
        return sum(each.result() or 0 for each in asked if each.done() and not each.cancelled())

    async def drain(self, timeout: float) -> None:
        """Have all of them finish what is under way, for at most `timeout` seconds, and end."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout + LEAVE_SECONDS):
                # First all of them: one that has no clients left still answers those of the others.
                await self.ask_all("drain", timeout=timeout)
        for child in self._children.values():
            child.line.say({"do": "end"})
        await self.aclose(LEAVE_SECONDS)

    async def aclose(self, patience: float = 0.0) -> None:
        """End all of them: after `patience` seconds, by force."""
        self._stopping = True
        if not self._tasks:
            return
        *minders, watch = self._tasks
        watch.cancel()
        if patience:
            await asyncio.wait(minders, timeout=patience)
        for child in self._children.values():
            child.kill()
        await asyncio.wait(minders, timeout=LEAVE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _mind(self, number: int) -> None:
        """One process after another in one place."""
        short = 0
        while not self._is_over():
            began = current_clock().now()
            how = await self._accompany(number)
            if self._is_over():
                return
            if not self._serving:
                self._fail(UsageError(f"process {number + 1} ended at its start: {how}"))
                return
            self._on_died(number, how)
            self._down[number] = None
            self._cover()
            short = short + 1 if current_clock().now() - began < _LONG else 0
            if short > 1:
                await current_clock().sleep(min(_MOST_SECONDS, _STEP_SECONDS * 2 ** min(short, _MOST_DOUBLINGS)))

    async def _accompany(self, number: int) -> str:
        """Start one and listen to it until it ends; how it did."""
        try:
            process, line = await self._spawn(number)
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        child = self._children[number] = Child(number, process, line)
        try:
            while (said := await line.hear()) is not None:
                self._heard(child, said)
        finally:
            if not self._stopping:
                # It says nothing any more: what it may still hold must not answer anybody.
                child.kill()
            child.gone()
            if self._children.get(number) is child:
                del self._children[number]
            line.close()
        code = await process.wait()
        return child.failed or (f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")

    def _heard(self, child: Child, said: dict[str, Any]) -> None:
        if said.get("id") == _AGAIN:
            self._serves_again(child, said["answer"]["failed"])
        elif "id" in said:
            child.answered(said["id"], said["answer"])
        elif "say" in said:
            self._on_said(child.number, said["say"])
        elif "failed" in said:
            child.failed = said["failed"]
            if not self._serving:
                self._fail(UsageError(child.failed))
        elif "leaving" in said:
            self._down[child.number] = None
            self._cover()
        elif "up" in said:
            child.up = True
            if self._serving:
                child.line.say({"id": _AGAIN, "do": "start"})
            self._up.add(child.number)
            self._news.set()

    def _cover(self) -> None:
        """Have somebody take the clients of each that is not there: they would wait until it is back."""
        there = [child for number, child in self._children.items() if child.up and number not in self._down]
        for number, child in self._down.items():
            if self._covers and there and child not in there:
                self._down[number] = there[0]
                there[0].line.say({"id": _NOBODY, "do": "cover", "number": number})

    def _serves_again(self, child: Child, failed: str) -> None:
        if failed:
            # It does not listen, and nobody would take its clients any more.
            child.failed = failed
            child.kill()
            return
        by = self._down.pop(child.number, None)
        if by is not None:
            by.line.say({"id": _NOBODY, "do": "uncover", "number": child.number})
        # Where nobody was left to do it, there is somebody now.
        self._cover()

    def _is_over(self) -> bool:
        return self._stopping

    def _fail(self, failure: PenstockError) -> None:
        if self._failure is None:
            self._failure = failure
        self._news.set()

    async def _watch(self) -> None:
        """Kill what does not answer any more: its URLs are waited for."""
        pings: dict[Child, asyncio.Task[Any]] = {}
        since: dict[Child, float] = {}
        now = current_clock().now()
        while True:
            before = now
            await current_clock().sleep(_PING_SECONDS)
            now = current_clock().now()
            if now - before > 2 * _PING_SECONDS:
                # This process did not run: what they have said meanwhile is not read yet.
                since = dict.fromkeys(pings, now)
            for child in [*pings]:
                if pings[child].done() or child not in self._children.values():
                    pings.pop(child).cancel()
                    del since[child]
                elif now - since[child] > _LONG and not self._stopping:
                    child.kill()
            for child in self._children.values():
                if child.up and child not in pings:
                    pings[child], since[child] = asyncio.create_task(child.ask("ping")), now
