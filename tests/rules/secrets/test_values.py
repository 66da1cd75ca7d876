"""Texts without secrets, and back again where that is needed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PenstockError, RunRefused, UsageError
from penstock.rules.secrets.values import CUT, NO_SECRETS, Secret, SecretValues, spellings

KEY = Secret("${KEY}", 'Zz9k"/&+ 7qX')
OTHER = Secret("header x-api-key 0", "0ther-s3cret")
BOTH = SecretValues([KEY, OTHER])


@pytest.mark.parametrize("number", range(len(spellings(KEY.value))))
def test_every_spelling_is_masked(number: int) -> None:
    """By its reference where it has one."""
    spelling = spellings(KEY.value)[number]
    assert BOTH.mask(f"a {spelling} b {OTHER.value}") == "a ${KEY} b ***"


@pytest.mark.parametrize("before", range(4))
def test_inside_base64_nothing_that_says_something_is_left(before: int) -> None:
    """Such as `Basic` with a user whose name is longer or shorter."""
    coded = base64.b64encode(b"u" * before + OTHER.value.encode() + b"end").decode()
    shown = BOTH.mask(coded)
    assert "***" in shown
    assert len(shown) <= 3 + 3 + before + 8


@pytest.mark.parametrize("length", range(4, len(OTHER.value)))
def test_the_beginning_of_one_that_a_quote_cut_is_masked(length: int) -> None:
    """Also where more is said after the quote."""
    assert BOTH.mask(f"key {OTHER.value[:length]}{CUT} (see)") == f"key ***{CUT} (see)"


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ("prod", "product of prod, prod1 in prod-2", "product of ***, prod1 in ***-2"),
        ("abc", "abc", "abc"),
        ("long-enough", "xlong-enoughx", "x***x"),
    ],
)
def test_short_ones(value: str, text: str, shown: str) -> None:
    """Below 4 letters not at all, below 8 as words of their own: hiding more would leave no text readable."""
    assert SecretValues([Secret("a", value)]).mask(text) == shown


def test_one_that_begins_another_leaves_nothing_of_it() -> None:
    both = SecretValues([Secret("a", "begin-123"), Secret("b", "begin-123-and-end")])
    assert both.mask("begin-123-and-end begin-123") == "*** ***"


def test_without_secrets_nothing_is_looked_at() -> None:
    assert not NO_SECRETS
    assert NO_SECRETS.mask(f"a{CUT}") == f"a{CUT}"


def test_an_error_and_what_led_to_it() -> None:
    """What a traceback shows."""
    cause = ValueError("at", 3, OTHER.value)
    error = PenstockError(f"no {KEY.value}")
    error.__cause__ = cause
    cause.__context__ = error
    BOTH.mask_error(error)
    assert str(error) == "no ${KEY}"
    assert cause.args == ("at", 3, "***")


@given(
    st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["\x01", "\x01${KEY}\x010\x01", "\x015\x01"])
)
def test_what_is_hidden_can_be_revealed(text: str) -> None:
    """Whatever else is in it, also what looks like our own marks."""
    for spelling in spellings(KEY.value):
        whole = f"{text}{spelling}&n=1{text}{OTHER.value}"
        hidden = BOTH.hide(whole)
        assert OTHER.value not in hidden
        assert BOTH.reveal(hidden) == whole


def test_it_is_revealed_with_the_value_of_today() -> None:
    """Spelt as the old one was."""
    new = SecretValues([Secret("${KEY}", "n w/key")])
    assert new.reveal(BOTH.hide("?k=" + spellings(KEY.value)[2])) == "?k=n%20w%2Fkey"
    with pytest.raises(RunRefused, match="header x-api-key"):
        new.reveal(BOTH.hide(OTHER.value))


def test_a_command_that_is_proposed_is_masked_as_its_message_is() -> None:
    """It is printed on a line of its own."""
    error = UsageError("it may be this", command=f"penstock pull http://h/?key={OTHER.value}")
    BOTH.mask_error(error)
    assert error.command == "penstock pull http://h/?key=***"
    assert str(error).endswith(error.command)
