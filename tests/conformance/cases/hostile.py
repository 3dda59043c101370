"""Files made to hang, crash or exhaust a reader, and files that are merely damaged."""

from __future__ import annotations

import os
import stat
import zlib
from pathlib import Path

import numpy as np
import pydicom
from conformance.cases.case import Expected, Theme, rejected, volumes
from conformance.cases.phantom import Phantom, line, only, put

from medimg.errors import Reason

cases = Theme("hostile")

DATASET = b"\x08\x00\x08\x00CS"
"""How the data set of a phantom begins, after its meta group: Image Type."""

BOMB_BYTES = 600 << 20
"""What the bomb inflates to."""

SPARSE_BYTES = 4 << 30


def renamed(path: Path, syntax: bytes) -> bytes:
    """The file's preamble and meta group with another transfer syntax; the data set that follows is left out."""
    data = path.read_bytes()
    head = data[: data.index(DATASET)]
    at = head.index(b"1.2.840.10008.1.2.1")
    return (
        head[: at - 2]
        + (len(syntax) + len(syntax) % 2).to_bytes(2, "little")
        + syntax.ljust(len(syntax) + len(syntax) % 2, b"\0")
        + head[at + 20 :]
    )


@cases.case
def deflate_bomb(scan: Phantom) -> Expected:
    """A deflated file of 600 KB that inflates to 600 MB lies in the series."""
    paths = scan.slices(line(9))
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = renamed(paths[8], b"1.2.840.10008.1.2.1.99") + block * (BOMB_BYTES >> 20) + packer.flush()
    paths[8].write_bytes(bomb)
    return volumes(8, skipped=[Reason.TOO_LARGE])


@cases.case
def deflated_4_gigabytes(scan: Phantom) -> Expected:
    """A deflated file of 4 GB lies in the series."""
    paths = scan.slices(line(9))
    sparse(paths[8], renamed(paths[8], b"1.2.840.10008.1.2.1.99") + b"\x03")
    return volumes(8, skipped=[Reason.TOO_LARGE])


@cases.case
def nested_3000_deep(scan: Phantom) -> Expected:
    """A file of the series holds 3,000 sequences inside each other."""
    paths = scan.slices(line(9))
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    data = paths[8].read_bytes()
    at = data.index(DATASET)
    paths[8].write_bytes(data[:at] + opened * 3000 + closed * 3000 + data[at:])
    return volumes(8, skipped=[Reason.UNREADABLE])


@cases.each(rows=put(Rows=65535), rows_and_columns=put(Rows=65535, Columns=65535), zero_rows=put(Rows=0))
def size_is_a_lie(scan: Phantom, edit) -> Expected:
    """One slice claims a size that its file cannot hold."""
    scan.slices(line(8), edit=only(3, edit))
    return rejected((Reason.MISSING_SLICES, Reason.TRUNCATED))


@cases.each(in_every_file=None, in_one=3)
def frames_1e8(scan: Phantom, which) -> Expected:
    """A single-frame image claims 100,000,000 frames."""
    edit = put(NumberOfFrames=10**8)
    scan.slices(line(8), edit=edit if which is None else only(which, edit))
    return rejected((Reason.UNSUPPORTED_KIND, Reason.MISSING_SLICES, Reason.TRUNCATED))


@cases.each(in_its_pixels=-40, in_its_header=500)
def cut_short(scan: Phantom, keep: int) -> Expected:
    """A file inside the stack is cut short."""
    path = scan.slices(line(8))[3]
    path.write_bytes(path.read_bytes()[:keep])
    return rejected(Reason.TRUNCATED)


@cases.case
def cut_short_before_it_says_what_it_is(scan: Phantom) -> Expected:
    """A file inside the stack ends within its meta group."""
    path = scan.slices(line(8))[3]
    path.write_bytes(path.read_bytes()[:140])
    return rejected(Reason.MISSING_SLICES, skipped=[Reason.UNREADABLE])


@cases.case
def cut_short_at_the_end(scan: Phantom) -> Expected:
    """The uppermost slice is cut short: without it the stack would look whole."""
    path = scan.slices(line(8))[7]
    path.write_bytes(path.read_bytes()[:-40])
    return rejected(Reason.TRUNCATED)


@cases.case
def zero_bytes(scan: Phantom) -> Expected:
    """A file of the series has 0 bytes."""
    scan.slices(line(8))[3].write_bytes(b"")
    return rejected(Reason.MISSING_SLICES, skipped=[Reason.NOT_DICOM])


@cases.case
def fifo_socket_device(scan: Phantom) -> Expected:
    """A FIFO, a socket and a device lie in the folder, named as slices are."""
    scan.slices(line(6))
    os.mkfifo(scan.folder / "fifo.dcm")
    os.mknod(scan.folder / "socket.dcm", stat.S_IFSOCK | 0o600)
    (scan.folder / "zero.dcm").symlink_to("/dev/zero")
    (scan.folder / "tty.dcm").symlink_to("/dev/tty")
    return volumes(6, skipped=[Reason.NOT_A_REGULAR_FILE] * 4)


def sparse(path: Path, head: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(SPARSE_BYTES)


@cases.case
def sparse_4_gigabytes(scan: Phantom) -> Expected:
    """A file of 4 GB without any content, named as a slice is."""
    scan.slices(line(6))
    sparse(scan.folder / "zeros.dcm", b"")
    return volumes(6, skipped=[Reason.NOT_DICOM])


@cases.case
def sparse_4_gigabytes_behind_a_slice(scan: Phantom) -> Expected:
    """One slice is followed by 4 GB of zeros."""
    path = scan.slices(line(6))[2]
    sparse(path, path.read_bytes())
    return volumes(6)


ENDLESS = {
    "description": b"\x08\x00\x3e\x10\xf0\xff\xff\xef",
    "private_value_without_an_end": b"\x09\x00\x10\x10\xff\xff\xff\xff",
}


@cases.each(**ENDLESS)
def endless(scan: Phantom, element: bytes) -> Expected:
    """A file of the series is 4 GB of nothing, which one element of its header claims as its value."""
    paths = scan.slices(line(7))
    sparse(paths[6], renamed(paths[6], b"1.2.840.10008.1.2") + element)
    return volumes(6, skipped=[Reason.UNREADABLE])


@cases.case
def element_longer_than_the_file(scan: Phantom) -> Expected:
    """A private element before the pixels claims 4 GB in a file of a few KB."""
    paths = scan.slices(line(7))
    data = paths[6].read_bytes()
    at = data.index(b"\x20\x00\x0d\x00UI")
    paths[6].write_bytes(data[:at] + b"\x19\x00\x10\x00OB\0\0\xf0\xff\xff\xff" + data[at:])
    return volumes(6, skipped=[Reason.UNREADABLE])


@cases.case
def sequence_never_closed(scan: Phantom) -> Expected:
    """A sequence of undefined length before the geometry has no end."""
    paths = scan.slices(line(7))
    data = paths[6].read_bytes()
    at = data.index(b"\x20\x00\x0d\x00UI")
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    paths[6].write_bytes(data[:at] + opened + data[at:])
    return volumes(6, skipped=[Reason.UNREADABLE])


def flipped(path: Path, rng: np.random.Generator, start: int, bits: int) -> None:
    data = bytearray(path.read_bytes())
    for at in rng.integers(start, len(data), bits):
        data[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(data))


@cases.each(**{f"seed_{seed}": seed for seed in range(4)})
def bits_flipped_in_a_header(scan: Phantom, seed: int) -> Expected:
    """Eight random bits of the header of one slice are flipped."""
    path = scan.slices(line(8))[3]
    data = path.read_bytes()
    pixels = data.index(b"\xe0\x7f\x10\x00")
    rng = np.random.default_rng(seed)
    broken = bytearray(data)
    for at in rng.integers(data.index(b"\x20\x00\x32\x00"), pixels, 8):
        broken[at] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(broken))
    return rejected(tuple(Reason))


@cases.case
def junk_as_pixels(scan: Phantom) -> Expected:
    """Pixels that claim to be JPEG 2000 and are noise."""

    def edit(dataset, _number):
        noise = np.random.default_rng(0).bytes(400)
        dataset.PixelData = pydicom.encaps.encapsulate([noise])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless

    scan.slices(line(6), edit=edit)
    return rejected(Reason.DECODE_FAILED)
