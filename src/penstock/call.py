"""`async def call(request) -> response` is a Call; a Layer takes a Call and returns a Call.

Everything in penstock that happens around a request (timeouts, retries, limits) is a layer, and a layer that does
not need HTTP does not know it: it works around any async callable.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from .errors import UsageError

Req = TypeVar("Req")
Resp = TypeVar("Resp")
Req_contra = TypeVar("Req_contra", contravariant=True)
Resp_co = TypeVar("Resp_co", covariant=True)

Call: TypeAlias = Callable[[Req], Awaitable[Resp]]
Layer: TypeAlias = Callable[[Call[Req, Resp]], Call[Req, Resp]]


class AnyLayer(Protocol):
    """A Layer that fits calls of every type, because it does not look at what they take and return."""

    def __call__(self, inner: Call[Req, Resp], /) -> Call[Req, Resp]:
        """Wrap `inner`."""
        ...


class Prepared(Protocol[Resp_co]):
    """A call that is ready to go: its connection is open, its bytes are built, nothing is sent yet.

    Exactly one of `send` and `release` is called, once.
    """

    async def send(self) -> Resp_co:
        """Send now and return the answer."""
        ...

    def release(self) -> None:
        """Give back what was prepared; nothing is sent."""
        ...


class Preparable(Protocol[Req_contra, Resp_co]):
    """What the engine calls: it can do its slow set-up (connect, handshake) before the permit of a limit is taken.

    Without this a new connection's handshake lies between the permit and the send, and sends that follow on
    open connections catch up with it: the peer sees more in a window than was permitted.
    """

    prepares: bool
    """Whether there is anything to prepare; where not, `prepare` need not be called, and it is always `ready`."""

    def once(self, request: Req_contra, /) -> Awaitable[Resp_co]:
        """Prepare and send in one, and under no circumstances send twice: one permit is for one send."""
        ...

    def ready(self, request: Req_contra, /) -> bool:
        """Whether a call made in this very moment would be sent at once, so that it need not be prepared."""
        ...

    def prepare(self, request: Req_contra, /) -> Awaitable[Prepared[Resp_co]]:
        """Do everything up to the send. Errors are those of the call itself."""
        ...


class AnyClient(Preparable[Req_contra, Resp_co], Protocol[Req_contra, Resp_co]):
    """What makes the calls of a run: the wire's client, or an adapter of another library or protocol."""

    def ready_for(self, url: str, /) -> bool:
        """Whether a call to this address would be `ready`: asked where no request has been made yet."""
        ...


class NotAsync(UsageError):
    """What was given as an async callable returned something that cannot be awaited."""


class PlainCall(Generic[Req, Resp]):
    """Any async callable, a plain function too, as an AnyClient.

    This is the door for the callables of users, and the one place that looks what a callable brings with it.
    """

    def __init__(self, call: Call[Req, Resp]) -> None:
        # What is there and None is not there: without a `prepare` that can be called nothing would ever be `ready`.
        prepare: Call[Req, Prepared[Resp]] | None = getattr(call, "prepare", None)
        self.prepares = prepare is not None and bool(getattr(call, "prepares", True))
        self.once: Call[Req, Resp] = getattr(call, "once", None) or _checked(call)
        self.prepare: Call[Req, Prepared[Resp]] = prepare or self._unprepared
        otherwise = _never if self.prepares else _always
        self.ready: Callable[[Req], bool] = (self.prepares and getattr(call, "ready", None)) or otherwise
        self.ready_for: Callable[[str], bool] = (self.prepares and getattr(call, "ready_for", None)) or otherwise

    async def _unprepared(self, request: Req) -> Prepared[Resp]:
        return Unprepared(self.once, request)


def _checked(call: Call[Req, Resp]) -> Call[Req, Resp]:
    """`call`; where it is a plain function, which may return anything, each result is looked at."""
    if not (inspect.isroutine(call) and not inspect.iscoroutinefunction(call)):
        return call

    def checked(request: Req) -> Awaitable[Resp]:
        sending = call(request)
        if not inspect.isawaitable(sending):
            name = getattr(call, "__qualname__", repr(call))
            raise NotAsync(
                f"{name} is not async: it returned {type(sending).__name__}, which cannot be awaited, and its work is "
                "done; write 'async def', with asyncio.to_thread inside for a library that blocks"
            )
        return sending

    return checked


def _always(_: object) -> bool:
    return True


def _never(_: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Unprepared(Generic[Req, Resp]):
    """A Prepared for calls that have nothing to do before they are sent."""

    call: Call[Req, Resp]
    request: Req

    async def send(self) -> Resp:
        """Send now and return the answer."""
        return await self.call(self.request)

    def release(self) -> None:
        """There is nothing to give back."""


def stack(call: Call[Req, Resp], layers: Iterable[Layer[Req, Resp]]) -> Call[Req, Resp]:
    """Wrap `call` in `layers`, the first of which is the outermost."""
    for layer in reversed(list(layers)):
        call = layer(call)
    return call
