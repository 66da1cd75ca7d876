"""The request as the rules see it."""

from __future__ import annotations


class CacheRequest:
    """One request: bytes as they came, `host` normalised by `normalise_host`, `target` the raw path and query."""

    __slots__ = ("fields", "has_body", "host", "method", "scheme", "target")

    def __init__(
        self,
        method: bytes,
        scheme: bytes,
        host: bytes,
        target: bytes,
        fields: dict[bytes, bytes],
        has_body: bool = False,
    ) -> None:
        self.method = method
        self.scheme = scheme
        self.host = host
        self.target = target
        self.fields = fields
        self.has_body = has_body
