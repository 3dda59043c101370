"""Nothing is imported beside the building of a bundle: MONAI walks through sys.modules for its parts, and a module that
another thread imports in that moment made cases fail at random ("dictionary changed size during iteration")."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
from toy import chest_crop, detector

SCRIPT = """
import json, sys, threading

seen, window = [], []

class Watch:
    def find_spec(self, name, path=None, target=None):
        seen.append((bool(window), threading.current_thread().name, name))

sys.meta_path.insert(0, Watch())

from medimg.cli import cli
import medimg.stages.infer as infer
from medimg.stages.ahead import imported

def watched():
    imported()
    from monai.bundle.config_item import ComponentLocator

    find = ComponentLocator._find_module_names

    def found(self):
        walks.append(len(seen))
        return find(self)

    ComponentLocator._find_module_names = found
    window.append(True)

walks = []
infer.imported = watched
cli.main(sys.argv[1:], standalone_mode=False)
built = walks[-1] if walks else 0
others = [(thread, name) for open, thread, name in seen[:built] if open and thread != "MainThread"]
ahead = sorted({thread for open, thread, name in seen if not open and name.startswith("monai")})
print(json.dumps({"walks": len(walks), "beside": others, "ahead": ahead}))
"""


def test_nothing_is_imported_beside_the_building_of_a_bundle(tmp_path):
    chest_crop(tmp_path / "scan.nii.gz", np.eye(4), (20.0, 22.0, 18.0))
    pipeline = detector(tmp_path / "toy")
    scan, out = tmp_path / "scan.nii.gz", tmp_path / "out"
    arguments = ("infer", "--volume", scan, "--pipeline", pipeline, "--trust", "-o", out)
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["walks"] > 0
    assert told["ahead"] == ["import ahead"]
    assert told["beside"] == []
