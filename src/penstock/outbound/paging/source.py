"""Between plan and engine: pages as items that are fed back by their answers, and the call that reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Protocol

from ...call import AnyClient
from ...engine.item_call import ItemCall
from ...engine.outcome import Item
from ...messages import Headers, Request, Response
from ...rules.secrets.values import NO_SECRETS, SecretValues
from .plan import PagePlan
from .reader import PageAnswer, PageAsk

MOST_WAITING_BYTES = 8 << 20
"""Rows that were received and not yet taken, or that the plan holds back. Beyond it no more pages are asked for, so
that memory stays flat."""


class Reads(Protocol):
    """What makes a page of an answer."""

    def read(self, ask: PageAsk, response: Response) -> PageAnswer:
        """Raises CallError for what is no page."""
        ...


class PageSource:
    """A BatchSource (see `feed`) of the pages that the plan wants, for as long as it may want more."""

    feeds_back = True

    def __init__(self, plan: PagePlan) -> None:
        self.asked = 0
        """Pages that were handed out in this session."""
        self._plan = plan
        self._changed: asyncio.Future[None] | None = None
        self._waiting: dict[int, int] = {}
        self._waiting_bytes = 0

    async def batches(self) -> AsyncGenerator[list[Item[PageAsk]], None]:
        """Pages as soon as the plan knows them; ends when it wants none and none is awaited."""
        plan = self._plan
        while True:
            # While something is awaited there will be another look; without, waiting would be for ever.
            full = plan.outstanding and self._waiting_bytes + plan.held_bytes > MOST_WAITING_BYTES
            asks = [] if full else plan.asks()
            if asks:
                self.asked += len(asks)
                yield [Item(ask.number, ask) for ask in asks]
            elif plan.outstanding:
                self._changed = asyncio.get_running_loop().create_future()
                await self._changed
            else:
                return

    def received(self, answer: PageAnswer) -> None:
        """An answer is on its way to the plan."""
        self._forget(answer.number)
        self._waiting[answer.number] = answer.size
        self._waiting_bytes += answer.size

    def taken(self, number: int) -> None:
        """The plan knows what became of a page."""
        self._forget(number)
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _forget(self, number: int) -> None:
        self._waiting_bytes -= self._waiting.pop(number, 0)


def page_call(
    client: AnyClient[Request, Response],
    headers: Headers,
    reader: Reads,
    source: PageSource | None,
    secrets: SecretValues = NO_SECRETS,
) -> ItemCall[PageAsk, Request, Response, PageAnswer]:
    """The call of a pull: ask for a page, read it. `source` is told of every page that was received, if need be."""

    def request(ask: PageAsk) -> Request:
        return Request("GET", ask.url, headers)

    def read(response: Response, ask: PageAsk) -> PageAnswer:
        answer = reader.read(ask, response)
        if source is not None:
            source.received(answer)
        return answer

    return ItemCall(client, request, read, lambda ask: client.ready_for(ask.origin), secrets)


def page_headers(headers: tuple[tuple[str, str], ...]) -> Headers:
    """The header fields of every request: what the user gave, and that JSON is wanted."""
    given = {name.lower() for name, _ in headers}
    accept = [] if "accept" in given else [("Accept", "application/json, */*;q=0.5")]
    return Headers([*headers, *accept])
