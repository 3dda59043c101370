"""Which files of a folder go to a PACS: its DICOM objects, such as the segmentation.dcm and report.dcm of a case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.misc import is_dicom

from medimg.errors import UsageError
from medimg.stages.volume_files import check_regular

IDENTITY = ["SOPClassUID", "SOPInstanceUID"]


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
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(IDENTITY))
            whole = all(str(header.get(keyword, "")) for keyword in IDENTITY)
            whole = whole and bool(header.file_meta.TransferSyntaxUID and header.file_meta.MediaStorageSOPClassUID)
        except Exception as error:  # pydicom lets pass whatever a damaged file makes Python raise
            self.damaged.append((str(path), f"cannot be read ({type(error).__name__}); copy it again"))
            return
        if whole:
            self.objects.append(path)
        else:
            self.skipped += 1


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
