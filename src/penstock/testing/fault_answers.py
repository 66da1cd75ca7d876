"""The bytes of the fault server's answers, built ahead where they can be."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import orjson

from .faults import FaultPlan

JSON = "application/json"

TORN = frozenset({"reset", "close", "truncated"})
"""Faults that end the connection."""

PLAIN_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
"""A 200 with a JSON body: % (its length, itself)."""

_GARBAGE = b'{"similarity": 0.9'
_PAGE = b"<!doctype html><html><head><title>Just a moment</title></head><body>Please wait.</body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of a `respond` function: Content-Length is added, Content-Type where it is missing."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def wire(self) -> bytes:
        """Return the answer as it is sent."""
        names = {name.lower() for name in self.headers}
        content_type = {} if "content-type" in names else {"Content-Type": JSON}
        return build(self.status, self.body, {**content_type, **self.headers})


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done instead of a plain answer; `wire` is sent where there is something to send.

    `at_once`: without the latency of an answer, as a limiter in front of an API refuses.
    """

    kind: str
    wire: bytes = b""
    at_once: bool = False


def build(status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Return a complete answer."""
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{name}: {value}" for name, value in headers.items())]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def plain_answer(body: bytes) -> bytes:
    """Return a 200 with a JSON body, the quickest way."""
    return PLAIN_ANSWER % (len(body), body)


def refusal(status: int, why: str) -> bytes:
    """Return an error answer with a JSON body that says why."""
    return build(status, orjson.dumps({"error": why}), {"Content-Type": JSON})


def too_many(wait: float) -> bytes:
    """Return a 429 of the limiter: Retry-After is whole seconds, so it is rounded up."""
    body = orjson.dumps({"error": "over the limit", "wait": wait})
    return build(429, body, {"Content-Type": JSON, "Retry-After": str(math.ceil(wait))})


def fault_for_kind(kind: str, plan: FaultPlan) -> Fault:
    """Return the fault of one of the plan's kinds. Build it anew each time where the plan sends dates."""
    if kind in TORN or kind in ("hang", "slow_body"):
        return Fault(kind)
    if kind == "garbage_json":
        return Fault(kind, plain_answer(_GARBAGE))
    if kind == "html":
        return Fault(kind, build(200, _PAGE, {"Content-Type": "text/html; charset=utf-8"}))
    status = 503 if kind == "503_retry_after" else int(kind)
    headers = {"Content-Type": JSON}
    if kind in ("429", "503_retry_after"):
        headers |= _retry_after(plan)
    return Fault(kind, build(status, orjson.dumps({"error": f"injected {kind}"}), headers))


def _retry_after(plan: FaultPlan) -> dict[str, str]:
    if not plan.retry_after_as_date:
        return {"Retry-After": str(math.ceil(plan.retry_after))}
    # A date has whole seconds only. Rounded up, so that who waits for it has waited long enough.
    now = time.time()
    until = math.ceil(now + plan.retry_after)
    return {"Date": formatdate(now, usegmt=True), "Retry-After": formatdate(until, usegmt=True)}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
