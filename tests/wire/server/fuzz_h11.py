"""Looks for requests that this reader and h11 see differently: `python -m tests.wire.server.fuzz_h11 [count] [seed]`.

Whatever the reader takes for a complete request, h11 must take too, with the same method, target, fields and body,
and with the next message at the same byte. The other way round is no fault: the reader refuses more, namely
two Hosts of 1.0, Hosts that are none, fragments, * without OPTIONS, relative targets and those of other schemes,
methods that llhttp does not know, bare LF (which h11 reads as CRLF), obs-fold, Content-Length twice or listed,
codings and versions, blanks after a chunk size, and anything over a bound.

Known differences, taken out before the comparison: the reader skips one empty line before a request (RFC 9112,
2.2), drops fields with an underscore, and takes apart absolute targets (h11 leaves them).
"""

from __future__ import annotations

import random
import sys

import h11

from penstock.wire.server import RequestReader, RequestRejected, ServerLimits

Seen = tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes, int]

SEEDS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a?b=c HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\nX_y: z\r\n\r\n",
    b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\n",
    b"GET http://b/c HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
)
BITS = (
    *(b"\r\n", b"\r", b"\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x7f", b"\x80", b":", b";", b",", b"0", b"_"),
    *(b"5", b"f", b"+", b"-", b"0x", b"#", b"*", b"@", b"/", b'"', b"chunked", b"identity", b"HTTP/1.1", b"HTTP/1.0"),
    *(b"Host: b\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"a: b\r\n", b" c\r\n"),
    *(b"0\r\n\r\n", b"1\r\nx\r\n", b"GET / HTTP/1.1\r\n", b"Upgrade: h2c\r\n", b"Proxy-Connection: close\r\n"),
)


def ours(data: bytes) -> list[Seen]:
    """The complete requests in front of `data`, each with the position after it."""
    reader = RequestReader(ServerLimits())
    reader.feed(data)
    found: list[Seen] = []
    try:
        while (raw := reader.take_raw()) is not None:
            head = reader.parse(raw)
            target = raw.strip().split(b" ", 2)[1]
            body = reader.take_body() if head.has_body else b""
            if reader.body is not None:
                break
            fields = head.fields
            if target.startswith((b"/", b"*")):
                assert target == head.target
            else:
                fields = fields[1:]
            found.append((head.method, target, fields, body, len(data) - reader.buffered))
            if not head.keep_alive or head.http_1_0:
                break
    except RequestRejected:
        pass
    return found


def theirs(data: bytes, at: int) -> Seen | None:
    """The complete request of h11 at `at`, None where there is none."""
    if data.startswith(b"\r\n", at):
        at += 2
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1024 * 1024)
    connection.receive_data(data[at:])
    try:
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return None
        body = b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                return None
            body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    fields = [(bytes(name), bytes(value)) for name, value in request.headers]
    return request.method, request.target, fields, body, len(data) - len(connection.trailing_data[0])


def difference(data: bytes) -> str | None:
    """What the two see differently in `data`, None for nothing."""
    at = 0
    for seen in ours(data):
        other = theirs(data, at)
        if other is None:
            return f"h11 refuses at {at}: ours {seen}"
        method, target, fields, body, end = other
        absolute = not target.startswith((b"/", b"*"))
        kept = [f for f in fields if b"_" not in f[0] and not (absolute and f[0] == b"host")]
        kept = [(n, v if n != b"transfer-encoding" else v.lower()) for n, v in kept]
        mine = [(n, v if n != b"transfer-encoding" else v.lower()) for n, v in seen[2]]
        if (method, target, kept, body, end) != (seen[0], seen[1], mine, seen[3], seen[4]):
            return f"at {at}: ours {seen}, theirs {other}"
        at = end
    return None


def mutated(chance: random.Random) -> bytes:
    """A few requests, damaged here and there."""
    data = bytearray(b"".join(chance.choice(SEEDS) for _ in range(chance.randint(1, 3))))
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(data) + 1)
        if chance.random() < 0.5:
            # Near a line end is where the framing is.
            at = max(0, data.find(b"\r\n", at) + chance.choice((0, 1, 2)))
        kind = chance.random()
        if kind < 0.55:
            data[at:at] = chance.choice(BITS)
        elif kind < 0.75:
            del data[at : at + chance.choice((1, 1, 2, 5))]
        elif kind < 0.9:
            data[at : at + 1] = bytes([chance.randrange(256)])
        else:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + chance.randint(1, 30)]
    return bytes(data)


def run(count: int, seed: int) -> tuple[int, list[str]]:
    """How many requests both took, and the differences."""
    chance = random.Random(seed)
    taken, found = 0, []
    for _ in range(count):
        data = mutated(chance)
        taken += len(ours(data))
        wrong = difference(data)
        if wrong is not None:
            found.append(f"{data!r}: {wrong}")
    return taken, found


if __name__ == "__main__":
    iterations = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    requests, differences = run(iterations, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    lines = [*differences[:20], f"{iterations} inputs, {requests} requests taken, {len(differences)} differences"]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(bool(differences))
