"""Lenient access to header values: raw bytes in, plain Python out, nothing validated against the value rules.

Real archives hold decimal strings of more than 16 characters, decimal commas and NUL padding; the
standard's limits (PS3.5 section 6.2) are the writer's business. Missing and unparsable values are empty.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

BINARY_FORMATS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "US or SS": "H", "OW": "H"}
"""Value representation -> struct code (PS3.5 table 6.2-1)."""

REMEMBERED = 1 << 12
"""Values of one kind whose meaning is kept."""

REMEMBERED_BYTES = 128
"""Longer values are taken apart each time, so that the memory stays bounded."""

T = TypeVar("T")


@functools.cache
def tag_of(keyword: str) -> BaseTag:
    """The tag of a keyword of the DICOM dictionary. Raises KeyError when it is not in it.

    Always the same object: a dataset finds an element under an identical key without comparing tags.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return BaseTag(tag)


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an ASCII element, each stripped; () when missing or empty."""
    element = dataset.get_item(tag_of(keyword))
    return () if element is None else _texts(element.value)


def text(dataset: Dataset, keyword: str) -> str:
    """The first value of an ASCII element; "" when missing."""
    return next(iter(texts(dataset, keyword)), "")


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of a numeric element, text or binary; () when missing or when one does not parse."""
    element = dataset.get_item(tag_of(keyword))
    if element is None:
        return ()
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        vr = element.VR if element.VR not in {None, "UN"} else dictionary_VR(tag_of(keyword))
        if vr in BINARY_FORMATS:
            return _unpacked(element.value, BINARY_FORMATS[vr], element.is_little_endian)
        return _decimals(element.value)
    return _parsed(_texts(element.value))


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of a numeric element; None when missing."""
    return next(iter(numbers(dataset, keyword)), None)


def sole_number(dataset: Dataset, keyword: str) -> float | None:
    """The value of an element that holds one number; None when missing or empty, NaN when it holds anything else."""
    values = numbers(dataset, keyword)
    if len(values) == 1:
        return values[0]
    return math.nan if values or texts(dataset, keyword) else None


def integer(dataset: Dataset, keyword: str) -> int | None:
    """The first value of a numeric element, if it is a whole number."""
    value = number(dataset, keyword)
    return int(value) if value is not None and value.is_integer() else None


def human(dataset: Dataset, keyword: str) -> str:
    """Free text decoded with the dataset's character set to Unicode, on one line; "" when missing."""
    value = dataset.get(keyword)
    if value is None:
        return ""
    joined = ", ".join(str(part) for part in value) if _is_list(value) else str(value)
    return " ".join(joined.replace("\0", " ").split())


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; [] when missing."""
    value: Any = dataset.get(keyword)
    return list(value) if value is not None else []


def first_item(dataset: Dataset, keyword: str) -> Dataset:
    """The first item of a sequence; an empty dataset when there is none."""
    return next(iter(items(dataset, keyword)), Dataset())


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, bytes):
        return _split(value)
    if isinstance(value, str):
        return _stripped(value.split("\\"))
    if value is None:
        return ()
    return _stripped(str(part) for part in (value if _is_list(value) else [value]))


def _stripped(parts: Iterable[str]) -> tuple[str, ...]:
    result = tuple([part.strip(" \0") for part in parts])
    return result if any(result) else ()


def _parsed(parts: tuple[str, ...]) -> tuple[float, ...]:
    try:
        return tuple([float(part.replace(",", ".")) for part in parts])
    except ValueError:
        return ()


def _remembered(decode: Callable[..., T]) -> Callable[..., T]:
    """Keep the results for short values: the files of a series share most of them, in time and in memory."""
    kept = functools.lru_cache(REMEMBERED)(decode)

    @functools.wraps(decode)
    def call(value: bytes, *how: Any) -> T:
        return kept(value, *how) if len(value) <= REMEMBERED_BYTES else decode(value, *how)

    return call


@_remembered
def _split(value: bytes) -> tuple[str, ...]:
    return _stripped(value.decode("latin-1").split("\\"))


@_remembered
def _decimals(value: bytes) -> tuple[float, ...]:
    return _parsed(_split(value))


@_remembered
def _unpacked(data: bytes, code: str, little_endian: bool) -> tuple[float, ...]:
    count = len(data) // struct.calcsize(code)
    layout = f"{'<' if little_endian else '>'}{count}{code}"
    return tuple(float(value) for value in struct.unpack(layout, data[: struct.calcsize(layout)]))


def _is_list(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))
