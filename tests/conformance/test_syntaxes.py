"""Every transfer syntax CT, MR and PET come in gives exactly the stored values, or a reason; never other values."""

from __future__ import annotations

import itertools
import shutil
import struct
import subprocess

import numpy as np
import pydicom
import pytest
from compressed import LOSSLESS, LOSSY, UID, compress, jpeg, jpeg_2000, jpegls, put, rle, store
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.sequence import Sequence

from medimg.dicom.pixels.codec import SYNTAXES
from medimg.errors import Reason

DEPTHS = [(8, False), (8, True), (12, False), (12, True), (16, False), (16, True)]
HTJ2K = UID + "4.201"
JPEG_2000 = UID + "4.90"
JPEG_XL = (UID + "4.110", UID + "4.111", UID + "4.112")
DEEP = {"RLE": 32, "HTJ2K lossless": 32, "JPEG 2000 lossless": 24}


def offset_of(bits, signed):
    """Puts the phantom's values into the range of the bits, negative ones among them when signed."""
    return 80 if signed else 200 if bits == 8 else 1024


def write(phantom, positions, syntax, encode, *, edit=None, **how):
    def apply(dataset, number):
        # pydicom writes no syntax that it does not know, and the name of HTJ2K is as long
        compress(dataset, HTJ2K if syntax in JPEG_XL else syntax, encode, **how)
        if edit is not None:
            edit(dataset, number)

    paths = phantom.slices(positions(5), edit=apply)
    for path in paths if syntax in JPEG_XL else ():
        path.write_bytes(path.read_bytes().replace(b"1.2.840.10008.1.2.4.201", syntax.encode()))
    return paths


def refusal(phantom):
    (result,) = phantom.read()
    assert result.volumes == []
    return result.rejection


def test_every_compressed_syntax_that_is_read_is_tested():
    tested = {uid for uid, *_ in (*LOSSLESS.values(), *LOSSY.values())}
    assert set(SYNTAXES) == tested


@pytest.mark.parametrize(("bits", "signed"), DEPTHS)
@pytest.mark.parametrize("name", LOSSLESS)
def test_what_is_compressed_without_loss_comes_back_exactly(phantom, positions, world_error, name, bits, signed):
    syntax, encode = LOSSLESS[name]
    write(phantom, positions, syntax, encode, bits=bits, signed=signed, offset=offset_of(bits, signed))
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", DEEP)
def test_more_than_16_bits_come_back_exactly(phantom, positions, world_error, name, signed):
    syntax, encode = LOSSLESS[name]
    bits = DEEP[name]
    offset = 80 if signed else 1 << 20  # float32, which holds the volume, has 24 bits
    write(phantom, positions, syntax, encode, bits=bits, signed=signed, offset=offset)
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


@pytest.mark.parametrize("name", LOSSY)
def test_what_is_compressed_with_loss_stays_within_it(phantom, positions, world_error, name):
    syntax, encode, bits, tolerance = LOSSY[name]
    write(phantom, positions, syntax, encode, bits=bits, offset=offset_of(bits, False))
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) <= tolerance


def test_jpeg_ls_of_16_bits_may_hold_12(phantom, positions, world_error):
    write(phantom, positions, UID + "4.80", lambda values, _bits: jpegls(values, 16), bits=12)
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


@pytest.mark.parametrize("inverted", ["MONOCHROME1", "MONOCHROME2"])
def test_how_grey_is_shown_does_not_change_values(phantom, positions, world_error, inverted):
    """PS3.3 section C.7.6.3.1.2: the photometric interpretation is about display; modality values stay."""

    def describe(dataset, _number):
        dataset.PhotometricInterpretation = inverted
        dataset.PlanarConfiguration = 1  # says nothing of one sample a pixel

    write(phantom, positions, JPEG_2000, jpeg_2000, edit=describe)
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


def test_a_result_says_that_its_pixels_were_compressed_with_loss(phantom, positions):
    def lossy(dataset, _number):
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = "8.5"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"

    syntax, encode, bits, _tolerance = LOSSY["JPEG extended"]
    write(phantom, positions, syntax, encode, bits=bits, edit=lossy)
    (volume,) = phantom.read_one().volumes
    headers = volume.source.headers
    assert headers["LossyImageCompression"] == "01"
    assert headers["LossyImageCompressionRatio"] == "8.5"
    assert headers["LossyImageCompressionMethod"] == "ISO_10918_1"


def two_complement_in_an_unsigned_stream(values, bits):
    return jpeg_2000((values & ((1 << bits) - 1)).astype("u2"), bits)


def negative_in_a_signed_stream(values, bits):
    return jpeg_2000(((values.astype("i4") << (32 - bits)) >> (32 - bits)).astype("i2"), bits)


@pytest.mark.parametrize(
    ("signed", "offset", "encode"),
    [(True, 80, two_complement_in_an_unsigned_stream), (False, 2100, negative_in_a_signed_stream)],
)
def test_a_jpeg_2000_stream_of_the_wrong_sign_keeps_its_bits(phantom, positions, world_error, signed, offset, encode):
    """As pydicom corrects it: the bits are those of the header's pixel representation."""
    write(phantom, positions, JPEG_2000, encode, bits=12, signed=signed, offset=offset)
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


@pytest.mark.parametrize(
    ("encode", "signed", "offset", "why"),
    [
        (lambda values, _bits: jpeg_2000(values, 13), True, 80, None),
        (lambda values, _bits: jpeg_2000(values.astype("u2"), 13), False, 1024, None),
        (lambda values, _bits: two_complement_in_an_unsigned_stream(values, 13), True, 80, "sign of its 13 bits"),
        (lambda values, _bits: jpeg_2000(values.astype("i2"), 13), False, 1024, None),
        (lambda values, _bits: jpeg(values, 12), True, 80, "sign of its 12 bits"),
    ],
)
def test_fewer_bits_in_the_stream_than_in_the_header_are_read_only_when_they_mean_one_thing(
    phantom, positions, world_error, encode, signed, offset, why
):
    syntax = UID + "4.70" if why and "12" in why else JPEG_2000
    write(phantom, positions, syntax, encode, bits=16, signed=signed, offset=offset)
    if why is None:
        (volume,) = phantom.read_one().volumes
        assert world_error(volume) == 0
        return
    error = refusal(phantom)
    assert error.reason is Reason.DECODE_FAILED
    assert why in str(error)


def rows_and_columns_swapped(values, bits):
    return jpeg_2000(values.reshape(values.shape[::-1]), bits)


@pytest.mark.parametrize("name", ["RLE", "JPEG lossless", "JPEG-LS lossless", "JPEG 2000 lossless", "HTJ2K lossless",
                                  "JPEG XL lossless"])  # fmt: skip
@pytest.mark.parametrize("change", ["rows", "columns", "swapped"])
def test_an_image_of_another_size_than_its_header_says_is_never_reshaped(phantom, positions, name, change):
    syntax, encode = LOSSLESS[name]
    sizes = {"rows": (6, 6), "columns": (7, 5), "swapped": (6, 7)}

    def other(values, bits):
        rows, columns = sizes[change]
        return encode(np.ascontiguousarray(np.resize(values, (rows, columns))), bits)

    if (name, change) == ("RLE", "swapped"):
        pytest.skip("RLE says how many pixels there are, not in how many rows")
    paths = write(phantom, positions, syntax, other)
    error = refusal(phantom)
    assert error.reason is Reason.DECODE_FAILED
    assert error.files == (paths[0],)
    assert paths[0].name in str(error)


@pytest.mark.parametrize("name", ["RLE", "JPEG lossless", "JPEG 2000 lossless", "HTJ2K lossless", "JPEG XL lossless"])
def test_more_bits_than_the_header_allocates_are_refused(phantom, positions, name):
    syntax, encode = LOSSLESS[name]
    write(phantom, positions, syntax, lambda values, _bits: encode(values.astype("u2") * 250, 16), bits=8, offset=200)
    assert refusal(phantom).reason is Reason.DECODE_FAILED


def test_eight_bits_under_a_header_of_twelve_are_on_a_scale_nobody_knows(phantom, positions):
    def halved(values, _bits):
        return LOSSY["JPEG baseline"][1]((values >> 4).astype("u1"), 8)

    write(phantom, positions, UID + "4.50", halved, bits=12)
    error = refusal(phantom)
    assert error.reason is Reason.DECODE_FAILED
    assert "8 bits a pixel, its header says 12" in str(error)


def test_colour_in_a_file_of_one_sample_is_refused(phantom, positions):
    import imagecodecs

    def colour(values, _bits):
        return imagecodecs.jpeg8_encode(np.repeat(values[..., None], 3, axis=2))

    write(phantom, positions, UID + "4.50", colour, bits=8, offset=200)
    assert "3 samples a pixel" in str(refusal(phantom))


def test_the_other_series_of_a_folder_survive_a_frame_that_cannot_be_decoded(phantom, positions, world_error):
    good = write(phantom, positions, JPEG_2000, jpeg_2000)
    bad = phantom.slices(
        positions(5), series="2.25.8", subfolder="bad", edit=lambda ds, _n: compress(ds, JPEG_2000, jpeg_2000)
    )
    data = bad[2].read_bytes()
    start = data.index(b"\xff\x4f\xff\x51")
    bad[2].write_bytes(data[: start + 60] + bytes(40) + data[start + 100 :])
    results = {result.series_uid: result for result in phantom.read()}
    assert [world_error(volume) for volume in results["2.25.7"].volumes] == [0]
    assert set(results["2.25.7"].volumes[0].source.files) == set(good)
    error = results["2.25.8"].rejection
    assert (error.reason, error.files) == (Reason.DECODE_FAILED, (bad[2],))


def item(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def enhanced(phantom, places, encode):
    """One multi-frame file without pixels, and its compressed frames."""
    slices = [phantom.dataset(place) for place in places]
    whole = slices[0]
    whole.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    whole.NumberOfFrames = len(places)
    groups = [
        item(PlanePositionSequence=Sequence([item(ImagePositionPatient=list(map(float, place)))])) for place in places
    ]
    shared = item(
        PixelMeasuresSequence=Sequence([item(PixelSpacing=[2.0, 1.0])]),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
        PixelValueTransformationSequence=Sequence([item(RescaleSlope=1, RescaleIntercept=-1024)]),
    )
    frames = [encode(np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns), 16) for ds in slices]
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    whole.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return whole, frames


def shuffled(places):
    return [places[n] for n in np.random.default_rng(1).permutation(len(places))]


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", ["basic", "none", "extended"])
@pytest.mark.parametrize("encode", [rle, jpeg, jpegls, jpeg_2000])
def test_frames_are_found_among_fragments(phantom, positions, world_error, encode, table, fragments):
    syntax = {rle: UID + "5", jpeg: UID + "4.70", jpegls: UID + "4.80", jpeg_2000: JPEG_2000}[encode]
    if fragments > 1 and (encode is rle or table == "extended"):
        pytest.skip("one fragment a frame: RLE by PS3.5 section A.4.2, extended offsets by PS3.3 table C.7-11a")
    whole, frames = enhanced(phantom, shuffled(positions(8)), encode)
    if table == "extended":
        pixels, whole.ExtendedOffsetTable, whole.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    else:
        pixels = encapsulate(frames, fragments_per_frame=fragments, has_bot=table == "basic")
    put(whole, syntax, pixels)
    phantom.write(whole, phantom.folder / "enhanced")
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


def test_an_offset_table_is_followed_when_the_frames_lie_in_another_order(phantom, positions, world_error):
    places = positions(6)
    whole, frames = enhanced(phantom, places, jpeg)
    frames = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    starts = list(itertools.accumulate((len(frame) + 8 for frame in frames), initial=0))[:-1]
    pixels = encapsulate(frames[::-1], has_bot=False)
    reversed_starts = list(itertools.accumulate((len(frame) + 8 for frame in frames[::-1]), initial=0))[:-1]
    table = struct.pack("<6I", *reversed_starts[::-1])
    assert starts != reversed_starts[::-1]
    put(whole, UID + "4.70", pixels[:4] + struct.pack("<I", len(table)) + table + pixels[8:])
    phantom.write(whole, phantom.folder / "enhanced")
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


def test_fragments_that_make_no_frames_are_refused(phantom, positions):
    whole, frames = enhanced(phantom, positions(6), rle)
    put(whole, UID + "5", encapsulate(frames[:-1], has_bot=False))
    path = phantom.write(whole, phantom.folder / "enhanced")
    error = refusal(phantom)
    assert (error.reason, error.files) == (Reason.DECODE_FAILED, (path,))
    assert "5 fragments make no 6 frames" in str(error)


@pytest.mark.parametrize("pad", [True, False])
def test_a_codestream_of_odd_length_is_read_with_its_padding_or_without(phantom, positions, world_error, pad):
    def odd(dataset, _number):
        values = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        stream = jpeg_2000(values, 16)
        comment = b"\xff\x64\x00\x05\x00\x01x" if len(stream) % 2 == 0 else b"\xff\x64\x00\x06\x00\x01xx"
        start = stream.index(b"\xff\x52")
        stream = stream[:start] + comment + stream[start:]
        assert len(stream) % 2
        fragment = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(stream)) + stream + b"\0"
        put(dataset, JPEG_2000, b"\xfe\xff\x00\xe0\0\0\0\0" + fragment)

    end = b"\xfe\xff\xdd\xe0\0\0\0\0"
    for path in phantom.slices(positions(5), edit=odd):
        data = path.read_bytes()
        assert data.count(b"\xff\xd9\0" + end) == 1
        path.write_bytes(data if pad else data.replace(b"\xff\xd9\0" + end, b"\xff\xd9" + end))
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


def test_a_compressed_file_cut_short_is_truncated(phantom, positions):
    paths = write(phantom, positions, JPEG_2000, jpeg_2000)
    data = paths[3].read_bytes()
    paths[3].write_bytes(data[: data.index(b"\xff\x4f\xff\x51") + 50])
    error = refusal(phantom)
    assert (error.reason, error.files) == (Reason.TRUNCATED, (paths[3],))


def test_pixels_pydicom_reads_are_the_same(phantom, positions):
    paths = write(phantom, positions, UID + "5", rle)
    (volume,) = phantom.read_one().volumes
    for path in paths:
        dataset = pydicom.dcmread(path)
        k = round((dataset.ImagePositionPatient[2] + 20) / 3)
        np.testing.assert_array_equal(volume.array[:, ::-1, k].T, dataset.pixel_array.astype(int) - 1024)


def by_dcmtk(program, *options):
    """Compress the phantom's files with one of dcmtk's programs."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed: make tools")

    def run(paths):
        for path in paths:
            subprocess.run([program, *options, str(path), str(path)], check=True, capture_output=True)

    return run


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize(
    ("program", "options", "syntax"),
    [
        ("dcmcjpeg", ["+el"], "4.57"),
        ("dcmcjpeg", ["+e1"], "4.70"),
        ("dcmcjpls", ["+el"], "4.80"),
        ("dcmcrle", [], "5"),
    ],
)
def test_what_dcmtk_compresses_without_loss_comes_back_exactly(
    phantom, positions, world_error, program, options, syntax, bits, signed
):
    def native(dataset, _number):
        store(dataset, bits=bits, signed=signed, offset=80 if signed else 1024)

    paths = phantom.slices(positions(5), edit=native)
    by_dcmtk(program, *options)(paths)
    assert pydicom.dcmread(paths[0]).file_meta.TransferSyntaxUID == UID + syntax
    (volume,) = phantom.read_one().volumes
    assert world_error(volume) == 0


@pytest.mark.parametrize(("option", "syntax", "bits"), [("+eb", "4.50", 8), ("+ee", "4.51", 12)])
def test_lossy_jpeg_decodes_to_what_dcmtk_decodes(phantom, positions, option, syntax, bits):
    """Two decoders may round the inverse cosine transform differently: by one."""

    def native(dataset, _number):
        store(dataset, bits=bits, offset=offset_of(bits, False))

    paths = phantom.slices(positions(5), edit=native)
    by_dcmtk("dcmcjpeg", option)(paths)
    assert pydicom.dcmread(paths[0]).file_meta.TransferSyntaxUID == UID + syntax
    (ours,) = phantom.read_one().volumes
    by_dcmtk("dcmdjpeg")(paths)
    (theirs,) = phantom.read_one().volumes
    assert np.abs(ours.array - theirs.array).max() <= 1
