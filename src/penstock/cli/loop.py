"""Start the event loop: uvloop where it is there, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a fresh loop."""
    # What was imported lives as long as the process; the collector need not look at it again and again. A run makes
    # few cycles (tracebacks of failures), so a full look now and then is enough.
    gc.collect()
    gc.freeze()
    gc.set_threshold(3_000, 20, 50)
    with asyncio.Runner(loop_factory=_factory()) as runner:
        return runner.run(main)


def _factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
