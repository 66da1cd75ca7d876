"""What request a redirect asks for."""

from __future__ import annotations

import pytest

from penstock.errors import ProtocolError, Sent
from penstock.messages import Request, Response
from penstock.wire.redirects import RedirectTrail


def follow(request: Request, location: str, status: int = 302, limit: int = 5) -> Request | None:
    return RedirectTrail(request, limit).next_request(request, Response(status, {"Location": location}))


@pytest.mark.parametrize("status", [200, 201, 300, 304, 305, 399, 400])
def test_other_statuses_are_answers(status: int) -> None:
    assert follow(Request("GET", "http://h/"), "/x", status) is None


def test_a_redirect_without_location_is_an_answer() -> None:
    request = Request("GET", "http://h/")
    assert RedirectTrail(request, 5).next_request(request, Response(302)) is None


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "http://h/b"),
        ("b", "http://h/a/b"),
        ("?q", "http://h/a/x?q"),
        ("//other/b", "http://other/b"),
        ("https://h/b", "https://h/b"),
        ("/caf\xc3\xa9 au lait", "http://h/caf%C3%A9%20au%20lait"),
        ("/b\tc", "http://h/b%09c"),
    ],
)
def test_a_location_is_taken_relative_to_the_request(location: str, url: str) -> None:
    following = follow(Request("GET", "http://h/a/x?y"), location)
    assert following is not None
    assert following.url == url


def test_from_https_to_http_is_refused() -> None:
    with pytest.raises(ProtocolError, match="from https to http") as caught:
        follow(Request("GET", "https://h/?key=secret"), "http://h/?key=secret")
    assert caught.value.sent is Sent.YES
    assert "secret" not in str(caught.value)


OTHER_ORIGINS = ["http://other/", "http://h:81/", "https://h/", "//h.other/", "http://h.other:80/"]
STAY = [
    *("Authorization", "cookie", "Proxy-Authorization", "Host", "X-Api-Key", "x-api-key", "Api-Token", "PRIVATE-TOKEN"),
    *("X-Auth-Email", "Ocp-Apim-Subscription-Key", "X", "X-Amz-Security-Token", "Referer", "Origin", "X-Forwarded-For"),
]
GO_ALONG = ["Accept", "accept-language", "Content-Type", "User-Agent", "Idempotency-Key", "Prefer"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("url", OTHER_ORIGINS)
def test_of_the_fields_only_harmless_ones_leave_their_origin(url: str, status: int) -> None:
    """Any name may be that of a key; what is known to be none goes along."""
    request = Request("PUT", "http://h/", [(name, "s") for name in STAY + GO_ALONG], b"body")
    following = follow(request, url, status)
    assert following is not None
    about_the_body = ["Content-Type"] if status == 303 else []
    assert [name for name, _ in following.headers] == [name for name in GO_ALONG if name not in about_the_body]


@pytest.mark.parametrize("name", STAY)
def test_what_has_left_stays_away_when_the_next_step_leads_back(name: str) -> None:
    """The other origin has chosen that step."""
    trail = RedirectTrail(Request("GET", "http://h/a", {name: "s"}), 5)
    away = trail.next_request(Request("GET", "http://h/a", {name: "s"}), Response(302, {"Location": "http://o/"}))
    assert away is not None
    back = trail.next_request(away, Response(302, {"Location": "http://h/b"}))
    assert back is not None
    assert len(back.headers) == 0


@pytest.mark.parametrize("status", [307, 308])
def test_the_body_goes_where_307_and_308_lead(status: int) -> None:
    """That is what they mean; see docs/howto/send.md."""
    following = follow(Request("POST", "http://h/", {"Content-Type": "t"}, b"body"), "http://other/", status)
    assert following is not None
    assert (following.method, following.body) == ("POST", b"body")


def test_the_same_origin_written_otherwise_keeps_credentials() -> None:
    following = follow(Request("GET", "http://h/", {"Authorization": "s"}), "HTTP://H:80/b")
    assert following is not None
    assert following.headers.get("authorization") == "s"


def test_a_redirect_back_is_a_circle() -> None:
    trail = RedirectTrail(Request("GET", "http://h/a"), 5)
    second = trail.next_request(Request("GET", "http://h/a"), Response(302, {"Location": "/b"}))
    assert second is not None
    with pytest.raises(ProtocolError, match="circle"):
        trail.next_request(second, Response(302, {"Location": "/a"}))


def test_a_post_that_is_sent_back_as_get_is_no_circle() -> None:
    following = follow(Request("POST", "http://h/a", {"Content-Type": "t"}, b"x"), "/a", 303)
    assert following is not None
    assert (following.method, following.body, len(following.headers)) == ("GET", b"", 0)


@pytest.mark.parametrize(
    ("url", "shown"),
    [("http://h/a?key=s3cret", "<Request GET http://h/a?... 0 B>"), ("http://h/a", "<Request GET http://h/a 0 B>")],
)
def test_a_request_in_a_log_shows_neither_query_nor_values(url: str, shown: str) -> None:
    assert repr(Request("GET", url, {"X-Api-Key": "s3cret"})) == shown
