"""The memory store of the shared cache: a byte budget, SIEVE, and purges by generation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ..errors import UsageError
from .offers import Offers
from .purge_log import PurgeLog
from .resources import Resources
from .shared_values import SharedValues
from .sieve import Each, Member, Sieve
from .stored_response import DEAD, SOFT, StoredResponse, bytes_of, charge
from .tag_index import TagIndex
from .variants import FIRST_BYTES, MOST_LISTS, MOST_PLACE_BYTES, Resource, VariantPlace, Variants

State = Literal["valid", "soft", "gone"]

MOST_OBJECT_BYTES = 32 * 2**20
FRESHNESS_BYTES = 160
_MANY = 256
_LOOKS_EACH = 4
_LOG_SHARE = 128
_LEAST_LOG_BYTES = 64 * 1024
_FEW = 64


class MemoryStore:
    """Responses by key, in at most `max_bytes` of memory. For one thread.

    `max_object_bytes` bounds a single response with all that it is charged with; by default an eighth of the budget and
    at most 32 MiB, because what is larger throws out tens of thousands of small ones (which takes tens of milliseconds
    of the loop) and costs little to fetch for its size. `max_variants_bytes` bounds all variants of one key together,
    however many they are; by default an eighth of the budget, and room for one object at least.
    `freshness_bytes` is what the caller's freshness object takes.

    What goes is chosen by SIEVE, among all, and within a key that has its share: who sends ever new values of a field
    pushes out what nobody asked for twice, neither other keys nor the variants that are in use. A response that would
    push out more than 256 others of average size has to be worth it: it comes in only if its key was offered before,
    not long ago, and if that takes no response that is in use.

    A purge of a tag, of everything or of a key with many variants is a number, noted in constant time; what it concerns
    is recognised when it is met, and a hard one gives its memory back in `collect`, which a timer should call while
    `collecting`. Each response has the number that the fetch began with (`sequence`), so one that was on its way during
    the purge is purged as well, whether or not anything with that tag or key was stored at the time.

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
        max_object_bytes: int | None = None,
        max_variants_bytes: int | None = None,
        freshness_bytes: int = FRESHNESS_BYTES,
    ) -> None:
        if max_object_bytes is None:
            max_object_bytes = max(1, min(max_bytes // 8, MOST_OBJECT_BYTES))
        if max_variants_bytes is None:
            max_variants_bytes = max(1, max_bytes // 8, max_object_bytes)
        for name, bound in (
            ("bytes", max_bytes),
            ("bytes of an object", max_object_bytes),
            ("bytes of the variants of a key", max_variants_bytes),
        ):
            if bound < 1:
                raise UsageError(f"a memory store needs at least 1 for its most {name}, not {bound}")
        self.max_bytes = max_bytes
        self.max_object_bytes = min(max_object_bytes, max_bytes)
        self.max_variants_bytes = max_variants_bytes
        self.objects = 0
        """Responses in the store, with those that a hard purge concerns and that nobody has met since."""
        self.evictions = 0
        """Responses that went for want of room in the whole store."""
        self.variant_evictions = 0
        """Responses that went because the variants of their key had taken their share."""
        self.rejected = 0
        """Responses that `put` did not take."""
        self.purges = 0
        """The number of the last purge by tag or of all, to be compared with `StoredResponse.valid_at`."""
        self.table_bytes = 0
        """What tables beside the store take of its budget."""
        log_bytes = max(_LEAST_LOG_BYTES, max_bytes // _LOG_SHARE)
        self._resources = Resources()
        self._sieve = Sieve[StoredResponse]()
        self._tags = TagIndex(PurgeLog(log_bytes))
        self._key_purges = PurgeLog(log_bytes)
        self._freshness_bytes = freshness_bytes
        self._object_bytes = 0
        self._sequence = 0
        self._all_hard = self._all_soft = 0
        self._last_hard = self._sweep_began = self._swept = 0
        self._offers = Offers()
        self._shared = SharedValues()
        self.get: Callable[[bytes], Resource | None] = self._resources.get
        """The resource of a key, None if nothing is stored for it. Marks nothing; its variants may be purged (`state`).
        It is the method of a dict, so a look-up costs no call of Python code."""

    @property
    def bytes_used(self) -> int:
        """What is charged for all that is stored; with `table_bytes` never above `max_bytes`."""
        return self._object_bytes + self._tags.bytes_used + self._resources.bytes_used

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
        if stored.place is not None:
            variants: Variants = stored.place.variants
            hard, soft = max(hard, variants.hard), max(soft, variants.soft)
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

        Returns False where it was not taken: purged since its fetch began, too large, not worth what it would push out,
        or of a key with too many different lists of names in Vary. The one with the same `vary` and `variant` is then
        gone as well, if this one is not purged, because it is known to be out of date. Raises UsageError for a response
        that is in a store already.
        """
        if stored.alive:
            raise UsageError("a response can be stored once only")
        if self._sequence == stored.sequence and not stored.tags and self.get(stored.key) is None:
            # As most are: nothing was purged meanwhile, nothing has to go, and nothing is to be weighed.
            size = self._size(stored, ())
            if size <= self.max_object_bytes and self.bytes_used + self.table_bytes + size <= self.max_bytes:
                self._enter(stored, size, self.purges)
                return True
        return self._put_with_care(stored)

    def _put_with_care(self, stored: StoredResponse) -> bool:
        """As `put`, where purges, what is stored of its key, or the room have a say."""
        tags = stored.tags if len(stored.tags) < 2 else tuple(dict.fromkeys(stored.tags))
        hard, soft = self._last_purges(tags, stored.key)
        if hard > stored.sequence:
            self.rejected += 1
            return False
        resource = self.get(stored.key)
        before = None if resource is None else resource.find(stored.vary, stored.variant)
        if before is not None:
            # It was in use, or nobody would have fetched it again: that must not be lost.
            stored.visited = before.visited or (before.place is not None and before.place.visited)
            self._remove(before)
            resource = self.get(stored.key)
        size = self._size(stored, tags)
        needed = size + TagIndex.most_bytes(tags) if tags else size
        if resource is not None:
            needed += MOST_PLACE_BYTES
        known = before is not None
        if (
            needed > self.max_object_bytes
            or (resource is not None and not self._has_place(resource, stored, needed, known=known))
            or not self._admit(stored.key, needed, known=known)
        ):
            self.rejected += 1
            return False
        stored.tags = self._tags.hold(tags) if tags else ()
        self._enter(stored, size, SOFT if soft > stored.sequence else self.purges)
        return True

    def _enter(self, stored: StoredResponse, size: int, valid_at: int) -> None:
        stored.size = size
        stored.valid_at = valid_at
        stored.alive = True
        self._resources.link(stored)
        self._sieve.add(stored)
        self._object_bytes += size
        self.objects += 1

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
        if grown > 0 and not self._may_grow(stored, grown):
            return False
        stored.wire = wire
        stored.wire_until = until
        self._charge(stored, grown)
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
        """Purge all variants of a key, also those on their way; returns how many could have been used until now.

        (At most, where they are more than a few.)
        """
        many = self._purge_key(key, soft=False)
        removed = 0
        for stored in self.get(key) or () if many is None else ():
            if self.state(stored) != "gone":
                self._remove(stored)
                removed += 1
        return removed if many is None else many

    def discard(self, stored: StoredResponse) -> bool:
        """Remove this one variant; False if it was not there. What is on its way is not concerned."""
        if not stored.alive:
            return False
        self._remove(stored)
        return True

    def expire(self, key: bytes) -> int:
        """Purge all variants of a key softly, also those on their way; returns as `delete`."""
        many = self._purge_key(key, soft=True)
        expired = 0
        for stored in self.get(key) or () if many is None else ():
            if self.state(stored) != "gone":
                stored.valid_at = SOFT
                expired += 1
        return expired if many is None else many

    def _purge_key(self, key: bytes, *, soft: bool) -> int | None:
        """Note the purge of a key for what is on its way, and, if it has many variants, also for these.

        Returns how many these are, None if they are so few that the caller looks at each.
        """
        resource = self.get(key)
        many = isinstance(resource, Variants) and len(resource) > _FEW
        number = self._next_purge(soft=soft) if many else self._sequence + 1
        self._sequence = number
        self._key_purges.note(key, 0 if soft else number, number if soft else 0)
        if not many:
            return None
        assert isinstance(resource, Variants)
        if soft:
            resource.soft = number
        else:
            resource.hard = number
        return len(resource)

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

    def _size(self, stored: StoredResponse, tags: tuple[bytes, ...]) -> int:
        size = charge(stored, self._freshness_bytes)
        if stored.reason or stored.vary:
            size += self._shared.share(stored)
        return size + TagIndex.bytes_each(tags) if tags else size

    def _charge(self, stored: StoredResponse, grown: int) -> None:
        stored.size += grown
        self._object_bytes += grown
        if stored.place is not None:
            stored.place.variants.sizes += grown

    def _may_grow(self, stored: StoredResponse, grown: int) -> bool:
        """Make room for that much more of what is stored already, in its key and in the store."""
        if stored.size + grown > self.max_object_bytes:
            return False
        variants: Variants | None = None if stored.place is None else stored.place.variants
        if variants is not None and not self._bound_variants(variants, grown, keep=stored):
            return False
        return self._make_room(grown, keep=stored)

    def _recharge(self, stored: StoredResponse, names: tuple[bytes, ...]) -> bool:
        """Charge for what changed; False, and it is removed, where that does not fit."""
        size = self._size(stored, names)
        grown = size - stored.size + TagIndex.most_bytes(name for name in names if name not in stored.tags)
        if not self._may_grow(stored, grown):
            self._remove(stored)
            self.evictions += 1
            return False
        if names is not stored.tags:
            held, stored.tags = stored.tags, self._tags.hold(names)
            self._tags.release(held)
        self._charge(stored, size - stored.size)
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
        if not known and not self._offers.came_before(key):
            return False
        return self._take_unused(self._sieve, missing, self.objects, self._object_bytes)

    def _take_unused(self, order: Sieve[Each], missing: int, count: int, held: int) -> bool:
        """Let go of `missing` bytes that nobody uses, of the `count` members of `held` bytes; or of nothing at all."""
        unused = order.unused(missing, _LOOKS_EACH * missing * count // held)
        for each in unused or ():
            self._evict(each)
        return unused is not None

    def _evict(self, each: Member) -> None:
        if isinstance(each, VariantPlace):
            each.variants.evicted += 1
            self.variant_evictions += 1
            self._remove(each.stored)
        else:
            assert isinstance(each, StoredResponse)
            self.evictions += 1
            self._remove(each)

    def _make_room(self, needed: int, *, keep: StoredResponse | None = None) -> bool:
        while self.bytes_used + self.table_bytes + needed > self.max_bytes:
            victim = self._sieve.next_to_go(self.objects, keep)
            if victim is None:
                return False
            self._evict(victim)
        return True

    def _has_place(self, resource: Resource, stored: StoredResponse, needed: int, *, known: bool) -> bool:
        """Whether there is one for `stored` among the variants of its key; what has to go for it has gone then."""
        if isinstance(resource, StoredResponse):
            if not self._make_room(FIRST_BYTES, keep=resource):
                return False
            resource = self._resources.gather(resource)
        variants = resource
        if needed > self.max_variants_bytes or not self._may_list(variants, stored.vary):
            return False
        missing = variants.bytes_used + needed - self.max_variants_bytes
        if missing <= 0:
            return True
        count = len(variants)
        if missing * count <= _MANY * variants.sizes:
            return self._bound_variants(variants, needed)
        if not known and not self._offers.came_before(stored.key):
            return False
        return self._take_unused(variants.order, missing, count, variants.sizes)

    def _may_list(self, variants: Variants, vary: tuple[bytes, ...]) -> bool:
        """Whether one that varies with these names may come; if they are too many lists, the first of them shrinks."""
        if vary in variants.tables or len(variants.tables) < MOST_LISTS:
            return True
        for place in variants.of_first_list(_FEW):
            self._evict(place)
        return len(variants.tables) < MOST_LISTS

    def _bound_variants(self, variants: Variants, needed: int, *, keep: StoredResponse | None = None) -> bool:
        while variants.bytes_used + needed > self.max_variants_bytes:
            victim = variants.order.next_to_go(len(variants), None if keep is None else keep.place)
            if victim is None:
                return keep is None
            self._evict(victim)
        return True

    def _remove(self, stored: StoredResponse) -> None:
        self._resources.unlink(stored)
        stored.alive = False
        stored.valid_at = DEAD
        self._sieve.remove(stored)
        self._object_bytes -= stored.size
        self.objects -= 1
        stored.size = 0
        if stored.tags:
            self._tags.release(stored.tags)
