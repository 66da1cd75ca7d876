"""What several processes tell of themselves is added up as one cache would have told it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from penstock.errors import UsageError
from penstock.inbound.processes.division import divided
from penstock.inbound.processes.totals import add_families, add_snapshots, family_as_json, family_from_json
from penstock.inbound.proxy.metrics import families
from penstock.inbound.proxy.proxy import ProxySettings
from penstock.testing import run_virtual
from penstock.wire.server import ServerLimits

from ..proxy.admin_tools import Shop

ROWS = ("top_urls", "top_misses")


def shops(main: Any) -> None:
    async def made() -> None:
        one, other = Shop(), Shop()
        for shop, numbers in ((one, range(3)), (other, range(2, 7))):
            shop.answer("/private", ("cache-control", "private"))
            for number in numbers:
                shop.answer(f"/products/{number}", ("cache-control", "max-age=60"))
                await shop.get(f"http://shop.example/products/{number}?page={number}")
                await shop.get(f"http://shop.example/products/{number}?page={number}")
            await shop.get("http://shop.example/private")
        await main(one, other)

    run_virtual(made())


def test_numbers_are_added_and_of_states_the_worst_holds() -> None:
    async def main(one: Shop, other: Shop) -> None:
        parts = [shop.watched.snapshot(20) for shop in (one, other)]
        assert add_snapshots(parts, 20)["origin_up"]
        parts[1]["origin_up"] = False
        # As they come over the line.
        total = add_snapshots([orjson.loads(orjson.dumps(part)) for part in parts], 20)
        assert total.keys() == parts[0].keys()
        for name, value in total.items():
            first, second = parts[0][name], parts[1][name]
            if isinstance(first, int) and not isinstance(first, bool):
                assert value == first + second, name
        assert total["misses"] == {
            why: sum(part["misses"].get(why, 0) for part in parts) for part in parts for why in part["misses"]
        }
        assert not total["origin_up"]
        assert total["version"] == parts[0]["version"]
        assert sum(total["origin_latency"]["buckets"].values()) == total["origin_requests"]

    shops(main)


@pytest.mark.parametrize("with_query", [False, True])
def test_a_path_of_several_processes_has_one_row(with_query: bool) -> None:
    async def main(one: Shop, other: Shop) -> None:
        parts = [shop.watched.snapshot(20, with_query=with_query) for shop in (one, other)]
        total = add_snapshots(parts, 20)
        for table in ROWS:
            urls = [row["url"] for row in total[table]]
            assert len(urls) == len(set(urls))
            assert set(urls) == {row["url"] for part in parts for row in part[table]}
            assert sum(row["requests"] for row in total[table]) == sum(
                row["requests"] for part in parts for row in part[table]
            )
        (private,) = (row for row in total["top_misses"] if row["url"].endswith("/private"))
        assert private["requests"] == 2
        assert private["not_stored"] == "private"
        assert len(add_snapshots(parts, 2)["top_urls"]) == 2

    shops(main)


def test_metrics_are_added_by_label_and_bucket() -> None:
    async def main(one: Shop, other: Shop) -> None:
        parts = [list(families(shop.watched)) for shop in (one, other)]
        told = [[family_from_json(orjson.loads(orjson.dumps(family_as_json(each)))) for each in part] for part in parts]
        total = {family.name: family for family in add_families(told)}
        assert list(total) == [family.name for family in parts[0]]
        for first, second in zip(*parts, strict=True):
            found = total[first.name]
            if first.durations is not None and second.durations is not None and found.durations is not None:
                assert found.durations.count == first.durations.count + second.durations.count
                assert found.bounds == first.bounds or list(found.bounds) == list(first.bounds)
            elif first.name == "penstock_cache_origin_up":
                assert found.values == {"": 1}
            else:
                for label in {*first.values, *second.values}:
                    assert found.values[label] == first.values.get(label, 0) + second.values.get(label, 0)

    shops(main)


def test_what_was_promised_for_all_is_divided_and_never_exceeded() -> None:
    limits = ServerLimits(max_connections=10, max_connections_per_address=7)
    settings = ProxySettings("http://127.0.0.1:1", memory=100, limits=limits, origin_connections=5)
    part = divided(settings, 3)
    assert (part.memory, part.origin_connections) == (33, 1)
    assert (part.limits.max_connections, part.limits.max_connections_per_address) == (3, 2)
    unbounded = divided(ProxySettings("http://127.0.0.1:1", limits=ServerLimits(max_connections_per_address=None)), 3)
    assert unbounded.limits.max_connections_per_address is None


def test_the_short_way_is_none_of_several_processes() -> None:
    """It would ask the origin for URLs that another one answers, which no purge would find here."""
    assert not divided(ProxySettings("http://127.0.0.1:1", plain_path=True), 2).plain_path


@pytest.mark.parametrize("option", ["origin_connections", "max_connections", "max_connections_per_address"])
def test_less_than_one_for_each_is_refused(option: str) -> None:
    if option == "origin_connections":
        settings = ProxySettings("http://127.0.0.1:1", origin_connections=3)
    else:
        settings = ProxySettings("http://127.0.0.1:1", limits=ServerLimits(**{option: 3}))
    assert divided(settings, 3)
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} 3 is divided among --processes 4"):
        divided(settings, 4)
