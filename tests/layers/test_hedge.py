"""The race of two calls: the better answer counts, nothing is left behind, and what must not be repeated is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import penstock
from penstock.call import PlainCall
from penstock.clock import current_clock
from penstock.layers.hedge import Hedge
from penstock.rules.retries.hedge import Hedging
from penstock.testing import After, Hang, ScriptedCall, cancel_everywhere, run_virtual

REFUSED = penstock.ConnectError("refused")
LOST = penstock.ConnectionLost("reset")


class Guard:
    """Lets everything through, and counts."""

    def __init__(self, *, repeat: bool = True, send: bool = True) -> None:
        self._repeat = repeat
        self._send = send
        self.asked = 0
        self.under_way = 0

    def may_repeat(self, request: Any) -> bool:
        return self._repeat

    def is_good(self, request: Any, answer: Any) -> bool:
        return bool(answer != "bad")

    def may_send(self) -> bool:
        self.asked += 1
        self.under_way += self._send
        return self._send

    def ended(self) -> None:
        self.under_way -= 1


class Connecting:
    """A Preparable that takes a moment to connect, and counts what was neither sent nor released."""

    def __init__(self, inner: ScriptedCall) -> None:
        self._inner = inner
        self.prepared = self.sent = self.released = 0

    @property
    def open(self) -> int:
        return self.prepared - self.sent - self.released

    prepares = True

    async def once(self, request: Any) -> Any:
        return await (await self.prepare(request)).send()

    def ready(self, request: Any) -> bool:
        return False

    async def prepare(self, request: Any) -> Connected:
        await current_clock().sleep(0.1)
        self.prepared += 1
        return Connected(self, request)


class Connected:
    """See Connecting."""

    def __init__(self, call: Connecting, request: Any) -> None:
        self._call = call
        self._request = request

    async def send(self) -> Any:
        self._call.sent += 1
        return await self._call._inner(self._request)

    def release(self) -> None:
        self._call.released += 1


def rules_with(delay: float | None = 1.0) -> Hedging:
    """A delay that is known, and a budget for some second calls."""
    rules = Hedging(0.95, share=1.0)
    for _ in range(5):
        rules.called()
    rules.delay = delay
    return rules


def play(
    script: list[Any], *, guard: Guard | None = None, rules: Hedging | None = None
) -> tuple[Any, float, Any, Guard]:
    """(answer or error, seconds, the inner call, the guard) of one call."""
    inner = ScriptedCall(script)
    guard = guard or Guard()
    hedge: Hedge[str, Any] = Hedge(PlainCall(inner), rules or rules_with(), guard)

    async def main() -> tuple[Any, float]:
        answer: Any
        try:
            answer = await hedge.once("request")
        except penstock.CallError as error:
            answer = error
        seconds = current_clock().now()
        assert len(asyncio.all_tasks()) == 1
        return answer, seconds

    answer, seconds = run_virtual(main())
    assert inner.in_flight == 0
    assert guard.under_way == 0
    return answer, seconds, inner, guard


@pytest.mark.parametrize(
    ("first", "second", "answer", "seconds", "calls"),
    [
        (After(0.9, "first"), None, "first", 0.9, 1),
        (After(5.0, "first"), After(0.5, "second"), "second", 1.5, 2),
        (After(2.0, "first"), After(5.0, "second"), "first", 2.0, 2),
        (Hang(), After(0.5, "second"), "second", 1.5, 2),
        (After(2.0, "first"), Hang(), "first", 2.0, 2),
        (After(0.5, LOST), None, LOST, 0.5, 1),
        (After(2.0, LOST), After(3.0, "second"), "second", 4.0, 2),
        (After(5.0, "first"), After(0.5, LOST), "first", 5.0, 2),
        (After(2.0, LOST), After(3.0, REFUSED), LOST, 4.0, 2),
        (After(5.0, LOST), After(0.5, REFUSED), LOST, 5.0, 2),
        (After(5.0, "first"), After(0.5, "bad"), "first", 5.0, 2),
        (After(2.0, LOST), After(3.0, "bad"), LOST, 4.0, 2),
        (After(1.5, "first"), After(0.5, "second"), None, 1.5, 2),
    ],
    ids=str,
)
def test_the_better_answer_counts(first: Any, second: Any, answer: Any, seconds: float, calls: int) -> None:
    """The first good one; an error of one waits for the other; with two errors it is that of the first call."""
    seen, took, inner, _ = play([first] if second is None else [first, second])
    assert took == pytest.approx(seconds)
    assert len(inner.calls) == calls
    assert seen is answer if answer is not None else seen in ("first", "second")


@pytest.mark.parametrize(
    ("guard", "rules", "asked"),
    [
        (Guard(repeat=False), rules_with(), 0),
        (Guard(send=False), rules_with(), 1),
        (Guard(), rules_with(None), 0),
        (Guard(), Hedging(0.95), 0),
    ],
    ids=["not to be repeated", "no room", "too little known", "no budget"],
)
def test_where_there_must_be_no_second_call_there_is_none(guard: Guard, rules: Hedging, asked: int) -> None:
    """What may not be repeated, a full limit, a latency that is not known, a budget that is spent."""
    answer, took, inner, guard = play([After(5.0, "first")], guard=guard, rules=rules)
    assert (answer, took, len(inner.calls), guard.asked) == ("first", 5.0, 1, asked)


def test_a_second_call_that_was_not_sent_costs_nothing() -> None:
    """The budget has it back."""
    rules = Hedging(0.95)
    for _ in range(50):
        rules.called()
    rules.delay = 1.0
    play([After(5.0, "first")], guard=Guard(send=False), rules=rules)
    assert rules.withdraw()


def test_latencies_are_learned() -> None:
    """After a hundred good answers there is a delay, and errors teach nothing."""

    async def main() -> list[float | None]:
        rules = Hedging(0.95)
        hedge: Hedge[int, str] = Hedge(PlainCall(ScriptedCall([After(2.0, "good")], repeat_last=True)), rules, Guard())
        broken: Hedge[int, str] = Hedge(PlainCall(ScriptedCall([After(9.0, "bad")], repeat_last=True)), rules, Guard())
        seen = [rules.delay]
        for _ in range(100):
            await hedge.once(1)
            await broken.once(1)
        return [*seen, rules.delay]

    assert run_virtual(main()) == [None, pytest.approx(2.0, rel=0.05)]


@pytest.mark.parametrize(
    "script", [[Hang(), Hang()], [After(2.0, LOST), Hang()], [After(5.0, "first"), After(0.5, "second")]]
)
@pytest.mark.parametrize("after", [0.5, 1.0, 1.2, 1.5, 2.5])
def test_a_timeout_around_it_ends_both(script: list[Any], after: float) -> None:
    """Whatever the race is at, a cancellation from outside ends it at once, and is not lost."""
    inner = ScriptedCall(script)
    guard = Guard()
    hedge: Hedge[int, str] = Hedge(PlainCall(inner), rules_with(), guard)

    async def main() -> tuple[bool, float]:
        task = asyncio.current_task()
        assert task is not None
        late = False
        try:
            async with asyncio.timeout(after):
                await hedge.once(1)
        except TimeoutError:
            late = True
        assert task.cancelling() == 0
        ended = current_clock().now()
        await current_clock().sleep(100.0)
        assert len(asyncio.all_tasks()) == 1
        return late, ended

    late, ended = run_virtual(main())
    assert ended <= after + 1e-9
    assert late or script[1] != Hang()
    assert inner.in_flight == guard.under_way == 0


@pytest.mark.parametrize("preparable", [False, True])
@pytest.mark.parametrize("second", [After(0.5, "second"), After(50.0, "second"), LOST])
def test_wherever_it_is_cancelled_nothing_is_left(preparable: bool, second: Any) -> None:
    """Cancel at every step: no call in flight, nothing prepared and not given back, no task."""
    checks: list[Callable[[], bool]] = []

    async def run() -> None:
        inner = ScriptedCall([After(5.0, "first"), second])
        guard = Guard()
        connecting = Connecting(inner)
        hedge: Hedge[int, str] = Hedge(connecting if preparable else PlainCall(inner), rules_with(), guard)
        checks.append(lambda: inner.in_flight == guard.under_way == connecting.open == 0)
        if preparable:
            await (await hedge.prepare(1)).send()
        else:
            await hedge.once(1)

    assert cancel_everywhere(run, lambda: _all(checks)).cancelled >= 3


def _all(checks: list[Callable[[], bool]]) -> None:
    assert all(check() for check in checks)


def test_what_is_prepared_can_be_released() -> None:
    """A prepared race that is not run gives back what it holds; the second call connects before it is allowed."""

    async def main() -> Connecting:
        call = Connecting(ScriptedCall([Hang(), After(0.5, "second")]))
        hedge: Hedge[int, str] = Hedge(call, rules_with(), Guard())
        (await hedge.prepare(1)).release()
        assert await (await hedge.prepare(1)).send() == "second"
        full = Connecting(ScriptedCall([After(9.0, "first")]))
        assert await (await Hedge[int, str](full, rules_with(), Guard(send=False)).prepare(1)).send() == "first"
        assert (full.prepared, full.sent, full.released) == (2, 1, 1)
        return call

    call = run_virtual(main())
    assert (call.prepared, call.sent, call.released, call.open) == (3, 2, 1, 0)
