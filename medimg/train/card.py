"""What a trained bundle says of itself: docs/README.md and configs/metadata.json, made from its training record."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

from medimg.pipeline import Pipeline

CARD = """# {name} {version} (model card)

**For research use only. Not a medical device.** It is not for diagnosis, treatment or any clinical decision.

{title}. {made} Its form, preprocessing, thresholds and calibration are those of
{parent}, whose own figures say nothing about these weights.

## Data
{data}

| use | number | cases |
|---|---|---|
{cases}

## Training
| | {runs} |
|---|{rule}|
{training}

Made with medimg {medimg}. `training.json` beside this file has the whole record.

## Measured
{measured}

## What it cannot do
* Nothing was measured beyond this validation: other scanners, hospitals, protocols, ages and diseases are untested.
* Thresholds, filters and calibration were chosen for other weights. Measure them again: `medimg evaluate`.
* {last}
"""
"""Filled by `model_card`."""

FACTS = {
    "seed": "seed",
    "fold": "fold",
    "config_sha256": "configuration, SHA-256",
    "start_sha256": "began with the weights of SHA-256",
    "steps": "steps",
    "hours": "hours",
    "precision": "precision",
    "parameters": "parameters",
    "penalty": "penalty",
    "blobs": "blobs a case",
    "nodule_blobs": "blobs that are nodules",
    "other_blobs": "blobs that are none",
    "weights_sha256": "weights, SHA-256",
    "torch": "torch",
    "machine": "machine",
}
"""Key of a record -> how the card calls it, in its order."""

KEPT = ("schema", "supported_apps", "required_packages_version", "task", "data_type", "image_classes")
"""Of the metadata of the bundle that a run was made from, with `label_classes`, `pred_classes` and the next."""

FORMS = ("label_classes", "pred_classes", "network_data_format")

RESEARCH = "For research use only. Not a medical device: not for diagnosis, treatment or any clinical decision"

PACKAGES = ("monai", "torch", "numpy")
"""Whose versions metadata.json names."""

Record = Mapping[str, Any]


def model_card(pipeline: Pipeline, version: str, record: Record) -> str:
    """The card as Markdown. record: of one run, or of an ensemble (`members`)."""
    runs = _runs(record)
    several = len(runs) > 1
    made = "Weights of one run of `medimg train`."
    last = "The cases above that were trained on tell nothing about it; those kept for validation are few."
    if several:
        made = f"The mean of {len(runs)} networks, each of a run of `medimg train`, packed by `medimg ensemble`."
        last = "The networks together have not been measured; each was, on the cases that it did not see."
    return CARD.format(
        name=pipeline.name,
        version=version,
        title=pipeline.title.rstrip("."),
        made=made,
        parent=_made_from(pipeline, record),
        data=_data(runs),
        cases="\n".join(_cases(runs)),
        runs=" | ".join(str(run.get("run", "this run")) for run in runs),
        rule="|".join(["---"] * len(runs)),
        training="\n".join(_rows(FACTS, [{**run, "fold": _fold(run)} for run in runs])),
        medimg=record.get("medimg", "of unknown version"),
        measured="\n".join(_measured(runs)),
        last=last,
    )


def metadata(pipeline: Pipeline, parent: Record, version: str, record: Record) -> dict[str, Any]:
    """configs/metadata.json: the form of inputs and outputs as in `parent`, everything else of these weights."""
    runs = _runs(record)
    made = f"medimg {'ensemble' if len(runs) > 1 else 'train'} {record.get('medimg', '')}".strip()
    head = {name: parent[name] for name in KEPT if name in parent}
    versions = {f"{'pytorch' if name == 'torch' else name}_version": _installed(name) for name in PACKAGES}
    return {
        **head,
        "name": f"{pipeline.name} {version}",
        "version": version,
        "changelog": {version: f"weights of {made}, from the bundle of {_made_from(pipeline, record)}"},
        **versions,
        "description": f"{pipeline.title}. Weights of {made}; docs/README.md says on which cases.",
        "authors": f"whoever called {made}",
        "copyright": "that of whoever trained it; the terms of the training images apply",
        "data_source": _data(runs),
        "eval_metrics": {name: statistics.mean(values) for name, values in _validation(runs).items()},
        "intended_use": RESEARCH,
        **{name: parent[name] for name in FORMS if name in parent},
    }


def _made_from(pipeline: Pipeline, record: Record) -> str:
    return str(record.get("made_from", f"{pipeline.name} {pipeline.version}"))


def _runs(record: Record) -> list[Record]:
    return list(record.get("members", [record]))


def _fold(run: Record) -> str | None:
    return (run["task"].get("fold") if "task" in run else run.get("fold")) or None


def _data(runs: Sequence[Record]) -> str:
    """Where the cases are from and their licences, as far as the datalist says."""
    told = []
    for data in {str(run.get("data")): run.get("data") for run in runs}.values():
        if not data:
            told.append("Where the cases are from was not recorded.")
            continue
        licence = f"licence: {data['licence']}" if data.get("licence") else "their licence is not named there"
        told.append(f"Cases of {data['name']}; {licence}.")
        told += [f"{case}: {own}." for case, own in data.get("case_licences", {}).items()]
    return " ".join(told)


def _cases(runs: Sequence[Record]) -> list[str]:
    """A row a use and run: in an ensemble each run has its own."""
    rows = []
    for run in runs:
        name = f" ({run['run']})" if "run" in run else ""
        for use, cases in run.get("cases", {}).items():
            unique = list(dict.fromkeys(cases))
            rows.append(f"| {use}{name} | {len(unique)} | {', '.join(unique)} |")
        if "cases" not in run:
            rows.append(f"| not recorded{name} | | |")
    return rows


def _rows(names: Mapping[str, str], runs: Sequence[Record]) -> list[str]:
    told = {key: [run.get(key) for run in runs] for key in names}
    return [
        f"| {names[key]} | {' | '.join('' if value is None else str(value) for value in values)} |"
        for key, values in told.items()
        if any(value is not None for value in values)
    ]


def _validation(runs: Sequence[Record]) -> dict[str, list[float]]:
    """Metric -> its value in every run that has it."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.get("validation", {}).items():
            if name.startswith("val_") and value is not None:
                found.setdefault(name.replace("val_", "validation_", 1), []).append(float(value))
    return found


def _measured(runs: Sequence[Record]) -> list[str]:
    found = _validation(runs)
    if not found:
        return ["Nothing: no case was kept for validation, or it was not scored."]
    lines = ["The averaged weights on the cases kept for validation, at the last validation of each run:", ""]
    if len(runs) == 1:
        return [
            *lines,
            "| figure | |",
            "|---|---|",
            *(f"| {name} | {values[0]:.4g} |" for name, values in found.items()),
        ]
    lines += ["| figure | mean (SD) | runs |", "|---|---|---|"]
    for name, values in found.items():
        spread = f" ({statistics.stdev(values):.2g})" if len(values) > 1 else ""
        lines.append(f"| {name} | {statistics.mean(values):.4g}{spread} | {', '.join(f'{v:.4g}' for v in values)} |")
    return lines


def _installed(package: str) -> str:
    try:
        return installed(package).partition("+")[0]
    except PackageNotFoundError:
        return "not installed"
