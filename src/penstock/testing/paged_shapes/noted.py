"""The 23 shapes that a data engineer meets in the first minute."""

from __future__ import annotations

from collections.abc import Mapping

from .cut import Cut, Shape, by_last_row, by_offset, by_page, by_token, with_headers


def _json_server(cut: Cut) -> object:
    pages = {"first": 1, "prev": cut.page or None, "next": cut.page + 2 if cut.more else None, "last": cut.pages}
    return {**pages, "pages": cut.pages, "items": cut.total, "data": cut.rows}


NOTED: Mapping[str, Shape] = {
    "drf": by_page(
        "page",
        "page_size",
        lambda c: {
            "count": c.total,
            "next": c.next_link(page=c.page + 2),
            "previous": None,
            "results": c.rows,
        },
        beyond=404,
    ),
    "github": by_page(
        "page",
        "per_page",
        lambda c: with_headers(c.rows, Link=f'<{c.link(page=c.page + 2)}>; rel="next"' if c.more else None),
    ),
    "fastapi-pagination": by_page(
        "page",
        "size",
        lambda c: {"items": c.rows, "total": c.total, "page": c.page + 1, "size": c.size, "pages": c.pages},
    ),
    "limit-offset-total": by_offset(
        "offset", "limit", lambda c: {"items": c.rows, "total": c.total, "limit": c.size, "offset": c.start}
    ),
    "next-cursor": by_token("cursor", "limit", lambda c: {"items": c.rows, "next_cursor": c.token}),
    "meta-next-cursor": by_token("cursor", "limit", lambda c: {"data": c.rows, "meta": {"next_cursor": c.token}}),
    "slack": by_token(
        "cursor",
        "limit",
        lambda c: {"ok": True, "members": c.rows, "response_metadata": {"next_cursor": c.token or ""}},
    ),
    "json-api": by_page(
        "page[number]",
        "page[size]",
        lambda c: {
            "data": c.rows,
            "links": {"self": c.link(), "next": c.next_link(page__number=c.page + 2)},
            "meta": {"count": c.total},
        },
    ),
    "hubspot": by_token(
        "after", "limit", lambda c: {"results": c.rows, **({"paging": {"next": {"after": c.token}}} if c.more else {})}
    ),
    "odata": by_offset(
        "$skip",
        "$top",
        lambda c: {
            "@odata.count": c.total,
            "value": c.rows,
            **({"@odata.nextLink": c.link(**{"$skip": c.end})} if c.more else {}),
        },
    ),
    "google": by_token(
        "pageToken", "maxResults", lambda c: {"items": c.rows, **({"nextPageToken": c.token} if c.more else {})}
    ),
    "laravel": by_page(
        "page",
        "per_page",
        lambda c: {
            "data": c.rows,
            "links": {"next": c.next_link(page=c.page + 2)},
            "meta": {"current_page": c.page + 1, "last_page": c.pages, "per_page": c.size, "total": c.total},
        },
    ),
    "shopify": by_token(
        "page_info",
        "limit",
        lambda c: with_headers(
            {"products": c.rows}, Link=f'<{c.link(page_info=c.token)}>; rel="next"' if c.more else None
        ),
    ),
    "items-total": by_offset("offset", "limit", lambda c: {"items": c.rows, "total": c.total}),
    "items-total-page": by_page("page", "per_page", lambda c: {"items": c.rows, "total": c.total}),
    "stripe": by_last_row(
        "starting_after",
        "limit",
        lambda c: {"object": "list", "data": c.rows, "has_more": c.more, "url": "/v1/charges"},
        known=frozenset({"starting_after", "ending_before", "limit"}),
    ),
    "bare-list": by_offset("offset", "limit", lambda c: c.rows),
    "bare-list-page": by_page("page", "per_page", lambda c: c.rows),
    "json-server": by_page("_page", "_per_page", _json_server),
    "wordpress": by_page(
        "page",
        "per_page",
        lambda c: with_headers(c.rows, X_WP_Total=c.total, X_WP_TotalPages=c.pages),
        beyond=400,
    ),
    "spring-data": by_page(
        "page",
        "size",
        lambda c: {
            "content": c.rows,
            "totalPages": c.pages,
            "totalElements": c.total,
            "number": c.page,
            "size": c.size,
            "first": c.page == 0,
            "last": not c.more,
            "empty": not c.rows,
        },
        first=0,
    ),
    "socrata": by_offset("$offset", "$limit", lambda c: c.rows, known=frozenset({"$offset", "$limit"})),
    "page-info": by_token(
        "after", "first", lambda c: {"nodes": c.rows, "pageInfo": {"hasNextPage": c.more, "endCursor": c.here}}
    ),
}
