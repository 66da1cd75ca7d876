"""The Call of `penstock send`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..call import Prepared
from ..clock import current_clock
from ..limits.limiter import RateLimiter
from ..limits.listener import LimitListener
from ..messages import Response
from .request_template import RequestBuilder


class HttpCall:
    """The Call of a run over records: build, send, interpret. `client` is the wire's or an adapter's."""

    def __init__(self, client: Any, builder: RequestBuilder, interpret: Callable[[Response], Any]) -> None:
        self._client = client
        self._builder = builder
        self._interpret = interpret
        self._listener: LimitListener | None = None
        if hasattr(client, "prepare"):
            self.prepare = self._prepare
            self.ready = self._is_ready

    def listen(self, limiter: RateLimiter) -> None:
        """Hand on to `limiter` what answers tell of limits, from now on. To be called in the loop of the run."""
        self._listener = LimitListener(limiter, current_clock())

    async def __call__(self, item: Any) -> Any:
        """Send the request of `item` and interpret the answer."""
        request = self._builder.build(item)
        if self._listener is None:
            return self._interpret(await self._client(request))
        sent = self._listener.now()
        response = await self._client(request)
        self._listener.hear(response, sent)
        return self._interpret(response)

    def _is_ready(self, item: Any) -> bool:
        return bool(self._client.ready_for(self._builder.origin))

    async def _prepare(self, item: Any) -> Exchange:
        return Exchange(await self._client.prepare(self._builder.build(item)), self._interpret, self._listener)


class Exchange:
    """A prepared request together with the interpretation of its answer."""

    __slots__ = ("_interpret", "_listener", "_prepared")

    def __init__(
        self, prepared: Prepared[Response], interpret: Callable[[Response], Any], listener: LimitListener | None = None
    ) -> None:
        self._prepared = prepared
        self._interpret = interpret
        self._listener = listener

    async def send(self) -> Any:
        """Send now and read the answer; the limit hears it first."""
        if self._listener is None:
            return self._interpret(await self._prepared.send())
        sent = self._listener.now()
        response = await self._prepared.send()
        self._listener.hear(response, sent)
        return self._interpret(response)

    def release(self) -> None:
        """Give back what was prepared; nothing is sent."""
        self._prepared.release()
