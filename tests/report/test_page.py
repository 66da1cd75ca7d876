"""The page: what it says, that it says it of every kind of run folder, and that nothing in it can do harm."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from penstock.errors import UsageError
from penstock.report.load import load_run
from penstock.report.page import make_page, sentence

from .report_tools import BEGAN, begin, end, make_folder, sample

EVIL = '<script>alert(1)</script>"\' onload="alert(2)" <!-- & $x^2$'


class Outline(HTMLParser):
    """The tags, attributes and texts of a page, and whether every tag is closed in order."""

    VOID = ("meta", "link", "rect", "path", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += f" {data}"


def outline(folder: Path) -> Outline:
    """The page of a run folder, read as HTML."""
    return Outline(make_page(load_run(folder), now=BEGAN + 100))


def example(**values: Any) -> dict[str, Any]:
    """One example as the run folder has it."""
    base = {"key": "a", "position": 1, "at": BEGAN, "status": 200, "attempts": 1, "service_s": 1.5}
    return base | {"kind": "", "message": ""} | values


def test_a_finished_run_is_told_in_a_sentence(tmp_path: Path) -> None:
    """What was done, how fast against the limit, and that nothing failed."""
    record = load_run(make_folder(tmp_path / "out.jsonl.run"))
    assert record.out == tmp_path / "out.jsonl"
    said = sentence(record)
    assert said.startswith("One call for each of 1,000 items in 10.5 s, at ")
    assert "of the limit of 100/s. No item failed." in said


def test_the_page_has_figures_charts_and_the_command(tmp_path: Path) -> None:
    """All charts for which there are numbers, each with a title and a unit."""
    page = outline(make_folder(tmp_path / "out.jsonl.run", examples={"slowest": [example(key="slow one")]}))
    charts = [attributes["id"] for tag, attributes in page.tags if tag == "figure"]
    assert charts == ["rate", "in_flight", "latency", "histogram", "outcomes"]
    assert "penstock send in.jsonl --url http://127.0.0.1:8080/ --out out.jsonl" in page.text
    assert "slow one" in page.text
    assert re.search(r"limit used\s+100 %", page.text)


@pytest.mark.parametrize(("limit", "told"), [("100/s", False), ("100/4s", False), ("500/5s", True), ("6000/min", True)])
def test_the_most_in_a_window_is_only_told_where_samples_resolve_it(tmp_path: Path, limit: str, told: bool) -> None:
    """A report said `13 of 100 in 1 s` where the server had counted 100: the samples were a second apart."""
    lines = [sample(float(n), limits=[limit]) for n in range(121)]
    text = outline(make_folder(tmp_path / "out.run", lines, [begin(), end(BEGAN + 120)])).text
    assert (" most in a window" in text) == told
    assert ("The most in a window" in text) == told
    assert f" {limit} " in text


def test_attempts_without_a_connection_explain_a_window_above_the_limit(tmp_path: Path) -> None:
    """A host that went down in the middle: 602 of 600 in a minute, of which the server saw far fewer."""
    for rate, explained in ((100, False), (110, True)):
        lines = [sample(float(n), attempts=rate * n, limits=["6000/min"]) for n in range(121)]
        folder = make_folder(tmp_path / f"{rate}.run", lines, [begin(), end(BEGAN + 120)])
        assert ("found no connection" in outline(folder).text) == explained


@pytest.mark.parametrize("seconds", [0, 10])
def test_limits_for_each_key_are_told(tmp_path: Path, seconds: int) -> None:
    """The page said that there was no limit on the rate; how many keys there were is told as of the end."""
    each = "20/s for each tenant"
    lines = [sample(float(n), limits=[f"{each} ({n} of them)" if n else each]) for n in range(seconds + 1)]
    sessions = [begin(limits=[each]), end(BEGAN + seconds)]
    folder = make_folder(tmp_path / "out.run", lines, sessions)
    page = outline(folder)
    told = f"{each} ({seconds} of them)" if seconds else each
    assert f" {told} " in page.text
    assert "no limit on the rate" not in page.text
    assert f"under a limit of {told}." in sentence(load_run(folder))
    assert not [attributes for _, attributes in page.tags if attributes.get("data-label") == "limit"]


def test_failures_and_restarts_are_drawn_and_listed(tmp_path: Path) -> None:
    """By kind, with the items named, and with every session and how it ended."""
    later = [
        sample(float(n), at=BEGAN + 20 + n, failed=n, by_kind={"timeout": n}, retries=2 * n, throttled=n)
        for n in range(11)
    ]
    sessions = [begin(), begin(BEGAN + 20), end(BEGAN + 30, "stopped")]
    examples = {"failed": {"timeout": {"first": [example(kind="timeout", message="too slow")], "last": []}}}
    folder = make_folder(tmp_path / "r.run", [sample(float(n)) for n in range(11)] + later, sessions, examples)
    page = outline(folder)
    charts = [attributes["id"] for tag, attributes in page.tags if tag == "figure"]
    assert charts[-2:] == ["failures", "repeats"]
    assert "not finished" in page.text
    assert "Killed once, and resumed with the same command" in page.text
    assert "timeout: too slow" in page.text
    assert "killed, then resumed" in page.text


def test_a_command_that_found_all_done_is_no_session_of_the_report(tmp_path: Path) -> None:
    """A finished run, started again, was told as "finished once, and resumed", with a bar in which nothing ran."""
    done = {"items": 1000, "ok": 1000, "attempts": 1000, "in_flight": 0}
    first = [*(sample(float(n)) for n in range(11)), sample(10.5, **done)]
    again = [sample(each, at=BEGAN + 500 + each, **done) for each in (0.0, 0.004)]
    used = {"limits": [{"limit": "100/s", "used": 0.0}], "peak_rss_bytes": 30_000_000}
    before = {"limits": [{"limit": "100/s", "used": 0.95}], "peak_rss_bytes": 60_000_000}
    sessions = [begin(), end(BEGAN + 10.5, summary=before), begin(BEGAN + 500, resumed_at=1000)]
    folder = make_folder(tmp_path / "out.run", [*first, *again], [*sessions, end(BEGAN + 500, summary=used)])
    page = outline(folder)
    assert "One call for each of 1,000 items in 10.5 s, at 95" in sentence(load_run(folder))
    assert "resumed" not in page.text
    assert "nothing ran" not in page.text
    assert "sessions" not in page.text
    assert "60 MB" in page.text


def test_a_run_that_found_all_done_at_once_is_still_a_run(tmp_path: Path) -> None:
    """An input without records: there is a session, and nothing else to show."""
    lines = [sample(each, items=0, ok=0, attempts=0, in_flight=0) for each in (0.0, 0.003)]
    page = outline(make_folder(tmp_path / "out.run", lines, [begin(total=0), end(BEGAN)]))
    assert "One call for each of 0 items" in page.text


@pytest.mark.parametrize("where", ["key", "message", "kind", "command", "limit", "summary", "name"])
def test_text_of_others_is_inert(tmp_path: Path, where: str) -> None:
    """A key, a message or a file that looks like HTML is shown and not obeyed."""
    bad = example(**{where: EVIL} if where in ("key", "message", "kind") else {})
    examples = {"slowest": [bad], "failed": {bad["kind"]: {"first": [bad], "last": []}}}
    lines = [sample(float(n), by_kind={bad["kind"]: n}, failed=n) for n in range(5)]
    if where == "limit":
        lines = [{**line, "limits": [EVIL, "100/s"]} for line in lines]
    sessions = [
        begin(command=["penstock", EVIL] if where == "command" else ["penstock"]),
        end(BEGAN + 4, summary={"warnings": [EVIL] if where == "summary" else []}),
    ]
    name = "<script>alert(1)<_script>.run" if where == "name" else "out.run"
    page = outline(make_folder(tmp_path / name, lines, sessions, examples))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not [attributes for _, attributes in page.tags if any(each.startswith("on") for each in attributes)]
    if where != "limit":
        assert "<script>alert(1)" in page.text


def test_the_page_needs_nothing_and_lets_nothing_in(tmp_path: Path) -> None:
    """No address in it but that of the drawing's own command, and a policy that forbids all else."""
    text = make_page(load_run(make_folder(tmp_path / "out.run")), now=BEGAN)
    addresses = set(re.findall(r"[a-z]+://[^\s'\"<&]+", text))
    assert addresses <= {"http://127.0.0.1:8080/"}
    assert "default-src 'none'" in text
    assert not re.search(r"<(img|iframe|object|embed|base|form)\b|@import|url\(", text)


@pytest.mark.slow
def test_a_long_run_makes_a_small_page(tmp_path: Path) -> None:
    """Twenty thousand samples, all of them uneven, where a run of a year makes 7,000: below 500 kB."""
    lines = [
        sample(float(n), in_flight_range=[n % 11, 20 + n % 37], failed=n, by_kind={f"kind_{n % 3}": n}, retries=n)
        for n in range(20_000)
    ]
    text = make_page(load_run(make_folder(tmp_path / "out.run", lines)), now=BEGAN)
    assert len(text) < 500_000


def test_a_folder_of_an_older_version_is_drawn_as_far_as_it_goes(tmp_path: Path) -> None:
    """Without sessions, examples and what samples hold now: rate, in flight and outcomes are there."""
    old = ("at", "elapsed", "items", "ok", "failed", "by_kind", "attempts", "retries", "throttled", "in_flight")
    lines = [{name: sample(float(n))[name] for name in (*old, "service_ms")} for n in range(11)]
    page = outline(make_folder(tmp_path / "out.run", lines, sessions=[]))
    charts = [attributes["id"] for tag, attributes in page.tags if tag == "figure"]
    assert charts == ["rate", "in_flight", "outcomes"]
    assert "older version" in page.text


DAMAGE: list[Any] = [
    b"\x00\xff garbage\n",
    b"[1, 2]\n",
    b'{"at": "yesterday", "attempts": 3}\n',
    b'{"at": 1e300, "attempts": 3}\n',
    b'{"elapsed": 3}\n',
    {"at": BEGAN + 3.5, "attempts": 350, "elapsed": 3.5, "by_kind": 7, "recent_ms": [], "in_flight_range": "x"},
    {**sample(4.5), "recent_buckets": {"x": 1, "-5": 2, "105": -3, "106": None}, "limits": "100/s"},
    {**sample(4.6), "recent_buckets": {"999999": 1}},
]


@pytest.mark.parametrize("position", [0, 4, 12])
@pytest.mark.parametrize("line", DAMAGE, ids=range(len(DAMAGE)))
def test_damaged_lines_are_left_out_and_said(tmp_path: Path, line: Any, position: int) -> None:
    """Wherever one is, the rest is drawn; what was left out is counted."""
    lines: list[Any] = [sample(float(n)) for n in range(11)]
    lines.insert(position, line)
    folder = make_folder(tmp_path / "out.run", lines)
    (folder / "examples.json").write_bytes(b'{"slowest": [17, {"service_s": "x"}], "failed": []}')
    page = outline(folder)
    assert "rate" in [attributes.get("id") for _, attributes in page.tags]
    assert isinstance(line, dict) or "1 line of series.jsonl could not be read" in page.text


def test_a_line_that_is_being_written_is_no_damage(tmp_path: Path) -> None:
    """The run may be at work on it."""
    half = orjson.dumps(sample(11.0))[:80]
    record = load_run(make_folder(tmp_path / "out.run", [*(sample(float(n)) for n in range(11)), half]))
    assert len(record.samples) == 11
    assert record.damaged == {}


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """With what to give instead; an output without its folder is told apart from nothing at all."""
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for name, words in (("none", "there is no run at"), ("file", "is not the output"), ("folder", "is not the output")):
        with pytest.raises(UsageError, match=words):
            load_run(tmp_path / name)


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.run"])
def test_the_output_and_its_folder_name_the_same_run(tmp_path: Path, name: str) -> None:
    """Whichever is given."""
    make_folder(tmp_path / "out.jsonl.run")
    assert load_run(tmp_path / name).out == tmp_path / "out.jsonl"


@pytest.mark.parametrize(
    ("promised", "how", "words"),
    [
        (970, "complete", "Pulled 970 rows on 1,000 pages in 10.5 s, at "),
        (2000, "complete", "Pulled 970 rows of 2,000 promised on 1,000 pages in 10.5 s, at "),
        (None, "stopped", "Pulled 970 rows on 1,000 pages in 10.5 s, and not finished, at "),
    ],
)
def test_a_pull_is_told_by_its_rows(tmp_path: Path, promised: int | None, how: str, words: str) -> None:
    """And by what the API promised, where that is not what came."""
    lines = [sample(0.0), sample(10.5, items=1000, ok=1000, rows=970, rows_promised=promised)]
    folder = make_folder(tmp_path / "out.run", lines, [begin(), end(BEGAN + 10.5, how)], facts={"command": "pull"})
    assert sentence(load_run(folder)).startswith(words)


def test_a_pull_speaks_of_pages(tmp_path: Path) -> None:
    """It said "no item failed" of a run that has none."""
    lines = [sample(float(n), rows=10 * n, failed=n // 10, by_kind={"timeout": n // 10}) for n in range(11)]
    examples = {"slowest": [example()], "failed": {"timeout": {"first": [example(kind="timeout")], "last": []}}}
    folder = make_folder(tmp_path / "out.run", lines, [begin(), end(BEGAN + 10)], examples, {"command": "pull"})
    assert "1 page failed, 0.1" in sentence(load_run(folder))
    assert "item" not in outline(folder).text
    lines = [sample(float(n), rows=10 * n) for n in range(11)]
    folder = make_folder(tmp_path / "well.run", lines, [begin(), end(BEGAN + 10)], facts={"command": "pull"})
    assert sentence(load_run(folder)).endswith("No page failed. (11 samples)")


def test_an_outage_is_part_of_what_happened(tmp_path: Path) -> None:
    """The first sentence of a run that had waited for its host for minutes spoke of the rate alone."""
    lines = [sample(float(n), outage_since=BEGAN + 20 if 20 < n <= 40 else None) for n in range(61)]
    folder = make_folder(tmp_path / "one.run", lines, [begin(), end(BEGAN + 60)])
    assert " The host was down for 20 s. No item failed." in sentence(load_run(folder))
    assert re.search(r"host down\s+20 s\s+once", outline(folder).text)
    lines[50]["outage_since"] = BEGAN + 49
    folder = make_folder(tmp_path / "two.run", lines, [begin(), end(BEGAN + 60)])
    assert " The host was down twice, for 21 s in all. " in sentence(load_run(folder))


def test_a_limit_of_several_processes_is_shown_as_it_was_typed(tmp_path: Path) -> None:
    """Without the name that the run gave it; names that users gave stay."""
    lines = [sample(float(n), limits=["100/s@run-4f2a", "50/min@team"]) for n in range(5)]
    record = load_run(make_folder(tmp_path / "out.run", lines))
    assert record.samples[0].limits == ("100/s", "50/min@team")


def test_the_folder_of_a_census_is_its_own_output(tmp_path: Path) -> None:
    """And its summary tells what was found."""
    folder = make_folder(tmp_path / "census", facts={"command": "check"})
    (folder / "summary.json").write_bytes(orjson.dumps({"accuracy": 0.9985, "service_ms": {}}))
    record = load_run(folder)
    assert record.out == folder
    assert "Asked for 1,000 stored vectors in 10.5 s and found 99.85 % of those answered" in sentence(record)
