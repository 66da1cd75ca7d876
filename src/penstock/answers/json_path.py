"""JMESPath expressions, which users give with many options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath

from ..errors import UsageError


def compile_path(option: str, expression: str) -> Callable[[Any], Any]:
    """A JMESPath expression as a function of JSON. Raises UsageError, which names the option it was given with."""
    try:
        compiled = jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise UsageError(f"{option} is not a JMESPath expression: {' '.join(str(error).split())}") from error
    return lambda value: compiled.search(value)
