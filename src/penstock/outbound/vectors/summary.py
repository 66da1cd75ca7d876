"""The figures of a census, from its scoreboard alone: two sequential scans, flat memory, exact percentiles.

A percentile needs no sorted list: the first scan counts the upper 16 bits of every latency, which tells the
bucket that holds each percentile; the second counts the lower 16 bits within those buckets (a radix
selection).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...errors import StorageError
from ...rules.census.finding import ANSWERED, Finding, accuracy, success
from ...rules.census.wilson import Interval, wilson
from .fields import KIND_NAMES, NO_ID, NUMPY_CELL
from .numeric import Array, np

WORST = 100
QUANTILES = (0.5, 0.95, 0.99, 1.0)
_HALF = 65_536
"""A latency is a number of two such digits."""

Scan = Callable[[], Iterable[tuple[int, bytes]]]
"""Goes through a scoreboard from its beginning: (position of the first record, records) for each block."""

_IS_ANSWERED = np.zeros(256, bool)
_IS_ANSWERED[[int(finding) for finding in ANSWERED]] = True


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Exact percentiles in seconds; None where nothing was measured."""

    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Worst:
    """One of the least similar answers; `hit_position` is None where no id is known."""

    position: int
    similarity: float
    finding: Finding
    hit_position: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What one scan of the scoreboard says."""

    total: int
    findings: dict[Finding, int]
    by_kind: dict[str, int]
    """Failures by kind; `unknown` for a code that this version does not know."""
    by_status: dict[int, int]
    """All that are done by HTTP status, 0 where there was no answer."""
    attempts: int
    mean_similarity: float | None
    """Over answers with a finite score, None without any."""
    answered_latency: Percentiles
    done_latency: Percentiles
    """Of failures too: leaving timeouts out would make a failing server look fast."""
    worst: tuple[Worst, ...]
    """At most 100 answers of least similarity, the worst first, below 1 or not."""

    @property
    def answered(self) -> int:
        """Vectors with an answer, right or wrong."""
        return accuracy(self.findings)[1]

    @property
    def accuracy(self) -> float | None:
        """Right answers of all answers, None without any."""
        right, answered = accuracy(self.findings)
        return right / answered if answered else None

    @property
    def accuracy_interval(self) -> Interval:
        """95 % interval of the accuracy."""
        return wilson(*accuracy(self.findings))

    @property
    def success_rate(self) -> float | None:
        """Answers of all that are done, None before the first: what was not asked yet is no failure."""
        done = self.total - self.findings[Finding.NOT_DONE]
        return self.answered / done if done else None

    @property
    def success_interval(self) -> Interval:
        """95 % interval of the success rate."""
        return wilson(*success(self.findings, self.total - self.findings[Finding.NOT_DONE]))


class _Tally:
    """Everything that one pass adds up. `upper[0]` counts answered, `upper[1]` all that are done."""

    def __init__(self) -> None:
        self.findings = np.zeros(256, np.int64)
        self.kinds = np.zeros(256, np.int64)
        self.statuses = np.zeros(_HALF, np.int64)
        self.upper = np.zeros((2, _HALF), np.int64)
        self.attempts = 0
        self.similarity_sums: list[float] = []
        self.similarity_count = 0
        self.worst: Array = np.zeros(0, [("position", "<i8"), *NUMPY_CELL])

    def add(self, first: int, block: Array) -> None:
        finding = block["finding"]
        self.findings += np.bincount(finding, minlength=256)
        done = finding != Finding.NOT_DONE
        if not done.any():
            return
        failed = block["hit_id"][finding == Finding.FAILED]
        self.kinds += np.bincount(np.minimum(failed, 255), minlength=256)
        self.statuses += np.bincount(block["status"][done], minlength=_HALF)
        self.attempts += int(block["attempts"][done].sum(dtype=np.int64))
        answered = _IS_ANSWERED[finding]
        for which, mask in enumerate((answered, done)):
            self.upper[which] += np.bincount(block["latency_us"][mask] >> 16, minlength=_HALF)
        self._add_similarities(first, block, answered)

    def _add_similarities(self, first: int, block: Array, answered: Array) -> None:
        usable = np.flatnonzero(answered & np.isfinite(block["similarity"]))
        if not len(usable):
            return
        similarity = block["similarity"][usable]
        self.similarity_sums.append(float(similarity.sum(dtype=np.float64)))
        self.similarity_count += len(usable)
        if len(self.worst) >= WORST:
            # Nearly every block ends here: nothing in it is worse than what is known.
            keep = similarity < self.worst["similarity"][-1]
            usable, similarity = usable[keep], similarity[keep]
        if len(usable) > WORST:
            usable = usable[np.sort(np.argsort(similarity, kind="stable")[:WORST])]
        rows = np.zeros(len(usable), self.worst.dtype)
        for name, _ in NUMPY_CELL:
            rows[name] = block[name][usable]
        rows["position"] = first + usable
        merged = np.concatenate([self.worst, rows])
        self.worst = merged[np.lexsort((merged["position"], merged["similarity"]))[:WORST]]


def summarise(scan: Scan, total: int) -> Summary:
    """The figures of `total` records. Raises StorageError for a finding that this version does not know."""
    tally = _Tally()
    for first, data in scan():
        tally.add(first, np.frombuffer(data, NUMPY_CELL))
    if tally.findings[len(Finding) :].any():
        raise StorageError("the scoreboard holds findings that this version does not know; use the one that wrote it")
    answered, done = _latencies(tally.upper, scan)
    mean = math.fsum(tally.similarity_sums) / tally.similarity_count if tally.similarity_count else None
    return Summary(
        total=total,
        findings={finding: int(tally.findings[finding]) for finding in Finding},
        by_kind=_kinds(tally.kinds),
        by_status={int(status): int(tally.statuses[status]) for status in np.flatnonzero(tally.statuses)},
        attempts=tally.attempts,
        mean_similarity=mean,
        answered_latency=answered,
        done_latency=done,
        worst=tuple(_worst(row) for row in tally.worst),
    )


def _kinds(counts: Array) -> dict[str, int]:
    found: dict[str, int] = {}
    for code in np.flatnonzero(counts):
        kind = KIND_NAMES.get(int(code), "unknown")
        found[kind] = found.get(kind, 0) + int(counts[code])
    return found


def _worst(row: Array) -> Worst:
    hit = int(row["hit_id"])
    finding = Finding(int(row["finding"]))
    return Worst(int(row["position"]), float(row["similarity"]), finding, None if hit == NO_ID else hit)


def _latencies(upper: Array, scan: Scan) -> tuple[Percentiles, Percentiles]:
    """Percentiles of the answered and of all that are done, from the counts of their upper digits."""
    totals = [int(row.sum()) for row in upper]
    # For each group and quantile: the upper digit, and which value of that digit's bucket (1-based) is
    # wanted.
    wanted = [[_locate(row, share) for share in QUANTILES] if n else [] for row, n in zip(upper, totals, strict=True)]
    lower = {(group, digit): np.zeros(_HALF, np.int64) for group in (0, 1) for digit, _ in wanted[group]}
    if lower:
        for _, data in scan():
            _count_lower(np.frombuffer(data, NUMPY_CELL), lower)
    values = [
        [(digit << 16 | _nth(lower[group, digit], rank)) / 1e6 for digit, rank in wanted[group]] for group in (0, 1)
    ]
    answered, done = (
        Percentiles(n, *v) if n else Percentiles(0, None, None, None, None) for n, v in zip(totals, values, strict=True)
    )
    return answered, done


def _locate(counts: Array, share: float) -> tuple[int, int]:
    # Nearest rank: the smallest value that at least this share of all do not exceed.
    rank = max(1, math.ceil(share * int(counts.sum())))
    reached = np.cumsum(counts)
    digit = int(np.searchsorted(reached, rank))
    return digit, rank - (int(reached[digit - 1]) if digit else 0)


def _nth(counts: Array, rank: int) -> int:
    return int(np.searchsorted(np.cumsum(counts), rank))


def _count_lower(block: Array, lower: dict[tuple[int, int], Array]) -> None:
    finding, latency = block["finding"], block["latency_us"]
    masks = (_IS_ANSWERED[finding], finding != Finding.NOT_DONE)
    upper = latency >> 16
    for (group, digit), counts in lower.items():
        chosen = latency[masks[group] & (upper == digit)]
        counts += np.bincount(chosen & 0xFFFF, minlength=_HALF)
