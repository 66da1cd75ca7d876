"""`penstock.Http`: an HTTP client with two faces, one for each colour of code, over one engine."""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, overload

from ..answers.options import When, as_conditions
from ..errors import PenstockError
from ..limits.given import Limits
from ..messages import HeadersLike, Request, Response
from ..rules.retries.verdict import RetryOn
from ..wire.client import Client
from .effects import before_effect
from .engines import Engines
from .loop_engine import LoopEngine
from .request_maker import Data, Params, RequestMaker
from .settings import HttpSettings, check_http_settings, read_level
from .verbs import Verbs


@dataclass(frozen=True, slots=True)
class HttpStatistics:
    """What an Http did until now, over all its loops. Milliseconds are those of attempts, None where there was none."""

    calls: int
    attempts: int
    throttled: int
    """Answers that asked to slow down."""
    failed: int
    """Attempts without an answer, or with one that is no success."""
    in_flight: int
    waiting: int
    """Calls that wait for a permit."""
    open_connections: int
    told: tuple[str, ...]
    """Limits that the server told."""
    milliseconds: dict[str, float | None]
    """p50, p95, p99 and max."""


class Http(Verbs[Response]):
    """An HTTP client for code of both colours: `http.get(url)`, and `await http.aio.get(url)`.

    Both keep the same limits, try again by the same rules and give the same answers and errors. An answer is a
    `Response` whatever its status; `raise_for_status()` makes an error of it. One object serves a whole process, from
    any thread and event loop. It is closed at the end of a `with` block, by `close()`, or `await aio.close()`.

    `base` is what URLs begin with that are not absolute, `headers` go along with every request (to another origin than
    that of the base only harmless ones). `limit` is `"100/min"`, several, or `"auto"`; without a name it holds for this
    object in this process, `"100/min@api"` for all who use the name. `cost_limit`, `cost`, `actual_cost`,
    `limit_headers`, `deadline_header`, `throttle_when` and `retry_when` are those of `penstock.run`.

    `max_in_flight` holds for each event loop. `attempt_timeout` is for one attempt, `total_timeout` for the call as a
    whole, with its waits for limit and retries (TotalTimeout). `retry_on` is `"safe"` (what cannot have been processed
    twice), `"transient"`, or `"none"`; a refused request counts as an attempt, and `Retry-After` pauses all calls.

    `client` makes the client: `penstock.Client`, or any other with its options, as
    `functools.partial(AiohttpClient, proxy=...)` is; `follow_redirects`, `tls` and `max_response_bytes` are its
    options. In tests, `lambda **_: call` gives any async callable. Raises UsageError for arguments that make no sense.
    """

    def __init__(
        self,
        base: str | None = None,
        *,
        headers: HeadersLike = (),
        limit: Limits = None,
        cost_limit: Limits = None,
        cost: float | Callable[[Request], float] | None = None,
        actual_cost: Callable[[Response], float | None] | None = None,
        limit_headers: Literal["tighten", "ignore"] = "tighten",
        max_in_flight: int = 100,
        max_attempts: int = 3,
        attempt_timeout: float | None = 30.0,
        total_timeout: float | None = 60.0,
        retry_on: RetryOn | Literal["safe", "transient", "none"] = "safe",
        deadline_header: str | None = None,
        throttle_when: When | Sequence[When] = (),
        retry_when: When | Sequence[When] = (),
        client: Callable[..., Any] = Client,
        follow_redirects: int = 0,
        tls: ssl.SSLContext | None = None,
        max_response_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        settings = HttpSettings(
            limit=limit,
            cost_limit=cost_limit,
            cost=cost,
            actual_cost=actual_cost,
            limit_headers=limit_headers,
            max_in_flight=max_in_flight,
            max_attempts=max_attempts,
            attempt_timeout=attempt_timeout,
            total_timeout=total_timeout,
            retry_on=read_level(retry_on),
            deadline_header=deadline_header,
            throttle_when=as_conditions(throttle_when),
            retry_when=as_conditions(retry_when),
            client=client,
            follow_redirects=follow_redirects,
            tls=tls,
            max_response_bytes=max_response_bytes,
        )
        check_http_settings(settings)
        self._make = RequestMaker(base, headers).make
        self._engines = Engines(settings)
        self.aio = AsyncFace(self._make, self._engines)
        """The face for async code: the same methods, to be awaited."""
        # Also at the end of the process: a thread is to be gone before the interpreter is taken apart.
        self._finalizer = weakref.finalize(self, self._engines.let_go)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: HeadersLike | None = None,
        json: Any = None,
        data: Data | None = None,
    ) -> Response:
        """Send a request with any method. Raises UsageError within a running event loop."""
        request = self._make(method, url, params=params, headers=headers, json=json, data=data)
        before_effect()
        return self._engines.run(lambda engine: engine.call(request))

    @overload
    def gather(self, requests: Iterable[str | Request], *, return_errors: Literal[False] = ...) -> list[Response]: ...

    @overload
    def gather(
        self, requests: Iterable[str | Request], *, return_errors: bool
    ) -> list[Response] | list[Response | PenstockError]: ...

    def gather(self, requests: Iterable[str | Request], *, return_errors: bool = False) -> list[Any]:
        """All answers at once, in order, while this thread waits. A URL stands for a GET of it.

        The first error is raised, and what is under way then is cancelled; with `return_errors` it stands in the place
        of its answer.
        """
        wanted = as_requests(self._make, requests)
        before_effect()
        return self._engines.run(lambda engine: engine.gather(wanted, return_errors=return_errors))

    def statistics(self) -> HttpStatistics:
        """Counts as of now."""
        now = self._engines.counters()
        limiter = self._engines.permits.limiter.statistics()
        clients = [client.statistics() for client in self._engines.clients() if hasattr(client, "statistics")]
        return HttpStatistics(
            calls=now.calls,
            attempts=now.attempts,
            throttled=now.throttled,
            failed=now.failed,
            in_flight=now.in_flight,
            waiting=limiter.waiting,
            open_connections=sum(each.in_use + each.idle for each in clients),
            told=limiter.told,
            milliseconds=now.service.percentiles_ms(),
        )

    def close(self) -> None:
        """Close all connections; calls under way end with an error, later ones raise UsageError."""
        self._engines.close()
        self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aio.close()

    def __repr__(self) -> str:
        now = self._engines.counters()
        return f"<Http {now.calls} calls, {now.in_flight} in flight>"


class AsyncFace(Verbs[Coroutine[Any, Any, Response]]):
    """The face of an Http for async code. Calls are made on the event loop of the caller."""

    def __init__(self, make: Callable[..., Request], engines: Engines) -> None:
        self._make = make
        self._engines = engines

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: HeadersLike | None = None,
        json: Any = None,
        data: Data | None = None,
    ) -> Response:
        """Send a request with any method."""
        request = self._make(method, url, params=params, headers=headers, json=json, data=data)
        before_effect()
        engine: LoopEngine = await self._engines.here()
        return await engine.call(request)

    @overload
    async def gather(
        self, requests: Iterable[str | Request], *, return_errors: Literal[False] = ...
    ) -> list[Response]: ...

    @overload
    async def gather(
        self, requests: Iterable[str | Request], *, return_errors: bool
    ) -> list[Response] | list[Response | PenstockError]: ...

    async def gather(self, requests: Iterable[str | Request], *, return_errors: bool = False) -> list[Any]:
        """All answers at once, in order: as that of Http."""
        wanted = as_requests(self._make, requests)
        before_effect()
        engine = await self._engines.here()
        return await engine.gather(wanted, return_errors=return_errors)

    async def close(self) -> None:
        """As that of Http."""
        await self._engines.aclose()


def as_requests(make: Callable[..., Request], given: Iterable[str | Request]) -> list[Request]:
    """All of them, before the first is sent. Raises UsageError for what is neither a URL nor a Request."""
    return [each if isinstance(each, Request) else make("GET", each) for each in given]
