"""Which elements of a header are read where a folder is only listed, and what each is wanted for."""

from __future__ import annotations

from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from medimg.dicom import fields
from medimg.dicom.header import FRAME_KEYWORDS, ORDER_MARKS, VALUE_MARKS
from medimg.dicom.mosaic import MOSAIC_TAGS
from medimg.dicom.parse import wanted

SERIES_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SeriesDescription", "SeriesNumber")
"""Identity of a series."""

ACQUISITION_KEYWORDS = (
    "StudyDate",
    "SeriesDate",
    "StudyDescription",
    "ProtocolName",
    "BodyPartExamined",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "MagneticFieldStrength",
    "PatientPosition",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ConvolutionKernel",
    "KVP",
    "XRayTubeCurrent",
    "Exposure",
    "GantryDetectorTilt",
    "ContrastBolusAgent",
    "ScanningSequence",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "RescaleType",
    "Units",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""How the series was taken; written into sidecars. Nothing that names the patient."""

PET_KEYWORDS = (
    "SUVType",
    "DecayCorrection",
    "CountsSource",
    "CorrectedImage",
    "SeriesTime",
    "PatientWeight",
    "PatientSize",
)
"""What standardised uptake values are computed from (PS3.3 sections C.8.9.1 and C.7.2.2), for PET alone."""

TRACER_KEYWORDS = (
    "Radiopharmaceutical",
    "RadionuclideTotalDose",
    "RadionuclideHalfLife",
    "RadionuclidePositronFraction",
    "RadiopharmaceuticalStartTime",
    "RadiopharmaceuticalStartDateTime",
)
"""The same, in the items of Radiopharmaceutical Information Sequence (PS3.3 section C.8.9.2)."""

TRACER_SEQUENCE = "RadiopharmaceuticalInformationSequence"

PET_ONLY = frozenset((*PET_KEYWORDS, TRACER_SEQUENCE))
"""Headers that series of other modalities do without; a patient's weight is nobody's business there."""

MODALITY_OF: dict[str, str] = {
    CTImageStorage: "CT",
    EnhancedCTImageStorage: "CT",
    MRImageStorage: "MR",
    EnhancedMRImageStorage: "MR",
    PositronEmissionTomographyImageStorage: "PT",
    EnhancedPETImageStorage: "PT",
}
"""SOP class -> modality, for files that leave Modality out."""

HEADER_KEYWORDS = (
    *FRAME_KEYWORDS,
    *VALUE_MARKS,
    *ORDER_MARKS,
    *SERIES_KEYWORDS,
    *ACQUISITION_KEYWORDS,
    *PET_KEYWORDS,
    TRACER_SEQUENCE,
)

HEADER_TAGS = wanted([*map(fields.tag_of, HEADER_KEYWORDS), *MOSAIC_TAGS])
"""All that is read of a header."""
