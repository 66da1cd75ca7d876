"""What calls cost: estimated before they are sent, settled when their answers say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InputError, UsageError
from ..limits.limiter import RateLimiter
from ..rules.limits.cost import read_cost
from .outcome import Item

Estimate = Callable[[Any], float]
"""item value -> what its call is expected to cost, from 0 up."""

Actual = Callable[[Any], float | None]
"""answer -> what it says the call has cost; None if it does not."""


class Costs:
    """Reserves and settles the costs of items under the cost limits of `limiter`."""

    def __init__(self, limiter: RateLimiter, estimate: Estimate, actual: Actual | None = None) -> None:
        self._limiter = limiter
        self._estimate = estimate
        self._actual = actual

    def reserve(self, item: Item[Any]) -> float:
        """What to ask of the limiter for an attempt of `item`. Raises what the estimate raises."""
        item.cost = cost = self._estimate(item.value)
        return cost

    def settle(self, item: Item[Any], answer: Any, error: Exception | None, now: float) -> None:
        """An attempt of `item` ended at `now`. Where nothing says what it cost, the estimate stands."""
        actual: float | None = None
        if error is not None and isinstance(error, UsageError):
            # Nothing was sent after all.
            actual = 0.0
        elif error is None and self._actual is not None:
            try:
                actual = read_cost(self._actual(answer))
            except Exception:  # noqa: BLE001  # an answer that does not say it is no reason to fail the item
                actual = None
        if actual is not None:
            self._limiter.settle(item.cost, actual, item.sent, now)


class CostEstimate:
    """What the call for a record is expected to cost: a number, or the field that says so.

    `fixed` is the number, None where it is a field. Raises UsageError for a number that is no cost.
    """

    def __init__(self, cost: str) -> None:
        self._field = cost
        self.fixed: float | None = None
        try:
            number = float(cost)
        except ValueError:
            return
        self.fixed = read_cost(number)
        if self.fixed is None:
            raise UsageError(f"--cost must be a number from 0 up, or a field, not {cost}")

    def __call__(self, record: Any) -> float:
        """The cost. Raises InputError for a record that does not say it."""
        if self.fixed is not None:
            return self.fixed
        fields = getattr(record, "fields", None)
        cost = read_cost(fields.get(self._field)) if isinstance(fields, dict) else None
        if cost is None:
            raise InputError(f"has no cost: its field {self._field} is not a number from 0 up")
        return cost


def reads_field(cost: str | None) -> bool:
    """Whether records must be looked into to know what they cost. Raises UsageError for a number that is no cost."""
    return cost is not None and CostEstimate(cost).fixed is None


def told_cost(answer: Any) -> float | None:
    """What an `Answer` says it has cost."""
    cost: float | None = getattr(answer, "cost", None)
    return cost
