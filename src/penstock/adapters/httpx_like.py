"""The transports of httpx and httpx2, which look alike: the parts that need neither to be imported."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Self

from ..limits.given import Limits
from .effects import before_effect
from .gate import LimitGate, Turn

_SENT = ".send_request_headers.complete"
"""How httpcore calls the moment when the head has been written, behind the version of HTTP."""


@contextlib.contextmanager
def _told_of_the_send(request: Any, told: Callable[[Any], Any]) -> Iterator[None]:
    """Hear of it through the extension `trace`, besides whoever hears of it already."""
    given = request.extensions
    request.extensions = {**given, "trace": told(given.get("trace"))}
    try:
        yield
    finally:
        request.extensions = given


def _told(turn: Turn) -> Callable[[Any], Any]:
    def beside(other: Any) -> Any:
        def trace(event: str, facts: Any) -> None:
            if event.endswith(_SENT):
                turn.sent()
            if other is not None:
                other(event, facts)

        return trace

    return beside


def _async_told(turn: Turn) -> Callable[[Any], Any]:
    def beside(other: Any) -> Any:
        async def trace(event: str, facts: Any) -> None:
            if event.endswith(_SENT):
                turn.sent()
            if other is not None:
                await other(event, facts)

        return trace

    return beside


class _Transport:
    """A transport around another."""

    _default: Any
    _bytes: Any
    """The class of streams that are bytes, and can be sent twice."""

    def __init__(
        self,
        limit: Limits = None,
        *,
        transport: Any = None,
        max_attempts: int = 5,
        total_timeout: float = 60.0,
        limit_headers: Literal["tighten", "ignore"] = "tighten",
    ) -> None:
        self._gate = LimitGate(
            limit, max_attempts=max_attempts, total_timeout=total_timeout, limit_headers=limit_headers
        )
        self._transport = self._default() if transport is None else transport


class AsyncTransport(_Transport):
    """An async transport around another."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send `request` when the limits allow it, and again where it was refused and can be."""
        before_effect()
        turn = self._gate.turn(replayable=isinstance(request.stream, self._bytes))
        while True:
            await turn.enter()
            try:
                with _told_of_the_send(request, _async_told(turn)):
                    response = await self._transport.handle_async_request(request)
            except BaseException:
                turn.failed()
                raise
            if not turn.again(response.status_code, response.headers.raw):
                return response
            await response.aclose()

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)


class BlockingTransport(_Transport):
    """A sync transport around another; for any number of threads."""

    def handle_request(self, request: Any) -> Any:
        """Send `request` when the limits allow it, and again where it was refused and can be."""
        before_effect()
        turn = self._gate.turn(replayable=isinstance(request.stream, self._bytes))
        while True:
            self._gate.enter(turn)
            try:
                with _told_of_the_send(request, _told(turn)):
                    response = self._transport.handle_request(request)
            except BaseException:
                turn.failed()
                raise
            if not turn.again(response.status_code, response.headers.raw):
                return response
            response.close()

    def close(self) -> None:
        """Close the inner transport."""
        self._transport.close()
        self._gate.close()

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)
        self._gate.close()
