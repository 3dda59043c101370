"""Importing what a run needs while the scan is read: torch and MONAI take longer than most scans."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence

from medimg.inference.options import Engine
from medimg.pipeline import Pipeline
from medimg.stages.known import known

_RUNNING: list[threading.Thread] = []

ENGINE = "import ahead"
"""Name of the thread that imports torch and MONAI."""

UNUSED = ("ignite", "itk", "matplotlib", "pandas", "sklearn", "tensorboard")
"""Packages which MONAI imports where it finds them, for its handlers, readers, pictures, profiling and metrics: a third
of the time it takes, and nothing that inference has a use for."""

PICTURES = ("matplotlib.backends.backend_agg", "matplotlib.figure", "reportlab.platypus", "reportlab.pdfbase.ttfonts")
"""What a report's pictures and its PDF are made with."""


def import_ahead(pipeline: Pipeline | None, engine: Engine) -> None:
    """Begin to import the engine in another thread, unless the pipeline is known to have no network.

    Where neither torch nor MONAI is needed, OpenVINO and the packages of pictures are.

    `imported` must be called before anything of it is used. The thread is no daemon: a program that ends in the middle
    of loading torch can crash, so a command that fails early ends a moment later instead.
    """
    if pipeline is None or pipeline.has_network:
        wanted, name = (_import_openvino, "import pictures") if known(pipeline, engine) else (_import_engine, ENGINE)
        thread = threading.Thread(target=wanted, name=name)
        _RUNNING.append(thread)
        thread.start()


def imported() -> None:
    """Wait for what `import_ahead` began: MONAI cannot be imported by two threads at once.

    Nor may anything else be imported beside what comes then: MONAI looks for the parts of a bundle in sys.modules, and
    fails when that grows under it.
    """
    while _RUNNING:
        _RUNNING.pop().join()


def engine_imported() -> None:
    """Wait for torch and MONAI alone, where they were begun: pictures may come beside a network that is not MONAI's."""
    for thread in _RUNNING:
        if thread.name == ENGINE:
            thread.join()


@contextlib.contextmanager
def _left_out(packages: Sequence[str]) -> Iterator[None]:
    """Let packages that are not imported yet seem not to be installed, which MONAI allows for each of them."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: importlib raises ModuleNotFoundError
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _import_engine() -> None:
    # what is wrong with an installation is said where the engine is used
    with contextlib.suppress(Exception), _left_out(UNUSED):
        import medimg.inference.answer
        import medimg.inference.find
        import medimg.inference.segment
        import medimg.inference.torch_runner  # noqa: F401


def _import_openvino() -> None:
    from medimg.inference.openvino_package import load_openvino

    with contextlib.suppress(Exception):
        load_openvino()
    # beside the network, which is safe here: nothing of MONAI's is built
    for name in PICTURES:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
