"""No secret is in anything that a run writes or shows, wherever the server says it again, and however it spells it."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

import penstock
from penstock.cli.main import run_command

from .echoing import Echo, echoing, escaped

SECRET = 'Zz9k"/&+ 7qX<w'
PLAIN = "k3y-Zz9k7qXw"
NEW = "n3w-Yy8j6pVu"

URL = "{url}{place}"
KINDS: dict[str, tuple[str, list[str]]] = {
    "a header of its own": (PLAIN, ["--header", f"X-Api-Key: {PLAIN}"]),
    "a header of any name": (PLAIN, ["--header", f"X-Whatever: {PLAIN}"]),
    "Bearer": (PLAIN, ["--header", f"Authorization: Bearer {PLAIN}"]),
    "Basic": (PLAIN, ["--header", "Authorization: Basic " + base64.b64encode(f"me:{PLAIN}".encode()).decode()]),
    "a cookie": (PLAIN, ["--header", f"Cookie: a=1; session={PLAIN}"]),
    "a header from the environment": (SECRET, ["--header", "Authorization: Bearer ${KEY}"]),
    "a harmless header from the environment": (SECRET, ["--header", "Accept-Language: ${KEY}"]),
    "the query": (PLAIN, ["--url", f"{URL}?api_key={PLAIN}"]),
    "the query, encoded": (SECRET, ["--url", f"{URL}?token={quote_plus(SECRET)}"]),
    "the query, from the environment": (SECRET, ["--url", URL + "?appid=${KEY}&n=1"]),
    "the path, from the environment": (SECRET, ["--url", URL + "/${KEY}/x"]),
    "the path": ("Zz9k7qXwZz9k7qXwZz9k7", ["--url", f"{URL}/Zz9k7qXwZz9k7qXwZz9k7/x"]),
    "the body": (SECRET, ["--body", json.dumps({"auth": {"a": [SECRET]}})]),
    "the body, from the environment": (SECRET, ["--body", '{"q": "id ${KEY}"}']),
    "a form": (PLAIN, ["--body", f"password={PLAIN}", "--header", "Content-Type: application/x-www-form-urlencoded"]),
    "a short one": ("q7Xz", ["--header", "X-Api-Key: q7Xz"]),
}
PLACES = {
    "refused": ("/refused", []),
    "no JSON": ("/text", []),
    "not as expected": ("/wrong", ["--expect", "nothing"]),
    "redirect": ("/moved", []),
    "redirect that is followed": ("/moved", ["--follow-redirects", "1"]),
}


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with echoing() as first, echoing() as second:
        first.location = f"{second.url}/there?said="
        yield first


def spelt(secret: str) -> set[bytes]:
    """How `secret` could be found; of base64 what is the same wherever it begins."""
    shifted = {base64.b64encode(bytes(shift) + secret.encode()).decode().strip("=")[4:-4] for shift in range(3)}
    found = {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), json.dumps(secret)[1:-1]}
    found |= {html.escape(secret)} | {each for each in shifted if len(each) > 6}
    return {each.encode() for each in found}


def leaks(folder: Path, shown: str, *secrets: str) -> list[str]:
    """Where one of `secrets` is, or half of it: in a file of `folder`, or in what was `shown`."""
    texts = {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    texts["the terminal"] = shown.encode()
    return [
        f"{name}: {text[max(0, text.find(each) - 80) : text.find(each) + 80]!r}"
        for name, text in texts.items()
        for secret in secrets
        for each in spelt(secret)
        if each in text
    ] + [
        f"{name}: the beginning of {secret}"
        for name, text in texts.items()
        for secret in secrets
        if len(secret) > 8 and secret[:8].encode() in text
    ]


def run(arguments: list[str], capfd: Any) -> tuple[int, str]:
    """Exit code, and all that the command has shown."""
    code = run_command(arguments)
    captured = capfd.readouterr()
    return code, captured.out + captured.err


def report(out: Path, capfd: Any) -> str:
    """What `report` and `status` show, the page itself being written beside `out`."""
    shown = run(["report", str(out), "--out", str(out.with_suffix(".html"))], capfd)
    return shown[1] + run(["status", str(out)], capfd)[1]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("log", ["text", "json"])
def test_send(
    kind: str, place: str, log: str, echo: Echo, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, given = KINDS[kind]
    path, options = PLACES[place]
    monkeypatch.setenv("KEY", SECRET)
    heard = len(echo.heard)
    (tmp_path / "in.jsonl").write_text("{}\n" * 8)
    out = tmp_path / "out.jsonl"
    given = given if "--url" in given else ["--url", URL, *given]
    words = [each.replace("{url}", echo.url).replace("{place}", path) for each in given]
    code, shown = run(
        ["send", str(tmp_path / "in.jsonl"), *words, *options, "--out", str(out), "--json", "--log", log], capfd
    )
    assert code == 1
    assert len(echo.heard) == heard + 8
    sent = " ".join(echo.heard[-1]).encode()
    assert any(each in sent for each in spelt(secret))
    assert leaks(tmp_path, shown + report(out, capfd), secret) == []
    assert len(out.read_text().splitlines()) == 8


@pytest.mark.parametrize("command", ["send", "pull", "check"])
def test_escaped_as_other_languages_do(
    command: str, echo: Echo, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no list of whole spellings has."""
    pytest.importorskip("numpy")
    monkeypatch.setenv("KEY", SECRET)
    url, source, out = f"{echo.url}/escaped?q=${{KEY}}", tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("{}\n" * 8)
    (tmp_path / "v.bin").write_bytes(bytes(range(64)))
    census = [str(tmp_path / "v.bin"), "--dim", "4", "--url", url]
    where = {"send": [str(source), "--url", url], "pull": [url], "check": census}
    code, shown = run([command, *where[command], "--out", str(out)], capfd)
    assert code == (1 if command == "send" else 2)
    assert leaks(tmp_path, shown, SECRET, escaped(SECRET)) == []
    assert "${KEY}" in shown + (out.read_text() if command == "send" else "")


PULLS: dict[str, tuple[str, list[str]]] = {
    "the query, from the environment": (SECRET, [URL + "?api_key=${KEY}&n=0"]),
    "the query": (PLAIN, [f"{URL}?api_key={PLAIN}&n=0"]),
    "a header": (SECRET, [URL + "?n=0", "--header", "X-Api-Key: ${KEY}"]),
    "a literal page to start with": (PLAIN, [URL, "--start", f"{URL}?api_key={PLAIN}&n=1"]),
    "the page to start with": (SECRET, [URL, "--start", URL + "?api_key=${KEY}&n=1"]),
}
NEXT_URL = ["--paginate", "next-url", "--next", "next"]
PAGES: dict[str, tuple[str, list[str], int]] = {
    "the first page is refused": ("/refused", NEXT_URL, 2),
    "the first look is refused": ("/refused", [], 2),
    "no rows": ("/wrong", [*NEXT_URL, "--rows", "rows"], 2),
    "no rows, found out": ("/wrong", [], 2),
    "no JSON": ("/text", NEXT_URL, 2),
    "redirect": ("/moved", NEXT_URL, 2),
    "refused in the middle": ("/pages", [*NEXT_URL, "--rows", "rows"], 3),
}


# A --start needs --paginate, so there it is not to be found out how the API pages.
PULLED = [(kind, place) for kind in PULLS for place in PAGES if PAGES[place][1] or "--start" not in PULLS[kind][1]]


@pytest.mark.parametrize(("kind", "place"), PULLED)
def test_pull(kind: str, place: str, echo: Echo, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the journal, which holds the URL of the page where it goes on."""
    secret, given = PULLS[kind]
    path, options, expected = PAGES[place]
    monkeypatch.setenv("KEY", SECRET)
    monkeypatch.setattr(echo, "deny_after", 4)
    out = tmp_path / "rows.jsonl"
    words = [each.replace("{url}", echo.url).replace("{place}", path) for each in given]
    code, shown = run(["pull", *words, *options, "--out", str(out), "--log", "json"], capfd)
    assert code == expected
    assert "the answer" in shown or "page" in shown
    if expected == 3:
        assert len(out.read_text().splitlines()) == 2 * (3 if "--start" in given else 4)
        shown += report(out, capfd)
    assert leaks(tmp_path, shown, secret) == []


@pytest.mark.parametrize("reference", ["${KEY}", ""], ids=["from the environment", "typed"])
def test_a_pull_that_was_killed_goes_on_with_a_new_key(
    reference: str, echo: Echo, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API has written the old one into the URL of the page where it goes on, twice; the new one is used there."""
    out = tmp_path / "rows.jsonl"

    def command(key: str) -> list[str]:
        url = f"{echo.url}/pages?api_key={reference or quote(key, safe='')}&n=0"
        return ["pull", url, *NEXT_URL, "--rows", "rows", "--out", str(out)]

    began = len(echo.heard)
    slow = [*command(SECRET), "--limit", "4/s", "--quiet"]
    with subprocess.Popen([sys.executable, "-m", "penstock", *slow], env=os.environ | {"KEY": SECRET}) as process:
        deadline = time.monotonic() + 30
        while len(echo.heard) < began + 6 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    assert leaks(tmp_path, "", SECRET) == []
    killed = len(echo.heard)
    monkeypatch.setenv("KEY", NEW)
    code, shown = run(command(NEW), capfd)
    assert code == 0
    rows = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    assert rows == list(range(18))
    again = [path for path, _, _ in echo.heard[killed:]]
    assert 0 < len(again) < 9
    assert all(path.count(NEW) == 2 and not any(each.decode() in path for each in spelt(SECRET)) for path in again)
    assert leaks(tmp_path, shown + report(out, capfd), SECRET, NEW) == []


def test_a_send_goes_on_with_a_new_key(echo: Echo, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In URL, body and headers; another value of what is no key is another run all the same."""
    (tmp_path / "in.jsonl").write_text("{}\n" * 3)
    out = tmp_path / "out.jsonl"

    def command(key: str, page: str, word: str = "one") -> list[str]:
        url = f"{echo.url}/refused?api_key=${{KEY}}&token={key}&page={page}"
        body = ["--body", json.dumps({"password": key, "q": "${KEY}", "word": word}), "--header", "X-Api-Key: " + key]
        return ["send", str(tmp_path / "in.jsonl"), "--url", url, *body, "--out", str(out), "--retry-failed"]

    monkeypatch.setenv("KEY", SECRET)
    code, first = run(command(PLAIN, "1")[:-1], capfd)
    assert code == 1
    monkeypatch.setenv("KEY", NEW)
    for other in (command(NEW, "2"), command(NEW, "1", "two")):
        code, refused = run(other, capfd)
        assert (code, "belongs to another run" in refused) == (2, True)
    code, second = run(command(NEW, "1"), capfd)
    assert code == 1
    assert "api_key=" + NEW + "&token=" + NEW in echo.heard[-1][0]
    assert leaks(tmp_path, first + second + report(out, capfd), SECRET, PLAIN, NEW) == []


@pytest.mark.parametrize("place", ["/refused", "/text", "/wrong"])
@pytest.mark.parametrize("kind", ["a header from the environment", "the query, from the environment"])
def test_check(kind: str, place: str, echo: Echo, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    monkeypatch.setenv("KEY", SECRET)
    given = KINDS[kind][1] if "--url" in KINDS[kind][1] else ["--url", URL, *KINDS[kind][1]]
    words = [each.replace("{url}", echo.url).replace("{place}", place) for each in given]
    (tmp_path / "v.bin").write_bytes(bytes(range(64)))
    code, shown = run(
        ["check", str(tmp_path / "v.bin"), "--dim", "4", *words, "--out", str(tmp_path / "census")], capfd
    )
    assert code == 2
    assert leaks(tmp_path, shown, SECRET) == []


def test_several_processes(echo: Echo, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process makes the records of its own calls."""
    monkeypatch.setenv("KEY", SECRET)
    (tmp_path / "in.jsonl").write_text("{}\n" * 20)
    out = tmp_path / "out.jsonl"
    url = echo.url + "/refused?api_key=${KEY}"
    typed = ["send", str(tmp_path / "in.jsonl"), "--url", url, "--out", str(out), "--processes", "2"]
    code, shown = run([*typed, "--stop-after-denied", "0"], capfd)
    assert code == 1
    assert out.read_text().count("${KEY}") >= 10
    assert leaks(tmp_path, shown, SECRET) == []


@pytest.mark.parametrize("place", ["/refused", "/text", "/wrong", "/moved"])
def test_from_python(place: str, echo: Echo) -> None:
    """The texts of what is raised, with all that a traceback shows of what led to it."""

    async def pull() -> None:
        pages = penstock.pull(
            f"{echo.url}{place}?api_key={PLAIN}",
            paginate=penstock.NextUrl(),
            headers={"X-Api-Key": SECRET},
            rows="rows",
        )
        async with pages:
            async for _ in pages:
                pass

    with pytest.raises(penstock.PenstockError) as caught:
        asyncio.run(pull())
    shown = "".join(traceback.format_exception(caught.value))
    # Where the port has few digits, the quote of a refusal ends before the first secret does.
    assert "***" in shown or place == "/refused"
    assert not any(each.decode() in shown for secret in (SECRET, PLAIN) for each in spelt(secret))
