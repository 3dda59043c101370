"""`medimg pacs` and `medimg batch --from-pacs` against a real Orthanc: there and back, once each."""

from __future__ import annotations

import json

import pydicom
import pytest
from pacs_peers import chest, pixels, quick_pipeline

BY_ALL = pytest.mark.parametrize("name", ["web", "get", "move"])


@pytest.fixture
def study(tmp_path):
    return chest(tmp_path / "study", seed=11)


@BY_ALL
def test_a_study_is_sent_found_fetched_searched_and_its_results_come_back_equal(
    orthanc, study, tmp_path, medimg_at, name
):
    sent = medimg_at(orthanc, "pacs", "send", study[0].parent, "--server", name)
    assert (sent.exit_code, sent.stdout) == (0, f"24 objects sent to {name}\n")
    assert "ORTHANC" in medimg_at(orthanc, "pacs", "echo", "--server", name).stdout or name == "web"
    found = json.loads(medimg_at(orthanc, "pacs", "find", "patient=P11", "--server", name, "--json").stdout)
    (series,) = found["series"]
    assert (series["modality"], series["instances"], series["patient_id"]) == ("CT", 24, "P11")
    fetched = medimg_at(
        orthanc, "pacs", "get", f"study={series['study_uid']}", "--server", name, "-o", tmp_path / "got"
    )
    assert fetched.exit_code == 0, fetched.output
    assert pixels((tmp_path / "got").rglob("*.dcm")) == pixels(study)
    inferred = medimg_at(
        *(orthanc, "infer", "--volume", tmp_path / "got", "--pipeline", quick_pipeline(tmp_path / "quick")),
        *("-o", tmp_path / "out"),
    )
    assert inferred.exit_code == 0, inferred.output
    results = sorted((tmp_path / "out").glob("*.dcm"))
    assert [path.name for path in results] == ["report.dcm", "segmentation.dcm"]
    assert medimg_at(orthanc, "pacs", "send", tmp_path / "out", "--server", name).exit_code == 0
    assert orthanc.modalities() == ["CT", "SEG", "SR"]
    for modality, result in zip(("SR", "SEG"), results, strict=True):
        where = tmp_path / modality
        asked = f"study={series['study_uid']},modality={modality}"
        assert medimg_at(orthanc, "pacs", "get", asked, "--server", name, "-o", where).exit_code == 0
        (back,) = where.rglob("*.dcm")
        assert pydicom.dcmread(back) == pydicom.dcmread(result)


def test_what_was_fetched_whole_is_not_fetched_again_and_what_was_added_since_is(orthanc, study, tmp_path, medimg_at):
    get = ("pacs", "get", "patient=P11", "--server", "web", "-o", tmp_path / "got")
    medimg_at(orthanc, "pacs", "send", *study[:20], "--server", "web")
    assert "1 series match, 0 of them were there already\n20 instances" in medimg_at(orthanc, *get).stdout
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "got").rglob("*.dcm")}
    assert "1 series match, 1 of them were there already\n0 instances" in medimg_at(orthanc, *get).stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "got").rglob("*.dcm")} == times
    medimg_at(orthanc, "pacs", "send", *study[20:], "--server", "web")
    assert "24 instances" in medimg_at(orthanc, *get).stdout
    assert pixels((tmp_path / "got").rglob("*.dcm")) == pixels(study)


def test_a_query_becomes_a_batch_whose_results_lie_at_the_pacs_and_again_nothing_is_done(
    orthanc, tmp_path, medimg_at, start_orthanc, tmp_path_factory
):
    for seed in (21, 22):
        medimg_at(orthanc, "pacs", "send", chest(tmp_path / str(seed), seed)[0].parent, "--server", "get")
    # the shipped pipeline
    asked = ("batch", "--from-pacs", "modality=CT", "--server", "get", "--send-to", "web", "-o", tmp_path / "out")
    asked = (*asked, "--pipeline", "lung_nodule_classical", "--workers", 1)
    planned = medimg_at(orthanc, *asked, "--dry-run")
    assert (planned.exit_code, planned.stdout.count("\tCT\t")) == (0, 2)
    assert not (tmp_path / "out").exists()
    first = medimg_at(orthanc, *asked)
    assert first.exit_code == 0, first.output
    assert "2 done" in first.stdout
    assert orthanc.modalities() == ["CT", "CT", "SEG", "SEG", "SR", "SR"]
    there = orthanc.instances()
    log = tmp_path / "log"
    second = medimg_at(orthanc, *asked, "--log-file", log)
    assert second.exit_code == 0, second.output
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    (fetched,) = (event for event in events if event["event"] == "fetched")
    assert (fetched["series"], fetched["there"], fetched["instances"]) == (2, 2, 0)
    assert not [event for event in events if event["event"] in {"case", "delivered"}]
    assert sorted(orthanc.instances()) == sorted(there)


def test_results_that_could_not_be_sent_are_sent_by_the_next_call_without_another_search(
    orthanc, study, tmp_path, medimg_at
):
    batch = ("batch", study[0].parent, "--pipeline", quick_pipeline(tmp_path / "quick"), "-o", tmp_path / "out")
    failed = medimg_at(orthanc, *batch, "--workers", 1, "--send-to", "gone")
    assert failed.exit_code == 3
    assert "gone (GONE at" in failed.stderr
    assert "results are kept and sent later" in failed.stderr
    again = medimg_at(orthanc, *batch, "--workers", 1, "--send-to", "get", "--json")
    assert again.exit_code == 0, again.output
    events = [json.loads(line)["event"] for line in again.stdout.splitlines()]
    assert events.count("delivered") == 1
    assert "case" not in events
    assert orthanc.modalities() == ["SEG", "SR"]


def test_of_a_folder_only_its_dicom_objects_are_sent_and_damaged_ones_are_named(orthanc, study, tmp_path, medimg_at):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "report.json").write_text("{}", encoding="utf-8")
    (mixed / "good.dcm").write_bytes(study[0].read_bytes())
    (mixed / "bad.dcm").write_bytes(study[1].read_bytes()[:200])
    result = medimg_at(orthanc, "pacs", "send", mixed, "--server", "web")
    assert (result.exit_code, result.stdout) == (3, "1 objects sent to web\n")
    assert "1 files are no DICOM objects" in result.stderr
    assert "bad.dcm: says not what it is" in result.stderr
    (mixed / "good.dcm").unlink()
    (mixed / "bad.dcm").unlink()
    nothing = medimg_at(orthanc, "pacs", "send", mixed, "--server", "web")
    assert nothing.exit_code == 2
    assert "no DICOM object is there to be sent" in nothing.stderr


def test_hostile_text_of_a_patient_reaches_no_terminal(orthanc, study, tmp_path, medimg_at):
    hostile = "\x1b[2J\x1b]0;owned\x07"
    dataset = pydicom.dcmread(study[0])
    with pydicom.config.disable_value_validation():
        dataset.PatientID, dataset.SeriesDescription = f"P{hostile}", f"D{hostile}"
        dataset.save_as(tmp_path / "hostile.dcm")
    assert medimg_at(orthanc, "pacs", "send", tmp_path / "hostile.dcm", "--server", "get").exit_code == 0
    for name in ("web", "get"):
        found = medimg_at(orthanc, "pacs", "find", "modality=CT", "--server", name)
        assert found.exit_code == 0, found.output
        assert "owned" in found.stdout
        assert not {"\x1b", "\x07"} & set(found.output)
