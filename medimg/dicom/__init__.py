"""DICOM in: headers are discovered, grouped into series, placed in space and read as volumes."""
