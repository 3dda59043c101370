"""What a trained bundle says of itself: nothing of the weights it does not hold."""

from __future__ import annotations

import json

import pytest
import toy
import yaml

from medimg.pipeline import load_pipeline
from medimg.train.card import metadata, model_card
from medimg.train.cases import data_facts
from medimg.train.ensemble import pack_ensemble
from medimg.train.folder import without_figures, write_folder
from medimg.train.record import record_of_weights

SHIPPED = ["brain_tumour", "lung_nodule", "lung_nodule_classical"]

RUN = {
    "config_sha256": "c" * 64,
    "seed": 7,
    "start_sha256": "5" * 64,
    "steps": 300,
    "task": {"_target_": "x", "fold": "1/3"},
    "data": {"name": "hospital.json", "licence": "CC BY 4.0", "case_licences": {"P2": "CC BY-NC 4.0"}},
    "cases": {"training": ["P1", "P2"], "validation": ["P3"]},
    "hours": 0.25,
    "validation": {"step": 300, "val_score": 0.5, "val_WT": 0.75},
    "medimg": "0.1.0",
}


def written(name, folder, record=RUN):
    pipeline = load_pipeline(name)
    bundle = write_folder(pipeline, folder, record, lambda path: path.write_bytes(b"weights"))
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    return pipeline, card, json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SHIPPED)
def test_nothing_that_was_measured_on_the_shipped_weights_is_said_of_others(tmp_path, name):
    pipeline, card, facts = written(name, tmp_path)
    assert (tmp_path / "bundle" / "LICENSE").is_file()
    shipped = (pipeline.bundle / "docs" / "README.md").read_text(encoding="utf-8")
    figures = {line for line in shipped.splitlines() if any(mark in line for mark in ("Dice", " of 9", "ROC", "ml"))}
    assert not figures & set(card.splitlines())
    document = yaml.safe_load((tmp_path / "pipeline.yaml").read_text(encoding="utf-8"))
    assert document["version"] == facts["version"] == "0+9a129038"  # the beginning of the weights' SHA-256
    assert list(facts["changelog"]) == ["0+9a129038"]
    assert facts["eval_metrics"] == {"validation_score": 0.5, "validation_WT": 0.75}
    assert "references" not in facts
    told = json.dumps([document["stages"], facts])
    assert not any(claim in told for claim in ("Dice 0.", "0.84", "two hours", "1.7 hours", "cross_validation"))


def test_the_card_says_data_licences_digest_seed_hours_steps_metrics_and_limits(tmp_path):
    _, card, _ = written("brain_tumour", tmp_path)
    for words in (
        "# brain_tumour 0+9a129038",
        "thresholds and calibration are those of\nbrain_tumour 0.",
        "**For research use only. Not a medical device.**",
        "Cases of hospital.json; licence: CC BY 4.0. P2: CC BY-NC 4.0.",
        "| training | 2 | P1, P2 |",
        "| validation | 1 | P3 |",
        f"| configuration, SHA-256 | {'c' * 64} |",
        f"| began with the weights of SHA-256 | {'5' * 64} |",
        "| seed | 7 |",
        "| fold | 1/3 |",
        "| steps | 300 |",
        "| hours | 0.25 |",
        "Made with medimg 0.1.0",
        "| validation_WT | 0.75 |",
        "Nothing was measured beyond this validation",
    ):
        assert words in card, words


def test_an_ensembles_card_has_its_members_and_the_spread_of_their_validation():
    pipeline = load_pipeline("brain_tumour")
    other = {**RUN, "cases": {"training": ["P3", "P2"], "validation": ["P1"]}, "validation": {"val_WT": 0.85}}
    record = {"members": [{"run": "a", **RUN}, {"run": "b", **other}], "medimg": "0.1.0"}
    card = model_card(pipeline, "0+1", record)
    assert "| validation_WT | 0.8 (0.071) | 0.75, 0.85 |" in card
    assert "| training (b) | 2 | P3, P2 |" in card
    assert "| | a | b |" in card
    assert "The networks together have not been measured" in card
    assert metadata(pipeline, {}, "0+1", record)["eval_metrics"]["validation_WT"] == pytest.approx(0.8)


def test_a_run_without_validation_or_cases_says_so():
    card = model_card(load_pipeline("lung_nodule_classical"), "0+1", {"members": [{"run": "a"}, {"run": "b"}]})
    assert "Nothing: no case was kept for validation" in card
    assert "| not recorded (a) | | |" in card
    assert "Where the cases are from was not recorded." in card


def test_an_ensemble_is_packed_with_a_card_of_its_own(tmp_path):
    runs = [toy.detector(tmp_path / name) for name in ("a", "b")]
    for run in runs:
        (run / "bundle" / "docs").mkdir()
        (run / "bundle" / "docs" / "training.json").write_text(json.dumps({**RUN, "made_from": "toy_detector 3"}))
        (run / "bundle" / "docs" / "README.md").write_text("Dice 0.99")
    bundle = pack_ensemble(runs, tmp_path / "out")
    card = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    assert "0.99" not in card
    assert "The mean of 2 networks" in card
    assert "calibration are those of\ntoy_detector 3, whose own figures" in card
    assert load_pipeline(str(tmp_path / "out")).version.startswith("0+")


def test_sentences_of_what_is_lost_keep_their_words_and_lose_their_figures():
    lost = {"t1c": "whole tumour only, Dice 0.85 instead of 0.84", "t2w": "Dice 0.76", "t1n": "ET is drawn; Dice 0.7"}
    stages = [{"select": {}}, {"infer": {"without": lost, "threshold": 0.5}}, {"report": None}]
    kept = without_figures({"stages": stages})["stages"]
    assert kept[1]["infer"]["without"] == {"t1c": "whole tumour only", "t1n": "ET is drawn"}
    assert kept[2] == {"report": None}


def test_what_a_datalist_says_of_licences_is_taken_over_and_no_path(tmp_path):
    training = [{"id": "a", "image": "a.nii"}, {"id": "b", "image": "b.nii", "license": "CC0"}]
    (tmp_path / "d.json").write_text(json.dumps({"licence": "CC BY 4.0", "training": training}))
    assert data_facts(tmp_path / "d.json") == {"name": "d.json", "licence": "CC BY 4.0", "case_licences": {"b": "CC0"}}
    assert data_facts(tmp_path) == {"name": tmp_path.name, "licence": None}


def test_the_record_of_first_weights_is_found_beside_them(tmp_path):
    (tmp_path / "run" / "bundle" / "docs").mkdir(parents=True)
    (tmp_path / "run" / "bundle" / "models").mkdir()
    (tmp_path / "run" / "bundle" / "docs" / "training.json").write_text(json.dumps(RUN))
    for weights in ("run/last.pt", "run/bundle/models/model.pt"):
        assert record_of_weights(tmp_path / weights) == RUN
    assert record_of_weights(tmp_path / "loose.pt") is None
