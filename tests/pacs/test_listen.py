"""`medimg pacs listen` with dcmtk's programs and a real Orthanc at the other ends."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import pydicom
import pytest
from pacs_peers import certificate, chest, free_port, listener, medimg, pixels, quick_pipeline, stored, wait_until

from medimg.pacs.inbox import Inbox
from medimg.pacs.receive import Receiver
from medimg.pacs.servers import CONFIG_VARIABLE
from medimg.pacs.tls import Tls

SENDERS = 8
KILLS = 4
TAKEN = re.compile(r"^I: Sending file: (.+)$|^I: Received Store Response \((.+)\)$", re.MULTILINE)


def dcmtk(program: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """One of dcmtk's programs, its stdout and stderr together."""
    ran = subprocess.run(
        [program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert not check or ran.returncode == 0, ran.stdout
    return ran


def storescu(
    port: int, paths: list[Path], title: str = "SENDER", check: bool = True, options: tuple[object, ...] = ()
) -> list[Path]:
    """Files that the listener acknowledged."""
    where = (*options, "-v", "-aet", title, "-aec", "MEDIMG", "127.0.0.1", port)
    ran = dcmtk("storescu", *where, *paths, check=check)
    acknowledged, current = [], None
    for sending, status in TAKEN.findall(ran.stdout):
        if sending:
            current = Path(sending)
        elif status == "Success" and current is not None:
            acknowledged.append(current)
    return acknowledged


def test_a_scanner_sends_and_the_results_lie_at_the_archive(orthanc, tmp_path):
    files = chest(tmp_path / "study", seed=31)
    # the archive forwards a study of its own, as a PACS does by rule: movescu tells it to
    asked = chest(tmp_path / "asked", seed=32)
    dcmtk("storescu", "-aec", "ORTHANC", "127.0.0.1", orthanc.dicom_port, *asked)
    wanted = listener(tmp_path / "out", orthanc.move_port, quick_pipeline(tmp_path / "quick"), "--send-to", "web")
    with medimg(*wanted, "--allow", "ORTHANC", **{CONFIG_VARIABLE: str(orthanc.servers)}) as process:
        process.wait_for("listening as MEDIMG")
        dcmtk("echoscu", "-aet", "SENDER", "-aec", "MEDIMG", "127.0.0.1", orthanc.move_port)
        assert sorted(storescu(orthanc.move_port, files)) == sorted(files)
        study = pydicom.dcmread(asked[0]).StudyInstanceUID
        move = ("-aet", "SENDER", "-aec", "ORTHANC", "-aem", "MEDIMG", "127.0.0.1", orthanc.dicom_port)
        dcmtk("movescu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}", *move)
        wait_until(lambda: orthanc.modalities() == ["CT", "SEG", "SEG", "SR", "SR"], f"results come: {process.lines}")
        # a question that a storage SCP does not answer, and a stranger: refused, and no harm done
        find = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=*", "127.0.0.1", orthanc.move_port)
        refused = dcmtk("findscu", "-v", "-aet", "SENDER", "-aec", "MEDIMG", *find, check=False)
        assert refused.returncode != 0
        assert "No Acceptable Presentation Contexts" in refused.stdout
        assert storescu(orthanc.move_port, files[:1], "STRANGER", check=False) == []
        assert storescu(orthanc.move_port, files[:1]) == files[:1]
        assert process.stop() == 0
    assert pixels([*files, *asked]) == stored(tmp_path / "out" / "received")
    seen = dcmtk("findscu", "-S", "-k", "QueryRetrieveLevel=SERIES", "-k", "Modality=SEG", "-k", "SeriesInstanceUID",
                 "-k", f"StudyInstanceUID={study}", "-aec", "ORTHANC", "127.0.0.1", orthanc.dicom_port)  # fmt: skip
    assert seen.stdout.count("(0008,0060) CS [SEG") >= 1


def test_over_tls_a_sender_is_let_in_by_its_certificate(running_orthanc, tmp_path):
    files = chest(tmp_path / "study")[:5]
    for name in ("ours", "theirs", "stranger"):
        (tmp_path / name).mkdir()
    (ca, key), (their_ca, their_key), strange = (certificate(tmp_path / n) for n in ("ours", "theirs", "stranger"))
    tls = Tls(ca=str(their_ca), certificate=str(ca), key=str(key))
    port = free_port()
    server = Receiver("MEDIMG", port, ("SENDER",), tls=tls).start(Inbox(tmp_path / "in", 1 << 30, 0))
    try:
        # a peer that connects and says nothing keeps nobody waiting
        with socket.create_connection(("127.0.0.1", port)):
            assert storescu(port, files, options=("+tls", their_key, their_ca, "+cf", ca)) == files
            assert storescu(port, files, options=("+tls", strange[1], strange[0], "+cf", ca), check=False) == []
            assert storescu(port, files, check=False) == []
    finally:
        server.shutdown()
    assert stored(tmp_path / "in") == pixels(files)


@pytest.mark.slow
def test_eight_senders_and_four_kills_lose_no_acknowledged_instance(running_orthanc, tmp_path):
    studies = [chest(tmp_path / str(seed), seed) for seed in range(41, 41 + SENDERS)]
    port = free_port()
    command = listener(tmp_path / "out", port, quick_pipeline(tmp_path / "quick"), "--quiet-for", 600)
    acknowledged: set[Path] = set()
    lock = threading.Lock()
    over = threading.Event()

    def send_until_over(paths: list[Path]) -> None:
        """As a scanner does: what was not acknowledged is sent again, the rest anew."""
        while not over.is_set():
            with lock:
                left = [path for path in paths if path not in acknowledged]
            if not left:
                return
            taken = storescu(port, left, check=False)
            with lock:
                acknowledged.update(taken)
            time.sleep(0.1)

    threads = [threading.Thread(target=send_until_over, args=(paths,)) for paths in studies]
    lost: list[str] = []
    counts = []
    try:
        for kill in range(KILLS + 1):
            with medimg(*command) as process:
                process.wait_for("listening as MEDIMG")
                if kill == 0:
                    for thread in threads:
                        thread.start()
                if kill == KILLS:
                    wait_until(lambda: not any(thread.is_alive() for thread in threads), "all is sent", 120)
                else:
                    time.sleep(0.3 + 0.2 * kill)
                process.kill()
            with lock:
                counts.append(len(acknowledged))
                certain = pixels(acknowledged)
            there = stored(tmp_path / "out" / "received")
            lost += [uid for uid, data in certain.items() if there.get(uid) != data]
    finally:
        over.set()
        for thread in threads:
            thread.join(120)
    assert lost == [], counts
    assert len(acknowledged) == sum(map(len, studies))
    assert counts[0] < counts[-1], "no kill came in the middle"
    assert stored(tmp_path / "out" / "received") == pixels([path for paths in studies for path in paths])
