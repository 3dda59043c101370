"""A frame that kills, stalls or floods its decoder costs itself; nothing of the processes is left behind."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from compressed import LOSSLESS, LOSSY, UID, jpeg_2000, pixel_format

from medimg.dicom.pixels import workers
from medimg.dicom.pixels.workers import Decoders, Limits
from medimg.errors import InputError, Reason

JPEG_2000 = UID + "4.90"
PATIENCE = 20.0

values = np.random.default_rng(0).integers(0, 4096, (40, 50)).astype("u2")
form = pixel_format(values, JPEG_2000, 12)
stream = jpeg_2000(values, 12)


@pytest.fixture
def decoders():
    made = []

    def make(workers=1, **limits):
        made.append(Decoders(workers, Limits(**limits)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def decoded(decoders, data=stream, form=form):
    return decoders.submit(lambda: data, form).result(PATIENCE)


def is_running(pid):
    """Neither ended nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_no_process_runs_before_the_first_frame_and_one_serves_many(decoders):
    pool = decoders(2)
    assert pool.pids == []
    for _ in range(5):
        np.testing.assert_array_equal(decoded(pool), values)
    assert len(pool.pids) == 1


def test_frames_in_work_together_use_as_many_processes_as_asked(decoders):
    pool = decoders(3)
    futures = [pool.submit(lambda: stream, form) for _ in range(30)]
    for future in futures:
        np.testing.assert_array_equal(future.result(PATIENCE), values)
    assert 1 < len(pool.pids) <= 3


@pytest.mark.parametrize("sent", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_decoder_that_dies_costs_its_frame_and_is_replaced(decoders, sent):
    pool = decoders()
    decoded(pool)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)  # so that the frame is in its hands when it dies
    future = pool.submit(lambda: stream, form)
    os.kill(pid, sent)
    os.kill(pid, signal.SIGCONT)
    with pytest.raises(InputError, match=f"the decoder crashed .{sent.name}") as caught:
        future.result(PATIENCE)
    assert caught.value.reason is Reason.DECODE_FAILED
    assert not is_running(pid)
    np.testing.assert_array_equal(decoded(pool), values)
    assert pid not in pool.pids


def test_a_decoder_that_hangs_is_ended_in_time(decoders, monkeypatch):
    pool = decoders(seconds=0.5)
    decoded(pool)
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(InputError, match=r"the decoder took more than 0\.5 s") as caught:
        decoded(pool)
    assert caught.value.reason is Reason.DECODE_FAILED
    assert not Path(f"/proc/{pid}").exists()
    np.testing.assert_array_equal(decoded(pool), values)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps RLIMIT_AS")
def test_a_frame_that_takes_more_memory_than_it_may_is_refused(decoders):
    large = np.zeros((3000, 3000), "u2")
    data, shape = jpeg_2000(large, 16), pixel_format(large, JPEG_2000, 16)
    assert len(data) < 100_000
    np.testing.assert_array_equal(decoded(decoders(), data, shape), large)
    pool = decoders(memory_bytes=8 << 20, bytes_per_pixel=1)
    with pytest.raises(InputError) as caught:
        decoded(pool, data, shape)
    assert caught.value.reason is Reason.DECODE_FAILED
    np.testing.assert_array_equal(decoded(pool), values)


@pytest.mark.parametrize("honest", [True, False])
def test_a_tiny_file_that_claims_gigapixels_is_refused_at_once(decoders, honest):
    """By its codestream when the header does not claim as much; by the memory limit when it does."""
    claim = (60000).to_bytes(4, "big")
    huge = stream[:8] + claim * 2 + stream[16:24] + claim * 2 + stream[32:]
    shape = pixel_format(np.broadcast_to(values[0, 0], (60000, 60000)), JPEG_2000, 12) if honest else form
    with pytest.raises(InputError, match="60000 x 60000" if not honest else None) as caught:
        decoded(decoders(bytes_per_pixel=0), huge, shape)
    assert caught.value.reason is Reason.DECODE_FAILED


def test_what_fetching_the_frame_raises_reaches_the_reader(decoders):
    def fetch():
        raise InputError(Reason.TRUNCATED, "cut short")

    with pytest.raises(InputError, match="cut short"):
        decoders().submit(fetch, form).result(PATIENCE)


def test_closing_ends_the_processes(decoders):
    pool = decoders(2)
    for future in [pool.submit(lambda: stream, form) for _ in range(10)]:
        future.result(PATIENCE)
    pids = pool.pids
    pool.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


SCRIPT = f"""
import sys
from compressed import jpeg_2000, pixel_format
from medimg.dicom.pixels.workers import shared
import numpy as np
values = np.zeros((40, 50), "u2")
form = pixel_format(values, "{JPEG_2000}", 12)
future = shared().submit(lambda: jpeg_2000(values, 12), form)
assert future.result().shape == (40, 50)
print(*shared().pids, flush=True)
"""


def start(script):
    """A program without `if __name__ == "__main__"`, as people write them."""
    command = [sys.executable, "-c", script]
    paths = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def first_line_of_pids(program):
    assert program.stdout is not None
    return [int(word) for word in program.stdout.readline().split()]


def test_a_script_needs_no_guard_and_leaves_no_process():
    program = start(SCRIPT)
    pids = first_line_of_pids(program)
    assert program.communicate(timeout=PATIENCE) == ("", None)
    assert program.returncode == 0
    assert len(pids) == 1
    wait_until(lambda: not any(map(is_running, pids)))


def test_processes_end_when_their_parent_is_killed():
    program = start(SCRIPT + "sys.stdin.read()")
    pids = first_line_of_pids(program)
    assert all(map(is_running, pids))
    program.kill()
    program.communicate(timeout=PATIENCE)
    wait_until(lambda: not any(map(is_running, pids)))


def test_processes_end_when_their_parent_is_killed_and_a_forked_copy_of_it_lives_on():
    fork = (
        "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(600)\nsys.stdin.read()"
    )
    program = start(SCRIPT + fork)
    pids, (copy,) = first_line_of_pids(program), first_line_of_pids(program)
    program.kill()
    try:
        wait_until(lambda: not any(map(is_running, pids)))
        assert is_running(copy)
    finally:
        os.kill(copy, signal.SIGKILL)
        program.communicate(timeout=PATIENCE)


def decode_in_a_process(queue):
    queue.put(int(decoded(workers.shared()).sum()))


def test_a_forked_daemonic_process_decodes_too():
    """multiprocessing lets such a process have no children of its own kind, and threads do not survive a fork."""
    decoded(workers.shared())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: that is what is tested
        process = context.Process(target=decode_in_a_process, args=(queue,), daemon=True)
        process.start()
    assert queue.get(timeout=PATIENCE) == int(values.sum())
    process.join(PATIENCE)
    assert process.exitcode == 0
    np.testing.assert_array_equal(decoded(workers.shared()), values)


def mutations(data, rng):
    """Endless damaged copies: cut short, bits flipped, a stretch overwritten."""
    while True:
        changed = bytearray(data)
        kind = rng.integers(3)
        if kind == 0:
            del changed[int(rng.integers(1, len(changed))) :]
        elif kind == 1:
            for place in rng.integers(0, len(changed), int(rng.integers(1, 9))):
                changed[place] ^= 1 << int(rng.integers(8))
        else:
            begin = int(rng.integers(len(changed)))
            stretch = rng.integers(0, 256, int(rng.integers(1, 20))).astype("u1").tobytes()
            changed[begin : begin + len(stretch)] = stretch
        yield bytes(changed)


FUZZED = {name: (uid, encode, 12) for name, (uid, encode) in LOSSLESS.items()}
FUZZED |= {name: (uid, encode, bits) for name, (uid, encode, bits, _tolerance) in LOSSY.items()}


@functools.cache
def pool_of_the_fuzz():
    return Decoders(2, Limits(seconds=2))


@pytest.fixture(scope="module", autouse=True)
def _fuzz_pool_is_closed():
    yield
    pool_of_the_fuzz().close()


@pytest.mark.parametrize("name", FUZZED)
def test_damaged_codestreams_give_values_or_a_reason(name):
    syntax, encode, bits = FUZZED[name]
    smooth = (np.add.outer(np.arange(40) * 3, np.arange(50) * 2) % (1 << bits)).astype("u1" if bits == 8 else "u2")
    shape = pixel_format(smooth, syntax, bits)
    damaged = mutations(encode(smooth, bits), np.random.default_rng(len(name)))
    pool = pool_of_the_fuzz()
    futures = [pool.submit(functools.partial(bytes, data), shape) for data in itertools.islice(damaged, 200)]
    refused = 0
    for future in futures:
        error = future.exception(PATIENCE * 5)
        if error is None:
            assert future.result().shape == smooth.shape
            continue
        assert isinstance(error, InputError)
        assert error.reason is Reason.DECODE_FAILED
        assert "\n" not in str(error)
        refused += 1
    assert refused >= 60, "a third of the copies is cut short"
