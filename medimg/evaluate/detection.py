"""Detection: marks against nodules, in mm (LUNA16's FROC) and, where both have a size, as boxes (COCO)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluate import coco, froc
from medimg.evaluate.bootstrap import percentile_interval, wilson_interval
from medimg.evaluate.evaluation import Cell, Evaluation, Failure, Metric, Picture, Table, rounded
from medimg.evaluate.froc import RATES, Points
from medimg.evaluate.plots import bland_altman_figure, froc_figure, limits_of_agreement

SIZE_BANDS_MM = ((0.0, 4.0), (4.0, 6.0), (6.0, 8.0), (8.0, 15.0), (15.0, 30.0), (30.0, np.inf))
"""Diameter from (included) to (not): the steps of the Fleischner and Lung-RADS rules; 30 mm and more is a mass."""

BOX_METRICS = ("mAP_iou_10_50", "mAR_iou_10_50", "AP_iou_10")


@dataclass(frozen=True)
class DetectionScores:
    """Everything in LPS mm. boxes (N, 6) and diameters (N,) of nodules and marks; those of marks NaN where unknown."""

    scans: tuple[str, ...]
    nodules: Points
    excluded: Points
    marks: Points
    nodule_boxes: NDArray[np.float64]
    mark_boxes: NDArray[np.float64]
    mark_diameters: NDArray[np.float64]
    failed: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[str, ...]:
        """The scans."""
        return self.scans

    def only(self, cases: Sequence[str]) -> DetectionScores:
        """The same, of these scans alone."""
        wanted = set(cases)
        keep = np.array([name in wanted for name in self.scans], bool)
        number = np.cumsum(keep) - 1

        def part(points: Points) -> tuple[Points, NDArray[np.bool_]]:
            kept = keep[points.scan]
            chosen = points.take(kept)
            return replace(chosen, scan=number[chosen.scan]), kept

        (nodules, of_nodules), (excluded, _), (marks, of_marks) = map(part, (self.nodules, self.excluded, self.marks))
        return replace(
            self,
            scans=tuple(name for name in self.scans if name in wanted),
            nodules=nodules,
            excluded=excluded,
            marks=marks,
            nodule_boxes=self.nodule_boxes[of_nodules],
            mark_boxes=self.mark_boxes[of_marks],
            mark_diameters=self.mark_diameters[of_marks],
        )

    @cached_property
    def matches(self) -> froc.Matches:
        """The marks held against the nodules."""
        return froc.match(self.nodules, self.excluded, self.marks, len(self.scans))

    @cached_property
    def curve(self) -> froc.Curve:
        """The FROC curve of all nodules."""
        return froc.curve(self.matches)

    def evaluate(self, counts: NDArray[np.int32]) -> Evaluation:
        """The FROC with its intervals, by size, the boxes' precision and recall, and one row a nodule and a scan."""
        drawn = froc.replicates(self.matches, counts, RATES)
        at = self.curve.at(RATES)
        metrics = {"cpm": Metric.of(float(at.mean()), drawn.mean(axis=1))}
        for index, rate in enumerate(RATES):
            metrics[f"sensitivity_at_{rate:g}"] = Metric.of(float(at[index]), drawn[:, index])
        warnings = list(self.warnings)
        if problem := self._boxes_unknown():
            warnings.append(problem)
        else:
            metrics |= self._box_metrics(counts)
        if not len(self.nodules):
            warnings.append("the truth holds no nodule: sensitivities are 0 by convention and say nothing")
        tables = [self._froc_table(metrics), self._size_table(), self._nodule_table(), self._scan_table()]
        return Evaluation(
            task="detection",
            metrics=metrics,
            counts=self._counts(),
            settings={
                "rules": "LUNA16",
                "hit": "squared distance < squared radius",
                "unknown_diameter_mm": froc.UNKNOWN_DIAMETER_MM,
                "max_marks_per_scan": froc.MAX_MARKS,
                "iou_thresholds": list(coco.IOU_THRESHOLDS),
            },
            cases=self.scans,
            failed=self.failed,
            detail={"froc": tables[0].records(), "by_size": tables[1].records(), "diameter": self._agreement()},
            tables=[*tables, self._curve_table()],
            pictures=self._pictures(drawn, at),
            warnings=warnings,
        )

    def _counts(self) -> dict[str, int]:
        matches = self.matches
        found = int(matches.found.sum())
        return {
            "scans": len(self.scans),
            "nodules": len(self.nodules),
            "true_positives": found,
            "false_negatives": len(self.nodules) - found,
            "false_positives": len(matches.false_score),
            "marks": len(self.marks),
            "marks_after_cap": matches.marks,
            "ignored_on_excluded": matches.ignored_excluded,
            "ignored_double": matches.ignored_double,
        }

    def _boxes_unknown(self) -> str | None:
        """Why boxes cannot be compared, or None."""
        unknown = int(np.isnan(self.mark_boxes).any(axis=1).sum())
        if unknown:
            return f"{unknown} of {len(self.marks)} marks have no diameter_mm: no box precision and recall"
        if (self.nodules.value < 0).any():
            return "some nodules have no diameter: no box precision and recall"
        return None

    def _box_metrics(self, counts: NDArray[np.int32]) -> dict[str, Metric]:
        parts = (froc.by_scan(points.scan, len(self.scans)) for points in (self.nodules, self.marks))
        scans = [
            coco.match_scan(self.nodule_boxes[nodules], self.mark_boxes[marks], self.marks.value[marks])
            for nodules, marks in zip(*parts, strict=True)
        ]
        (precision,), (recall,) = coco.average_precision(scans), coco.average_recall(scans)
        drawn = coco.average_precision(scans, counts), coco.average_recall(scans, counts)
        values = (precision.mean(), recall.mean(), precision[0])
        replicates = (drawn[0].mean(axis=1), drawn[1].mean(axis=1), drawn[0][:, 0])
        return {n: Metric.of(float(v), r) for n, v, r in zip(BOX_METRICS, values, replicates, strict=True)}

    def _froc_table(self, metrics: dict[str, Metric]) -> Table:
        rows: list[tuple[Cell, ...]] = []
        for rate in RATES:
            metric = metrics[f"sensitivity_at_{rate:g}"]
            low, high = metric.interval or (None, None)
            last = int(np.searchsorted(self.curve.rate, rate, side="right")) - 1
            score = float(self.curve.score[last])
            rows.append((rate, rounded(metric.value), rounded(low), rounded(high), rounded(score)))
        names = ("false_positives_per_scan", "sensitivity", "ci95_low", "ci95_high", "score")
        return Table("froc", "Sensitivity by false positives a scan", names, rows)

    def _size_table(self) -> Table:
        """Sensitivity of the nodules of each size, at the false positives of all."""
        rows: list[tuple[Cell, ...]] = []
        diameter = self.nodules.value
        for low, high in SIZE_BANDS_MM:
            within = (diameter >= low) & (diameter < high)
            if not within.any():
                continue
            at = froc.curve(self.matches, within).at(RATES)
            found = int((self.matches.found & within).sum())
            total = int(within.sum())
            interval = wilson_interval(found, total) or (None, None)
            ceiling = None if np.isinf(high) else high
            rows.append((low, ceiling, total, found, *map(rounded, (found / total, *interval, at.mean(), *at))))
        names = ("from_mm", "to_mm", "nodules", "found", "sensitivity", "ci95_low", "ci95_high", "cpm")
        return Table("sensitivity_by_size", "By size", (*names, *(f"at_{rate:g}" for rate in RATES)), rows)

    def _nodule_table(self) -> Table:
        rows: list[tuple[Cell, ...]] = []
        for index, mark in enumerate(self.matches.nodule_mark):
            place = (rounded(float(value)) for value in self.nodules.xyz[index])
            hit = mark != froc.NO_MARK
            score = rounded(float(self.marks.value[mark])) if hit else None
            size = rounded(float(self.mark_diameters[mark])) if hit else None
            name = self.scans[self.nodules.scan[index]]
            rows.append((name, *place, rounded(float(self.nodules.value[index])), int(hit), score, size))
        names = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm", "found", "probability", "marked_diameter_mm")
        return Table("nodules", "Nodules", names, rows)

    def _scan_table(self) -> Table:
        scans = len(self.scans)
        columns = [
            np.bincount(part, minlength=scans)
            for part in (
                self.nodules.scan,
                self.matches.nodule_scan[self.matches.found],
                self.matches.false_scan,
            )
        ]
        rows = [(name, *map(int, row)) for name, *row in zip(self.scans, *columns, strict=True)]
        return Table("cases", "Scans", ("seriesuid", "nodules", "found", "false_positives"), rows)

    def _curve_table(self) -> Table:
        columns = (self.curve.rate, self.curve.sensitivity, self.curve.score)
        rows = [tuple(rounded(float(value)) for value in row) for row in zip(*columns, strict=True)]
        return Table("froc_curve", "FROC curve", ("false_positives_per_scan", "sensitivity", "score"), rows)

    def _sizes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Diameters in truth and prediction of the nodules that were found and have both."""
        found = np.flatnonzero(self.matches.found & (self.nodules.value > 0))
        marked = self.mark_diameters[self.matches.nodule_mark[found]]
        known = np.isfinite(marked)
        return self.nodules.value[found][known], marked[known]

    def _agreement(self) -> dict[str, Any] | None:
        truth, marked = self._sizes()
        if not len(truth):
            return None
        mean, low, high = map(rounded, limits_of_agreement(marked - truth))
        return {"nodules": len(truth), "mean_difference_mm": mean, "limits_of_agreement_mm": [low, high]}

    def _pictures(self, drawn: NDArray[np.float64], at: NDArray[np.float64]) -> list[Picture]:
        intervals = [percentile_interval(column) for column in drawn.T]
        known = [interval for interval in intervals if interval is not None]
        band = None
        if len(known) == len(RATES):
            band = (np.array([low for low, _ in known]), np.array([high for _, high in known]))
        words = f"mean of the seven {at.mean():.3f}"
        pictures = [
            Picture(
                "froc",
                "FROC",
                "Sensitivity against false positives a scan, with the 95 % interval at the seven rates.",
                lambda: froc_figure(self.curve.rate, self.curve.sensitivity, RATES, at, band, words),
            )
        ]
        truth, marked = self._sizes()
        if len(truth):
            pictures.append(
                Picture(
                    "bland_altman_diameter",
                    "Diameters",
                    "Difference of marked and true diameter against their mean, with limits of agreement.",
                    lambda: bland_altman_figure({"nodules": truth}, {"nodules": marked}, "mm"),
                )
            )
        return pictures
