"""Content codings (RFC 9110, 8.4.1): which are offered, and decoding within a cap."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable

from ..errors import BadBody, ResponseTooLarge, Sent
from ..extras import how_to_install

_MAX_CODINGS = 4
# RFC 9659: a zstd content coding never needs a larger window, so a larger one is an attack on memory.
_ZSTD_WINDOW = 8 * 1024 * 1024
# zstandard decodes all it is given at once, and 4 bytes can hold a block of 128 KiB: 16 MiB a slice at most.
_ZSTD_SLICE = 512


def accept_encoding() -> str:
    """The Accept-Encoding value for what can be decoded here: br and zstd only with the extra `compression`."""
    codings = ["gzip", "deflate"]
    if _brotli_can_be_bounded():
        codings.append("br")
    if importlib.util.find_spec("zstandard") is not None:
        codings.append("zstd")
    return ", ".join(codings)


def decode(coding: str, body: bytes, max_bytes: int) -> bytes:
    """`body` without its codings; `coding` is the Content-Encoding value, applied in the order it lists.

    Raises BadBody where the body is broken, cut short, or in a coding that is unknown here, and
    ResponseTooLarge as soon as more than `max_bytes` come out.
    """
    names = [name.strip().lower() for name in coding.split(",")]
    names = [name for name in names if name not in {"", "identity"}]
    if len(names) > _MAX_CODINGS:
        raise BadBody(f"the body has {len(names)} content codings on top of each other")
    for name in reversed(names):
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise BadBody(f"the body has content coding {name!r}, which cannot be decoded here")
        # An empty body has no coding to remove: servers send the field with 304 and empty answers too.
        if body:
            body = decoder(body, max_bytes)
    return body


def _too_large(max_bytes: int) -> ResponseTooLarge:
    return ResponseTooLarge(f"the decoded body is over the cap of {max_bytes} bytes", sent=Sent.YES)


def _inflate(body: bytes, max_bytes: int, window_bits: int) -> bytes:
    parts: list[bytes] = []
    room = max_bytes
    # A gzip body may be several members after each other (RFC 1952, 2.2).
    while body:
        member = zlib.decompressobj(window_bits)
        try:
            part = member.decompress(body, room + 1)
        except zlib.error as error:
            raise BadBody(f"the compressed body is broken ({error})") from error
        if len(part) > room:
            raise _too_large(max_bytes)
        if not member.eof:
            raise BadBody("the compressed body is cut short")
        parts.append(part)
        room -= len(part)
        body = member.unused_data
    return b"".join(parts)


def _gzip(body: bytes, max_bytes: int) -> bytes:
    return _inflate(body, max_bytes, 16 + zlib.MAX_WBITS)


def _deflate(body: bytes, max_bytes: int) -> bytes:
    # RFC 9110, 8.4.1.2: deflate means the zlib format, but some servers send the bare stream.
    zlib_format = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    return _inflate(body, max_bytes, zlib.MAX_WBITS if zlib_format else -zlib.MAX_WBITS)


def _brotli_can_be_bounded() -> bool:
    if importlib.util.find_spec("brotli") is None:
        return False
    import brotli

    # Before 1.2 one call could put out gigabytes from a kilobyte, and nothing could stop it.
    return hasattr(brotli.Decompressor, "can_accept_more_data")


def _brotli(body: bytes, max_bytes: int) -> bytes:
    if not _brotli_can_be_bounded():
        raise BadBody(f"the body has content coding 'br': {how_to_install('compression')}")
    import brotli

    decompressor = brotli.Decompressor()
    out = bytearray()
    try:
        out += decompressor.process(body, output_buffer_limit=max_bytes + 1)
        while len(out) <= max_bytes and not decompressor.is_finished():
            more = decompressor.process(b"", output_buffer_limit=max_bytes + 1 - len(out))
            if not more:
                raise BadBody("the compressed body is cut short")
            out += more
    except brotli.error as error:
        raise BadBody(f"the compressed body is broken ({error})") from error
    if len(out) > max_bytes:
        raise _too_large(max_bytes)
    return bytes(out)


def _zstd(body: bytes, max_bytes: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise BadBody(f"the body has content coding 'zstd': {how_to_install('compression')}") from None
    context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    out = bytearray()
    frame = context.decompressobj()
    view = memoryview(body)
    try:
        while view:
            if frame.eof:
                frame = context.decompressobj()
            out += frame.decompress(view[:_ZSTD_SLICE])
            # What follows the end of a frame is the next frame (RFC 8878, 3).
            view = view[min(_ZSTD_SLICE, len(view)) - len(frame.unused_data) :]
            if len(out) > max_bytes:
                raise _too_large(max_bytes)
    except zstandard.ZstdError as error:
        raise BadBody(f"the compressed body is broken ({error})") from error
    if not frame.eof:
        raise BadBody("the compressed body is cut short")
    return bytes(out)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
