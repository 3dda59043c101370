"""Two sets of predictions of the same cases: every figure's difference, from a paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medimg.errors import DataError
from medimg.evaluate.bootstrap import Interval, draw_counts, percentile_interval, two_sided_p
from medimg.evaluate.evaluation import Cell, Evaluation, Scores, Table, rounded


@dataclass(frozen=True)
class Difference:
    """A figure in both runs. difference: this run - the other, with its 95 % interval and two-sided p."""

    name: str
    value: float
    other: float
    interval: Interval | None
    p: float | None
    better: int

    @property
    def verdict(self) -> str:
        """Which run is better where the interval leaves 0 out; "" where it does not, or neither direction is."""
        if self.interval is None or not self.better or self.interval[0] <= 0 <= self.interval[1]:
            return ""
        return "better" if self.better * (self.value - self.other) > 0 else "worse"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        interval = None if self.interval is None else [rounded(side) for side in self.interval]
        return {
            "value": rounded(self.value),
            "other": rounded(self.other),
            "difference": rounded(self.value - self.other),
            "ci95": interval,
            "p": rounded(self.p),
        }


@dataclass(frozen=True)
class Comparison:
    """The differences of all figures both runs have, on the cases both have; how many cases one of them lacks."""

    differences: tuple[Difference, ...]
    cases: int
    left_out: int

    def table(self) -> Table:
        """One row a figure."""
        rows: list[tuple[Cell, ...]] = []
        for one in self.differences:
            figures = (one.value, one.other, one.value - one.other, *(one.interval or (None, None)), one.p)
            rows.append((one.name, *map(rounded, figures), one.verdict))
        columns = ("figure", "this", "other", "difference", "ci95_low", "ci95_high", "p", "this_is")
        return Table("comparison", "Comparison", columns, rows)


def evaluate(scores: Scores, replicates: int, seed: int) -> Evaluation:
    """Sum up with intervals from `replicates` draws of the cases."""
    return scores.evaluate(draw_counts(len(scores.cases), replicates, seed))


def compare(scores: Scores, other: Scores, replicates: int, seed: int) -> Comparison:
    """Compare on the cases that both hold; one seed draws the same cases for both. Raises DataError for none."""
    known = set(other.cases)
    shared = [case for case in scores.cases if case in known]
    if not shared:
        raise DataError("the two runs have no case in common; they cannot be compared")
    ours, theirs = scores.only(shared), other.only(shared)
    if ours.cases != theirs.cases:  # a draw would mean other cases
        raise DataError("the two runs hold their cases in different orders; score both against one truth")
    left_out = len(set(scores.cases) | set(other.cases)) - len(shared)
    first, second = evaluate(ours, replicates, seed), evaluate(theirs, replicates, seed)
    differences = []
    for name, metric in first.metrics.items():
        rival = second.metrics.get(name)
        if rival is None or metric.value is None or rival.value is None:
            continue
        drawn = metric.replicates - rival.replicates
        interval = percentile_interval(drawn)
        differences.append(Difference(name, metric.value, rival.value, interval, two_sided_p(drawn), metric.better))
    return Comparison(tuple(differences), len(shared), left_out)
