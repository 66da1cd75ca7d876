"""What is said once in a process, whichever of its threads comes first."""

from __future__ import annotations


class Once:
    """Remembers what was said."""

    def __init__(self) -> None:
        self._said: dict[str, object] = {}

    def first(self, what: str) -> bool:
        """Whether nobody has asked for `what` before."""
        mark = object()
        # One step, so that of two threads only one is the first.
        return self._said.setdefault(what, mark) is mark
