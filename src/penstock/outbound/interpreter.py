"""From responses to values, or to the error that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..answers.conditions import UNREAD
from ..answers.json_path import compile_path
from ..answers.rules import AnswerRules
from ..engine.outcome import Answer
from ..errors import BadBody, Unexpected, UsageError
from ..messages import Response
from ..rules.limits.cost import read_cost
from ..runs.exact_json import loads
from ..runs.flow import Flow

_QUOTED = 300


class Interpreter:
    """Makes an Answer of a response, or raises the CallError that says why not.

    `extract`, `expect` and `cost` are JMESPath expressions on the JSON body; with `text` a body need not be JSON and
    its text is the value. `cost` is where the answer says what it has cost. `answers` says which are failures.
    """

    def __init__(
        self,
        extract: str | None = None,
        expect: str | None = None,
        *,
        text: bool = False,
        cost: str | None = None,
        answers: AnswerRules | None = None,
    ) -> None:
        self._answers = answers or AnswerRules(quote=quote_body)
        self._extract = _compile("--extract", extract)
        self._expect = _compile("--expect", expect)
        self._expect_text = expect
        self._text = text
        self._cost = _compile("--cost-actual", cost)
        if text and (extract or expect or cost):
            raise UsageError("--extract, --expect and --cost-actual look into JSON; they do not go with --answer text")

    def __call__(self, response: Response, item: object = None) -> Answer:
        """The same for every item. Raises StatusError, BadBody or Unexpected."""
        value = self._answers.admit(response, _parse)
        status = response.status
        if self._text:
            return Answer(status, response.body.decode("utf-8", "replace"), None, len(response.body))
        if not response.body:
            return Answer(status, None)
        if value is UNREAD:
            value = _parse(response)
        if self._expect is not None and not self._expect(value):
            raise Unexpected(f"{self._expect_text} is not met by {quote_body(response.body)}", status=status)
        cost = None if self._cost is None else read_cost(self._cost(value))
        return Answer(status, value if self._extract is None else self._extract(value), cost, len(response.body))


def answer_rules(flow: Flow) -> AnswerRules:
    """Which answers are failures, by the options of a command."""
    return AnswerRules(
        flow,
        quotas=flow.limit_headers == "tighten",
        quote=quote_body,
        other_origins=flow.follow_redirects > 0,
    )


def _parse(response: Response) -> Any:
    try:
        return loads(response.body)
    except ValueError as error:
        kind = response.headers.get("content-type") or "no content type"
        why = getattr(error, "msg", error)
        raise BadBody(
            f"the answer ({kind}) is not JSON, {why}: {quote_body(response.body)} (see --answer text)",
            status=response.status,
        ) from error


def quote_body(body: bytes) -> str:
    """The beginning of a body, on one line, for a message."""
    text = body[: _QUOTED + 1].decode("utf-8", "replace")
    return " ".join(text[:_QUOTED].split()) + ("..." if len(text) > _QUOTED else "")


def _compile(option: str, expression: str | None) -> Callable[[Any], Any] | None:
    return None if expression is None else compile_path(option, expression)
