"""The storage SCP: what it acknowledges is on the disk, and whom and what it refuses."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medimg.errors import NetworkError, UsageError
from medimg.pacs.dimse import Dimse
from medimg.pacs.receive import Receiver
from medimg.pacs.servers import DimseServer
from medimg.phantoms.dicom import write_ct_series

# pynetdicom leaves the socket of a refused connection to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LISTEN = """
import sys, time
from pathlib import Path
from medimg.pacs.receive import Receiver
server = Receiver(Path(sys.argv[1]), "MEDIMG", int(sys.argv[2]), ("SENDER",), reserve=0).start()
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> list[Path]:
    voxels = np.random.default_rng(0).integers(-1000, 400, (32, 40, 30)).astype(np.int16)
    return write_ct_series(voxels, np.diag([-1.0, -1.0, 2.0, 1.0]), tmp_path_factory.mktemp("ct"), seed=3)


def sender(port: int, title: str = "SENDER") -> Dimse:
    return Dimse(DimseServer("scp", "127.0.0.1", port, "MEDIMG", calling_aet=title, retries=0, timeout=20))


@contextlib.contextmanager
def listening(receiver: Receiver) -> Iterator[None]:
    server = receiver.start()
    try:
        yield
    finally:
        server.shutdown()


def stored(folder: Path) -> dict[str, bytes]:
    """SOP instance UID -> pixels of every whole file."""
    found = map(pydicom.dcmread, folder.rglob("*.dcm"))
    return {str(dataset.SOPInstanceUID): dataset.PixelData for dataset in found}


def test_what_is_sent_is_stored_as_it_came(tmp_path, port, series):
    with listening(Receiver(tmp_path, "MEDIMG", port, ("SENDER",), reserve=0)):
        result = sender(port).send(series)
    assert result.failed == []
    assert stored(tmp_path) == {str(d.SOPInstanceUID): d.PixelData for d in map(pydicom.dcmread, series)}


def test_a_title_that_is_not_allowed_is_rejected(tmp_path, port):
    with (
        listening(Receiver(tmp_path, "MEDIMG", port, ("OTHER",), reserve=0)),
        pytest.raises(NetworkError, match="rejects"),
    ):
        sender(port).echo()


def test_when_the_quota_is_used_the_sender_is_told_so(tmp_path, port, series):
    size = series[0].stat().st_size
    with listening(Receiver(tmp_path, "MEDIMG", port, ("SENDER",), quota=10 * size + size // 2, reserve=0)):
        result = sender(port).send(series)
    assert len(result.done) == len(stored(tmp_path)) == 10
    assert {why for _, why in result.failed} == {"refused, status 0xA700"}


def test_an_instance_sent_twice_is_kept_once_and_another_of_its_uid_beside_it(tmp_path, port, series):
    other = pydicom.dcmread(series[0])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(tmp_path / "other.dcm")
    with listening(Receiver(tmp_path / "in", "MEDIMG", port, ("SENDER",), reserve=0)):
        for _ in range(2):
            sender(port).send([series[0]])
        sender(port).send([tmp_path / "other.dcm"])
    assert len(list((tmp_path / "in").rglob("*.dcm"))) == 2


def test_nobody_allowed_is_no_receiver(tmp_path, port):
    with pytest.raises(UsageError, match="--allow"):
        Receiver(tmp_path, "MEDIMG", port, ())


def test_what_was_acknowledged_survives_a_kill(tmp_path, port, series):
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(tmp_path), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        acknowledged: list[Path] = []

        def progress(_what: str, done: int, _total: int) -> None:
            if done == 12:
                process.kill()
                process.wait()

        result = sender(port).send(series, progress)
        acknowledged = result.done
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert 12 <= len(acknowledged) < len(series)
    there = stored(tmp_path)
    for path in acknowledged:
        sent = pydicom.dcmread(path)
        assert there[str(sent.SOPInstanceUID)] == sent.PixelData
