"""Sync arms on an event loop: in a thread of the framework's own pool, and what they set is there afterwards."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .hosts import is_of_django


async def in_thread(function: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    """What `function` returns or raises, which sees the context variables that are set here.

    Those that it set are set here afterwards, as if it had been called without a thread: middleware that reads a user's
    name after a sync endpoint finds nothing without that.
    """
    if is_of_django(arguments, named):
        return await _as_django_does(function, arguments, named)
    context = contextvars.copy_context()
    before = context.copy()
    work = functools.partial(context.run, function, *arguments, **named)
    try:
        return await _in_pool(work)
    finally:
        copy_back(context, before)


async def _as_django_does(function: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
    # In the thread of the request, whose connections to the database it has; asgiref brings variables back by itself.
    return await sys.modules["asgiref.sync"].sync_to_async(function, thread_sensitive=True)(*arguments, **named)


def copy_back(context: contextvars.Context, before: contextvars.Context) -> None:
    """Set here what was set in `context` since it was as `before`. What others set here meanwhile stays."""
    for variable, value in context.items():
        if before.get(variable, _NOTHING) is not value:
            variable.set(value)


async def _in_pool(work: Callable[[], Any]) -> Any:
    # The pool of the framework, so that its size says how many sync endpoints run at once, with arms and without:
    # that of Starlette and FastAPI is anyio's.
    anyio = sys.modules.get("anyio.to_thread")
    if anyio is not None:
        return await anyio.run_sync(work)
    return await asyncio.get_running_loop().run_in_executor(None, work)


_NOTHING: Any = object()
