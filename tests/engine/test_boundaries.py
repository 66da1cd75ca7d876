"""What the engine must not know, and what is asked of a call in one place only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock.call import AnyClient, PlainCall, Preparable
from penstock.clients.aiohttp import AiohttpClient
from penstock.engine.http_judge import HttpJudge
from penstock.engine.item_call import ItemCall
from penstock.layers.deadline import DeadlineHeader
from penstock.testing import ScriptedCall, run_virtual

PACKAGE = Path(penstock.__file__).parent
ENGINE = sorted((PACKAGE / "engine").glob("*.py"))
KNOWS_HTTP = "http_judge.py"
OF_HTTP = {"messages", "limits.listener", "rules.retries.retry_after", "rules.retries.refusal", "wire", "clients"}
OF_HTTP |= {"answers.rules", "answers.conditions", "answers.polling"}
CONTRACT = {"prepares", "prepare", "ready", "ready_for", "once", "listen"}


def imported(path: Path) -> set[str]:
    """Modules of penstock that a file of the engine imports, without the dots in front."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 2}


@pytest.mark.parametrize("path", ENGINE, ids=lambda path: path.name)
def test_one_file_of_the_engine_knows_http(path: Path) -> None:
    """GRPC and brokers use the same engine, with a judge of their own."""
    found = {each for each in imported(path) for name in OF_HTTP if each == name or each.startswith(f"{name}.")}
    assert not found or path.name == KNOWS_HTTP, f"{path.name} imports {', '.join(sorted(found))}"


def test_the_file_that_knows_http_is_there() -> None:
    """The guard above would hold for an engine without it, too."""
    assert "messages" in imported(PACKAGE / "engine" / KNOWS_HTTP)


def asked_for(path: Path) -> Iterator[str]:
    """Names that `getattr` and `hasattr` look for."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant):
                yield str(name.value)


def test_what_a_callable_brings_with_it_is_looked_at_in_one_place() -> None:
    """PlainCall is the door for the callables of users; behind it the contract is typed."""
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if CONTRACT & {*asked_for(path)}}
    assert found == {"call.py"}


@pytest.mark.parametrize("client", [penstock.Client, AiohttpClient, DeadlineHeader])
def test_every_client_says_that_it_keeps_the_contract(client: type[Any]) -> None:
    """So that mypy holds it to all of it."""
    assert AnyClient in client.__mro__
    assert Preparable in client.__mro__


def test_a_plain_function_has_nothing_to_prepare_and_is_always_ready() -> None:
    """It is called as it is, with nothing around it."""
    call = ScriptedCall(["once", "prepared"])
    plain: PlainCall[str, str] = PlainCall(call)
    assert plain.once is call
    assert (plain.prepares, plain.ready("a"), plain.ready_for("http://a/")) == (False, True, True)

    async def main() -> tuple[str, str]:
        prepared = await plain.prepare("c")
        (await plain.prepare("not sent")).release()
        return await plain.once("b"), await prepared.send()

    assert run_virtual(main()) == ("once", "prepared")
    assert call.requests == ["b", "c"]


def test_of_a_call_that_prepares_and_is_never_sure_all_is_prepared() -> None:
    """Who has no `ready` does not know whether a connection is open."""

    class Connecting:
        async def __call__(self, item: int) -> int:
            return item

        async def prepare(self, item: int) -> Any:
            raise NotImplementedError

    connecting = Connecting()
    whole: PlainCall[int, int] = PlainCall(connecting)
    assert (whole.prepares, whole.ready(1), whole.ready_for("http://a/")) == (True, False, False)
    assert whole.once is connecting
    assert whole.prepare == connecting.prepare


@pytest.mark.parametrize("nothing", ["prepare", "ready"])
def test_what_a_callable_leaves_none_is_not_there(nothing: str) -> None:
    """An adapter that only sometimes prepares keeps None there; the run would turn in a circle for ever."""

    class Sometimes:
        ready: Any = None

        def __init__(self) -> None:
            self.prepare: Any = None if nothing == "prepare" else PlainCall(self).prepare

        async def __call__(self, item: int) -> int:
            return item

    whole: PlainCall[int, int] = PlainCall(Sometimes())
    prepares = nothing == "ready"
    assert (whole.prepares, whole.ready(1), whole.ready_for("http://a/")) == (prepares, not prepares, not prepares)

    async def main() -> set[int | None]:
        async with penstock.run(Sometimes(), range(3), retry_on="none", limit="100/s") as outcomes:
            return {outcome.value async for outcome in outcomes}

    assert run_virtual(main()) == {0, 1, 2}


def test_a_client_that_says_it_prepares_nothing_is_not_asked_to() -> None:
    """It has a `prepare` only because the contract asks for one."""
    whole = PlainCall(AiohttpClient())
    assert (whole.prepares, whole.ready_for("http://a/")) == (False, True)


class _Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, float]] = []

    def now(self) -> float:
        return 7.0

    def hear(self, answer: Any, sent: float) -> None:
        self.heard.append((answer, sent))


@pytest.mark.parametrize("prepared", [False, True])
def test_an_item_call_makes_a_request_lets_the_answer_be_heard_and_reads_it(prepared: bool) -> None:
    """The same whether or not it was prepared; before anybody listens nothing is told."""
    client: PlainCall[str, str] = PlainCall(ScriptedCall(["un", "deux"]))
    call = ItemCall(client, str, lambda answer, item: f"{item} is {answer}", lambda item: item == 1)
    listener = _Listener()

    async def value(item: int) -> str:
        return await ((await call.prepare(item)).send() if prepared else call.once(item))

    async def main() -> list[str]:
        first = await value(1)
        call.listen(listener)
        return [first, await value(2)]

    assert run_virtual(main()) == ["1 is un", "2 is deux"]
    assert listener.heard == [("deux", 7.0)]
    assert (call.ready(1), call.ready(2)) == (True, False)


def test_a_judge_listens_once_and_only_where_it_is_to() -> None:
    """The session and the engine ask the same judge, and nothing is heard twice."""
    limiter, clock = penstock.RateLimiter(), penstock.testing.ManualClock()
    following = HttpJudge("none", follow_limits=True)
    assert following.listen(limiter, clock) is following.listen(limiter, clock) is not None
    assert HttpJudge("none").listen(limiter, clock) is None
