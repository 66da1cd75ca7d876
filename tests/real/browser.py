"""A browser without a screen: cookies, forms, redirects one at a time; it keeps each answer that it ever got."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import Cookie, CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

HOPS = 5


@dataclass(frozen=True)
class Seen:
    """An answer, and who got it: the browser, and the user who was logged in there when it asked."""

    browser: str
    user: str
    method: str
    path: str
    status: int
    fields: tuple[tuple[str, str], ...]
    body: str

    def __str__(self) -> str:
        text = " ".join(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", self.body, flags=re.DOTALL).split())
        return f"{self.browser} ({self.user}) {self.method} {self.path}: {self.status} {dict(self.fields)} {text[:600]}"

    def field(self, name: str) -> str:
        """The first value of a field; empty where there is none."""
        return next((value for key, value in self.fields if key == name), "")

    def cookies_set(self) -> Iterator[tuple[str, str]]:
        """Names and values in Set-Cookie."""
        for key, value in self.fields:
            if key == "set-cookie":
                name, _, rest = value.partition("=")
                yield name, rest.partition(";")[0].strip('"')

    @property
    def hit(self) -> bool:
        """Whether it came from the store."""
        return "; hit" in self.field("cache-status")


class _AsTheyAre(urllib.request.HTTPErrorProcessor):
    """Errors and redirects are answers like others."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response


@dataclass
class Browser:
    """One visitor. `user`: the name under which the site knows them, empty while it does not."""

    name: str
    root: str
    language: str = "en-GB,en;q=0.7"
    user: str = ""
    seen: list[Seen] = field(default_factory=list)
    jar: CookieJar = field(default_factory=CookieJar)

    def __post_init__(self) -> None:
        self._opener = urllib.request.OpenerDirector()
        for each in (urllib.request.HTTPHandler(), urllib.request.HTTPCookieProcessor(self.jar), _AsTheyAre()):
            self._opener.add_handler(each)

    def get(self, path: str, **fields: str) -> Seen:
        """GET, without following a redirect."""
        return self._send("GET", path, None, fields)

    def post(self, path: str, form: dict[str, str], referer: str = "/") -> Seen:
        """POST of a form as a browser does it, without following a redirect."""
        told = {"Origin": self.root, "Referer": urljoin(self.root, referer)}
        return self._send("POST", path, urlencode(form).encode(), told)

    def submit(self, page: str, to: str, **values: str) -> Seen:
        """Fetch `page`, fill in its form that goes to `to`, and send it; returns the answer to the POST."""
        found = self.get(page)
        forms = [form for form in forms_of(found.body) if urljoin(page, form.action).partition("?")[0] == to]
        assert forms, f"no form for {to}: {found}"
        largest = max(forms, key=lambda form: len(form.values))
        return self.post(to, largest.values | values, page)

    def follow(self, answer: Seen) -> Seen:
        """Go where redirects lead."""
        for _ in range(HOPS):
            if answer.status not in (301, 302, 303):
                return answer
            answer = self.get(urljoin(answer.path, answer.field("location")))
        raise AssertionError(f"{self.name}: {answer.path} redirects without an end")

    def cookie(self, name: str) -> str:
        """The value of a cookie that is kept; empty where there is none."""
        return next((each.value or "" for each in self.jar if each.name == name), "")

    def give(self, name: str, value: str) -> None:
        """A cookie that a script of the page sets."""
        host = urlsplit(self.root).hostname or ""
        self.jar.set_cookie(
            Cookie(0, name, value, None, False, host, False, False, "/", True, False, None, False, None, None, {})
        )

    def _send(self, method: str, path: str, body: bytes | None, fields: dict[str, str]) -> Seen:
        url = urljoin(self.root, path)
        request = urllib.request.Request(url, body, {"Accept-Language": self.language} | fields, method=method)
        with self._opener.open(request, timeout=60) as response:
            text = response.read().decode()
            headers = tuple((name.lower(), value) for name, value in response.headers.items())
            path = url.removeprefix(self.root)
            self.seen.append(Seen(self.name, self.user, method, path, response.status, headers, text))
        return self.seen[-1]


@dataclass
class Form:
    """A form of a page, and what it would send if nobody changed anything."""

    action: str
    values: dict[str, str]


def forms_of(page: str) -> list[Form]:
    """The forms that are sent with POST."""
    reader = _FormReader()
    reader.feed(page)
    return reader.forms


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._area = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(at.get("action", ""), {})
            if at.get("method", "").lower() == "post":
                self.forms.append(self._form)
        if self._form is None or not at.get("name"):
            return
        if tag == "textarea":
            self._area = at["name"]
            self._form.values[self._area] = ""
        unsent = at.get("type") in ("submit", "button", "file") or (
            at.get("type") in ("checkbox", "radio") and "checked" not in at
        )
        if tag == "input" and not unsent:
            self._form.values[at["name"]] = at.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._area:
            self._form.values[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._area = ""
        if tag == "form":
            self._form = None


def marked(body: str, mark: str) -> list[str]:
    """The values of the attribute `data-MARK` in a page."""
    return re.findall(rf'data-{mark}="([^"]*)"', body)
