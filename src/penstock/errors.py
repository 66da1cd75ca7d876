"""Every exception penstock raises.

The tree, with whose fault each branch is::

    PenstockError
    ├── UsageError                 yours: refused before anything was sent
    │   ├── InputError             the input file, and where in it
    │   ├── OutputError            the output cannot be written there
    │   ├── RunRefused             the run folder belongs to another input or command
    │   └── RunLocked              another process is working on this run
    ├── CallError                  one attempt ended without an answer we can use
    │   ├── ConnectError           no connection was made; nothing was sent
    │   │   ├── DnsError           the host name has no address
    │   │   ├── TlsError           the certificate or the handshake was refused
    │   │   └── ConnectTimeout     the connection took longer than allowed
    │   ├── AttemptTimeout         no complete answer within the attempt timeout
    │   ├── ConnectionLost         the peer closed or reset the connection
    │   ├── ProtocolError          the peer's answer is not HTTP/1.1
    │   ├── ResponseTooLarge       the body is over the cap
    │   ├── BadBody                the body is not what was expected (encoding, JSON)
    │   ├── StatusError            the answer is no success, by its status or by your word
    │   ├── Unexpected             the answer does not meet the expectation
    │   │   └── BadPage            the answer is not the page that the options describe
    │   └── Throttled              the peer asks to slow down, perhaps until when
    ├── TotalTimeout               all attempts for one item together took too long
    ├── Denied                     the credential was refused again and again; resumable
    ├── TooManyFailures            as many items failed as may fail; resumable
    ├── Outage                     the host has been down for too long; resumable
    ├── PagesFailed                pages of an API that could not be had; the others were
    ├── ArmBroken                  a test run has broken every arm on purpose
    ├── ArmsBusy                   an arm of a route has all the requests that it may have
    ├── StorageError               writing the output or the journal failed; resumable
    └── Stopped                    the run was asked to stop before its end; resumable

Facts are attributes, so that a program need not parse a message.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar


class Sent(enum.Enum):
    """How much of a request can have reached the peer when its attempt ended."""

    NO = "no"
    """Nothing was written: the call can be repeated without any risk."""
    UNKNOWN = "unknown"
    """Bytes were written and no answer came: the peer may have acted on it."""
    YES = "yes"
    """The peer answered: it has seen the request."""


class PenstockError(Exception):
    """The root: catches everything that penstock raises on purpose."""


class UsageError(PenstockError, ValueError):
    """A wrong argument, option or file. Nothing was sent.

    `command` is what to type instead, where that can be said; it is the end of the message, too.
    """

    def __init__(self, message: str = "", *, command: str = "") -> None:
        super().__init__(f"{message}: {command}" if command else message)
        self.command = command


class InputError(UsageError):
    """The input cannot be read as asked.

    `path` and `line` (1-based, None where there is no line) say where.
    """

    def __init__(self, message: str, *, path: str | None = None, line: int | None = None) -> None:
        where = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(f"{where}{message}")
        self.path = path
        self.line = line


class OutputError(UsageError):
    """The output cannot be written where it was asked for."""


class RunRefused(UsageError):
    """The run folder was made by another input or command. `differs` names what differs."""

    def __init__(self, message: str, *, differs: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.differs = differs


class RunLocked(UsageError):
    """Another process is working on this run. `pid` is its process, where known."""

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid


class CallError(PenstockError):
    """One attempt ended without an answer that can be used.

    `kind` is from the closed set in `penstock.rules.retries.verdict.KINDS`; `sent` says whether the peer can have
    acted on the request.
    """

    kind: ClassVar[str] = "exception"
    held_bytes: int = 0
    """The length of the answer's body, which an error that was raised while it was read keeps in memory."""
    follow: Callable[[Any], object] | None = None
    """Of an answer that says only that the request was taken: makes of the request the one that asks how far it is."""
    generation: int | None = None
    """Of an answer to a call whose credential can be had anew: how many times it had been by then."""
    instead: object = None
    """What is to be sent from now on in the place of what was, where the peer named it."""

    def __init__(self, message: str, *, sent: Sent = Sent.UNKNOWN) -> None:
        super().__init__(message)
        self.sent = sent


class ConnectError(CallError):
    """No connection was made; nothing was sent."""

    kind = "connect"

    def __init__(self, message: str, *, sent: Sent = Sent.NO) -> None:
        super().__init__(message, sent=sent)


class DnsError(ConnectError):
    """The host name has no address."""

    kind = "dns"


class TlsError(ConnectError):
    """The certificate was refused or the handshake failed."""

    kind = "tls"


class ConnectTimeout(ConnectError):
    """The connection was not ready within the connect timeout."""

    kind = "connect_timeout"


class AttemptTimeout(CallError):
    """No complete answer within the attempt timeout."""

    kind = "timeout"


class ConnectionLost(CallError):
    """The peer closed or reset the connection before the answer was complete."""

    kind = "reset"


class ProtocolError(CallError):
    """The peer's answer is not valid HTTP/1.1."""

    kind = "protocol"


class ResponseTooLarge(CallError):
    """The body is larger than the cap."""

    kind = "too_large"


class BadBody(CallError):
    """The body is not what was expected: broken encoding, not JSON, a missing field."""

    kind = "bad_body"

    def __init__(self, message: str, *, status: int | None = None, sent: Sent = Sent.YES) -> None:
        super().__init__(message, sent=sent)
        self.status = status


class StatusError(CallError):
    """The answer is no success: by its status, or by what the user says of such answers.

    `status` and `retry_after` (seconds or None) say which and what it asks. `used_up`: it tells that nothing is left of
    a quota, which begins anew in `reset_after` seconds (None: not told). `said` names the argument of `run` that the
    answer meets, or with `poll_until` does not meet yet.
    """

    kind = "http_4xx"

    def __init__(
        self,
        message: str = "",
        *,
        status: int,
        retry_after: float | None = None,
        used_up: bool = False,
        reset_after: float | None = None,
        said: str | None = None,
    ) -> None:
        super().__init__(message or f"HTTP {status}", sent=Sent.YES)
        self.status = status
        self.retry_after = retry_after
        self.used_up = used_up
        self.reset_after = reset_after
        self.said = said
        self.response: Any = None
        """The whole answer, where whoever made the call keeps it: `penstock.Http` does."""


class Unexpected(CallError):
    """The answer came and can be read, but does not meet the expectation. `status` is that of the answer."""

    kind = "unexpected"

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message, sent=Sent.YES)
        self.status = status


class BadPage(Unexpected):
    """The answer is not the page that the options describe; the message ends with the beginning of the answer.

    There are no rows where they should be, or a successor or a total that cannot be one.
    """


class Throttled(CallError):
    """The peer asks to slow down. `retry_after` is in seconds, None where it does not say for how long."""

    kind = "throttled"

    def __init__(
        self, message: str = "the peer asks to slow down", *, retry_after: float | None = None, sent: Sent = Sent.NO
    ) -> None:
        super().__init__(message, sent=sent)
        self.retry_after = retry_after


class TotalTimeout(PenstockError):
    """All attempts for one item together took longer than the total timeout."""


class Outage(PenstockError):
    """The host has been down for longer than a run waits, or wants to be left alone for longer.

    No item is lost; the same command goes on from there. `seconds` is how long the host has not answered. Where it
    told when to come back, `until` is that moment (seconds since the epoch) and `seconds` how long it is until then.
    """

    def __init__(self, message: str, *, seconds: float, until: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.until = until


class Denied(PenstockError):
    """The credential was refused `count` times in a row, the last time with `status`.

    What was refused then has no outcome; the same command, with a new credential, goes on from there.
    """

    def __init__(self, message: str, *, count: int, status: int | None) -> None:
        super().__init__(message)
        self.count = count
        self.status = status


class TooManyFailures(PenstockError):
    """As many items failed as the run was told to bear: `count`. They stay failed; the same command does the others."""

    def __init__(self, message: str, *, count: int) -> None:
        super().__init__(message)
        self.count = count


class PagesFailed(PenstockError):
    """Some pages of an API could not be had, though the others were. `pages` says why, by their number from 0."""

    def __init__(self, pages: dict[int, str]) -> None:
        first = min(pages)
        what = "1 page failed" if len(pages) == 1 else f"{len(pages):,} pages failed, the first of them"
        super().__init__(f"{what}: page {first + 1}, {pages[first]}")
        self.pages = pages


class ArmsBusy(PenstockError):
    """A request was refused: an arm of `route` has as many as it may have, and as many as may wait are waiting.

    `MoveMiddleware` and `MoveWSGIMiddleware`, and Starlette, Django and Flask without them, answer 503 with a
    `Retry-After` of `retry_after` seconds.
    """

    def __init__(self, message: str, *, route: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.route = route
        self.retry_after = retry_after


class ArmBroken(PenstockError):
    """A test run broke every arm on purpose (`pytest --penstock-arm broken`); this is what `route` came to."""

    def __init__(self, message: str, *, route: str) -> None:
        super().__init__(message)
        self.route = route


class StorageError(PenstockError):
    """The output or the journal could not be written. What was committed before is safe; the run can go on later."""


class Stopped(PenstockError):
    """The run was asked to stop before its end. The same command goes on from there."""
