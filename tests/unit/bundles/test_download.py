"""Bundles fetched from a server, with digests, and the error where there is no network."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
import zipfile

import pytest
import yaml
import zoo

from medimg.bundles.download import download_bundle
from medimg.bundles.home import library
from medimg.bundles.store import import_bundle, recorded_files, verify
from medimg.errors import DownloadError, PipelineError, UsageError


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDIMG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def served(tmp_path):
    """A folder and its address on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def zipped(tmp_path, served, weights=b"weights", digest=None):
    """A bundle as a zip on the server, its weights beside it as a large file."""
    folder, address = served
    bundle = zoo.write(tmp_path / "made" / "organs", zoo.organs_config(), zoo.organs_metadata(), None)
    (folder / "model.pt").write_bytes(weights)
    entry = {
        "path": "models/model.pt",
        "url": f"{address}/model.pt",
        "hash_val": digest or hashlib.md5(weights, usedforsecurity=False).hexdigest(),
        "hash_type": "md5",
    }
    (bundle / "large_files.yml").write_text(yaml.safe_dump({"large_files": [entry]}))
    with zipfile.ZipFile(folder / "organs.zip", "w") as archive:
        for path in bundle.rglob("*"):
            archive.write(path, f"organs/{path.relative_to(bundle)}")
    return f"{address}/organs.zip"


def test_a_bundle_and_its_large_files_are_fetched_checked_and_kept(tmp_path, home, served):
    folder = download_bundle("organs", url=zipped(tmp_path, served), progress=False)
    assert folder == library() / "organs" == home / "bundles" / "organs"
    assert (folder / "models" / "model.pt").read_bytes() == b"weights"
    assert all(check.sound for check in verify(folder))
    assert set(recorded_files(folder)) == {
        "configs/inference.json",
        "configs/metadata.json",
        "large_files.yml",
        "models/model.pt",
    }
    (folder / "models" / "model.pt").write_bytes(b"other")
    assert [check.what for check in verify(folder) if not check.sound] == ["models/model.pt (md5)", "models/model.pt"]
    assert [path.name for path in library().iterdir() if path.name.startswith(".")] == []


def test_weights_that_are_not_those_promised_are_not_kept(tmp_path, home, served):
    with pytest.raises(DownloadError, match="hash check of downloaded file failed"):
        download_bundle("organs", url=zipped(tmp_path, served, digest="0" * 32), progress=False)
    assert not (library() / "organs").exists()


def test_without_network_the_error_says_what_to_do(home):
    with pytest.raises(DownloadError, match=r"cannot download organs from .*medimg bundle import"):
        download_bundle("organs", url="http://127.0.0.1:9/organs.zip", progress=False)


def test_a_version_that_nobody_knows_is_asked_for(home):
    with pytest.raises(UsageError, match="--version"):
        download_bundle("spleen_ct_segmentation", source="github", progress=False)


def test_what_is_fetched_must_be_a_bundle(tmp_path, home, served):
    folder, address = served
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("other/readme.txt", "no bundle")
    with pytest.raises(DownloadError, match="holds no bundle"):
        download_bundle("other", url=f"{address}/other.zip", progress=False)


def test_a_folder_or_a_zip_is_brought_in_whole(tmp_path, home, served):
    zipped(tmp_path, served)
    first = import_bundle(tmp_path / "made" / "organs")
    second = import_bundle(served[0] / "organs.zip", "again")
    assert recorded_files(first) == recorded_files(second) != {}
    with pytest.raises(PipelineError, match="as a zip"):
        import_bundle(served[0] / "model.pt")
    with pytest.raises(UsageError, match="can be no bundle's name"):
        import_bundle(tmp_path / "made" / "organs", "../up")
