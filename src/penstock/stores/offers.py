"""What was offered in vain: whoever needs the room of many has to come a second time."""

from __future__ import annotations

from collections import OrderedDict

_MOST_KEYS = 1024


class Offers:
    """The last keys, by their hash; two that share one cost a second offer at most."""

    def __init__(self) -> None:
        self._marks: OrderedDict[int, None] = OrderedDict()

    def came_before(self, key: bytes) -> bool:
        """Whether it did, not long ago, which is forgotten with that; if not, it has from now on."""
        mark = hash(key)
        if self._marks.pop(mark, self) is not self:
            return True
        self._marks[mark] = None
        if len(self._marks) > _MOST_KEYS:
            self._marks.popitem(last=False)
        return False
