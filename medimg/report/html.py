"""report.html: one file, no network, no scripts; every value escaped."""

from __future__ import annotations

import base64
import json
from typing import Any

import medimg
from medimg.report import wording
from medimg.report.preview import describe
from medimg.results import Finding, Report

TIMES = " \N{MULTIPLICATION SIGN} "

OWN_PACKAGE = "medimg.report"
TEMPLATE = "report.html.j2"


def report_html(report: Report, picture: bytes | None) -> str:
    """The page for `report`; `picture` is the preview as PNG bytes, or None when there is none."""
    return render_page(
        OWN_PACKAGE,
        TEMPLATE,
        report=report,
        pipeline=wording.pipeline_of(report.pipeline),
        sha256=report.pipeline.get("sha256"),
        started=report.provenance.get("started"),
        seconds=_total_seconds(report.provenance.get("seconds")),
        inputs=[_input(entry) for entry in report.inputs],
        findings=[_row(finding) for finding in report.findings],
        labels=_labels(report),
        picture=None if picture is None else base64.b64encode(picture).decode("ascii"),
        picture_words=describe(report),
        provenance=json.dumps(
            {"pipeline": report.pipeline, "inputs": report.inputs, **report.provenance}, indent=2, ensure_ascii=False
        ),
        notice=medimg.NOT_A_MEDICAL_DEVICE,
        version=medimg.__version__,
    )


def render_page(package: str, template: str, **values: Any) -> str:
    """Fill a page from `package`/templates with `values`, escaped; style.css and the like come from medimg.report."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, OWN_PACKAGE))])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values)


def _total_seconds(parts: Any) -> str | None:
    return f"{sum(parts.values()):.1f} s" if isinstance(parts, dict) and parts else None


def _input(entry: dict[str, Any]) -> dict[str, str]:
    """One line for a scan: role, what it is, its grid, where it lies."""
    shape = TIMES.join(str(n) for n in entry.get("shape") or ())
    spacing = TIMES.join(f"{float(v):.3g}" for v in entry.get("spacing_mm") or ())
    facts = [
        str(entry.get("modality") or ""),
        str(entry.get("description") or ""),
        f"{shape} voxels" if shape else "",
        f"{spacing} mm" if spacing else "",
    ]
    name = entry.get("series_uid") or entry.get("path") or ""
    return {"role": str(entry.get("role", "")), "facts": ", ".join(fact for fact in facts if fact), "name": str(name)}


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "label": finding.label,
        "probability": wording.probability(finding.probability),
        "center": "  ".join(f"{value:.1f}" for value in finding.center_lps_mm),
        "diameter": wording.millimetres(finding.diameter_mm),
        "volume": wording.volume(finding.volume_mm3),
        "measurements": [wording.measurement(name, value) for name, value in finding.measurements.items()],
    }


def _labels(report: Report) -> wording.Summary:
    if report.segmentation is None:
        return []
    return [
        {**entry, "volume": wording.volume(entry["volume_mm3"])} for entry in wording.label_volumes(report.segmentation)
    ]
