"""What the user says of answers that their status does not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

When = int | str | Callable[[Any], object]
"""A status (403), a class of them ("4xx"), a JMESPath expression on the JSON body, or a function of the response."""


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """Which answers ask to slow down, may be tried again, or are good; and when what the peer only took is done."""

    throttle_when: tuple[When, ...] = ()
    retry_when: tuple[When, ...] = ()
    ok_when: tuple[When, ...] = ()
    poll_until: When | None = None


def as_conditions(given: When | Iterable[When]) -> tuple[When, ...]:
    """One condition, or several, as a tuple."""
    return (given,) if isinstance(given, (int, str)) or callable(given) else tuple(given)
