"""One pipeline exported: the files, what they were checked to do, and the page that says how to deploy them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import medimg
from medimg import files
from medimg.bundle import Bundle, load_bundle
from medimg.bundles.as_pipeline import BundlePipeline
from medimg.bundles.folder import inside
from medimg.errors import PipelineError, UsageError
from medimg.export.deploy import deployment_note
from medimg.export.formats import WRITERS, missing
from medimg.export.traced import Exported
from medimg.inference.footprint import Flattened
from medimg.inference.plan import Windows
from medimg.pipeline import Pipeline
from medimg.progress import Progress, silent

SCHEMA = "medimg.export/1"
FORMATS = ("bundle", *WRITERS)


@dataclass(frozen=True)
class Outcome:
    """written: format -> file or folder. differences: format -> share of the largest value. skipped: format -> why."""

    written: dict[str, Path]
    differences: dict[str, float]
    skipped: dict[str, str]


def export_pipeline(
    pipeline: Pipeline,
    output: Path,
    formats: Sequence[str] = FORMATS,
    window: tuple[int, int, int] | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Write the pipeline's network into `output` in every format asked for, with DEPLOY.md and export.json.

    window: of the exported network's input, None for the bundle's own. A format whose packages are not installed is
    skipped and told. Raises UsageError for a pipeline without a network, PipelineError when an export differs from
    torch.
    """
    if not pipeline.has_network:
        raise UsageError(f"{pipeline.name} finds by shape alone: there is no network to export")
    files.output_folder(output)
    recipe = pipeline.recipe if isinstance(pipeline, BundlePipeline) else None
    bundle = load_bundle(pipeline.bundle, trusted=pipeline.trusted, recipe=recipe)
    chosen = window or _window(bundle)
    exported = Exported(Flattened(bundle.trained_network()).eval(), len(pipeline.inputs), chosen)
    outcome = Outcome({}, {}, {})
    # aside until all of it is there: half an export looks like a whole one
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY_PREFIX, dir=output) as name_aside:
        aside = Path(name_aside)
        for done, name in enumerate(formats, start=1):
            if name == "bundle":
                outcome.written[name] = _copied(bundle, aside / "bundle")
            elif packages := missing(name):
                outcome.skipped[name] = f"{', '.join(packages)} not installed: pip install 'medimg[{name}]'"
            else:
                outcome.written[name], outcome.differences[name] = WRITERS[name](exported, aside)
            progress("formats", done, len(formats))
        note = deployment_note(pipeline, bundle, chosen, outcome.written, outcome.differences)
        files.write_text(aside / "DEPLOY.md", note)
        document = _document(pipeline, aside, chosen, outcome)
        _moved(aside, output)
    files.write_json(output / "export.json", document)
    return replace(outcome, written={name: output / path.relative_to(aside) for name, path in outcome.written.items()})


def _moved(folder: Path, target: Path) -> None:
    """Everything in `folder` into `target`, in place of what had its name; an earlier export.json goes first."""
    (target / "export.json").unlink(missing_ok=True)
    for path in sorted(folder.iterdir()):
        place = target / path.name
        if place.is_dir():
            shutil.rmtree(place)
        path.replace(place)


def _window(bundle: Bundle) -> tuple[int, int, int]:
    try:
        size = Windows.of(bundle.inferer).size
    except PipelineError as error:
        raise UsageError(f"{error}; give the network's input with --window I,J,K") from error
    if min(size) < 1:
        raise UsageError("the bundle's window is as large as the image; give the network's input with --window I,J,K")
    return size


def _copied(bundle: Bundle, target: Path) -> Path:
    """The bundle as it is, files only."""
    for path in sorted(bundle.folder.rglob("*")):
        name = path.relative_to(bundle.folder).as_posix()
        if inside(bundle.folder, name).is_file() and "__pycache__" not in path.parts:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return target


def _document(pipeline: Pipeline, output: Path, window: tuple[int, int, int], outcome: Outcome) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "pipeline": pipeline.identity,
        "input_shape": [1, len(pipeline.inputs), *window],
        "files": {name: files.relative(path, output) for name, path in outcome.written.items()},
        "sha256": {name: files.sha256_of_file(path) for name, path in outcome.written.items() if path.is_file()},
        "largest_relative_difference": outcome.differences,
        "skipped": outcome.skipped,
        "software": {"medimg": medimg.__version__},
        "notice": medimg.NOT_A_MEDICAL_DEVICE,
    }
