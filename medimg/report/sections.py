"""What a report says, section by section, as rows of text: the same for the page and for the PDF.

`say` is how words.json speaks (`catalogue.both` or one language); everything else is the report's own text, unescaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from medimg.report import catalogue, wording
from medimg.results import Report

TIMES = " \N{MULTIPLICATION SIGN} "

Say = Callable[..., str]
Facts = list[tuple[str, str]]
Document = dict[str, Any]

KNOWN = frozenset(
    {"schema", "pipeline", "inputs", "frame", "findings", "segmentation", "provenance", "warnings"}
    | {"advice", "measurements", "patient"}
)
"""Keys of report.json that have a place; any other one gets a section of its own."""

KNOWN_OF_FINDING = frozenset(
    {"id", "label", "probability", "center_lps_mm", "diameter_mm", "volume_mm3", "box_lps_mm", "segment"}
)

NOT_SHOWN = ("_ends_lps_mm",)
"""Ends of names of measurements that are for programs: the points a diameter was measured between."""

EVIDENCE_PREFIX = "shape_"
"""Measurements of the classical detector (medimg/classical/shape.py)."""

TECHNIQUE = (
    "Manufacturer",
    "ManufacturerModelName",
    "KVP",
    "ConvolutionKernel",
    "SliceThickness",
    "MagneticFieldStrength",
    "ProtocolName",
    "SequenceName",
    "ContrastBolusAgent",
)
"""Headers that tell a reader how a scan was made."""

UNITS_OF_TECHNIQUE = {"KVP": "kVp", "SliceThickness": "mm", "MagneticFieldStrength": "T"}


def head(document: Document, say: Say) -> Facts:
    """Who, what and when, for the top of the page."""
    first = document["inputs"][0] if document["inputs"] else {}
    headers = first.get("headers") or {}
    patient = document.get("patient") or {key: headers[key] for key in ("PatientName", "PatientID") if headers.get(key)}
    seconds = document["provenance"].get("seconds")
    started = str(document["provenance"].get("started") or "")
    total = sum(seconds.values()) if isinstance(seconds, dict) and seconds else None
    when = started.replace("T", " ").replace("+00:00", " UTC")
    facts = [
        (say("patient"), wording.flat(patient) if patient else say("not_recorded")),
        (say("scan"), ", ".join(filter(None, (str(first.get("modality") or ""), str(first.get("description") or ""))))),
        (say("study_date"), wording.dicom_date(str(headers.get("StudyDate") or ""))),
        (say("pipeline"), wording.pipeline_of(document["pipeline"])),
        (say("made"), when if total is None or not when else say("made_in", when=when, seconds=f"{total:.1f}")),
    ]
    return [(term, value) for term, value in facts if value]


def _label(name: str, say: Say) -> str:
    """A label or kind of finding in the reader's language, where it is known there."""
    key = f"label.{name}"
    return say(key) if catalogue.knows(key) else name


def findings(report: Report, say: Say) -> list[dict[str, Any]]:
    """A row for each finding; `colour` is the index of its label's colour."""
    values = sorted(report.segmentation.labels) if report.segmentation else []
    rows = []
    for number, finding in enumerate(report.findings):
        index = values.index(finding.segment) if finding.segment in values else None
        rows.append(
            {
                "id": finding.id,
                "label": _label(finding.label, say),
                "place": wording.place(finding.center_lps_mm),
                "certainty": wording.probability(finding.probability),
                "diameter": wording.millimetres(finding.diameter_mm),
                "volume": wording.volume(finding.volume_mm3),
                "outlined": index is not None,
                "colour": (number if index is None else index) % len(wording.PALETTE),
            }
        )
    return rows


def measured(document: Document, say: Say) -> list[tuple[str, list[dict[str, Any]]]]:
    """(heading or "", rows) of the table of measurements: a row a quantity, a value a finding."""
    found = [{**_unknown(finding, KNOWN_OF_FINDING | {"measurements"}), **finding["measurements"]}
             for finding in document["findings"]]  # fmt: skip
    names = [name for name in dict.fromkeys(n for values in found for n in values) if not name.endswith(NOT_SHOWN)]
    groups: list[tuple[str, list[dict[str, Any]]]] = []
    for heading, belongs in (("", False), (say("detector_evidence"), True)):
        rows = [_quantity(name, found, say) for name in names if name.startswith(EVIDENCE_PREFIX) is belongs]
        if rows:
            groups.append((heading, rows))
    return groups


def measured_of_case(document: Document, say: Say) -> list[dict[str, Any]]:
    """Rows like those of `measured` of what was measured on the case as a whole: one value each."""
    whole = document.get("measurements") or {}
    return [_quantity(name, [whole], say) for name in whole if not name.endswith(NOT_SHOWN)]


def _quantity(name: str, found: list[dict[str, Any]], say: Say) -> dict[str, Any]:
    base, _ = wording.split_unit(name)
    words, source = f"measure.{base}", f"source.{base}"
    if name.startswith(EVIDENCE_PREFIX):
        source = "source.shape"
    return {
        "name": say(words) if catalogue.knows(words) else base.replace("_", " "),
        "values": [_value(name, one.get(name), say) for one in found],
        "source": say(source) if catalogue.knows(source) else "",
    }


def _value(name: str, value: Any, say: Say) -> str:
    if isinstance(value, bool):
        return say("yes" if value else "no")
    if isinstance(value, str) and catalogue.knows(f"value.{value}"):
        return say(f"value.{value}")
    return wording.MISSING if value is None else wording.measurement(name, value)[1]


def advice(document: Document, say: Say) -> list[dict[str, Any]]:
    """What published rules say: finding ("" for the scan), rule, category, text, missing, and the facts it rests on."""
    rows = []
    for entry in document.get("advice") or ():
        other = _unknown(entry, {"rule", "category", "text", "finding_id", "inputs", "missing", "source"})
        basis = [*_taken_from(entry.get("inputs")), *_taken_from(other)]
        rows.append(
            {
                "finding": str(entry.get("finding_id") or "") or say("advice_scan"),
                "rule": str(entry.get("rule") or ""),
                "category": wording.flat(entry.get("category")),
                "text": str(entry.get("text") or ""),
                "missing": wording.flat(entry.get("missing")),
                "source": wording.flat(entry.get("source")),
                "basis": [(term, value) for term, value in basis if value],
            }
        )
    return rows


def _taken_from(inputs: Any) -> Facts:
    """{"age": {"value": 61, "from": "patient file"}} -> [("age", "61 (patient file)")]; anything else on one line."""
    if not isinstance(inputs, dict):
        return [("", wording.flat(inputs))]
    facts = []
    for name, given in inputs.items():
        known = given if isinstance(given, dict) and "value" in given else {"value": given}
        notes = [wording.flat(known.get("from")), wording.flat(_unknown(known, {"value", "from"}))]
        said = ", ".join(note for note in notes if note)
        term, value = wording.measurement(str(name), known["value"])
        value = wording.MISSING if known["value"] is None else value
        facts.append((term, f"{value} ({said})" if said else value))
    return facts


def extra(document: Document) -> list[dict[str, Any]]:
    """Whatever else report.json says, one section a key."""
    return [
        {"heading": name.replace("_", " ").capitalize(), "facts": list(_flat_facts(value))}
        for name, value in _unknown(document, KNOWN).items()
        if value not in (None, [], {})
    ]


def scans(document: Document, say: Say) -> list[dict[str, str]]:
    """The inputs: role, what it is, its grid, how it was made, and its name."""
    return [
        {
            "role": str(entry.get("role") or ""),
            "what": ", ".join(str(entry[key]) for key in ("modality", "description") if entry.get(key)),
            "name": str(entry.get("series_uid") or entry.get("path") or ""),
            "grid": _grid(entry, say),
            "technique": ", ".join(_technique(entry.get("headers") or {})),
        }
        for entry in document["inputs"]
    ]


def not_chosen(document: Document) -> list[dict[str, str]]:
    """The scans that were there and not taken."""
    selection = document["provenance"].get("selection") or {}
    return [
        {
            "what": ", ".join(str(entry[key]) for key in ("modality", "description") if entry.get(key)),
            "name": str(entry.get("series_uid") or entry.get("path") or ""),
            "why": str(entry.get("why") or ""),
        }
        for entry in selection.get("not_chosen") or ()
    ]


def labels(report: Report, say: Say) -> list[dict[str, Any]]:
    """The labels of the segmentation with their volumes; none where each of them is the mask of one finding."""
    if report.segmentation is None or set(report.segmentation.labels) <= {one.segment for one in report.findings}:
        return []
    return [
        {
            "name": _label(entry["name"], say),
            "value": str(entry["value"]),
            "volume": wording.volume(entry["volume_mm3"]),
            "colour": number % len(wording.PALETTE),
        }
        for number, entry in enumerate(wording.label_volumes(report.segmentation))
    ]


def made(document: Document, say: Say) -> Facts:
    """What made the report: digests, device, versions."""
    provenance = document["provenance"]
    facts = [(say("digest"), str(document["pipeline"].get("sha256") or ""))]
    facts += [
        (say("scan_digest", role=str(entry.get("role") or "")), str(entry["sha256"]))
        for entry in document["inputs"]
        if entry.get("sha256")
    ]
    device = provenance.get("device") or {}
    facts.append((say("device"), str(device.get("chosen") or "")))
    facts.append((say("software"), wording.flat(provenance.get("software"))))
    return [(term, value) for term, value in facts if value]


def why(document: Document) -> str:
    """Why the series was chosen, in the words of the stage that did."""
    return str((document["provenance"].get("selection") or {}).get("why") or "")


def times(values: Any, digits: str = "") -> str:
    """[512, 512, 133] -> "512 x 512 x 133"."""
    return TIMES.join(f"{value:{digits}}" for value in values)


def _grid(entry: dict[str, Any], say: Say) -> str:
    shape, spacing = entry.get("shape"), entry.get("spacing_mm")
    return say("voxels", shape=times(shape), spacing=times(spacing, ".3g")) if shape and spacing else ""


def _technique(headers: dict[str, Any]) -> Iterator[str]:
    for key in TECHNIQUE:
        if headers.get(key):
            unit = UNITS_OF_TECHNIQUE.get(key)
            value = str(headers[key])
            yield f"{_shorter(value)} {unit}" if unit else value


def _shorter(number: str) -> str:
    """A decimal string as headers have it, without its zeros: "2.500000" -> "2.5"."""
    return number.rstrip("0").rstrip(".") if "." in number else number


def _unknown(document: dict[str, Any], known: Any) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in known}


def _flat_facts(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from ((str(key).replace("_", " "), wording.flat(entry)) for key, entry in value.items())
    elif isinstance(value, list):
        yield from ((str(number), wording.flat(entry)) for number, entry in enumerate(value, start=1))
    else:
        yield "", wording.flat(value)
