"""Which files are sent: whole DICOM objects, and a damaged one is named."""

from __future__ import annotations

import shutil

import pytest
from pacs_peers import chest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from medimg.errors import UsageError
from medimg.pacs.outgoing import outgoing


def test_of_a_folder_the_objects_are_taken_and_the_index_of_a_disc_is_not(tmp_path):
    files = chest(tmp_path / "in")
    (tmp_path / "disc" / "IMAGES").mkdir(parents=True)
    for path in files[:3]:
        shutil.copy(path, tmp_path / "disc" / "IMAGES")
    index = Dataset()
    index.FileSetID, index.DirectoryRecordSequence = "DISC", []
    index.file_meta = FileMetaDataset()
    index.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    index.file_meta.MediaStorageSOPInstanceUID, index.file_meta.TransferSyntaxUID = "1.2.3", ExplicitVRLittleEndian
    index.save_as(tmp_path / "disc" / "DICOMDIR", enforce_file_format=True)
    (tmp_path / "disc" / "report.json").write_text("{}", encoding="utf-8")
    found = outgoing([tmp_path / "disc"])
    assert len(found.objects) == 3
    assert (found.skipped, found.damaged) == (2, [])


@pytest.mark.parametrize("share", [0.05, 0.2, 0.6, 0.999])
def test_a_file_that_ends_too_early_is_damaged_wherever_it_ends(tmp_path, share):
    whole = chest(tmp_path / "in")[0].read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: max(140, int(len(whole) * share))])
    found = outgoing([tmp_path / "cut.dcm"])
    assert found.objects == []
    assert [path for path, _ in found.damaged] == [str(tmp_path / "cut.dcm")]


def test_nothing_to_send_is_a_usage_error(tmp_path):
    (tmp_path / "report.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="no DICOM object"):
        outgoing([tmp_path])
