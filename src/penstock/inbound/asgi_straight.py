"""Requests that go to the app as they are: only the head of the answer is looked at, on its way out."""

from __future__ import annotations

from ..messages import RawFields
from ..rules.caching.cache_status import cache_status
from ..rules.caching.http_fields import FieldMap, combine
from ..rules.caching.invalidation import is_unsafe
from ..rules.caching.storing import may_store
from .answers import PRODUCT
from .asgi_request import AsgiRequest, Message, Send
from .engine import CacheEngine


class Straight:
    """The `send` that the app is given: adds Cache-Status, and tells the cache what it has to know.

    That is which stored responses an unsafe request makes untrue (RFC 9111, 4.4), and that an answer taken for one that
    cannot be stored could be. `request` None: one of which not even the URL is certain.
    """

    __slots__ = ("_detail", "_engine", "_refused", "_request", "_send", "_why")

    def __init__(
        self,
        engine: CacheEngine,
        request: AsgiRequest | None,
        send: Send,
        why: str,
        *,
        detail: str | None = None,
        refused: bytes | None = None,
    ) -> None:
        self._engine = engine
        self._request = request
        self._send = send
        self._why = why
        self._detail = detail
        self._refused = refused
        """The key of the refusal because of which it goes straight."""

    async def send(self, message: Message) -> None:
        """As ASGI has it."""
        if message["type"] == "http.response.start":
            message = self._noted(message)
        await self._send(message)

    def _noted(self, message: Message) -> Message:
        headers: RawFields = list(message.get("headers", ()))
        request = self._request
        if request is not None:
            if request.policy.strip_set_cookie:
                headers = [field for field in headers if field[0].lower() != b"set-cookie"]
            if is_unsafe(request.method):
                self._engine.invalidate(request, message["status"], combine(headers))
            elif self._refused is not None and self._could_be_stored(request, message["status"], combine(headers)):
                self._engine.refusals.forget(self._refused)
        headers.append((b"cache-status", cache_status(PRODUCT, hit=False, fwd=self._why, detail=self._detail)))
        return {**message, "headers": headers}

    def _could_be_stored(self, request: AsgiRequest, status: int, fields: FieldMap) -> bool:
        engine = self._engine
        directives = engine.directives_of(request, fields)
        wall = engine.clock.wall()
        return may_store(request, status, fields, directives, engine.options, received_wall=wall).allowed
