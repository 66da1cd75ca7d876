"""A process that serves no HTTP: it counts requests of one route as a worker would, judges, and can be killed.

`python fake_worker.py STATE HOW [RATE]`: `HOW` names what the arm does. Prints `ready` when others can read it.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from penstock.errors import UsageError
from penstock.migrate.back import ArmJudge
from penstock.migrate.state_file import load_state
from penstock.migrate.tally import Tallies
from penstock.rules.moving.state import ArmsState

ROUTE = "GET /quote/{id}"


def serve(path: Path, how: str, rate: float) -> None:
    """Until it is killed."""
    tallies = Tallies()
    known = [ArmsState()]
    judge = ArmJudge(path, tallies, lambda: known[0])
    threading.Thread(target=watch, args=(path, known, judge), daemon=True).start()
    control, arm = tallies.of(ROUTE, "control"), tallies.of(ROUTE, "async")
    while not judge.is_open:
        time.sleep(0.005)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    began, number = time.monotonic(), 0
    while True:
        number += 1
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        route = known[0].routes.get(ROUTE)
        if route is None or number % 100 >= route.share * 100:
            control.begin()
            control.end(0.01, failed=False)
            continue
        arm.begin()
        if how == "holds":
            arm.step_began(time.monotonic())
            time.sleep(30)
        if how == "blocks":
            began += 0.05
            time.sleep(0.05)
            arm.block(0.05)
        if how == "refuses":
            arm.refuse()
        arm.end(2.0 if how == "sleeps" else 0.01, failed=how == "fails")


def watch(path: Path, known: list[ArmsState], judge: ArmJudge) -> None:
    """As the watching thread does."""
    while True:
        try:
            known[0] = load_state(path)
        except UsageError:
            continue
        finally:
            judge.tick(time.monotonic())
            time.sleep(0.1)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 200.0)
