"""Networks are kept for the next scan where that is asked for."""

from __future__ import annotations

import pytest
from toy import detector

from medimg.bundle import load_bundle
from medimg.inference import kept as module
from medimg.inference.device import start_device
from medimg.inference.kept import MOST, kept
from medimg.inference.options import Engine
from medimg.inference.prepare import trained
from medimg.inference.runners import start_runner


@pytest.fixture(autouse=True)
def _empty(monkeypatch):
    monkeypatch.setattr(module, "_KEPT", type(module._KEPT)())


def runner(bundle, engine):
    return start_runner(trained(bundle), start_device(engine), engine)


def test_a_network_is_loaded_once_where_it_is_kept(tmp_path):
    bundle = load_bundle(detector(tmp_path / "toy") / "bundle")
    keep = Engine(keep=True)
    assert runner(bundle, keep) is runner(bundle, keep)
    assert runner(bundle, Engine()) is not runner(bundle, Engine())


def test_other_weights_are_another_network(tmp_path):
    import torch

    bundle = load_bundle(detector(tmp_path / "toy") / "bundle")
    keep = Engine(keep=True)
    before = runner(bundle, keep)
    torch.save({name: value + 1 for name, value in bundle.network().state_dict().items()}, bundle.weights)
    assert runner(bundle, keep) is not before


def test_what_was_not_used_for_longest_goes():
    made = []

    def make(key):
        return kept(Engine(keep=True), key, lambda: made.append(key) or key)

    for key in (*range(MOST), 0, MOST, 0, 1):
        make(key)
    assert made == [*range(MOST + 1), 1]
