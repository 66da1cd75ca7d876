"""`async def call(request) -> response` is a Call; a Layer takes a Call and returns a Call.

Everything in penstock that happens around a request (timeouts, retries, limits) is a layer, and a layer that does
not need HTTP does not know it: it works around any async callable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeAlias, TypeVar

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
    """A Call that can do its slow set-up (connect, handshake) before the permit of a limit is taken.

    Without this a new connection's handshake lies between the permit and the send, and sends that follow on
    open connections catch up with it: the peer sees more in a window than was permitted.
    """

    async def __call__(self, request: Req_contra, /) -> Resp_co:
        """Prepare and send in one."""
        ...

    def ready(self, request: Req_contra, /) -> bool:
        """Whether a call made in this very moment would be sent at once, so that it need not be prepared."""
        ...

    async def prepare(self, request: Req_contra, /) -> Prepared[Resp_co]:
        """Do everything up to the send. Errors are those of the call itself."""
        ...


def stack(call: Call[Req, Resp], layers: Iterable[Layer[Req, Resp]]) -> Call[Req, Resp]:
    """Wrap `call` in `layers`, the first of which is the outermost."""
    for layer in reversed(list(layers)):
        call = layer(call)
    return call
