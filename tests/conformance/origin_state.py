"""What the origin knows and decides: sections 3.1 to 3.8, without a wire."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from penstock.clock import current_clock

from .dates import http_date, leading_integer, resolve
from .suite import Entry, Interim, Value

_Line = tuple[str, Value, bool]


@dataclass(slots=True)
class Record:
    """A request that reached the origin, and what the answer must still say when the runner gets it."""

    request_num: int | None
    request_method: str
    request_headers: dict[str, str]
    response_headers: dict[str, str]


@dataclass(slots=True)
class Answer:
    """What the origin will send."""

    status: int
    phrase: str
    headers: list[tuple[str, str]]
    body: bytes
    interim: Sequence[Interim] = ()
    disconnect: bool = False

    def has(self, name: str) -> bool:
        """Whether a header of this lower-case name is set."""
        return any(each.lower() == name for each, _ in self.headers)

    def value(self, name: str) -> str:
        """All values of a lower-case name, joined."""
        return ", ".join(value for each, value in self.headers if each.lower() == name)


@dataclass(slots=True)
class _RunEntry:
    """An entry with the header values that one run has given it: a date is fixed when it is first sent."""

    entry: Entry
    headers: list[_Line]

    def value(self, name: str) -> Value | None:
        for each, value, _ in self.headers:
            if each.lower() == name:
                return value
        return None


@dataclass(slots=True)
class _Run:
    entries: list[_RunEntry]
    records: list[Record] = field(default_factory=list)


class OriginState:
    """All runs of tests that this origin serves."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def register(self, run_id: str, entries: Sequence[Entry]) -> None:
        """Make a run known; the entries themselves are not changed."""
        if run_id in self._runs:
            raise ValueError(f"run {run_id} is known already")
        self._runs[run_id] = _Run([_RunEntry(entry, list(entry.response_headers)) for entry in entries])

    def records(self, run_id: str) -> list[Record]:
        """The requests of a run that reached the origin, in order."""
        return self._runs[run_id].records

    async def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        """Decide the answer to a request (names in lower case, repeated lines joined) and record it."""
        run_id = _run_id(target)
        run = self._runs.get(run_id)
        if run is None:
            return _refusal("this run is not known")
        sequence = len(run.records) + 1
        number = leading_integer(headers.get("req-num"))
        position = number or sequence
        if not 1 <= position <= len(run.entries):
            return _refusal("there is no entry of this number")
        current = run.entries[position - 1]
        if current.entry.response_pause:
            await asyncio.sleep(current.entry.response_pause)
            sequence = len(run.records) + 1
        now = int(current_clock().wall() * 1000)
        _fix_dates(current, now)
        own = _located(current.headers, target) if current.entry.magic_locations else current.headers
        status, phrase = _status(run, position, headers)
        numbers = [record.request_num for record in run.records] + [number]
        lines = _grouped(
            [
                ("Server-Base-Url", target),
                ("Server-Request-Count", str(sequence)),
                ("Client-Request-Count", _shown(number)),
                ("Server-Now", str(now)),
                *((name, str(value)) for name, value, _ in own),
                *([("Content-Type", "text/plain")] if current.value("content-type") is None else []),
                ("Request-Numbers", " ".join(_shown(each) for each in numbers)),
            ]
        )
        run.records.append(Record(number, method, dict(headers), _to_check(own)))
        body = current.entry.response_body if current.entry.response_body is not None else run_id
        bodiless = status in (204, 304) or method == "HEAD"
        return Answer(
            status,
            phrase,
            lines,
            b"" if bodiless else body.encode(),
            current.entry.interim_responses,
            current.entry.disconnect,
        )


def now_date() -> str:
    """The current time, as a Date says it."""
    return http_date(int(current_clock().wall() * 1000))


def _run_id(target: str) -> str:
    path = target.partition("?")[0].split("/")
    return path[2] if len(path) > 2 and path[1] == "test" else ""


def _refusal(text: str) -> Answer:
    return Answer(409, "Conflict", [("Content-Type", "text/plain")], text.encode())


def _shown(number: int | None) -> str:
    return "NaN" if number is None else str(number)


def _fix_dates(run_entry: _RunEntry, now: int) -> None:
    run_entry.headers = [
        (name, resolve(name, value, now, run_entry.entry.rfc850date), check) for name, value, check in run_entry.headers
    ]


def _located(headers: list[_Line], target: str) -> list[_Line]:
    return [
        (name, f"{target}/{value}" if value else target, check)
        if name.lower() in ("location", "content-location")
        else (name, value, check)
        for name, value, check in headers
    ]


def _status(run: _Run, position: int, headers: Mapping[str, str]) -> tuple[int, str]:
    entry = run.entries[position - 1].entry
    if entry.expected_type not in ("lm_validated", "etag_validated"):
        return entry.response_status
    before = run.entries[position - 2]
    for stored, condition in (("last-modified", "if-modified-since"), ("etag", "if-none-match")):
        if condition in headers and before.value(stored) == headers[condition]:
            return 304, "Not Modified"
    return 999, "304 Not Generated"


def _grouped(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The lines with those of one name together, at the place of the first."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, value in lines:
        groups.setdefault(name.lower(), []).append((name, value))
    return [line for group in groups.values() for line in group]


def _to_check(headers: list[_Line]) -> dict[str, str]:
    names = {name.lower() for name, _, check in headers if check}
    values: dict[str, list[str]] = {}
    for name, value, _ in headers:
        if name.lower() in names:
            values.setdefault(name.lower(), []).append(str(value))
    return {name: ", ".join(each) for name, each in values.items()}
