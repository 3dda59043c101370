"""A bundle's files, read as data: no file outside its folder, no code, bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import yaml

from medimg.errors import PipelineError

CONFIGS = ("configs/inference.json", "configs/inference.yaml", "configs/inference.yml")
"""Where the inference configuration may lie (MONAI bundle specification)."""

METADATA = "configs/metadata.json"

MAX_BYTES = 16 << 20
"""Of a configuration; the largest of the model zoo, with 105 classes named, stays below 100 kB."""

MAX_NODES = 200_000
MAX_DEPTH = 64
"""Values and levels in a configuration: an alias of YAML can make a small file endless."""

CODE_SUFFIXES = frozenset({".py", ".pyc", ".pyd", ".so"})


def inside(folder: Path, name: str) -> Path:
    """folder/name. Raises PipelineError where that leaves the folder: an absolute path, "..", or a link out of it."""
    absolute = PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or PureWindowsPath(name).root
    try:
        escapes = not (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name with NUL
        raise PipelineError(f"{folder}: {name!r} is no path of a file ({error}); repair the bundle") from error
    if absolute or escapes:
        raise PipelineError(f"{folder}: {name!r} lies outside the bundle's folder; put the file itself into it")
    return folder / name


def config_path(folder: Path) -> Path:
    """The inference configuration. Raises PipelineError when there is none."""
    for name in CONFIGS:
        path = inside(folder, name)
        if path.is_file():
            return path
    raise PipelineError(
        f"{folder} is no MONAI bundle: it has no {CONFIGS[0]} (nor .yaml); name the folder that holds "
        "that, or download it again"
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The inference configuration as plain data; nothing in it is evaluated."""
    return read_mapping(config_path(folder))


def read_metadata(folder: Path) -> dict[str, Any]:
    """`configs/metadata.json`, {} where a bundle has none."""
    path = inside(folder, METADATA)
    return read_mapping(path) if path.is_file() else {}


def read_mapping(path: Path) -> dict[str, Any]:
    """A JSON or YAML file that holds a mapping, as dicts, lists, strings, numbers and booleans only.

    Raises PipelineError when it cannot be read, holds anything else (a YAML tag), or is too large or too deep.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PipelineError(f"{path} is larger than {MAX_BYTES >> 20} MiB; it is no configuration")
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        document = _plain(document, iter(range(MAX_NODES)), 0)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise PipelineError(f"cannot read the bundle file {path}: {reason}; repair it, or download it again") from error
    if not isinstance(document, dict):
        raise PipelineError(f"{path} is not a mapping; repair it, or download it again")
    return document


def code_files(folder: Path) -> list[Path]:
    """Every file in the folder that Python could import, sorted. Raises PipelineError for one that leads out of it.

    Not its caches of bytecode: `medimg.bundle` never lets Python look there.
    """
    found = sorted(
        path for path in folder.rglob("*") if path.suffix in CODE_SUFFIXES and "__pycache__" not in path.parts
    )
    return [inside(folder, path.relative_to(folder).as_posix()) for path in found]


def _plain(value: Any, budget: Iterator[int], depth: int) -> Any:
    """A copy without shared parts. Raises ValueError for what is no plain data, or too much of it."""
    if next(budget, None) is None or depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_NODES} values or {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {str(key): _plain(entry, budget, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry, budget, depth + 1) for entry in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError(f"a value of type {type(value).__name__}")
