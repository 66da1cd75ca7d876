"""What origins do wrong with their connections: counted with the run, and what it means in words."""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.counters import RunCounters


class OriginCount:
    """How often, for each origin. Told by the client of a run; before a session has begun, kept for it."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __call__(self, origin: str, number: int = 1) -> None:
        """So many more of `origin`."""
        self.counts[origin] = self.counts.get(origin, 0) + number

    def count_in(self, counters: dict[str, int]) -> None:
        """Count in `counters` from now on, with all that came before."""
        for origin, number in self.counts.items():
            counters[origin] = counters.get(origin, 0) + number
        self.counts = counters


class OriginFaults:
    """What the client of a run tells of its origins."""

    def __init__(self) -> None:
        self.unasked = OriginCount()
        """Answers that nobody asked for."""
        self.died = OriginCount()
        """Kept connections that were closed right after an answer, without a word."""

    def count_in(self, counters: RunCounters) -> None:
        """Count in those of a session from now on, with all that came before."""
        self.unasked.count_in(counters.unasked)
        self.died.count_in(counters.died)


def in_words(unasked: Mapping[str, int], died: Mapping[str, int]) -> list[str]:
    """For each origin and what it did, what was seen, what it means and what to do."""
    misled = [
        f"{origin} sent {number:,} {'answer' if number == 1 else 'answers'} that nobody asked for: any outcome of this "
        "run, also one that is ok, may be that of another item. Have the server mended, or what stands before it, or "
        "give each call a connection of its own with --no-keep-alive; then --fresh does all again"
        for origin, number in unasked.items()
    ]
    return misled + [
        f"{origin} closed {number:,} kept connections right after an answer without saying so (Connection: close): a "
        "call that was on its way then is lost, as `reset`. Have the server mended, or what stands before it, or give "
        "each call a connection of its own with --no-keep-alive"
        for origin, number in died.items()
    ]
