"""Sending in a thread of its own: an archive that drops packets costs minutes, and nobody else is to wait for it.

The thread knows nothing of the journal, which the batch's own thread alone reads and writes: it is handed parcels, and
says what became of each.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from medimg import files
from medimg.batch.place import Place
from medimg.errors import NetworkError, OutputError
from medimg.pacs.query import Pacs
from medimg.report.read import REPORT_FILE

OBJECTS = "*.dcm"
"""What `medimg infer` writes for a PACS: segmentation.dcm, report.dcm and what else was asked for."""

AHEAD = 8
"""Parcels that wait in the thread's queue at most; who has more keeps it."""

GRACE_SECONDS = 5.0
"""What the sending of one parcel is given to end, once it is to end: what it does not note is sent again."""


@dataclass(frozen=True)
class Parcel:
    """The objects of one case. finished: when the case was; taken: digests of objects that the server has already."""

    id: str
    finished: str | None
    taken: frozenset[str]


class Fate(Enum):
    """What became of a parcel."""

    DELIVERED = "delivered"
    THERE = "there"
    """The server had taken exactly these objects before, or there are none."""
    REFUSED = "refused"
    AWAY = "away"
    LEFT = "left"
    """Not tried: the server was away at a parcel before it."""
    UNREADABLE = "unreadable"
    """Its folder is away, or not whole."""


@dataclass(frozen=True)
class Said:
    """sha256: of the objects, where they could be read; message: why they were not taken."""

    parcel: Parcel
    fate: Fate
    sha256: str = ""
    objects: int = 0
    message: str = ""


class Carrier:
    """One thread that sends parcels, one after the other. All its methods are for the thread that made it."""

    def __init__(self, place: Place, pacs: Pacs) -> None:
        self._place, self._pacs = place, pacs
        self._parcels: queue.Queue[Parcel | None] = queue.Queue(AHEAD)
        self._said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._away = threading.Event()
        # a daemon: a server that never answers must not keep the program from ending
        self._thread = threading.Thread(target=self._carry, name="medimg-send", daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether a parcel can be handed over."""
        return not self._parcels.full()

    def hand(self, parcel: Parcel) -> None:
        """Take a parcel; only where there is room."""
        self._parcels.put_nowait(parcel)

    def try_again(self) -> None:
        """Let a server that was away be asked again."""
        self._away.clear()

    def said(self, wait: float = 0.0) -> Iterator[Said]:
        """What became of parcels by now, after waiting up to so many seconds when it is nothing."""
        try:
            yield self._said.get(timeout=wait) if wait else self._said.get_nowait()
            while True:
                yield self._said.get_nowait()
        except queue.Empty:
            return

    def end(self) -> None:
        """Drop what waits, and let go of the thread once it has sent what it is at, or after GRACE_SECONDS."""
        try:
            while True:
                self._parcels.get_nowait()
        except queue.Empty:
            self._parcels.put_nowait(None)
        self._thread.join(GRACE_SECONDS)

    def _carry(self) -> None:
        for parcel in iter(self._parcels.get, None):
            said = Said(parcel, Fate.LEFT) if self._away.is_set() else self._sent(parcel)
            if said.fate is Fate.AWAY:
                self._away.set()
            self._said.put(said)

    def _sent(self, parcel: Parcel) -> Said:
        """Send it. Whatever goes wrong with one parcel, the next ones are carried all the same."""
        try:
            with self._place.earlier(parcel.id) as folder:
                # not "nothing to send": a drive or a store that is away shows no file either
                if folder is None or not (folder / REPORT_FILE).is_file():
                    return Said(parcel, Fate.UNREADABLE, message=f"there is no {REPORT_FILE} in its folder")
                objects = sorted(folder.glob(OBJECTS))
                sha256 = files.sha256_of_files(objects)
                if not objects or sha256 in parcel.taken:
                    return Said(parcel, Fate.THERE, sha256)
                return self._answered(parcel, sha256, objects)
        except (OutputError, OSError) as error:
            return Said(parcel, Fate.UNREADABLE, message=str(error))
        except Exception as error:  # a damaged object makes pydicom raise almost anything
            why = " ".join(str(error).split())
            return Said(parcel, Fate.REFUSED, message=f"{type(error).__name__}: {why}")

    def _answered(self, parcel: Parcel, sha256: str, objects: list[Path]) -> Said:
        try:
            result = self._pacs.send(objects)
        except (NetworkError, OSError) as error:
            return Said(parcel, Fate.AWAY, message=str(error))
        if result.failed:
            fate = Fate.AWAY if result.broken else Fate.REFUSED
            return Said(parcel, fate, sha256, message=result.failed[-1][1])
        return Said(parcel, Fate.DELIVERED, sha256, len(objects))
