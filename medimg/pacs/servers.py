"""The servers a site knows, from one YAML file; secrets come from the environment or the keyring, never from it.

servers:
  archive:
    kind: dicomweb
    url: https://pacs.example.org/dicom-web
    user: medimg                  # password: MEDIMG_PACS_ARCHIVE_PASSWORD, or the keyring
  ward:
    kind: dimse
    host: 10.0.0.7
    port: 104
    aet: WARD                     # the server's title
    calling_aet: MEDIMG           # ours
    retrieve: move                # or get
    move_port: 11113              # where the server sends to when it is asked to move
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from medimg.errors import UsageError
from medimg.pacs.tls import Tls

CONFIG_VARIABLE = "MEDIMG_SERVERS"
DEFAULT_CONFIG = Path("~/.config/medimg/servers.yaml")
KEYRING_SERVICE = "medimg-pacs"

SECRETS = {"password", "token", "secret"}
"""Keys that must not stand in the file."""

MAX_AET = 16
"""Characters of an application entity title (PS3.5 section 6.2, AE)."""


NO_FILES = Tls()


@dataclass(frozen=True)
class DicomWebServer:
    """A DICOMweb service. user: basic authentication; without it a bearer token is used where there is one."""

    name: str
    url: str
    user: str = ""
    tls: Tls = NO_FILES
    timeout: float = 60.0
    retries: int = 4


@dataclass(frozen=True)
class DimseServer:
    """A DIMSE node. aet: its title; calling_aet: ours; retrieve: "get" or "move"; move_port: ours, for C-MOVE."""

    name: str
    host: str
    port: int
    aet: str
    calling_aet: str = "MEDIMG"
    retrieve: str = "get"
    move_port: int = 11113
    tls: Tls | None = None
    timeout: float = 60.0
    retries: int = 4


Server = DicomWebServer | DimseServer
KINDS: dict[str, type[Any]] = {"dicomweb": DicomWebServer, "dimse": DimseServer}


def config_path() -> Path:
    """The file of servers: $MEDIMG_SERVERS, else ~/.config/medimg/servers.yaml."""
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG).expanduser()


def load_server(name: str, path: Path | None = None) -> Server:
    """The server of that name. Raises UsageError when the file or the entry is missing or wrong."""
    path = path or config_path()
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"cannot read the servers in {path}: {' '.join(str(error).split())}; docs/pacs.md shows the file"
        raise UsageError(message) from error
    known = document.get("servers") if isinstance(document, dict) else None
    if not isinstance(known, dict) or not isinstance(known.get(name), dict):
        names = ", ".join(map(str, known)) if isinstance(known, dict) else "none"
        raise UsageError(f"{path} has no server {name!r}; it has {names or 'none'}")
    return _server(name, dict(known[name]), path)


def variable_of(server: DicomWebServer, kind: str) -> str:
    """The environment variable of a server's "password" or "token": MEDIMG_PACS_NAME_KIND."""
    return f"MEDIMG_PACS_{''.join(c if c.isalnum() else '_' for c in server.name)}_{kind}".upper()


def secret(server: DicomWebServer, kind: str) -> str | None:
    """The server's "password" or "token" from the environment, else from the keyring where that is installed."""
    if value := os.environ.get(variable_of(server, kind)):
        return value
    try:
        import keyring
    except ImportError:
        return None
    try:
        found: str | None = keyring.get_password(KEYRING_SERVICE, f"{server.name}/{kind}")
    except keyring.errors.KeyringError:
        return None
    return found


def check_title(title: object, where: str = "") -> None:
    """Raises UsageError when it is no application entity title (PS3.5 section 6.2, AE)."""
    text = str(title)
    if not 0 < len(text.strip()) <= MAX_AET or "\\" in text or not (text.isascii() and text.isprintable()):
        raise UsageError(f"{where}{text!r} is no AE title (1-{MAX_AET} characters)")


def _server(name: str, entry: dict[str, Any], path: Path) -> Server:
    where = f"{path}: server {name!r}"
    if found := sorted(SECRETS & set(entry)):
        raise UsageError(f"{where} holds a {found[0]}; put it into the environment or the keyring, see docs/pacs.md")
    kind = KINDS.get(str(entry.pop("kind", "")))
    if kind is None:
        raise UsageError(f"{where}: kind must be one of {', '.join(KINDS)}")
    if "tls" in entry:
        entry["tls"] = _tls(entry["tls"], where)
    known = {field.name for field in fields(kind)} - {"name"}
    if strangers := sorted(set(entry) - known):
        raise UsageError(f"{where}: {', '.join(strangers)} is unknown; keys are {', '.join(sorted(known))}")
    try:
        server: Server = kind(name=name, **entry)
    except TypeError as error:
        raise UsageError(f"{where}: {str(error).partition('() ')[2] or error}") from error
    _check_kinds(server, where)
    return _checked(server, where)


def _check_kinds(server: Server, where: str) -> None:
    """YAML makes numbers and truth values of words; what libraries would stumble over is said here."""
    for field in fields(server):
        value = getattr(server, field.name)
        if field.type == "str" and not isinstance(value, str):
            raise UsageError(f"{where}: {field.name} must be text, not {value!r}; put it in quotes")
        if field.type == "float" and not (type(value) in {int, float} and 0 < value < float("inf")):
            raise UsageError(f"{where}: {field.name} must be seconds above 0, not {value!r}")
    if type(server.retries) is not int or server.retries < 0:
        raise UsageError(f"{where}: retries must be a number from 0, not {server.retries!r}")


def _tls(entry: Any, where: str) -> Tls:
    try:
        return Tls(**{key: str(value) for key, value in entry.items()})
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{where}: tls takes ca, certificate and key") from error


def _checked(server: Server, where: str) -> Server:
    if isinstance(server, DicomWebServer):
        if urlsplit(str(server.url)).scheme not in {"http", "https"} or "@" in urlsplit(str(server.url)).netloc:
            raise UsageError(f"{where}: url must begin with http:// or https:// and name no user")
        return server
    for title in (server.aet, server.calling_aet):
        check_title(title, f"{where}: ")
    if server.retrieve not in {"get", "move"}:
        raise UsageError(f"{where}: retrieve must be get or move")
    if not all(type(port) is int and 0 < port < 1 << 16 for port in (server.port, server.move_port)):
        raise UsageError(f"{where}: port must be a number from 1 to 65535")
    return server
