"""`async def call(request) -> response` is a Call; penstock sets how much flows through it."""

from ._version import __version__
from .call import AnyLayer, Call, Layer, stack
from .errors import (
    AttemptTimeout,
    BadBody,
    BadPage,
    CallError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
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
    TotalTimeout,
    Unexpected,
    UsageError,
)
from .inbound.asgi import CacheMiddleware
from .inbound.policy import PathPolicy, Policy
from .layers.deadline import time_left
from .layers.keyed_limit import KeyedLimiter
from .layers.rate_limit import RateLimiter
from .messages import Headers, Request, Response
from .outbound.outcome import Item, Outcome
from .outbound.paging.pages import Cursor, LinkHeader, NextUrl, Offset, Page, PageNumber, Paginator
from .outbound.pull_pages import Pull, PullWarning, pull
from .outbound.run import run
from .rules.caching.options import CacheOptions
from .rules.outcome import RetryOn
from .rules.rate import Limit, parse_limit
from .wire import Client

__all__ = [
    "AnyLayer",
    "AttemptTimeout",
    "BadBody",
    "BadPage",
    "CacheMiddleware",
    "CacheOptions",
    "Call",
    "CallError",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "Cursor",
    "DnsError",
    "Headers",
    "InputError",
    "Item",
    "KeyedLimiter",
    "Layer",
    "Limit",
    "LinkHeader",
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
    "Policy",
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
    "StatusError",
    "Stopped",
    "StorageError",
    "Throttled",
    "TlsError",
    "TotalTimeout",
    "Unexpected",
    "UsageError",
    "__version__",
    "parse_limit",
    "pull",
    "run",
    "stack",
    "time_left",
]
