"""The counts of one arm as numbers in memory, where other processes can read them while they are being written.

Each is eight bytes at a multiple of eight, and is read and written through a memoryview of that format. CPython copies
such an item with a memcpy of a fixed length, of which compilers make one load or store, and the machines that penstock
is tested on never tear one that is aligned: a reader sees a number as it is or as it was. C promises neither, so on
another machine a reader might see half of a number, once; it would take an arm back for nothing at worst, and the next
look would be right. Between two numbers nothing is promised: a request may be in `ENDED` and not in its bucket yet.
"""

from __future__ import annotations

from hashlib import blake2b

from ..rules.moving.windows import ArmCounts
from .durations import BUCKETS, index_of

_NAME = 56
"""Of the first numbers, so many hold the name of the route, and those up to `_BEGUN` that of the arm."""
_BEGUN, _ENDED, _ERRORS, _SHED, _KEYLESS = range(64, 69)
_BLOCKED, _TOTAL, _LARGEST, _RUNNING = range(69, 73)
_BACKS = range(73, 77)
_LOST = range(80, 96)
_BUCKETS = 96
MOST_OF_NAME = 8 * (_BEGUN - _NAME)
"""Bytes of the name of an arm: who judges knows it by its whole name."""
NUMBERS = _BUCKETS + BUCKETS
"""So many a row has."""
BYTES = 8 * NUMBERS
MOST_LOST = len(_LOST)
"""So many names of what is lost are counted, each by itself but for the last, which is all others."""
NOTICED = 0.01
"""Seconds from which on a step that holds the event loop counts; a shorter one blocks nobody."""


class ArmRow:
    """One arm. `view` has `BYTES`; a row of zeros has counted nothing. Who writes takes care that no two do."""

    __slots__ = ("_numbers", "_seconds", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._numbers = view.cast("Q")
        self._seconds = view.cast("d")

    def name(self, route: str, arm: str) -> None:
        """Whose it is."""
        self._view[: 8 * _NAME] = _cut(route, 8 * _NAME)
        self._view[8 * _NAME : 8 * _BEGUN] = _cut(arm, MOST_OF_NAME)

    def names(self) -> tuple[str, str]:
        """(route, arm), empty where nobody has written them."""
        return _text(self._view[: 8 * _NAME]), _text(self._view[8 * _NAME : 8 * _BEGUN])

    def copy_to(self, other: ArmRow) -> None:
        """All of it."""
        other._view[:] = self._view

    def release(self) -> None:
        """Let the memory go; the row is not to be used afterwards."""
        for view in (self._numbers, self._seconds, self._view):
            view.release()

    # -- what is written --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A request has begun."""
        self._numbers[_BEGUN] += 1

    def end(self, seconds: float, *, failed: bool) -> None:
        """It has ended after `seconds`."""
        numbers = self._numbers
        numbers[_BUCKETS + index_of(seconds)] += 1
        self._seconds[_TOTAL] += seconds
        if seconds > self._seconds[_LARGEST]:
            self._seconds[_LARGEST] = seconds
        if failed:
            numbers[_ERRORS] += 1
        # Last of all: who is killed before this leaves a request that is counted as in flight, not one too many.
        numbers[_ENDED] += 1

    def refuse(self) -> None:
        """One was refused."""
        self._numbers[_SHED] += 1

    def without_key(self) -> None:
        """One had no key."""
        self._numbers[_KEYLESS] += 1

    def block(self, seconds: float) -> None:
        """The event loop was held for so long."""
        self._seconds[_BLOCKED] += seconds

    def run(self, now: float) -> None:
        """A step has begun at `now`, on the monotonic clock; 0: none is running."""
        self._seconds[_RUNNING] = now

    def lose(self, index: int) -> None:
        """What has this index among the names was lost."""
        self._numbers[_LOST[index]] += 1

    def take_back(self, kind: int) -> None:
        """The arm was taken back for a reason of this kind."""
        self._numbers[_BACKS[kind]] += 1

    # -- what is read -----------------------------------------------------------------------------------------------

    @property
    def running(self) -> float:
        """When the step began that is running now; 0: none is."""
        return self._seconds[_RUNNING]

    def counts(self, now: float, lost: list[str]) -> ArmCounts:
        """As of `now`, on the monotonic clock of the machine that counted. `lost`: the names of what can be."""
        numbers = self._numbers[_BEGUN:].tolist()
        running = self.running
        held = now - running if running else 0.0

        def at(place: int) -> int:
            return int(numbers[place - _BEGUN])

        return ArmCounts(
            begun=at(_BEGUN),
            ended=at(_ENDED),
            errors=at(_ERRORS),
            shed=at(_SHED),
            keyless=at(_KEYLESS),
            blocked=self._seconds[_BLOCKED] + (held if held >= NOTICED else 0.0),
            total=self._seconds[_TOTAL],
            largest=self._seconds[_LARGEST],
            backs=tuple(map(at, _BACKS)),
            lost={name: count for name, place in zip(lost, _LOST, strict=False) if (count := at(place))},
            buckets=tuple(numbers[_BUCKETS - _BEGUN :]),
        )


def blank_row() -> ArmRow:
    """One in the memory of this process alone."""
    return ArmRow(memoryview(bytearray(BYTES)))


def _cut(text: str, length: int) -> bytes:
    """`text` in `length` bytes; of a longer one its beginning, and a digest that tells it from others."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > length:
        digest = blake2b(data, digest_size=6).hexdigest().encode()
        data = (
            data[: length - len(digest) - 1].decode("utf-8", "ignore").encode("utf-8", "surrogatepass") + b"~" + digest
        )
    return data.ljust(length, b"\0")


def _text(data: memoryview) -> str:
    return bytes(data).rstrip(b"\0").decode("utf-8", "replace")


def name_of(route: str) -> str:
    """The route as its row names it: a very long one is cut."""
    return _cut(route, 8 * _NAME).rstrip(b"\0").decode("utf-8", "replace")
