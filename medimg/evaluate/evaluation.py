"""What an evaluation says: figures with intervals, tables, pictures, and the cases that could not be scored. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medimg.errors import Reason
from medimg.evaluate.bootstrap import Interval, percentile_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = str | int | float | None

DIGITS = 6
"""Decimals of every figure that is written."""


@dataclass(frozen=True)
class Metric:
    """One figure. value: None where it is not defined. interval: 95 %, by `method`. replicates: of the bootstrap, (B,).

    better: +1 when higher is better, -1 when lower is, 0 when neither. sd: of the cases, where it is their mean.
    """

    value: float | None
    replicates: NDArray[np.float64]
    interval: Interval | None = None
    method: str | None = None
    better: int = 1
    sd: float | None = None

    @classmethod
    def of(
        cls,
        value: float,
        replicates: NDArray[np.float64],
        exact: tuple[str, Interval | None] | None = None,
        better: int = 1,
        sd: float | None = None,
    ) -> Metric:
        """A figure whose interval is that of its replicates, or the `exact` one (method, interval) in closed form."""
        method, interval = exact or ("bootstrap", percentile_interval(replicates))
        known = None if math.isnan(value) else value
        return cls(known, replicates, interval, method if interval else None, better, sd)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: value, ci95 and what made the interval."""
        interval = None if self.interval is None else [rounded(side) for side in self.interval]
        document = {"value": rounded(self.value), "ci95": interval, "ci_method": self.method}
        return document if self.sd is None else {**document, "sd": rounded(self.sd)}


@dataclass(frozen=True)
class Table:
    """Rows for a CSV file and the page; `name` is the file's, without suffix."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def records(self) -> list[dict[str, Cell]]:
        """Each row with the names of its columns, JSON-ready."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn when it is written; `words` say what it shows to those who cannot see it."""

    name: str
    title: str
    words: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Failure:
    """A case that could not be scored, and why."""

    case: str
    reason: Reason
    message: str

    def to_dict(self) -> dict[str, str]:
        """JSON-ready."""
        return {"case": self.case, "reason": str(self.reason), "message": self.message}


@dataclass
class Evaluation:
    """Everything said about one set of predictions.

    metrics: name -> figure, the headline first. counts: name -> how many. detail: curves and breakdowns, JSON-ready.
    settings: the rules that were applied. cases: the units that were resampled.
    """

    task: str
    metrics: dict[str, Metric]
    counts: dict[str, int]
    settings: dict[str, Any]
    cases: tuple[str, ...]
    failed: tuple[Failure, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Scores(Protocol):
    """Predictions held against their truth, case by case, before anything is summed up."""

    @property
    def cases(self) -> tuple[str, ...]:
        """The units that are resampled, in a fixed order."""
        ...

    @property
    def failed(self) -> tuple[Failure, ...]:
        """Cases that could not be scored."""
        ...

    def only(self, cases: Sequence[str]) -> Scores:
        """The same, of these cases alone."""
        ...

    def evaluate(self, counts: NDArray[np.int32]) -> Evaluation:
        """Sum up, with intervals from units drawn `counts` (B, cases) times."""
        ...


def rounded(value: float | None) -> float | None:
    """To DIGITS decimals; None for what is not a finite number."""
    return None if value is None or not math.isfinite(value) else round(float(value), DIGITS)
