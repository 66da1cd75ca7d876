"""What a right rig finds where there is no cache, and with Debian's nginx 1.22.1: section 11."""

from __future__ import annotations

from dataclasses import dataclass


def ids(prefix: str, endings: str) -> frozenset[str]:
    """Test ids of one family."""
    return frozenset(prefix + each for each in endings.split())


@dataclass(frozen=True)
class FixedPoint:
    """Counts of verdicts by kind, of raw results, the true ones by kind, and the tests with some of the verdicts."""

    totals: dict[str, dict[str, int]]
    raw: dict[str, int]
    true: dict[str, int]
    lists: dict[str, frozenset[str]]


NO_CACHE = FixedPoint(
    totals={
        "required": {"pass": 22, "fail": 6, "setup_fail": 3, "dependency_fail": 129},
        "optimal": {"optional_fail": 25, "dependency_fail": 80},
        "check": {"yes": 5, "no": 22, "dependency_fail": 73},
    },
    raw={"true": 121, "failure": 182, "setup": 62},
    true={"required": 93, "optimal": 1, "check": 27},
    lists={
        "pass": ids("freshness-", "max-age-0 max-age-0-expires max-age-negative max-age-single-quoted expires-present")
        | ids("cc-resp-", "private-shared no-store no-store-case-insensitive no-store-fresh no-cache")
        | ids("cc-resp-no-cache-", "case-insensitive")
        | {f"heuristic-{status}-not_cached" for status in (201, 202, 403, 502, 503, 504, 599)}
        | {"vary-star"}
        | ids("cdn-", "private no-cache no-store-cc-fresh"),
        "fail": ids("freshness-", "s-maxage-shared max-age-leading-zero")
        | ids("cc-resp-no-store-", "old-new old-max-age")
        | {"cdn-fresh-cc-nostore", "interim-not-cached"},
        "setup_fail": frozenset(
            {
                "cc-resp-must-revalidate-stale",
                "conditional-etag-vary-headers",
                "304-lm-use-stored-Test-Header",
            }
        ),
        "yes": ids("freshness-", "none max-age-space-before-equals max-age-space-after-equals")
        | {"conditional-etag-forward", "cdn-remove-header"},
    },
)

NGINX = FixedPoint(
    totals={
        "required": {"pass": 100, "fail": 33, "setup_fail": 1, "dependency_fail": 26},
        "optimal": {"pass": 58, "optional_fail": 34, "setup_fail": 2, "dependency_fail": 11},
        "check": {"yes": 18, "no": 54, "setup_fail": 1, "dependency_fail": 27},
    },
    raw={"true": 202, "failure": 151, "setup": 12},
    true={"required": 116, "optimal": 65, "check": 21},
    lists={
        "fail": ids("freshness-expires-", "present old-date age-slow-date age-fast-date invalid-utc invalid-aest")
        | {"freshness-max-age-age"}
        | ids("vary-syntax-", "star-star empty-star star-foo foo-star")
        | {"conditional-etag-precedence", "headers-omit-headers-listed-in-Connection"}
        | ids("304-etag-update-response-", "Test-Header X-Test-Header Content-Foo X-Content-Foo Cache-Control")
        | ids("invalidate-", "POST PUT DELETE M-SEARCH")
        | ids("other-", "authorization age-gen age-update-expires age-update-max-age date-update date-update-expires")
        | ids("cdn-", "private no-cache no-store-cc-fresh fresh-cc-nostore")
        | {"interim-not-cached"},
        "setup_fail": ids("", "headers-store-Set-Cookie 304-etag-update-response-Set-Cookie")
        | ids("partial-store-partial-", "reuse-partial complete"),
    },
)
