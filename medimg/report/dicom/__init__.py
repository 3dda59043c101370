"""A report as DICOM objects beside its scan: SEG, SR, RT Structure Set, Encapsulated PDF, Secondary Capture."""
