"""Answers that nobody asked for: counted with the run, and what they mean in words."""

from __future__ import annotations

from collections.abc import Mapping


class UnaskedAnswers:
    """How many came from which origin. Told by the client of a run; before a session has begun, kept for it."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def __call__(self, origin: str) -> None:
        """One more came from `origin`."""
        self.counts[origin] = self.counts.get(origin, 0) + 1

    def count_in(self, counters: dict[str, int]) -> None:
        """Count in `counters` from now on, with all that came before."""
        for origin, number in self.counts.items():
            counters[origin] = counters.get(origin, 0) + number
        self.counts = counters


def in_words(counts: Mapping[str, int]) -> list[str]:
    """For each origin, what was seen, what it means and what to do."""
    return [
        f"{origin} sent {number:,} {'answer' if number == 1 else 'answers'} that nobody asked for: any outcome of this "
        "run, also one that is ok, may be that of another item. Have the server mended, or what stands before it; then "
        "--fresh does all again"
        for origin, number in counts.items()
    ]
