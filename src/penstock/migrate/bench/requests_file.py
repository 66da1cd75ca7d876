"""What is sent: the requests of a file, one JSON object a line, or the route itself where it is a plain GET."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, UsageError
from ...messages import Headers, Request
from ...wire.request_bytes import check_request
from ...wire.url import split_url

_KNOWN = {"method", "path", "headers", "body"}
_FILLED_IN = re.compile(r"[{}<>]")
_PARAMETER = re.compile(r"(\{[^{}]*\}|<[^<>]*>)")


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One request, without the address of the server."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def at(self, port: int) -> Request:
        """To a server of this machine. Raises UsageError for a method, path or field that cannot be sent."""
        made = Request(self.method, f"http://127.0.0.1:{port}{self.path}", Headers(self.headers), self.body)
        check_request(made.method, made.headers)
        split_url(made.url)
        return made


def of_route(route: str) -> RequestLine:
    """`GET /items` as a request. Raises UsageError where it has parameters, or could change something."""
    method, _, path = route.strip().partition(" ")
    path = path.strip()
    if not path.startswith("/") or not method.isalpha():
        raise UsageError(f"{route!r} is no route; write a method and a path, such as 'GET /quote/{{id}}'")
    why = f"{route} has parameters" if _FILLED_IN.search(path) else f"{route} is not a GET"
    if method.upper() != "GET" or _FILLED_IN.search(path):
        raise UsageError(
            f"{why}: give --requests FILE with what is to be sent, one JSON object a line such as "
            '{"method": "GET", "path": "/quote/7", "headers": {}, "body": ""}'
        )
    return RequestLine("GET", path)


def of_another_route(route: str, requests: Sequence[RequestLine]) -> str:
    """A warning, where some of `requests` have not the method or the path that `route` is called by; else "".

    It cannot be more: the name of a route is its owner's, and what stands before its path is the framework's.
    """
    method, _, path = route.strip().partition(" ")
    if not path.strip().startswith("/") or not method.isalpha():
        return ""
    form = re.compile(".*" + "".join(map(_form, _PARAMETER.split(path.strip().partition("?")[0]))), re.DOTALL)
    others = [
        line for line in requests if line.method != method.upper() or not form.fullmatch(line.path.partition("?")[0])
    ]
    if not others:
        return ""
    first = f"{others[0].method} {others[0].path[:60]}"
    return (
        f"warning: {len(others)} of {len(requests)} requests are not of the form {route}, such as {first}; "
        "what goes to another route is measured as well, and there all arms are the same"
    )


def _form(part: str) -> str:
    if not _FILLED_IN.search(part):
        return re.escape(part)
    return ".+" if "path" in part.partition(":")[2] or part.startswith("<path") else "[^/]+"


def read_requests(path: Path) -> list[RequestLine]:
    """All requests of a file. Raises InputError, with the line, for one that is none."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=str(path)) from None
    except UnicodeDecodeError as error:
        raise InputError(f"cannot be read: byte {error.start + 1} is not UTF-8", path=str(path)) from None
    found = list(_lines(path, text))
    if not found:
        raise InputError("holds no request", path=str(path))
    return found


def _lines(path: Path, text: str) -> Iterator[RequestLine]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            request = from_json(json.loads(line))
            request.at(1)
        except RecursionError:
            raise InputError("is nested too deep", path=str(path), line=number) from None
        except json.JSONDecodeError as error:
            raise InputError(f"is no JSON: {error}", path=str(path), line=number) from None
        except ValueError as error:
            # UsageError is one, too.
            raise InputError(str(error), path=str(path), line=number) from None
        yield request


def from_json(given: Any) -> RequestLine:
    """One object as a request. Raises UsageError."""
    if not isinstance(given, dict):
        raise UsageError("is no JSON object")
    if given.keys() - _KNOWN:
        raise UsageError(f"has {min(given.keys() - _KNOWN)!r}; known are method, path, headers, body")
    method, path, headers, body = (given.get(name) for name in ("method", "path", "headers", "body"))
    if not isinstance(path, str) or not path.startswith("/"):
        raise UsageError(f"has the path {path!r}; it begins with a slash")
    if not isinstance(method, str | None) or not isinstance(headers, dict | None):
        raise UsageError("has a method that is no text, or headers that are no object")
    if not all(isinstance(value, str) for value in (headers or {}).values()):
        raise UsageError("has a header whose value is no text")
    fields = dict(headers or {})
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
        if not any(name.lower() == "content-type" for name in fields):
            fields["content-type"] = "application/json"
    return RequestLine((method or "GET").upper(), path, tuple(fields.items()), (body or "").encode())


def to_wire(requests: list[RequestLine]) -> list[list[Any]]:
    """As JSON for the process that sends them; `from_wire` reads it."""
    return [
        [each.method, each.path, [list(field) for field in each.headers], base64.b64encode(each.body).decode()]
        for each in requests
    ]


def from_wire(given: list[list[Any]]) -> list[RequestLine]:
    """The inverse of `to_wire`."""
    return [
        RequestLine(method, path, tuple((name, value) for name, value in headers), base64.b64decode(body))
        for method, path, headers, body in given
    ]
