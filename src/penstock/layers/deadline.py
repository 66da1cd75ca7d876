"""Deadlines that travel: how much time an attempt has left, for the call and for the peer.

The time is relative, because no two machines agree on what time it is, and because an attempt's timer starts when it
is sent: whoever reads `500` knows that the answer is worth nothing in half a second.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..call import AnyClient, Prepared
from ..clock import current_clock
from ..errors import UsageError
from ..messages import Headers, Request, Response

_LEFT: ContextVar[Callable[[], float | None] | None] = ContextVar("penstock_time_left", default=None)


def time_left() -> float | None:
    """Seconds until the attempt under way is given up; None outside an attempt, or where it may take for ever.

    To be asked from within a call: by what it awaits, in its own task or in one that it starts.
    """
    ask = _LEFT.get()
    left = None if ask is None else ask()
    return None if left is None else max(0.0, left)


def answer_time_left(ask: Callable[[], float | None]) -> None:
    """From now on `ask` answers `time_left` in this task: a task that makes many attempts does so once."""
    _LEFT.set(ask)


@contextmanager
def deadline_in(seconds: float) -> Iterator[None]:
    """`time_left` counts down from `seconds` within the block, or from less where less is left already."""
    clock = current_clock()
    outer = time_left()
    until = clock.now() + (seconds if outer is None else min(seconds, outer))
    token = _LEFT.set(lambda: until - clock.now())
    try:
        yield
    finally:
        _LEFT.reset(token)


def format_time_left(name: str, seconds: float) -> str:
    """`seconds` as the header `name` wants it: whole milliseconds, or what gRPC says for `grpc-timeout`.

    That is at most eight digits and a unit (gRPC over HTTP2, "Timeout"). Rounded down: a promise that is too long is
    none.
    """
    milliseconds = max(0, int(seconds * 1000))
    if name.lower() != "grpc-timeout":
        return str(milliseconds)
    return f"{milliseconds}m" if milliseconds < 10**8 else f"{min(milliseconds // 1000, 10**8 - 1)}S"


class DeadlineHeader(AnyClient[Request, Response]):
    """An HTTP client that says in the header `name` how long the answer is waited for; `client` makes the calls.

    Where there is no deadline, or the request has the header already, nothing is added. Raises UsageError for a name
    that cannot be one.
    """

    def __init__(self, client: AnyClient[Request, Response], name: str) -> None:
        try:
            Headers([(name, "0")])
        except (UsageError, ValueError) as error:
            raise UsageError(f"{name!r} cannot be the name of a header: {error}") from error
        self._client = client
        self._name = name
        self.prepares = client.prepares

    def once(self, request: Request, /) -> Awaitable[Response]:
        """Send `request` with the header."""
        return self._client.once(self._with_header(request))

    def ready(self, request: Request, /) -> bool:
        """Whether `request` would be sent at once; its header needs no connection."""
        return self._client.ready(request)

    def ready_for(self, url: str, /) -> bool:
        """Whether the client has a connection for `url`."""
        return self._client.ready_for(url)

    def prepare(self, request: Request, /) -> Awaitable[Prepared[Response]]:
        """Connect, and say in the header how long the answer is waited for."""
        return self._client.prepare(self._with_header(request))

    def _with_header(self, request: Request) -> Request:
        left = time_left()
        if left is None or self._name in request.headers:
            return request
        headers = Headers([*request.headers, (self._name, format_time_left(self._name, left))])
        return Request(request.method, request.url, headers, request.body)
