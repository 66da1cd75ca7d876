"""The secrets that a run knows, and texts without them, however they are spelt there."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from ...errors import RunRefused, UsageError
from .names import HIDDEN

CUT = "..."
"""How a quote ends that is not all of the text."""

LEAST = 4
"""Shorter values are not hidden: they are in every second word."""

_WHOLE_WORD = 8
"""Shorter ones are hidden only where no letter or digit is next to them, so that `prod` leaves `product` alone."""

_MARK = "\x01"
_HIDDEN_HERE = re.compile(f"{_MARK}(?:([^{_MARK}]+){_MARK}(\\d+))?{_MARK}")


@dataclass(frozen=True, slots=True)
class Secret:
    """One value. `name` tells where it came from: `${TOKEN}`, or a place such as `header x-api-key`."""

    name: str
    value: str

    @property
    def shown(self) -> str:
        """What stands for it: its reference, where it has one."""
        return self.name if self.name.startswith("${") else HIDDEN


class SecretValues:
    """Takes `secrets` out of texts; of two that are equal the first counts."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._by_name: dict[str, Secret] = {}
        self._spelt: dict[str, tuple[Secret, int]] = {}
        """Spelling -> whose it is, and which of its spellings."""
        for secret in secrets:
            if len(secret.value) >= LEAST:
                self._by_name.setdefault(secret.name, secret)
                for number, spelling in enumerate(spellings(secret.value)):
                    if len(spelling) >= LEAST:
                        self._spelt.setdefault(spelling, (secret, number))
        # The longest first, so that one which begins another does not leave its end.
        every = sorted(self._spelt, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_pattern, every))) if every else None
        self._heads = {spelling[:LEAST] for spelling in every}
        """How they begin: a text without any of these holds none, and that is seen a hundred times sooner."""

    def __bool__(self) -> bool:
        return self._pattern is not None

    def mask(self, text: str) -> str:
        """`text` with what stands for each secret in its place, also for one of which a quote holds the beginning."""
        if self._pattern is None or not any(head in text for head in self._heads):
            return text
        text = self._pattern.sub(lambda match: self._spelt[match[0]][0].shown, text)
        return self._without_beginnings(text) if CUT in text else text

    def mask_error(self, error: BaseException) -> None:
        """Mask the texts of `error`, and of those that led to it."""
        seen: set[int] = set()
        each: BaseException | None = error
        while self._pattern is not None and each is not None and id(each) not in seen:
            seen.add(id(each))
            each.args = tuple(self.mask(part) if isinstance(part, str) else part for part in each.args)
            if isinstance(each, UsageError):
                each.command = self.mask(each.command)
            each = each.__cause__

    def hide(self, text: str) -> str:
        """`text` with a name for each secret, of which `reveal` makes what its value is then."""
        text = text.replace(_MARK, _MARK * 2)
        if self._pattern is None:
            return text
        return self._pattern.sub(self._name_of, text)

    def reveal(self, text: str) -> str:
        """What `hide` was given, with the values of today. Raises RunRefused for a secret that is not known here."""
        return _HIDDEN_HERE.sub(self._value_of, text)

    def _name_of(self, match: re.Match[str]) -> str:
        secret, number = self._spelt[match[0]]
        return f"{_MARK}{secret.name}{_MARK}{number}{_MARK}"

    def _value_of(self, match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return _MARK
        if name not in self._by_name:
            raise RunRefused(
                f"the place where this run goes on holds a secret that it was given as {name}; give it that way again, "
                "or start afresh with --fresh",
                differs=(name,),
            )
        return spellings(self._by_name[name].value)[int(match[2])]

    def _without_beginnings(self, text: str) -> str:
        """`text` without what a secret begins with, where the quote of an answer was cut in the middle of it."""
        *quotes, rest = text.split(CUT)
        return "".join(f"{self._without_beginning(quote)}{CUT}" for quote in quotes) + rest

    def _without_beginning(self, text: str) -> str:
        for spelling, (secret, _) in self._spelt.items():
            at = text.find(spelling[:LEAST], max(0, len(text) - len(spelling) + 1))
            while at >= 0:
                if spelling.startswith(text[at:]):
                    return text[:at] + secret.shown
                at = text.find(spelling[:LEAST], at + 1)
        return text


NO_SECRETS = SecretValues()


def spellings(value: str) -> tuple[str, ...]:
    """How `value` may come back: as it is, encoded for a URL, escaped for JSON or HTML, inside base64.

    Always as many, in the same order.
    """
    as_json = json.dumps(value)[1:-1]
    return (
        value,
        " ".join(value.split()),
        *_percent(quote(value, safe="")),
        *_percent(quote(value)),
        *_percent(quote_plus(value)),
        as_json,
        as_json.replace("/", "\\/"),
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
        *_in_base64(value),
    )


def _percent(encoded: str) -> tuple[str, str]:
    return encoded, re.sub("%..", lambda match: match[0].lower(), encoded)


def _in_base64(value: str) -> Iterable[str]:
    """What is the same of the base64 of any text that holds `value`; three letters of it can begin anywhere in one."""
    data = value.encode("utf-8", "surrogatepass")
    for before in range(3):
        text = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        end = len(text) - 1 if (before + len(data)) % 3 else len(text)
        core = text[(0, 2, 3)[before] : end]
        # Of a short value so little is left that it says nothing.
        core = core if len(core) >= _WHOLE_WORD else ""
        yield core
        yield core.replace("+", "-").replace("/", "_")


def _pattern(spelling: str) -> str:
    exact = re.escape(spelling)
    return exact if len(spelling) >= _WHOLE_WORD else f"(?<![A-Za-z0-9]){exact}(?![A-Za-z0-9])"
