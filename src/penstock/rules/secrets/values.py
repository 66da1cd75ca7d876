"""The secrets that a run knows, and texts without them, however they are spelt there."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from ...errors import RunRefused, UsageError
from .names import HIDDEN
from .signs import cut_short, signs, written

CUT = "..."
"""How a quote ends that is not all of the text."""

LEAST = 4
"""Shorter values are not hidden: they are in every second word."""

_WHOLE_WORD = 8
"""Shorter ones are hidden only where no letter or digit is next to them, so that `prod` leaves `product` alone."""

_BEFORE = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=\\[nrt]))"
_AFTER = "(?![A-Za-z0-9])"
"""No letter or digit is next to it, but for the end of an escape, as in `%20prod`."""

_KEPT = 3
"""Values of one name that are known: a token that was had anew so often is dead, and a run may have thousands."""

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
    """Takes `secrets` out of texts; of two that are equal the first counts.

    `later` may grow: what is added to it is taken out, too, and is what `reveal` puts in for its name from then on.
    """

    def __init__(self, secrets: Iterable[Secret] = (), later: Sequence[Secret] = ()) -> None:
        self._later = later
        self._learnt = 0
        self._by_name: dict[str, Secret] = {}
        self._by_value: dict[str, Secret] = {}
        for secret in secrets:
            self._add(secret)
        self._spell()

    def _add(self, secret: Secret) -> None:
        if len(secret.value) >= LEAST:
            self._by_name.setdefault(secret.name, secret)
            self._by_value.setdefault(secret.value, secret)

    def _learn(self) -> None:
        """Take up what came later."""
        for secret in self._later[self._learnt :]:
            self._by_name.pop(secret.name, None)
            self._add(secret)
            mine = [value for value, each in self._by_value.items() if each.name == secret.name]
            for value in mine[:-_KEPT]:
                del self._by_value[value]
        self._learnt = len(self._later)
        self._spell()

    def _spell(self) -> None:
        self._spelt: dict[str, tuple[Secret, int]] = {}
        """Spelling -> whose it is, and which of its spellings: those that can be told when it is revealed."""
        for secret in self._by_value.values():
            for number, spelling in enumerate(spellings(secret.value)):
                if len(spelling) >= LEAST:
                    self._spelt.setdefault(spelling, (secret, number))
        # The longest first, so that one which begins another does not leave its end.
        every = sorted(self._spelt, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_exactly, every))) if every else None
        values = sorted(self._by_value, key=len, reverse=True)
        self._ways = [way for value in values for way in _ways(self._by_value[value])]
        self._needed = {way.needed for way in self._ways}
        """A text without any of these holds no secret, and that is seen a hundred times sooner."""
        self._any: re.Pattern[str] | None = None
        """A group for each way. Not made before a text needs it: of a key of some KiB that takes a while."""

    def __bool__(self) -> bool:
        if self._learnt < len(self._later):
            self._learn()
        return bool(self._ways)

    def mask(self, text: str) -> str:
        """`text` with what stands for each secret in its place, also for one of which a quote holds the beginning."""
        if not self:
            return text
        lowered = text.lower()
        if any(needed in lowered for needed in self._needed):
            if self._any is None:
                self._any = re.compile("|".join(f"({way.pattern()})" for way in self._ways))
            text = self._any.sub(lambda match: self._ways[(match.lastindex or 1) - 1].secret.shown, text)
        return self._without_beginnings(text) if CUT in text else text

    def mask_error(self, error: BaseException) -> None:
        """Mask the texts of `error`, and of those that led to it."""
        if not self:
            return
        seen: set[int] = set()
        each: BaseException | None = error
        while each is not None and id(each) not in seen:
            seen.add(id(each))
            each.args = tuple(self.mask(part) if isinstance(part, str) else part for part in each.args)
            if isinstance(each, UsageError):
                each.command = self.mask(each.command)
            each = each.__cause__

    def hide(self, text: str) -> str:
        """`text` with a name for each secret, of which `reveal` makes what its value is then."""
        text = text.replace(_MARK, _MARK * 2)
        if not self or self._pattern is None:
            return text
        return self._pattern.sub(self._name_of, text)

    def reveal(self, text: str) -> str:
        """What `hide` was given, with the values of today. Raises RunRefused for a secret that is not known here."""
        if self._learnt < len(self._later):
            self._learn()
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
        lowered = text.lower()
        for way in self._ways:
            at = cut_short(text, way.signs, LEAST) if way.begins in lowered else None
            if at is not None:
                return text[:at] + way.secret.shown
        return text


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


def _exactly(spelling: str) -> str:
    return re.escape(spelling) if len(spelling) >= _WHOLE_WORD else f"{_BEFORE}{re.escape(spelling)}{_AFTER}"


@dataclass(frozen=True, slots=True)
class _Way:
    """One text that gives a secret away, each sign of it written in whatever way."""

    secret: Secret
    signs: list[str]
    needed: str
    """The longest part that is written in one way only, in lower case; empty for a text of nothing but signs."""
    begins: str
    """The same of its beginning."""
    any_case: bool

    def pattern(self) -> str:
        plain = "".join(map(written, self.signs))
        if len(self.signs) < _WHOLE_WORD:
            # Of a short one another case may be another word.
            return f"{_BEFORE}{plain}{_AFTER}"
        return f"(?i:{plain})" if self.any_case else plain


def _ways(secret: Secret) -> Iterable[_Way]:
    """Of the value, also with what is blank made one space, and of what base64 makes of it."""
    value = secret.value
    plain = dict.fromkeys((value, " ".join(value.split())))
    for text in (*plain, *_in_base64(value)):
        if len(text) >= LEAST:
            parts = signs(text)
            yield _Way(secret, parts, _longest(text), _longest("".join(parts[:LEAST])), text in plain)


def _longest(text: str) -> str:
    return str(max(re.findall("[A-Za-z0-9]*", text), key=len)).lower()


NO_SECRETS = SecretValues()
