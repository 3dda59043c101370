"""A real Orthanc on the loopback device, and dcmtk's programs as foreign clients. `make pacs-test` runs these tests."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml
from click.testing import CliRunner
from pacs_peers import free_port

from medimg.cli import cli
from medimg.phantoms.dicom import write_ct_series

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
HOW = "install Debian's orthanc, orthanc-dicomweb and dcmtk, then run make pacs-test"
STARTUP_SECONDS = 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need the programs."""
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.pacs)


def only_loopback() -> bool:
    """True where nothing but the loopback device is up: Orthanc listens on every address whatever it is told."""
    return all(name == "lo" for _, name in socket.if_nameindex())


@dataclass(frozen=True)
class Orthanc:
    """A running server. servers: a medimg servers.yaml that names it `web`, `get` and `move`."""

    folder: Path
    http: str
    http_port: int
    dicom_port: int
    move_port: int
    servers: Path
    process: subprocess.Popen[bytes]

    def instances(self) -> list[str]:
        """Its identifiers of everything it has stored."""
        found: list[str] = requests.get(f"{self.http}/instances", timeout=20).json()
        return found

    def modalities(self) -> list[str]:
        """Of every series it has stored."""
        series = requests.get(f"{self.http}/series?expand", timeout=20).json()
        return sorted(each["MainDicomTags"]["Modality"] for each in series)

    def clear(self) -> None:
        """Delete every patient."""
        for patient in requests.get(f"{self.http}/patients", timeout=20).json():
            requests.delete(f"{self.http}/patients/{patient}", timeout=20)


@contextlib.contextmanager
def started(folder: Path, **settings: object) -> Iterator[Orthanc]:
    """An Orthanc of its own, with other settings than usual; it may be killed."""
    program = shutil.which("Orthanc")
    if program is None or not PLUGIN.is_file():
        pytest.skip(f"no Orthanc; {HOW}")
    if not only_loopback():
        pytest.skip("Orthanc opens its ports to the whole network: run these tests with make pacs-test")
    http, dicom, move = free_port(), free_port(), free_port()
    config = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(PLUGIN)],
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomPort": dicom,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowMove": True,
        "DicomAlwaysAllowGet": True,
        "DicomModalities": {"medimg": ["MEDIMG", "127.0.0.1", move]},
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **settings,
    }
    (folder / "orthanc.json").write_text(json.dumps(config), encoding="utf-8")
    node = {"kind": "dimse", "host": "127.0.0.1", "port": dicom, "aet": "ORTHANC", "move_port": move, "retries": 1}
    known = {
        "web": {"kind": "dicomweb", "url": f"http://127.0.0.1:{http}/dicom-web", "retries": 1},
        "get": {**node, "timeout": 10},
        "move": {**node, "retrieve": "move"},
        "gone": {"kind": "dimse", "host": "127.0.0.1", "port": free_port(), "aet": "GONE", "retries": 0},
        "gone-web": {"kind": "dicomweb", "url": f"http://127.0.0.1:{free_port()}/dicom-web", "retries": 0},
    }
    (folder / "servers.yaml").write_text(yaml.safe_dump({"servers": known}), encoding="utf-8")
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
        try:
            server = Orthanc(folder, f"http://127.0.0.1:{http}", http, dicom, move, folder / "servers.yaml", process)
            _wait_for(server)
            yield server
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="session")
def running_orthanc(tmp_path_factory):
    """One Orthanc for the session."""
    with started(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="session")
def start_orthanc():
    """`started`."""
    return started


@pytest.fixture
def medimg_at(monkeypatch):
    """Run `medimg ARGUMENTS` with the servers of an Orthanc."""

    def run(server: Orthanc, *arguments: object):
        monkeypatch.setenv("MEDIMG_SERVERS", str(server.servers))
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="medimg")

    return run


@pytest.fixture
def orthanc(running_orthanc: Orthanc) -> Orthanc:
    """An empty Orthanc."""
    running_orthanc.clear()
    return running_orthanc


@pytest.fixture(scope="session")
def ct_series(tmp_path_factory) -> list[Path]:
    """A CT series of 24 slices."""
    voxels = np.random.default_rng(0).integers(-1000, 400, (32, 40, 24)).astype(np.int16)
    folder = tmp_path_factory.mktemp("series")
    return write_ct_series(voxels, np.diag([-1.0, -1.0, 2.0, 1.0]), folder, seed=3, description="Thorax")


def _wait_for(server: Orthanc) -> None:
    end = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.http_port), timeout=2):
            return
        time.sleep(0.2)
    raise AssertionError(f"Orthanc did not start: {(server.folder / 'log.txt').read_text(encoding='utf-8')[-2000:]}")
