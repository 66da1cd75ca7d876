"""A server that says again whatever it was told, in every place where a server can, and in several spellings."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlsplit


class Echo:
    """One server. `heard` has (path, headers, body) of every request; `deny_after` pages of `/pages` it answers 401."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[tuple[str, str, str]] = []
        self.deny_after = 10**9
        self.location = ""

    def answer(self, path: str, headers: str, body: str) -> tuple[int, dict[str, str], bytes]:
        """Status, fields and body."""
        self.heard.append((path, headers, body))
        said = _said(path, headers, body)
        place = urlsplit(path).path
        if place.startswith("/pages"):
            return self._page(path)
        if place.startswith("/moved"):
            return 307, {"Location": self.location + quote(said[:2000], safe="")}, said.encode()
        if place.startswith("/text"):
            return 200, {"Content-Type": "text/html"}, said.encode()
        if place.startswith("/wrong"):
            return 200, {"Content-Type": "application/json"}, json.dumps({"said": said}).encode()
        if place.startswith("/escaped"):
            return 401, {}, escaped(unquote_plus(urlsplit(path).query)).encode()
        # Where the quote of the body is cut is another place each time.
        padding = "x" * (len(self.heard) * 7 % 300)
        return 401, {"WWW-Authenticate": quote(said)}, json.dumps({"pad": padding, "said": said}).encode()

    def _page(self, path: str) -> tuple[int, dict[str, str], bytes]:
        query = dict(parse_qsl(urlsplit(path).query))
        number = int(query.get("n", 0))
        if number >= self.deny_after:
            return 401, {}, json.dumps({"said": _said(path, "", "")}).encode()
        key = query.get("api_key", "") or query.get("again", "")
        following = f"{self.url}/pages?api_key={quote_plus(key)}&n={number + 1}&again={quote(key, safe='')}"
        page = {"rows": [{"id": number * 2}, {"id": number * 2 + 1}], "next": following if number < 8 else None}
        return 200, {"Content-Type": "application/json"}, json.dumps(page).encode()


def escaped(text: str) -> str:
    """`text` in JSON as .NET writes it."""
    return "".join(f"\\u{ord(each):04X}" if each in "<>&\"'+`" else json.dumps(each)[1:-1] for each in text)


def _said(path: str, headers: str, body: str) -> str:
    plain = f"{unquote_plus(path)} {headers} {body}"
    return " | ".join(
        [
            *(plain, path, quote(plain, safe=""), quote_plus(plain), json.dumps(plain), html.escape(plain)),
            *(base64.b64encode(bytes(shift) + plain.encode()).decode() for shift in range(3)),
            f"for people: {plain}",
        ]
    )


@contextlib.contextmanager
def echoing() -> Iterator[Echo]:
    """Serve on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            headers = " ".join(f"{name}: {value}" for name, value in self.headers.items() if name != "Host")
            status, fields, answer = echo.answer(self.path, headers, body)
            self.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    echo = Echo(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield echo
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
