"""Results to a PACS while a batch runs, wherever the folders of cases lie."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from pacs_peers import chest, free_port, medimg, quick_pipeline, sender, stored

from medimg.batch.exports import Export
from medimg.batch.options import Options
from medimg.batch.rows import Result
from medimg.batch.run import Batch
from medimg.pacs.deliver import Courier
from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver


@dataclass
class Archive:
    """A PACS that answers to an object only once `open` is set. asked: somebody waits for an answer."""

    port: int
    folder: Path
    open: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def take(self, _: Path) -> None:
        """An object has come."""
        self.asked.set()
        self.open.wait(120)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """The slow PACS, listening."""
    slow = Archive(free_port(), tmp_path / "pacs")
    server = Receiver("MEDIMG", slow.port, ("SENDER",)).start(Inbox(slow.folder, 1 << 30, 0), slow.take)
    try:
        yield slow
    finally:
        slow.open.set()
        server.shutdown()


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of an archive that drops every packet: a connection is made, and nothing is ever answered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield int(listening.getsockname()[1])


@pytest.fixture
def batch(tmp_path: Path):
    """Makes a batch of `count` chests, with a detector that needs no torch."""
    pipeline = quick_pipeline(tmp_path / "quick")

    def make(count: int, listener=lambda event: None, **options) -> Batch:
        for seed in range(1, count + 1):
            if not (tmp_path / "export" / str(seed)).exists():
                chest(tmp_path / "export" / str(seed), seed)
        chosen = Options((str(pipeline),), **{"workers": 1, **options})
        return Batch(Export((tmp_path / "export",)), tmp_path / "out", chosen, listener)

    return make


def ends(code: int, findings: int = 0) -> Result:
    """What becomes of a case that is done; `code` tells one content from another."""
    return Result("done", seconds=1.0, input_sha256=f"{code:064}", findings=findings)


def put_in_place(batch: Batch, files: list[Path]) -> list[str]:
    """Every case of the plan as done, one of the files as what was made of it; their ids."""
    ids = list(batch.plan().to_do)
    for number, (name, file) in enumerate(zip(ids, files, strict=True)):
        folder = Path(batch.place.of(name))
        folder.mkdir()
        (folder / "report.dcm").write_bytes(file.read_bytes())
        (folder / "report.json").write_text("{}", encoding="utf-8")
        batch.journal.begin(name)
        batch.journal.finish(name, ends(number))
    return ids


def test_results_that_lie_in_a_store_are_sent_once(tmp_path, archive, batch):
    pytest.importorskip("fsspec")
    archive.open.set()
    store = tmp_path / "store"
    events = []
    for _ in range(2):
        with (
            batch(1, events.append, results=f"file://{store}") as running,
            Courier(running, sender(archive.port)) as courier,
        ):
            running.plan()
            running.run()
            assert courier.rest() == 0
    assert [event["objects"] for event in events if event["event"] == "delivered"] == [2]
    assert len(stored(archive.folder)) == 2
    assert {path.name for path in store.glob("*/*.dcm")} == {"report.dcm", "segmentation.dcm"}
    assert not list((tmp_path / "out").glob("*/*.dcm"))


def test_a_slow_archive_does_not_hold_up_the_cases(archive, batch):
    """It answers only when every case is done: sent by who gives out the cases, nothing would ever be."""
    events = []

    def told(event) -> None:
        events.append(event["event"])
        if events.count("case") == 3:
            archive.open.set()

    with batch(3, told) as running, Courier(running, sender(archive.port)) as courier:
        running.plan()
        assert running.run()["done"] == 3
        assert archive.asked.wait(60)
        assert courier.rest() == 0
    assert [name for name in events if name in ("case", "delivered", "away")] == ["case"] * 3 + ["delivered"] * 3
    assert len(stored(archive.folder)) == 6


def test_more_results_than_the_courier_takes_at_once_wait_in_the_journal_and_are_all_sent(archive, batch):
    events = []
    with batch(12, events.append) as running:
        put_in_place(running, [sorted(folder.iterdir())[0] for folder in sorted(running.export.roots[0].iterdir())])
        with Courier(running, sender(archive.port)) as courier:
            courier.take_up()
            courier.settle()
            assert archive.asked.wait(60)
            courier.settle()  # returns, though nothing is answered
            assert len(running.journal.undelivered("scp")) == 12
            archive.open.set()
            assert courier.rest() == 0
    assert len(stored(archive.folder)) == 12
    assert sum(event["event"] == "delivered" for event in events) == 12


def test_results_made_anew_while_the_older_ones_are_on_their_way_are_sent_too(archive, batch):
    with batch(2) as running:
        files = [sorted(folder.iterdir()) for folder in sorted(running.export.roots[0].iterdir())]
        first, _ = put_in_place(running, [files[0][0], files[1][0]])
        with Courier(running, sender(archive.port)) as courier:
            courier.take_up()
            courier.settle()
            assert archive.asked.wait(60)
            (Path(running.place.of(first)) / "report.dcm").write_bytes(files[0][1].read_bytes())
            running.journal.begin(first)
            running.journal.finish(first, ends(7))
            archive.open.set()
            assert courier.rest() == 0
    assert len(stored(archive.folder)) == 3


def test_an_archive_that_is_away_is_said_once_and_what_waits_is_not_lost(batch):
    events = []
    with batch(4, events.append) as running:
        put_in_place(running, [sorted(folder.iterdir())[0] for folder in sorted(running.export.roots[0].iterdir())])
        with Courier(running, sender(free_port())) as courier:
            assert courier.rest() == 4
        assert [event["event"] for event in events] == ["away"]
        with Courier(running, sender(free_port())) as courier:
            assert courier.rest() == 4


def test_an_archive_that_breaks_off_between_two_objects_has_refused_nothing(tmp_path, batch):
    events, came = [], []

    def take(path: Path) -> None:
        came.append(path)
        if len(came) == 2:
            for association in server.active_associations:
                association.abort(block=False)

    port = free_port()
    server = Receiver("MEDIMG", port, ("SENDER",)).start(Inbox(tmp_path / "pacs", 1 << 30, 0), take)
    try:
        with batch(1, events.append) as running, Courier(running, sender(port)) as courier:
            objects = sorted((running.export.roots[0] / "1").iterdir())
            (name,) = put_in_place(running, objects[:1])
            (Path(running.place.of(name)) / "segmentation.dcm").write_bytes(objects[1].read_bytes())
            assert courier.rest() == 1
            assert courier.rest() == 0
    finally:
        server.shutdown()
    assert [event["event"] for event in events] == ["away", "delivered"]
    assert len(stored(tmp_path / "pacs")) == 2


def test_a_result_that_cannot_be_sent_is_refused_alone(archive, batch):
    archive.open.set()
    events = []
    with batch(2, events.append) as running:
        ids = put_in_place(running, [sorted(f.iterdir())[0] for f in sorted(running.export.roots[0].iterdir())])
        (Path(running.place.of(ids[0])) / "report.dcm").write_bytes(b"no DICOM")
        with Courier(running, sender(archive.port)) as courier:
            assert courier.rest() == 1
            assert courier.rest() == 1
    assert [(event["event"], event["id"]) for event in events] == [("refused", ids[0]), ("delivered", ids[1])]
    assert len(stored(archive.folder)) == 1


def servers(folder: Path, port: int, **changes) -> dict[str, str]:
    """The environment in which `archive` is a server's name."""
    entry = {"kind": "dimse", "host": "127.0.0.1", "port": port, "aet": "MEDIMG", "calling_aet": "SENDER", "retries": 0}
    path = folder / "servers.yaml"
    path.write_text(yaml.safe_dump({"servers": {"archive": {**entry, **changes}}}), encoding="utf-8")
    return {"MEDIMG_SERVERS": str(path)}


def events_of(process) -> list[str]:
    """The names of a process's events, in order."""
    return [json.loads(line)["event"] for line in process.lines if line.startswith("{")]


@pytest.mark.slow
def test_a_folder_that_is_away_is_not_taken_for_one_with_nothing_to_send(tmp_path, archive, batch):
    archive.open.set()
    events = []
    with batch(1, events.append) as running, Courier(running, sender(archive.port)) as courier:
        running.plan()
        running.run()
        assert courier.rest() == 0
    (case,) = (tmp_path / "out").glob("*/report.json")
    database = sqlite3.connect(tmp_path / "out" / "journal.sqlite")
    with contextlib.closing(database), database:
        database.execute("DELETE FROM deliveries")
    away = case.parent.rename(tmp_path / "away")
    with batch(1, events.append) as running, Courier(running, sender(archive.port)) as courier:
        for _ in range(3):
            courier.take_up()
            courier.settle(2)
        assert courier.rest() == 1
    assert [event["event"] for event in events].count("unsent") == 1
    away.rename(case.parent)
    with batch(1, events.append) as running, Courier(running, sender(archive.port)) as courier:
        assert courier.rest() == 0


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_case_that_is_done_and_not_sent_when_the_batch_ends_is_sent_by_the_next_call(
    tmp_path, archive, batch, ending
):
    with batch(2) as unstarted:
        pipeline, out = unstarted.options.pipelines[0], unstarted.output
    wanted = ("batch", tmp_path / "export", "-o", out, "--pipeline", pipeline, "--workers", 1, "--json")
    wanted = (*wanted, "--send-to", "archive")
    environment = servers(tmp_path, archive.port)
    with medimg(*wanted, **environment) as process:
        process.wait_for('"event": "done"')
        assert archive.asked.wait(60)
        process.process.send_signal(ending)
        assert process.process.wait(60) == (-9 if ending == signal.SIGKILL else 1)
        if ending == signal.SIGINT:
            assert not any("Traceback" in line for line in process.lines), process.lines
    with contextlib.closing(sqlite3.connect(out / "journal.sqlite")) as journal:
        assert journal.execute("SELECT state, attempts FROM cases").fetchall() == [("done", 1)] * 2
        assert journal.execute("SELECT COUNT(*) FROM deliveries").fetchone() == (0,)
    archive.open.set()
    with medimg(*wanted, **environment) as process:
        assert process.process.wait(90) == 0
        process.last_line()
    assert events_of(process).count("delivered") == 2
    assert events_of(process).count("case") == 0
    assert len(stored(archive.folder)) == 4


@pytest.mark.slow
def test_ctrl_c_ends_a_batch_whose_archive_drops_every_packet(tmp_path, silent, batch):
    with batch(1) as unstarted:
        pipeline, out = unstarted.options.pipelines[0], unstarted.output
    wanted = ("batch", tmp_path / "export", "-o", out, "--pipeline", pipeline, "--workers", 1, "--json")
    with medimg(*wanted, "--send-to", "archive", **servers(tmp_path, silent, timeout=600)) as process:
        process.wait_for('"event": "done"')
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(60) == 1
