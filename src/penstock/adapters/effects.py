"""Who is told before a service calls another: nobody, unless they asked."""

from __future__ import annotations

from collections.abc import Callable

_told: list[Callable[[], None]] = []


def tell_before_effects(hook: Callable[[], None]) -> None:
    """From now on `hook` is called before each call of an Http, a transport, an adapter or a middleware of ours.

    It is called in the thread and the context of the caller, must not wait, and must not raise.
    """
    if hook not in _told:
        _told.append(hook)


def tell_no_more(hook: Callable[[], None]) -> None:
    """Take it away again."""
    if hook in _told:
        _told.remove(hook)


def before_effect() -> None:
    """A call is about to be made here."""
    for hook in _told:
        hook()
