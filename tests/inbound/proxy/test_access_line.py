"""How a line of the access log looks: as JSON, and in the combined format with more at its end."""

from __future__ import annotations

import re

import orjson
import pytest

from penstock.inbound.proxy.access_line import FORMATS, Entry, LoggedRequest
from penstock.rules.caching.cache_status import Told

NOON = 1796126400.25
ASKED = LoggedRequest("GET", "shop.example", "/a?b=1", "HTTP/1.1", "curl/8", "http://shop.example/")
MISS = Entry(
    "192.0.2.1", 200, 300, 100, ASKED, 0.25, 0.2, Told("miss", "uri-miss", None, stored=True), request_id="ab01"
)
COMBINED = re.compile(
    r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) '
    r'"((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"((?: [a-z]+=\S+)+)'
)
"""As goaccess and others read it, but for the names at the end."""


def line(kind: str, entry: Entry, *, with_query: bool = False) -> str:
    form = FORMATS[kind]
    before, after = form.around(entry, with_query)
    return (before + form.stamp(NOON) + after).decode()


def test_json() -> None:
    assert orjson.loads(line("json", MISS)) == {
        "time": NOON,
        "client": "192.0.2.1",
        "method": "GET",
        "host": "shop.example",
        "path": "/a",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 300,
        "body_bytes": 100,
        "cache": "miss",
        "fwd": "uri-miss",
        "stored": True,
        "duration_s": 0.25,
        "origin_s": 0.2,
        "request_id": "ab01",
        "user_agent": "curl/8",
        "referer": "http://shop.example/",
    }


def test_combined() -> None:
    assert line("combined", MISS) == (
        '192.0.2.1 - - [01/Dec/2026:12:00:00 +0000] "GET /a HTTP/1.1" 200 100 "http://shop.example/" "curl/8" '
        "cache=miss fwd=uri-miss detail=- duration=0.250000 origin=0.200000 aborted=0 host=shop.example id=ab01"
    )


@pytest.mark.parametrize(
    "text", ["a b", '192.0.2.9 - - [x] "GET /paid HTTP/1.1" 200 1 "-" "', "a\tb", "a\x85b", "a\xa0b", "a\\", "unix:"]
)
def test_the_address_is_one_word_whatever_a_proxy_in_front_says(text: str) -> None:
    """It is what X-Forwarded-For says, and with a blank or a quote in it the line was another request's."""
    fields = COMBINED.fullmatch(line("combined", MISS._replace(client=text)))
    assert fields is not None
    assert fields[3] == "GET /a HTTP/1.1"
    assert fields[1].isascii()


@pytest.mark.parametrize("kind", FORMATS)
def test_the_query_is_there_only_if_asked_for(kind: str) -> None:
    assert "b=1" not in line(kind, MISS)
    assert "b=1" in line(kind, MISS, with_query=True)


def test_what_is_not_known_has_no_key_and_a_dash() -> None:
    refused = Entry("", 400, 150, 150)
    assert orjson.loads(line("json", refused)) == {
        "time": NOON,
        "client": "unix:",
        "status": 400,
        "bytes": 150,
        "body_bytes": 150,
    }
    found = COMBINED.fullmatch(line("combined", refused))
    assert found is not None
    assert found[8] == " cache=- fwd=- detail=- duration=- origin=- aborted=0 host=- id=-"


@pytest.mark.parametrize(
    "text", ['"', "\\", "\n", "\r\nfake", "\x00", "\x7f", "é", "\xff", '\\" 200 1 "', " cache=hit "]
)
@pytest.mark.parametrize("kind", FORMATS)
def test_nobody_writes_a_line_of_their_own(kind: str, text: str) -> None:
    """Of the request only what a quoted text can hold gets into a line."""
    entry = MISS._replace(asked=LoggedRequest("GET", "h", f"/{text}", "HTTP/1.1", text, text), request_id=None)
    made = line(kind, entry, with_query=True)
    assert len(made.splitlines()) == 1
    if kind == "json":
        assert orjson.loads(made)["user_agent"] == text
        return
    found = COMBINED.fullmatch(made)
    assert found is not None
    assert (found[4], found[8].split()[0]) == ("200", "cache=miss")
