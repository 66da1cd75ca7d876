"""Shapes whose pages have numbers: offsets and pages."""

from __future__ import annotations

from collections.abc import Mapping

from .cut import Cut, Shape, by_offset, by_page, with_headers


def _kaminari(cut: Cut) -> object:
    return {
        "users": cut.rows,
        "meta": {
            "current_page": cut.page + 1,
            "next_page": cut.page + 2 if cut.more else None,
            "prev_page": cut.page or None,
            "total_pages": cut.pages,
            "total_count": cut.total,
        },
    }


def _range(cut: Cut) -> object:
    last = f"{cut.start}-{cut.end - 1}" if cut.rows else "*"
    return with_headers(cut.rows, Content_Range=f"items {last}/{cut.total}")


COUNTED: Mapping[str, Shape] = {
    "jira-startat": by_offset(
        "startAt",
        "maxResults",
        lambda c: {"startAt": c.start, "maxResults": c.size, "total": c.total, "issues": c.rows},
    ),
    "jira-is-last": by_offset(
        "startAt",
        "maxResults",
        lambda c: {"startAt": c.start, "maxResults": c.size, "isLast": not c.more, "values": c.rows},
    ),
    "confluence": by_offset(
        "start", "limit", lambda c: {"results": c.rows, "start": c.start, "limit": c.size, "size": len(c.rows)}
    ),
    "bitbucket-server": by_offset(
        "start",
        "limit",
        lambda c: {
            "values": c.rows,
            "size": len(c.rows),
            "limit": c.size,
            "start": c.start,
            "isLastPage": not c.more,
            "nextPageStart": c.end if c.more else None,
        },
    ),
    "pagerduty": by_offset(
        "offset",
        "limit",
        lambda c: {"incidents": c.rows, "offset": c.start, "limit": c.size, "more": c.more, "total": None},
    ),
    "gbif": by_offset(
        "offset",
        "limit",
        lambda c: {
            "offset": c.start,
            "limit": c.size,
            "endOfRecords": not c.more,
            "count": c.total,
            "results": c.rows,
        },
    ),
    "scim": by_offset(
        "startIndex",
        "count",
        lambda c: {
            "totalResults": c.total,
            "startIndex": c.start + 1,
            "itemsPerPage": len(c.rows),
            "Resources": c.rows,
        },
        first=1,
    ),
    "ckan": by_offset(
        "start", "rows", lambda c: {"success": True, "result": {"count": c.total, "results": c.rows}}, query="rows=50"
    ),
    "solr": by_offset(
        "start",
        "rows",
        lambda c: {
            "responseHeader": {"status": 0},
            "response": {"numFound": c.total, "start": c.start, "docs": c.rows},
        },
    ),
    "postgrest": by_offset("offset", "limit", _range, beyond=416),
    "mailchimp": by_offset(
        "offset", "count", lambda c: {"members": c.rows, "total_items": c.total, "_links": [{"rel": "self"}]}
    ),
    "skip-limit": by_offset(
        "skip", "limit", lambda c: {"products": c.rows, "total": c.total, "skip": c.start, "limit": c.size}
    ),
    "crossref-offset": by_offset(
        "offset",
        "rows",
        lambda c: {
            "status": "ok",
            "message": {"total-results": c.total, "items": c.rows, "items-per-page": c.size},
        },
        query="rows=50",
    ),
    "spotify": by_offset(
        "offset",
        "limit",
        lambda c: {"href": c.link(), "items": c.rows, "total": c.total, "next": c.next_link(offset=c.end)},
    ),
    "kaminari": by_page("page", "per_page", _kaminari),
    "rails-headers": by_page(
        "page", "per_page", lambda c: with_headers(c.rows, X_Total_Count=c.total, X_Page=c.page + 1, X_Per_Page=c.size)
    ),
    "total-pages-400": by_page(
        "page", "per_page", lambda c: {"data": c.rows, "page": c.page + 1, "total_pages": c.pages}, beyond=400
    ),
    "last-page-only": by_page("page", "per_page", lambda c: {"data": c.rows, "lastPage": c.pages}, beyond=422),
    "algolia": by_page(
        "page",
        "hitsPerPage",
        lambda c: {"hits": c.rows, "nbHits": c.total, "page": c.page, "nbPages": c.pages, "hitsPerPage": c.size},
        first=0,
    ),
    "tmdb": by_page(
        "page",
        "per_page",
        lambda c: {"page": c.page + 1, "results": c.rows, "total_pages": c.pages, "total_results": c.total},
    ),
    "page-has-more": by_page(
        "page", "page_size", lambda c: {"items": c.rows, "page": c.page + 1, "has_more": c.more}, beyond=404
    ),
    "dotnet": by_page(
        "pageNumber",
        "pageSize",
        lambda c: {
            "Items": c.rows,
            "PageNumber": c.page + 1,
            "PageSize": c.size,
            "TotalPages": c.pages,
            "HasNextPage": c.more,
        },
    ),
    "yii-headers": by_page(
        "page",
        "per-page",
        lambda c: with_headers(
            c.rows, X_Pagination_Page_Count=c.pages, X_Pagination_Current_Page=c.page + 1, X_Pagination_Per_Page=c.size
        ),
        beyond=404,
    ),
    "bare-from-zero": by_page("page", "size", lambda c: c.rows, first=0),
    "json-api-counted": by_page(
        "page[number]",
        "page[size]",
        lambda c: {"data": c.rows, "meta": {"page": {"number": c.page + 1, "size": c.size, "total": c.total}}},
    ),
    "laravel-bare": by_page(
        "page",
        "per_page",
        lambda c: {"data": c.rows, "current_page": c.page + 1, "from": c.start + 1, "to": c.end, "per_page": c.size},
    ),
    "aftership": by_page(
        "page",
        "limit",
        lambda c: {
            "data": {"pagination": {"page": c.page + 1, "limit": c.size, "has_next_page": c.more}, "list": c.rows}
        },
    ),
}
