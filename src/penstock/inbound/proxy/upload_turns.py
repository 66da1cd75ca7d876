"""Which clients may send a long body to the app now, so that slow ones leave its connections to the others.

A request whose body is still coming holds its connection for as long as its client likes. All of them together have at
most half of the connections, and one address has no more of that half than it leaves to the others.
"""

from __future__ import annotations

from collections.abc import Callable


class UploadTurns:
    """Turns for uploads to an app with `connections` connections. A turn that was taken must be given back."""

    def __init__(self, connections: int) -> None:
        self._most = max(1, connections // 2)
        self._held: dict[str, int] = {}
        # Ordered: the address that has waited for longest since its last turn is first.
        self._waiting: dict[str, dict[Callable[[], None], None]] = {}
        self.taken = 0
        """Turns that are taken."""

    def take(self, address: str) -> bool:
        """Take a turn if `address` may have one more now."""
        held = self._held.get(address, 0)
        if held >= self._most - self.taken:
            return False
        self._held[address] = held + 1
        self.taken += 1
        return True

    def wait(self, address: str, on_turn: Callable[[], None]) -> None:
        """Have `on_turn` called once a turn was taken for `address`; the addresses are served in turn."""
        self._waiting.setdefault(address, {})[on_turn] = None

    def leave(self, address: str, on_turn: Callable[[], None]) -> None:
        """Wait no longer."""
        queue = self._waiting.get(address, {})
        queue.pop(on_turn, None)
        if not queue:
            self._waiting.pop(address, None)

    def give_back(self, address: str) -> None:
        """A turn of `address` is over: whoever may have one now gets it."""
        self.taken -= 1
        left = self._held.pop(address) - 1
        if left:
            self._held[address] = left
        for waiting in tuple(self._waiting):
            if self.taken >= self._most:
                break
            if self.take(waiting):
                self._call_first(waiting)

    def _call_first(self, address: str) -> None:
        queue = self._waiting.pop(address)
        on_turn = next(iter(queue))
        del queue[on_turn]
        if queue:
            self._waiting[address] = queue
        on_turn()

    @property
    def waiting(self) -> int:
        """Uploads that wait."""
        return sum(map(len, self._waiting.values()))
