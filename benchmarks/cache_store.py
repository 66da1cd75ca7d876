"""The memory store of the shared cache: is its budget honest, how fast is a purge, what does an operation cost."""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import resource
import statistics
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .processes import CLIENT_CORE, run, scratch
from .report import Report, megabytes

HONEST = 1.25
PURGE_SECONDS = 0.010
OBJECT_BYTES = 600
TAG_BYTES = 40
SCAN_POINTS = 3.0
FIELDS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"public, max-age=300, stale-while-revalidate=30"),
    (b"etag", b'"5f2a-61c0b7"'),
    (b"date", b"Fri, 27 Nov 2026 00:46:12 GMT"),
    (b"server", b"granian"),
]


class Freshness:
    """Stands for penstock.rules.caching.freshness.Freshness: eight attributes, two floats of its own (160 bytes)."""

    __slots__ = ("a", "b", "c", "d", "e", "f", "g", "h")

    def __init__(self, number: int) -> None:
        self.a, self.b = number + 0.5, number + 0.25
        self.c = self.d = self.e = self.f = self.g = self.h = None


def resident() -> int:
    """Resident bytes of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def response(number: int, body: bytes, tags: tuple[bytes, ...] = (), sequence: int = 0) -> Any:
    """A stored response with objects of its own, as parsing makes them."""
    from penstock.stores import StoredResponse

    return StoredResponse(
        key=b"https|www.example.org|/articles/%d" % number,
        status=200,
        reason=b"OK",
        fields=[*FIELDS, (b"x-request", b"%d" % number)],
        body=body,
        freshness=Freshness(number),
        received_at=number / 7,
        sequence=sequence,
        tags=tags,
    )


def stored_in(store: Any) -> list[Any]:
    """All that is stored."""
    return [stored for resource in store._resources.by_key.values() for stored in resource]  # noqa: SLF001


def child_memory(budget: int, median: int, tags: int) -> dict[str, Any]:
    """Put three times the budget, log-normal bodies of 200 B to 20 KB, a fifth of them used; what is resident then?"""
    from penstock.stores import MemoryStore

    chance = random.Random(budget + median)
    response(0, b"")
    gc.collect()
    before = resident()
    store = MemoryStore(budget)
    put = number = 0
    most = 0.0
    while put < 3 * budget:
        number += 1
        size = int(min(20_000, max(200, chance.lognormvariate(math.log(median), 1.2))))
        names = tuple(b"tag-%d" % chance.randrange(10_000) for _ in range(tags))
        stored = response(number, b"x" * size, names)
        store.put(stored)
        put += stored.size
        used = store.get(b"https|www.example.org|/articles/%d" % chance.randint(max(1, number - 200_000), number))
        if used is not None and number % 5 == 0:
            store.touch(*used)
        if number % 10_000 == 0:
            most = max(most, resident())
    after = resident() - before
    payload = sum(len(each.body) + len(each.packed_fields) for each in stored_in(store))
    return {
        "budget": budget,
        "median": median,
        "tags": tags,
        "put": number,
        "objects": store.objects,
        "charged": store.bytes_used,
        "resident": after,
        "most": most - before,
        "charged_each": (store.bytes_used - payload) / store.objects,
        "resident_each": (after - payload) / store.objects,
    }


def child_small(objects: int, tags: int) -> dict[str, Any]:
    """As many objects of 200 bytes as told, nothing evicted: what does one take besides its body and its fields?"""
    from penstock.stores import MemoryStore

    response(0, b"")
    gc.collect()
    before = resident()
    store = MemoryStore(2**40)
    known = [b"tag-%d" % number for number in range(10_000)]
    for number in range(objects):
        names = tuple(b"%b" % known[(number * 7 + 13 * i) % len(known)] for i in range(tags))
        store.put(response(number, b"%200d" % number, names))
    del known
    gc.collect()
    payload = sum(len(each.body) + len(each.packed_fields) for each in stored_in(store))
    keys = sum(map(len, store._resources.by_key))  # noqa: SLF001
    each = (resident() - before - payload) / objects
    return {
        "tags": tags,
        "each": each,
        "key": keys / objects,
        "charged": (store.bytes_used - payload) / objects,
    }


def child_purge(objects: int, tagged: int) -> dict[str, Any]:
    """Purge one tag, and see when the last that has it is refused."""
    from penstock.stores import MemoryStore

    store = MemoryStore(2**40)
    step = objects // tagged
    for number in range(objects):
        names = (b"hot",) if number % step == 0 else (b"tag-%d" % (number % 10_000),)
        store.put(response(number, b"%200d" % number, names))
    concerned = [stored for stored in stored_in(store) if stored.tags == (b"hot",)]
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    counted = store.purge_tag(b"hot", soft=True)
    soft = time.perf_counter() - began
    assert all(store.state(stored) == "soft" for stored in concerned)
    began = time.perf_counter()
    store.purge_tag(b"hot", soft=False)
    first = store.state(concerned[0])
    last = store.state(concerned[-1])
    hard = time.perf_counter() - began
    assert first == last == "gone"
    calls = []
    while store.collecting:
        began = time.perf_counter()
        store.collect(1000)
        calls.append(time.perf_counter() - began)
    left = sum(stored.alive for stored in concerned)
    return {
        "counted": counted,
        "soft": soft,
        "hard": hard,
        "left": left,
        "collect": sum(calls),
        "worst": max(calls),
        "objects": store.objects,
    }


def child_speed(objects: int) -> dict[str, Any]:
    """Nanoseconds an operation, the best of five rounds, on a store that is full."""
    from penstock.stores import MemoryStore

    store = MemoryStore(objects * 1100)
    for number in range(objects):
        store.put(response(number, b"%200d" % number, (b"a", b"b%d" % (number % 100))))
    chance = random.Random(5)
    kept = list(stored_in(store))
    chance.shuffle(kept)
    kept = kept[:20_000]
    keys = [stored.key for stored in kept]
    gc.collect()
    gc.freeze()
    gc.disable()
    times: dict[str, list[float]] = {}

    def measure(name: str, what: Callable[[Any], object], over: list[Any]) -> None:
        began = time.perf_counter()
        for each in over:
            what(each)
        times.setdefault(name, []).append((time.perf_counter() - began) / len(over) * 1e9)

    for turn in range(5):
        measure("nothing (the loop itself)", bool, keys)
        measure("get", store.get, keys)
        measure("touch", store.touch, kept)
        measure("state, nothing purged", store.state, kept)
        store.purge_tag(b"nobody has it", soft=True)
        measure("state, first after a purge", store.state, kept)
        new = [response(10**7 + turn * 20_000 + number, b"%200d" % number, (b"a",)) for number in range(20_000)]
        measure("put, with an eviction", store.put, new)
        kept = [stored for stored in kept if stored.alive]
    measure("making the object (fields packed anew)", lambda number: response(number, b"x"), list(range(20_000)))
    gc.unfreeze()
    gc.enable()
    began = time.perf_counter()
    gc.collect()
    full = time.perf_counter() - began
    return {"objects": store.objects, "gc": full, "ns": {name: min(all_) for name, all_ in times.items()}}


class _Lru:
    """What the scan is compared with."""

    def __init__(self, budget: int) -> None:
        self._sizes: OrderedDict[int, int] = OrderedDict()
        self._room = budget

    def ask(self, key: int, size: int) -> bool:
        if key in self._sizes:
            self._sizes.move_to_end(key)
            return True
        self._sizes[key] = size
        self._room -= size
        while self._room < 0:
            self._room += self._sizes.popitem(last=False)[1]
        return False


def child_scan(objects: int) -> dict[str, Any]:
    """A Zipf working set of twice the budget; then a scan of ten budgets, with one request for the set in ten."""
    from penstock.stores import MemoryStore

    chance = random.Random(11)
    weights = [1 / (rank + 1) for rank in range(objects)]
    sizes = [int(min(20_000, max(200, chance.lognormvariate(math.log(1000), 1.0)))) for _ in range(objects)]
    probe = response(0, b"x" * 1000)
    MemoryStore(2**30).put(probe)
    each = probe.size - 1000
    budget = sum(size + each for size in sizes) // 2
    store, lru = MemoryStore(budget), _Lru(budget)
    hits = {"SIEVE": 0, "LRU": 0}
    asked = 0

    def ask(number: int, size: int, *, count: bool) -> None:
        nonlocal asked
        found = store.get(b"https|www.example.org|/articles/%d" % number)
        if found is not None:
            store.touch(*found)
        else:
            store.put(response(number, b"x" * size))
        old = lru.ask(number, size + each)
        if count:
            asked += 1
            hits["SIEVE"] += found is not None
            hits["LRU"] += old

    figures: dict[str, Any] = {}
    requests = chance.choices(range(objects), weights, k=objects * 10)
    for at, number in enumerate(requests):
        ask(number, sizes[number], count=at >= len(requests) // 2)
    figures["before"] = {name: value / asked for name, value in hits.items()}
    hits, asked = {"SIEVE": 0, "LRU": 0}, 0
    scanned = objects * 10 // 2
    during = iter(chance.choices(range(objects), weights, k=scanned))
    for number in range(scanned):
        ask(10**8 + number, 1300, count=False)
        if number % 10 == 0:
            known = next(during)
            ask(known, sizes[known], count=True)
    figures["during"] = {name: value / asked for name, value in hits.items()}
    hits, asked = {"SIEVE": 0, "LRU": 0}, 0
    for number in chance.choices(range(objects), weights, k=objects // 5):
        ask(number, sizes[number], count=True)
    figures["after"] = {name: value / asked for name, value in hits.items()}
    return figures


CHILDREN: dict[str, Callable[..., dict[str, Any]]] = {
    "memory": child_memory,
    "small": child_small,
    "purge": child_purge,
    "speed": child_speed,
    "scan": child_scan,
}


def child(name: str, *numbers: int) -> dict[str, Any]:
    """Run one of CHILDREN in a process of its own."""
    with scratch() as folder:
        argv = [sys.executable, "-m", "benchmarks.cache_store", "--child", name, *map(str, numbers)]
        ended = run(argv, folder=folder, core=CLIENT_CORE, timeout=900)
    if ended.code:
        raise RuntimeError(f"{name}: exit status {ended.code}: {ended.stderr[-2000:]}")
    return ended.json()


def memory(report: Report, runs: list[tuple[int, int, int]]) -> None:
    """Resident bytes against the budget."""
    rows = []
    for budget, median, tags in runs:
        seen = child("memory", budget, median, tags)
        share = max(seen["resident"], seen["most"]) / budget
        title = f"{budget / 2**20:,.0f} MiB, median body {median:,} B, {tags} tags"
        kept = [title, f"{seen['put']:,}", f"{seen['objects']:,}"]
        resident_now = [megabytes(seen[name]) for name in ("charged", "resident", "most")]
        rows.append(
            [*kept, *resident_now, f"{share:.2f}", *(f"{seen[n]:.0f}" for n in ("charged_each", "resident_each"))]
        )
        report.goal(f"resident at most, of {title}", f"at most {HONEST} x", f"{share:.2f} x", share <= HONEST)
    header = ["budget", "put", "kept", "charged MB", "resident MB", "at most MB", "x budget"]
    report.table(
        "Resident memory beyond the interpreter, after three times the budget was put",
        [*header, "charged B each beyond body and fields", "resident B each beyond"],
        rows,
    )


def small(report: Report, objects: int) -> None:
    """Bytes an object, bytes a tag."""
    seen = {tags: child("small", objects, tags) for tags in (0, 1, 3, 8)}
    bare = seen[0]["each"]
    rows = [
        [
            tags,
            *(f"{each[name]:.0f}" for name in ("each", "charged", "key")),
            f"{(each['each'] - bare) / max(1, tags):.1f}",
        ]
        for tags, each in seen.items()
    ]
    header = ["tags", "resident B each beyond body and fields", "charged", "of these the key's own", "B a tag"]
    report.table(f"{objects:,} objects of 200 B, with 160 B of freshness, tags out of 10,000", header, rows)
    goal = f"at most {OBJECT_BYTES} B"
    report.goal("overhead of a small object", goal, f"{bare:.0f} B", bare <= OBJECT_BYTES)
    worst = max((each["each"] - bare) / tags for tags, each in seen.items() if tags)
    report.goal("overhead of a tag on an object", f"at most {TAG_BYTES} B", f"{worst:.1f} B", worst <= TAG_BYTES)


def purge(report: Report, objects: int, tagged: int) -> None:
    """One tag of many objects."""
    seen = [child("purge", objects, tagged) for _ in range(3)]
    rows = [
        [
            f"{each['counted']:,}",
            *(f"{each[name] * 1e6:,.1f}" for name in ("soft", "hard", "collect", "worst")),
            each["left"],
        ]
        for each in seen
    ]
    header = ["counted", "soft us", "hard, first and last refused us"]
    header += ["all collected us", "longest collect(1000) us", "left"]
    report.table(f"Purge of a tag on {tagged:,} of {objects:,} objects", header, rows)
    worst = max(max(each["soft"], each["hard"]) for each in seen)
    goal = f"within {PURGE_SECONDS * 1e3:.0f} ms"
    report.goal("purge is effective", goal, f"{worst * 1e6:.0f} us", worst <= PURGE_SECONDS)
    report.goal(
        "what a hard purge leaves after collecting", "nothing", seen[0]["left"], not any(e["left"] for e in seen)
    )


def speed(report: Report, objects: int) -> None:
    """Time an operation."""
    seen = [child("speed", objects) for _ in range(3)]
    rows = [[name, f"{statistics.median(each['ns'][name] for each in seen):,.0f}"] for name in seen[0]["ns"]]
    report.table(f"Nanoseconds an operation, {seen[0]['objects']:,} objects", ["operation", "ns"], rows)
    report.note(
        f"A full garbage collection takes {seen[0]['gc'] * 1e3:,.0f} ms at {seen[0]['objects']:,} objects; "
        "the table is without any (gc.freeze, gc.disable)."
    )


def scan(report: Report, objects: int) -> None:
    """What a scan does to the hits of the working set."""
    seen = child("scan", objects)
    rows = [[name, *(f"{seen[when][name]:.1%}" for when in ("before", "during", "after"))] for name in ("SIEVE", "LRU")]
    title = f"Hits of a Zipf working set of {objects:,} objects, twice the budget; scan of ten budgets, ten to one"
    report.table(title, ["", "before", "during", "after"], rows)
    lost = max(seen["before"]["SIEVE"] - seen[when]["SIEVE"] for when in ("during", "after")) * 100
    report.goal("a scan takes from the hits", f"at most {SCAN_POINTS} points", f"{lost:.1f}", lost <= SCAN_POINTS)


def main(arguments: list[str] | None = None) -> bool:
    """Run and report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, to see that it works")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        name, *numbers = options.child
        print(json.dumps(CHILDREN[name](*map(int, numbers))))
        return True
    scale = 10 if options.quick else 1
    report = Report("cache_store", "python -m benchmarks cache_store" + " --quick" * options.quick)
    runs = [(2**28, 1_500, 2), (2**30, 1_500, 2), (2**30, 200, 2), (2**31, 700, 0)]
    memory(report, [(budget // scale, median, tags) for budget, median, tags in runs])
    small(report, 1_000_000 // scale)
    purge(report, 1_000_000 // scale, 100_000 // scale)
    speed(report, 1_000_000 // scale)
    scan(report, 50_000 // scale)
    return report.finish()


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
