r"""The ways in which one sign of a text may be written by whoever says the text again.

Every language escapes other signs, and in another way: Go and Rails write `<` as `\u003c` in JSON, .NET `+` as
`\u002B`, PHP `'` as `&#039;`, JavaScript leaves `'` alone in a URL, and what is escaped twice is `%253C` or `&amp;lt;`.
To list whole texts would need every mixture of these, so it is done sign by sign. All patterns are for IGNORECASE.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from html.entities import codepoint2name

_SIGN = re.compile(r"\\+.?|.", re.DOTALL)
_BROKEN = re.compile(r"%[0-9a-f%]{0,20}|\\+[0-9a-fux\\]{0,30}|&[#a-z0-9;]{0,12}|\\*[^\x00-\x7f]{1,3}", re.IGNORECASE)
_SHORT = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_MOST = 7
"""So many backslashes stand before a sign that was escaped three times."""


def signs(text: str) -> list[str]:
    """The signs of `text`; backslashes are one with what follows: only together can it be told what they were."""
    return _SIGN.findall(text)


@lru_cache(maxsize=1024)
def written(sign: str) -> str:
    """A pattern for all ways of writing `sign`; a letter or digit has only itself."""
    if sign.isascii() and sign.isalnum():
        return sign
    if sign[0] == "\\" != sign[-1]:
        return written(sign[:-1]) + written(sign[-1])
    each, times = sign[0], f"{{{len(sign)}}}"
    ways = [f"(?:{way}){times}" for way in (_percent(each), _unicode(each), _entity(each))]
    if each in _SHORT:
        ways.append(rf"\\{{1,{_MOST}}}{_SHORT[each]}")
    if not each.isascii():
        ways += _misread(each)
    if each == "\\":
        ways.append(rf"\\{{{len(sign)},{(_MOST + 1) * len(sign)}}}")
    else:
        # Possessive, so that a text of nothing but backslashes is not tried in every way.
        ways.append(rf"\\{{0,{_MOST}}}+{re.escape(each)}")
    if each.isspace():
        # In a quote any run of them is one.
        ways += [r"\s+", r"\+"]
    return f"(?:{'|'.join(ways)})"


def cut_short(text: str, way: list[str], least: int) -> int | None:
    """Where that stands with which `text` ends and `way`, a text by its signs, begins: at least so many of them.

    The text may end within a sign. None if it does not end so.
    """
    begin = _compiled("".join(map(written, way[:least])))
    match = begin.search(text)
    while match is not None:
        last, at = match.start(), match.end()
        for sign in way[least:]:
            found = _compiled(written(sign)).match(text, at)
            if found is None:
                break
            last, at = at, found.end()
        # What seems to be the last sign may be the beginning of an escape of it, as `&` is of `&amp;`.
        if at == len(text) or _BROKEN.fullmatch(text, at) or _BROKEN.fullmatch(text, last):
            return match.start()
        match = begin.search(text, match.start() + 1)
    return None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _percent(sign: str) -> str:
    data = sign.encode("utf-8", "surrogatepass")
    return "".join(f"%(?:25){{0,2}}{each:02x}" for each in data)


def _unicode(sign: str) -> str:
    data = sign.encode("utf-16-be", "surrogatepass")
    units = (data[at : at + 2].hex() for at in range(0, len(data), 2))
    return "".join(rf"\\{{1,{_MOST}}}u{each}" for each in units)


def _entity(sign: str) -> str:
    names = {codepoint2name.get(ord(sign)), html.escape(sign)[1:-1] or None, "apos" if sign == "'" else None}
    numbers = [f"#0{{0,4}}{ord(sign)}", f"#x0{{0,4}}{ord(sign):x}"]
    known = [re.escape(name) for name in sorted(filter(None, names))]
    return f"&(?:amp;){{0,2}}(?:{'|'.join([*numbers, *known])});"


def _misread(sign: str) -> list[str]:
    """UTF-8 read as Latin-1, UTF-8 in what Python shows of bytes, and Latin-1 read as UTF-8."""
    data = sign.encode("utf-8", "surrogatepass")
    return [re.escape(data.decode("latin-1")), "".join(rf"\\{{1,2}}x{each:02x}" for each in data), "\ufffd"]
