"""Objects that highdicom has no class for: patient, study, series, equipment and SOP common modules by pydicom."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medimg.report.dicom.equipment import Maker, finish
from medimg.report.dicom.uids import Identity


def new_object(maker: Maker, identity: Identity, kind: str, sop_class_uid: str, modality: str) -> Dataset:
    """A dataset of that SOP class with everything but its own content (PS3.3 sections C.7.1 to C.7.5, C.12.1)."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.update(maker.original.who)
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class_uid, identity.instance(kind)
    dataset.SeriesInstanceUID, dataset.Modality = identity.series(kind), modality
    dataset.InstanceNumber, dataset.SeriesDescription = 1, maker.description(kind.upper())
    equipment = maker.equipment()
    dataset.Manufacturer, dataset.ManufacturerModelName = equipment["manufacturer"], maker.name
    dataset.SoftwareVersions, dataset.DeviceSerialNumber = maker.software, maker.model_digest
    dataset.ContributingEquipmentSequence = maker.contributing()
    return finish(dataset, maker, kind)


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """An item of a sequence that refers to one instance (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def set_bytes(dataset: Dataset, keyword: str, data: bytes) -> None:
    """A value of bytes (OB), padded to an even length (PS3.5 section 6.2)."""
    setattr(dataset, keyword, data + b"\0" * (len(data) % 2))
