"""`async def call(request) -> response` is a Call; penstock sets how much flows through it."""

from ._version import __version__
from .call import AnyLayer, Call, Layer, stack
from .errors import (
    AttemptTimeout,
    BadBody,
    CallError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    DnsError,
    InputError,
    OutputError,
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
from .layers.rate_limit import RateLimiter
from .messages import Headers, Request, Response
from .outbound.outcome import Item, Outcome
from .outbound.run import run
from .rules.outcome import RetryOn
from .rules.rate import Limit, parse_limit
from .wire import Client

__all__ = [
    "AnyLayer",
    "AttemptTimeout",
    "BadBody",
    "Call",
    "CallError",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "DnsError",
    "Headers",
    "InputError",
    "Item",
    "Layer",
    "Limit",
    "Outcome",
    "OutputError",
    "PenstockError",
    "ProtocolError",
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
    "run",
    "stack",
]
