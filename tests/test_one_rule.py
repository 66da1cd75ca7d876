"""What becomes of a request, and whether an answer is stored, is decided by one rule each, in `rules/caching`.

The cache once decided each of them three times, by hand; where two of the copies disagreed, hit-for-miss flapped.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "penstock"
MODULES = sorted(path for room in ("inbound", "stores") for path in (PACKAGE / room).rglob("*.py"))

# Who may ask a rule. One more is perhaps another face of the cache; it is not a second place that gathers the facts.
ASKED_BY = {
    "pass_by": {"inbound/cache/engine.py look_up"},
    "reuse": {"inbound/cache/engine.py look_up"},
    # The second for what nothing is stored for, which has to be known before a request is parsed.
    "ask": {"inbound/cache/engine.py look_up", "inbound/cache/engine.py _plan_of_plain"},
    # Its order with what comes before it is in `rules/caching/weighing`, for one answer and for a kind of them.
    "may_store": set[str](),
    "weigh_answer": {"inbound/cache/origin_response.py weigh"},
    "verdict_of": {"inbound/cache/plain_verdicts.py _judge"},
    # A body whose head did not say how long it is: one that is kept, and one that only goes by.
    "may_keep": {"inbound/asgi/pass_through.py _measure", "inbound/cache/flights.py hold"},
    "policy_directives": {"inbound/cache/policy.py stand_in"},
    "may_share": {"inbound/cache/origin_response.py _confirmed", "inbound/cache/origin_response.py _land"},
    "is_outdone": {"inbound/cache/origin_response.py _is_outdone"},
    "is_of_url": {"inbound/cache/origin_response.py _note"},
    "is_for_all": {"inbound/cache/origin_response.py _note"},
    # An origin that failed when it was asked; that it is known to be down is for `reuse`.
    "may_serve_on_error": {
        "inbound/cache/origin_response.py _is_answered",
        "inbound/cache/origin_response.py on_flight_failed",
    },
    "use_of": set[str](),
}

# Where methods and statuses are looked at all the same, and what for.
_FRAMING = "how an answer or a request is framed (RFC 9110, 6.4 and 8.6)"
_ANSWER = "in which form an answer that is there is sent: whole, a part, 304"
_PARTS = "how parts are put together; `rules/caching/ranges` decides"
_READY = "which answers are kept as ready bytes: the hot path, for plain GET alone"
_OTHER = "not the cache: an address of its own"
_WORDS = "what is advised in words, of what was decided"
_SIZE = "what the store has room for, with all that it is charged"
ALLOWED = {
    "inbound/proxy/admin.py begin": _OTHER,
    "inbound/cache/advice.py _forbidden": _WORDS,
    "inbound/cache/advice.py _without_lifetime": _WORDS,
    "inbound/cache/answers.py answer_with": _ANSWER,
    "inbound/cache/answers.py part_of": _PARTS,
    "inbound/asgi/middleware.py __call__": _FRAMING,
    "inbound/asgi/known.py _renew": _FRAMING,
    "inbound/asgi/known.py learn": _READY,
    "inbound/asgi/origin.py _take_head": _FRAMING,
    "inbound/asgi/reply.py respond": _FRAMING,
    "inbound/asgi/reply.py start": _FRAMING,
    "inbound/cache/protocols.py put_under": "whose cookies a policy takes away",
    "inbound/cache/flights.py key_of": "what confirms a part is no answer for who wants the whole",
    "inbound/cache/engine.py select": _PARTS,
    "inbound/cache/flight.py on_interim": "the reason phrase of an interim response",
    "inbound/cache/origin_response.py _answer_error": "the words of an error",
    "inbound/cache/origin_response.py _is_answered": "what has come: a 304, an error, the head of what is stored",
    "inbound/cache/origin_response.py _continued": _PARTS,
    "inbound/cache/origin_response.py _weigh": _PARTS,
    "inbound/cache/under_way.py answer_whole": _ANSWER,
    "inbound/cache/under_way.py begin_answer": _ANSWER,
    "inbound/cache/origin_response.py on_flight_complete": _PARTS,
    "inbound/cache/origin_response.py on_flight_head": _FRAMING,
    "inbound/proxy/metrics_address.py begin": _OTHER,
    "inbound/processes/duties.py _ask": _OTHER,
    "inbound/processes/passing.py _learn": _READY,
    "inbound/processes/forwarded.py owner_lost": "what may be asked once more, where its answer was lost",
    "inbound/cache/partial.py beginnings": _PARTS,
    "inbound/proxy/proxy.py _learn": _READY,
    "inbound/proxy/proxy.py ready_answer": _FRAMING,
    "inbound/proxy/origin.py _framing": _FRAMING,
    "inbound/proxy/origin.py fetch": _FRAMING,
    "stores/memory.py _may_grow": _SIZE,
    "stores/memory.py put": _SIZE,
    "stores/memory.py _put_with_care": _SIZE,
}
METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"QUERY"}
DIRECTIVES = {
    *("no_store", "no_cache", "no_cache_fields", "private", "private_fields", "public", "must_revalidate"),
    *("proxy_revalidate", "must_understand", "max_age", "s_maxage", "malformed", "must_validate", "may_be_stale"),
    *("stale_if_error", "stale_while_revalidate", "lifetime", "max_object_bytes"),
}


def functions(tree: ast.AST, name: str = "module") -> Iterator[tuple[str, ast.AST]]:
    """Every node with the name of the function it stands in."""
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else name
        yield inner, node
        yield from functions(node, inner)


def decides(node: ast.AST) -> bool:
    """Whether it compares a method, a status or a directive, or looks for a stream of events."""
    if isinstance(node, ast.Call):
        return any(isinstance(each, ast.Constant) and each.value == b"text/event-stream" for each in node.args)
    if not isinstance(node, ast.Compare):
        return False
    sides = [side for side in (node.left, *node.comparators) if not isinstance(side, ast.Call)]
    called = [side.func for side in (node.left, *node.comparators) if isinstance(side, ast.Call)]
    return any(_is_telling(each) for side in (*sides, *called) for each in ast.walk(side))


def _is_telling(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bytes) and node.value in METHODS
    if isinstance(node, ast.Attribute):
        return node.attr in DIRECTIVES | {"status", "method"}
    return isinstance(node, ast.Name) and node.id in {"status", "method", "SHAREABLE", "Use"}


def found_in(source: str, path: str) -> set[str]:
    """The functions in `source` that decide by themselves."""
    return {f"{path} {name}" for name, node in functions(ast.parse(source)) if decides(node)}


@pytest.mark.parametrize("rule", ASKED_BY)
def test_each_rule_is_asked_in_few_places(rule: str) -> None:
    """The facts are gathered once."""
    askers = set()
    for path in MODULES:
        for name, node in functions(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == rule:
                askers.add(f"{path.relative_to(PACKAGE)} {name}")
    assert askers == ASKED_BY[rule]


def test_nobody_else_compares_methods_statuses_or_directives() -> None:
    """A comparison that is not in the list is a second copy of a decision, or a reason to be written down there."""
    found = set[str]()
    for path in MODULES:
        found |= found_in(path.read_text(), str(path.relative_to(PACKAGE)))
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "request.method not in SHAREABLE",
        'b"GET" == asked',
        'status == 206 and b"range" not in fields',
        "response.status < 500",
        "use is Use.FRESH",
        "directives.s_maxage is None",
        'kind.lower().startswith(b"text/event-stream")',
        "size > self.store.max_object_bytes",
    ],
)
def test_a_copy_would_be_found(line: str) -> None:
    """What the three copies looked like."""
    assert found_in(f"def copy(): return {line}", "x.py") == {"x.py copy"}
