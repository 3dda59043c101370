"""What is known of a patient beyond the scan: from a file, a FHIR bundle or DICOM headers."""

from __future__ import annotations

from medimg.patient.context import PatientContext, PriorNodule

__all__ = ["PatientContext", "PriorNodule"]
