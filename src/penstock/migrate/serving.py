"""What a process that serves arms does besides: it keeps its counts where others can read them, and judges.

It is done in the thread that watches the state, from the first request on.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..adapters.forks import tell_after_fork
from ..clock import SYSTEM_CLOCK
from . import table
from .back import ArmJudge
from .choice import forced_for_all
from .metrics import MoveSource
from .state_file import VARIABLE, state_path, workers_folder
from .watch import WATCH
from .worker_files import WorkerFiles


class Serving:
    """That of this process. The judge is made when the place of the state is known."""

    def __init__(self) -> None:
        self._judge: ArmJudge | None = None
        self._source: MoveSource | None = None
        self._is_scraped = False
        self._lock = threading.Lock()
        tell_after_fork(self)

    def begin(self) -> None:
        """From now on the watching thread does it. A second call does nothing."""
        if self.tick not in WATCH.on_tick:
            WATCH.on_tick.append(self.tick)

    def tick(self, now: float) -> None:
        """Once for each look at the state; `now` is monotonic."""
        path = WATCH.path
        if path is None:
            return
        if self._judge is not None and self._judge.path != path:
            self.close()
        if self._judge is None:
            if not self._is_wanted(path):
                return
            self._judge = ArmJudge(path, table.TALLIES, lambda: WATCH.state)
        self._judge.tick(now)

    def close(self) -> None:
        """Let the files go; what was counted stays where it is."""
        if self._judge is not None:
            self._judge.close()
            self._judge = None

    def source(self) -> MoveSource:
        """Where metrics are read: files of its own, for they are read in other threads than the judge's.

        Who asks wants the sum of all workers, of which this one may have served nothing yet; it reads files.
        """
        self._is_scraped = True
        self.begin()
        WATCH.start()
        with self._lock:
            path = WATCH.path or state_path()
            if self._source is None or self._source.path != path:
                files = WorkerFiles(workers_folder(path), SYSTEM_CLOCK)
                self._source = MoveSource(path, files, table.TALLIES, lambda: WATCH.state, WATCH.age)
            return self._source

    def _is_wanted(self, path: Path) -> bool:
        """Whether somebody has asked for arms to move, or for the counts of all workers, here or in another one.

        Else no file of ours comes into the folder of a stranger.
        """
        if forced_for_all() is not None:
            return False
        asked = self._is_scraped or bool(os.environ.get(VARIABLE))
        return asked or path.exists() or workers_folder(path).exists()

    def after_fork(self) -> None:
        """What is open belongs to the parent; the judge hears of it itself."""
        self._lock = threading.Lock()
        self._source = None


SERVING = Serving()
