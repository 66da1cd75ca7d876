"""One request as the middleware sees it: which arm it got, and what became of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any

from ..clock import SYSTEM_CLOCK
from .checks import CarryCheck
from .tally import ArmTally

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class UnderWay:
    """A request between the middleware and its arm. The middleware makes it, the arm fills it in."""

    __slots__ = ("_on_end", "_tally", "check", "ended", "started", "status")

    def __init__(self) -> None:
        self.started = SYSTEM_CLOCK.now()
        """Monotonic."""
        self.status = 0
        """Of the answer; 0 until there is one."""
        self.ended = False
        self.check: CarryCheck | None = None
        """What looks at what it carries, once it is in its arm."""
        self._tally: ArmTally | None = None
        self._on_end: Callable[[], None] | None = None

    @property
    def route(self) -> str | None:
        """The route that it is counted under, if that has arms."""
        return None if self._tally is None else self._tally.route

    @property
    def arm(self) -> str | None:
        """The arm that it got."""
        return None if self._tally is None else self._tally.arm

    def take(self, tally: ArmTally) -> bool:
        """Count it there, until it ends. False if it is counted already, or has ended: then others must."""
        if self._tally is not None or self.ended:
            return False
        self._tally = tally
        tally.begin()
        return True

    def end(self, *, failed: bool) -> None:
        """Its last byte was sent, its client has gone, or the app has returned or raised. Only the first counts."""
        if self.ended:
            return
        self.ended = True
        if self._tally is not None:
            self._tally.end(SYSTEM_CLOCK.now() - self.started, failed=failed)
        if self._on_end is not None:
            self._on_end()

    def holds(self, leave: Callable[[], None]) -> bool:
        """Whether `leave` will be called when it ends."""
        return not self.ended and self._on_end == leave

    def hold(self, leave: Callable[[], None]) -> bool:
        """Call `leave` when it has ended. False where it has already, or holds something else: then others must."""
        if self.ended or self._on_end is not None:
            return False
        self._on_end = leave
        return True

    def header(self, name: str) -> str | None:
        """The value of a field, by its name in lower case."""
        raise NotImplementedError

    async def gone(self) -> None:
        """Until the client has gone; for ever where that is not to be known."""
        await _for_ever()


class AsgiUnderWay(UnderWay):
    """Of an ASGI server: `receive` and `send` are for the app."""

    __slots__ = ("_ahead", "_body_is_read", "_is_heard", "_receive", "_send", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__()
        self.scope = scope
        self._receive = receive
        self._send = send
        self._ahead: deque[Message] | None = None
        self._body_is_read = False
        self._is_heard = False

    def header(self, name: str) -> str | None:
        """The first field of the name."""
        raw = name.encode()
        for each, value in self.scope["headers"]:
            if each == raw:
                found: str = value.decode("latin-1")
                return found
        return None

    async def receive(self) -> Message:
        """As ASGI has it, for the app."""
        if self._ahead:
            return self._ahead.popleft()
        self._is_heard = True
        try:
            return await self._hear()
        finally:
            self._is_heard = False

    async def send(self, message: Message) -> None:
        """As ASGI has it, for the app."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
        try:
            await self._send(message)
        except OSError:
            # How ASGI 2.4 says that the client has gone.
            self.end(failed=False)
            raise
        if (kind == "http.response.body" and not message.get("more_body")) or kind == "http.response.pathsend":
            self.end(failed=self.status >= 500)

    async def gone(self) -> None:
        """Until the client has gone. What comes before that is kept for the app.

        Where that would be more than one piece of a body it is not read on, and this never returns; nor where the
        server cannot say, nor where the app listens for itself, as Django does, which cancels the view.
        """
        if self._is_heard:
            await _for_ever()
        if self._ahead is None:
            self._ahead = deque()
        try:
            # A server that repeats itself does not wait for the client: to listen on could take the loop for good.
            while not self.ended and len(self._ahead) < 2 and (self._body_is_read or not self._ahead):
                self._ahead.append(await self._hear())
        except Exception:  # noqa: BLE001  # whatever a server raises here, the request goes on
            await _for_ever()
        if not self.ended:
            await _for_ever()

    async def _hear(self) -> Message:
        message = await self._receive()
        kind = message["type"]
        if kind == "http.disconnect":
            self.end(failed=False)
        elif not message.get("more_body"):
            self._body_is_read = True
        return message


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


UNDER_WAY: ContextVar[UnderWay | None] = ContextVar("penstock_under_way", default=None)
"""That of the request which this task works on, where the middleware is there."""
