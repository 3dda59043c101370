"""report.dcm: a TID 1500 Measurement Report as Comprehensive 3D SR (PS3.16, PS3.3 section A.35.13).

One measurement group a finding (TID 1411), and one of the scan (TID 1501): its own measurements and advice, or that
nothing was found. What the advice says in full stands as text beside the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

import medimg
from medimg.report.dicom import advice
from medimg.report.dicom.codes import (
    ABSENT,
    IMAGING,
    NO_UNITS,
    NUMBER_OF_FINDINGS,
    PRIVATE_SCHEME,
    PROCEDURES,
    Property,
    property_of,
    site_of,
)
from medimg.report.dicom.equipment import MANUFACTURER, Maker, finish
from medimg.report.dicom.original import Original, Plane
from medimg.report.dicom.seg import Built, Codes
from medimg.report.dicom.segments import Segment
from medimg.report.dicom.uids import Identity
from medimg.report.dicom.values import evaluations, measurements, of_scan
from medimg.report.dicom.views import image_views
from medimg.results import Finding

if TYPE_CHECKING:
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        ObservationContext,
        ReferencedSegment,
        VolumeSurface,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

DEVICE = Code("121007", "DCM", "Device")
COMMENT = Code("121106", "DCM", "Comment")
RECOMMENDATION = Code("121075", "DCM", "Recommendation")
FINDING = Property(Code("121071", "DCM", "Finding"))
"""What a pipeline looks for that does not say it (`finding` among its codes)."""

SMALLEST_MM = 0.5
"""Half an axis of the ellipsoid about a finding whose size is not known."""


def build_sr(
    maker: Maker, identity: Identity, seg: Built | None, codes: Codes, others: Sequence[Original] = ()
) -> Dataset:
    """The structured report; findings refer to the segments of `seg`, or to an ellipsoid where they have none.

    others: further series that were looked at (the other contrasts of an MR); they are evidence too.
    """
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import Comprehensive3DSR

    images = image_views(maker.original)
    further = [image for other in others for image in image_views(other)]
    content = _content(maker, identity, seg, codes, images)
    sr = Comprehensive3DSR(
        evidence=[*images, *further, *([] if seg is None else [seg.dataset])],
        content=content[0],
        series_instance_uid=identity.series("sr"),
        series_number=1,
        sop_instance_uid=identity.instance("sr", *([] if seg is None else [seg.dataset.SOPInstanceUID])),
        instance_number=1,
        is_complete=True,
        series_description=maker.description("findings"),
        coding_schemes=[
            CodingSchemeIdentificationItem(
                PRIVATE_SCHEME, name="medimg measurements", responsible_organization=MANUFACTURER
            )
        ],
        contributing_equipment=maker.contributing(),
        **maker.equipment(),
    )
    return finish(sr, maker, "sr")


def _content(
    maker: Maker, identity: Identity, seg: Built | None, codes: Codes, images: Sequence[Dataset]
) -> MeasurementReport:
    from highdicom.sr import MeasurementReport, RelationshipTypeValues, TextContentItem

    algorithm = _algorithm(maker)
    findings = maker.report.findings
    groups = [_group(finding, maker, identity, seg, codes, algorithm) for finding in findings]
    report = MeasurementReport(
        observation_context=_observer(maker, identity),
        procedure_reported=PROCEDURES.get(maker.original.modality, IMAGING),
        imaging_measurements=[*groups, *_scan_group(maker, identity, codes, algorithm)],
        referenced_images=_shown(images, maker.original, seg) or None,
    )
    texts = [(COMMENT, text) for text in (medimg.NOT_A_MEDICAL_DEVICE, *maker.report.warnings)]
    texts += [(RECOMMENDATION, advice.words(entry)) for entry in maker.report.advice]
    for concept, text in texts:
        report[0].ContentSequence.append(TextContentItem(concept, text, RelationshipTypeValues.CONTAINS))
    return report


def _observer(maker: Maker, identity: Identity) -> ObservationContext:
    """The software that observed, not a person (TID 1004)."""
    from highdicom.sr import (
        CodedConcept,
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
    )

    device = DeviceObserverIdentifyingAttributes(
        uid=identity.device(),
        name=maker.software[1],
        manufacturer_name=MANUFACTURER,
        model_name=maker.name,
        serial_number=maker.model_digest,
    )
    context = ObserverContext(CodedConcept.from_code(DEVICE), device)
    return ObservationContext(observer_device_context=context)


def _algorithm(maker: Maker) -> AlgorithmIdentification:
    from highdicom.sr import AlgorithmIdentification

    return AlgorithmIdentification(maker.name, maker.version, parameters=[f"sha256={maker.model_digest}"])


def _group(
    finding: Finding,
    maker: Maker,
    identity: Identity,
    seg: Built | None,
    codes: Codes,
    algorithm: AlgorithmIdentification,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Everything about one finding (TID 1411)."""
    from highdicom.sr import TrackingIdentifier, VolumetricROIMeasurementsAndQualitativeEvaluations

    what = property_of(finding.label, codes)
    segment = _segment_of(finding, seg)
    said = advice.of_finding(maker.report.advice, finding.id)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=identity.tracking(finding), identifier=finding.id),
        referenced_segment=None if segment is None or seg is None else _segment(segment, seg, maker.original),
        referenced_volume_surface=_surface(finding, maker.original) if segment is None else None,
        finding_type=what.kind,
        finding_category=what.category,
        finding_sites=_sites(codes),
        algorithm_id=algorithm,
        measurements=[*measurements(finding), *advice.probabilities(said)] or None,
        qualitative_evaluations=[*evaluations(finding), *advice.assessments(said)] or None,
    )


def _scan_group(
    maker: Maker, identity: Identity, codes: Codes, algorithm: AlgorithmIdentification
) -> list[MeasurementsAndQualitativeEvaluations]:
    """What is said of the scan (TID 1501): its measurements and advice; that nothing was found as 0 and absent."""
    from highdicom.sr import (
        Measurement,
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
        TrackingIdentifier,
    )

    report, what = maker.report, property_of("finding", codes) if "finding" in codes else FINDING
    said = advice.of_finding(report.advice, None)
    numbers, words = of_scan(report.measurements), advice.assessments(said)
    if not report.findings:
        counted = any(name.endswith("_count") for name in report.measurements)
        numbers += [] if counted else [Measurement(NUMBER_OF_FINDINGS, 0, NO_UNITS)]
        words.append(QualitativeEvaluation(what.kind, ABSENT))
    if not numbers and not words:
        return []
    name = "scan" if report.findings else "nothing found"
    return [
        MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(uid=identity.other(name), identifier=name),
            finding_type=what.kind,
            finding_category=what.category,
            finding_sites=_sites(codes),
            algorithm_id=algorithm,
            measurements=numbers or None,
            qualitative_evaluations=words or None,
        )
    ]


def _sites(codes: Codes) -> list[FindingSite] | None:
    from highdicom.sr import FindingSite

    site = site_of(codes)
    return None if site is None else [FindingSite(site)]


def _segment_of(finding: Finding, seg: Built | None) -> Segment | None:
    segments = () if seg is None else seg.segments
    return next((each for each in segments if each.finding is not None and each.finding.id == finding.id), None)


def _segment(segment: Segment, seg: Built, original: Original) -> ReferencedSegment:
    """The finding's segment, and the images it was drawn on."""
    from highdicom.sr import ReferencedSegment, SourceImageForSegmentation

    planes = [original.planes[n] for n in seg.slices[segment.number]]
    return ReferencedSegment(
        seg.dataset.SOPClassUID,
        seg.dataset.SOPInstanceUID,
        segment.number,
        source_images=[SourceImageForSegmentation(*_image(group)) for group in _by_image(planes)],
    )


def _by_image(planes: Sequence[Plane]) -> list[list[Plane]]:
    """The slices of each image together: all frames of a multi-frame one are one reference."""
    groups: dict[str, list[Plane]] = {}
    for plane in planes:
        groups.setdefault(plane.sop_instance_uid, []).append(plane)
    return list(groups.values())


def _image(planes: Sequence[Plane]) -> tuple[str, str, list[int] | None]:
    frames = [plane.frame for plane in planes if plane.frame is not None]
    return planes[0].sop_class_uid, planes[0].sop_instance_uid, frames or None


def _surface(finding: Finding, original: Original) -> VolumeSurface:
    """An ellipsoid for a finding that was not outlined: of its diameter, else as large as its box."""
    from highdicom.sr import SourceSeriesForSegmentation, VolumeSurface

    return VolumeSurface(
        "ELLIPSOID",
        [_ellipsoid(finding)],
        original.frame_of_reference_uid,
        source_series=SourceSeriesForSegmentation(original.series_uid),
    )


def _ellipsoid(finding: Finding) -> NDArray[np.float64]:
    """The ends of the three axes, (6, 3) LPS mm (PS3.3 section C.18.9.1.2)."""
    if finding.diameter_mm is not None:
        half = np.full(3, finding.diameter_mm / 2)
    elif finding.box_lps_mm is not None:
        low, high = np.array(finding.box_lps_mm).reshape(2, 3)
        half = (high - low) / 2
    else:
        half = np.zeros(3)
    steps = np.diag(np.maximum(half, SMALLEST_MM))
    centre = np.array(finding.center_lps_mm, dtype=np.float64)
    return np.concatenate([[centre - step, centre + step] for step in steps])


def _shown(images: Sequence[Dataset], original: Original, seg: Built | None) -> list[Dataset]:
    """Images that findings are on, for the image library (TID 1600), which knows single-frame images only."""
    if seg is None or any(plane.frame is not None or not plane.whole for plane in original.planes):
        return []
    numbers = {n for slices in seg.slices.values() for n in slices}
    uids = {original.planes[n].sop_instance_uid for n in numbers}
    return [image for image in images if image.SOPInstanceUID in uids]
