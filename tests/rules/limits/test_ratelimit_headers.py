"""Limits as servers tell them: the drafts of the IETF, the dialects of vendors, and whatever else."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.limits.ratelimit_headers import MAY_TELL, MOST_LIMITS, ToldLimit, read_limits
from penstock.rules.limits.reset_time import Reset, read_reset

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
IN_A_MINUTE = int(NOW) + 60
DAY = 86400.0

Facts = tuple[int | None, float | None, int | None, float | None]


def read(text: str) -> list[Facts]:
    """(count, seconds, remaining, reset after) of every limit in these lines of `Name: value`."""
    fields = [(name, value.strip()) for name, _, value in (line.strip().partition(":") for line in text.splitlines())]
    told = read_limits(fields, NOW)
    return [(each.count, each.seconds, each.remaining, each.reset_after) for each in told]


DRAFTS = [
    # draft-ietf-httpapi-ratelimit-headers-11
    ('RateLimit-Policy: "burst";q=100;w=60', [(100, 60.0, None, None)]),
    ('RateLimit-Policy: "default";q=100;w=10\nRateLimit: "default";r=50;t=5', [(100, 10.0, 50, 5.0)]),
    (
        'RateLimit-Policy: "permin";q=50;w=60,"perhr";q=1000;w=3600',
        [(50, 60.0, None, None), (1000, 3600.0, None, None)],
    ),
    (
        'RateLimit-Policy: "permin";q=50;w=60, "perhr";q=1000;w=3600\nRateLimit: "permin";r=49;t=50, "perhr";r=3;t=9',
        [(50, 60.0, 49, 50.0), (1000, 3600.0, 3, 9.0)],
    ),
    ('RateLimit: "default";r=50;t=30', [(None, None, 50, 30.0)]),
    ('RateLimit: "default";r=0', [(None, None, 0, None)]),
    ('RateLimit-Policy: "a";q=10', [(10, None, None, None)]),
    ('ratelimit-policy: "peruser";q=100;w=60;pk=:cHsdsRa894==:', [(100, 60.0, None, None)]),
    ('RateLimit: "peruser";r=99;t=20;pk=:cHsdsRa894==:', [(None, None, 99, 20.0)]),
    ('RateLimit-Policy: "size";q=65535;w=10;qu="content-bytes"\nRateLimit: "size";r=0;t=10', []),
    ('RateLimit-Policy: "many";q=10;qu="concurrent-requests"\nRateLimit: "many";r=0;t=1', []),
    ('RateLimit-Policy: "r";q=10;w=1;qu="requests"', [(10, 1.0, None, None)]),
    ('RateLimit-Policy: "a,b;c";q=10;w=1\nRateLimit: "a,b;c";r=1;t=1', [(10, 1.0, 1, 1.0)]),
    ("RateLimit-Policy: default;q=10;w=1", [(10, 1.0, None, None)]),
    (
        'RateLimit-Policy: "a";q=10;w=1\nRateLimit-Policy: "b";q=99;w=60',
        [(10, 1.0, None, None), (99, 60.0, None, None)],
    ),
    # 07, and before it
    ("RateLimit-Policy: 100;w=60\nRateLimit: limit=100, remaining=50, reset=5", [(100, 60.0, 50, 5.0)]),
    ("RateLimit: limit=100, remaining=50, reset=5", [(100, None, 50, 5.0)]),
    (
        'RateLimit-Policy: 10;w=1;comment="burst", 1000;w=3600\nRateLimit: limit=10, remaining=0, reset=1',
        [(10, 1.0, 0, 1.0), (1000, 3600.0, None, None)],
    ),
    (
        "RateLimit-Limit: 100, 100;w=60\nRateLimit-Remaining: 50\nRateLimit-Reset: 30",
        [(100, 60.0, 50, 30.0)],
    ),
    (
        "RateLimit-Limit: 10, 10;w=1, 50;w=60\nRateLimit-Remaining: 9\nRateLimit-Reset: 1",
        [(50, 60.0, None, None), (10, 1.0, 9, 1.0)],
    ),
    ("RateLimit-Limit: 100\nRateLimit-Remaining: 99\nRateLimit-Reset: 50", [(100, None, 99, 50.0)]),
    # not readable
    ("RateLimit: ", []),
    ("RateLimit: ;;;,,,", []),
    ('RateLimit: "a";r=x;t=y', []),
    ('RateLimit: "a";r=5;t=-3', [(None, None, 5, None)]),
    ('RateLimit: "a";r=5;t=nan', [(None, None, 5, None)]),
    ('RateLimit-Policy: "a";q=-5;w=60', []),
    ('RateLimit-Policy: "a";q=0;w=60', []),
    ('RateLimit-Policy: "a";q=10;w=0', [(10, None, None, None)]),
    ('RateLimit-Policy: "a";q=10;w=99999999999999', [(10, None, None, None)]),
    ('RateLimit-Policy: "a;q=10;w=60', []),
    ("RateLimit-Limit: many\nRateLimit-Remaining: \u0664\u0662\nRateLimit-Reset: soon", []),
    ("RateLimit-Limit: " + "9" * 400, []),
    ("RateLimit-Policy: " + ",".join(f'"p{n}";q=10;w=60' for n in range(500)), []),
]


@pytest.mark.parametrize(("text", "expected"), DRAFTS)
def test_the_drafts_of_the_ietf(text: str, expected: list[Facts]) -> None:
    """Each draft by its own examples, and near misses of them."""
    assert read(text) == expected


VENDORS = {
    "GitHub": (
        f"x-ratelimit-limit: 5000\nx-ratelimit-remaining: 4999\nx-ratelimit-used: 1\nx-ratelimit-resource: core\n"
        f"x-ratelimit-reset: {IN_A_MINUTE}",
        [(5000, None, 4999, 60.0)],
    ),
    "GitLab": (
        f"RateLimit-Limit: 60\nRateLimit-Name: throttle_authenticated_web\nRateLimit-Observed: 67\n"
        f"RateLimit-Remaining: 0\nRateLimit-Reset: {IN_A_MINUTE}\nRateLimit-ResetTime: Thu, 01 Jan 2026 00:01:00 GMT",
        [(60, None, 0, 60.0)],
    ),
    "X (Twitter)": (
        f"x-rate-limit-limit: 900\nx-rate-limit-remaining: 899\nx-rate-limit-reset: {IN_A_MINUTE}",
        [(900, None, 899, 60.0)],
    ),
    "X (Twitter), by day": (
        f"x-app-limit-24hour-limit: 500\nx-app-limit-24hour-remaining: 9\nx-app-limit-24hour-reset: {IN_A_MINUTE}",
        [(500, DAY, 9, 60.0)],
    ),
    "Stripe": ("Stripe-Rate-Limited-Reason: global-rate", []),
    "Shopify": ("X-Shopify-Shop-Api-Call-Limit: 39/40", [(40, None, 1, None)]),
    "HubSpot": (
        "X-HubSpot-RateLimit-Max: 100\nX-HubSpot-RateLimit-Remaining: 99\n"
        "X-HubSpot-RateLimit-Interval-Milliseconds: 10000\nX-HubSpot-RateLimit-Secondly: 10\n"
        "X-HubSpot-RateLimit-Secondly-Remaining: 9\nX-HubSpot-RateLimit-Daily: 250000\n"
        "X-HubSpot-RateLimit-Daily-Remaining: 249999",
        [(100, 10.0, 99, None), (10, 1.0, 9, None), (250000, DAY, 249999, None)],
    ),
    "OpenAI": (
        "x-ratelimit-limit-requests: 60\nx-ratelimit-limit-tokens: 150000\nx-ratelimit-remaining-requests: 59\n"
        "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-requests: 1s\nx-ratelimit-reset-tokens: 6m0s",
        [(60, None, 59, 1.0)],
    ),
    "Groq": (
        "x-ratelimit-limit-requests: 14400\nx-ratelimit-remaining-requests: 14370\n"
        "x-ratelimit-reset-requests: 2m59.56s",
        [(14400, None, 14370, 179.56)],
    ),
    "Anthropic": (
        "anthropic-ratelimit-requests-limit: 50\nanthropic-ratelimit-requests-remaining: 49\n"
        "anthropic-ratelimit-requests-reset: 2026-01-01T00:01:00Z\nanthropic-ratelimit-tokens-limit: 80000\n"
        "anthropic-ratelimit-tokens-remaining: 0\nanthropic-ratelimit-tokens-reset: 2026-01-01T00:01:00Z\n"
        "anthropic-ratelimit-input-tokens-limit: 1\nanthropic-ratelimit-input-tokens-remaining: 0",
        [(50, None, 49, 60.0)],
    ),
    "Mistral": (
        "x-ratelimit-limit-req-minute: 60\nx-ratelimit-remaining-req-minute: 59\n"
        "x-ratelimit-limit-tokens-minute: 500000\nx-ratelimit-remaining-tokens-minute: 0",
        [(60, 60.0, 59, None)],
    ),
    "Discord": (
        f"X-RateLimit-Limit: 5\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: {IN_A_MINUTE}.5\n"
        "X-RateLimit-Reset-After: 1.25\nX-RateLimit-Bucket: abcd1234\nX-RateLimit-Scope: user",
        [(5, None, 0, 60.5)],
    ),
    "Reddit": (
        "X-Ratelimit-Used: 3\nX-Ratelimit-Remaining: 597.0\nX-Ratelimit-Reset: 340",
        [(None, None, 597, 340.0)],
    ),
    "Atlassian Cloud": (
        "X-RateLimit-Limit: 350\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 2026-01-01T00:01Z\n"
        "X-RateLimit-NearLimit: true\nRateLimit-Reason: jira-quota-tenant-based",
        [(350, None, 0, 60.0)],
    ),
    "Jira Data Center": (
        "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 99\nX-RateLimit-FillRate: 10\nX-RateLimit-Interval-Seconds: 1",
        [(100, 1.0, 99, None)],
    ),
    "Okta": (
        f"X-Rate-Limit-Limit: 600\nX-Rate-Limit-Remaining: 599\nX-Rate-Limit-Reset: {IN_A_MINUTE}",
        [(600, None, 599, 60.0)],
    ),
    "Zendesk": (
        "X-Rate-Limit: 700\nX-Rate-Limit-Remaining: 699\nratelimit-limit: 700\nratelimit-remaining: 699\n"
        "ratelimit-reset: 41\nZendesk-RateLimit-Tickets-Index: total=100; remaining=99; resets=41",
        [(700, None, 699, 41.0)],
    ),
    "Slack": ("Retry-After: 30", []),
    "Notion": ("Retry-After: 1\nX-Notion-Request-Id: abc", []),
    "Datadog": (
        "X-RateLimit-Limit: 100\nX-RateLimit-Period: 60\nX-RateLimit-Remaining: 98\nX-RateLimit-Reset: 12\n"
        "X-RateLimit-Name: query",
        [(100, 60.0, 98, 12.0)],
    ),
    "Azure": (
        "x-ms-ratelimit-remaining-subscription-reads: 11999\n"
        "x-ms-ratelimit-remaining-resource: Microsoft.Compute/GetSubscriptionInfo;3 min;148",
        [(None, None, 11999, None)],
    ),
    "Vimeo": (
        "X-RateLimit-Limit: 250\nX-RateLimit-Remaining: 240\nX-RateLimit-Reset: 2026-01-01T00:01:00+00:00",
        [(250, None, 240, 60.0)],
    ),
    "Mapbox": (
        f"X-Rate-Limit-Interval: 60\nX-Rate-Limit-Limit: 300\nX-Rate-Limit-Reset: {IN_A_MINUTE}",
        [(300, 60.0, None, 60.0)],
    ),
    "Etsy": (
        "X-Limit-Per-Second: 10\nX-Remaining-This-Second: 9\nX-Limit-Per-Day: 10000\nX-Remaining-Today: 9999",
        [(10, 1.0, 9, None), (10000, DAY, 9999, None)],
    ),
    "Linear": (
        f"X-RateLimit-Requests-Limit: 1500\nX-RateLimit-Requests-Remaining: 1499\n"
        f"X-RateLimit-Requests-Reset: {IN_A_MINUTE}000\nX-RateLimit-Complexity-Limit: 250000\n"
        f"X-RateLimit-Complexity-Remaining: 0\nX-RateLimit-Complexity-Reset: {IN_A_MINUTE}000",
        [(1500, None, 1499, 60.0)],
    ),
    "SendGrid": (
        f"X-RateLimit-Limit: 600\nX-RateLimit-Remaining: 599\nX-RateLimit-Reset: {IN_A_MINUTE}",
        [(600, None, 599, 60.0)],
    ),
    "Twitch": (
        f"Ratelimit-Limit: 800\nRatelimit-Remaining: 799\nRatelimit-Reset: {IN_A_MINUTE}",
        [(800, None, 799, 60.0)],
    ),
    "DigitalOcean": (
        f"ratelimit-limit: 5000\nratelimit-remaining: 4816\nratelimit-reset: {IN_A_MINUTE}",
        [(5000, None, 4816, 60.0)],
    ),
    "Docker Hub": (
        "ratelimit-limit: 100;w=21600\nratelimit-remaining: 76;w=21600\ndocker-ratelimit-source: 192.0.2.1",
        [(100, 21600.0, 76, None)],
    ),
    "Kong": (
        "X-RateLimit-Limit-Minute: 10\nX-RateLimit-Remaining-Minute: 9\nX-RateLimit-Limit-Hour: 500\n"
        "X-RateLimit-Remaining-Hour: 499\nRateLimit-Limit: 10\nRateLimit-Remaining: 9\nRateLimit-Reset: 47",
        [(10, 60.0, 9, None), (500, 3600.0, 499, None), (10, None, 9, 47.0)],
    ),
    "Envoy": (
        'x-ratelimit-limit: 10, 10;w=1;name="per-ip", 1000;w=3600\nx-ratelimit-remaining: 9\nx-ratelimit-reset: 1',
        [(1000, 3600.0, None, None), (10, 1.0, 9, 1.0)],
    ),
    "Cloudflare": (
        'Ratelimit: "default";r=50;t=30\nRatelimit-Policy: "default";q=1200;w=300',
        [(1200, 300.0, 50, 30.0)],
    ),
    "Imgur": (
        f"X-RateLimit-UserLimit: 500\nX-RateLimit-UserRemaining: 499\nX-RateLimit-UserReset: {IN_A_MINUTE}",
        [(500, None, 499, 60.0)],
    ),
    "Binance": ("X-MBX-USED-WEIGHT-1M: 118\nX-MBX-ORDER-COUNT-10S: 1", []),
    "Kraken": ("CF-Ray: 1\nX-Trace-Id: 2", []),
    "Strava": ("X-RateLimit-Limit: 200,2000\nX-RateLimit-Usage: 1,10", []),
    "Pipedrive": (
        "x-ratelimit-limit: 80\nx-ratelimit-remaining: 79\nx-ratelimit-reset: 2",
        [(80, None, 79, 2.0)],
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_dialects_of_vendors(vendor: str) -> None:
    """What each of them sends, and what is understood of it."""
    text, expected = VENDORS[vendor]
    assert read(text) == expected


@pytest.mark.parametrize("vendor", VENDORS)
def test_names_are_known_before_anything_is_read(vendor: str) -> None:
    """Where the quick look at the names finds nothing, the reader finds nothing either, and the other way round."""
    text, expected = VENDORS[vendor]
    names = b" ".join(line.partition(":")[0].encode() for line in text.splitlines())
    assert MAY_TELL.search(names) or not expected


def test_a_moment_is_read_on_the_servers_clock() -> None:
    """Where the answer's Date says that the server's clock is an hour behind ours, so is its reset."""
    fields = [("X-RateLimit-Remaining", "5"), ("X-RateLimit-Reset", str(int(NOW) - 3600 + 60))]
    assert read_limits(fields, NOW)[0].reset_after == 0.0
    told = read_limits([*fields, ("Date", formatdate(NOW - 3600, usegmt=True))], NOW)
    assert told == (ToldLimit("", None, None, 5, 60.0, absolute=True),)


def test_of_two_that_disagree_the_tighter_counts() -> None:
    """A limit that is told twice is the lower one, with the later reset."""
    text = "X-RateLimit-Limit: 100\nRateLimit-Limit: 60\nX-RateLimit-Remaining: 9\nRateLimit-Remaining: 50\n"
    assert read(text + "X-RateLimit-Reset: 7\nRateLimit-Reset: 3") == [(60, None, 9, 7.0)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", Reset(0.0, absolute=False)),
        ("30", Reset(30.0, absolute=False)),
        ("0.5", Reset(0.5, absolute=False)),
        ("999999999", Reset(999_999_999.0, absolute=False)),
        (str(IN_A_MINUTE), Reset(60.0, absolute=True)),
        (f"{IN_A_MINUTE}.5", Reset(60.5, absolute=True)),
        (f"{IN_A_MINUTE}000", Reset(60.0, absolute=True)),
        (f"{IN_A_MINUTE}000000", Reset(60.0, absolute=True)),
        (f"{IN_A_MINUTE}000000000", Reset(60.0, absolute=True)),
        (str(int(NOW) - 60), Reset(0.0, absolute=True)),
        ("2026-01-01T00:01:00Z", Reset(60.0, absolute=True)),
        ("2026-01-01T00:01:00", Reset(60.0, absolute=True)),
        ("2026-01-01 02:01:00+02:00", Reset(60.0, absolute=True)),
        ("2026-01-01T00:01:00.250Z", Reset(60.25, absolute=True)),
        ("0001-01-01T00:00:00+23:59", Reset(0.0, absolute=True)),
        ("Thu, 01 Jan 2026 00:01:00 GMT", Reset(60.0, absolute=True)),
        ("6m0s", Reset(360.0, absolute=False)),
        ("1h2m3.5s", Reset(3723.5, absolute=False)),
        ("20ms", Reset(0.02, absolute=False)),
        ("250us", Reset(0.00025, absolute=False)),
        *[(text, None) for text in ("", " ", "-1", "+1", "1e3", "nan", "inf", "soon", "0x10", "6m0", "m", "\u0663")],
        *[(text, None) for text in ("9" * 20, "9" * 5000, "1" * 40 + "s", "9999-99-99")],
    ],
)
def test_a_reset_is_told_by_its_form_and_size(text: str, expected: Reset | None) -> None:
    """Seconds, epochs in four units, ISO 8601, HTTP dates and durations; nothing else."""
    found = read_reset(text, NOW)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found.absolute == expected.absolute
        assert found.seconds == pytest.approx(expected.seconds, abs=1e-6)


KNOWN = """
    RateLimit RateLimit-Policy RateLimit-Limit RateLimit-Remaining RateLimit-Reset X-RateLimit-Limit Date Retry-After
    X-RateLimit-Remaining X-RateLimit-Reset X-RateLimit-Reset-After X-RateLimit-Limit-Minute X-Rate-Limit
    X-HubSpot-RateLimit-Interval-Milliseconds X-Shopify-Shop-Api-Call-Limit X-Limit-Per-Second X-RateLimit-Period
    X-App-Limit-24hour-Reset anthropic-ratelimit-requests-reset ratelimit- -ratelimit \ud800-ratelimit-limit
"""
NAMES = st.sampled_from(KNOWN.split())
VALUES = st.one_of(
    st.text(st.characters(max_codepoint=0x1FFF), max_size=60),
    st.binary(max_size=60).map(lambda data: data.decode("latin-1")),
    st.from_regex(r'[-"a-z0-9=;:., ]{0,40}', fullmatch=True),
    st.integers(-(10**30), 10**30).map(str),
    st.floats().map(str),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.sampled_from(["9" * 400, "1e999", "NaN", "-Infinity", "\u0661\u0662", '"' * 50, ";" * 50, "0:0:0", "1/0", "/"]),
)


@given(st.lists(st.tuples(st.one_of(NAMES, st.text(max_size=30)), VALUES), max_size=30), st.floats(0, 1e11))
def test_nothing_raises_and_everything_is_a_sane_number(fields: list[tuple[str, str]], now: float) -> None:
    """Whatever stands in the fields, what comes out are few limits, with numbers from 0 up that are finite."""
    told = read_limits(fields, now)
    assert len(told) <= MOST_LIMITS
    for limit in told:
        assert limit.count is None or limit.count >= 1
        assert limit.seconds is None or 0 < limit.seconds < math.inf
        assert limit.remaining is None or limit.remaining >= 0
        assert limit.reset_after is None or 0 <= limit.reset_after < math.inf
