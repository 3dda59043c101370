from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile

import pytest

from medimg.report import viewer
from medimg.report.viewer import fetch

CODE = b"var niivue = 1;"


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A folder like the package's, whose pin points at an archive on this disk; no npm."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/dist/niivue.umd.js")
        entry.size = len(CODE)
        archive.addfile(entry, io.BytesIO(CODE))
    package = tmp_path / "niivue.tgz"
    package.write_bytes(packed.getvalue())
    pin = {
        "name": "@niivue/niivue",
        "version": "1.2.3",
        "url": package.as_uri(),
        "integrity": "sha512-" + base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode(),
        "member": "package/dist/niivue.umd.js",
        "sha256": hashlib.sha256(CODE).hexdigest(),
    }
    folder = tmp_path / "viewer"
    folder.mkdir()
    (folder / "niivue.json").write_text(json.dumps(pin))
    (folder / "LICENSE.niivue.txt").write_text("licence")
    monkeypatch.setattr(fetch, "FOLDER", folder)
    monkeypatch.setattr(fetch, "TARGET", folder / "niivue.js")
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    monkeypatch.setattr(viewer, "FOLDER", folder)
    return folder, pin


def test_what_is_pinned_is_fetched_once_and_carries_its_licence(registry):
    folder, pin = registry
    assert viewer.bundle() is None
    assert fetch.fetch().read_bytes() == CODE
    assert viewer.bundle() == "/*! 1.2.3, licence*/\nvar niivue = 1;"
    # there already: nothing is asked for
    (folder / "niivue.json").write_text(json.dumps({**pin, "url": "file:///gone"}))
    assert fetch.fetch().read_bytes() == CODE


@pytest.mark.parametrize("key", ["integrity", "sha256"])
def test_anything_else_than_what_is_pinned_is_refused(key, registry):
    folder, pin = registry
    (folder / "niivue.json").write_text(json.dumps({**pin, key: pin[key][:-4] + "AAAA"}))
    with pytest.raises(OSError, match="is not what"):
        fetch.fetch()
    assert not (folder / "niivue.js").exists()


def test_code_that_was_changed_on_the_disk_is_not_put_into_a_page(registry):
    folder, _ = registry
    fetch.fetch()
    (folder / "niivue.js").write_bytes(CODE + b"alert(1)")
    assert viewer.bundle() is None


def test_without_a_net_the_package_is_built_and_says_what_it_lacks(registry, capsys):
    folder, pin = registry
    (folder / "niivue.json").write_text(json.dumps({**pin, "url": "file:///gone"}))
    assert fetch._setuptools().__name__ == "setuptools.build_meta"
    assert "viewer is left out" in capsys.readouterr().err


def test_the_code_can_stand_inside_a_script_element():
    bundle = viewer.bundle()
    if bundle is None:
        pytest.skip("NiiVue was not fetched; see make viewer")
    for mark in ("</script", "<!--", "\r"):
        assert mark not in bundle.lower()
