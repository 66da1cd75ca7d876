"""The admin address: who may enter, what is refused, and what a purge does."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from penstock.errors import UsageError
from penstock.inbound.cache.policy import PathPolicy, Policy
from penstock.inbound.cache.purging import MAX_NAMES
from penstock.inbound.proxy.admin import MAX_BODY, AdminHandler, checked_token, read_purge
from penstock.inbound.proxy.metrics_address import MetricsHandler
from penstock.testing import run_virtual

from .admin_tools import TOKEN, URL, FakeExchange, Shop

AUTH = ("authorization", f"Bearer {TOKEN}")
JSON = ("content-type", "application/json")


def ask(handler: Any, method: str, target: str, *fields: tuple[str, str], **more: Any) -> FakeExchange:
    exchange = FakeExchange(method, target, list(fields), **more)
    handler.begin(exchange)
    assert exchange.done
    return exchange


def post(handler: AdminHandler, data: Any) -> FakeExchange:
    return ask(handler, "POST", "/purge", AUTH, JSON, body=orjson.dumps(data))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", TOKEN)],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", f"Bearer {TOKEN[:-1]}")],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Bearer {TOKEN.upper()}")],
        [("authorization", "Bearer wrong"), AUTH],
        [AUTH, AUTH],
        [("authorization", f"Bearer {TOKEN}, Bearer {TOKEN}")],
        [("authorization", "Bearer \xff\xfe")],
        [("x-token", TOKEN)],
    ],
)
@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "/purge"), ("GET", "/explain?url=http://a/"), ("GET", "/stats"), ("GET", "/metrics"), ("GET", "/other")],
)
def test_who_has_no_token_gets_nothing(fields: list[tuple[str, str]], method: str, target: str) -> None:
    """Not even whether a path exists; and nothing is purged."""

    async def main() -> None:
        shop = Shop()
        await shop.get()
        exchange = ask(AdminHandler(shop.watched, TOKEN), method, target, JSON, *fields, body=b'{"all": true}')
        assert exchange.status == 401
        assert exchange.fields[b"www-authenticate"].startswith(b"Bearer")
        assert b"hit" in (await shop.get()).cache_status

    run_virtual(main())


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(scheme: str) -> None:
    """RFC 9110, 11.1."""

    async def main() -> None:
        handler = AdminHandler(Shop().watched, TOKEN)
        assert ask(handler, "GET", "/stats", ("authorization", f"{scheme} {TOKEN}")).status == 200

    run_virtual(main())


@pytest.mark.parametrize("token", ["", "x" * 15, "x" * 16 + " ", "x" * 16 + "\n", "\xe9" * 16, "a b" * 10])
def test_a_bad_token_is_refused_from_the_start(token: str) -> None:
    """Too short to be safe, or impossible to send."""
    with pytest.raises(UsageError, match="token"):
        checked_token(token)


def test_a_token_of_sixteen_is_enough() -> None:
    """The bound itself."""
    assert checked_token("x" * 16) == b"x" * 16


@pytest.mark.parametrize(
    ("method", "target", "fields", "body", "status"),
    [
        ("GET", "/", [], b"", 404),
        ("GET", "/purge/", [], b"", 404),
        ("GET", "/purge", [], b"", 405),
        ("PURGE", "/purge", [JSON], b'{"all": true}', 405),
        ("OPTIONS", "/purge", [], b"", 405),
        ("POST", "/stats", [JSON], b"{}", 405),
        ("POST", "/explain", [JSON], b"{}", 405),
        ("DELETE", "/metrics", [], b"", 405),
        ("POST", "/purge", [], b'{"all": true}', 415),
        ("POST", "/purge", [("content-type", "text/plain")], b'{"all": true}', 415),
        ("POST", "/purge", [("content-type", "application/x-www-form-urlencoded")], b"all=true", 415),
        ("POST", "/purge", [JSON, ("content-type", "text/plain")], b'{"all": true}', 415),
        ("POST", "/purge", [JSON, ("origin", "http://evil.example")], b'{"all": true}', 403),
        ("GET", "/stats", [("origin", "null")], b"", 403),
        ("POST", "/purge", [JSON], b"", 400),
        ("POST", "/purge", [JSON], b"{", 400),
        ("POST", "/purge", [JSON], b"\xff", 400),
        ("POST", "/purge", [JSON], b"x" * (MAX_BODY + 1), 413),
        ("GET", "/explain", [], b"", 400),
        ("GET", "/explain?url=/x", [], b"", 400),
        ("GET", "/explain?url=http://a/&url=http://b/", [], b"", 400),
        ("GET", "/explain?url=http://a/&header=nocolon", [], b"", 400),
        ("GET", "/explain?url=http://a/&header=A:b%0d%0aC:d", [], b"", 400),
        ("GET", "/explain?url=http://a/&other=1", [], b"", 400),
        ("GET", "/explain?" + "&".join(["header=a:b"] * 100), [], b"", 400),
        ("GET", "/stats?top=-1", [], b"", 400),
        ("GET", "/stats?top=201", [], b"", 400),
        ("GET", "/stats?top=x", [], b"", 400),
        ("GET", "/stats?top=\u00b2", [], b"", 400),
        ("GET", "/stats?with_query=yes", [], b"", 400),
    ],
)
def test_what_is_wrong_is_refused(
    method: str, target: str, fields: list[tuple[str, str]], body: bytes, status: int
) -> None:
    """With a sentence, without CORS, and without a purge."""

    async def main() -> None:
        shop = Shop()
        await shop.get()
        exchange = ask(AdminHandler(shop.watched, TOKEN), method, target, AUTH, *fields, body=body)
        assert exchange.status == status
        assert exchange.json["error"]
        assert not any(name.startswith(b"access-control") for name in exchange.fields)
        assert b"hit" in (await shop.get()).cache_status

    run_virtual(main())


def test_a_chunked_body_is_bounded_as_well() -> None:
    """Its length is not known beforehand; nothing of it is carried out."""

    async def main() -> None:
        shop = Shop()
        body = [b'{"all": true', *[b" " * 1000] * 70, b"}"]
        exchange = ask(AdminHandler(shop.watched, TOKEN), "POST", "/purge", AUTH, JSON, body=body, chunked=True)
        assert exchange.status == 413

    run_virtual(main())


@pytest.mark.parametrize(
    "data",
    [
        [],
        "all",
        None,
        {},
        {"soft": True},
        {"all": False},
        {"all": 1},
        {"all": "true"},
        {"all": True, "url": URL},
        {"all": True, "tag": ["a"]},
        {"everything": True},
        {"url": 7},
        {"url": [7]},
        {"url": []},
        {"url": {"a": 1}},
        {"url": "/products/7"},
        {"url": "ftp://shop.example/"},
        {"url": "http://user:secret@shop.example/"},
        {"url": "http://shop.example/\u00e9"},
        {"url": [URL, "nonsense"]},
        {"tag": ""},
        {"tag": "a b"},
        {"tag": "a,b"},
        {"tag": ["all", "\n"]},
        {"tag": "x" * 10_000},
        {"url": URL, "soft": "yes"},
        {"url": URL, "soft": 0},
        {"tag": [f"t{number}" for number in range(MAX_NAMES + 1)]},
    ],
)
def test_a_purge_that_cannot_be_meant_purges_nothing(data: Any) -> None:
    """All of it is checked before any of it is done."""

    async def main() -> None:
        shop = Shop()
        await shop.get()
        exchange = post(AdminHandler(shop.watched, TOKEN), data)
        assert exchange.status == 400
        assert exchange.json["error"]
        assert b"hit" in (await shop.get()).cache_status

    run_virtual(main())


@pytest.mark.parametrize(
    ("data", "purged"),
    [
        ({"url": URL}, 1),
        ({"url": "HTTPS://Shop.Example:443/products/7#part"}, 1),
        ({"url": [URL, URL, "http://shop.example/never"]}, 1),
        ({"tag": "product-7"}, 1),
        ({"tag": ["all", "none"]}, 1),
        ({"url": URL, "tag": "none"}, 1),
        ({"all": True}, 1),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_a_purge(data: dict[str, Any], purged: int, soft: bool) -> None:
    """Hard: the next one comes from the app. Soft: stale once, refreshed behind it, then fresh again."""

    async def main() -> None:
        shop = Shop()
        await shop.get()
        shop.answer("/products/7", ("cache-control", "max-age=60"), body=b"new")
        exchange = post(AdminHandler(shop.watched, TOKEN), {**data, "soft": soft})
        assert exchange.status == 200
        assert exchange.json["purged"] == purged
        assert exchange.json["soft"] is soft
        assert exchange.json["seconds"] >= 0
        assert shop.engine.counters.purged == purged
        first = await shop.get()
        assert (first.body == b"new") is not soft
        assert (b"hit" in first.cache_status) is soft
        if soft:
            await shop.engine.clock.sleep(1)
        second = await shop.get()
        assert second.body == b"new"
        assert b"hit" in second.cache_status
        assert len(shop.app.asked) == 2

    run_virtual(main())


def test_a_purge_knows_what_the_policy_makes_of_a_url() -> None:
    """People copy URLs with their campaign parameters; the key has none."""

    async def main() -> None:
        shop = Shop(Policy((PathPolicy("/products/*", drop_query=("utm_*",)),)))
        await shop.get(URL + "?utm_source=a")
        exchange = post(AdminHandler(shop.watched, TOKEN), {"url": URL + "?utm_source=b"})
        assert exchange.json["purged"] == 1

    run_virtual(main())


def test_what_is_on_its_way_is_purged_as_well() -> None:
    """Its app may have read what was before the change."""

    async def main() -> None:
        shop = Shop()
        shop.app.delay = 1.0
        reply = shop.send()
        await shop.engine.clock.sleep(0.5)
        post(AdminHandler(shop.watched, TOKEN), {"url": URL})
        await reply.done
        assert b"hit" not in (await shop.get()).cache_status

    run_virtual(main())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["url", "tag", "all", "soft", "x"]), inner)
    ),
    max_leaves=10,
)


@given(st.binary(max_size=200) | JSON_VALUES.map(lambda value: orjson.dumps(value)))
def test_no_body_does_more_than_be_refused(body: bytes) -> None:
    """Whatever comes, it is arguments of the right types or a UsageError."""
    try:
        asked = read_purge(body)
    except UsageError:
        return
    assert {type(asked["everything"]), type(asked["soft"])} == {bool}
    assert all(isinstance(each, str) for each in asked["urls"] + asked["tags"])


def test_statistics() -> None:
    """Numbers that agree with what was done; queries only where they are asked for."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/basket", ("cache-control", "private"))
        handler = AdminHandler(shop.watched, TOKEN)
        for _ in range(3):
            await shop.get()
        await shop.get("http://shop.example/basket?session=secret")
        state = ask(handler, "GET", "/stats?top=5", AUTH).json
        assert (state["requests"], state["hits"], state["misses"]) == (4, 2, {"uri-miss": 2})
        assert state["uncacheable"] == {"private": 1}
        assert state["bytes_from_store"] == 200
        assert state["objects"] == 1
        assert [(row["url"], row["requests"], row["spared"]) for row in state["top_urls"]] == [
            (URL, 3, 2),
            ("http://shop.example/basket", 1, 0),
        ]
        misses = {row["url"]: row for row in state["top_misses"]}
        assert misses["http://shop.example/basket"]["not_stored"] == "private"
        assert misses["http://shop.example/basket"]["clause"] == "RFC 9111, 5.2.2.7"
        assert misses[URL]["not_stored"] is None
        assert b"secret" not in ask(handler, "GET", "/stats?top=5", AUTH).body
        assert b"secret" in ask(handler, "GET", "/stats?top=5&with_query=1", AUTH).body
        assert ask(handler, "GET", "/stats?top=0", AUTH).json["top_urls"] == []

    run_virtual(main())


def test_metrics() -> None:
    """They can be read by Prometheus, agree with the counters, and come without a token on an address of their own."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/basket", ("cache-control", "private"))
        for _ in range(3):
            await shop.get()
        await shop.get("http://shop.example/basket")
        exchange = ask(MetricsHandler(shop.watched), "GET", "/metrics")
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(exchange.body.decode())
            for sample in family.samples
        }
        assert samples[("penstock_cache_requests_total",)] == 4
        assert samples[("penstock_cache_hits_total",)] == 2
        assert samples["penstock_cache_misses_total", "uri-miss"] == 2
        assert samples["penstock_cache_uncacheable_total", "private"] == 1
        assert samples[("penstock_cache_origin_seconds_count",)] == 2
        assert samples["penstock_cache_origin_seconds_bucket", "+Inf"] == 2
        assert samples[("penstock_cache_bytes_from_store_total",)] == 200
        assert samples[("penstock_cache_objects",)] == 1
        assert samples[("penstock_cache_origin_up",)] == 1
        assert ask(AdminHandler(shop.watched, TOKEN), "GET", "/metrics", AUTH).status == 200
        assert ask(MetricsHandler(shop.watched), "GET", "/stats").status == 404
        assert ask(MetricsHandler(shop.watched), "POST", "/purge", body=b"{}").status == 404
        assert ask(MetricsHandler(shop.watched), "POST", "/metrics", body=b"{}").status == 405

    run_virtual(main())


def test_metrics_are_not_made_anew_for_everybody() -> None:
    """Anybody may ask, so asking often must not cost much."""

    async def main() -> None:
        shop = Shop()
        handler = MetricsHandler(shop.watched)
        before = ask(handler, "GET", "/metrics").body
        await shop.get()
        assert ask(handler, "GET", "/metrics").body == before
        await shop.engine.clock.sleep(0.5)
        assert b"penstock_cache_requests_total 1.0" in ask(handler, "GET", "/metrics").body

    run_virtual(main())
