"""Pipelines: `pipeline.yaml` read, checked and found. Says what to run; runs nothing and imports no torch."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from medimg import files
from medimg.errors import PipelineError, UsageError

SCHEMA = "medimg.pipeline/1"
PIPELINE_FILE = "pipeline.yaml"
PACKAGE = "medimg_pipelines"
"""The import package that setup.cfg maps the top-level folder `pipelines/` to."""

STAGES = ("select", "preprocess", "infer", "measure", "report")
"""In the order they can be chained."""

TASKS = ("detection", "segmentation")

PRECONDITIONS = ("skull_stripped",)
"""What an infer stage can require of a scan; `medimg.inference.preconditions` checks them."""

NUMBER = (int, float)

STAGE_OPTIONS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "select": {"prefer": str},
    "preprocess": {"save": bool},
    "infer": {"requires": list},
    "infer detection": {
        "threshold": NUMBER,
        "method": str,
        "roi": str,
        "flips": bool,
        "label": str,
        "shape_weight": NUMBER,
        "calibration": list,
    },
    "infer segmentation": {
        "channels": list,
        "labels": dict,
        "paint": dict,
        "threshold": (*NUMBER, dict),
        "min_volume_mm3": dict,
        "fill_holes": list,
        "fill_rings": list,
        "needs": dict,
        "without": dict,
        "min_confidence": dict,
        "never_empty": list,
        "brighter": dict,
    },
    "measure": {"label": str, "groups": dict, "min_volume_mm3": NUMBER, "advice": str},
    "report": {"formats": list, "codes": dict, "language": str},
}
"""Stage -> option -> type; those of infer depend on the task as well. docs/pipelines.md says what each means."""

CODE_CATEGORIES = ("abnormal", "anatomy", "region")
"""What a code of a report stage may be called at its end: which kind of thing it names (docs/pipelines.md)."""

INFERENCE_CONFIG = Path("configs") / "inference.json"
WEIGHTS = Path("models") / "model.pt"
SHAPE = Path("configs") / "shape.json"
"""In a bundle: the network's weights, and the coefficients of the classical detector."""

MODEL_CARD = Path("docs") / "README.md"


@dataclass(frozen=True)
class PipelineInput:
    """One channel of the network: the role a volume plays and the modality it must have.

    optional: the pipeline also works, on what is then said to be worse or not available, without it.
    """

    role: str
    modality: str
    optional: bool = False


@dataclass(frozen=True)
class Stage:
    """One step of the chain and its options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipeline:
    """A `pipeline.yaml`. `folder` holds it; `bundle` is the MONAI bundle it runs. Inputs are in channel order.

    automatic: whether a scan that fits may be given to it when nobody names a pipeline. trusted: the user said that its
    bundle may be executed whatever is in it (--trust).
    """

    name: str
    version: str
    title: str
    task: str
    licence: str
    inputs: tuple[PipelineInput, ...]
    stages: tuple[Stage, ...]
    folder: Path
    bundle: Path
    automatic: bool = True
    trusted: bool = False

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles in channel order."""
        return tuple(entry.role for entry in self.inputs)

    @property
    def modalities(self) -> frozenset[str]:
        """The modalities of all inputs."""
        return frozenset(entry.modality for entry in self.inputs)

    @property
    def has_network(self) -> bool:
        """False for a pipeline that finds by shape alone and needs no torch."""
        return bool(self.options("infer").get("method", "network") == "network")

    @property
    def weights(self) -> Path:
        """What was learned: the network's state dict, or the classical detector's coefficients; absent before."""
        return self.bundle / (WEIGHTS if self.has_network else SHAPE)

    @property
    def model_card(self) -> Path:
        """What the model is, was trained on, and cannot do."""
        return self.bundle / MODEL_CARD

    @cached_property
    def sha256(self) -> str:
        """Digest of everything that decides the result: pipeline.yaml, the bundle's configs and its weights."""
        digest = hashlib.sha256()
        parts = [self.folder / PIPELINE_FILE, *sorted((self.bundle / "configs").glob("*.json")), self.weights]
        for part in parts:
            if part.is_file():
                digest.update(f"{part.name}\0{files.sha256_of_file(part)}\0".encode())
        return digest.hexdigest()

    @property
    def identity(self) -> dict[str, str]:
        """The `pipeline` entry of a report."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}

    def options(self, stage: str) -> dict[str, Any]:
        """Options of the first stage of that name, {} when there is none."""
        return next((entry.options for entry in self.stages if entry.name == stage), {})


def find_pipelines() -> list[Pipeline]:
    """The pipelines installed with medimg, by name."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise PipelineError(f"package {PACKAGE} is not installed; reinstall medimg")
    found = [path for root in spec.submodule_search_locations for path in Path(root).glob(f"*/{PIPELINE_FILE}")]
    return sorted((read_pipeline(path) for path in found), key=lambda pipeline: pipeline.name)


def load_pipeline(name_or_path: str, *, trusted: bool = False) -> Pipeline:
    """A pipeline by its name, or by the path of its YAML, its folder, or the bundle inside that folder.

    trusted: the user lets its bundle be executed, whatever is in it (--trust).
    """
    path = Path(name_or_path)
    for candidate in (path, path / PIPELINE_FILE, path.parent / PIPELINE_FILE):
        if path.exists() and candidate.is_file() and candidate.suffix in {".yaml", ".yml"}:
            return replace(read_pipeline(candidate), trusted=trusted)
    known = find_pipelines()
    for pipeline in known:
        if pipeline.name == name_or_path:
            return replace(pipeline, trusted=trusted)
    names = ", ".join(pipeline.name for pipeline in known)
    hint = "; a MONAI bundle is named with --bundle" if (path / "configs").is_dir() else ""
    raise UsageError(f"no pipeline {name_or_path!r}: neither a pipeline.yaml nor one of {names}{hint}")


def read_pipeline(path: Path) -> Pipeline:
    """Read and check one `pipeline.yaml`. Raises PipelineError naming what is wrong and where."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PipelineError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise PipelineError(f'{path} is not a pipeline: it must be a mapping with "schema: {SCHEMA}"')
    required = ("name", "version", "title", "task", "licence", "inputs", "stages")
    if missing := [key for key in required if not document.get(key)]:
        raise PipelineError(f"{path}: {', '.join(missing)} not given")
    if document["task"] not in TASKS:
        raise PipelineError(f"{path}: task {document['task']!r}; choose one of {', '.join(TASKS)}")
    folder = path.resolve().parent
    name, version, title, task, licence = (str(document[key]) for key in required[:5])
    return Pipeline(
        name=name,
        version=version,
        title=title,
        task=task,
        licence=licence,
        inputs=tuple(_read_input(path, entry) for entry in _as_list(path, "inputs", document["inputs"])),
        stages=_read_stages(path, document["stages"], document["task"]),
        folder=folder,
        bundle=(folder / str(document.get("bundle", "bundle"))).resolve(),
        automatic=_as_bool(path, "automatic", document.get("automatic", True)),
    )


def _read_input(path: Path, entry: Any) -> PipelineInput:
    if not isinstance(entry, dict) or set(entry) - {"optional"} != {"role", "modality"}:
        raise PipelineError(f"{path}: an input is {{role, modality}}, or with optional, not {entry!r}")
    optional = entry.get("optional", False)
    if not isinstance(optional, bool):
        raise PipelineError(f"{path}: optional is true or false, not {optional!r}")
    return PipelineInput(role=str(entry["role"]), modality=str(entry["modality"]), optional=optional)


def _as_bool(path: Path, key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise PipelineError(f"{path}: {key} must be true or false, not {value!r}")
    return value


def _as_list(path: Path, key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PipelineError(f"{path}: {key} must be a list, not {value!r}")
    return value


def _read_stages(path: Path, entries: Any, task: str) -> tuple[Stage, ...]:
    stages = []
    for entry in _as_list(path, "stages", entries):
        if not isinstance(entry, dict) or len(entry) != 1:
            raise PipelineError(f"{path}: a stage is one name with its options, not {entry!r}")
        ((name, options),) = entry.items()
        if name not in STAGES:
            raise PipelineError(f"{path}: unknown stage {name!r}; stages are {', '.join(STAGES)}")
        if not isinstance(options or {}, dict):
            raise PipelineError(f"{path}: the options of stage {name} are not a mapping")
        _check_options(path, name, options or {}, task)
        stages.append(Stage(name, dict(options or {})))
    names = [stage.name for stage in stages]
    if names != [name for name in STAGES if name in names]:
        raise PipelineError(f"{path}: stages must be in the order {' -> '.join(STAGES)}, each at most once")
    if "infer" not in names and {"measure", "report"} & set(names):
        raise PipelineError(f"{path}: measure and report need an infer stage before them")
    return tuple(stages)


def _check_options(path: Path, stage: str, options: dict[str, Any], task: str) -> None:
    """Raise PipelineError for an option that the stage does not have, or of another type: nothing is ignored."""
    known = {**STAGE_OPTIONS[stage], **STAGE_OPTIONS.get(f"{stage} {task}", {})}
    for name, value in options.items():
        if name not in known:
            raise PipelineError(f"{path}: stage {stage} has no option {name!r}; it has {', '.join(known)}")
        if not isinstance(value, known[name]) or (isinstance(value, bool) and known[name] is not bool):
            raise PipelineError(f"{path}: stage {stage}: {name} cannot be {value!r}; see docs/pipelines.md")
    for name, code in options.get("codes", {}).items():
        if not _is_code(code):
            words = f"[scheme, value, meaning] and may end in {', '.join(CODE_CATEGORIES)}"
            raise PipelineError(f"{path}: the code of {name!r} is {words}, not {code!r}")
    if unknown := sorted(set(map(str, options.get("requires", ()))) - set(PRECONDITIONS)):
        raise PipelineError(f"{path}: requires {', '.join(unknown)}; known are {', '.join(PRECONDITIONS)}")


def _is_code(entry: Any) -> bool:
    """Whether an entry of `codes` is [scheme, value, meaning], or that and a category, all of them text."""
    texts = isinstance(entry, list) and all(isinstance(part, str) and part for part in entry)
    return texts and (len(entry) == 3 or (len(entry) == 4 and entry[3] in CODE_CATEGORIES))
