"""Every error medimg raises on purpose, and the codes a manifest may carry.

    MedimgError                 exit 1   anything below
    ├── UsageError              exit 2   the command cannot mean anything
    ├── InputError              exit 1   a scan cannot be used; carries a Reason
    ├── PipelineError           exit 1   a pipeline or bundle is broken
    │   ├── UntrustedBundleError exit 1  ... or is code that nobody has vouched for
    │   └── UnsuitableScanError exit 1   the scan is sound, but not for this pipeline; carries a Reason
    ├── MemoryLimitError        exit 1   what is to be run does not fit the memory it may take
    ├── DownloadError           exit 1   a bundle cannot be fetched
    ├── OutputError             exit 1   results cannot be written
    │   └── UnstorableError     exit 1   ... whatever the disk: these values fit no NIfTI file, or no DICOM object
    ├── JournalError            exit 1   what a batch knows of its cases is damaged
    ├── NetworkError            exit 1   a server cannot be reached, or refuses
    ├── TrainingError           exit 1   training cannot start or go on
    └── DataError               exit 1   a table, a truth or predictions cannot be read, or nothing is left to score

Messages are one line: what, where, and what to do. Foreign exceptions are mapped where they
enter medimg and kept as `__cause__`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    RUNTIME = 1
    USAGE = 2
    SOME_FAILED = 3


class Reason(str, Enum):
    """Why a file, series or volume was not used. Codes are stable; docs/reasons.md explains each."""

    def __str__(self) -> str:
        return str(self.value)

    # one file
    NOT_DICOM = "not_dicom"
    UNREADABLE = "unreadable"
    NOT_AN_IMAGE = "not_an_image"
    NOT_A_REGULAR_FILE = "not_a_regular_file"
    SECONDARY_CAPTURE = "secondary_capture"
    COLOUR = "colour"
    LOCALIZER = "localizer"
    DUPLICATE_FILE = "duplicate_file"
    TRUNCATED = "truncated"
    DECODE_FAILED = "decode_failed"
    UNSUPPORTED_SYNTAX = "unsupported_syntax"
    TOO_LARGE = "too_large"
    # one series
    NO_GEOMETRY = "no_geometry"
    SINGLE_SLICE = "single_slice"
    MISSING_SLICES = "missing_slices"
    DUPLICATE_POSITION = "duplicate_position"
    UNEVEN_SPACING = "uneven_spacing"
    MIXED_ORIENTATION = "mixed_orientation"
    MIXED_PATIENTS = "mixed_patients"
    UNSUPPORTED_KIND = "unsupported_kind"
    NO_RESCALE = "no_rescale"
    # one volume, whatever it came from
    NOT_A_VOLUME_FILE = "not_a_volume_file"
    NOT_3D = "not_3d"
    TIME_SERIES = "time_series"
    BAD_AFFINE = "bad_affine"
    NON_FINITE_VOXELS = "non_finite_voxels"
    EMPTY_VOLUME = "empty_volume"
    # a sound volume and a pipeline that does not take it
    WRONG_MODALITY = "wrong_modality"
    MISSING_ROLE = "missing_role"
    GRID_MISMATCH = "grid_mismatch"
    NOT_SKULL_STRIPPED = "not_skull_stripped"
    WRONG_SPACING = "wrong_spacing"
    NO_PIPELINE_FITS = "no_pipeline_fits"
    AMBIGUOUS_SERIES = "ambiguous_series"
    # one case of a batch
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    MEMORY_LIMIT = "memory_limit"
    NO_DICOM_RESULTS = "no_dicom_results"
    NO_PICTURES = "no_pictures"
    PIPELINE_CHANGED = "pipeline_changed"
    NODE_LOST = "node_lost"
    # two scans of one patient
    DIFFERENT_PATIENTS = "different_patients"
    NOT_REGISTERED = "not_registered"
    # a scan and the DICOM objects made from it
    NO_IDENTITY = "no_identity"
    NOT_THE_REFERENCE = "not_the_reference"
    # a prediction and its truth
    MISSING_PREDICTION = "missing_prediction"
    NOT_A_LABEL_MAP = "not_a_label_map"
    LABELS_OUTSIDE_SET = "labels_outside_set"


class MedimgError(Exception):
    """Base of every error raised on purpose."""

    exit_code = ExitCode.RUNTIME


class UsageError(MedimgError):
    """The command line or a configuration file cannot mean anything."""

    exit_code = ExitCode.USAGE


class InputError(MedimgError):
    """A scan cannot be used. `reason` is machine-readable, `files` are those concerned."""

    def __init__(self, reason: Reason, message: str, files: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.files = tuple(files)


class PipelineError(MedimgError):
    """A pipeline or a bundle is missing or broken."""


class UntrustedBundleError(PipelineError):
    """A bundle is code, and nobody has said that this one may be executed."""


class UnsuitableScanError(PipelineError):
    """The scan is sound, but this pipeline is not made for it."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MemoryLimitError(MedimgError):
    """A network on this scan needs more memory than it may take."""


class DownloadError(MedimgError):
    """A bundle cannot be fetched: no network, no such bundle, or not the bytes that were promised."""


class OutputError(MedimgError):
    """Results cannot be written (a path that is a file, a full disk, no permission)."""


class JournalError(MedimgError):
    """The journal of a batch is damaged."""


class UnstorableError(OutputError):
    """One volume's or report's values fit no file that other programs read; the disk and other results are sound."""


class NetworkError(MedimgError):
    """A PACS cannot be reached, or refuses. may_pass: whether asking again may help."""

    def __init__(self, message: str, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class TrainingError(MedimgError):
    """Training cannot start or cannot go on."""


class DataError(MedimgError):
    """A table, a truth or predictions cannot be read, or nothing is left to score."""
