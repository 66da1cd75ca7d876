"""The public names of the package. They are imported from `penstock`, which loads this when one is asked for."""

import typing as _typing

from ._version import __version__
from .call import AnyLayer, Call, Layer, stack
from .engine.outcome import Item, Outcome
from .engine.run import run
from .errors import (
    ArmBroken,
    ArmsBusy,
    AttemptTimeout,
    BadBody,
    BadPage,
    CallError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    Denied,
    DnsError,
    InputError,
    Outage,
    OutputError,
    PagesFailed,
    PenstockError,
    ProtocolError,
    ResponseTooLarge,
    RunLocked,
    RunRefused,
    StatusError,
    Stopped,
    StorageError,
    Throttled,
    TlsError,
    TooManyFailures,
    TotalTimeout,
    Unexpected,
    UsageError,
)
from .layers.deadline import time_left
from .limits.keyed_limit import KeyedLimiter
from .limits.limiter import RateLimiter
from .messages import Headers, Request, Response
from .outbound.paging.pages import Cursor, LinkHeader, NextUrl, Offset, Page, PageNumber, Paginator
from .outbound.pull_pages import Pull, PullWarning, pull
from .rules.limits.rate import Limit, parse_limit
from .rules.retries.verdict import RetryOn
from .wire import Client

__all__ = [
    "AnyLayer",
    "ArmBroken",
    "ArmsBusy",
    "AttemptTimeout",
    "BadBody",
    "BadPage",
    "CacheMiddleware",
    "CacheOptions",
    "CachePolicy",
    "Call",
    "CallError",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "Cursor",
    "Denied",
    "DnsError",
    "Headers",
    "Http",
    "HttpStatistics",
    "InputError",
    "Item",
    "KeyedLimiter",
    "Layer",
    "Limit",
    "LinkHeader",
    "MoveMiddleware",
    "MoveWSGIMiddleware",
    "NextUrl",
    "Offset",
    "Outage",
    "Outcome",
    "OutputError",
    "Page",
    "PageNumber",
    "PagesFailed",
    "Paginator",
    "PathPolicy",
    "PenstockError",
    "ProtocolError",
    "Pull",
    "PullWarning",
    "RateLimiter",
    "Request",
    "Response",
    "ResponseTooLarge",
    "RetryOn",
    "RunLocked",
    "RunRefused",
    "SharedCache",
    "StatusError",
    "Stopped",
    "StorageError",
    "Throttled",
    "TlsError",
    "TooManyFailures",
    "TotalTimeout",
    "Unexpected",
    "UsageError",
    "__version__",
    "arms",
    "carry",
    "parse_limit",
    "pull",
    "run",
    "stack",
    "time_left",
]

if _typing.TYPE_CHECKING:
    from .adapters.http import Http, HttpStatistics
    from .inbound.asgi.middleware import CacheMiddleware
    from .inbound.asgi.shared_cache import SharedCache
    from .inbound.cache.policy import PathPolicy
    from .inbound.cache.policy import Policy as CachePolicy
    from .migrate.arms import arms
    from .migrate.carry import carry
    from .migrate.middleware import MoveMiddleware
    from .migrate.wsgi import MoveWSGIMiddleware
    from .rules.caching.options import CacheOptions
else:
    # Who only sends calls need not wait for the cache to be imported, nor a run for a client that it does not use.
    _LATER = {
        "CacheMiddleware": ("inbound.asgi.middleware", "CacheMiddleware"),
        "CacheOptions": ("rules.caching.options", "CacheOptions"),
        "CachePolicy": ("inbound.cache.policy", "Policy"),
        "Http": ("adapters.http", "Http"),
        "HttpStatistics": ("adapters.http", "HttpStatistics"),
        "MoveMiddleware": ("migrate.middleware", "MoveMiddleware"),
        "MoveWSGIMiddleware": ("migrate.wsgi", "MoveWSGIMiddleware"),
        "PathPolicy": ("inbound.cache.policy", "PathPolicy"),
        "carry": ("migrate.carry", "carry"),
        "SharedCache": ("inbound.asgi.shared_cache", "SharedCache"),
        "arms": ("migrate.arms", "arms"),
    }

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__package__!r} has no attribute {name!r}")
        import importlib as _importlib

        module, there = _LATER[name]
        globals()[name] = found = getattr(_importlib.import_module(f".{module}", __package__), there)
        return found
