"""What the user says of an answer: the four options that know an API better than its statuses do.

An answer that meets several of them is judged in the order in which they stand here. A refusal by the rule of
`refusal` comes after the first: whoever says that every 4xx is to be tried again, or is good, does not mean that a 429
is to be answered without a pause.
"""

from __future__ import annotations

import enum
import re

from ...errors import UsageError

_STATUS = re.compile(r"[1-9][0-9]{2}")
_CLASS = re.compile(r"([1-9])[xX]{2}")
_NUMBER = re.compile(r"[0-9]+([xX]*|\.[0-9]*)")


class Said(enum.StrEnum):
    """What an answer is, by the word of the user."""

    THROTTLED = "throttle_when"
    """It asks to slow down."""
    RETRYABLE = "retry_when"
    """It may come out better another time."""
    OK = "ok_when"
    """It is good."""
    PENDING = "poll_until"
    """It is the word of a peer that has taken the request and is not done."""


def read_statuses(text: str | int) -> range | None:
    """The statuses that `403` or `4xx` stands for; None for what is another kind of condition.

    Raises UsageError for a number that is no status.
    """
    text = str(text).strip()
    if _STATUS.fullmatch(text):
        return range(int(text), int(text) + 1)
    family = _CLASS.fullmatch(text)
    if family is not None:
        return range(100 * int(family[1]), 100 * int(family[1]) + 100)
    if _NUMBER.fullmatch(text):
        raise UsageError(f"{text} is no status; write 403, 4xx or a JMESPath expression on the answer")
    return None
