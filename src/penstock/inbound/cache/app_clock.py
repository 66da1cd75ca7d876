"""The clock of the app beside ours: how far it is off, told when that is found and when it changes."""

from __future__ import annotations

from collections.abc import Callable

from ...rules.clock_offset import TOLERANCE

_PAUSE = 1.0
_DOUBTS = 3


class AppClock:
    """What the Date of answers says of the app's clock, looked at about once a second.

    One answer is enough at first; after that three in a row, for an app may keep answers with their Date itself.
    """

    __slots__ = ("_doubted", "_doubts", "behind", "known", "next_look", "on_change")

    def __init__(self) -> None:
        self.behind = 0.0
        """Seconds by which it is behind ours; negative where it is ahead, 0 where it is right."""
        self.on_change: Callable[[float], None] | None = None
        """Told of `behind` when it has changed by more than some seconds."""
        self.next_look = 0.0
        """The moment, on the monotonic clock, from which another answer is worth a look."""
        self.known = False
        """Some answer has said something."""
        self._doubted = 0.0
        self._doubts = 0

    def look(self, behind: float | None, now: float) -> None:
        """One answer says that it is `behind` by so many seconds; None: nothing."""
        self.next_look = now + _PAUSE
        if behind is None:
            return
        first, self.known = not self.known, True
        if abs(behind - self.behind) <= TOLERANCE:
            self._doubts = 0
            return
        agrees = self._doubts and abs(behind - self._doubted) <= TOLERANCE
        self._doubts = self._doubts + 1 if agrees else 1
        self._doubted = behind
        if first or self._doubts >= _DOUBTS:
            self.behind = behind
            self._doubts = 0
            if self.on_change is not None:
                self.on_change(behind)


def clock_in_words(behind: float) -> str:
    """For people: `120 s behind ours`."""
    if not behind:
        return "right again"
    return f"{behind:.0f} s behind ours" if behind > 0 else f"{-behind:.0f} s ahead of ours"
