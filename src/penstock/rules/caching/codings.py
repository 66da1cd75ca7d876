"""Which content coding an app chooses for whom, so that one stored copy serves all who would be sent the same.

Clients spell Accept-Encoding in many ways, and nearly all of them mean one of a few sets. What the app makes of a set
is learned from its answers: who was offered gzip, br and zstd and chose br prefers br to both, and chooses it from any
part of the set that has br in it. So such a request is known to lead to the br copy; others are asked for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .cache_control import LONGEST_REMEMBERED
from .http_fields import BLANKS, FieldMap, split_list
from .preferences import weight_of

ENCODING = b"accept-encoding"
CODINGS = {b"identity": 1, b"gzip": 2, b"br": 4, b"zstd": 8, b"deflate": 16}
"""Those that make a difference; an answer in another is for who asked in the same words."""
NAMES = {1: b"identity", 2: b"gzip", 4: b"br", 8: b"zstd", 16: b"deflate"}
_IDENTITY = 1
_ALL = 31
_UNUSUAL = 32
"""Set where an offer is not written as nearly all are: apps misread weights, `*` and capitals, and send no coding then.
That must not become the answer for all, or one client could have everybody served without compression."""
_USUAL = re.compile(rb"[a-z0-9-]+(?:, ?[a-z0-9-]+)*+")
_MOST_CHOICES = 12


class Choice(NamedTuple):
    """`coding` was chosen when `offered` was accepted."""

    offered: int
    coding: int


Choices = tuple[Choice, ...]
"""What is known of the app's choices for one key, the last one first."""


def offer_of(value: bytes | None) -> int:
    """The codings that this Accept-Encoding accepts (RFC 9110, 12.5.3): bits of CODINGS, and whether it is unusual.

    Where it has none, any would be acceptable, and the client may not be able to read one: so it offers nothing, and
    shares with its like alone. What cannot be read is not accepted.
    """
    if value is None:
        return 0
    return _offer(value) if len(value) > LONGEST_REMEMBERED else _remembered_offer(value)


def _offer(value: bytes) -> int:
    named, others = _weights(value)
    weights = {CODINGS[name]: weight for name, weight in named.items() if name in CODINGS}
    if others is not None:
        weights = {**dict.fromkeys(NAMES, others), **weights}
    codings = sum(coding for coding, weight in weights.items() if weight > 0.0 and coding != _IDENTITY)
    if codings and (_IDENTITY in weights or not _USUAL.fullmatch(value)):
        codings |= _UNUSUAL
    return codings | (_IDENTITY if weights.get(_IDENTITY, 1.0) > 0.0 else 0)


_remembered_offer = lru_cache(1024)(_offer)


def _weights(value: bytes) -> tuple[dict[bytes, float], float | None]:
    """The codings that are named, with their weights, and the weight of all others, if it has one."""
    named: dict[bytes, float] = {}
    others: float | None = None
    for member in split_list(value.lower()):
        name, _, parameters = member.partition(b";")
        weight = (weight_of(parameters) or 0.0) if parameters else 1.0
        name = name.strip(BLANKS)
        if name == b"*":
            others = weight
        else:
            # Said twice: what is refused once is refused.
            named[name] = min(weight, named.get(name, 1.0))
    return named, others


def offers(value: bytes | None, codings: bytes) -> bool:
    """Whether this Accept-Encoding names all of the list `codings`, or `*`; without the field it names none."""
    named, others = _weights(value or b"")
    return all(named.get(each, others or 0.0) > 0.0 for each in codings.split(b", "))


def coding_of(fields: FieldMap) -> int | None:
    """The coding of an answer with these fields; None for one that is not among CODINGS, and for several."""
    value = fields.get(b"content-encoding")
    return _IDENTITY if value is None else CODINGS.get(value.lower())


def choice_for(offer: int, choices: Choices) -> int | None:
    """The coding that the app will choose from `offer`, as far as that is known. It is always one of them."""
    for offered, coding in choices:
        if _covers(offered, offer) and coding & offer:
            return coding
    return None


def _covers(offered: int, offer: int) -> bool:
    # A usual offer tells what holds for all, an unusual one only what holds for such.
    return not offer & _ALL & ~offered and (not offered & _UNUSUAL or bool(offer & _UNUSUAL))


@lru_cache(1024)
def learn(choices: Choices, offer: int, coding: int | None) -> Choices:
    """`choices` with one more, and without those that it contradicts; the same object where it is no news."""
    if coding is None or not coding & offer or choice_for(offer, choices) == coding:
        return choices
    new = Choice(offer, coding)
    kept = [old for old in choices if old.offered & _UNUSUAL != offer & _UNUSUAL or not _replaces(new, old)]
    return (new, *kept)[:_MOST_CHOICES]


def _replaces(new: Choice, old: Choice) -> bool:
    """Whether `old` follows from `new`, or is no longer true: one app cannot have made both choices."""
    if not old.offered & ~new.offered and (old.coding == new.coding or old.offered & new.coding):
        return True
    return old.coding != new.coding and not new.offered & ~old.offered and bool(new.offered & old.coding)


def place_of(
    accepted: bytes | None, fields: FieldMap, undeclared: bytes | None, known: Choices
) -> tuple[bytes | None, Choices]:
    """What stands for Accept-Encoding in the variant of an answer with `fields`, and what is known of choices then.

    None for what is for those who ask in the same words: a coding that the request did not accept, or that is not among
    CODINGS. `undeclared`: see `undeclared_coding`; that is never for who did not offer it, whatever was asked.
    """
    offer, coding = offer_of(accepted), coding_of(fields)
    if undeclared is None:
        return NAMES[coding] if coding is not None and coding & offer else None, learn(known, offer, coding)
    if undeclared in CODINGS:
        return undeclared, _learn_for_all(known, CODINGS[undeclared])
    return None if offers(accepted, undeclared) else undeclared, known


def _learn_for_all(choices: Choices, coding: int) -> Choices:
    """Who does not vary sends the same to all: whoever accepts `coding` may have it, whatever else is accepted."""
    new = Choice(_ALL, coding)
    return choices if new in choices else (new, *[old for old in choices if old.offered == _ALL])[:_MOST_CHOICES]
