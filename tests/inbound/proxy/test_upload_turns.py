"""Who may send a long body to the app, without a body or an app."""

from __future__ import annotations

import pytest

from penstock.inbound.proxy.upload_turns import UploadTurns


@pytest.mark.parametrize(
    ("connections", "held"),
    [
        (1, [1, 0, 0]),
        (2, [1, 0, 0]),
        (4, [1, 1, 0]),
        (8, [2, 1, 1]),
        (20, [5, 3, 1]),
        (1024, [256, 128, 64]),
    ],
)
def test_one_address_leaves_as_many_as_it_takes(connections: int, held: list[int]) -> None:
    turns = UploadTurns(connections)
    got = [sum(turns.take(address) for _ in range(1000)) for address in "abc"]
    assert got == held
    assert turns.taken == sum(held)


def test_what_is_given_back_can_be_taken_again() -> None:
    turns = UploadTurns(8)
    for _ in range(100):
        assert [turns.take("a") for _ in range(3)] == [True, True, False]
        turns.give_back("a")
        turns.give_back("a")
    assert turns.taken == 0


def test_addresses_are_served_in_turn_and_one_after_the_other() -> None:
    turns = UploadTurns(2)
    served: list[str] = []
    assert turns.take("x")
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        turns.wait(name[0], lambda name=name: served.append(name))  # type: ignore[misc]
    assert turns.waiting == 6
    for address in ("x", "a", "b", "c", "a", "b"):
        turns.give_back(address)
    assert served == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert (turns.waiting, turns.taken) == (0, 1)


def test_who_leaves_is_not_called() -> None:
    turns = UploadTurns(2)
    served: list[str] = []

    def first() -> None:
        served.append("first")

    def second() -> None:
        served.append("second")

    assert turns.take("x")
    turns.wait("a", first)
    turns.wait("a", second)
    turns.leave("a", first)
    turns.leave("nobody", first)
    turns.give_back("x")
    assert served == ["second"]
    turns.give_back("a")
    assert (turns.waiting, turns.taken) == (0, 0)


def test_who_holds_too_many_waits_while_others_are_served() -> None:
    turns = UploadTurns(8)
    served: list[str] = []
    while turns.take("a"):
        pass
    turns.wait("a", lambda: served.append("a"))
    assert turns.take("b")
    turns.wait("b", lambda: served.append("b"))
    turns.give_back("a")
    # Of four turns a has one and b has one: either may have another, and a has waited for longer.
    assert served == ["a"]
    assert turns.take("c")
