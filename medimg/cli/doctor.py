"""`medimg doctor`: what this machine can do."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata, util
from typing import Any

import click

SCHEMA = "medimg.doctor/1"
GIB = 2**30

PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel", "pydicom", "SimpleITK", "matplotlib", "isal")
"""What medimg stands on; their versions go into a report's provenance as well."""

OPTIONAL = {
    "ignite": "pytorch-ignite: python -m monai.bundle run on the shipped bundles",
    "gdcm": "python-gdcm: compressed DICOM",
    "pylibjpeg": "pylibjpeg: compressed DICOM",
    "openjpeg": "pylibjpeg-openjpeg: JPEG 2000",
    "jpeg_ls": "pyjpegls: JPEG-LS",
    "highdicom": "highdicom: DICOM SEG and SR",
    "pynetdicom": "pynetdicom: DIMSE with a PACS",
    "dicomweb_client": "dicomweb-client: DICOMweb",
    "openvino": "openvino: another engine for the CPU",
    "ray": "ray: batches over a cluster",
}
"""Module -> package and what it is good for. Nothing of it is needed for preprocess and infer."""

TRANSFER_SYNTAXES = {
    "1.2.840.10008.1.2.1": "uncompressed",
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless, first order",
    "1.2.840.10008.1.2.4.80": "JPEG-LS lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS near lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "HTJ2K lossless",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
}
"""DICOM PS3.6 annex A: those that CT and MR come in."""

ITK_DECODES = frozenset(uid for uid, name in TRANSFER_SYNTAXES.items() if name.startswith(("JPEG", "RLE")))
"""What the GDCM inside SimpleITK decodes, which medimg falls back to."""


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
        click.echo(json.dumps(found, indent=2))
        return
    for line in _lines(found):
        click.echo(line)


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
        "optional": {name: util.find_spec(name) is not None for name in OPTIONAL},
        "pipelines": _pipelines(),
    }


def version_of(package: str) -> str | None:
    """The installed version, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _compute() -> dict[str, Any]:
    import torch

    from medimg.inference.device import choose_device, cpu_bf16

    return {
        "device": choose_device().reason,
        "cuda": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "cpu_bf16": cpu_bf16(),
        "cores": usable_cores(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": memory_gib(),
    }


def usable_cores() -> int:
    """Cores this process may use, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float | None:
    """Physical memory in GiB; None where the system does not say (Windows)."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1)


def _codecs() -> dict[str, list[str]]:
    """Name of the transfer syntax -> who can decode it here, first the one that is used."""
    return {name: _decoders(uid) for uid, name in TRANSFER_SYNTAXES.items()}


def _decoders(uid: str) -> list[str]:
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    syntax = UID(uid)
    if not syntax.is_encapsulated:
        return ["medimg"]
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return []
    plugins = sorted(decoder.available_plugins) if decoder.is_available else []
    return plugins + (["SimpleITK"] if uid in ITK_DECODES else [])


def _pipelines() -> dict[str, dict[str, Any]]:
    """Name -> what `medimg pipelines` says, and in `verified` whether the weights fit the network."""
    from medimg.bundle import load_bundle
    from medimg.cli.pipelines import describe, weights_in_words
    from medimg.errors import PipelineError
    from medimg.pipeline import find_pipelines

    found = {}
    for pipeline in find_pipelines():
        try:
            load_bundle(pipeline.bundle).trained_network()
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
        *(f"  {name}: {', '.join(who) or 'none; pip install medimg[codecs]'}" for name, who in found["codecs"].items()),
        "optional packages:",
        *(f"  [{'x' if found['optional'][module] else ' '}] {words}" for module, words in OPTIONAL.items()),
        "pipelines:",
    ]
    for name, state in found["pipelines"].items():
        state_in_words = f"weights {state['weights']}, fit the network" if state["verified"] else state["problem"]
        lines.append(f"  {name}: {state_in_words}")
    return lines
