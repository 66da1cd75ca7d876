"""What `explain` advises is proved: the app or the policy says it, and then the answer is stored and reused."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from penstock.errors import ConnectionLost
from penstock.inbound.cache.advice import Advice, Unstored, advice
from penstock.inbound.cache.explain import explain_url
from penstock.inbound.cache.policy import NO_POLICY, PathPolicy, Policy
from penstock.inbound.cache.policy_file import read_policy
from penstock.inbound.cache.to_store import in_django, in_fastapi, to_store
from penstock.rules.caching.decisions import REASONS
from penstock.testing import run_virtual

from ..proxy.admin_tools import Shop

PATH = "/a[1]/*x"
URL = f"http://shop.example{PATH}?q=1"
FRESH = ("cache-control", "max-age=60")
TAGS = ("surrogate-key", " ".join(f"tag-{number}" for number in range(200)))
LARGE = b"x" * (33 << 20)


@dataclass
class Case:
    """An answer that is not stored, or not reused `after` seconds, when the app is `down` or `failing`."""

    reason: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    asked: dict[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()
    set_cookies: tuple[str, ...] = ()
    silent: bool = False
    body: bytes = b"x"
    after: float = 1.0
    down: bool = False
    failing: bool = False

    def facts(self) -> Unstored:
        return Unstored(
            self.reason, self.status, silent=self.silent, cookies=self.cookies, set_cookies=self.set_cookies
        )


GA = {"cookie": "_ga=1; _gid=2"}
GA_NAMES = ("_ga", "_gid")
CASES = [
    Case("no-freshness", silent=True),
    Case("no-freshness", [("cache-control", "public")]),
    Case("no-freshness", status=404, silent=True),
    Case("no-freshness", [("location", "/")], status=302, silent=True),
    Case("no-lifetime", [("etag", '"1"')], status=302, silent=True),
    Case("request-cookie", [FRESH], asked=GA, cookies=GA_NAMES),
    Case("request-cookie", [FRESH], asked={"cookie": "theme=dark"}, cookies=("theme",)),
    Case("set-cookie", [FRESH, ("set-cookie", "_ga=1")], set_cookies=("_ga",)),
    Case("set-cookie", [("set-cookie", "_ga=1")], set_cookies=("_ga",), silent=True),
    Case("malformed-cache-control", [("cache-control", "max-age=1h")]),
    Case("must-validate", [("cache-control", "no-cache"), ("etag", '"1"')]),
    Case("must-validate", [("cache-control", "max-age=0"), ("etag", '"1"')]),
    Case("never-reusable", [("cache-control", "max-age=0")]),
    Case("status-not-understood", [("cache-control", "max-age=60, must-understand")], status=299),
    Case("too-many-tags", [FRESH, TAGS]),
    Case("too-large", [FRESH], body=LARGE),
    Case("stale", [("cache-control", "max-age=60")], after=70),
    Case("stale-if-error-over", [("cache-control", "max-age=60, stale-if-error=60")], after=200, failing=True),
    Case("origin-answered", [FRESH], after=70, failing=True),
    Case("stale-forbidden", [("cache-control", "max-age=60, must-revalidate")], after=70, failing=True),
    Case("disconnected-over", [FRESH], after=86400.0 + 70, down=True),
    Case("policy-personal", asked=GA, cookies=GA_NAMES),
]


def name_of(case: Case) -> str:
    return f"{case.reason} {case.status} {case.fields}"[:60]


def told(case: Case) -> Advice:
    return advice(case.facts())


async def is_reused(
    case: Case, fields: list[tuple[str, str]], policy: Policy, *, max_object: int | None = None
) -> bool:
    """Whether a second request, some time after the first, is answered from the store."""
    shop = Shop(policy, memory=1 << 29, max_object=max_object)
    shop.answer(PATH, *fields, status=case.status, body=case.body)
    await shop.get(URL, **case.asked)
    await shop.engine.clock.sleep(case.after)
    if case.down:
        shop.app.error = ConnectionLost("gone")
    if case.failing:
        shop.answer(PATH, status=500)
    reply = await shop.get(URL, **case.asked)
    return b"; hit" in reply.cache_status


def policy_before(case: Case) -> Policy:
    return Policy((PathPolicy("/*", ttl=60.0),)) if case.reason == "policy-personal" else Policy()


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_without_the_advice_it_is_not_reused(case: Case) -> None:
    """And for the reason that is named, where the store was asked."""

    async def main() -> None:
        assert not await is_reused(case, case.fields, policy_before(case))
        shop = Shop(policy_before(case), memory=1 << 29)
        shop.answer(PATH, *case.fields, status=case.status, body=case.body)
        status = (await shop.get(URL, **case.asked)).cache_status.decode()
        if case.after == 1:
            assert status.endswith(f"detail={case.reason}")
        else:
            assert status.endswith("; stored")

    run_virtual(main())


@pytest.mark.parametrize("reason", ["vary-star", "vary-malformed"])
def test_what_nobody_can_read_is_not_replaced_by_a_field_to_copy(reason: str) -> None:
    """An app that says `Vary: *` may mean who asks: with `Vary: Accept-Encoding` in its place that page was for all."""
    found = advice(Unstored(reason))
    assert (found.header, found.policy) == (None, ())
    assert "Cookie and Authorization" in found.sentence


@pytest.mark.parametrize("case", [each for each in CASES if told(each).header], ids=name_of)
def test_the_field_that_is_advised_stores_it(case: Case) -> None:
    """In place of what the app said in that field."""

    async def main() -> None:
        name, _, value = (told(case).header or "").partition(": ")
        fields = [each for each in case.fields if each[0] != name.lower()] + [(name.lower(), value)]
        assert await is_reused(case, fields, policy_before(case))

    run_virtual(main())


@pytest.mark.parametrize("held", ["no entry", "an entry", "an entry that has the key"])
@pytest.mark.parametrize("case", [each for each in CASES if told(each).policy], ids=name_of)
def test_the_policy_entry_that_is_advised_stores_it(case: Case, held: str, tmp_path: Path) -> None:
    """As a new entry, and in the one that the path has already, whose keys it keeps."""
    file = tmp_path / "cache.toml"
    before = {
        "no entry": "",
        "an entry": '[[path]]\nprefix = "/a"\ntags = ["kept"]\n',
        "an entry that has the key": '[[path]]\nprefix = "/a"\nignore_cookies = ["x"]\nstrip_set_cookie = ["y"]\n',
    }[held]
    if case.reason == "policy-personal":
        # There is an entry, or it would have another reason.
        before = before or '[[path]]\nprefix = "/a"\n'
        before += 'ttl = "60s"\n'
    file.write_text(before)
    policy = read_policy(file)
    entry = policy.for_target(f"{PATH}?q=1".encode())
    made = to_store(case.facts(), f"{PATH}?q=1".encode(), entry, policy)
    assert made["policy_at"] == (f"{file}:2" if before else None)
    lines = [line for line in before.splitlines() if line.split(" ")[0] not in made["policy"]]
    file.write_text("\n".join([*lines, made["policy"]]))
    assert held != "an entry that has the key" or '"x"' in file.read_text() or "ignore" not in made["policy"]
    changed = read_policy(file)
    assert run_virtual(is_reused(case, case.fields, changed))


def test_the_option_that_is_advised_stores_it() -> None:
    """A single response may be larger."""
    case = next(each for each in CASES if told(each).option)
    assert told(case).option == "--max-object 64MiB"
    assert run_virtual(is_reused(case, case.fields, Policy(), max_object=64 << 20))


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_advice_or_says_why_not(reason: str) -> None:
    """And whatever is advised is proved above."""
    found = advice(Unstored(reason))
    assert found.sentence.endswith(".")
    advised = bool(found.header or found.policy or found.option)
    if advised:
        assert reason in {each.reason for each in CASES}
        assert not found.sentence.startswith("Nothing")
    assert advised or reason not in {each.reason for each in CASES if not each.cookies and not each.set_cookies}


HARMFUL = {
    "credentials": Unstored("", credentials=True),
    "a session": Unstored("", cookies=("_ga", "sessionid")),
    "a form's token": Unstored("", cookies=("csrftoken",)),
    "a session that begins": Unstored("", set_cookies=("PHPSESSID",)),
    "messages": Unstored("", set_cookies=("_ga", "messages")),
    "said to be private, unreadably": Unstored("malformed-cache-control", restricted=True),
    "perhaps said to be private": Unstored("malformed-cache-control", restricted=None),
    "private, or to be understood": Unstored("status-not-understood", restricted=True),
    "an error of the app": Unstored("", status=500),
    "a refusal": Unstored("", status=403),
}


@pytest.mark.parametrize("facts", HARMFUL.values(), ids=HARMFUL)
@pytest.mark.parametrize("reason", REASONS)
def test_nothing_is_advised_where_storing_would_hurt(reason: str, facts: Unstored) -> None:
    """What one user sees, what others would be logged in by, and errors."""
    found = advice(facts._replace(reason=facts.reason or reason))
    assert (found.header, found.policy) == (None, ())


@pytest.mark.parametrize(
    ("header", "django", "fastapi"),
    [
        (
            "Cache-Control: max-age=60, stale-if-error=86400, public",
            "@cache_control(max_age=60, stale_if_error=86400, public=True)",
            'response.headers["Cache-Control"] = "max-age=60, stale-if-error=86400, public"',
        ),
        ("Vary: Cookie, Origin", '@vary_on_headers("Cookie", "Origin")', 'response.headers["Vary"] = "Cookie, Origin"'),
        ("Surrogate-Key: a b", 'response["Surrogate-Key"] = "a b"', 'response.headers["Surrogate-Key"] = "a b"'),
    ],
)
def test_the_same_in_django_and_fastapi(header: str, django: str, fastapi: str) -> None:
    """tests/real runs them."""
    assert (in_django(header), in_fastapi(header)) == (django, fastapi)


def test_a_running_cache_advises_as_well() -> None:
    """About the refusals that it remembers, or about what would become of a request now."""

    async def main() -> None:
        shop = Shop()
        shop.answer("/x")
        url = "http://shop.example/x"
        (first,) = explain_url(shop.engine, url)["to_store"]
        assert (first["reason"], first["header"]) == ("nothing-stored", None)
        await shop.get(url)
        (said,) = explain_url(shop.engine, url)["to_store"]
        assert (said["reason"], said["header"]) == ("no-freshness", "Cache-Control: max-age=60")
        assert said["policy"] == '[[path]]\nmatch = "/x"\nttl = "60s"'
        shop.answer("/x", FRESH)
        await shop.get(url)
        assert explain_url(shop.engine, url)["to_store"] == []
        shop.answer("/swr", ("cache-control", "max-age=60, stale-while-revalidate=600"))
        await shop.get("http://shop.example/swr")
        await shop.engine.clock.sleep(70)
        again = explain_url(shop.engine, "http://shop.example/swr")
        assert (again["would"], again["to_store"]) == ("stale", [])
        (stale,) = explain_url(shop.engine, url)["to_store"]
        assert stale["reason"] == "stale"
        (mine,) = explain_url(shop.engine, url, [(b"cookie", b"sessionid=1")])["to_store"]
        assert mine["header"] is None
        assert "sessionid" in mine["sentence"]

    run_virtual(main())


def test_what_a_match_may_not_hold_as_it_is() -> None:
    """A path with what globs and TOML have a meaning for."""
    made = to_store(Unstored("no-freshness"), b'/a[1]/*"?x', NO_POLICY, Policy())
    assert made["policy"].splitlines()[1] == 'match = "/a[[]1]/[*]\\""'
