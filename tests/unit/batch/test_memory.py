"""Memory that ran out is known as that, whoever says so, and the next attempt takes less."""

from __future__ import annotations

import numpy as np
import pytest

from medimg.batch import memory
from medimg.batch.memory import free_bytes, ran_out, squeezed
from medimg.errors import PipelineError
from medimg.inference.options import Engine


def raised_by(work) -> Exception:
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def in_torch():
    import torch

    torch.empty(1 << 60)


def wrapped():
    try:
        in_torch()
    except RuntimeError as error:
        raise PipelineError("cannot build the network") from error


@pytest.mark.parametrize("work", [lambda: np.empty(1 << 55), lambda: bytearray(1 << 60), in_torch, wrapped])
def test_numpy_python_torch_and_what_wraps_them_say_that_memory_ran_out(work):
    assert ran_out(raised_by(work))


def test_another_error_is_not_taken_for_it():
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not ran_out(PipelineError("cannot build the network"))


def test_each_time_memory_ran_out_the_case_may_have_half_as_much(monkeypatch):
    monkeypatch.setattr(memory, "resident_bytes", lambda: 1 << 30)
    monkeypatch.setattr(memory, "free_bytes", lambda: 3 << 30)
    engine = Engine()
    assert squeezed(engine, 0) is engine
    assert [squeezed(engine, times).memory_limit for times in (1, 2)] == [2 << 30, 1 << 30]
    assert squeezed(Engine(memory_limit=1 << 30), 1).memory_limit == 1 << 29


def test_a_container_has_what_its_limit_leaves(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000", encoding="ascii")
    (tmp_path / "memory.current").write_text("400", encoding="ascii")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert free_bytes() == 600
    (tmp_path / "memory.max").write_text("max", encoding="ascii")
    assert free_bytes() > 1 << 20
