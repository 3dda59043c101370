"""Datalists: which scans there are, what is true of them, and which fold each belongs to (MONAI's decathlon JSON)."""
