"""SIGKILL at random moments, any number of times: `python -m tests.faults.kill_many 1000`, or `kill_many(1000, 1)`."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from penstock.testing import most_in_any_window, read_arrivals

from .processes import fault_server, finish, records, run_send, start_send, write_items

COUNT, SECONDS = 800, 2.0
"""The limit: COUNT sends in SECONDS."""
GUARD = 0.3
"""Seconds; far more than the default, because the machine that runs this is busy with other things."""
IN_FLIGHT = 40
COMMIT_SECONDS = 0.25
ITEMS_PER_KILL = 150


@dataclass(frozen=True)
class Result:
    """What many kills came to."""

    items: int
    kills: int
    lost: int
    doubled: int
    repeated: int
    allowed: int
    """Repeated calls that the promise allows for these kills."""
    most_in_window: int
    answered_429: int


def kill_many(times: int, seed: int, folder: Path | None = None) -> Result:
    """Kill `penstock send` `times` times at random moments, let it finish, and count what came of it."""
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            return kill_many(times, seed, Path(made))
    chance = random.Random(seed)
    items = ITEMS_PER_KILL * times
    source, out = write_items(folder / "items.jsonl", items), folder / "out.jsonl"
    with fault_server(folder, "--latency", "uniform:0.005:0.05") as server:
        command = [source, "--url", f"{server.url}/n", "--out", out, "--in-flight", str(IN_FLIGHT), "--quiet"]
        command += ["--limit", f"{COUNT}/{SECONDS:g}s", "--guard", f"{GUARD:g}s", "--attempts", "1"]
        kills = 0
        for _ in range(times):
            process = start_send(command)
            # From the start of the interpreter to the middle of the sending.
            time.sleep(chance.uniform(0.0, 0.9))
            kills += process.poll() is None
            process.kill()
            finish(process)
        ended = run_send(*command)
        assert ended.code == 0, ended
        statistics = server.end()
    keys = Counter(record["key"] for record in records(out))
    return Result(
        items=items,
        kills=kills,
        lost=items - len(keys),
        doubled=sum(keys.values()) - len(keys),
        repeated=statistics["requests"] - items,
        # A commit may wait for the disk as long again.
        allowed=kills * (IN_FLIGHT + round(COUNT / SECONDS * 2 * COMMIT_SECONDS)),
        most_in_window=most_in_any_window(read_arrivals(server.arrivals), SECONDS),
        answered_429=statistics["limit_violations"],
    )


if __name__ == "__main__":
    result = kill_many(int(sys.argv[1]) if len(sys.argv) > 1 else 20, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(result)  # noqa: T201
    sys.exit(bool(result.lost or result.doubled or result.repeated > result.allowed or result.most_in_window > COUNT))
