"""The memory store against a model that keeps everything: it may forget, but never give what is not to be given."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock.stores import MemoryStore, StoredResponse
from penstock.stores.stored_response import charge, pack_fields
from penstock.stores.tag_index import TagIndex
from penstock.stores.variants import Variants

KEYS = st.sampled_from([b"a", b"b", b"c" * 40])
TAGS = st.sampled_from([b"t", b"u", b"v", b"w" * 60])
VARIANTS = st.sampled_from([b"", b"1", b"2", b"3"])
BUDGET = 16_000
SHARE = 8_000


class Known:
    """What the model knows of one response that was offered."""

    def __init__(self, stored: StoredResponse, began: int) -> None:
        self.stored = stored
        self.began = began
        self.replaced = False


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(BUDGET, max_object_bytes=6_000, max_variants_bytes=SHARE)
        self.moment = 0
        self.purges: list[tuple[int, bool, str, bytes]] = []
        self.offered: list[Known] = []
        self.begun: list[tuple[int, int]] = [(0, 0)]

    def purged(self, known: Known, *, soft: bool) -> bool:
        """Whether a purge of that kind came after its fetch began."""
        stored = known.stored
        return any(
            moment > known.began
            and kind == soft
            and (what == "all" or (what == "key" and name == stored.key) or (what == "tag" and name in stored.tags))
            for moment, kind, what, name in self.purges
        )

    def expected(self, known: Known) -> str:
        """What the state of a response that is in the store must be."""
        if self.purged(known, soft=False):
            return "gone"
        return "soft" if self.purged(known, soft=True) else "valid"

    @rule()
    def begin(self) -> None:
        self.begun.append((self.moment, self.store.sequence()))

    @rule(
        key=KEYS, variant=VARIANTS, tags=st.lists(TAGS, max_size=3), size=st.integers(0, 6_000), back=st.integers(0, 3)
    )
    def put(self, key: bytes, variant: bytes, tags: list[bytes], size: int, back: int) -> None:
        began, sequence = self.begun[max(0, len(self.begun) - 1 - back)]
        stored = StoredResponse(
            key=key,
            variant=variant,
            status=200,
            fields=[],
            body=bytes(size),
            sequence=sequence,
            received_at=0.0,
            tags=tuple(tags),
        )
        known = Known(stored, began)
        purged = self.purged(known, soft=False)
        taken = self.store.put(stored)
        assert taken == stored.alive
        assert not (purged and taken)
        for other in self.offered:
            if not purged and other.stored.key == key and other.stored.variant == variant:
                assert not other.stored.alive
        if taken:
            self.offered.append(known)
            assert next(iter(self.store.get(key) or ())) is stored

    @rule(tag=TAGS, soft=st.booleans())
    def purge_tag(self, tag: bytes, soft: bool) -> None:
        usable = sum(tag in k.stored.tags and k.stored.alive and not self.purged(k, soft=False) for k in self.offered)
        self.moment += 1
        self.purges.append((self.moment, soft, "tag", tag))
        assert self.store.purge_tag(tag, soft=soft) >= usable

    @rule(soft=st.booleans())
    def purge_all(self, soft: bool) -> None:
        self.moment += 1
        self.purges.append((self.moment, soft, "all", b""))
        assert self.store.purge_all(soft=soft) == self.store.objects

    @rule(key=KEYS, soft=st.booleans())
    def purge_key(self, key: bytes, soft: bool) -> None:
        there = [k for k in self.offered if k.stored.alive and k.stored.key == key and self.expected(k) != "gone"]
        self.moment += 1
        self.purges.append((self.moment, soft, "key", key))
        assert (self.store.expire if soft else self.store.delete)(key) == len(there)
        assert all(k.stored.alive is soft for k in there)

    @rule(pick=st.integers(0, 50), size=st.integers(0, 3_000), tags=st.none() | st.lists(TAGS, max_size=3))
    def update(self, pick: int, size: int, tags: list[bytes] | None) -> None:
        alive = [known for known in self.offered if known.stored.alive]
        if not alive:
            return
        known = alive[pick % len(alive)]
        was_gone = self.expected(known) == "gone"
        updated = self.store.update(
            known.stored,
            sequence=self.store.sequence(),
            fields=pack_fields([(b"x", b"y" * size)]),
            tags=None if tags is None else tuple(tags),
        )
        assert not (was_gone and updated)
        assert updated == known.stored.alive
        known.began = self.moment

    @rule(pick=st.integers(0, 50), size=st.integers(0, 3_000))
    def wire(self, pick: int, size: int) -> None:
        if self.offered:
            stored = self.offered[pick % len(self.offered)].stored
            was_alive = stored.alive
            assert self.store.keep_wire(stored, bytes(size), 1) <= was_alive
            assert stored.alive == was_alive

    @rule(pick=st.integers(0, 50))
    def use(self, pick: int) -> None:
        if self.offered:
            known = self.offered[pick % len(self.offered)]
            expected = self.expected(known) if known.stored.alive else "gone"
            assert self.store.state(known.stored) == expected
            if expected != "gone":
                self.store.touch(known.stored)
            else:
                assert not known.stored.alive

    @rule(most=st.integers(0, 20))
    def collect(self, most: int) -> None:
        before = self.store.objects
        removed = self.store.collect(most)
        assert self.store.objects == before - removed

    @rule()
    def collect_all(self) -> None:
        while self.store.collecting:
            self.store.collect(2)
        assert all(self.expected(known) != "gone" for known in self.offered if known.stored.alive)

    @invariant()
    def what_is_alive_is_what_is_found(self) -> None:
        found = [stored for key in (b"a", b"b", b"c" * 40) for stored in self.store.get(key) or ()]
        alive = [known.stored for known in self.offered if known.stored.alive]
        assert {id(stored) for stored in found} == {id(stored) for stored in alive}
        assert len(found) == len(alive) == self.store.objects
        ring = []
        at = self.store._sieve.oldest
        while at is not None:
            ring.append(id(at))
            at = at.newer
        assert sorted(ring) == sorted(id(stored) for stored in alive)
        for key in (b"a", b"b", b"c" * 40):
            variants = list(self.store.get(key) or ())
            assert len(self.store.get(key) or ()) == len(variants)
            assert [stored.version for stored in variants] == sorted({stored.version for stored in variants})[::-1]
            resource = self.store.get(key)
            assert all(resource is not None and resource.find((), each.variant) is each for each in variants)
            assert len({stored.variant for stored in variants}) == len(variants)

    @invariant()
    def what_is_charged_is_what_a_recount_finds(self) -> None:
        alive = [known.stored for known in self.offered if known.stored.alive]
        names = {name for stored in alive for name in stored.tags}
        recount = sum(charge(stored, 160) + TagIndex.bytes_each(stored.tags) for stored in alive)
        shared = TagIndex.most_bytes(names) + sum(self.apart(key) for key in (b"a", b"b", b"c" * 40))
        assert self.store.bytes_used == recount + shared <= BUDGET
        assert sum(stored.size for stored in alive) == recount
        assert self.store.tags == len(names)

    def apart(self, key: bytes) -> int:
        """What it takes to keep the variants of `key` apart; they keep to their share."""
        resource = self.store.get(key)
        if not isinstance(resource, Variants):
            return 0
        assert resource.sizes == sum(stored.size for stored in resource)
        assert resource.bytes_used <= SHARE
        return 688 + 192 + 152 * len(resource)

    @invariant()
    def what_is_valid_at_a_glance_is_valid(self) -> None:
        for known in self.offered:
            if known.stored.valid_at == self.store.purges:
                assert known.stored.alive
                assert self.expected(known) == "valid"


TestStore = StoreMachine.TestCase
