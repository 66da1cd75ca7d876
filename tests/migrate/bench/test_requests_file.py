"""The requests of a file, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.errors import InputError, UsageError
from penstock.migrate.bench.requests_file import (
    RequestLine,
    from_wire,
    of_another_route,
    of_route,
    read_requests,
    to_wire,
)


def test_a_plain_get_needs_no_file() -> None:
    assert of_route("GET /items") == RequestLine("GET", "/items")
    assert of_route(" get  /items?all=1") == RequestLine("GET", "/items?all=1")


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("GET /quote/{id}", "has parameters: give --requests FILE"),
        ("GET /quote/<int:id>", "has parameters: give --requests FILE"),
        ("POST /orders", "is not a GET: give --requests FILE"),
        ("/items", "is no route"),
        ("GET items", "is no route"),
        ("GET", "is no route"),
        ("", "is no route"),
    ],
)
def test_other_routes_do(route: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        of_route(route)


@pytest.mark.parametrize(
    ("route", "lines", "told"),
    [
        ("GET /p/{id}", ["GET /p/7", "GET /p/8?x=/"], 0),
        ("GET /p/{id}", ["GET /api/v1/p/7"], 0),  # what a router puts before it
        ("GET /p/{id}", ["GET /p", "GET /p/7/x", "GET /p/", "GET /q/7", "POST /p/7"], 5),
        ("GET /p/{id}", ["GET /p/7", "GET /p"], 1),
        ("get /p/<int:id>/x", ["GET /p/7/x"], 0),
        ("GET /f/{name:path}", ["GET /f/a/b.txt"], 0),
        ("GET /f/<path:name>", ["GET /f/a/b.txt"], 0),
        ("GET /a.b", ["GET /axb"], 1),
        ("GET /items?all=1", ["GET /items?all=1"], 0),
        ("quotes", ["GET /whatever"], 0),  # a name of the owner's own
    ],
)
def test_what_may_go_to_another_route_is_told(route: str, lines: list[str], told: int) -> None:
    """Measured there, all arms are the same, and the verdict would be "no gain"."""
    requests = [RequestLine(method, path) for method, path in (line.split() for line in lines)]
    warning = of_another_route(route, requests)
    assert warning.startswith(f"warning: {told} of {len(lines)} requests are not of the form") if told else not warning


def test_a_file(tmp_path: Path) -> None:
    """The body as text, or as JSON, which then has its type."""
    file = tmp_path / "urls.jsonl"
    file.write_text(
        '{"path": "/a"}\n'
        "\n"
        '{"method": "post", "path": "/b", "headers": {"X-Key": "k"}, "body": "text \u00e9"}\n'
        '{"method": "PUT", "path": "/c", "body": {"n": 1}}\n'
    )
    found = read_requests(file)
    assert found == [
        RequestLine("GET", "/a"),
        RequestLine("POST", "/b", (("X-Key", "k"),), "text \u00e9".encode()),
        RequestLine("PUT", "/c", (("content-type", "application/json"),), b'{"n": 1}'),
    ]
    assert from_wire(to_wire(found)) == found
    assert found[1].at(8000).url == "http://127.0.0.1:8000/b"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "holds no request"),
        ("GET /a", "jsonl:1: is no JSON: Expecting value"),
        ("[]", "jsonl:1: is no JSON object"),
        ('{"url": "/a"}', "jsonl:1: has 'url'; known are method, path, headers, body"),
        ("{}", "jsonl:1: has the path None; it begins with a slash"),
        ('{"path": "http://elsewhere/a"}', "begins with a slash"),
        ('{"path": "/a", "headers": []}', "headers that are no object"),
        ('{"path": "/a", "headers": {"x": 1}}', "a header whose value is no text"),
        ('{"path": "/a", "headers": {"x y": "1"}}', "is not a token"),
        ('{"path": "/a", "method": 1}', "a method that is no text"),
        # What could not be sent would else be told of as errors of the app.
        ('{"path": "/a b"}', "jsonl:1: '/a b': a URL must be percent-encoded"),
        ('{"path": "/caf\u00e9"}', "must be percent-encoded"),
        ('{"path": "/\\ud800"}', "must be percent-encoded"),
        ('{"path": "/a HTTP/1.1\\r\\nX: y"}', "must be percent-encoded"),
        ('{"path": "/a", "method": "GET / HTTP/1.1\\r\\nX:"}', "is not a token"),
        ('{"path": "/a", "method": "CONNECT"}', "CONNECT makes a tunnel"),
        ('{"path": "/a", "headers": {"x": "a\\r\\nb: c"}}', "holds a CR, LF or NUL"),
        ('{"path": "/a", "headers": {"x": "\u20ac"}}', "outside latin-1"),
        ('{"path": "/a", "headers": {"Content-Length": "5"}}', "is the client's own to write"),
        ('{"path": "/a", "headers": {"transfer-encoding": "chunked"}}', "is the client's own to write"),
        ('{"path": "/a", "headers": {"connection": "keep-alive"}}', "is the client's own to write"),
        ('{"path": "/a", "body": "\\ud800"}', "surrogates not allowed"),
        ("[" * 100_000, "jsonl:1: is nested too deep"),
    ],
)
def test_a_line_that_is_no_request(line: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "urls.jsonl"
    file.write_text(line)
    with pytest.raises(InputError) as raised:
        read_requests(file)
    assert words in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """In words, without what Python calls it."""
    missing, latin = tmp_path / "urls.jsonl", tmp_path / "latin.jsonl"
    latin.write_bytes(b'{"path": "/caf\xe9"}')
    for file, why in (
        (missing, "No such file or directory"),
        (tmp_path, "Is a directory"),
        (latin, "byte 15 is not UTF-8"),
    ):
        with pytest.raises(InputError) as raised:
            read_requests(file)
        assert str(raised.value).endswith(f"{file.name}: cannot be read: {why}")


def test_a_file_from_a_windows_editor(tmp_path: Path) -> None:
    file = tmp_path / "urls.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"path": "/a"}\r\n{"path": "/b"}\r\n')
    assert read_requests(file) == [RequestLine("GET", "/a"), RequestLine("GET", "/b")]
