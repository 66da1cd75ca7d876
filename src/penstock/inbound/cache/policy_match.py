"""Which requests an entry of the policy is for: by the path, raw or in any spelling, and by the query's parameters."""

from __future__ import annotations

import fnmatch
import re
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from ...rules.caching.paths import MOST_ROUNDS

_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_SPLITS = re.compile(rb"[&;?#\x00]")
_HANGING = bytes(range(33)) + b"\x7f"


class Matcher(NamedTuple):
    """What the path has to match one of, and of the parameters one each; `query` None: whatever the query is."""

    paths: tuple[re.Pattern[bytes], ...]
    query: tuple[re.Pattern[bytes], ...] | None

    def fits(self, path: bytes, parameters: list[bytes]) -> bool:
        """Whether a request with this path and these parameters is meant."""
        return any(each.fullmatch(path) for each in self.paths) and self.fits_query(parameters)

    def fits_query(self, parameters: list[bytes]) -> bool:
        """Whether the parameters are those that are meant; an empty `query` means none at all."""
        if self.query is None:
            return True
        if not self.query:
            return not parameters
        names = [parameter.partition(b"=")[0] for parameter in parameters]
        return all(any(map(glob.fullmatch, parameters)) or any(map(glob.fullmatch, names)) for glob in self.query)


def as_written(expression: str, query: tuple[str, ...] | None) -> Matcher:
    """Of the raw path and query. `expression`: see `expression_of`."""
    return Matcher((re.compile(expression.encode()),), None if query is None else tuple(map(_glob, query)))


def in_any_spelling(expression: str, query: tuple[str, ...] | None) -> Matcher:
    """Of what `readings` and `parameters_in_any_spelling` find, in upper and lower case."""
    decoded = _ESCAPED.sub(lambda found: re.escape(unquote(found[0])), expression)
    # Each by itself: in one expression their groups would have one numbering, and their names could not be given twice.
    both = dict.fromkeys((expression, _compilable(decoded) or expression))
    globs = None if query is None else tuple(_glob(glob, unquote(glob)) for glob in query)
    return Matcher(tuple(re.compile(each.encode(), re.IGNORECASE) for each in both), globs)


def expression_of(path: str | None, prefix: str | None, pattern: str | None) -> str:
    """The regular expression for the one of the three that is given; without any, for all paths."""
    if pattern is not None:
        return f"(?:{pattern})"
    if prefix is not None:
        return f"(?s:{re.escape(prefix)}.*)"
    return fnmatch.translate("*" if path is None else path)


def parameters_of(target: bytes) -> list[bytes]:
    """The parameters of the query, as they are written; those that are empty are none."""
    return [parameter for parameter in target.partition(b"?")[2].split(b"&") if parameter]


def parameters_in_any_spelling(target: bytes) -> list[bytes]:
    """The parameters that servers and frameworks are known to make of `target`, and more.

    Percent-decoded, once and again; `;` as `&`; `+` as a blank; without what hangs on to them; those without a value as
    those with an empty one; and what follows on a decoded `?`.
    """
    found: dict[bytes, None] = {}
    for _ in range(MOST_ROUNDS + 1):
        for parameter in _SPLITS.split(target.partition(b"?")[2]):
            for form in (parameter, parameter.replace(b"+", b" ").strip(_HANGING)):
                name, _, value = form.partition(b"=")
                if name or value:
                    found[form] = found[name.strip(_HANGING) + b"=" + value] = None
        if b"%" not in target:
            break
        target = unquote_to_bytes(target)
    return [*found]


def _glob(*globs: str) -> re.Pattern[bytes]:
    # Only those in any spelling come in two forms, and only they know no case.
    spelt = "|".join(fnmatch.translate(glob) for glob in dict.fromkeys(globs))
    return re.compile(spelt.encode(), re.IGNORECASE if len(globs) > 1 else 0)


def _compilable(expression: str) -> str | None:
    try:
        re.compile(expression.encode())
    except re.error:
        return None
    return expression
