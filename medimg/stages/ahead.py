"""Importing what a network needs while the scan is read: torch and MONAI take longer than most scans."""

from __future__ import annotations

import contextlib
import threading

from medimg.pipeline import Pipeline


def import_ahead(pipeline: Pipeline | None) -> None:
    """Begin to import the engine in another thread, unless the pipeline is known to have no network.

    Whoever imports it next waits for that thread. It is no daemon: a program that ends in the middle of loading torch
    can crash, so a command that fails early ends a moment later instead.
    """
    if pipeline is None or pipeline.has_network:
        threading.Thread(target=_import_engine, name="import torch").start()


def _import_engine() -> None:
    # what is wrong with an installation is said where the engine is used
    with contextlib.suppress(Exception):
        import medimg.inference.answer
        import medimg.inference.find
        import medimg.inference.segment
        import medimg.inference.torch_runner  # noqa: F401
