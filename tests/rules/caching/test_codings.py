"""What clients accept, and what the app makes of it: one copy for all who would be sent the same."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.cache_key import shared_variant, variant_of, variants_of
from penstock.rules.caching.codings import NAMES, Choices, choice_for, coding_of, learn, offer_of

VARY = (b"accept-encoding",)
IDENTITY, GZIP, BR, ZSTD, DEFLATE, UNUSUAL = 1, 2, 4, 8, 16, 32
REAL = [
    b"gzip",
    b"gzip, deflate",
    b"gzip,deflate",
    b"gzip, deflate, br",
    b"gzip, deflate, br, zstd",
    b"br, gzip, deflate",
    b"gzip, deflate, sdch",
    b"gzip;q=1.0, deflate;q=0.6, identity;q=0.3",
    b"GZIP",
    b"x-gzip, gzip, deflate",
    b"gzip;q=1.0,*;q=0.5",
    b"gzip, foo",
    b"br;q=1.0, gzip;q=0.8, *;q=0.1",
    b"deflate, gzip;q=1.0, *;q=0.5",
    b"gzip , deflate , br",
    b"identity",
    b"",
    b"identity;q=1",
    b"*;q=0, identity",
]


@pytest.mark.parametrize(
    ("value", "offer"),
    [
        (None, 0),
        (b"", IDENTITY),
        (b"identity", IDENTITY),
        (b"gzip", IDENTITY | GZIP),
        (b"gzip, deflate, br, zstd", 31),
        (b"gzip,br", IDENTITY | GZIP | BR),
        (b"gzip, foo", IDENTITY | GZIP),
        (b"x-gzip", IDENTITY),
        (b"BR , gzip", IDENTITY | GZIP | BR | UNUSUAL),
        (b"gzip;q=0", IDENTITY),
        (b"gzip;q=0.000", IDENTITY),
        (b"gzip ; q=0.5", IDENTITY | GZIP | UNUSUAL),
        (b"gzip;Q=1.000", IDENTITY | GZIP | UNUSUAL),
        (b"gzip, identity;q=0", GZIP | UNUSUAL),
        (b"gzip, *;q=0", GZIP | UNUSUAL),
        (b"identity, gzip", IDENTITY | GZIP | UNUSUAL),
        (b"*", 31 | UNUSUAL),
        (b"*;q=0", 0),
        (b"*, gzip;q=0", 31 - GZIP | UNUSUAL),
        (b"*, identity;q=0", 31 - IDENTITY | UNUSUAL),
        (b"gzip, gzip;q=0", IDENTITY),
        (b"gzip;q=1.5", IDENTITY),
        (b"gzip;q=x", IDENTITY),
        (b"gzip;q=-1", IDENTITY),
        (b"gzip;level=1", IDENTITY),
        (b"foo, dcb, compress", IDENTITY),
        (b"gzip;q=0.5, br", IDENTITY | GZIP | BR | UNUSUAL),
        (b"gzip, identity;q=0.5", IDENTITY | GZIP | UNUSUAL),
    ],
)
def test_what_a_client_accepts(value: bytes | None, offer: int) -> None:
    assert offer_of(value) == offer
    if value is not None:
        assert offer_of((value or b"x") + b", " + b"x" * 9000) == offer


@pytest.mark.parametrize(
    ("field", "coding"),
    [
        (None, IDENTITY),
        (b"gzip", GZIP),
        (b"GZIP", GZIP),
        (b"x-gzip", None),
        (b"br", BR),
        (b"gzip, br", None),
        (b"dcb", None),
    ],
)
def test_the_coding_of_an_answer(field: bytes | None, coding: int | None) -> None:
    assert coding_of({} if field is None else {b"content-encoding": field}) == coding


def copies(order: list[bytes], preferred: tuple[int, ...]) -> tuple[int, int]:
    """How many copies are kept and how often the app is asked, if it chooses the first of `preferred` that it may."""
    known: Choices = ()
    kept: set[bytes] = set()
    asked = 0
    for value in order:
        offer = offer_of(value)
        if not kept.isdisjoint(variants_of(VARY, {VARY[0]: value}, known)):
            continue
        asked += 1
        coding = next(each for each in (*preferred, IDENTITY) if each & offer)
        known = learn(known, offer, coding)
        kept.add(variant_of(VARY, {VARY[0]: value}, NAMES[coding]))
    return len(kept), asked


@pytest.mark.parametrize("preferred", [(GZIP,), (BR, GZIP), (ZSTD, BR, GZIP), ()])
@pytest.mark.parametrize("turn", range(len(REAL)))
def test_real_spellings_make_one_copy_of_a_body(preferred: tuple[int, ...], turn: int) -> None:
    """19 of them made 16 copies of two bodies."""
    kept, asked = copies([*REAL[turn:], *REAL[:turn]], preferred)
    assert kept == len(preferred) + 1
    assert asked <= 9


def test_no_order_of_requests_makes_more_copies() -> None:
    some = [b"gzip", b"gzip, br", b"br", b"identity", b"gzip, br, zstd"]
    for order in permutations(some):
        assert copies(list(order), (BR, GZIP))[0] == 3


_MEMBERS = st.sampled_from(
    [
        b"gzip",
        b"br",
        b"zstd",
        b"deflate",
        b"identity",
        b"*",
        b"foo",
        b"x-gzip",
        b"gzip;q=0",
        b"br;q=0",
        b"identity;q=0",
        b"*;q=0",
        b"gzip;q=0.5",
        b"br;q=0.1",
        b"gzip;q=oops",
        b"zstd;q=0.001",
    ]
)
_VALUES = st.none() | st.lists(_MEMBERS, max_size=5).map(b", ".join)
_ANSWERS = st.sampled_from([None, b"gzip", b"br", b"zstd", b"deflate", b"foo", b"gzip, br"])


@given(st.lists(st.tuples(_VALUES, _ANSWERS), max_size=12), _VALUES)
def test_nobody_gets_a_coding_that_he_did_not_accept(
    told: list[tuple[bytes | None, bytes | None]], asks: bytes | None
) -> None:
    """Whatever apps answer, also in codings that nobody offered, and at random."""
    known: Choices = ()
    stored: dict[bytes, int] = {}
    for value, answer in told:
        coding, offer = coding_of({} if answer is None else {b"content-encoding": answer}), offer_of(value)
        known = learn(known, offer, coding)
        if coding is not None and coding & offer:
            stored[variant_of(VARY, {} if value is None else {VARY[0]: value}, NAMES[coding])] = coding
    for variant in variants_of(VARY, {} if asks is None else {VARY[0]: asks}, known):
        assert variant not in stored or stored[variant] & offer_of(asks)
    assert len(known) <= 12
    assert learn(known, offer_of(asks), choice_for(offer_of(asks), known)) == known


@pytest.mark.parametrize(
    "value", [b"gzip;q=0.1, br;q=0.1, identity", b"*", b"GZIP, BR", b"gzip ,br;q=1", b"identity, gzip, br"]
)
def test_who_writes_unusually_decides_for_his_like_alone(value: bytes) -> None:
    """Apps heed such weights, or misread capitals and `*`, and send identity: that is not the answer for browsers."""
    known = learn((), offer_of(value), IDENTITY)
    assert choice_for(offer_of(b"gzip, br"), known) is None
    assert choice_for(offer_of(value), known) == IDENTITY
    known = learn(known, offer_of(b"gzip, br"), BR)
    assert choice_for(offer_of(b"gzip, br"), known) == BR


def test_an_app_that_changes_its_mind_is_believed() -> None:
    known = learn(learn((), IDENTITY | GZIP, GZIP), IDENTITY | GZIP | BR, GZIP)
    assert len(known) == 1
    known = learn(known, IDENTITY | GZIP | BR, BR)
    assert choice_for(IDENTITY | GZIP | BR, known) == BR
    assert choice_for(IDENTITY | GZIP, known) is None
    known = learn(known, IDENTITY, IDENTITY)
    known = learn(known, IDENTITY | GZIP | BR, IDENTITY)
    assert choice_for(IDENTITY | GZIP, known) == IDENTITY


def test_what_two_requests_can_share_is_known_before_any_answer() -> None:
    one, other = {VARY[0]: b"gzip, br;q=1"}, {VARY[0]: b"BR,gzip, foo"}
    assert variant_of(VARY, one) != variant_of(VARY, other)
    assert shared_variant(VARY, one, ()) == shared_variant(VARY, other, ())
    assert shared_variant(VARY, one, ()) != shared_variant(VARY, {}, ())
