"""What a process makes anew after it was forked: loops, connections and locks belong to the one before.

A fork copies a lock as it is, perhaps held by a thread that does not exist any more, and shares the descriptors of a
loop with its parent. What the parent's loop holds is therefore neither used in the child nor freed there: to close a
socket of it would take it out of the epoll set that both share.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that knows what to do in a child."""

    def after_fork(self) -> None:
        """The process is a child now, and nobody else runs in it yet."""
        ...


_held: WeakSet[Forkable] = WeakSet()
_left_behind: list[object] = []
_registered = False


def tell_after_fork(one: Forkable) -> None:
    """From now on `one` hears of it, for as long as it is there."""
    global _registered
    if not _registered and hasattr(os, "register_at_fork"):
        # At the first use: nothing registers itself at import.
        os.register_at_fork(after_in_child=_forked)
        _registered = True
    _held.add(one)


def leave_behind(*things: object) -> None:
    """Never free what belongs to the parent."""
    _left_behind.extend(things)


def _forked() -> None:
    for one in list(_held):
        one.after_fork()
