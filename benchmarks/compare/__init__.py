"""How `compare_readers.py` runs DICOM readers over the conformance catalogue and judges what they give."""
