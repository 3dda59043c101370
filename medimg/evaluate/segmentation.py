"""Segmentation: the figures of all cases summed up, region by region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.evaluate import lesionwise, surface
from medimg.evaluate.evaluation import Evaluation, Failure, Metric, Picture, Table, rounded
from medimg.evaluate.plots import bland_altman_figure, limits_of_agreement, spread_figure
from medimg.evaluate.regions import Regions
from medimg.evaluate.segmentation_case import FIGURES, RegionFigures

SUMMED_UP = {
    "dice": 1,
    "iou": 1,
    "hd95_mm": -1,
    "surface_dice": 1,
    "sensitivity": 1,
    "precision": 1,
    "volume_error_ml": 0,
    "volume_error_percent": 0,
    "lesionwise_dice": 1,
    "lesionwise_hd95_mm": -1,
}
"""Figure -> better: the mean over cases is a metric of the evaluation."""


@dataclass(frozen=True)
class SegmentationScores:
    """Case -> region -> figures, and the rules they were made by."""

    by_case: dict[str, dict[str, RegionFigures]]
    regions: Regions
    tolerance_mm: float = surface.TOLERANCE_MM
    failed: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that were scored."""
        return tuple(self.by_case)

    def only(self, cases: Sequence[str]) -> SegmentationScores:
        """The same, of these cases alone."""
        wanted = set(cases)
        return replace(self, by_case={name: rows for name, rows in self.by_case.items() if name in wanted})

    def evaluate(self, counts: NDArray[np.int32]) -> Evaluation:
        """Means with intervals, one row a case and region, and the agreement of volumes."""
        metrics = {
            f"{figure}_{region}": _mean(self._column(region, figure), counts, better)
            for figure, better in SUMMED_UP.items()
            for region in self.regions.values
        }
        return Evaluation(
            task="segmentation",
            metrics=metrics,
            counts={"cases": len(self.by_case), "failed": len(self.failed), **self._lesion_counts()},
            settings=self._settings(),
            cases=self.cases,
            failed=self.failed,
            detail={"regions": self._summary(), "volume": self._agreement()},
            tables=[self._summary_table(metrics), self._case_table()],
            pictures=self._pictures(),
            warnings=list(self.warnings),
        )

    def _column(self, region: str, figure: str) -> NDArray[np.float64]:
        return np.array([rows[region][figure] for rows in self.by_case.values()], np.float64)

    def _settings(self) -> dict[str, Any]:
        return {
            "regions": {name: list(values) for name, values in self.regions.values.items()},
            "surface_tolerance_mm": self.tolerance_mm,
            "empty_masks": "both empty: Dice 1, HD95 0; one empty: Dice 0, HD95 374 mm",
            "empty_hd95_mm": surface.EMPTY_HD95_MM,
            "lesion_dilations": lesionwise.DILATIONS,
            "lesion_scored_above_mm3": lesionwise.MIN_LESION_MM3,
        }

    def _lesion_counts(self) -> dict[str, int]:
        names = ("lesions_found", "lesions_missed", "lesions_false")
        return {f"{n}_{region}": int(self._column(region, n).sum()) for region in self.regions.values for n in names}

    def _summary(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Region -> figure -> mean, standard deviation, median, least and most."""
        return {
            region: {figure: _spread(self._column(region, figure)) for figure in FIGURES}
            for region in self.regions.values
        }

    def _summary_table(self, metrics: dict[str, Metric]) -> Table:
        rows = []
        for region in self.regions.values:
            for figure in SUMMED_UP:
                values = _spread(self._column(region, figure))
                interval = metrics[f"{figure}_{region}"].interval or (None, None)
                rows.append((region, figure, values["mean"], *map(rounded, interval), values["sd"], values["median"]))
        return Table("summary", "Regions", ("region", "figure", "mean", "ci95_low", "ci95_high", "sd", "median"), rows)

    def _case_table(self) -> Table:
        rows = [
            (case, region, *(rounded(figures[name]) for name in FIGURES))
            for case, by_region in self.by_case.items()
            for region, figures in by_region.items()
        ]
        return Table("cases", "Cases", ("case", "region", *FIGURES), rows)

    def _agreement(self) -> dict[str, Any]:
        found = {}
        for region in self.regions.values:
            error = self._column(region, "volume_error_ml")
            mean, low, high = map(rounded, limits_of_agreement(error))
            found[region] = {"mean_difference_ml": mean, "limits_of_agreement_ml": [low, high]}
        return found

    def _pictures(self) -> list[Picture]:
        def columns(figure: str) -> dict[str, NDArray[np.float64]]:
            return {region: self._column(region, figure) for region in self.regions.values}

        return [
            Picture(
                "dice",
                "Dice",
                "Dice of every case, one column a region, with the median.",
                lambda: spread_figure(columns("dice"), "Dice"),
            ),
            Picture(
                "bland_altman_volume",
                "Volumes",
                "Difference of predicted and true volume against their mean, with limits of agreement.",
                lambda: bland_altman_figure(columns("truth_ml"), columns("prediction_ml"), "ml"),
            ),
        ]


def _mean(values: NDArray[np.float64], counts: NDArray[np.int32], better: int) -> Metric:
    """Mean of the values (N,) that are numbers, and of the replicates drawn `counts` (B, N)."""
    known = np.isfinite(values)
    drawn = counts * known
    total = drawn.sum(axis=1)
    with np.errstate(invalid="ignore"):
        replicates = np.where(total > 0, drawn @ np.where(known, values, 0.0) / np.maximum(total, 1), math.nan)
    mean = float(values[known].mean()) if known.any() else math.nan
    deviation = float(values[known].std(ddof=1)) if known.sum() > 1 else None
    return Metric.of(mean, replicates, better=better, sd=deviation)


def _spread(values: NDArray[np.float64]) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    if not len(known):
        return dict.fromkeys(("mean", "sd", "median", "min", "max"))
    deviation = float(known.std(ddof=1)) if len(known) > 1 else None
    return {
        "mean": rounded(float(known.mean())),
        "sd": rounded(deviation),
        "median": rounded(float(np.median(known))),
        "min": rounded(float(known.min())),
        "max": rounded(float(known.max())),
    }
