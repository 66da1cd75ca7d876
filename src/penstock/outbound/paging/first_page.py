"""Look at the first answer of an API whose paging is to be found out, and at a second one that proves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ...answers.conditions import UNREAD
from ...answers.rules import AnswerRules
from ...call import AnyClient
from ...engine.outcome import Outcome
from ...errors import BadBody, Stopped, UsageError
from ...messages import Headers, Request, Response
from ...rules.pagination.detect import DetectedPaging
from ...rules.pagination.link_header import parse_links
from ...rules.pagination.page_url import query_names, with_query
from ...rules.pagination.proof import Evidence, Proof, compare
from ...rules.pagination.style import Paging
from ...rules.secrets.values import SecretValues
from ...runs.driver import InMemory
from ...runs.session import Session
from ..interpreter import quote_body
from .pages import AnyPaginator, Offset, Page, PageNumber, make_paginator
from .plan import first_failed
from .reader import PageAnswer, PageAsk, PageReader, load
from .source import page_call


@dataclass(frozen=True, slots=True)
class FirstPage:
    """An answer as `penstock.rules.pagination.detect` wants it."""

    answer: Any
    headers: dict[str, str]
    next_link: str | None
    names_in_url: list[str]
    begins: str
    url: str
    response: Response


@dataclass(slots=True)
class Looker:
    """Asks for pages, one at a time, under the limits and with the retries of `session()`, and keeps the answers.

    What was answered once need not be asked for again: see `Remembering`. `keep_pause` is that of `InMemory`.
    """

    session: Callable[[], Session]
    client: AnyClient[Request, Response]
    headers: Headers
    rules: AnswerRules
    secrets: SecretValues
    keep_pause: Callable[[float], None]
    answers: dict[str, Response] = field(default_factory=dict)

    async def first(self, url: str, asked: Paging) -> FirstPage:
        """The page at `url`. Raises UsageError if it is refused, PenstockError if it may come another time."""
        if asked.page_size is not None and asked.size_param is not None:
            url = with_query(url, {asked.size_param: str(asked.page_size)})
        outcome, answer = await self._ask(url)
        response = answer.found
        if response is None:
            raise first_failed(outcome)
        link = parse_links(response.headers.get_all("link")).get("next")
        fields = {name.lower(): value for name, value in response.headers}
        begins = self.secrets.mask(quote_body(response.body))
        return FirstPage(answer.body, fields, link, query_names(url), begins, url, response)

    async def prove(self, base: str, first: FirstPage, found: DetectedPaging) -> Proof:
        """Ask for the second page in the ways that `found` gives, until one has other rows."""
        proof = Proof(found.candidates, lacks=found.lacks)
        while (paging := proof.next()) is not None:
            reader = PageReader(make_paginator(paging), rows=paging.rows)
            rows = reader.rows_in(first.answer)
            url = _second(paging, base, first, rows)
            # Masked before it is cut, as of a secret that is cut the rest would stay.
            asked = _asked_with(self.secrets.mask(url), self.secrets.mask(base))
            proof.learn(asked, await self._evidence(url, reader, rows))
        return proof

    async def _evidence(self, url: str, reader: PageReader, rows: list[Any]) -> Evidence:
        _, answer = await self._ask(url)
        if answer.found is None:
            return Evidence.REFUSED
        try:
            return compare(rows, reader.rows_in(answer.body))
        except (UsageError, ValueError):
            # JMESPath's own errors are ValueErrors.
            return Evidence.REFUSED

    async def _ask(self, url: str) -> tuple[Outcome[Any, Any], _Keep]:
        sink, answer = _LastOutcome(self.keep_pause), _Keep(self.rules)
        call = page_call(self.client, self.headers, answer, None, self.secrets)
        summary = await self.session().carry_out(call, [PageAsk(0, url)], sink)
        if not summary["complete"] or sink.outcome is None:
            raise Stopped("stopped before it was found how the API pages; the same command goes on from there")
        if answer.found is not None:
            self.answers[url] = answer.found
        return sink.outcome, answer

    def keep_first(self, base: str, paging: Paging, first: FirstPage) -> None:
        """The first answer is that of the first page of `paging` too, whatever that asks for it with."""
        paginator = make_paginator(paging)
        url = _first_url(paginator, base)
        if url == first.url or _is_same(paginator, url, first.url):
            self.answers[url] = first.response


def _first_url(paginator: AnyPaginator, base: str) -> str:
    if isinstance(paginator, (Offset, PageNumber)):
        return paginator.page_url(base, 0, None)
    return paginator.url(base, paginator.first())


def _is_same(paginator: AnyPaginator, url: str, looked_at: str) -> bool:
    """Whether both are the first page: an API begins there where the parameter is not given."""
    asked = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    given = dict(parse_qsl(urlsplit(looked_at).query, keep_blank_values=True))
    parameter = getattr(paginator, "parameter", "")
    return asked == given or asked == {parameter: asked.get(parameter), **given}


def _second(paging: Paging, base: str, first: FirstPage, rows: list[Any]) -> str:
    """Where the second page would be."""
    paginator = make_paginator(paging)
    if isinstance(paginator, (Offset, PageNumber)):
        return paginator.page_url(base, 1, len(rows))
    page = Page(0, rows, None, None, first.answer, first.response.headers, first.url)
    return paginator.url(base, paginator.next(page))


def _asked_with(url: str, base: str) -> str:
    """What `url` asks for that `base` does not."""
    given = urlsplit(base).query.split("&")
    return "&".join(unquote(piece)[:40] for piece in urlsplit(url).query.split("&") if piece not in given)


class _Keep:
    """Reads the one answer."""

    def __init__(self, rules: AnswerRules) -> None:
        self._rules = rules
        self.found: Response | None = None
        self.body: Any = None

    def read(self, ask: PageAsk, response: Response) -> PageAnswer:
        body = self._rules.admit(response, load)
        if body is UNREAD:
            body = load(response)
        if not isinstance(body, (dict, list)):
            raise BadBody(f"the answer is neither an object nor a list: {quote_body(response.body)}")
        self.found, self.body = response, body
        return PageAnswer(ask, response.status)


class _LastOutcome(InMemory):
    outcome: Outcome[Any, Any] | None = None

    def put(self, outcome: Outcome[Any, Any]) -> None:
        self.outcome = outcome
