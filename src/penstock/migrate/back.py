"""Back by itself: every worker keeps its counts where all can read them, judges the sum, and takes back what is bad.

Nothing here needs a command or another service; the first worker that is sure writes the state, the others read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..adapters.forks import tell_after_fork
from ..clock import SYSTEM_CLOCK, Clock
from ..errors import UsageError
from ..rules.moving.judge import (
    ANOTHER_LOOK,
    LEAST_DURATIONS,
    ArmSeen,
    control_to_compare,
    judge,
    needs_another_look,
)
from ..rules.moving.state import CONTROL, ArmsState, RouteState
from ..rules.moving.windows import ArmCounts, StageWindow
from .durations import CoarseDurations
from .log import LOG
from .row import name_of
from .state_file import take_back, workers_folder
from .tally import Tallies
from .worker_file import OwnFile
from .worker_files import Routes, WorkerFiles

EVERY = 0.25
"""Seconds between two looks at what the arms do."""
_LOOK_AT_FILE = 1.0
_TRY_AGAIN = 5.0
_MERGE_EVERY = 60.0
_Stage = tuple[str, float, int]


class ArmJudge:
    """One for a process. `state`: the last known one, as the watcher keeps it."""

    def __init__(
        self, path: Path, tallies: Tallies, state: Callable[[], ArmsState], clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._path = path
        self._folder = workers_folder(path)
        self._tallies = tallies
        self._state = state
        self._clock = clock
        self._own: OwnFile | None = None
        self._files = WorkerFiles(self._folder, clock)
        self._windows: dict[str, tuple[_Stage, StageWindow]] = {}
        self._said: set[str] = set()
        self._looked_at_file = self._judged = self._merged = float("-inf")
        tell_after_fork(self)

    @property
    def path(self) -> Path:
        """Where the state is."""
        return self._path

    @property
    def is_open(self) -> bool:
        """Whether others can read what this process counts."""
        return self._own is not None

    def tick(self, now: float) -> None:
        """Call it about ten times a second, in one thread that is not the loop's; `now` is monotonic."""
        self._keep_file(now)
        if now - self._judged >= EVERY:
            self._judged = now
            self._judge_all(now)
        if now - self._merged >= _MERGE_EVERY:
            self._merged = now
            self._put_dead_together()

    def close(self) -> None:
        """Let the files go; what was counted stays in the folder."""
        if self._own is not None:
            self._own.close()
            self._own = None
        self._files.close()

    def after_fork(self) -> None:
        """The files are the parent's; the child makes its own."""
        if self._own is not None:
            self._own.close()
            self._own = None
        self._files = WorkerFiles(self._folder, self._clock)
        self._windows = {}
        self._looked_at_file = self._judged = self._merged = float("-inf")

    # -- the file of this process -----------------------------------------------------------------------------------

    def _keep_file(self, now: float) -> None:
        if self._own is not None:
            self._own.beat()
            if now - self._looked_at_file < _LOOK_AT_FILE or self._own.is_there():
                return
            # Somebody has removed it, perhaps with the folder.
            self._own.close()
            self._own = None
        elif now - self._looked_at_file < _TRY_AGAIN:
            return
        self._looked_at_file = now
        try:
            self._own = OwnFile(self._folder, self._tallies, self._clock)
        except OSError as error:
            self._say_once(
                f"{self._folder} cannot be used ({error.strerror}): what this worker counts is seen by no other and "
                "ends with it; requests are served as before"
            )

    # -- judging ----------------------------------------------------------------------------------------------------

    def _judge_all(self, now: float) -> None:
        moving = {
            name: route for name, route in self._state().routes.items() if route.share > 0 and route.arm != CONTROL
        }
        for name in self._windows.keys() - moving.keys():
            del self._windows[name]
        if not moving:
            return
        self._files.look()
        living = self._living(moving)
        for name, route in moving.items():
            stage, window = (route.arm, route.since, route.stage), StageWindow()
            if name in self._windows and self._windows[name][0] == stage:
                window = self._windows[name][1]
            self._windows[name] = stage, window
            row = name_of(name)
            window.add(now, {worker: routes.get(row, {}) for worker, routes in living.items()})
            reason = self._reason(name, route, window)
            if reason is not None:
                self._take_back(name, route, reason)

    def _living(self, moving: Mapping[str, RouteState]) -> dict[str, Routes]:
        if self._own is not None:
            return self._files.living(moving)
        # Nobody else can be read, most likely; this worker still knows what it does itself.
        return {"": self._tallies.counts()}

    def _reason(self, name: str, route: RouteState, window: StageWindow) -> str | None:
        ever = _seen(self._files.ever([name]).get(name_of(name), {}).get(CONTROL, ArmCounts()))
        blocked, blocked_now = window.blocked(route.arm), window.blocked_now(route.arm)
        beside = _seen(window.lately(CONTROL))
        for arm, control in (
            (window.lately(route.arm), beside),
            # Of few requests a window is never full enough; of a small difference neither.
            (window.in_all(route.arm), _seen(window.in_all(CONTROL))),
        ):
            seen = _seen(arm, blocked, blocked_now)
            reason = judge(control_to_compare(control, ever), seen, route.limits)
            if reason is not None and needs_another_look(beside, reason):
                return _of_another_look(window, route, control_to_compare(beside, ever))
            if reason is not None:
                return reason
        window.unmark()
        return None

    def _take_back(self, name: str, route: RouteState, reason: str) -> None:
        try:
            if not take_back(self._path, name, route, reason, self._clock.wall()):
                return
        except UsageError as error:
            about = f"{name} {route.arm} {route.since} {route.stage}"
            message = f"{name}: the arm {route.arm!r} cannot be taken back, though it should be ({reason}): {error}"
            self._say_once(message, about)
            return
        self._tallies.of(name, route.arm).take_back(reason)
        LOG.warning("%s: the arm %r is taken back: %s", name, route.arm, reason)

    def _put_dead_together(self) -> None:
        try:
            self._files.look()
            self._files.merge()
        except OSError as error:
            self._say_once(f"the files of dead workers in {self._folder} cannot be put together: {error.strerror}")

    def _say_once(self, message: str, about: str = "") -> None:
        if (about or message) not in self._said:
            self._said.add(about or message)
            LOG.error("%s", message)


def _of_another_look(window: StageWindow, route: RouteState, control: ArmSeen) -> str | None:
    """The reason that later requests give alone; None as long as there are too few, or if they give none."""
    waited = window.marked_for()
    if waited is None:
        window.mark()
    if waited is None or waited < ANOTHER_LOOK:
        return None
    seen = _seen(window.since_mark(route.arm))
    reason = judge(control, seen, route.limits)
    if reason is None and seen.durations.count >= LEAST_DURATIONS:
        window.mark()
    return reason


def _seen(counts: ArmCounts, blocked: float = 0.0, blocked_now: float = 0.0) -> ArmSeen:
    durations = CoarseDurations(counts.buckets, counts.largest)
    # One that is just ending may be counted as an error before it is counted as one of all.
    return ArmSeen(durations, min(counts.errors, durations.count), counts.shed, blocked, blocked_now)
