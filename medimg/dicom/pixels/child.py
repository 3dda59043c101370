"""What a decoding process runs: frames in on its standard input (a socket), words out. Started by `workers`, as a file.

It lives as long as the socket: when the parent ends, however it ends, reading gives nothing and so does it. A frame
that takes too long although nobody is left to wait for it ends the process by an alarm.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import struct
import sys

REQUEST = "<II"
"""Lengths of a request's JSON head and of its data."""

REPLY = "<BI"
"""Whether the frame was decoded, and the length of the words, or of the message that says why not."""

MAX_MESSAGE_BYTES = 1000
"""Longest message that says why."""

ORPHAN_SECONDS = 5.0
"""How long after its time limit a frame may go on before the process ends itself; the parent is quicker."""


def main() -> None:
    """Answer requests until there are none. The command line says where the packages lie."""
    sys.path.extend(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from medimg.dicom.pixels.codec import decode
    from medimg.dicom.pixels.format import PixelFormat

    used = _address_space()
    with open(0, "r+b", buffering=0) as stream:
        while head := _read(stream, struct.calcsize(REQUEST)):
            sizes = struct.unpack(REQUEST, head)
            task = json.loads(_read(stream, sizes[0]))
            _limit_memory(used, task["memory_bytes"])
            data = bytes(_read(stream, sizes[1]))
            signal.setitimer(signal.ITIMER_REAL, task["seconds"] + ORPHAN_SECONDS)
            try:
                answer, sound = decode(data, PixelFormat(**task["form"])).tobytes(), True
            except Exception as error:
                answer, sound = _in_words(error).encode()[:MAX_MESSAGE_BYTES], False
            signal.setitimer(signal.ITIMER_REAL, 0)
            _write(stream, struct.pack(REPLY, sound, len(answer)))
            _write(stream, answer)


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "decoding it takes more memory than a frame of its size may"
    return " ".join(str(error).split()) or type(error).__name__


def _address_space() -> int | None:
    """Bytes of address space in use; None where the system does not say (macOS, which keeps no such limit either)."""
    with contextlib.suppress(OSError), open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        return int(statm.read().split()[0]) * resource.getpagesize()
    return None


def _limit_memory(used: int | None, allowed: int) -> None:
    if used is not None:
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = used + allowed
        resource.setrlimit(resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _read(stream: io.RawIOBase, size: int) -> bytearray:
    """`size` bytes; nothing when the parent is gone."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = stream.readinto(view)
        if not count:
            sys.exit(0)
        view = view[count:]
    return buffer


def _write(stream: io.RawIOBase, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[stream.write(view) or 0 :]


if __name__ == "__main__":
    main()
