"""One line of the access log: what is known of an answer, as JSON or in the combined format of Apache and nginx."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import orjson

from ...rules.caching.cache_status import Told

_UNIX = "unix:"
"""For the address of a client that has none, as nginx writes it."""
_UNSAFE = re.compile(r'["\\\x00-\x1f\x7f-\xff]')
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LoggedRequest(NamedTuple):
    """The request, as text: bytes one to one."""

    method: str
    host: str
    target: str
    protocol: str
    user_agent: str | None
    referer: str | None


class Entry(NamedTuple):
    """One answer. Times are seconds; sizes are bytes, `size` with the head, `body` without."""

    client: str
    status: int
    size: int
    body: int
    asked: LoggedRequest | None = None
    """None for what could not be read as a request."""
    duration: float | None = None
    origin: float | None = None
    told: Told | None = None
    request_id: str | None = None
    aborted: bool = False


class LineFormat(NamedTuple):
    """How a line looks: its time, and what stands before and after that.

    `around` takes the entry, and whether the query is to be part of it: it often carries secrets.
    """

    stamp: Callable[[float], bytes]
    around: Callable[[Entry, bool], tuple[bytes, bytes]]


def _json_stamp(wall: float) -> bytes:
    return b"%.3f" % wall


def _json_around(entry: Entry, with_query: bool) -> tuple[bytes, bytes]:
    """A JSON object; what is not known has no key."""
    line: dict[str, object] = {"client": entry.client or _UNIX}
    asked, told = entry.asked, entry.told
    if asked is not None:
        path, _, query = asked.target.partition("?")
        line |= {"method": asked.method, "host": asked.host, "path": path}
        if with_query and query:
            line["query"] = query
        line["protocol"] = asked.protocol
    line |= {"status": entry.status, "bytes": entry.size, "body_bytes": entry.body}
    if told is not None:
        line["cache"] = told.result
    more = {
        "fwd": told and told.fwd,
        "detail": told and told.detail,
        "stored": (told and told.stored) or None,
        "duration_s": _rounded(entry.duration),
        "origin_s": _rounded(entry.origin),
        "aborted": entry.aborted or None,
        "request_id": entry.request_id,
        "user_agent": asked and asked.user_agent,
        "referer": asked and asked.referer,
    }
    line |= {name: value for name, value in more.items() if value is not None}
    return b'{"time":', b"," + orjson.dumps(line)[1:]


def _combined_around(entry: Entry, with_query: bool) -> tuple[bytes, bytes]:
    """`client - - [time] "request" status body_bytes "referer" "agent"`, then what is ours, as name=value."""
    asked, told = entry.asked, entry.told
    request, referer, agent, host = "-", "-", "-", "-"
    if asked is not None:
        target = asked.target if with_query else asked.target.partition("?")[0]
        request = _escaped(f"{asked.method} {target} {asked.protocol}")
        referer, agent = _escaped(asked.referer or "-"), _escaped(asked.user_agent or "-")
        host = _escaped(asked.host or "-")
    cache, fwd, detail = ("-", "-", "-") if told is None else (told.result, told.fwd or "-", told.detail or "-")
    detail = detail.replace(" ", "_")
    text = (
        f'] "{request}" {entry.status} {entry.body or "-"} "{referer}" "{agent}" '
        f"cache={cache} fwd={fwd} detail={detail} duration={_seconds(entry.duration)} origin={_seconds(entry.origin)} "
        f"aborted={int(entry.aborted)} host={host} id={entry.request_id or '-'}"
    )
    # With --trust-forwarded it is what a field says, whose writer may have handed on that of a client.
    client = _escaped(entry.client or _UNIX).replace(" ", "\\x20")
    return f"{client} - - [".encode("latin-1", "replace"), text.encode("latin-1", "replace")


def _combined_stamp(wall: float) -> bytes:
    return _clf_time(int(wall))


@lru_cache(4)
def _clf_time(second: int) -> bytes:
    # UTC: a log that is read elsewhere, or across a change of the clocks, stays in order.
    now = time.gmtime(second)
    date = f"{now.tm_mday:02d}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year}"
    return f"{date}:{now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d} +0000".encode()


def _escaped(text: str) -> str:
    """As Apache and nginx do it: nobody can end the quotes, or the line."""
    return _UNSAFE.sub(lambda found: f"\\x{ord(found[0]):02X}", text)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.6f}"


JSON = LineFormat(_json_stamp, _json_around)
FORMATS = {"json": JSON, "combined": LineFormat(_combined_stamp, _combined_around)}
