"""The storage SCP: what it acknowledges is on the disk, and whom and what it refuses."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pacs_peers import free_port, pixels, sender, stored, wait_until
from pynetdicom import AE

from medimg.dicom.discover import discover
from medimg.errors import NetworkError, UsageError
from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver
from medimg.pacs.scp import LONGEST_PDU_BYTES
from medimg.phantoms.dicom import write_ct_series

LISTEN = """
import sys, time
from pathlib import Path
from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver
server = Receiver("MEDIMG", int(sys.argv[2]), ("SENDER",)).start(Inbox(Path(sys.argv[1]), 1 << 40, 0))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> list[Path]:
    voxels = np.random.default_rng(0).integers(-1000, 400, (32, 40, 30)).astype(np.int16)
    return write_ct_series(voxels, np.diag([-1.0, -1.0, 2.0, 1.0]), tmp_path_factory.mktemp("ct"), seed=3)


@contextlib.contextmanager
def listening(folder: Path, port: int, quota=1 << 40, reserve=0, allowed=("SENDER",), **options) -> Iterator[Inbox]:
    inbox = Inbox(folder, quota, reserve)
    server = Receiver("MEDIMG", port, allowed, **options).start(inbox)
    try:
        yield inbox
    finally:
        server.shutdown()


def test_what_is_sent_is_stored_as_it_came(tmp_path, port, series):
    with listening(tmp_path, port):
        result = sender(port).send(series)
    assert result.failed == []
    assert stored(tmp_path) == pixels(series)


@pytest.mark.parametrize(("title", "called"), [("STRANGER", "MEDIMG"), ("SENDER", "OTHER")])
def test_a_title_that_is_not_allowed_and_a_call_for_another_are_rejected(tmp_path, port, title, called):
    with listening(tmp_path, port), pytest.raises(NetworkError, match=f"rejects {title}"):
        sender(port, title, called).echo()


def test_when_the_quota_is_used_the_sender_is_told_so(tmp_path, port, series):
    size = series[0].stat().st_size
    with listening(tmp_path, port, quota=10 * size + size // 2):
        result = sender(port).send(series)
    assert len(result.done) == len(stored(tmp_path)) == 10
    assert {why for _, why in result.failed} == {"refused, status 0xA700"}


def test_when_the_disk_has_no_more_to_give_the_sender_is_told_so(tmp_path, port, series):
    with listening(tmp_path, port, reserve=1 << 62):
        result = sender(port).send(series[:3])
    assert {why for _, why in result.failed} == {"refused, status 0xA700"}
    assert stored(tmp_path) == {}


def test_an_instance_sent_twice_is_kept_once_and_another_of_its_uid_beside_it(tmp_path, port, series):
    other = pydicom.dcmread(series[0])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(tmp_path / "other.dcm")
    with listening(tmp_path / "in", port):
        for _ in range(2):
            sender(port).send([series[0]])
        sender(port).send([tmp_path / "other.dcm"])
    assert len(list((tmp_path / "in").rglob("*.dcm"))) == 2


def test_an_object_that_is_not_what_it_was_announced_as_is_refused(tmp_path, port, series):
    dataset = pydicom.dcmread(series[0])
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"  # what a sender announces
    pydicom.dcmwrite(tmp_path / "other", dataset, enforce_file_format=False)
    assert pydicom.dcmread(tmp_path / "other").SOPInstanceUID != "1.2.3.4"
    with listening(tmp_path / "in", port):
        result = sender(port).send([tmp_path / "other"])
    assert [why for _, why in result.failed] == ["refused, status 0xA900"]
    assert stored(tmp_path / "in") == {}


def test_one_association_more_than_there_may_be_is_told_to_come_again(tmp_path, port):
    with listening(tmp_path, port, associations=1):
        entity = AE("SENDER")
        entity.add_requested_context("1.2.840.10008.1.1")
        first = entity.associate("127.0.0.1", port, ae_title="MEDIMG")
        assert first.is_established
        with pytest.raises(NetworkError) as caught:
            sender(port).echo()
        assert caught.value.may_pass
        first.release()
        wait_until(lambda: not first.is_alive(), "released")
        assert sender(port, retries=5).echo()


def test_a_peer_that_announces_a_huge_pdu_is_hung_up_on(tmp_path, port):
    with listening(tmp_path, port), socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, LONGEST_PDU_BYTES + 1))
        assert peer.recv(1) == b""
        assert sender(port).echo()


def test_an_instance_beyond_the_bound_ends_its_association_and_no_other(tmp_path, port, series):
    big = pydicom.dcmread(series[0])
    big.PixelData = bytes(200 << 10)
    big.save_as(tmp_path / "big.dcm")
    with listening(tmp_path / "in", port, largest=100 << 10):
        with pytest.raises(NetworkError, match="broke off"):
            sender(port).send([tmp_path / "big.dcm"])
        assert sum(path.stat().st_size for path in series) > 100 << 10
        assert sender(port).send(series).failed == []
    assert len(stored(tmp_path / "in")) == len(series)


def test_nobody_allowed_is_no_receiver(port):
    with pytest.raises(UsageError, match="--allow"):
        Receiver("MEDIMG", port, ())
    with pytest.raises(UsageError, match="no AE title"):
        Receiver("MEDIMG", port, ("A_TITLE_THAT_IS_TOO_LONG",))


def test_a_port_that_is_taken_is_named(tmp_path, port):
    with listening(tmp_path / "a", port), pytest.raises(NetworkError, match=f"cannot listen on 127.0.0.1:{port}"):
        Receiver("MEDIMG", port, ("SENDER",)).start(Inbox(tmp_path / "b", 1, 0))


def test_what_was_acknowledged_survives_a_kill(tmp_path, port, series):
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(tmp_path), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"

        def progress(_what: str, done: int, _total: int) -> None:
            if done == 12:
                process.kill()
                process.wait()

        acknowledged = sender(port, timeout=5).send(series, progress).done
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert 12 <= len(acknowledged) < len(series)
    assert pixels(acknowledged).items() <= stored(tmp_path).items()


def test_what_a_kill_left_half_written_is_cleared_away_and_does_not_count(tmp_path):
    inbox = Inbox(tmp_path, quota=100, reserve=0)
    path = inbox.store("1.2", "1.2.3", bytes(60))
    (path.parent / ".medimg-half-1.2.4.dcm").write_bytes(bytes(80))
    again = Inbox(tmp_path, quota=100, reserve=0)
    assert [found.name for found in path.parent.iterdir()] == ["1.2.3.dcm"]
    assert again.store("1.2", "1.2.5", bytes(40)).is_file()


def test_a_study_is_dropped_only_when_nothing_was_added_since(tmp_path):
    inbox = Inbox(tmp_path, quota=100, reserve=0)
    path = inbox.store("1.2", "1.2.3", bytes(100))
    ((folder, last),) = inbox.studies()
    assert not inbox.remove(folder, last - 1)
    assert path.is_file()
    assert inbox.remove(folder, time.time())
    assert list(tmp_path.iterdir()) == []
    assert inbox.store("1.2", "1.2.3", bytes(100)).is_file()


def test_what_is_half_written_in_the_inbox_or_noted_there_is_no_scan(tmp_path, series):
    folder = tmp_path / "study"
    shutil.copytree(series[0].parent, folder)
    (folder / ".medimg-half-1.2.4.dcm").write_bytes(series[0].read_bytes()[:500])
    (folder / ".medimg-whole").write_text("1.2\n", encoding="ascii")
    (tmp_path / ".medimg-aside").mkdir()
    shutil.copy(series[0], tmp_path / ".medimg-aside")
    found = discover(tmp_path)
    assert [len(each.frames) for each in found.series] == [len(series)]
    assert list(found.skipped) == []
