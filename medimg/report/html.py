"""report.html: one file that loads nothing; the scripts in it are named by their digests, every value is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from markupsafe import Markup

import medimg
from medimg.report import catalogue, scene, sections, viewer, wording
from medimg.report.embed import Embedded
from medimg.report.preview import describe
from medimg.results import Report
from medimg.study import Volume

OWN_PACKAGE = "medimg.report"
TEMPLATE = "report.html.j2"

SPOKEN_BY_SCRIPT = ("tools", "canvas", "distances")
"""Words that a script needs, for attributes."""


@dataclass(frozen=True)
class Show:
    """What the viewer of a page has: the scans, and their smaller copies unless a server gives them out whole."""

    volumes: dict[str, Volume]
    embedded: Embedded | None


def report_html(report: Report, picture: bytes | None, show: Show | None = None, language: str = "en") -> str:
    """The page for `report`. picture: the preview as PNG bytes; show: what the viewer shows, None where there is none.

    language: the one the page opens in; it speaks all of `catalogue.LANGUAGES`.
    """
    document = report.to_dict("segmentation.nii.gz")
    bundle = None if show is None else viewer.bundle()
    script = _template("page.js") if bundle is None else _template("page.js") + _template("viewer.js")
    style = _template("style.css") + _template("report.css")
    served = show is not None and show.embedded is None
    return render_page(
        OWN_PACKAGE,
        TEMPLATE,
        **_said(report, document, language),
        **_viewer(report, show, bundle),
        language=language,
        picture=None if picture is None else base64.b64encode(picture).decode("ascii"),
        picture_words=describe(report),
        style=_code(style),
        script=_code(script),
        policy=policy(style, [script, *([bundle] if bundle else [])], served),
    )


def policy(style: str, scripts: list[str], served: bool) -> str:
    """The Content-Security-Policy: what is in the page by its digest, pictures as data, and the server's own scans."""
    allowed = " ".join(_digest(script) for script in scripts)
    connect = "'self'" if served else "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; img-src data:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def render_page(package: str, template: str, **values: Any) -> str:
    """Fill a page from `package`/templates with `values`, escaped; style.css and the like come from medimg.report."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, OWN_PACKAGE))])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["t"] = catalogue.both
    return environment.get_template(template).render(**values)


def _said(report: Report, document: dict[str, Any], language: str) -> dict[str, Any]:
    """Everything the page says, whatever it shows."""
    say = catalogue.both
    pipeline = wording.pipeline_of(report.pipeline)
    titles = {
        one: catalogue.text("title", one, pipeline=pipeline, n=len(report.findings)) for one in catalogue.LANGUAGES
    }
    return {
        "title": titles[language],
        "words": _json({"title": titles, **{key: catalogue.entries()[key] for key in SPOKEN_BY_SCRIPT}}),
        "plain": lambda key, **values: catalogue.text(key, language, **values),
        "facts": sections.head(document, say),
        "warnings": report.warnings,
        "findings": sections.findings(report, say),
        "labels": sections.labels(report, say),
        "measured": sections.measured(document, say) if report.findings else [],
        "measured_of_case": sections.measured_of_case(document, say),
        "advice": sections.advice(document, say),
        "extra": sections.extra(document),
        "inputs": sections.scans(document, say),
        "why": sections.why(document),
        "not_chosen": sections.not_chosen(document),
        "made": sections.made(document, say),
        "provenance": json.dumps(
            {"pipeline": report.pipeline, "inputs": report.inputs, **report.provenance}, indent=2, ensure_ascii=False
        ),
        "version": medimg.__version__,
    }


def _viewer(report: Report, show: Show | None, bundle: str | None) -> dict[str, Any]:
    """The viewer's part of the page; without scans or NiiVue, why there is none."""
    if show is None or bundle is None:
        return {"scene": None, "viewer_missing": "viewer_no_scan" if show is None else "viewer_no_bundle"}
    embedded = show.embedded
    roles = [scan.role for scan in embedded.scans] if embedded else list(show.volumes)
    first = next(iter(show.volumes.values()))
    given = scene.scene_of(report, show.volumes, roles, urls=embedded is None)
    return {
        "scene": _json(given),
        "payload": scene.payload(embedded) if embedded else [],
        "niivue": _code(bundle),
        "viewer": viewer.identity(),
        "scans": roles,
        "windows": scene.windows_of(show.volumes),
        "has_labels": given["labels"] is not None,
        "shortcuts": scene.SHORTCUTS,
        "shown_words": scene.in_words(embedded, first, catalogue.both),
    }


def _json(value: Any) -> Markup:
    """JSON for a script element: "<" is spelt out, so that no text in it can end the element or begin a comment."""
    return Markup(json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"))


def _code(text: str) -> Markup:
    """Our own or NiiVue's code, as it is: the policy allows exactly these bytes."""
    return Markup(text)


def _template(name: str) -> str:
    return (resources.files(OWN_PACKAGE) / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
