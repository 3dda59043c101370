"""The HTTP session of a DICOMweb server: who we are, whom we trust, and nothing of it in a log."""

from __future__ import annotations

import logging
import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from medimg.errors import UsageError
from medimg.pacs.servers import DicomWebServer, secret, variable_of

JSON = "application/dicom+json"

OWN_MACHINE = {"localhost", "127.0.0.1", "::1"}


def web_session(server: DicomWebServer) -> requests.Session:
    """Raises UsageError when the server's user has no password, or a TLS file cannot be used."""
    # urllib3 logs addresses with their queries, which name patients; dicomweb-client logs headers
    for library in ("urllib3", "dicomweb_client"):
        logging.getLogger(library).setLevel(logging.ERROR)
    session = _Session()
    session.auth = _auth(server)
    session.headers["Accept"] = JSON
    session.hooks["response"].append(_plain_type)
    server.tls.context(ssl.Purpose.SERVER_AUTH)  # requests tells of a file that is missing only when it connects
    if server.tls.ca:
        session.verify = server.tls.ca
    if server.tls.certificate:
        session.cert = (server.tls.certificate, server.tls.key) if server.tls.key else server.tls.certificate
    return session


class _Session(requests.Session):
    """A session whose own authority goes before that of the environment (REQUESTS_CA_BUNDLE)."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """As requests does, but for `verify`."""
        chosen = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, chosen, cert)


class _Bearer(AuthBase):
    """The token, if any. Set as authentication, so that requests does not look into ~/.netrc for another."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _auth(server: DicomWebServer) -> AuthBase:
    password, token = secret(server, "password"), secret(server, "token")
    if server.user and password is None:
        variable = variable_of(server, "password")
        raise UsageError(f"{server.name}: no password for {server.user}; put it into {variable} or the keyring")
    address = urlsplit(server.url)
    if (server.user or token) and address.scheme == "http" and address.hostname not in OWN_MACHINE:
        logging.getLogger(__name__).warning("%s: the secret crosses the network unencrypted; use https", server.name)
    if server.user and password:
        return HTTPBasicAuth(server.user.encode(), password.encode())
    return _Bearer(token)


def _plain_type(response: requests.Response, **_: Any) -> None:
    """dicomweb-client takes an answer for none when its type carries a charset."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind.endswith(("json", "xml")):
        response.headers["Content-Type"] = kind
