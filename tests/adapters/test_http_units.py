"""What an Http makes of arguments, and what it waits for, in virtual time and without a port."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import penstock
from penstock import Request, Response, StatusError, UsageError
from penstock.adapters.request_maker import RequestMaker
from penstock.call import PlainCall
from penstock.clock import current_clock
from penstock.testing import most_in_any_window, run_virtual


class Api:
    """Makes clients, which all answer by one function and note when they were asked."""

    def __init__(self, *answers: Response) -> None:
        self.answers = answers
        self.times: list[float] = []
        self.requests: list[Request] = []

    def __call__(self, **_: Any) -> Any:
        async def call(request: Request) -> Response:
            self.times.append(current_clock().now())
            self.requests.append(request)
            return self.answers[min(len(self.times), len(self.answers)) - 1]

        client: Any = PlainCall(call)
        client.aclose = self.aclose
        return client

    async def aclose(self) -> None:
        """Nothing is open."""


def gathered(api: Api, count: int, **options: Any) -> list[Response]:
    async def main() -> list[Response]:
        async with penstock.Http("http://h", client=api, **options) as http:
            return await http.aio.gather([f"/{number}" for number in range(count)])

    return run_virtual(main())


@pytest.mark.parametrize("options", [{}, {"deadline_header": "x-left"}])
def test_any_async_callable_is_a_client(options: dict[str, Any]) -> None:
    """Such as the fake of a test, for both faces: it has nothing to prepare or to close."""

    async def call(request: Request) -> Response:
        return Response(200, body=request.url.encode())

    def both(http: penstock.Http) -> list[str]:
        async def there() -> str:
            return (await http.aio.get("/a")).text

        return [http.get("/s").text, asyncio.run(there())]

    with penstock.Http("http://h", client=lambda **_: call, **options) as http:
        assert both(http) == ["http://h/s", "http://h/a"]
        assert http.statistics().calls == 2


def test_a_limit_is_kept_exactly_and_used() -> None:
    """A thousand calls at 100/s."""
    api = Api(Response(200))
    assert len(gathered(api, 1000, limit="100/s", total_timeout=None)) == 1000
    assert most_in_any_window(api.times, 1.0) <= 100
    assert api.times[-1] - api.times[0] < 10.5


def test_a_total_timeout_holds_for_the_wait_as_well() -> None:
    """The eleventh of a second would be a second late."""
    with pytest.raises(penstock.TotalTimeout):
        gathered(Api(Response(200)), 30, limit="10/s", total_timeout=1.5)


def test_costs_are_reserved_and_settled() -> None:
    """Estimated at 50, really 10: so it goes faster than the estimates would allow."""
    api = Api(Response(200, body=b'{"tokens": 10}'))
    costs: dict[str, Any] = {"cost_limit": "100/s", "total_timeout": None}
    gathered(api, 20, **costs, cost=50, actual_cost=lambda answer: answer.json()["tokens"])
    settled = api.times[-1] - api.times[0]
    estimated = Api(Response(200))
    gathered(estimated, 20, **costs, cost=lambda request: 50.0)
    assert settled < 0.5 * (estimated.times[-1] - estimated.times[0])


def test_a_refusal_pauses_all_calls() -> None:
    """Retry-After is for everybody."""
    api = Api(Response(429, [("Retry-After", "5")]), Response(200))
    assert [each.status for each in gathered(api, 10, max_in_flight=1)] == [200] * 10
    assert api.times[1] - api.times[0] >= 5.0


def test_told_limits_slow_down_unless_they_are_ignored() -> None:
    """Nothing is left for thirty seconds."""
    told = Response(200, [("RateLimit-Limit", "10"), ("RateLimit-Remaining", "0"), ("RateLimit-Reset", "30")])
    heard, ignored = Api(told, Response(200)), Api(told, Response(200))
    gathered(heard, 2, max_in_flight=1, total_timeout=None)
    gathered(ignored, 2, max_in_flight=1, total_timeout=None, limit_headers="ignore")
    assert heard.times[1] - heard.times[0] >= 29
    assert ignored.times[1] - ignored.times[0] < 1


def test_a_cancelled_probe_does_not_hold_up_the_others() -> None:
    """After a refusal one call goes ahead, and who cancels it cancels nothing else."""
    hang = asyncio.Event
    times: list[float] = []

    class Client:
        def __call__(self, **_: Any) -> Any:
            async def call(_: Request) -> Response:
                times.append(current_clock().now())
                if len(times) == 1:
                    return Response(429, [("Retry-After", "1")])
                if len(times) == 2:
                    await hang().wait()
                return Response(200)

            client: Any = PlainCall(call)
            client.aclose = Api().aclose
            return client

    async def main() -> float:
        async with penstock.Http("http://h", client=Client(), retry_on="none", total_timeout=None) as http:
            assert (await http.aio.get("/")).status == 429
            probe = asyncio.create_task(http.aio.get("/"))
            await current_clock().sleep(2)
            follower = asyncio.create_task(http.aio.get("/"))
            await current_clock().sleep(0.1)
            began = current_clock().now()
            probe.cancel()
            assert (await follower).status == 200
            return current_clock().now() - began

    assert run_virtual(main()) < 1


@pytest.mark.parametrize(
    ("base", "url", "whole"),
    [
        ("http://h/v1", "/p", "http://h/v1/p"),
        ("http://h/v1/", "p", "http://h/v1/p"),
        ("http://h/v1", "", "http://h/v1"),
        ("http://h/v1", "?a=1", "http://h/v1?a=1"),
        ("http://h", "https://other/p", "https://other/p"),
        (None, "HTTP://h/p", "HTTP://h/p"),
        (None, "http://h/ü?q=a b#x", "http://h/%C3%BC?q=a%20b#x"),
    ],
)
def test_a_url_is_below_the_base(base: str | None, url: str, whole: str) -> None:
    """The path of the base stays."""
    assert RequestMaker(base, ()).make("get", url).url == whole


def test_a_credential_stays_with_its_origin() -> None:
    """Another host, port or scheme gets only what is harmless; without a base it is for all."""
    fields = {"Authorization": "secret", "X-Key": "secret", "Accept": "a/b"}
    maker = RequestMaker("https://h/v1", fields)
    assert "authorization" in maker.make("GET", "/p").headers
    assert "authorization" in maker.make("POST", "https://H/v1", json={}).headers
    for url in ("https://other/", "https://h:444/", "http://h/", "https://h.evil/"):
        bodies: list[dict[str, str] | None] = [None, {}]
        for body in bodies:
            away = maker.make("POST", url, json=body).headers
            assert [name for name, _ in away if name != "Content-Type"] == ["Accept"]
    assert "x-key" in RequestMaker(None, fields).make("GET", "http://any/").headers


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": "h/x"},
        {"base": "http://h?a=1"},
        {"limit": "often"},
        {"limit": penstock.RateLimiter("1/s")},
        {"cost_limit": "10/s"},
        {"cost": 1.0},
        {"actual_cost": len},
        {"max_attempts": 0},
        {"max_in_flight": 0},
        {"attempt_timeout": 0},
        {"total_timeout": -1.0},
        {"total_timeout": float("nan")},
        {"retry_on": "always"},
        {"limit_headers": "loosen"},
        {"deadline_header": "a b"},
        {"headers": {"a b": "c"}},
        {"throttle_when": 1000},
    ],
)
def test_wrong_arguments_are_refused_at_once(wrong: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError):
        penstock.Http(**wrong)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("", "é".encode(), "é"),
        ("text/plain; charset=latin-1", b"\xe9", "é"),
        ('text/plain; x=1; Charset="UTF-16-LE"', "é".encode("utf-16-le"), "é"),
        ("text/plain; charset=no-such", b"\xff", "\ufffd"),
        ("text/plain; charset=base64", b"a", "a"),
    ],
)
def test_text_is_read_by_its_charset(kind: str, body: bytes, text: str) -> None:
    """And nothing in it raises."""
    assert Response(200, [("Content-Type", kind)] if kind else (), body).text == text


def test_raise_for_status_keeps_the_answer_and_hides_the_query() -> None:
    """Keys are often in a query."""
    good = Response(304)
    assert good.raise_for_status() is good
    bad = Response(404, url="http://h/p?key=secret")
    with pytest.raises(StatusError, match=r"HTTP 404 from http://h/p$") as caught:
        bad.raise_for_status()
    assert caught.value.response is bad
    assert caught.value.status == 404
