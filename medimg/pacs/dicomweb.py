"""A PACS over DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS through dicomweb-client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from dicomweb_client.session_utils import create_session, create_session_from_user_pass
from pydicom.dataset import Dataset

from medimg import files
from medimg.errors import NetworkError, UsageError
from medimg.pacs.query import Match, Query, Transfer
from medimg.pacs.retry import with_retries
from medimg.pacs.servers import DicomWebServer, secret, variable_of
from medimg.progress import Progress, silent

PAGE = 200
"""Matches asked for at once."""

BATCH_BYTES = 32 << 20
BATCH_INSTANCES = 50
"""Of one STOW request: servers limit the size of a request."""

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP status codes after which asking again may help (RFC 9110; 425 RFC 8470, 429 RFC 6585)."""

SERIES_FIELDS = ("SeriesDescription", "NumberOfSeriesRelatedInstances")

FAILURES = {
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xA700: "out of resources",
    0xA900: "data set does not match SOP class",
    0xC000: "cannot understand",
}
"""Failure Reason (0008,1197), PS3.18 table I.2-2 and PS3.4 table B.2-1."""

Result = TypeVar("Result")


class DicomWeb:
    """See `medimg.pacs.query.Pacs`."""

    def __init__(self, server: DicomWebServer) -> None:
        self.name, self._server = server.name, server
        # the library logs whole requests, headers and all
        logging.getLogger("dicomweb_client").setLevel(logging.ERROR)
        session = _session(server)
        self._client = DICOMwebClient(server.url, session=session, timeout=server.timeout)
        self._client.set_http_retry_params(retry=False)  # ours know which errors may pass

    def echo(self) -> str:
        """Asks for one study."""
        self._try(lambda: self._client.search_for_studies(limit=1))
        return f"DICOMweb at {self._server.url}"

    def find(self, query: Query) -> Iterator[Match]:
        """Studies that match, page after page, and of each the series that do."""
        offset = 0
        while True:
            page = self._search_studies(query, offset)
            for study in page:
                yield from self._series(study, query)
            if len(page) < PAGE:
                return
            offset += len(page)

    def get(self, match: Match, folder: Path, progress: Progress = silent) -> Transfer:
        """One file an instance as it arrives; a transfer that breaks is begun anew, files that are there are kept."""
        written: dict[str, Path] = {}

        def fetch() -> None:
            for dataset in self._client.iter_series(
                match.study_uid, match.series_uid, media_types=(("application/dicom", "*"),)
            ):
                uid = str(dataset.SOPInstanceUID)
                if uid not in written:
                    written[uid] = _write(dataset, folder / f"{uid}.dcm")
                    progress("instances", len(written), match.instances or len(written))

        failed = []
        try:
            self._try(fetch)
        except NetworkError as error:
            failed.append((match.series_uid, str(error)))
        if not failed and match.instances is not None and len(written) < match.instances:
            failed.append((match.series_uid, f"{len(written)} of {match.instances} instances came"))
        return Transfer(list(written.values()), failed)

    def send(self, paths: list[Path], progress: Progress = silent) -> Transfer:
        """Store in requests of bounded size; FailedSOPSequence of each answer is read."""
        result = Transfer([], [])
        for batch in _batches(paths):
            result.add(self._store(batch))
            progress("files", len(result.done) + len(result.failed), len(paths))
        return result

    def _store(self, paths: list[Path]) -> Transfer:
        by_uid = {}
        for path in paths:
            dataset = pydicom.dcmread(path)
            by_uid[str(dataset.SOPInstanceUID)] = (path, dataset)
        try:
            answer = self._try(lambda: self._client.store_instances([dataset for _, dataset in by_uid.values()]))
        except NetworkError as error:
            return Transfer([], [(str(path), str(error)) for path in paths])
        failed = {str(item.ReferencedSOPInstanceUID): _reason(item) for item in answer.get("FailedSOPSequence", ())}
        stored = {str(item.ReferencedSOPInstanceUID) for item in answer.get("ReferencedSOPSequence", ())}
        result = Transfer([], [])
        for uid, (path, _) in by_uid.items():
            if uid in stored and uid not in failed:
                result.done.append(path)
            else:
                result.failed.append((str(path), failed.get(uid, "the server does not say that it stored it")))
        return result

    def _search_studies(self, query: Query, offset: int) -> list[dict[str, Any]]:
        return self._try(
            lambda: self._client.search_for_studies(search_filters=query.study_keys, limit=PAGE, offset=offset)
        )

    def _series(self, study: dict[str, Any], query: Query) -> Iterator[Match]:
        about = Dataset.from_json(study)
        uid = str(about.StudyInstanceUID)
        found = self._try(
            lambda: self._client.search_for_series(
                study_instance_uid=uid, search_filters=query.series_keys, fields=list(SERIES_FIELDS)
            )
        )
        for entry in found:
            series = Dataset.from_json(entry)
            count = series.get("NumberOfSeriesRelatedInstances")
            yield Match(
                uid,
                str(series.SeriesInstanceUID),
                str(series.get("Modality", "")),
                str(series.get("SeriesDescription", "")),
                str(about.get("StudyDate", "")),
                str(about.get("PatientID", "")),
                str(about.get("AccessionNumber", "")),
                None if count in (None, "") else int(count),
            )

    def _try(self, action: Callable[[], Result]) -> Result:
        return with_retries(lambda: self._mapped(action), self._server.retries)

    def _mapped(self, action: Callable[[], Result]) -> Result:
        where = f"{self.name} ({self._server.url})"
        try:
            return action()
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            hint = {401: "; check user and secret", 403: "; the account may not do this", 404: "; check the url"}
            message = f"{where} answered {status}{hint.get(status, '')}"
            raise NetworkError(message, may_pass=status in PASSING) from error
        except requests.exceptions.SSLError as error:
            raise NetworkError(f"{where}: the certificate is not trusted; name its authority as tls: ca") from error
        except requests.RequestException as error:
            message = f"{where} cannot be reached ({type(error).__name__}); check the address and the network"
            raise NetworkError(message, may_pass=True) from error


def _session(server: DicomWebServer) -> requests.Session:
    password, token = secret(server, "password"), secret(server, "token")
    if server.user and password is None:
        variable = variable_of(server, "password")
        raise UsageError(f"{server.name}: no password for {server.user}; put it into {variable} or the keyring")
    session: requests.Session = (
        create_session_from_user_pass(server.user, password) if server.user and password else create_session()
    )
    if token and not server.user:
        session.headers["Authorization"] = f"Bearer {token}"
    if server.tls.ca:
        session.verify = server.tls.ca
    if server.tls.certificate:
        session.cert = (server.tls.certificate, server.tls.key) if server.tls.key else server.tls.certificate
    return session


def _write(dataset: Dataset, path: Path) -> Path:
    with files.atomic_path(path) as temporary:
        pydicom.dcmwrite(temporary, dataset, enforce_file_format=True)
    return path


def _batches(paths: list[Path]) -> Iterator[list[Path]]:
    batch: list[Path] = []
    size = 0
    for path in paths:
        length = path.stat().st_size
        if batch and (size + length > BATCH_BYTES or len(batch) == BATCH_INSTANCES):
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch


def _reason(item: Dataset) -> str:
    code = int(item.get("FailureReason", 0))
    return f"refused, {FAILURES.get(code, 'reason')} 0x{code:04X}"
