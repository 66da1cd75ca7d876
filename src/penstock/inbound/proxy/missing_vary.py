"""Whether an answer depends on more of the request than its Vary says: tried with another Origin and Accept-Encoding.

Frameworks are known to say `Vary: Origin` only in answers to requests that have one; then the plain answer, once it is
stored, is sent to pages of other sites, which cannot read it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from ...errors import CallError
from ...messages import RawFields
from ...rules.caching.cache_key import vary_names
from ...rules.caching.http_fields import FieldMap, combine
from ..cache.to_store import in_django, in_fastapi

_TEXTS = (b"text/", b"application/json", b"application/javascript", b"application/xml", b"image/svg")
_CORS = b"access-control-"


class Trial(NamedTuple):
    """A request field and its other value; None: without it."""

    name: bytes
    value: bytes | None

    def of(self, fields: Sequence[tuple[bytes, bytes]]) -> RawFields:
        """The fields of the request with it."""
        others = [field for field in fields if field[0] != self.name]
        return others if self.value is None else [*others, (self.name, self.value)]

    def __str__(self) -> str:
        name = _title(self.name)
        return f"no {name}" if self.value is None else f"{name}: {self.value.decode('latin-1')}"


def trials(origin: str, asked: FieldMap, answer: FieldMap) -> list[Trial]:
    """What to try, one request for each, two at most: where Vary does not name a field that such answers depend on.

    `origin`: scheme and host of the URL.
    """
    vary, found = vary_names(answer) or (), []
    # With an Origin it may be named, and without not.
    if (b"origin" in asked or b"origin" not in vary) and answer.get(b"access-control-allow-origin") != b"*":
        found.append(Trial(b"origin", None if b"origin" in asked else origin.encode()))
    coded = b"content-encoding" in answer
    if b"accept-encoding" not in vary and (coded or answer.get(b"content-type", b"").lower().startswith(_TEXTS)):
        found.append(Trial(b"accept-encoding", b"identity" if coded else b"gzip"))
    return found


def depends(trial: Trial, first: FieldMap, second: FieldMap) -> bool:
    """Whether the two answers show that they depend on the field of `trial`, and one of them does not say so."""
    named = [trial.name in (vary_names(answer) or ()) for answer in (first, second)]
    if any(named):
        return not all(named)
    if trial.name == b"origin":
        return _cors(first) != _cors(second)
    return first.get(b"content-encoding") != second.get(b"content-encoding")


async def missing_vary(
    origin: str,
    asked: Sequence[tuple[bytes, bytes]],
    answer: RawFields,
    get: Callable[[RawFields], Awaitable[RawFields]],
) -> dict[str, Any]:
    """What was `tried`, and for each field that is `missing` in Vary what to write; ready for JSON.

    `get` sends one GET with these request fields and returns the fields of its answer. One that fails tells nothing.
    """
    first, tried, missing = combine(answer), [], []
    for trial in trials(origin, combine(asked), first):
        try:
            second = combine(await get(trial.of(asked)))
        except CallError:
            continue
        tried.append(str(trial))
        if depends(trial, first, second):
            missing.append(_advice(trial, first))
    return {"tried": tried, "missing": missing}


def _advice(trial: Trial, first: FieldMap) -> dict[str, Any]:
    name = _title(trial.name)
    header = f"Vary: {', '.join(dict.fromkeys([*map(_title, vary_names(first) or ()), name]))}"
    sentence = f"With {trial} the app answers otherwise, but not each answer has Vary: {name}, so both get either."
    return {
        "field": name,
        "sentence": sentence,
        "header": header,
        "django": in_django(header),
        "fastapi": in_fastapi(header),
    }


def _cors(fields: FieldMap) -> dict[bytes, bytes]:
    return {name: value for name, value in fields.items() if name.startswith(_CORS)}


def _title(name: bytes) -> str:
    return name.decode("latin-1").title()
