"""The memory store of the shared cache: a byte budget, SIEVE, and purges by generation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from ..errors import UsageError
from .purge_log import PurgeLog
from .sieve import Sieve
from .stored_response import DEAD, SOFT, Resource, StoredResponse, bytes_of, charge
from .tag_index import TagIndex

State = Literal["valid", "soft", "gone"]

MOST_OBJECT_BYTES = 32 * 2**20
FRESHNESS_BYTES = 160
_PATIENCE = 1000
_MANY = 256
_LOOKS_EACH = 4
_REMEMBERED_KEYS = 1024
_LOG_SHARE = 128
_LEAST_LOG_BYTES = 64 * 1024
_SHARED_VALUES = 256
_SHARED_LENGTH = 128

Value = TypeVar("Value", bytes, tuple[bytes, ...])


def _share(table: dict[Value, Value], value: Value) -> Value:
    """The object of that value that responses share; `value` itself where the table, which is bounded, is full."""
    known = table.get(value)
    if known is None:
        length = len(value) if isinstance(value, bytes) else sum(map(len, value)) + 8 * len(value)
        if len(table) < _SHARED_VALUES and length <= _SHARED_LENGTH:
            table[value] = value
        return value
    return known


class MemoryStore:
    """Responses by key, in at most `max_bytes` of memory. For one thread.

    `max_variants` of one key are kept, the oldest goes first. `max_object_bytes` bounds a single response with all that
    it is charged with; by default an eighth of the budget and at most 32 MiB, because what is larger throws out tens of
    thousands of small ones (which takes tens of milliseconds of the loop) and costs little to fetch for its size.
    `freshness_bytes` is what the caller's freshness object takes.

    What goes is chosen by SIEVE. A response that would push out more than 256 others of average size has to be worth
    it: it comes in only if its key was offered before, not long ago, and if that takes no response that is in use.

    A purge of a tag or of everything is a number, noted in constant time; what it concerns is recognised when it is
    met, and a hard one gives its memory back in `collect`, which a timer should call while `collecting`. Each response
    has the number that the fetch began with (`sequence`), so one that was on its way during the purge is purged as
    well, whether or not anything with that tag or key was stored at the time.

    Charged are all bytes that a stored response keeps alive in CPython 3.11 to 3.14 on 64 bits, and what is remembered
    beside the store (`charge_table`): both together stay within the budget. Not charged: responses
    that left the store while someone still sends them, the log of purges (at most a 64th of the budget), and what
    malloc loses to fragmentation (see `python -m benchmarks cache_store`).

    Raises UsageError for a bound that is not positive.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        max_variants: int = 16,
        max_object_bytes: int | None = None,
        freshness_bytes: int = FRESHNESS_BYTES,
    ) -> None:
        if max_object_bytes is None:
            max_object_bytes = max(1, min(max_bytes // 8, MOST_OBJECT_BYTES))
        for name, bound in (("bytes", max_bytes), ("variants", max_variants), ("bytes of an object", max_object_bytes)):
            if bound < 1:
                raise UsageError(f"a memory store needs at least 1 for its most {name}, not {bound}")
        self.max_bytes = max_bytes
        self.max_variants = max_variants
        self.max_object_bytes = min(max_object_bytes, max_bytes)
        self.objects = 0
        """Responses in the store, with those that a hard purge concerns and that nobody has met since."""
        self.evictions = 0
        """Responses that went for want of room, or because their key had too many variants."""
        self.rejected = 0
        """Responses that `put` did not take."""
        self.purges = 0
        """The number of the last purge by tag or of all, to be compared with `StoredResponse.valid_at`."""
        self.table_bytes = 0
        """What tables beside the store take of its budget."""
        log_bytes = max(_LEAST_LOG_BYTES, max_bytes // _LOG_SHARE)
        self._newest: dict[bytes, StoredResponse] = {}
        self._sieve = Sieve()
        self._tags = TagIndex(PurgeLog(log_bytes))
        self._key_purges = PurgeLog(log_bytes)
        self._freshness_bytes = freshness_bytes
        self._object_bytes = 0
        self._versions = 0
        self._sequence = 0
        self._all_hard = self._all_soft = 0
        self._last_hard = self._sweep_began = self._swept = 0
        self._offered: OrderedDict[int, None] = OrderedDict()
        self._reasons: dict[bytes, bytes] = {}
        self._varies: dict[tuple[bytes, ...], tuple[bytes, ...]] = {}
        self.get: Callable[[bytes], Resource | None] = self._newest.get
        """The resource of a key, None if nothing is stored for it. Marks nothing; its variants may be purged (`state`).
        It is the method of a dict, so a look-up costs no call of Python code."""

    @property
    def bytes_used(self) -> int:
        """What is charged for all that is stored; with `table_bytes` never above `max_bytes`."""
        return self._object_bytes + self._tags.bytes_used

    @property
    def tags(self) -> int:
        """Different tags of what is stored."""
        return len(self._tags)

    @property
    def collecting(self) -> bool:
        """Whether `collect` may find something."""
        return self._swept < self._last_hard

    def sequence(self) -> int:
        """To be taken when a fetch begins, for its `StoredResponse.sequence`: purges from now on concern it."""
        return self._sequence

    def touch(self, stored: StoredResponse) -> None:
        """Count a use. Who is in a hurry sets the two attributes itself."""
        stored.visited = True
        stored.hits += 1

    def state(self, stored: StoredResponse) -> State:
        """Whether it may answer: "valid"; "soft", purged softly, so only as a stale one may; or "gone".

        What a hard purge concerns is removed when this finds it.
        """
        if stored.valid_at == self.purges:
            return "valid"
        if not stored.alive:
            return "gone"
        hard, soft = self._last_purges(stored.tags)
        if hard > stored.sequence:
            self._remove(stored)
            return "gone"
        if soft > stored.sequence or stored.valid_at == SOFT:
            stored.valid_at = SOFT
            return "soft"
        stored.valid_at = self.purges
        return "valid"

    def put(self, stored: StoredResponse) -> bool:
        """Store, as the newest variant of its key, in place of the one with the same `vary` and `variant`.

        Returns False where it was not taken: purged since its fetch began, too large, or not worth what it would push
        out. The one with the same `vary` and `variant` is then gone as well, if this one is not purged, because it is
        known to be out of date. Raises UsageError for a response that is in a store already.
        """
        if stored.alive:
            raise UsageError("a response can be stored once only")
        tags = stored.tags if len(stored.tags) < 2 else tuple(dict.fromkeys(stored.tags))
        hard, soft = self._last_purges(tags, stored.key)
        if hard > stored.sequence:
            self.rejected += 1
            return False
        before = self._same_variant(stored)
        if before is not None:
            # It was in use, or nobody would have fetched it again: that must not be lost.
            stored.visited = before.visited
            self._remove(before)
        size = self._size(stored, tags)
        needed = size + TagIndex.most_bytes(tags) if tags else size
        if needed > self.max_object_bytes or not self._admit(stored.key, needed, known=before is not None):
            self.rejected += 1
            return False
        stored.tags = self._tags.hold(tags) if tags else ()
        stored.size = size
        stored.valid_at = SOFT if soft > stored.sequence else self.purges
        self._link(stored)
        return True

    def update(
        self,
        stored: StoredResponse,
        *,
        sequence: int | None = None,
        fields: bytes | None = None,
        freshness: Any = None,
        received_at: float | None = None,
        tags: tuple[bytes, ...] | None = None,
    ) -> bool:
        """Change a stored response after a 304 (RFC 9111, 4.3.4); None leaves as it is.

        `sequence` is from when the validation began: soft purges before that are done with. `fields` are packed (see
        `pack_fields`). Returns False if it is not in the store any more: it was gone, a hard purge came before or
        meanwhile, or it has become too large. `wire` is None afterwards, because it was made of the old fields.
        """
        if self.state(stored) == "gone":
            return False
        names = stored.tags if tags is None else tuple(dict.fromkeys(tags))
        hard, soft = self._last_purges(names)
        if hard > (stored.sequence if sequence is None else sequence):
            self._remove(stored)
            return False
        if sequence is not None:
            stored.sequence = sequence
            soft = max(soft, self._key_purges.look_up(stored.key).soft)
            stored.valid_at = DEAD
        is_soft = soft > stored.sequence or stored.valid_at == SOFT
        stored.packed_fields = stored.packed_fields if fields is None else fields
        stored.freshness = stored.freshness if freshness is None else freshness
        stored.received_at = stored.received_at if received_at is None else received_at
        stored.wire = None
        if not self._recharge(stored, names):
            return False
        stored.valid_at = SOFT if is_soft else self.purges
        return True

    def keep_wire(self, stored: StoredResponse, wire: bytes | None, until: float) -> bool:
        """Set `wire` and `wire_until` and charge for them; False, and nothing is set, where there is no room."""
        if not stored.alive:
            return False
        before = bytes_of(len(stored.wire)) if stored.wire is not None else 0
        grown = (bytes_of(len(wire)) if wire is not None else 0) - before
        if grown > 0 and (stored.size + grown > self.max_object_bytes or not self._make_room(grown, keep=stored)):
            return False
        stored.wire = wire
        stored.wire_until = until
        stored.size += grown
        self._object_bytes += grown
        return True

    def charge_table(self, size: int) -> bool:
        """Charge `size` bytes more, or less, for what is remembered beside the store.

        False, and nothing is charged, where that has no room however much of what is stored goes for it.
        """
        if size > 0 and (self.table_bytes + size > self.max_bytes or not self._make_room(size)):
            return False
        self.table_bytes += size
        return True

    def delete(self, key: bytes) -> int:
        """Purge all variants of a key, also those on their way; returns how many could have been used until now."""
        self._sequence += 1
        self._key_purges.note(key, self._sequence, 0)
        removed = 0
        for stored in self._newest.get(key) or ():
            if self.state(stored) != "gone":
                self._remove(stored)
                removed += 1
        return removed

    def discard(self, stored: StoredResponse) -> bool:
        """Remove this one variant; False if it was not there. What is on its way is not concerned."""
        if not stored.alive:
            return False
        self._remove(stored)
        return True

    def expire(self, key: bytes) -> int:
        """Purge all variants of a key softly, also those on their way; returns how many."""
        self._sequence += 1
        self._key_purges.note(key, 0, self._sequence)
        expired = 0
        for stored in self._newest.get(key) or ():
            if self.state(stored) != "gone":
                stored.valid_at = SOFT
                expired += 1
        return expired

    def purge_tag(self, tag: bytes, *, soft: bool) -> int:
        """Purge all that has this tag, in constant time; returns how many it concerns at most.

        (What was purged before counts until it is met or collected.)
        """
        return self._tags.purge(tag, self._next_purge(soft=soft), soft=soft)

    def purge_all(self, *, soft: bool) -> int:
        """Purge everything, in constant time; returns as `purge_tag`."""
        number = self._next_purge(soft=soft)
        if soft:
            self._all_soft = number
        else:
            self._all_hard = number
        return self.objects

    def collect(self, max_objects: int) -> int:
        """Look at the next `max_objects` and remove what a hard purge concerns; returns how many went.

        Any purge by tag or of all makes each object be looked at anew, so give it some hundreds at a time: a thousand
        took 2 to 18 ms on a busy, slow core.
        """
        sieve = self._sieve
        if not self.collecting:
            return 0
        if sieve.sweeper is None:
            self._sweep_began, sieve.sweeper = self._last_hard, sieve.oldest
        removed = 0
        for _ in range(max_objects):
            stored = sieve.sweeper
            if stored is None:
                break
            sieve.sweeper = stored.newer
            if stored.valid_at != self.purges and self.state(stored) == "gone":
                removed += 1
        if sieve.sweeper is None:
            self._swept = self._sweep_began
        return removed

    def _next_purge(self, *, soft: bool) -> int:
        self._sequence += 1
        self.purges = self._sequence
        if not soft:
            self._last_hard = self._sequence
        return self._sequence

    def _last_purges(self, tags: tuple[bytes, ...], key: bytes | None = None) -> tuple[int, int]:
        # The key's matter only to what comes in: they were carried out on what was there.
        hard, soft = self._tags.last_purges(tags) if tags else (0, 0)
        if key is not None:
            purges = self._key_purges.look_up(key)
            hard, soft = max(hard, purges.hard), max(soft, purges.soft)
        return max(hard, self._all_hard), max(soft, self._all_soft)

    def _same_variant(self, stored: StoredResponse) -> StoredResponse | None:
        other = self._newest.get(stored.key)
        while other is not None and (other.variant != stored.variant or other.vary != stored.vary):
            other = other.older_variant
        return other

    def _size(self, stored: StoredResponse, tags: tuple[bytes, ...]) -> int:
        size = charge(stored, self._freshness_bytes)
        if tags:
            size += TagIndex.bytes_each(tags)
        if stored.reason:
            stored.reason = _share(self._reasons, stored.reason)
            if stored.reason not in self._reasons:
                size += bytes_of(len(stored.reason))
        if stored.vary:
            stored.vary = _share(self._varies, stored.vary)
            if stored.vary not in self._varies:
                size += 64 + sum(8 + bytes_of(len(name)) for name in stored.vary)
        return size

    def _recharge(self, stored: StoredResponse, names: tuple[bytes, ...]) -> bool:
        """Charge for what changed; False, and it is removed, where that does not fit."""
        size = self._size(stored, names)
        grown = size - stored.size + TagIndex.most_bytes(name for name in names if name not in stored.tags)
        if stored.size + grown > self.max_object_bytes or not self._make_room(grown, keep=stored):
            self._remove(stored)
            self.evictions += 1
            return False
        if names is not stored.tags:
            held, stored.tags = stored.tags, self._tags.hold(names)
            self._tags.release(held)
        self._object_bytes += size - stored.size
        stored.size = size
        return True

    def _admit(self, key: bytes, needed: int, *, known: bool) -> bool:
        # One that needs the room of many: only with a second request behind it, and only the room of what is not used.
        missing = self.bytes_used + self.table_bytes + needed - self.max_bytes
        if missing <= 0:
            return True
        if self.table_bytes + needed > self.max_bytes:
            return False
        if missing * self.objects <= _MANY * self._object_bytes:
            return self._make_room(needed)
        mark = hash(key)
        if not known and self._offered.pop(mark, self) is self:
            self._offered[mark] = None
            if len(self._offered) > _REMEMBERED_KEYS:
                self._offered.popitem(last=False)
            return False
        unused = self._sieve.unused(missing, _LOOKS_EACH * missing * self.objects // self._object_bytes)
        for victim in unused or ():
            self._remove(victim)
            self.evictions += 1
        return unused is not None

    def _make_room(self, needed: int, *, keep: StoredResponse | None = None) -> bool:
        while self.bytes_used + self.table_bytes + needed > self.max_bytes:
            victim = self._sieve.victim(min(_PATIENCE, self.objects))
            if victim is None or (victim is keep and self.objects == 1):
                return False
            if victim is keep:
                keep.visited = True
                continue
            self._remove(victim)
            self.evictions += 1
        return True

    def _link(self, stored: StoredResponse) -> None:
        newest = self._newest.get(stored.key)
        if newest is not None:
            # The dict keeps the bytes object of the first one: the others must not have one of their own.
            stored.key = newest.key
            stored.older_variant = newest
            newest.version = 0
        self._newest[stored.key] = stored
        self._versions += 1
        stored.version = self._versions
        stored.alive = True
        self._sieve.add(stored)
        self._object_bytes += stored.size
        self.objects += 1
        if newest is not None:
            self._bound_variants(stored)

    def _bound_variants(self, newest: StoredResponse) -> None:
        last, count = newest, 1
        while last.older_variant is not None:
            last, count = last.older_variant, count + 1
        if count > self.max_variants:
            self._remove(last)
            self.evictions += 1

    def _remove(self, stored: StoredResponse) -> None:
        stored.alive = False
        stored.valid_at = DEAD
        self._sieve.remove(stored)
        self._object_bytes -= stored.size
        self.objects -= 1
        stored.size = 0
        if stored.tags:
            self._tags.release(stored.tags)
        self._unlink(stored)

    def _unlink(self, stored: StoredResponse) -> None:
        newest = self._newest[stored.key]
        self._versions += 1
        follower = stored.older_variant
        if newest is not stored:
            newer = newest
            while newer.older_variant is not stored:
                assert newer.older_variant is not None
                newer = newer.older_variant
            newer.older_variant = follower
            newest.version = self._versions
        elif follower is None:
            del self._newest[stored.key]
        else:
            self._newest[stored.key] = follower
            follower.version = self._versions
        stored.older_variant = None
        stored.version = 0
