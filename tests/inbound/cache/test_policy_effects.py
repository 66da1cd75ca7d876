"""What the policy took away or added is told, with the line of the file that did it."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.inbound.cache.explain import explain_url
from penstock.inbound.cache.policy import Policy
from penstock.inbound.cache.policy_effects import Stored, effects
from penstock.inbound.cache.policy_file import read_policy
from penstock.inbound.cache.purging import requests_for
from penstock.messages import RawFields
from penstock.testing import run_virtual

from ..proxy.admin_tools import Shop

FILE = """\
drop_query = ["utm_*"]

[[path]]
prefix = "/shop/"
ttl = "5m"
ttl_by_status = { 302 = "20s" }
ignore_cookies = ["_ga*"]
sort_query = true
strip_set_cookie = ["_ga*", "seen"]
accept_language = ["de", "en"]
tags = ["shop"]
bypass_cookies = ["sessionid"]

[[path]]
prefix = "/admin/"
bypass = true
"""
TAGS = ("tags", 11, ["shop"])
SET: RawFields = [(b"set-cookie", b"_ga=secret; Path=/"), (b"set-cookie", b"sessionid=secret")]


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    (tmp_path / "cache.toml").write_text(FILE)
    return read_policy(tmp_path / "cache.toml")


@pytest.mark.parametrize(
    ("target", "asked", "stored", "answer", "told"),
    [
        ("/shop/a", {}, None, [], [TAGS]),
        ("/shop/a", {"cookie": "_ga=1; x=2; _gat=3"}, None, [], [("ignore_cookies", 7, ["_ga", "_gat"]), TAGS]),
        ("/shop/a?utm_source=1&b=2", {}, None, [], [("drop_query", 1, ["utm_source"]), TAGS]),
        ("/other?utm_source=1&b=2", {}, None, [], [("drop_query", 1, ["utm_source"])]),
        ("/shop/a?b=2&a=1", {}, None, [], [("sort_query", 8, ["a", "b"]), TAGS]),
        ("/shop/a", {}, None, SET, [("strip_set_cookie", 9, ["_ga"]), TAGS]),
        ("/shop/a", {}, Stored(200, 300.0, "policy file (ttl)"), [], [("ttl", 5, []), TAGS]),
        ("/shop/a", {}, Stored(302, 20.0, "policy file (ttl)"), [], [("ttl_by_status", 6, []), TAGS]),
        ("/shop/a", {}, Stored(200, 9.0, "RFC 9111, 5.2.2.1 (max-age)"), [], [TAGS]),
        ("/shop/a", {"cookie": "sessionid=1; _ga=2"}, None, [], [("bypass_cookies", 12, ["sessionid"]), TAGS]),
        ("/admin/a", {}, None, [], [("bypass", 16, [])]),
        ("/elsewhere", {}, None, [], []),
    ],
)
def test_what_it_did(
    policy: Policy,
    target: str,
    asked: dict[str, str],
    stored: Stored | None,
    answer: RawFields,
    told: list[tuple[str, int, list[str]]],
) -> None:
    """Names, never values."""
    fields = [(name.encode(), value.encode()) for name, value in asked.items()]
    before, after = (requests_for(f"http://shop.example{target}", fields)[0] for _ in range(2))
    after.put_under(policy.for_target(after.target))
    found = effects(before, after, policy, stored=stored, answer=answer)
    assert [(each["key"], each["at"], each["names"]) for each in found] == [
        (key, f"{policy.source}:{line}", names) for key, line, names in told
    ]
    assert "secret" not in str(found)


def test_a_running_cache_tells_it(policy: Policy) -> None:
    """Over the admin address too."""

    async def main() -> None:
        shop = Shop(policy)
        shop.answer("/shop/a")
        url = "http://shop.example/shop/a?utm_source=1&b=2"
        await shop.get(url)
        found = explain_url(shop.engine, url, [(b"cookie", b"_ga=1")])
        assert found["would"] == "hit"
        assert found["policy_at"] == f"{policy.source}:4"
        assert [each["key"] for each in found["policy_did"]] == ["ignore_cookies", "drop_query", "ttl", "tags"]

    run_virtual(main())
