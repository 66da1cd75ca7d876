"""What people do on the three sites, each in a thread: `visit` runs them all, and returns every answer they got."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from .browser import Browser, Seen, forms_of
from .django_sites import USERS, Running

ANONYMOUS = {
    "polls": ["/polls/", *(f"/polls/{n}/results/" for n in range(3, 9))],
    "shop": ["/", "/offers/", "/about/", "/news/", "/price/thing-1/"],
    "wagtail": ["/", *(f"/page-{n}/" for n in range(1, 6))],
}
"""Pages that are the same for all who are not logged in, and that no user of these tests changes."""
FORMS = {"polls": "/polls/8/", "shop": "/accounts/login/", "wagtail": "/admin/login/"}
"""A page with a form that strangers see: who has been there has a `csrftoken`."""
TOKEN_HOLDER = "token-holder"
LANGUAGES = ("de-DE,de;q=0.9,en;q=0.8", "en-US,en;q=0.5", "de", "en-GB,en-US;q=0.9,en;q=0.8", "fr,en;q=0.3")


@dataclass(frozen=True)
class Plan:
    """How many there are of each kind, and how often each does what they do."""

    readers: int = 4
    """Strangers, each with an own `_ga`."""
    token_holders: int = 2
    """Strangers who have been at a form, so that they have a `csrftoken`."""
    reads: int = 280
    """Pages that each stranger reads."""
    rounds: int = 6
    """How often each user does everything that a user does."""


PLANS = {"polls": Plan(), "shop": Plan(), "wagtail": Plan(reads=300, rounds=2)}
"""Some 2,000 requests a site; a page of Wagtail's admin site takes a second where two cores are shared."""


def visit(site: Running, plan: Plan) -> list[Seen]:
    """Everybody at once; raises AssertionError where a form does not do what it should."""
    users = [Browser(name, site.url) for name in USERS]
    count = plan.readers + plan.token_holders
    names = ["reader" if n < plan.readers else TOKEN_HOLDER for n in range(count)]
    readers = [Browser(f"{name}-{n}", site.url, LANGUAGES[n % len(LANGUAGES)]) for n, name in enumerate(names)]
    jobs: list[Callable[[], None]] = [partial(use, site, user, plan.rounds) for user in users]
    jobs += [partial(read, site, reader, plan.reads) for reader in readers]
    with ThreadPoolExecutor(len(jobs)) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
    return [answer for browser in users + readers for answer in browser.seen]


def holds_token(browser: str) -> bool:
    """Whether the browser of this name has been at a form before it reads."""
    return browser.startswith(TOKEN_HOLDER)


def read(site: Running, browser: Browser, count: int) -> None:
    """A stranger reads pages."""
    browser.give("_ga", f"GA1.1.{secrets.randbelow(10**9)}")
    if holds_token(browser.name):
        assert browser.get(FORMS[site.site]).status == 200
        assert browser.cookie("csrftoken")
    for path in itertools.islice(itertools.cycle(ANONYMOUS[site.site]), count):
        assert browser.get(path).status == 200
        # The marketing script counts visits in a cookie that changes with each.
        browser.give("_ga_S1", secrets.token_hex(6))
        if site.site == "shop" and secrets.randbelow(20) == 0:
            assert browser.get("/busy/").status == 503
            assert browser.get("/boom/").status == 500


def use(site: Running, browser: Browser, rounds: int) -> None:
    """A user does everything, again and again."""
    for n in range(rounds):
        {"polls": poll, "shop": shop, "wagtail": edit}[site.site](site, browser, n)


def log_in(browser: Browser, page: str, arrives_at: str) -> None:
    """With the form of the login page; afterwards the user is known."""
    browser.give("_ga", f"GA1.1.{browser.name}")
    name = browser.name
    done = browser.submit(page, page.partition("?")[0], username=name, password=f"{name}-secret", next=arrives_at)
    assert (done.status, done.field("location")) == (302, arrives_at), done
    assert browser.cookie("sessionid")
    browser.user = name


def log_out(browser: Browser, page: str, to: str) -> None:
    """With the form of a page."""
    done = browser.submit(page, to)
    assert done.status in (200, 302), done
    assert not browser.cookie("sessionid")
    browser.user = ""


def poll(_site: Running, browser: Browser, n: int) -> None:
    """Votes, in two tabs, and counts; logs in to the admin site, asks something and looks whether it is there."""
    question = 1 + USERS.index(browser.name) % 2
    other = 3 - question
    tabs = {each: browser.get(f"/polls/{each}/") for each in (question, other)}
    for each, tab in tabs.items():
        _vote(browser, each, tab)
    nothing = browser.submit(f"/polls/{question}/", f"/polls/{question}/vote/")
    assert "select a choice" in nothing.body
    log_in(browser, "/admin/login/?next=/admin/", "/admin/")
    assert (
        f"<strong>{browser.name.capitalize()}" in browser.get("/admin/").body or browser.name in browser.seen[-1].body
    )
    asked = f"Question {secrets.token_hex(4)}?"
    add = "/admin/polls/question/add/"
    now = time.gmtime()
    when = {"pub_date_0": time.strftime("%Y-%m-%d", now), "pub_date_1": "00:00:00"}
    done = browser.submit(add, add, question_text=asked, **when)
    assert done.status == 302, done
    listed = browser.follow(done)
    assert "was added successfully" in listed.body
    assert asked in listed.body
    assert "was added successfully" not in browser.get(listed.path).body
    log_out(browser, "/admin/", "/admin/logout/")


def _vote(browser: Browser, question: int, tab: Seen) -> None:
    before = _votes(browser.get(f"/polls/{question}/results/").body)
    choice = re.findall(r'name="choice" id="choice\d" value="(\d+)"', tab.body)[0]
    (form,) = forms_of(tab.body)
    done = browser.post(f"/polls/{question}/vote/", form.values | {"choice": choice}, tab.path)
    assert done.status == 302, f"{done} {form}"
    after = browser.follow(done)
    assert after.status == 200
    assert _votes(after.body) > before, f"{before} {after}"


def _votes(page: str) -> int:
    return sum(map(int, re.findall(r"-- (\d+) vote", page)))


def shop(_site: Running, browser: Browser, n: int) -> None:
    """A newsletter without a session, a cart that goes along with the login, a language of choice, errors, a token."""
    _campaign(browser)
    _told(browser, "/p/thing-1/", "/subscribe/")
    _add(browser)
    assert browser.get("/account/").status == 302
    log_in(browser, "/accounts/login/?next=/account/", "/account/")
    assert "Your orders" in browser.get("/account/").body
    before = len(re.findall("class=.item", browser.get("/cart/").body))
    assert before >= 1
    _add(browser)
    assert len(re.findall("class=.item", browser.get("/cart/").body)) == before + 1
    _speak(browser, "de" if n % 2 else "en")
    for path in ("/boom/", "/busy/"):
        assert browser.get(path).status in (500, 503)
    _change(browser, n)
    log_out(browser, "/account/", "/accounts/logout/")
    assert browser.get("/account/").status == 302
    stranger = Browser(f"{browser.name}-program-{n}", browser.root, user=browser.name, seen=browser.seen)
    assert stranger.get("/api/me/", Authorization=f"Token {browser.name}").status == 200
    stranger.user = ""
    assert stranger.get("/api/me/").status == 401


def _campaign(browser: Browser) -> None:
    clicked = browser.get("/go/")
    assert clicked.status == 302
    assert "campaign" in dict(clicked.cookies_set()), clicked


def _add(browser: Browser) -> None:
    slug = f"thing-{secrets.randbelow(3)}"
    _told(browser, f"/p/{slug}/", f"/cart/add/{slug}/")


def _told(browser: Browser, page: str, to: str) -> None:
    """Sends a form, after which a message is shown once, on the page to which it leads."""
    mark = secrets.token_hex(6)
    done = browser.submit(page, to, mark=mark)
    assert done.status == 302, done
    told = browser.follow(done)
    assert f"added-{mark}" in told.body, told
    assert "added-" not in browser.get(told.path).body


def _speak(browser: Browser, language: str) -> None:
    done = browser.submit("/account/", "/i18n/setlang/", language=language)
    assert done.status == 302, done
    for path in ("/", "/offers/", "/about/"):
        page = browser.get(path)
        assert f'<html lang="{language}"' in page.body, f"{language} {page}"


def _change(browser: Browser, n: int) -> None:
    """A new price, in the admin site: a purge after the commit shows it at once, although it is kept for a day."""
    number = 2 + USERS.index(browser.name)
    price = f"/price/thing-{number}/"
    browser.get(price)
    page = f"/admin/shop/product/{number + 1}/change/"
    done = browser.submit(page, page, price=str(100 + n))
    assert done.status == 302, done
    assert browser.get(price).body.endswith(f": {100 + n}"), browser.seen[-1]


def edit(_site: Running, browser: Browser, n: int) -> None:
    """Logs in to Wagtail, changes a page, publishes it, and sees it at once; strangers do too."""
    log_in(browser, "/admin/login/", "/admin/")
    assert browser.name in browser.get("/admin/").body.lower()
    top = re.search(r"/admin/pages/(\d+)/", browser.get("/admin/pages/").body)
    assert top is not None
    title = f"Title {n} of an editor"
    slug = f"news-{USERS.index(browser.name)}"
    if n == 0:
        add = "/admin/pages/add/home/homepage/3/"
        done = browser.submit(add, add, title=title, slug=slug, **{"action-publish": "action-publish"})
    else:
        number = _number_of(browser, slug)
        page = f"/admin/pages/{number}/edit/"
        done = browser.submit(page, page, title=title, slug=slug, **{"action-publish": "action-publish"})
    assert done.status == 302, done
    assert "published" in browser.follow(done).body
    assert title in browser.get(f"/{slug}/").body
    stranger = Browser(f"{browser.name}-stranger-{n}", browser.root, seen=browser.seen)
    assert title in stranger.get(f"/{slug}/").body, stranger.seen[-1]
    assert "wagtail-userbar" not in stranger.seen[-1].body
    # The form of Wagtail's side bar is made by a script, with the token of the cookie.
    done = browser.post("/admin/logout/", {"csrfmiddlewaretoken": browser.cookie("csrftoken")})
    assert (done.status, browser.cookie("sessionid")) == (302, ""), done
    browser.user = ""


def _number_of(browser: Browser, slug: str) -> str:
    bar = re.search(r"/admin/pages/(\d+)/edit/", browser.get(f"/{slug}/").body)
    assert bar is not None, f"an editor sees the bar of Wagtail at /{slug}/: {browser.seen[-1]}"
    return bar[1]


def anonymous(site: str, answers: list[Seen]) -> Iterator[Seen]:
    """The answers with pages that strangers read."""
    paths = frozenset(ANONYMOUS[site])
    return (each for each in answers if each.browser.startswith(("reader-", TOKEN_HOLDER)) and each.path in paths)
