"""`medimg preprocess`: what is chosen, listed and foretold; archives, media and other volume files as inputs."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import chest_study
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import toy
from click.testing import CliRunner, Result

from medimg import volumes
from medimg.cli import cli

OBLIQUE = np.array([[-0.8, 0.1, 0.2, 10.0], [0.1, 0.9, -0.3, 5.0], [0.1, 0.2, 2.5, -3.0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    return chest_study.study(tmp_path_factory.mktemp("cli") / "study")


@pytest.fixture(scope="module")
def export(study, tmp_path_factory) -> Path:
    """The study as a zip archive in a zip archive."""
    folder = tmp_path_factory.mktemp("export")
    with zipfile.ZipFile(folder / "inner.zip", "w", zipfile.ZIP_DEFLATED) as target:
        for path in study.rglob("*"):
            target.write(path, path.relative_to(study.parent))
    with zipfile.ZipFile(folder / "export.zip", "w") as target:
        target.write(folder / "inner.zip", "patient/inner.zip")
    (folder / "inner.zip").unlink()
    return folder / "export.zip"


def run(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["preprocess", *map(str, arguments)], prog_name="medimg")
    assert result.exit_code == code, result.output
    return result


def document(result: Result) -> Any:
    return json.loads(result.stdout)


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def accounted(folder: Path) -> set[str]:
    """Every source path a run names: in sidecars, rejections, exclusions, what was not chosen and what was skipped."""
    told = manifest(folder)
    paths = {entry["path"] for entry in told["skipped"]}
    paths |= {path for entry in told["not_chosen"] for path in entry["files"]}
    for entry in told["series"]:
        paths |= {*entry["files"], *entry["unused"], *(excluded["path"] for excluded in entry["excluded"])}
        for volume in entry["volumes"]:
            sidecar = folder / volume["path"].replace(".nii.gz", ".json")
            paths |= set(json.loads(sidecar.read_text(encoding="utf-8"))["source"]["files"])
    return paths


def test_a_list_shows_every_series_with_its_verdict(study):
    rows = {entry["description"]: entry for entry in document(run(study, "--list", "--json"))["series"]}
    assert {name: entry["verdict"] for name, entry in rows.items()} == {
        "SCOUT": "localizer",
        "CHEST 5.0 SOFT": "ok",
        "CHEST 1.25 LUNG": "ok",
        "CHEST 1.25 SOFT": "ok",
        "COR MPR": "ok",
        "SAG MPR": "ok",
        "AX MIP": "ok",
        "CHEST 1.25 BONE": "ok",
        "DOSE REPORT": "secondary_capture",
    }
    thin = rows["CHEST 1.25 LUNG"]
    assert thin["patient"] == {"id": "PHANTOM-CT", "name": "Phantom^Thorax"}
    assert (thin["study_date"], thin["kernel"], thin["files"]) == ("20260102", "LUNG", 24)
    assert thin["volumes"] == [{"shape": [10, 12, 24], "spacing_mm": [0.9, 0.9, 1.25]}]
    table = run(study, "--list").stdout
    assert "PHANTOM-CT Phantom^Thorax\t20260102\tCT\tCHEST 1.25 LUNG\t10x12x24\t0.9x0.9x1.25\tLUNG\t24\tok" in table


def test_a_header_does_not_steer_the_terminal(tmp_path):
    chest_study.series(tmp_path, 2, "CHEST", slices=2, PatientName="A\x1b[31mB", PatientID="1\t2")
    (row,) = run(tmp_path, "--list").stdout.splitlines()[1:]
    assert row.startswith("1 2 A?[31mB\t20260102\tCT\tCHEST\t")


STEERING = "A\x1b]0;owned\x07\x1b[31m\u202eB"


@pytest.mark.parametrize(
    "command",
    [
        ["preprocess", "IN", "-o", "OUT"],
        ["preprocess", "IN", "--dry-run"],
        ["preprocess", "IN", "--list", "--json"],
        ["preprocess", "IN", "--dry-run", "--json"],
        ["preprocess", "IN", "-o", "OUT", "--description", "nothing"],
        ["preprocess", "IN", "-o", "OUT", "--verbose", "--description", "nothing"],
        ["infer", "--volume", "IN", "-o", "OUT"],
        ["infer", "--volume", "IN", "-o", "OUT", "--series-uid", "nothing"],
        ["select", "--volume", "IN", "-o", "OUT"],
        ["preprocess", "IN/\x1b[31mnowhere", "-o", "OUT"],
    ],
    ids=" ".join,
)
def test_no_way_out_lets_other_peoples_text_steer_the_terminal(tmp_path, command):
    text = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": STEERING}
    for number in (1, 2):
        chest_study.series(tmp_path / "in" / f"\x1b[31m{number}", number, STEERING, slices=number * 3, **text)
    (tmp_path / "in" / "\x1b[31mjunk.dcm").write_text("junk")
    places = {"IN": str(tmp_path / "in"), "OUT": str(tmp_path / "out")}
    arguments = [word.replace("IN", places["IN"]).replace("OUT", places["OUT"]) for word in command]
    result = CliRunner().invoke(cli, arguments, prog_name="medimg")
    assert result.exit_code in {0, 1, 2, 3}
    assert all(letter.isprintable() or letter in "\n\t" for letter in result.output), repr(result.output)
    if "--json" in command:
        assert {entry["description"] for entry in json.loads(result.stdout)["series"]} == {STEERING}


def test_the_manifest_keeps_the_true_text(tmp_path):
    chest_study.series(tmp_path / "in", 2, STEERING, slices=3, SpecificCharacterSet="ISO_IR 192")
    run(tmp_path / "in", "-o", tmp_path / "out")
    (entry,) = manifest(tmp_path / "out")["series"]
    assert entry["description"] == STEERING


def test_a_list_and_a_dry_run_write_nothing_and_need_no_output(study, tmp_path):
    run(study, "--list")
    run(study, "--dry-run", "-o", tmp_path / "out", code=3)
    assert list(tmp_path.iterdir()) == []
    result = run(study, code=2)
    assert "Missing option '-o'" in result.stderr
    for options in (["--list", "--dry-run"], ["--json", "-o", tmp_path / "out"]):
        run(study, *options, code=2)


def test_a_dry_run_foretells_the_manifest(study, tmp_path):
    foretold = document(run(study, "--dry-run", "--json", code=3))
    run(study, "-o", tmp_path, code=3)
    assert foretold == manifest(tmp_path)


def test_a_dry_run_says_to_be_read_only_where_pixels_decide(tmp_path):
    paths = chest_study.series(tmp_path / "in", 2, "WITH A COPY")
    dataset = chest_study.pydicom.dcmread(paths[3])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.999"
    dataset.save_as(tmp_path / "in" / "copy")
    (entry,) = document(run(tmp_path / "in", "--dry-run", "--json"))["series"]
    assert entry["status"] == "to be read"
    run(tmp_path / "in", "-o", tmp_path / "out")


def test_a_dry_run_takes_no_pixel_for_granted_and_reads_none(study, monkeypatch):
    monkeypatch.setattr("medimg.dicom.decode.PixelReader.words", lambda *_: pytest.fail("pixels were read"))
    run(study, "--dry-run", code=3)
    run(study, "--list")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--series-uid", chest_study.uid(3)], {"CHEST 1.25 LUNG"}),
        (
            ["--series-uid", chest_study.uid(3), "--series-uid", chest_study.uid(2)],
            {"CHEST 1.25 LUNG", "CHEST 5.0 SOFT"},
        ),
        (["--description", "*soft"], {"CHEST 1.25 SOFT", "CHEST 5.0 SOFT"}),
        (["--description", "chest 1.25*", "--series-uid", chest_study.uid(8)], {"CHEST 1.25 BONE"}),
        (["--modality", "ct", "--modality", "MR", "--description", "*MPR"], {"COR MPR", "SAG MPR"}),
    ],
)
def test_what_is_asked_for_is_read_and_the_rest_is_named(study, tmp_path, options, names):
    run(study, *options, "-o", tmp_path)
    told = manifest(tmp_path)
    assert {entry["description"] for entry in told["series"]} == names
    assert len(told["series"]) + len(told["not_chosen"]) == 9
    assert all(entry["why"] for entry in told["not_chosen"])
    assert accounted(tmp_path) == {p.relative_to(study).as_posix() for p in study.rglob("*") if p.is_file()}
    listed = document(run(study, *options, "--list", "--json"))
    assert {entry["description"] for entry in listed["series"]} == names


@pytest.mark.parametrize(
    "options", [["--series-uid", "1.2.3"], ["--modality", "MR"], ["--description", "head*"]], ids=lambda o: o[0]
)
def test_a_choice_of_nothing_names_what_is_there(study, tmp_path, options):
    result = run(study, *options, "-o", tmp_path, code=2)
    assert "CT CHEST 1.25 LUNG (2.25.77.3)" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_choice_of_nothing_leaves_an_earlier_run_as_it_was(study, tmp_path):
    run(study, "--modality", "CT", "-o", tmp_path, code=3)
    before = (tmp_path / "manifest.json").read_bytes()
    run(study, "--modality", "MR", "-o", tmp_path, code=2)
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_one_uid_of_two_that_is_not_there_is_told(study, tmp_path):
    result = run(study, "--series-uid", chest_study.uid(3), "--series-uid", "1.2.3", "-o", tmp_path, code=2)
    assert "holds no series 1.2.3; it holds" in result.stderr


def test_an_archive_gives_what_its_folder_gives(study, export, tmp_path):
    run(study, "-o", tmp_path / "folder", code=3)
    run(export, "-o", tmp_path / "zip", code=3)
    first, second = manifest(tmp_path / "folder"), manifest(tmp_path / "zip")
    assert [entry["volumes"] for entry in first["series"]] == [entry["volumes"] for entry in second["series"]]
    inside = {f"export.zip/patient/inner.zip/study/{p.relative_to(study)}" for p in study.rglob("*") if p.is_file()}
    assert accounted(tmp_path / "zip") == inside
    for entry in first["series"]:
        for volume in entry["volumes"]:
            assert (tmp_path / "folder" / volume["path"]).read_bytes() == (
                tmp_path / "zip" / volume["path"]
            ).read_bytes()


def test_a_scan_in_an_archive_is_searched_and_measured_again(export, tmp_path):
    pipeline = toy.detector(tmp_path / "detector", roi="whole")
    text = (pipeline / "pipeline.yaml").read_text(encoding="utf-8")
    (pipeline / "pipeline.yaml").write_text(text.replace("stages:\n", "stages:\n- select: {prefer: thin_axial}\n"))
    options = ["--pipeline", str(pipeline), "-o"]
    searched = CliRunner().invoke(cli, ["infer", "--volume", str(export), *options, str(tmp_path / "out")])
    assert searched.exit_code == 0, searched.output
    again = CliRunner().invoke(cli, ["measure", str(tmp_path / "out"), *options, str(tmp_path / "again")])
    assert again.exit_code == 0, again.output
    before, after = (
        json.loads((tmp_path / name / "report.json").read_text(encoding="utf-8")) for name in ("out", "again")
    )
    assert before["findings"] == after["findings"]
    assert (tmp_path / "out" / before["inputs"][0]["path"]).resolve() == export
    named = ["infer", "--volume", str(export), "--series-uid", chest_study.uid(2), *options, str(tmp_path / "named")]
    assert CliRunner().invoke(cli, named).exit_code == 0
    report = json.loads((tmp_path / "named" / "report.json").read_text(encoding="utf-8"))
    assert report["inputs"][0]["description"] == "CHEST 5.0 SOFT"


def test_an_archive_with_a_password_says_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.writestr("IM1", "x" * 2000)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    result = run(tmp_path / "a.zip", "-o", tmp_path / "out", code=1)
    assert "IM1: encrypted in its archive; unpack it with its password" in result.stderr
    assert manifest(tmp_path / "out")["skipped"][0]["path"] == "a.zip/IM1"


def write_volumes(folder: Path) -> dict[str, np.ndarray]:
    """Volume files of every kind in a folder: name -> voxels."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    ct = rng.integers(-1000, 400, (6, 7, 8)).astype(np.int16)
    volumes.write_nifti(folder / "ct.nii.gz", ct, OBLIQUE)
    volumes.write_nifti(folder / "brain_t1c.nii", np.abs(ct), OBLIQUE)
    scaled = nib.Nifti1Image(ct.astype(np.float32) / 8, OBLIQUE)
    scaled.set_data_dtype(np.int16)
    nib.save(scaled, folder / "scaled.nii.gz")
    nib.save(nib.Nifti1Pair(ct, OBLIQUE), folder / "pair.hdr")
    image = sitk.GetImageFromArray(ct.transpose())
    for name in ("a.mha", "b.mhd", "c.nrrd", "d.nhdr"):
        sitk.WriteImage(image, str(folder / name))
    return {"ct": ct}


def test_volume_files_of_every_kind_beside_a_series_come_out(tmp_path):
    chest_study.series(tmp_path / "in", 2, "CHEST")
    ct = write_volumes(tmp_path / "in" / "files")["ct"]
    run(tmp_path / "in", "-o", tmp_path / "out")
    told = {entry["description"]: entry for entry in manifest(tmp_path / "out")["series"]}
    assert set(told) == {"CHEST", "ct", "brain_t1c", "scaled", "pair", "a", "b", "c", "d"}
    assert all(entry["status"] == "ok" and len(entry["volumes"]) == 1 for entry in told.values())
    assert (told["ct"]["study_uid"], told["ct"]["series_uid"], told["ct"]["modality"]) == ("", "", "CT")
    assert told["brain_t1c"]["modality"] == "MR"
    image = nib.load(tmp_path / "out" / told["ct"]["volumes"][0]["path"])
    assert np.array_equal(image.dataobj, ct)
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-6)
    scaled = nib.load(tmp_path / "out" / told["scaled"]["volumes"][0]["path"])
    assert scaled.get_data_dtype() == np.float32
    np.testing.assert_allclose(scaled.get_fdata(), ct / 8, atol=0.01)
    files = {p.relative_to(tmp_path / "in").as_posix() for p in (tmp_path / "in").rglob("*") if p.is_file()}
    assert accounted(tmp_path / "out") == files
    sidecar = tmp_path / "out" / told["brain_t1c"]["volumes"][0]["path"].replace(".nii.gz", ".json")
    assert json.loads(sidecar.read_text(encoding="utf-8"))["role"] == "t1c"


def test_a_single_volume_file_and_its_dry_run(tmp_path):
    write_volumes(tmp_path / "in")
    foretold = document(run(tmp_path / "in" / "ct.nii.gz", "--dry-run", "--json"))
    run(tmp_path / "in" / "ct.nii.gz", "-o", tmp_path / "out")
    (told,), (early,) = manifest(tmp_path / "out")["series"], foretold["series"]
    assert {**early, "modality": "CT"} == told


def test_a_4d_file_becomes_its_volumes(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 400, (6, 7, 8, 3)).astype(np.int16)
    (tmp_path / "in").mkdir()
    nib.save(nib.Nifti1Image(voxels, OBLIQUE), tmp_path / "in" / "bold.nii.gz")
    series = tmp_path / "in" / "series.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(voxels.transpose(), isVector=False), str(series))
    # ITK leaves out which four axes these are
    named = series.read_bytes().replace(b"space dimension: 4", b"space: left-posterior-superior-time")
    series.write_bytes(named)
    run(tmp_path / "in", "-o", tmp_path / "out")
    for entry in manifest(tmp_path / "out")["series"]:
        assert [Path(volume["path"]).name[-9:] for volume in entry["volumes"]] == [f"_{n}.nii.gz" for n in (1, 2, 3)]
        for number, volume in enumerate(entry["volumes"]):
            image = nib.load(tmp_path / "out" / volume["path"])
            assert np.array_equal(image.dataobj, voxels[..., number])
            if entry["description"] == "bold":
                np.testing.assert_allclose(image.affine, OBLIQUE, atol=1e-6)
    (refused,) = [CliRunner().invoke(cli, ["infer", "--volume", str(tmp_path / "in" / "bold.nii.gz"), "-o", "x"])]
    assert refused.exit_code == 1
    assert "a time series or several channels" in refused.output


def test_files_that_are_no_sound_volumes_are_rejected_and_the_others_come_out(tmp_path):
    folder = tmp_path / "in"
    write_volumes(folder)
    volumes.write_nifti(tmp_path / "whole.nii.gz", np.random.default_rng(0).integers(0, 999, (30, 30, 30)), OBLIQUE)
    whole = (tmp_path / "whole.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "junk.nii.gz").write_text("hello")
    (folder / "._ct.nii.gz").write_text("macOS")
    nib.save(nib.Nifti1Image(np.ones((5, 5), np.int16), np.eye(4)), folder / "picture.nii")
    nib.save(nib.Nifti1Image(np.arange(216.0).reshape(6, 6, 6), None), folder / "nowhere.nii")
    rgb = np.zeros((5, 5, 5), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(rgb, np.eye(4)), folder / "rgb.nii")
    half = np.random.default_rng(0).integers(0, 9, (5, 5, 5, 2)).astype(np.int16)
    half[..., 0] = 0
    nib.save(nib.Nifti1Image(half, np.eye(4)), folder / "half.nii.gz")
    run(folder, "-o", tmp_path / "out", code=3)
    told = {entry["description"]: entry for entry in manifest(tmp_path / "out")["series"]}
    reasons = {name: entry["reason"] for name, entry in told.items() if entry["status"] == "rejected"}
    assert reasons == {
        "cut": "truncated",
        "junk": "not_a_volume_file",
        "picture": "not_3d",
        "nowhere": "no_geometry",
        "rgb": "unsupported_kind",
        "half": "empty_volume",
    }
    assert len(told["half"]["volumes"]) == 1
    assert "volume 1 of 2" in told["half"]["message"]
    assert told["ct"]["status"] == told["pair"]["status"] == "ok"
    assert manifest(tmp_path / "out")["skipped"] == [{"path": "._ct.nii.gz", "reason": "not_dicom"}]
    assert str(tmp_path) not in (tmp_path / "out" / "manifest.json").read_text(encoding="utf-8")
    assert accounted(tmp_path / "out") == {path.name for path in folder.iterdir()}


def test_one_file_of_values_no_nifti_holds_does_not_end_the_run(tmp_path):
    folder = tmp_path / "in"
    write_volumes(folder)
    huge = np.arange(120, dtype=np.uint64).reshape(4, 5, 6) + (1 << 40)
    nib.save(nib.Nifti1Image(huge, OBLIQUE, dtype="uint64"), folder / "0_huge.nii.gz")
    image = sitk.GetImageFromArray(huge.transpose())
    sitk.WriteImage(image, str(folder / "0_huge2.nrrd"))
    run(folder, "-o", tmp_path / "out", code=3)
    told = {entry["description"]: entry for entry in manifest(tmp_path / "out")["series"]}
    for name in ("0_huge", "0_huge2"):
        assert (told[name]["reason"], told[name]["volumes"]) == ("unsupported_kind", [])
    assert [told[name]["status"] for name in ("ct", "pair", "scaled")] == ["ok"] * 3
    assert accounted(tmp_path / "out") == {path.name for path in folder.iterdir()}


def test_results_in_the_input_folder_are_not_read_again(tmp_path):
    chest_study.series(tmp_path / "in", 2, "CHEST")
    for _ in range(2):
        run(tmp_path / "in", "-o", tmp_path / "in" / "out")
    assert len(manifest(tmp_path / "in" / "out")["series"]) == 1


def test_a_dry_run_and_a_list_leave_out_what_an_earlier_run_wrote(tmp_path):
    chest_study.series(tmp_path / "in", 2, "CHEST")
    run(tmp_path / "in", "-o", tmp_path / "in" / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "in" / "out").iterdir()}
    for option in ("--dry-run", "--list"):
        told = document(run(tmp_path / "in", option, "--json", "-o", tmp_path / "in" / "out"))
        assert [entry["description"] for entry in told["series"]] == ["CHEST"]
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "in" / "out").iterdir()}


@pytest.mark.parametrize("output", ["in", "."], ids=["the input itself", "its parent"])
def test_the_users_own_volumes_are_read_wherever_the_results_go(tmp_path, output):
    folder = tmp_path / "in"
    write_volumes(folder)
    for _ in range(2):  # and what the first run writes is no input of the second
        run(folder, "-o", tmp_path / output)
        told = manifest(tmp_path / output)
        assert {entry["description"] for entry in told["series"]} == {
            "ct", "brain_t1c", "scaled", "pair", "a", "b", "c", "d",
        }  # fmt: skip
    if output == "in":
        (volume,) = next(entry for entry in told["series"] if entry["description"] == "ct")["volumes"]
        (skip,) = [skip for skip in told["skipped"] if skip["path"] == volume["path"]]
        assert "earlier run" in skip["message"]


def test_a_new_run_removes_what_the_manifest_of_the_old_one_lists_and_nothing_else(tmp_path):
    chest_study.series(tmp_path / "first", 2, "FIRST")
    chest_study.series(tmp_path / "second", 3, "SECOND")
    output = tmp_path / "out"
    run(tmp_path / "first", "-o", output)
    (output / "mine.nii.gz").write_bytes(b"mine")
    (output / "mine.json").write_text("{}")
    listed = manifest(output)
    # a manifest that names other files gives no right to them
    listed["series"][0]["volumes"] += [{"path": "mine.nii.gz"}, {"path": "../first"}, {"path": "/etc/passwd"}]
    (output / "manifest.json").write_text(json.dumps(listed))
    run(tmp_path / "second", "-o", output)
    (entry,) = manifest(output)["series"]
    name = entry["volumes"][0]["path"]
    sidecar = name.replace(".nii.gz", ".json")
    assert {path.name for path in output.iterdir()} == {"manifest.json", "mine.nii.gz", "mine.json", name, sidecar}
    assert len(list((tmp_path / "first").iterdir())) > 0


@pytest.mark.parametrize("what", ["folder", "file"])
def test_results_that_are_named_as_the_input_of_their_own_folder_stay(tmp_path, what):
    chest_study.series(tmp_path / "in", 2, "CHEST")
    output = tmp_path / "out"
    run(tmp_path / "in", "-o", output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    root = output if what == "folder" else output / manifest(output)["series"][0]["volumes"][0]["path"]
    result = run(root, "-o", output, code=1)
    assert "earlier run" in result.stderr
    assert before == {path.name: path.read_bytes() for path in output.iterdir()}


def test_a_dry_run_ends_as_the_run_would_where_headers_and_folders_tell(tmp_path):
    write_volumes(tmp_path / "in")
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    nib.save(nib.Nifti1Image(np.arange(216.0).reshape(6, 6, 6), None), tmp_path / "in" / "nowhere.nii")
    for arguments, code in (
        ([tmp_path / "in", "-o", tmp_path / "out"], 3),
        ([tmp_path / "in", "-o", tmp_path / "file"], 1),
        ([tmp_path / "in", "-o", tmp_path / "file" / "out"], 1),
        ([tmp_path / "empty", "-o", tmp_path / "out"], 1),
        ([tmp_path / "in", "-o", tmp_path / "out", "--series-uid", "1"], 2),
    ):
        run(*arguments, "--dry-run", code=code)
        assert not (tmp_path / "out").exists()
        run(*arguments, code=code)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


@pytest.mark.parametrize("command", [["preprocess"], ["preprocess", "--list"], ["infer", "--volume"]])
def test_a_pipe_or_a_device_is_told_as_what_it_is(tmp_path, command):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        result = CliRunner().invoke(cli, [*command, str(path), "-o", str(tmp_path / "out")])
        assert result.exit_code == 1
        assert f"{path} is a pipe, a device or a socket" in result.stderr


def test_volume_files_are_chosen_by_modality_and_name_too(tmp_path):
    write_volumes(tmp_path / "in")
    run(tmp_path / "in", "--modality", "MR", "-o", tmp_path / "mr")
    assert [entry["description"] for entry in manifest(tmp_path / "mr")["series"]] == ["brain_t1c"]
    run(tmp_path / "in", "--description", "CT", "-o", tmp_path / "ct")
    assert [entry["description"] for entry in manifest(tmp_path / "ct")["series"]] == ["ct"]
    assert accounted(tmp_path / "ct") == {path.name for path in (tmp_path / "in").iterdir()}


def test_a_volume_file_in_an_archive_is_told_to_be_unpacked(tmp_path):
    write_volumes(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as target:
        target.write(tmp_path / "in" / "ct.nii.gz", "scans/ct.nii.gz")
    result = run(tmp_path / "a.zip", "-o", tmp_path / "out", code=1)
    assert "ct.nii.gz: a volume file inside an archive is not read; unpack it and name it" in result.stderr
    (skipped,) = manifest(tmp_path / "out")["skipped"]
    assert (skipped["path"], skipped["reason"]) == ("a.zip/scans/ct.nii.gz", "not_dicom")
    assert skipped["message"] == "a volume file inside an archive is not read; unpack it and name it"
