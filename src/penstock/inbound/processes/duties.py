"""What one process does for its parent: it carries out orders, in the order in which they come."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from ..cache.explain import text_of
from ..cache.purging import requests_for
from ..proxy.desk import answer
from ..proxy.metrics import families
from ..proxy.snapshot import Watched
from .member import CacheMember
from .orders import OrderLine
from .totals import family_as_json

_log = logging.getLogger(__name__)


class Duties:
    """`start` has it serve clients, `reload` takes a policy; both say why they cannot, or "". See `orders`.

    `listening`: the sockets of all processes, by number.
    """

    def __init__(
        self,
        member: CacheMember,
        line: OrderLine,
        start: Callable[[], Awaitable[str]],
        reload: Callable[[str | None], str],
        drain: Callable[[float], Coroutine[Any, Any, None]],
        listening: Sequence[socket.socket] = (),
    ) -> None:
        self._member = member
        self._line = line
        self._start = start
        self._reload = reload
        self._drain = drain
        self._listening = listening
        self._covered: dict[int, asyncio.AbstractServer] = {}
        self._draining: asyncio.Task[None] | None = None
        self._ordered: asyncio.Task[None] | None = None
        self._watched: Watched | None = None

    def watch(self) -> Watched:
        """From the first call on URLs are counted."""
        if self._watched is None:
            self._watched = self._member.proxy.watched()
        return self._watched

    async def serve(self) -> bool:
        """Until the parent says that it is the end (True), or has gone (False)."""
        try:
            while (order := await self._line.hear()) is not None:
                if order["do"] == "end":
                    return True
                if order["do"] == "drain":
                    # A purge, and how far it has come, are still asked meanwhile.
                    self._ordered = asyncio.create_task(self._drain_for(order["id"], order["timeout"]))
                else:
                    self._line.say({"id": order["id"], "answer": await self._carry_out(order["do"], order)})
        finally:
            self._leave()
        return False

    @property
    def ends_by_order(self) -> bool:
        """The parent has said that the end is near, and will say when it is."""
        return self._ordered is not None

    def drain(self, timeout: float) -> asyncio.Task[None]:
        """Take nobody any more and finish what is under way, for at most `timeout` seconds from the first call on."""
        if self._draining is None:
            self._leave()
            self._draining = asyncio.create_task(self._drain(timeout))
        return self._draining

    async def _drain_for(self, number: int, timeout: float) -> None:
        await self.drain(timeout)
        self._line.say({"id": number, "answer": {}})

    async def _carry_out(self, do: str, order: dict[str, Any]) -> Any:
        if do == "start":
            return {"failed": await self._start() if self._draining is None else "it was told to end"}
        if do == "reload":
            return {"failed": self._reload(order["policy"])}
        if do in ("cover", "uncover"):
            await self._cover(order["number"], covers=do == "cover")
            return {}
        if do == "ask":
            return self._ask(order["what"], order["asked"])
        if do == "families":
            return [family_as_json(family) for family in families(self.watch())]
        if do == "busy":
            return self._member.proxy.server.busy
        return {}

    async def _cover(self, number: int, *, covers: bool) -> None:
        """Take the clients of a process that is not there, or leave them to it again."""
        before = self._covered.pop(number, None)
        if before is not None:
            before.close()
        if not covers or self._draining is not None:
            return
        try:
            sock = self._listening[number].dup()
            self._covered[number] = await self._member.proxy.server.listen_also(sock)
        except OSError as error:
            # Those who connect there wait a little. To end for that would cost the clients that are here.
            _log.warning("nobody takes the clients of process %d until it is back: %s", number + 1, error.strerror)

    def _leave(self) -> None:
        """Nobody is to wait for this process to take them."""
        for sock in self._listening:
            sock.close()
        for covered in self._covered.values():
            covered.close()
        self._covered.clear()

    def _ask(self, what: str, asked: dict[str, Any]) -> dict[str, Any]:
        status, found = answer(self.watch(), what, asked)
        owns = what == "explain" and status == 200 and self._owns(asked["url"], found["key"])
        return {"status": status, "answer": found, "owns": owns}

    def _owns(self, url: str, key: str) -> bool:
        engine = self._member.proxy.engine
        keys = [engine.key_of_owner(request) for request in requests_for(url)]
        return any(text_of(each) == key and self._member.owns(each) for each in keys)
