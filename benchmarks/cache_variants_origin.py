"""An app whose answers vary: with the language, with language and coding, or with the cookie; and which counts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip

CODINGS = {"gzip": ("gzip",), "brotli": ("br", "gzip")}


def chosen(accepts: str, codings: tuple[str, ...]) -> str:
    """The first of `codings` that an Accept-Encoding names; an app that asks no further."""
    accepted = [each.partition(";")[0].strip() for each in accepts.split(",")]
    return next((each for each in codings if each in accepted), "")


def _answer(path: str, fields: dict[str, str]) -> bytes:
    kind, _, app = path.strip("/").partition("/")
    said = fields.get("cookie" if kind == "cookie" else "accept-language", "")
    body, coding = f"{said}\n".encode() + b"x" * 1024, ""
    vary = {"cookie": "Cookie", "language": "Accept-Language", "both": "Accept-Language, Accept-Encoding"}[kind]
    if kind == "both":
        coding = chosen(fields.get("accept-encoding", ""), CODINGS[app])
    if coding == "gzip":
        body = gzip.compress(body)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: public, max-age=600\r\nVary: {vary}\r\n"
    head += f"Content-Encoding: {coding}\r\n" if coding else ""
    return f"{head}X-For: {said}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class _Origin:
    def __init__(self) -> None:
        self.count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                fields = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                path = line.split()[1]
                if path == "/_count":
                    text = str(self.count).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))
                    continue
                self.count += 1
                writer.write(_answer(path, fields))
        writer.close()


async def _main(port: int) -> None:
    server = await asyncio.start_server(_Origin().serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(_main(parser.parse_args().port))
