"""From a record to its request: where fields may stand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.errors import InputError, UsageError
from penstock.outbound.records import Record
from penstock.outbound.request_template import RequestBuilder, RequestTemplate


def built(record: dict[str, Any], **template: Any) -> dict[str, str]:
    """The headers of the request of `record`."""
    builder = RequestBuilder(RequestTemplate(**{"url": "http://h/"} | template))
    return dict(builder.build(Record(record)).headers)


def test_a_header_takes_a_field_of_the_record() -> None:
    """It was sent literally, though URL and body take them."""
    headers = (("X-Id", "item {id}"), ("X-Same", "1"))
    template = {"method": "GET", "headers": headers}
    assert built({"id": 7}, **template)["X-Id"] == "item 7"
    assert built({"id": "b"}, **template)["X-Id"] == "item b"
    assert built({"id": "b"}, **template)["X-Same"] == "1"


@pytest.mark.parametrize("record", [{}, {"id": "a\r\nX-Evil: 1"}, {"id": "a\x00"}])
def test_a_record_that_makes_no_header_is_told(record: dict[str, Any]) -> None:
    """A value that would end the line, and a field that is not there."""
    with pytest.raises(InputError, match=r"no field|cannot be sent"):
        built(record, headers=(("X-Id", "{id}"),))


@pytest.mark.parametrize(
    ("template", "alike"),
    [
        ({"url": "http://h/x", "method": "GET"}, True),
        ({"url": "http://h/x", "body": '{"a": 1}'}, True),
        ({"url": "http://h/x"}, False),
        ({"url": "http://h/{id}", "method": "GET"}, False),
        ({"url": "http://h/x", "body": '{"a": "{id}"}'}, False),
        ({"url": "http://h/x", "method": "GET", "headers": (("X-Id", "{id}"),)}, False),
    ],
)
def test_requests_that_are_all_the_same_are_known(template: dict[str, Any], alike: bool) -> None:
    """Without a body a record is the body, unless the method has none."""
    assert RequestTemplate(**template).all_alike is alike


@pytest.mark.parametrize(
    "template", [{"url": "http://h/{id"}, {"body": '{"a": "{amount"}'}, {"body": '{"x": "{{id}}"}'}]
)
def test_a_template_that_would_be_sent_as_it_stands_is_refused(template: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=r"brace"):
        built({"id": 1, "amount": 2}, **template)
