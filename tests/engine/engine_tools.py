"""What the tests of the engine share: run to the end in virtual time, and a call that must be prepared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import penstock
from penstock.engine.engine import Engine
from penstock.engine.outcome import Outcome


async def collect(engine: Engine[Any, Any]) -> list[Outcome[Any, Any]]:
    """All outcomes of `engine`."""
    async with engine as outcomes:
        return [outcome async for outcome in outcomes]


async def run_all(call: Callable[[Any], Awaitable[Any]], items: Any, **options: Any) -> list[Outcome[Any, Any]]:
    """All outcomes of a run; without a `retry_on` nothing is tried again."""
    return await collect(penstock.run(call, items, **{"retry_on": "none", **options}))


def kinds(outcomes: list[Outcome[Any, Any]]) -> Counter[str]:
    """How often each kind of ending came; "" is success."""
    return Counter(outcome.kind for outcome in outcomes)


class PairedCall:
    """A Preparable that counts: everything that was prepared must be sent or released, once."""

    def __init__(self, connect: Callable[[Any], Awaitable[Any]], answer: Callable[[Any], Awaitable[Any]]) -> None:
        self._connect = connect
        self._answer = answer
        self.prepared = 0
        self.sent = 0
        self.released = 0
        self.in_flight = 0

    async def __call__(self, item: Any) -> Any:
        """Prepare and send in one."""
        return await (await self.prepare(item)).send()

    async def prepare(self, item: Any) -> _Ready:
        """Connect."""
        await self._connect(item)
        self.prepared += 1
        return _Ready(self, item)

    @property
    def open(self) -> int:
        """What was prepared and neither sent nor released."""
        return self.prepared - self.sent - self.released


class _Ready:
    def __init__(self, call: PairedCall, item: Any) -> None:
        self._call = call
        self._item = item
        self._used = False

    def _use(self) -> None:
        assert not self._used, "sent or released twice"
        self._used = True

    async def send(self) -> Any:
        self._use()
        self._call.sent += 1
        self._call.in_flight += 1
        try:
            return await self._call._answer(self._item)
        finally:
            self._call.in_flight -= 1

    def release(self) -> None:
        self._use()
        self._call.released += 1
