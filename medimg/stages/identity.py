"""Whether two scans are of one patient, told by their DICOM headers; nothing of these is kept."""

from __future__ import annotations

from medimg.dicom.patient import DicomPatient
from medimg.errors import InputError, Reason
from medimg.followup.comparison import Warned


def check_identity(prior: DicomPatient | None, current: DicomPatient | None, force: bool) -> list[Warned]:
    """Warnings about who the scans are of. Raises InputError (different_patients) unless `force`.

    One study, or one Patient ID of one issuer, is one patient. Different IDs, birth dates or sexes are two: the
    message says which differ, never their values. Where neither can be told, that is a warning.
    """
    if prior is None or current is None:
        return [Warned("identity_unknown", "not both scans are DICOM: nothing tells that they are of one patient")]
    if prior.study_uid and prior.study_uid == current.study_uid:
        return []
    differing = _differing(prior, current)
    if differing:
        message = f"the scans are of different patients by their headers ({', '.join(differing)})"
        if not force:
            raise InputError(
                Reason.DIFFERENT_PATIENTS, f"{message}; give two scans of one, or --force when they are known to be"
            )
        return [Warned("different_patients", f"{message}; compared because --force was given")]
    if not prior.patient_id or not current.patient_id:
        return [Warned("identity_unknown", "a scan has no Patient ID: nothing tells that they are of one patient")]
    return []


def _differing(prior: DicomPatient, current: DicomPatient) -> list[str]:
    """Names of the attributes that both have, and in which they differ."""
    pairs = {
        "Patient ID": (prior.patient_id, current.patient_id),
        "Issuer of Patient ID": (prior.issuer, current.issuer),
        "birth date": (prior.birth_date, current.birth_date),
        "sex": (prior.sex, current.sex),
    }
    return [name for name, (first, second) in pairs.items() if first and second and first != second]
