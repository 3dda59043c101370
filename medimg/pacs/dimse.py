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
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from medimg import files
from medimg.dicom import fields
from medimg.errors import NetworkError, OutputError
from medimg.pacs.query import RETURNED_OF_SERIES, RETURNED_OF_STUDY, Match, Query, Transfer
from medimg.pacs.retry import with_retries
from medimg.pacs.scp import COMPRESSED, OUT_OF_RESOURCES, SUCCESS, UNCOMPRESSED, storage_scp
from medimg.pacs.servers import DimseServer
from medimg.pacs.uids import file_name
from medimg.progress import Progress, silent

_config.STORE_SEND_CHUNKED_DATASET = True  # a file goes out as it lies on the disk, piece by piece

PENDING = (0xFF00, 0xFF01)
WARNINGS = (0xB000, 0xB006, 0xB007)
"""Of C-STORE: stored, with something changed (PS3.4 table B.2-1)."""

SOME_FAILED = 0xB000
"""Of C-GET and C-MOVE: done, but for some (PS3.4 sections C.4.2.1.5 and C.4.3.1.4)."""

TRANSIENT = 2
"""Result of an association that is rejected for now (PS3.8 section 9.3.4)."""

MAX_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 section 9.3.2.2: odd numbers up to 255)."""

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
        for study in self._ask("STUDY", RETURNED_OF_STUDY, query.study_keys):
            keys = {**query.series_keys, "StudyInstanceUID": fields.text(study, "StudyInstanceUID")}
            for series in self._ask("SERIES", RETURNED_OF_SERIES, keys):
                match = Match.of(study, series)
                if query.accepts(match):
                    yield match

    def get(self, match: Match, folder: Path, progress: Progress = silent) -> Transfer:
        """C-GET, or C-MOVE to a port of ours; each instance is on the disk before it is acknowledged."""
        fetch = self._by_move if self._server.retrieve == "move" else self._by_get
        written: dict[str, Path] = {}

        trouble: list[OutputError] = []

        def store(event: evt.Event) -> int:
            try:
                uid, path = received(event, folder)
            except OutputError as error:
                trouble.append(error)
                return OUT_OF_RESOURCES
            written[uid] = path
            progress("instances", len(written), match.instances or len(written))
            return SUCCESS

        failed: list[tuple[str, str]] = []
        try:
            failed += with_retries(lambda: fetch(match, store), self._server.retries)
        except NetworkError as error:
            failed.append((match.series_uid, str(error)))
        if trouble:
            raise trouble[0]
        if not failed and match.instances is not None and len(written) < match.instances:
            failed.append((match.series_uid, f"{len(written)} of {match.instances} instances came"))
        return Transfer(list(written.values()), failed)

    def send(self, paths: list[Path], progress: Progress = silent) -> Transfer:
        """C-STORE of each file over one association a set of presentation contexts; what breaks is tried again."""
        result = Transfer([], [])
        left = dict.fromkeys(paths)
        for batch in _by_contexts(list(left)):

            def store(batch: list[Path] = batch) -> None:
                rest = [path for path in batch if path in left]
                kinds = sorted({_kind(path) for path in rest})
                with self._association([(uid, [syntax]) for uid, syntax in kinds]) as association:
                    for path in rest:
                        self._store(association, path, result)
                        del left[path]
                        progress("files", len(result.done) + len(result.failed), len(paths))

            try:
                with_retries(store, self._server.retries)
            except NetworkError as error:
                result.broken_off(left, error)
                break
        return result

    def _store(self, association: Association, path: Path, result: Transfer) -> None:
        try:
            status = association.send_c_store(path)
        except RuntimeError as error:  # the association ended since
            raise NetworkError(f"{self._where} broke off before {path.name} was sent", may_pass=True) from error
        except (ValueError, AttributeError) as error:
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
            return self._retrieved(association.send_c_get(_identifier(match), model), "C-GET", match)

    def _by_move(self, match: Match, store: Callable[[evt.Event], int]) -> list[tuple[str, str]]:
        server = self._server
        model = StudyRootQueryRetrieveInformationModelMove
        receiver = AE(ae_title=server.calling_aet)
        receiver.require_calling_aet = [server.aet]
        listening = storage_scp(receiver, "", server.move_port, store)
        try:
            with self._association([(model, UNCOMPRESSED)]) as association:
                answers = association.send_c_move(_identifier(match), server.calling_aet, model)
                return self._retrieved(answers, "C-MOVE", match)
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

    def _retrieved(
        self, answers: Iterator[tuple[Dataset, Dataset | None]], what: str, match: Match
    ) -> list[tuple[str, str]]:
        """What failed, by the answers to a retrieval: instances by UID, or the series where they are not named."""
        failed: list[tuple[str, str]] = []
        for status, answer in answers:
            code = self._code(status, what)
            if code in PENDING or code == SUCCESS:
                continue
            uids = [] if answer is None else fields.texts(answer, "FailedSOPInstanceUIDList")
            count = status.get("NumberOfFailedSuboperations") or 0
            if not uids and code != SOME_FAILED:
                raise NetworkError(f"{self._where} refused {what}, status 0x{code:04X}", may_pass=code == 0xA702)
            failed += [(uid, f"{what} failed, status 0x{code:04X}") for uid in uids]
            if count and not uids:
                failed.append((match.series_uid, f"{what} failed for {count} instances, status 0x{code:04X}"))
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
        entity = _Entity(ae_title=server.calling_aet)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = server.timeout
        entity.connection_timeout = server.timeout
        for uid, syntaxes in contexts:
            entity.add_requested_context(uid, list(syntaxes))
        tls = None if server.tls is None else (server.tls.context(ssl.Purpose.SERVER_AUTH), server.host)
        association = entity.associate(
            server.host,
            server.port,
            ae_title=server.aet,
            ext_neg=roles or [],
            evt_handlers=handlers or [],
            tls_args=tls,
        )
        if association.is_rejected:
            answer = association.acceptor.primitive
            message = f"{self._where} rejects {server.calling_aet}; let it know this title, or check both"
            raise NetworkError(message, may_pass=answer is not None and answer.result == TRANSIENT)
        if not association.is_established:
            what = "host, port and network" if tls is None else "host, port, network and certificates"
            raise NetworkError(f"{self._where} cannot be reached; check {what}", may_pass=True)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


class _Entity(AE):
    """A requestor whose connection does not keep the program from ending: pynetdicom's thread for it would until the
    time-out of a server that answers nothing, and a try more after that."""

    def _create_socket(self, assoc: Association, *details: Any) -> Any:
        assoc.dul.daemon = True
        return super()._create_socket(assoc, *details)


def received(event: evt.Event, folder: Path) -> tuple[str, Path]:
    """Write the instance of a C-STORE as it came, atomically and synced; its SOP instance UID and its file.

    Only the bytes of the data set are taken from outside; the name is a UID's or a digest's.
    """
    uid = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
    path = folder / f"{file_name(uid)}.dcm"
    files.write_bytes(path, event.encoded_dataset())
    return uid, path


def _identifier(match: Match) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "SERIES"
    identifier.StudyInstanceUID, identifier.SeriesInstanceUID = match.study_uid, match.series_uid
    return identifier


def _kind(path: Path) -> tuple[str, str]:
    """SOP class and transfer syntax of a file."""
    meta = pydicom.filereader.read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)


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
