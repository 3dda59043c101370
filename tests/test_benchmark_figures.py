"""The benchmarks behind the cards' classification figures: their volumes are clear, their models have not seen them."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import toy
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from medimg import files
from medimg.train.nodule_data import Crop, Scan
from medimg.train.nodule_split import patients_of_fold


@pytest.fixture
def load(repository: Path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    return importlib.import_module


@pytest.fixture
def figures(load, monkeypatch):
    monkeypatch.setattr(load("nodule_volumes"), "PACKINGS", 20)
    return load("nodule_or_not")


def test_nodule_free_cubes_lie_in_the_scan_apart_from_each_other_and_clear_of_nodules_and_marks(figures):
    hu = np.random.default_rng(0).integers(-900, -800, (170, 120, 190)).astype(np.int16)
    lung = np.zeros(hu.shape, bool)
    lung[10:160, 10:110, 10:180] = True
    nodules, marks = np.array([[60.0, 60, 60, 20]]), np.array([[120.0, 60, 150, 6]])
    scan = Scan("S", hu, np.eye(4), lung, nodules, marks)
    cubes = figures.nodule_free(scan)
    centres = np.array([[int(n) for n in cube.id.split("_")[1:]] for cube in cubes])
    assert len(cubes) >= 4
    assert all(
        np.array_equal(c.hu, hu[tuple(slice(n - 25, n + 26) for n in m)]) for c, m in zip(cubes, centres, strict=True)
    )
    for number, centre in enumerate(centres):
        assert (np.abs(centres[:number] - centre) >= 51).any(axis=1).all()
        for x, y, z, radius in ((60, 60, 60, 10), (120, 60, 150, 6)):
            assert np.abs(centre - (x, y, z)).max() > 25 + radius
    border = 180 - 0.3333 * 170
    assert [cube.upper for cube in cubes] == [bool(z - 25 >= int(border)) for z in centres[:, 2]]


def test_clear_cubes_hold_nothing_of_the_nodule_and_have_lung_in_their_middle(figures):
    hu = np.full((51, 51, 51), -850, np.int16)
    hu[34:] = 40
    mask = np.zeros(hu.shape, bool)
    mask[20:31, 20:31, 10:31] = True
    crop = Crop("C", hu, mask, np.array([25.0, 25, 25]), 12.0, 5)
    corners = set(figures.clear_cubes(figures.Held("C", "C", hu, crop)))
    # two of three layers are lung, and the nodule reaches into two cubes of the middle row
    assert corners == {(i, j, k) for i in (0, 17) for j in (0, 17, 34) for k in (0, 17, 34)} - {
        (17, 17, 0),
        (17, 17, 17),
    }


def test_a_volumes_score_is_its_best_finding_within_it(figures):
    marks = figures.Marks(np.array([[5.0, 5, 5], [25, 25, 25], [33, 33, 33.9]]), np.array([3.0, -1.0, 0.5]))
    assert marks.best() == 3.0
    assert marks.best((17, 17, 17), 17) == 0.5
    assert marks.best((34, 34, 34), 17) == pytest.approx(logit(figures.LOWEST))


def test_a_fold_is_scaled_by_what_the_other_folds_say(figures):
    random = np.random.default_rng(1)
    rows = []
    for number in range(90):
        label = number % 2
        # the third fold lies: its own rows must not change its own line
        score = random.normal(2 * label, 1) if number % 3 < 2 else random.normal(-5 * label, 1)
        rows.append(figures.Row(str(number), str(number), label, number % 3, score))
    probability = figures.cross_scaled(rows)
    last = np.array([row.fold == 2 for row in rows])
    scores = np.array([row.score for row in rows])
    order = np.argsort(scores[last])
    assert (np.diff(probability[last][order]) >= 0).all()
    changed = [figures.Row(r.id, r.patient, r.label, r.fold, r.score) for r in rows if r.fold < 2]
    changed += [figures.Row(r.id, r.patient, 1 - r.label, r.fold, r.score) for r in rows if r.fold == 2]
    assert figures.cross_scaled(changed)[-30:] == pytest.approx(probability[last])


def test_voxels_are_stored_alike_whatever_they_came_from(figures):
    values = np.array([-3000, -1200, -1197, -3, 5, 399, 2000], np.int16)
    assert figures.stored(values).tolist() == [-1200, -1200, -1200, 0, 8, 400, 400]


def test_logits_out_of_fold_find_what_is_there_and_nothing_in_noise(load, monkeypatch):
    module = load("malignancy")
    monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(module, "PENALTIES", {"logisticregression__C": [0.01, 1.0]})
    random = np.random.default_rng(2)
    suspect = np.arange(80) % 2 == 0
    telling = random.normal(suspect[:, None] * 2.5, 1, (80, 2))
    noise = random.normal(0, 1, (80, 12))
    assert roc_auc_score(suspect, module.out_of_fold(telling, suspect)) > 0.9
    assert roc_auc_score(suspect, module.out_of_fold(noise, suspect)) < 0.7


def test_a_network_scores_the_crops_of_its_fold_and_the_runs_share_out_what_none_has_seen(figures, tmp_path):
    def held(name, patient, nodule, upper=False):
        hu = np.random.default_rng(len(name)).normal(-850, 12, (51, 51, 51)).astype(np.int16)
        mask = toy.ball(hu.shape, np.eye(4), (25, 25, 25), 5)
        hu[mask & nodule] = 40
        hu[toy.ball(hu.shape, np.eye(4), (42, 42, 42), 3)] = -300  # something that is no nodule, to learn from
        crop = Crop(patient, hu, mask, np.array([25.0, 25, 25]), 10.0, 5) if nodule else None
        return figures.Held(name, patient, hu, crop, upper)

    crops = [held(f"P{number}", f"P{number}", True) for number in range(6)]
    unseen = [held("H", "H", True), held("H_1", "H", False), held("V_1", "V", False, upper=True)]
    trained_on = held("V_2", "V", False)
    scans = [
        Scan(name, trained_on.hu, np.eye(4), trained_on.hu < 0, np.empty((0, 4)), np.empty((0, 4))) for name in "VH"
    ]
    runs = []
    for number in range(2):
        runs.append(toy.detector(tmp_path / f"run-{number}"))
        task = {"holdout": ["H"], "fold": f"{number}/2", "validation_scan": "V"}
        files.write_json(runs[-1] / "bundle" / "docs" / "training.json", {"task": task, "seed": 5})
    scored = list(figures.by_networks(figures.read_runs(runs), [*crops, *unseen, trained_on], scans, 1))
    assert sorted(h.id for h, _, _ in scored) == sorted(h.id for h in [*crops, *unseen])
    for number in range(2):
        expected = patients_of_fold([h.patient for h in crops], f"{number}/2", 5)
        assert {h.patient for h, fold, _ in scored if fold == number and h in crops} == expected
    for h, _, marks in scored:
        assert (marks.best((17, 17, 17), 17) > marks.best((0, 0, 0), 17) + 1) == (h.crop is not None)


def test_what_is_written_is_scored_with_intervals_by_patient(figures, tmp_path):
    random = np.random.default_rng(4)
    rows = [figures.Row(f"{n}", f"P{n // 2}", n % 2, n % 3, float(random.normal(3 * (n % 2), 1.0))) for n in range(60)]
    evaluation = figures.evaluated(rows, tmp_path / "set")
    assert (evaluation.counts["positive"], evaluation.counts["negative"], evaluation.counts["groups"]) == (30, 30, 30)
    assert evaluation.metrics["roc_auc"].value > 0.9
    assert (tmp_path / "set" / "scores" / "metrics.json").is_file()
    lines = figures.table({"volumes": evaluation, "cubes": evaluation}).splitlines()
    assert lines[0] == "| | volumes | cubes |"
    assert any(line.startswith("| accuracy | 0.") and line.count("(") == 2 for line in lines)
