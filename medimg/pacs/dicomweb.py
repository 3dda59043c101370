"""A PACS over DICOMweb (PS3.18): QIDO-RS, WADO-RS, STOW-RS through dicomweb-client."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from medimg import files
from medimg.dicom import fields
from medimg.errors import NetworkError
from medimg.pacs.query import RETURNED_OF_SERIES, Match, Query, Transfer
from medimg.pacs.retry import with_retries
from medimg.pacs.servers import DicomWebServer
from medimg.pacs.session import web_session
from medimg.pacs.uids import file_name
from medimg.progress import Progress, silent

PAGE = 200
"""Matches asked for at once."""

BATCH_BYTES = 32 << 20
BATCH_INSTANCES = 50
"""Of one STOW request: servers limit the size of a request."""

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP status codes after which asking again may help (RFC 9110; 425 RFC 8470, 429 RFC 6585)."""

OF_THE_REQUEST = {400, 409, 413, 415, 422}
"""HTTP status codes that refuse what was sent, not who sends it: the next request may be taken."""

FAILURES = {
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xA700: "out of resources",
    0xA900: "data set does not match SOP class",
    0xC000: "cannot understand",
}
"""Failure Reason (0008,1197), PS3.18 table I.2-2 and PS3.4 table B.2-1."""

REFERENCED = "ReferencedSOPInstanceUID"

NOT_DICOMWEB = (ValueError, KeyError, TypeError, AttributeError, InvalidDicomError)
"""What the libraries raise for an answer of another form."""

Answers = list[dict[str, Any]]
Result = TypeVar("Result")


class DicomWeb:
    """See `medimg.pacs.query.Pacs`."""

    def __init__(self, server: DicomWebServer) -> None:
        self.name, self._server = server.name, server
        self._client = DICOMwebClient(server.url, session=web_session(server), timeout=server.timeout)
        self._client.set_http_retry_params(retry=False)  # ours know which errors may pass

    def echo(self) -> str:
        """Asks for one study."""
        self._try(lambda: self._client.search_for_studies(limit=1))
        return f"DICOMweb at {self._server.url}"

    def find(self, query: Query) -> Iterator[Match]:
        """Studies that match, page after page, and of each the series that do."""
        for study in self._pages(functools.partial(self._search_studies, query)):
            uid = fields.text(study, "StudyInstanceUID")
            for series in self._pages(functools.partial(self._search_series, query, uid)):
                match = Match.of(study, series)
                if query.accepts(match):
                    yield match

    def get(self, match: Match, folder: Path, progress: Progress = silent) -> Transfer:
        """One file an instance as it arrives; a transfer that breaks is begun anew, files that are there are kept."""
        written: dict[str, Path] = {}

        def fetch() -> None:
            for dataset in self._client.iter_series(
                match.study_uid, match.series_uid, media_types=(("application/dicom", "*"),)
            ):
                uid = str(dataset.SOPInstanceUID)
                if uid not in written:
                    written[uid] = _write(dataset, folder / f"{file_name(uid)}.dcm")
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
        paths = list(dict.fromkeys(paths))
        for batch in _batches(paths):
            try:
                result.add(self._store(batch))
            except NetworkError as error:
                result.broken_off(paths[len(result.done) + len(result.failed) :], error)
                break
            progress("files", len(result.done) + len(result.failed), len(paths))
        return result

    def _store(self, paths: list[Path]) -> Transfer:
        datasets = [pydicom.dcmread(path) for path in paths]
        try:
            answer = self._try(lambda: self._client.store_instances(datasets))
        except NetworkError as error:
            status, explained = _refusal(error.__cause__)
            if status not in OF_THE_REQUEST:
                raise
            if explained is None:
                return Transfer([], [(str(path), str(error)) for path in paths])
            answer = explained
        failed = {fields.text(item, REFERENCED): _reason(item) for item in fields.items(answer, "FailedSOPSequence")}
        stored = {fields.text(item, REFERENCED) for item in fields.items(answer, "ReferencedSOPSequence")}
        result = Transfer([], [])
        for path, dataset in zip(paths, datasets, strict=True):
            uid = str(dataset.SOPInstanceUID)
            if uid in stored and uid not in failed:
                result.done.append(path)
            else:
                result.failed.append((str(path), failed.get(uid, "the server does not say that it stored it")))
        return result

    def _search_studies(self, query: Query, offset: int) -> Answers:
        return self._client.search_for_studies(search_filters=query.study_keys, limit=PAGE, offset=offset)

    def _search_series(self, query: Query, study_uid: str, offset: int) -> Answers:
        wanted = {"search_filters": query.series_keys, "fields": list(RETURNED_OF_SERIES)}
        return self._client.search_for_series(study_uid, limit=PAGE, offset=offset, **wanted)  # type: ignore[arg-type]

    def _pages(self, search: Callable[[int], Answers]) -> Iterator[Dataset]:
        """Every answer, until a page brings nothing new: a server may send fewer at once than it is asked for, and
        one that knows no offset sends the first page again."""
        seen: set[str] = set()
        offset = 0
        while True:

            def ask(offset: int = offset) -> list[Dataset]:
                return [Dataset.from_json(answer) for answer in search(offset)]

            answers = self._try(ask)
            new = {answer.to_json(): answer for answer in answers}
            new = {text: answer for text, answer in new.items() if text not in seen}
            if not new:
                return
            seen |= set(new)
            yield from new.values()
            offset += len(answers)

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
        except NOT_DICOMWEB as error:
            raise NetworkError(
                f"{where} answers what is no DICOMweb ({type(error).__name__}); check the url"
            ) from error
        except requests.RequestException as error:
            message = f"{where} cannot be reached ({type(error).__name__}); check the address and the network"
            raise NetworkError(message, may_pass=True) from error


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


def _refusal(error: BaseException | None) -> tuple[int, Dataset | None]:
    """Status of an HTTP error, 0 of any other; what it says of each instance (PS3.18 section 10.5.3), if it does."""
    response = error.response if isinstance(error, requests.HTTPError) else None
    if response is None:
        return 0, None
    try:
        answer = Dataset.from_json(response.json())
    except NOT_DICOMWEB:
        return response.status_code, None
    return response.status_code, answer if "FailedSOPSequence" in answer else None


def _reason(item: Dataset) -> str:
    code = fields.integer(item, "FailureReason") or 0
    return f"refused, {FAILURES.get(code, 'reason')} 0x{code:04X}"
