"""What is imported while a scan is read, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from medimg.stages.ahead import UNUSED, import_ahead, imported
from medimg.inference.options import Engine
import_ahead(None, Engine())
imported()
assert {"torch", "monai", "medimg.inference.find"} <= set(sys.modules)
print(sorted(set(UNUSED) & set(sys.modules)))
import importlib
for name in UNUSED:
    importlib.import_module(name)
from monai.inferers import SlidingWindowInferer
print(SlidingWindowInferer((8, 8, 8)).roi_size)
"""


def test_torch_and_monai_are_there_and_what_inference_does_not_need_can_still_be_imported():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[]", "(8, 8, 8)"]
