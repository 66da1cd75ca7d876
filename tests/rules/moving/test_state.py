"""The state of arms as a document: what was written is read, and nothing else is."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.rules.moving.state import (
    MOST_BYTES,
    VERSION,
    ArmsState,
    BackLimits,
    RouteState,
    read_state,
    write_state,
)

SHARES = st.floats(0, 1)
LIMITS = st.builds(
    BackLimits,
    **{each.name: st.none() | st.floats(0, 1e9, allow_nan=False) for each in fields(BackLimits)},
)
# Written to the millisecond.
MOMENTS = st.integers(0, 4_000_000_000_000).map(lambda ms: round(ms / 1000, 3))
PRINTED = st.characters(exclude_categories=["C", "Z"]) | st.just(" ")
ROUTES = st.builds(
    RouteState,
    arm=st.text(PRINTED, min_size=1),
    share=SHARES,
    since=MOMENTS,
    by=st.text(PRINTED),
    stage=st.integers(0, 10_000),
    limits=LIMITS,
    back=st.none() | st.text(PRINTED),
)
STATES = st.builds(
    ArmsState, routes=st.dictionaries(st.text(PRINTED, min_size=1), ROUTES, max_size=5), revision=st.integers(0, 2**53)
)
GOOD: dict[str, Any] = {
    "version": 1,
    "revision": 7,
    "routes": {"GET /a": {"arm": "async", "share": 0.1, "stage": 2, "since": 1796078543, "by": "roll", "back": None}},
}


@given(STATES)
def test_what_was_written_is_read(state: ArmsState) -> None:
    """Whatever the names and numbers."""
    assert read_state(write_state(state)) == state


@given(STATES)
def test_what_was_written_is_for_people(state: ArmsState) -> None:
    """One line for each fact, and a newline at the end."""
    text = write_state(state).decode("ascii")
    assert text.endswith("}\n")
    assert json.loads(text)["version"] == VERSION


@given(STATES, st.integers(0, 10_000))
def test_a_half_is_never_read(state: ArmsState, at: int) -> None:
    """Whoever writes in place, or is cut off, has not written a state."""
    data = write_state(state).rstrip()
    with pytest.raises(UsageError):
        read_state(data[: min(at, len(data) - 1)])


@given(st.binary(max_size=200))
def test_no_bytes_raise_another_error(data: bytes) -> None:
    """A file of somebody else's is told, and never a traceback in a worker."""
    try:
        read_state(data)
    except UsageError:
        return


def changed(**route: Any) -> bytes:
    """The good document with another route."""
    return json.dumps({**GOOD, "routes": {"GET /a": {**GOOD["routes"]["GET /a"], **route}}}).encode()


BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "blanks": (b" \n", "it is empty"),
    "half": (json.dumps(GOOD).encode()[:60], "no whole JSON document"),
    "no JSON": (b"arms: async", "no whole JSON document"),
    "no UTF-8": (b'{"version": 1, "routes": {"\xff": {}}}', "no whole JSON document"),
    "two documents": (json.dumps(GOOD).encode() * 2, "no whole JSON document"),
    "deep": (b"[" * 100_000, "no whole JSON document"),
    "huge": (b" " * (MOST_BYTES + 1), "more than"),
    "a list": (b"[]", "not a state of arms"),
    "null": (b"null", "not a state of arms"),
    "no routes": (b'{"version": 1}', "not a state of arms"),
    "routes as a list": (b'{"version": 1, "routes": []}', "not a state of arms"),
    "no version": (b'{"routes": {}}', "version None"),
    "newer": (b'{"version": 2, "routes": {}}', "version 2"),
    "version as text": (b'{"version": "1", "routes": {}}', "version '1'"),
    "version true": (b'{"version": true, "routes": {}}', "version True"),
    "route as text": (b'{"version": 1, "routes": {"GET /a": "async"}}', "'GET /a' is not an object"),
    "no arm": (changed(arm=None), "names no arm"),
    "empty arm": (changed(arm=""), "names no arm"),
    "arm as number": (changed(arm=1), "names no arm"),
    "share as text": (changed(share="10%"), "share '10%'"),
    "share true": (changed(share=True), "share True"),
    "share in percent": (changed(share=10), "share 10"),
    "share below 0": (changed(share=-0.1), "share -0.1"),
    "share nan": (changed(share=float("nan")), "share nan"),
    "share infinite": (changed(share=float("inf")), "share inf"),
    "share beyond all floats": (changed(share=10**400), "share 1000"),
    "route that is no text": (
        b'{"version": 1, "routes": {"GET /\\ud800": {"arm": "async", "share": 1}}}',
        "cannot be printed",
    ),
    "route that moves the cursor": (
        b'{"version": 1, "routes": {"\\u001b[2J": {"arm": "a", "share": 1}}}',
        "'\\x1b[2J' holds a",
    ),
    "arm that is no text": (changed(arm="\udc80"), "cannot be printed"),
    "arm of two lines": (changed(arm="a\nb"), "cannot be printed"),
    "limits as a list": (changed(limits=[]), "limits that are no object"),
    "limit as text": (changed(limits={"errors": "1%"}), "a limit that is no number"),
    "limit below 0": (changed(limits={"shed": -1}), "a limit that is no number"),
    "limit nan": (changed(limits={"p99_factor": float("nan")}), "a limit that is no number"),
    "limit beyond all floats": (changed(limits={"p99_seconds": 10**400}), "a limit that is no number"),
}


@pytest.mark.parametrize(("data", "said"), BAD.values(), ids=BAD)
def test_a_bad_document_is_told(data: bytes, said: str) -> None:
    """With what is wrong."""
    with pytest.raises(UsageError) as caught:
        read_state(data)
    assert said in str(caught.value)


LENIENT: dict[str, tuple[bytes, dict[str, Any]]] = {
    "nothing but what is needed": (
        b'{"version": 1, "routes": {"GET /a": {"arm": "async", "share": 1}}}',
        {"share": 1.0, "stage": 0, "since": 0.0, "back": None, "limits": BackLimits()},
    ),
    "fields of a later penstock": (changed(masks=["body.now"]), {"share": 0.1}),
    "a limit of a later penstock": (changed(limits={"cpu": 1.0, "shed": 0.5}), {"limits": BackLimits(shed=0.5)}),
    "not judged": (changed(limits={"errors": None}), {"limits": BackLimits(errors=None)}),
    "since as text": (changed(since="today"), {"since": 0.0}),
    "since beyond all floats": (changed(since=10**400), {"since": 0.0}),
    "since before the epoch": (changed(since=-1e308), {"since": 0.0}),
    "since after all": (changed(since=1e300), {"since": 0.0}),
    "stage of more than 64 bits": (changed(stage=2**63), {"stage": 0}),
    "a reason that moves the cursor": (changed(back="slow\n\x1b[2J"), {"back": "slow  [2J"}),
    "a reason that is no text": (changed(back="slow \ud800"), {"back": "slow  "}),
    "a writer that moves the cursor": (changed(by="\x1b[1mme"), {"by": " [1mme"}),
    "stage as text": (changed(stage="two"), {"stage": 0}),
    "stage true": (changed(stage=True), {"stage": 0}),
    "a byte order mark": (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), {"share": 0.1}),
}


@pytest.mark.parametrize(("data", "wanted"), LENIENT.values(), ids=LENIENT)
def test_what_does_not_matter_is_borne(data: bytes, wanted: dict[str, Any]) -> None:
    """Which requests go where is what the document is for; a person may have written the rest."""
    route = read_state(data).routes["GET /a"]
    assert {name: getattr(route, name) for name in wanted} == wanted


@pytest.mark.parametrize("revision", ["x", None, True, 1.5, -1])
def test_a_revision_that_is_none_begins_anew(revision: object) -> None:
    """It only says whether something was written since."""
    assert read_state(json.dumps({**GOOD, "revision": revision}).encode()).revision == 0
