"""What goes on the wire for a request."""

from __future__ import annotations

from typing import Any, cast

import pytest

from penstock import _version
from penstock.errors import UsageError
from penstock.messages import Headers, Request
from penstock.wire.request_bytes import RequestEncoder
from penstock.wire.url import UrlOrigin

ENCODER = RequestEncoder(UrlOrigin("https", "example.com", 443), "gzip")
FIXED = f"User-Agent: penstock/{_version.__version__}\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n".encode()


def test_a_get_byte_for_byte() -> None:
    got = ENCODER.encode(Request("GET", "", {"X-A": "é"}), "/a?b")
    assert got == b"GET /a?b HTTP/1.1\r\nHost: example.com\r\n" + FIXED + b"X-A: \xe9\r\n\r\n"


def test_a_post_byte_for_byte() -> None:
    got = ENCODER.encode(Request("POST", "", (), b"hi"), "/")
    assert got == b"POST / HTTP/1.1\r\nHost: example.com\r\n" + FIXED + b"Content-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("GET", b"", None),
        ("DELETE", b"", None),
        ("GET", b"x", 1),
        ("POST", b"", 0),
        ("PUT", b"", 0),
        ("PATCH", b"", 0),
    ],
)
def test_the_length_is_said_where_a_body_is_meant(method: str, body: bytes, length: int | None) -> None:
    got = ENCODER.encode(Request(method, "", (), body), "/")
    assert (b"Content-Length" in got) is (length is not None)
    if length is not None:
        assert b"\r\nContent-Length: %d\r\n" % length in got


def test_one_headers_object_serves_several_methods_and_bodies() -> None:
    headers = Headers({"X": "y"})
    for method in ("GET", "POST", "GET"):
        for n in range(3):
            got = ENCODER.encode(Request(method, "", headers, b"b" * n), f"/{n}")
            assert got.startswith(f"{method} /{n} HTTP/1.1\r\nHost: ".encode())
            assert got.endswith(b"b" * n)


def test_a_headers_object_known_from_one_method_is_looked_at_again_for_another() -> None:
    headers = Headers({"X": "y"})
    assert b"Content-Length" not in ENCODER.encode(Request("GET", "", headers), "/")
    assert b"Content-Length: 0\r\n" in ENCODER.encode(Request("POST", "", headers), "/")
    with pytest.raises(UsageError):
        ENCODER.encode(Request("GET / HTTP/1.1\r\nX: y", "", headers), "/")


def test_many_headers_objects_are_not_mixed_up_nor_all_kept() -> None:
    encoder = RequestEncoder(UrlOrigin("http", "h", 8080), "gzip")
    for n in range(2000):
        assert f"X: {n}\r\n".encode() in encoder.encode(Request("GET", "", {"X": str(n)}), "/")
    assert len(encoder._known) <= 256
    assert b"Host: h:8080\r\n" in encoder.encode(Request("GET", ""), "/")


@pytest.mark.parametrize(
    "name",
    ["Content-Length", "transfer-encoding", "CONNECTION", "Keep-Alive", "Upgrade", "TE", "Proxy-Connection"],
)
def test_fields_of_the_wire_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name.lower()):
        ENCODER.encode(Request("GET", "", {name: "1"}), "/")


@pytest.mark.parametrize("method", ["", "G T", "GET\r\n", "GÉT", "CONNECT", None, 7])
def test_what_is_no_method_is_refused(method: Any) -> None:
    with pytest.raises(UsageError):
        ENCODER.encode(Request(method, ""), "/")


def test_two_hosts_are_refused() -> None:
    with pytest.raises(UsageError, match="one Host"):
        ENCODER.encode(Request("GET", "", [("Host", "a"), ("host", "b")]), "/")


def test_a_body_of_text_is_refused() -> None:
    with pytest.raises(UsageError, match="must be bytes, not str"):
        ENCODER.encode(Request("POST", "", (), cast("bytes", "text")), "/")
