"""Tags and their generations: a purge is one number, however many responses carry the tag."""

from __future__ import annotations

from collections.abc import Iterable

from .purge_log import PurgeLog
from .stored_response import bytes_of

_TAG_BYTES = 320
"""A Tag (72), its tuple (64), two ints (64) and its place in the dict (60 to 120)."""


class Tag:
    """What is known of one tag. `hard` and `soft` number its last purges, 0 for none."""

    __slots__ = ("alone", "hard", "holders", "name", "soft")

    def __init__(self, name: bytes, hard: int, soft: int) -> None:
        self.name = name
        self.alone = (name,)
        """Shared by all responses that have this tag only."""
        self.holders = 0
        self.hard = hard
        self.soft = soft


class TagIndex:
    """The tags of what is stored, and for some time the purges of others.

    It knows how many responses hold a tag and not which, so a response with n tags takes 8 n + 56 bytes for them
    (nothing for a single one), and a tag's own 320 bytes go with its last holder.
    """

    def __init__(self, log: PurgeLog) -> None:
        self._tags: dict[bytes, Tag] = {}
        self._log = log
        self.bytes_used = 0
        """Of the tags themselves."""

    def __len__(self) -> int:
        return len(self._tags)

    @staticmethod
    def most_bytes(names: Iterable[bytes]) -> int:
        """The most that `bytes_used` can grow by when these tags are held."""
        return sum(_TAG_BYTES + bytes_of(len(name)) for name in names)

    @staticmethod
    def bytes_each(names: tuple[bytes, ...]) -> int:
        """What a response takes for its tags, besides the tags themselves."""
        return 64 + 8 * len(names) if len(names) > 1 else 0

    def hold(self, names: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Count one more holder for each of these, which are distinct; returns them as the objects that are shared."""
        shared = []
        for name in names:
            tag = self._tags.get(name)
            if tag is None:
                tag = self._tags[name] = Tag(name, *self._log.take(name))
                self.bytes_used += _TAG_BYTES + bytes_of(len(name))
            tag.holders += 1
            shared.append(tag.name)
        return self._tags[names[0]].alone if len(names) == 1 else tuple(shared)

    def release(self, names: tuple[bytes, ...]) -> None:
        """Count one holder less for each of these."""
        for name in names:
            tag = self._tags[name]
            tag.holders -= 1
            if tag.holders == 0:
                del self._tags[name]
                self.bytes_used -= _TAG_BYTES + bytes_of(len(name))
                if tag.hard or tag.soft:
                    self._log.note(name, tag.hard, tag.soft)

    def holders(self, name: bytes) -> int:
        """How many stored responses have this tag."""
        tag = self._tags.get(name)
        return tag.holders if tag is not None else 0

    def purge(self, name: bytes, number: int, *, soft: bool) -> int:
        """Note a purge, later than all before it; returns `holders`."""
        tag = self._tags.get(name)
        if tag is None:
            self._log.note(name, 0 if soft else number, number if soft else 0)
            return 0
        if soft:
            tag.soft = number
        else:
            tag.hard = number
        return tag.holders

    def last_purges(self, names: tuple[bytes, ...]) -> tuple[int, int]:
        """The numbers of the last hard and the last soft purge of any of these, held or not."""
        hard = soft = 0
        for name in names:
            purges = self._tags.get(name) or self._log.look_up(name)
            hard = max(hard, purges.hard)
            soft = max(soft, purges.soft)
        return hard, soft
