"""What the shipped bundles say of their training: every case, both stages, and nothing of the machine."""

from __future__ import annotations

import json

import pytest

from medimg.pipeline import SHAPE, load_pipeline
from medimg.train.record import TRAINING_RECORD, read_seen

SHIPPED = ["brain_tumour", "lung_nodule", "lung_nodule_classical"]


def record(name):
    return (load_pipeline(name).bundle / TRAINING_RECORD).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "count", "some"),
    [
        ("brain_tumour", 27, {"BraTS2021_00006", "Brats18_TCIA10_639_1"}),
        ("lung_nodule", 98, {"LIDC-IDRI-0004", "LIDC-IDRI-0235", "COVID-CT-MD_normal002", "LIDC-IDRI-0002"}),
        ("lung_nodule_classical", 98, {"LIDC-IDRI-0004", "COVID-CT-MD_normal002"}),
    ],
)
def test_shipped_weights_name_the_cases_they_have_seen(name, count, some):
    seen = set(read_seen(load_pipeline(name).bundle).training)
    assert len(seen) == count
    assert some <= seen
    assert "LIDC-IDRI-0001" not in seen


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_record_holds_no_path_of_the_machine_it_was_made_on(name):
    assert "/work" not in record(name)
    assert "/home" not in record(name)


def test_each_fold_of_the_shipped_networks_validated_with_what_it_was_not_trained_on():
    for name in ("brain_tumour", "lung_nodule"):
        members = json.loads(record(name))["members"]
        scored = [case for member in members for case in member["cases"]["validation"]]
        assert len(scored) == len(set(scored))
        for member in members:
            assert not set(member["cases"]["validation"]) & set(member["cases"]["training"])


def test_every_run_of_each_fold_of_brain_tumour_is_recorded():
    for third in json.loads(record("brain_tumour"))["members"]:
        second = third["start"]
        first = second["start"]
        assert (first["steps"], second["steps"], third["steps"]) == (1800, 1600, 1600)
        for before, after in ((first, second), (second, third)):
            assert before["weights_sha256"] == after["start_sha256"]
            assert before["cases"] == after["cases"]


def test_the_second_opinion_of_lung_nodule_is_the_classical_detector():
    ours, theirs = (load_pipeline(name).bundle / SHAPE for name in ("lung_nodule", "lung_nodule_classical"))
    assert ours.read_bytes() == theirs.read_bytes()
