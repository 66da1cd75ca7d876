"""MoveWSGIMiddleware with apps and servers of our own: what counts, when a request has ended, what is not touched."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest

import penstock
from penstock.errors import ArmsBusy
from penstock.migrate.under_way import UNDER_WAY

from .routes import ROUTE, counts, tally, write

PLAIN = [("content-type", "text/plain")]


class Body:
    """Pieces, and who closes them."""

    def __init__(self, *pieces: bytes, then: Exception | None = None) -> None:
        self.pieces = list(pieces)
        self.then = then
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces
        if self.then is not None:
            raise self.then

    def close(self) -> None:
        self.closed += 1


class Server:
    """What a server does with an app."""

    def __init__(self, app: Any, **environ: Any) -> None:
        self.app = app
        self.environ: dict[str, Any] = {}
        setup_testing_defaults(self.environ)
        self.environ |= {"QUERY_STRING": "", **environ}
        self.started: list[tuple[str, list[tuple[str, str]]]] = []
        self.sent: list[bytes] = []
        self.gone = False

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[..., None]:
        if exc_info and self.sent:
            raise exc_info[1]
        self.started.append((status, headers))
        return self.write

    def write(self, data: bytes) -> None:
        if self.gone:
            raise BrokenPipeError
        self.sent.append(data)

    def begin(self) -> Any:
        return self.app(self.environ, self.start_response)

    def serve(self) -> bytes:
        """To the end."""
        body = self.begin()
        try:
            for piece in body:
                self.write(piece)
        finally:
            if hasattr(body, "close"):
                body.close()
        return b"".join(self.sent)


def armed(serve: Callable[[Any], Any], **options: Any) -> Any:
    """`serve` as the control, and as the arm `client`."""

    @penstock.arms(ROUTE, wsgi=True, **options)
    def quote(start_response: Any) -> Any:
        return serve(start_response)

    @quote.arm("client")
    def _(start_response: Any) -> Any:
        return serve(start_response)

    return quote


def app_of(serve: Callable[[Any], Any], **options: Any) -> Any:
    quote = armed(serve, **options)
    return penstock.MoveWSGIMiddleware(lambda environ, start_response: quote(start_response))


def answering(body: Iterable[bytes], status: str = "200 OK") -> Callable[[Any], Any]:
    def serve(start_response: Any) -> Any:
        start_response(status, PLAIN)
        return body

    return serve


@pytest.mark.parametrize(("status", "errors"), [("200 OK", 0), ("404 Not Found", 0), ("500 No", 1), ("503 No", 1)])
def test_the_final_status_says_whether_it_failed(status: str, errors: int) -> None:
    assert Server(app_of(answering([b"x"], status))).serve() == b"x"
    assert counts("control") == {"ended": 1} | ({"errors": errors} if errors else {})


def test_it_ends_with_the_last_piece_and_is_closed_once() -> None:
    body = Body(b"1", b"2")
    given = Server(app_of(answering(body))).begin()
    pieces = iter(given)
    assert (next(pieces), next(pieces)) == (b"1", b"2")
    assert counts("control") == {"in_flight": 1}
    assert next(pieces, None) is None
    assert counts("control") == {"ended": 1}
    for _ in range(2):
        given.close()
    assert body.closed == 1
    assert counts("control") == {"ended": 1}


def test_a_client_that_leaves_is_no_failure() -> None:
    body = Body(b"1", b"2")
    given = Server(app_of(answering(body))).begin()
    assert next(iter(given)) == b"1"
    given.close()
    assert (body.closed, counts("control")) == (1, {"ended": 1})


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1)])
def test_an_exception_of_the_app_goes_through(error: BaseException) -> None:
    def serve(start_response: Any) -> Any:
        raise error

    with pytest.raises(type(error)):
        Server(app_of(serve)).serve()
    assert counts("control") == {"ended": 1, "errors": 1}
    assert UNDER_WAY.get() is None


def test_an_exception_in_the_body_goes_through_and_it_is_closed() -> None:
    body = Body(b"1", then=ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        Server(app_of(answering(body))).serve()
    assert (body.closed, counts("control")) == (1, {"ended": 1, "errors": 1})


def test_a_close_that_raises_has_ended_it_all_the_same() -> None:
    class Bad(Body):
        def close(self) -> None:
            raise ValueError("close")

    with pytest.raises(ValueError, match="close"):
        Server(app_of(answering(Bad(b"1")))).serve()
    assert counts("control") == {"ended": 1}


def test_an_answer_may_be_replaced_by_an_error_before_it_is_sent() -> None:
    def serve(start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Sorry", PLAIN, sys.exc_info())
        return [b"sorry"]

    server = Server(app_of(serve))
    assert server.serve() == b"sorry"
    assert [status for status, _ in server.started] == ["200 OK", "500 Sorry"]
    assert counts("control") == {"ended": 1, "errors": 1}


def test_what_was_sent_is_not_replaced() -> None:
    def serve(start_response: Any) -> Any:
        start_response("200 OK", PLAIN)(b"begun")
        try:
            raise ValueError("too late")
        except ValueError:
            start_response("500 Sorry", PLAIN, sys.exc_info())

    server = Server(app_of(serve))
    with pytest.raises(ValueError, match="too late"):
        server.serve()
    assert (server.sent, counts("control")) == ([b"begun"], {"ended": 1, "errors": 1})


def test_the_write_callable() -> None:
    def serve(start_response: Any) -> Any:
        send = start_response("200 OK", PLAIN)
        send(b"1")
        server.gone = gone
        send(b"2")
        return [b"3"]

    gone = False
    server = Server(app_of(serve))
    assert server.serve() == b"123"
    gone = True
    with pytest.raises(BrokenPipeError):
        server.serve()
    assert counts("control") == {"ended": 2}, "who leaves is no failure"


def test_an_app_that_works_while_its_body_is_read() -> None:
    quote = armed(answering([b"x"]))

    def lazy(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield from quote(start_response)
        found = UNDER_WAY.get()
        assert found is not None
        yield f" {found.route} {found.arm}".encode()

    body = Server(penstock.MoveWSGIMiddleware(lazy)).begin()
    assert counts("control") == {}
    assert b"".join(body) == f"x {ROUTE} control".encode()
    assert UNDER_WAY.get() is None
    assert counts("control") == {"ended": 1}


def test_the_number_of_pieces_stays_known() -> None:
    """Servers make a Content-Length of one piece."""
    assert len(Server(app_of(answering([b"x"]))).begin()) == 1
    with pytest.raises(TypeError):
        len(Server(app_of(answering(iter([b"x"])))).begin())


def test_a_file_is_sent_by_the_server_in_its_own_way() -> None:
    class Closing(io.BytesIO):
        pass

    file = Closing(b"in a file")
    body = FileWrapper(file)
    server = Server(app_of(answering(body)), **{"wsgi.file_wrapper": FileWrapper})
    assert server.begin() is body
    assert counts("control") == {"in_flight": 1}
    body.close()
    assert file.closed
    assert counts("control") == {"ended": 1}
    # In C, as in some servers, it cannot be told of its end, and is read.
    closed = (piece for piece in [b"1"])
    given = Server(app_of(answering(closed)), **{"wsgi.file_wrapper": type(closed)}).begin()
    assert (given is closed, list(given)) == (False, [b"1"])
    # And a function makes no kind of bodies.
    Server(app_of(answering([b"x"])), **{"wsgi.file_wrapper": lambda file: file}).serve()
    assert counts("control") == {"ended": 3}


def test_the_protocol_is_kept_on_both_sides() -> None:
    quote = armed(answering([b"1", b"2"]))
    inner = validator(lambda environ, start_response: quote(start_response))
    server = Server(validator(penstock.MoveWSGIMiddleware(inner)))
    assert server.serve() == b"12"
    assert counts("control") == {"ended": 1}


def test_the_key_is_found_among_the_fields(state_file: Path) -> None:
    write(state_file, 0.5, "client")
    app = app_of(answering([b"x"]), key="X-User")
    for user in range(20):
        Server(app, HTTP_X_USER=str(user)).serve()
    assert counts("control")["ended"] + counts("client")["ended"] == 20
    assert "keyless" not in counts("control")
    assert counts("client")["ended"] > 3
    Server(app).serve()
    assert counts("control")["keyless"] == 1


def test_what_is_too_much_gets_503(state_file: Path) -> None:
    """A place is held until the end of the body."""
    write(state_file, 1.0, "client")
    app = app_of(answering([b"x"]), max_in_flight=1)
    first, second = Server(app), Server(app)
    body = first.begin()
    said = second.serve()
    ((status, fields),) = second.started
    assert (status, dict(fields)["retry-after"]) == ("503 Service Unavailable", "1")
    assert ROUTE.encode() in said
    body.close()
    assert Server(app).serve() == b"x"
    assert counts("client") == {"ended": 2, "shed": 1}


def test_a_refusal_within_another_answer_is_an_exception(state_file: Path) -> None:
    write(state_file, 1.0, "client")
    quote = armed(answering([b"x"]), max_in_flight=1)

    other = penstock.arms("GET /other", wsgi=True)(lambda start_response: start_response("200 OK", []))

    def both(environ: Any, start_response: Any) -> Any:
        other(start_response)
        return quote(start_response)

    body = Server(penstock.MoveWSGIMiddleware(lambda environ, start: quote(start))).begin()
    server = Server(penstock.MoveWSGIMiddleware(both))
    with pytest.raises(ArmsBusy):
        server.serve()
    body.close()
    assert counts("client") == {"ended": 1, "shed": 1}
    assert (tally("control", "GET /other").ended, tally("control", "GET /other").errors) == (1, 1)
    assert Server(penstock.MoveWSGIMiddleware(lambda environ, start: quote(start))).serve() == b"x", "the place is free"


def test_a_request_without_arms_is_not_counted() -> None:
    def plain(environ: Any, start_response: Any) -> Any:
        start_response("500 No", PLAIN)
        return [b"x"]

    assert Server(penstock.MoveWSGIMiddleware(plain)).serve() == b"x"
    assert tally("control").ended == 0


def test_a_request_that_calls_an_arm_twice_has_one_place(state_file: Path) -> None:
    """It would wait for itself."""
    write(state_file, 1.0, "client")
    quote = armed(answering([b"x"]), max_in_flight=1)

    def twice(environ: Any, start_response: Any) -> Any:
        quote(start_response)
        return quote(start_response)

    for _ in range(2):
        assert Server(penstock.MoveWSGIMiddleware(twice)).serve() == b"x"
    assert counts("client") == {"ended": 4}


@pytest.mark.parametrize("error", [TypeError, AttributeError, NotImplementedError])
def test_a_body_that_does_not_tell_its_length_is_handed_on(error: type[Exception]) -> None:
    """As servers take it."""

    class Body(list[bytes]):
        def __len__(self) -> int:
            raise error

    assert Server(app_of(answering(Body([b"x"])))).serve() == b"x"
