"""Which statuses an operator's lifetime is for."""

from __future__ import annotations

import pytest

from penstock.rules.caching.policy_ttl import LONGEST_FAILURE, policy_directives, policy_lifetime, refused_status
from penstock.rules.caching.storing import ERRORS_OF_ONE

BY_DEFAULT = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501}
"""RFC 9110, 15.1, word for word."""
ALL = range(100, 1000)


def test_the_ttl_is_for_what_may_be_cached_by_default() -> None:
    """One hiccup of the app was what everybody got for an hour, and one 401 locked out those who had the right."""
    assert {status for status in ALL if policy_lifetime(status, 60.0, None) is not None} == BY_DEFAULT
    assert {status for status in ALL if policy_lifetime(status, None, None) is not None} == set()


@pytest.mark.parametrize("status", ALL)
def test_a_number_of_its_own_goes_before_the_ttl(status: int) -> None:
    assert policy_lifetime(status, 60.0, {status: 2.0}) == 2.0
    assert policy_lifetime(status, None, {status: 0.0}) == 0.0
    assert policy_lifetime(status, None, {status + 1: 2.0}) is None


@pytest.mark.parametrize("status", ALL)
def test_which_statuses_may_be_given_a_lifetime(status: int) -> None:
    """None that speaks of one client; those that deny only where all get them anyway; failures for seconds."""
    never = not 200 <= status < 600 or status == 304 or status in ERRORS_OF_ONE
    assert (refused_status(status, 10.0, public=True) is not None) == never
    assert (refused_status(status, 10.0, public=False) is not None) == (never or status in {401, 403, 407})
    assert (refused_status(status, LONGEST_FAILURE + 0.1, public=True) is not None) == (never or status >= 500)


@pytest.mark.parametrize("status", [200, 404, 500, 501, 503])
def test_a_failure_is_never_used_stale(status: int) -> None:
    found = policy_directives(
        status, 60.0, {500: 2.0, 503: 2.0}, stale_while_revalidate=600.0, stale_if_error=600.0, public=False
    )
    assert found is not None
    assert found.proxy_revalidate is (status >= 500)
    assert found.by_policy
