"""What became of an attempt: one verdict, read alike by retries, counters and adaptive limits."""

from __future__ import annotations

import enum
from collections.abc import Container
from dataclasses import dataclass, replace
from typing import Any

from ...errors import CallError, Sent, StatusError, Throttled
from .refusal import NO_WAIT, Wait, is_refusal
from .said import Said

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
    "throttled": "the peer asked to slow down (429, or 403, 503 and others that say when to come back)",
    "accepted": "the peer took the request and has not done it yet (202, or what --poll-until does not find done)",
    "http_3xx": "a redirect, which is not followed unless asked",
    "http_4xx": "the peer refused the request (4xx that is not `throttled`)",
    "http_5xx": "the peer failed (5xx)",
    "unexpected": "the answer did not meet --expect, or met --retry-when until attempts ran out",
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
    PENDING = "pending"
    """The peer has taken the request and is not done; it is to be asked whether it is, as often as it takes."""


@dataclass(frozen=True, slots=True)
class Classified:
    """The verdict on one attempt, with the facts that go into an outcome record."""

    verdict: Verdict
    kind: str = ""
    """Empty for success, else one of KINDS."""
    message: str = ""
    status: int | None = None
    retry_after: float | None = None
    """Seconds the peer asked to wait before the next attempt."""
    instead: Any = None
    """What is to be sent from now on in the place of the item; None for the item itself. Only with PENDING."""

    @property
    def pauses(self) -> bool:
        """Whether everybody under the limit is to wait, also where the item itself may not be tried again."""
        return self.kind == "throttled" or (self.kind == "http_5xx" and self.retry_after is not None)


class RetryOn(enum.Enum):
    """What may be tried again."""

    NONE = "none"
    """Nothing."""
    SAFE = "safe"
    """What cannot have been processed twice: nothing was sent, the peer refused to process it (`throttled`), or the
    request is idempotent."""
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

ACCEPTED = 202
"""The status of what is taken and not yet done (RFC 9110, 15.3.3)."""


_NOWHERE_TO_ASK = "it names no Location to ask at, and its request is not one to send twice"


def is_idempotent(method: str) -> bool:
    """Whether sending the request twice is the same as sending it once (RFC 9110, 9.2.2)."""
    return method.upper() in _IDEMPOTENT


def may_repeat(method: str, fields: Container[str]) -> bool:
    """Whether a request may be sent twice: by its method, or because it has an Idempotency-Key among its `fields`."""
    return is_idempotent(method) or "idempotency-key" in fields


def is_success(status: int, said: Said | None = None, wait: Wait = NO_WAIT) -> bool:
    """Whether an answer with this status is a success, with what the user and its fields say of it."""
    if said is None:
        return 200 <= status < 300 and status != ACCEPTED
    return said is Said.OK and not is_refusal(status, wait)


def classify_status(
    status: int,
    wait: Wait,
    retry_on: RetryOn,
    *,
    idempotent: bool,
    message: str = "",
    said: Said | None = None,
) -> Classified:
    """The verdict on a complete answer with this status, whose fields say of waiting what is in `wait`."""
    if is_success(status, said, wait):
        return SUCCESS
    message = message or f"HTTP {status}"
    if said is Said.THROTTLED or is_refusal(status, wait):
        verdict = Verdict.FATAL if retry_on is RetryOn.NONE else Verdict.THROTTLED
        return Classified(verdict, "throttled", message, status, wait.seconds)
    kind = _kind_of(status, said)
    if said is Said.PENDING:
        if idempotent:
            return Classified(Verdict.PENDING, kind, message, status, wait.retry_after)
        return Classified(Verdict.FATAL, kind, f"{message}; {_NOWHERE_TO_ASK}", status)
    # Who says of an answer that it may be tried again knows better than any level what its request does.
    again = said is Said.RETRYABLE or _again(status, retry_on, idempotent=idempotent)
    waits = again or kind == "http_5xx"
    verdict = Verdict.RETRYABLE if again else Verdict.FATAL
    return Classified(verdict, kind, message, status, wait.retry_after if waits else None)


def _kind_of(status: int, said: Said | None) -> str:
    if said is Said.PENDING or (said is None and status == ACCEPTED):
        return "accepted"
    if 200 <= status < 300:
        return "unexpected"
    return "http_3xx" if status < 400 else "http_4xx" if status < 500 else "http_5xx"


def _again(status: int, retry_on: RetryOn, *, idempotent: bool) -> bool:
    if status >= 500:
        return status not in _LASTING_5XX and _may_repeat(retry_on, idempotent)
    return status in _UNPROCESSED_4XX and retry_on is not RetryOn.NONE


def classify_error(error: CallError, retry_on: RetryOn, *, idempotent: bool) -> Classified:
    """The verdict on an attempt that ended without a usable answer."""
    message = str(error)
    if isinstance(error, StatusError):
        wait = Wait(error.retry_after, error.used_up, error.reset_after)
        said = None if error.said is None else Said(error.said)
        if said is Said.PENDING and error.instead is not None:
            # What is asked next is no repetition.
            idempotent = True
        what = classify_status(error.status, wait, retry_on, idempotent=idempotent, message=message, said=said)
        return what if error.instead is None else replace(what, instead=error.instead)
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
