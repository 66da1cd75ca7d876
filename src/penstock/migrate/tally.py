"""What became of the requests of one arm of a route, as counts that only grow.

They are kept in memory until the process has a file for them (`worker_files`), and in that file from then on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..adapters.forks import tell_after_fork
from ..clock import SYSTEM_CLOCK, Clock
from ..observe.histogram import Histogram
from ..rules.moving.judge import KINDS
from ..rules.moving.windows import ArmCounts
from .durations import histogram_of
from .row import MOST_LOST, ArmRow, blank_row, name_of

MORE = "(more)"
"""Stands for all that there is no room for."""
MOST_ROUTES = 500
MOST_ARMS = 1_500
"""Of all routes together."""


class LostNames:
    """The names of what `carry` keeps an eye on; the same for all arms of a process."""

    def __init__(self, told: Callable[[], None]) -> None:
        self.names: list[str] = []
        self._told = told
        self._lock = threading.Lock()

    def index(self, name: str) -> int:
        """Its place among them; those beyond the room for them share the last."""
        with self._lock:
            if name in self.names:
                return self.names.index(name)
            if len(self.names) >= MOST_LOST - 1:
                name = MORE
            if name not in self.names:
                self.names.append(name)
                self._told()
            return self.names.index(name)

    def after_fork(self) -> None:
        """Its lock may be held by nobody."""
        self._lock = threading.Lock()


class ArmTally:
    """Counts of one arm in this process. Any thread may add."""

    def __init__(self, route: str, arm: str, lost: LostNames | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.route = route
        self.arm = arm
        self._clock = clock
        self._lost = lost or LostNames(lambda: None)
        self._row = blank_row()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A request has reached the arm."""
        with self._lock:
            self._row.begin()

    def end(self, seconds: float, *, failed: bool) -> None:
        """It has ended after `seconds`; `failed`: with a status from 500 on, or an exception that no answer came of."""
        with self._lock:
            self._row.end(seconds, failed=failed)

    def refuse(self) -> None:
        """One was refused, because the ceiling was reached."""
        with self._lock:
            self._row.refuse()

    def without_key(self) -> None:
        """One had no key, so the control served it."""
        with self._lock:
            self._row.without_key()

    def block(self, seconds: float) -> None:
        """The arm held the event loop for so long without a break."""
        with self._lock:
            self._row.block(seconds)

    def lose(self, name: str) -> None:
        """What `carry` named was there, and then it was not, or it was another's."""
        index = self._lost.index(name)
        with self._lock:
            self._row.lose(index)

    def take_back(self, reason: str) -> None:
        """The arm was taken back by this process; the reason begins with its kind."""
        kind = reason.partition(":")[0]
        with self._lock:
            self._row.take_back(KINDS.index(kind))

    def step_began(self, now: float) -> None:
        """A step of the arm runs on the event loop from `now` on (monotonic seconds), and holds it until it ends.

        Without the lock: it is one store, for the loop of the process. Of two loops the later one is seen.
        """
        self._row.run(now)

    def step_ended(self) -> None:
        """The event loop has it back."""
        self._row.run(0.0)

    @property
    def running(self) -> float:
        """When the step began that is running now (monotonic seconds); 0: none is."""
        return self._row.running

    def counts(self) -> ArmCounts:
        """All of them, as of now."""
        with self._lock:
            return self._row.counts(self._clock.now(), self._lost.names)

    def move_to(self, row: ArmRow) -> None:
        """From now on the counts are kept there; it has been named."""
        with self._lock:
            self._row.copy_to(row)
            row.name(self.route, self.arm)
            self._row = row
            # A step that is running now goes unseen until it ends; copied, it might have ended meanwhile, unseen.
            row.run(0.0)

    def move_to_memory(self) -> None:
        """From now on they are kept where nobody else sees them."""
        self.move_to(blank_row())

    def after_fork(self) -> None:
        """What the parent has counted stays the parent's, and so does where it is kept."""
        self._lock = threading.Lock()
        self._row = blank_row()

    # -- single counts ----------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Requests that are not over."""
        return self.counts().in_flight

    @property
    def ended(self) -> int:
        """Requests that are."""
        return self.counts().ended

    @property
    def errors(self) -> int:
        """Those of them that failed."""
        return self.counts().errors

    @property
    def shed(self) -> int:
        """Requests that were refused."""
        return self.counts().shed

    @property
    def keyless(self) -> int:
        """Requests without a key."""
        return self.counts().keyless

    @property
    def blocked_seconds(self) -> float:
        """For so long the event loop was held."""
        return self.counts().blocked

    @property
    def lost(self) -> dict[str, int]:
        """How often what was lost, by its name."""
        return dict(self.counts().lost)

    @property
    def seconds(self) -> Histogram:
        """How long the requests took that are over."""
        counts = self.counts()
        return histogram_of(counts.buckets, counts.total, counts.largest)


class Tallies:
    """All arms of this process."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._arms: dict[tuple[str, str], ArmTally] = {}
        self._routes: set[str] = set()
        self._lock = threading.Lock()
        self._home: Callable[[ArmTally], None] | None = None
        self.lost = LostNames(self._lost_grew)
        self.on_lost: Callable[[], None] | None = None
        """Called where there is a new name of something that was lost."""
        tell_after_fork(self)

    def of(self, route: str, arm: str) -> ArmTally:
        """The counts of this arm, from 0 on where it is new; beyond `MOST_ROUTES` those of all other routes."""
        with self._lock:
            if route not in self._routes and len(self._routes) >= MOST_ROUTES:
                route = MORE
            if (route, arm) not in self._arms and len(self._arms) >= MOST_ARMS:
                route = arm = MORE
            if (route, arm) not in self._arms:
                self._routes.add(route)
                made = self._arms[route, arm] = ArmTally(route, arm, self.lost, self._clock)
                if self._home is not None:
                    self._home(made)
            return self._arms[route, arm]

    def all(self) -> list[ArmTally]:
        """Those of every arm."""
        with self._lock:
            return list(self._arms.values())

    def counts(self) -> dict[str, dict[str, ArmCounts]]:
        """By route, as rows name it, and arm."""
        found: dict[str, dict[str, ArmCounts]] = {}
        for each in self.all():
            found.setdefault(name_of(each.route), {})[each.arm] = each.counts()
        return found

    def settle(self, home: Callable[[ArmTally], None] | None) -> None:
        """`home` gives each arm its place, those that are there and those to come; None: in memory again."""
        with self._lock:
            self._home = home
            for each in self._arms.values():
                (home or ArmTally.move_to_memory)(each)

    def after_fork(self) -> None:
        """A child counts for itself, from 0 on."""
        self._lock = threading.Lock()
        self._home = self.on_lost = None
        self.lost.after_fork()
        for each in self._arms.values():
            each.after_fork()

    def _lost_grew(self) -> None:
        if self.on_lost is not None:
            self.on_lost()
