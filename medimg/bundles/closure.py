"""Which part of a bundle's configuration medimg would evaluate: everything else is never given to a parser.

MONAI's syntax (`monai.bundle.ReferenceResolver`): "@a::b" refers to an id, "#" is an older spelling of "::", "@::b" is
relative to where it stands, "%a" copies the text of an id, and "%file.json::a" that of another file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from medimg.errors import PipelineError

ALWAYS = ("imports", "network_def", "preprocessing")
SEGMENTATION = ("inferer", "postprocessing")
DETECTION = ("detector", "detector_ops")
"""A detection bundle's own inferer and postprocessing are scripts; medimg does their few steps itself."""

LEFT_OUT = re.compile(r"(LoadImage|EnsureChannelFirst|SaveImage|Invert)[A-Za-z]*$")
"""Targets of transforms that medimg does itself: reading, writing, and going back to the source grid."""

REPLACED = frozenset({"bundle_root", "device"})
"""Ids that medimg sets, whatever the bundle says."""

REFERENCE = re.compile(r"@((?:::)*)(\w*(?:::\w+)*)")
MACRO_FILE = re.compile(r"\.(json|ya?ml)\b", re.IGNORECASE)

Path = tuple[str, ...]


def is_detection(config: Mapping[str, Any]) -> bool:
    """Whether the bundle has a `detector`, as MONAI's detection bundles do."""
    return "detector" in config


def needed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level ids that a bundle's network, transforms and inferer need, transitively; a copy.

    Transforms that medimg does itself are left out first. Raises PipelineError for a reference to nothing.
    """
    roots = ALWAYS + (DETECTION if is_detection(config) else SEGMENTATION)
    pruned = {**config}
    for name in ("preprocessing", "postprocessing"):
        if name in config:
            pruned[name] = _without_left_out(follow(config, config[name]))
    found: dict[str, Any] = {}
    waiting = [root for root in roots if root in pruned]
    while waiting:
        name = waiting.pop()
        if name in found or name in REPLACED:
            continue
        if name not in pruned:
            raise PipelineError(f"the configuration refers to @{name}, which it does not have; repair the bundle")
        found[name] = pruned[name]
        waiting += [top for path, text in strings(pruned[name], (name,)) for top in _referred(path, text)]
    return {name: found[name] for name in sorted(found)}


def follow(config: Mapping[str, Any], value: Any) -> Any:
    """What a value that is nothing but a reference stands for; any other value as it is."""
    for _ in range(len(config)):
        match = REFERENCE.fullmatch(value.replace("#", "::")) if isinstance(value, str) else None
        if match is None or match.group(1):
            return value
        value = lookup(config, match.group(2))
    return value


def lookup(config: Any, identifier: str) -> Any:
    """The value of "a::b::0"; None where there is none."""
    for part in identifier.split("::"):
        if isinstance(config, Mapping):
            config = config.get(part)
        elif isinstance(config, list) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        else:
            return None
    return config


def strings(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every string in a configuration, with the path of ids that leads to it."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from strings(entry, (*path, str(key)))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from strings(entry, (*path, str(index)))


def _referred(path: Path, text: str) -> Iterator[str]:
    """The top-level ids that a string refers to."""
    normal = text.replace("#", "::")
    if normal.startswith("%"):
        if MACRO_FILE.search(normal):
            raise PipelineError(f"{'::'.join(path)}: {text} reads another file; write its content into the bundle")
        normal = "@" + normal[1:]
    elif not normal.startswith("$") and REFERENCE.fullmatch(normal) is None:
        return
    for relative, identifier in REFERENCE.findall(normal):
        names = [part for part in identifier.split("::") if part]
        steps = len(relative) // 2
        yield from ([*path[: len(path) - steps], *names] if steps else names)[:1]


def _without_left_out(chain: Any) -> Any:
    transforms = chain.get("transforms") if isinstance(chain, Mapping) else None
    if not isinstance(transforms, list):
        return chain
    kept = [entry for entry in transforms if not LEFT_OUT.search(target_of(entry))]
    return {**chain, "transforms": kept}


def target_of(entry: Any) -> str:
    """The last part of an entry's `_target_`; "" where there is none."""
    return str(entry.get("_target_", "")).rpartition(".")[2] if isinstance(entry, Mapping) else ""
