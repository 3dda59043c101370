"""Analytic scans whose truth is known: a chest CT, a brain MR, and the DICOM series of the first.

Numpy and scipy only; the same seed gives the same anatomy on every grid.
"""
