"""Names become codes by one table, and private ones without it."""

from __future__ import annotations

import pydicom.sr._concepts_dict
import pytest

from medimg.pipeline import CODE_CATEGORIES, find_pipelines
from medimg.report.dicom import codes
from medimg.report.dicom.codes import private, property_of, quantity, site_of, word

ALL = [
    *(row.concept for row in codes.QUANTITIES.values()),
    *codes.UNITS.values(),
    *codes.WORDS.values(),
    *codes.PROCEDURES.values(),
    *(row.kind for row in codes.PROPERTIES.values()),
    *codes.CATEGORIES.values(),
]


@pytest.mark.parametrize("code", ALL, ids=str)
def test_every_code_fits_its_attributes(code):
    assert 0 < len(code.value) <= codes.MAX_CODE
    assert 0 < len(code.meaning) <= codes.MAX_MEANING


@pytest.mark.parametrize("name", codes.QUANTITIES)
def test_concepts_of_pydicoms_dictionary_mean_what_it_says(name):
    concept = codes.QUANTITIES[name].concept
    known = pydicom.sr._concepts_dict.concepts[concept.scheme_designator]
    meanings = {entry[concept.value][0].lower() for entry in known.values() if concept.value in entry}
    assert concept.meaning.lower() in meanings


def test_a_certainty_is_a_percentage_of_the_finding_and_never_of_cancer():
    row = quantity("probability")
    assert (row.concept.value, row.unit.value, row.factor) == ("111012", "%", 100.0)
    assert quantity("cancer_probability").concept.value == "111047"


@pytest.mark.parametrize(
    ("name", "unit"), [("core_mm3", "mm3"), ("rim_mm", "mm"), ("p95_hu", "[hnsf'U]"), ("ratio", "1"), ("mass_mg", "mg")]
)
def test_a_number_without_a_row_gets_a_private_code_and_the_unit_of_its_suffix(name, unit):
    row = quantity(name)
    assert (row.concept.scheme_designator, row.unit.value) == (codes.PRIVATE_SCHEME, unit)
    assert row.concept.meaning == name.replace("_", " ")


def test_private_codes_differ_and_fit_whatever_the_name():
    names = ["a", "a_very_long_name_of_a_measurement", "a_very_long_name_of_a_measurement_2", "größe", "", "x" * 300]
    made = [private(name) for name in names]
    assert len({code.value for code in made}) == len(names)
    assert all(len(code.value) <= 16 and 0 < len(code.meaning) <= 64 for code in made)
    assert private("sphericity_2").value == "sphericity_2"


def test_labels_are_what_the_table_says_and_unknown_ones_a_region():
    assert property_of("nodule-12", {}).kind.value == "27925004"
    assert property_of("oedema", {}).kind.value == "79654002"
    unknown = property_of("spleen", {})
    assert (unknown.kind.scheme_designator, unknown.category) == (codes.PRIVATE_SCHEME, codes.REGION)


def test_a_pipelines_own_codes_come_first():
    own = {
        "spleen": ["SCT", "78961009", "Spleen", "anatomy"],
        "nodule": ["SCT", "1", "Mine"],
        "site": ["SCT", "2", "X"],
    }
    assert property_of("spleen", own).category == codes.ANATOMY
    assert property_of("nodule-1", own).kind.meaning == "Mine"
    site = site_of(own)
    assert site is not None
    assert site.value == "2"
    assert site_of({}) is None


def test_words_are_coded_whatever_their_case():
    assert word("Right Upper Lobe").value == "42400003"
    assert word("something else").scheme_designator == codes.PRIVATE_SCHEME


def test_categories_are_those_a_pipeline_may_name():
    assert tuple(codes.CATEGORIES) == CODE_CATEGORIES


def test_shipped_pipelines_say_where_they_look_and_for_what():
    for pipeline in find_pipelines():
        assert {"site", "finding"} <= set(pipeline.options("report")["codes"])
        assert {"seg", "sr"} <= set(pipeline.options("report")["formats"])
