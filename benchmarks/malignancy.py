"""Does what medimg measures of a nodule tell a reader's suspicion of malignancy better than its size alone?

    python benchmarks/malignancy.py --data ../shared/data/lung

LIDC-IDRI's readers rated each nodule from 1 (highly unlikely to be malignant) to 5 (highly suspicious). A nodule rated
above 3 is told from one rated below; those rated 3, which says nothing either way, are left out. One reader's rating,
no pathology: a suspicion, not a diagnosis. A crop is a patient, so folds of crops are folds of patients.

Every model is a logistic regression, its penalty chosen inside each training fold by inner folds. The measurements are
those of the strongest blob in the nodule (`medimg.classical.shape`), as a detector would find it. The logit of a case
is the mean over REPEATS ways of drawing FOLDS folds, always by a model that has not seen the case; the area under the
ROC curve is of these, differences are over the same REPLICATES draws of patients.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medimg import geometry
from medimg.classical.shape import FEATURES
from medimg.datalist.csv_file import read_columns
from medimg.evaluate.bootstrap import draw_counts, percentile_interval, two_sided_p
from medimg.train.nodule_data import CROPS, load_crops
from medimg.train.shape import NODULE, describe_case
from medimg.volumes import read_volume

SEED, REPEATS, FOLDS, INNER_FOLDS, REPLICATES = 20261125, 10, 5, 4, 2000

PENALTIES = {"logisticregression__C": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0]}

FEW = ("log_diameter", "core_hu", "core_sd_hu", "elongation", "roundness", "edge_sharpness", "attached_fraction")
"""Size, density and outline: what radiologists name first. Chosen before anything was measured."""

UNSURE = 3

Values = NDArray[np.float64]


def main() -> None:
    """Measure, cross-validate, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/lung"))
    measured, reader_mm, rating = measurements(parser.parse_args().data)
    decided = rating != UNSURE
    measured, reader_mm, suspect = measured[decided], reader_mm[decided], rating[decided] > UNSURE
    print(f"{suspect.sum()} nodules rated above {UNSURE}, {(~suspect).sum()} below; {(~decided).sum()} rated {UNSURE}")
    few = [FEATURES.index(name) for name in FEW]
    models = {
        "size (medimg's diameter)": measured[:, :1],
        "size (the reader's diameter)": np.log(reader_mm)[:, None],
        f"size, density, outline ({len(FEW)})": measured[:, few],
        f"all measurements ({len(FEATURES)})": measured,
    }
    logits = {name: out_of_fold(features, suspect) for name, features in models.items()}
    compare(logits, suspect)


def measurements(data: Path) -> tuple[Values, Values, Values]:
    """(N, F) of each nodule that holds a blob, the reader's diameter (N,) in mm and rating (N,)."""
    table = read_columns(data / CROPS / "labels.csv", ("case", "malignancy"), ())
    rating = dict(zip(table.text("case"), table.numbers("malignancy").tolist(), strict=True))
    rows = []
    for crop in load_crops(data):
        volume = read_volume(data / CROPS / f"{crop.case}_ct.nii.gz")
        centre = geometry.to_world(volume.canonical().affine_ras, crop.centre)
        case = describe_case(crop.case, volume, [(centre, crop.diameter_mm)], [], 1.0)
        inside = np.flatnonzero(case.label == NODULE)
        if len(inside):
            rows.append((case.features[inside[0]], crop.diameter_mm, rating[crop.case]))
        else:
            print(f"{crop.case}: no blob in its nodule, left out")
    features, diameter, ratings = zip(*rows, strict=True)
    return np.array(features), np.array(diameter), np.array(ratings)


def out_of_fold(features: Values, suspect: NDArray[np.bool_]) -> Values:
    """(N,) mean logit of each case by models that have not seen it."""
    total = np.zeros(len(suspect))
    for repeat in range(REPEATS):
        for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED + repeat).split(features, suspect):
            model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
            inner = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=SEED)
            search = GridSearchCV(model, PENALTIES, scoring="neg_log_loss", cv=inner)
            total[test] += search.fit(features[train], suspect[train]).decision_function(features[test])
    return total / REPEATS


def compare(logits: dict[str, Values], suspect: NDArray[np.bool_]) -> None:
    """Print each model's area with its interval, and its difference from size alone."""
    draws = [np.repeat(np.arange(len(suspect)), row) for row in draw_counts(len(suspect), REPLICATES, SEED)]
    draws = [draw for draw in draws if 0 < suspect[draw].sum() < len(draw)]
    areas = {
        name: (roc_auc_score(suspect, value), np.array([roc_auc_score(suspect[d], value[d]) for d in draws]))
        for name, value in logits.items()
    }
    print("\n| model | ROC AUC (95 %) | above size alone (95 %) | p |\n|---|---|---|---|")
    base, base_draws = next(iter(areas.values()))
    for name, (area, drawn) in areas.items():
        gain = drawn - base_draws
        p = "" if drawn is base_draws else f"{two_sided_p(gain):.2f}"
        difference = "" if drawn is base_draws else f"{area - base:+.3f} {_between(gain)}"
        print(f"| {name} | {area:.3f} {_between(drawn)} | {difference} | {p} |")


def _between(values: Values) -> str:
    low, high = percentile_interval(values) or (float("nan"), float("nan"))
    return f"({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
