"""The walk over a header's bytes: what it takes as plain, pydicom reads the same; all else it leaves to pydicom."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless

from medimg.dicom.keywords import HEADER_TAGS
from medimg.dicom.parse import PARSE_ERRORS, quiet, read_header
from medimg.dicom.scan import FIRST_BYTES, Scan, scan

TEXT = st.text("abc XYZ\\.-0123456789", max_size=20)
NUMBERS = st.lists(st.floats(-1e6, 1e6).map(lambda value: f"{value:.8g}"), min_size=1, max_size=6)
SYNTAXES = st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless])


def scanned(data: bytes) -> Scan | None:
    stream = io.BytesIO(data)
    return scan(stream.read(FIRST_BYTES), stream, HEADER_TAGS)


def by_pydicom(data: bytes) -> tuple[dict, str, int]:
    """Elements as they are held unread, transfer syntax, and where reading stopped."""
    stream = io.BytesIO(data)
    with quiet():
        dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=list(HEADER_TAGS))
    return dict(dataset.items()), str(dataset.file_meta.get("TransferSyntaxUID", "")), stream.tell()


def assert_same(found: Scan, data: bytes) -> None:
    elements, syntax, stop = by_pydicom(data)
    read = Dataset(dict(found.elements))
    with quiet():
        # pydicom leaves every element unread but the character set
        for tag in (tag for tag, element in elements.items() if not isinstance(element, RawDataElement)):
            assert read[tag] == elements[tag]
    assert dict(read.items()) == elements
    assert found.transfer_syntax == syntax
    assert found.pixel_offset == (stop if stop < len(data) else None)
    if found.pixel_offset is not None:
        assert found.head == data[stop : stop + 12]


@st.composite
def datasets(draw: st.DrawFn, depth: int = 1) -> Dataset:
    dataset = Dataset()
    dataset.PatientComments = draw(TEXT)
    dataset.ImageComments = draw(TEXT)
    dataset.SeriesDescription = draw(TEXT)
    dataset.RescaleSlope = draw(NUMBERS)[0]
    dataset.ImagePositionPatient = draw(NUMBERS)
    dataset.Rows, dataset.EchoTime = draw(st.integers(0, 65535)), draw(st.sampled_from([None, "12.5"]))
    block = dataset.private_block(0x0019, "MEDIMG TEST", create=True)
    block.add_new(1, "OB", draw(st.binary(max_size=40)))
    block.add_new(2, "FD", draw(st.floats(-1, 1)))
    block.add_new(3, "LO", draw(TEXT))
    if depth:
        for keyword in ("ProcedureCodeSequence", "ReferencedStudySequence", "ModalityLUTSequence"):
            items = draw(st.lists(datasets(depth - 1), max_size=2))
            setattr(dataset, keyword, Sequence(items))
            # pydicom keeps a sequence of undefined length parsed, and so it is left to it where it is wanted
            dataset[keyword].is_undefined_length = keyword != "ModalityLUTSequence" and draw(st.booleans())
            for item in items:
                item.is_undefined_length_sequence_item = draw(st.booleans())
    return dataset


def file_of(dataset: Dataset, syntax: str, pixels: bool) -> bytes:
    dataset.SpecificCharacterSet, dataset.SOPClassUID, dataset.SOPInstanceUID = "ISO_IR 100", CTImageStorage, "2.25.1"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if pixels:
        dataset.add_new("PixelData", "OB" if syntax == JPEG2000Lossless else "OW", b"\xfe\xff\0\xe0\0\0\0\0")
        dataset["PixelData"].is_undefined_length = syntax == JPEG2000Lossless
    stream = io.BytesIO()
    with quiet():
        dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@settings(max_examples=60, deadline=None)
@given(datasets(), SYNTAXES, st.booleans())
def test_a_plain_header_is_read_as_pydicom_reads_it(dataset, syntax, pixels):
    data = file_of(dataset, syntax, pixels)
    found = scanned(data)
    assert found is not None
    assert (found.pixel_offset is not None) == pixels
    assert_same(found, data)


@settings(max_examples=25, deadline=None)
@given(datasets(), SYNTAXES, st.booleans(), st.integers(0, 1 << 30))
def test_what_is_taken_as_plain_in_a_damaged_file_is_what_pydicom_reads(dataset, syntax, pixels, seed):
    sound, chance = file_of(dataset, syntax, pixels), random.Random(seed)
    for _ in range(40):
        data = damaged(sound, chance)
        found = scanned(data)
        if found is None:
            continue
        try:
            by_pydicom(data)
        except (OSError, *PARSE_ERRORS) as error:
            raise AssertionError("pydicom refuses what was taken as plain") from error
        assert_same(found, data)


def damaged(sound: bytes, chance: random.Random) -> bytes:
    data = bytearray(sound)
    for _ in range(chance.randint(1, 3)):
        data[chance.randrange(132, len(data))] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
    if chance.random() < 0.2:
        del data[chance.randrange(140, len(data)) :]
    return bytes(data)


def test_a_header_longer_than_one_read_is_walked_to_its_end():
    dataset = Dataset()
    dataset.Rows = 7
    dataset.private_block(0x0019, "MEDIMG TEST", create=True).add_new(1, "OB", bytes(10 * FIRST_BYTES))
    data = file_of(dataset, ExplicitVRLittleEndian, pixels=True)
    found = scanned(data)
    assert found is not None
    assert_same(found, data)


@pytest.mark.parametrize("where", ["before", "after"])
def test_tags_out_of_order_are_left_to_pydicom(where):
    data = file_of(Dataset(), ExplicitVRLittleEndian, pixels=True)
    rows = b"\x28\0\x10\0US\x02\0\x07\0"
    at = data.index(b"\x08\0\x05\0CS")
    stray = data[:at] + rows + data[at:] if where == "before" else data + rows
    assert (scanned(stray) is None) == (where == "before")


@pytest.mark.parametrize("vr", [b"US", b"UN", b"zz"])
def test_a_character_set_of_another_kind_is_left_to_pydicom(vr):
    data = file_of(Dataset(), ExplicitVRLittleEndian, pixels=True)
    assert scanned(data.replace(b"\x08\0\x05\0CS", b"\x08\0\x05\0" + vr)) is None


def test_a_file_without_preamble_is_read_by_pydicom(tmp_path: Path):
    dataset = Dataset()
    dataset.Rows = 7
    (tmp_path / "bare").write_bytes(file_of(dataset, ExplicitVRLittleEndian, pixels=True)[132:])
    assert read_header(tmp_path / "bare", HEADER_TAGS).dataset.Rows == 7


@pytest.mark.real
def test_real_headers_are_read_as_pydicom_reads_them(shared_data: Path):
    plain = 0
    paths = [path for path in sorted(shared_data.rglob("*")) if path.is_file()]
    for path in paths:
        data = path.read_bytes()
        if data[128:132] != b"DICM":
            continue
        found = scanned(data)
        if found is not None:
            plain += 1
            assert_same(found, data)
    assert plain > 700
