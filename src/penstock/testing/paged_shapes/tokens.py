"""Shapes whose answers name a token of the next page, or whose last row is one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cut import Cut, Shape, by_last_row, by_token, with_headers


def _if_more(cut: Cut, **fields: Any) -> dict[str, Any]:
    return fields if cut.more else {}


TOKENS: Mapping[str, Shape] = {
    "notion": by_token(
        "start_cursor",
        "page_size",
        lambda c: {"object": "list", "results": c.rows, "next_cursor": c.token, "has_more": c.more},
    ),
    "jira-jql": by_token(
        "nextPageToken",
        "maxResults",
        lambda c: {"issues": c.rows, "isLast": not c.more, **_if_more(c, nextPageToken=c.token)},
    ),
    "airtable": by_token("offset", "pageSize", lambda c: {"records": c.rows, **_if_more(c, offset=c.token)}),
    "twitter": by_token(
        "pagination_token",
        "max_results",
        lambda c: {"data": c.rows, "meta": {"result_count": len(c.rows), **_if_more(c, next_token=c.token)}},
        known=frozenset({"pagination_token", "max_results"}),
    ),
    "elasticsearch-scroll": by_token(
        "scroll_id",
        "size",
        lambda c: {"_scroll_id": c.here, "hits": {"total": {"value": c.total}, "hits": c.rows}},
    ),
    "azure-header": by_token(
        "continuation", "top", lambda c: with_headers({"value": c.rows}, x_ms_continuation=c.token)
    ),
    "cursor-header": by_token("cursor", "limit", lambda c: with_headers(c.rows, X_Next_Cursor=c.token or "")),
    "aws": by_token("NextToken", "MaxResults", lambda c: {"Items": c.rows, **_if_more(c, NextToken=c.token)}),
    "aws-marker": by_token(
        "Marker",
        "MaxItems",
        lambda c: {"Users": c.rows, "IsTruncated": c.more, **_if_more(c, Marker=c.token)},
    ),
    "s3-v2": by_token(
        "continuation-token",
        "max-keys",
        lambda c: {
            "Contents": c.rows,
            "KeyCount": len(c.rows),
            "IsTruncated": c.more,
            **_if_more(c, NextContinuationToken=c.token),
        },
    ),
    "dynamodb": by_token(
        "ExclusiveStartKey",
        "Limit",
        lambda c: {"Items": c.rows, "Count": len(c.rows), **_if_more(c, LastEvaluatedKey=c.token)},
    ),
    "box": by_token("marker", "limit", lambda c: {"entries": c.rows, "limit": c.size, "next_marker": c.token}),
    "intercom": by_token(
        "starting_after",
        "per_page",
        lambda c: {
            "type": "list",
            "data": c.rows,
            "pages": {
                "page": c.page + 1,
                "per_page": c.size,
                "total_pages": c.pages,
                **_if_more(c, next={"per_page": c.size, "starting_after": c.token}),
            },
        },
    ),
    "reddit": by_token(
        "after",
        "limit",
        lambda c: {"kind": "Listing", "data": {"after": c.token, "before": None, "children": c.rows}},
    ),
    "europe-pmc": by_token(
        "cursorMark",
        "pageSize",
        lambda c: {"hitCount": c.total, "nextCursorMark": c.here, "resultList": {"result": c.rows}},
    ),
    "openalex": by_token(
        "cursor",
        "per-page",
        lambda c: {
            "meta": {"count": c.total, "page": None, "per_page": c.size, "next_cursor": c.token},
            "results": c.rows,
        },
        query="cursor=*",
    ),
    "crossref-cursor": by_token(
        "cursor",
        "rows",
        lambda c: {"message": {"total-results": c.total, "items": c.rows, "next-cursor": c.here}},
    ),
    "kubernetes": by_token(
        "continue",
        "limit",
        lambda c: {"kind": "PodList", "metadata": {"resourceVersion": "7", "continue": c.token or ""}, "items": c.rows},
    ),
    "relay-edges": by_token(
        "after",
        "first",
        lambda c: {
            "data": {
                "users": {
                    "edges": [{"node": row} for row in c.rows],
                    "pageInfo": {"hasNextPage": c.more, "endCursor": c.token},
                }
            }
        },
    ),
    "unkey": by_token(
        "cursor",
        "limit",
        lambda c: {"data": c.rows, "pagination": {"hasMore": c.more, **_if_more(c, cursor=c.token)}},
    ),
    "omnisend": by_token(
        "after",
        "limit",
        lambda c: {
            "segments": c.rows,
            "paging": {"limit": c.size, "hasMore": c.more, "cursors": {"before": None, "after": c.token}},
        },
    ),
    "pinterest": by_token("bookmark", "page_size", lambda c: {"items": c.rows, "bookmark": c.token}),
    "buckaroo": by_token("continuationToken", "limit", lambda c: {"items": c.rows, "nextContinuationToken": c.token}),
    "gcp-snake": by_token("page_token", "page_size", lambda c: {"books": c.rows, "next_page_token": c.token or ""}),
    "has-more-stale-token": by_token(
        "cursor", "limit", lambda c: {"items": c.rows, "has_more": c.more, "next_cursor": c.here}
    ),
    "openai-list": by_last_row(
        "after",
        "limit",
        lambda c: {
            "object": "list",
            "data": c.rows,
            "first_id": str(c.rows[0]["id"]) if c.rows else None,
            "last_id": str(c.rows[-1]["id"]) if c.rows else None,
            "has_more": c.more,
        },
    ),
    "anthropic-list": by_last_row(
        "after_id",
        "limit",
        lambda c: {"data": c.rows, "has_more": c.more, "last_id": str(c.rows[-1]["id"]) if c.rows else None},
        known=frozenset({"after_id", "before_id", "limit"}),
    ),
    "shopify-since-id": by_last_row("since_id", "limit", lambda c: {"orders": c.rows}, query="since_id=0"),
    "mediawiki": by_token(
        "gcmcontinue",
        "gcmlimit",
        lambda c: {
            **_if_more(c, **{"continue": {"gcmcontinue": c.token, "continue": "-||"}}),
            "query": {"pages": c.rows},
        },
    ),
    "next-change-id": by_token(
        "change_id", "limit", lambda c: {"changes": c.rows, **_if_more(c, next_change_id=c.token)}
    ),
    "page-cursor": by_token(
        "page_cursor", "limit", lambda c: {"data": c.rows, "meta": {"page": {**_if_more(c, page_cursor=c.token)}}}
    ),
    "discord": by_last_row("before", "limit", lambda c: c.rows),
}
