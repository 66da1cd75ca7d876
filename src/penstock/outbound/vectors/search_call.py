"""The Call of a census: send one query, read score and id from the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ...call import Prepared
from ...clock import current_clock
from ...errors import BadBody, InputError
from ...limits.limiter import RateLimiter
from ...limits.listener import LimitListener
from ...messages import Headers, Request, Response
from ..interpreter import quote_body, status_error
from .queries import Query

Read = Callable[[Any, Query], Any]
"""(parsed JSON of the answer, query) -> what to keep."""


class SearchCall:
    """`client` sends; `read` makes of the parsed answer what the outcome's value is to be."""

    def __init__(self, client: Any, *, method: str, url: str, headers: Headers, read: Read) -> None:
        self._client = client
        self._method = method
        self._url = url
        self._headers = headers
        self._read = read
        self._listener: LimitListener | None = None
        if hasattr(client, "prepare"):
            self.prepare = self._prepare
            self.ready = self._is_ready

    def request(self, query: Query) -> Request:
        """The request of `query`. Raises InputError for a vector that cannot be asked for."""
        if query.problem:
            raise InputError(f"vector {query.position} {query.problem}")
        return Request(self._method, self._url, self._headers, query.body)

    async def __call__(self, query: Query) -> Any:
        """Send and read."""
        request = self.request(query)
        if self._listener is None:
            return read_response(await self._client(request), query, self._read)
        sent = self._listener.now()
        response = await self._client(request)
        self._listener.hear(response, sent)
        return read_response(response, query, self._read)

    def listen(self, limiter: RateLimiter) -> None:
        """Hand on to `limiter` what answers tell of limits, from now on. To be called in the loop of the run."""
        self._listener = LimitListener(limiter, current_clock())

    def _is_ready(self, query: Query) -> bool:
        ready: bool = self._client.ready_for(self._url)
        return ready

    async def _prepare(self, query: Query) -> _Exchange:
        return _Exchange(await self._client.prepare(self.request(query)), query, self._read, self._listener)


class _Exchange:
    __slots__ = ("_listener", "_prepared", "_query", "_read")

    def __init__(self, prepared: Prepared[Response], query: Query, read: Read, listener: LimitListener | None) -> None:
        self._listener = listener
        self._prepared = prepared
        self._query = query
        self._read = read

    async def send(self) -> Any:
        if self._listener is None:
            return read_response(await self._prepared.send(), self._query, self._read)
        sent = self._listener.now()
        response = await self._prepared.send()
        self._listener.hear(response, sent)
        return read_response(response, self._query, self._read)

    def release(self) -> None:
        self._prepared.release()


def read_response(response: Response, query: Query, read: Read) -> Any:
    """What `read` makes of the answer. Raises StatusError, or BadBody for what is not JSON."""
    if response.status != 200 and not 200 <= response.status < 300:
        raise status_error(response)
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        answer = _with_nan(response)
    return read(answer, query)


def _with_nan(response: Response) -> Any:
    """JSON as some servers write it, with NaN in the place of a number: an answer, and a finding about the index."""
    import json

    try:
        return json.loads(response.body)
    except ValueError as error:
        raise BadBody(f"the answer is not JSON: {quote_body(response.body)}") from error
