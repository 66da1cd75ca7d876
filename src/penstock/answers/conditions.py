"""What options say of an answer, by its status, by an expression on its JSON, or by a function of the user's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ..errors import BadBody, UsageError
from ..messages import Response
from ..rules.retries.said import Said, read_statuses
from .json_path import compile_path
from .options import AnswerOptions, When

UNREAD: Any = object()
"""Stands for the JSON of a body that nobody had to parse."""


class Body:
    """The JSON of one answer: parsed at most once, and only if a condition looks into it."""

    __slots__ = ("_parse", "_response", "json")

    def __init__(self, response: Response, parse: Callable[[Response], Any]) -> None:
        self._response = response
        self._parse: Callable[[Response], Any] | None = parse if response.body else None
        self.json: Any = UNREAD

    def read(self) -> Any:
        """The JSON; UNREAD where it is none, which is for whoever needs it to say."""
        parse, self._parse = self._parse, None
        if parse is not None:
            with contextlib.suppress(BadBody, ValueError):
                self.json = parse(self._response)
        return self.json


Test = Callable[[Response, Body], bool]


def compile_condition(option: str, when: When) -> Test:
    """Raises UsageError, which names the option, for what is no condition."""
    if callable(when):
        function = when
        return lambda response, body: bool(function(response))
    if isinstance(when, bool) or not isinstance(when, (int, str)):
        raise UsageError(f"{option} must be a status, a class such as '4xx', JMESPath or a function, not {when!r}")
    try:
        statuses = read_statuses(when)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error
    if statuses is not None:
        return lambda response, body: response.status in statuses
    find = compile_path(option, str(when))
    return lambda response, body: _is_met(find, body)


def _is_met(find: Callable[[Any], Any], body: Body) -> bool:
    value = body.read()
    if value is UNREAD:
        return False
    try:
        return bool(find(value))
    except ValueError:
        # JMESPath's errors: a function that does not fit what this answer holds, such as contains() where it has no
        # such field. Errors and good answers of one API rarely look alike.
        return False


class Conditions:
    """The four options together. Raises UsageError for what is no condition."""

    __slots__ = ("_poll_until", "_tests", "given")

    def __init__(self, options: AnswerOptions) -> None:
        given = {
            Said.THROTTLED: options.throttle_when,
            Said.RETRYABLE: options.retry_when,
            Said.OK: options.ok_when,
        }
        self._tests = [(said, compile_condition(said, each)) for said, some in given.items() for each in some]
        until = options.poll_until
        self._poll_until = None if until is None else compile_condition(Said.PENDING, until)
        self.given = bool(self._tests) or until is not None
        """Whether there are any."""

    def said_of(self, response: Response, body: Body) -> Said | None:
        """What is said of `response`; None where nothing is."""
        for said, test in self._tests:
            if test(response, body):
                return said
        if self._poll_until is not None and 200 <= response.status < 300:
            return Said.OK if self._poll_until(response, body) else Said.PENDING
        return None
