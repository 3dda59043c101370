"""report_pdf.dcm: the picture and the findings as Encapsulated PDF (PS3.3 section A.45.1), for PACS that show no SR."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from medimg.report.dicom.equipment import Maker
from medimg.report.dicom.plain import new_object, reference, set_bytes
from medimg.report.dicom.uids import Identity
from medimg.report.pdf import report_pdf
from medimg.report.preview import preview_png
from medimg.study import Volume

TITLE_CODE = ("126000", "DCM", "Imaging Measurement Report")


def build_pdf(maker: Maker, identity: Identity, volumes: dict[str, Volume]) -> Dataset:
    """The report printed and wrapped."""
    dataset = new_object(maker, identity, "epdf", EncapsulatedPDFStorage, "DOC")
    printed = report_pdf(maker.report, preview_png(maker.report, volumes))
    dataset.ConversionType = "WSD"
    dataset.BurnedInAnnotation, dataset.RecognizableVisualFeatures = "NO", "NO"
    dataset.AcquisitionDateTime = ""
    dataset.DocumentTitle, dataset.MIMETypeOfEncapsulatedDocument = maker.description("report"), "application/pdf"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = TITLE_CODE
    dataset.ConceptNameCodeSequence = [code]
    dataset.SourceInstanceSequence = [reference(*instance) for instance in maker.original.instances]
    dataset.EncapsulatedDocumentLength = len(printed)
    set_bytes(dataset, "EncapsulatedDocument", printed)
    return dataset
