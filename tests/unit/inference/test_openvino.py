"""OpenVINO gives torch's answer, from a compiled network on disk the second time, without torch."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from medimg.cores import usable_cores
from medimg.errors import OutputError, PipelineError, UsageError
from medimg.inference.device import choose_device
from medimg.inference.network import Network
from medimg.inference.openvino_runner import OpenVinoRunner

SHAPE = (1, 1, 16, 16, 16)

WITHOUT_TORCH = """
import sys
from pathlib import Path
import numpy as np
from medimg.inference.network import Network
from medimg.inference.openvino_runner import OpenVinoRunner

def build():
    raise AssertionError("compiled already")

runner = OpenVinoRunner(Network(build, "toy"), "fp32", folder=Path(sys.argv[1]))
runner.prepare((1, 1, 16, 16, 16))
output, = runner(np.load(sys.argv[2]))
np.save(sys.argv[3], output)
assert "torch" not in sys.modules and "monai" not in sys.modules
"""


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv3d(8, 3, 1)).eval()


@pytest.fixture(autouse=True)
def _openvino():
    pytest.importorskip("openvino", reason="pip install 'medimg[openvino]'")


@pytest.fixture
def windows():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 0.05)])
def test_its_answer_is_torchs(tmp_path, windows, precision, tolerance):
    net = network()
    runner = OpenVinoRunner(Network(lambda: net, "toy"), precision, folder=tmp_path)
    runner.prepare(SHAPE)
    with torch.no_grad():
        expected = net(torch.from_numpy(windows))
    (output,) = runner(windows)
    assert np.abs(output - expected.numpy()).max() < tolerance


def test_a_compiled_network_is_run_without_torch(tmp_path, windows):
    runner = OpenVinoRunner(Network(network, "toy"), "fp32", folder=tmp_path / "compiled")
    runner.prepare(SHAPE)
    np.save(tmp_path / "in.npy", windows)
    names = ["compiled", "in.npy", "out.npy"]
    command = [sys.executable, "-c", WITHOUT_TORCH, *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "out.npy"), runner(windows)[0])


def test_another_digest_or_window_is_another_compiled_network(tmp_path):
    for digest, shape in (("one", SHAPE), ("two", SHAPE), ("one", (1, 1, 8, 16, 16))):
        OpenVinoRunner(Network(network, digest), "fp32", folder=tmp_path).prepare(shape)
    assert len(list(tmp_path.glob("*.json"))) == 3


AFFINITY = """
import os, sys, threading
import numpy as np
from pathlib import Path
from medimg.inference.network import Network
from medimg.inference.openvino_runner import OpenVinoRunner

shape, seen, busy = (1, 1, 64, 64, 64), set(), threading.Event()
runner = OpenVinoRunner(Network(lambda: None, "toy"), "fp32", threads=1, folder=Path(sys.argv[1]))
runner.prepare(shape)
main = threading.get_native_id()


def watch():
    while not busy.is_set():
        seen.add(len(os.sched_getaffinity(main)))


watcher = threading.Thread(target=watch)
watcher.start()
for _ in range(20):
    runner(np.zeros(shape, np.float32))
busy.set()
watcher.join()
print(sorted(seen), len(os.sched_getaffinity(0)))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="affinity is asked of Linux")
@pytest.mark.skipif(usable_cores() < 2, reason="two processors are needed to be bound to one")
def test_a_share_of_the_threads_is_not_bound_to_one_processor(tmp_path):
    OpenVinoRunner(Network(network, "toy"), "fp32", folder=tmp_path).prepare((1, 1, 64, 64, 64))
    done = subprocess.run(
        [sys.executable, "-c", AFFINITY, str(tmp_path)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    everywhere = done.stdout.split()[-1]
    assert done.stdout == f"[{everywhere}] {everywhere}\n"


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="MEDIMG_HOME"):
        OpenVinoRunner(Network(network, "toy"), "fp32", folder=tmp_path / "file").prepare(SHAPE)


def test_a_network_it_cannot_convert_is_told_of(tmp_path):
    class Strange(nn.Module):
        def forward(self, x):
            return torch.from_numpy(np.fft.fft(x.numpy()).real)

    with pytest.raises(PipelineError, match="--engine torch"):
        OpenVinoRunner(Network(Strange, "strange"), "fp32", folder=tmp_path).prepare(SHAPE)
    assert list(tmp_path.glob("*.json")) == []


def test_it_is_asked_for_on_a_cpu_only():
    assert choose_device(backend="openvino").backend == "openvino"
    with pytest.raises(UsageError, match="fp16"):
        choose_device("cpu", "fp16")
