"""The report in a browser that nobody here wrote."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from penstock.report.load import load_run
from penstock.report.page import make_page
from report.report_tools import BEGAN, begin, end, make_folder, sample

from .chromium import Page, chromium, find_chromium

pytestmark = pytest.mark.service

EVIL = "<img src=x onerror=alert(1)><script>document.title='broken into'</script>"
LONG = "a_key_without_any_place_to_break_" * 9

# Text that sticks out of the window, or is cut off by the box that it is in, or lies on another label.
STICKING_OUT = """[...document.querySelectorAll('main *')].filter(each => {
  const box = each.getBoundingClientRect();
  return box.width && (box.right > document.documentElement.clientWidth + 0.5 || box.left < -0.5);
}).map(each => each.outerHTML.slice(0, 200))"""
OVERLAPPING = """[...document.querySelectorAll('.plot')].flatMap(plot => {
  const shown = [...plot.querySelectorAll('.x-labels span, .y-labels span, .ends span')]
    .map(each => [each, each.getBoundingClientRect()]).filter(([, box]) => box.width);
  return shown.flatMap(([one, a], index) => shown.slice(index + 1).filter(([, b]) =>
    a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3
  ).map(([other]) => `${plot.parentElement.id}: ${one.textContent} / ${other.textContent}`));
})"""
HOVER = """(() => {
  const area = document.querySelector('#rate .area'), box = area.getBoundingClientRect();
  const at = {clientX: box.left + box.width / 4, clientY: box.top + 20, bubbles: true};
  area.dispatchEvent(new PointerEvent('pointermove', at));
  return area.querySelector('.tip')?.innerText;
})()"""


def make_report(tmp_path: Path, seconds: float) -> str:
    """The page of a run with a kill, failures of many kinds, a pause, an outage, and hostile text; its address."""
    first = [sample(n * seconds / 60) for n in range(61)]
    second = [
        sample(
            n * seconds / 60,
            at=BEGAN + 2 * seconds + n * seconds / 60,
            failed=3 * n,
            by_kind=dict.fromkeys(("connect_timeout", "http_5xx", "unexpected", "timeout", "reset", EVIL), n),
            retries=n * n,
            throttled=n,
            paused_s=seconds / 60 if 10 < n < 15 else 0.0,
            outage_since=BEGAN if 40 < n < 46 else None,
        )
        for n in range(61)
    ]
    bad = {"key": LONG, "position": 1, "at": BEGAN, "status": 502, "attempts": 5, "service_s": 30.0}
    bad |= {"kind": "http_5xx", "message": EVIL + LONG}
    examples = {"slowest": [bad, {**bad, "key": EVIL}], "failed": {"http_5xx": {"first": [bad], "last": [bad]}}}
    command = ["penstock", "send", LONG, "--header", "Authorization: Bearer ***", "--url", "http://127.0.0.1/" + LONG]
    sessions = [begin(command=command), begin(BEGAN + 2 * seconds, command=command), end(BEGAN + 3 * seconds)]
    record = load_run(make_folder(tmp_path / f"{LONG[:99]}.run", [*first, *second], sessions, examples))
    path = tmp_path / "report.html"
    path.write_text(make_page(record, now=BEGAN), "utf-8")
    return path.as_uri()


async def _look(page: Page, address: str, width: int, dark: bool) -> None:
    await page.show(address, width=width, dark=dark)
    assert await page.value("document.documentElement.scrollWidth") <= width
    assert await page.value(STICKING_OUT) == []
    assert await page.value(OVERLAPPING) == []
    assert "broken" not in await page.value("document.title")
    assert await page.value("document.querySelectorAll('figure').length") == 7
    assert "limit: 100" in await page.value(HOVER)
    assert page.complaints == []


@pytest.mark.parametrize("seconds", [60.0, 6000.0, 9e5])
def test_the_report_is_whole_at_any_width(tmp_path: Path, seconds: float) -> None:
    """No complaint, no request, nothing cut or overlapping, at 1,280 and 400 pixels and between, light and dark."""
    find_chromium()
    address = make_report(tmp_path, seconds)

    async def main() -> None:
        async with asyncio.timeout(100), chromium(tmp_path / "profile") as page:
            for width, dark in ((1280, False), (1280, True), (1001, False), (700, False), (400, False), (400, True)):
                await _look(page, address, width, dark)

    asyncio.run(main())
