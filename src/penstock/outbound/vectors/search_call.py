"""The Call of a census: send one query, read score and id from the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from ...call import Prepared
from ...errors import BadBody, InputError
from ...messages import Headers, Request, Response
from ..http_call import quote_body, status_error
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
        return read_response(await self._client(self.request(query)), query, self._read)

    def _is_ready(self, query: Query) -> bool:
        ready: bool = self._client.ready_for(self._url)
        return ready

    async def _prepare(self, query: Query) -> _Exchange:
        return _Exchange(await self._client.prepare(self.request(query)), query, self._read)


class _Exchange:
    __slots__ = ("_prepared", "_query", "_read")

    def __init__(self, prepared: Prepared[Response], query: Query, read: Read) -> None:
        self._prepared = prepared
        self._query = query
        self._read = read

    async def send(self) -> Any:
        return read_response(await self._prepared.send(), self._query, self._read)

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
