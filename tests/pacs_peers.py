"""What stands at the other end of a PACS test: small studies with a known finding, ports, and ours as a process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import yaml
from toy import ball

from medimg.pacs.dimse import Dimse
from medimg.pacs.servers import DimseServer
from medimg.phantoms.dicom import write_ct_series

CENTER_RAS = (-15.0, -15.0, 12.0)


def chest(folder: Path, seed: int = 1, radius_mm: float = 5.0) -> list[Path]:
    """A CT of a block of lung with one nodule of 60 HU, as a study of its own a seed; the files of its 24 slices."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    shape = (32, 32, 24)
    noise = np.random.default_rng(seed).normal(0, 10, shape)
    voxels = np.full(shape, -850) + noise
    voxels[ball(shape, affine, CENTER_RAS, radius_mm)] = 400
    return write_ct_series(voxels.astype(np.int16), affine, folder, seed=seed, patient_id=f"P{seed}")


def free_port() -> int:
    """A port of the loopback device that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def sender(port: int, title: str = "SENDER", called: str = "MEDIMG", **changes) -> Dimse:
    """Our own client of a listener on this machine."""
    known = {"host": "127.0.0.1", "calling_aet": title, "retries": 0, "timeout": 20, **changes}
    return Dimse(DimseServer("scp", port=port, aet=called, **known))


def stored(folder: Path) -> dict[str, bytes]:
    """SOP instance UID -> pixels of every whole file below the folder."""
    found = (pydicom.dcmread(path) for path in folder.rglob("*.dcm") if not path.name.startswith("."))
    return {str(dataset.SOPInstanceUID): dataset.get("PixelData", b"") for dataset in found}


def pixels(paths) -> dict[str, bytes]:
    """SOP instance UID -> the bytes of the pixels."""
    return {str(dataset.SOPInstanceUID): dataset.PixelData for dataset in map(pydicom.dcmread, paths)}


def wait_until(true: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Until it holds; fails with `what` when that takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


class Process:
    """`medimg ARGUMENTS` as a process; its lines of stdout and stderr as they come."""

    def __init__(self, *arguments: object, **environment: str) -> None:
        command = [sys.executable, "-m", "medimg", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, text: str, seconds: float = 90) -> None:
        """Until a line holds the text."""

        def seen() -> bool:
            return any(text in line for line in list(self.lines)) or self.process.poll() is not None

        wait_until(seen, f"no {text!r} in {self.lines}", seconds)
        assert any(text in line for line in self.lines), f"ended without {text!r}: {self.lines}"

    def last_line(self) -> str:
        """Of a process that has ended."""
        self._reader.join(60)
        return self.lines[-1]

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextlib.contextmanager
def medimg(*arguments: object, **environment: str) -> Iterator[Process]:
    """`medimg ARGUMENTS` while the block runs."""
    process = Process(*arguments, **environment)
    try:
        yield process
    finally:
        if process.process.poll() is None or not process.process.stdout.closed:
            process.kill()


def listener(folder: Path, port: int, pipeline: Path | str, *options: object) -> tuple[object, ...]:
    """Arguments of `medimg pacs listen` that lets SENDER in and takes a study as complete after a second."""
    where = ("-o", folder, "--port", port, "--pipeline", pipeline, "--reserve", "1K")
    return ("pacs", "listen", "--allow", "SENDER", "--quiet-for", 1, "--workers", 1, *where, *options)


def quick_pipeline(folder: Path) -> Path:
    """The detector by shape, which needs no torch, with only the results that a PACS takes."""
    shipped = Path(__file__).resolve().parents[1] / "pipelines" / "lung_nodule_classical"
    shutil.copytree(shipped, folder)
    document = yaml.safe_load((folder / "pipeline.yaml").read_text(encoding="utf-8"))
    document["name"] = "quick"
    (report,) = (stage["report"] for stage in document["stages"] if "report" in stage)
    report["formats"] = ["json", "seg", "sr"]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return folder


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of its own authority for 127.0.0.1, and its key; skips the test where openssl is missing."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    where = ("-keyout", folder / "key.pem", "-out", folder / "ca.pem")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *where)
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return folder / "ca.pem", folder / "key.pem"


@contextlib.contextmanager
def tls_front(folder: Path, behind: int) -> Iterator[tuple[int, Path]]:
    """A port that speaks TLS and passes on to the port behind it, as a hospital's proxy does; and its certificate.

    Debian's Orthanc 1.10.1 crashes when it speaks TLS itself.
    """
    ca, key = certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca, key)

    class Pass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as front,
                socket.create_connection(("127.0.0.1", behind)) as back,
            ):
                answers = threading.Thread(target=_pump, args=(back, front))
                answers.start()
                _pump(front, back)
                answers.join()

    class Front(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Front(("127.0.0.1", 0), Pass) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], ca
        finally:
            server.shutdown()
            thread.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on until the source ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
