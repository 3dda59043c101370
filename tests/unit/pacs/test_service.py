"""The listener as a process, with our own SCP as the PACS that results go back to."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import yaml
from pacs_peers import chest, free_port, listener, medimg, pixels, quick_pipeline, sender, stored, wait_until

from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver
from medimg.pacs.service import Arrivals


@contextlib.contextmanager
def archive(folder: Path, port: int) -> Iterator[None]:
    """A PACS that keeps what it is sent."""
    server = Receiver("ARCHIVE", port, ("MEDIMG",)).start(Inbox(folder, 1 << 40, 0))
    try:
        yield
    finally:
        server.shutdown()


def servers(folder: Path, port: int) -> dict[str, str]:
    """The environment in which `archive` is a server's name."""
    entry = {"kind": "dimse", "host": "127.0.0.1", "port": port, "aet": "ARCHIVE", "retries": 0}
    path = folder / "servers.yaml"
    path.write_text(yaml.safe_dump({"servers": {"archive": entry}}), encoding="utf-8")
    return {"MEDIMG_SERVERS": str(path)}


def test_a_study_is_complete_once_nothing_was_added_for_so_long(tmp_path):
    inbox = Inbox(tmp_path, 1 << 20, 0)
    inbox.store("1.2", "1.2.3", b"a")
    arrivals = Arrivals(inbox)
    assert arrivals.take_complete(3600) == []
    assert arrivals.awaits(tmp_path / "1.2")
    assert arrivals.take_complete(0) == [tmp_path / "1.2"]
    assert arrivals.take_complete(0) == []
    arrivals.note(inbox.store("1.2", "1.2.4", b"b"))
    assert arrivals.take_complete(0) == [tmp_path / "1.2"]


@pytest.mark.slow
def test_what_was_received_before_a_kill_is_done_after_it_and_the_results_are_sent_once(tmp_path):
    files = [chest(tmp_path / "in" / str(seed), seed) for seed in (1, 2)]
    pipeline = quick_pipeline(tmp_path / "quick")
    port, pacs_port, out = free_port(), free_port(), tmp_path / "out"
    environment = servers(tmp_path, pacs_port)
    with medimg(*listener(out, port, pipeline, "--quiet-for", 600), **environment) as process:
        process.wait_for("listening as MEDIMG")
        assert sender(port).send(files[0]).failed == []
        process.kill()
    wanted = listener(out, port, pipeline, "--send-to", "archive", "--keep-for", "0.00001")
    # the archive is away at first: results wait
    with medimg(*wanted, **environment) as process:
        process.wait_for("results are kept and sent later")
        assert process.stop() == 0
        assert any("stopped" in line for line in process.lines)
    (case,) = out.glob("*/report.json")
    first = json.loads(case.read_text(encoding="utf-8"))
    assert len(first["findings"]) == 1
    with archive(tmp_path / "pacs", pacs_port), medimg(*wanted, **environment) as process:
        process.wait_for("sent to archive: 2 objects")
        assert sender(port).send(files[1]).failed == []
        wait_until(lambda: len(stored(tmp_path / "pacs")) == 4, "both cases are sent")
        # what is done and sent is dropped
        wait_until(lambda: not any((out / "received").iterdir()), f"nothing stays: {process.lines}")
        # the archive forwards results, as it may be set up to do: nothing comes of that
        assert sender(port).send(sorted((tmp_path / "pacs").rglob("*.dcm"))).failed == []
        wait_until(lambda: sum("studies are complete" in line for line in process.lines) >= 2, "taken up")
        time.sleep(3)
        assert process.stop() == 0
    assert json.loads(case.read_text(encoding="utf-8")) == first
    sent = {str(pydicom.dcmread(path).StudyInstanceUID) for path in (tmp_path / "pacs").rglob("*.dcm")}
    assert sent == {str(pydicom.dcmread(paths[0]).StudyInstanceUID) for paths in files}
    assert sum("sent to archive" in line for line in process.lines) == 2
    with contextlib.closing(sqlite3.connect(out / "journal.sqlite")) as journal:
        assert journal.execute("SELECT state, attempts FROM cases").fetchall() == [("done", 1)] * 2
        assert journal.execute("SELECT COUNT(*) FROM deliveries").fetchone() == (2,)


@pytest.mark.slow
def test_a_study_whose_second_half_comes_later_is_searched_as_a_whole(tmp_path):
    files = chest(tmp_path / "in")
    pipeline = quick_pipeline(tmp_path / "quick")
    port, out = free_port(), tmp_path / "out"
    with medimg(*listener(out, port, pipeline, "--quiet-for", 4, "--json")) as process:
        process.wait_for('"listening"')
        sender(port).send(files[:12])
        time.sleep(2)
        sender(port).send(files[12:])
        process.wait_for('"state": "done"')
        assert process.stop() == 0
    events = [json.loads(line) for line in process.lines if line.startswith("{")]
    assert sum(event["event"] == "case" for event in events) == 1
    assert pixels(files) == stored(out / "received")
    (report,) = out.glob("*/report.json")
    assert len(json.loads(report.read_text(encoding="utf-8"))["findings"]) == 1


def worker_of(process: int) -> int | None:
    """The first of its processes that cases are given to."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    started = (int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes())
    return next(started, None)


@pytest.mark.slow
def test_a_study_that_comes_while_another_is_searched_is_searched_beside_it(tmp_path):
    files = [chest(tmp_path / "in" / str(seed), seed) for seed in (1, 2)]
    port, out = free_port(), tmp_path / "out"
    wanted = listener(out, port, quick_pipeline(tmp_path / "quick"), "--workers", 2, "--json")
    with medimg(*wanted) as process:
        process.wait_for('"listening"')
        assert sender(port).send(files[0]).failed == []
        wait_until(lambda: worker_of(process.process.pid) is not None, f"a worker starts: {process.lines}")
        stopped = worker_of(process.process.pid)
        os.kill(stopped, signal.SIGSTOP)  # a case that takes for ever
        assert sender(port).send(files[1]).failed == []
        process.wait_for('"state": "done"')
        assert len(list(out.glob("*/report.json"))) == 1
        os.kill(stopped, signal.SIGCONT)
        wait_until(lambda: len(list(out.glob("*/report.json"))) == 2, f"both are done: {process.lines}")
        process.wait_for('"event": "done"')
        assert process.stop() == 0
    events = [json.loads(line)["event"] for line in process.lines if line.startswith("{")]
    assert (events.count("begin"), events.count("complete"), events.count("case")) == (1, 2, 2)


@pytest.mark.slow
def test_a_second_listener_on_a_folder_is_refused_and_a_port_that_is_taken_too(tmp_path):
    pipeline = quick_pipeline(tmp_path / "quick")
    port = free_port()
    with medimg(*listener(tmp_path / "out", port, pipeline)) as process:
        process.wait_for("listening")
        with medimg(*listener(tmp_path / "out", free_port(), pipeline)) as second:
            assert second.process.wait(90) == 2
            assert "is at work on" in second.last_line()
        with medimg(*listener(tmp_path / "other", port, pipeline)) as third:
            assert third.process.wait(90) == 1
            assert f"cannot listen on 127.0.0.1:{port}" in third.last_line()
        assert process.stop() == 0
    shutil.rmtree(tmp_path / "out")
