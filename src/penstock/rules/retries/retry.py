"""After this outcome: try again, when, or stop?"""

from __future__ import annotations

from dataclasses import dataclass

from .backoff import backoff
from .polling import poll_delay
from .verdict import Classified, Verdict


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently. Durations in seconds; `total_timeout` None means no bound in time."""

    max_attempts: int = 5
    total_timeout: float | None = 600.0
    backoff_base: float = 0.5
    backoff_cap: float = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Do not try again. `kind` and `message` replace those of the last attempt where they are not empty."""

    kind: str = ""
    message: str = ""


def decide(
    policy: RetryPolicy, what: Classified, attempts: int, elapsed: float, chance: float, *, refusals: int = 0
) -> Retry | Stop:
    """What to do after `attempts` attempts, `elapsed` seconds after the first began.

    `chance` is uniform in [0, 1). A peer's Retry-After is never shortened: where it does not fit into the total
    timeout the item stops and says so. Of the attempts, `refusals` were answered with a wish to slow down and do not
    use up `max_attempts`, because they say nothing about the item; the total timeout ends them. Where there is none
    they count like all others.
    """
    if policy.total_timeout is None:
        refusals = 0
    if what.verdict in (Verdict.SUCCESS, Verdict.FATAL) or attempts - refusals >= policy.max_attempts:
        return Stop()
    delay = own = backoff(attempts, chance, base=policy.backoff_base, cap=policy.backoff_cap)
    if what.retry_after is not None:
        # The jitter goes on top, so that those who were told the same moment do not all come back in it. What is
        # refused over and over waits longer than it was told: each refusal holds up everybody under the limit.
        asked = what.retry_after + min(delay, 1.0)
        delay = asked if attempts < policy.max_attempts else max(asked, delay)
    if policy.total_timeout is not None and elapsed + delay >= policy.total_timeout:
        # Not where it asked for less, or for 0: then the pause is ours.
        told = what.retry_after is not None and what.retry_after >= own
        return Stop("deadline", _too_late(policy.total_timeout, what, attempts, delay, told=told))
    return Retry(delay)


def decide_poll(policy: RetryPolicy, what: Classified, polls: int, elapsed: float, chance: float) -> Retry | Stop:
    """When to ask for the `polls`th time (from 1) how far the peer is, `elapsed` seconds after the first send.

    No number of questions is too large; the total timeout ends them.
    """
    delay = poll_delay(polls, what.retry_after, chance)
    if policy.total_timeout is None or elapsed + delay < policy.total_timeout:
        return Retry(delay)
    return Stop(
        "deadline",
        f"the peer was not done when it was last asked, {elapsed:.3g} s after it took the request, and the next time "
        f"would be after the total timeout of {policy.total_timeout:g} s (--total-timeout); {what.message}",
    )


def _too_late(total_timeout: float, what: Classified, attempts: int, delay: float, *, told: bool) -> str:
    asked = " as the peer asked" if told else ""
    return (
        f"the next attempt, {delay:.3g} s later{asked}, would begin after the total timeout of {total_timeout:g} s; "
        f"the last of {attempts} ended with {what.kind}: {what.message}"
    )
