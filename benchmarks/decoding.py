"""Decoding of compressed series: medimg's processes beside pydicom's plugins and threads of imagecodecs.

    python benchmarks/decoding.py [--slices 60] [--rounds 5]

Whole series of 512 x 512 CT slices, headers already read, page cache warm, to an array in memory. Each round runs every
reader once, so that what else the machine does meets all of them; the best round of each counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID

from medimg.dicom.decode import PixelReader
from medimg.dicom.discover import discover
from medimg.dicom.pixels.workers import Decoders
from medimg.dicom.place import place
from medimg.dicom.voxels import assemble

SIZE = 512
CODECS = {
    "JPEG 2000": (
        "1.2.840.10008.1.2.4.90",
        partial(imagecodecs.jpeg2k_encode, codecformat="j2k", reversible=True, bitspersample=12),
        imagecodecs.jpeg2k_decode,
    ),
    "HTJ2K": ("1.2.840.10008.1.2.4.201", partial(imagecodecs.htj2k_encode, reversible=True), imagecodecs.htj2k_decode),
    "JPEG-LS": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
    "JPEG lossless": (
        "1.2.840.10008.1.2.4.70",
        partial(imagecodecs.jpeg8_encode, lossless=True, bitspersample=12),
        imagecodecs.jpeg8_decode,
    ),
}
"""Name -> transfer syntax, encoder, decoder."""

Decode = Callable[[bytes], np.ndarray]


def write(folder: Path, syntax: str, encode: Callable[[np.ndarray], bytes], slices: int) -> None:
    """A smooth field with the noise of a soft-tissue CT."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    for k in range(slices):
        field = 1000 + 500 * np.sin((column + k) / 17) + 300 * np.cos(row / 11)
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"2.25.{1000 + k}"
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "2.25.1", "2.25.2", "CT"
        dataset.Rows = dataset.Columns = SIZE
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.PixelSpacing = [0.7, 0.7]
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, float(k)], [1, 0, 0, 0, 1, 0]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.PixelData = encapsulate([encode((field + rng.normal(0, 20, (SIZE, SIZE))).astype("u2"))])
        dataset.save_as(folder / f"{k:04d}.dcm", enforce_file_format=True)


def by_medimg(decoders: Decoders, folder: Path) -> Callable[[], np.ndarray]:
    """What `medimg preprocess` does after the headers were read."""
    (series,) = discover(folder).series
    stack = place(series.frames)
    return lambda: assemble(stack, "CT", PixelReader(decoders))


def by_threads(count: int, decode: Decode, paths: list[Path]) -> Callable[[], np.ndarray]:
    """The loop one would write oneself: in this process, without any check of what comes back."""

    def one(path: Path) -> np.ndarray:
        return decode(next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)))

    def run() -> np.ndarray:
        with ThreadPoolExecutor(count) as threads:
            return np.stack(list(threads.map(one, paths)))

    return run


def by_pydicom(plugin: str, paths: list[Path]) -> Callable[[], np.ndarray]:
    """The usual way to read pixels in Python."""
    return lambda: np.stack([pixel_array(path, decoding_plugin=plugin) for path in paths])


def main() -> None:
    """Print seconds for each reader and syntax."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    pools = {count: Decoders(count) for count in (1, 2)}
    for name, (syntax, encode, decode) in CODECS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), syntax, encode, options.slices)
            paths = sorted(Path(folder).iterdir())
            readers = {f"medimg, {count} process(es)": by_medimg(pool, Path(folder)) for count, pool in pools.items()}
            readers |= {f"imagecodecs, {count} thread(s)": by_threads(count, decode, paths) for count in (1, 2)}
            for plugin in get_decoder(UID(syntax)).available_plugins:
                readers[f"pydicom, {plugin}"] = by_pydicom(plugin, paths)
            best = dict.fromkeys(readers, float("inf"))
            for _ in range(options.rounds):
                for reader, run in readers.items():
                    begin = time.perf_counter()
                    run()
                    best[reader] = min(best[reader], time.perf_counter() - begin)
            print(f"{name}, {options.slices} slices of {SIZE} x {SIZE}")
            for reader, seconds in best.items():
                print(f"  {reader:26} {seconds:6.2f} s  {seconds / options.slices * 1e3:6.1f} ms/slice")
    for pool in pools.values():
        pool.close()


if __name__ == "__main__":
    main()
