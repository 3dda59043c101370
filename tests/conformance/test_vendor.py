"""Scalings beside the standard's: always recorded, applied on request only, found wherever the private block lies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medimg.cli import cli
from medimg.dicom.discover import discover
from medimg.dicom.options import AS_SCANNED, ReadOptions
from medimg.dicom.series import read_series
from medimg.errors import Reason

PRECISE = ReadOptions(philips_precise=True)
SLOPE, INTERCEPT, SCALE_SLOPE = 1.28, -512.0, 0.0625


def read(phantom, options=AS_SCANNED):
    (series,) = discover(phantom.folder).series
    return read_series(series, options)


def philips(block=0x10, creator="Philips MR Imaging DD 001", scale_slope=SCALE_SLOPE):
    """An edit that makes a slice a Philips MR whose private block begins at `block`."""

    def edit(dataset, number):
        dataset.Manufacturer = "Philips Medical Systems"
        dataset.RescaleSlope, dataset.RescaleIntercept = SLOPE, INTERCEPT
        dataset.add_new((0x2005, 0x10 if block != 0x10 else 0x11), "LO", "somebody else")
        dataset.add_new((0x2005, (0x10 if block != 0x10 else 0x11) << 8 | 0x0E), "FL", 77.0)
        dataset.add_new((0x2005, block), "LO", creator)
        dataset.add_new((0x2005, block << 8 | 0x0E), "FL", scale_slope * (1 + (number if scale_slope < 0 else 0)))

    return edit


def stored_values(phantom, positions) -> np.ndarray:
    """What the same phantom holds without any rescaling, (I, J, K)."""

    def plain(dataset, _number):
        del dataset.RescaleSlope, dataset.RescaleIntercept

    phantom.fresh().slices(positions(4), modality="MR", edit=plain)
    return read(phantom).volumes[0].array.astype(float)


@pytest.mark.parametrize("block", [0x10, 0x11, 0xC3])
def test_the_scanners_own_values_come_on_request_and_display_values_otherwise(phantom, positions, block):
    phantom.slices(positions(4), modality="MR", edit=philips(block))
    display, precise = read(phantom).volumes[0], read(phantom, PRECISE).volumes[0]
    stored = stored_values(phantom, positions)
    np.testing.assert_allclose(display.array, stored * SLOPE + INTERCEPT, rtol=1e-5, atol=1e-3)
    expected = (stored * SLOPE + INTERCEPT) / (SLOPE * SCALE_SLOPE)
    np.testing.assert_allclose(precise.array, expected, rtol=1e-5, atol=1e-2)
    for volume, kind in ((display, "display"), (precise, "precise")):
        assert volume.source.headers["PhilipsScaleSlope"] == SCALE_SLOPE
        assert volume.source.headers["PhilipsScaling"] == kind
    assert precise.source.read_options == ("philips_precise",)


def test_another_creators_element_of_that_number_is_no_scale_slope(phantom, positions):
    phantom.slices(positions(4), modality="MR", edit=philips(creator="Philips MR Imaging DD 002"))
    assert "PhilipsScaleSlope" not in read(phantom).volumes[0].source.headers
    error = read(phantom, PRECISE).rejection
    assert error.reason is Reason.NO_RESCALE
    assert "--philips-precise" in str(error)


def test_other_makers_are_read_as_ever(phantom, positions):
    phantom.slices(positions(4), modality="MR", edit=lambda dataset, _: setattr(dataset, "Manufacturer", "SIEMENS"))
    plain, asked = read(phantom).volumes[0], read(phantom, PRECISE).volumes[0]
    assert np.array_equal(plain.array, asked.array)
    assert "PhilipsScaling" not in asked.source.headers


def test_scale_slopes_that_differ_are_all_recorded(phantom, positions):
    phantom.slices(positions(3), modality="MR", edit=philips(scale_slope=-0.5))
    assert read(phantom).volumes[0].source.headers["PhilipsScaleSlope"] == [-0.5, -1.0, -1.5]


def test_a_damaged_private_element_does_not_harm_the_series(phantom, positions):
    def damage(dataset, number):
        philips()(dataset, number)
        dataset[0x2005, 0x100E]._value = 0.0
        dataset.add_new((0x2005, 0x14), "LO", "Philips MR Imaging DD 005")
        dataset.add_new((0x2005, 0x140F), "UN", b"\1\2\3\4")

    phantom.slices(positions(3), modality="MR", edit=damage)
    assert read(phantom).rejection is None


def pet(dataset, number):
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
    dataset.Manufacturer = "Philips Medical Systems"
    dataset.Units, dataset.DecayCorrection, dataset.PatientWeight = "CNTS", "START", 71.5
    dataset.PatientName, dataset.PatientID = "Doe^Jane", "secret"
    tracer = Dataset()
    tracer.Radiopharmaceutical, tracer.RadionuclideTotalDose = "FDG", 3.7e8
    tracer.RadionuclideHalfLife, tracer.RadiopharmaceuticalStartTime = 6586.2, "093000"
    dataset.RadiopharmaceuticalInformationSequence = Sequence([tracer])
    dataset.add_new((0x7053, 0x12), "LO", "Philips PET Private Group")
    dataset.add_new((0x7053, 0x1200), "DS", "0.00035")
    dataset.add_new((0x7053, 0x1209), "DS", "1.75")
    dataset.RescaleSlope = 1 + number


def test_what_uptake_values_need_is_in_the_sidecar_of_a_pet(phantom, positions, tmp_path):
    phantom.slices(positions(3), modality="PT", edit=pet)
    output = tmp_path / "out"
    assert CliRunner().invoke(cli, ["preprocess", str(phantom.folder), "-o", str(output)]).exit_code == 0
    (path,) = (path for path in output.glob("*.json") if path.name != "manifest.json")
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    headers = sidecar["source"]["headers"]
    assert sidecar["units"]["voxels"] == "counts"
    assert (headers["Units"], headers["DecayCorrection"], headers["PatientWeight"]) == ("CNTS", "START", "71.5")
    (tracer,) = headers["RadiopharmaceuticalInformationSequence"]
    assert float(tracer["RadionuclideTotalDose"]) == 3.7e8
    assert (tracer["RadionuclideHalfLife"], tracer["RadiopharmaceuticalStartTime"]) == ("6586.2", "093000")
    assert headers["PhilipsSUVScaleFactor"] == pytest.approx(0.00035)
    assert headers["PhilipsActivityConcentrationScaleFactor"] == pytest.approx(1.75)
    assert "secret" not in path.read_text(encoding="utf-8")


def test_a_weight_is_kept_for_pet_alone(phantom, positions):
    phantom.slices(positions(3), edit=lambda dataset, _: setattr(dataset, "PatientWeight", 71.5))
    assert "PatientWeight" not in read(phantom).volumes[0].source.headers


def test_a_real_world_value_mapping_is_recorded_and_not_applied(phantom, positions, world_error):
    def map_values(dataset, _number):
        unit = Dataset()
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "um2/s", "UCUM", "square micrometre per second"
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 2.5, -3.0
        mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = 0, 4095
        mapping["RealWorldValueFirstValueMapped"].VR = mapping["RealWorldValueLastValueMapped"].VR = "US"
        mapping.LUTLabel, mapping.MeasurementUnitsCodeSequence = "ADC", Sequence([unit])
        dataset.RealWorldValueMappingSequence = Sequence([mapping])

    phantom.slices(positions(3), modality="MR", edit=map_values)
    (volume,) = read(phantom).volumes
    assert world_error(volume) == 0
    (mapping,) = volume.source.headers["RealWorldValueMapping"]
    assert mapping == {
        "slope": 2.5,
        "intercept": -3.0,
        "first_value_mapped": 0,
        "last_value_mapped": 4095,
        "unit": "um2/s",
        "label": "ADC",
    }
