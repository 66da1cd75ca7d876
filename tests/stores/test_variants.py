"""The variants of one key: found without a search, bounded by bytes, and who goes is who nobody asked for twice.

There was a bound of 16, first in first out: of 2,000 requests in 300 languages 34 % were hits.
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from typing import Any

import pytest

from penstock.stores import MemoryStore, Resource, StoredResponse
from penstock.stores import memory as memory_module
from penstock.stores.variants import MOST_LISTS, Variants

VARY = (b"accept-language",)


def response(variant: bytes, body: int = 1000, vary: tuple[bytes, ...] = VARY, **more: Any) -> StoredResponse:
    more = {"key": b"k", "status": 200, "fields": [(b"etag", b'"1"')], "sequence": 0, "received_at": 1.5, **more}
    return StoredResponse(vary=vary, variant=variant, body=bytes(body), **more)


def resource_of(store: MemoryStore, key: bytes = b"k") -> Resource:
    resource = store.get(key)
    assert resource is not None
    return resource


def selected(store: MemoryStore, variant: bytes) -> list[StoredResponse]:
    return list(resource_of(store).matching(lambda names: (variant,)))


def use(store: MemoryStore, variant: bytes) -> bool:
    """As a hit does it; whether there was anything to hit."""
    found = selected(store, variant)
    for each in found:
        store.touch(each)
    return bool(found)


def test_variants_are_newest_first_and_each_is_replaced_by_its_own() -> None:
    store = MemoryStore(2**20)
    variants = [response(b"%d" % number) for number in range(40)]
    for each in variants:
        assert store.put(each)
    assert list(resource_of(store)) == variants[::-1]
    again = response(b"3")
    store.put(again)
    assert (variants[3].alive, selected(store, b"3")) == (False, [again])
    other_names = response(b"3", vary=(b"accept",))
    store.put(other_names)
    assert selected(store, b"3") == [other_names, again], "the newest of all lists first"
    assert set(resource_of(store).vary_lists) == {VARY, (b"accept",)}
    newer = response(b"3")
    store.put(newer)
    assert selected(store, b"3") == [newer, other_names]
    assert resource_of(store).find(VARY, b"3") is newer
    assert resource_of(store).newest(2) == [newer, other_names]
    assert (store.evictions, store.variant_evictions, len(resource_of(store))) == (0, 0, 41)


def test_the_version_changes_only_where_another_response_may_be_selected() -> None:
    """With one list of names a new variant is nobody else's; who remembers a choice need not look again."""
    store = MemoryStore(2**20)
    first = response(b"1")
    store.put(first)
    assert resource_of(store) is first
    alone = first.version
    store.put(response(b"2"))
    assert first.version not in (0, alone), "it is no longer the only one"
    resource = resource_of(store)
    seen = {resource.version}
    store.put(response(b"3"))
    store.discard(selected(store, b"2")[0])
    assert seen == {resource.version}
    for variant, vary in ((b"1", (b"accept",)), (b"9", (b"accept",)), (b"1", VARY)):
        store.put(response(variant, vary=vary))
        assert resource.version not in seen, "a second list: the newest of both is selected"
        seen.add(resource.version)
    store.delete(b"k")
    assert (resource.version, store.get(b"k")) == (0, None)
    store.put(response(b"1", sequence=store.sequence()))
    assert resource_of(store).version not in seen | {0, alone}


def test_a_look_up_does_not_depend_on_how_many_variants_there_are() -> None:
    store = MemoryStore(2**28)
    for number in range(20_000):
        store.put(response(b"%d" % number, 10))
    asked = 0

    def variants_of(names: tuple[bytes, ...]) -> tuple[bytes, ...]:
        nonlocal asked
        asked += 1
        return (b"17",)

    (found,) = resource_of(store).matching(variants_of)
    assert (found.variant, asked) == (b"17", 1)


def test_a_flood_of_values_takes_neither_other_keys_nor_what_is_used_of_this_one() -> None:
    """30,000 values of a field, as who wants to fill the store sends them."""
    store = MemoryStore(8 * 2**20)
    others = [response(b"", 2000, (), key=b"other-%d" % number) for number in range(2000)]
    for each in others:
        store.put(each)
    hot = [b"hot-%d" % number for number in range(50)]
    for variant in hot:
        store.put(response(variant))
    for number in range(30_000):
        assert store.put(response(b"once-%d" % number, 300))
        if number % 10 == 0:
            variant = hot[number // 10 % len(hot)]
            assert use(store, variant), number
    variants = resource_of(store)
    assert isinstance(variants, Variants)
    assert 0.9 * store.max_variants_bytes < variants.bytes_used <= store.max_variants_bytes == 2**20
    assert all(each.alive for each in others)
    assert (store.evictions, store.variant_evictions) == (0, variants.evicted)
    assert variants.evicted == 30_050 - len(variants)


def test_the_keys_own_mark_is_not_that_of_the_store() -> None:
    """Who is looked at for room in the store is not for that unused in its key."""
    store = MemoryStore(2**20, max_variants_bytes=20_000)
    store.put(response(b"hot"))
    store.put(response(b"cold"))
    use(store, b"hot")
    assert store._sieve.victim(10) is not None
    for number in range(100):
        store.put(response(b"%d" % number))
    assert not selected(store, b"hot")[0].visited
    assert not selected(store, b"cold")


def test_a_replaced_variant_passes_the_mark_of_its_key_on() -> None:
    store = MemoryStore(2**20, max_variants_bytes=20_000)
    for variant in (b"hot", b"cold"):
        store.put(response(variant))
    use(store, b"hot")
    selected(store, b"hot")[0].visited = False
    store.put(response(b"hot"))
    assert selected(store, b"hot")[0].visited


@pytest.mark.parametrize("how", ["body", "wire", "update"])
def test_no_way_to_grow_leads_past_the_share(how: str) -> None:
    store = MemoryStore(2**20, max_variants_bytes=20_000)
    for number in range(10):
        assert store.put(response(b"%d" % number))
    grown = response(b"9")
    assert store.put(grown)
    if how == "body":
        assert store.put(response(b"new", 9000))
    elif how == "wire":
        assert store.keep_wire(grown, bytes(9000), 1.0)
    else:
        assert store.update(grown, fields=bytes(9000))
    variants = resource_of(store)
    assert isinstance(variants, Variants)
    assert variants.bytes_used <= 20_000
    assert variants.sizes == sum(each.size for each in variants)
    assert store.variant_evictions > 0
    assert grown.alive or how == "body"


def test_what_is_larger_than_the_share_comes_in_alone_only() -> None:
    store = MemoryStore(2**20, max_variants_bytes=5000)
    assert store.put(response(b"small"))
    assert not store.put(response(b"large", 6000))
    assert (store.rejected, len(selected(store, b"small"))) == (1, 1)
    store.delete(b"k")
    assert store.put(response(b"large", 6000, sequence=store.sequence()))
    assert store.put(response(b"small", sequence=store.sequence()))
    assert (len(selected(store, b"large")), store.variant_evictions) == (0, 1)


def test_one_that_needs_the_room_of_many_variants_has_to_come_twice() -> None:
    store = MemoryStore(2**22, max_variants_bytes=2**20, max_object_bytes=2**20)
    number = 0
    while not store.variant_evictions:
        store.put(response(b"%d" % number, 0))
        number += 1
    before = store.variant_evictions
    assert not store.put(response(b"large", 2**19))
    assert store.variant_evictions == before
    assert store.put(response(b"large", 2**19))


def test_lists_of_names_are_bounded_and_the_first_gives_way() -> None:
    """An app that makes up its Vary anew each time must not make each hit look at a thousand lists."""
    store = MemoryStore(2**22)
    for number in range(100):
        store.put(response(b"%d" % number, 0))
    taken = [store.put(response(b"v", 0, (b"x-%d" % number,))) for number in range(MOST_LISTS + 20)]
    assert len(resource_of(store).vary_lists) == MOST_LISTS
    assert taken.count(False) == 1, "of a long list only some go at a time"
    assert taken[-1]
    assert VARY not in resource_of(store).vary_lists


@pytest.mark.parametrize("soft", [False, True])
def test_a_purge_of_a_key_with_thousands_of_variants_is_one_number(soft: bool) -> None:
    store = MemoryStore(2**28)
    variants = [response(b"%d" % number, 10) for number in range(20_000)]
    bystander = response(b"", key=b"other", vary=())
    for each in (*variants, bystander):
        store.put(each)
    began = store.sequence()
    started = time.perf_counter()
    assert (store.expire if soft else store.delete)(b"k") == 20_000
    assert time.perf_counter() - started < 0.01
    assert store.state(variants[7]) == ("soft" if soft else "gone")
    assert store.state(bystander) == "valid"
    assert store.put(response(b"on its way", sequence=began)) is soft
    later = response(b"later", sequence=store.sequence())
    assert store.put(later)
    assert store.state(later) == "valid"
    assert store.collecting is not soft
    while store.collecting:
        store.collect(1000)
    assert store.objects == (20_003 if soft else 2)
    if soft:
        assert store.update(variants[8], sequence=store.sequence())
        assert store.state(variants[8]) == "valid"
        assert store.state(variants[9]) == "soft"


def test_the_purge_by_number_and_the_one_by_hand_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for few in (1, 100):
        monkeypatch.setattr(memory_module, "_FEW", few)
        store = MemoryStore(2**20)
        variants = [response(b"%d" % number) for number in range(5)]
        for each in variants:
            store.put(each)
        assert (store.expire(b"k"), store.delete(b"k")) == (5, 5)
        assert [store.state(each) for each in variants] == ["gone"] * 5
        assert store.objects == store.bytes_used == 0


@pytest.mark.slow
@pytest.mark.parametrize("fill", ["many", "many gone", "many keys with two"])
def test_what_is_charged_for_variants_is_what_they_take_at_least(fill: str) -> None:
    """Their tables too, which a dict would keep as large as they ever were."""
    store = MemoryStore(2**28)
    gc.collect()
    tracemalloc.start()
    begin = tracemalloc.get_traced_memory()[0]
    if fill == "many keys with two":
        for number in range(6000):
            store.put(response(b"a%d" % (number % 2), 10, key=b"k%d" % (number // 2)))
    else:
        for number in range(12_000):
            store.put(response(b"v%d" % number, 10))
    if fill == "many gone":
        for each in resource_of(store).newest(11_000):
            store.discard(each)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - begin
    tracemalloc.stop()
    assert 0.6 * store.bytes_used < taken <= store.bytes_used + 20_000


def test_a_table_shrinks_with_what_is_in_it() -> None:
    store = MemoryStore(2**26)
    for number in range(5000):
        store.put(response(b"%d" % number, 0))
    variants = resource_of(store)
    assert isinstance(variants, Variants)
    for each in variants.newest(4990):
        store.discard(each)
    assert sys.getsizeof(variants.tables[VARY]) < 2000
