"""key_image.dcm: the preview as a Secondary Capture (PS3.3 section A.8.1), for PACS that show nothing but images."""

from __future__ import annotations

import io

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from medimg.report.dicom.equipment import Maker
from medimg.report.dicom.plain import new_object, reference, set_bytes
from medimg.report.dicom.uids import Identity
from medimg.report.preview import preview_png
from medimg.study import Volume


def build_capture(maker: Maker, identity: Identity, volumes: dict[str, Volume]) -> Dataset:
    """The sheet that preview.png shows: findings on slices of the scan, 8-bit RGB, without geometry."""
    from PIL import Image

    picture = Image.open(io.BytesIO(preview_png(maker.report, volumes))).convert("RGB")
    pixels = np.asarray(picture, dtype=np.uint8)
    dataset = new_object(maker, identity, "sc", SecondaryCaptureImageStorage, "OT")
    dataset.ConversionType, dataset.Laterality = "WSD", ""
    dataset.ImageType, dataset.DerivationDescription = ["DERIVED", "SECONDARY"], maker.description("key image")
    dataset.PatientOrientation, dataset.BurnedInAnnotation = "", "NO"
    dataset.SourceImageSequence = [reference(*instance) for instance in maker.original.instances]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    set_bytes(dataset, "PixelData", pixels.tobytes())
    return dataset
