"""What became of an attempt: one verdict, read alike by retries, counters and adaptive limits."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ...errors import CallError, Sent, StatusError, Throttled

KINDS: dict[str, str] = {
    "bad_record": "the input record could not be read or did not fit the request; nothing was sent",
    "dns": "the host name has no address; nothing was sent",
    "connect": "no connection (refused, unreachable); nothing was sent",
    "connect_timeout": "no connection within the connect timeout; nothing was sent",
    "tls": "the certificate or the handshake was refused; nothing was sent",
    "timeout": "no complete answer within the attempt timeout",
    "deadline": "the total timeout of the item passed before an attempt succeeded",
    "reset": "the peer closed or reset the connection before the answer was complete",
    "protocol": "the answer was not valid HTTP",
    "too_large": "the answer's body was over the cap",
    "bad_body": "the answer's body could not be decoded or was not JSON where JSON was asked for",
    "throttled": "429, or 503 with Retry-After: the peer asked to slow down, until attempts ran out",
    "http_3xx": "a redirect, which is not followed unless asked",
    "http_4xx": "the peer refused the request (4xx other than 429)",
    "http_5xx": "the peer failed (5xx)",
    "unexpected": "the answer did not meet --expect",
    "exception": "the callable raised an exception of its own",
}
"""The closed set of failure kinds and what each says."""

OVERLOAD = frozenset({"timeout", "http_5xx", "connect_timeout", "reset"})
"""The kinds that may mean that the peer was asked for too much at once."""


class Verdict(enum.Enum):
    """How an attempt ended, as far as what to do next is concerned."""

    SUCCESS = "success"
    RETRYABLE = "retryable"
    FATAL = "fatal"
    THROTTLED = "throttled"
    """The peer asks everybody under this limit to slow down; the item itself may be tried again."""


@dataclass(frozen=True, slots=True)
class Classified:
    """The verdict on one attempt, with the facts that go into an outcome record."""

    verdict: Verdict
    kind: str = ""
    """Empty for success, else one of KINDS."""
    message: str = ""
    status: int | None = None
    retry_after: float | None = None
    """Seconds the peer asked to wait; only with THROTTLED."""


class RetryOn(enum.Enum):
    """What may be tried again."""

    NONE = "none"
    """Nothing."""
    SAFE = "safe"
    """What cannot have been processed twice: nothing was sent, the peer refused to process it (429, or 503 with
    Retry-After), or the request is idempotent."""
    TRANSIENT = "transient"
    """Also timeouts, resets and 5xx of any request: the peer may then process it twice."""


_TRANSIENT_KINDS = frozenset({"timeout", "reset", "protocol", "bad_body", "http_5xx", "connect_timeout"})
_NEVER_SENT = frozenset({"connect", "connect_timeout", "dns"})
# 501 and 505 say that the same request will never work here (RFC 9110, 15.6.2 and 15.6.6).
_LASTING_5XX = frozenset({501, 505})
# 408, 421 and 425 say that this request was not processed (RFC 9110, 15.5.9 and 15.5.20; RFC 8470, 5.2).
_UNPROCESSED_4XX = frozenset({408, 421, 425})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})

SUCCESS = Classified(Verdict.SUCCESS)


def is_idempotent(method: str) -> bool:
    """Whether sending the request twice is the same as sending it once (RFC 9110, 9.2.2)."""
    return method.upper() in _IDEMPOTENT


def classify_status(
    status: int, retry_after: float | None, retry_on: RetryOn, *, idempotent: bool, message: str = ""
) -> Classified:
    """The verdict on a complete answer with this status; `retry_after` in seconds, None where not given."""
    if 200 <= status < 300:
        return SUCCESS
    message = message or f"HTTP {status}"
    if status == 429 or (status == 503 and retry_after is not None):
        verdict = Verdict.FATAL if retry_on is RetryOn.NONE else Verdict.THROTTLED
        return Classified(verdict, "throttled", message, status, retry_after)
    if status < 400:
        return Classified(Verdict.FATAL, "http_3xx", message, status)
    if status < 500:
        again = status in _UNPROCESSED_4XX and retry_on is not RetryOn.NONE
        return Classified(Verdict.RETRYABLE if again else Verdict.FATAL, "http_4xx", message, status)
    again = status not in _LASTING_5XX and _may_repeat(retry_on, idempotent)
    return Classified(Verdict.RETRYABLE if again else Verdict.FATAL, "http_5xx", message, status)


def classify_error(error: CallError, retry_on: RetryOn, *, idempotent: bool) -> Classified:
    """The verdict on an attempt that ended without a usable answer."""
    message = str(error)
    if isinstance(error, StatusError):
        return classify_status(error.status, error.retry_after, retry_on, idempotent=idempotent, message=message)
    if isinstance(error, Throttled):
        verdict = Verdict.FATAL if retry_on is RetryOn.NONE else Verdict.THROTTLED
        return Classified(verdict, "throttled", message, None, error.retry_after)
    if error.sent is Sent.NO and error.kind in _NEVER_SENT | {"reset"}:
        again = retry_on is not RetryOn.NONE
    else:
        again = error.kind in _TRANSIENT_KINDS and _may_repeat(retry_on, idempotent)
    status = getattr(error, "status", None)
    return Classified(Verdict.RETRYABLE if again else Verdict.FATAL, error.kind, message, status)


def _may_repeat(retry_on: RetryOn, idempotent: bool) -> bool:
    return retry_on is RetryOn.TRANSIENT or (retry_on is RetryOn.SAFE and idempotent)
