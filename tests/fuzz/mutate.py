"""Damage as disks, networks and attackers do it: every function takes bytes and a generator, and returns bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]

NASTY_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
NASTY_LENGTHS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 0x10000, 0xFFFF)
NASTY_TEXTS = (b"1e999", b"nan", b"-inf", b"1\\2", b"", b"999999999999999999", b"..\\..\\..", b"\x1b$B", b"0", b"-1")
VALUE_REPRESENTATIONS = (b"SQ", b"UN", b"OB", b"OW", b"DS", b"IS", b"US", b"UI", b"AT", b"FD", b"XX", b"\0\0")
ITEM_DELIMITERS = (b"\xfe\xff\x00\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0")
"""Item, Item Delimitation and Sequence Delimitation in little endian (PS3.5 section 7.5)."""

DEPTH = 3000
"""Sequences in sequences: more than Python's recursion allows."""


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """One to sixteen bits turned over."""
    damaged = bytearray(data)
    for _ in range(int(rng.integers(1, 17))):
        damaged[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return bytes(damaged)


def set_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """A run of up to 64 bytes with one nasty value, or noise."""
    start, length = _place(data, rng), int(rng.integers(1, 65))
    value = int(rng.choice(NASTY_BYTES))
    run = bytes([value]) * length if rng.random() < 0.5 else rng.bytes(length)
    return data[:start] + run[: len(data) - start] + data[start + length :]


def cut_off(data: bytes, rng: np.random.Generator) -> bytes:
    """The end is missing."""
    return data[: _place(data, rng)]


def cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    """A run in the middle is missing."""
    start = _place(data, rng)
    return data[:start] + data[start + int(rng.integers(1, 200)) :]


def repeat(data: bytes, rng: np.random.Generator) -> bytes:
    """A run stands twice."""
    start = _place(data, rng)
    stop = start + int(rng.integers(1, 400))
    return data[:stop] + data[start:stop] + data[stop:]


def lengthen(data: bytes, rng: np.random.Generator) -> bytes:
    """A four- or two-byte number, often a length, becomes a nasty one."""
    form = "<I" if rng.random() < 0.7 else "<H"
    number = struct.pack(form, int(rng.choice(NASTY_LENGTHS)) & (0xFFFFFFFF if form == "<I" else 0xFFFF))
    start = _place(data, rng) & ~1
    return data[:start] + number + data[start + len(number) :]


def rename_representation(data: bytes, rng: np.random.Generator) -> bytes:
    """One element claims another value representation."""
    places = [i for i in range(0, len(data) - 1, 2) if data[i : i + 2].isalpha() and data[i : i + 2].isupper()]
    if not places:
        return flip_bits(data, rng)
    start = int(rng.choice(places))
    return data[:start] + VALUE_REPRESENTATIONS[int(rng.integers(len(VALUE_REPRESENTATIONS)))] + data[start + 2 :]


def retext(data: bytes, rng: np.random.Generator) -> bytes:
    """A number written as text becomes one that means nothing."""
    places = [i for i, byte in enumerate(data) if 48 <= byte < 58]
    if not places:
        return set_bytes(data, rng)
    start = int(rng.choice(places))
    text = NASTY_TEXTS[int(rng.integers(len(NASTY_TEXTS)))]
    return data[:start] + text + data[start + len(text) :]


def insert_items(data: bytes, rng: np.random.Generator) -> bytes:
    """Item and delimiter tags where none belong, now and then thousands deep."""
    start = _place(data, rng) & ~1
    deep = DEPTH if rng.random() < 0.1 else int(rng.integers(1, 5))
    opener = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + ITEM_DELIMITERS[0]
    piece = opener * deep if rng.random() < 0.5 else ITEM_DELIMITERS[int(rng.integers(3))] * deep
    return data[:start] + piece + data[start:]


def swap_halves(data: bytes, rng: np.random.Generator) -> bytes:
    """Two neighbouring runs change places, as blocks of a damaged disk do."""
    start = _place(data, rng)
    size = int(rng.integers(1, 300))
    return data[:start] + data[start + size : start + 2 * size] + data[start : start + size] + data[start + 2 * size :]


def append_noise(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes after the end."""
    return data + rng.bytes(int(rng.integers(1, 2000)))


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    set_bytes,
    cut_off,
    cut_out,
    repeat,
    lengthen,
    rename_representation,
    retext,
    insert_items,
    swap_halves,
    append_noise,
)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three mutations, one after the other."""
    for _ in range(int(rng.integers(1, 4))):
        if data:
            data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](data, rng)
    return data


def _place(data: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(len(data))) if data else 0
