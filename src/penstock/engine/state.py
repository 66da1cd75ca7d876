"""What the parts of an engine share."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from ..errors import UsageError
from ..limits.limiter import RateLimiter
from ..rules.in_flight.adaptive_limit import AdaptiveLimit
from ..rules.in_flight.adaptive_rate import AdaptiveRate
from ..rules.in_flight.limit import CAP_WITHOUT_LIMIT, DEFAULT_CAP, FixedInFlight, InFlightLimit
from ..rules.limits.schedule import Schedule
from ..rules.retries.circuit import EVIDENCE, Circuit
from ..rules.retries.retry import RetryPolicy
from ..rules.retries.retry_budget import LEAST_PER_SECOND, RetryBudget
from .costs import Costs
from .counters import RunCounters
from .judge import Judge
from .key_lines import KeyLines
from .renewable import Renewable
from .settings import EngineSettings, check_settings


class EngineState:
    """The settings of one run, and all that follows from them and changes while it goes on.

    `keys` are the limits that each key has for itself, `costs` what calls cost; None where there are none.
    `credential` is what every call takes along, where it can be had anew, and `credential_names` what the user calls
    what a peer may refuse. `one_host`: all calls go to one. Raises UsageError for settings that make no sense.
    """

    def __init__(
        self,
        settings: EngineSettings,
        judge: Judge,
        *,
        limiter: RateLimiter,
        keys: KeyLines | None = None,
        costs: Costs | None = None,
        credential: Renewable | None = None,
        credential_names: tuple[str, ...] = (),
        one_host: bool = False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        check_settings(settings)
        self.settings = settings
        self.judge = judge
        self.limiter = limiter
        self.keys = keys
        self.costs = costs
        self.credential = credential
        self.credential_names = credential_names
        self.chance = chance
        self.counters = RunCounters()
        # Several limits are kept at the pace of the tightest.
        interval = max((window.interval for window in limiter.windows), default=0.0)
        self.schedule = Schedule(interval, ours=not any(window.limit.name for window in limiter.windows))
        self.ceiling = _ceiling(settings.in_flight, limited=bool(limiter.windows) or keys is not None)
        self.adaptive = not isinstance(settings.in_flight, int)
        """Whether the ceiling is an estimate of ours, which learns from endings."""
        self.circuit = Circuit(evidence=EVIDENCE if settings.max_outage > 0 else math.inf, one_host=one_host)
        self.policy = RetryPolicy(max_attempts=settings.max_attempts, total_timeout=settings.total_timeout)
        self.budget = _budget(settings.retry_budget, interval)


def _budget(share: float | None, interval: float) -> RetryBudget | None:
    if share is None:
        return None
    if interval == 0.0:
        return RetryBudget(share)
    return RetryBudget(share, max(LEAST_PER_SECOND, share / interval))


def _ceiling(in_flight: object, *, limited: bool) -> InFlightLimit:
    if isinstance(in_flight, InFlightLimit):
        return in_flight
    if in_flight == "auto":
        if limited:
            # The limit is to be filled from the first second on, however slow the API is.
            return AdaptiveLimit(cap=DEFAULT_CAP, now=DEFAULT_CAP, by_latency=False)
        return AdaptiveLimit(cap=CAP_WITHOUT_LIMIT, rate=AdaptiveRate())
    if not isinstance(in_flight, int) or in_flight < 1:
        raise UsageError(f'max_in_flight must be "auto" or a number from 1 up, not {in_flight!r}')
    return FixedInFlight(in_flight)
