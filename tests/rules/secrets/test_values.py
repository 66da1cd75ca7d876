"""Texts without secrets, and back again where that is needed."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

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


SIGNS = "Zz9<k7>q&X\"w'L/8+p=m \\nT\\é@r:;#?%d"
WRITTEN: dict[str, Callable[[str], str]] = {
    "Go and Rails, JSON": lambda text: _each(text, "<>&", lambda sign: f"\\u{ord(sign):04x}", json.dumps),
    ".NET, JSON": lambda text: _each(text, "<>&\"'+`", lambda sign: f"\\u{ord(sign):04X}", json.dumps),
    "PHP, JSON": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "JSON in JSON in JSON": lambda text: json.dumps(json.dumps(json.dumps(text)))[7:-7],
    "Go, HTML": lambda text: _each(text, "<>&'\"+", lambda sign: f"&#{ord(sign)};"),
    "PHP, HTML": lambda text: html.escape(text, quote=False).replace('"', "&quot;").replace("'", "&#039;"),
    "text in HTML": lambda text: html.escape(text, quote=False),
    "Rust, HTML": lambda text: html.escape(text).replace("/", "&#x2F;"),
    "HTML twice": lambda text: html.escape(html.escape(text)),
    "encodeURI": lambda text: quote(text, safe=";,/?:@&=+$-_.!~*'()#"),
    "encodeURIComponent": lambda text: quote(text, safe="-_.!~*'()"),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "a URL in JSON": lambda text: json.dumps(quote(text, safe="<>"))[1:-1].replace("<", "\\u003c"),
    "Python": lambda text: repr(text + "\"'")[1:-4],
    "bytes of Python": lambda text: repr(text.encode() + b"\"'")[2:-4],
    "lower case": str.lower,
    "upper case": str.upper,
    "UTF-8 read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "Latin-1 read as UTF-8": lambda text: text.encode("latin-1").decode("utf-8", "replace"),
}


def _each(text: str, signs: str, write: Callable[[str], str], first: Callable[[str], str] | None = None) -> str:
    """`signs` of `text` as `write` has them, after `first` has done the rest."""
    if first is None:
        return "".join(write(sign) if sign in signs else sign for sign in text)
    return "".join(write(sign) if sign in signs else first(sign)[1:-1] for sign in text)


@pytest.mark.parametrize("way", WRITTEN)
def test_whoever_says_it_again_and_however(way: str) -> None:
    """Each language escapes other signs, and in another way."""
    text = WRITTEN[way](SIGNS)
    assert SecretValues([Secret("${KEY}", SIGNS)]).mask(f"key: {text}.") == "key: ${KEY}."


@pytest.mark.parametrize("way", WRITTEN)
def test_the_beginning_of_it_that_a_quote_cut(way: str) -> None:
    """Wherever that was, also in the middle of an escape."""
    known = SecretValues([Secret("${KEY}", SIGNS)])
    text = WRITTEN[way](SIGNS)
    after_four = next(
        at for at in range(4, len(text)) if known.mask(f"key: {text[:at]}{CUT}").startswith("key: ${KEY}")
    )
    assert after_four <= 4 + len(WRITTEN[way]("<")) - 1
    for length in range(after_four, len(text)):
        assert known.mask(f"key: {text[:length]}{CUT}") == f"key: ${{KEY}}{CUT}"


@pytest.mark.parametrize("before", ["%20", "%3D", "\\u0020", "\\n", "=", "&#32;"])
def test_a_short_one_after_an_escape_is_a_word_of_its_own(before: str) -> None:
    assert SecretValues([Secret("a", "q7Xz")]).mask(f"key{before}q7Xz") == f"key{before}***"


def test_nothing_but_backslashes_takes_no_time() -> None:
    """Whatever is in the secret; a server could keep the loop busy with it. The bound is that of every test."""
    known = SecretValues([Secret("a", 'C:\\\\a\\b "" \\ \\ c')])
    text = f"C:{chr(92) * 4000}{CUT} {'%25' * 1000}{CUT} {'C: ' * 1000}{CUT}"
    assert len(known.mask(text)) <= len(text)


@pytest.mark.parametrize("first", [True, False], ids=["with one of the first", "alone"])
def test_what_comes_later_is_known_at_once(first: bool) -> None:
    """By every door; the old value stays a secret, and the name stands for the new one."""
    later = [Secret("${TOKEN}", "first-token")] if first else []
    secrets = SecretValues([Secret("${OTHER}", "other-secret")], later)
    assert secrets.mask("a first-token") == ("a ${TOKEN}" if first else "a first-token")
    hidden = secrets.hide("first-token")
    later.append(Secret("${TOKEN}", "second/token"))
    assert secrets.reveal(hidden) == ("second/token" if first else "first-token")
    assert secrets.mask("second%2Ftoken other-secret") == "${TOKEN} ${OTHER}"
    later.append(Secret("${TOKEN}", "third-token"))
    error = PenstockError("third-token")
    secrets.mask_error(error)
    assert str(error) == "${TOKEN}"
    later.append(Secret("${TOKEN}", "fourth-token"))
    assert "fourth" not in secrets.hide("fourth-token")
    assert secrets.reveal(secrets.hide("second/token")) == "fourth-token"


def test_none_at_first_are_some_later() -> None:
    """Whoever asks whether there are any is told the truth of now."""
    later: list[Secret] = []
    secrets = SecretValues((), later)
    assert not secrets
    later.append(Secret("${TOKEN}", "first-token"))
    assert secrets
