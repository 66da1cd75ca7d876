"""Where in an answer something is said of its paging: a JMESPath expression on the body, or a header field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import UsageError
from ..messages import Headers
from ..rules.pagination.content_range import complete_length
from ..rules.pagination.style import HEADER
from .json_path import compile_path

_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}


class AnswerPlace:
    """What `path`, the value of `option`, finds in an answer. Raises UsageError for an expression that is none."""

    def __init__(self, option: str, path: str) -> None:
        self.option = option
        self.path = path
        self.field = path[len(HEADER) :].strip().lower() if path.startswith(HEADER) else ""
        self._find: Callable[[Any], Any] | None = None if self.field else compile_path(option, path)

    def find(self, body: Any, headers: Headers) -> Any:
        """The value, None where nothing is. Of a header an empty value is nothing."""
        if self._find is not None:
            return self._find(body)
        value = headers.get(self.field)
        return None if value is None else value.strip() or None

    def flag(self, body: Any, headers: Headers) -> bool | None:
        """Whether it says yes; None where it says nothing. Raises UsageError for what is no such word."""
        value = self.find(body, headers)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false", ""):
            return value.lower() == "true"
        if isinstance(value, (int, float)):
            return value != 0
        if isinstance(value, (list, dict)):
            return bool(value)
        raise UsageError(f"what {self.option} {self.path!r} finds is neither true nor false")

    def number(self, body: Any, headers: Headers) -> int | None:
        """The whole number there, None where nothing is. Raises UsageError for anything else."""
        value, what = self.find(body, headers), f"{self.option} {self.path!r}"
        if self.field == "content-range" and value is not None:
            try:
                value = complete_length(value)
            except ValueError as error:
                raise UsageError(f"what {what} finds: {error}") from error
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"what {what} finds is {kind_of(value)} and no whole number")
        if value < 0:
            raise UsageError(f"the number at {what} is {value}, below 0")
        if value >= 1 << 63:
            raise UsageError(f"the number at {what} is more than there can be")
        return value


def kind_of(value: Any) -> str:
    """What `value` is, as one says it of JSON."""
    return _KINDS.get(type(value), "a number")
