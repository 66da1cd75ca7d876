"""Who says what an ending means: the engine knows no protocol, and asks."""

from __future__ import annotations

from typing import Any, Protocol

from ..clock import Clock
from ..limits.limiter import RateLimiter
from ..rules.retries.verdict import Classified
from .item_call import Listener


class Judge(Protocol):
    """Knows the protocol of the calls of a run."""

    def ended(self, item: Any, value: Any, error: Exception | None, sent: float, /) -> Classified | None:
        """The one verdict on an attempt that was sent at `sent` and ended with `value` or `error`; None is success."""
        ...

    def is_good(self, item: Any, value: Any, /) -> bool:
        """Whether an attempt for `item` that ends with `value` is a success."""
        ...

    def may_repeat(self, item: Any, /) -> bool:
        """Whether a call for `item` may be made twice without harm."""
        ...

    def listen(self, limiter: RateLimiter, clock: Clock, /) -> Listener | None:
        """From now on tell `limiter` what answers say of limits. Asked again, the same listener; None: nobody listens.

        `ended` lets it hear what it is given; whoever makes values of answers lets it hear those himself.
        """
        ...
