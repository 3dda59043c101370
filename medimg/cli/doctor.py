"""`medimg doctor`: what this machine can do."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata, util
from typing import Any

import click

from medimg.cli.plain import say, say_json

SCHEMA = "medimg.doctor/1"
GIB = 2**30

PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel", "pydicom", "imagecodecs", "SimpleITK", "matplotlib", "isal")
"""What medimg stands on; their versions go into a report's provenance as well."""

OPTIONAL = {
    "ignite": "pytorch-ignite: python -m monai.bundle run on the shipped bundles",
    "highdicom": "highdicom: DICOM SEG and SR",
    "fhir": "fhir.resources: --patient with a FHIR R4 bundle",
    "pynetdicom": "pynetdicom: DIMSE with a PACS",
    "dicomweb_client": "dicomweb-client: DICOMweb",
    "openvino": "openvino: another engine for the CPU, medimg bundle export",
    "onnxruntime": "onnx, onnxruntime, onnxscript: medimg bundle export",
    "tqdm": "tqdm: a progress bar for medimg bundle download",
    "ray": "ray: batches over a cluster",
}
"""Module -> package and what it is good for. Nothing of it is needed for preprocess and infer."""

VIEWER_MISSING = "none, NiiVue was not fetched at installation; pages show a still picture; see docs/report.md"


@click.command(
    epilog="""\b
Examples:
  medimg doctor
  medimg doctor --json
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Say what this machine can do: device, bf16, memory, DICOM codecs, optional extras, pipelines.

    Nothing is sent anywhere. Put its output into a bug report.
    """
    found = examine()
    if as_json:
        say_json(found)
        return
    for line in _lines(found):
        say(line)


def examine() -> dict[str, Any]:
    """Everything `medimg doctor` says."""
    import medimg

    return {
        "schema": SCHEMA,
        "medimg": medimg.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version_of(name) for name in PACKAGES},
        "compute": _compute(),
        "codecs": _codecs(),
        "viewer": _viewer(),
        "optional": {name: util.find_spec(name) is not None for name in OPTIONAL},
        "pipelines": _pipelines(),
    }


def version_of(package: str) -> str | None:
    """The installed version, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _viewer() -> str | None:
    """The version of NiiVue that report.html shows scans with; None where it was not fetched at installation."""
    from medimg.report import viewer

    return None if viewer.bundle() is None else viewer.identity()["version"]


def _compute() -> dict[str, Any]:
    import torch

    from medimg.cores import usable_cores
    from medimg.inference.device import choose_device, cpu_bf16

    return {
        "device": choose_device().reason,
        "cuda": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cpu_bf16": cpu_bf16(),
        "cores": usable_cores(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": memory_gib(),
    }


def memory_gib() -> float | None:
    """Physical memory in GiB; None where the system does not say (Windows)."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1)


def _codecs() -> dict[str, str | None]:
    """Name of the transfer syntax -> what decodes it here, None where nothing does."""
    from medimg.dicom.pixels.codec import SYNTAXES, library_of

    native = dict.fromkeys(("uncompressed", "deflated"), "medimg")
    return {**native, **{syntax.name: library_of(syntax) for syntax in SYNTAXES.values()}}


def _pipelines() -> dict[str, dict[str, Any]]:
    """Name -> what `medimg pipelines` says, and in `verified` whether the weights fit the network."""
    from medimg.bundle import load_bundle
    from medimg.classical.classifier import read_classifier
    from medimg.cli.pipelines import describe, weights_in_words
    from medimg.errors import PipelineError
    from medimg.pipeline import find_pipelines

    found = {}
    for pipeline in find_pipelines():
        try:
            if pipeline.has_network:
                load_bundle(pipeline.bundle).trained_network()
            else:
                read_classifier(pipeline.weights)
            problem = None
        except PipelineError as error:
            problem = str(error)
        weights = weights_in_words(describe(pipeline))
        found[pipeline.name] = {"weights": weights, "verified": problem is None, "problem": problem}
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    compute = found["compute"]
    memory = "unknown" if compute["memory_gib"] is None else f"{compute['memory_gib']} GiB"
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in found["packages"].items())
    lines = [
        f"medimg {found['medimg']} on Python {found['python']} ({sys.executable}), {found['platform']}",
        f"packages: {versions}",
        f"device: {compute['device']}",
        f"bf16 on the CPU: {compute['cpu_bf16'] or 'not in hardware; fp32 is used'}",
        f"cores: {compute['cores']} ({compute['torch_threads']} threads), memory: {memory}",
        "DICOM codecs:",
        *(f"  {name}: {library or 'none; pip install -U imagecodecs'}" for name, library in found["codecs"].items()),
        f"viewer of report.html: {VIEWER_MISSING if found['viewer'] is None else 'NiiVue ' + found['viewer']}",
        "optional packages:",
        *(f"  [{'x' if found['optional'][module] else ' '}] {words}" for module, words in OPTIONAL.items()),
        "pipelines:",
    ]
    for name, state in found["pipelines"].items():
        state_in_words = f"weights {state['weights']}, fit the network" if state["verified"] else state["problem"]
        lines.append(f"  {name}: {state_in_words}")
    return lines
