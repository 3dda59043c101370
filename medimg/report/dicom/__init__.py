"""A report as DICOM objects beside the scan it was made from: SEG, SR, RTSTRUCT, Encapsulated PDF, Secondary Capture."""
