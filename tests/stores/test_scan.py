"""What a scan does to the hits of a working set, beside LRU; simulated and seeded."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from penstock.stores import MemoryStore, StoredResponse

OBJECTS = 2_000


def response(key: bytes, size: int) -> StoredResponse:
    return StoredResponse(key=key, status=200, fields=[], body=bytes(size), sequence=0, received_at=0.0)


class Lru:
    """As a cache would be without SIEVE, charged the same."""

    def __init__(self, budget: int) -> None:
        self.sizes: OrderedDict[bytes, int] = OrderedDict()
        self.room = budget

    def ask(self, key: bytes, size: int) -> bool:
        if key in self.sizes:
            self.sizes.move_to_end(key)
            return True
        self.sizes[key] = size
        self.room -= size
        while self.room < 0:
            self.room += self.sizes.popitem(last=False)[1]
        return False


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_scan_of_ten_budgets_costs_a_few_points_of_hits(seed: int) -> None:
    chance = random.Random(seed)
    sizes = [int(min(20_000, max(200, chance.lognormvariate(6.9, 1.0)))) for _ in range(OBJECTS)]
    weights = [1 / (rank + 1) for rank in range(OBJECTS)]
    probe = MemoryStore(2**20)
    probe.put(response(b"0" * 10, 1000))
    each = probe.bytes_used - 1000
    budget = sum(size + each for size in sizes) // 2
    store, lru = MemoryStore(budget), Lru(budget)

    def ask(number: int, size: int) -> tuple[bool, bool]:
        key = b"%010d" % number
        found = store.get(key)
        if found is not None:
            store.touch(*found)
        else:
            store.put(response(key, size))
        assert store.bytes_used <= budget
        return found is not None, lru.ask(key, size + each)

    def share(hits: list[tuple[bool, bool]]) -> tuple[float, float]:
        return sum(ours for ours, _ in hits) / len(hits), sum(theirs for _, theirs in hits) / len(hits)

    for number in chance.choices(range(OBJECTS), weights, k=10 * OBJECTS):
        ask(number, sizes[number])
    before, lru_before = share([ask(n, sizes[n]) for n in chance.choices(range(OBJECTS), weights, k=5 * OBJECTS)])
    scanned, during = 0, []
    while scanned < 10 * budget:
        size = chance.randint(200, 3000)
        ask(10**6 + scanned, size)
        scanned += size + each
        if chance.random() < 0.1:
            number = chance.choices(range(OBJECTS), weights)[0]
            during.append(ask(number, sizes[number]))
    ours, theirs = share(during)
    assert before >= lru_before - 0.01
    assert ours > before - 0.05
    assert theirs < lru_before - 0.20
