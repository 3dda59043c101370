"""Bundles fetched by MONAI's own downloader, checked, and kept in the library."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from medimg import files
from medimg.bundles.folder import CONFIGS
from medimg.bundles.home import library
from medimg.bundles.large_files import LargeFile, read_large_files
from medimg.bundles.recipe import shipped_recipes
from medimg.bundles.store import import_bundle
from medimg.errors import DownloadError, MedimgError, UsageError

SOURCES = ("github", "monaihosting", "huggingface_hub", "ngc")
"""Of `monai.bundle.download`."""

TIMEOUT_S = 30.0
"""Without an answer for so long, there is no network."""


def default_source() -> str:
    """MONAI's own hosting where its client is installed, else the releases of the model zoo on GitHub."""
    return "monaihosting" if importlib.util.find_spec("huggingface_hub") else "github"


def download_bundle(
    name: str, version: str | None = None, source: str | None = None, url: str | None = None, *, progress: bool = True
) -> Path:
    """Fetch a bundle and its large files into the library, whole or not at all; return its folder.

    Raises UsageError when the version is not known, DownloadError when it cannot be fetched or is not what was
    promised, PipelineError when what came is no sound bundle.
    """
    chosen = source or default_source()
    version = version or next((recipe.version for recipe in shipped_recipes() if recipe.name == name), None)
    if version is None and url is None and chosen == "github":
        raise UsageError(f"which version of {name}? Give --version; the model zoo's page lists them")
    library().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=files.TEMPORARY_PREFIX, dir=library()) as temporary:
        place = Path(temporary)
        with _as_download_error(name, url or chosen):
            _fetch(place, name, version, chosen, url, progress)
        folder = _bundle_in(place, name)
        for entry in read_large_files(folder):
            if not entry.is_there:
                with _as_download_error(name, entry.url):
                    _fetch_large_file(entry, progress)
        return import_bundle(folder, name, origin=url or f"{chosen} {version or ''}".strip())


def _fetch(place: Path, name: str, version: str | None, source: str, url: str | None, progress: bool) -> None:
    from monai.bundle import download

    download(name=name, version=version, bundle_dir=str(place), source=source, url=url, progress=progress)


def _fetch_large_file(entry: LargeFile, progress: bool) -> None:
    from monai.apps.utils import download_url

    entry.path.unlink(missing_ok=True)
    download_url(entry.url, entry.path, hash_val=entry.digest, hash_type=entry.hash_type, progress=progress)


def _bundle_in(place: Path, name: str) -> Path:
    for folder in (place / name, *sorted(place.iterdir())):
        if any((folder / config).is_file() for config in CONFIGS):
            return folder
    raise DownloadError(f"what was fetched as {name} holds no bundle ({CONFIGS[0]}); check the name and the version")


@contextlib.contextmanager
def _as_download_error(name: str, where: str) -> Iterator[None]:
    """Whatever the many clients raise, in one line that says what to do."""
    before, disabled = socket.getdefaulttimeout(), logging.root.manager.disable
    socket.setdefaulttimeout(TIMEOUT_S)
    logging.disable(logging.CRITICAL)  # MONAI logs to stdout, and says again what is raised here
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an archive has no digest: its files are recorded and checked instead
            yield
    except MedimgError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(
            f"cannot download {name} from {where}: {reason}; check the network and the version, or bring the "
            "bundle's folder or zip here and run medimg bundle import"
        ) from error
    finally:
        socket.setdefaulttimeout(before)
        logging.disable(disabled)
