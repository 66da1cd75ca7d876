"""Which secrets a run knows: what it sends along with every request, so that a server can say it again."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote, unquote_plus

from ...rules.secrets.names import is_secret_name
from ...rules.secrets.places import in_body, in_header, in_url
from ...rules.secrets.values import LEAST, Secret, SecretValues
from .given import NOTHING_GIVEN, Given

_LEAST_UNNAMED = 8
"""Of a header whose name is not that of a secret: `X-Debug: true` is none."""

_PART = re.compile(r'(?:^|[;,]\s*|\s)[\w.-]+="?([^";,\s]+)')
_FIELD = re.compile(r"\{\w[^{}\n]*\}")


def known_secrets(
    *,
    headers: Iterable[tuple[str, str]] = (),
    urls: Iterable[str | None] = (),
    bodies: Iterable[str | None] = (),
    given: Given = NOTHING_GIVEN,
) -> SecretValues:
    """The values of the environment that were asked for, and what looks like a secret in headers, URLs and bodies."""
    found = [Secret(f"${{{name}}}", value) for name, value in given.values.items()]
    for name, value in headers:
        found += _of_header(name, value)
    places: list[tuple[str, str]] = []

    def keep(name: str, value: str) -> str:
        places.append((name, value))
        return value

    for url in filter(None, urls):
        in_url(url, keep)
    for body in filter(None, bodies):
        in_body(body, keep)
    found += _of_places(places)
    return SecretValues(found, [] if given.token is None else given.token.issued)


def secrets_of(variables: Mapping[str, str]) -> SecretValues:
    """What of the environment looks like a secret, by the names of the variables."""
    return SecretValues(Secret(f"${{{name}}}", value) for name, value in variables.items() if is_secret_name(name))


def _of_header(name: str, value: str) -> Iterator[Secret]:
    whole: list[str] = []

    def keep(name: str, value: str) -> str:
        whole.append(value)
        return value

    in_header(name, value, keep)
    least = LEAST if is_secret_name(name) else _LEAST_UNNAMED
    for each in whole:
        # Of `a=1; session=...` and of the parameters of a scheme a server may name one alone.
        parts = [part for part in _PART.findall(each) if len(part) >= _LEAST_UNNAMED]
        for number, text in enumerate((each, *parts, *_of_basic(value))):
            if len(text) >= least:
                yield Secret(f"header {name.strip().lower()} {number}", text)


def _of_basic(value: str) -> list[str]:
    """User and password of `Basic ...`, together, and the password alone."""
    scheme, _, coded = value.strip().partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        plain = base64.b64decode(coded, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return []
    return [plain, plain.partition(":")[2]]


def _of_places(places: Iterable[tuple[str, str]]) -> Iterator[Secret]:
    for number, (name, value) in enumerate(places):
        if _FIELD.search(value):
            # It comes from the records, which are the user's data.
            continue
        forms = [unquote_plus(value), unquote(value), value]
        forms += [unquote(part) for part in value.split(":")] if name == "user" else []
        for form, text in enumerate(dict.fromkeys(forms)):
            yield Secret(f"{name} {number}.{form}", text)
