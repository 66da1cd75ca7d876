"""Look at the first answer of an API whose paging is to be found out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...answers.conditions import UNREAD
from ...answers.rules import AnswerRules
from ...call import AnyClient
from ...engine.outcome import Outcome
from ...errors import BadBody, Stopped, UsageError
from ...messages import Request, Response
from ...rules.pagination.link_header import parse_links
from ...rules.pagination.page_url import query_names, with_query
from ...rules.pagination.style import Paging
from ...rules.secrets.values import SecretValues
from ...runs.driver import InMemory
from ...runs.session import Session
from ..interpreter import answer_rules, quote_body
from .plan import first_failed
from .reader import PageAnswer, PageAsk, load
from .source import page_call


@dataclass(frozen=True, slots=True)
class FirstPage:
    """An answer as `penstock.rules.pagination.style.detect` wants it."""

    answer: Any
    headers: dict[str, str]
    next_link: str | None
    names_in_url: list[str]
    begins: str


async def look(
    session: Session,
    client: AnyClient[Request, Response],
    request: Request,
    asked: Paging,
    secrets: SecretValues,
) -> FirstPage:
    """Make `request`, under the limits and with the retries of `session`.

    Raises UsageError if it is refused, PenstockError if it may come another time.
    """
    url = request.url
    if asked.page_size is not None and asked.size_param is not None:
        url = with_query(url, {asked.size_param: str(asked.page_size)})
    sink = _LastOutcome()
    reader = _Keep(url, answer_rules(session.flow), secrets)
    summary = await session.carry_out(
        page_call(client, request.headers, reader, None, secrets), [PageAsk(0, url)], sink
    )
    if not summary["complete"]:
        raise Stopped("stopped before the first answer; the same command goes on from there")
    if reader.found is None:
        if sink.outcome is None:
            raise UsageError("the first page failed")
        raise first_failed(sink.outcome)
    return reader.found


class _Keep:
    """Reads the one answer."""

    def __init__(self, url: str, answers: AnswerRules, secrets: SecretValues) -> None:
        self._url = url
        self._answers = answers
        self._secrets = secrets
        self.found: FirstPage | None = None

    def read(self, ask: PageAsk, response: Response) -> PageAnswer:
        body = self._answers.admit(response, load)
        if body is UNREAD:
            body = load(response)
        if not isinstance(body, (dict, list)):
            raise BadBody(f"the answer is neither an object nor a list: {quote_body(response.body)}")
        link = parse_links(response.headers.get_all("link")).get("next")
        fields = {name.lower(): value for name, value in response.headers}
        begins = self._secrets.mask(quote_body(response.body))
        self.found = FirstPage(body, fields, link, query_names(self._url), begins)
        return PageAnswer(ask, response.status)


class _LastOutcome(InMemory):
    outcome: Outcome[Any, Any] | None = None

    def put(self, outcome: Outcome[Any, Any]) -> None:
        self.outcome = outcome
