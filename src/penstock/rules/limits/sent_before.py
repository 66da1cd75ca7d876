"""What was sent before, under a limit that may have been another: so that a change of limits is no new beginning."""

from __future__ import annotations

from dataclasses import dataclass

from .rate import MAX_LOG_CELLS


@dataclass(frozen=True, slots=True)
class SentBefore:
    """The log of a limit of `seconds` as it was kept: `times`, each of the last of `group` sends.

    `full`: every cell of the log held a time, so there may have been sends before the first of them.
    """

    times: list[float]
    group: int
    seconds: float
    full: bool

    def since(self, begin: float, most: int) -> list[float]:
        """A time for every send after `begin`, as late as it can have been; about `most` of them are enough."""
        if self.group > 1 and self.times:
            # Written out a group per cell could be any size; a full log is the careful short form of it.
            return [max(self.times)] * MAX_LOG_CELLS
        times = latest = [time for time in self.times if time > begin]
        while self.full and latest and len(times) < most:
            # Of sends before the log's own, its limit says when they were at the latest.
            latest = [time - self.seconds for time in latest if time - self.seconds > begin]
            times = times + latest
        return times
