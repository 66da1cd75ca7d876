"""The memory store: what is charged, what goes, what a purge concerns."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.stores import MemoryStore, StoredResponse
from penstock.stores.stored_response import bytes_of, pack_fields, unpack_fields


def response(key: bytes = b"k", body: bytes = b"body", sequence: int = 0, **more: Any) -> StoredResponse:
    more = {"status": 200, "fields": [(b"etag", b'"1"')], "received_at": 1.5, **more}
    return StoredResponse(key=key, body=body, sequence=sequence, **more)


def kept(store: MemoryStore, key: bytes = b"k") -> list[StoredResponse]:
    return list(store.get(key) or ())


def size_of_one(body: int = 1000) -> int:
    store = MemoryStore(2**30)
    store.put(response(b"a-key", bytes(body)))
    return store.bytes_used


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_bytes": 0},
        {"max_bytes": -1},
        {"max_bytes": 9, "max_variants_bytes": 0},
        {"max_bytes": 9, "max_object_bytes": 0},
    ],
)
def test_bounds_must_be_positive(bounds: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        MemoryStore(**bounds)


def test_what_was_put_is_found_until_it_is_replaced() -> None:
    store = MemoryStore(2**20)
    first, second = response(body=b"one"), response(body=b"two!" * 100)
    assert store.get(b"k") is None
    assert store.put(first)
    used = store.bytes_used
    assert kept(store) == [first]
    assert store.put(second)
    assert kept(store) == [second]
    assert (first.alive, second.alive, store.objects, store.evictions) == (False, True, 1, 0)
    assert store.state(first) == "gone"
    assert store.bytes_used == second.size == used - bytes_of(3) + bytes_of(400)
    with pytest.raises(UsageError, match="once"):
        store.put(second)


def test_what_is_replaced_passes_its_mark_on() -> None:
    store = MemoryStore(2**20)
    first, second = response(), response()
    store.put(first)
    store.touch(first)
    store.put(second)
    assert (second.visited, second.hits, first.hits) == (True, 0, 1)


def test_removing_variants_while_going_over_them() -> None:
    store = MemoryStore(2**20)
    for number in range(4):
        store.put(response(variant=b"%d" % number, tags=(b"t",)))
    store.purge_tag(b"t", soft=False)
    assert [store.state(each) for each in kept(store)] == ["gone"] * 4
    assert store.get(b"k") is None
    assert store.bytes_used == store.objects == store.tags == 0


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("how", ["tag", "all", "key"])
def test_a_purge_concerns_what_is_there_and_what_is_on_its_way_and_nothing_after(how: str, soft: bool) -> None:
    store = MemoryStore(2**20)
    there = response(tags=(b"a", b"t"))
    on_its_way = response(b"k" if how == "key" else b"other", variant=b"2", tags=(b"t",), sequence=store.sequence())
    bystander = response(b"bystander", tags=(b"a",))
    store.put(there)
    store.put(bystander)
    if how == "tag":
        assert store.purge_tag(b"t", soft=soft) == 1
    elif how == "all":
        assert store.purge_all(soft=soft) == 2
    else:
        assert (store.expire if soft else store.delete)(b"k") == 1
    end = "soft" if soft else "gone"
    assert store.state(there) == end
    assert there.alive is soft
    assert store.put(on_its_way) is soft
    assert store.state(on_its_way) == end
    assert store.state(bystander) == ("valid" if how != "all" else end)
    later = response(tags=(b"t",), sequence=store.sequence())
    assert store.put(later)
    assert store.state(later) == "valid"
    assert later.valid_at == store.purges


def test_a_purge_of_a_tag_that_nothing_has_is_remembered_for_what_is_on_its_way() -> None:
    store = MemoryStore(2**20)
    began = store.sequence()
    assert store.purge_tag(b"t", soft=False) == 0
    assert not store.put(response(tags=(b"t",), sequence=began))
    # The tag comes and goes: its purge stays known.
    there = response(tags=(b"t",), sequence=store.sequence())
    assert store.put(there)
    store.discard(there)
    assert not store.put(response(tags=(b"t",), sequence=began))
    assert store.tags == 0


def test_purges_that_had_to_be_forgotten_count_for_every_name() -> None:
    store = MemoryStore(2**20)
    began = store.sequence()
    for number in range(1000):
        store.purge_tag(b"unknown %d" % number, soft=False)
        store.delete(b"https|h|/%d" % number)
    assert store._tags._log.bytes_used <= 2**16
    assert store._key_purges.bytes_used <= 2**16
    assert not store.put(response(tags=(b"unknown 0",), sequence=began))
    assert not store.put(response(b"https|h|/0", sequence=began))
    assert not store.put(response(tags=(b"never purged",), sequence=began))
    assert store.put(response(tags=(b"never purged",), sequence=store.sequence()))


def test_collect_removes_what_a_hard_purge_concerns_and_looks_at_no_more_than_told() -> None:
    store = MemoryStore(2**20)
    stored = [response(b"%d" % number, tags=(b"even",) if number % 2 == 0 else ()) for number in range(20)]
    for each in stored:
        store.put(each)
    assert (store.collecting, store.collect(100)) == (False, 0)
    store.purge_tag(b"even", soft=True)
    assert (store.collecting, store.collect(100)) == (False, 0)
    store.purge_tag(b"even", soft=False)
    assert (store.collecting, store.collect(4)) == (True, 2)
    store.discard(stored[4])  # where the next look would be
    assert [store.collect(4) for _ in range(4)] == [2, 2, 2, 1]
    assert (store.collecting, store.collect(100)) == (False, 0)
    assert [each.alive for each in stored] == [number % 2 == 1 for number in range(20)]
    assert (store.tags, store.objects) == (0, 10)
    assert all(each.valid_at == store.purges for each in stored if each.alive)


def test_an_update_charges_for_what_changed_and_ends_a_soft_purge() -> None:
    store = MemoryStore(2**20)
    stored = response(tags=(b"a", b"b"))
    store.put(stored)
    store.keep_wire(stored, b"w" * 700, 5)
    store.purge_tag(b"a", soft=True)
    store.expire(b"k")
    assert store.state(stored) == "soft"
    fields = pack_fields([(b"etag", b"2" * 400)])
    assert store.update(stored, fields=fields, freshness="new", received_at=9.0)
    assert store.state(stored) == "soft"
    assert (stored.fields, stored.freshness, stored.received_at) == ([(b"etag", b"2" * 400)], "new", 9.0)
    assert stored.wire is None
    assert store.update(stored, sequence=store.sequence(), tags=(b"b", b"c", b"c"))
    assert store.state(stored) == "valid"
    assert stored.tags == (b"b", b"c")
    assert (store.tags, store.purge_tag(b"a", soft=False), store.purge_tag(b"c", soft=False)) == (2, 0, 1)
    assert not store.update(stored, sequence=store.sequence())
    assert store.bytes_used == 0


@pytest.mark.parametrize("how", ["expire", "purge_tag"])
def test_a_soft_purge_during_the_validation_stays(how: str) -> None:
    store = MemoryStore(2**20)
    stored = response(tags=(b"a",))
    store.put(stored)
    began = store.sequence()
    _ = store.expire(b"k") if how == "expire" else store.purge_tag(b"a", soft=True)
    assert store.update(stored, sequence=began)
    assert store.state(stored) == "soft"


def test_an_update_that_does_not_fit_removes() -> None:
    store = MemoryStore(2**20, max_object_bytes=2000)
    stored = response()
    store.put(stored)
    assert not store.update(stored, fields=bytes(3000))
    assert (stored.alive, store.objects, store.bytes_used) == (False, 0, 0)


def test_too_large_is_not_taken_and_what_it_would_replace_goes() -> None:
    store = MemoryStore(2**20, max_object_bytes=5000)
    before = response()
    store.put(before)
    assert not store.put(response(body=bytes(5000)))
    assert (before.alive, store.rejected, store.bytes_used) == (False, 1, 0)
    assert MemoryStore(2**30).max_object_bytes == 2**25
    assert MemoryStore(2**20).max_object_bytes == 2**17


def test_the_wire_is_charged_and_refused_where_it_does_not_fit() -> None:
    store = MemoryStore(2**20, max_object_bytes=3000)
    stored = response()
    assert not store.keep_wire(stored, b"w", 1)
    store.put(stored)
    bare = store.bytes_used
    assert store.keep_wire(stored, b"w" * 100, 1)
    assert store.bytes_used == bare + bytes_of(100) == stored.size
    assert store.keep_wire(stored, b"v" * 100, 2)
    assert (store.bytes_used, stored.wire_until) == (bare + bytes_of(100), 2)
    assert not store.keep_wire(stored, b"w" * 3000, 3)
    assert (stored.wire, stored.wire_until) == (b"v" * 100, 2)
    assert store.keep_wire(stored, None, 0)
    assert store.bytes_used == bare


def test_wires_make_room_but_not_their_own() -> None:
    store = MemoryStore(10 * size_of_one(), max_object_bytes=5 * size_of_one())
    stored = [response(b"key-%d" % number, bytes(1000)) for number in range(9)]
    for each in stored:
        store.put(each)
    assert store.keep_wire(stored[0], bytes(3 * size_of_one()), 1)
    assert stored[0].alive
    assert store.bytes_used <= store.max_bytes


def test_a_scan_leaves_what_is_used() -> None:
    store = MemoryStore(100 * size_of_one())
    used = [response(b"used%d" % number, bytes(1000)) for number in range(30)]
    for each in used:
        store.put(each)
        store.touch(each)
    for number in range(1000):
        assert store.put(response(b"scan%d" % number, bytes(1000)))
    assert all(each.alive for each in used)
    assert store.bytes_used <= store.max_bytes


def test_a_large_one_comes_in_at_the_second_offer_and_takes_nothing_that_is_used() -> None:
    one = size_of_one()
    store = MemoryStore(1000 * one, max_object_bytes=1000 * one)
    small = [response(b"%05d" % number, bytes(1000)) for number in range(1000)]
    for each in small:
        store.put(each)
    used = small[::3]
    for each in used:
        store.touch(each)
    large = bytes(400 * one)
    assert not store.put(response(b"large", large))
    assert (store.evictions, store.rejected) == (0, 1)
    assert store.put(response(b"large", large))
    assert all(each.alive for each in used)
    for each in used:
        store.touch(each)
    # Twice, but there is not that much that nobody uses; nothing is lost for trying.
    before = store.objects
    assert [store.put(response(b"larger", bytes(900 * one))) for _ in range(3)] == [False] * 3
    assert store.objects == before
    assert all(each.alive and each.visited for each in used)


def test_a_place_in_an_empty_store_needs_no_second_offer() -> None:
    assert MemoryStore(2**20, max_object_bytes=2**20).put(response(body=bytes(2**19)))


def test_tags_are_shared_and_go_with_their_last_holder() -> None:
    store = MemoryStore(2**20)
    one = response(b"1", tags=(bytes([116, 49]),))
    two = response(b"2", tags=(bytes([116, 49]),))
    many = response(b"3", tags=(b"t1", b"t2", b"t1"))
    for each in (one, two, many):
        store.put(each)
    assert one.tags is two.tags
    assert many.tags == (b"t1", b"t2")
    assert many.tags[0] is one.tags[0]
    assert store.tags == 2
    for each in (one, two, many):
        store.discard(each)
    assert store.tags == store.bytes_used == 0


def test_the_table_of_tags_is_bounded_by_what_is_stored() -> None:
    store = MemoryStore(200_000)
    for number in range(5000):
        store.put(response(b"%d" % number, tags=(b"only-%d" % number,), sequence=store.sequence()))
        store.purge_tag(b"only-%d" % number, soft=True)
        assert store.bytes_used <= store.max_bytes
    assert store.tags == store.objects < 250
    assert len(store._tags._log) < 250


FIELDS = [
    [],
    [(b"a", b"")],
    [(b"a", b"b: c"), (b"a", b" d ")],
    [(b"x", b"\xff\x80"), (b"y", b":")],
]


@pytest.mark.parametrize("fields", FIELDS)
def test_fields_are_packed_as_they_go_on_the_wire(fields: list[tuple[bytes, bytes]]) -> None:
    packed = pack_fields(iter(fields))
    assert packed == b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    assert unpack_fields(packed) == fields == response(fields=fields).fields


@pytest.mark.parametrize(
    "field",
    [
        (b"a", b"b\r\nc: d"),
        (b"a\r\nb", b"c"),
        (b"a", b"\n"),
        (b"a", b"\r"),
        (b"a", b"\0"),
        (b"", b"x"),
        (b"a: b", b"c"),
    ],
)
def test_a_field_that_would_be_read_as_another_is_refused(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(UsageError):
        pack_fields([(b"ok", b"1"), field])


@pytest.mark.parametrize("length", [1, 14, 15, 16, 478, 479, 480, 481, 500, 5000])
def test_bytes_are_charged_with_what_python_takes_at_least(length: int) -> None:
    assert sys.getsizeof(bytes(length)) <= bytes_of(length) <= sys.getsizeof(bytes(length)) + 24
    assert bytes_of(length) % 16 == 0


def test_a_part_says_where_it_lies() -> None:
    assert (response().first_byte, response().total_length) == (0, 4)
    part = response(first_byte=10, total_length=None)
    assert (part.first_byte, part.total_length) == (10, None)
    assert response(total_length=99).total_length == 99


def test_what_is_rarely_different_is_shared_and_the_rest_is_charged() -> None:
    store = MemoryStore(2**20)
    one = response(b"1", reason=bytes([79, 75]), vary=(bytes([97, 98]),))
    two = response(b"2", reason=bytes([79, 75]), vary=(bytes([97, 98]),))
    store.put(one)
    store.put(two)
    assert one.reason is two.reason
    assert one.vary is two.vary
    long = response(b"3", reason=b"r" * 200, vary=(b"v" * 200,))
    store.put(long)
    assert long.size == one.size + bytes_of(200) + 64 + 8 + bytes_of(200)


def test_a_key_is_one_object_for_the_dict_and_all_variants() -> None:
    store = MemoryStore(2**20)
    for number in range(3):
        store.put(response(b"%b" % b"key", variant=b"%d" % number))
    (key,) = store._resources.by_key
    assert all(each.key is key for each in kept(store, b"key"))


def test_nothing_of_a_response_is_shown() -> None:
    assert repr(response(b"secret", b"secret")) == "<StoredResponse 200, 6 bytes, alive=False>"
