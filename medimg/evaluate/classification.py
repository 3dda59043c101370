"""Classification, of scans or of nodules: one label and one probability a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluate import calibration, roc
from medimg.evaluate.bootstrap import grouped, wilson_interval
from medimg.evaluate.confusion import confusion, share
from medimg.evaluate.evaluation import Evaluation, Failure, Metric, Picture, Table, rounded
from medimg.evaluate.plots import calibration_figure, curve_figure

THRESHOLD = 0.5
"""A probability at or above it is called positive, unless another threshold is asked for."""

LOWER_IS_BETTER = ("brier", "ece")


@dataclass(frozen=True)
class ClassificationScores:
    """ids, label (N,), probability (N,) in 0..1, and the group (patient) of each case: groups are resampled whole."""

    ids: tuple[str, ...]
    label: NDArray[np.bool_]
    probability: NDArray[np.float64]
    group: tuple[str, ...]
    threshold: float = THRESHOLD
    failed: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[str, ...]:
        """The groups."""
        return tuple(grouped(self.group)[0])

    def only(self, cases: Sequence[str]) -> ClassificationScores:
        """The same, of these groups alone."""
        keep = np.isin(np.array(self.group, dtype=object), list(cases))
        kept = np.flatnonzero(keep)
        return replace(
            self,
            ids=tuple(self.ids[i] for i in kept),
            label=self.label[kept],
            probability=self.probability[kept],
            group=tuple(self.group[i] for i in kept),
        )

    def evaluate(self, counts: NDArray[np.int32]) -> Evaluation:
        """Every figure with its interval, the curves, and one row a case."""
        names, place = grouped(self.group)
        values = _figures(self.label, self.probability, self.threshold, None)
        drawn = [_figures(self.label, self.probability, self.threshold, row[place]) for row in counts]
        table = confusion(self.label, self.probability, self.threshold)
        whole = len(names) == len(self.ids)
        closed: dict[str, Any] = {}
        if whole:  # the closed forms take cases as independent
            closed = {name: ("Wilson", wilson_interval(*pair)) for name, pair in table.proportions().items()}
            closed["roc_auc"] = ("DeLong", roc.delong_interval(self.label, self.probability))
        metrics = {
            name: Metric.of(
                value,
                np.array([replicate[name] for replicate in drawn]),
                closed.get(name),
                -1 if name in LOWER_IS_BETTER else 1,
            )
            for name, value in values.items()
        }
        positives, reliability = int(self.label.sum()), self._reliability_table()
        return Evaluation(
            task="classification",
            metrics=metrics,
            counts={
                "cases": len(self.ids),
                "groups": len(names),
                "positive": positives,
                "negative": len(self.ids) - positives,
                **{name: int(value) for name, value in vars(table).items()},
            },
            settings={
                "threshold": self.threshold,
                "positive_when": "probability >= threshold",
                "ece_bins": calibration.BINS,
            },
            cases=tuple(names),
            failed=self.failed,
            detail={"reliability": reliability.records()},
            tables=[reliability, self._table()],
            pictures=self._pictures(metrics),
            warnings=[*self.warnings, *self._one_sided(positives)],
        )

    def _one_sided(self, positives: int) -> list[str]:
        if 0 < positives < len(self.ids):
            return []
        return ["all cases are of one class: what compares the classes is not defined"]

    def _table(self) -> Table:
        rows = [
            (name, group, int(label), rounded(value), int(value >= self.threshold))
            for name, group, label, value in zip(self.ids, self.group, self.label, self.probability, strict=True)
        ]
        return Table("cases", "Cases", ("id", "patient", "label", "probability", "called_positive"), rows)

    def _reliability(self) -> calibration.Reliability:
        return calibration.reliability(self.label, self.probability)

    def _reliability_table(self) -> Table:
        curve = self._reliability()
        columns = (curve.low, curve.high, curve.count, curve.probability, curve.positive)
        rows = [tuple(rounded(float(value)) for value in row) for row in zip(*columns, strict=True)]
        names = ("from", "to", "cases", "mean_probability", "share_positive")
        return Table("reliability", "Reliability", names, rows)

    def _pictures(self, metrics: dict[str, Metric]) -> list[Picture]:
        pictures = [
            Picture(
                "reliability",
                "Reliability",
                "Share of positive cases against mean predicted probability, in bins.",
                lambda: calibration_figure(self._reliability(), metrics["ece"].value),
            )
        ]
        if not 0 < self.label.sum() < len(self.label):
            return pictures
        counts = roc.counts_by_score(self.label, self.probability)
        point = confusion(self.label, self.probability, self.threshold)
        true = share(point.true_positive, point.true_positive + point.false_negative)
        false = share(point.false_positive, point.false_positive + point.true_negative)
        return [
            Picture(
                "roc",
                "ROC",
                "Sensitivity against 1 - specificity; the dot is the threshold.",
                lambda: curve_figure(
                    *roc.roc_curve(counts),
                    "1 - specificity",
                    "sensitivity",
                    f"area {metrics['roc_auc'].value:.3f}",
                    (false, true),
                    chance=((0, 1), (0, 1)),
                ),
            ),
            Picture(
                "precision_recall",
                "Precision and recall",
                "Precision against recall; the dot is the threshold.",
                lambda: curve_figure(
                    *roc.pr_curve(counts),
                    "recall",
                    "precision",
                    f"average precision {metrics['average_precision'].value:.3f}",
                    (true, metrics["precision"].value),
                    chance=((0, 1), (self.label.mean(), self.label.mean())),
                ),
            ),
            *pictures,
        ]


def _figures(
    label: NDArray[np.bool_], probability: NDArray[np.float64], threshold: float, weight: NDArray[Any] | None
) -> dict[str, float]:
    """Every figure, with each case counted `weight` times; NaN where it is not defined."""
    table = confusion(label, probability, threshold, weight)
    counts = roc.counts_by_score(label, probability, weight)
    return {
        **{name: share(*pair) for name, pair in table.proportions().items()},
        "f1": table.f1(),
        "roc_auc": roc.roc_auc(counts),
        "average_precision": roc.average_precision(counts),
        "brier": calibration.brier(label, probability, weight),
        "ece": calibration.reliability(label, probability, weight).expected_error(),
    }
