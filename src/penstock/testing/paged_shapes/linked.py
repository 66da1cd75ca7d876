"""Shapes whose answers have the URL of the next page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cut import Cut, Shape, by_offset, by_page, by_token, with_headers


def _link_list(cut: Cut, name: str, key: str) -> list[dict[str, Any]]:
    links = [{name: "self", key: cut.link()}]
    return [*links, {name: "next", key: cut.link(cursor=cut.token)}] if cut.more else links


LINKED: Mapping[str, Shape] = {
    "zendesk": by_token(
        "page[after]",
        "page[size]",
        lambda c: {
            "tickets": c.rows,
            "meta": {"has_more": c.more, "after_cursor": c.here, "before_cursor": "tok0"},
            "links": {"next": c.link(page__after=c.here), "prev": c.link(page__before="tok0")},
        },
    ),
    "zendesk-classic": by_page(
        "page",
        "per_page",
        lambda c: {
            "tickets": c.rows,
            "next_page": c.next_link(page=c.page + 2),
            "previous_page": None,
            "count": c.total,
        },
    ),
    "gitlab": by_page(
        "page",
        "per_page",
        lambda c: with_headers(
            c.rows,
            Link=f'<{c.link(page=c.page + 2)}>; rel="next"' if c.more else f'<{c.link(page=1)}>; rel="first"',
            X_Next_Page=c.page + 2 if c.more else "",
            X_Total_Pages=c.pages,
        ),
    ),
    "gitlab-no-link": by_page(
        "page",
        "per_page",
        lambda c: with_headers(c.rows, X_Next_Page=c.page + 2 if c.more else "", X_Page=c.page + 1),
    ),
    "bitbucket": by_page(
        "page",
        "pagelen",
        lambda c: {
            "pagelen": c.size,
            "size": c.total,
            "page": c.page + 1,
            "values": c.rows,
            **({"next": c.link(page=c.page + 2)} if c.more else {}),
        },
    ),
    "salesforce": by_token(
        "at",
        "",
        lambda c: {
            "totalSize": c.total,
            "done": not c.more,
            "records": c.rows,
            **({"nextRecordsUrl": c.link(at=c.token)} if c.more else {}),
        },
    ),
    "asana": by_token(
        "offset",
        "limit",
        lambda c: {
            "data": c.rows,
            "next_page": {"offset": c.token, "path": "/tasks", "uri": c.link(offset=c.token)} if c.more else None,
        },
    ),
    "discourse": by_page(
        "page",
        "per_page",
        lambda c: {
            "topic_list": {
                "topics": c.rows,
                "per_page": c.size,
                **({"more_topics_url": c.link(page=c.page + 1)} if c.more else {}),
            }
        },
        first=0,
    ),
    "sharepoint": by_token(
        "$skiptoken",
        "$top",
        lambda c: {
            "d": {"results": c.rows, **({"__next": c.link(**{"$skiptoken": c.token})} if c.more else {})},
        },
    ),
    "hal": by_page(
        "page",
        "size",
        lambda c: {
            "_embedded": {"orders": c.rows},
            "_links": {
                "self": {"href": c.link()},
                **({"next": {"href": c.link(page=c.page + 1)}} if c.more else {}),
            },
            "page": {"size": c.size, "totalElements": c.total, "totalPages": c.pages, "number": c.page},
        },
        first=0,
    ),
    "hydra": by_page(
        "page",
        "itemsPerPage",
        lambda c: {
            "@type": "hydra:Collection",
            "hydra:member": c.rows,
            "hydra:totalItems": c.total,
            "hydra:view": {"@id": c.link(), **({"hydra:next": c.link(page=c.page + 2)} if c.more else {})},
        },
    ),
    "fhir": by_token(
        "cursor",
        "_count",
        lambda c: {
            "resourceType": "Bundle",
            "total": c.total,
            "link": _link_list(c, "relation", "url"),
            "entry": [{"resource": row, **row} for row in c.rows],
        },
    ),
    "paypal": by_token(
        "cursor", "page_size", lambda c: {"transactions": c.rows, "links": _link_list(c, "rel", "href")}
    ),
    "relative-link": by_page(
        "page",
        "per_page",
        lambda c: with_headers(
            {"data": c.rows},
            Link=f'<{"?" + c.link(page=c.page + 2).partition("?")[2]}>; rel="next"' if c.more else None,
        ),
    ),
    "names-itself": by_token("cursor", "limit", lambda c: {"items": c.rows, "links": {"next": c.link(cursor=c.here)}}),
    "pokeapi": by_offset(
        "offset",
        "limit",
        lambda c: {
            "count": c.total,
            "next": c.next_link(offset=c.end, limit=c.size),
            "previous": None,
            "results": c.rows,
        },
    ),
}
