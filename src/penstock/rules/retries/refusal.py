"""Does an answer refuse now what it would grant later? What the fields say of that, and which statuses can mean it.

429 always means it (RFC 6585, 4). Of other statuses the answer itself must say so:

- With `Retry-After`, every 4xx that speaks of who asks, how often, or of the moment: 403 of GitHub, 400 and 409 of
  older APIs, 420, 423, 425, 430. Not those that speak of the request or the resource alone: a 404 is one however long
  one waits, and some servers put `Retry-After` into everything.
- With `Retry-After`, 503 (RFC 9110, 15.6.4), and 509 and 529, which are its kin without a registration. Behind any
  other 5xx the request may have been processed: it is a failure of the host, though its `Retry-After` is kept to.
- Where nothing is left of a quota: 403 and its unregistered kin, 503 and its own. Every answer of an exhausted window
  tells a remainder of 0, also the 400 for a bad request, so for others the remainder is no reason. Nor is it where the
  quota is one request: then every answer tells 0.

Neither 2xx nor 3xx refuse: `Retry-After` says there when a resource will be ready, or when to follow a redirect.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..limits.ratelimit_headers import ToldLimit, read_limits
from ..limits.told_limits import LONGEST_RESET
from .retry_after import parse_retry_after

_ALWAYS = frozenset({429})
_OVERLOADED = frozenset({503, 509, 529})
_BY_QUOTA = frozenset({403, 420, 430}) | _OVERLOADED
# fmt: off
_ABOUT_THE_REQUEST = frozenset({
    401, 404, 405, 406, 407, 410, 411, 412, 414, 415, 416, 417, 422, 426, 428, 431, 451,
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Wait:
    """What the fields of an answer say of when to come back.

    `retry_after` is seconds, None where it is not there or cannot be read. `used_up`: of a quota of requests nothing
    is left; it begins anew in `reset_after` seconds, None where that is not told or not believed.
    """

    retry_after: float | None = None
    used_up: bool = False
    reset_after: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long the peer asks whoever it refused to wait; None where it does not say.

        `Retry-After` is the answer to just that; some send 0 and mean the reset.
        """
        return self.retry_after or (self.retry_after if self.reset_after is None else self.reset_after)


NO_WAIT = Wait()


def read_wait(fields: Iterable[tuple[str, str]], now: float, *, quotas: bool = True) -> Wait:
    """What these (name, value) fields say; `now` is the wall clock, in epoch seconds. Nothing in them can raise.

    Without `quotas` only `Retry-After` is looked at.
    """
    fields = list(fields)
    retry_after = parse_retry_after(_first(fields, "retry-after"), now, _first(fields, "date"))
    spent = [limit for limit in read_limits(fields, now) if _is_spent(limit)] if quotas else []
    resets = [limit.reset_after for limit in spent if limit.reset_after is not None]
    believed = [seconds for seconds in resets if seconds <= LONGEST_RESET]
    return Wait(retry_after, bool(spent), max(believed, default=None))


def is_refusal(status: int, wait: Wait) -> bool:
    """Whether an answer with this status asks everybody under the limit to slow down, and its request to come back."""
    if status in _ALWAYS or (wait.used_up and status in _BY_QUOTA):
        return True
    if wait.retry_after is None:
        return False
    return status in _OVERLOADED or (400 <= status < 500 and status not in _ABOUT_THE_REQUEST)


def _is_spent(limit: ToldLimit) -> bool:
    return limit.remaining == 0 and limit.count != 1


def _first(fields: list[tuple[str, str]], wanted: str) -> str | None:
    return next((value for name, value in fields if name.lower() == wanted), None)
