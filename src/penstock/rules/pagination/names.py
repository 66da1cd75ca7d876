"""The names that APIs give to what pages are told by, as `plain` has them; the surest first."""

from __future__ import annotations

TOTALS = (
    *("total", "totalcount", "totalresults", "totalrows", "totalitems", "totalrecords", "totalelements", "totalsize"),
    *("totalhits", "numfound", "nbhits", "hitcount", "odatacount", "found", "count", "filteredtablerowscount", "items"),
    *("resultcount", "recordcount", "hydratotalitems", "wptotal", "paginationtotalcount", "contentrange"),
)
UNSURE_TOTALS = frozenset({"count", "found", "items", "resultcount", "recordcount"})
"""Names that as often count the rows of this page."""

PAGE_COUNTS = (
    *("totalpages", "totalpage", "pagecount", "numpages", "numberofpages", "nbpages", "lastpage", "wptotalpages"),
    *("paginationpagecount", "paginationtotalpages", "pagetotal", "pagestotal", "pages", "last"),
)

MORE = (
    *("hasmore", "hasnextpage", "hasnext", "hasmorerecords", "hasmoreitems", "hasmoreresults", "hasmorepages"),
    *("moreavailable", "more", "istruncated"),
)
"""Not `truncated`: of a table it says that a query was cut, and is false on pages that have a next."""
LAST = ("islast", "islastpage", "lastpage", "endofrecords", "isend", "last", "done", "finished", "exhausted")
"""Flags that say the opposite."""

OFFSETS = (
    *("offset", "skip", "start", "startat", "startindex", "firstresult", "startrow", "startposition"),
    *("odataskip",),
)
PAGES = (
    *("page", "pagenumber", "currentpage", "pageindex", "pageno", "pagenum", "paginationcurrentpage", "p", "number"),
    *("current",),
)
SIZES = (
    *("limit", "perpage", "pagesize", "size", "maxresults", "hitsperpage", "pagelen", "itemsperpage", "rows", "count"),
    *("take", "top", "first", "paginationperpage", "num", "results"),
)

TOKENS = {
    "nextcursor": ("cursor", "start_cursor", "after"),
    "endcursor": ("after", "cursor"),
    "nextpagetoken": ("=", "*", "page_token"),
    "nexttoken": ("*", "pagination_token", "token"),
    "nextcontinuationtoken": ("=", "continuation-token", "*"),
    "continuationtoken": ("*",),
    "mscontinuation": ("continuation", "continuationToken"),
    "nextcursormark": ("=",),
    "nextmarker": ("=",),
    "nextoffset": ("=", "offset"),
    "nextpagestart": ("start",),
    "nextstart": ("=",),
    "nextpage": ("page", "_page", "*"),
    "nextpageid": ("=", "page_id"),
    "nextmaxid": ("=",),
    "nextbeforeid": ("=",),
    "nextkey": ("=", "*"),
    "nextid": ("=", "after"),
    "nextbatch": ("from", "since"),
    "lastevaluatedkey": ("ExclusiveStartKey", "*"),
    "scrollid": ("scroll_id", "*"),
    "aftercursor": ("after", "page[after]", "cursor"),
    "startingafter": ("*",),
    "continue": ("*",),
    "resumptiontoken": ("*",),
    "paginationtoken": ("*",),
    "pagetoken": ("*",),
    "cursormark": ("*",),
    "bookmark": ("*",),
    "marker": ("*",),
    "after": ("*",),
    "cursor": ("*",),
    "next": ("cursor", "*", "after"),
    "offset": ("*",),
    "lastid": ("after_id", "after", "starting_after"),
}
"""What names a token of the next page, and the parameters that may take it: `*` its name, `=` that without `next`."""

LINKS = (
    *("nexturl", "nextpageurl", "nextlink", "odatanextlink", "next", "nextpage", "nextrecordsurl", "nexturi"),
    *("nextpagelink", "nexthref", "nextpageuri", "hydranext", "href", "uri", "url"),
)
"""What names the URL of the next page; the last three only below a `next`."""

SIZE_OF = {
    "$offset": "$limit",
    "$skip": "$top",
    "_start": "_limit",
    "startAt": "maxResults",
    "startIndex": "count",
    "from": "size",
}
"""The parameter for the number of rows that goes with one for the first row; of others it is `limit`."""

OFFSET_WITH = {"$limit": "$offset", "$top": "$skip", "_limit": "_start", "maxResults": "startAt", "rows": "start"}
"""And the other way round."""

FROM_ROWS = frozenset({"sinceid", "startingafter", "afterid", "beforeid", "lastid", "maxid", "before", "after"})
"""Parameters in the user's own URL that take the id of a row."""

LAST_ROWS = ("starting_after", "after", "after_id")
"""Parameters that take the id of the last row."""

ROW_IDS = ("id", "_id", "ID", "Id", "uuid", "key")
