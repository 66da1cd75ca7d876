"""What a comparison comes to: a row for each arm, what can be said of it, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from ...rules.moving import refusals
from ...rules.moving.capacity import Capacity
from ...rules.moving.money import Instances, a_month, instances
from ...rules.moving.pairs import Ratio
from ...rules.moving.refusals import Obstacle
from ...rules.moving.slices import Slice
from ...rules.moving.verdict import ArmVerdict, Compared, Word, judge, share_of_client
from .comparison import Measured

CLIENT = "client"
NOT_MEASURED = "not measured"
_MOSTLY = 0.8
"""So much of a gain that the client brings alone is said before all else."""
_ROWS = {"control": "control", "control#2": "control, again", CLIENT: "control, new client"}


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The result. `missing`: arms that were asked for and are not there."""

    route: str
    target: float
    precision: float
    arms: Sequence[str]
    found: Measured
    head: Sequence[str] = ()
    missing: Sequence[str] = ()
    spoilt: Obstacle | None = None
    spreads: dict[str, float] = field(default_factory=dict)
    peak: float | None = None
    cost: float | None = None

    @property
    def control(self) -> str:
        """The first arm."""
        return self.arms[0]

    @property
    def others(self) -> list[str]:
        """What was measured against the control."""
        return list(self.arms[1:])

    def ratio(self, arm: str) -> Ratio | None:
        """How many times as much CPU the control needs."""
        return self.found.ratio(self.control, arm)

    def verdict(self, arm: str) -> ArmVerdict:
        """What can be said of an arm."""
        found = self.found
        capacities = [found.capacities.get(each) for each in (self.control, arm)]
        rates = None if capacities[0] is None or capacities[1] is None else (capacities[0], capacities[1])
        limits = (found.limits.get(self.control), found.limits.get(arm))
        compared = Compared(self.ratio(arm), rates, found.luck.get(arm), limits)
        return judge(compared, self.precision, self._forbidden(arm))

    def exit_code(self) -> int:
        """0: something is said; 1: an arm is slower than the control; 2: nothing can be said."""
        said = {self.verdict(arm).said for arm in self.others}
        if Word.SLOWER in said:
            return 1
        return 0 if said - {Word.NOTHING} else 2

    def lines(self) -> list[str]:
        """For people."""
        rows = [self._header(), *(self._row(arm) for arm in self._all_arms())]
        told = [f"{self.route}: p99 to keep {self.target * 1e3:.0f} ms; pairs at {self.found.rate:,.0f}/s"]
        if self.found.refused is not None and not self.found.pairs:
            told = [f"{self.route}: p99 to keep {self.target * 1e3:.0f} ms"]
        limits = [f"{_name(arm)} stops at {limit.why}" for arm, limit in self.found.limits.items()]
        return [*told, "", *_table(rows), "", *limits, *self._sentences(), *self._host(), *self._money()]

    def as_json(self) -> dict[str, Any]:
        """For programs; times in seconds."""
        return {
            "route": self.route,
            "target_s": self.target,
            "precision": self.precision,
            "rate": self.found.rate,
            "blocks": len(self.found.blocks),
            "head": list(self.head),
            "arms": {arm: self._arm_as_json(arm) for arm in self._all_arms()},
            "exit_code": self.exit_code(),
        }

    def _forbidden(self, arm: str) -> list[Obstacle]:
        if self.found.refused is not None:
            return [self.found.refused]
        pairs = self.found.pairs
        found = [self.spoilt, refusals.errors(pairs, self.control), refusals.errors(pairs, arm)]
        found += [refusals.other_answers(pairs, self.control, arm), refusals.afterwards(self.found.singles)]
        if self.spoilt is None:
            found.append(refusals.disagreement({arm: self.spreads.get(arm, 0.0)}))
        return [each for each in found if each is not None]

    def _all_arms(self) -> list[str]:
        """With the rows that are always there: without them the client's part would be taken for the colour's."""
        missing = [arm for arm in (CLIENT, *self.missing) if arm not in self.arms]
        rows = [*self.arms[:1], *(arm for arm in dict.fromkeys(missing) if arm == CLIENT), *self.arms[1:]]
        return [*rows, *(arm for arm in dict.fromkeys(missing) if arm != CLIENT)]

    def _slices(self, arm: str) -> list[Slice]:
        return [each for each in self.found.pairs if each.arm == arm]

    def _row(self, arm: str) -> list[str]:
        if arm not in self.arms:
            return [_name(arm), NOT_MEASURED]
        slices = self._slices(arm)
        ratio = self.ratio(arm) if arm != self.control else None
        return [
            _name(arm),
            f"{median(each.cpu_per_request for each in slices) * 1e3:.2f} ms" if slices else "-",
            "" if arm == self.control else "-" if ratio is None else str(ratio),
            _p99(slices),
            _rate(self.found.capacities.get(arm)),
            *([str(self._instances(arm) or "-")] if self.peak is not None else []),
            "" if arm == self.control else self.verdict(arm).said.value,
        ]

    def _header(self) -> list[str]:
        names = ["arm", "CPU a request", "control / arm", "p99", "keeps the target up to"]
        return [*names, *(["instances"] if self.peak is not None else []), ""]

    def _sentences(self) -> list[str]:
        if not self.others and self.found.refused is not None:
            return [f"{Word.NOTHING.value}: {self.found.refused.why}"]
        told = [f"{_name(arm)}: {(said := self.verdict(arm)).said.value}: {said.why}" for arm in self.others]
        differing = [f"{_name(arm)}: {why}" for arm in self.others if (why := self._differs(arm))]
        if refusals.redirects(self.found.pairs, self.control):
            differing.insert(0, "warning: the control sends its clients elsewhere; does it need a login?")
        return [*self._client_first(), *told, *differing]

    def _host(self) -> list[str]:
        """Where the host took much from all arms alike."""
        usual = median(each.steal for each in self.found.pairs) if self.found.pairs else 0.0
        if usual <= refusals.WORTH_TELLING:
            return []
        return [
            f"the host of this virtual machine took {usual:.0%} of the time in which the server's cores had work "
            "(steal): p99 and the highest rates are those of this machine in this hour; compare only within this table"
        ]

    def _client_first(self) -> list[str]:
        """Where most of a gain is there without any conversion."""
        client = self.ratio(CLIENT) if CLIENT in self.others else None
        if client is None or self.verdict(CLIENT).said is not Word.GAIN:
            return []
        told = []
        for arm in self.others:
            mine = self.ratio(arm)
            beside = self.found.ratio(CLIENT, arm)
            if arm == CLIENT or mine is None or beside is None or self.verdict(arm).said is not Word.GAIN:
                continue
            share = share_of_client(client, mine)
            first = "a better client is most of it: " if share >= _MOSTLY else ""
            told.append(
                f"{first}{share:.0%} of the CPU that {_name(arm)} saves is saved by the new client alone; "
                f"{_name(arm)} on top of it is {beside}"
            )
        return told

    def _differs(self, arm: str) -> str:
        """A warning where answers are not of the same length: perhaps not the same work is compared."""
        sizes = [sum(each.body_bytes for each in self._slices(one)) for one in (self.control, arm)]
        counts = [sum(each.answered for each in self._slices(one)) for one in (self.control, arm)]
        if not all(counts):
            return ""
        control, mine = (size / count for size, count in zip(sizes, counts, strict=True))
        if abs(control - mine) <= 0.1 * max(control, mine):
            return ""
        return f"warning: its answers have {mine:,.0f} bytes, those of the control {control:,.0f}; is it the same work?"

    def _instances(self, arm: str) -> Instances | None:
        capacity = self.found.capacities.get(arm)
        return None if self.peak is None or capacity is None else instances(self.peak, capacity)

    def _money(self) -> list[str]:
        if self.peak is None:
            return []
        needed = {arm: each for arm in self.arms if (each := self._instances(arm)) is not None}
        if self.control not in needed:
            return [f"instances for {self.peak:,.0f}/s: not known, since no rate of the control was found"]
        told = [f"for {self.peak:,.0f}/s, each instance at 70 %: " + _each(needed)]
        if self.cost is not None:
            before, cost = needed[self.control], self.cost
            for arm, each in needed.items():
                if arm != self.control and self.verdict(arm).said is not Word.NOTHING:
                    least, most = a_month(before.fewest - each.most, cost), a_month(before.most - each.fewest, cost)
                    told.append(f"{_name(arm)}: {least:,.0f} to {most:,.0f} a month less, at {cost:g} an hour")
        return told

    def _arm_as_json(self, arm: str) -> dict[str, Any]:
        if arm not in self.arms:
            return {"measured": False}
        slices, capacity, limit = self._slices(arm), self.found.capacities.get(arm), self.found.limits.get(arm)
        made: dict[str, Any] = {
            "measured": True,
            "neighbours": _median_and_most([each.neighbours for each in slices]),
            "steal": _median_and_most([each.steal for each in slices]),
            "client_steal": _median_and_most([each.client_steal for each in slices]),
            "alone_s": self.found.alone.get(arm),
            "cpu_s": median(each.cpu_per_request for each in slices) if slices else None,
            "capacity": None if capacity is None else asdict(capacity),
            "limit": None if limit is None else {"kind": limit.stop.value, "why": limit.why},
        }
        if arm != self.control:
            ratio, verdict = self.ratio(arm), self.verdict(arm)
            made["ratio"] = None if ratio is None else asdict(ratio)
            made["spread"] = self.spreads.get(arm)
            made["verdict"], made["why"] = verdict.said.value, verdict.why
            made["warning"] = self._differs(arm) or None
        return made


def _median_and_most(shares: Sequence[float]) -> dict[str, float] | None:
    return {"median": median(shares), "most": max(shares)} if shares else None


def _name(arm: str) -> str:
    return _ROWS.get(arm, arm)


def _p99(slices: Sequence[Slice]) -> str:
    values = [each.p99 for each in slices if each.p99 is not None]
    return f"{median(values) * 1e3:.0f} ms" if values else "-"


def _rate(capacity: Capacity | None) -> str:
    if capacity is None or (capacity.held is None and capacity.failed is None):
        return NOT_MEASURED
    if capacity.held is None:
        return f"below {capacity.failed:,.0f}/s"
    if capacity.failed is None:
        return f"more than {capacity.held:,.0f}/s"
    return f"{capacity.held:,.0f}/s" if capacity.is_found else f"{capacity.held:,.0f} to {capacity.failed:,.0f}/s"


def _each(needed: dict[str, Instances]) -> str:
    return ", ".join(f"{_name(arm)} {count} instances" for arm, count in needed.items())


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    width = max(map(len, rows))
    filled = [[*row, *[""] * (width - len(row))] for row in rows]
    widths = [max(len(row[column]) for row in filled) for column in range(width)]
    return ["  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip() for row in filled]
