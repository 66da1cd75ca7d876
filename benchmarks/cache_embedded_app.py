"""What `cache_embedded` serves: an answer of 1 KB, bare and behind CacheMiddleware; and the server's own CPU time."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Callable
from typing import Any

from penstock import CacheMiddleware

_BODY = b"x" * 1024
_FIELDS = [(b"content-type", b"text/plain"), (b"content-length", b"1024"), (b"cache-control", b"max-age=86400")]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The least that an app can do."""
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    body, fields = _BODY, _FIELDS
    if scope["path"] == "/usage":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        body = b"%f" % (usage.ru_utime + usage.ru_stime)
        fields = [(b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def _renewed(field: Callable[[int], tuple[bytes, bytes]]) -> Any:
    """The app behind a cache of its own, asked with one field more, which is new each time; the first time without."""
    cached = CacheMiddleware(bare)
    numbers = itertools.count()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        number = next(numbers)
        if number:
            scope["headers"] = [*scope["headers"], field(number)]
        await cached(scope, receive, send)

    return app


cached = CacheMiddleware(bare)
new_value = _renewed(lambda n: (b"X-Asked", b"%d" % n))
new_name = _renewed(lambda n: (b"x-asked-%d" % n, b"1"))
condition = _renewed(lambda n: (b"if-none-match", b'"%d"' % n))
by_rules = _renewed(lambda n: (b"authorization", b"Bearer %d" % n))
