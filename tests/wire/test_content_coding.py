"""Decoding within a cap."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import BadBody, CallError, ResponseTooLarge
from penstock.wire.content_coding import accept_encoding, decode

ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=5000))
def test_what_was_encoded_is_decoded(coding: str, plain: bytes) -> None:
    assert decode(coding, ENCODERS[coding](plain), len(plain)) == plain
    if plain:
        with pytest.raises(ResponseTooLarge):
            decode(coding, ENCODERS[coding](plain), len(plain) - 1)


@given(st.sampled_from(sorted(ENCODERS)), st.binary(min_size=1, max_size=300))
def test_arbitrary_bytes_never_raise_anything_but_a_call_error(coding: str, body: bytes) -> None:
    with contextlib.suppress(CallError):
        assert len(decode(coding, body, 1000)) <= 1000


@pytest.mark.parametrize("coding", ENCODERS)
def test_every_prefix_is_cut_short(coding: str) -> None:
    body = ENCODERS[coding](bytes(range(256)) * 20)
    for end in range(1, len(body)):
        with pytest.raises(BadBody):
            decode(coding, body[:end], 10_000)


def test_several_zstd_frames_are_one_body() -> None:
    frame = ENCODERS["zstd"](b"x" * 1000)
    assert decode("zstd", frame * 100, 200_000) == b"x" * 100_000


def test_codings_are_removed_from_the_last_to_the_first() -> None:
    assert decode("deflate , GZIP, identity", gzip.compress(zlib.compress(b"x")), 100) == b"x"


def test_an_empty_body_has_no_coding_to_remove() -> None:
    assert decode("gzip", b"", 0) == b""


@pytest.mark.parametrize("coding", ["compress", "aws-chunked", "gzip, magic", ", ".join(["gzip"] * 5)])
def test_unknown_and_too_many_codings_are_refused(coding: str) -> None:
    with pytest.raises(BadBody):
        decode(coding, b"x", 100)


class NothingInstalled:
    """An import system that finds nothing."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        return None


@pytest.mark.parametrize("missing", ["brotli", "zstandard"])
def test_only_what_is_installed_is_offered(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = {"brotli": "br", "zstandard": "zstd"}[missing]
    assert name in accept_encoding()
    monkeypatch.delitem(sys.modules, missing, raising=False)
    monkeypatch.setattr(sys, "meta_path", [NothingInstalled()])
    assert name not in accept_encoding()
    with pytest.raises(BadBody, match="penstock-http\\[compression\\]"):
        decode(name, b"x", 10)
