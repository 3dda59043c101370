"""A memory limit is kept by the whole process, or refused before anything is computed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medimg.errors import MemoryLimitError, UsageError
from medimg.inference import memory
from medimg.inference.memory import OVERHEAD, Footprint, within_limit
from medimg.inference.options import parse_bytes
from medimg.inference.plan import Windows, plan_windows

MIB = 1 << 20

SCRIPT = """
import sys
import numpy as np, torch
from torch import nn
from medimg.errors import MemoryLimitError
from medimg.inference.decide import Argmax
from medimg.inference.device import Device
from medimg.inference.engine import predict
from medimg.inference.memory import resident_bytes
from medimg.inference.network import Network
from medimg.inference.options import Engine
from medimg.inference.plan import Windows

torch.manual_seed(0)
net = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 64, 1)).eval()
image = np.zeros((1, 160, 128, 96), np.float32)
device = Device("cpu", sys.argv[1], "")
windows = Windows((48, 48, 48), (0.25,) * 3, "gaussian")
# everything that is imported on the way is there before the limit is set
small, plenty = image[:, :32, :32, :32], Engine(memory_limit=1 << 40)
predict([Network(lambda: net)], small, Windows((16, 16, 16)), Argmax(), device, engine=plenty)
limit = resident_bytes() + int(float(sys.argv[2]) * 2**20)
try:
    predict([Network(lambda: net)], image, windows, Argmax(), device, engine=Engine(memory_limit=limit))
except MemoryLimitError as error:
    print("refused", error)
else:
    # not ru_maxrss, which begins at the size of the process that started this one
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print("peak", int(status["VmHWM"].split()[0]) / 1024, "limit", limit / 2**20)
"""


def run(precision, allowance):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, precision, str(allowance)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read as Linux has it")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_whole_process_stays_below_the_limit(precision):
    """Logits of the whole image would be 480 MiB."""
    word, peak, _, limit = run(precision, 320)
    assert word == "peak"
    assert float(peak) <= float(limit)


def test_what_cannot_be_kept_is_refused():
    assert run("fp32", 60)[0] == "refused"


@pytest.fixture
def empty_process(monkeypatch):
    """A process that holds nothing yet, so that figures are those of the plan."""
    monkeypatch.setattr(memory, "resident_bytes", lambda: 0)


def cost(working, channels=100):
    return lambda shape: Footprint(
        working * shape[0] * shape[2] * shape[3] * shape[4], ((channels, shape[2] * shape[3] * shape[4]),)
    )


def test_windows_are_run_one_at_a_time_and_in_the_order_that_waits_least(empty_process):
    plan = plan_windows((64, 128, 256), Windows((64, 64, 64), (0.25,) * 3, batch=4))
    kept = within_limit(plan, 1, cost(100), 1 << 40, lambda _: 1)
    assert kept is plan
    tight = plan.waiting_voxels() * 404
    changed = within_limit(plan, 1, cost(1), OVERHEAD + tight, lambda _: 1)
    assert changed.windows.batch == 1
    assert changed.waiting_voxels() < plan.waiting_voxels()
    assert sorted(map(tuple, changed.chosen)) == sorted(map(tuple, plan.chosen))


def test_only_fitted_windows_are_cut_down(empty_process):
    """A window of 256^3 holds 335 MB here, half of it half as much, and 34 MB wait for the other halves."""
    for fitted in (True, False):
        plan = plan_windows((256, 256, 256), Windows((256, 256, 256), (0.25,) * 3, fitted=fitted))
        limit = OVERHEAD + 256**3 + 330 * MIB
        if fitted:
            assert min(within_limit(plan, 1, cost(20, channels=1), limit, lambda _: 1).size) < 256
        else:
            with pytest.raises(MemoryLimitError, match="--fast"):
                within_limit(plan, 1, cost(20, channels=1), limit, lambda _: 1)


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 << 30), ("4G", 4 << 30), ("1.5 gb", 3 << 29), ("512M", 512 << 20), ("7", 7)]
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "4 apples", "-1G", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="4GiB"):
        parse_bytes(text)
