"""Coded bodies whose Vary does not say so: how they are coded, and who has offered to read that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.caching.codings import offers
from penstock.rules.caching.options import CacheOptions
from penstock.rules.caching.undeclared_coding import undeclared_coding

SAFE, RFC = CacheOptions(), CacheOptions(profile="rfc")


@pytest.mark.parametrize(
    ("coding", "vary", "found"),
    [
        (b"gzip", None, b"gzip"),
        (b"GZip", None, b"gzip"),
        (b"x-gzip", None, b"x-gzip"),
        (b"br, gzip", None, b"br, gzip"),
        (b"gzip", b"cookie", b"gzip"),
        (b"gzip", b"Accept-Encoding", None),
        (b"gzip", b"cookie, accept-encoding", None),
        (b"identity", None, None),
        (b"aes", None, None),
        (b"aes, zstd", None, b"zstd"),
        (b"", None, None),
        (None, None, None),
    ],
)
def test_how_it_is_coded(coding: bytes | None, vary: bytes | None, found: bytes | None) -> None:
    pairs = ((b"content-encoding", coding), (b"vary", vary))
    fields = {name: value for name, value in pairs if value is not None}
    assert undeclared_coding(fields, SAFE) == found
    assert undeclared_coding(fields, RFC) is None


@pytest.mark.parametrize(
    ("accepted", "coding", "offered"),
    [
        (b"gzip", b"gzip", True),
        (b"gzip, deflate, br", b"gzip", True),
        (b"GZIP;q=0.5", b"gzip", True),
        (b"x-gzip", b"gzip", False),
        (b"*", b"gzip", True),
        (b"br, *;q=0.1", b"gzip", True),
        (b"gzip, br", b"br, gzip", True),
        (None, b"gzip", False),
        (b"", b"gzip", False),
        (b"identity", b"gzip", False),
        (b"br", b"gzip", False),
        (b"br", b"br, gzip", False),
        (b"gzip;q=0", b"gzip", False),
        (b"gzip; q=0.000", b"gzip", False),
        (b"*, gzip;q=0", b"gzip", False),
        (b"gzip, *;q=0", b"br", False),
    ],
)
def test_who_has_offered_it(accepted: bytes | None, coding: bytes, *, offered: bool) -> None:
    assert offers(accepted, coding) is offered


@given(st.binary(max_size=40))
def test_whatever_a_client_writes_it_has_offered_or_not(value: bytes) -> None:
    assert offers(value, b"gzip") in {True, False}
