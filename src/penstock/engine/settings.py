"""What the engine is told by whoever makes a run: each setting has its name, its type and its default here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..answers.options import AnswerOptions
from ..errors import UsageError
from ..rules.in_flight.limit import InFlightLimit
from ..rules.retries.retry_budget import DEFAULT_SHARE


@dataclass(frozen=True, slots=True)
class EngineSettings(AnswerOptions):
    """How patiently items are called, and how many at once. Durations in seconds; None is no bound.

    `in_flight` is how many calls may be under way, `attempt_timeout` holds for one attempt, `total_timeout` for all of
    an item, pauses included, from its first send. `retry_budget` is the share of the traffic that may be retries,
    `max_outage` how long a host may be down, or ask to be left alone, before the run stops (0: every item ends by its
    own attempts), `hedge` the quantile of the latency after which a second call is made. The run stops after so many
    refusals of the credential in a row (`stop_after_denied`), or failed items in all (`stop_after_failures`); 0: never.
    At most `max_results` outcomes wait for a slow consumer, and no item is taken up while those that wait hold
    `max_result_bytes`.
    """

    in_flight: int | Literal["auto"] | InFlightLimit = "auto"
    attempt_timeout: float | None = 60.0
    total_timeout: float | None = 600.0
    max_attempts: int = 5
    max_outage: float = 6 * 3600.0
    retry_budget: float | None = DEFAULT_SHARE
    hedge: float | None = None
    stop_after_denied: int = 0
    stop_after_failures: int = 0
    max_results: int = 1000
    max_result_bytes: int = 16 << 20
    """Two of the groups that a durable run writes at a time, so that the disk finds the next when it is done with one.
    More is of no use, and a body that was parsed can take ten times its length."""

    @property
    def longest_wait(self) -> float:
        """What a peer may ask to wait, in seconds; where more is asked the run ends, and can be resumed.

        That is `max_outage`. Where that is 0, because no host is to be taken to be down, it is the default.
        """
        return self.max_outage or 6 * 3600.0


def check_settings(settings: EngineSettings) -> None:
    """Raises UsageError for what makes no sense, by the names of `penstock.run`."""
    if settings.max_attempts < 1 or settings.max_results < 1:
        raise UsageError("max_attempts and max_results must be at least 1")
    if not settings.max_result_bytes >= 1:
        raise UsageError(f"max_result_bytes must be a number of bytes from 1 up, not {settings.max_result_bytes!r}")
    for name, value in (("attempt_timeout", settings.attempt_timeout), ("total_timeout", settings.total_timeout)):
        if value is not None and not (isinstance(value, (int, float)) and value > 0):
            raise UsageError(f"{name} must be a positive number of seconds or None, not {value!r}")
    for name, most in (("denied", settings.stop_after_denied), ("failures", settings.stop_after_failures)):
        if not isinstance(most, int) or most < 0:
            raise UsageError(f"stop_after_{name} must be a number from 1 up, or 0 for never, not {most!r}")
    share, hedge = settings.retry_budget, settings.hedge
    if share is not None and not share >= 0:
        raise UsageError(f"retry_budget must be a share from 0 up, or None, not {share!r}")
    if not settings.max_outage >= 0:
        raise UsageError(f"max_outage must be a number of seconds from 0 up, not {settings.max_outage!r}")
    if hedge is not None and not 0.5 <= hedge < 1.0:
        raise UsageError(f"hedge must be a quantile of the latency from 0.5 up, below 1, not {hedge!r}")
