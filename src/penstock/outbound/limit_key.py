"""For whom each limit holds by itself: the host that a record's request goes to, or one of its fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import orjson

from ..errors import InputError, UsageError
from .records import Record
from .request_template import RequestBuilder


class LimitKey:
    """The key of a record, a number below 2**53: of its host where `limit_by` is "host", else of that field.

    Two keys with the same number share their limits; that is as likely as one in nine million billion.
    """

    def __init__(self, limit_by: str, builder: RequestBuilder) -> None:
        self._by = limit_by
        self._builder = builder
        self.parse = limit_by != "host" or builder.parse
        """Whether records must be looked into."""

    def __call__(self, record: Record) -> int:
        """Raises InputError for a record that does not say it."""
        if record.problem:
            raise InputError(record.problem)
        return _number(self._value(record))

    def check(self, fields: Any) -> str:
        """What keeps the key of this record from being known, or nothing."""
        try:
            self._value(Record(fields))
        except UsageError as error:
            return str(error)
        return ""

    def _value(self, record: Record) -> Any:
        if self._by == "host":
            return self._builder.host(record)
        fields = record.fields
        if not isinstance(fields, Mapping) or self._by not in fields:
            raise InputError(f"has no field {self._by!r}, by which it is limited")
        return fields[self._by]


def _number(value: Any) -> int:
    text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b"\0" + _sorted(value)
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 11


def _sorted(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # A whole number beyond 64 bits.
        return json.dumps(value, default=str, sort_keys=True).encode()
