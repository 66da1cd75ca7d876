"""Between plan and engine: pages as items that are fed back by their answers, and the call that reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from ...clock import current_clock
from ...engine.outcome import Item
from ...limits.limiter import RateLimiter
from ...limits.listener import LimitListener
from ...messages import Headers, Request, Response
from ..http_call import Exchange
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

    def __init__(self, plan: PagePlan) -> None:
        self.asked = 0
        """Pages that were handed out in this session."""
        self._plan = plan
        self._changed: asyncio.Future[None] | None = None
        self._waiting: dict[int, int] = {}
        self._waiting_bytes = 0

    async def batches(self) -> AsyncGenerator[list[Item[Any]], None]:
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


class PageCall:
    """The Call of a pull: ask for a page, read it. `client` is the wire's or an adapter's.

    `source` is told of every page that was received, None where nobody need know.
    """

    def __init__(self, client: Any, headers: Headers, reader: Reads, source: PageSource | None) -> None:
        self._client = client
        self._headers = headers
        self._reader = reader
        self._source = source
        self._listener: LimitListener | None = None
        if hasattr(client, "prepare"):
            self.prepare = self._prepare
            self.ready = self._is_ready

    async def __call__(self, ask: PageAsk) -> PageAnswer:
        """Raises what the client raises, StatusError, BadBody and BadPage."""
        request = self.request(ask)
        if self._listener is None:
            return self._read(ask, await self._client(request))
        sent = self._listener.now()
        response = await self._client(request)
        self._listener.hear(response, sent)
        return self._read(ask, response)

    def listen(self, limiter: RateLimiter) -> None:
        """Hand on to `limiter` what answers tell of limits, from now on. To be called in the loop of the run."""
        self._listener = LimitListener(limiter, current_clock())

    def request(self, ask: PageAsk) -> Request:
        """The request for a page."""
        return Request("GET", ask.url, self._headers)

    def _read(self, ask: PageAsk, response: Response) -> PageAnswer:
        answer = self._reader.read(ask, response)
        if self._source is not None:
            self._source.received(answer)
        return answer

    def _is_ready(self, ask: PageAsk) -> bool:
        return bool(self._client.ready_for(ask.origin))

    async def _prepare(self, ask: PageAsk) -> Exchange:
        prepared = await self._client.prepare(self.request(ask))
        return Exchange(prepared, lambda response: self._read(ask, response), self._listener)


def page_headers(headers: tuple[tuple[str, str], ...]) -> Headers:
    """The header fields of every request: what the user gave, and that JSON is wanted."""
    given = {name.lower() for name, _ in headers}
    accept = [] if "accept" in given else [("Accept", "application/json, */*;q=0.5")]
    return Headers([*headers, *accept])
