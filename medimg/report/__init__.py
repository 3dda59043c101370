"""A report written for programs (JSON, CSV, NIfTI) and for people (PNG, HTML)."""

from __future__ import annotations

from medimg.report.read import read_report
from medimg.report.writers import FORMATS, write_report

__all__ = ["FORMATS", "read_report", "write_report"]
