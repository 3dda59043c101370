"""Which files of a folder go to a PACS: its DICOM objects, such as the segmentation.dcm and report.dcm of a case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.misc import is_dicom
from pydicom.uid import MediaStorageDirectoryStorage

from medimg.dicom.parse import quiet
from medimg.errors import UsageError
from medimg.stages.volume_files import check_regular

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
META = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")

UNDEFINED_LENGTH = 0xFFFFFFFF
"""Of an element that ends with a delimiter (PS3.5 section 7.1)."""


@dataclass
class Outgoing:
    """objects: to be sent. skipped: how many files are no DICOM object. damaged: (file, why) of those that were one."""

    objects: list[Path] = field(default_factory=list)
    skipped: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)

    def take(self, path: Path) -> None:
        """Decide about one file. A DICOMDIR is an index of files, and no object."""
        if not is_dicom(path):
            self.skipped += 1
            return
        try:
            with quiet():
                dataset = pydicom.dcmread(path)
                index = dataset.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
                damage = _damage(dataset)
        except Exception as error:  # a damaged file makes pydicom raise almost anything
            index, damage = False, f"cannot be read ({type(error).__name__}); copy it again"
        if index:
            self.skipped += 1
        elif damage is None:
            self.objects.append(path)
        else:
            self.damaged.append((str(path), damage))


def outgoing(paths: Iterable[Path]) -> Outgoing:
    """The objects among the files, and in the folders and all below them. Raises UsageError when there are none."""
    found = Outgoing()
    named = list(paths)
    for path in named:
        check_regular(path)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found.take(file)
    if not found.objects and not found.damaged:
        raise UsageError(f"{', '.join(map(str, named))}: no DICOM object is there to be sent")
    return found


def _damage(dataset: FileDataset) -> str | None:
    """Why the object must not be sent: pydicom reads a file that ends too early without a word."""
    if not all(dataset.file_meta.get(keyword) for keyword in META) or "SOPInstanceUID" not in dataset:
        return "says not what it is, or ends too early; copy it again"
    last = dataset.get_item(max(dataset.keys()))
    short = (
        isinstance(last, RawDataElement) and last.length != UNDEFINED_LENGTH and len(last.value or b"") < last.length
    )
    if short or ("Rows" in dataset and not any(keyword in dataset for keyword in PIXELS)):
        return "ends too early; copy it again"
    return None
