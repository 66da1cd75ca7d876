"""Item and Outcome: one unit of input, and what became of it (exactly one outcome per item)."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from ..call import Resp

T = TypeVar("T")


class Answer:
    """What is kept of a response: its status, the value read from it, and what it says it has cost."""

    __slots__ = ("cost", "held_bytes", "status", "value")

    def __init__(self, status: int, value: Any, cost: float | None = None, held_bytes: int = 0) -> None:
        self.status = status
        self.value = value
        self.cost = cost
        self.held_bytes = held_bytes
        """The length of the body that `value` was read from."""


class Trouble:
    """What the engine keeps of an item that failed, or that is sent to see whether the host is back."""

    __slots__ = ("era", "excused", "instead", "owes", "parked_at", "polls", "probe", "refused", "renewed")

    def __init__(self) -> None:
        self.excused = 0
        """Attempts that do not count, because the host was down, or had taken the request and was not done."""
        self.instead: Any = None
        """What is sent in the place of its value: the question how far the peer is."""
        self.polls = 0
        """How often that was asked, or is about to be."""
        self.refused = 0
        """Of the others, those that the peer answered with a wish to slow down."""
        self.era = 0
        """That of the circuit when it last failed; 0 while it has not, or has been excused."""
        self.owes = False
        """Whether the retry budget pays for its next attempt."""
        self.probe = False
        self.renewed = False
        """Whether it was refused for its credential, and is asked again with another."""
        self.parked_at = 0.0


class Place:
    """Where an item stands under limits that each key has for itself; `called` when it had its turn and is not sent."""

    __slots__ = ("called", "key")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.called = False


class Item(Generic[T]):
    """One unit of input on its way through the engine.

    `position` counts from 0 in the input; `key` names the item in the output; `value` is what the call is given.
    The other fields are the engine's own: times are seconds on its clock.
    """

    __slots__ = (
        "attempts",
        "cost",
        "first_sent",
        "intended",
        "key",
        "place",
        "position",
        "sent",
        "taken",
        "trouble",
        "value",
    )

    def __init__(self, position: int, value: T, key: Any = None) -> None:
        self.position = position
        self.value = value
        self.key = position if key is None else key
        self.attempts = 0
        self.taken = 0.0
        self.intended = 0.0
        self.first_sent = 0.0
        self.sent = 0.0
        self.trouble: Trouble | None = None
        self.place: Place | None = None
        self.cost: float
        """Of its latest attempt; not there without limits on costs."""

    @property
    def to_send(self) -> Any:
        """What the call is given for its next attempt."""
        instead = None if self.trouble is None else self.trouble.instead
        return self.value if instead is None else instead

    def in_trouble(self) -> Trouble:
        """What is kept of an item that did not succeed at once."""
        if self.trouble is None:
            self.trouble = Trouble()
        return self.trouble

    def __repr__(self) -> str:
        return f"<Item {self.position} {self.key!r}, {self.attempts} attempts>"


class Outcome(Generic[T, Resp]):
    """What became of one item.

    `ok`: the call returned `value`. Otherwise `kind` is one of `penstock.rules.retries.verdict.KINDS`, `message` says
    more and `error` is the exception, where there was one. `waited` is seconds from taking up the item until its last
    attempt was sent (connecting, permits, pauses between attempts), `service` from there to the complete answer,
    and `response` from the moment the limit's schedule had meant it to start until its end: where calls queue up in
    the client, `response` shows it and `service` does not.
    """

    __slots__ = (
        "attempts",
        "error",
        "item",
        "key",
        "kind",
        "message",
        "ok",
        "position",
        "response",
        "service",
        "status",
        "value",
        "waited",
    )

    def __init__(
        self,
        item: Item[T],
        *,
        ok: bool,
        value: Resp | None = None,
        kind: str = "",
        message: str = "",
        status: int | None = None,
        error: BaseException | None = None,
        service: float = 0.0,
        response: float = 0.0,
    ) -> None:
        self.item = item.value
        self.position = item.position
        self.key = item.key
        self.ok = ok
        self.value = value
        self.kind = kind
        self.message = message
        self.status = status
        self.error = error
        self.attempts = item.attempts
        self.waited = item.sent - item.taken if item.attempts else 0.0
        self.service = service
        self.response = response

    def __repr__(self) -> str:
        what = "ok" if self.ok else f"{self.kind}: {self.message}"
        return f"<Outcome {self.key!r} {what}, {self.attempts} attempts>"
