"""What the runner sends and what it gets, whatever lies between."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from .suite import Interim


class TransportError(Exception):
    """The connection was refused, broke or carried what is no response."""


@dataclass(slots=True)
class RunnerRequest:
    """A request; the target is path and query."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes | None

    def shown(self) -> str:
        """For people."""
        lines = [f"{self.method} {self.target}", *(f"{name}: {value}" for name, value in self.headers)]
        return "\n".join(lines + ([] if self.body is None else ["", self.body.decode("utf-8", "replace")]))


@dataclass(slots=True)
class RunnerResponse:
    """A response: names in lower case, the lines of a name joined, in Latin-1."""

    status: int
    headers: dict[str, str]
    interim: list[Interim] = field(default_factory=list)
    body: bytes = b""
    body_problem: TransportError | TimeoutError | None = None
    """Why the body could not be read: it is judged only when it is the body's turn."""

    def shown(self) -> str:
        """For people."""
        lines = [f"(before it: {each.status} {list(each.headers)})" for each in self.interim]
        lines += [str(self.status), *(f"{name}: {value}" for name, value in self.headers.items())]
        lines += ["", self.body.decode("utf-8", "replace")] if self.body else []
        return "\n".join(lines + ([f"(body: {self.body_problem!r})"] if self.body_problem else []))


class Transport(Protocol):
    """Carries requests to the cache under test."""

    async def exchange(self, request: RunnerRequest, limit: float) -> RunnerResponse:
        """Send a request once; TransportError or, after `limit` seconds without a head, TimeoutError."""
        ...


def joined(lines: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """One line per name, at the place of the first and as it is written there; values joined, blanks around removed."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, value in lines:
        found.setdefault(name.lower(), (name, []))[1].append(value.strip(" \t"))
    return [(name, ", ".join(values)) for name, values in found.values()]


def response_headers(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By lower-case name."""
    return {name.lower(): value for name, value in joined(lines)}


def decoded(body: bytes, content_encoding: str) -> bytes:
    """The body without its content codings; as it is where one of them is not known. Raises TransportError."""
    codings = [each.strip().lower() for each in content_encoding.split(",") if each.strip()]
    if not body or not codings or any(each not in ("gzip", "x-gzip", "deflate", "identity") for each in codings):
        return body
    try:
        for coding in reversed(codings):
            if coding != "identity":
                body = _inflated(body, coding)
    except zlib.error as error:
        raise TransportError(f"the body is not in its content coding: {error}") from error
    return body


def _inflated(body: bytes, coding: str) -> bytes:
    # "deflate" means zlib's format, but some send it without its frame.
    raw = coding == "deflate" and body[0] & 0x0F != 8
    window = -15 if raw else 15 if coding == "deflate" else 31
    inflater = zlib.decompressobj(window)
    plain = inflater.decompress(body)
    if not inflater.eof:
        raise TransportError("the body ends within its content coding")
    return plain
