"""The listener as a service: studies come in, pipelines run on those that are complete, results go back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from medimg import files
from medimg.batch.periodic import Periodic
from medimg.batch.rows import FAILED, PENDING, RUNNING
from medimg.batch.run import Batch
from medimg.pacs.deliver import Courier
from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver
from medimg.pacs.uids import file_name

RECEIVED = "received"
"""Folder of OUT that holds what came in."""

POLL_SECONDS = 0.5
CARE_SECONDS = 60.0
"""How often is looked for a study that is complete, and for what could not be delivered or may go."""


class Arrivals:
    """When each study was last added to; the receiver's threads tell. At the start, every study that is there."""

    def __init__(self, inbox: Inbox) -> None:
        self._lock = threading.Lock()
        self._last = dict(inbox.studies())

    def note(self, path: Path) -> None:
        """An instance is on the disk. The file's own time counts: the batch looks at that too."""
        with self._lock:
            self._last[path.parent] = max(self._last.get(path.parent, 0.0), files.changed_at(path.stat()))

    def take_complete(self, quiet: float) -> list[Path]:
        """Studies that were not added to for so many seconds; each is told once, until it is added to again."""
        now = time.time()
        with self._lock:
            complete = [folder for folder, last in self._last.items() if now - last >= quiet]
            for folder in complete:
                del self._last[folder]
        return complete

    def awaits(self, folder: Path) -> bool:
        """Whether more of the study may come."""
        with self._lock:
            return folder in self._last


@dataclass
class Service:
    """batch: on OUT/received, with `quiet` seconds after which a study is complete. keep: seconds that a study whose
    cases are all done, and delivered, stays in the inbox; None for ever.
    """

    receiver: Receiver
    inbox: Inbox
    batch: Batch
    courier: Courier | None = None
    keep: float | None = None

    def run(self) -> None:
        """Receive and work until an exception, such as Ctrl-C's; what was received stays, the next call goes on."""
        arrivals = Arrivals(self.inbox)
        server = self.receiver.start(self.inbox, arrivals.note)
        told = {"title": self.receiver.aet, "host": self.receiver.host, "port": self.receiver.port}
        self.batch.tell({"event": "listening", **told})
        care = Periodic(lambda: self._care(arrivals), CARE_SECONDS)
        summary = Periodic(self.batch.summarize, CARE_SECONDS)

        def look() -> None:
            """While others are searched: a study that is complete by now need not wait for their end."""
            self._take_up(arrivals)
            summary()
            care()

        try:
            while True:
                if self._take_up(arrivals):
                    self.batch.run(look)
                    self._care(arrivals)
                care()
                self._settle()
                time.sleep(POLL_SECONDS)
        finally:
            server.shutdown()

    def _take_up(self, arrivals: Arrivals) -> bool:
        """Plan the studies that are complete; whether there were any."""
        complete = arrivals.take_complete(self.batch.options.quiet)
        if complete:
            self.batch.tell({"event": "complete", "studies": len(complete)})
            self.batch.plan()
        return bool(complete)

    def _care(self, arrivals: Arrivals) -> None:
        """Have sent what is left to be sent, remove what nobody needs."""
        if self.courier is not None:
            self.courier.take_up()
        if self.keep is None:
            return
        needed = self._needed()
        for folder, last in self.inbox.studies():
            old = time.time() - last >= self.keep
            if old and folder.name not in needed and not arrivals.awaits(folder) and self.inbox.remove(folder, last):
                self.batch.tell({"event": "dropped", "study": folder.name})

    def _settle(self) -> None:
        if self.courier is not None:
            self.courier.settle()

    def _needed(self) -> set[str]:
        """Names of the studies that have a case to be done, one that failed, or one that was not delivered."""
        journal = self.batch.journal
        cases = list(journal.cases(PENDING, RUNNING, FAILED))
        if self.courier is not None:
            cases += filter(None, map(journal.case, journal.undelivered(self.courier.server)))
        return {file_name(case.study_uid) for case in cases}
