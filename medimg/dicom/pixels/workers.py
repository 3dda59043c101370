"""Processes that decode frames, so that a file that kills, stalls or floods its decoder costs one frame.

A thread of the parent owns each process, starts it when its first frame comes, and replaces it when it is lost.
Frames go over a socket and come back over it: 0.4 ms for a slice of 512 x 512, whose decoding takes 1.5 (HTJ2K) to
30 ms (JPEG 2000).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg.cores import usable_cores
from medimg.dicom.pixels import child
from medimg.dicom.pixels.format import PixelFormat
from medimg.errors import InputError, Reason

MAX_WORKERS = 32
"""More do not help: one reader takes a slice in about a millisecond, and decoding it takes up to thirty."""

START_SECONDS = 30.0
"""Time a process may take to start, besides its first frame; it takes a tenth of a second on an idle machine."""

PACKAGES = ("numpy", "imagecodecs", "medimg")
"""All a decoding process imports."""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""There are as many processes as cores; numpy need not start threads in each."""


@dataclass(frozen=True)
class Limits:
    """What one frame may cost: something, and something for each of its pixels.

    seconds: of wall time; JPEG 2000, the slowest, takes about a tenth of a microsecond a pixel on one idle core.
    bytes: address space beyond what the process had when it started; OpenJPEG holds about 20 bytes a pixel.
    """

    seconds: float = 10.0
    seconds_per_pixel: float = 1e-6
    memory_bytes: int = 256 << 20
    bytes_per_pixel: int = 48

    def seconds_for(self, form: PixelFormat) -> float:
        """Wall time a frame may take."""
        return self.seconds + self.seconds_per_pixel * form.rows * form.columns

    def bytes_for(self, form: PixelFormat) -> int:
        """Address space a frame may take."""
        return self.memory_bytes + self.bytes_per_pixel * form.rows * form.columns


class Decoders:
    """Up to `workers` decoding processes (default: one a core), started one by one as frames come."""

    def __init__(self, workers: int | None = None, limits: Limits | None = None) -> None:
        self.workers = workers or min(usable_cores(), MAX_WORKERS)
        self._limits = limits or Limits()
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="medimg-decode")
        self._own = threading.local()
        self._processes: set[DecoderProcess] = set()

    def submit(self, fetch: Callable[[], bytes], form: PixelFormat) -> Future[NDArray[Any]]:
        """Decode what `fetch` gives, called in another thread, to words (rows, columns), unsigned.

        The future raises InputError decode_failed, and what `fetch` raises.
        """
        return self._threads.submit(self._decode, fetch, form)

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return sorted(process.pid for process in list(self._processes))

    def close(self) -> None:
        """End the processes; frames that nobody has begun are dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in list(self._processes):
            self._drop(process)

    def forget(self) -> None:
        """In a forked copy of the parent: let go of processes that are not its own."""
        for process in self._processes:
            process.forget()

    def _decode(self, fetch: Callable[[], bytes], form: PixelFormat) -> NDArray[Any]:
        data = fetch()
        process = self._process()
        try:
            return process.decode(data, form)
        except OSError as error:  # no answer in time, or none at all
            what = f"crashed ({_in_words(self._drop(process))})"
            if isinstance(error, TimeoutError):
                what = f"took more than {self._limits.seconds_for(form):.1f} s"
            raise InputError(Reason.DECODE_FAILED, f"the decoder {what}") from error
        except MemoryError:
            self._drop(process)  # with an answer unread, the next frame would get it
            raise

    def _process(self) -> DecoderProcess:
        """The process of this thread; a new one for its first frame, and after a loss."""
        process: DecoderProcess | None = getattr(self._own, "process", None)
        if process is None or process not in self._processes:
            try:
                process = self._own.process = DecoderProcess(self._limits)
            except OSError as error:
                raise InputError(Reason.DECODE_FAILED, f"no decoding process can be started ({error})") from error
            self._processes.add(process)
        return process

    def _drop(self, process: DecoderProcess) -> int:
        self._processes.discard(process)
        return process.close()


class DecoderProcess:
    """One process and the socket to it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._deadline = START_SECONDS
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable or "python3", "-I", "-S", child.__file__, *_package_folders()],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def decode(self, data: bytes, form: PixelFormat) -> NDArray[Any]:
        """Words (rows, columns). Raises InputError decode_failed; TimeoutError, OSError when the process is lost."""
        self._deadline += time.monotonic() + self._limits.seconds_for(form)
        allowed = {"seconds": self._limits.seconds_for(form), "memory_bytes": self._limits.bytes_for(form)}
        head = json.dumps({"form": asdict(form), **allowed}).encode()
        self._send(struct.pack(child.REQUEST, len(head), len(data)) + head)
        self._send(data)
        sound, size = struct.unpack(child.REPLY, self._receive(bytearray(struct.calcsize(child.REPLY))))
        if size != form.frame_bits // 8 if sound else size > child.MAX_MESSAGE_BYTES:
            raise ConnectionError("an answer of the wrong size")
        answer: NDArray[Any] = self._receive(np.empty(size, np.uint8))
        self._deadline = 0.0
        if not sound:
            raise InputError(Reason.DECODE_FAILED, bytes(answer).decode(errors="replace"))
        return np.asarray(answer.view(f"u{form.allocated // 8}").reshape(form.rows, form.columns))

    def close(self) -> int:
        """End the process, wait for it, and give its exit status."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(0.2)
        self._process.kill()
        return self._process.wait()

    def forget(self) -> None:
        """In a forked copy of the parent: close the socket, so that the process ends with its true parent."""
        self._socket.close()
        self._process.returncode = 0  # not a child of this process: there is nothing to wait for

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def _receive(self, buffer: Any) -> Any:
        view = memoryview(buffer)
        while view:
            self._socket.settimeout(self._left())
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionError("the process ended")
            view = view[count:]
        return buffer

    def _left(self) -> float:
        return max(self._deadline - time.monotonic(), 1e-3)


@functools.cache
def shared() -> Decoders:
    """The decoders every reader of this process uses; started with the first frame, ended with the process."""
    decoders = Decoders()
    atexit.register(decoders.close)
    os.register_at_fork(after_in_child=functools.partial(_after_fork, decoders))
    return decoders


def _after_fork(decoders: Decoders) -> None:
    decoders.forget()
    shared.cache_clear()


def _package_folders() -> list[str]:
    """Where the packages lie that a decoding process imports: its own search path holds the standard library only."""
    specs = [importlib.util.find_spec(name) for name in PACKAGES]
    return list(dict.fromkeys(str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin))


def _in_words(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
