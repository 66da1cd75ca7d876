"""The order of a comparison: one request alone, pairs at one rate, the highest rates, what each arm stops at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from ...clock import SYSTEM_CLOCK, Clock
from ...rules.moving import refusals
from ...rules.moving.bottleneck import Bottleneck
from ...rules.moving.capacity import USED as SEARCH_FROM
from ...rules.moving.capacity import Capacity, RateSearch, luck_of
from ...rules.moving.pairs import LOOKS, Block, Ratio, log_ratios, ratio_of, spread, turns_of
from ...rules.moving.refusals import Obstacle, disturbance
from ...rules.moving.slices import Slice
from ...rules.moving.verdict import LUCK, WORTH, is_settled
from .load_client import LoadLost
from .processes import busiest, cpu_by_process
from .stage import BenchStage

CONTROL_FIRST = 0
_ALONE = 20
_QUIET = 0.4
"""Of the CPU: so much the pairs use, so that nothing waits for anything."""
_MOST_RATE = 3000.0
"""Of the pairs: a client with one core is never near its limit there."""
_HALVINGS = 10
_RATE_UNTIL, _PAIRS_UNTIL, _RATES_UNTIL, _ALL_UNTIL = 0.25, 0.45, 0.85, 0.95
"""Of the time."""
_MOST_SPOILT_AT_ONCE = 2 / 3
_LUCK_SLICES = 7
_TRIES = 3
_OVER = 1.25
"""Of the rate that was too much already: so an arm is seen at its limit."""


@dataclass(slots=True)
class Measured:
    """What was found, which is all there was time for."""

    alone: dict[str, float] = field(default_factory=dict)
    """The median of requests that were sent one by one, in seconds."""
    rate: float = 0.0
    """Of the pairs."""
    blocks: list[Block] = field(default_factory=list)
    pairs: list[Slice] = field(default_factory=list)
    """Slices of the pairs, those that were spoilt too."""
    singles: list[Slice] = field(default_factory=list)
    """Slices of one arm alone."""
    capacities: dict[str, Capacity] = field(default_factory=dict)
    limits: dict[str, Bottleneck] = field(default_factory=dict)
    luck: dict[str, float] = field(default_factory=dict)
    refused: Obstacle | None = None
    """Before any pair."""
    neighbours: list[str] = field(default_factory=list)
    """The processes of others that used most CPU meanwhile."""

    def ratio(self, control: str, arm: str) -> Ratio | None:
        """How many times as much CPU the control needs."""
        return ratio_of(log_ratios(self.blocks, control, arm))


class Comparison:
    """Of arms, the first of which is the control; `target` is the p99 to keep and `seconds` all the time there is."""

    def __init__(
        self,
        stage: BenchStage,
        arms: Sequence[str],
        *,
        target: float,
        precision: float,
        seconds: float,
        cores: int,
        say: Callable[[str], None],
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._stage, self._arms, self._control = stage, list(arms), arms[CONTROL_FIRST]
        self._target, self._precision, self._cores, self._say = target, precision, cores, say
        self._clock, self._began, self._seconds = clock, clock.now(), seconds
        self._cpu: dict[str, float] = {}
        self._quickest = 0.0
        self.found = Measured()

    def run(self) -> Measured:
        """All of it; what there was no time for is left out."""
        found, before = self.found, cpu_by_process()
        try:
            return self._run()
        except LoadLost as error:
            found.refused = Obstacle(refusals.Disturbance.CLIENT.value, str(error))
            return found
        finally:
            found.singles = self._stage.slices
            found.neighbours = busiest(before, self._stage.ours())

    def _run(self) -> Measured:
        found = self.found
        found.refused = self._alone() or self._find_rate()
        if found.refused is not None:
            return found
        self._pairs(_PAIRS_UNTIL)
        if found.pairs and self.spoilt() is None and self._errors() is None:
            self._rates()
            if not self._is_settled():
                self._pairs(_ALL_UNTIL)
        return found

    def spoilt(self) -> Obstacle | None:
        """Whether too many slices or blocks of the pairs were worth nothing, and who the neighbours were."""
        found = refusals.spoilt(self.found.pairs, self._target)
        if found is None or found.kind != refusals.Disturbance.NEIGHBOUR.value or not self.found.neighbours:
            return found
        return replace(found, why=f"{found.why}; most busy beside us: {', '.join(self.found.neighbours)}")

    def spreads(self) -> dict[str, float]:
        """How far the pairs of each arm disagree."""
        others = [arm for arm in self._arms if arm != self._control]
        return {arm: spread(log_ratios(self.found.blocks, self._control, arm)) for arm in others}

    def _alone(self) -> Obstacle | None:
        for arm in self._arms:
            self._stage.alone(arm, 2)
            load, self._cpu[arm] = self._stage.alone(arm, _ALONE)
            if load.why_failed:
                return _failed(arm, load.why_failed, load.sent, load.said)
            took = load.times.quantile(0.5) or 0.0
            self.found.alone[arm] = took
            if arm == self._control:
                # Beside a neighbour, most of them would say more of him.
                self._quickest = load.times.quantile(0.1) or 0.0
            self._say(f"{refusals.named(arm)} alone: {took * 1e3:.1f} ms, {self._cpu[arm] * 1e3:.2f} ms of it CPU")
        if self._quickest > self._target:
            return Obstacle("target", f"no rate keeps it: one request alone takes {self._quickest * 1e3:.0f} ms")
        return None

    def _find_rate(self) -> Obstacle | None:
        """The rate of the pairs: what every arm keeps easily."""
        rate = min(_MOST_RATE, *(_QUIET * self._cores / max(1e-5, cpu) for cpu in self._cpu.values()))
        for _ in range(_HALVINGS):
            # The first slice is cold, and only warms up.
            if all(self._keeps(arm, rate) for arm in self._arms):
                self.found.rate = rate
                self._say(f"pairs at {rate:,.0f}/s")
                return None
            if not self._has_time(_RATE_UNTIL, 0):
                break
            rate /= 2
        tried = self._stage.slices
        why = refusals.spoilt(tried[-6:], self._target) or self._errors(tried)
        return why or Obstacle("target", f"no rate keeps it: at {tried[-1].rate:.2g}/s the p99 is above the target")

    def _keeps(self, arm: str, rate: float) -> bool:
        for _ in range(_TRIES):
            one = self._stage.slice(arm, rate, self._slice_seconds(rate))
            self._cpu[arm] = one.cpu_per_request
            wrong = disturbance(one, self._target)
            # Beside a neighbour the rate is as good as any; whether there are too many of them, the pairs show.
            if one.keeps(self._target) and wrong in (None, refusals.Disturbance.NEIGHBOUR):
                return True
            if one.was_cut or not self._has_time(_RATE_UNTIL, 0):
                return False
        return False

    def _slice_seconds(self, rate: float) -> float:
        return min(2.0, max(0.5, 40 / rate))

    def _pairs(self, until: float) -> None:
        found = self.found
        seconds = self._slice_seconds(found.rate / len(self._arms))
        number = 0
        while self._has_time(until, seconds + 0.1):
            slices = self._stage.together(turns_of(self._arms, number), found.rate, seconds)
            number += 1
            found.pairs += slices
            if any(disturbance(one, self._target) is not None for one in slices):
                if self._is_hopeless():
                    return
                continue
            found.blocks.append({one.arm: max(1e-9, one.cpu_per_request) for one in slices})
            if len(found.blocks) in LOOKS:
                self._tell()
                if self._is_settled() or self._errors() is not None:
                    return

    def _is_hopeless(self) -> bool:
        pairs = self.found.pairs
        bad = sum(disturbance(one, self._target) is not None for one in pairs)
        return len(pairs) >= 4 * LOOKS[0] and bad > _MOST_SPOILT_AT_ONCE * len(pairs)

    def _is_settled(self) -> bool:
        others = [arm for arm in self._arms if arm != self._control]
        return all(is_settled(self.found.ratio(self._control, arm), self._precision) for arm in others)

    def _tell(self) -> None:
        ratios = ((arm, self.found.ratio(self._control, arm)) for arm in self._arms if arm != self._control)
        self._say(f"{len(self.found.blocks)} blocks of pairs: " + ", ".join(f"{arm} {ratio}" for arm, ratio in ratios))

    def _rates(self) -> None:
        """The highest rate of each arm, on the same rungs; then what each of them stops at."""
        cpu = {arm: median(one.cpu_per_request for one in self.found.pairs if one.arm == arm) for arm in self._arms}
        search = RateSearch(self._arms, SEARCH_FROM * self._cores / max(1e-5, cpu[self._control]))
        usual_steal = median(one.steal for one in self.found.pairs)
        spoilt = dict.fromkeys(self._arms, 0)
        while (following := search.next_slice()) is not None:
            arm, rate = following
            seconds = min(4.0, max(1.5, 100 / rate))
            if not self._has_time(_RATES_UNTIL, seconds):
                break
            one = self._stage.slice(arm, rate, seconds)
            if refusals.is_vote(one, self._target, usual_steal):
                search.note(arm, kept=one.keeps(self._target))
                continue
            spoilt[arm] += 1
            if spoilt[arm] > 2 * _TRIES:
                why = refusals.spoilt([one], self._target)
                search.give_up(arm, "the host took too much of the server's cores" if why is None else why.why)
        self.found.capacities = {arm: search.capacity(arm) for arm in self._arms}
        for arm, capacity in self.found.capacities.items():
            self._say(f"{arm}: " + _told(capacity))
        self._look_at_limits()
        self._exclude_luck()

    def _look_at_limits(self) -> None:
        for arm, capacity in self.found.capacities.items():
            if capacity.failed is not None and self._has_time(1.0, 0):
                self.found.limits[arm] = limit = self._stage.limit(arm, capacity.failed * _OVER, 1.5)
                self._say(f"{arm} stops at {limit.why}")

    def _exclude_luck(self) -> None:
        """Where a rate is higher and the CPU is not less: is it so each time?"""
        control = self.found.capacities[self._control]
        for arm in self._arms:
            mine, cpu = self.found.capacities[arm], self.found.ratio(self._control, arm)
            if arm == self._control or control.failed is None or mine.held is None or (cpu and cpu.low >= WORTH):
                continue
            if mine.held / control.failed >= WORTH:
                self.found.luck[arm] = self._luck(arm, math.sqrt(control.failed * mine.held))

    def _luck(self, arm: str, rate: float) -> float:
        kept: dict[str, list[bool]] = {self._control: [], arm: []}
        luck, seconds = 1.0, min(4.0, max(1.0, 100 / rate))
        for number in range(_LUCK_SLICES):
            if luck <= LUCK or not self._has_time(1.0, 2 * seconds):
                break
            for name in turns_of((self._control, arm), number)[:2]:
                kept[name].append(self._stage.slice(name, rate, seconds).keeps(self._target))
            luck = luck_of(kept[self._control], kept[arm])
        return luck

    def _errors(self, slices: Sequence[Slice] | None = None) -> Obstacle | None:
        for arm in self._arms:
            failed = refusals.errors(self.found.pairs if slices is None else slices, arm)
            if failed is not None:
                return failed
        return None

    def _has_time(self, share: float, seconds: float) -> bool:
        return self._clock.now() + seconds < self._began + share * self._seconds


def _failed(arm: str, why: dict[str, int], sent: int, said: str) -> Obstacle:
    reasons = ", ".join(f"{count} x {what}" for what, count in why.items())
    hint = ""
    if any(what.startswith(("HTTP 401", "HTTP 403")) for what in why):
        hint = "; does it need a login? Give --requests FILE with its headers"
    elif any(what.startswith("HTTP 404") for what in why):
        hint = "; is there such a route? Behind a prefix, give --requests FILE with whole paths"
    quoted = f"; it says {' '.join(said.split())[:120]!r}" if said else ""
    return Obstacle(
        "errors", f"errors in {refusals.named(arm)}: {sum(why.values())} of {sent} ({reasons}){quoted}{hint}"
    )


def _told(capacity: Capacity) -> str:
    if capacity.held is None:
        tried = "" if capacity.failed is None else f"; {capacity.failed:,.0f}/s do not"
        return capacity.ended or f"no rate was found that keeps the target{tried}"
    above = "" if capacity.failed is None else f", {capacity.failed:,.0f}/s do not"
    return f"{capacity.held:,.0f}/s keep the target{above}"
