"""What the rules say of a kind of answers to plain GETs: asked once, and remembered by everything that they read.

A plain request has no body, no credentials but cookies, no range and no condition. What tells kinds of its answers
apart is the status and the lines of the head that the rules may read: of some names the value, of others only whether
they are there. The rules get a mapping that holds no more than that and sees what they ask for; whoever asks for more
gets no verdict, and the answer is judged by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from .cache_control import LONGEST_DELTA
from .decisions import Decision
from .freshness import Freshness, date_of, freshness_of, initial_age
from .lookup import is_for_all
from .options import CacheOptions
from .request import CacheRequest
from .storing import may_share
from .undeclared_coding import vary_and_coding
from .weighing import Weighed, weigh_answer

GENERAL: Mapping[bytes, str] = MappingProxyType(
    {
        b"age": "the age of each answer is another, and is cut out of what is stored",
        b"cache-tag": "tags are the answer's own",
        b"content-range": "parts are put together by rules of their own",
        b"surrogate-key": "tags are the answer's own",
        b"vary": "whom it is for depends on the request",
        b"via": "a hop before us may have kept it, so its Date counts as its age",
    }
)
"""Names of fields with which an answer is never plain, and why. To bring one in, take it out here, put it among the
names below, and say in a test how the answers that have it are judged."""
BY_VALUE = frozenset(
    {b"cache-control", b"cdn-cache-control", b"content-encoding", b"content-type", b"content-location", b"pragma"}
)
"""Names whose value is part of the kind; those of `CacheOptions.targeted` are too."""
BY_PRESENCE = frozenset({b"etag", b"expires", b"last-modified", b"set-cookie"})
"""Names of which only that they are there is part of the kind. Who needs the value (Expires without max-age, a
lifetime estimated from Last-Modified) judges each answer."""
FRAMING = frozenset({b"content-length"})
"""What the rules never see of a plain answer: it is framed anew."""
MEASURED = frozenset({b"date"})
"""Read for the age alone, which is that of each answer."""
COOKIE = b"cookie"
ABSENT_OF_REQUEST = frozenset(
    {
        b"authorization",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    }
)
"""What no plain request has, so that rules may ask for it."""

ANY = b"*"
"""In place of a name: somebody went through all fields."""


_AGE = Freshness._fields.index("initial_age")


class ReadFields(Mapping[bytes, bytes]):
    """The fields of a kind, recording what is read: `by_value`, `by_presence`, and `outside`, what is no part of it.

    `values` are the fields whose value is known, `present` the names of those that are only known to be there. That
    one of `named` is not there is known, too; of others nothing is.
    """

    def __init__(self, values: Mapping[bytes, bytes], present: frozenset[bytes], named: frozenset[bytes]) -> None:
        self._values = values
        self._present = present
        self._named = named
        self.by_value: set[bytes] = set()
        self.by_presence: set[bytes] = set()
        self.outside: set[bytes] = set()

    def __getitem__(self, name: bytes) -> bytes:
        self.by_value.add(name)
        value = self._values.get(name)
        if value is not None:
            return value
        if name in self._present:
            # It is there, so a rule may rely on that; what it makes of this value is thrown away.
            self.outside.add(name)
            return b""
        if name not in self._named:
            self.outside.add(name)
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        self.by_presence.add(name)
        if name not in self._named:
            self.outside.add(name)
        return name in self._values or name in self._present

    def __iter__(self) -> Iterator[bytes]:
        self.outside.add(ANY)
        return iter([*self._values, *self._present])

    def __len__(self) -> int:
        self.outside.add(ANY)
        return len(self._values) + len(self._present)


class Kind(NamedTuple):
    """What is equal for answers of one kind. `values`: combined by name, as `combine` does it."""

    status: int
    values: Mapping[bytes, bytes]
    present: frozenset[bytes]
    cookie: bool
    """The request had one."""


class KindVerdict(NamedTuple):
    """What the rules say of all answers of a kind.

    `freshness`: without the age of one answer (see `freshness_at`); None where nothing is stored. `for_all`: whether
    the refusal holds for the next ones (see `is_for_all`). `detail`: for Cache-Status.
    """

    decision: Decision
    freshness: Freshness | None
    for_all: bool

    @property
    def stores(self) -> bool:
        """Whether answers of the kind may be stored."""
        return self.decision.allowed

    @property
    def detail(self) -> str | None:
        """For Cache-Status: why it is not stored."""
        return None if self.decision.allowed else self.decision.reason


def names_by_value(options: CacheOptions) -> frozenset[bytes]:
    """All names whose value is part of the kind."""
    return BY_VALUE.union(options.targeted) - GENERAL.keys()


def verdict_of(kind: Kind, options: CacheOptions, *, max_length: float) -> KindVerdict | str:
    """What the rules say of `kind`, for answers of at most `max_length` bytes; or, in words, why each is judged."""
    cookie = frozenset({COOKIE}) if kind.cookie else frozenset[bytes]()
    asked = ReadFields({}, cookie, ABSENT_OF_REQUEST | {COOKIE})
    request = CacheRequest(b"GET", b"", b"", b"", asked)
    fields = fields_of(kind, options)
    # No moment, and no length that could be too large: what depends on them would say so here.
    weighed = weigh_answer(
        request, kind.status, fields, options, received_wall=math.nan, length=0, max_length=max_length
    )
    verdict = weighed.verdict
    freshness = None
    if verdict.allowed:
        found = _lasting(kind, weighed, options)
        if isinstance(found, str):
            return found
        freshness = found
    # The words of pass are for requests that are not plain, so any other stands for all.
    for_all = is_for_all(request, kind.status, "uri-miss", verdict)
    outside = sorted(fields.outside | asked.outside)
    return _outside(outside[0]) if outside else KindVerdict(verdict, freshness, for_all)


def fields_of(kind: Kind, options: CacheOptions, measured: frozenset[bytes] = frozenset()) -> ReadFields:
    """The fields of `kind`, for the rules."""
    named = names_by_value(options) | BY_PRESENCE | FRAMING | GENERAL.keys() | measured
    return ReadFields(kind.values, kind.present, named)


def freshness_at(
    freshness: Freshness, date: bytes | None, *, response_delay: float, received_wall: float, clock_behind: float | None
) -> Freshness | None:
    """`freshness` with the age of an answer that came with `date`, without Age and Via; None where none may share it.

    Then it is judged by itself, for who waits with it has to be sent away.
    """
    # Of what Date says and the delay the longer counts (RFC 9111, 4.2.3), and what Date says is equal for a second.
    age = max(
        _age_by_date(date, math.floor(received_wall), clock_behind), min(max(response_delay, 0.0), float(LONGEST_DELTA))
    )
    # As `_replace`, at a fifth of its cost.
    aged = tuple.__new__(Freshness, (*freshness[:_AGE], age, *freshness[_AGE + 1 :]))
    return aged if may_share(aged) else None


@lru_cache(1024)
def _age_by_date(date: bytes | None, received_wall: int, clock_behind: float | None) -> float:
    said = {} if date is None else {b"date": date}
    return initial_age(said, date_of(said, received_wall), 0.0, received_wall, clock_behind)


def _lasting(kind: Kind, weighed: Weighed, options: CacheOptions) -> Freshness | str:
    """The freshness of all answers of `kind` but for their age; or why there is none."""
    fields = fields_of(kind, options, MEASURED)
    directives = weighed.directives
    if vary_and_coding(fields, options)[0]:
        return "vary"
    if weighed.tags or directives.private_fields or directives.no_cache_fields:
        return "cut-fields"
    # At two moments: what is not equal belongs to one answer.
    first, second = (
        freshness_of(kind.status, fields, directives, options, response_delay=delay, received_wall=wall)._replace(
            initial_age=0.0
        )
        for delay, wall in ((0.0, 0.0), (1.0, 2.0e9))
    )
    if fields.outside:
        return _outside(min(fields.outside))
    if first != second:
        return "moment"
    if not may_share(first):
        return "must-validate"
    return first


def _outside(name: bytes) -> str:
    return f"value of {name.decode('latin-1')}"
