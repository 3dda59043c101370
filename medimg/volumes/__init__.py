"""Volume files other than DICOM: a file becomes a sound `Volume` or an InputError with a reason code.

Nothing is read before its claimed size has been held against the file's.
"""

from medimg.volumes.checks import check_voxels
from medimg.volumes.labels import read_label_map
from medimg.volumes.nifti import write_nifti
from medimg.volumes.opened import Opened
from medimg.volumes.read import VOLUME_SUFFIXES, is_volume_file, open_volumes, read_volume, read_volumes, stem

__all__ = [
    "VOLUME_SUFFIXES",
    "Opened",
    "check_voxels",
    "is_volume_file",
    "open_volumes",
    "read_label_map",
    "read_volume",
    "read_volumes",
    "stem",
    "write_nifti",
]
