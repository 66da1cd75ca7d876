"""Round a WSGI app: what `middleware` is for ASGI."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from ..errors import ArmsBusy
from .busy import answer_of
from .plain_answer import return_answer
from .scrape import Scrape
from .under_way import UNDER_WAY, UnderWay

Environ: TypeAlias = dict[str, Any]
Write: TypeAlias = Callable[[bytes], object]
StartResponse: TypeAlias = Callable[..., Write]
WsgiApp: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class MoveWSGIMiddleware:
    """Round a WSGI app whose routes have `penstock.arms(..., wsgi=True)`.

    `app.wsgi_app = penstock.MoveWSGIMiddleware(app.wsgi_app)` in Flask, `MoveWSGIMiddleware(get_wsgi_application())` in
    Django.

    The twin of `MoveMiddleware`: a request counts from when it came until its answer's last piece has been taken or the
    server has closed it, and by its final status. Where the app lets ArmsBusy through, the answer is 503 with
    `Retry-After`. Answers go through piece by piece, and files by the server's own way of sending them.

    `metrics` is as that of `MoveMiddleware`. Raises UsageError where prometheus_client is missing then.
    """

    def __init__(self, app: WsgiApp, *, metrics: str | None = None) -> None:
        self.app = app
        self._scrape = None if metrics is None else Scrape(metrics)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """As WSGI has it."""
        if self._scrape is not None and self._scrape.is_at(
            environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        ):
            return return_answer(start_response, self._scrape.answer(environ["REQUEST_METHOD"]))
        request = WsgiUnderWay(environ)
        token = UNDER_WAY.set(request)
        try:
            body = self.app(environ, request.starting(start_response))
        except ArmsBusy as busy:
            request.end(failed=True)
            if request.status:
                raise
            return return_answer(start_response, answer_of(busy))
        except BaseException:
            request.end(failed=True)
            raise
        finally:
            UNDER_WAY.reset(token)
        return _counted(body, request)


class WsgiUnderWay(UnderWay):
    """Of a WSGI server."""

    __slots__ = ("environ",)

    def __init__(self, environ: Environ) -> None:
        super().__init__()
        self.environ = environ

    def header(self, name: str) -> str | None:
        """All fields of the name, as the server has joined them."""
        found: str | None = self.environ.get("HTTP_" + name.upper().replace("-", "_"))
        return found

    def starting(self, start_response: StartResponse) -> StartResponse:
        """`start_response` for the app."""

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Write:
            write = start_response(status, headers, *exc_info)
            # An app may call it again, to replace what has not been sent by an error.
            code = status.partition(" ")[0]
            self.status = int(code) if code.isdecimal() else 0
            return self._writing(write)

        return start

    def _writing(self, write: Write) -> Write:
        def written(data: bytes) -> object:
            try:
                return write(data)
            except OSError:
                # The client has gone.
                self.end(failed=False)
                raise

        return written

    def finish(self) -> None:
        """Nothing more comes."""
        self.end(failed=self.status >= 500)


class _CountedBody:
    """The pieces of an answer, until the last one or the server's `close`."""

    __slots__ = ("_body", "_closed", "_pieces", "_request")

    def __init__(self, body: Iterable[bytes], request: WsgiUnderWay) -> None:
        self._body = body
        self._request = request
        self._pieces: Iterator[bytes] | None = None
        self._closed = False

    def __iter__(self) -> _CountedBody:
        return self

    def __next__(self) -> bytes:
        # An app may do its work only now.
        token = UNDER_WAY.set(self._request)
        try:
            if self._pieces is None:
                self._pieces = iter(self._body)
            return next(self._pieces)
        except StopIteration:
            self._request.finish()
            raise
        except BaseException:
            self._request.end(failed=True)
            raise
        finally:
            UNDER_WAY.reset(token)

    def close(self) -> None:
        """The server is done with it, perhaps before its end."""
        if self._closed:
            return
        self._closed = True
        _close(self._body, self._request)


class _SizedBody(_CountedBody):
    """Of a known number of pieces: servers make a `Content-Length` where it is one."""

    __slots__ = ("_pieces_in_all",)

    def __init__(self, body: Iterable[bytes], request: WsgiUnderWay, pieces: int) -> None:
        super().__init__(body, request)
        self._pieces_in_all = pieces

    def __len__(self) -> int:
        return self._pieces_in_all


def _counted(body: Iterable[bytes], request: WsgiUnderWay) -> Iterable[bytes]:
    if _is_file(body, request.environ) and _counts_at_close(body, request):
        return body
    try:
        pieces = len(body)  # type: ignore[arg-type]
    except (TypeError, AttributeError, NotImplementedError):
        return _CountedBody(body, request)
    return _SizedBody(body, request, pieces)


def _is_file(body: object, environ: Environ) -> bool:
    """Whether the server will send it in a way of its own, for which it has to be what it is."""
    kind = environ.get("wsgi.file_wrapper")
    return isinstance(kind, type) and isinstance(body, kind)


def _counts_at_close(body: Any, request: WsgiUnderWay) -> bool:
    """Whether it could be seen to that the end is told."""
    closing = getattr(body, "close", None)

    def close() -> None:
        try:
            if closing is not None:
                closing()
        finally:
            request.finish()

    try:
        body.close = close
    except AttributeError:
        return False
    return True


def _close(body: object, request: WsgiUnderWay) -> None:
    token = UNDER_WAY.set(request)
    try:
        closing = getattr(body, "close", None)
        if closing is not None:
            closing()
    finally:
        UNDER_WAY.reset(token)
        request.finish()
