"""The import order of the packages, where torch may be imported, and what lies at the top."""

from __future__ import annotations

import ast
import configparser
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

LAYERS = [
    ["errors", "progress", "cores"],
    ["geometry"],
    ["study", "results", "files", "spreadsheet"],
    ["phantoms", "dicom", "volumes"],
    ["patient"],
    ["bundle", "bundles", "pipeline", "datalist"],
    ["inference"],
    ["export"],
    ["classical"],
    ["measure"],
    ["report"],
    ["evaluate"],
    ["followup"],
    ["train"],
    ["stages"],
    ["batch"],
    ["pacs"],
    ["cli"],
    ["__main__"],
]
"""Lowest first. A part imports only from layers below its own, and from itself."""

SAME_LAYER = {
    ("results", "study"),
    ("bundle", "pipeline"),
    ("bundle", "bundles"),
    ("bundles", "pipeline"),
    ("phantoms", "volumes"),
    ("phantoms", "dicom"),
}
"""(who, whom): the imports within a layer that there may be; one direction only."""

MAY_IMPORT_TORCH = {"inference", "train", "bundle", "export"}

MAY_CALL_MONAI = {"download"}
"""Modules that do so inside a function only: MONAI's downloader needs all of MONAI."""

TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "benchmarks",
    "constraints.txt", "docs", "environment.yml", "medimg", "pipelines", "pyproject.toml", "sample_data", "setup.cfg",
    "tests",
}  # fmt: skip

RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}


def modules(repository: Path) -> list[Path]:
    return sorted((repository / "medimg").rglob("*.py"))


def part_of(path: Path, repository: Path) -> str:
    """medimg/dicom/read.py -> dicom; medimg/__init__.py -> ""."""
    first = path.relative_to(repository / "medimg").parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Absolute names of everything the module imports, in functions and for type checking too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_parts(path: Path) -> set[str]:
    """The parts of medimg that the module imports."""
    names = (name.split(".") for name in imported(path))
    return {parts[1] for parts in names if parts[0] == "medimg" and len(parts) > 1 and parts[1] in RANK}


def test_every_part_of_medimg_has_its_layer(repository):
    parts = {part_of(path, repository) for path in modules(repository)} - {""}
    assert parts <= set(RANK), "give a new part its place in LAYERS"


def test_imports_go_one_way_from_errors_to_cli(repository):
    wrong = []
    for path in modules(repository):
        part = part_of(path, repository)
        if not part:
            assert not own_parts(path), "medimg/__init__.py imports nothing of medimg"
            continue
        for other in own_parts(path) - {part}:
            if RANK[other] >= RANK[part] and (part, other) not in SAME_LAYER:
                wrong.append(f"{path.relative_to(repository)} imports medimg.{other}")
    assert wrong == []


def test_no_two_modules_of_a_package_import_each_other(repository):
    """No cycles among modules either, whatever the package."""
    names = {".".join(path.relative_to(repository).with_suffix("").parts): path for path in modules(repository)}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    graph = {}
    for name, path in names.items():
        targets = {target if target in names else target.rpartition(".")[0] for target in imported(path)}
        graph[name] = (targets & set(names)) - {name, "medimg"}
    for package in (name for name, path in names.items() if path.name == "__init__.py"):
        # a package's face gathers what its modules offer; those do not import it back
        for member, targets in graph.items():
            if member.startswith(package + ".") and package in targets:
                pytest.fail(f"{member} imports its own package {package}")
    visited: set[str] = set()
    trail: list[str] = []

    def visit(name: str) -> None:
        assert name not in trail, f"import cycle: {' -> '.join([*trail[trail.index(name) :], name])}"
        if name in visited:
            return
        trail.append(name)
        for target in sorted(graph[name]):
            visit(target)
        trail.pop()
        visited.add(name)

    for name in sorted(graph):
        visit(name)


def test_only_inference_training_and_bundles_import_torch(repository):
    wrong = []
    for path in modules(repository):
        heavy = {name.split(".")[0] for name in imported(path)} & {"torch", "monai", "ignite"}
        part = part_of(path, repository)
        # a command and a stage may, inside the function that needs it: see test_help for what a command costs
        if heavy and part not in MAY_IMPORT_TORCH | {"cli", "stages"} and path.stem not in MAY_CALL_MONAI:
            wrong.append(f"{path.relative_to(repository)} imports {', '.join(sorted(heavy))}")
    assert wrong == []


def test_the_library_never_prints(repository):
    wrong = []
    for path in modules(repository):
        if part_of(path, repository) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                wrong.append(f"{path.relative_to(repository)}:{node.lineno}")
    assert wrong == []


def test_the_wheel_names_every_package(repository):
    config = configparser.ConfigParser()
    config.read(repository / "setup.cfg")
    named = set(config["options"]["packages"].split())
    there = {
        ".".join(path.parent.relative_to(repository).parts)
        for path in modules(repository)
        if path.name == "__init__.py"
    }
    assert named == there | {"medimg_pipelines"}
    without_init = {path.parent for path in modules(repository) if not (path.parent / "__init__.py").is_file()}
    assert without_init == set()


def test_the_top_level_is_as_the_design_fixes_it(repository):
    listed = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= TOP_LEVEL


def test_unit_tests_mirror_the_package(repository):
    unit = repository / "tests" / "unit"
    strays = [path for path in unit.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    strays = [path for path in strays if not (repository / "medimg" / path.relative_to(unit)).is_dir()]
    assert strays == []
