"""Where the folders of cases go: a folder of the file system, or an object store that fsspec knows."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg import files
from medimg.errors import OutputError, UsageError
from medimg.report.paths import with_absolute_paths
from medimg.report.read import REPORT_FILE

STAGED = ".medimg-case-"
"""How the names of folders that are being written begin."""


@dataclass(frozen=True)
class Place:
    """`root`: a folder, or a URL of fsspec's such as s3://bucket/results.

    staged: in a folder, a case is written under another name and gets its own when it is whole: of a machine that is
    lost in the middle nothing can be mixed with what the next one writes. part: tells the batches that share `root`.
    """

    root: str
    staged: bool = False
    part: str = ""

    @property
    def is_store(self) -> bool:
        """Whether it is a URL."""
        return "://" in self.root

    def of(self, case: str) -> str:
        """Where the folder of that case is."""
        return f"{self.root.rstrip('/')}/{case}"

    @contextlib.contextmanager
    def folder(self, case: str) -> Iterator[Path]:
        """A folder to write the case to; what is in it is in its place when the block ends well.

        Raises OutputError when the place cannot take it.
        """
        if self.is_store:
            with tempfile.TemporaryDirectory(prefix=STAGED) as made:
                yield Path(made)
                self._upload(Path(made), case)
        elif self.staged:
            options: dict[str, Any] = {"dir": self.root, "ignore_cleanup_errors": True}  # it is gone when all went well
            with self._told(), tempfile.TemporaryDirectory(prefix=f"{STAGED}{self.part}", **options) as made:
                yield Path(made)
                _put_in_place(Path(made), Path(self.of(case)))
        else:
            yield Path(self.of(case))

    @contextlib.contextmanager
    def earlier(self, case: str) -> Iterator[Path | None]:
        """The folder of a case that is whole there already, to read; None where there is none."""
        if not self.is_store:
            yield Path(self.of(case))
            return
        with tempfile.TemporaryDirectory(prefix=STAGED) as made:
            with self._told():
                store, path = opened_store(self.of(case))
                there = store.exists(f"{path}/{REPORT_FILE}")
                if there:
                    store.get(f"{path}/", f"{made}/", recursive=True)
            yield Path(made) if there else None

    def clean(self) -> None:
        """Remove what lost machines of this batch left half-written; none of it may be writing."""
        if not self.is_store:
            for folder in Path(self.root).glob(f"{STAGED}{self.part}*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _upload(self, made: Path, case: str) -> None:
        """report.json goes last: where it is, the rest is whole. From a store only absolute paths lead to the scans."""
        report = made / REPORT_FILE
        if report.is_file():
            document = json.loads(report.read_text(encoding="utf-8"))
            document |= {key: with_absolute_paths(document[key], made) for key in ("inputs", "provenance")}
            files.write_json(report, document)
        with self._told():
            store, path = opened_store(self.of(case))
            if store.exists(path):
                store.rm(path, recursive=True)
            whole = sorted((file for file in made.rglob("*") if file.is_file()), key=lambda file: file == report)
            for file in whole:
                target = f"{path}/{file.relative_to(made).as_posix()}"
                store.makedirs(target.rpartition("/")[0], exist_ok=True)
                store.put_file(str(file), target)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self.root}: {error}; free space or name another place") from error


def opened_store(url: str) -> tuple[Any, str]:
    """fsspec's file system of a URL, and the path in it. Raises UsageError where there is none."""
    try:
        import fsspec

        store, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UsageError(f"cannot reach {url}: {error}; pip install 'medimg[cluster]' and what that names") from error
    except ValueError as error:
        raise UsageError(f"{url} is no place that fsspec knows: {error}") from error
    return store, str(path)


def _put_in_place(made: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    made.chmod(0o777 & ~files.umask())
    made.replace(target)
    files.sync_folder(target.parent)
