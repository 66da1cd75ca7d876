"""`penstock.pull`: the pages of an API, for programs. Nothing is kept on disk; the command `pull` does that."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Literal

from ..answers.options import When, as_conditions
from ..answers.rules import AnswerRules
from ..call import AnyClient, Call, PlainCall
from ..clock import current_clock
from ..engine.engine import Engine
from ..engine.http_judge import HttpJudge, RetryOnLike
from ..engine.settings import EngineSettings
from ..engine.state import EngineState
from ..errors import BadBody, BadPage, PagesFailed, UsageError
from ..limits.limiter import RateLimiter
from ..messages import HeadersLike, Request, Response
from ..rules.limits.rate import Limit
from ..rules.pagination.extent import PageKind, StopOn
from ..runs.client import knock
from ..runs.secrets.known import known_secrets
from ..wire import Client
from .interpreter import quote_body
from .paging.chain import ChainPlan
from .paging.countable import CountablePlan
from .paging.pages import AnyPaginator, Offset, Page, PageNumber
from .paging.plan import PagePlan, PullTally, Settled
from .paging.reader import PageAnswer, PageAsk, PageReader
from .paging.source import PageSource, page_call, page_headers


class PullWarning(UserWarning):
    """An API did not keep to what it said of its pages; `pull` warns after the last one."""


def pull(
    url: str,
    *,
    paginate: AnyPaginator,
    rows: str | None = None,
    total: str | None = None,
    headers: HeadersLike = (),
    limit: Limit | str | Sequence[Limit | str] | RateLimiter | None = None,
    total_pages: str | None = None,
    more: str | None = None,
    stop_on: StopOn | str | int | Sequence[str | int] = StopOn.EMPTY,
    max_pages: int | None = None,
    keep_repeats: bool = False,
    allow_hosts: Sequence[str] = (),
    retry_on: RetryOnLike = "safe",
    max_in_flight: int | Literal["auto"] = "auto",
    max_attempts: int = 5,
    attempt_timeout: float | None = 60.0,
    total_timeout: float | None = 600.0,
    max_outage: float = 6 * 3600.0,
    throttle_when: When | Sequence[When] = (),
    retry_when: When | Sequence[When] = (),
    ok_when: When | Sequence[When] = (),
    poll_until: When | None = None,
    client: Call[Request, Response] | None = None,
) -> Pull:
    """Every page of the API at `url`, each as soon as it is there.

    Use it as an async context manager and iterate over it::

        async with penstock.pull(url, paginate=Offset(size=100), rows="items", total="total") as pages:
            async for page in pages:
                ...

    `paginate` is `Offset`, `PageNumber`, `Cursor`, `NextUrl`, `LinkHeader`, or a `Paginator` of your own. Pages with
    numbers are asked for many at once and come in any order (`page.number` tells it); the others come in theirs.
    `rows`, `total`, `total_pages` and `more` are JMESPath expressions on the answer (all but `rows` can be
    `"header:X-Total-Count"`); `stop_on` (`"empty"`, `"short"`, statuses such as 404, or several of them) and
    `max_pages` as the options of the command. `keep_repeats` believes an API whose pages repeat others. Next URLs may
    lead to `allow_hosts` besides the host of `url`. The other arguments are those of `run`; timeouts are seconds, and
    so is `max_outage`, for which a host that is down is waited for once the pull has begun. `client` is what makes the
    calls, one of penstock's own where it is None.

    What an API gets wrong ends with a `PullWarning` (fewer rows than promised, a circle of cursors) after the last
    page. Raises UsageError where the host cannot be reached to begin with, or the first page is not what the arguments
    say, PenstockError where a later one keeps it from going on, PagesFailed after the last page where others could not
    be had. In the texts of all of these, secrets in `headers` and in the query of `url` are replaced by `***`, also
    where the API has said them again; pages stay as they came.
    """
    settings = EngineSettings(
        in_flight=max_in_flight,
        attempt_timeout=attempt_timeout,
        total_timeout=total_timeout,
        max_attempts=max_attempts,
        max_outage=max_outage,
        throttle_when=as_conditions(throttle_when),
        retry_when=as_conditions(retry_when),
        ok_when=as_conditions(ok_when),
        poll_until=poll_until,
    )
    return Pull(
        PageReader(
            paginate,
            rows=rows,
            total=total,
            allowed_hosts=tuple(allow_hosts),
            home=url,
            more=more,
            pages=total_pages,
            end_statuses=StopOn.read(stop_on).statuses,
            keep_rows=True,
            answers=AnswerRules(settings, quote=quote_body),
        ),
        _plan(paginate, url, StopOn.read(stop_on), max_pages, keep_repeats=keep_repeats),
        Request("GET", url, page_headers(tuple(headers.items() if hasattr(headers, "items") else headers))),
        client,
        EngineState(
            settings,
            HttpJudge(retry_on, idempotent=True, follow_limits=True),
            limiter=limit if isinstance(limit, RateLimiter) else RateLimiter(_limits(limit)),
            one_host=not allow_hosts,
        ),
    )


class Pull:
    """Pages on their way; made by `pull`. Leaving the context early cancels what is in flight."""

    def __init__(
        self,
        reader: PageReader,
        plan: PagePlan,
        request: Request,
        client: Call[Request, Response] | None,
        state: EngineState,
    ) -> None:
        self._reader = reader
        self._plan = plan
        plan.tally.unsaid = reader.looks_for
        self._request = request
        self._client = client
        self._state = state
        self._source = PageSource(plan)
        self._stack = AsyncExitStack()
        self._engine: Engine[PageAsk, PageAnswer] | None = None
        self._ready: deque[Page] = deque()

    @property
    def tally(self) -> PullTally:
        """What there is so far: rows, pages, what was promised, warnings."""
        return self._plan.tally

    async def __aenter__(self) -> Pull:
        if self._client is None:
            client: AnyClient[Request, Response] = await self._stack.enter_async_context(Client())
        else:
            client = PlainCall(self._client)
        try:
            # Once the pull has begun, a host that is down is waited for.
            await knock(client, self._request)
        except BaseException:
            await self._stack.aclose()
            raise
        secrets = known_secrets(headers=self._request.headers, urls=(self._request.url,))
        call = page_call(client, self._request.headers, self._reader, self._source, secrets)
        call.listen(self._state.judge.listen(self._state.limiter, current_clock()))
        engine = Engine(call, self._source, self._state)
        self._engine = await self._stack.enter_async_context(engine)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def __aiter__(self) -> Pull:
        if self._engine is None:
            raise UsageError("a pull is a context: write `async with penstock.pull(...) as pages`, then iterate")
        return self

    async def __anext__(self) -> Page:
        while not self._ready:
            await self._next_outcome()
        return self._ready.popleft()

    async def _next_outcome(self) -> None:
        assert self._engine is not None
        try:
            outcome = await anext(self._engine)
        except StopAsyncIteration:
            self._finish()
            raise
        if outcome.value is not None and outcome.ok:
            settled = self._plan.answered(outcome.value)
        elif isinstance(outcome.error, (BadPage, BadBody)) and not self.tally.is_beyond(outcome.position):
            raise outcome.error
        else:
            settled = self._plan.failed(outcome.item, outcome)
        self._source.taken(outcome.position)
        self._ready.extend(_pages(settled))

    def _finish(self) -> None:
        tally = self.tally
        tally.judge(limited=self._plan.limited)
        for text in tally.warnings:
            warnings.warn(text, PullWarning, stacklevel=4)
        if tally.failed:
            raise PagesFailed(dict(tally.failed))


def _plan(paginate: AnyPaginator, url: str, stop_on: StopOn, most_pages: int | None, *, keep_repeats: bool) -> PagePlan:
    if isinstance(paginate, (Offset, PageNumber)):
        return CountablePlan(paginate, url, stop_on=stop_on, most_pages=most_pages, keep_repeats=keep_repeats)
    return ChainPlan(paginate, url, most_pages=most_pages, keep_repeats=keep_repeats)


def _limits(limit: Limit | str | Sequence[Limit | str] | None) -> Sequence[Limit | str]:
    return (limit,) if isinstance(limit, (str, Limit)) else limit or ()


def _pages(settled: list[Settled]) -> list[Page]:
    return [answer.page for answer, kind in settled if kind is not PageKind.REPEAT and answer.page is not None]
