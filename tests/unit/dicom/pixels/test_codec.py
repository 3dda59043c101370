"""What a decoder gives is checked against the header: cut short, without loss, through either library."""

from __future__ import annotations

import numpy as np
import pytest
from compressed import LOSSLESS, LOSSY, UID, htj2k, jpeg_2000, pixel_format

from medimg.dicom.pixels import codec
from medimg.dicom.pixels.workers import Decoders, Limits
from medimg.errors import InputError

STREAMS = {name: (uid, encode, 12) for name, (uid, encode) in LOSSLESS.items()}
STREAMS |= {name: (uid, encode, bits) for name, (uid, encode, bits, _tolerance) in LOSSY.items()}


@pytest.fixture(scope="module")
def decoders():
    pool = Decoders(2, Limits(seconds=5))
    yield pool
    pool.close()


def picture(bits, kind):
    return np.random.default_rng(0).integers(0, 1 << bits, (20, 30)).astype(kind)


@pytest.mark.parametrize("name", STREAMS)
def test_a_codestream_cut_short_is_never_filled_up(decoders, name):
    """Most codecs give an image whatever is missing; the end of the stream tells."""
    syntax, encode, bits = STREAMS[name]
    values = picture(bits, "u1" if bits == 8 else "u2")
    stream, form = encode(values, bits), pixel_format(values, syntax, bits)
    whole = decoders.submit(lambda: stream, form).result()
    cuts = [*range(len(stream) - 20, len(stream)), *range(0, len(stream), 29)]
    futures = [decoders.submit(lambda cut=cut: stream[:cut], form) for cut in cuts]
    for future in futures:
        error = future.exception()
        if error is None:  # what is missing was padding
            np.testing.assert_array_equal(future.result(), whole)
        else:
            assert isinstance(error, InputError)
    assert sum(future.exception() is None for future in futures) <= 2


def test_openjpeg_reads_htj2k_where_openjph_is_missing(monkeypatch):
    values = picture(12, "u2")
    form = pixel_format(values, UID + "4.201", 12)
    monkeypatch.setattr(codec, "_has", lambda name: name != "HTJ2K")
    np.testing.assert_array_equal(codec.decode(htj2k(values, 12), form), values)
    assert "openjpeg" in codec.library_of(codec.SYNTAXES[form.transfer_syntax])


def test_more_bits_than_openjpeg_keeps_are_refused():
    values = np.random.default_rng(0).integers(0, 1 << 24, (64, 64)).astype("u4")
    form = pixel_format(values, UID + "4.90", 24)
    np.testing.assert_array_equal(codec.decode(jpeg_2000(values, 24), form), values)
    with pytest.raises(ValueError, match="JPEG 2000 of 25 bits"):
        codec.decode(jpeg_2000(values, 25), pixel_format(values, UID + "4.90", 25))


def test_a_codec_that_imagecodecs_was_built_without_has_no_library(monkeypatch):
    monkeypatch.setattr(codec, "_has", lambda _name: False)
    assert codec.library_of(codec.SYNTAXES[UID + "4.80"]) is None


@pytest.mark.parametrize("high_bit", [15, 11])
def test_bits_at_the_top_of_the_word_stay_there(high_bit):
    """The word is the codestream's; where its bits lie is the header's (PS3.5 section 8.1.1)."""
    values = picture(12, "u2") << (high_bit - 11)
    form = codec.PixelFormat(20, 30, 16, 12, high_bit, False, UID + "4.90")
    np.testing.assert_array_equal(codec.decode(jpeg_2000(values, 16), form), values)
    if high_bit == 15:
        with pytest.raises(ValueError, match="high bit is 15"):
            codec.decode(jpeg_2000(values >> 4, 12), form)


def test_a_lossy_image_that_overshoots_its_bits_is_refused():
    values = np.full((20, 30), 4096, "u2")
    form = codec.PixelFormat(20, 30, 16, 12, 11, False, UID + "4.91")
    with pytest.raises(ValueError, match="from 4096 to 4096, beyond its 12 bits"):
        codec.decode(jpeg_2000(values, 16), form)
