"""How files lie about: trees, names, copies, links, media, and files that are no DICOM at all."""

from __future__ import annotations

import os
from pathlib import Path

from conformance.cases.case import CannotBeMadeError, Expected, Theme, Truth, volumes
from conformance.cases.phantom import Phantom, line, put
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, RLELossless

from medimg.errors import Reason

cases = Theme("layout")

UNREADABLE = Path("/proc/self/mem")
"""A regular file that opens, and whose first byte cannot be read, for root neither."""


@cases.case
def sound(scan: Phantom) -> Expected:
    """Nothing: axial slices of one series in one folder."""
    scan.slices(line(8))
    return volumes(8)


@cases.case
def two_series_and_junk(scan: Phantom) -> Expected:
    """Two series in nested folders, no file suffixes, other files between them."""
    scan.slices(line(6), series="2.25.71", subfolder="a/b")
    scan.slices(line(7, start=(0, 0, 100)), series="2.25.72", subfolder="a", add=200)
    (scan.folder / "notes.txt").write_text("not DICOM")
    (scan.folder / "a/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 300)
    return volumes(6, Truth(7, add=200), skipped=[Reason.NOT_DICOM] * 2)


@cases.case
def two_series_in_one_folder(scan: Phantom) -> Expected:
    """Two series, their files side by side in one folder."""
    scan.slices(line(6), series="2.25.71")
    scan.slices(line(6), series="2.25.72", add=200)
    return volumes(6, Truth(6, add=200))


@cases.case
def patients_studies_series(scan: Phantom) -> Expected:
    """Two patients with two studies each, one tree; series numbers and descriptions are all the same."""
    for number in range(4):
        study = put(StudyInstanceUID=f"2.25.5{number}", PatientID=f"P{number // 2}")
        where = f"P{number // 2}/{number}"
        scan.slices(line(5), series=f"2.25.7{number}", subfolder=where, edit=study, add=100 * number)
    return volumes(*(Truth(5, add=100 * number) for number in range(4)))


@cases.case
def series_uid_used_twice(scan: Phantom) -> Expected:
    """Two studies whose series carry one Series Instance UID (anonymised by rule)."""
    for number in range(2):
        study = put(StudyInstanceUID=f"2.25.5{number}")
        scan.slices(line(5), subfolder=str(number), edit=study, add=100 * number)
    return volumes(5, Truth(5, add=100))


@cases.case
def one_series_over_two_folders(scan: Phantom) -> Expected:
    """One series, half of its slices in another folder."""
    scan.slices(line(8)[:4], subfolder="1")
    scan.slices(line(8)[4:], subfolder="2")
    return volumes(8)


@cases.case
def names_of_every_sort(scan: Phantom) -> Expected:
    """Folders and files with spaces, accents, a newline, and suffixes that lie."""
    names = ["a b.jpg", "Öl.txt", "line\nbreak", "IM0001.dcm.gz", "..dcm", "-rf", "$HOME", "x" * 200]
    for path, name in zip(scan.slices(line(8), subfolder="in put/ä"), names, strict=True):
        path.rename(path.with_name(name))
    return volumes(8)


@cases.case
def no_preamble(scan: Phantom) -> Expected:
    """The 128 bytes of preamble and the prefix DICM are missing."""
    for path in scan.slices(line(8)):
        path.write_bytes(path.read_bytes()[132:])
    return volumes(8)


@cases.case
def no_meta_group(scan: Phantom) -> Expected:
    """Neither preamble nor file meta group: the data set alone, as old archives keep it."""
    for path in scan.slices(line(8)):
        data = path.read_bytes()
        path.write_bytes(data[data.index(b"\x08\x00\x08\x00CS") :])
    return volumes(8)


@cases.case
def dicomdir(scan: Phantom) -> Expected:
    """A medium: a DICOMDIR and a tree of short upper-case names."""
    paths = scan.slices(line(8), subfolder="DICOM/ST0/SE0")
    records = []
    for number, path in enumerate(paths):
        paths[number] = path.rename(path.with_name(f"IM{number:06d}"))
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = ["DICOM", "ST0", "SE0", paths[number].name]
        records.append(record)
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "2.25.50"
    directory.FileSetID = "MEDIUM"
    directory.DirectoryRecordSequence = Sequence(records)
    directory.save_as(scan.folder / "DICOMDIR", enforce_file_format=True)
    return volumes(8, skipped=[Reason.NOT_AN_IMAGE])


@cases.case
def exported_twice(scan: Phantom) -> Expected:
    """The whole series lies there twice, with new instance UIDs."""
    scan.slices(line(6))
    scan.slices(line(6), subfolder="again")
    return volumes(6, excluded=[Reason.DUPLICATE_FILE] * 6)


@cases.case
def copied_and_compressed(scan: Phantom) -> Expected:
    """The whole series lies there twice, the second time compressed."""
    scan.slices(line(6))
    scan.slices(line(6), subfolder="rle", edit=lambda dataset, _number: dataset.compress(RLELossless))
    return volumes(6, excluded=[Reason.DUPLICATE_FILE] * 6)


@cases.case
def links(scan: Phantom) -> Expected:
    """A link back to the top, a link to itself, and one that leads nowhere."""
    scan.slices(line(6), subfolder="a")
    (scan.folder / "a/loop").symlink_to(scan.folder)
    (scan.folder / "itself").symlink_to(scan.folder / "itself")
    (scan.folder / "broken").symlink_to(scan.folder / "nowhere")
    return volumes(6, skipped=[Reason.NOT_A_REGULAR_FILE] * 2)


@cases.case
def a_file_that_cannot_be_read(scan: Phantom) -> Expected:
    """One file of the folder gives an input error."""
    if not UNREADABLE.is_file():
        raise CannotBeMadeError(f"there is no {UNREADABLE}")
    scan.slices(line(6))
    (scan.folder / "unreadable.dcm").symlink_to(UNREADABLE)
    return volumes(6, skipped=[Reason.UNREADABLE])


@cases.case
def litter(scan: Phantom) -> Expected:
    """What desktops leave: AppleDouble companions, empty files, text that begins as DICOM might."""
    for path in scan.slices(line(6)):
        path.with_name(f"._{path.name}").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X" + bytes(4000))
    (scan.folder / "empty.dcm").write_bytes(b"")
    (scan.folder / "looks_like.dcm").write_bytes(b"\x08\x00\x05\x00junk that begins as DICOM might" * 20)
    os.link(scan.folder / "empty.dcm", scan.folder / "empty2.dcm")
    return volumes(6, skipped=[Reason.NOT_DICOM] * 9)
