"""Results of a batch back to a PACS: SEG and SR of each case that is done, once each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from medimg.batch.rows import DONE
from medimg.batch.run import Batch
from medimg.errors import OutputError
from medimg.pacs.carrier import Carrier, Fate, Parcel, Said
from medimg.pacs.query import Pacs

AGAIN_SECONDS = 60.0
"""After which a server that was away is asked again, and a folder that could not be read is looked for again."""

WAIT_SECONDS = 0.5
"""How long `rest` waits for an answer before it looks around."""

NOTED = (Fate.DELIVERED, Fate.THERE)


class Courier:
    """Sends the objects of a batch's cases, each as soon as it is done, beside the batch. Use it as a context.

    Who has been sent what is read from the journal and noted there in the batch's own thread, at each `settle`, which
    the batch calls while it runs. The UIDs of objects are the same when they are sent again, so that a run killed
    between sending and noting doubles nothing at the server.
    """

    def __init__(self, batch: Batch, pacs: Pacs) -> None:
        self._batch, self._pacs, self._tell, self.server = batch, pacs, batch.tell, pacs.name
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._carried: set[Parcel] = set()
        self._refused: set[tuple[str, str | None]] = set()
        self._unread: dict[tuple[str, str | None], float] = {}
        self._away_since: float | None = None

    def __enter__(self) -> Courier:
        self._carrier = Carrier(self._batch.place, self._pacs)
        self._batch.tell, self._batch.beside = self._listen, self.settle
        return self

    def __exit__(self, *_: object) -> None:
        """What is not sent by then, or cannot be noted at once, is sent by the next call, and doubles nothing."""
        self._batch.tell, self._batch.beside = self._tell, lambda: None
        self._carrier.end()
        with suppress(OutputError):
            for said in self._carrier.said():
                self._note(said, lambda note: note())

    def take_up(self) -> None:
        """Queue every case that was done and that the server has not taken, nor refused before."""
        journal = self._batch.journal
        finished = {parcel.id: parcel.finished for parcel in self._carried}
        for name in journal.undelivered(self.server):
            case = journal.case(name) if name in finished else None
            # what was made anew since it was handed over is not what is carried
            if case is None or case.finished != finished[name]:
                self._waiting.setdefault(name)

    def settle(self, wait: float = 0.0) -> None:
        """Note what was sent by now, after waiting up to so many seconds for it, and hand over more. Raises OutputError
        when the journal takes nothing for long."""
        for said in self._carrier.said(wait):
            self._carried.discard(said.parcel)
            self._note(said, self._batch.patiently)
        if self._away_since is not None and time.monotonic() - self._away_since >= AGAIN_SECONDS:
            self._ask_again()
        while self._waiting and self._away_since is None and self._carrier.has_room:
            self._hand_over(self._waiting.popitem(last=False)[0])

    def rest(self) -> int:
        """Send what the server has not taken, nor refused before, until that is done or the server is away; how many
        cases are left undelivered. Raises OutputError when the journal takes nothing for long."""
        self.settle()  # what was said by now is of before
        self._ask_again()
        self.take_up()
        self.settle()
        while self._carried:
            self.settle(WAIT_SECONDS)
        return len(self._batch.journal.undelivered(self.server))

    def _listen(self, event: dict[str, Any]) -> None:
        self._tell(event)
        if event["event"] == "begin":
            self.take_up()  # what an earlier run left
        elif event["event"] == "case" and event["state"] == DONE:
            self._waiting[event["id"]] = None

    def _hand_over(self, identifier: str) -> None:
        """Give it to the thread, unless it is being made anew: then its end is told."""
        case = self._batch.journal.case(identifier)
        if case is None or case.state != DONE or (identifier, case.finished) in self._refused:
            return
        if time.monotonic() - self._unread.get((identifier, case.finished), -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        parcel = Parcel(identifier, case.finished, self._batch.journal.taken(identifier, self.server))
        self._carried.add(parcel)
        self._carrier.hand(parcel)

    def _note(self, said: Said, written: Callable[[Callable[[], None]], None]) -> None:
        """Take in what became of a parcel; `written` calls what writes to the journal."""
        identifier, finished = said.parcel.id, said.parcel.finished
        about = {"id": identifier, "server": self.server}
        if said.fate in NOTED:
            note = self._batch.journal.note_delivery
            written(lambda: note(identifier, self.server, said.sha256, finished))
        if said.fate is Fate.DELIVERED:
            self._tell({"event": "delivered", **about, "objects": said.objects})
        elif said.fate is Fate.REFUSED:
            self._refused.add((identifier, finished))
            self._tell({"event": "refused", **about, "message": said.message})
        elif said.fate is Fate.AWAY:
            self._away_since = time.monotonic()
            self._waiting[identifier] = None
            self._tell({"event": "away", "server": self.server, "message": said.message})
        elif said.fate is Fate.UNREADABLE:
            if (identifier, finished) not in self._unread:
                self._tell({"event": "unsent", **about, "message": said.message})
            self._unread[identifier, finished] = time.monotonic()
        elif said.fate is Fate.LEFT:
            self._waiting[identifier] = None
            self._waiting.move_to_end(identifier, last=False)  # before the one that may have sent the server away

    def _ask_again(self) -> None:
        self._away_since = None
        self._carrier.try_again()
