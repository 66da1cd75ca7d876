"""One method for each method of HTTP, the same for both faces."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from ..messages import HeadersLike
from .request_maker import Data, Params

Answer = TypeVar("Answer")


class Verbs(Generic[Answer]):
    """What is sent by which method; `Answer` is a Response, or what can be awaited for one.

    `params` go into the query, `json` or `data` (bytes, text, or form fields) is the body.
    """

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Params | None = None,
        headers: HeadersLike | None = None,
        json: Any = None,
        data: Data | None = None,
    ) -> Answer:
        """Send a request with any method."""
        raise NotImplementedError

    def get(self, url: str, *, params: Params | None = None, headers: HeadersLike | None = None) -> Answer:
        """GET."""
        return self.request("GET", url, params=params, headers=headers)

    def head(self, url: str, *, params: Params | None = None, headers: HeadersLike | None = None) -> Answer:
        """HEAD."""
        return self.request("HEAD", url, params=params, headers=headers)

    def delete(self, url: str, *, params: Params | None = None, headers: HeadersLike | None = None) -> Answer:
        """DELETE."""
        return self.request("DELETE", url, params=params, headers=headers)

    def post(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: HeadersLike | None = None,
        json: Any = None,
        data: Data | None = None,
    ) -> Answer:
        """POST, which is sent again only where the peer refused to process it or nothing was sent."""
        return self.request("POST", url, params=params, headers=headers, json=json, data=data)

    def put(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: HeadersLike | None = None,
        json: Any = None,
        data: Data | None = None,
    ) -> Answer:
        """PUT."""
        return self.request("PUT", url, params=params, headers=headers, json=json, data=data)

    def patch(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: HeadersLike | None = None,
        json: Any = None,
        data: Data | None = None,
    ) -> Answer:
        """PATCH, of which the same is true as of POST."""
        return self.request("PATCH", url, params=params, headers=headers, json=json, data=data)
