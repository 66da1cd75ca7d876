"""Judges the answers that visitors got, from the answers alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .browser import Seen, marked
from .django_sites import USERS

PERSONAL_COOKIES = ("sessionid", "csrftoken", "campaign")
_GREETED = re.compile(r'Welcome,\s*<strong>([^<]+)</strong>|\{"name": "([^"]+)", "avatarUrl"')
"""How the admin sites of Django and of Wagtail greet who is logged in."""
_MESSAGE = re.compile(r"added-([0-9a-f]{12})")
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def crossed(answers: Iterable[Seen]) -> list[str]:
    """What somebody was given that was made for somebody else, or for nobody."""
    found: list[str] = []
    made: dict[str, int] = {}
    owner: dict[tuple[str, str], str] = {}
    for number, each in enumerate(answers):
        where = f"{each.browser} ({each.user or 'a stranger'}) {each.method} {each.path}: {each.field('cache-status')}"
        greeted = [*marked(each.body, "user"), *(one or other for one, other in _GREETED.findall(each.body))]
        found += [f"{where}: is for {who!r}" for who in greeted if who != each.user]
        found += [f"{where}: names {name}" for name in USERS if not each.user and name in each.body]
        for nonce in {*marked(each.body, "nonce"), *_TOKEN.findall(each.body)}:
            if made.setdefault(nonce, number) != number:
                found.append(f"{where}: {nonce} had been seen")
        for one in _personal(each):
            if owner.setdefault(one, each.browser) != each.browser:
                found.append(f"{where}: {one[0]} of {owner[one]}")
    return found


def _personal(answer: Seen) -> Iterator[tuple[str, str]]:
    """Cookies that it sets and messages that it shows: whoever was first to get one is whom it was made for."""
    yield from (cookie for cookie in answer.cookies_set() if cookie[0] in PERSONAL_COOKIES and cookie[1])
    yield from (("message", mark) for mark in _MESSAGE.findall(answer.body))


def errors_from_the_store(answers: Iterable[Seen]) -> list[str]:
    """Failures of the app, and refusals, that were served again."""
    return [str(each) for each in answers if each.hit and (each.status in (401, 403, 429) or each.status >= 500)]


@dataclass(frozen=True)
class Hits:
    """How many of the answers came from the store."""

    hits: int
    all: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.hits / self.all if self.all else 0.0


def hits(answers: Iterable[Seen]) -> Hits:
    """Counted by Cache-Status."""
    found = [each.hit for each in answers]
    return Hits(sum(found), len(found))
