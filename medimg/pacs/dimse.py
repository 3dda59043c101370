"""A PACS over DIMSE (PS3.7): C-ECHO, C-FIND, C-GET or C-MOVE, C-STORE through pynetdicom."""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from medimg import files
from medimg.errors import NetworkError
from medimg.pacs.query import Match, Query, Transfer
from medimg.pacs.retry import with_retries
from medimg.pacs.servers import DimseServer, Tls
from medimg.progress import Progress, silent

SUCCESS = 0x0000
PENDING = (0xFF00, 0xFF01)
WARNINGS = (0xB000, 0xB006, 0xB007)
"""Of C-STORE: stored, with something changed (PS3.4 table B.2-1)."""

MAX_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 section 9.3.2.2: odd numbers up to 255)."""

COMPRESSED = (
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.5",
)
"""Transfer syntaxes taken as they come, beside the uncompressed ones: JPEG, JPEG-LS, JPEG 2000, HTJ2K, RLE."""

UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99")

Result = TypeVar("Result")


class Dimse:
    """See `medimg.pacs.query.Pacs`."""

    def __init__(self, server: DimseServer) -> None:
        self.name, self._server = server.name, server
        # what it logs as errors is raised here
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

    def echo(self) -> str:
        """C-ECHO."""

        def ask() -> None:
            with self._association([(Verification, UNCOMPRESSED)]) as association:
                self._check(association.send_c_echo(), "C-ECHO")

        with_retries(ask, self._server.retries)
        return f"DIMSE {self._server.aet} at {self._server.host}:{self._server.port}"

    def find(self, query: Query) -> Iterator[Match]:
        """C-FIND of the studies, then of the series of each: some servers want both UIDs."""
        study_return = ("StudyInstanceUID", "StudyDate", "PatientID", "AccessionNumber")
        series_return = ("SeriesInstanceUID", "Modality", "SeriesDescription", "NumberOfSeriesRelatedInstances")
        for study in self._ask("STUDY", study_return, query.study_keys):
            keys = {**query.series_keys, "StudyInstanceUID": str(study.StudyInstanceUID)}
            for series in self._ask("SERIES", series_return, keys):
                count = series.get("NumberOfSeriesRelatedInstances")
                yield Match(
                    str(study.StudyInstanceUID),
                    str(series.SeriesInstanceUID),
                    str(series.get("Modality", "")),
                    str(series.get("SeriesDescription", "")),
                    str(study.get("StudyDate", "")),
                    str(study.get("PatientID", "")),
                    str(study.get("AccessionNumber", "")),
                    None if count in (None, "") else int(count),
                )

    def get(self, match: Match, folder: Path, progress: Progress = silent) -> Transfer:
        """C-GET, or C-MOVE to a port of ours; each instance is on the disk before it is acknowledged."""
        fetch = self._by_move if self._server.retrieve == "move" else self._by_get
        written: dict[str, Path] = {}

        def store(event: evt.Event) -> int:
            uid, path = received(event, folder)
            written[uid] = path
            progress("instances", len(written), match.instances or len(written))
            return SUCCESS

        failed: list[tuple[str, str]] = []
        try:
            failed += with_retries(lambda: fetch(match, store), self._server.retries)
        except NetworkError as error:
            failed.append((match.series_uid, str(error)))
        if not failed and match.instances is not None and len(written) < match.instances:
            failed.append((match.series_uid, f"{len(written)} of {match.instances} instances came"))
        return Transfer(list(written.values()), failed)

    def send(self, paths: list[Path], progress: Progress = silent) -> Transfer:
        """C-STORE of each file over one association a set of presentation contexts; what breaks is tried again."""
        result = Transfer([], [])
        for batch in _by_contexts(paths):
            left = dict.fromkeys(batch)

            def store(left: dict[Path, None] = left) -> None:
                kinds = sorted({(uid, syntax) for path in left for uid, syntax in [_kind(path)]})
                with self._association([(uid, [syntax]) for uid, syntax in kinds]) as association:
                    for path in list(left):
                        self._store(association, path, result)
                        del left[path]
                        progress("files", len(result.done) + len(result.failed), len(paths))

            try:
                with_retries(store, self._server.retries)
            except NetworkError as error:
                result.failed += [(str(path), str(error)) for path in left]
        return result

    def _store(self, association: Association, path: Path, result: Transfer) -> None:
        try:
            status = association.send_c_store(path)
        except RuntimeError as error:  # the association ended since
            raise NetworkError(f"{self._where} broke off before {path.name} was sent", may_pass=True) from error
        except ValueError as error:
            result.failed.append((str(path), f"{self.name} takes no such object: {' '.join(str(error).split())}"))
            return
        if "Status" not in status:
            raise NetworkError(f"{self._where} broke off while {path.name} was sent", may_pass=True)
        code = int(status.Status)
        if code == SUCCESS or code in WARNINGS:
            result.done.append(path)
        else:
            comment = str(status.get("ErrorComment", "")).strip()
            result.failed.append((str(path), f"refused, status 0x{code:04X}{': ' + comment if comment else ''}"))

    def _ask(self, level: str, returned: tuple[str, ...], keys: dict[str, str]) -> list[Dataset]:
        identifier = Dataset()
        identifier.QueryRetrieveLevel = level
        for keyword in returned:
            setattr(identifier, keyword, None if keyword.startswith("Number") else "")
        for keyword, value in keys.items():
            setattr(identifier, keyword, value)

        def ask() -> list[Dataset]:
            model = StudyRootQueryRetrieveInformationModelFind
            with self._association([(model, UNCOMPRESSED)]) as association:
                found = []
                for status, answer in association.send_c_find(identifier, model):
                    self._check(status, "C-FIND")
                    if int(status.Status) in PENDING and answer is not None:
                        found.append(answer)
                return found

        return with_retries(ask, self._server.retries)

    def _by_get(self, match: Match, store: Callable[[evt.Event], int]) -> list[tuple[str, str]]:
        model = StudyRootQueryRetrieveInformationModelGet
        classes = self._classes_of(match)
        contexts = [(model, UNCOMPRESSED), *((uid, (*UNCOMPRESSED, *COMPRESSED)) for uid in classes)]
        roles = [build_role(UID(uid), scp_role=True) for uid in classes]
        handlers = [(evt.EVT_C_STORE, store)]
        with self._association(contexts, roles, handlers) as association:
            return self._retrieved(association.send_c_get(_identifier(match), model), "C-GET")

    def _by_move(self, match: Match, store: Callable[[evt.Event], int]) -> list[tuple[str, str]]:
        server = self._server
        model = StudyRootQueryRetrieveInformationModelMove
        receiver = AE(ae_title=server.calling_aet)
        for context in AllStoragePresentationContexts:
            receiver.add_supported_context(str(context.abstract_syntax), [*UNCOMPRESSED, *COMPRESSED])
        receiver.require_calling_aet = [server.aet]
        try:
            listening = receiver.start_server(
                ("", server.move_port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
            )
        except OSError as error:
            raise NetworkError(f"port {server.move_port} cannot be opened ({error.strerror}); set move_port") from error
        assert listening is not None
        try:
            with self._association([(model, UNCOMPRESSED)]) as association:
                answers = association.send_c_move(_identifier(match), server.calling_aet, model)
                return self._retrieved(answers, "C-MOVE")
        finally:
            listening.shutdown()

    def _classes_of(self, match: Match) -> list[str]:
        """SOP classes of the series' instances, which a C-GET must offer; asked of the server."""
        keys = {"StudyInstanceUID": match.study_uid, "SeriesInstanceUID": match.series_uid}
        found = self._ask("IMAGE", ("SOPInstanceUID", "SOPClassUID"), keys)
        classes = Counter(str(answer.get("SOPClassUID", "")) for answer in found)
        classes.pop("", None)
        every = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
        return [uid for uid, _ in classes.most_common(MAX_CONTEXTS - 1)] or every[: MAX_CONTEXTS - 1]

    def _retrieved(self, answers: Iterator[tuple[Dataset, Dataset | None]], what: str) -> list[tuple[str, str]]:
        failed: list[tuple[str, str]] = []
        for status, answer in answers:
            code = self._code(status, what)
            if code in PENDING or code == SUCCESS:
                continue
            uids = answer.get("FailedSOPInstanceUIDList", []) if answer is not None else []
            uids = [uids] if isinstance(uids, str) else list(uids or [])
            if not uids and code != 0xB000:
                raise NetworkError(f"{self._where} refused {what}, status 0x{code:04X}", may_pass=code == 0xA702)
            failed += [(str(uid), f"{what} failed, status 0x{code:04X}") for uid in uids]
        return failed

    def _check(self, status: Dataset, what: str) -> None:
        code = self._code(status, what)
        if code != SUCCESS and code not in PENDING:
            comment = str(status.get("ErrorComment", "")).strip()
            message = f"{self._where} refused {what}, status 0x{code:04X}{': ' + comment if comment else ''}"
            raise NetworkError(message, may_pass=0xA700 <= code <= 0xA7FF)

    def _code(self, status: Dataset, what: str) -> int:
        if "Status" not in status:
            raise NetworkError(f"{self._where} broke off during {what}", may_pass=True)
        return int(status.Status)

    @property
    def _where(self) -> str:
        return f"{self.name} ({self._server.aet} at {self._server.host}:{self._server.port})"

    @contextlib.contextmanager
    def _association(
        self, contexts: list[tuple[Any, Any]], roles: list[Any] | None = None, handlers: list[Any] | None = None
    ) -> Iterator[Association]:
        server = self._server
        entity = AE(ae_title=server.calling_aet)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = server.timeout
        entity.connection_timeout = server.timeout
        for uid, syntaxes in contexts:
            entity.add_requested_context(uid, list(syntaxes))
        tls = None if server.tls is None else (client_context(server.tls), server.host)
        association = entity.associate(
            server.host,
            server.port,
            ae_title=server.aet,
            ext_neg=roles or [],
            evt_handlers=handlers or [],
            tls_args=tls,
        )
        if association.is_rejected:
            raise NetworkError(f"{self._where} rejects {server.calling_aet}; let it know this title, or check both")
        if not association.is_established:
            raise NetworkError(f"{self._where} cannot be reached; check host, port and network", may_pass=True)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def received(event: evt.Event, folder: Path) -> tuple[str, Path]:
    """Write the instance of a C-STORE as it came, atomically and synced; its SOP instance UID and its file.

    Only the bytes of the data set are taken from outside; the name is made of its UID's digits and dots.
    """
    uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
    name = "".join(letter for letter in uid if letter in "0123456789.")[:64]
    path = folder / f"{name}.dcm"
    files.write_bytes(path, event.encoded_dataset())
    return uid, path


def client_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or later, the server's certificate checked (PS3.15 section B.9, BCP 195)."""
    context = ssl.create_default_context(cafile=tls.ca or None)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key or None)
    return context


def _identifier(match: Match) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = match.study_uid, match.series_uid
    return identifier


def _kind(path: Path) -> tuple[str, str]:
    """SOP class and transfer syntax of a file."""
    meta = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    return str(meta.SOPClassUID), str(meta.file_meta.TransferSyntaxUID)


def _by_contexts(paths: list[Path]) -> Iterator[list[Path]]:
    """Files in groups that need no more presentation contexts than an association may have."""
    batch: list[Path] = []
    kinds: set[tuple[str, str]] = set()
    for path in paths:
        kind = _kind(path)
        if kind not in kinds and len(kinds) == MAX_CONTEXTS:
            yield batch
            batch, kinds = [], set()
        batch.append(path)
        kinds.add(kind)
    if batch:
        yield batch
