"""From responses to values, or to the error that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
import orjson

from ..clock import SYSTEM_CLOCK
from ..engine.costs import read_cost
from ..engine.outcome import Answer
from ..errors import BadBody, StatusError, Unexpected, UsageError
from ..messages import Response
from ..rules.retries.retry_after import parse_retry_after

_QUOTED = 300


class Interpreter:
    """Makes an Answer of a response, or raises the CallError that says why not.

    `extract`, `expect` and `cost` are JMESPath expressions on the JSON body; with `text` a body need not be JSON and
    its text is the value. `cost` is where the answer says what it has cost.
    """

    def __init__(
        self, extract: str | None = None, expect: str | None = None, *, text: bool = False, cost: str | None = None
    ) -> None:
        self._extract = _compile("--extract", extract)
        self._expect = _compile("--expect", expect)
        self._expect_text = expect
        self._text = text
        self._cost = _compile("--cost-actual", cost)
        if text and (extract or expect or cost):
            raise UsageError("--extract, --expect and --cost-actual look into JSON; they do not go with --answer text")

    def __call__(self, response: Response, item: object = None) -> Answer:
        """The same for every item. Raises StatusError, BadBody or Unexpected."""
        status = response.status
        if not 200 <= status < 300:
            raise status_error(response)
        if self._text:
            return Answer(status, response.body.decode("utf-8", "replace"), None, len(response.body))
        if not response.body:
            return Answer(status, None)
        try:
            value = orjson.loads(response.body)
        except orjson.JSONDecodeError as error:
            raise _not_json(response, error) from error
        if self._expect is not None and not self._expect(value):
            raise Unexpected(f"{self._expect_text} is not met by {quote_body(response.body)}", status=status)
        cost = None if self._cost is None else read_cost(self._cost(value))
        return Answer(status, value if self._extract is None else self._extract(value), cost, len(response.body))


def status_error(response: Response) -> StatusError:
    """The error for an answer whose status is not 2xx."""
    retry_after = parse_retry_after(
        response.headers.get("retry-after"), SYSTEM_CLOCK.wall(), response.headers.get("date")
    )
    body = f": {quote_body(response.body)}" if response.body else ""
    return StatusError(f"HTTP {response.status}{body}", status=response.status, retry_after=retry_after)


def _not_json(response: Response, error: orjson.JSONDecodeError) -> BadBody:
    kind = response.headers.get("content-type") or "no content type"
    return BadBody(
        f"the answer ({kind}) is not JSON, {error.msg}: {quote_body(response.body)} (see --answer text)",
        status=response.status,
    )


def quote_body(body: bytes) -> str:
    """The beginning of a body, on one line, for a message."""
    text = body[: _QUOTED + 1].decode("utf-8", "replace")
    return " ".join(text[:_QUOTED].split()) + ("..." if len(text) > _QUOTED else "")


def _compile(option: str, expression: str | None) -> Callable[[Any], Any] | None:
    return None if expression is None else compile_path(option, expression)


def compile_path(option: str, expression: str) -> Callable[[Any], Any]:
    """A JMESPath expression as a function of JSON. Raises UsageError, which names the option it was given with."""
    try:
        compiled = jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise UsageError(f"{option} is not a JMESPath expression: {' '.join(str(error).split())}") from error
    return lambda value: compiled.search(value)
