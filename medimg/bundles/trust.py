"""A bundle is code: what it would execute, and whether this machine was told to let it.

Trusted without asking are the digests of the pipelines and recipes that come with medimg, and those recorded on this
machine: a run of `medimg train`, an import with --trust. Weights are data (torch.load with weights_only) and no part of
the digest: it says what would be executed, not how well it works.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from medimg import files
from medimg.bundles.closure import needed, strings
from medimg.bundles.folder import code_files, read_config
from medimg.bundles.home import home
from medimg.errors import OutputError, UntrustedBundleError

SCHEMA = "medimg.trusted/1"
PINS = Path(__file__).with_name("pins.json")
"""Name -> digest of the bundles that come with medimg; a test holds it up to date."""

NAMED = 4
"""Executed things a message names before it counts the rest."""

SHORT = 12
WORD = re.compile(r"[A-Za-z_]\w*")
IMPORT = re.compile(r"\$\s*(import|from)\b")


@dataclass(frozen=True)
class Executed:
    """One thing that parsing would run. kind: "expression", "import" or "component" (the target of a `_target_`)."""

    where: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(frozen=True)
class Audit:
    """What a bundle would execute. scripts: code files of its folder, where the configuration mentions any of them."""

    folder: Path
    digest: str
    executed: tuple[Executed, ...]
    scripts: tuple[str, ...]

    @property
    def harmless(self) -> bool:
        """Whether there is nothing to run at all."""
        return not self.executed and not self.scripts


def audit(folder: Path, config: Mapping[str, Any] | None = None) -> Audit:
    """Read the bundle, or `config` in its place, as data. Raises PipelineError when it cannot be read."""
    closure = needed(read_config(folder) if config is None else config)
    executed = tuple(_executed(closure))
    scripts = code_files(folder) if _mentions_code_of(folder, executed) else []
    digest = hashlib.sha256(json.dumps(closure, sort_keys=True).encode())
    names = [path.relative_to(folder).as_posix() for path in scripts]
    for name, path in zip(names, scripts, strict=True):
        digest.update(f"\0{name}\0{files.sha256_of_file(path)}".encode())
    return Audit(folder, digest.hexdigest(), executed, tuple(names))


def require_trust(found: Audit, trusted: bool = False) -> None:
    """Return when the bundle may run. Raises UntrustedBundleError that says what it would execute."""
    if trusted or why_trusted(found.digest) is not None:
        return
    told = [str(entry) for entry in sorted(found.executed, key=lambda entry: entry.kind == "component")]
    told += [f"script {name}" for name in found.scripts]
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    raise UntrustedBundleError(
        f"{found.folder} is no bundle that medimg knows (digest {found.digest[:SHORT]}), and a bundle is code: "
        f"it would execute {'; '.join(told[:NAMED]) or 'its configuration'}{more}. "
        f"medimg bundle info {found.folder} lists everything; run it with --trust if you trust who made it"
    )


def why_trusted(digest: str) -> str | None:
    """Who vouches for a digest; None when nobody does."""
    from medimg.bundles.recipe import shipped_recipes

    for name, pinned in json.loads(PINS.read_text(encoding="utf-8")).items():
        if digest == pinned:
            return f"comes with medimg ({name})"
    for recipe in shipped_recipes():
        if digest in recipe.trusts:
            return f"pinned by the recipe {recipe.name}"
    try:
        record = json.loads(_record_of(digest).read_text(encoding="utf-8"))
        return f"recorded on this machine: {record['why']}"
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record(folder: Path, why: str) -> bool:
    """Let this machine run the bundle from now on; False where its store cannot be written."""
    found = audit(folder)
    entry = {
        "schema": SCHEMA,
        "digest": found.digest,
        "why": why,
        "path": str(folder.resolve()),
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    try:
        files.write_json(_record_of(found.digest), entry)
    except OutputError:
        return False
    return True


def _record_of(digest: str) -> Path:
    return home() / "trusted" / f"{digest}.json"


def _executed(closure: Mapping[str, Any]) -> list[Executed]:
    found = []
    for path, text in strings(closure):
        where = "::".join(path)
        if text.startswith("$"):
            found.append(Executed(where, "import" if IMPORT.match(text) else "expression", text))
        elif path[-1] == "_target_":
            found.append(Executed(where.removesuffix("::_target_"), "component", text))
    return found


def _mentions_code_of(folder: Path, executed: tuple[Executed, ...]) -> bool:
    """Whether a word of what is executed is the name of a module or a package in the folder."""
    words = {word for entry in executed for word in WORD.findall(entry.text)}
    return any(path.relative_to(folder).parts[0].partition(".")[0] in words for path in code_files(folder))
