"""The admin address of several processes: all are asked, and what they say is put together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ...clock import current_clock
from ...errors import UsageError
from ...observe.exposition import exposition
from ..proxy.desk import Then, ThenText
from .supervisor import Supervisor
from .totals import add_families, add_snapshots, family_from_json

_NOBODY = {"error": "the process that has it is being started again; ask once more"}


class CrewDesk:
    """A Desk of `proxy/desk`, in the parent."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._all = supervisor
        # No more than there are connections to the admin address.
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, what: str, asked: dict[str, Any], then: Then) -> None:
        """All of them; answered when all have done it."""
        self._run(self._ask(what, asked, then))

    def metrics(self, then: ThenText) -> None:
        """Of all together."""
        self._run(self._metrics(then))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, what: str, asked: dict[str, Any], then: Then) -> None:
        began = current_clock().now()
        told = [each for each in await self._all.ask_all("ask", what=what, asked=asked) if each is not None]
        refused = next((each for each in told if each["status"] != 200), None)
        if refused is not None:
            then(refused["status"], refused["answer"])
        elif what == "purge":
            purged = sum(each["answer"]["purged"] for each in told)
            then(200, {"purged": purged, "soft": asked["soft"], "seconds": current_clock().now() - began})
        elif what == "explain":
            owners = [each for each in told if each["owns"]]
            owners.sort(key=lambda each: not (each["answer"]["stored"] or each["answer"]["refused"]))
            then(200, owners[0]["answer"]) if owners else then(503, _NOBODY)
        elif told:
            processes = {"processes": self._all.count, "processes_up": len(told)}
            then(200, add_snapshots([each["answer"] for each in told], asked["top"]) | processes)
        else:
            then(503, _NOBODY)

    async def _metrics(self, then: ThenText) -> None:
        told = [each for each in await self._all.ask_all("families") if each is not None]
        try:
            text = exposition(add_families([[family_from_json(each) for each in families] for families in told]))
        except UsageError as missing:
            then(None, str(missing))
        else:
            then(text, "")
