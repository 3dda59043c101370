"""From shape to probability: a logistic regression on features and their products, small enough to read.

Kept as JSON, so that neither scikit-learn nor a pickle is needed to use it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medimg.classical.shape import FEATURES
from medimg.errors import PipelineError

ARRAYS = ("mean", "deviation", "linear", "products")

LIMIT = 4.0
"""Features further than so many deviations from their mean are taken as that far."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ShapeClassifier:
    """logit = intercept + z . linear + z' products z, with z the standardised features.

    mean, deviation, linear: (F,); products: (F, F), upper triangle.
    """

    mean: Values
    deviation: Values
    linear: Values
    products: Values
    intercept: float

    def logit(self, features: Values) -> Values:
        """(N, F) in the order of FEATURES -> (N,)."""
        return np.asarray(self.intercept + self.evidence(features).sum(axis=1))

    def evidence(self, features: Values) -> Values:
        """(N, F): what each feature adds to the logit; a product of two counts half for each."""
        z = self.standardised(features)
        both = (self.products + self.products.T) / 2
        return np.asarray(z * self.linear + z * (z @ both))

    def standardised(self, features: Values) -> Values:
        """(N, F) in deviations from the mean, within LIMIT."""
        return np.clip((features - self.mean) / self.deviation, -LIMIT, LIMIT)

    def text(self) -> str:
        """As JSON."""
        document = {
            "features": list(FEATURES),
            **{name: np.round(getattr(self, name), 5).tolist() for name in ARRAYS},
            "intercept": round(self.intercept, 5),
        }
        return json.dumps(document) + "\n"


def read_classifier(path: Path) -> ShapeClassifier:
    """Raises PipelineError for a file that is not there, or is not of these features."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        arrays = {name: np.array(document[name], dtype=np.float64) for name in ARRAYS}
        intercept = float(document["intercept"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"cannot read the shape classifier {path}: {' '.join(str(error).split())}") from error
    count = len(FEATURES)
    shapes = {name: array.shape for name, array in arrays.items()}
    expected = {"mean": (count,), "deviation": (count,), "linear": (count,), "products": (count, count)}
    if document.get("features") != list(FEATURES) or shapes != expected:
        raise PipelineError(f"{path} is of other features than this version of medimg measures; train it again")
    return ShapeClassifier(**arrays, intercept=intercept)
