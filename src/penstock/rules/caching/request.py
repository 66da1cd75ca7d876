"""The request as the rules see it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .http_fields import FieldMap


@dataclass(slots=True, eq=False, repr=False)
class CacheRequest:
    """One request: bytes as they came, `host` normalised by `normalise_host`, `target` the raw path and query."""

    method: bytes
    scheme: bytes
    host: bytes
    target: bytes
    fields: FieldMap
    has_body: bool = field(default=False, kw_only=True)
    bypass_cookie: bool = field(default=False, kw_only=True)
    """It has a cookie for which the policy says that it goes to the app."""
    unkeyed_cookie: bool = field(default=False, kw_only=True)
    """It has a cookie that reaches the app and is not among `fields`: what does not set one is for all."""
    unkeyed: bool = field(default=False, kw_only=True)
    """It carries something that the app may go by and the key does not hold."""
    owner_down: bool = field(default=False, kw_only=True)
    """Its URL belongs to another process, which cannot be asked now."""
