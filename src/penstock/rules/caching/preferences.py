"""What a client would rather have: the fields of RFC 9110, 12.5, in the one form that means the same."""

from __future__ import annotations

import re
from functools import lru_cache

from .cache_control import LONGEST_REMEMBERED
from .http_fields import BLANKS, split_list

_WEIGHT = re.compile(rb"[qQ][ \t]*=[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def weight_of(parameter: bytes) -> float | None:
    """The weight that `q=0.5` says, from 0 to 1; None for another parameter and for what is none (RFC 9110, 12.4.2)."""
    match = _WEIGHT.fullmatch(parameter.strip(BLANKS))
    return None if match is None else float(match[1])


def in_order(value: bytes) -> bytes:
    """A list of Accept, Accept-Charset or Accept-Language, what is preferred first; of equal weight as it came.

    Names are in lower case, weights in their shortest form. The order of equals stays, since frameworks take it for the
    order of preference. A value that is not read with certainty, such as one with quotes, stays as it is.
    """
    return _in_order(value) if len(value) > LONGEST_REMEMBERED else _remembered_in_order(value)


def _in_order(value: bytes) -> bytes:
    weighed = []
    for member in split_list(value):
        name, *parameters = [part.strip(BLANKS) for part in member.split(b";")]
        weight = weight_of(parameters[-1]) if parameters else 1.0
        if b'"' in member or (weight is None and any(each[:1] in b"qQ" for each in parameters)):
            return value
        if weight is None:
            weight = 1.0
        elif parameters:
            parameters.pop()
        weighed.append((weight, b";".join((name.lower(), *parameters))))
    weighed.sort(key=lambda each: -each[0])
    return b",".join(dict.fromkeys(name if weight == 1.0 else b"%s;q=%g" % (name, weight) for weight, name in weighed))


_remembered_in_order = lru_cache(1024)(_in_order)


def best_language(value: bytes, offered: tuple[str, ...]) -> bytes | None:
    """Which of the languages `offered` a request with this Accept-Language gets by look-up (RFC 4647, 3.4).

    A range that the client prefers goes first, and each becomes shorter until one fits: `de-CH` is content with `de`,
    and `de` not with `de-CH`. None where none fits: `*` alone says of none that it is wanted. One that has a weight of
    0 is never the answer.
    """
    return _best(value, offered) if len(value) > LONGEST_REMEMBERED else _remembered_best(value, offered)


def _best(value: bytes, offered: tuple[str, ...]) -> bytes | None:
    names = {name.lower().encode(): name.encode() for name in offered}
    wanted = [_weighed(member) for member in split_list(value)]
    refused = {name for name, weight in wanted if weight == 0.0}
    for name, _ in sorted([each for each in wanted if each[1] > 0.0], key=lambda each: -each[1]):
        while name:
            if name in names and name not in refused:
                return names[name]
            name = _shorter(name)
    return None


_remembered_best = lru_cache(1024)(_best)


def _weighed(member: bytes) -> tuple[bytes, float]:
    name, _, parameter = member.partition(b";")
    weight = weight_of(parameter) if parameter else 1.0
    # What is not understood is not wanted.
    return name.strip(BLANKS).lower(), -1.0 if weight is None else weight


def _shorter(name: bytes) -> bytes:
    shorter = name.rpartition(b"-")[0]
    # A subtag of one character says what the next one means, so it does not stand at an end.
    return shorter[:-2] if shorter[-2:-1] == b"-" else shorter
