"""Lenient access to header values: raw bytes in, plain Python out, nothing validated against the value rules.

Real archives hold decimal strings of more than 16 characters, decimal commas and NUL padding; the
standard's limits (PS3.5 section 6.2) are the writer's business. Missing and unparsable values are empty.
"""

from __future__ import annotations

import functools
import struct
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

BINARY_FORMATS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "US or SS": "H", "OW": "H"}
"""Value representation -> struct code (PS3.5 table 6.2-1)."""


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
    value = _value(dataset, keyword)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        parts = [part.strip(" \0") for part in value.split("\\")]
    elif value is None:
        parts = []
    else:
        parts = [str(part).strip(" \0") for part in (value if _is_list(value) else [value])]
    return tuple(parts) if any(parts) else ()


def text(dataset: Dataset, keyword: str) -> str:
    """The first value of an ASCII element; "" when missing."""
    return next(iter(texts(dataset, keyword)), "")


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The values of a numeric element, text or binary; () when missing or when one does not parse."""
    element = dataset.get_item(tag_of(keyword))
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        vr = element.VR if element.VR not in (None, "UN") else dictionary_VR(tag_of(keyword))
        if vr in BINARY_FORMATS:
            return _unpacked(element.value, BINARY_FORMATS[vr], element.is_little_endian)
    try:
        return tuple(float(part.replace(",", ".")) for part in texts(dataset, keyword))
    except ValueError:
        return ()


def number(dataset: Dataset, keyword: str) -> float | None:
    """The first value of a numeric element; None when missing."""
    return next(iter(numbers(dataset, keyword)), None)


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


def _value(dataset: Dataset, keyword: str) -> Any:
    element = dataset.get_item(tag_of(keyword))
    return None if element is None else element.value


def _is_list(value: Any) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes))


def _unpacked(data: bytes, code: str, little_endian: bool) -> tuple[float, ...]:
    count = len(data) // struct.calcsize(code)
    layout = f"{'<' if little_endian else '>'}{count}{code}"
    return tuple(float(value) for value in struct.unpack(layout, data[: struct.calcsize(layout)]))
